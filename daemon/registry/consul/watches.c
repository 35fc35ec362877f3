/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All wanted keys (watches.h). */
#include "daemon/registry/consul/watches.h"

#include <utlist.h>

#include "daemon/registry/consul/consul.h"
#include "daemon/registry/consul/watch.h"

enum { READS_SPARE = 16 };                 /* calls beyond the slots, for reads that do not block */
#define SPREAD_EACH  (20 * USEC_PER_MSEC)  /* a watch, when many start again */
#define POLL_PERIOD  (10 * USEC_PER_SEC)   /* at least */
#define POLL_EACH    (100 * USEC_PER_MSEC) /* a polled watch: ten reads a second in all */
#define RECHECK_EACH (5 * USEC_PER_MSEC)   /* a watch, when a server knows nothing: 200 a second */
#define ASK_AGAIN    USEC_PER_SEC          /* of a key that failed, for who asks for it */
#define UNUSED_TIME  (1200 * USEC_PER_SEC) /* the core refreshes what is used more often */

static usec_t now_of(const struct consul_watches *watches)
{
    return env_now(watches->consul->registry.env);
}

/* ---- room for calls ---- */

bool consul_watches_reads_free(struct consul_watches *watches)
{
    struct consul_agents *agents = &watches->consul->agents;

    return consul_agents_open(agents) < consul_agents_limit(agents) + READS_SPARE;
}

void consul_watches_queue_run(struct consul_watches *watches)
{
    if (watches->queue && consul_watches_reads_free(watches))
        consul_watch_plan(watches->queue, 0);
}

void consul_watches_release(struct consul_watch *watch)
{
    watch->watches->parking -= watch->parks;
    watch->parks = false;
}

/* Of the watches that hold a slot, the one that nobody has asked for in a long time; or NULL. */
static struct consul_watch *find_unused(struct consul_watches *watches, usec_t now)
{
    struct consul_watch *watch, *found = NULL;

    if (now < watches->unused_from)
        return NULL;
    for (watch = watches->table; watch; watch = watch->hh.next)
        if (watch->parks && (!found || watch->used_at < found->used_at))
            found = watch;
    watches->unused_from = (found ? found->used_at : now) + UNUSED_TIME;
    return now > watches->unused_from ? found : NULL;
}

usec_t consul_watches_poll_period(const struct consul_watches *watches)
{
    usec_t all = (HASH_COUNT(watches->table) - watches->parking) * POLL_EACH;

    return all > POLL_PERIOD ? all : POLL_PERIOD;
}

usec_t consul_watches_recheck_period(const struct consul_watches *watches)
{
    return USEC_PER_SEC + HASH_COUNT(watches->table) * RECHECK_EACH;
}

void consul_watches_settle(struct consul_watch *watch, bool asked)
{
    struct consul_watches *watches = watch->watches;
    unsigned limit = consul_agents_limit(&watches->consul->agents);
    struct consul_watch *unused;

    if (watch->kind == CONSUL_QUERY || (watch->parks && watches->parking > limit)) {
        consul_watches_release(watch);
        return;
    }
    /* Its call goes on to its end: given up, it would cost the agent as much. */
    if (!watch->parks && watches->parking >= limit && asked && consul_watches_reads_free(watches)) {
        unused = find_unused(watches, now_of(watches));
        if (unused)
            consul_watches_release(unused);
    }
    if (!watch->parks && watches->parking < limit) {
        watch->parks = true;
        if (watch->used_at + UNUSED_TIME < watches->unused_from)
            watches->unused_from = watch->used_at + UNUSED_TIME;
        watches->parking++;
    }
}

void consul_watches_shrink(struct consul_watches *watches)
{
    unsigned limit = consul_agents_limit(&watches->consul->agents);
    struct consul_watch *watch;

    for (watch = watches->table; watch && watches->parking > limit; watch = watch->hh.next)
        if (watch->parks && watch->state == WATCH_PARKED)
            consul_watches_release(watch);
}

/* ---- verbs ---- */

static struct consul_watch *watch_find(struct consul_watches *watches, const char *key)
{
    struct consul_watch *watch;

    HASH_FIND_STR(watches->table, key, watch);
    return watch;
}

int consul_watches_want(struct consul_watches *watches, const char *text)
{
    struct consul_watch *watch = watch_find(watches, text);
    struct consul_key key;

    if (!watch) {
        if (consul_key_parse(text, &key) < 0)
            return -EINVAL;
        watch = consul_watch_new(watches, text, key.kind);
        if (!watch)
            return -ENOMEM;
        watch->owed = true;
        consul_watch_plan(watch, 0);
    }
    watch->used_at = now_of(watches);
    return 0;
}

int consul_watches_refresh(struct consul_watches *watches, const char *text)
{
    struct consul_watch *watch = watch_find(watches, text);
    usec_t now = now_of(watches), earliest = 0;

    if (!watch)
        return -ENOENT;
    watch->used_at = now;
    watch->owed = true;
    if (watch->state == WATCH_READING || watch->state == WATCH_QUEUED)
        return 0;
    if (watch->pace.failures > 0 && now < watch->call.since + ASK_AGAIN)
        earliest = watch->call.since + ASK_AGAIN - now;
    if (watch->state != WATCH_PLANNED || watch->planned > now + earliest)
        consul_watch_restart(watch, earliest);
    return 0;
}

void consul_watches_drop(struct consul_watches *watches, const char *key)
{
    struct consul_watch *watch = watch_find(watches, key);

    if (watch)
        consul_watch_free(watch);
}

