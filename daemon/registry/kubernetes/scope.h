/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A scope: which collections of one resource are watched for the names in use (Watch=).
 *
 * One name at a time by a selector; more than 8 names of a namespace: the namespace as a whole;
 * more than 32 such namespaces, or 256 collections: the cluster. Back again when they are used no
 * more, with room between the two so that nothing swings. A wider collection replaces the narrower
 * ones only when it is live, and the narrower ones go a while after it: what is known is never lost
 * on the way, nor taken for absent. Where the wider one is denied (403), the narrow ones stay.
 *
 * Source: Kubernetes API; reference of API Priority and Fairness for why narrow watches are cheap.
 */
#pragma once

#include <uthash.h>

#include "daemon/registry/kubernetes/document.h"
#include "daemon/registry/kubernetes/stream.h"

/* What a name may be told of. */
enum kubernetes_cover {
    KUBERNETES_COVER_NONE,   /* nothing watches it */
    KUBERNETES_COVER_ASKED,  /* the answer is on its way */
    KUBERNETES_COVER_WHOLE,  /* all is known */
    KUBERNETES_COVER_FAILED, /* it was or was not, but is not confirmed */
};

struct kubernetes_scope;
struct kubernetes_collection;

struct kubernetes_scope_handler {
    /* As of a stream; `newer`: two collections tell of it, the later version counts. */
    void (*object)(void *owner, struct kubernetes_scope *scope,
                   const struct kubernetes_collection *collection, const json_t *object,
                   bool newer);
    void (*gone)(void *owner, struct kubernetes_scope *scope,
                 const struct kubernetes_collection *collection, const json_t *object);
    /* What it covers and was not named since `before` is gone. `restored`: as of a stream. */
    void (*replacing)(void *owner, struct kubernetes_scope *scope, uint64_t *ret_before);
    void (*replaced)(void *owner, struct kubernetes_scope *scope,
                     const struct kubernetes_collection *collection, uint64_t before,
                     bool restored);
    /* Confirmed again, or not any more. */
    void (*turned)(void *owner, struct kubernetes_scope *scope,
                   const struct kubernetes_collection *collection);
    /* The server has no such resource (404). The scope waits for kubernetes_scope_restart(). True:
     * that comes at once, with another version, so that nothing has failed yet. */
    bool (*missing)(void *owner, struct kubernetes_scope *scope);
    /* Nobody watches what only this collection covered. */
    void (*forget)(void *owner, struct kubernetes_scope *scope,
                   const struct kubernetes_collection *collection);
};

struct kubernetes_scope_options {
    struct registry *registry;
    struct kubernetes_access *access;
    struct kubernetes_server *server;
    enum kubernetes_resource resource;
    bool all;                /* Watch=all: everything, whatever is used */
    char *const *namespaces; /* Namespaces=; NULL: all */
    const char *labels;      /* selector that every name has to match, or NULL */
    const struct kubernetes_scope_handler *handler;
    void *owner;
};

struct kubernetes_collection {
    struct kubernetes_scope *scope;
    struct kubernetes_stream *stream;
    char *namespace, *name; /* "": any */
    bool listing;           /* what comes is a list's, not news */
    bool anew;              /* and counts whatever version is held; as of a stream */
    bool whole, failed;
    enum registry_failure failure;
    char *text; /* why it failed */
    usec_t retry_after;
    usec_t unused_since; /* 0: it is used */
    uint64_t before;     /* as told by `replacing` */
    uint64_t objects, lists;
    UT_hash_handle hh;
    char id[];
};

struct kubernetes_use;
struct kubernetes_space;

struct kubernetes_scope {
    struct kubernetes_scope_options options;
    struct kubernetes_collection *collections; /* by "NS/NAME", "NS/", "/" */
    struct kubernetes_use *uses;               /* names in use */
    struct kubernetes_space *spaces;           /* their namespaces */
    const char *resource;                      /* plural, as in paths */
    const char *group;                         /* "/api/v1" */
    const char *selector; /* "labelSelector=...%3D" before a name; NULL: its metadata.name */
    bool wide;
    bool is_missing, is_sought; /* under the path of another version, that is */
    usec_t denied_until;        /* the cluster as a whole */
    unsigned wide_spaces;
    struct env_timer sweep;
};

void kubernetes_scope_init(struct kubernetes_scope *scope,
                           const struct kubernetes_scope_options *options);
void kubernetes_scope_done(struct kubernetes_scope *scope);

/* Where the resource is; `selector` as in the struct. Before the first use. */
void kubernetes_scope_set(struct kubernetes_scope *scope, const char *group, const char *resource,
                          const char *selector);
/* All collections anew, with what was set: another version of the API. */
void kubernetes_scope_restart(struct kubernetes_scope *scope);
/* Begins Watch=all. */
int kubernetes_scope_start(struct kubernetes_scope *scope);

/* Counted: as many drops as uses. Nothing is reported from inside. 0 or -ENOMEM, -ENOSPC. */
int kubernetes_scope_use(struct kubernetes_scope *scope, const char *namespace, const char *name);
void kubernetes_scope_drop(struct kubernetes_scope *scope, const char *namespace, const char *name);

/* The collection that tells of the name best is *ret_collection (NULL: none). */
enum kubernetes_cover kubernetes_scope_cover(const struct kubernetes_scope *scope,
                                             const char *namespace, const char *name,
                                             const struct kubernetes_collection **ret_collection);
bool kubernetes_collection_covers(const struct kubernetes_collection *collection,
                                  const char *namespace, const char *name);
/* Does another collection, live and whole, tell of it too? */
bool kubernetes_scope_shares(const struct kubernetes_scope *scope,
                             const struct kubernetes_collection *collection, const char *namespace,
                             const char *name);

void kubernetes_scope_kick(struct kubernetes_scope *scope);
void kubernetes_scope_relist(struct kubernetes_scope *scope);
/* How many collections there are, how many are live, how many fail. */
void kubernetes_scope_count(const struct kubernetes_scope *scope, unsigned *ret_all,
                            unsigned *ret_live, unsigned *ret_failed);
