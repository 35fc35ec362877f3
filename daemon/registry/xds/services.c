/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/services.h"

#include <stdio.h>

#include "daemon/registry/xds/merge.h"
#include "daemon/registry/xds/names.h"

/* ---- what a lookup looks at ---- */

/* NULL: too many, or no memory. */
static const struct xds_resource *need(struct xds_lookup *lookup, enum xds_kind kind,
                                       const char *name)
{
    struct xds_resource *resource = xds_resources_get(&lookup->protocol->resources, kind, name);
    struct xds_dependency *dependency;

    for (dependency = lookup->dependencies; dependency; dependency = dependency->sibling)
        if (dependency->resource == resource)
            return resource;
    dependency = resource ? calloc(1, sizeof(*dependency)) : NULL;
    if (!dependency) {
        if (resource)
            xds_resources_release(&lookup->protocol->resources, resource, true);
        lookup->no_memory = true;
        return NULL;
    }
    if (!xds_resource_is_wanted(resource))
        xds_protocol_touch(lookup->protocol, resource);
    xds_depend(dependency, resource, lookup->owner);
    dependency->sibling = lookup->dependencies;
    lookup->dependencies = dependency;
    return resource;
}

/* What a resource that is not held means. */
static struct xds_found not_held(const struct xds_resource *resource)
{
    if (!resource)
        return (struct xds_found){.outcome = XDS_FAILED, .error = "too many resources"};
    if (resource->known == XDS_ABSENT)
        return (struct xds_found){.outcome = XDS_NONE};
    return (struct xds_found){.outcome = resource->error ? XDS_FAILED : XDS_PENDING,
                              .error = resource->error,
                              .unknown = true};
}

static bool is_held(const struct xds_resource *resource)
{
    return resource && resource->known == XDS_HELD;
}

static struct xds_found data(struct endpoint_set *set, const char *error)
{
    return (struct xds_found){
        .outcome = XDS_DATA, .endpoints = endpoint_set_ref(set), .error = error};
}

/* It exists, and has no endpoint. */
static struct xds_found none_of_its_own(void)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    struct xds_found found = {.outcome = XDS_FAILED, .error = "no memory"};

    if (builder && endpoint_builder_finish(builder, &found.endpoints) == 0) {
        found.outcome = XDS_DATA;
        found.error = NULL;
    }
    endpoint_builder_free(builder);
    return found;
}

/* ---- endpoints, clusters ---- */

/* The endpoints of an assignment, which is in `resource` or is it. */
static struct xds_found assigned(const struct xds_assignment *assignment,
                                 const struct xds_resource *resource)
{
    struct xds_found found = data(assignment->endpoints, resource->error);

    if (assignment->stale_after > 0)
        found.stale_at = usec_add(resource->heard_at, assignment->stale_after);
    return found;
}

static struct xds_found find_assignment(struct xds_lookup *lookup, const char *name)
{
    const struct xds_resource *resource = need(lookup, XDS_ENDPOINTS, name);

    return is_held(resource) ? assigned(&resource->value->assignment, resource)
                             : not_held(resource);
}

/* Of one that is no aggregate. */
static struct xds_found find_leaf(struct xds_lookup *lookup, const char *name)
{
    const struct xds_resource *resource = need(lookup, XDS_CLUSTER, name);
    const struct xds_cluster *cluster;
    struct xds_found found;

    if (!is_held(resource))
        return not_held(resource);
    cluster = &resource->value->cluster;
    switch (cluster->type) {
    case XDS_CLUSTER_INLINE:
        return assigned(&cluster->assignment, resource);
    case XDS_CLUSTER_AGGREGATE:
    case XDS_CLUSTER_OTHER:
        return none_of_its_own();
    case XDS_CLUSTER_EDS:
        break;
    }
    found = find_assignment(lookup, cluster->service_name);
    found.unknown = false; /* the cluster exists */
    if (found.outcome == XDS_NONE)
        found = none_of_its_own();
    if (found.outcome == XDS_DATA && !found.error)
        found.error = resource->error;
    return found;
}

