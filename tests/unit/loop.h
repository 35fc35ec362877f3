/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests that need an event loop: turn it until something has happened, and fail if it never does.
 */
#pragma once

#include <check.h>
#include <stdint.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "daemon/base.h"

#define LOOP_PATIENCE (20 * USEC_PER_SEC)

static inline usec_t loop_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

/* Turns the loop until `*count` reaches `wanted`. */
static inline void loop_until(sd_event *event, const unsigned *count, unsigned wanted)
{
    usec_t end = loop_now() + LOOP_PATIENCE;

    while (*count < wanted) {
        ck_assert_msg(loop_now() < end, "%u of %u happened", *count, wanted);
        ck_assert_int_ge(sd_event_run(event, 100 * USEC_PER_MSEC), 0);
    }
}

/* Everything that is due now, and what follows from it at once. */
static inline void loop_settle(sd_event *event)
{
    int r;

    while ((r = sd_event_run(event, 20 * USEC_PER_MSEC)) > 0)
        ;
    ck_assert_int_eq(r, 0);
}
