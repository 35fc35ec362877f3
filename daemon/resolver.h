/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The resolver: from a name to an answer.
 *
 * Owns the names in use: each is evaluated from the store (its registry's service and selector, the
 * policy, aliases and host names followed: gather.h) and evaluated again when anything it rests on
 * changes. Owns the lookups that wait for a name, their deadlines, and the search list. Core: no
 * I/O, the clock is an argument, the world is reached through struct resolver_hooks (gather.h).
 *
 * Changes are not followed up inside the call that made them: they mark names, and resolver_run()
 * does the work. So a report may be made from anywhere.
 */
#pragma once

#include "daemon/base.h"
#include "daemon/chase.h"
#include "daemon/evaluation.h"
#include "daemon/gather.h"
#include "daemon/store.h"

enum {
    RESOLVER_SEARCH_MAX = 6,
    RESOLVER_NAMES_MAX = 65536,
    RESOLVER_UNPROVEN_MAX = 4096, /* names that never had an address; the oldest gives way */
    RESOLVER_LOOKUPS_MAX = 16384, /* waiting at one time */
    RESOLVER_RERANK_SLICE = 512,  /* addresses ranked anew by one resolver_run() */
};

struct resolver_rules {
    const char *const *search; /* borrowed */
    size_t search_count;
    unsigned ndots;
    usec_t lookup_timeout;
    usec_t stale_wait;
    usec_t idle;
};

/* Herds by size: how many lookups waited for one name when its answer came. */
enum { RESOLVER_HERD_1, RESOLVER_HERD_10, RESOLVER_HERD_100, RESOLVER_HERD_1000, RESOLVER_HERDS };

/* Of lookups, those of sdctl included, since the start. */
struct resolver_counters {
    uint64_t outcomes[ANSWER_FOREIGN + 1]; /* by enum answer_status of the family asked for */
    uint64_t at_once, waited, timed_out;   /* how these came about; timed out: without the answer */
    uint64_t stale;                        /* answers with addresses that nobody confirms */
    uint64_t gone;                         /* who asked went away before the answer */
    uint64_t herds[RESOLVER_HERDS];        /* up to 1, 10, 100 and more */
};

struct resolver;
struct lookup;

struct resolver *resolver_new(const struct resolver_hooks *hooks, struct store *store,
                              struct chase *chase, const struct resolver_rules *rules);
/* Waiting lookups are answered as undecided. */
struct resolver *resolver_free(struct resolver *resolver);

/* To read, and to set to zero. */
struct resolver_counters *resolver_counters(struct resolver *resolver);

/* After a reload: rules, owners or policies may be others. Every name is evaluated anew. */
void resolver_set_rules(struct resolver *resolver, const struct resolver_rules *rules);

/* The answer: `payload` is answer.h's, `size` bytes, valid during the call. */
typedef void (*lookup_done_t)(void *userdata, const void *payload, size_t size);

/* May who asks have this, which is private? Asked when the answer is there. */
typedef bool (*lookup_may_t)(void *userdata, struct access access);

/*
 * Looks up a folded name. family: enum wire_family. What is private and not for who asks is absent
 * to him (`may` NULL: he may have everything). Where the answer is known `done` is called from
 * inside and *ret_lookup is NULL; else it is called later, at the latest when the lookup time-out
 * is over.
 */
int resolver_lookup(struct resolver *resolver, const char *name, bool rooted, int family,
                    usec_t now, lookup_may_t may, lookup_done_t done, void *userdata,
                    struct lookup **ret_lookup);
void lookup_cancel(struct lookup *lookup); /* takes NULL */

/*
 * Would such a lookup make a name known, and nothing but such and names that never had an address
 * could answer it? These are what somebody who makes names up asks for.
 */
bool resolver_learns(const struct resolver *resolver, const char *name, bool rooted);

/* Answers a lookup without learning: undecided where the name is owned, else foreign. */
void resolver_decline(struct resolver *resolver, const char *name, lookup_done_t done,
                      void *userdata);

/* The name of an address: at once, from what is known. ANSWER_FOREIGN where no registry claims it,
 * or for a name that is private and not for who asks. */
void resolver_reverse(struct resolver *resolver, const struct address *address, lookup_may_t may,
                      lookup_done_t done, void *userdata);

/* Whose a name is: as its policy says, and, while it is in use, those of all that it leads to. */
struct access resolver_access(const struct resolver *resolver, const char *name);

/* Evaluates what changed and answers who waits. */
void resolver_run(struct resolver *resolver, usec_t now);

/* Answers the lookups whose time is over. Returns the next deadline, or USEC_INFINITY. */
usec_t resolver_expire(struct resolver *resolver, usec_t now);

/* Forgets names that nobody asked for since IdleSec, but not while their registry is known to be
 * down; now and then. */
void resolver_sweep(struct resolver *resolver, usec_t now);

/* A reader of the view says that the name is still wanted. Anybody can: it makes no name known. */
void resolver_touch(struct resolver *resolver, const char *name, usec_t now);

/* An earlier daemon published the name: learns of it anew, as of one that had addresses. */
void resolver_recall(struct resolver *resolver, const char *name, usec_t now);

/* Evaluates every name again, so that each is published: for a new view. `sampled`: only those
 * whose answer is a sample, to redraw it. */
void resolver_republish(struct resolver *resolver, bool sampled);

/* Ranks are others now: publishes every name with several addresses again, in slices, so that the
 * next calls of resolver_run() remain short. Answers by the socket have the new ranks at once. */
void resolver_rerank(struct resolver *resolver);

/* Calls `visit` for every name in use that has an address, or had one. */
void resolver_each(const struct resolver *resolver, void (*visit)(void *userdata, const char *name),
                   void *userdata);

/* How many these are. */
size_t resolver_names(const struct resolver *resolver);

/* Everything known, for sdctl: the evaluation of a name in use, or NULL. Borrowed. */
const struct evaluation *resolver_find(struct resolver *resolver, const char *name, usec_t now);
