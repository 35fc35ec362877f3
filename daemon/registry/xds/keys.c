/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/keys.h"

#include <stdio.h>
#include <utlist.h>

#include "daemon/log.h"
#include "daemon/registry/xds/xds.h"

enum { KEYS_OF_A_TURN = 64 };

static struct registry_env *env_of(const struct xds_keys *keys)
{
    return keys->xds->registry.env;
}

/* ---- the queue: a key may be dropped by whoever hears a report, so none is walked over ---- */

static void enqueue(struct xds_keys *keys, struct xds_key *key)
{
    if (key->queued)
        return;
    DL_APPEND(keys->queue, key);
    key->queued = true;
}

static void dequeue(struct xds_keys *keys, struct xds_key *key)
{
    if (!key->queued)
        return;
    DL_DELETE(keys->queue, key);
    key->queued = false;
}

static struct xds_key *find(struct xds_keys *keys, const char *name)
{
    struct xds_key *key;

    HASH_FIND_STR(keys->table, name, key);
    return key;
}

/* ---- what a key depends on ---- */

static void release(struct xds_keys *keys, struct xds_dependency *list)
{
    struct xds_protocol *protocol = &keys->xds->protocol;

    while (list) {
        struct xds_dependency *one = list;
        struct xds_resource *resource = one->resource;

        list = one->sibling;
        xds_depend_no_more(one);
        free(one);
        if (xds_resource_is_wanted(resource))
            continue;
        xds_protocol_touch(protocol, resource);
        xds_resources_release(&protocol->resources, resource,
                              protocol->exchanges[resource->kind].wildcard);
    }
}

/* ---- reports: each the last step of its way ---- */

static void remember(struct xds_key *key, struct endpoint_set *set)
{
    endpoint_set_unref(key->endpoints);
    key->endpoints = set ? endpoint_set_ref(set) : NULL;
    key->confirmed = true;
    key->failing = key->owed = false;
}

static bool is_news(const struct xds_key *key, const struct endpoint_set *set)
{
    if (key->owed || !key->confirmed || !set != !key->endpoints)
        return true;
    return set && !endpoint_set_equal(set, key->endpoints);
}

static void report_failed(struct xds_keys *keys, struct xds_key *key, const char *text)
{
    key->owed = key->confirmed = false;
    key->failing = true;
    env_report(env_of(keys), &(struct registry_report){
                                 .kind = REPORT_FAILED,
                                 .key = key->key,
                                 .failure = FAILURE_TRANSIENT,
                                 .text = text,
                             });
}

static void report_absent(struct xds_keys *keys, struct xds_key *key)
{
    if (!is_news(key, NULL))
        return;
    remember(key, NULL);
    env_report(env_of(keys), &(struct registry_report){.kind = REPORT_ABSENT,
                                                       .key = key->key,
                                                       .validity = REPORT_UNTIL_LOST});
}

/* A failure that follows finds the key by its name again: it may be gone by then. */
static void report_data(struct xds_keys *keys, struct xds_key *key, struct endpoint_set *set,
                        const char *error)
{
    char name[REGISTRY_KEY_MAX + 1];

    if (error && key->failing && !key->owed)
        return;
    snprintf(name, sizeof(name), "%s", key->key);
    if (is_news(key, set)) {
        remember(key, set);
        env_report(env_of(keys), &(struct registry_report){.kind = REPORT_DATA,
                                                           .key = name,
                                                           .endpoints = set,
                                                           .validity = REPORT_UNTIL_LOST});
    }
    key = error ? find(keys, name) : NULL;
    if (key)
        report_failed(keys, key, error);
}

/* ---- endpoint_stale_after ---- */

static void watch_staleness(struct xds_keys *keys, struct xds_key *key, usec_t stale_at)
{
    key->stale_at = stale_at;
    if (stale_at == 0 || (keys->stale_at != 0 && keys->stale_at <= stale_at))
        return;
    keys->stale_at = stale_at;
    env_timer_set(env_of(keys), &keys->stale_timer, stale_at);
}

static void report_stale(struct xds_keys *keys, struct xds_key *key,
                         const struct endpoint_set *endpoints)
{
    struct endpoint_set *set;

    if (key->stale && !key->owed)
        return;
    set = xds_services_stale(endpoints);
    if (!set)
        return;
    if (!key->stale)
        env_log(env_of(keys), LOG_NOTICE, key->key,
                "the control plane's endpoint_stale_after is over without a new assignment: the "
                "endpoints count as failing");
    key->stale = true;
    key->confirmed = key->failing = false;
    report_data(keys, key, set, "no assignment for longer than its endpoint_stale_after");
    endpoint_set_unref(set);
}

static void stale_fire(struct env_timer *timer)
{
    struct xds_keys *keys = timer->owner;
    usec_t now = env_now(env_of(keys)), next = 0;
    struct xds_key *key;

    keys->stale_at = 0;
    for (key = keys->table; key; key = key->hh.next) {
        if (key->stale_at == 0)
            continue;
        if (key->stale_at <= now && !key->stale)
            enqueue(keys, key);
        else if (key->stale_at > now && (next == 0 || key->stale_at < next))
            next = key->stale_at;
    }
    if (next != 0) {
        keys->stale_at = next;
        env_timer_set(env_of(keys), &keys->stale_timer, next);
    }
    xds_moved(keys->xds);
}

/* ---- one key ---- */

