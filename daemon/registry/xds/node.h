/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who we say that we are: the Node of every first request. */
#pragma once

#include <jansson.h>

#include "daemon/base.h"

struct xds_node {
    char *id, *cluster;
    char *region, *zone, *sub_zone; /* NULL: not known */
    json_t *metadata;               /* an object, or NULL */
};

void xds_node_done(struct xds_node *node);
/* As proto3-JSON; NULL: no memory. */
json_t *xds_node_to_json(const struct xds_node *node);

enum { XDS_METADATA_DEPTH_MAX = 16 };
/* Is it nested no deeper than that? */
bool xds_node_metadata_ok(const json_t *value);