/* ---- several of them ---- */

struct parts {
    struct xds_part items[XDS_ROUTED_MAX];
    size_t count;
    bool pending;
    const char *error;
    usec_t stale_at;
};

static void parts_done(struct parts *parts)
{
    for (size_t i = 0; i < parts->count; i++)
        endpoint_set_unref(parts->items[i].endpoints);
}

static void parts_add(struct parts *parts, const struct xds_found *found, uint32_t weight)
{
    parts->pending |= found->outcome == XDS_PENDING;
    if (found->error)
        parts->error = found->error;
    if (found->outcome != XDS_DATA)
        return;
    if (found->stale_at > 0 && (parts->stale_at == 0 || found->stale_at < parts->stale_at))
        parts->stale_at = found->stale_at;
    parts->items[parts->count++] = (struct xds_part){found->endpoints, weight};
}

/* Waits for all of them: half of a split is no answer. */
static int parts_join(struct parts *parts, xds_merge *merge, struct xds_found *ret_found)
{
    int r = 0;

    *ret_found = (struct xds_found){
        .outcome = parts->pending ? XDS_PENDING
                   : parts->error ? XDS_FAILED
                                  : XDS_DATA,
        .error = parts->error,
        .stale_at = parts->stale_at,
    };
    if (!parts->pending && parts->count > 0) {
        ret_found->outcome = XDS_DATA;
        if (parts->count == 1)
            ret_found->endpoints = endpoint_set_ref(parts->items[0].endpoints);
        else
            r = merge(parts->items, parts->count, &ret_found->endpoints, &ret_found->left_out);
    } else if (ret_found->outcome == XDS_DATA) {
        *ret_found = none_of_its_own();
    }
    parts_done(parts);
    return r;
}

/* ---- aggregates (gRPC A37): what they lead to, in order ---- */

enum { AGGREGATE_DEPTH_MAX = 16, AGGREGATES_MAX = 64 };

struct tree {
    struct xds_lookup *lookup;
    struct parts parts;
    const struct xds_resource *leaves[XDS_ROUTED_MAX];
    const struct xds_resource *aggregates[AGGREGATES_MAX]; /* whose members were looked at */
    size_t leaf_count, aggregate_count;
    const struct xds_resource *path[AGGREGATE_DEPTH_MAX];
    size_t depth;
    const char *fault; /* in the tree itself */
};

static bool is_among(const struct xds_resource *resource, const struct xds_resource *const *list,
                     size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == resource)
            return true;
    return false;
}

static void add_leaf(struct tree *tree, const struct xds_resource *resource, const char *name)
{
    struct xds_found found;

    if (is_among(resource, tree->leaves, tree->leaf_count))
        return; /* what it has is there, at its best priority */
    if (tree->leaf_count == XDS_ROUTED_MAX) {
        tree->fault = "an aggregate of more than 64 clusters";
        return;
    }
    tree->leaves[tree->leaf_count++] = resource;
    found = find_leaf(tree->lookup, name);
    parts_add(&tree->parts, &found, 1);
}

static void add_members(struct tree *tree, const struct xds_resource *resource);

static void add_member(struct tree *tree, const char *name)
{
    const struct xds_resource *resource = need(tree->lookup, XDS_CLUSTER, name);

    if (is_held(resource) && resource->value->cluster.type == XDS_CLUSTER_AGGREGATE)
        add_members(tree, resource);
    else
        add_leaf(tree, resource, name);
}

