/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Credentials: the keys in use, where they come from, and their renewal.
 *
 * The first source that is set up is the one: environment, web identity, shared files, container
 * agent, instance metadata. Keys that end are renewed ahead of it; while that fails the old ones
 * stay in use, even past their end (the service decides what they are worth), and it is tried
 * again. Nothing of a key goes into a log line, an error or describe().
 */
#pragma once

#include "daemon/metadata_service.h"
#include "daemon/registry/cloudmap/grant.h"
#include "daemon/registry/cloudmap/settings.h"

struct cloudmap;

struct cloudmap_credentials {
    struct cloudmap *cloudmap;
    struct cloudmap_grant grant; /* keys.access NULL: there are none yet */
    uint64_t generation;         /* another one with other keys */
    enum cloudmap_source source; /* meaningful once there were keys or a failure */
    bool fetching;
    bool refused;      /* and for that: those in use are worth nothing till then */
    bool tried;        /* and failed, since there were keys: failure, text */
    unsigned failures; /* in a row */
    usec_t refused_at; /* when keys were last renewed for having been refused; 0: never */
    enum registry_failure failure;
    char text[256];
    struct env_timer timer; /* renewal, retry */
    struct http_call *call; /* to STS or a container agent */
    struct metadata_service metadata;
    bool asking_role; /* the metadata service: whose keys? */
};

void cloudmap_credentials_init(struct cloudmap_credentials *credentials, struct cloudmap *cloudmap);
void cloudmap_credentials_done(struct cloudmap_credentials *credentials);

/* The keys, or NULL: being fetched, or failed (`tried`). */
const struct cloudmap_keys *
cloudmap_credentials_keys(const struct cloudmap_credentials *credentials);

/* Fetches if there are none and nothing is under way or waits for its time. cloudmap.h hears of the
 * end, which may come from inside. */
void cloudmap_credentials_need(struct cloudmap_credentials *credentials);

/* The service refused keys of this generation: fetches new ones, not more often than twice a
 * minute. True: they are on their way, or there already. */
bool cloudmap_credentials_refused(struct cloudmap_credentials *credentials, uint64_t generation);

/* Tries again now what failed. */
void cloudmap_credentials_kick(struct cloudmap_credentials *credentials);

void cloudmap_credentials_describe(const struct cloudmap_credentials *credentials, json_t *object);
