/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/endpoint.h"

const char *endpoint_health_to_string(enum endpoint_health health)
{
    static const char *const words[] = {
        [HEALTH_PASSING] = "passing",         [HEALTH_WARNING] = "warning",
        [HEALTH_TERMINATING] = "terminating", [HEALTH_UNKNOWN] = "unknown",
        [HEALTH_CRITICAL] = "critical",       [HEALTH_MAINTENANCE] = "maintenance",
    };

    return (size_t)health < ELEMENTS(words) ? words[health] : "unknown";
}

struct endpoint_set *endpoint_set_ref(struct endpoint_set *set)
{
    if (set)
        set->references++;
    return set;
}

struct endpoint_set *endpoint_set_unref(struct endpoint_set *set)
{
    if (set && --set->references == 0)
        free(set);
    return NULL;
}

bool endpoint_tags_equal(const struct endpoint *a, const struct endpoint *b)
{
    if (a->tag_count != b->tag_count)
        return false;
    for (size_t i = 0; i < a->tag_count; i++)
        if (!streq(a->tags[i], b->tags[i]))
            return false;
    return true;
}

bool endpoint_ports_equal(const struct endpoint *a, const struct endpoint *b)
{
    if (a->port_count != b->port_count)
        return false;
    for (size_t i = 0; i < a->port_count; i++)
        if (a->ports[i].number != b->ports[i].number ||
            !streq(a->ports[i].name, b->ports[i].name) ||
            !streq(a->ports[i].protocol, b->ports[i].protocol))
            return false;
    return true;
}

int endpoint_addresses_compare(const struct endpoint *a, const struct endpoint *b)
{
    for (size_t i = 0; i < a->address_count && i < b->address_count; i++) {
        int order = address_compare(&a->addresses[i], &b->addresses[i]);

        if (order != 0)
            return order;
    }
    return (int)a->address_count - (int)b->address_count;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    return a->priority == b->priority && a->weight == b->weight && a->health == b->health &&
           a->checks == b->checks && endpoint_addresses_compare(a, b) == 0 &&
           streq(a->name, b->name) && streq(a->node, b->node) && streq(a->hostname, b->hostname) &&
           streq(a->target, b->target) && streq(a->zone, b->zone) && streq(a->region, b->region) &&
           endpoint_tags_equal(a, b) && endpoint_ports_equal(a, b);
}

bool endpoint_set_equal(const struct endpoint_set *a, const struct endpoint_set *b)
{
    if (a == b)
        return true;
    if (!a || !b || a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!endpoint_equal(&a->endpoints[i], &b->endpoints[i]))
            return false;
    return true;
}
