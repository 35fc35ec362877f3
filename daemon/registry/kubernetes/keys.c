/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/kubernetes/keys.h"

#include <utlist.h>

#include "daemon/registry/kubernetes/kubernetes.h"
#include "daemon/registry/kubernetes/merge.h"

enum {
    TURN_KEYS = 64, /* looked at in one turn */
    TURN_ENDPOINTS = 2000,
};
#define EMPTY_WAIT (100 * USEC_PER_MSEC)

static struct registry_env *env_of(const struct kubernetes_keys *keys)
{
    return keys->kubernetes->registry.env;
}

static struct kubernetes_scope *scope_of(const struct kubernetes_keys *keys,
                                         enum kubernetes_resource resource)
{
    return &keys->kubernetes->scopes[resource];
}

/* ---- the queue ---- */

static void work_later(struct kubernetes_keys *keys)
{
    if (keys->queue)
        env_defer(env_of(keys), &keys->work);
}

static void enqueue(struct kubernetes_wanted *wanted, bool urgent)
{
    struct kubernetes_keys *keys = wanted->keys;

    if (wanted->queued && !urgent)
        return;
    if (wanted->queued)
        DL_DELETE(keys->queue, wanted);
    wanted->queued = true;
    if (urgent)
        DL_PREPEND(keys->queue, wanted);
    else
        DL_APPEND(keys->queue, wanted);
}

static void dequeue(struct kubernetes_wanted *wanted)
{
    if (wanted->queued)
        DL_DELETE(wanted->keys->queue, wanted);
    wanted->queued = false;
}

/* ---- reports: each the last step: the core may drop the key on hearing it ---- */

static void remember(struct kubernetes_wanted *wanted, struct endpoint_set *set, const char *alias)
{
    if (wanted->endpoints != set) {
        endpoint_set_unref(wanted->endpoints);
        wanted->endpoints = set ? endpoint_set_ref(set) : NULL;
    }
    free(wanted->alias);
    wanted->alias = alias ? strdup(alias) : NULL;
    wanted->owed = wanted->suspect = wanted->held = false;
    wanted->confirmed = true;
    env_timer_off(env_of(wanted->keys), &wanted->hold);
}

static bool has_something(const struct kubernetes_wanted *wanted)
{
    return wanted->alias || (wanted->endpoints && wanted->endpoints->count > 0);
}

static bool is_suspicious(const struct kubernetes_wanted *wanted)
{
    const struct kubernetes *kubernetes = wanted->keys->kubernetes;

    return kubernetes->suspect_until > env_now(env_of(wanted->keys)) && has_something(wanted);
}

static void report_suspect(struct kubernetes_wanted *wanted)
{
    struct kubernetes_keys *keys = wanted->keys;

    if (wanted->suspect && !wanted->owed)
        return;
    wanted->owed = wanted->confirmed = false;
    wanted->suspect = true;
    env_report(env_of(keys), &(struct registry_report){.kind = REPORT_SUSPECT,
                                                       .key = wanted->text,
                                                       .endpoints = wanted->endpoints,
                                                       .text = keys->kubernetes->suspect_text});
}

static bool same_alias(const char *a, const char *b)
{
    return a == b || (a && b && streq(a, b));
}

static void report_data(struct kubernetes_wanted *wanted, struct endpoint_set *set,
                        const char *alias, uint32_t flags)
{
    bool news = wanted->absent || !wanted->confirmed || !wanted->endpoints ||
                wanted->flags != flags || !same_alias(wanted->alias, alias) ||
                !endpoint_set_equal(wanted->endpoints, set);

    if (set->count == 0 && !alias && is_suspicious(wanted)) {
        report_suspect(wanted);
        return;
    }
    if (!news && !wanted->owed)
        return;
    wanted->absent = false;
    wanted->flags = flags;
    remember(wanted, set, alias);
    env_report(env_of(wanted->keys), &(struct registry_report){.kind = REPORT_DATA,
                                                               .key = wanted->text,
                                                               .endpoints = set,
                                                               .alias = alias,
                                                               .validity = REPORT_UNTIL_LOST,
                                                               .flags = flags});
}

static void report_absent(struct kubernetes_wanted *wanted)
{
    if (is_suspicious(wanted)) {
        report_suspect(wanted);
        return;
    }
    if (wanted->absent && wanted->confirmed && !wanted->owed)
        return;
    wanted->absent = true;
    remember(wanted, NULL, NULL);
    env_report(env_of(wanted->keys), &(struct registry_report){.kind = REPORT_ABSENT,
                                                               .key = wanted->text,
                                                               .validity = REPORT_UNTIL_LOST});
}

