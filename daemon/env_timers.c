/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/env_timers.h"

#include <systemd/sd-event.h>
#include <uthash.h>
#include <utlist.h>

enum { FIRED_AT_ONCE = 32 };

struct env_timer_entry {
    struct env_timer *timer;
    struct env_moment *moment; /* NULL: it is due */
    struct env_timer_entry *prev, *next;
};

/* An instant, and the timers of it: at least one. */
struct env_moment {
    usec_t at;
    struct env_timers *timers;
    sd_event_source *source;
    struct env_timer_entry *entries;
    UT_hash_handle hh;
};

static void moment_free(struct env_moment *moment)
{
    HASH_DEL(moment->timers->moments, moment);
    sd_event_source_disable_unref(moment->source);
    free(moment);
}

static void entry_leave(struct env_timers *timers, struct env_timer_entry *entry)
{
    struct env_moment *moment = entry->moment;

    entry->moment = NULL;
    if (!moment) {
        DL_DELETE(timers->due, entry);
        return;
    }
    DL_DELETE(moment->entries, entry);
    if (!moment->entries)
        moment_free(moment);
}

static void entry_end(struct env_timers *timers, struct env_timer_entry *entry)
{
    entry_leave(timers, entry);
    entry->timer->impl = NULL;
    free(entry);
}

/* What fires may switch off others that are due, and set new ones: of this instant, too. */
static void fire_due(struct env_timers *timers)
{
    while (timers->due) {
        struct env_timer *timer = timers->due->timer;

        entry_end(timers, timers->due);
        timer->fire(timer);
    }
}

static int on_moment(sd_event_source *source, uint64_t at, void *userdata)
{
    struct env_moment *moment = userdata;
    struct env_timers *timers = moment->timers;
    unsigned count = moment->at > 0 ? FIRED_AT_ONCE : 1;
    bool more = true;

    (void)at;
    while (count-- > 0 && more) {
        struct env_timer_entry *entry = moment->entries;

        more = entry->next != NULL;
        entry_leave(timers, entry);
        DL_APPEND(timers->due, entry);
    }
    if (more)
        sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    fire_due(timers);
    return 0;
}

static int moment_find(struct env_timers *timers, usec_t at, struct env_moment **ret_moment)
{
    struct env_moment *moment;
    int r;

    HASH_FIND(hh, timers->moments, &at, sizeof(at), moment);
    *ret_moment = moment;
    if (moment)
        return 0;
    moment = calloc(1, sizeof(*moment));
    if (!moment)
        return -ENOMEM;
    r = sd_event_add_time(timers->event, &moment->source, CLOCK_BOOTTIME, at, USEC_PER_MSEC,
                          on_moment, moment);
    if (r < 0) {
        free(moment);
        return r;
    }
    moment->at = at;
    moment->timers = timers;
    HASH_ADD(hh, timers->moments, at, sizeof(moment->at), moment);
    *ret_moment = moment;
    return 0;
}

int env_timers_set(struct env_timers *timers, struct env_timer *timer, usec_t at)
{
    struct env_timer_entry *entry = timer->impl, *fresh = NULL;
    struct env_moment *moment;
    int r;

    if (entry && entry->moment && entry->moment->at == at)
        return 0;
    if (!entry && !(entry = fresh = calloc(1, sizeof(*entry))))
        return -ENOMEM;
    r = moment_find(timers, at, &moment);
    if (r < 0) {
        free(fresh);
        return r;
    }
    if (!fresh)
        entry_leave(timers, entry);
    entry->timer = timer;
    entry->moment = moment;
    DL_APPEND(moment->entries, entry);
    timer->impl = entry;
    return 0;
}

void env_timers_off(struct env_timers *timers, struct env_timer *timer)
{
    if (timer->impl)
        entry_end(timers, timer->impl);
}

bool env_timers_end(struct env_timers *timers)
{
    bool any = timers->moments || timers->due;

    while (timers->due)
        entry_end(timers, timers->due);
    while (timers->moments)
        entry_end(timers, timers->moments->entries);
    return any;
}
