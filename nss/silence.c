/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See silence.h. Nothing here is worth a stronger memory order than relaxed. */
#include "nss/silence.h"

#include <stdatomic.h>

#include "nss/clock.h"

enum { SILENCE_TICKS = 5 * VIEW_TICKS_PER_SECOND };

static atomic_bool silent;
static _Atomic uint32_t silent_heartbeat;
static _Atomic uint32_t silent_probe; /* tick of the next probe */

bool silence_may_ask(uint32_t heartbeat, uint32_t now)
{
    uint32_t probe;

    if (!atomic_load_explicit(&silent, memory_order_relaxed) ||
        atomic_load_explicit(&silent_heartbeat, memory_order_relaxed) != heartbeat)
        return true;
    probe = atomic_load_explicit(&silent_probe, memory_order_relaxed);
    if (clock_pending(probe, now, SILENCE_TICKS))
        return false;
    return atomic_compare_exchange_strong_explicit(&silent_probe, &probe, now + SILENCE_TICKS,
                                                   memory_order_relaxed, memory_order_relaxed);
}

void silence_begin(uint32_t heartbeat, uint32_t now)
{
    atomic_store_explicit(&silent_heartbeat, heartbeat, memory_order_relaxed);
    atomic_store_explicit(&silent_probe, now + SILENCE_TICKS, memory_order_relaxed);
    atomic_store_explicit(&silent, true, memory_order_relaxed);
}

void silence_end(void)
{
    if (atomic_load_explicit(&silent, memory_order_relaxed))
        atomic_store_explicit(&silent, false, memory_order_relaxed);
}
