/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The arithmetic of a blocking-query loop (pace.h). */
#include "daemon/registry/consul/pace.h"

#define CREDIT_MAX    ((int64_t)(5 * USEC_PER_SEC))
#define COST_NO_NEWS  ((int64_t)USEC_PER_SEC)
#define COST_NEWS     ((int64_t)(100 * USEC_PER_MSEC))
#define BACKOFF_FIRST USEC_PER_SEC
#define BACKOFF_STEP  (5 * USEC_PER_SEC)
#define BACKOFF_MAX   (180 * USEC_PER_SEC)

static void refill(struct consul_pace *pace, usec_t now)
{
    usec_t passed = now - pace->since;

    if (pace->since == 0 || passed >= (usec_t)(CREDIT_MAX - pace->credit))
        pace->credit = CREDIT_MAX;
    else
        pace->credit += (int64_t)passed;
    pace->since = now;
}

usec_t consul_pace_wait(struct consul_pace *pace, usec_t now)
{
    refill(pace, now);
    return pace->credit >= 0 ? 0 : (usec_t)-pace->credit;
}

void consul_pace_answered(struct consul_pace *pace, bool news, usec_t now)
{
    refill(pace, now);
    pace->credit -= news ? COST_NEWS : COST_NO_NEWS;
    pace->failures = 0;
}

usec_t consul_pace_failed(struct consul_pace *pace)
{
    unsigned n = pace->failures;

    if (n < 1000)
        pace->failures++;
    if (n == 0)
        return BACKOFF_FIRST;
    return n >= 6 ? BACKOFF_MAX : n * n * BACKOFF_STEP;
}

uint64_t consul_index_next(uint64_t index, const char *header)
{
    unsigned long long next = 0;
    char *end;

    if (header && header[0] >= '0' && header[0] <= '9') {
        errno = 0;
        next = strtoull(header, &end, 10);
        if (errno != 0 || *end != '\0')
            next = 0;
    }
    if (next == 0)
        return 1;
    return next < index ? 0 : next;
}
