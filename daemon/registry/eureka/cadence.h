/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When to poll. A Eureka server answers from a cache that it fills anew at multiples of 30 s of its
 * own clock (response-cache-update-interval-ms): a poll just after that sees changes soonest, and
 * any other one tells nothing more. The server's clock is learned from the Date of its responses.
 * Pure: clocks are arguments.
 */
#pragma once

#include "daemon/base.h"

/* The server's clock is ahead of ours by `least` .. `most` microseconds. */
struct eureka_cadence {
    bool known;
    int64_t least, most;
};

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7) in seconds since 1970. -EINVAL. */
int eureka_date_from_string(const char *text, uint64_t *ret_seconds);

/* A response said `seconds`; it was asked for at `sent`, and came at `received`, of our clock. */
void eureka_cadence_note(struct eureka_cadence *cadence, uint64_t seconds, usec_t sent,
                         usec_t received);

/*
 * When to poll next, after `now`: just past the server's next multiple of `period`, spread by
 * `random` so that not all clients come at once; or `period` from now where its clock is not known.
 */
usec_t eureka_cadence_next(const struct eureka_cadence *cadence, usec_t now, usec_t period,
                           uint64_t random);
