/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/kubernetes/cluster.h"

#include <stdio.h>
#include <utlist.h>

#include "daemon/registry/kubernetes/names.h"
#include "daemon/registry/kubernetes/stream.h"

enum { ID_SIZE = KUBERNETES_NAME_MAX + 1 + KUBERNETES_OBJECT_MAX + 1 };

static void id_make(char id[static ID_SIZE], const char *namespace, const char *name)
{
    snprintf(id, ID_SIZE, "%s/%s", namespace, name);
}

/* Is what came what is held, or an older state of it? */
static bool is_no_news(const char *version, const char *uid, const char *held_version,
                       const char *held_uid, enum kubernetes_take take)
{
    if (take == KUBERNETES_TAKE_ANY)
        return false;
    return (*version && streq(version, held_version) && streq(uid, held_uid)) ||
           (take == KUBERNETES_TAKE_NEWER && kubernetes_version_before(version, held_version));
}

static void changed(struct kubernetes_cluster *cluster, const struct kubernetes_entry *entry)
{
    char namespace[KUBERNETES_NAME_MAX + 1];
    size_t size = strcspn(entry->id, "/");

    memcpy(namespace, entry->id, size);
    namespace[size] = '\0';
    cluster->changed(cluster->owner, namespace, entry->id + size + 1);
}

/* ---- addresses that lead back ---- */

static struct kubernetes_place **place_table(struct kubernetes_cluster *cluster,
                                             const struct address *address)
{
    unsigned sum = 0;

    for (size_t i = 0; i < sizeof(address->bytes); i++)
        sum = sum * 31 + address->bytes[i];
    return &cluster->places[sum % KUBERNETES_PLACE_TABLES];
}

static void place_add(struct kubernetes_cluster *cluster, struct kubernetes_place *place,
                      const struct address *address, const struct kubernetes_entry *entry,
                      const struct kubernetes_endpoint *endpoint)
{
    *place = (struct kubernetes_place){.address = *address, .entry = entry, .endpoint = endpoint};
    HASH_ADD(hh, *place_table(cluster, address), address, sizeof(place->address), place);
}

static struct kubernetes_place *places_free(struct kubernetes_cluster *cluster,
                                            struct kubernetes_place *places, size_t count)
{
    for (size_t i = 0; i < count; i++)
        HASH_DEL(*place_table(cluster, &places[i].address), &places[i]);
    free(places);
    return NULL;
}

/* Without memory for it an address leads nowhere; nothing else suffers. */
static void places_of_slice(struct kubernetes_cluster *cluster, struct kubernetes_held_slice *held)
{
    const struct kubernetes_slice *slice = held->slice;

    held->places = calloc(slice->endpoint_count + 1, sizeof(*held->places));
    for (size_t i = 0; held->places && i < slice->endpoint_count; i++)
        if (slice->endpoints[i].ready)
            place_add(cluster, &held->places[held->place_count++], &slice->endpoints[i].address,
                      held->entry, &slice->endpoints[i]);
}

static void places_of_service(struct kubernetes_cluster *cluster, struct kubernetes_entry *entry)
{
    const struct kubernetes_service *service = entry->service;

    entry->vips = service->vip_count > 0 ? calloc(service->vip_count, sizeof(*entry->vips)) : NULL;
    for (size_t i = 0; entry->vips && i < service->vip_count; i++)
        place_add(cluster, &entry->vips[i], &service->vips[i], entry, NULL);
}

/* Do services that share an address always have the same name first, whichever came first? */
static bool place_before(const struct kubernetes_place *a, const struct kubernetes_place *b)
{
    int order = strcmp(a->entry->id, b->entry->id);

    if (order != 0 || !a->endpoint || !b->endpoint)
        return order < 0;
    return strcmp(a->endpoint->hostname, b->endpoint->hostname) < 0;
}

