/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/document.h"

#include <stdio.h>

#include "daemon/registry/xds/arena.h"
#include "daemon/registry/xds/assignment.h"
#include "daemon/registry/xds/json.h"
#include "proto/xds.pb-c.h"

#define URL_PREFIX "type.googleapis.com/"
#define MANAGER_URL                                                                                \
    URL_PREFIX "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

#define AGGREGATE_URL URL_PREFIX "envoy.extensions.clusters.aggregate.v3.ClusterConfig"

enum {
    MEMORY_MAX = 256 << 20, /* of one decoded resource */
    ROUTE_HOSTS_MAX = 65536,
    NAME_ADDRESSES_MAX = 4096,
};

struct kind_facts {
    const char *word, *url;
    const ProtobufCMessageDescriptor *descriptor;
};

static const struct kind_facts kinds[XDS_KINDS] = {
    [XDS_CLUSTER] = {"cluster", URL_PREFIX "envoy.config.cluster.v3.Cluster",
                     &xds__cluster__descriptor},
    [XDS_ENDPOINTS] = {"endpoints", URL_PREFIX "envoy.config.endpoint.v3.ClusterLoadAssignment",
                       &xds__cluster_load_assignment__descriptor},
    [XDS_LISTENER] = {"listener", URL_PREFIX "envoy.config.listener.v3.Listener",
                      &xds__listener__descriptor},
    [XDS_ROUTE] = {"route", URL_PREFIX "envoy.config.route.v3.RouteConfiguration",
                   &xds__route_configuration__descriptor},
    [XDS_NAMES] = {"names", URL_PREFIX "istio.networking.nds.v1.NameTable", NULL},
};

const char *xds_kind_url(enum xds_kind kind)
{
    return kinds[kind].url;
}

const char *xds_kind_to_string(enum xds_kind kind)
{
    return kinds[kind].word;
}

int xds_kind_from_url(const char *url, size_t size)
{
    for (unsigned kind = 0; kind < XDS_KINDS; kind++)
        if (strlen(kinds[kind].url) == size && strncmp(kinds[kind].url, url, size) == 0)
            return (int)kind;
    return -ENOENT;
}

struct work {
    const struct xds_document_rules *rules;
    struct xds_arena arena;
    char *reason;
};

static int refuse(struct work *work, const char *text)
{
    snprintf(work->reason, XDS_REASON_SIZE, "%s", text);
    return -EBADMSG;
}

/* A longer one could be asked for and never be taken: it would count as absent. */
static int check_name(struct work *work, const char *name)
{
    return strlen(name) > XDS_NAME_MAX ? refuse(work, "a name over 1024 bytes") : 0;
}

/* ---- clusters ---- */

static bool is_aggregate(const Xds__Cluster *message)
{
    return message->cluster_discovery_type_case ==
               XDS__CLUSTER__CLUSTER_DISCOVERY_TYPE_CLUSTER_TYPE &&
           message->cluster_type->typed_config &&
           streq(message->cluster_type->typed_config->type_url, AGGREGATE_URL);
}

static int make_aggregate(struct work *work, const Xds__Any *any, struct xds_cluster *ret_cluster)
{
    const Xds__AggregateConfig *config = xds_arena_unpack(
        &work->arena, &xds__aggregate_config__descriptor, any->value.data, any->value.len);

    if (!config)
        return refuse(work, "its ClusterConfig of an aggregate cannot be decoded");
    if (config->n_clusters == 0 || config->n_clusters > XDS_ROUTED_MAX)
        return refuse(work, config->n_clusters == 0 ? "an aggregate of no clusters"
                                                    : "an aggregate of more than 64 clusters");
    ret_cluster->type = XDS_CLUSTER_AGGREGATE;
    ret_cluster->members = calloc(config->n_clusters + 1, sizeof(*ret_cluster->members));
    if (!ret_cluster->members)
        return -ENOMEM;
    for (size_t i = 0; i < config->n_clusters; i++) {
        if (check_name(work, config->clusters[i]) < 0)
            return -EBADMSG;
        ret_cluster->members[i] = strdup(config->clusters[i]);
        if (!ret_cluster->members[i])
            return -ENOMEM;
    }
    return 0;
}

