/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The names of a Eureka registry that are wanted (watches.h). */
#include "daemon/registry/eureka/watches.h"

#include <utlist.h>

#include "daemon/registry/eureka/eureka.h"

static struct registry_env *env_of(const struct eureka_watches *watches)
{
    return watches->eureka->registry.env;
}

/* ---- the queue: a watch may be dropped by whoever hears a report, so none is walked over ---- */

static void enqueue(struct eureka_watches *watches, struct eureka_watch *watch)
{
    if (watch->queued)
        return;
    DL_APPEND(watches->queue, watch);
    watch->queued = true;
}

static void dequeue(struct eureka_watches *watches, struct eureka_watch *watch)
{
    if (!watch->queued)
        return;
    DL_DELETE(watches->queue, watch);
    watch->queued = false;
}

/* ---- reports: each the last step of its way ---- */

static void remember(struct eureka_watch *watch, struct endpoint_set *set, bool confirmed,
                     bool doubtful)
{
    endpoint_set_unref(watch->endpoints);
    watch->endpoints = set ? endpoint_set_ref(set) : NULL;
    watch->confirmed = confirmed;
    watch->doubtful = doubtful;
    watch->owed = false;
}

static bool is_news(const struct eureka_watch *watch, const struct endpoint_set *set, bool doubtful)
{
    bool reported = watch->confirmed || watch->doubtful;

    if (watch->owed || !reported || watch->doubtful != doubtful || !set != !watch->endpoints)
        return true;
    return set && !endpoint_set_equal(set, watch->endpoints);
}

static void report_failed(struct eureka_watches *watches, struct eureka_watch *watch,
                          const char *text)
{
    watch->owed = watch->confirmed = false;
    env_report(env_of(watches), &(struct registry_report){
                                    .kind = REPORT_FAILED,
                                    .key = watch->key,
                                    .failure = FAILURE_TRANSIENT,
                                    .text = text,
                                });
}

static void report_found(struct eureka_watches *watches, struct eureka_watch *watch,
                         const struct eureka_found *found)
{
    bool doubts = eureka_guard_doubts(&watches->eureka->guard);
    bool doubtful = found->missing > 0 || (found->instances == 0 && doubts);
    bool absent = found->instances == 0 && !doubtful;
    struct endpoint_set *set = absent ? NULL : found->endpoints;

    if (!is_news(watch, set, doubtful))
        return;
    remember(watch, set, !doubtful, doubtful);
    env_report(env_of(watches), &(struct registry_report){
                                    .kind = absent     ? REPORT_ABSENT
                                            : doubtful ? REPORT_SUSPECT
                                                       : REPORT_DATA,
                                    .key = watch->key,
                                    .endpoints = set,
                                    .validity = REPORT_UNTIL_LOST,
                                    .text = doubtful ? watches->eureka->guard.text : NULL,
                                });
}

static void report_one(struct eureka_watches *watches, struct eureka_watch *watch)
{
    struct eureka_found found;
    int r = eureka_applications_find(&watches->eureka->applications, watch->key, &found);

    if (r < 0)
        report_failed(watches, watch, r == -E2BIG ? "too many instances" : strerror(-r));
    else
        report_found(watches, watch, &found);
    endpoint_set_unref(found.endpoints);
}

void eureka_watches_run(struct eureka_watches *watches)
{
    while (watches->queue) {
        struct eureka_watch *watch = watches->queue;

        dequeue(watches, watch);
        report_one(watches, watch);
    }
}

static void run_down(struct eureka_watches *watches, const char *text)
{
    while (watches->queue) {
        struct eureka_watch *watch = watches->queue;

        dequeue(watches, watch);
        if (watch->owed)
            report_failed(watches, watch, text);
    }
}

/* For who asked meanwhile; before the first answer they wait for it. */
static void fire(struct env_timer *timer)
{
    struct eureka_watches *watches = timer->owner;
    const struct eureka_poll *poll = &watches->eureka->poll;

    if (poll->down)
        run_down(watches, poll->text);
    else if (poll->synced)
        eureka_watches_run(watches);
}

/* ---- verbs ---- */

static struct eureka_watch *find(struct eureka_watches *watches, const char *key)
{
    struct eureka_watch *watch;

    HASH_FIND_STR(watches->table, key, watch);
    return watch;
}

static struct eureka_watch *add(struct eureka_watches *watches, const char *key)
{
    size_t size = strlen(key) + 1;
    struct eureka_watch *watch = calloc(1, sizeof(*watch) + size);

    if (!watch)
        return NULL;
    memcpy(watch->key, key, size);
    HASH_ADD_STR(watches->table, key, watch);
    return watch;
}

static void owe(struct eureka_watches *watches, struct eureka_watch *watch)
{
    watch->owed = true;
    enqueue(watches, watch);
    env_defer(env_of(watches), &watches->timer);
}

int eureka_watches_want(struct eureka_watches *watches, const char *key)
{
    struct eureka_watch *watch = find(watches, key);

    if (watch)
        return 0;
    watch = add(watches, key);
    if (!watch)
        return -ENOMEM;
    owe(watches, watch);
    return 0;
}

int eureka_watches_refresh(struct eureka_watches *watches, const char *key)
{
    struct eureka_watch *watch = find(watches, key);

    if (!watch)
        return -ENOENT;
    owe(watches, watch);
    return 0;
}

static void watch_free(struct eureka_watches *watches, struct eureka_watch *watch)
{
    dequeue(watches, watch);
    HASH_DEL(watches->table, watch);
    endpoint_set_unref(watch->endpoints);
    free(watch);
}

void eureka_watches_drop(struct eureka_watches *watches, const char *key)
{
    struct eureka_watch *watch = find(watches, key);

    if (watch)
        watch_free(watches, watch);
}

/* ---- events; none reports ---- */

void eureka_watches_changed(struct eureka_watches *watches, const char *key)
{
    struct eureka_watch *watch = find(watches, key);

    if (watch)
        enqueue(watches, watch);
}

void eureka_watches_doubt_over(struct eureka_watches *watches)
{
    for (struct eureka_watch *watch = watches->table; watch; watch = watch->hh.next)
        if (watch->doubtful)
            enqueue(watches, watch);
}

void eureka_watches_went_down(struct eureka_watches *watches)
{
    for (struct eureka_watch *watch = watches->table; watch; watch = watch->hh.next)
        watch->confirmed = watch->doubtful = false;
    env_defer(env_of(watches), &watches->timer);
}

void eureka_watches_came_up(struct eureka_watches *watches)
{
    for (struct eureka_watch *watch = watches->table; watch; watch = watch->hh.next)
        enqueue(watches, watch);
}

unsigned eureka_watches_doubtful(const struct eureka_watches *watches)
{
    unsigned count = 0;

    for (const struct eureka_watch *watch = watches->table; watch; watch = watch->hh.next)
        count += watch->doubtful;
    return count;
}

void eureka_watches_init(struct eureka_watches *watches, struct eureka *eureka)
{
    *watches = (struct eureka_watches){.eureka = eureka};
    watches->timer = (struct env_timer){.fire = fire, .owner = watches};
}

void eureka_watches_done(struct eureka_watches *watches)
{
    struct eureka_watch *watch, *next;

    if (!watches->eureka)
        return;
    env_timer_off(env_of(watches), &watches->timer);
    HASH_ITER (hh, watches->table, watch, next)
        watch_free(watches, watch);
}
