/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store: what is known of every service in use, by registry and key.
 *
 * Owns the services, their freshness, when a registry is to be asked again, and which service is
 * given up (nobody asks for it, or its registry is over its limits). It does no I/O and takes the
 * clock as an argument; it reaches registries only through struct store_hooks. It knows no names
 * and no policy.
 */
#pragma once

#include "daemon/access.h"
#include "daemon/base.h"
#include "daemon/endpoint.h"
#include "daemon/freshness.h"
#include "daemon/registry/registry.h"
#include "daemon/watcher.h"

enum {
    STORE_REGISTRIES_MAX = 64,
    STORE_UNPROVEN_MAX = 4096, /* services a registry that never had data; the oldest gives way */
};

/* What an operator should hear of a service: the store decides when, the manager says it. */
enum store_notice {
    STORE_NOTICE_STALE,            /* served without a confirmation from now on */
    STORE_NOTICE_EXPIRING,         /* for half, later for nine tenths of its stale life */
    STORE_NOTICE_EXPIRED,          /* for all of it */
    STORE_NOTICE_EMPTY_PROTECTION, /* the registry says "empty" or "absent"; what was known is held
                                    */
    STORE_NOTICE_SUSPECT,
    STORE_NOTICE_CONFIRMED, /* by its registry, after one of these */
};

struct service;
struct service_facts;

/* The store asks for these; none may report from inside. */
struct store_hooks {
    int (*want)(void *userdata, unsigned registry, const char *key);
    int (*refresh)(void *userdata, unsigned registry, const char *key);
    void (*drop)(void *userdata, unsigned registry, const char *key);
    uint64_t (*random)(void *userdata);
    /* May be NULL. `facts` are of this moment. */
    void (*notice)(void *userdata, enum store_notice notice, const struct service_facts *facts);
    /* What is known of this registry's services changed (or cannot be confirmed any more), or was
     * only confirmed. May be NULL. */
    void (*touched)(void *userdata, unsigned registry, bool changed);
    /* What is known of this service is another thing from now on; its dependents hear of it after
     * this. `before`: its endpoints till now, or NULL. May be NULL. */
    void (*replaced)(void *userdata, struct service *service, const struct endpoint_set *before);
    void *userdata;
};

/* What happened with a registry since it was added. */
struct store_counters {
    uint64_t wants, refreshes, drops; /* verbs called */
    uint64_t reports[REPORT_KINDS];   /* by enum registry_report_kind */
    uint64_t failures[FAILURE_KINDS]; /* REPORT_FAILED by enum registry_failure */
    uint64_t refused;                 /* services that it had no room for (max_services) */
};

struct store;

struct store *store_new(const struct store_hooks *hooks);
struct store *store_free(struct store *store); /* takes NULL; drops nothing at the registries */

/* ---- registries: `registry` is an index below STORE_REGISTRIES_MAX, chosen by the caller ---- */

void store_registry_add(struct store *store, unsigned registry, const struct freshness_rules *rules,
                        unsigned max_services);
/* Forgets all its services; their watchers hear of it (they find no service any more). */
void store_registry_remove(struct store *store, unsigned registry);
void store_registry_rules(struct store *store, unsigned registry,
                          const struct freshness_rules *rules, unsigned max_services, usec_t now);
/* At most so many fetches (want, refresh) are on their way at one time; others wait, first come
 * first served, in turns of both kinds. 0, as at first: no limit. */
void store_registry_fetches(struct store *store, unsigned registry, unsigned max);

/* Applies a report of the first nine kinds; the others are not the store's. */
void store_report(struct store *store, unsigned registry, const struct registry_report *report,
                  usec_t now);

/* To read, and to set to zero. */
struct store_counters *store_counters(struct store *store, unsigned registry);

/* Is the registry known not to answer? Then nobody waits for it. */
bool store_registry_down(const struct store *store, unsigned registry);

/* ---- services ---- */

/*
 * The service of a key; made, and wanted from the registry, if it is not there. NULL: over
 * max_services, or no memory.
 */
struct service *store_get(struct store *store, unsigned registry, const char *key, usec_t now);
struct service *store_find(struct store *store, unsigned registry, const char *key);

/*
 * Last-known-good of an earlier run, and when it was confirmed then. The service is made and wanted
 * from its registry as by store_get(); till the registry reports, its data is stale, and lookups
 * give a registry that is not known to be down StaleWaitSec to say better. What was confirmed later
 * replaces what was restored before; nothing is restored over what this run knows. 0, or -ENOSPC,
 * -ENOMEM.
 */
struct store_memory {
    const char *key;
    struct endpoint_set *endpoints; /* one of these two, or both as of registry.h; neither: there
                                     * was nothing to tell */
    const char *alias;
    uint32_t flags;      /* REPORT_* of the data */
    usec_t confirmed_at; /* of the core's clock, which began long before the machine did (base.h) */
    usec_t doubted_until; /* suspect, or held: it is told no longer than till this; 0: it was not */
};
int store_restore(struct store *store, unsigned registry, const struct store_memory *memory,
                  usec_t now);