static void report_found(struct xds_keys *keys, struct xds_key *key, const struct xds_found *found)
{
    bool stale = found->stale_at != 0 && found->stale_at <= env_now(env_of(keys));

    if (found->outcome == XDS_DATA && stale) {
        report_stale(keys, key, found->endpoints);
        return;
    }
    if (!keys->xds->up) {
        if (keys->xds->down && key->owed)
            report_failed(keys, key, keys->xds->text);
        return;
    }
    key->stale = false;
    switch (found->outcome) {
    case XDS_PENDING: /* what was handed out is no more; another of its names is not known yet */
        if (found->unknown && key->endpoints)
            report_absent(keys, key);
        return;
    case XDS_DATA:
        report_data(keys, key, found->endpoints, found->error);
        return;
    case XDS_NONE:
        report_absent(keys, key);
        return;
    case XDS_FAILED:
        if (key->owed || key->confirmed)
            report_failed(keys, key, found->error);
        return;
    }
}

static void log_crowded(const struct xds_keys *keys, struct xds_key *key, unsigned left_out)
{
    if (left_out > 0 && !key->crowded)
        env_log(env_of(keys), LOG_WARNING, key->key,
                "%u ports are left out: an address has more than %u", left_out, ENDPOINT_PORTS_MAX);
    key->crowded = left_out > 0;
}

static void look_at(struct xds_keys *keys, struct xds_key *key)
{
    struct xds_dependency *old = key->dependencies;
    struct xds_found found;
    struct xds_lookup lookup = xds_lookup_of(keys->xds, key);
    int r = xds_services_find(&lookup, key->key, &found);

    key->dependencies = lookup.dependencies;
    release(keys, old);
    watch_staleness(keys, key, found.stale_at);
    log_crowded(keys, key, found.left_out);
    if (r < 0)
        report_failed(keys, key, r == -E2BIG ? "too many endpoints" : strerror(-r));
    else
        report_found(keys, key, &found);
    endpoint_set_unref(found.endpoints);
}

void xds_keys_run(struct xds_keys *keys)
{
    for (unsigned i = 0; keys->queue && i < KEYS_OF_A_TURN; i++) {
        struct xds_key *key = keys->queue;

        dequeue(keys, key);
        look_at(keys, key);
    }
    if (keys->queue)
        env_defer(env_of(keys), &keys->timer);
}

static void fire(struct env_timer *timer)
{
    struct xds_keys *keys = timer->owner;

    xds_moved(keys->xds);
}

/* ---- verbs ---- */

static void owe(struct xds_keys *keys, struct xds_key *key)
{
    key->owed = true;
    enqueue(keys, key);
    env_defer(env_of(keys), &keys->timer);
}

int xds_keys_want(struct xds_keys *keys, const char *name)
{
    struct xds_key *key = find(keys, name);
    size_t size = strlen(name) + 1;

    if (key)
        return 0;
    key = calloc(1, sizeof(*key) + size);
    if (!key)
        return -ENOMEM;
    memcpy(key->key, name, size);
    HASH_ADD_STR(keys->table, key, key);
    owe(keys, key);
    return 0;
}

int xds_keys_refresh(struct xds_keys *keys, const char *name)
{
    struct xds_key *key = find(keys, name);

    if (!key)
        return -ENOENT;
    owe(keys, key);
    return 0;
}

static void key_free(struct xds_keys *keys, struct xds_key *key)
{
    dequeue(keys, key);
    HASH_DEL(keys->table, key);
    release(keys, key->dependencies);
    endpoint_set_unref(key->endpoints);
    free(key);
}

void xds_keys_drop(struct xds_keys *keys, const char *name)
{
    struct xds_key *key = find(keys, name);

    if (!key)
        return;
    key_free(keys, key);
    env_defer(env_of(keys), &keys->timer);
}

/* ---- events ---- */

void xds_keys_resource_changed(struct xds_keys *keys, const struct xds_resource *resource)
{
    const struct xds_dependency *one;

    DL_FOREACH (resource->dependencies, one)
        enqueue(keys, one->owner);
}

static void enqueue_name(struct xds_keys *keys, const char *name)
{
    struct xds_key *key = find(keys, name);

    if (key)
        enqueue(keys, key);
}

void xds_keys_host_changed(struct xds_keys *keys, const char *host)
{
    char *const *domain = keys->xds->registry.config->domains;
    char name[2 * NAME_SIZE];

    if (host[0] == '*') { /* whatever is below it */
        for (struct xds_key *key = keys->table; key; key = key->hh.next)
            enqueue(keys, key);
        return;
    }
    enqueue_name(keys, host);
    for (; domain && *domain; domain++) {
        snprintf(name, sizeof(name), "%s.%s", host, *domain);
        enqueue_name(keys, name);
    }
}

void xds_keys_went_down(struct xds_keys *keys)
{
    for (struct xds_key *key = keys->table; key; key = key->hh.next) {
        key->confirmed = key->failing = false;
        if (key->owed)
            enqueue(keys, key);
    }
}

void xds_keys_recheck(struct xds_keys *keys)
{
    for (struct xds_key *key = keys->table; key; key = key->hh.next)
        if (!key->confirmed)
            enqueue(keys, key);
}

void xds_keys_init(struct xds_keys *keys, struct xds *xds)
{
    *keys = (struct xds_keys){.xds = xds};
    keys->timer = (struct env_timer){.fire = fire, .owner = keys};
    keys->stale_timer = (struct env_timer){.fire = stale_fire, .owner = keys};
}

void xds_keys_done(struct xds_keys *keys)
{
    struct xds_key *key, *next;

    if (!keys->xds)
        return;
    env_timer_off(env_of(keys), &keys->timer);
    env_timer_off(env_of(keys), &keys->stale_timer);
    HASH_ITER (hh, keys->table, key, next)
        key_free(keys, key);
}