static void report_failed(struct kubernetes_wanted *wanted, enum registry_failure failure,
                          const char *text, usec_t retry_after)
{
    if (!wanted->owed && !wanted->confirmed)
        return;
    wanted->owed = wanted->confirmed = false;
    env_report(env_of(wanted->keys), &(struct registry_report){.kind = REPORT_FAILED,
                                                               .key = wanted->text,
                                                               .failure = failure,
                                                               .text = text,
                                                               .retry_after = retry_after});
}

static void report_uncovered(struct kubernetes_wanted *wanted,
                             const struct kubernetes_collection *collection)
{
    report_failed(wanted, collection->failure,
                  collection->text ? collection->text : "not confirmed", collection->retry_after);
}

/* Is the name told of for certain? If not, the failure is reported, where there is one. */
static bool is_covered(struct kubernetes_wanted *wanted, enum kubernetes_resource resource,
                       const char *namespace, const char *name)
{
    const struct kubernetes_collection *collection;

    switch (
        kubernetes_scope_cover(scope_of(wanted->keys, resource), namespace, name, &collection)) {
    case KUBERNETES_COVER_WHOLE:
        return true;
    case KUBERNETES_COVER_FAILED:
        report_uncovered(wanted, collection);
        return false;
    case KUBERNETES_COVER_NONE:
        report_failed(wanted, FAILURE_THROTTLED, "more names are in use than can be watched", 0);
        return false;
    case KUBERNETES_COVER_ASKED:
        break;
    }
    return false;
}

/* ---- services ---- */

static void slices_use(struct kubernetes_wanted *wanted, bool use)
{
    struct kubernetes_scope *scope = scope_of(wanted->keys, KUBERNETES_SLICES);
    const struct kubernetes_key *key = &wanted->key;

    if (use == wanted->uses_slices)
        return;
    if (!use)
        kubernetes_scope_drop(scope, key->namespace, key->service);
    else if (kubernetes_scope_use(scope, key->namespace, key->service) < 0)
        return;
    wanted->uses_slices = use;
}

static bool any_usable(const struct endpoint_set *set)
{
    for (uint32_t i = 0; set && i < set->count; i++)
        if (set->endpoints[i].health == HEALTH_PASSING ||
            set->endpoints[i].health == HEALTH_TERMINATING)
            return true;
    return false;
}

/* Emptied by several slices: the pods may be on their way from one to another. */
static bool is_to_wait(struct kubernetes_wanted *wanted, const struct endpoint_set *set,
                       size_t slices)
{
    bool several = slices > 1 || wanted->slices > 1;

    if (wanted->held || !several || any_usable(set) || !any_usable(wanted->endpoints) ||
        !wanted->confirmed)
        return false;
    if (!wanted->hold.impl)
        env_timer_set(env_of(wanted->keys), &wanted->hold,
                      env_now(env_of(wanted->keys)) + EMPTY_WAIT);
    return true;
}

static void on_hold(struct env_timer *timer)
{
    struct kubernetes_wanted *wanted = timer->owner;

    wanted->held = true;
    enqueue(wanted, true);
    kubernetes_keys_run(wanted->keys);
}

/* Returns the number of endpoints that were looked at. */
static size_t evaluate_pods(struct kubernetes_wanted *wanted, const struct kubernetes_entry *entry,
                            uint32_t flags)
{
    const struct kubernetes_facts *facts = &wanted->keys->kubernetes->facts;
    const struct kubernetes_held_slice *held;
    _cleanup_(endpoint_set_unrefp) struct endpoint_set *set = NULL;
    const struct kubernetes_slice **slices;
    size_t count = 0, looked_at = 0;
    struct kubernetes_merge merge;
    int r;

    slices = calloc(entry->slice_count + 1, sizeof(*slices));
    for (held = slices ? entry->slices : NULL; held; held = held->next) {
        looked_at += held->slice->endpoint_count;
        slices[count++] = held->slice;
    }
    merge = (struct kubernetes_merge){.service = entry->service,
                                      .slices = slices,
                                      .slice_count = count,
                                      .node = facts->node,
                                      .zone = facts->zone};
    r = !slices                                        ? -ENOMEM
        : wanted->key.kind == KUBERNETES_KEY_ENDPOINTS ? kubernetes_merge_hosts(&merge, &set)
                                                       : kubernetes_merge_pods(&merge, &set);
    free(slices);
    if (r < 0) {
        report_failed(wanted, FAILURE_TRANSIENT,
                      r == -E2BIG ? "the service has more endpoints than can be held"
                                  : "no memory for the endpoints",
                      0);
    } else if (!is_to_wait(wanted, set, count)) {
        wanted->slices = count;
        /* Nobody waits any more, even where this is no news: the next emptiness waits anew. */
        wanted->held = false;
        env_timer_off(env_of(wanted->keys), &wanted->hold);
        report_data(wanted, set, NULL, flags);
    }
    return looked_at;
}

