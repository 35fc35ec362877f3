/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a full fetch may take instances away. A Eureka server that was restarted answers at once,
 * with an empty or half-empty registry, until the instances have registered again (within their
 * heartbeat of 30 s, or the lease of 90 s). An instance that is taken away for good is told as
 * DELETED by a delta, which is always believed; one that is only not listed is distrusted when
 *
 *   - the server has started anew, or
 *   - more than half of all are gone at once, or
 *   - nothing at all is listed at the first fetch.
 *
 * Then nothing that is not listed is told as gone for EUREKA_GUARD_TIME. Pure: the clock is an
 * argument.
 */
#pragma once

#include "daemon/base.h"

#define EUREKA_GUARD_TIME (150 * USEC_PER_SEC)

enum { EUREKA_GUARD_TEXT_SIZE = 128 };

struct eureka_guard {
    usec_t until;                      /* 0: all is believed */
    char text[EUREKA_GUARD_TEXT_SIZE]; /* why not, for people */
};

/*
 * After a full fetch: `known` instances were listed before it, `lost` of them are not listed now,
 * and `listed` are. True: keep what is lost. `first`: there was no fetch before.
 */
bool eureka_guard_judge(struct eureka_guard *guard, unsigned known, unsigned lost, unsigned listed,
                        bool first, bool restarted, usec_t now);

/* Is something distrusted at this moment? */
static inline bool eureka_guard_doubts(const struct eureka_guard *guard)
{
    return guard->until != 0;
}
/* The time is over. */
void eureka_guard_end(struct eureka_guard *guard);
