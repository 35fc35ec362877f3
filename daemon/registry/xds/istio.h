/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What istiod has of its own: the hosts of the mesh, which it does not tell as such. They are put
 * together from the names of the clusters ("outbound|80||cart.shop.svc.cluster.local": the ports)
 * and from the name table (NDS: names and virtual addresses). Pure.
 *
 * Endpoints come from EDS, with health and zone. A virtual address is for a host that has no
 * cluster of its own; addresses that Istio invents for its sidecars (240.240.0.0/16) are never
 * handed out: nothing but a sidecar can route them.
 */
#pragma once

#include <uthash.h>

#include "daemon/registry/xds/document.h"
#include "daemon/registry/xds/node.h"

enum {
    XDS_HOSTS_MAX = 131072,
    XDS_HOST_PORTS_MAX = 64,
};

struct xds_host {
    unsigned ports[XDS_HOST_PORTS_MAX]; /* of its clusters, ascending */
    size_t port_count;
    struct address *addresses; /* of the name table */
    size_t address_count;
    bool crowded;  /* it has more ports than fit, which was told */
    bool named;    /* the name table has it */
    uint64_t seen; /* the number of the table that named it last */
    UT_hash_handle hh;
    char name[];
};

struct xds_hosts {
    struct xds_host *table;
    uint64_t tables; /* name tables that came */
    size_t named;
    bool overflow; /* something did not fit once: absence cannot be told */
    void (*changed)(void *owner, const char *host);
    /* Told once each: a host has more ports than XDS_HOST_PORTS_MAX; NULL: there are more hosts
     * than XDS_HOSTS_MAX, or memory is short. */
    void (*crowded)(void *owner, const char *host);
    void *owner;
};

void xds_hosts_done(struct xds_hosts *hosts);

/* The host of this name, or the nearest wildcard above it; NULL: none. */
const struct xds_host *xds_hosts_find(const struct xds_hosts *hosts, const char *name);

/* There is such a cluster, or there is no more; names of other kinds are passed over. */
void xds_hosts_cluster(struct xds_hosts *hosts, const char *cluster, bool there);

/* A name table comes (message.h). */
void xds_hosts_table_begin(struct xds_hosts *hosts);
void xds_hosts_table_entry(struct xds_hosts *hosts, const struct xds_name_entry *entry);
void xds_hosts_table_finish(struct xds_hosts *hosts, bool whole);

/* Did Istio invent this address for its sidecars? */
bool xds_istio_is_invented(const struct address *address);

/*
 * Makes a node what istiod demands: an id "sidecar~IP~NAME.NAMESPACE~NAMESPACE.svc.cluster.local"
 * out of NAME.NAMESPACE (or NAME: namespace "default"), and the metadata that go with it where they
 * are not set. 0; -EINVAL with the reason; -ENOMEM.
 */
int xds_istio_fill_node(struct xds_node *node, char ret_reason[static XDS_REASON_SIZE]);
