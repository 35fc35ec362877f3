/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A view made by hand, byte for byte as view.h says and without the daemon's writer, so that tests
 * of the reader can put anything anywhere. It owns "consul"; its search list is the test's. The
 * file stays mapped and writable: what a test changes, readers see.
 */
#pragma once

#include "nss-sd/view.h"
#include "tests/unit/payload.h"

enum { HAND_VIEW_BITS = 3, HAND_VIEW_REVERSE_BITS = 5, HAND_VIEW_CLOCKS = 2 };

struct hand_view {
    char path[128];
    struct view_header *header;
    size_t size;
};

/* An answer and when it is good, beyond what a payload says. Times are relative to now, in s. */
struct slot_spec {
    struct payload_spec payload;
    uint32_t flags;
    bool watched; /* by clock 0: `stale` is a duration; else both are from now on */
    int fresh;    /* seconds */
    int stale;    /* seconds; < 0 with `watched`: for ever */
    int refresh;  /* seconds; 0: not soon */
};

/* Makes DIRECTORY/view with all tables, empty, a heartbeat of now and live clocks. */
void hand_view_init(struct hand_view *file, const char *directory, const char *const *search,
                    size_t search_count);
void hand_view_done(struct hand_view *file);

/* Heartbeat of `seconds` ago; negative: to come. */
void hand_view_beat(struct hand_view *file, int seconds);
void hand_view_clock(struct hand_view *file, enum view_clock_state state, int confirmed_ago);

/* The slot's words, where set (0 or 1) and way (0..3) of the candidates of `name` are. */
struct answer_head *hand_view_slot(struct hand_view *file, bool negative, const char *name,
                                   unsigned set, unsigned way);
/* Its number in the table. */
uint32_t hand_view_slot_number(struct hand_view *file, const struct answer_head *slot);

/* Writes an answer: into the negative table if it has no records. Returns its slot. */
struct answer_head *hand_view_put_at(struct hand_view *file, const struct slot_spec *spec,
                                     unsigned set, unsigned way);
struct answer_head *hand_view_put(struct hand_view *file, const struct slot_spec *spec);

/* Lists an address (family 4 or 6) under a slot of the positive table. */
struct view_reverse *hand_view_list(struct hand_view *file, unsigned family, const void *address,
                                    uint32_t slot);
