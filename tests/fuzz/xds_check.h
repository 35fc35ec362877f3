/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What must hold of whatever was made of a control plane's bytes; for the fuzz targets. */
#pragma once

#include <stdio.h>

#include "daemon/registry/xds/document.h"

#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static const struct registry_config check_config = {.name = (char *)"fuzz"};
static const struct xds_document_rules check_rules = {.config = &check_config};

static inline void check_assignment(const struct xds_assignment *assignment, bool names)
{
    const struct endpoint_set *set = assignment->endpoints;

    require(set && set->count <= ENDPOINTS_MAX);
    for (uint32_t i = 0; i < set->count; i++) {
        const struct endpoint *endpoint = &set->endpoints[i];

        require(endpoint->weight > 0);
        require(endpoint->address_count > 0 || (names && endpoint->target[0]));
        for (uint16_t j = 0; j < endpoint->address_count; j++)
            require(!address_refusal(&endpoint->addresses[j], false));
    }
}

static inline void check_route(const struct xds_route *route)
{
    const struct xds_route_host *host = xds_route_find(route, "shop.example");

    require(route->count <= 65536);
    for (size_t i = 0; i < route->count; i++)
        require(route->hosts[i].domain && route->hosts[i].count <= XDS_ROUTED_MAX);
    require(!host || (host >= route->hosts && host < route->hosts + route->count));
}

static inline void check_value(const struct xds_value *value)
{
    switch (value->kind) {
    case XDS_CLUSTER:
        if (value->cluster.type == XDS_CLUSTER_INLINE)
            check_assignment(&value->cluster.assignment, true);
        require((value->cluster.type == XDS_CLUSTER_AGGREGATE) == (value->cluster.members != NULL));
        require(!value->cluster.members || value->cluster.members[0]);
        require((value->cluster.type == XDS_CLUSTER_EDS) == (value->cluster.service_name != NULL));
        return;
    case XDS_ENDPOINTS:
        check_assignment(&value->assignment, false);
        return;
    case XDS_LISTENER:
    case XDS_ROUTE:
        check_route(&value->route);
        return;
    case XDS_NAMES:
        break;
    }
    require(false);
}
