/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/store_internal.h"

struct store *store_new(const struct store_hooks *hooks)
{
    struct store *store = calloc(1, sizeof(*store));

    if (!store)
        return NULL;
    store->hooks = *hooks;
    for (unsigned i = 0; i < STORE_REGISTRIES_MAX; i++)
        store->registries[i].tick_at = USEC_INFINITY;
    return store;
}

static void unproven_remove(struct service *service)
{
    struct registry_state *state = store_state_of(service);

    if (service->proven)
        return;
    DL_DELETE(state->unproven, service);
    state->unproven_count--;
}

void store_service_proven(struct service *service)
{
    unproven_remove(service);
    service->proven = true;
}

void store_service_remove(struct service *service)
{
    struct registry_state *state = store_state_of(service);

    HASH_DEL(state->services, service);
    state->service_count--;
    unproven_remove(service);
    store_fetch_forget(service);
    watch_list_notify(&service->watchers);
    watch_list_done(&service->watchers);
    endpoint_set_unref(service->endpoints);
    free(service->alias);
    free(service->error);
    free(service);
}

static void service_drop(struct service *service)
{
    struct store *store = service->store;

    store_touch(store, service->registry, true);
    store_state_of(service)->counters.drops++;
    store->hooks.drop(store->hooks.userdata, service->registry, service->key);
    store_service_remove(service);
}

void store_registry_add(struct store *store, unsigned registry, const struct freshness_rules *rules,
                        unsigned max_services)
{
    store->registries[registry] = (struct registry_state){
        .used = true,
        .rules = *rules,
        .max_services = max_services,
        .tick_at = USEC_INFINITY,
    };
}

void store_registry_remove(struct store *store, unsigned registry)
{
    struct registry_state *state = &store->registries[registry];

    for (unsigned i = 0; i < FETCH_KINDS; i++)
        while (state->waiting[i])
            store_fetch_unqueue(state->waiting[i]);
    while (state->services)
        store_service_remove(state->services);
    shelf_clear(&state->shelf);
    *state = (struct registry_state){.tick_at = USEC_INFINITY};
}

struct store *store_free(struct store *store)
{
    if (!store)
        return NULL;
    for (unsigned i = 0; i < STORE_REGISTRIES_MAX; i++)
        store_registry_remove(store, i);
    free(store);
    return NULL;
}

bool store_registry_down(const struct store *store, unsigned registry)
{
    return store->registries[registry].down;
}

/* Makes room by giving up the oldest service that never had data and that nobody waits for. */
static bool make_room(struct registry_state *state)
{
    struct service *service;

    DL_FOREACH (state->unproven, service) {
        if (service->watchers.first)
            continue;
        service_drop(service);
        return true;
    }
    return false;
}

struct service *store_find(struct store *store, unsigned registry, const char *key)
{
    struct service *service;

    HASH_FIND_STR(store->registries[registry].services, key, service);
    return service;
}

struct service *store_service_new(struct store *store, unsigned registry, const char *key,
                                  usec_t now)
{
    struct registry_state *state = &store->registries[registry];
    size_t length = strlen(key);
    struct service *service;

    if ((state->unproven_count >= STORE_UNPROVEN_MAX ||
         state->service_count >= state->max_services) &&
        !make_room(state)) {
        state->counters.refused++;
        return NULL;
    }
    service = calloc(1, sizeof(*service) + length + 1);
    if (!service)
        return NULL;
    service->store = store;
    service->registry = registry;
    service->used_at = now;
    service->rules = state->rules;
    service->refresh_at = USEC_INFINITY;
    memcpy(service->key, key, length + 1);
    HASH_ADD_KEYPTR(hh, state->services, service->key, length, service);
    state->service_count++;
    DL_APPEND(state->unproven, service);
    state->unproven_count++;
    return service;
}

struct service *store_get(struct store *store, unsigned registry, const char *key, usec_t now)
{
    struct service *service = store_find(store, registry, key);