static int make_cluster(struct work *work, const Xds__Cluster *message,
                        struct xds_cluster *ret_cluster)
{
    static const Xds__ClusterLoadAssignment nothing = XDS__CLUSTER_LOAD_ASSIGNMENT__INIT;
    const char *service = message->eds_cluster_config ? message->eds_cluster_config->service_name
                                                      : "";
    bool typed = message->cluster_discovery_type_case !=
                 XDS__CLUSTER__CLUSTER_DISCOVERY_TYPE_CLUSTER_TYPE;
    /* Not said is 0, STATIC. */
    Xds__DiscoveryType type = message->cluster_discovery_type_case ==
                                      XDS__CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE
                                  ? message->type
                                  : XDS__DISCOVERY_TYPE__STATIC;
    bool dns = type == XDS__DISCOVERY_TYPE__STRICT_DNS || type == XDS__DISCOVERY_TYPE__LOGICAL_DNS;

    if (is_aggregate(message))
        return make_aggregate(work, message->cluster_type->typed_config, ret_cluster);
    ret_cluster->type = XDS_CLUSTER_OTHER;
    if (typed && type == XDS__DISCOVERY_TYPE__EDS) {
        ret_cluster->type = XDS_CLUSTER_EDS;
        if (check_name(work, service) < 0)
            return -EBADMSG;
        ret_cluster->service_name = strdup(*service ? service : message->name);
        return ret_cluster->service_name ? 0 : -ENOMEM;
    }
    if (!typed || (type != XDS__DISCOVERY_TYPE__STATIC && !dns))
        return 0;
    /* Without any it is one that takes no calls: Istio's BlackHoleCluster. */
    ret_cluster->type = XDS_CLUSTER_INLINE;
    return xds_assignment_make(message->load_assignment ?: &nothing, work->rules, dns,
                               &ret_cluster->assignment, work->reason);
}

/* ---- routes ---- */

static struct xds_routed *find_routed(const struct xds_route_host *host, const char *cluster)
{
    for (size_t i = 0; i < host->count; i++)
        if (streq(host->clusters[i].cluster, cluster))
            return &host->clusters[i];
    return NULL;
}

/* `share` of the requests for the host, up to 1. */
static int add_routed(struct work *work, struct xds_route_host *host, const char *cluster,
                      double share)
{
    uint32_t weight = share * XDS_ROUTED_WHOLE < 1 ? 1 : (uint32_t)(share * XDS_ROUTED_WHOLE);
    struct xds_routed *place = find_routed(host, cluster);

    if (*cluster == '\0')
        return 0;
    if (check_name(work, cluster) < 0)
        return -EBADMSG;
    if (place) {
        place->weight += weight;
        return 0;
    }
    if (host->count == XDS_ROUTED_MAX) {
        host->left_out++;
        return 0;
    }
    place = realloc(host->clusters, (host->count + 1) * sizeof(*place));
    if (!place)
        return -ENOMEM;
    host->clusters = place;
    place += host->count;
    *place = (struct xds_routed){.cluster = strdup(cluster), .weight = weight};
    if (!place->cluster)
        return -ENOMEM;
    host->count++;
    return 0;
}

static uint32_t weight_of(const Xds__ClusterWeight *cluster)
{
    return cluster->weight ? cluster->weight->value : 0;
}

static int add_weighted(struct work *work, struct xds_route_host *host,
                        const Xds__WeightedCluster *clusters, double share)
{
    double total = 0;
    int r = 0;

    for (size_t i = 0; i < clusters->n_clusters; i++)
        total += weight_of(clusters->clusters[i]);
    for (size_t i = 0; i < clusters->n_clusters && r == 0; i++)
        if (weight_of(clusters->clusters[i]) > 0)
            r = add_routed(work, host, clusters->clusters[i]->name,
                           share * weight_of(clusters->clusters[i]) / total);
    return r;
}

static int add_action(struct work *work, struct xds_route_host *host,
                      const Xds__RouteAction *action, double share)
{
    switch (action->cluster_specifier_case) {
    case XDS__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER:
        return add_routed(work, host, action->cluster, share);
    case XDS__ROUTE_ACTION__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS:
        return add_weighted(work, host, action->weighted_clusters, share);
    default:
        return 0;
    }
}

static bool takes_any_path(const Xds__RouteMatch *match)
{
    return match && match->path_specifier_case == XDS__ROUTE_MATCH__PATH_SPECIFIER_PREFIX &&
           (streq(match->prefix, "") || streq(match->prefix, "/"));
}

