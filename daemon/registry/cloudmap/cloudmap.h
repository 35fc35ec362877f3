/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry type `cloudmap`: the services of AWS Cloud Map, through its API. It asks, by
 * service; a key is "SERVICE@NAMESPACE".
 *
 *   settings      the keys of the .registry file
 *   sign          Signature Version 4
 *   grant, profile, metadata, shared_files   what keys come from, read
 *   credentials   the keys in use, and their renewal
 *   calls         the road to the service: budget, signing, back-off, what errors mean
 *   document      the service's answers
 *   namespaces    which namespaces there are, and how the API calls them
 *   service       one wanted key: revision polls, full polls, reports
 *   locality      region and zone of this host
 *   cloudmap      the verbs; what the parts tell each other
 */
#pragma once

#include <uthash.h>

#include "daemon/log.h"
#include "daemon/registry/cloudmap/calls.h"
#include "daemon/registry/cloudmap/credentials.h"
#include "daemon/registry/cloudmap/locality.h"
#include "daemon/registry/cloudmap/namespaces.h"

struct cloudmap_service;

struct cloudmap {
    struct registry registry;
    struct cloudmap_credentials credentials;
    struct cloudmap_locality locality;
    struct cloudmap_calls calls;
    struct cloudmap_namespaces namespaces;
    struct cloudmap_service *services; /* wanted ones, by key */
    size_t polled;                     /* of them: those that exist, and cost polls */
    bool no_revisions;          /* DiscoverInstancesRevision is not permitted: full polls alone */
    struct log_limit log_limit; /* lines about failing keys */
};

extern const struct registry_type registry_type_cloudmap;

static inline const struct cloudmap_settings *cloudmap_settings(const struct cloudmap *cloudmap)
{
    return cloudmap_settings_of(cloudmap->registry.config);
}

/* The date as the service sees it: this machine's clock, and what it was found to be off by. */
usec_t cloudmap_realtime(const struct cloudmap *cloudmap);

/* The region, or NULL: not known (yet). */
const char *cloudmap_region(const struct cloudmap *cloudmap);
/* The domain that the hosts of a region's services are in. */
const char *cloudmap_region_suffix(const char *region);

/* How often something of `base` is done, now that so many services are polled: never more than the
 * budget allows. */
usec_t cloudmap_period(const struct cloudmap *cloudmap, usec_t base);

/* Is the service on this machine (tests), so that a loopback address may mean this machine too? */
bool cloudmap_is_local(const struct cloudmap *cloudmap);

/* ---- what the parts tell each other ---- */

/* There are keys, or none could be had (credentials.h). */
void cloudmap_credentials_settled(struct cloudmap *cloudmap);
/* The region is known, or could not be found. */
void cloudmap_region_settled(struct cloudmap *cloudmap);
/* The namespaces were listed, or that was refused: services can be asked for. */
void cloudmap_namespaces_settled(struct cloudmap *cloudmap);
/* An operator must act before this key can be asked for; said in the log, not too often. */
void cloudmap_log_failing(struct cloudmap *cloudmap, const char *key, const char *text);
/* Revisions may not be polled. */
void cloudmap_no_revisions(struct cloudmap *cloudmap, const char *text);
/* The service answers again after an outage. */
void cloudmap_came_up(struct cloudmap *cloudmap);