static const struct kubernetes_place *place_find(const struct kubernetes_cluster *cluster,
                                                 const struct address *key)
{
    struct kubernetes_place *table = *place_table((struct kubernetes_cluster *)cluster, key);
    const struct kubernetes_place *place, *other;
    const UT_hash_handle *next;

    HASH_FIND(hh, table, key, sizeof(*key), place);
    /* Copies of a key share a chain. */
    for (next = place ? place->hh.hh_next : NULL; next; next = next->hh_next) {
        other = ELMT_FROM_HH(table->hh.tbl, next);
        if (memcmp(&other->address, key, sizeof(*key)) == 0 && place_before(other, place))
            place = other;
    }
    return place;
}

int kubernetes_cluster_reverse(const struct kubernetes_cluster *cluster,
                               const struct address *address, char ret_name[static NAME_SIZE])
{
    char label[NAME_LABEL_MAX + 1];
    const struct kubernetes_place *place;
    struct address key = {.family = address->family};
    const char *service;
    int used, namespace;

    memcpy(key.bytes, address->bytes, address_size(address));
    place = place_find(cluster, &key);
    if (!place)
        return -ENOENT;
    namespace = (int)strcspn(place->entry->id, "/");
    service = place->entry->id + namespace + 1;
    if (!place->endpoint)
        label[0] = '\0';
    else if (*place->endpoint->hostname)
        strcpy(label, place->endpoint->hostname);
    else
        kubernetes_dashed_address(address, label);
    used = snprintf(ret_name, NAME_SIZE, "%s%s%s.%.*s.svc", label, *label ? "." : "", service,
                    namespace, place->entry->id);
    return used > 0 && used < NAME_SIZE ? 0 : -ENOENT;
}

/* ---- namespaces ---- */

static struct kubernetes_namespace *namespace_find(const struct kubernetes_cluster *cluster,
                                                   const char *name)
{
    struct kubernetes_namespace *namespace;

    HASH_FIND_STR(cluster->namespaces, name, namespace);
    return namespace;
}

/* NULL: no memory, or too many. */
static struct kubernetes_namespace *namespace_get(struct kubernetes_cluster *cluster,
                                                  const char *name)
{
    struct kubernetes_namespace *namespace = namespace_find(cluster, name);

    if (namespace)
        return namespace;
    if (HASH_COUNT(cluster->namespaces) < KUBERNETES_SERVICES_MAX)
    namespace = calloc(1, sizeof(*namespace) + strlen(name) + 1);
    if (!namespace) {
        cluster->overflow = true;
        return NULL;
    }
    strcpy(namespace->name, name);
    HASH_ADD_STR(cluster->namespaces, name, namespace);
    cluster->changed(cluster->owner, name, "");
    return namespace;
}

/* Is it still one? */
static void namespace_settle(struct kubernetes_cluster *cluster,
                             struct kubernetes_namespace *namespace)
{
    if (namespace->listed || namespace->entries > 0)
        return;
    HASH_DEL(cluster->namespaces, namespace);
    cluster->changed(cluster->owner, namespace->name, "");
    free(namespace);
}

static void namespace_unlist(struct kubernetes_cluster *cluster,
                             struct kubernetes_namespace *namespace)
{
    namespace->listed = false;
    namespace_settle(cluster, namespace);
}

void kubernetes_cluster_put_namespace(struct kubernetes_cluster *cluster, const char *name)
{
    struct kubernetes_namespace *namespace = namespace_get(cluster, name);

    if (!namespace)
        return;
    namespace->listed = true;
    namespace->seen = ++cluster->clock;
}

void kubernetes_cluster_remove_namespace(struct kubernetes_cluster *cluster, const char *name)
{
    struct kubernetes_namespace *namespace = namespace_find(cluster, name);

    if (namespace)
        namespace_unlist(cluster, namespace);
}

bool kubernetes_cluster_has_namespace(const struct kubernetes_cluster *cluster, const char *name)
{
    return namespace_find(cluster, name) != NULL;
}

/* ---- entries ---- */

struct kubernetes_entry *kubernetes_cluster_find(const struct kubernetes_cluster *cluster,
                                                 const char *namespace, const char *name)
{
    struct kubernetes_entry *entry;
    char id[ID_SIZE];

    id_make(id, namespace, name);
    HASH_FIND_STR(cluster->entries, id, entry);
    return entry;
}

