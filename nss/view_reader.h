/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The view as a process sees it: attaches the file, checks it once, and says who owns a name and
 * whether the daemon's heart beats.
 *
 * The file is untrusted and may change at any moment. What never changes in a good one (geometry,
 * domains, search list) is copied at attach and checked on the copy; of the mapping itself only
 * words that view.h marks mutable are read, atomically, and nothing of libc runs on it. A mapping
 * is never undone while it is published or was: other threads may be reading it.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "nss-sd/view.h"

/* One attachment. Only view_reader.c makes them; they live as long as the process. */
struct view {
    const struct view_header *shared; /* the mapping */
    dev_t device;
    ino_t inode;
    bool elsewhere;            /* the daemon lives in another network namespace */
    bool other_time;           /* and in another time namespace */
    struct view_header header; /* checked copy of what is immutable; the clocks are not in it */
};

enum view_owner {
    VIEW_FOREIGN = 1, /* not ours */
    VIEW_OWNED,       /* at or below one of the domains */
    VIEW_SEARCHED,    /* a short name, to be tried with the search list */
};

enum view_pulse {
    VIEW_LIVE = 1,
    VIEW_OVERDUE,       /* no heartbeat within the lease: dead, hung or restarting */
    VIEW_RETIRED,       /* there is a newer file: what is changed now is changed there */
    VIEW_FOREIGN_CLOCK, /* of another time namespace: nothing can be said */
};

/*
 * The view that is attached, at tick `now`; NULL if none can be. Attaches on the first call, and
 * anew when the file was retired, at once, or when its heartbeat is overdue, at most once a second.
 * What cannot be replaced (no descriptor, another layout, too many files already) stays attached.
 */
const struct view *view_reader_current(uint32_t now);

/* Whose is the folded `name`? */
enum view_owner view_owner(const struct view *view, const char *name, size_t length, bool rooted);
/* Does the daemon live? `ret_heartbeat`: the word itself, to see whether it moves. */
enum view_pulse view_pulse(const struct view *view, uint32_t now, uint32_t *ret_heartbeat);

/*
 * Fills `ret_view` from a mapped file of `size` bytes (at least VIEW_HEADER_SIZE, 4-byte aligned).
 * False: not a view of this layout.
 */
bool view_init(struct view *ret_view, const void *file, size_t size);
