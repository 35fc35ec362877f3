/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where this host is: its region, which the service's address and signatures need, and its zone.
 *
 * The region: Region=, the environment, the profile, the instance metadata. The zone: the task
 * metadata of a container, the instance metadata. Nothing else waits for the zone.
 */
#pragma once

#include "daemon/metadata_service.h"

struct cloudmap;

enum { CLOUDMAP_PLACE_SIZE = 64 };

struct cloudmap_locality {
    struct cloudmap *cloudmap;
    char region[CLOUDMAP_PLACE_SIZE]; /* "": not known */
    char zone[CLOUDMAP_PLACE_SIZE];
    const char *origin; /* of the region: static text for people */
    bool asking;        /* the metadata */
    bool asking_region;
    usec_t retry_at;
    char text[256];         /* why there is no region */
    struct http_call *call; /* to the task metadata */
    struct env_timer start;
    struct metadata_service metadata;
};

void cloudmap_locality_init(struct cloudmap_locality *locality, struct cloudmap *cloudmap);
void cloudmap_locality_done(struct cloudmap_locality *locality);
/* The region is needed. 0: it is known or being asked for; else there is none, and `text` says why.
 */
int cloudmap_locality_need(struct cloudmap_locality *locality);
void cloudmap_locality_kick(struct cloudmap_locality *locality);
void cloudmap_locality_describe(const struct cloudmap_locality *locality, json_t *object);
