/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the services in use are like, for those who look for classic mistakes (`sdctl check
 * --services`): facts alone, in pieces; what is a mistake is sdctl's to say. Reads the core and
 * changes nothing.
 */
#pragma once

#include <jansson.h>

#include "daemon/names_walk.h"

enum {
    REVIEW_SERVICES = 100,   /* of one piece */
    REVIEW_ENDPOINTS = 5000, /* looked at for one piece, but for the last service */
};

struct review;

struct review_parts {
    struct store *store;
    struct registries *registries;
    struct resolver *resolver;
    struct access_asker asker;                      /* gets what is for him */
    const struct config *(*config)(void *userdata); /* what is in force */
    void *userdata;
};

/* NULL: no memory. */
struct review *review_new(const struct review_parts *parts);
struct review *review_free(struct review *review); /* takes NULL, returns NULL */

/* The next piece: {services: []Reviewed}; NULL: no memory. *ret_last: there is no more. */
json_t *review_next(struct review *review, usec_t now, bool *ret_last);
