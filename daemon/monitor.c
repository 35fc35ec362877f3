/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/monitor.h"

#include <stdio.h>
#include <utlist.h>

#include "daemon/monitor_event.h"

struct monitor {
    struct monitors *monitors;
    struct monitor *prev, *next;
    uid_t uid;
    struct access_asker asker;
    bool privileged;
    struct monitor_service *services;
    size_t service_count;
    void (*wake)(void *userdata);
    void *userdata;
    json_t *events[MONITOR_EVENTS_MAX]; /* a ring */
    size_t first, count;
    json_int_t lost; /* before the first of them */
};

struct monitors {
    struct monitors_hooks hooks;
    struct monitor *list;
    uint64_t changes[STORE_REGISTRIES_MAX]; /* of the registries' conditions, up to what was told */
};

struct monitors *monitors_new(const struct monitors_hooks *hooks)
{
    struct monitors *monitors = calloc(1, sizeof(*monitors));

    if (monitors)
        monitors->hooks = *hooks;
    return monitors;
}

struct monitors *monitors_free(struct monitors *monitors)
{
    free(monitors);
    return NULL;
}

void monitor_services_free(struct monitor_service *services, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(services[i].name);
        free(services[i].registry);
        free(services[i].key);
    }
    free(services);
}

/* ---- followers ---- */

static int monitor_admit(const struct monitors *monitors, const struct monitor_request *request)
{
    unsigned all = 0, own = 0;
    const struct monitor *monitor;

    DL_FOREACH (monitors->list, monitor) {
        all++;
        own += monitor->uid == request->uid;
    }
    if (!request->privileged && own >= MONITORS_UID_MAX)
        return -EDQUOT;
    return all < MONITORS_MAX ? 0 : -EUSERS;
}

int monitor_new(struct monitors *monitors, const struct monitor_request *request,
                struct monitor **ret_monitor)
{
    int r = monitor_admit(monitors, request);
    struct monitor *monitor = r < 0 ? NULL : calloc(1, sizeof(*monitor));

    if (!monitor) {
        monitor_services_free(request->services, request->count);
        return r < 0 ? r : -ENOMEM;
    }
    monitor->monitors = monitors;
    monitor->uid = request->uid;
    monitor->asker = request->asker;
    monitor->privileged = request->privileged;
    monitor->services = request->services;
    monitor->service_count = request->count;
    monitor->wake = request->wake;
    monitor->userdata = request->userdata;
    DL_APPEND(monitors->list, monitor);
    *ret_monitor = monitor;
    return 0;
}

static json_t *queue_take(struct monitor *monitor)
{
    json_t *event = monitor->events[monitor->first];

    monitor->first = (monitor->first + 1) % MONITOR_EVENTS_MAX;
    monitor->count--;
    return event;
}

struct monitor *monitor_free(struct monitor *monitor)
{
    if (!monitor)
        return NULL;
    while (monitor->count > 0)
        json_decref(queue_take(monitor));
    DL_DELETE(monitor->monitors->list, monitor);
    monitor_services_free(monitor->services, monitor->service_count);
    free(monitor);
    return NULL;
}

/* The oldest give way: what is lost lies before all that is left. */
static void queue_put(struct monitor *monitor, json_t *event)
{
    bool was_idle = monitor->count == 0;

    if (monitor->count == MONITOR_EVENTS_MAX) {
        json_decref(queue_take(monitor));
        monitor->lost++;
    }
    monitor->events[(monitor->first + monitor->count++) % MONITOR_EVENTS_MAX] = json_incref(event);
    if (was_idle)
        monitor->wake(monitor->userdata);
}

json_t *monitor_take(struct monitor *monitor)
{
    json_t *events;
    json_int_t lost = monitor->lost;

    if (monitor->count == 0)
        return NULL;
    events = json_array();
    for (size_t i = 0; i < MONITOR_BATCH_MAX && monitor->count > 0; i++)
        json_array_append_new(events, queue_take(monitor));
    monitor->lost = 0;
    return json_pack("{s:o, s:I}", "events", events, "lost", lost);
}

