/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/store.h"

#include <uthash.h>

#include "daemon/shelf.h"

/* Failed fetches of asking registries are repeated at the earliest after these. */
#define RETRY_FIRST (1 * USEC_PER_SEC)
#define RETRY_LAST  (30 * USEC_PER_SEC)

/* What was told of the ageing of a service, in the order in which it comes. */
enum told { TOLD_NOTHING, TOLD_STALE, TOLD_HALF, TOLD_NEARLY, TOLD_EXPIRED };

/* A service waits for one of the fetches that its registry may have on their way at one time. */
enum fetch { FETCH_NONE, FETCH_WANT, FETCH_REFRESH, FETCH_KINDS };

struct registry_state {
    bool used;
    bool up;   /* its watches hold */
    bool down; /* it is known not to answer */
    struct freshness_rules rules;
    unsigned max_services, service_count;
    struct service *services; /* by key */
    struct shelf shelf;       /* of services given up; none of `services` is there */
    struct service *unproven; /* oldest first: those that never had data */
    unsigned unproven_count;
    unsigned max_fetches, fetches;        /* 0: no limit; on their way */
    struct service *waiting[FETCH_KINDS]; /* first come first, in turns of both kinds */
    enum fetch turn;
    usec_t tick_at; /* none of its services has to be told of before */
    struct store_counters counters;
};

struct service {
    struct store *store;
    unsigned registry;
    struct freshness freshness;
    struct store_wishes wishes;
    struct freshness_rules rules; /* of the registry, as the wishes change them */
    struct endpoint_set *endpoints;
    char *alias;
    char *error;
    uint32_t flags;
    bool proven;
    bool shelved;       /* what was restored is from the shelf */
    bool in_flight;     /* want or refresh was called, no report yet */
    enum fetch waiting; /* or will be, when there is room */
    enum told told;
    unsigned failures;
    usec_t asked_since;
    usec_t refresh_at; /* asking registries: ask again from then on */
    usec_t used_at;
    struct watch_list watchers;
    struct service *prev, *next;             /* in `unproven` */
    struct service *fetch_prev, *fetch_next; /* in `waiting` */
    UT_hash_handle hh;
    char key[];
};

struct store {
    struct store_hooks hooks;
    struct registry_state registries[STORE_REGISTRIES_MAX];
    bool collecting; /* wishes, without following them */
};

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

static usec_t earlier(usec_t a, usec_t b)
{
    return a < b ? a : b;
}

static struct registry_state *state_of(const struct service *service)
{
    return &service->store->registries[service->registry];
}

static void unproven_remove(struct service *service)
{
    struct registry_state *state = state_of(service);

    if (service->proven)
        return;
    DL_DELETE(state->unproven, service);
    state->unproven_count--;
}

static void fetch_unqueue(struct service *service);
static void fetch_forget(struct service *service);

/* Takes the service out of the store; dependents hear of it and find no service any more. */
static void service_remove(struct service *service)
{
    struct registry_state *state = state_of(service);

    HASH_DEL(state->services, service);
    state->service_count--;
    unproven_remove(service);
    fetch_forget(service);
    watch_list_notify(&service->watchers);
    watch_list_done(&service->watchers);
    endpoint_set_unref(service->endpoints);
    free(service->alias);
    free(service->error);
    free(service);
}

static void touch(struct store *store, unsigned registry, bool changed)
{
    if (store->hooks.touched)
        store->hooks.touched(store->hooks.userdata, registry, changed);
}

static void replaced(struct service *service)
{
    struct store *store = service->store;

    touch(store, service->registry, true);
    if (store->hooks.replaced)
        store->hooks.replaced(store->hooks.userdata, service);
}

