/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The services of a local registry (index.h): two hash tables, services by name and by address. */
#include "daemon/registry/local/index.h"

#include <uthash.h>
#include <utlist.h>

#include "daemon/registry/local/definition.h"

struct local_entry {
    struct local_service *service;
    const char *source;
    uint64_t sequence;
    struct endpoint_set *endpoint;
    struct local_check_list *checks;
    bool clashes; /* is left out for its id, and that was told */
    struct local_entry *prev, *next;
};

struct local_service {
    struct endpoint_set *endpoints; /* as settled; NULL: none */
    struct local_entry *entries;
    size_t count;
    bool touched;
    struct local_service *prev, *next; /* of the touched ones */
    UT_hash_handle hh;
    char name[];
};

struct local_address {
    struct address address;
    struct local_service **services; /* sorted by name */
    size_t count;
    UT_hash_handle hh;
};

struct local_index {
    struct local_service *services;
    struct local_service *touched;
    struct local_address *addresses;
    size_t instances;
    uint64_t sequence;
};

struct local_index *local_index_new(void)
{
    return calloc(1, sizeof(struct local_index));
}

/* ---- addresses ---- */

static struct local_address *address_find(const struct local_index *index,
                                          const struct address *address)
{
    struct address key = {.family = address->family};
    struct local_address *found;

    memcpy(key.bytes, address->bytes, address_size(address));
    HASH_FIND(hh, index->addresses, &key, sizeof(key), found);
    return found;
}