static void evaluate_own(struct kubernetes_wanted *wanted, const struct kubernetes_service *service)
{
    bool ingress = kubernetes_settings(wanted->keys->kubernetes)->mode == KUBERNETES_LOADBALANCER;
    _cleanup_(endpoint_set_unrefp) struct endpoint_set *set = NULL;
    int r = ingress ? kubernetes_merge_ingress(service, &set)
                    : kubernetes_merge_vips(service, &set);

    if (r < 0)
        report_failed(wanted, FAILURE_TRANSIENT, "no memory for the addresses", 0);
    else
        report_data(wanted, set, NULL, REPORT_SINGULAR);
}

static void evaluate_empty(struct kubernetes_wanted *wanted, const char *alias, uint32_t flags)
{
    _cleanup_(endpoint_builder_freep) struct endpoint_builder *builder = endpoint_builder_new();
    _cleanup_(endpoint_set_unrefp) struct endpoint_set *set = NULL;

    if (builder && endpoint_builder_finish(builder, &set) == 0)
        report_data(wanted, set, alias, flags);
    else
        report_failed(wanted, FAILURE_TRANSIENT, "no memory", 0);
}

static bool leads_to_pods(const struct kubernetes_wanted *wanted,
                          const struct kubernetes_service *service)
{
    bool pods = kubernetes_settings(wanted->keys->kubernetes)->mode == KUBERNETES_ENDPOINTS;

    if (!service)
        return wanted->key.kind == KUBERNETES_KEY_ENDPOINTS || pods;
    return service->kind == KUBERNETES_HEADLESS ||
           (service->kind == KUBERNETES_CLUSTER_IP &&
            (pods || wanted->key.kind == KUBERNETES_KEY_ENDPOINTS));
}

static uint32_t flags_of(const struct kubernetes_wanted *wanted,
                         const struct kubernetes_service *service)
{
    if (wanted->key.kind == KUBERNETES_KEY_ENDPOINTS)
        return REPORT_EMPTY_IS_ABSENT | REPORT_ALL_ANSWERS;
    return service->kind == KUBERNETES_HEADLESS ? REPORT_EMPTY_IS_ABSENT | REPORT_ALL_ANSWERS : 0;
}

static size_t evaluate_service(struct kubernetes_wanted *wanted)
{
    const struct kubernetes_key *key = &wanted->key;
    const struct kubernetes_cluster *cluster = &wanted->keys->kubernetes->cluster;
    struct kubernetes_entry *entry = kubernetes_cluster_find(cluster, key->namespace, key->service);
    const struct kubernetes_service *service = entry ? entry->service : NULL;

    if (!is_covered(wanted, KUBERNETES_SERVICES, key->namespace, key->service))
        return 1;
    if (!service && cluster->overflow) {
        report_failed(wanted, FAILURE_CONFIG,
                      "there are more services than can be held; use Watch=used or Namespaces=", 0);
        return 1;
    }
    slices_use(wanted, leads_to_pods(wanted, service));
    if (!service)
        report_absent(wanted);
    else if (leads_to_pods(wanted, service))
        return is_covered(wanted, KUBERNETES_SLICES, key->namespace, key->service)
                   ? evaluate_pods(wanted, entry, flags_of(wanted, service))
                   : 1;
    else if (service->kind == KUBERNETES_EXTERNAL_NAME && key->kind == KUBERNETES_KEY_SERVICE)
        evaluate_empty(wanted, *service->external_name ? service->external_name : NULL, 0);
    else if (service->kind == KUBERNETES_EXTERNAL_NAME)
        report_absent(wanted);
    else
        evaluate_own(wanted, service);
    return 1;
}

/* ---- namespaces and pods ---- */

