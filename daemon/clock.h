/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The core's clock: CLOCK_BOOTTIME, which nobody sets and which goes on in suspend, begun long
 * before the machine was, so that a time before this boot (of what a snapshot knew) is a number
 * like any other. Its beginning is one whole wrap of the view's 32-bit ticks (view.h) earlier: the
 * ticks of a time of the core are the ticks of CLOCK_BOOTTIME.
 *
 * Timers of registries and of net/ count CLOCK_BOOTTIME itself (clock_boottime()): they hand the
 * core durations alone. Only those who meet sd_event with a time of the core need the rest.
 */
#pragma once

#include <systemd/sd-event.h>
#include <time.h>

#include "daemon/base.h"

#define CLOCK_WRAP ((usec_t)(UINT64_C(1) << 32) * USEC_PER_SEC / 16)

/* Now, the same all through one round of the loop, by the clock itself. */
static inline usec_t clock_boottime(sd_event *event)
{
    uint64_t now = 0;

    sd_event_now(event, CLOCK_BOOTTIME, &now);
    return now;
}

/* The same as a time of the core. Never 0, which is "never". */
static inline usec_t clock_now(sd_event *event)
{
    return clock_boottime(event) + CLOCK_WRAP;
}

/* A time of the core as sd_event counts it (CLOCK_BOOTTIME). */
static inline uint64_t clock_event_time(usec_t at)
{
    if (at == USEC_INFINITY)
        return UINT64_MAX;
    return at > CLOCK_WRAP ? at - CLOCK_WRAP : 0;
}
