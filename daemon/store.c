/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/store.h"

#include <uthash.h>

/* Failed fetches of asking registries are repeated at the earliest after these. */
#define RETRY_FIRST (1 * USEC_PER_SEC)
#define RETRY_LAST  (30 * USEC_PER_SEC)

/* What was told of the ageing of a service, in the order in which it comes. */
enum told { TOLD_NOTHING, TOLD_STALE, TOLD_HALF, TOLD_NEARLY, TOLD_EXPIRED };

struct registry_state {
    bool used;
    bool down;
    struct freshness_rules rules;
    struct freshness_clock clock;
    unsigned max_services, service_count;
    struct service *services; /* by key */
    struct service *unproven; /* oldest first: those that never had data */
    unsigned unproven_count;
    usec_t tick_at; /* none of its services has to be told of before */
    struct store_counters counters;
};

struct service {
    struct store *store;
    unsigned registry;
    struct freshness freshness;
    struct endpoint_set *endpoints;
    char *alias;
    char *error;
    uint32_t flags;
    bool proven;
    bool in_flight; /* want or refresh was called, no report yet */
    enum told told;
    unsigned failures;
    usec_t asked_since;
    usec_t refresh_at; /* asking registries: ask again from then on */
    usec_t used_at;
    struct watch_list watchers;
    struct service *prev, *next; /* in `unproven` */
    UT_hash_handle hh;
    char key[];
};

