/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the daemon knows, as the JSON objects of io.nss-sd.Control (Answer, Registry, Service,
 * Snapshot, Vetoes).
 * Reads the core and changes nothing.
 */
#pragma once

#include <jansson.h>

#include "daemon/host_zone.h"
#include "daemon/ranker.h"
#include "daemon/registries.h"
#include "daemon/resolver.h"
#include "daemon/snapshot.h"
#include "daemon/veto.h"

struct describe {
    struct store *store;
    struct chase *chase;
    struct registries *registries;
    const struct resolver_hooks *hooks; /* judging by them changes nothing */
    struct veto *veto;
    struct access_asker asker; /* for whom: is told what is for him */
    usec_t now;
};

/* An Answer from the payload that a lookup got (answer.h). New reference, NULL without memory. */
json_t *describe_answer(const struct describe *describe, const void *payload, size_t size);

/* An Explanation of a folded full name: all that bears on its lookups, and who set it. Begins no
 * lookup. New reference, NULL without memory. */
struct describe_explained {
    struct resolver *resolver;
    const struct config *config;
    const struct host_zone *host_zone;
    const struct ranker *ranker;
};
json_t *describe_explain(const struct describe *describe, const struct describe_explained *parts,
                         const char *name);

/* A Snapshot. */
json_t *describe_snapshot(const struct snapshot *snapshot, usec_t now);

/* A Vetoes. */
json_t *describe_vetoes(const struct veto *veto);

/* A Ranks. */
json_t *describe_ranks(const struct ranker *ranker);

/* Array of Registry. */
json_t *describe_registries(const struct describe *describe);

/* Array of Service, of one registry or of all (STORE_REGISTRIES_MAX); `stale`: only those that are
 * stale or expired. */
json_t *describe_services(const struct describe *describe, unsigned registry, bool stale);
