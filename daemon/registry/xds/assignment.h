/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A ClusterLoadAssignment to endpoints: health, priorities, weights, places. Pure.
 *
 * Weights: a control plane weighs localities, and endpoints inside of a locality. An endpoint's own
 * share is that of its locality times its part of the weight in it (of the ready ones), in small
 * whole numbers. Where no locality has a weight, endpoints alone are weighed, as Envoy does; where
 * some have, a missing one is 1. A locality of weight 0 takes no part.
 */
#pragma once

#include "daemon/registry/xds/document.h"
#include "proto/xds.pb-c.h"

/*
 * `names_ok`: host names in place of addresses (DNS clusters); they become targets. 0; -EBADMSG
 * with the reason; -ENOMEM.
 */
int xds_assignment_make(const Xds__ClusterLoadAssignment *message,
                        const struct xds_document_rules *rules, bool names_ok,
                        struct xds_assignment *ret_assignment,
                        char ret_reason[static XDS_REASON_SIZE]);