struct store {
    struct store_hooks hooks;
    struct registry_state registries[STORE_REGISTRIES_MAX];
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

/* Takes the service out of the store; dependents hear of it and find no service any more. */
static void service_remove(struct service *service)
{
    struct registry_state *state = state_of(service);

    HASH_DEL(state->services, service);
    state->service_count--;
    unproven_remove(service);
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

void store_registry_rules(struct store *store, unsigned registry,
                          const struct freshness_rules *rules, unsigned max_services)
{
    store->registries[registry].rules = *rules;
    store->registries[registry].max_services = max_services;
    store->registries[registry].tick_at = 0;
}

void store_registry_remove(struct store *store, unsigned registry)
{
    struct registry_state *state = &store->registries[registry];

    while (state->services)
        service_remove(state->services);
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

/* ---- asking ---- */

static void ask_registry(struct service *service, bool first, usec_t now)
{
    struct store *store = service->store;
    int (*verb)(void *, unsigned, const char *) = first ? store->hooks.want : store->hooks.refresh;
    struct store_counters *counters = &state_of(service)->counters;

    *(first ? &counters->wants : &counters->refreshes) += 1;
    service->in_flight = true;
    service->asked_since = now;
    if (verb(store->hooks.userdata, service->registry, service->key) < 0)
        service->in_flight = false;
}

/* When an asking registry is to be asked again: at 80 % of the TTL, less up to a tenth of jitter.
 */
static usec_t refresh_time(const struct service *service, usec_t now)
{
    const struct freshness *freshness = &service->freshness;
    usec_t ttl;

    if (freshness->watched)
        return USEC_INFINITY;
    ttl = freshness->fresh_until > now ? freshness->fresh_until - now : 0;
    return now + ttl * 8 / 10 -
           (ttl >= 10 ? service->store->hooks.random(service->store->hooks.userdata) % (ttl / 10)
                      : 0);
}

static usec_t retry_time(const struct service *service, usec_t wish, usec_t now)
{
    unsigned shift = service->failures > 5 ? 5 : service->failures - 1;
    usec_t delay = RETRY_FIRST << shift;

    if (delay > RETRY_LAST)
        delay = RETRY_LAST;
    return usec_add(now, wish > delay ? wish : delay);
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
    service = service_new(store, registry, key, now);
    if (service)
        ask_registry(service, true, now);
    return service;
}

void store_ask(struct store *store, struct service *service, usec_t now)
{
    (void)store;
    service->used_at = now;
    if (!service->in_flight && now >= service->refresh_at)
        ask_registry(service, false, now);
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
    ask_registry(service, false, now);
    touch(store, service->registry, true);
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

static void apply_data(struct service *service, const struct registry_report *report, usec_t now)
{
    struct registry_state *state = state_of(service);

    keep_data(service, report);
    freshness_data(&service->freshness, &state->rules, &state->clock, is_empty(report),
                   report->validity, now);
}

static void apply_absent(struct service *service, const struct registry_report *report, usec_t now)
{
    struct registry_state *state = state_of(service);

    service->endpoints = endpoint_set_unref(service->endpoints);
    set_text(&service->alias, NULL);
    freshness_absent(&service->freshness, &state->rules, &state->clock, report->validity, now);
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
static bool is_troubled(const struct service *service)
{
    return service->failures > 0 || service->freshness.suspect || state_of(service)->down;
}

static usec_t telling_at(const struct service *service, enum told told, usec_t now)
{
    const struct registry_state *state = state_of(service);
    usec_t begin = freshness_confirmed_at(&service->freshness, &state->clock, now);
    usec_t end = freshness_stale_end(&service->freshness, &state->rules, &state->clock, now);

    if (told != TOLD_STALE && end == USEC_INFINITY)
        return USEC_INFINITY;
    switch (told) {
    case TOLD_NOTHING:
        return 0;
    case TOLD_STALE:
        return service->freshness.watched ? begin : service->freshness.fresh_until;
    case TOLD_HALF:
        return begin + (end - begin) / 2;
    case TOLD_NEARLY:
        return begin + (end - begin) / 10 * 9;
    case TOLD_EXPIRED:
        break;
    }
    return end;
}

/* When there is something to tell of this service next; USEC_INFINITY: not before a report. */
static usec_t next_telling(const struct service *service, usec_t now)
{
    const struct registry_state *state = state_of(service);

    if (service->freshness.content != CONTENT_DATA || service->told == TOLD_EXPIRED ||
        !is_troubled(service) || freshness_live(&service->freshness, &state->clock))
        return USEC_INFINITY;
    return telling_at(service, service->told + 1, now);
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
    struct service *service;

    if (store_find(store, registry, memory->key))
        return 0;
    service = service_new(store, registry, memory->key, now);
    if (!service)
        return -ENOSPC;
    if (set_text(&service->alias, memory->alias) < 0) {
        service_remove(service);
        return -ENOMEM;
    }
    service->endpoints = endpoint_set_ref(memory->endpoints);
    service->flags = memory->flags;
    become_proven(service);
    freshness_restore(&service->freshness, earlier(memory->confirmed_at, now));
    ask_registry(service, true, now);
    state_of(service)->tick_at = 0;
    return 0;
}

void store_disown(struct store *store, unsigned registry, usec_t now)
{
    struct service *service, *next;

    HASH_ITER (hh, store->registries[registry].services, service, next) {
        if (!service->freshness.restored)
            continue;
        forget(service);
        /* A failure may have ended the asking. */
        if (!service->in_flight)
            ask_registry(service, false, now);
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

static void apply_suspect(struct service *service, const struct registry_report *report, usec_t now)
{
    struct registry_state *state = state_of(service);
    bool have_data = report->endpoints && report->endpoints->count > 0, suspicion = false;
    enum freshness_state before = freshness_state(&service->freshness, &state->rules, &state->clock,
                                                  now);

    if (!service->freshness.suspect)
        suspicion = true;
    freshness_suspect(&service->freshness, &state->rules, &state->clock, have_data, now);
    if (have_data && service->endpoints &&
        (before == FRESHNESS_FRESH || before == FRESHNESS_STALE)) {
        struct endpoint_set *merged = merge_sets(service->endpoints, report->endpoints);

        if (merged) {
            endpoint_set_unref(service->endpoints);
            service->endpoints = merged;
        }
    } else if (have_data) {
        keep_data(service, report);
    }
    set_text(&service->error, report->text ? report->text : "suspect data");
    /* Says also that it is stale. */
    if (suspicion && service->told < TOLD_STALE)
        service->told = TOLD_STALE;
    if (suspicion)
        notice(service, STORE_NOTICE_SUSPECT, now);
}

static void apply_failed(struct service *service, const struct registry_report *report, usec_t now)
{
    freshness_failed(&service->freshness, &state_of(service)->clock, now);
    set_text(&service->error, report->text && *report->text
                                  ? report->text
                                  : registry_failure_to_string(report->failure));
    service->failures++;
    service->refresh_at = retry_time(service, report->retry_after, now);
}

static void service_report(struct service *service, const struct registry_report *report,
                           usec_t now)
{
    struct registry_state *state = state_of(service);
    enum freshness_content content = service->freshness.content;
    const struct endpoint_set *endpoints = service->endpoints;
    const char *alias = service->alias;

    service->in_flight = false;
    switch (report->kind) {
    case REPORT_FAILED:
        apply_failed(service, report, now);
        break;
    case REPORT_SUSPECT:
        apply_suspect(service, report, now);
        break;
    default:
        if (report->kind == REPORT_DATA)
            apply_data(service, report, now);
        else
            apply_absent(service, report, now);
        service->failures = 0;
        service->told = TOLD_NOTHING;
        set_text(&service->error, NULL);
        service->refresh_at = refresh_time(service, now);
        break;
    }
    state->tick_at = earlier(state->tick_at, next_telling(service, now));
    touch(service->store, service->registry,
          service->endpoints != endpoints || service->alias != alias ||
              service->freshness.content != content);
    watch_list_notify(&service->watchers);
}

/* What an earlier connection confirmed gets times of its own before a new connection counts. */
static void registry_up(struct registry_state *state, usec_t now)
{
    bool again = !state->clock.live;
    struct service *service, *next;

    freshness_clock_live(&state->clock);
    state->down = false;
    HASH_ITER (hh, state->services, service, next) {
        if (service->freshness.watched && service->freshness.epoch != state->clock.epoch)
            freshness_failed(&service->freshness, &state->clock, now);
        if (again)
            watch_list_notify(&service->watchers);
    }
}

static void registry_down(struct store *store, unsigned registry, usec_t now)
{
    struct registry_state *state = &store->registries[registry];
    struct service *service, *next;

    /* Times of their own for those that an earlier loss left unconfirmed: this one must not make
     * them younger. */
    HASH_ITER (hh, state->services, service, next) {
        if (!service->freshness.watched || service->freshness.epoch == state->clock.epoch)
            continue;
        freshness_failed(&service->freshness, &state->clock, now);
        watch_list_notify(&service->watchers);
    }
    freshness_clock_live(&state->clock);
    freshness_clock_lost(&state->clock, now);
    state->down = true;
    state->tick_at = 0;
    /* Nobody waits for a registry that is known to be down. Services that wait for nothing need not
     * hear of it: the clock tells their readers. */
    HASH_ITER (hh, state->services, service, next)
        if (service->in_flight)
            watch_list_notify(&service->watchers);
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
            registry_down(store, registry, now);
        break;
    case REPORT_APPEARED:
        if (service && !service->in_flight)
            ask_registry(service, false, now);
        break;
    case REPORT_UP:
    case REPORT_SYNCED:
        registry_up(state, now);
        break;
    case REPORT_DOWN:
        registry_down(store, registry, now);
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

/* When the validity of data that is confirmed no more ended. */
static usec_t stale_since(const struct freshness *freshness, enum freshness_state state,
                          usec_t confirmed_at)
{
    if (state != FRESHNESS_STALE && state != FRESHNESS_EXPIRED)
        return 0;
    return freshness->watched || freshness->fresh_until < confirmed_at ? confirmed_at
                                                                       : freshness->fresh_until;
}

void service_facts(const struct service *service, usec_t now, struct service_facts *ret_facts)
{
    const struct registry_state *state = state_of(service);
    const struct freshness *freshness = &service->freshness;

    *ret_facts = (struct service_facts){
        .registry = service->registry,
        .key = service->key,
        .state = freshness_state(freshness, &state->rules, &state->clock, now),
        .endpoints = service->endpoints,
        .alias = service->alias,
        .flags = service->flags,
        .proven = service->proven,
        .asking = service->in_flight && !state->down,
        .restored = freshness->restored,
        .asked_since = service->asked_since,
        .confirmed_at = freshness_confirmed_at(freshness, &state->clock, now),
        .until = freshness_until(freshness, &state->rules, &state->clock, now),
        .fresh_until = freshness->watched ? USEC_INFINITY : freshness->fresh_until,
        .live = freshness_live(freshness, &state->clock),
        .max_stale = state->rules.max_stale,
        .ask_at = service->refresh_at,
        .used_at = service->used_at,
        .error = service->error ? service->error : "",
    };
    ret_facts->stale_since = stale_since(freshness, ret_facts->state, ret_facts->confirmed_at);
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
    struct registry_state *state = &store->registries[registry];
    struct service *service, *next;

    registry_down(store, registry, now);
    state->down = false;
    HASH_ITER (hh, state->services, service, next) {
        ask_registry(service, true, now);
        watch_list_notify(&service->watchers);
    }
}

bool store_doubt(struct store *store, unsigned registry, usec_t since, usec_t now)
{
    struct registry_state *state = &store->registries[registry];
    struct service *service, *next;

    if (!state->used || !state->clock.live)
        return false;
    registry_down(store, registry, since);
    /* A validity of its own is not in doubt: its clock went on. */
    HASH_ITER (hh, state->services, service, next)
        if (service->freshness.watched)
            ask_registry(service, false, now);
    registry_up(state, now);
    return true;
}

void store_sweep(struct store *store, usec_t idle, usec_t now)
{
    for (unsigned i = 0; i < STORE_REGISTRIES_MAX; i++) {
        struct service *service, *next;

        /* What a registry cannot tell again now is kept. */
        if (store->registries[i].down)
            continue;
        HASH_ITER (hh, store->registries[i].services, service, next)
            if (!service->watchers.first && now >= usec_add(service->used_at, idle))
                service_drop(service);
    }
}
