/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/assignment.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    WEIGHT_PRECISION = 100,
    WEIGHT_MAX = 10 * 1000 * 1000,
    STALE_AFTER_MAX_SEC = 365 * 24 * 3600,
    PRIORITY_MAX = 128, /* of Envoy's API */
};

struct work {
    const struct xds_document_rules *rules;
    struct xds_assignment *assignment;
    struct endpoint_builder *builder;
    bool names_ok, weighted; /* some locality has a weight */
    double *shares;          /* of each endpoint, in the order of the message */
    size_t count;            /* endpoints in the message */
    double smallest;         /* of the shares */
    char *reason;
};

static int _printf_(2, 3) refuse(struct work *work, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(work->reason, XDS_REASON_SIZE, format, arguments);
    va_end(arguments);
    return -EBADMSG;
}

/* ---- weights ---- */

static bool is_ready(const Xds__LbEndpoint *endpoint)
{
    switch (endpoint->health_status) {
    case XDS__HEALTH_STATUS__UNKNOWN:
    case XDS__HEALTH_STATUS__HEALTHY:
    case XDS__HEALTH_STATUS__DEGRADED:
        return true;
    default:
        return false;
    }
}

/* A weight of 0 is refused later. */
static double own_weight(const Xds__LbEndpoint *endpoint)
{
    uint32_t weight = endpoint->load_balancing_weight ? endpoint->load_balancing_weight->value : 1;

    return weight ?: 1;
}

/* Takes no part: nothing of it is handed out. */
static bool is_weightless(const Xds__LocalityLbEndpoints *locality)
{
    return locality->load_balancing_weight && locality->load_balancing_weight->value == 0;
}

static double locality_sum(const Xds__LocalityLbEndpoints *locality)
{
    double ready = 0, all = 0;

    for (size_t i = 0; i < locality->n_lb_endpoints; i++) {
        double weight = own_weight(locality->lb_endpoints[i]);

        all += weight;
        ready += is_ready(locality->lb_endpoints[i]) ? weight : 0;
    }
    return ready > 0 ? ready : all;
}

static void share_locality(struct work *work, const Xds__LocalityLbEndpoints *locality,
                           double *shares)
{
    double factor = 1;

    if (work->weighted)
        factor = (locality->load_balancing_weight ? locality->load_balancing_weight->value : 1) /
                 locality_sum(locality);
    for (size_t i = 0; i < locality->n_lb_endpoints; i++) {
        shares[i] = own_weight(locality->lb_endpoints[i]) * factor;
        if (work->smallest == 0 || shares[i] < work->smallest)
            work->smallest = shares[i];
    }
}