/* An aggregate that was looked at before adds nothing: else few could be looked at for ever. */
static void add_members(struct tree *tree, const struct xds_resource *resource)
{
    if (is_among(resource, tree->path, tree->depth))
        tree->fault = "an aggregate that is a part of itself";
    else if (tree->depth == AGGREGATE_DEPTH_MAX || tree->aggregate_count == AGGREGATES_MAX)
        tree->fault = "aggregates of aggregates, too deep or too many";
    if (tree->fault || is_among(resource, tree->aggregates, tree->aggregate_count))
        return;
    tree->aggregates[tree->aggregate_count++] = resource;
    tree->path[tree->depth++] = resource;
    for (char *const *member = resource->value->cluster.members; *member && !tree->fault; member++)
        add_member(tree, *member);
    tree->depth--;
}

static int find_cluster(struct xds_lookup *lookup, const char *name, struct xds_found *ret_found)
{
    const struct xds_resource *resource = need(lookup, XDS_CLUSTER, name);
    struct tree tree = {.lookup = lookup};

    if (!is_held(resource) || resource->value->cluster.type != XDS_CLUSTER_AGGREGATE) {
        *ret_found = find_leaf(lookup, name);
        return 0;
    }
    tree.parts.error = resource->error;
    add_members(&tree, resource);
    if (!tree.fault)
        return parts_join(&tree.parts, xds_merge_priorities, ret_found);
    parts_done(&tree.parts);
    *ret_found = (struct xds_found){.outcome = XDS_FAILED, .error = tree.fault};
    return 0;
}

/* ---- listeners ---- */

static int find_listener(struct xds_lookup *lookup, const char *name, struct xds_found *ret_found)
{
    const struct xds_resource *resource = need(lookup, XDS_LISTENER, name);
    const struct xds_route_host *host;
    struct parts parts = {0};
    bool there = is_held(resource);
    int r = 0;

    if (there && resource->value->route.route_name)
        resource = need(lookup, XDS_ROUTE, resource->value->route.route_name);
    if (!is_held(resource)) {
        *ret_found = not_held(resource);
        ret_found->unknown &= !there;
        return 0;
    }
    host = xds_route_find(&resource->value->route, name);
    if (!host) {
        *ret_found = (struct xds_found){.outcome = XDS_NONE};
        return 0;
    }
    parts.error = resource->error;
    for (size_t i = 0; i < host->count && r == 0; i++) {
        struct xds_found found;

        r = find_cluster(lookup, host->clusters[i].cluster, &found);
        if (r == 0)
            parts_add(&parts, &found, host->clusters[i].weight);
    }
    if (r == 0)
        return parts_join(&parts, xds_merge_weighted, ret_found);
    parts_done(&parts);
    return r;
}

/* ---- hosts of Istio ---- */

/* The virtual addresses, where no cluster tells of endpoints. */
static int find_virtual(const struct xds_lookup *lookup, const struct xds_host *host,
                        struct xds_found *ret_found)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    int r;

    if (!builder)
        return -ENOMEM;
    for (size_t i = 0; i < host->address_count; i++) {
        const struct address *address = &host->addresses[i];
        char text[INET6_ADDRSTRLEN];

        if (xds_istio_is_invented(address) ||
            registry_address_refusal(lookup->config, false, address))
            continue;
        address_to_string(address, text);
        endpoint_builder_begin(builder, text);
        endpoint_builder_address(builder, address);
        endpoint_builder_health(builder, HEALTH_PASSING);
        endpoint_builder_weight(builder, 1);
    }
    r = endpoint_builder_finish(builder, &ret_found->endpoints);
    endpoint_builder_free(builder);
    ret_found->outcome = XDS_DATA;
    return r;
}

/* A port's endpoints. Headless hosts have clusters of another type, and assignments all the same.
 */
static struct xds_found find_port(struct xds_lookup *lookup, const char *cluster, bool *ret_own)
{
    const struct xds_resource *resource = need(lookup, XDS_CLUSTER, cluster);
    struct xds_found found;

    if (!is_held(resource) || resource->value->cluster.type != XDS_CLUSTER_OTHER) {
        *ret_own = true;
        return find_leaf(lookup, cluster);
    }
    found = find_assignment(lookup, cluster);
    if (found.outcome == XDS_NONE)
        found = none_of_its_own();
    *ret_own |= found.outcome != XDS_DATA || found.endpoints->count > 0;
    return found;
}

