/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/replay/xds_server.h"

#include <stdio.h>

#include "daemon/registry/xds/document.h"
#include "proto/xds.pb-c.h"
#include "tests/replay/twin_internal.h"
#include "tests/unit/unit.h"

#define MANAGER_URL                                                                                \
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."             \
    "HttpConnectionManager"

#define AGGREGATE_URL                                                                              \
    "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig"

/* ---- memory: freed with the twin ---- */

static void *take(struct twin *twin, size_t size)
{
    return twin_keep(twin, calloc(1, size + 1));
}

static char *copy(struct twin *twin, const char *text)
{
    return twin_strdup(twin, text);
}

static void *append(struct twin *twin, void *list, size_t *count, void *item)
{
    void **grown = take(twin, (*count + 1) * sizeof(*grown));

    if (*count > 0)
        memcpy(grown, list, *count * sizeof(*grown));
    grown[(*count)++] = item;
    return grown;
}

#define NEW(twin, type, init)                                                                      \
    ({                                                                                             \
        type *new_ = take(twin, sizeof(*new_));                                                    \
        init(new_);                                                                                \
        new_;                                                                                      \
    })

static uint8_t *pack(struct twin *twin, const ProtobufCMessage *message, size_t *ret_size)
{
    uint8_t *data;

    *ret_size = protobuf_c_message_get_packed_size(message);
    data = take(twin, *ret_size);
    protobuf_c_message_pack(message, data);
    return data;
}

/* ---- endpoints ---- */

static Xds__UInt32Value *number(struct twin *twin, const char *text)
{
    Xds__UInt32Value *value = NEW(twin, Xds__UInt32Value, xds__uint32_value__init);

    value->value = (uint32_t)strtoul(text, NULL, 10);
    return value;
}

static Xds__HealthStatus health_of(const char *word)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value_by_name(
        &xds__health_status__descriptor, word);

    UNIT_HOLDS_MSG(value, "no health %s", word);
    return (Xds__HealthStatus)value->value;
}

static Xds__Address *address_of(struct twin *twin, const char *text, const char *port)
{
    Xds__Address *address = NEW(twin, Xds__Address, xds__address__init);

    if (streq(text, "pipe")) {
        address->address_case = XDS__ADDRESS__ADDRESS_PIPE;
        address->pipe = NEW(twin, Xds__Pipe, xds__pipe__init);
        address->pipe->path = copy(twin, "/run/a");
    } else if (streq(text, "internal")) {
        address->address_case = XDS__ADDRESS__ADDRESS_ENVOY_INTERNAL_ADDRESS;
        address->envoy_internal_address = NEW(twin, Xds__InternalAddress,
                                              xds__internal_address__init);
    } else {
        address->address_case = XDS__ADDRESS__ADDRESS_SOCKET_ADDRESS;
        address->socket_address = NEW(twin, Xds__SocketAddress, xds__socket_address__init);
        address->socket_address->address = copy(twin, text);
        address->socket_address
            ->port_specifier_case = XDS__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE;
        address->socket_address->port_value = (uint32_t)strtoul(port ?: "0", NULL, 10);
    }
    return address;
}

static char *cut(char *text, char mark)
{
    char *at = strchr(text, mark);

    if (at)
        *at++ = '\0';
    return at;
}

/* The port is behind the last ':' of an IPv4 address or name, or behind "]:". */
static char *cut_port(char *text)
{
    char *colon = strrchr(text, ':');

    if (!colon || (strchr(text, ':') != colon && colon[-1] != ']'))
        return NULL;
    *colon = '\0';
    return colon + 1;
}

static const char *bare(char *text)
{
    size_t size = strlen(text);

    if (text[0] != '[')
        return text;
    text[size - 1] = '\0';
    return text + 1;
}

