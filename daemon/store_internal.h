/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the store share: a service, the state of a registry, and what one part does for
 * another. For store.c (services, rules, reading), store_fetch.c (asking registries), store_known.c
 * (what reports and memories make known) and store_age.c (telling of age) alone.
 */
#pragma once

#include <uthash.h>

#include "daemon/shelf.h"
#include "daemon/store.h"

#define STORE_RETRY_LAST (30 * USEC_PER_SEC) /* between tries of what fails, at most */

/* What was told of the ageing of a service, in the order in which it comes. */
enum told { TOLD_NOTHING, TOLD_STALE, TOLD_HALF, TOLD_NEARLY, TOLD_EXPIRED };

/* A service waits for one of the fetches that its registry may have on their way at one time. */
enum fetch { FETCH_NONE, FETCH_WANT, FETCH_REFRESH, FETCH_KINDS };

struct registry_state {
    bool used;
    bool up;   /* its watches hold */
    bool down; /* it is known not to answer */
    struct freshness_rules rules;
    unsigned max_services, service_count;
    struct service *services; /* by key */
    struct shelf shelf;       /* of services given up; none of `services` is there */
    struct service *unproven; /* oldest first: those that never had data */
    unsigned unproven_count;
    unsigned max_fetches, fetches;        /* 0: no limit; on their way */
    struct service *waiting[FETCH_KINDS]; /* first come first, in turns of both kinds */
    enum fetch turn;
    usec_t tick_at; /* none of its services has to be told of before */
    struct store_counters counters;
};

struct service {
    struct store *store;
    unsigned registry;
    struct freshness freshness;
    struct store_wishes wishes;
    struct freshness_rules rules; /* of the registry, as the wishes change them */
    struct endpoint_set *endpoints;
    char *alias;
    char *error;
    uint32_t flags;
    bool proven;
    bool shelved;       /* what was restored is from the shelf */
    bool in_flight;     /* want or refresh was called, no report yet */
    enum fetch waiting; /* or will be, when there is room */
    enum told told;
    unsigned failures;
    usec_t asked_since;
    usec_t refresh_at; /* asking registries: ask again from then on */
    usec_t used_at;
    struct watch_list watchers;
    struct service *prev, *next;             /* in `unproven` */
    struct service *fetch_prev, *fetch_next; /* in `waiting` */
    UT_hash_handle hh;
    char key[];
};

struct store {
    struct store_hooks hooks;
    struct registry_state registries[STORE_REGISTRIES_MAX];
    bool collecting; /* wishes, without following them */
};

static inline usec_t store_earlier(usec_t a, usec_t b)
{
    return a < b ? a : b;
}

static inline struct registry_state *store_state_of(const struct service *service)
{
    return &service->store->registries[service->registry];
}

static inline enum freshness_action store_service_apply(struct service *service,
                                                        enum freshness_event event, usec_t validity,
                                                        usec_t now)
{
    return freshness_apply(&service->freshness, &service->rules, event, validity, now);
}

static inline enum freshness_state store_service_state(const struct service *service, usec_t now)
{
    return freshness_state(&service->freshness, &service->rules, now);
}

/* Does a watch hold it now? */
static inline bool store_service_is_live(const struct service *service, usec_t now)
{
    return store_state_of(service)->up &&
           freshness_fresh_until(&service->freshness, now) == USEC_INFINITY;
}

static inline void store_touch(struct store *store, unsigned registry, bool changed)
{
    if (store->hooks.touched)
        store->hooks.touched(store->hooks.userdata, registry, changed);
}

/* ---- store.c ---- */

/* NULL: no room, no memory. Nothing is asked of it yet. */
struct service *store_service_new(struct store *store, unsigned registry, const char *key,
                                  usec_t now);
/* Takes the service out of the store; dependents hear of it and find no service any more. */
void store_service_remove(struct service *service);
/* It had data: nobody makes room by giving it up. */
void store_service_proven(struct service *service);

/* ---- store_fetch.c ---- */

/* One fetch, however many ask; it waits until its registry has room for it. */
void store_fetch_ask(struct service *service, enum fetch kind, usec_t now);
/* Is a fetch of it on its way, or will be? */
bool store_fetch_is_asked(const struct service *service);
/* The fetch of the service is over: it was answered, or nobody waits for it any more. */
void store_fetch_over(struct service *service);
/* The same, and others get its room. */
void store_fetch_forget(struct service *service);
void store_fetch_unqueue(struct service *service);
/* Starts what waits, while there is room. */
void store_fetch_next(struct registry_state *state);

/* When an asking registry is to be asked again, after data and after a failure; `wish` is the
 * registry's own. */
usec_t store_fetch_refresh_time(struct service *service, usec_t now);
usec_t store_fetch_retry_time(struct service *service, usec_t wish, usec_t now);

/* ---- store_known.c ---- */

/* What the shelf has of it counts until its registry says better. */
void store_known_take_back(struct service *service, usec_t now);

/* ---- store_age.c ---- */

void store_age_notice(struct service *service, enum store_notice what, usec_t now);
/* Does its registry fail to confirm it? A TTL that ends while nobody asks is no trouble. */
bool store_age_is_troubled(const struct service *service, usec_t now);
/* When there is something to tell of this service next; USEC_INFINITY: not before a report. */
usec_t store_age_next(const struct service *service, usec_t now);
