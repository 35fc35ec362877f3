/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Several sets of endpoints made one. Pure. */
#pragma once

#include "daemon/endpoint.h"

struct xds_part {
    struct endpoint_set *endpoints; /* a reference */
    uint32_t weight;
};

/* Makes one of several; ports that an endpoint has no room for are added to *left_out. 0, -E2BIG,
 * -ENOMEM. */
typedef int xds_merge(const struct xds_part *parts, size_t count, struct endpoint_set **ret_set,
                      unsigned *left_out);

/*
 * Traffic split: each part has its weight, whatever the number of its endpoints.
 */
xds_merge xds_merge_weighted;

/* Failover: those of each part stand by for those of the parts before it. */
xds_merge xds_merge_priorities;

/*
 * Several ports of one host: what has the same address (or target) is one endpoint with the ports
 * of all, as healthy as its healthiest port.
 */
xds_merge xds_merge_ports;
