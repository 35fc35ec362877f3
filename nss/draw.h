/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which records of an answer a caller gets, and in which order: the last step of the policy, made
 * anew for every call so that callers do not herd. Pure but for draw_seed(), which takes what the
 * process has at hand: no stored state, no system call.
 *
 * Records are numbered over both families, IPv4 first: number n is records4[n], or
 * records6[n - count4].
 *
 *  - Tiers follow each other, the lowest first; inside one, endpoints are drawn by weight. Weight 0
 * is drawn only when nothing else is left.
 *  - The addresses of one endpoint stay together, the drawn endpoint's best ranked one in front.
 *  - After the first address come only addresses of no better rank: glibc sorts by rank, stably,
 * and would move a better one to the front, where every process would pick the same.
 *  - With a turn, endpoints of equal weights come first one after the other, turn by turn; where
 * weights differ they are drawn all the same.
 *  - limit 0 means that the caller wants the whole service: then nothing is left out.
 */
#pragma once

#include "nss-sd/answer.h"

#define DRAW_NO_TURN UINT32_MAX

enum { DRAW_IPV4 = 1u << 0, DRAW_IPV6 = 1u << 1 };

/* A seed that differs with every call and cannot be foreseen from another process. */
uint64_t draw_seed(void);

/*
 * Orders the records of `families`, at most `limit` (0: all). `turn`: DRAW_NO_TURN, or whose turn
 * it is (turn.h). `ret_order` has room for count4 + count6 numbers. Returns how many it holds: 0
 * only if there is no record of these families.
 */
size_t draw_order(const struct answer *answer, unsigned families, size_t limit, uint64_t seed,
                  uint32_t turn, uint16_t *ret_order);