static Xds__LbEndpoint *endpoint_of(struct twin *twin, char *addresses, const char *health,
                                    const char *weight)
{
    Xds__LbEndpoint *endpoint = NEW(twin, Xds__LbEndpoint, xds__lb_endpoint__init);
    Xds__Endpoint *inner = NEW(twin, Xds__Endpoint, xds__endpoint__init);
    char *rest = addresses, *one = strsep(&rest, "+"), *port;

    port = cut_port(one);
    if (rest && !port)
        port = cut_port(rest);
    inner->address = address_of(twin, bare(one), port);
    while ((one = strsep(&rest, "+"))) {
        Xds__AdditionalAddress *more = NEW(twin, Xds__AdditionalAddress,
                                           xds__additional_address__init);

        more->address = address_of(twin, bare(one), port);
        inner->additional_addresses = append(twin, inner->additional_addresses,
                                             &inner->n_additional_addresses, more);
    }
    endpoint->host_identifier_case = XDS__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT;
    endpoint->endpoint = inner;
    if (health)
        endpoint->health_status = health_of(health);
    if (weight)
        endpoint->load_balancing_weight = number(twin, weight);
    return endpoint;
}

static Xds__LocalityLbEndpoints *locality_of(struct twin *twin,
                                             Xds__ClusterLoadAssignment *assignment,
                                             const char *zone, const char *weight,
                                             uint32_t priority)
{
    Xds__LocalityLbEndpoints *locality;

    for (size_t i = 0; i < assignment->n_endpoints; i++) {
        locality = assignment->endpoints[i];
        if (locality->priority == priority && streq(locality->locality->zone, zone))
            return locality;
    }
    locality = NEW(twin, Xds__LocalityLbEndpoints, xds__locality_lb_endpoints__init);
    locality->locality = NEW(twin, Xds__Locality, xds__locality__init);
    locality->locality->zone = copy(twin, zone);
    locality->locality->region = copy(twin, *zone ? "r1" : "");
    locality->priority = priority;
    if (weight)
        locality->load_balancing_weight = number(twin, weight);
    assignment->endpoints = append(twin, assignment->endpoints, &assignment->n_endpoints, locality);
    return locality;
}

static void add_endpoint(struct twin *twin, Xds__ClusterLoadAssignment *assignment, char *word)
{
    char *priority = cut(word, '#'), *zone = cut(word, '@'), *weight = cut(word, '*');
    char *health = cut(word, '/'), *share = zone ? cut(zone, '%') : NULL;
    Xds__LocalityLbEndpoints *locality = locality_of(
        twin, assignment, zone ?: "", share, priority ? (uint32_t)strtoul(priority, NULL, 10) : 0);

    locality->lb_endpoints = append(twin, locality->lb_endpoints, &locality->n_lb_endpoints,
                                    endpoint_of(twin, word, health, weight));
}

static Xds__ClusterLoadAssignment *assignment_of(struct twin *twin, const char *name,
                                                 const char *endpoints)
{
    Xds__ClusterLoadAssignment *assignment = NEW(twin, Xds__ClusterLoadAssignment,
                                                 xds__cluster_load_assignment__init);
    char *rest = copy(twin, endpoints), *word;

    assignment->cluster_name = copy(twin, name);
    while ((word = strsep(&rest, " ")))
        if (*word)
            add_endpoint(twin, assignment, word);
    return assignment;
}

static struct xds_server_resource made(struct twin *twin, const char *kind, const char *name,
                                       const ProtobufCMessage *message)
{
    struct xds_server_resource resource = {.kind = kind, .name = copy(twin, name), .version = "1"};

    resource.data = pack(twin, message, &resource.size);
    return resource;
}

static void set_stale_after(struct twin *twin, Xds__ClusterLoadAssignment *assignment,
                            unsigned seconds)
{
    if (seconds == 0)
        return;
    assignment->policy = NEW(twin, Xds__AssignmentPolicy, xds__assignment_policy__init);
    assignment->policy->endpoint_stale_after = NEW(twin, Xds__Duration, xds__duration__init);
    assignment->policy->endpoint_stale_after->seconds = seconds;
}

