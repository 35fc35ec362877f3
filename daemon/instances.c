/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/instances.h"

#include <arpa/inet.h>

enum { PORTS_TOLD = 8 };

struct instances {
    struct instances_parts parts;
    struct names_walk walk;
    /* Where the next piece begins, of the name at which the walk is. */
    uint32_t endpoint; /* of its service */
    size_t item;       /* of its evaluation */
    bool has_hosts;    /* some endpoint is a host name */
};

struct instances *instances_new(const struct instances_parts *parts)
{
    struct instances *instances = calloc(1, sizeof(*instances));

    if (!instances)
        return NULL;
    instances->parts = *parts;
    return names_walk_init(&instances->walk, parts->resolver) < 0 ? instances_free(instances)
                                                                  : instances;
}

struct instances *instances_free(struct instances *instances)
{
    if (!instances)
        return NULL;
    names_walk_done(&instances->walk);
    free(instances);
    return NULL;
}

static void add_address(json_t *array, const char *name, const struct address *address,
                        const struct endpoint *endpoint)
{
    json_t *ports = json_array();
    char text[INET6_ADDRSTRLEN];

    for (size_t i = 0; endpoint && i < endpoint->port_count && i < PORTS_TOLD; i++)
        json_array_append_new(ports, json_integer(endpoint->ports[i].number));
    address_to_string(address, text);
    json_array_append_new(
        array, json_pack("{s:s, s:s, s:o}", "address", text, "name", name, "ports", ports));
}

static bool is_full(const json_t *array)
{
    return json_array_size(array) >= INSTANCES_PIECE;
}

/* What the registry told of the service of a name that picks none of it out. False: there is more.
 */
static bool add_endpoints(struct instances *instances, const char *name,
                          const struct endpoint_set *set, json_t *array)
{
    for (; set && instances->endpoint < set->count; instances->endpoint++) {
        const struct endpoint *endpoint = &set->endpoints[instances->endpoint];

        if (is_full(array))
            return false;
        instances->has_hosts |= endpoint->address_count == 0;
        for (size_t i = 0; i < endpoint->address_count; i++)
            add_address(array, name, &endpoint->addresses[i], endpoint);
    }
    return true;
}

/* What lookups of the name get: where it picks, or the registry told host names. */
static bool add_items(struct instances *instances, const char *name, usec_t now, json_t *array)
{
    const struct evaluation *evaluation = resolver_find(instances->parts.resolver, name, now);

    for (; evaluation && instances->item < evaluation->count; instances->item++) {
        if (is_full(array))
            return false;
        add_address(array, name, &evaluation->items[instances->item].address, NULL);
    }
    return true;
}

/* False: the piece is full before the end of the name. */
static bool add_of_name(struct instances *instances, const char *name, usec_t now, json_t *array)
{
    const struct names_walk_source source = {instances->parts.store, instances->parts.registries,
                                             instances->parts.resolver, &instances->parts.asker};
    struct names_walk_service service;
    bool all;

    if (!names_walk_service(&source, name, now, &service))
        return true;
    all = service.target.selector.kind == SELECT_ALL;
    if (all && !add_endpoints(instances, name, service.facts.endpoints, array))
        return false;
    if (all && !service.facts.alias && !instances->has_hosts)
        return true;
    return add_items(instances, name, now, array);
}

json_t *instances_next(struct instances *instances, usec_t now, bool *ret_last)
{
    json_t *array = json_array();
    const char *name;

    while ((name = names_walk_name(&instances->walk)) && add_of_name(instances, name, now, array)) {
        instances->walk.at++;
        instances->endpoint = 0;
        instances->item = 0;
        instances->has_hosts = false;
    }
    *ret_last = !name;
    return json_pack("{s:o}", "instances", array);
}
