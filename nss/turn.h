/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Turns: where each name of Policy=round-robin goes on in this process.
 *
 * Owns one page of counters, which names share by hash; one that another name took over starts
 * anew, as the draw would begin anyway: at random. Without lock, malloc or system call; a child of
 * fork() starts anew too, so that the workers of one server do not go in step.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "nss-sd/answer.h"

/* Asks the kernel to empty the page in children. Once is enough; without it they go in step. */
void turn_prepare(void);

/* The turn of this call. `random`: where a new name begins. */
uint32_t turn_take(const struct answer *answer, unsigned families, uint64_t random);

/* The call came to nothing (glibc makes it again with more room): the next one has the same turn.
 */
void turn_give_back(const struct answer *answer, unsigned families, uint32_t turn);