struct xds_server_resource xds_server_assignment(struct twin *twin, const char *name,
                                                 const char *endpoints, unsigned stale_sec)
{
    Xds__ClusterLoadAssignment *assignment = assignment_of(twin, name, endpoints);

    set_stale_after(twin, assignment, stale_sec);
    return made(twin, "endpoints", name, &assignment->base);
}

static Xds__CustomClusterType *aggregate_of(struct twin *twin, const char *clusters)
{
    Xds__CustomClusterType *type =
        NEW(twin, Xds__CustomClusterType, xds__custom_cluster_type__init);
    Xds__AggregateConfig *config = NEW(twin, Xds__AggregateConfig, xds__aggregate_config__init);
    char *rest = copy(twin, clusters), *word;

    while ((word = strsep(&rest, " ")))
        if (*word)
            config->clusters = append(twin, config->clusters, &config->n_clusters, word);
    type->name = copy(twin, "envoy.clusters.aggregate");
    type->typed_config = NEW(twin, Xds__Any, xds__any__init);
    type->typed_config->type_url = copy(twin, AGGREGATE_URL);
    type->typed_config->value.data = pack(twin, &config->base, &type->typed_config->value.len);
    return type;
}

struct xds_server_resource xds_server_cluster(struct twin *twin, const char *name, const char *how)
{
    Xds__Cluster *cluster = NEW(twin, Xds__Cluster, xds__cluster__init);
    unsigned stale_sec;
    int used;

    cluster->name = copy(twin, name);
    cluster->cluster_discovery_type_case = XDS__CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE;
    cluster->type = XDS__DISCOVERY_TYPE__EDS;
    if (strncmp(how, "eds:", 4) == 0) {
        cluster->eds_cluster_config = NEW(twin, Xds__EdsClusterConfig,
                                          xds__eds_cluster_config__init);
        cluster->eds_cluster_config->service_name = copy(twin, how + 4);
    } else if (strncmp(how, "static ", 7) == 0) {
        cluster->type = XDS__DISCOVERY_TYPE__STATIC;
        cluster->load_assignment = assignment_of(twin, name, how + 7);
    } else if (sscanf(how, "static/%u %n", &stale_sec, &used) == 1) {
        cluster->type = XDS__DISCOVERY_TYPE__STATIC;
        cluster->load_assignment = assignment_of(twin, name, how + used);
        set_stale_after(twin, cluster->load_assignment, stale_sec);
    } else if (strncmp(how, "dns ", 4) == 0) {
        cluster->type = XDS__DISCOVERY_TYPE__STRICT_DNS;
        cluster->load_assignment = assignment_of(twin, name, how + 4);
    } else if (strncmp(how, "aggregate ", 10) == 0) {
        cluster->cluster_discovery_type_case = XDS__CLUSTER__CLUSTER_DISCOVERY_TYPE_CLUSTER_TYPE;
        cluster->cluster_type = aggregate_of(twin, how + 10);
    } else if (streq(how, "original_dst")) {
        cluster->type = XDS__DISCOVERY_TYPE__ORIGINAL_DST;
    }
    return made(twin, "cluster", name, &cluster->base);
}

/* ---- routes ---- */

static void add_clusters(struct twin *twin, Xds__RouteAction *action, char *clusters)
{
    char *rest = clusters, *word;

    if (!strchr(clusters, '*')) {
        action->cluster_specifier_case = XDS__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER;
        action->cluster = copy(twin, clusters);
        return;
    }
    action->cluster_specifier_case = XDS__ROUTE_ACTION__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS;
    action->weighted_clusters = NEW(twin, Xds__WeightedCluster, xds__weighted_cluster__init);
    while ((word = strsep(&rest, ","))) {
        Xds__ClusterWeight *one = NEW(twin, Xds__ClusterWeight, xds__cluster_weight__init);

        one->weight = number(twin, cut(word, '*'));
        one->name = copy(twin, word);
        action->weighted_clusters->clusters = append(twin, action->weighted_clusters->clusters,
                                                     &action->weighted_clusters->n_clusters, one);
    }
}

