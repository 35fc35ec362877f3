/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The loop that keeps the table of applications like the server's: all at first, then what changed,
 * and all again when that cannot be trusted to be enough:
 *
 *   - the counts by status differ from the server's (apps__hashcode); ever more seldom where they
 *     still do after it;
 *   - the last good answer is longer ago than the server remembers changes;
 *   - another server answers, or the same one that has started anew (versions__delta goes back);
 *   - the server has no deltas, or an unreadable one;
 *   - every FullFetchSec=: equal counts do not prove equal addresses.
 *
 * A poll that fails is tried at other servers at once (servers.h); when all have failed the
 * registry is down until one answers.
 */
#pragma once

#include "daemon/registry/eureka/fetch.h"

struct eureka_poll {
    struct eureka *eureka;
    struct eureka_fetch fetch;
    struct env_timer timer, down_timer, guard_timer;
    bool synced;     /* all was fetched once */
    bool up, down;   /* neither before the first answer */
    char text[256];  /* down: why */
    unsigned source; /* the server that the table is like */
    bool want_full, restarted;
    unsigned known;                     /* instances listed before the full fetch */
    usec_t good_at;                     /* the last good answer */
    usec_t full_at;                     /* the last full fetch began */
    usec_t full_due;                    /* the next periodic one */
    usec_t no_delta_until;              /* the server has none: not asked for */
    unsigned failures;                  /* rounds in a row */
    unsigned mismatching;               /* answers in a row whose counts differ */
    uint64_t fulls, deltas, mismatches; /* since the start */
};

int eureka_poll_init(struct eureka_poll *poll, struct eureka *eureka);
void eureka_poll_done(struct eureka_poll *poll);
/* Polls now; what is on its way goes on. */
void eureka_poll_kick(struct eureka_poll *poll);
/* Other credentials are there: what was refused may be answered. */
void eureka_poll_again(struct eureka_poll *poll);
/* PollSec= or FullFetchSec= may be another. */
void eureka_poll_reload(struct eureka_poll *poll);
void eureka_poll_describe(const struct eureka_poll *poll, json_t *object);
