/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Resources of a control plane: bytes to what we keep of them. Pure; every byte comes from outside.
 *
 * A resource that cannot be used is refused as a whole with a reason, which the control plane is
 * told (NACK). What is refused and what is merely passed over follows gRPC's clients: a gap in the
 * priorities, a weight of 0, an address that is no address and a port above 65535 spoil a resource;
 * an aggregate of more clusters than XDS_ROUTED_MAX does likewise; pipes, internal addresses and
 * addresses that may not be handed out (registry.h) are passed over.
 */
#pragma once

#include "daemon/registry/registry.h"

enum xds_kind {
    XDS_CLUSTER,
    XDS_ENDPOINTS, /* a ClusterLoadAssignment */
    XDS_LISTENER,
    XDS_ROUTE, /* a RouteConfiguration */
    XDS_NAMES, /* Istio's name table */
};
enum { XDS_KINDS = XDS_NAMES + 1 };

/* "type.googleapis.com/envoy...", and "cluster", "endpoints", ... for people. */
const char *xds_kind_url(enum xds_kind kind);
const char *xds_kind_to_string(enum xds_kind kind);
/* A kind, or -ENOENT: none of ours. */
int xds_kind_from_url(const char *url, size_t size);

enum {
    XDS_NAME_MAX = 1024, /* bytes of the name of a resource */
    XDS_REASON_SIZE = 256,
    XDS_RESOURCE_MAX = 16 << 20, /* bytes of one resource */
    XDS_ROUTED_MAX = 64,         /* clusters that one host, or one aggregate, leads to */
    XDS_ROUTED_WHOLE = 1000 * 1000 * 1000,
};

/* Where the endpoints of a cluster come from. */
enum xds_cluster_type {
    XDS_CLUSTER_EDS,       /* the resource `service_name` */
    XDS_CLUSTER_INLINE,    /* in itself: addresses, or host names to resolve */
    XDS_CLUSTER_AGGREGATE, /* other clusters, best first (gRPC A37) */
    XDS_CLUSTER_OTHER,     /* nowhere (ORIGINAL_DST): it has none of its own */
};

/* A ClusterLoadAssignment. */
struct xds_assignment {
    struct endpoint_set *endpoints;
    usec_t stale_after;            /* endpoint_stale_after; 0: none */
    unsigned refused;              /* addresses passed over */
    char refusal[XDS_REASON_SIZE]; /* one of them and why; "" */
};

struct xds_cluster {
    enum xds_cluster_type type;
    char *service_name;               /* EDS: the assignment's name */
    struct xds_assignment assignment; /* INLINE */
    char **members;                   /* AGGREGATE: at least one, NULL-terminated */
};

struct xds_routed {
    char *cluster;
    uint32_t weight; /* parts of XDS_ROUTED_WHOLE of the requests for the host */
};

/* Hosts of a listener or RouteConfiguration, and the clusters that they lead to. */
struct xds_route_host {
    char *domain; /* folded; "*", "*.suffix", "prefix.*" are patterns */
    struct xds_routed *clusters;
    size_t count;
    unsigned left_out; /* clusters more than XDS_ROUTED_MAX */
    bool shares; /* the clusters are those of the host before: one virtual host has both domains */
};

struct xds_route {
    char *route_name; /* a listener that leads to a RouteConfiguration; else NULL and the hosts: */
    struct xds_route_host *hosts;
    size_t count;
};

/* What was made of a resource of any kind. */
struct xds_value {
    enum xds_kind kind;
    union {
        struct xds_cluster cluster;
        struct xds_assignment assignment;
        struct xds_route route; /* XDS_LISTENER, XDS_ROUTE */
    };
};

struct xds_document_rules {
    const struct registry_config *config; /* AllowAddresses= */
    bool loopback;
};

/*
 * Decodes one resource of a kind (but XDS_NAMES). `ret_name` is what it calls itself, if that could
 * be read, else "". 0; -EBADMSG: refused, `ret_reason` says why; -ENOMEM. free with
 * xds_value_free().
 */
int xds_document_decode(enum xds_kind kind, const struct xds_document_rules *rules,
                        const uint8_t *data, size_t size, char ret_name[static XDS_NAME_MAX + 1],
                        struct xds_value **ret_value, char ret_reason[static XDS_REASON_SIZE]);
/* The same from proto3-JSON (`text` of jansson's json_t). */
int xds_document_decode_json(enum xds_kind kind, const struct xds_document_rules *rules,
                             const json_t *object, char ret_name[static XDS_NAME_MAX + 1],
                             struct xds_value **ret_value, char ret_reason[static XDS_REASON_SIZE]);
struct xds_value *xds_value_free(struct xds_value *value); /* takes NULL, returns NULL */

/* The clusters that `host` (folded) leads to by the rules of virtual hosts; NULL: none. */
const struct xds_route_host *xds_route_find(const struct xds_route *route, const char *host);

/* An entry of a name table: what `take` is told. */
struct xds_name_entry {
    char name[NAME_SIZE]; /* folded; may begin with "*." */
    struct address *addresses;
    size_t count;
};
/* 0; -EBADMSG: no protobuf; -ENOENT: no entry of use; else an error of memory. The addresses are
 * the caller's to free(). */
int xds_document_name_entry(const uint8_t *data, size_t size, struct xds_name_entry *ret_entry);