static Xds__VirtualHost *host_of(struct twin *twin, char *word)
{
    Xds__VirtualHost *host = NEW(twin, Xds__VirtualHost, xds__virtual_host__init);
    Xds__Route *route = NEW(twin, Xds__Route, xds__route__init);
    char *clusters = cut(word, '='), *rest = word, *domain;

    host->name = copy(twin, word);
    while ((domain = strsep(&rest, ",")))
        host->domains = append(twin, host->domains, &host->n_domains, copy(twin, domain));
    route->match = NEW(twin, Xds__RouteMatch, xds__route_match__init);
    route->match->path_specifier_case = XDS__ROUTE_MATCH__PATH_SPECIFIER_PREFIX;
    route->match->prefix = copy(twin, "/");
    route->route = NEW(twin, Xds__RouteAction, xds__route_action__init);
    add_clusters(twin, route->route, clusters);
    host->routes = append(twin, host->routes, &host->n_routes, route);
    return host;
}

static Xds__RouteConfiguration *route_of(struct twin *twin, const char *name, const char *hosts)
{
    Xds__RouteConfiguration *route = NEW(twin, Xds__RouteConfiguration,
                                         xds__route_configuration__init);
    char *rest = copy(twin, hosts), *word;

    route->name = copy(twin, name);
    while ((word = strsep(&rest, " ")))
        if (*word)
            route->virtual_hosts = append(twin, route->virtual_hosts, &route->n_virtual_hosts,
                                          host_of(twin, word));
    return route;
}

struct xds_server_resource xds_server_route(struct twin *twin, const char *name, const char *hosts)
{
    return made(twin, "route", name, &route_of(twin, name, hosts)->base);
}

struct xds_server_resource xds_server_listener(struct twin *twin, const char *name,
                                               const char *routes)
{
    Xds__HttpConnectionManager *manager = NEW(twin, Xds__HttpConnectionManager,
                                              xds__http_connection_manager__init);
    Xds__Listener *listener = NEW(twin, Xds__Listener, xds__listener__init);
    Xds__Any *any = NEW(twin, Xds__Any, xds__any__init);

    if (strchr(routes, '=')) {
        manager->route_specifier_case = XDS__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_ROUTE_CONFIG;
        manager->route_config = route_of(twin, "inline", routes);
    } else {
        manager->route_specifier_case = XDS__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_RDS;
        manager->rds = NEW(twin, Xds__Rds, xds__rds__init);
        manager->rds->route_config_name = copy(twin, routes);
    }
    any->type_url = copy(twin, MANAGER_URL);
    any->value.data = pack(twin, &manager->base, &any->value.len);
    listener->name = copy(twin, name);
    listener->api_listener = NEW(twin, Xds__ApiListener, xds__api_listener__init);
    listener->api_listener->api_listener = any;
    return made(twin, "listener", name, &listener->base);
}

/* ---- raw messages: tables and responses, which have no struct ---- */

struct bytes {
    uint8_t *data;
    size_t size;
};

static void put_varint(struct bytes *bytes, size_t value)
{
    for (; value > 0x7f; value >>= 7)
        bytes->data[bytes->size++] = (uint8_t)(value | 0x80);
    bytes->data[bytes->size++] = (uint8_t)value;
}

