/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/instances.h"

#include <arpa/inet.h>

enum { PORTS_TOLD = 8 };

struct instances {
    struct instances_parts parts;
    char **names;
    size_t count, capacity;
    /* Where the next piece begins. */
    size_t name;
    uint32_t endpoint; /* of its service */
    size_t item;       /* of its evaluation */
    bool has_hosts;    /* some endpoint is a host name */
};

static void add_name(void *userdata, const char *name)
{
    struct instances *instances = userdata;

    if (instances->count < instances->capacity)
        instances->names[instances->count] = strdup(name);
    if (instances->count < instances->capacity && instances->names[instances->count])
        instances->count++;
}

struct instances *instances_new(const struct instances_parts *parts)
{
    struct instances *instances = calloc(1, sizeof(*instances));

    if (!instances)
        return NULL;
    instances->parts = *parts;
    instances->capacity = resolver_names(parts->resolver);
    instances->names = calloc(instances->capacity + 1, sizeof(*instances->names));
    if (!instances->names)
        return instances_free(instances);
    resolver_each(parts->resolver, add_name, instances);
    return instances;
}

struct instances *instances_free(struct instances *instances)
{
    if (!instances)
        return NULL;
    for (size_t i = 0; i < instances->count; i++)
        free(instances->names[i]);
    free(instances->names);
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
    struct registries *registries = instances->parts.registries;
    struct registry_target target = {0};
    struct resolver_owner owner;
    struct service_facts facts;
    struct service *service;

    if (!registries_owner(registries, name, &owner) ||
        registries_meaning(registries, &owner, name, &target) != REGISTRY_TARGET)
        return true;
    service = store_find(instances->parts.store, owner.registry, target.key);
    if (!service)
        return true;
    service_facts(service, now, &facts);
    if (target.selector.kind == SELECT_ALL &&
        !add_endpoints(instances, name, facts.endpoints, array))
        return false;
    if (target.selector.kind == SELECT_ALL && !facts.alias && !instances->has_hosts)
        return true;
    return add_items(instances, name, now, array);
}

json_t *instances_next(struct instances *instances, usec_t now, bool *ret_last)
{
    json_t *array = json_array();

    while (instances->name < instances->count &&
           add_of_name(instances, instances->names[instances->name], now, array)) {
        instances->name++;
        instances->endpoint = 0;
        instances->item = 0;
        instances->has_hosts = false;
    }
    *ret_last = instances->name == instances->count;
    return json_pack("{s:o}", "instances", array);
}