static struct kubernetes_entry *entry_get(struct kubernetes_cluster *cluster, const char *namespace,
                                          const char *name)
{
    struct kubernetes_entry *entry = kubernetes_cluster_find(cluster, namespace, name);
    struct kubernetes_namespace *of;
    char id[ID_SIZE];

    if (entry)
        return entry;
    of = namespace_get(cluster, namespace);
    if (!of)
        return NULL;
    id_make(id, namespace, name);
    if (HASH_COUNT(cluster->entries) < KUBERNETES_SERVICES_MAX)
        entry = calloc(1, sizeof(*entry) + strlen(id) + 1);
    if (!entry) {
        cluster->overflow = true;
        namespace_settle(cluster, of);
        return NULL;
    }
    entry->namespace = of;
    of->entries++;
    strcpy(entry->id, id);
    HASH_ADD_STR(cluster->entries, id, entry);
    return entry;
}

static void service_clear(struct kubernetes_cluster *cluster, struct kubernetes_entry *entry)
{
    if (!entry->service)
        return;
    entry->vips = places_free(cluster, entry->vips, entry->vips ? entry->service->vip_count : 0);
    entry->service = kubernetes_service_free(entry->service);
    cluster->service_count--;
}

/* Says that it changed; frees it if there is nothing left of it. */
static void entry_settle(struct kubernetes_cluster *cluster, struct kubernetes_entry *entry)
{
    if (entry->service || entry->slices) {
        changed(cluster, entry);
        return;
    }
    HASH_DEL(cluster->entries, entry);
    changed(cluster, entry);
    entry->namespace->entries--;
    namespace_settle(cluster, entry->namespace);
    free(entry);
}

/* ---- services ---- */

static void vips_sift(struct kubernetes_cluster *cluster, struct address *addresses, size_t *count)
{
    size_t kept = 0;

    for (size_t i = 0; i < *count; i++) {
        if (registry_address_refusal(cluster->config, false, &addresses[i]))
            cluster->refused++;
        else
            addresses[kept++] = addresses[i];
    }
    *count = kept;
}

void kubernetes_cluster_put_service(struct kubernetes_cluster *cluster,
                                    struct kubernetes_service *service, enum kubernetes_take take)
{
    struct kubernetes_entry *entry = entry_get(cluster, service->namespace, service->name);

    if (!entry) {
        kubernetes_service_free(service);
        return;
    }
    entry->service_seen = ++cluster->clock;
    if (entry->service && is_no_news(service->version, service->uid, entry->service->version,
                                     entry->service->uid, take)) {
        kubernetes_service_free(service);
        return;
    }
    vips_sift(cluster, service->vips, &service->vip_count);
    vips_sift(cluster, service->ingress_addresses, &service->ingress_address_count);
    service_clear(cluster, entry);
    entry->service = service;
    cluster->service_count++;
    places_of_service(cluster, entry);
    changed(cluster, entry);
}

static void service_drop(struct kubernetes_cluster *cluster, struct kubernetes_entry *entry)
{
    service_clear(cluster, entry);
    entry_settle(cluster, entry);
}

void kubernetes_cluster_remove_service(struct kubernetes_cluster *cluster, const char *namespace,
                                       const char *name)
{
    struct kubernetes_entry *entry = kubernetes_cluster_find(cluster, namespace, name);

    if (entry && entry->service)
        service_drop(cluster, entry);
}

/* ---- slices ---- */

static struct kubernetes_held_slice *held_find(const struct kubernetes_cluster *cluster,
                                               const char *namespace, const char *name)
{
    struct kubernetes_held_slice *held;
    char id[ID_SIZE];

    id_make(id, namespace, name);
    HASH_FIND_STR(cluster->slices, id, held);
    return held;
}

/* Out of everything; its entry may be left with nothing. */
static struct kubernetes_entry *held_free(struct kubernetes_cluster *cluster,
                                          struct kubernetes_held_slice *held)
{
    struct kubernetes_entry *entry = held->entry;