/* The part of the requests of its paths that a route takes: 0 .. 1. Of requests with some header or
 * query a lookup knows nothing: 0. */
static double part_of(const Xds__RouteMatch *match)
{
    static const uint32_t wholes[] = {[XDS__DENOMINATOR__HUNDRED] = 100,
                                      [XDS__DENOMINATOR__TEN_THOUSAND] = 10000,
                                      [XDS__DENOMINATOR__MILLION] = 1000000};
    const Xds__FractionalPercent *part = match && match->runtime_fraction
                                             ? match->runtime_fraction->default_value
                                             : NULL;

    if (match && (match->n_headers > 0 || match->n_query_parameters > 0))
        return 0;
    if (!part)
        return 1;
    if ((unsigned)part->denominator >= ELEMENTS(wholes))
        return 0;
    return part->numerator < wholes[part->denominator]
               ? part->numerator / (double)wholes[part->denominator]
               : 1;
}

/*
 * A lookup has no path and no headers: the first route that every request takes, else the last one
 * without conditions (where defaults stand), else the last one.
 */
static const Xds__Route *default_route(const Xds__VirtualHost *host)
{
    const Xds__Route *plain = NULL, *last = NULL;

    for (size_t i = 0; i < host->n_routes; i++) {
        const Xds__Route *route = host->routes[i];

        if (!route->route)
            continue;
        last = route;
        if (part_of(route->match) < 1)
            continue;
        plain = route;
        if (takes_any_path(route->match))
            break;
    }
    return plain ?: last;
}

/* A route for one request of a hundred takes that share of those behind it (gRPC A28). */
static int add_routes(struct work *work, struct xds_route_host *host,
                      const Xds__VirtualHost *virtual)
{
    const Xds__Route *rest = default_route(virtual);
    bool splits = rest && takes_any_path(rest->match);
    double left = 1;
    int r = 0;

    for (size_t i = 0; splits && virtual->routes[i] != rest && r == 0; i++) {
        const Xds__Route *route = virtual->routes[i];
        double part = takes_any_path(route->match) ? part_of(route->match) : 0;

        if (!route->route || part == 0)
            continue;
        r = add_action(work, host, route->route, left * part);
        left *= 1 - part;
    }
    return rest && r == 0 ? add_action(work, host, rest->route, left) : r;
}

/* In lower case and without a port: "cart:80" is what Istio writes beside "cart". */
static char *fold_domain(const char *text)
{
    size_t size = strcspn(text, ":");
    char *domain = strndup(text, size);

    for (size_t i = 0; domain && i < size; i++)
        domain[i] = name_fold_byte(domain[i]);
    return domain;
}

/* Domains times clusters would be a large multiple of the message: one list serves all domains. */
static int add_host(struct work *work, struct xds_route *route, const Xds__VirtualHost *virtual)
{
    const struct xds_route_host *first = &route->hosts[route->count];
    int r = 0;

    for (size_t i = 0; i < virtual->n_domains && r == 0; i++) {
        struct xds_route_host *host = &route->hosts[route->count++];

        if (host != first)
            *host = (struct xds_route_host){
                .clusters = first->clusters, .count = first->count, .shares = true};
        else
            r = add_routes(work, host, virtual);
        host->domain = fold_domain(virtual->domains[i]);
        if (!host->domain)
            return -ENOMEM;
    }
    return r;
}

static int make_hosts(struct work *work, const Xds__RouteConfiguration *message,
                      struct xds_route *route)
{
    size_t count = 0;
    int r = 0;

    for (size_t i = 0; i < message->n_virtual_hosts; i++)
        count += message->virtual_hosts[i]->n_domains;
    if (count > ROUTE_HOSTS_MAX)
        return refuse(work, "too many domains of virtual hosts");
    route->hosts = calloc(count + 1, sizeof(*route->hosts));
    if (!route->hosts)
        return -ENOMEM;
    for (size_t i = 0; i < message->n_virtual_hosts && r == 0; i++)
        r = add_host(work, route, message->virtual_hosts[i]);
    return r;
}