/* ---- events that concern many; none reports, so the table stands still ---- */

static usec_t spread(struct consul_watches *watches)
{
    return env_random(watches->consul->registry.env) % (HASH_COUNT(watches->table) * SPREAD_EACH);
}

void consul_watches_retry(struct consul_watches *watches)
{
    struct consul_watch *watch;

    for (watch = watches->table; watch; watch = watch->hh.next) {
        watch->confirmed = false;
        watch->pace.failures = 0;
        consul_watch_restart(watch, watch->owed ? 0 : spread(watches));
    }
}

void consul_watches_kick(struct consul_watches *watches)
{
    struct consul_watch *watch;

    for (watch = watches->table; watch; watch = watch->hh.next) {
        if (watch->state == WATCH_PARKED && watch->confirmed)
            continue;
        watch->pace.failures = 0;
        consul_watch_restart(watch, watch->owed ? 0 : spread(watches));
    }
}

void consul_watches_recovered(struct consul_watches *watches)
{
    struct consul_watch *watch;

    for (watch = watches->table; watch; watch = watch->hh.next)
        if (watch->state == WATCH_PLANNED && watch->pace.failures > 0) {
            watch->pace.failures = 0;
            consul_watch_restart(watch, watch->owed ? 0 : spread(watches));
        }
}

void consul_watches_agent_failed(struct consul_watches *watches, unsigned agent)
{
    struct consul_watch *watch;

    for (watch = watches->table; watch; watch = watch->hh.next)
        if (watch->call.http && watch->call.agent == agent) {
            watch->confirmed = false;
            consul_watch_restart(watch, watch->owed ? 0 : spread(watches));
        }
}

void consul_watches_came_up(struct consul_watches *watches)
{
    struct consul_watch *watch;

    /* The catalogue speaks for absent services, once it was read. */
    for (watch = watches->table; watch; watch = watch->hh.next)
        if (watch->state == WATCH_RESTING && (!watch->absent || watch->kind != CONSUL_SERVICE))
            consul_watch_restart(watch, watch->owed ? 0 : spread(watches));
}

void consul_watches_went_down(struct consul_watches *watches)
{
    struct consul_watch *watch;

    for (watch = watches->table; watch; watch = watch->hh.next) {
        watch->confirmed = watch->doubted = false;
        watch->index = 0;
        watch->pace.failures = 0;
        if (watch->owed)
            consul_watch_plan(watch, 0);
        else if (watch->kind != CONSUL_ADDR)
            consul_watch_rest(watch);
    }
}

/* Does what the catalogue says now change anything for a service that was reported absent? */
static bool absence_moves(const struct consul_watch *watch, enum consul_presence presence)
{
    switch (presence) {
    case CONSUL_PRESENT:
        return true;
    case CONSUL_MISSING:
        return !watch->confirmed;
    default:
        return watch->confirmed || watch->state == WATCH_RESTING;
    }
}

void consul_watches_catalogue_changed(struct consul_watches *watches)
{
    struct consul_watch *watch;
    struct consul_key key;

    for (watch = watches->table; watch; watch = watch->hh.next) {
        enum consul_presence presence;

        if (watch->kind != CONSUL_SERVICE || (watch->endpoints && watch->endpoints->count > 0))
            continue;
        consul_key_parse(watch->key, &key);
        presence = consul_catalogue_find(&watches->consul->catalogue, &key);
        if (watch->endpoints ? presence == CONSUL_MISSING
                             : watch->absent && absence_moves(watch, presence))
            consul_watch_restart(watch, 0);
    }
}

void consul_watches_catalogue_read(struct consul_watches *watches)
{
    struct consul_watch *watch;
    struct consul_key key;

    for (watch = watches->table; watch; watch = watch->hh.next) {
        if (watch->doubted) {
            consul_watch_plan(watch, 0);
        } else if (watch->suspect) {
            consul_key_parse(watch->key, &key);
            if (consul_catalogue_find(&watches->consul->catalogue, &key) == CONSUL_MISSING)
                consul_watch_restart(watch, 0);
        }
    }
}

void consul_watches_datacenter_known(struct consul_watches *watches)
{
    struct consul_watch *watch;

    for (watch = watches->table; watch; watch = watch->hh.next)
        if (!watch->absent && (watch->kind == CONSUL_QUERY || strchr(watch->key, '?')) &&
            (watch->state == WATCH_PARKED || watch->endpoints))
            consul_watch_restart(watch, 0);
}

void consul_watches_init(struct consul_watches *watches, struct consul *consul)
{
    *watches = (struct consul_watches){
        .consul = consul,
        .log_limit = {.interval = 60 * USEC_PER_SEC, .burst = 5},
    };
}

void consul_watches_done(struct consul_watches *watches)
{
    struct consul_watch *watch, *next;

    HASH_ITER (hh, watches->table, watch, next)
        consul_watch_free(watch);
}

void consul_watches_describe(const struct consul_watches *watches, json_t *object)
{
    int parked = 0, polled = 0, absent = 0, failing = 0;
    const struct consul_watch *watch;

    for (watch = watches->table; watch; watch = watch->hh.next) {
        if (watch->absent)
            absent++;
        else if (watch->pace.failures > 0)
            failing++;
        else if (watch->parks)
            parked++;
        else
            polled++;
    }
    json_object_set_new(object, "watches",
                        json_pack("{s:i, s:i, s:i, s:i}", "parked", parked, "polled", polled,
                                  "absent", absent, "failing", failing));
}