static void report_pod(struct kubernetes_wanted *wanted)
{
    const struct kubernetes *kubernetes = wanted->keys->kubernetes;
    _cleanup_(endpoint_builder_freep) struct endpoint_builder *builder = endpoint_builder_new();
    _cleanup_(endpoint_set_unrefp) struct endpoint_set *set = NULL;
    const struct address *address = &wanted->key.address;

    if (registry_address_refusal(kubernetes->registry.config, false, address)) {
        report_absent(wanted);
        return;
    }
    if (builder) {
        endpoint_builder_begin(builder, "pod");
        endpoint_builder_weight(builder, 1);
        endpoint_builder_address(builder, address);
    }
    if (builder && endpoint_builder_finish(builder, &set) == 0)
        report_data(wanted, set, NULL, REPORT_SINGULAR);
    else
        report_failed(wanted, FAILURE_TRANSIENT, "no memory", 0);
}

static void evaluate_namespace(struct kubernetes_wanted *wanted)
{
    const struct kubernetes_key *key = &wanted->key;

    /* Whoever may not list namespaces still knows those that have services. */
    if (!kubernetes_cluster_has_namespace(&wanted->keys->kubernetes->cluster, key->namespace)) {
        if (is_covered(wanted, KUBERNETES_NAMESPACES, "", key->namespace))
            report_absent(wanted);
    } else if (key->kind == KUBERNETES_KEY_POD) {
        report_pod(wanted);
    } else {
        evaluate_empty(wanted, NULL, 0);
    }
}

static bool is_service(const struct kubernetes_wanted *wanted)
{
    return wanted->key.kind == KUBERNETES_KEY_SERVICE ||
           wanted->key.kind == KUBERNETES_KEY_ENDPOINTS;
}

static bool is_looked_at(const struct kubernetes_keys *keys, const char *namespace)
{
    char *const *list = kubernetes_settings(keys->kubernetes)->namespaces;

    for (; list && *list; list++)
        if (streq(*list, namespace))
            return true;
    return kubernetes_settings(keys->kubernetes)->namespaces == NULL;
}

/* Returns what it cost, in endpoints. */
static size_t evaluate(struct kubernetes_wanted *wanted)
{
    dequeue(wanted);
    if (!is_looked_at(wanted->keys, wanted->key.namespace))
        report_absent(wanted);
    else if (is_service(wanted))
        return evaluate_service(wanted);
    else
        evaluate_namespace(wanted);
    return 1;
}

void kubernetes_keys_run(struct kubernetes_keys *keys)
{
    size_t cost = 0;

    for (unsigned i = 0; keys->queue && i < TURN_KEYS && cost < TURN_ENDPOINTS; i++)
        cost += evaluate(keys->queue);
    work_later(keys);
}

static void on_work(struct env_timer *timer)
{
    kubernetes_keys_run(timer->owner);
}

/* ---- what changed ---- */

static struct kubernetes_wanted *wanted_find(const struct kubernetes_keys *keys, const char *text)
{
    struct kubernetes_wanted *wanted;

    HASH_FIND_STR(keys->table, text, wanted);
    return wanted;
}

static void namespace_changed(struct kubernetes_keys *keys, const char *namespace)
{
    struct kubernetes_wanted *wanted;

    for (wanted = keys->table; wanted; wanted = wanted->hh.next)
        if (!is_service(wanted) && streq(wanted->key.namespace, namespace))
            enqueue(wanted, false);
}

void kubernetes_keys_changed(struct kubernetes_keys *keys, const char *namespace, const char *name,
                             bool urgent)
{
    struct kubernetes_key key = {.kind = KUBERNETES_KEY_SERVICE};
    static const enum kubernetes_key_kind kinds[] = {KUBERNETES_KEY_ENDPOINTS,
                                                     KUBERNETES_KEY_SERVICE};
    char text[REGISTRY_KEY_MAX + 1];

    if (*name == '\0') {
        namespace_changed(keys, namespace);
        return;
    }
    strcpy(key.namespace, namespace);
    strcpy(key.service, name);
    for (size_t i = 0; i < ELEMENTS(kinds); i++) {
        struct kubernetes_wanted *wanted;

        key.kind = kinds[i];
        kubernetes_key_format(&key, text);
        wanted = wanted_find(keys, text);
        if (wanted)
            enqueue(wanted, urgent);
    }
}

static bool tells_of(const struct kubernetes_collection *collection,
                     const struct kubernetes_wanted *wanted)
{
    const struct kubernetes_key *key = &wanted->key;
    bool of_namespaces = collection->scope->options.resource == KUBERNETES_NAMESPACES;

    if (of_namespaces)
        return !is_service(wanted) && kubernetes_collection_covers(collection, "", key->namespace);
    return is_service(wanted) &&
           kubernetes_collection_covers(collection, key->namespace, key->service);
}

