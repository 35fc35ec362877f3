/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keys that are wanted, and what was reported of each. A key is looked at again when something
 * changed that it depends on, and reported if that makes a difference or somebody waits. While the
 * control plane is away nothing is reported but that, and what endpoint_stale_after demands. Owns
 * no call; reports come from its timers or from what a message set in motion.
 */
#pragma once

#include <uthash.h>

#include "daemon/registry/xds/services.h"

struct xds;

struct xds_key {
    bool owed;      /* a report is due, with or without news: want, refresh */
    bool confirmed; /* what was reported holds until lost */
    bool failing;   /* a failure was reported last */
    bool stale;     /* endpoint_stale_after is over: reported as failing, all of them */
    bool crowded;   /* ports were left out, which was told */
    bool queued;
    struct endpoint_set *endpoints;      /* reported last; NULL: absent, or nothing yet */
    struct xds_dependency *dependencies; /* by `sibling` */
    usec_t stale_at;                     /* 0: never */
    struct xds_key *prev, *next;         /* of the queue */
    UT_hash_handle hh;
    char key[];
};

struct xds_keys {
    struct xds *xds;
    struct xds_key *table; /* hash by key */
    struct xds_key *queue; /* to be looked at */
    struct env_timer timer;
    struct env_timer stale_timer; /* the next endpoint_stale_after */
    usec_t stale_at;              /* when it fires; 0: off */
};

void xds_keys_init(struct xds_keys *keys, struct xds *xds);
void xds_keys_done(struct xds_keys *keys);

int xds_keys_want(struct xds_keys *keys, const char *key);
int xds_keys_refresh(struct xds_keys *keys, const char *key);
void xds_keys_drop(struct xds_keys *keys, const char *key);

/* ---- events; none reports ---- */

void xds_keys_resource_changed(struct xds_keys *keys, const struct xds_resource *resource);
void xds_keys_host_changed(struct xds_keys *keys, const char *host);
/* The control plane is away: nothing is confirmed any more. */
void xds_keys_went_down(struct xds_keys *keys);
/* All that is not confirmed is to be looked at. */
void xds_keys_recheck(struct xds_keys *keys);

/* Reports what is to be looked at; some keys in one turn, the rest in the next. */
void xds_keys_run(struct xds_keys *keys);
