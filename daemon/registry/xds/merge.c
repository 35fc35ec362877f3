/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/merge.h"

#include <stdio.h>

enum { SHARE_SCALE = 1000 * 1000 };

static int finish(struct endpoint_builder *builder, struct endpoint_set **ret_set)
{
    int r = endpoint_builder_finish(builder, ret_set);

    endpoint_builder_free(builder);
    return r;
}

/* ---- traffic split ---- */

static bool is_ready(const struct endpoint *endpoint)
{
    return endpoint->health == HEALTH_PASSING || endpoint->health == HEALTH_WARNING;
}

/* The weight of what is ready at one priority, or else of all there. */
struct sum {
    double ready, all;
};

/* By priority: those of one are in use at a time, and share the weight of the part. */
static struct sum *sums_of(const struct endpoint_set *set)
{
    uint16_t highest = 0;
    struct sum *sums;

    for (uint32_t i = 0; i < set->count; i++)
        if (set->endpoints[i].priority > highest)
            highest = set->endpoints[i].priority;
    sums = calloc((size_t)highest + 1, sizeof(*sums));
    for (uint32_t i = 0; sums && i < set->count; i++) {
        const struct endpoint *endpoint = &set->endpoints[i];

        sums[endpoint->priority].all += endpoint->weight;
        sums[endpoint->priority].ready += is_ready(endpoint) ? endpoint->weight : 0;
    }
    return sums;
}

static double share_of(const struct endpoint *endpoint, const struct sum *sums)
{
    const struct sum *sum = &sums[endpoint->priority];

    return endpoint->weight / (sum->ready > 0 ? sum->ready : sum->all > 0 ? sum->all : 1);
}

static int add_part(struct endpoint_builder *builder, const struct xds_part *part, double total)
{
    struct sum *sums = sums_of(part->endpoints);

    if (!sums)
        return -ENOMEM;
    for (uint32_t i = 0; i < part->endpoints->count; i++) {
        const struct endpoint *endpoint = &part->endpoints->endpoints[i];
        double share = part->weight / total * share_of(endpoint, sums) * SHARE_SCALE;

        endpoint_builder_copy(builder, endpoint);
        endpoint_builder_weight(builder, share >= SHARE_SCALE ? SHARE_SCALE
                                         : share < 1          ? 1
                                                              : (uint32_t)share);
    }
    free(sums);
    return 0;
}

int xds_merge_weighted(const struct xds_part *parts, size_t count, struct endpoint_set **ret_set,
                       unsigned *left_out)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    double total = 0;
    int r = 0;

    (void)left_out;
    if (!builder)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        total += parts[i].weight;
    for (size_t i = 0; i < count && r == 0; i++)
        r = add_part(builder, &parts[i], total > 0 ? total : 1);
    if (r == 0)
        return finish(builder, ret_set);
    endpoint_builder_free(builder);
    return r;
}

/* ---- failover ---- */

int xds_merge_priorities(const struct xds_part *parts, size_t count, struct endpoint_set **ret_set,
                         unsigned *left_out)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    uint16_t first = 0;

    (void)left_out;
    if (!builder)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct endpoint_set *set = parts[i].endpoints;
        uint16_t next = first;

        for (uint32_t j = 0; j < set->count; j++) {
            uint16_t priority = (uint16_t)(first + set->endpoints[j].priority);

            endpoint_builder_copy(builder, &set->endpoints[j]);
            endpoint_builder_priority(builder, priority);
            if (priority >= next)
                next = (uint16_t)(priority + 1);
        }
        first = next;
    }
    return finish(builder, ret_set);
}

/* ---- ports ---- */

static int compare(const struct endpoint *a, const struct endpoint *b)
{
    if (a->address_count > 0 && b->address_count > 0)
        return address_compare(&a->addresses[0], &b->addresses[0]);
    if (a->address_count != b->address_count)
        return a->address_count > 0 ? 1 : -1;
    return strcmp(a->target, b->target);
}

static int compare_pointers(const void *a, const void *b)
{
    const struct endpoint *const *one = a, *const *two = b;
    int order = compare(*one, *two);

    return order != 0 ? order : (int)(*one)->health - (int)(*two)->health;
}

static bool same_port(const struct endpoint_port *a, const struct endpoint_port *b)
{
    return a->number == b->number && streq(a->protocol, b->protocol) && streq(a->name, b->name);
}

/* Each once: several ports of a host may lead to one of the endpoint. */
static void add_ports(struct endpoint_builder *builder, const struct endpoint **first,
                      const struct endpoint **end, unsigned *left_out)
{
    const struct endpoint_port *added[ENDPOINT_PORTS_MAX];
    size_t count = 0;

    for (; first < end; first++)
        for (uint16_t i = 0; i < (*first)->port_count; i++) {
            const struct endpoint_port *port = &(*first)->ports[i];
            size_t at = 0;

            while (at < count && !same_port(added[at], port))
                at++;
            if (at == ENDPOINT_PORTS_MAX)
                ++*left_out;
            if (at < count || at == ENDPOINT_PORTS_MAX)
                continue;
            added[count++] = port;
            endpoint_builder_port(builder, port->name, port->protocol, port->number);
        }
}

/* `first` is the healthiest of the copies up to `end`. */
static void add_group(struct endpoint_builder *builder, const struct endpoint **first,
                      const struct endpoint **end, unsigned *left_out)
{
    const struct endpoint *best = *first;
    char name[ENDPOINT_STRING_MAX + INET6_ADDRSTRLEN];

    if (end - first == 1) {
        endpoint_builder_copy(builder, best);
        return;
    }
    if (best->address_count > 0)
        address_to_string(&best->addresses[0], name);
    else
        snprintf(name, sizeof(name), "%s", best->target);
    endpoint_builder_begin(builder, name);
    endpoint_builder_hostname(builder, best->hostname);
    endpoint_builder_target(builder, best->target);
    endpoint_builder_locality(builder, best->zone, best->region);
    endpoint_builder_health(builder, best->health);
    endpoint_builder_priority(builder, best->priority);
    endpoint_builder_weight(builder, best->weight);
    for (uint16_t i = 0; i < best->address_count; i++)
        endpoint_builder_address(builder, &best->addresses[i]);
    add_ports(builder, first, end, left_out);
}

int xds_merge_ports(const struct xds_part *parts, size_t count, struct endpoint_set **ret_set,
                    unsigned *left_out)
{
    struct endpoint_builder *builder;
    const struct endpoint **list, **first, **end;
    size_t total = 0, at = 0;

    for (size_t i = 0; i < count; i++)
        total += parts[i].endpoints->count;
    list = calloc(total + 1, sizeof(*list));
    builder = endpoint_builder_new();
    if (!list || !builder) {
        free(list);
        endpoint_builder_free(builder);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < parts[i].endpoints->count; j++)
            list[at++] = &parts[i].endpoints->endpoints[j];
    qsort(list, total, sizeof(*list), compare_pointers);
    for (first = list; first < list + total; first = end) {
        for (end = first + 1; end < list + total && compare(*first, *end) == 0;)
            end++;
        add_group(builder, first, end, left_out);
    }
    free(list);
    return finish(builder, ret_set);
}
