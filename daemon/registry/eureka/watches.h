/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The names that are wanted, and what was reported of each. A report is made only while the
 * registry answers, from what is known of it (applications.h), and only if it says something new or
 * somebody waits for it. Owns no call; reports come from its timer or from a fetch.
 */
#pragma once

#include <uthash.h>

#include "daemon/registry/registry.h"

struct eureka;

struct eureka_watch {
    bool owed;      /* a report is due, with or without news: want, refresh */
    bool confirmed; /* what was reported holds until lost */
    bool doubtful;  /* it was reported as suspect */
    bool queued;
    struct endpoint_set *endpoints;   /* reported last; NULL: absent, or nothing yet */
    struct eureka_watch *prev, *next; /* of the queue */
    UT_hash_handle hh;
    char key[];
};

struct eureka_watches {
    struct eureka *eureka;
    struct eureka_watch *table; /* hash by key */
    struct eureka_watch *queue; /* to be looked at */
    struct env_timer timer;
};

void eureka_watches_init(struct eureka_watches *watches, struct eureka *eureka);
void eureka_watches_done(struct eureka_watches *watches);

int eureka_watches_want(struct eureka_watches *watches, const char *key);
int eureka_watches_refresh(struct eureka_watches *watches, const char *key);
void eureka_watches_drop(struct eureka_watches *watches, const char *key);

/* What this name leads to has changed. */
void eureka_watches_changed(struct eureka_watches *watches, const char *key);
/* All that was reported as suspect may be certain now. */
void eureka_watches_doubt_over(struct eureka_watches *watches);
/* The registry is down: nothing is confirmed any more. Who waits hears of it. */
void eureka_watches_went_down(struct eureka_watches *watches);
/* It answers (again): all is to be said again. */
void eureka_watches_came_up(struct eureka_watches *watches);
/* After a good fetch: reports what is to be looked at. */
void eureka_watches_run(struct eureka_watches *watches);

unsigned eureka_watches_doubtful(const struct eureka_watches *watches);