    if (service)
        return service;
    service = store_service_new(store, registry, key, now);
    if (!service)
        return NULL;
    store_known_take_back(service, now);
    store_fetch_ask(service, FETCH_WANT, now);
    return service;
}

void store_ask(struct store *store, struct service *service, usec_t now)
{
    (void)store;
    service->used_at = now;
    if (!store_fetch_is_asked(service) && now >= service->refresh_at &&
        store_service_apply(service, FRESHNESS_LOOKUP, 0, now) == FRESHNESS_ASK)
        store_fetch_ask(service, FETCH_REFRESH, now);
}

/* ---- rules ---- */

static void rules_wish(const struct store_wish *wish, usec_t *rule)
{
    if (wish->rank > 0)
        *rule = wish->value;
}

/* Follows the wishes, where they or the rules of the registry are others now. */
static void service_rules(struct service *service, usec_t now)
{
    const struct store_wish *wishes = service->wishes.wishes;
    struct freshness_rules rules = store_state_of(service)->rules;

    rules_wish(&wishes[STORE_MIN_TTL], &rules.min_ttl);
    rules_wish(&wishes[STORE_MAX_TTL], &rules.max_ttl);
    rules_wish(&wishes[STORE_NEGATIVE_TTL], &rules.negative_ttl);
    rules_wish(&wishes[STORE_MAX_STALE], &rules.max_stale);
    rules_wish(&wishes[STORE_EMPTY_PROTECTION], &rules.empty_protection);
    /* Bounds of different files may cross: the one that says more of this service counts. */
    if (rules.min_ttl > rules.max_ttl) {
        if (wishes[STORE_MAX_TTL].rank > wishes[STORE_MIN_TTL].rank)
            rules.min_ttl = rules.max_ttl;
        else
            rules.max_ttl = rules.min_ttl;
    }
    if (memcmp(&rules, &service->rules, sizeof(rules)) == 0)
        return;
    service->rules = rules;
    store_service_apply(service, FRESHNESS_RELOAD, 0, now);
    if (service->failures == 0)
        service->refresh_at = store_fetch_refresh_time(service, now);
    store_state_of(service)->tick_at = 0;
    watch_list_notify(&service->watchers);
}

void store_wish(struct service *service, const struct store_wishes *wishes, usec_t now)
{
    for (unsigned i = 0; i < STORE_WISHES; i++)
        if (wishes->wishes[i].rank > service->wishes.wishes[i].rank)
            service->wishes.wishes[i] = wishes->wishes[i];
    service->wishes.access = access_join(service->wishes.access, wishes->access);
    if (!service->store->collecting)
        service_rules(service, now);
}

void store_reload_begin(struct store *store)
{
    struct service *service, *next;

    store->collecting = true;
    for (unsigned i = 0; i < STORE_REGISTRIES_MAX; i++)
        HASH_ITER (hh, store->registries[i].services, service, next)
            service->wishes = (struct store_wishes){0};
}

void store_reload_end(struct store *store, usec_t now)
{
    struct service *service, *next;

    store->collecting = false;
    for (unsigned i = 0; i < STORE_REGISTRIES_MAX; i++)
        HASH_ITER (hh, store->registries[i].services, service, next)
            service_rules(service, now);
}

void store_registry_rules(struct store *store, unsigned registry,
                          const struct freshness_rules *rules, unsigned max_services, usec_t now)
{
    struct registry_state *state = &store->registries[registry];
    struct service *service, *next;

    state->rules = *rules;
    state->max_services = max_services;
    HASH_ITER (hh, state->services, service, next)
        if (!store->collecting)
            service_rules(service, now);
}

void store_registry_fetches(struct store *store, unsigned registry, unsigned max)
{
    store->registries[registry].max_fetches = max;
    store_fetch_next(&store->registries[registry]);
}

/* ---- reading ---- */

struct store_counters *store_counters(struct store *store, unsigned registry)
{
    return &store->registries[registry].counters;
}

