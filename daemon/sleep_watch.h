/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Notices that this program did not run for a while: the machine slept (CLOCK_BOOTTIME went on,
 * CLOCK_MONOTONIC did not), or it was frozen with everything in it, or alone. What the watches of
 * registries vouched for is not vouched for since then. Pure: takes the time as an argument.
 */
#pragma once

#include "daemon/base.h"

struct sleep_watch {
    usec_t boottime, monotonic; /* of the last look; 0: none yet */
};

/* To be called every second or so. The time (CLOCK_BOOTTIME) of the look before, if it slept since
 * then; else 0. */
usec_t sleep_watch_look(struct sleep_watch *watch, usec_t boottime, usec_t monotonic);
