/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The view that is in place when a new one is made: what of it may still be served, and its end.
 *
 * It is untrusted input, as for every reader: foreign, damaged or hostile. It is read by pread(),
 * never mapped, so that not even a truncation meanwhile can hurt the daemon; nothing but `retired`
 * is ever written to it, and it is never truncated: readers may have it mapped for months.
 */
#pragma once

#include "daemon/base.h"
#include "daemon/endpoint.h"
#include "daemon/view_table.h"

struct view_old;

/*
 * Opens it. NULL: there is none, or none of ours and of this layout, or no memory. `now` is a tick;
 * a file whose heartbeat is later is of another boot: none of its answers is believed.
 */
struct view_old *view_old_open(int directory_fd, uint32_t now);
struct view_old *view_old_free(struct view_old *old);

/*
 * Calls `each` with a private copy of every positive answer that may be served without a daemon, as
 * it has to stand in another file: without a clock, stale from `now` to the limit that it has here.
 */
typedef void (*view_old_answer)(void *userdata, union view_slot *answer);
void view_old_each(const struct view_old *old, view_old_answer each, void *userdata);

/*
 * Calls `each` with every address that is listed and the name that it is listed under, which may be
 * one that view_old_each() left out.
 */
typedef void (*view_old_address)(void *userdata, const struct address *address, const char *name);
void view_old_each_address(const struct view_old *old, view_old_address each, void *userdata);

/* Tells its readers that there is a new one. */
void view_old_retire(const struct view_old *old);
/* Gives the memory of its tables back: readers see zeros there. */
void view_old_punch(const struct view_old *old);