void service_facts(const struct service *service, usec_t now, struct service_facts *ret_facts)
{
    const struct freshness *freshness = &service->freshness;

    *ret_facts = (struct service_facts){
        .registry = service->registry,
        .key = service->key,
        .state = store_service_state(service, now),
        .endpoints = service->endpoints,
        .alias = service->alias,
        .flags = service->flags,
        .proven = service->proven,
        .asking = store_fetch_is_asked(service) && !store_state_of(service)->down,
        .asked_since = service->asked_since,
        .restored = freshness->restored,
        .shelved = freshness->restored && service->shelved,
        .held = freshness_is_held(freshness, now),
        .suspect = freshness->suspect,
        .confirmed_at = freshness_confirmed_at(freshness, now),
        .until = freshness_until(freshness, &service->rules, now),
        .fresh_until = freshness_fresh_until(freshness, now),
        .stale_until = freshness_stale_until(freshness, &service->rules, now),
        .live = store_service_is_live(service, now),
        .max_stale = service->rules.max_stale,
        .ask_at = service->refresh_at,
        .used_at = service->used_at,
        .error = service->error ? service->error : "",
        .access = service->wishes.access,
    };
    if (ret_facts->state == FRESHNESS_STALE || ret_facts->state == FRESHNESS_EXPIRED)
        ret_facts->stale_since = ret_facts->fresh_until;
}

struct watch_list *service_watchers(struct service *service)
{
    return &service->watchers;
}

void store_each(struct store *store, unsigned registry,
                void (*visit)(void *userdata, struct service *service), void *userdata)
{
    for (unsigned i = 0; i < STORE_REGISTRIES_MAX; i++) {
        struct service *service, *next;

        if (registry != STORE_REGISTRIES_MAX && registry != i)
            continue;
        HASH_ITER (hh, store->registries[i].services, service, next)
            visit(userdata, service);
    }
}

struct summing {
    struct store_summary *summary;
    usec_t now;
};

static void sum_service(void *userdata, struct service *service)
{
    const struct summing *summing = userdata;
    struct store_summary *summary = summing->summary;
    struct service_facts facts;

    service_facts(service, summing->now, &facts);
    summary->services++;
    summary->stale += facts.state == FRESHNESS_STALE;
    summary->expired += facts.state == FRESHNESS_EXPIRED;
    if (facts.stale_since > 0 &&
        (summary->stale_since == 0 || facts.stale_since < summary->stale_since))
        summary->stale_since = facts.stale_since;
    if (facts.state == FRESHNESS_STALE)
        summary->first_expires = store_earlier(summary->first_expires, facts.until);
}

void store_summarize(struct store *store, unsigned registry, usec_t now,
                     struct store_summary *ret_summary)
{
    *ret_summary = (struct store_summary){.first_expires = USEC_INFINITY};
    store_each(store, registry, sum_service, &(struct summing){ret_summary, now});
}

/* ---- giving up ---- */

/* The last known good stays, if there is any. */
static void service_give_up(struct service *service, usec_t now)
{
    struct registry_state *state = store_state_of(service);
    enum freshness_state freshness = store_service_state(service, now);

    if (freshness == FRESHNESS_FRESH || freshness == FRESHNESS_STALE)
        shelf_put(&state->shelf,
                  &(struct store_memory){
                      .key = service->key,
                      .endpoints = service->endpoints,
                      .alias = service->alias,
                      .flags = service->flags,
                      .confirmed_at = freshness_confirmed_at(&service->freshness, now),
                  },
                  freshness_stale_until(&service->freshness, &service->rules, now));
    service_drop(service);
}

void store_sweep(struct store *store, usec_t idle, usec_t now)
{
    for (unsigned i = 0; i < STORE_REGISTRIES_MAX; i++) {
        struct service *service, *next;

        shelf_sweep(&store->registries[i].shelf, now);
        /* What its registry cannot tell again now is kept. */
        if (store->registries[i].down)
            continue;
        HASH_ITER (hh, store->registries[i].services, service, next)
            if (!service->watchers.first && now >= usec_add(service->used_at, idle) &&
                !(service->proven && store_age_is_troubled(service, now)))
                service_give_up(service, now);
    }
}
