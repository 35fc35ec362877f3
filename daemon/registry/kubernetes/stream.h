/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stream: one collection of objects (a resource, of a namespace or all, under selectors), listed
 * once and watched from there on, and kept going whatever happens.
 *
 *   list      GET ?resourceVersion=0, split item by item while it arrives (items.h); or WatchList
 *             where the server has it; paging where neither works
 *   watch     from the list's resourceVersion, bookmarks, 300 to 600 s, no compression; a clean end
 * is followed by the next watch from the last version, without a list 410       as a status or as
 * an ERROR event: list again, at least as fresh; then any 404       of the resource: the owner
 * chooses another version of the API 429, 5xx  Retry-After, else back-off with jitter
 *
 * It knows nothing of services: objects go to its owner as they come. Never more than one item's
 * text is held. Source: Kubernetes API concepts (efficient detection of changes, resource
 * versions).
 */
#pragma once

#include "daemon/registry/kubernetes/access.h"

struct kubernetes_stream;

struct kubernetes_stream_handler {
    /* A new list begins: what is not named before `replaced` is gone. The old content stays till
     * then. */
    void (*replacing)(void *owner);
    /* An object, added or changed; borrowed. */
    void (*object)(void *owner, const json_t *object);
    /* An object is gone, or no longer selected. Only its namespace and name count. */
    void (*gone)(void *owner, const json_t *object);
    /* The list is whole: from now on the stream is live, and absence can be told. */
    void (*replaced)(void *owner);
    /* The stream is not confirmed any more: failure as in registry.h, text for people. Tried again.
     */
    void (*failed)(void *owner, enum registry_failure failure, const char *text,
                   usec_t retry_after);
    /* It is again, without a new list. */
    void (*live)(void *owner);
    /* 404: the server has no such resource. The stream stays still until it is freed. */
    void (*missing)(void *owner);
};

struct kubernetes_stream_options {
    const char *path;  /* "/api/v1/namespaces/shop/services": without a query */
    const char *query; /* "labelSelector=...", already encoded; or "" */
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
bool kubernetes_stream_live(const struct kubernetes_stream *stream);
