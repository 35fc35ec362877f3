/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is known of services: what reports say, what an earlier run or the shelf remembers, and how
 * the one gives way to the other. */
#include "daemon/store_internal.h"

/* ---- memory ---- */

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

static void replaced(struct service *service, const struct endpoint_set *before)
{
    struct store *store = service->store;

    store_touch(store, service->registry, true);
    if (store->hooks.replaced)
        store->hooks.replaced(store->hooks.userdata, service, before);
}

void store_flush(struct store *store, struct service *service, usec_t now)
{
    _cleanup_(endpoint_set_unrefp) struct endpoint_set *before = NULL;

    before = endpoint_set_ref(service->endpoints);
    forget(service);
    service->failures = 0;
    store_fetch_ask(service, FETCH_REFRESH, now);
    (void)store;
    replaced(service, before);
    watch_list_notify(&service->watchers);
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
        store_service_proven(service);
}

/* What was known at another time: it counts until the registry says better. */
static int remember(struct service *service, const struct store_memory *memory, usec_t now)
{
    usec_t confirmed_at = store_earlier(memory->confirmed_at, now);
    bool any = memory->alias || (memory->endpoints && memory->endpoints->count > 0);

    if (set_text(&service->alias, any ? memory->alias : NULL) < 0)
        return -ENOMEM;
    endpoint_set_unref(service->endpoints);
    service->endpoints = any && memory->endpoints ? endpoint_set_ref(memory->endpoints) : NULL;
    service->flags = memory->flags;
    store_service_proven(service);
    if (any)
        freshness_restore(&service->freshness, confirmed_at);
    else
        freshness_restore_nothing(&service->freshness, confirmed_at);
    if (any && memory->doubted_until > 0)
        freshness_restore_doubt(&service->freshness, memory->doubted_until);
    store_state_of(service)->tick_at = 0;
    return 0;
}

void store_known_take_back(struct service *service, usec_t now)
{
    struct shelf *shelf = &store_state_of(service)->shelf;
    const struct store_memory *memory = shelf_find(shelf, service->key);

    if (!memory)
        return;
    service->shelved = remember(service, memory, now) >= 0;
    shelf_remove(shelf, service->key);
}

int store_restore(struct store *store, unsigned registry, const struct store_memory *memory,
                  usec_t now)
{
    struct service *service = store_find(store, registry, memory->key);
    bool made = !service;

    if (made)
        service = store_service_new(store, registry, memory->key, now);
    else if (!service->freshness.restored ||
             service->freshness.known.confirmed_at > memory->confirmed_at)
        return 0;
    if (!service)
        return -ENOSPC;
    if (remember(service, memory, now) < 0) {
        if (made)
            store_service_remove(service);
        return -ENOMEM;
    }
    if (made)
        store_fetch_ask(service, FETCH_WANT, now);
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
        store_touch(store, registry, true);
    return was_there;
}

void store_forget_all_shelved(struct store *store)
{
    for (unsigned i = 0; i < STORE_REGISTRIES_MAX; i++) {
        if (!store->registries[i].used)
            continue;
        shelf_clear(&store->registries[i].shelf);
        store_touch(store, i, true);
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
        if (!store_fetch_is_asked(service))
            store_fetch_ask(service, FETCH_REFRESH, now);
        watch_list_notify(&service->watchers);
    }
    store_touch(store, registry, true);
}

/* ---- reports ---- */

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
    bool told = service->told > TOLD_NOTHING;

    if (report->kind == REPORT_DATA) {
        keep_data(service, report);
    } else {
        service->endpoints = endpoint_set_unref(service->endpoints);
        set_text(&service->alias, NULL);
    }
    service->failures = 0;
    service->told = TOLD_NOTHING;
    set_text(&service->error, NULL);
    service->refresh_at = store_fetch_refresh_time(service, now);
    if (told)
        store_age_notice(service, STORE_NOTICE_CONFIRMED, now);
}

/* Data of an uncertain kind begins: `what` says also that it is stale. */
static void begin_doubt(struct service *service, enum store_notice what, const char *why,
                        usec_t now)
{
    set_text(&service->error, why);
    if (service->told < TOLD_STALE)
        service->told = TOLD_STALE;
    store_age_notice(service, what, now);
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
        service->refresh_at = usec_add(now, STORE_RETRY_LAST);
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
    service->refresh_at = store_fetch_retry_time(service, report->retry_after, now);
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
    struct registry_state *state = store_state_of(service);
    bool held = freshness_is_held(&service->freshness, now), suspect = service->freshness.suspect;
    bool had_data = freshness_has_data(&service->freshness, now);
    enum freshness_action action = store_service_apply(service, event_of(report), report->validity,
                                                       now);
    _cleanup_(endpoint_set_unrefp) struct endpoint_set *before = NULL;
    const char *alias = service->alias;

    before = endpoint_set_ref(service->endpoints);
    store_fetch_over(service);
    if (action == FRESHNESS_TAKE)
        take(service, report, now);
    else if (action == FRESHNESS_HOLD)
        apply_hold(service, report, held, now);
    else if (report->kind == REPORT_SUSPECT)
        apply_suspect(service, report, suspect, action, now);
    else
        apply_failed(service, report, now);
    state->tick_at = store_earlier(state->tick_at, store_age_next(service, now));
    if (service->endpoints != before || service->alias != alias ||
        freshness_has_data(&service->freshness, now) != had_data ||
        freshness_is_held(&service->freshness, now) != held ||
        service->freshness.suspect != suspect)
        replaced(service, before);
    else
        store_touch(service->store, service->registry, false);
    watch_list_notify(&service->watchers);
    store_fetch_next(state);
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
        bool live = store_service_is_live(service, now);

        if (store_service_apply(service, event, 0, now) == FRESHNESS_REWANT)
            store_fetch_ask(service, FETCH_WANT, now);
        /* Nobody waits for a registry that is known to be down. Services that wait for nothing
         * need not hear of it: the clock tells their readers. */
        if (!live || store_fetch_is_asked(service))
            watch_list_notify(&service->watchers);
    }
    state->up = false;
    store_touch(store, registry, true);
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
        if (service && !store_fetch_is_asked(service))
            store_fetch_ask(service, FETCH_REFRESH, now);
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

void store_rewant(struct store *store, unsigned registry, usec_t now)
{
    struct service *service, *next;

    /* What was on its way went with it. */
    HASH_ITER (hh, store->registries[registry].services, service, next)
        store_fetch_over(service);
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
        bool live = store_service_is_live(service, now);

        store_service_apply(service, FRESHNESS_LOST, 0, since);
        if (live)
            store_fetch_ask(service, FETCH_REFRESH, now);
        watch_list_notify(&service->watchers);
    }
    state->tick_at = 0;
    store_touch(store, registry, true);
    return true;
}
