/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/monitor_event.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "daemon/monitor.h"
#include "daemon/varlink.h"

static json_t *event_new(const struct monitor_subject *subject, const char *what)
{
    return json_pack("{s:I, s:o, s:o, s:s}", "at_usec", (json_int_t)subject->at, "registry",
                     varlink_string(subject->registry), "service", varlink_string(subject->key),
                     "what", what);
}

void monitor_event_word(const struct monitor_subject *subject, const char *what, const char *text)
{
    json_t *event = event_new(subject, what);

    if (text && *text)
        json_object_set_new(event, "text", varlink_string(text));
    subject->tell(subject->userdata, subject, event);
}

/* ---- one instance ---- */

static json_t *addresses_of(const struct endpoint *endpoint)
{
    json_t *array = json_array();
    char text[INET6_ADDRSTRLEN];

    for (size_t i = 0; i < endpoint->address_count && i < MONITOR_ADDRESSES_TOLD; i++) {
        address_to_string(&endpoint->addresses[i], text);
        json_array_append_new(array, json_string(text));
    }
    return array;
}

static json_t *instance_event(const struct monitor_subject *subject, const char *what,
                              const struct endpoint *endpoint)
{
    json_t *event = event_new(subject, what);

    json_object_set_new(event, "instance", varlink_string(endpoint->name));
    json_object_set_new(event, "addresses", addresses_of(endpoint));
    if (*endpoint->target)
        json_object_set_new(event, "target", varlink_string(endpoint->target));
    return event;
}

/* What differs beside the health, in words. */
struct difference {
    char text[256];
    size_t size;
};

static void differ(struct difference *difference, const char *format, ...) _printf_(2, 3);
static void differ(struct difference *difference, const char *format, ...)
{
    char piece[160];
    va_list arguments;
    int size;

    va_start(arguments, format);
    vsnprintf(piece, sizeof(piece), format, arguments);
    va_end(arguments);
    size = snprintf(difference->text + difference->size,
                    sizeof(difference->text) - difference->size, "%s%s",
                    difference->size > 0 ? ", " : "", piece);
    difference->size += (size_t)size;
    if (difference->size >= sizeof(difference->text))
        difference->size = sizeof(difference->text) - 1;
}

static bool same_addresses(const struct endpoint *a, const struct endpoint *b)
{
    if (a->address_count != b->address_count || !streq(a->target, b->target))
        return false;
    for (size_t i = 0; i < a->address_count; i++)
        if (address_compare(&a->addresses[i], &b->addresses[i]) != 0)
            return false;
    return true;
}

static void compare(const struct endpoint *a, const struct endpoint *b,
                    struct difference *difference)
{
    if (!same_addresses(a, b))
        differ(difference, "other addresses");
    if (a->weight != b->weight)
        differ(difference, "weight %u, was %u", b->weight, a->weight);
    if (a->priority != b->priority)
        differ(difference, "priority %u, was %u", (unsigned)b->priority, (unsigned)a->priority);
    if (!streq(a->zone, b->zone))
        differ(difference, "zone %.60s, was %.60s", *b->zone ? b->zone : "none",
               *a->zone ? a->zone : "none");
    if (!endpoint_ports_equal(a, b))
        differ(difference, "other ports");
    if (!endpoint_tags_equal(a, b))
        differ(difference, "other tags");
}

static bool is_changed(const struct endpoint *before, const struct endpoint *now)
{
    struct difference difference = {0};

    compare(before, now, &difference);
    return before->health != now->health || difference.size > 0;
}

static json_t *changed_event(const struct monitor_subject *subject, const struct endpoint *before,
                             const struct endpoint *now)
{
    struct difference difference = {0};
    bool health = before->health != now->health;
    json_t *event;

    compare(before, now, &difference);
    event = instance_event(subject, health ? "health" : "changed", now);
    if (health) {
        json_object_set_new(event, "from", json_string(endpoint_health_to_string(before->health)));
        json_object_set_new(event, "to", json_string(endpoint_health_to_string(now->health)));
    }
    if (difference.size > 0)
        json_object_set_new(event, "text", varlink_string(difference.text));
    return event;
}

static json_t *added_event(const struct monitor_subject *subject, const struct endpoint *endpoint)
{
    json_t *event = instance_event(subject, "added", endpoint);

    json_object_set_new(event, "to", json_string(endpoint_health_to_string(endpoint->health)));
    return event;
}

void monitor_event_vetoed(const struct monitor_subject *subject, const char *instance, bool failing,
                          const char *text)
{
    json_t *event = event_new(subject, failing ? "vetoed" : "admitted");

    json_object_set_new(event, "instance", varlink_string(instance));
    json_object_set_new(event, "text", varlink_string(text));
    subject->tell(subject->userdata, subject, event);
}

/* ---- two sets ---- */

/* A walk through two sets in the order that both have, by name. */
struct walk {
    const struct monitor_subject *subject;
    const struct endpoint_set *before, *now;
    uint32_t i, j; /* next of each */
    unsigned told;
    unsigned untold;
};

static bool walk_more(const struct walk *walk)
{
    return (walk->before && walk->i < walk->before->count) ||
           (walk->now && walk->j < walk->now->count);
}

/* Of two endpoints the one that comes first, or both where they are one instance. */
static void walk_next(struct walk *walk, const struct endpoint **ret_before,
                      const struct endpoint **ret_now)
{
    const struct endpoint *before = NULL, *now = NULL;
    int order = 0;

    if (walk->before && walk->i < walk->before->count)
        before = &walk->before->endpoints[walk->i];
    if (walk->now && walk->j < walk->now->count)
        now = &walk->now->endpoints[walk->j];
    if (before && now)
        order = strcmp(before->name, now->name);
    *ret_before = before && (!now || order <= 0) ? before : NULL;
    *ret_now = now && (!before || order >= 0) ? now : NULL;
    walk->i += *ret_before != NULL;
    walk->j += *ret_now != NULL;
}

static void walk_tell(struct walk *walk, const struct endpoint *before, const struct endpoint *now)
{
    const struct monitor_subject *subject = walk->subject;

    if (before && now && !is_changed(before, now))
        return;
    if (walk->told == MONITOR_INSTANCES_TOLD) {
        walk->untold++;
        return;
    }
    walk->told++;
    subject->tell(subject->userdata, subject,
                  before && now ? changed_event(subject, before, now)
                  : now         ? added_event(subject, now)
                                : instance_event(subject, "removed", before));
}

static void tell_untold(const struct walk *walk)
{
    char text[64];

    if (walk->untold == 0)
        return;
    snprintf(text, sizeof(text), "%u more instances changed", walk->untold);
    monitor_event_word(walk->subject, "more", text);
}

/* Why there is no instance. */
static void tell_nothing(const struct monitor_subject *subject, const struct service_facts *facts)
{
    if (facts->state == FRESHNESS_ABSENT)
        monitor_event_word(subject, "absent", NULL);
    else if (facts->alias)
        monitor_event_word(subject, "alias", facts->alias);
    else if (facts->state == FRESHNESS_EMPTY)
        monitor_event_word(subject, "empty", NULL);
}

void monitor_event_replaced(const struct monitor_subject *subject,
                            const struct service_facts *facts, const struct endpoint_set *before)
{
    struct walk walk = {.subject = subject, .before = before, .now = facts->endpoints};

    while (walk_more(&walk)) {
        const struct endpoint *then, *now;

        walk_next(&walk, &then, &now);
        walk_tell(&walk, then, now);
    }
    tell_untold(&walk);
    if (!facts->endpoints || facts->endpoints->count == 0)
        tell_nothing(subject, facts);
}
