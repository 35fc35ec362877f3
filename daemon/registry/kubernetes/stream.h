/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stream: one collection of objects (a resource, of a namespace or all, under selectors), listed
 * once and watched from there on, and kept going whatever happens.
 *
 *   list    WatchList where the server has it; else GET ?resourceVersion=0, split item by item
 *           while it arrives (json_pieces.h); in pages where that does not work
 *   watch   from the list's resourceVersion, bookmarks, 300 to 600 s, no compression; a clean end
 *           is followed by the next watch from the last version, without a list
 *   410     as a status or as an ERROR event: list again, at least as fresh; then any
 *   404     of the resource: the owner chooses another version of the API
 *   429, 5xx   Retry-After, else back-off with jitter
 *
 * A watch from a version that the server has not reached is silent for ever (etcd restored, another
 * cluster), so after a loss the version is shown to the server before it is watched from.
 *
 * It knows nothing of services: objects go to its owner as they come. Never more than one item's
 * text is parsed at a time, nor more than a share of what arrived in one turn of the loop. Source:
 * Kubernetes API concepts (efficient detection of changes, resource versions).
 */
#pragma once

#include "daemon/registry/kubernetes/access.h"

struct kubernetes_stream;

/* None of them may free the stream. */
struct kubernetes_stream_handler {
    /* A new list begins: what is not named before `replaced` is gone. The old content stays till
     * then. May come again before it, when a list broke off. */
    void (*replacing)(void *owner);
    /* An object, added or changed; borrowed. `anew`: the server's past may be another than before,
     * so that versions which were seen say nothing against it. */
    void (*object)(void *owner, const json_t *object, bool anew);
    /* An object is gone, or no longer selected. Only its namespace and name count. */
    void (*gone)(void *owner, const json_t *object);
    /* The list is whole: from now on the stream is live, and absence can be told. `restored`: its
     * version is before what was seen: etcd was restored, or it is another cluster. */
    void (*replaced)(void *owner, bool restored);
    /* The stream is not confirmed any more: failure as in registry.h, text for people. Tried again.
     */
    void (*failed)(void *owner, enum registry_failure failure, const char *text,
                   usec_t retry_after);
    /* It is again, without a new list. */
    void (*live)(void *owner);
    /* 404: the server has no such resource. The stream stays still until it is freed. */
    void (*missing)(void *owner);
};

/* What the streams of a registry learn about their server, for each other. */
struct kubernetes_server {
    bool no_watch_list;
};

struct kubernetes_stream_options {
    const char *path;                 /* "/api/v1/namespaces/shop/services": without a query */
    const char *query;                /* "labelSelector=...", already encoded; or "" */
    struct kubernetes_server *server; /* outlives the stream */
    const struct kubernetes_stream_handler *handler;
    void *owner;
};

/* No handler is called from inside; copies the options. */
int kubernetes_stream_new(struct registry *registry, struct kubernetes_access *access,
                          const struct kubernetes_stream_options *options,
                          struct kubernetes_stream **ret_stream);
struct kubernetes_stream *kubernetes_stream_free(struct kubernetes_stream *stream); /* takes NULL */

/* Tries again now what backs off. */
void kubernetes_stream_kick(struct kubernetes_stream *stream);
/* Trusts no version and lists anew: the server is another one. */
void kubernetes_stream_relist(struct kubernetes_stream *stream);
/* How often in a row it was told that it has no right to the collection (403). */
unsigned kubernetes_stream_denials(const struct kubernetes_stream *stream);
bool kubernetes_stream_live(const struct kubernetes_stream *stream);
/* The resourceVersion reached; "": none. Valid until the stream moves. */
const char *kubernetes_stream_version(const struct kubernetes_stream *stream);

/* Is version `a` before `b`? Between versions of one resource only; false for what is no number. */
bool kubernetes_version_before(const char *a, const char *b);
