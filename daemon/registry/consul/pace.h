/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How fast one query may be repeated, and where its next blocking call starts: the arithmetic of a
 * blocking-query loop. Pure: takes the time as an argument.
 */
#pragma once

#include "daemon/base.h"

/*
 * Credit that grows with time. An answer without news costs a second of it, one with news a tenth:
 * a server that returns at once for ever is asked once a second after a short burst, while a
 * service that really changes is followed closely.
 */
struct consul_pace {
    int64_t credit;    /* microseconds; below zero: wait */
    usec_t since;      /* when `credit` was right; 0: never used */
    unsigned failures; /* in a row */
};

/* How long the next call must wait; 0: it may go. */
usec_t consul_pace_wait(struct consul_pace *pace, usec_t now);
void consul_pace_answered(struct consul_pace *pace, bool news, usec_t now);

/*
 * Counts a failure and returns how long to wait: about a second at first, because most outages are
 * short, then 5 s * n^2 up to 180 s. Without jitter: that is the caller's.
 */
usec_t consul_pace_failed(struct consul_pace *pace);

/*
 * The index for the next call, after an answer of status 200. 0: a full read that does not block.
 * `header` is X-Consul-Index or NULL. An index that goes back (a snapshot was restored, another
 * cluster answers) starts over; a missing one counts as 1, because calls without index never block
 * and would spin.
 */
uint64_t consul_index_next(uint64_t index, const char *header);
