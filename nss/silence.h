/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Remembers that the daemon did not answer, so that a hung daemon costs a process one time-out and
 * not one a lookup. Silence lasts until the heartbeat moves; every 5 s one lookup may probe. Where
 * no heartbeat can be read, its place takes 0 and silence lasts until a probe is answered.
 *
 * Three relaxed words for the whole process: what races can do is let one more lookup ask.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* May a lookup ask the daemon at tick `now`? True claims the probe when one is due. */
bool silence_may_ask(uint32_t heartbeat, uint32_t now);
/* The daemon did not answer, and its heartbeat stands at `heartbeat`. */
void silence_begin(uint32_t heartbeat, uint32_t now);
/* It answered. */
void silence_end(void);
