/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watchers: how one part of the core hears that another part's object changed.
 *
 * An object that others depend on (a service, a chased host name, a name) has a watch_list; a
 * dependent embeds a watcher and attaches it. A watcher may detach itself or others, and attach new
 * ones, from within its callback: a watcher that was detached is not called any more, one attached
 * during a round is called from the next round on.
 */
#pragma once

#include <utlist.h>

#include "daemon/base.h"

struct watch_list;

struct watcher {
    void (*changed)(struct watcher *watcher);
    void *owner;
    struct watch_list *list; /* NULL while detached */
    struct watcher *prev, *next;
    unsigned round;
};

struct watch_list {
    struct watcher *first;
    unsigned round;
};

static inline void watcher_detach(struct watcher *watcher)
{
    if (!watcher->list)
        return;
    DL_DELETE(watcher->list->first, watcher);
    watcher->list = NULL;
}

static inline void watcher_attach(struct watcher *watcher, struct watch_list *list)
{
    watcher_detach(watcher);
    watcher->list = list;
    watcher->round = list->round;
    DL_APPEND(list->first, watcher);
}

/* Detaches all, for an object that goes away. Their owners must not need the call. */
static inline void watch_list_done(struct watch_list *list)
{
    while (list->first)
        watcher_detach(list->first);
}

/*
 * Calls every watcher that was attached before. Each call may change the list in any way, so the
 * walk starts over after each; `round` marks who had its turn. Watchers called move to the end, so
 * a walk is linear.
 */
static inline void watch_list_notify(struct watch_list *list)
{
    unsigned round = ++list->round;
    struct watcher *watcher;

    while ((watcher = list->first) && watcher->round != round) {
        watcher->round = round;
        DL_DELETE(list->first, watcher);
        DL_APPEND(list->first, watcher);
        watcher->changed(watcher);
    }
}
