/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the resolver share: names in use, lookups that wait for them, and what one part
 * does for another. For resolver.c (life, the order of work), resolver_names.c (names) and
 * resolver_lookups.c (lookups) alone.
 */
#pragma once

#include <uthash.h>

#include "daemon/resolver.h"

/* A name rests on a service or a chased host name. */
struct dependency {
    struct watcher watcher;
    struct dependency *next;
};

struct name {
    struct resolver *resolver;
    struct evaluation evaluation;
    struct dependency *dependencies; /* attached ones first, then spare ones */
    struct dependency *spare;
    struct watch_list watchers; /* of lookups */
    usec_t used_at;
    usec_t interest_from; /* used_at, in coarse steps: what the slot's refresh time is made from */
    bool dirty;           /* in `dirty_names` */
    bool proven;          /* had an address, here or in an earlier daemon: not in `unproven` */
    bool answered;        /* was decided, by this daemon */
    struct name *dirty_next;
    struct name *prev, *next; /* in `unproven` */
    bool outranked;           /* published with ranks that do not hold: in `outranked` */
    struct name *outranked_prev, *outranked_next;
    UT_hash_handle hh;
    char text[];
};

/* One name that may answer a lookup: the name itself, or one made by the search list. */
struct candidate {
    struct watcher watcher;
    struct name *name;
};

struct lookup {
    struct resolver *resolver;
    struct candidate candidates[RESOLVER_SEARCH_MAX];
    size_t candidate_count;
    bool searched; /* through the search list: all absent means foreign */
    int family;
    usec_t deadline, soft_deadline;
    lookup_may_t may;
    lookup_done_t done;
    void *userdata;
    bool due;                   /* a name of it changed: in `due` */
    bool soft;                  /* its soft deadline is to come: in `soft` */
    bool waits;                 /* the answer was not there at once */
    struct lookup *prev, *next; /* in `lookups`, by deadline */
    struct lookup *due_prev, *due_next;
    struct lookup *soft_prev, *soft_next; /* by soft deadline */
};

struct resolver {
    struct resolver_hooks hooks;
    struct store *store;
    struct chase *chase;
    struct resolver_rules rules;
    struct name *names;
    struct name *unproven; /* oldest first */
    unsigned unproven_count;
    struct name *dirty_names;
    struct name *outranked;
    struct lookup *lookups; /* all that wait, */
    struct lookup *due, *soft;
    unsigned lookup_count;
    struct resolver_counters counters;
    uint32_t buffer[ANSWER_SIZE_MAX / sizeof(uint32_t)]; /* of the answer being written */
};

/* ---- resolver_names.c ---- */

/* NULL: it is not in use. */
struct name *resolver_name_find(const struct resolver *resolver, const char *text);
/*
 * The name in use, evaluated for `now`; NULL: no room, no memory. A program asked for it, so its
 * services count as used, and those that are due are asked again.
 */
struct name *resolver_name_get(struct resolver *resolver, const char *text, usec_t now);
void resolver_name_free(struct name *name);
/* Evaluates what changed. Who waits for it hears of it. */
void resolver_names_run(struct resolver *resolver, usec_t now);
/* Publishes some of the names whose ranks are others now. */
void resolver_names_rank(struct resolver *resolver, usec_t now);

/* ---- resolver_lookups.c ---- */

/* Answers the lookups that a name changed for, where that is the answer. */
void resolver_lookups_run(struct resolver *resolver, usec_t now);
/* Answers all as undecided. */
void resolver_lookups_end(struct resolver *resolver);