    places_free(cluster, held->places, held->place_count);
    cluster->endpoint_count -= held->slice->endpoint_count;
    HASH_DEL(cluster->slices, held);
    DL_DELETE(entry->slices, held);
    entry->slice_count--;
    kubernetes_slice_free(held->slice);
    free(held);
    return entry;
}

static void endpoints_sift(struct kubernetes_cluster *cluster, struct kubernetes_slice *slice)
{
    size_t kept = 0;

    for (size_t i = 0; i < slice->endpoint_count; i++) {
        struct kubernetes_endpoint *endpoint = &slice->endpoints[i], refused = *endpoint;

        if (!registry_address_refusal(cluster->config, false, &endpoint->address)) {
            if (kept < i) { /* the refused one stays behind, to be freed with the rest */
                *endpoint = slice->endpoints[kept];
                slice->endpoints[kept] = refused;
            }
            kept++;
            continue;
        }
        cluster->refused++;
    }
    kubernetes_slice_shorten(slice, kept);
}

static struct kubernetes_held_slice *held_new(struct kubernetes_cluster *cluster,
                                              struct kubernetes_entry *entry, const char *id)
{
    struct kubernetes_held_slice *held = NULL;

    if (entry->slice_count < KUBERNETES_SERVICE_SLICES_MAX &&
        HASH_COUNT(cluster->slices) < KUBERNETES_SLICES_MAX)
        held = calloc(1, sizeof(*held) + strlen(id) + 1);
    if (!held) {
        cluster->overflow = true;
        return NULL;
    }
    strcpy(held->id, id);
    held->entry = entry;
    HASH_ADD_STR(cluster->slices, id, held);
    DL_APPEND(entry->slices, held);
    entry->slice_count++;
    return held;
}

/* In the place of what was held under its name. */
static void slice_take(struct kubernetes_cluster *cluster, struct kubernetes_entry *entry,
                       struct kubernetes_held_slice *held, struct kubernetes_slice *slice)
{
    char id[ID_SIZE];

    id_make(id, slice->namespace, slice->name);
    if (!held)
        held = held_new(cluster, entry, id);
    if (!held) {
        kubernetes_slice_free(slice);
        entry_settle(cluster, entry);
        return;
    }
    places_free(cluster, held->places, held->place_count);
    held->place_count = 0;
    if (held->slice)
        cluster->endpoint_count -= held->slice->endpoint_count;
    kubernetes_slice_free(held->slice);
    held->slice = slice;
    held->seen = cluster->clock;
    cluster->endpoint_count += slice->endpoint_count;
    places_of_slice(cluster, held);
    changed(cluster, entry);
}

void kubernetes_cluster_put_slice(struct kubernetes_cluster *cluster,
                                  struct kubernetes_slice *slice, enum kubernetes_take take)
{
    struct kubernetes_held_slice *held = held_find(cluster, slice->namespace, slice->name);
    struct kubernetes_entry *entry;

    cluster->clock++;
    if (held)
        held->seen = cluster->clock;
    if (held &&
        is_no_news(slice->version, slice->uid, held->slice->version, held->slice->uid, take)) {
        kubernetes_slice_free(slice);
        return;
    }
    if (held && !streq(held->slice->service, slice->service)) {
        entry_settle(cluster, held_free(cluster, held));
        held = NULL;
    }
    entry = entry_get(cluster, slice->namespace, slice->service);
    if (!entry) {
        kubernetes_slice_free(slice);
        return;
    }
    endpoints_sift(cluster, slice);
    slice_take(cluster, entry, held, slice);
}

const struct kubernetes_slice *kubernetes_cluster_slice(const struct kubernetes_cluster *cluster,
                                                        const char *namespace, const char *name)
{
    const struct kubernetes_held_slice *held = held_find(cluster, namespace, name);

    return held ? held->slice : NULL;
}

void kubernetes_cluster_remove_slice(struct kubernetes_cluster *cluster, const char *namespace,
                                     const char *name)
{
    struct kubernetes_held_slice *held = held_find(cluster, namespace, name);

    if (held)
        entry_settle(cluster, held_free(cluster, held));
}

