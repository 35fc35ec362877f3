/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Answers from the tables of the view: copies one out, checks it once on the private copy, and says
 * when it may be served. No system call, no lock, no malloc, and nothing of libc on the mapping.
 *
 * For any bytes in the file and any change of them meanwhile a call stays inside the mapping, ends
 * after a bounded number of reads, and yields a well-formed answer for what was asked, or none.
 */
#pragma once

#include "nss/view_reader.h"

/* What is asked of which view, and when. */
struct view_moment {
    const struct view *view;
    uint32_t now;       /* tick */
    uint32_t heartbeat; /* as view_pulse() gave it */
    bool live;          /* so did it say VIEW_LIVE; never ask with VIEW_FOREIGN_CLOCK */
};

/* One answer on the stack. */
struct view_answer {
    struct answer answer; /* points into `copy` */
    _Alignas(8) uint32_t copy[ANSWER_SLOT_SIZE / sizeof(uint32_t)];
};

/*
 * Finds an answer for the folded `name` that may be served at least as `least` says. With a live
 * daemon a sample, where the caller wants the whole service (ANSWER_FLAG_PARTIAL, limit 0), counts
 * as VIEW_SERVE_LAST.
 */
bool view_slots_find(const struct view_moment *moment, const char *name, size_t length,
                     enum view_serve least, struct view_answer *ret_answer);

/* Are there answers for addresses in this view? If not, only the daemon knows which are ours. */
static inline bool view_slots_know_addresses(const struct view *view)
{
    return view->header.reverse_bits != VIEW_NO_TABLE && view->header.set_bits != VIEW_NO_TABLE;
}

/* Finds the answer that holds `address`, of 4 or 16 bytes as `family` (4 or 6) says. */
bool view_slots_find_address(const struct view_moment *moment, unsigned family,
                             const uint8_t *address, struct view_answer *ret_answer);