static void service_drop(struct service *service)
{
    struct store *store = service->store;

    touch(store, service->registry, true);
    state_of(service)->counters.drops++;
    store->hooks.drop(store->hooks.userdata, service->registry, service->key);
    service_remove(service);
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
            fetch_unqueue(state->waiting[i]);
    while (state->services)
        service_remove(state->services);
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

static enum freshness_action service_apply(struct service *service, enum freshness_event event,
                                           usec_t validity, usec_t now)
{
    return freshness_apply(&service->freshness, &service->rules, event, validity, now);
}

static enum freshness_state service_state(const struct service *service, usec_t now)
{
    return freshness_state(&service->freshness, &service->rules, now);
}

/* ---- asking ---- */

static void fetch_start(struct service *service, enum fetch kind)
{
    struct store *store = service->store;
    struct store_counters *counters = &state_of(service)->counters;
    struct registry_state *state = state_of(service);
    int (*verb)(void *, unsigned, const char *) = kind == FETCH_WANT ? store->hooks.want
                                                                     : store->hooks.refresh;

    *(kind == FETCH_WANT ? &counters->wants : &counters->refreshes) += 1;
    service->in_flight = true;
    state->fetches++;
    if (verb(store->hooks.userdata, service->registry, service->key) >= 0)
        return;
    service->in_flight = false;
    state->fetches--;
}

static void fetch_unqueue(struct service *service)
{
    struct registry_state *state = state_of(service);

    if (service->waiting == FETCH_NONE)
        return;
    DL_DELETE2(state->waiting[service->waiting], service, fetch_prev, fetch_next);
    service->waiting = FETCH_NONE;
}

/* While there is room: in turns, so that neither kind starves behind the other. */
static void fetch_next(struct registry_state *state)
{
    while (state->waiting[FETCH_WANT] || state->waiting[FETCH_REFRESH]) {
        struct service *service;
        enum fetch kind;

        if (state->max_fetches > 0 && state->fetches >= state->max_fetches)
            return;
        state->turn = state->turn == FETCH_REFRESH ? FETCH_WANT : FETCH_REFRESH;
        service = state->waiting[state->turn];
        if (!service)
            service = state->waiting[FETCH_WANT] ?: state->waiting[FETCH_REFRESH];
        kind = service->waiting;
        fetch_unqueue(service);
        fetch_start(service, kind);
    }
}

/* The fetch of the service is over: it was answered, or nobody waits for it any more. */
static void fetch_over(struct service *service)
{
    fetch_unqueue(service);
    if (!service->in_flight)
        return;
    service->in_flight = false;
    state_of(service)->fetches--;
}

static void fetch_forget(struct service *service)
{
    fetch_over(service);
    fetch_next(state_of(service));
}

static bool is_asking(const struct service *service)
{
    return service->in_flight || service->waiting != FETCH_NONE;
}

/* One fetch, however many ask. */
static void ask_registry(struct service *service, enum fetch kind, usec_t now)
{
    struct registry_state *state = state_of(service);

    service->asked_since = now;
    if (is_asking(service))
        return;
    service->waiting = kind;
    DL_APPEND2(state->waiting[kind], service, fetch_prev, fetch_next);
    fetch_next(state);
}

static usec_t jitter(struct service *service, usec_t span)
{
    struct store *store = service->store;

    return span > 0 ? store->hooks.random(store->hooks.userdata) % span : 0;
}

/* When an asking registry is to be asked again: at 80 % of the TTL, less up to a tenth of jitter.
 */
static usec_t refresh_time(struct service *service, usec_t now)
{
    usec_t end = freshness_fresh_until(&service->freshness, now);
    usec_t ttl = end > now ? end - now : 0;

    return end == USEC_INFINITY ? USEC_INFINITY : now + ttl * 8 / 10 - jitter(service, ttl / 10);
}

/* Growing pauses, up to a quarter longer so that services that failed together do not come back
 * together; never before the registry wishes. */
static usec_t retry_time(struct service *service, usec_t wish, usec_t now)
{
    unsigned shift = service->failures > 5 ? 5 : service->failures - 1;
    usec_t delay = earlier(RETRY_FIRST << shift, RETRY_LAST);

    return usec_add(now, usec_add(wish > delay ? wish : delay, jitter(service, delay / 4)));
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

static struct service *service_new(struct store *store, unsigned registry, const char *key,
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

static void service_take_back(struct service *service, usec_t now);

struct service *store_get(struct store *store, unsigned registry, const char *key, usec_t now)
{
    struct service *service = store_find(store, registry, key);

    if (service)
        return service;
    service = service_new(store, registry, key, now);
    if (!service)
        return NULL;
    service_take_back(service, now);
    ask_registry(service, FETCH_WANT, now);
    return service;
}

void store_ask(struct store *store, struct service *service, usec_t now)
{
    (void)store;
    service->used_at = now;
    if (!is_asking(service) && now >= service->refresh_at &&
        service_apply(service, FRESHNESS_LOOKUP, 0, now) == FRESHNESS_ASK)
        ask_registry(service, FETCH_REFRESH, now);
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
    struct freshness_rules rules = state_of(service)->rules;

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
    service_apply(service, FRESHNESS_RELOAD, 0, now);
    if (service->failures == 0)
        service->refresh_at = refresh_time(service, now);
    state_of(service)->tick_at = 0;
    watch_list_notify(&service->watchers);
}

void store_wish(struct service *service, const struct store_wishes *wishes, usec_t now)
{
    for (unsigned i = 0; i < STORE_WISHES; i++)
        if (wishes->wishes[i].rank > service->wishes.wishes[i].rank)
            service->wishes.wishes[i] = wishes->wishes[i];
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
    fetch_next(&store->registries[registry]);
}

/* ---- what is known ---- */

static int set_text(char **text, const char *value)
{
    char *copy = value ? strdup(value) : NULL;

    if (value && !copy)
        return -ENOMEM;
    free(*text);
    *text = copy;
    return 0;
}

static void forget(struct service *service)
{
    service->freshness = (struct freshness){0};
    service->endpoints = endpoint_set_unref(service->endpoints);
    set_text(&service->alias, NULL);
    service->told = TOLD_NOTHING;
}

void store_flush(struct store *store, struct service *service, usec_t now)
{
    forget(service);
    service->failures = 0;
    ask_registry(service, FETCH_REFRESH, now);
    (void)store;
    replaced(service);
    watch_list_notify(&service->watchers);
}

static void become_proven(struct service *service)
{
    if (service->proven)
        return;
    unproven_remove(service);
    service->proven = true;
}

static bool is_empty(const struct registry_report *report)
{
    return !report->alias && (!report->endpoints || report->endpoints->count == 0);
}

/* Is this what is known already? */
static bool is_known(const struct service *service, const struct registry_report *report)
{
    bool same_alias = service->alias && report->alias ? streq(service->alias, report->alias)
                                                      : service->alias == report->alias;

    return same_alias && service->flags == report->flags &&
           endpoint_set_equal(service->endpoints, report->endpoints);
}

static void keep_data(struct service *service, const struct registry_report *report)
{
    struct endpoint_set *old = service->endpoints;

    if (is_known(service, report))
        return;
    if (set_text(&service->alias, report->alias) < 0)
        return;
    service->endpoints = endpoint_set_ref(report->endpoints);
    service->flags = report->flags;
    endpoint_set_unref(old);
    if (!is_empty(report))
        become_proven(service);
}

/* What was known at another time: it counts until the registry says better. */
static int remember(struct service *service, const struct store_memory *memory, usec_t now)
{
    usec_t confirmed_at = earlier(memory->confirmed_at, now);
    bool any = memory->alias || (memory->endpoints && memory->endpoints->count > 0);

    if (set_text(&service->alias, any ? memory->alias : NULL) < 0)
        return -ENOMEM;
    endpoint_set_unref(service->endpoints);
    service->endpoints = any && memory->endpoints ? endpoint_set_ref(memory->endpoints) : NULL;
    service->flags = memory->flags;
    become_proven(service);
    if (any)
        freshness_restore(&service->freshness, confirmed_at);
    else
        freshness_restore_nothing(&service->freshness, confirmed_at);
    if (any && memory->doubted_until > 0)
        freshness_restore_doubt(&service->freshness, memory->doubted_until);
    state_of(service)->tick_at = 0;
    return 0;
}

static void service_take_back(struct service *service, usec_t now)
{
    struct shelf *shelf = &state_of(service)->shelf;
    const struct store_memory *memory = shelf_find(shelf, service->key);

    if (!memory)
        return;
    service->shelved = remember(service, memory, now) >= 0;
    shelf_remove(shelf, service->key);
}

/* ---- telling of age ---- */

static void notice(struct service *service, enum store_notice what, usec_t now)
{
    struct store *store = service->store;
    struct service_facts facts;

    if (!store->hooks.notice)
        return;
    service_facts(service, now, &facts);
    store->hooks.notice(store->hooks.userdata, what, &facts);
}

/* Does its registry fail to confirm it? A TTL that ends while nobody asks is no trouble. */
static bool is_troubled(const struct service *service, usec_t now)
{
    return service->failures > 0 || service->freshness.suspect || state_of(service)->down ||
           freshness_is_held(&service->freshness, now);
}

/* When there is something to tell of this service next; USEC_INFINITY: not before a report. */
static usec_t next_telling(const struct service *service, usec_t now)
{
    const struct freshness *freshness = &service->freshness;
    usec_t begin = freshness_confirmed_at(freshness, now);
    usec_t end = freshness_stale_until(freshness, &service->rules, now);

    if (!freshness_has_data(freshness, now) || !is_troubled(service, now))
        return USEC_INFINITY;
    if (service->told == TOLD_NOTHING)
        return freshness_fresh_until(freshness, now);
    if (service->told == TOLD_EXPIRED || end == USEC_INFINITY)
        return USEC_INFINITY;
    switch (service->told) {
    case TOLD_STALE:
        return begin + (end - begin) / 2;
    case TOLD_HALF:
        return begin + (end - begin) / 10 * 9;
    default:
        return end;
    }
}

/* Tells the worst of what came since the last time. */
static void tell(struct service *service, usec_t now)
{
    static const enum store_notice notices[] = {
        [TOLD_STALE] = STORE_NOTICE_STALE,
        [TOLD_HALF] = STORE_NOTICE_EXPIRING,
        [TOLD_NEARLY] = STORE_NOTICE_EXPIRING,
        [TOLD_EXPIRED] = STORE_NOTICE_EXPIRED,
    };
    enum told before = service->told;

    while (next_telling(service, now) <= now)
        service->told++;
    if (service->told > before)
        notice(service, notices[service->told], now);
}

static void registry_tick(struct registry_state *state, usec_t now)
{
    struct service *service, *next;

    state->tick_at = USEC_INFINITY;
    HASH_ITER (hh, state->services, service, next) {
        if (service_apply(service, FRESHNESS_TIME, 0, now) == FRESHNESS_TELL)
            tell(service, now);
        state->tick_at = earlier(state->tick_at, next_telling(service, now));
    }
}

usec_t store_tick(struct store *store, usec_t now)
{
    usec_t next = USEC_INFINITY;

    for (unsigned i = 0; i < STORE_REGISTRIES_MAX; i++) {
        struct registry_state *state = &store->registries[i];

        if (now >= state->tick_at)
            registry_tick(state, now);
        next = earlier(next, state->tick_at);
    }
    return next;
}

/* ---- reports ---- */

int store_restore(struct store *store, unsigned registry, const struct store_memory *memory,
                  usec_t now)
{
    struct service *service = store_find(store, registry, memory->key);
    bool made = !service;

    if (made)
        service = service_new(store, registry, memory->key, now);
    else if (!service->freshness.restored ||
             service->freshness.known.confirmed_at > memory->confirmed_at)
        return 0;
    if (!service)
        return -ENOSPC;
    if (remember(service, memory, now) < 0) {
        if (made)
            service_remove(service);
        return -ENOMEM;
    }
    if (made)
        ask_registry(service, FETCH_WANT, now);
    return 0;
}

void store_each_shelved(struct store *store, unsigned registry, store_memory_visit_t visit,
                        void *userdata)
{
    shelf_each(&store->registries[registry].shelf, visit, userdata);
}

bool store_forget_shelved(struct store *store, unsigned registry, const char *key)
{
    bool was_there = shelf_remove(&store->registries[registry].shelf, key);

    if (was_there)
        touch(store, registry, true);
    return was_there;
}

void store_forget_all_shelved(struct store *store)
{
    for (unsigned i = 0; i < STORE_REGISTRIES_MAX; i++) {
        if (!store->registries[i].used)
            continue;
        shelf_clear(&store->registries[i].shelf);
        touch(store, i, true);
    }
}

void store_disown(struct store *store, unsigned registry, usec_t now)
{
    struct service *service, *next;

    shelf_clear(&store->registries[registry].shelf);
    HASH_ITER (hh, store->registries[registry].services, service, next) {
        if (!service->freshness.restored)
            continue;
        forget(service);
        /* A failure may have ended the asking. */
        if (!is_asking(service))
            ask_registry(service, FETCH_REFRESH, now);
        watch_list_notify(&service->watchers);
    }
    touch(store, registry, true);
}

/* Adds endpoints of `kept` that `extra` does not name: suspect data takes nothing away. Both are in
 * order of names. */
static struct endpoint_set *merge_sets(struct endpoint_set *kept, struct endpoint_set *extra)
{
    _cleanup_(endpoint_builder_freep) struct endpoint_builder *builder = endpoint_builder_new();
    struct endpoint_set *merged;

    if (!builder)
        return NULL;
    for (uint32_t i = 0; i < extra->count; i++)
        endpoint_builder_copy(builder, &extra->endpoints[i]);
    for (uint32_t i = 0, j = 0; i < kept->count; i++) {
        const char *name = kept->endpoints[i].name;

        while (j < extra->count && strcmp(extra->endpoints[j].name, name) < 0)
            j++;
        if (j == extra->count || !streq(extra->endpoints[j].name, name))
            endpoint_builder_copy(builder, &kept->endpoints[i]);
    }
    return endpoint_builder_finish(builder, &merged) < 0 ? NULL : merged;
}

static void take(struct service *service, const struct registry_report *report, usec_t now)
{
    if (report->kind == REPORT_DATA) {
        keep_data(service, report);
    } else {
        service->endpoints = endpoint_set_unref(service->endpoints);
        set_text(&service->alias, NULL);
    }
    service->failures = 0;
    service->told = TOLD_NOTHING;
    set_text(&service->error, NULL);
    service->refresh_at = refresh_time(service, now);
}

/* Data of an uncertain kind begins: `what` says also that it is stale. */
static void begin_doubt(struct service *service, enum store_notice what, const char *why,
                        usec_t now)
{
    set_text(&service->error, why);
    if (service->told < TOLD_STALE)
        service->told = TOLD_STALE;
    notice(service, what, now);
}

static void apply_hold(struct service *service, const struct registry_report *report,
                       bool held_before, usec_t now)
{
    service->failures = 0;
    service->refresh_at = report->validity == REPORT_UNTIL_LOST
                              ? USEC_INFINITY
                              : usec_add(now, service->rules.negative_ttl);
    if (!held_before)
        begin_doubt(service, STORE_NOTICE_EMPTY_PROTECTION,
                    report->kind == REPORT_ABSENT
                        ? "the registry says that there is no such service; "
                          "EmptyProtection= holds what was known"
                        : "the registry says that it has no instance; "
                          "EmptyProtection= holds what was known",
                    now);
}

/* What the registry reports by name replaces what was known of it, so that an instance that it
 * calls failing is out. */
static void apply_doubt(struct service *service, const struct registry_report *report)
{
    struct endpoint_set *merged;

    if (!report->endpoints || !service->endpoints || service->alias)
        return;
    merged = merge_sets(service->endpoints, report->endpoints);
    if (!merged)
        return;
    endpoint_set_unref(service->endpoints);
    service->endpoints = merged;
}

static void apply_suspect(struct service *service, const struct registry_report *report,
                          bool suspect_before, enum freshness_action action, usec_t now)
{
    const char *why = report->text ? report->text : "suspect data";

    if (action == FRESHNESS_DOUBT)
        apply_doubt(service, report);
    else if (action == FRESHNESS_ADOPT)
        keep_data(service, report);
    if (service->refresh_at <= now)
        service->refresh_at = usec_add(now, RETRY_LAST);
    if (service->freshness.suspect && !suspect_before)
        begin_doubt(service, STORE_NOTICE_SUSPECT, why, now);
    else
        set_text(&service->error, why);
}

static void apply_failed(struct service *service, const struct registry_report *report, usec_t now)
{
    set_text(&service->error, report->text && *report->text
                                  ? report->text
                                  : registry_failure_to_string(report->failure));
    service->failures++;
    service->refresh_at = retry_time(service, report->retry_after, now);
}

static enum freshness_event event_of(const struct registry_report *report)
{
    switch (report->kind) {
    case REPORT_DATA:
        return is_empty(report) ? FRESHNESS_NOTHING : FRESHNESS_DATA;
    case REPORT_ABSENT:
        return FRESHNESS_NONE_SUCH;
    case REPORT_SUSPECT:
        return is_empty(report) ? FRESHNESS_SUSPECT_NONE : FRESHNESS_SUSPECT;
    default:
        return FRESHNESS_FAILED;
    }
}

static void service_report(struct service *service, const struct registry_report *report,
                           usec_t now)
{
    struct registry_state *state = state_of(service);
    bool held = freshness_is_held(&service->freshness, now), suspect = service->freshness.suspect;
    bool had_data = freshness_has_data(&service->freshness, now);
    enum freshness_action action = service_apply(service, event_of(report), report->validity, now);
    const struct endpoint_set *endpoints = service->endpoints;
    const char *alias = service->alias;

    fetch_over(service);
    if (action == FRESHNESS_TAKE)
        take(service, report, now);
    else if (action == FRESHNESS_HOLD)
        apply_hold(service, report, held, now);
    else if (report->kind == REPORT_SUSPECT)
        apply_suspect(service, report, suspect, action, now);
    else
        apply_failed(service, report, now);
    state->tick_at = earlier(state->tick_at, next_telling(service, now));
    if (service->endpoints != endpoints || service->alias != alias ||
        freshness_has_data(&service->freshness, now) != had_data ||
        freshness_is_held(&service->freshness, now) != held ||
        service->freshness.suspect != suspect)
        replaced(service);
    else
        touch(service->store, service->registry, false);
    watch_list_notify(&service->watchers);
    fetch_next(state);
}

static bool is_live(const struct service *service, usec_t now)
{
    return state_of(service)->up &&
           freshness_fresh_until(&service->freshness, now) == USEC_INFINITY;
}

/* What rests on the registry's clock gets times of its own, or the clock again. */
static void registry_up(struct registry_state *state)
{
    bool again = !state->up;
    struct service *service, *next;

    state->up = true;
    state->down = false;
    if (again)
        HASH_ITER (hh, state->services, service, next)
            watch_list_notify(&service->watchers);
}

static void registry_down(struct store *store, unsigned registry, enum freshness_event event,
                          usec_t now)
{
    struct registry_state *state = &store->registries[registry];
    struct service *service, *next;

    state->down = event == FRESHNESS_LOST;
    state->tick_at = 0;
    HASH_ITER (hh, state->services, service, next) {
        bool live = is_live(service, now);

        if (service_apply(service, event, 0, now) == FRESHNESS_REWANT)
            ask_registry(service, FETCH_WANT, now);
        /* Nobody waits for a registry that is known to be down. Services that wait for nothing
         * need not hear of it: the clock tells their readers. */
        if (!live || is_asking(service))
            watch_list_notify(&service->watchers);
    }
    state->up = false;
    touch(store, registry, true);
}

void store_report(struct store *store, unsigned registry, const struct registry_report *report,
                  usec_t now)
{
    struct registry_state *state = &store->registries[registry];
    struct service *service = report->key ? store_find(store, registry, report->key) : NULL;

    if (!state->used)
        return;
    state->counters.reports[report->kind]++;
    if (report->kind == REPORT_FAILED)
        state->counters.failures[report->failure]++;
    switch (report->kind) {
    case REPORT_DATA:
    case REPORT_ABSENT:
    case REPORT_SUSPECT:
    case REPORT_FAILED:
        if (service)
            service_report(service, report, now);
        else if (!report->key && report->kind == REPORT_FAILED)
            registry_down(store, registry, FRESHNESS_LOST, now);
        break;
    case REPORT_APPEARED:
        if (service && !is_asking(service))
            ask_registry(service, FETCH_REFRESH, now);
        break;
    case REPORT_UP:
    case REPORT_SYNCED:
        registry_up(state);
        break;
    case REPORT_DOWN:
        registry_down(store, registry, FRESHNESS_LOST, now);
        break;
    case REPORT_DOMAINS:
    case REPORT_LOCALITY:
    case REPORT_IDENTITY:
        break;
    }
}

struct store_counters *store_counters(struct store *store, unsigned registry)
{
    return &store->registries[registry].counters;
}

/* ---- reading ---- */

void service_facts(const struct service *service, usec_t now, struct service_facts *ret_facts)
{
    const struct freshness *freshness = &service->freshness;

    *ret_facts = (struct service_facts){
        .registry = service->registry,
        .key = service->key,
        .state = service_state(service, now),
        .endpoints = service->endpoints,
        .alias = service->alias,
        .flags = service->flags,
        .proven = service->proven,
        .asking = is_asking(service) && !state_of(service)->down,
        .asked_since = service->asked_since,
        .restored = freshness->restored,
        .shelved = freshness->restored && service->shelved,
        .held = freshness_is_held(freshness, now),
        .suspect = freshness->suspect,
        .confirmed_at = freshness_confirmed_at(freshness, now),
        .until = freshness_until(freshness, &service->rules, now),
        .fresh_until = freshness_fresh_until(freshness, now),
        .stale_until = freshness_stale_until(freshness, &service->rules, now),
        .live = is_live(service, now),
        .max_stale = service->rules.max_stale,
        .ask_at = service->refresh_at,
        .used_at = service->used_at,
        .error = service->error ? service->error : "",
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
        summary->first_expires = earlier(summary->first_expires, facts.until);
}

void store_summarize(struct store *store, unsigned registry, usec_t now,
                     struct store_summary *ret_summary)
{
    *ret_summary = (struct store_summary){.first_expires = USEC_INFINITY};
    store_each(store, registry, sum_service, &(struct summing){ret_summary, now});
}

void store_rewant(struct store *store, unsigned registry, usec_t now)
{
    struct service *service, *next;

    /* What was on its way went with it. */
    HASH_ITER (hh, store->registries[registry].services, service, next)
        fetch_over(service);
    registry_down(store, registry, FRESHNESS_RESTART, now);
}

bool store_doubt(struct store *store, unsigned registry, usec_t since, usec_t now)
{
    struct registry_state *state = &store->registries[registry];
    struct service *service, *next;

    if (!state->used || !state->up)
        return false;
    /* A validity of its own is not in doubt: its clock went on. */
    HASH_ITER (hh, state->services, service, next) {
        bool live = is_live(service, now);

        service_apply(service, FRESHNESS_LOST, 0, since);
        if (live)
            ask_registry(service, FETCH_REFRESH, now);
        watch_list_notify(&service->watchers);
    }
    state->tick_at = 0;
    touch(store, registry, true);
    return true;
}

/* The last known good stays, if there is any. */
static void service_give_up(struct service *service, usec_t now)
{
    struct registry_state *state = state_of(service);
    enum freshness_state freshness = service_state(service, now);

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
                !(service->proven && is_troubled(service, now)))
                service_give_up(service, now);
    }
}
