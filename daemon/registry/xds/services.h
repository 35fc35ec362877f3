/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From resources to one service: which resources a key rests on, and what they make of it. Pure: it
 * asks for nothing, but says what it looked at, and the key depends on that (resources.h).
 */
#pragma once

#include "daemon/registry/xds/istio.h"
#include "daemon/registry/xds/protocol.h"
#include "daemon/registry/xds/settings.h"

enum xds_outcome {
    XDS_PENDING, /* not known yet */
    XDS_DATA,    /* `endpoints`, maybe none */
    XDS_NONE,    /* with authority: no such service */
    XDS_FAILED,  /* `error` */
};

struct xds_found {
    enum xds_outcome outcome;
    struct endpoint_set *endpoints; /* DATA: a reference */
    const char *error; /* FAILED; DATA: why newer ones were refused, or NULL. Borrowed */
    bool unknown;      /* PENDING: whether there is such a service at all */
    unsigned left_out; /* DATA: ports of addresses that have more than ENDPOINT_PORTS_MAX */
    usec_t stale_at;   /* DATA: the control plane's endpoint_stale_after ends; 0: never */
};

struct xds_lookup {
    const struct registry_config *config;
    struct xds_protocol *protocol;
    const struct xds_hosts *hosts;       /* Istio; else NULL */
    bool hosts_whole;                    /* what is not in `hosts` is absent */
    bool hosts_broken;                   /* it may be in a name table that cannot be read */
    void *owner;                         /* of the dependencies */
    struct xds_dependency *dependencies; /* out: what was looked at, by `sibling` */
    bool no_memory;
};

/* Fills *ret_found. 0 or -ENOMEM, -E2BIG. The dependencies are linked and the caller's, even then.
 */
int xds_services_find(struct xds_lookup *lookup, const char *key, struct xds_found *ret_found);

/* The same endpoints with every one failing: what endpoint_stale_after means. NULL: no memory. */
struct endpoint_set *xds_services_stale(const struct endpoint_set *set);