static uint32_t greatest_divisor(uint32_t a, uint32_t b)
{
    while (b != 0) {
        uint32_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

static uint32_t scaled(const struct work *work, double share)
{
    double weight = share / work->smallest * WEIGHT_PRECISION + 0.5;

    return weight > WEIGHT_MAX ? WEIGHT_MAX : weight < 1 ? 1 : (uint32_t)weight;
}

static uint32_t common_divisor(const struct work *work)
{
    uint32_t divisor = 0;

    for (size_t i = 0; i < work->count; i++)
        if (work->shares[i] > 0)
            divisor = greatest_divisor(scaled(work, work->shares[i]), divisor);
    return divisor ?: 1;
}

static int make_shares(struct work *work, const Xds__ClusterLoadAssignment *message)
{
    double *shares;

    for (size_t i = 0; i < message->n_endpoints; i++) {
        work->weighted |= message->endpoints[i]->load_balancing_weight != NULL;
        work->count += message->endpoints[i]->n_lb_endpoints;
    }
    shares = work->shares = calloc(work->count + 1, sizeof(*work->shares));
    if (!shares)
        return -ENOMEM;
    for (size_t i = 0; i < message->n_endpoints; i++) {
        if (!is_weightless(message->endpoints[i]))
            share_locality(work, message->endpoints[i], shares);
        shares += message->endpoints[i]->n_lb_endpoints;
    }
    return 0;
}

/* ---- priorities: 0, 1, 2, ..., 128 at most, without a gap ---- */

static int check_priorities(struct work *work, const Xds__ClusterLoadAssignment *message)
{
    bool seen[PRIORITY_MAX + 1] = {false};

    for (size_t i = 0; i < message->n_endpoints; i++) {
        uint32_t priority = message->endpoints[i]->priority;

        if (priority > PRIORITY_MAX)
            return refuse(work, "priority %u is above %u", priority, PRIORITY_MAX);
        seen[priority] = true;
    }
    for (uint32_t priority = 1; priority <= PRIORITY_MAX; priority++)
        if (seen[priority] && !seen[priority - 1])
            return refuse(work, "priority %u without the one before it", priority);
    return 0;
}

/* ---- endpoints ---- */

static enum endpoint_health health_of(const Xds__LbEndpoint *endpoint)
{
    switch (endpoint->health_status) {
    case XDS__HEALTH_STATUS__UNKNOWN: /* nobody checks: usable (gRPC A27) */
    case XDS__HEALTH_STATUS__HEALTHY:
        return HEALTH_PASSING;
    case XDS__HEALTH_STATUS__DEGRADED:
        return HEALTH_WARNING;
    case XDS__HEALTH_STATUS__DRAINING:
        return HEALTH_TERMINATING;
    case XDS__HEALTH_STATUS__UNHEALTHY:
    case XDS__HEALTH_STATUS__TIMEOUT:
        return HEALTH_CRITICAL;
    default:
        return HEALTH_UNKNOWN;
    }
}

static void pass_over(struct work *work, const char *what, const char *why)
{
    if (work->assignment->refused++ == 0)
        snprintf(work->assignment->refusal, XDS_REASON_SIZE, "%.100s: %.100s", what, why);
}

/* The socket address, or NULL: it is of no use to a program that asks for an address. */
static const Xds__SocketAddress *socket_of(struct work *work, const Xds__Address *address)
{
    switch (address ? address->address_case : XDS__ADDRESS__ADDRESS__NOT_SET) {
    case XDS__ADDRESS__ADDRESS_SOCKET_ADDRESS:
        return address->socket_address;
    case XDS__ADDRESS__ADDRESS_PIPE:
        pass_over(work, address->pipe->path, "a socket of one machine");
        return NULL;
    case XDS__ADDRESS__ADDRESS_ENVOY_INTERNAL_ADDRESS:
        pass_over(work, address->envoy_internal_address->server_listener_name,
                  "a listener inside of Envoy");
        return NULL;
    default:
        pass_over(work, "an endpoint", "no address");
        return NULL;
    }
}

static bool may_hand_out(struct work *work, const struct address *address)
{
    const char *refusal = registry_address_refusal(work->rules->config, work->rules->loopback,
                                                   address);
    char text[INET6_ADDRSTRLEN];

    if (!refusal)
        return true;
    address_to_string(address, text);
    pass_over(work, text, refusal);
    return false;
}

static int check_port(struct work *work, const Xds__SocketAddress *socket)
{
    if (socket->port_specifier_case == XDS__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE &&
        socket->port_value > UINT16_MAX)
        return refuse(work, "port %u of %.100s", socket->port_value, socket->address);
    return 0;
}

static uint16_t port_of(const Xds__SocketAddress *socket)
{
    return socket->port_specifier_case == XDS__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE
               ? (uint16_t)socket->port_value
               : 0;
}

static void begin(struct work *work, const Xds__SocketAddress *socket)
{
    char name[INET6_ADDRSTRLEN + NAME_SIZE + 8];
    uint16_t port = port_of(socket);

    if (port == 0)
        snprintf(name, sizeof(name), "%.253s", socket->address);
    else
        snprintf(name, sizeof(name), strchr(socket->address, ':') ? "[%.253s]:%u" : "%.253s:%u",
                 socket->address, port);
    endpoint_builder_begin(work->builder, name);
    if (port != 0)
        endpoint_builder_port(work->builder, "", socket->protocol == 1 ? "udp" : "tcp", port);
}

/* 1: begun; 0: passed over. */
static int begin_named(struct work *work, const Xds__SocketAddress *socket)
{
    char target[NAME_SIZE];

    if (!work->names_ok)
        return refuse(work, "'%.100s' is no address", socket->address);
    if (name_fold(socket->address, SIZE_MAX, target, NULL) == 0)
        return refuse(work, "'%.100s' is neither an address nor a host name", socket->address);
    begin(work, socket);
    endpoint_builder_target(work->builder, target);
    return 1;
}

static int add_other_addresses(struct work *work, const Xds__Endpoint *endpoint)
{
    for (size_t i = 0; i < endpoint->n_additional_addresses; i++) {
        const Xds__SocketAddress *socket = socket_of(work,
                                                     endpoint->additional_addresses[i]->address);
        struct address address;

        if (!socket)
            continue;
        if (address_from_string(socket->address, &address) < 0)
            return refuse(work, "'%.100s' is no address", socket->address);
        if (may_hand_out(work, &address))
            endpoint_builder_address(work->builder, &address);
    }
    return 1;
}

/* 1: begun; 0: passed over. */
static int begin_endpoint(struct work *work, const Xds__Endpoint *endpoint)
{
    const Xds__SocketAddress *socket = socket_of(work, endpoint->address);
    struct address address;
    int r;

    if (!socket)
        return 0;
    r = check_port(work, socket);
    if (r < 0)
        return r;
    if (address_from_string(socket->address, &address) < 0)
        return begin_named(work, socket);
    if (!may_hand_out(work, &address))
        return 0;
    begin(work, socket);
    endpoint_builder_address(work->builder, &address);
    return add_other_addresses(work, endpoint);
}

static int add_endpoint(struct work *work, const Xds__LocalityLbEndpoints *locality,
                        const Xds__LbEndpoint *endpoint, uint32_t weight)
{
    const Xds__Locality *place = locality->locality;
    int r;

    if (endpoint->load_balancing_weight && endpoint->load_balancing_weight->value == 0)
        return refuse(work, "an endpoint of weight 0");
    if (endpoint->host_identifier_case != XDS__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT)
        return 0;
    r = begin_endpoint(work, endpoint->endpoint);
    if (r <= 0)
        return r;
    if (strlen(endpoint->endpoint->hostname) < ENDPOINT_STRING_MAX)
        endpoint_builder_hostname(work->builder, endpoint->endpoint->hostname);
    if (place)
        endpoint_builder_locality(work->builder, place->zone, place->region);
    endpoint_builder_health(work->builder, health_of(endpoint));
    endpoint_builder_priority(work->builder, (uint16_t)locality->priority);
    endpoint_builder_weight(work->builder, weight);
    return 0;
}

static int add_endpoints(struct work *work, const Xds__ClusterLoadAssignment *message)
{
    uint32_t divisor = common_divisor(work);
    const double *share = work->shares;
    int r = 0;

    for (size_t i = 0; i < message->n_endpoints; i++) {
        const Xds__LocalityLbEndpoints *locality = message->endpoints[i];

        for (size_t j = 0; j < locality->n_lb_endpoints && r == 0; j++, share++)
            if (!is_weightless(locality))
                r = add_endpoint(work, locality, locality->lb_endpoints[j],
                                 scaled(work, *share) / divisor);
    }
    return r;
}

/* ---- the whole ---- */

static usec_t stale_after(const Xds__ClusterLoadAssignment *message)
{
    const Xds__Duration *duration = message->policy ? message->policy->endpoint_stale_after : NULL;

    if (!duration || duration->seconds < 0 || duration->seconds > STALE_AFTER_MAX_SEC ||
        duration->nanos < 0 || duration->nanos > 999999999)
        return 0;
    return (usec_t)duration->seconds * USEC_PER_SEC + (usec_t)duration->nanos / 1000;
}

static int make(struct work *work, const Xds__ClusterLoadAssignment *message)
{
    int r = check_priorities(work, message);

    if (r == 0)
        r = make_shares(work, message);
    if (r == 0)
        r = add_endpoints(work, message);
    if (r < 0)
        return r;
    r = endpoint_builder_finish(work->builder, &work->assignment->endpoints);
    return r == -E2BIG ? refuse(work, "more than %u endpoints, or a string over %u bytes",
                                ENDPOINTS_MAX, ENDPOINT_STRING_MAX - 1)
                       : r;
}

int xds_assignment_make(const Xds__ClusterLoadAssignment *message,
                        const struct xds_document_rules *rules, bool names_ok,
                        struct xds_assignment *ret_assignment,
                        char ret_reason[static XDS_REASON_SIZE])
{
    struct work work = {.rules = rules,
                        .assignment = ret_assignment,
                        .builder = endpoint_builder_new(),
                        .names_ok = names_ok,
                        .reason = ret_reason};
    int r;

    *ret_assignment = (struct xds_assignment){.stale_after = stale_after(message)};
    r = work.builder ? make(&work, message) : -ENOMEM;
    free(work.shares);
    endpoint_builder_free(work.builder);
    return r;
}