static int make_listener(struct work *work, const Xds__Listener *message, struct xds_route *route)
{
    const Xds__Any *any = message->api_listener ? message->api_listener->api_listener : NULL;
    const Xds__HttpConnectionManager *manager;

    if (!any)
        return refuse(work, "a listener without api_listener leads nowhere");
    if (!streq(any->type_url, MANAGER_URL))
        return refuse(work, "the api_listener is no HttpConnectionManager");
    manager = xds_arena_unpack(&work->arena, &xds__http_connection_manager__descriptor,
                               any->value.data, any->value.len);
    if (!manager)
        return refuse(work, work->arena.nul ? "a text with a NUL in it"
                                            : "its HttpConnectionManager cannot be decoded");
    if (manager->route_specifier_case == XDS__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_ROUTE_CONFIG)
        return make_hosts(work, manager->route_config, route);
    if (manager->route_specifier_case != XDS__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_RDS ||
        *manager->rds->route_config_name == '\0')
        return refuse(work, "its HttpConnectionManager names no routes");
    if (check_name(work, manager->rds->route_config_name) < 0)
        return -EBADMSG;
    route->route_name = strdup(manager->rds->route_config_name);
    return route->route_name ? 0 : -ENOMEM;
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), tail = strlen(end);

    return size > tail && streq(text + size - tail, end);
}

/* Exact before "*.suffix" before "prefix.*" before "*"; of patterns the longest. */
static size_t match_rank(const char *domain, const char *host)
{
    size_t size = strlen(domain);

    if (streq(domain, host))
        return SIZE_MAX;
    if (streq(domain, "*"))
        return 1;
    if (domain[0] == '*')
        return ends_with(host, domain + 1) ? 2 * XDS_NAME_MAX + size : 0;
    if (size > 0 && domain[size - 1] == '*')
        return strlen(host) >= size && strncmp(domain, host, size - 1) == 0 ? 1 + size : 0;
    return 0;
}

const struct xds_route_host *xds_route_find(const struct xds_route *route, const char *host)
{
    const struct xds_route_host *best = NULL;
    size_t best_rank = 0;

    for (size_t i = 0; i < route->count; i++) {
        size_t rank = match_rank(route->hosts[i].domain, host);

        if (rank > best_rank) {
            best = &route->hosts[i];
            best_rank = rank;
        }
    }
    return best;
}

/* ---- one resource ---- */

static int make_value(struct work *work, const ProtobufCMessage *message, const char **ret_name,
                      struct xds_value *value)
{
    switch (value->kind) {
    case XDS_CLUSTER:
        *ret_name = ((const Xds__Cluster *)message)->name;
        return make_cluster(work, (const Xds__Cluster *)message, &value->cluster);
    case XDS_ENDPOINTS:
        *ret_name = ((const Xds__ClusterLoadAssignment *)message)->cluster_name;
        return xds_assignment_make((const Xds__ClusterLoadAssignment *)message, work->rules, false,
                                   &value->assignment, work->reason);
    case XDS_LISTENER:
        *ret_name = ((const Xds__Listener *)message)->name;
        return make_listener(work, (const Xds__Listener *)message, &value->route);
    case XDS_ROUTE:
        *ret_name = ((const Xds__RouteConfiguration *)message)->name;
        return make_hosts(work, (const Xds__RouteConfiguration *)message, &value->route);
    case XDS_NAMES:
        break;
    }
    return -EINVAL;
}

static int take_name(struct work *work, const char *name, char ret_name[static XDS_NAME_MAX + 1])
{
    int r = check_name(work, name);

    if (r == 0)
        memcpy(ret_name, name, strlen(name) + 1);
    return r;
}

static int decode(struct work *work, const ProtobufCMessage *message, enum xds_kind kind,
                  char ret_name[static XDS_NAME_MAX + 1], struct xds_value **ret_value)
{
    struct xds_value *value;
    const char *name = "";
    int r, s;

    if (!message)
        return *work->reason     ? -EBADMSG
               : work->arena.nul ? refuse(work, "a text with a NUL in it")
                                 : refuse(work, "it cannot be decoded");
    value = calloc(1, sizeof(*value));
    if (!value)
        return -ENOMEM;
    value->kind = kind;
    r = make_value(work, message, &name, value);
    s = take_name(work, name, ret_name);
    if (r < 0 || s < 0) {
        xds_value_free(value);
        return r < 0 ? r : s;
    }
    *ret_value = value;
    return 0;
}

