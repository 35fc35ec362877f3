/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A walk over the names in use that is made in pieces, so that nobody waits for all of it: the
 * names are those of the moment at which it began, what is behind them that of each piece.
 */
#pragma once

#include "daemon/registries.h"
#include "daemon/resolver.h"

struct names_walk {
    char **names;
    size_t count, capacity;
    size_t at; /* the next one */
};

/* 0 or -ENOMEM. */
int names_walk_init(struct names_walk *walk, struct resolver *resolver);
void names_walk_done(struct names_walk *walk);

/* The name at which the walk is; NULL: it is over. */
static inline const char *names_walk_name(const struct names_walk *walk)
{
    return walk->at < walk->count ? walk->names[walk->at] : NULL;
}

/* Of what, and for whom. All borrowed. */
struct names_walk_source {
    struct store *store;
    struct registries *registries;
    const struct resolver *resolver;
    const struct access_asker *asker;
};

/* What is behind a name now. False: no service, or none for who asks. */
struct names_walk_service {
    struct resolver_owner owner;
    struct registry_target target;
    struct service_facts facts;
};
bool names_walk_service(const struct names_walk_source *source, const char *name, usec_t now,
                        struct names_walk_service *ret_service);
