/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Statistics: the counters of all parts as the reply of io.nss-sd.Control.Statistics. Owns none:
 * each part counts what it does itself, in 64 bits, which do not wrap.
 */
#pragma once

#include <jansson.h>

#include "daemon/interest.h"
#include "daemon/lookup_server.h"
#include "daemon/publisher.h"
#include "daemon/registries.h"
#include "daemon/resolver.h"
#include "daemon/snapshot.h"
#include "daemon/veto.h"

struct statistics_parts {
    struct lookup_server *lookup_server;
    struct resolver *resolver;
    struct interest *interest;
    struct publisher *publisher;
    struct snapshot *snapshot;
    struct store *store;
    struct veto *veto;
    const struct registries *registries;
};

/* Counted over `since`. A new reference; NULL without memory. */
json_t *statistics_to_json(const struct statistics_parts *parts, usec_t since, usec_t now);

/* Sets all counters to zero. */
void statistics_reset(const struct statistics_parts *parts);
