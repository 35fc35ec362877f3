/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whom a registry asks, and who it says it is: the settings, or gRPC's bootstrap file, made one.
 */
#pragma once

#include "daemon/registry/xds/node.h"
#include "daemon/registry/xds/settings.h"

enum { XDS_PROFILE_REASON_SIZE = 512, XDS_SERVERS_MAX = 16, XDS_BOOTSTRAP_MAX = 1 << 20 };

struct xds_server {
    char *url;             /* http:// or https:// */
    struct server_tls tls; /* of https */
    bool transient;        /* feature resource_timer_is_transient_error (gRPC A88) */
    bool sotw;             /* it has no delta: learned, Protocol=auto */
};

struct xds_profile {
    struct xds_server *servers; /* best first, at least one */
    size_t server_count;
    struct xds_node node;
    bool ignored_authorities;
};

/* Reads the bootstrap file, if there is one. 0, or a negative errno with the reason. */
int xds_profile_make(const struct xds_settings *settings, struct xds_profile *ret_profile,
                     char ret_reason[static XDS_PROFILE_REASON_SIZE]);
void xds_profile_done(struct xds_profile *profile);

/* A server more; `tls` may be NULL. 0, -E2BIG or -ENOMEM. */
int xds_profile_add_server(struct xds_profile *profile, const char *url,
                           const struct server_tls *tls);
