/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bootstrap file of gRPC's xDS clients (GRPC_XDS_BOOTSTRAP): which servers, with what
 * credentials, as which node. Pure; what it does not know is passed over, as gRPC does.
 */
#pragma once

#include "daemon/registry/xds/profile.h"

/* Fills servers and node. 0; -EBADMSG: `ret_reason` says what is wrong with it; -ENOMEM. */
int xds_bootstrap_parse(const char *data, size_t size, struct xds_profile *profile,
                        char ret_reason[static XDS_PROFILE_REASON_SIZE]);
