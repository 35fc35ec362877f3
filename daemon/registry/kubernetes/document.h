/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kubernetes objects as JSON, made into the structs that the registry keeps. Pure; every byte comes
 * from outside: shapes are checked, counts and strings capped, null is absent is empty, and an
 * object that cannot be used is refused with a reason.
 *
 * Source: core/v1 Service, Endpoints; discovery.k8s.io/v1 and v1beta1 EndpointSlice (API
 * reference).
 */
#pragma once

#include <jansson.h>

#include "daemon/endpoint.h"

enum {
    KUBERNETES_NAME_MAX = 63,    /* DNS label: services, namespaces, host names, ports (15) */
    KUBERNETES_OBJECT_MAX = 253, /* names of slices */
    KUBERNETES_VIPS_MAX = 2,
    KUBERNETES_PORTS_MAX = 100,
    KUBERNETES_INGRESS_MAX = 64,
    KUBERNETES_SLICE_MAX = 1000, /* endpoints of a slice */
    KUBERNETES_UID_SIZE = 40,
};

enum kubernetes_resource {
    KUBERNETES_SERVICES,
    KUBERNETES_SLICES,
    KUBERNETES_NAMESPACES, /* they have no namespace: "" */
    KUBERNETES_RESOURCES,
};

struct kubernetes_port {
    char *name;           /* "": unnamed */
    const char *protocol; /* "tcp", "udp", "sctp" */
    uint16_t number;      /* of a service: its own; of a slice: the pods'; 0: undefined */
};

enum kubernetes_service_kind {
    KUBERNETES_CLUSTER_IP, /* also NodePort and LoadBalancer */
    KUBERNETES_HEADLESS,
    KUBERNETES_EXTERNAL_NAME,
};

/* Strings are non-NULL. */
struct kubernetes_service {
    char *namespace, *name, *version; /* version: metadata.resourceVersion */
    char uid[KUBERNETES_UID_SIZE];
    enum kubernetes_service_kind kind;
    struct address vips[KUBERNETES_VIPS_MAX]; /* none yet: count 0 */
    size_t vip_count;
    char *external_name; /* folded, no trailing dot; "": none, or not a name */
    struct kubernetes_port *ports;
    size_t port_count;
    struct address *ingress_addresses; /* of the load balancer, and externalIPs */
    size_t ingress_address_count;
    char **ingress_hosts; /* NULL-terminated */
    bool publish_not_ready;
    bool internal_local; /* internalTrafficPolicy: Local */
};

/* Strings are the slice's. */
struct kubernetes_strings;
struct kubernetes_endpoint {
    struct address address;
    const char *hostname;            /* "" */
    const char *pod;                 /* targetRef of kind Pod, or "" */
    const char *node, *zone;         /* "" */
    char **hint_zones, **hint_nodes; /* NULL-terminated, or NULL: no hints of this kind */
    bool ready, serving, terminating;
};

struct kubernetes_slice {
    char *namespace, *name, *version;
    char uid[KUBERNETES_UID_SIZE];
    char *service; /* the label kubernetes.io/service-name; of Endpoints: its name */
    struct kubernetes_port *ports;
    size_t port_count;
    struct kubernetes_endpoint *endpoints; /* none: a placeholder, or addressType FQDN */
    size_t endpoint_count;
    struct kubernetes_strings *strings; /* of its endpoints */
};

/* 0, -ENOMEM, or -EBADMSG and *ret_reason (static text). *ret is the caller's to free. */
int kubernetes_service_parse(const json_t *object, struct kubernetes_service **ret_service,
                             const char **ret_reason);
struct kubernetes_service *kubernetes_service_free(struct kubernetes_service *service);

/* Any of EndpointSlice v1, v1beta1 and core Endpoints, told apart by what they have. A slice
 * without the label of a service is -EBADMSG too. */
int kubernetes_slice_parse(const json_t *object, struct kubernetes_slice **ret_slice,
                           const char **ret_reason);
struct kubernetes_slice *kubernetes_slice_free(struct kubernetes_slice *slice);
/* Keeps the first `count` endpoints. */
void kubernetes_slice_shorten(struct kubernetes_slice *slice, size_t count);

/* namespace, name and resourceVersion of any object; false: it has none. Borrowed from `object`. */
bool kubernetes_object_id(const json_t *object, const char **ret_namespace, const char **ret_name,
                          const char **ret_version);
