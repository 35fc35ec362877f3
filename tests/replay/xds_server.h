/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A control plane in the words of a story: requests as text, responses from text. It knows the
 * messages (proto/xds.proto) and none of the protocol: what is said when is the story's.
 */
#pragma once

#include "tests/replay/twin.h"

/* Endless stories do not happen: memory of what these return is kept till the test ends. */

/*
 * The next request on a stream as text; "" if there is none. SotW: "KIND [names]", delta: "KIND
 * +[names] -[names] held={name:version}"; then, where they are there, " v=VERSION", " n=NONCE",
 * " node" or " node@REGION/ZONE", " error=TEXT".
 */
const char *xds_server_request(struct twin *twin, struct grpc_call *call);

/* A resource's bytes. */
struct xds_server_resource {
    const char *kind;    /* the word of xds_kind_to_string() */
    const char *name;    /* delta */
    const char *version; /* delta */
    uint8_t *data; /* NULL: a heartbeat, name and TTL alone (delta, or `wrapped`) */
    size_t size;
};

/*
 * "ADDRESS[:PORT][/HEALTH][*WEIGHT][@ZONE[%LOCALITY_WEIGHT]][#PRIORITY]", a space between; ADDRESS
 * may be several with '+' between, "pipe" or "internal". `stale_sec` 0: none.
 */
struct xds_server_resource xds_server_assignment(struct twin *twin, const char *name,
                                                 const char *endpoints, unsigned stale_sec);
/* `how`: "eds", "eds:SERVICE_NAME", "original_dst", "static ENDPOINTS", "static/STALE_SEC
 * ENDPOINTS", "dns ENDPOINTS", "aggregate CLUSTER ...". */
struct xds_server_resource xds_server_cluster(struct twin *twin, const char *name, const char *how);
/* "HOST,HOST=CLUSTER*WEIGHT,CLUSTER*WEIGHT ..." */
struct xds_server_resource xds_server_route(struct twin *twin, const char *name, const char *hosts);
/* `routes`: the name of a RouteConfiguration; or hosts as above, inline. */
struct xds_server_resource xds_server_listener(struct twin *twin, const char *name,
                                               const char *routes);
/* "HOST=ADDRESS,ADDRESS ..." */
struct xds_server_resource xds_server_names(struct twin *twin, const char *hosts);
struct xds_server_resource xds_server_broken(const char *kind, const char *name);

struct xds_server_says {
    const char *kind, *version, *nonce;
    const struct xds_server_resource *resources;
    size_t count;
    const char *removed; /* delta: names, a space between */
    bool removed_as_names; /* those in removed_resource_names */
    const char *errors;  /* "NAME=CODE" */
    bool wrapped;        /* SotW: each in a Resource */
};
void xds_server_answer(struct twin *twin, struct grpc_call *call, bool delta,
                       const struct xds_server_says *says);
/* The bytes of it. */
uint8_t *xds_server_encode(struct twin *twin, bool delta, const struct xds_server_says *says,
                           size_t *ret_size);
