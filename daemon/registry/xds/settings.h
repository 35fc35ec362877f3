/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of a [Registry] section of type xds, read and checked. */
#pragma once

#include "daemon/registry/server_settings.h"

/* Names=: what a name below the domains is the name of. */
enum xds_names { XDS_NAMES_CLUSTER, XDS_NAMES_ENDPOINTS, XDS_NAMES_LISTENER };
enum xds_variant { XDS_AUTO, XDS_DELTA, XDS_SOTW }; /* Protocol= */
enum xds_transport { XDS_GRPC, XDS_REST };          /* Transport= */

struct xds_settings {
    char **urls;         /* URL=: control planes, best first; NULL: Bootstrap= has them */
    char *bootstrap;     /* Bootstrap= */
    unsigned names;      /* enum xds_names */
    unsigned variant;    /* enum xds_variant */
    unsigned transport;  /* enum xds_transport */
    bool istio;          /* Istio= */
    bool name_table;     /* NameTable= */
    char *node_id;       /* NodeId=; NULL: of the bootstrap file, or the host name */
    char *node_cluster;  /* NodeCluster= */
    char **metadata;     /* Metadata=: "KEY=VALUE" */
    char *zone, *region; /* of this host */
    char *token_file;    /* TokenFile= */
    usec_t poll;         /* PollSec=: REST */
    struct server_tls tls;
};

extern const struct config_item xds_items[];

int xds_settings_verify(const struct registry_config *config, struct config_messages *messages);
void xds_settings_done(void *settings);
int xds_settings_source(const struct registry_config *config, char **ret_source);
bool xds_settings_equal(const struct xds_settings *a, const struct xds_settings *b);

static inline const struct xds_settings *xds_settings_of(const struct registry_config *config)
{
    return config->settings;
}
