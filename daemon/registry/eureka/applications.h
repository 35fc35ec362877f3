/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is known of a Eureka registry: every instance, whatever its status, by who it is and by the
 * names that lead to it. Pure: no HTTP, no time.
 *
 * A full fetch is merged in: what the server lists takes its place at once, and what it does not
 * list is found at the end (begin, put..., sweep). So a broken fetch takes nothing away, and there
 * is never a second copy of everything.
 */
#pragma once

#include "daemon/registry/eureka/instance.h"

struct eureka_name;

struct eureka_applications {
    struct eureka_instance *instances; /* hash by key */
    struct eureka_name *names;         /* hash by name */
    unsigned round;                    /* of the full fetch */
    unsigned missing;
    unsigned statuses[EUREKA_STATUSES]; /* of those that are not missing */
    /* A name's instances are other ones, or other than they were. */
    void (*changed)(void *owner, const char *name);
    void *owner;
};

void eureka_applications_done(struct eureka_applications *applications);

/* A full fetch begins. */
void eureka_applications_begin(struct eureka_applications *applications);
/*
 * Takes an instance over: adds, replaces, or removes it (`deleted`). *ret_news: it says something
 * new. 0 or -ENOMEM.
 */
int eureka_applications_put(struct eureka_applications *applications,
                            struct eureka_instance *instance, bool *ret_news);
/* How many the full fetch did not list that are not missing already. */
unsigned eureka_applications_lost(const struct eureka_applications *applications);
/* The full fetch is over: what it did not list goes, or is kept as missing. */
void eureka_applications_sweep(struct eureka_applications *applications, bool keep);
/* What is missing goes. */
void eureka_applications_drop_missing(struct eureka_applications *applications);

unsigned eureka_applications_count(const struct eureka_applications *applications);
/* Those that the server lists: all but the missing. */
unsigned eureka_applications_listed(const struct eureka_applications *applications);

/* "DOWN_1_UP_12_", "" for none: what the server counts too. */
enum { EUREKA_OWN_HASH_SIZE = 192 };
void eureka_applications_hash(const struct eureka_applications *applications,
                              char ret_hash[static EUREKA_OWN_HASH_SIZE]);

/* What a name leads to: those with this vip; without one, those of this application. */
struct eureka_found {
    struct endpoint_set *endpoints; /* the caller's reference */
    unsigned instances, missing;    /* of them */
};
/* 0, -E2BIG, -ENOMEM. */
int eureka_applications_find(const struct eureka_applications *applications, const char *name,
                             struct eureka_found *ret_found);