/* The same of the services that were given up while they were known (shelf.h): store_get() takes
 * them back as if they were restored. */
typedef void (*store_memory_visit_t)(void *userdata, const struct store_memory *memory);
void store_each_shelved(struct store *store, unsigned registry, store_memory_visit_t visit,
                        void *userdata);
/* An operator wants them forgotten: this one (false: it is not there), or all. */
bool store_forget_shelved(struct store *store, unsigned registry, const char *key);
void store_forget_all_shelved(struct store *store);
/* Another cluster answers than the one that the restored data is from: what was restored and not
 * confirmed since is forgotten, and what was given up. */
void store_disown(struct store *store, unsigned registry, usec_t now);

/* Tells what is due of the ageing of services that their registry fails to confirm. To be called
 * after reports, and at the time that it returns (USEC_INFINITY: none). */
usec_t store_tick(struct store *store, usec_t now);

/* A program asks for it now: keeps it in use, and asks the registry again where that is due. */
void store_ask(struct store *store, struct service *service, usec_t now);

/*
 * Rules of one service, in place of its registry's. Several names lead to one service, and several
 * files match a name: of each rule the wish of the highest rank counts, so that the order in which
 * names come into use does not matter. Who may have the service is what all of them leave. A wish
 * lasts till the service is given up or the next reload.
 */
enum {
    STORE_MIN_TTL,
    STORE_MAX_TTL,
    STORE_NEGATIVE_TTL,
    STORE_MAX_STALE,
    STORE_EMPTY_PROTECTION,
    STORE_WISHES,
};
struct store_wish {
    unsigned rank; /* 0: none */
    usec_t value;
};
struct store_wishes {
    struct store_wish wishes[STORE_WISHES];
    struct access access;
};
void store_wish(struct service *service, const struct store_wishes *wishes, usec_t now);

/* A reload: between the two the names in use say their wishes anew; those and the registries' new
 * rules count at the end, all at once. */
void store_reload_begin(struct store *store);
void store_reload_end(struct store *store, usec_t now);

/* Forgets what is known and asks anew. */
void store_flush(struct store *store, struct service *service, usec_t now);

/* Everything a reader of a service needs; valid until the next call into the store. */
struct service_facts {
    unsigned registry;
    const char *key;
    enum freshness_state state;
    struct endpoint_set *endpoints; /* NULL: none known */
    const char *alias;              /* or NULL */
    uint32_t flags;                 /* REPORT_* of the data */
    bool proven;                    /* had data at some time: known before */
    bool asking; /* an answer of the registry is on its way, and it is not known to be down */
    usec_t asked_since;  /* since when, if asking */
    bool restored;       /* confirmed in an earlier run, or before it was given up, only */
    bool shelved;        /* the latter */
    bool held;           /* by EmptyProtection= against what the registry says now */
    bool suspect;        /* of EmptyHoldSec */
    usec_t confirmed_at; /* 0: never */
    usec_t until;        /* end of the present state */
    usec_t fresh_until;  /* end of validity; USEC_INFINITY: until lost */
    usec_t stale_since;  /* 0: it is neither stale nor expired */
    bool live;           /* a watch holds it: its registry's clock is its validity */
    usec_t stale_until;  /* nothing of it may be told after this, if nothing confirms it from now */
    usec_t max_stale;    /* MaxStaleSec of this service */
    usec_t ask_at;       /* the registry is not asked again before */
    usec_t used_at;      /* last store_ask() */
    const char *error;   /* last failure since the last data, or "" */
    struct access access;
};
void service_facts(const struct service *service, usec_t now, struct service_facts *ret_facts);

/* The services of one registry in sum. */
struct store_summary {
    size_t services, stale, expired;
    usec_t stale_since;   /* of the one that is stale, or expired, for longest; 0: none */
    usec_t first_expires; /* end of the first that is stale now; USEC_INFINITY: none */
};
void store_summarize(struct store *store, unsigned registry, usec_t now,
                     struct store_summary *ret_summary);

/* Dependents: called after every report on the service and when it goes away. */
struct watch_list *service_watchers(struct service *service);

/* Calls `visit` for every service, of one registry or of all (STORE_REGISTRIES_MAX). */
void store_each(struct store *store, unsigned registry,
                void (*visit)(void *userdata, struct service *service), void *userdata);

/* The registry was started anew: what is known of its services ages, and all are wanted again. */
void store_rewant(struct store *store, unsigned registry, usec_t now);

/*
 * This program did not run since `since`: what the registry's watches held is stale since then,
 * till the registry, which is asked for all of it, confirms it. False: its watches held nothing.
 */
bool store_doubt(struct store *store, unsigned registry, usec_t since, usec_t now);

/* Gives up services without dependents that nobody asked for since `idle`, but not while their
 * registry is known to be down; now and then. Of some that were known the last known good stays. */
void store_sweep(struct store *store, usec_t idle, usec_t now);