/* Where `service` stands or belongs. */
static size_t address_place(const struct local_address *entry, const struct local_service *service)
{
    size_t low = 0, high = entry->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (strcmp(entry->services[middle]->name, service->name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void address_add(struct local_index *index, const struct address *address,
                        struct local_service *service)
{
    struct local_address *entry = address_find(index, address);
    struct local_service **services;
    size_t place;

    if (!entry) {
        entry = calloc(1, sizeof(*entry));
        if (!entry)
            return; /* a reverse lookup less */
        entry->address.family = address->family;
        memcpy(entry->address.bytes, address->bytes, address_size(address));
        HASH_ADD(hh, index->addresses, address, sizeof(entry->address), entry);
    }
    place = address_place(entry, service);
    if (place < entry->count && entry->services[place] == service)
        return;
    services = reallocarray(entry->services, entry->count + 1, sizeof(struct local_service *));
    if (!services)
        return;
    entry->services = services;
    memmove(services + place + 1, services + place, (entry->count - place) * sizeof(*services));
    services[place] = service;
    entry->count++;
}

static void address_remove(struct local_index *index, const struct address *address,
                           struct local_service *service)
{
    struct local_address *entry = address_find(index, address);
    size_t place = entry ? address_place(entry, service) : 0;

    if (!entry)
        return;
    if (place < entry->count && entry->services[place] == service)
        memmove(entry->services + place, entry->services + place + 1,
                (--entry->count - place) * sizeof(struct local_service *));
    if (entry->count > 0)
        return;
    HASH_DEL(index->addresses, entry);
    free(entry->services);
    free(entry);
}

static void addresses_update(struct local_index *index, struct local_service *service,
                             const struct endpoint_set *set,
                             void (*update)(struct local_index *index,
                                            const struct address *address,
                                            struct local_service *service))
{
    for (uint32_t i = 0; set && i < set->count; i++)
        for (size_t j = 0; j < set->endpoints[i].address_count; j++)
            update(index, &set->endpoints[i].addresses[j], service);
}

const char *local_index_reverse(const struct local_index *index, const struct address *address)
{
    const struct local_address *entry = address_find(index, address);

    return entry && entry->count > 0 ? entry->services[0]->name : NULL;
}

/* ---- instances ---- */

static void service_touch(struct local_index *index, struct local_service *service)
{
    if (service->touched)
        return;
    service->touched = true;
    DL_APPEND(index->touched, service);
}

static struct local_service *service_find(const struct local_index *index, const char *name)
{
    struct local_service *service;

    HASH_FIND_STR(index->services, name, service);
    return service;
}

static struct local_service *service_get(struct local_index *index, const char *name)
{
    struct local_service *service = service_find(index, name);

    if (service)
        return service;
    service = calloc(1, sizeof(*service) + strlen(name) + 1);
    if (!service)
        return NULL;
    strcpy(service->name, name);
    HASH_ADD_STR(index->services, name, service);
    return service;
}

int local_index_add(struct local_index *index, const char *source, const char *service,
                    struct endpoint_set *endpoint, struct local_check_list *checks,
                    struct local_entry **ret_entry)
{
    struct local_entry *entry;

    if (index->instances >= LOCAL_INSTANCES_MAX)
        return -ENOSPC;
    entry = calloc(1, sizeof(*entry));
    if (!entry)
        return -ENOMEM;
    entry->service = service_get(index, service);
    if (!entry->service) {
        free(entry);
        return -ENOMEM;
    }
    entry->source = source;
    entry->sequence = index->sequence++;
    entry->endpoint = endpoint_set_ref(endpoint);
    entry->checks = local_check_list_ref(checks);
    DL_APPEND(entry->service->entries, entry);
    entry->service->count++;
    index->instances++;
    service_touch(index, entry->service);
    *ret_entry = entry;
    return 0;
}

void local_index_replace(struct local_index *index, struct local_entry *entry,
                         struct endpoint_set *endpoint, struct local_check_list *checks)
{
    struct endpoint_set *old_endpoint = entry->endpoint;
    struct local_check_list *old_checks = entry->checks;

    entry->endpoint = endpoint_set_ref(endpoint);
    entry->checks = local_check_list_ref(checks);
    endpoint_set_unref(old_endpoint);
    local_check_list_unref(old_checks);
    service_touch(index, entry->service);
}

void local_index_remove(struct local_index *index, struct local_entry *entry)
{
    service_touch(index, entry->service);
    DL_DELETE(entry->service->entries, entry);
    entry->service->count--;
    index->instances--;
    endpoint_set_unref(entry->endpoint);
    local_check_list_unref(entry->checks);
    free(entry);
}

struct local_entry *local_index_find(struct local_index *index, const char *source,
                                     const char *service, const char *id)
{
    struct local_service *known = service_find(index, service);
    struct local_entry *entry;

    if (!known)
        return NULL;
    DL_FOREACH (known->entries, entry)
        if ((source ? streq(entry->source, source) : *entry->source != '\0') &&
            streq(local_entry_endpoint(entry)->name, id))
            return entry;
    return NULL;
}

size_t local_index_find_id(const struct local_index *index, const char *id,
                           const char **ret_service)
{
    const struct local_service *service;
    const struct local_entry *entry;
    size_t found = 0;

    for (service = index->services; service; service = service->hh.next)
        DL_FOREACH (service->entries, entry)
            if (streq(local_entry_endpoint(entry)->name, id)) {
                *ret_service = service->name;
                found++;
                break;
            }
    return found;
}

const char *local_entry_service(const struct local_entry *entry)
{
    return entry->service->name;
}

const struct endpoint *local_entry_endpoint(const struct local_entry *entry)
{
    return &entry->endpoint->endpoints[0];
}

struct local_check_list *local_entry_checks(const struct local_entry *entry)
{
    return entry->checks;
}

void local_index_touch(struct local_index *index, const char *service)
{
    struct local_service *known = service_find(index, service);

    if (known)
        service_touch(index, known);
}

/* ---- settling ---- */

/* By id; those of one id by source, the empty one last, then in their order. */
static int entry_order(const void *left, const void *right)
{
    const struct local_entry *a = *(struct local_entry *const *)left;
    const struct local_entry *b = *(struct local_entry *const *)right;
    int order = strcmp(local_entry_endpoint(a)->name, local_entry_endpoint(b)->name);

    if (order == 0 && (*a->source == '\0') != (*b->source == '\0'))
        order = *a->source == '\0' ? 1 : -1;
    if (order == 0)
        order = strcmp(a->source, b->source);
    if (order == 0)
        order = a->sequence < b->sequence ? -1 : 1;
    return order;
}

/* Unless its checks take it out. */
static void build_entry(struct endpoint_builder *builder, const struct local_service *service,
                        const struct local_entry *entry, const struct local_index_hooks *hooks)
{
    const struct endpoint *endpoint = local_entry_endpoint(entry);
    enum endpoint_health health = endpoint->health;

    if (!hooks->judge(hooks->userdata, service->name, endpoint->name, !*entry->source,
                      entry->checks, &health))
        return;
    endpoint_builder_copy(builder, endpoint);
    endpoint_builder_health(builder, health);
    endpoint_builder_checks(
        builder, entry->checks || endpoint->checks == CHECKS_SOME ? CHECKS_SOME : CHECKS_NONE);
    if (health == HEALTH_WARNING && entry->checks)
        endpoint_builder_weight(builder, entry->checks->warning_weight);
}

/* The endpoints of a service's instances, one an id. */
static int service_build(struct local_service *service, const struct local_index_hooks *hooks,
                         struct endpoint_set **ret_set)
{
    _cleanup_(freep) struct local_entry **list = calloc(service->count, sizeof(*list));
    _cleanup_(endpoint_builder_freep) struct endpoint_builder *builder = endpoint_builder_new();
    const struct local_entry *entry, *last = NULL;
    size_t count = 0;

    if (!list || !builder)
        return -ENOMEM;
    DL_FOREACH (service->entries, entry)
        list[count++] = (struct local_entry *)entry;
    qsort(list, count, sizeof(struct local_entry *), entry_order);
    for (size_t i = 0; i < count; i++) {
        const char *id = local_entry_endpoint(list[i])->name;
        bool told = list[i]->clashes;

        list[i]->clashes = last && streq(local_entry_endpoint(last)->name, id);
        if (list[i]->clashes && !told)
            hooks->clash(hooks->userdata, service->name, id, last->source, list[i]->source);
        if (list[i]->clashes)
            continue;
        last = list[i];
        build_entry(builder, service, last, hooks);
    }
    hooks->judged(hooks->userdata, service->name);
    return endpoint_builder_finish(builder, ret_set);
}

static void service_settle(struct local_index *index, struct local_service *service,
                           const struct local_index_hooks *hooks)
{
    struct endpoint_set *before = service->endpoints, *after = NULL;

    /* Out of memory: what was known stays. */
    if (service->count > 0 && service_build(service, hooks, &after) < 0)
        return;
    if (service->count == 0)
        hooks->judged(hooks->userdata, service->name);
    if (endpoint_set_equal(before, after)) {
        endpoint_set_unref(after);
    } else {
        addresses_update(index, service, before, address_remove);
        addresses_update(index, service, after, address_add);
        service->endpoints = after;
        hooks->changed(hooks->userdata, service->name, before, after);
        endpoint_set_unref(before);
    }
    if (service->count == 0) {
        HASH_DEL(index->services, service);
        free(service);
    }
}

void local_index_settle(struct local_index *index, const char *service,
                        const struct local_index_hooks *hooks)
{
    struct local_service *touched, *next;

    DL_FOREACH_SAFE (index->touched, touched, next) {
        if (service && !streq(touched->name, service))
            continue;
        DL_DELETE(index->touched, touched);
        touched->touched = false;
        service_settle(index, touched, hooks);
    }
}

/* ---- reading ---- */

struct endpoint_set *local_index_endpoints(const struct local_index *index, const char *service)
{
    const struct local_service *known = service_find(index, service);

    return known ? known->endpoints : NULL;
}

size_t local_index_services(const struct local_index *index)
{
    return HASH_COUNT(index->services);
}

size_t local_index_instances(const struct local_index *index)
{
    return index->instances;
}

struct local_index *local_index_free(struct local_index *index)
{
    struct local_service *service, *next_service;
    struct local_address *address, *next_address;

    if (!index)
        return NULL;
    HASH_ITER (hh, index->services, service, next_service) {
        while (service->entries)
            local_index_remove(index, service->entries);
        HASH_DEL(index->services, service);
        endpoint_set_unref(service->endpoints);
        free(service);
    }
    HASH_ITER (hh, index->addresses, address, next_address) {
        HASH_DEL(index->addresses, address);
        free(address->services);
        free(address);
    }
    free(index);
    return NULL;
}
