/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All wanted keys, and what is reported of each: data, absence where the collection that tells of
 * it is whole, failure where it is not confirmed. What changes is reported in the turn in which it
 * came; what many changes make at once (a list) a share a turn.
 *
 * A service that shrinks to nothing while it has several slices waits 100 ms: a pod may be on its
 * way from one slice to another. Nothing else waits.
 */
#pragma once

#include <uthash.h>

#include "daemon/registry/kubernetes/names.h"
#include "daemon/registry/kubernetes/scope.h"

struct kubernetes;

struct kubernetes_wanted {
    struct kubernetes_keys *keys;
    struct kubernetes_key key;
    struct endpoint_set *endpoints; /* reported last as data; NULL: none was */
    char *alias;
    uint32_t flags;
    bool owed;      /* a report is due, with or without news */
    bool confirmed; /* what was reported holds until lost */
    bool absent;    /* that is what was reported */
    bool suspect;
    bool uses_slices; /* counted in the scope of slices */
    bool queued;
    size_t slices;                         /* that made `endpoints` */
    struct env_timer hold;                 /* before an emptiness is believed */
    bool held;                             /* that time is over */
    struct kubernetes_wanted *prev, *next; /* of the queue */
    UT_hash_handle hh;
    char text[];
};

struct kubernetes_keys {
    struct kubernetes *kubernetes;
    struct kubernetes_wanted *table, *queue;
    struct env_timer work;
};

void kubernetes_keys_init(struct kubernetes_keys *keys, struct kubernetes *kubernetes);
void kubernetes_keys_done(struct kubernetes_keys *keys);

int kubernetes_keys_want(struct kubernetes_keys *keys, const char *text);
int kubernetes_keys_refresh(struct kubernetes_keys *keys, const char *text);
void kubernetes_keys_drop(struct kubernetes_keys *keys, const char *text);

/* What they lead to may have changed. `name` "": the namespace. `urgent`: before what waits. */
void kubernetes_keys_changed(struct kubernetes_keys *keys, const char *namespace, const char *name,
                             bool urgent);
/* Those that the collection tells of. */
void kubernetes_keys_turned(struct kubernetes_keys *keys,
                            const struct kubernetes_collection *collection);
void kubernetes_keys_all_changed(struct kubernetes_keys *keys);
/* Nothing that was reported is confirmed any more: the registry is down. */
void kubernetes_keys_lost(struct kubernetes_keys *keys);

/* Reports what changed; a share now, the rest in later turns. The last step of a turn's way. */
void kubernetes_keys_run(struct kubernetes_keys *keys);
