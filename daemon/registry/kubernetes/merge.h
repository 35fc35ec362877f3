/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a service of Kubernetes leads to: its slices, or its own addresses, made into endpoints.
 * Pure.
 *
 * One service has many slices: by family, by set of ports, by a hundred pods; during a rebalance a
 * pod may be in two of them. A pod is one endpoint with all of its addresses and ports; of two
 * copies of an address the ready one counts.
 *
 * Source: EndpointSlice API reference; topology as kube-proxy has it (KEP-2433, KEP-4444,
 * KEP-3015).
 */
#pragma once

#include "daemon/registry/kubernetes/document.h"

struct kubernetes_merge {
    const struct kubernetes_service *service;
    const struct kubernetes_slice *const *slices;
    size_t slice_count;
    const char *node, *zone; /* of this host; "": not known */
};

/*
 * Its pods. Ready ones are passing, those that still serve while they end are terminating, others
 * critical. Not for headless services: internalTrafficPolicy: Local leaves only those of this node,
 * and where hints bind, the others stand by (priority 1). 0 or negative errno.
 */
int kubernetes_merge_pods(const struct kubernetes_merge *merge, struct endpoint_set **ret_set);

/* Its pods, an endpoint an address, each with the label that picks it ("cart-0", "10-1-0-5"). */
int kubernetes_merge_hosts(const struct kubernetes_merge *merge, struct endpoint_set **ret_set);

/* Its cluster IPs as one endpoint; its ingress addresses and hosts, an endpoint each. */
int kubernetes_merge_vips(const struct kubernetes_service *service, struct endpoint_set **ret_set);
int kubernetes_merge_ingress(const struct kubernetes_service *service,
                             struct endpoint_set **ret_set);