static void put_field(struct bytes *bytes, unsigned field, const void *data, size_t size)
{
    bytes->data = realloc(bytes->data, bytes->size + size + 32);
    UNIT_HOLDS(bytes->data);
    put_varint(bytes, field << 3 | 2);
    put_varint(bytes, size);
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

static void put_text(struct bytes *bytes, unsigned field, const char *text)
{
    if (text && *text)
        put_field(bytes, field, text, strlen(text));
}

struct xds_server_resource xds_server_names(struct twin *twin, const char *hosts)
{
    struct xds_server_resource resource = {.kind = "names", .name = "", .version = "1"};
    struct bytes table = {NULL, 0};
    char *rest = copy(twin, hosts), *word;

    while ((word = strsep(&rest, " "))) {
        Xds__NameEntry *entry = NEW(twin, Xds__NameEntry, xds__name_entry__init);
        char *addresses = cut(word, '='), *one;
        uint8_t *data;
        size_t size;

        entry->key = copy(twin, word);
        entry->value = NEW(twin, Xds__NameInfo, xds__name_info__init);
        while (addresses && (one = strsep(&addresses, ",")))
            entry->value->ips = append(twin, entry->value->ips, &entry->value->n_ips,
                                       copy(twin, one));
        data = pack(twin, &entry->base, &size);
        put_field(&table, 1, data, size);
    }
    resource.data = twin_keep(twin, table.data ?: calloc(1, 1));
    resource.size = table.size;
    return resource;
}

struct xds_server_resource xds_server_broken(const char *kind, const char *name)
{
    static uint8_t garbage[] = {0x0a, 0x7f, 'x'};

    return (struct xds_server_resource){kind, name, "1", garbage, sizeof(garbage)};
}

static const char *url_of(const char *word)
{
    for (unsigned kind = 0; kind < XDS_KINDS; kind++)
        if (streq(xds_kind_to_string(kind), word))
            return xds_kind_url(kind);
    return word;
}

static struct bytes any_of(const struct xds_server_resource *resource)
{
    struct bytes any = {NULL, 0};

    put_text(&any, 1, url_of(resource->kind));
    put_field(&any, 2, resource->data ?: (const uint8_t *)"", resource->size);
    return any;
}

static struct bytes wrapped(const struct xds_server_resource *resource)
{
    struct bytes any = any_of(resource), outer = {NULL, 0};

    put_text(&outer, 1, resource->version);
    if (resource->data)
        put_field(&outer, 2, any.data, any.size);
    put_text(&outer, 3, resource->name);
    if (!resource->data)
        put_field(&outer, 6, "\x08\x05", 2); /* 5 s */
    free(any.data);
    return outer;
}

static void put_resource(struct bytes *bytes, const struct xds_server_resource *resource,
                         bool delta, bool wrap)
{
    struct bytes inner, any = {NULL, 0};

    if (delta || wrap)
        inner = wrapped(resource);
    else
        inner = any_of(resource);
    if (wrap) {
        put_text(&any, 1, "type.googleapis.com/envoy.service.discovery.v3.Resource");
        put_field(&any, 2, inner.data, inner.size);
        put_field(bytes, 2, any.data, any.size);
    } else {
        put_field(bytes, 2, inner.data, inner.size);
    }
    free(any.data);
    free(inner.data);
}

static void put_removed(struct bytes *bytes, const char *name, bool as_name)
{
    struct bytes inner = {NULL, 0};

    if (as_name) {
        put_text(&inner, 1, name);
        put_field(bytes, 8, inner.data, inner.size);
    } else {
        put_text(bytes, 6, name);
    }
    free(inner.data);
}

static void put_error(struct twin *twin, struct bytes *bytes, const char *text, unsigned field)
{
    Xds__ResourceError *error = NEW(twin, Xds__ResourceError, xds__resource_error__init);
    char *name = copy(twin, text), *code = cut(name, '=');
    uint8_t *data;
    size_t size;

    error->resource_name = NEW(twin, Xds__ResourceName, xds__resource_name__init);
    error->resource_name->name = name;
    error->error_detail = NEW(twin, Xds__Status, xds__status__init);
    error->error_detail->code = atoi(code);
    error->error_detail->message = copy(twin, "of the server");
    data = pack(twin, &error->base, &size);
    put_field(bytes, field, data, size);
}

uint8_t *xds_server_encode(struct twin *twin, bool delta, const struct xds_server_says *says,
                           size_t *ret_size)
{
    struct bytes bytes = {NULL, 0};
    char *rest, *word;

    put_text(&bytes, 1, says->version);
    for (size_t i = 0; i < says->count; i++)
        put_resource(&bytes, &says->resources[i], delta, says->wrapped);
    put_text(&bytes, 4, url_of(says->kind));
    put_text(&bytes, 5, says->nonce);
    rest = says->removed ? copy(twin, says->removed) : NULL;
    while (rest && (word = strsep(&rest, " ")))
        put_removed(&bytes, word, says->removed_as_names);
    if (says->errors)
        put_error(twin, &bytes, says->errors, delta ? 9 : 7);
    *ret_size = bytes.size;
    return twin_keep(twin, bytes.data ?: calloc(1, 1));
}

void xds_server_answer(struct twin *twin, struct grpc_call *call, bool delta,
                       const struct xds_server_says *says)
{
    size_t size;
    uint8_t *data = xds_server_encode(twin, delta, says, &size);

    twin_grpc_answer(call, data, size);
}

/* ---- requests ---- */

static void put_list(FILE *stream, const char *before, char *const *names, size_t count)
{
    fprintf(stream, "%s[", before);
    for (size_t i = 0; i < count; i++)
        fprintf(stream, "%s%s", i > 0 ? " " : "", names[i]);
    fprintf(stream, "]");
}

static void put_kind(FILE *stream, const char *url)
{
    int kind = xds_kind_from_url(url, strlen(url));

    fprintf(stream, "%s", kind < 0 ? url : xds_kind_to_string((enum xds_kind)kind));
}

static void put_rest(FILE *stream, const char *version, const char *nonce, const Xds__Node *node,
                     const Xds__Status *error)
{
    if (*version)
        fprintf(stream, " v=%s", version);
    if (*nonce)
        fprintf(stream, " n=%s", nonce);
    if (node)
        fprintf(stream, " node");
    if (node && node->locality)
        fprintf(stream, "@%s/%s", node->locality->region, node->locality->zone);
    if (error)
        fprintf(stream, " error=%s", error->message);
}

static void put_world(FILE *stream, const void *data, size_t size)
{
    Xds__DiscoveryRequest *request = xds__discovery_request__unpack(NULL, size, data);

    UNIT_HOLDS(request);
    put_kind(stream, request->type_url);
    put_list(stream, " ", request->resource_names, request->n_resource_names);
    put_rest(stream, request->version_info, request->response_nonce, request->node,
             request->error_detail);
    xds__discovery_request__free_unpacked(request, NULL);
}

static void put_delta(FILE *stream, const void *data, size_t size)
{
    Xds__DeltaDiscoveryRequest *request = xds__delta_discovery_request__unpack(NULL, size, data);

    UNIT_HOLDS(request);
    put_kind(stream, request->type_url);
    if (request->n_resource_names_subscribe > 0)
        put_list(stream, " +", request->resource_names_subscribe,
                 request->n_resource_names_subscribe);
    if (request->n_resource_names_unsubscribe > 0)
        put_list(stream, " -", request->resource_names_unsubscribe,
                 request->n_resource_names_unsubscribe);
    for (size_t i = 0; i < request->n_initial_resource_versions; i++)
        fprintf(stream, "%s%s:%s%s", i == 0 ? " held={" : " ",
                request->initial_resource_versions[i]->key,
                request->initial_resource_versions[i]->value,
                i + 1 == request->n_initial_resource_versions ? "}" : "");
    put_rest(stream, "", request->response_nonce, request->node, request->error_detail);
    xds__delta_discovery_request__free_unpacked(request, NULL);
}

const char *xds_server_request(struct twin *twin, struct grpc_call *call)
{
    size_t size, text_size;
    const void *data = twin_grpc_take(call, &size);
    char *text = NULL;
    FILE *stream;

    if (!data)
        return "";
    stream = open_memstream(&text, &text_size);
    UNIT_HOLDS(stream);
    if (strstr(twin_grpc_request(call)->path, "Delta"))
        put_delta(stream, data, size);
    else
        put_world(stream, data, size);
    fclose(stream);
    return twin_keep(twin, text);
}