bool monitors_any(const struct monitors *monitors)
{
    return monitors->list;
}

void monitors_each_name(const struct monitors *monitors,
                        void (*visit)(void *userdata, const char *name), void *userdata)
{
    const struct monitor *monitor;

    DL_FOREACH (monitors->list, monitor)
        for (size_t i = 0; i < monitor->service_count; i++)
            visit(userdata, monitor->services[i].name);
}

/* ---- what happens ---- */

/* `key` NULL: the registry as a whole, which concerns all who follow one of its services. */
static bool is_about(const struct monitor *monitor, const char *registry, const char *key)
{
    for (size_t i = 0; i < monitor->service_count; i++)
        if (streq(monitor->services[i].registry, registry) &&
            (!key || streq(monitor->services[i].key, key)))
            return true;
    return monitor->service_count == 0;
}

static bool anybody_follows(const struct monitors *monitors, const char *registry, const char *key)
{
    const struct monitor *monitor;

    DL_FOREACH (monitors->list, monitor)
        if (is_about(monitor, registry, key))
            return true;
    return false;
}

/* Gives the event to whom it concerns; takes its reference. */
static void tell(void *userdata, const struct monitor_subject *subject, json_t *event)
{
    struct monitors *monitors = userdata;
    struct monitor *monitor;

    DL_FOREACH (monitors->list, monitor)
        if (event && is_about(monitor, subject->registry, subject->key) &&
            access_allows(&monitor->asker, subject->access))
            queue_put(monitor, event);
    json_decref(event);
}

/* False: nobody wants to hear of it. */
static bool subject_of(struct monitors *monitors, unsigned registry, const char *key,
                       struct access access, struct monitor_subject *ret_subject)
{
    const struct monitors_hooks *hooks = &monitors->hooks;

    if (!monitors->list)
        return false;
    *ret_subject = (struct monitor_subject){
        .registry = hooks->registry(hooks->userdata, registry),
        .key = key,
        .access = access,
        .at = hooks->wall_clock(hooks->userdata),
        .tell = tell,
        .userdata = monitors,
    };
    return ret_subject->registry && anybody_follows(monitors, ret_subject->registry, key);
}

void monitors_replaced(struct monitors *monitors, const struct service_facts *facts,
                       const struct endpoint_set *before)
{
    struct monitor_subject subject;

    if (subject_of(monitors, facts->registry, facts->key, facts->access, &subject))
        monitor_event_replaced(&subject, facts, before);
}

void monitors_notice(struct monitors *monitors, enum store_notice notice,
                     const struct service_facts *facts)
{
    static const char *const words[] = {
        [STORE_NOTICE_STALE] = "stale",     [STORE_NOTICE_EXPIRING] = "expiring",
        [STORE_NOTICE_EXPIRED] = "expired", [STORE_NOTICE_EMPTY_PROTECTION] = "held",
        [STORE_NOTICE_SUSPECT] = "suspect", [STORE_NOTICE_CONFIRMED] = "confirmed",
    };
    struct monitor_subject subject;

    if (subject_of(monitors, facts->registry, facts->key, facts->access, &subject))
        monitor_event_word(&subject, words[notice], facts->error);
}

void monitors_vetoed(struct monitors *monitors, unsigned registry, const char *key,
                     struct access access, const char *instance, bool failing, const char *text)
{
    struct monitor_subject subject;

    if (subject_of(monitors, registry, key, access, &subject))
        monitor_event_vetoed(&subject, instance, failing, text);
}

void monitors_condition(struct monitors *monitors, unsigned registry, uint64_t changes,
                        const char *condition, const char *text)
{
    const struct access anybody = {.kind = ACCESS_ANYBODY};
    bool is_news = changes != monitors->changes[registry];
    struct monitor_subject subject;

    monitors->changes[registry] = changes;
    if (is_news && subject_of(monitors, registry, NULL, anybody, &subject))
        monitor_event_word(&subject, condition, text);
}