void kubernetes_cluster_forget(struct kubernetes_cluster *cluster,
                               enum kubernetes_resource resource, const char *namespace,
                               const char *name)
{
    struct kubernetes_held_slice *held, *next;
    struct kubernetes_entry *entry;

    switch (resource) {
    case KUBERNETES_SERVICES:
        kubernetes_cluster_remove_service(cluster, namespace, name);
        break;
    case KUBERNETES_SLICES:
        entry = kubernetes_cluster_find(cluster, namespace, name);
        if (!entry || !entry->slices)
            break;
        DL_FOREACH_SAFE (entry->slices, held, next)
            held_free(cluster, held);
        entry_settle(cluster, entry);
        break;
    default:
        kubernetes_cluster_remove_namespace(cluster, name);
        break;
    }
}

/* ---- many at once ---- */

static size_t sweep_services(struct kubernetes_cluster *cluster, uint64_t before,
                             bool (*covers)(void *, const char *, const char *), void *owner,
                             size_t *ret_removed)
{
    struct kubernetes_entry *entry, *next;
    size_t left = 0;

    HASH_ITER (hh, cluster->entries, entry, next) {
        if (!entry->service || !covers(owner, entry->service->namespace, entry->service->name))
            continue;
        if (entry->service_seen >= before) {
            left++;
        } else {
            ++*ret_removed;
            service_drop(cluster, entry);
        }
    }
    return left;
}

static size_t sweep_slices(struct kubernetes_cluster *cluster, uint64_t before,
                           bool (*covers)(void *, const char *, const char *), void *owner,
                           size_t *ret_removed)
{
    struct kubernetes_held_slice *held, *next;
    size_t left = 0;

    HASH_ITER (hh, cluster->slices, held, next) {
        if (!covers(owner, held->slice->namespace, held->slice->service))
            continue;
        if (held->seen >= before) {
            left++;
        } else {
            ++*ret_removed;
            entry_settle(cluster, held_free(cluster, held));
        }
    }
    return left;
}

static size_t sweep_namespaces(struct kubernetes_cluster *cluster, uint64_t before,
                               bool (*covers)(void *, const char *, const char *), void *owner,
                               size_t *ret_removed)
{
    struct kubernetes_namespace *namespace, *next;
    size_t left = 0;

    HASH_ITER (hh, cluster->namespaces, namespace, next) {
        if (!namespace->listed || !covers(owner, "", namespace->name))
            continue;
        if (namespace->seen >= before) {
            left++;
        } else {
            ++*ret_removed;
            namespace_unlist(cluster, namespace);
        }
    }
    return left;
}

size_t kubernetes_cluster_sweep(struct kubernetes_cluster *cluster,
                                enum kubernetes_resource resource, uint64_t before,
                                bool (*covers)(void *owner, const char *namespace,
                                               const char *service),
                                void *owner, size_t *ret_removed)
{
    *ret_removed = 0;
    switch (resource) {
    case KUBERNETES_SERVICES:
        return sweep_services(cluster, before, covers, owner, ret_removed);
    case KUBERNETES_SLICES:
        return sweep_slices(cluster, before, covers, owner, ret_removed);
    default:
        return sweep_namespaces(cluster, before, covers, owner, ret_removed);
    }
}

void kubernetes_cluster_init(
    struct kubernetes_cluster *cluster, const struct registry_config *config,
    void (*on_changed)(void *owner, const char *namespace, const char *name), void *owner)
{
    *cluster = (struct kubernetes_cluster){.config = config, .changed = on_changed, .owner = owner};
}

void kubernetes_cluster_done(struct kubernetes_cluster *cluster)
{
    struct kubernetes_held_slice *held, *next_held;
    struct kubernetes_namespace *namespace, *next_namespace;
    struct kubernetes_entry *entry, *next;

    HASH_ITER (hh, cluster->namespaces, namespace, next_namespace) {
        HASH_DEL(cluster->namespaces, namespace);
        free(namespace);
    }
    HASH_ITER (hh, cluster->slices, held, next_held)
        held_free(cluster, held);
    HASH_ITER (hh, cluster->entries, entry, next) {
        service_clear(cluster, entry);
        HASH_DEL(cluster->entries, entry);
        free(entry);
    }
}
