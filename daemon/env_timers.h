/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The timers of one real env. Those of one instant share an event source and a turn of the loop, so
 * that hundreds of checks that are due together cost a few wake-ups, not hundreds. A turn fires a
 * bounded number of them, in the order in which they were set, and none that was set in it. What is
 * deferred (of the instant 0) may be long work in slices: a turn fires one of it.
 */
#pragma once

#include "daemon/registry/registry.h"

struct sd_event;

/* Zeroed but for the event: none is set. */
struct env_timers {
    struct sd_event *event;
    struct env_moment *moments;  /* a table by instant */
    struct env_timer_entry *due; /* of this turn */
};

/* As the verbs of struct registry_env. */
int env_timers_set(struct env_timers *timers, struct env_timer *timer, usec_t at);
void env_timers_off(struct env_timers *timers, struct env_timer *timer);

/* Switches all off; false: none was set. Not by a timer that fires. */
bool env_timers_end(struct env_timers *timers);
