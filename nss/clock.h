/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The module's two clocks: ticks (view.h: 1/16 s of CLOCK_BOOTTIME, modulo 2^32), which it shares
 * with the daemon, and milliseconds of CLOCK_MONOTONIC for deadlines on the socket. Neither is a
 * system call where the kernel has a vDSO.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "nss-sd/view.h"

static inline uint32_t clock_tick(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint32_t)((uint64_t)now.tv_sec * VIEW_TICKS_PER_SECOND +
                      (uint64_t)now.tv_nsec / (1000000000u / VIEW_TICKS_PER_SECOND));
}

static inline uint64_t clock_ms(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/*
 * Is `until` still to come, at most `span` ticks away? A window, not a sign test: a tick that was
 * stored years ago, or never (0), must not look like one in the future.
 */
static inline bool clock_pending(uint32_t until, uint32_t now, uint32_t span)
{
    return until - now - 1 < span;
}
