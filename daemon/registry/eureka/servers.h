/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The servers of one registry: which is asked, in what order others are tried, and which are left
 * alone for a while because they failed.
 *
 * Servers of our own zone come first, otherwise the order is that of URL=. One that answers is
 * kept, since every other would have to tell all that it knows; with each periodic full fetch the
 * best one is chosen anew. Owns no call and no timer; time is an argument.
 */
#pragma once

#include <jansson.h>

#include "daemon/registry/eureka/cadence.h"
#include "daemon/registry/eureka/settings.h"

enum { EUREKA_TRIES = 3 }; /* servers in a row, then it is time to wait */

struct eureka_server {
    char *url;  /* without a slash at the end */
    char *zone; /* "": not said */
    usec_t quarantined_until;
    bool tried;       /* in this round */
    uint64_t version; /* of its last delta; 0: none */
    struct eureka_cadence cadence;
};

struct eureka_servers {
    struct eureka_server *items; /* best first */
    unsigned count, current, tries;
};

int eureka_servers_init(struct eureka_servers *servers, const struct eureka_settings *settings);
void eureka_servers_done(struct eureka_servers *servers);

/* A poll begins; `anew`: the best server may be another one than the current. */
void eureka_servers_begin(struct eureka_servers *servers, bool anew, usec_t now);
/* The current one failed. True: another one is current, and worth a try at once. */
bool eureka_servers_failed(struct eureka_servers *servers, usec_t now);
void eureka_servers_answered(struct eureka_servers *servers);
/* Nobody is left alone any more. */
void eureka_servers_pardon(struct eureka_servers *servers);

static inline struct eureka_server *eureka_servers_current(const struct eureka_servers *servers)
{
    return &servers->items[servers->current];
}

void eureka_servers_describe(const struct eureka_servers *servers, usec_t now, json_t *object);