void kubernetes_keys_turned(struct kubernetes_keys *keys,
                            const struct kubernetes_collection *collection)
{
    struct kubernetes_wanted *wanted;

    if (*collection->name && *collection->namespace) {
        kubernetes_keys_changed(keys, collection->namespace, collection->name, false);
        return;
    }
    for (wanted = keys->table; wanted; wanted = wanted->hh.next)
        if (tells_of(collection, wanted))
            enqueue(wanted, false);
}

void kubernetes_keys_all_changed(struct kubernetes_keys *keys)
{
    struct kubernetes_wanted *wanted;

    for (wanted = keys->table; wanted; wanted = wanted->hh.next)
        enqueue(wanted, false);
    work_later(keys);
}

void kubernetes_keys_lost(struct kubernetes_keys *keys)
{
    struct kubernetes_wanted *wanted;

    for (wanted = keys->table; wanted; wanted = wanted->hh.next)
        wanted->confirmed = false;
}

/* ---- verbs ---- */

static int uses_begin(struct kubernetes_wanted *wanted)
{
    struct kubernetes_keys *keys = wanted->keys;
    const struct kubernetes_key *key = &wanted->key;
    int r;

    if (!is_looked_at(keys, key->namespace))
        return 0;
    if (!is_service(wanted))
        return kubernetes_scope_use(scope_of(keys, KUBERNETES_NAMESPACES), "", key->namespace);
    r = kubernetes_scope_use(scope_of(keys, KUBERNETES_SERVICES), key->namespace, key->service);
    if (r == 0 && leads_to_pods(wanted, NULL))
        slices_use(wanted, true);
    return r;
}

static void uses_end(struct kubernetes_wanted *wanted)
{
    struct kubernetes_keys *keys = wanted->keys;
    const struct kubernetes_key *key = &wanted->key;

    if (!is_looked_at(keys, key->namespace))
        return;
    slices_use(wanted, false);
    if (is_service(wanted))
        kubernetes_scope_drop(scope_of(keys, KUBERNETES_SERVICES), key->namespace, key->service);
    else
        kubernetes_scope_drop(scope_of(keys, KUBERNETES_NAMESPACES), "", key->namespace);
}

static void wanted_free(struct kubernetes_wanted *wanted)
{
    HASH_DEL(wanted->keys->table, wanted);
    dequeue(wanted);
    env_timer_off(env_of(wanted->keys), &wanted->hold);
    endpoint_set_unref(wanted->endpoints);
    free(wanted->alias);
    free(wanted);
}

int kubernetes_keys_want(struct kubernetes_keys *keys, const char *text)
{
    struct kubernetes_wanted *wanted = wanted_find(keys, text);
    struct kubernetes_key key = {0};
    int r;

    if (wanted)
        return 0;
    if (kubernetes_key_parse(text, &key) < 0)
        return -EINVAL;
    wanted = calloc(1, sizeof(*wanted) + strlen(text) + 1);
    if (!wanted)
        return -ENOMEM;
    strcpy(wanted->text, text);
    wanted->keys = keys;
    wanted->key = key;
    wanted->hold = (struct env_timer){.fire = on_hold, .owner = wanted};
    wanted->owed = true;
    HASH_ADD_STR(keys->table, text, wanted);
    r = uses_begin(wanted);
    if (r < 0) {
        wanted_free(wanted);
        return r;
    }
    enqueue(wanted, true);
    work_later(keys);
    return 0;
}

int kubernetes_keys_refresh(struct kubernetes_keys *keys, const char *text)
{
    struct kubernetes_wanted *wanted = wanted_find(keys, text);

    if (!wanted)
        return -ENOENT;
    wanted->owed = true;
    enqueue(wanted, true);
    work_later(keys);
    return 0;
}

void kubernetes_keys_drop(struct kubernetes_keys *keys, const char *text)
{
    struct kubernetes_wanted *wanted = wanted_find(keys, text);

    if (!wanted)
        return;
    uses_end(wanted);
    wanted_free(wanted);
}

void kubernetes_keys_init(struct kubernetes_keys *keys, struct kubernetes *kubernetes)
{
    *keys = (struct kubernetes_keys){.kubernetes = kubernetes,
                                     .work = {.fire = on_work, .owner = keys}};
}

void kubernetes_keys_done(struct kubernetes_keys *keys)
{
    struct kubernetes_wanted *wanted, *next;

    env_timer_off(env_of(keys), &keys->work);
    HASH_ITER (hh, keys->table, wanted, next)
        wanted_free(wanted);
}