static int find_host(struct xds_lookup *lookup, const struct xds_host *host,
                     struct xds_found *ret_found)
{
    char cluster[NAME_SIZE + 32];
    struct parts parts = {0};
    bool own = false; /* some cluster tells of endpoints, or that there are none */

    for (size_t i = 0; i < host->port_count; i++) {
        struct xds_found found;

        snprintf(cluster, sizeof(cluster), "outbound|%u||%.253s", host->ports[i], host->name);
        found = find_port(lookup, cluster, &own);
        parts_add(&parts, &found, 1);
    }
    if (own)
        return parts_join(&parts, xds_merge_ports, ret_found);
    parts_done(&parts);
    *ret_found = (struct xds_found){.outcome = XDS_PENDING};
    return find_virtual(lookup, host, ret_found);
}

/* ---- a key ---- */

static struct xds_found missing_host(const struct xds_lookup *lookup)
{
    if (lookup->hosts_broken)
        return (struct xds_found){.outcome = XDS_FAILED,
                                  .error = "a name table that cannot be decoded"};
    return (struct xds_found){.outcome = lookup->hosts_whole ? XDS_NONE : XDS_PENDING,
                              .unknown = true};
}

static int find_candidate(struct xds_lookup *lookup, const char *name, struct xds_found *ret_found)
{
    const struct xds_host *host;

    *ret_found = (struct xds_found){.outcome = XDS_PENDING};
    if (lookup->hosts) {
        host = xds_hosts_find(lookup->hosts, name);
        if (host)
            return find_host(lookup, host, ret_found);
        *ret_found = missing_host(lookup);
        return 0;
    }
    switch ((enum xds_names)xds_settings_of(lookup->config)->names) {
    case XDS_NAMES_ENDPOINTS:
        *ret_found = find_assignment(lookup, name);
        return 0;
    case XDS_NAMES_LISTENER:
        return find_listener(lookup, name, ret_found);
    case XDS_NAMES_CLUSTER:
        break;
    }
    return find_cluster(lookup, name, ret_found);
}

static unsigned rank(const struct xds_found *found)
{
    switch (found->outcome) {
    case XDS_DATA:
        return found->endpoints->count > 0 ? 0 : 1;
    case XDS_PENDING:
        return 2;
    case XDS_FAILED:
        return 3;
    case XDS_NONE:
        break;
    }
    return 4;
}

int xds_services_find(struct xds_lookup *lookup, const char *key, struct xds_found *ret_found)
{
    char names[XDS_CANDIDATES][NAME_SIZE];
    size_t count = xds_names_candidates(lookup->config, key, names);
    bool exists = false;
    int r = 0;

    *ret_found = (struct xds_found){.outcome = XDS_NONE};
    for (size_t i = 0; i < count && r == 0; i++) {
        struct xds_found found;

        r = find_candidate(lookup, names[i], &found);
        /* A failure is not to be lost to one that is waited for. */
        exists |= found.outcome == XDS_FAILED;
        if (r < 0 || rank(&found) >= rank(ret_found)) {
            endpoint_set_unref(found.endpoints);
            continue;
        }
        endpoint_set_unref(ret_found->endpoints);
        *ret_found = found;
    }
    ret_found->unknown &= !exists;
    if (r == 0 && lookup->no_memory)
        r = -ENOMEM;
    return r;
}

struct endpoint_set *xds_services_stale(const struct endpoint_set *set)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    struct endpoint_set *made = NULL;

    for (uint32_t i = 0; builder && i < set->count; i++) {
        endpoint_builder_copy(builder, &set->endpoints[i]);
        endpoint_builder_health(builder, HEALTH_CRITICAL);
    }
    if (builder)
        endpoint_builder_finish(builder, &made);
    endpoint_builder_free(builder);
    return made;
}
