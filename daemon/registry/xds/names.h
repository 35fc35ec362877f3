/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The names of an xDS registry. Pure.
 *
 * A key is the folded name that was asked for. It stands for what is called like the part before
 * the domain ("cart" of cart.xds.internal), or like the whole ("cart.shop.svc.cluster.local" of a
 * control plane that speaks of hosts): the former goes first.
 */
#pragma once

#include "daemon/registry/xds/document.h"

enum { XDS_CANDIDATES = 2 };

/* What a key may be called by the control plane, best first; returns how many (1 or 2). */
size_t xds_names_candidates(const struct registry_config *config, const char *key,
                            char ret_names[static XDS_CANDIDATES][NAME_SIZE]);

/*
 * A resource's name as it is compared: the parameters of an "xdstp:" name ("?b=2&a=1") are in the
 * order of their keys (gRPC A47), every other name is what it is. `name`, or the buffer.
 */
const char *xds_names_canonical(const char *name, char buffer[static XDS_NAME_MAX + 1]);

/*
 * Istio: "outbound|PORT|SUBSET|HOST". True for an outbound cluster of no subset whose host is a
 * folded name; a wildcard host "*.suffix" is one too. A port is spelled as Istio spells it: another
 * spelling would be another cluster of the same port.
 */
bool xds_names_parse_outbound(const char *cluster, unsigned *ret_port,
                              char ret_host[static NAME_SIZE]);