static struct work begin(const struct xds_document_rules *rules, char *ret_name, char *ret_reason)
{
    *ret_name = *ret_reason = '\0';
    return (struct work){.rules = rules, .reason = ret_reason};
}

int xds_document_decode(enum xds_kind kind, const struct xds_document_rules *rules,
                        const uint8_t *data, size_t size, char ret_name[static XDS_NAME_MAX + 1],
                        struct xds_value **ret_value, char ret_reason[static XDS_REASON_SIZE])
{
    struct work work = begin(rules, ret_name, ret_reason);
    int r;

    if (size > XDS_RESOURCE_MAX)
        return refuse(&work, "a resource over 16 MiB");
    xds_arena_init(&work.arena, MEMORY_MAX);
    r = decode(&work, xds_arena_unpack(&work.arena, kinds[kind].descriptor, data, size), kind,
               ret_name, ret_value);
    xds_arena_done(&work.arena);
    return r;
}

int xds_document_decode_json(enum xds_kind kind, const struct xds_document_rules *rules,
                             const json_t *object, char ret_name[static XDS_NAME_MAX + 1],
                             struct xds_value **ret_value, char ret_reason[static XDS_REASON_SIZE])
{
    struct work work = begin(rules, ret_name, ret_reason);
    int r;

    xds_arena_init(&work.arena, MEMORY_MAX);
    r = decode(&work, xds_json_decode(kinds[kind].descriptor, object, &work.arena, ret_reason),
               kind, ret_name, ret_value);
    xds_arena_done(&work.arena);
    return r;
}

static void route_done(struct xds_route *route)
{
    for (size_t i = 0; i < route->count; i++) {
        free(route->hosts[i].domain);
        if (route->hosts[i].shares)
            continue;
        for (size_t j = 0; j < route->hosts[i].count; j++)
            free(route->hosts[i].clusters[j].cluster);
        free(route->hosts[i].clusters);
    }
    free(route->hosts);
    free(route->route_name);
}

struct xds_value *xds_value_free(struct xds_value *value)
{
    if (!value)
        return NULL;
    switch (value->kind) {
    case XDS_CLUSTER:
        free(value->cluster.service_name);
        config_strings_free(value->cluster.members);
        endpoint_set_unref(value->cluster.assignment.endpoints);
        break;
    case XDS_ENDPOINTS:
        endpoint_set_unref(value->assignment.endpoints);
        break;
    case XDS_LISTENER:
    case XDS_ROUTE:
        route_done(&value->route);
        break;
    case XDS_NAMES:
        break;
    }
    free(value);
    return NULL;
}

/* ---- name tables ---- */

static bool fold_entry_name(const char *text, char ret_name[static NAME_SIZE])
{
    bool pattern = strncmp(text, "*.", 2) == 0;
    char folded[NAME_SIZE];
    size_t size = name_fold(text + (pattern ? 2 : 0), SIZE_MAX, folded, NULL);

    if (size == 0 || size + 2 >= NAME_SIZE)
        return false;
    snprintf(ret_name, NAME_SIZE, "%s%.251s", pattern ? "*." : "", folded);
    return true;
}

static int take_addresses(const Xds__NameInfo *info, struct xds_name_entry *ret_entry)
{
    size_t count = info ? info->n_ips : 0;

    if (count > NAME_ADDRESSES_MAX)
        count = NAME_ADDRESSES_MAX;
    ret_entry->addresses = calloc(count + 1, sizeof(*ret_entry->addresses));
    if (!ret_entry->addresses)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        if (address_from_string(info->ips[i], &ret_entry->addresses[ret_entry->count]) == 0)
            ret_entry->count++;
    return 0;
}

int xds_document_name_entry(const uint8_t *data, size_t size, struct xds_name_entry *ret_entry)
{
    struct xds_arena arena;
    const Xds__NameEntry *entry;
    int r = -ENOENT;

    *ret_entry = (struct xds_name_entry){0};
    if (size > XDS_RESOURCE_MAX)
        return -EBADMSG;
    xds_arena_init(&arena, MEMORY_MAX);
    entry = xds_arena_unpack(&arena, &xds__name_entry__descriptor, data, size);
    if (!entry)
        r = -EBADMSG;
    else if (fold_entry_name(entry->key, ret_entry->name))
        r = take_addresses(entry->value, ret_entry);
    xds_arena_done(&arena);
    return r;
}
