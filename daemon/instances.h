/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every address of the services in use, with a name that leads to it, in pieces: what `sdctl check
 * --scan` looks for. Reads the core and changes nothing.
 */
#pragma once

#include <jansson.h>

#include "daemon/names_walk.h"

enum { INSTANCES_PIECE = 500 }; /* addresses of one piece */

struct instances;

struct instances_parts {
    struct store *store;
    struct registries *registries;
    struct resolver *resolver;
    struct access_asker asker; /* gets what is for him */
};

/* NULL: no memory. */
struct instances *instances_new(const struct instances_parts *parts);
struct instances *instances_free(struct instances *instances); /* takes NULL, returns NULL */

/* The next piece: {instances: []Located}; NULL: no memory. *ret_last: there is no more. */
json_t *instances_next(struct instances *instances, usec_t now, bool *ret_last);
