/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registry type `kubernetes` (kubernetes.h): its verbs, and what its parts tell each other. */
#include "daemon/registry/kubernetes/kubernetes.h"

#include <stdio.h>
#include <syslog.h>

#include "daemon/registry/json.h"

#define MISSING_RETRY (60 * USEC_PER_SEC)
enum { COLLAPSE_MIN = 3 }; /* services that one list takes away together */

static struct kubernetes *kubernetes_of(struct registry *registry)
{
    return (struct kubernetes *)registry;
}

static const struct {
    const char *name, *group, *resource, *selector;
} slices_apis[KUBERNETES_SLICES_APIS] = {
    {"discovery.k8s.io/v1", "/apis/discovery.k8s.io/v1", "endpointslices",
     "labelSelector=kubernetes.io/service-name%3D"},
    {"discovery.k8s.io/v1beta1", "/apis/discovery.k8s.io/v1beta1", "endpointslices",
     "labelSelector=kubernetes.io/service-name%3D"},
    {"v1 Endpoints", "/api/v1", "endpoints", NULL},
};

/* ---- does it answer? ---- */

/* Streams decide, where there are any: all of them fail, or one does not. */
static void count_streams(const struct kubernetes *kubernetes, unsigned *ret_all,
                          unsigned *ret_live, unsigned *ret_failed)
{
    unsigned all, live, failed;

    *ret_all = *ret_live = *ret_failed = 0;
    for (unsigned i = KUBERNETES_SERVICES; i <= KUBERNETES_SLICES; i++) {
        kubernetes_scope_count(&kubernetes->scopes[i], &all, &live, &failed);
        *ret_all += all;
        *ret_live += live;
        *ret_failed += failed;
    }
}

static void say_synced(struct kubernetes *kubernetes)
{
    unsigned all, live, failed;

    if (kubernetes->synced)
        return;
    count_streams(kubernetes, &all, &live, &failed);
    if (kubernetes_settings(kubernetes)->watch == KUBERNETES_ALL && live < all)
        return;
    kubernetes->synced = true;
    env_report(kubernetes->registry.env, &(struct registry_report){.kind = REPORT_SYNCED});
}

void kubernetes_answers(struct kubernetes *kubernetes)
{
    unsigned all, live, failed;

    count_streams(kubernetes, &all, &live, &failed);
    if (all > 0 && failed == all)
        return;
    kubernetes->down = false;
    if (!kubernetes->up) {
        kubernetes->up = true;
        env_report(kubernetes->registry.env, &(struct registry_report){.kind = REPORT_UP});
    }
    say_synced(kubernetes);
}

void kubernetes_unanswered(struct kubernetes *kubernetes, const char *text)
{
    unsigned all, live, failed;

    snprintf(kubernetes->error, sizeof(kubernetes->error), "%s", text);
    count_streams(kubernetes, &all, &live, &failed);
    if (kubernetes->down || failed < all)
        return;
    kubernetes->down = true;
    kubernetes->up = false;
    kubernetes_keys_lost(&kubernetes->keys);
    env_report(kubernetes->registry.env,
               &(struct registry_report){.kind = REPORT_DOWN, .text = kubernetes->error});
}

/* ---- what is not believed ---- */

void kubernetes_suspect(struct kubernetes *kubernetes, const char *text)
{
    usec_t hold = kubernetes->registry.config->empty_hold;
    usec_t until = usec_add(env_now(kubernetes->registry.env), hold);

    if (kubernetes->suspect_until != 0)
        return;
    kubernetes->suspect_until = until;
    kubernetes->suspect_text = text;
    env_timer_set(kubernetes->registry.env, &kubernetes->suspicion, until);
    env_log(kubernetes->registry.env, LOG_WARNING, NULL,
            "%s; keeping what it says no more for %u s", text, (unsigned)(hold / USEC_PER_SEC));
}

static void on_suspicion_end(struct env_timer *timer)
{
    struct kubernetes *kubernetes = timer->owner;

    kubernetes->suspect_until = 0;
    kubernetes_keys_all_changed(&kubernetes->keys);
}

/* ---- what the scopes tell ---- */

static void on_changed(void *owner, const char *namespace, const char *name)
{
    struct kubernetes *kubernetes = owner;

    kubernetes_keys_changed(&kubernetes->keys, namespace, name, !kubernetes->listing);
}

static void log_unusable(struct kubernetes *kubernetes, const json_t *object, const char *reason)
{
    const char *namespace, *name, *version;

    kubernetes_object_id(object, &namespace, &name, &version);
    env_log(kubernetes->registry.env, LOG_DEBUG, NULL, "%s is passed over: %.63s/%.253s", reason,
            namespace, name);
}

static void take_service(struct kubernetes *kubernetes, const json_t *object,
                         enum kubernetes_take take)
{
    struct kubernetes_service *service;
    const char *reason = NULL;

    if (kubernetes_service_parse(object, &service, &reason) == 0)
        kubernetes_cluster_put_service(&kubernetes->cluster, service, take);
    else
        log_unusable(kubernetes, object, reason ?: "a service without memory for it");
}

static void take_slice(struct kubernetes *kubernetes, const json_t *object,
                       enum kubernetes_take take)
{
    const char *namespace, *name, *version, *reason = NULL;
    struct kubernetes_slice *slice;

    if (kubernetes_slice_parse(object, &slice, &reason) == 0) {
        kubernetes_cluster_put_slice(&kubernetes->cluster, slice, take);
        return;
    }
    log_unusable(kubernetes, object, reason ?: "a slice without memory for it");
    /* It may have been a service's before. */
    if (kubernetes_object_id(object, &namespace, &name, &version))
        kubernetes_cluster_remove_slice(&kubernetes->cluster, namespace, name);
}

static void on_object(void *owner, struct kubernetes_scope *scope,
                      const struct kubernetes_collection *collection, const json_t *object,
                      bool newer)
{
    struct kubernetes *kubernetes = owner;
    enum kubernetes_take take = collection->anew ? KUBERNETES_TAKE_ANY
                                : newer          ? KUBERNETES_TAKE_NEWER
                                                 : KUBERNETES_TAKE_OTHER;

    kubernetes->listing = collection->listing;
    switch (scope->options.resource) {
    case KUBERNETES_SERVICES:
        take_service(kubernetes, object, take);
        break;
    case KUBERNETES_SLICES:
        take_slice(kubernetes, object, take);
        break;
    default: {
        const char *name = registry_json_text(json_object_get(object, "metadata"), "name");

        if (*name && strlen(name) <= KUBERNETES_NAME_MAX)
            kubernetes_cluster_put_namespace(&kubernetes->cluster, name);
    }
    }
    if (!collection->listing)
        kubernetes_keys_run(&kubernetes->keys);
}

/* A slice that went over to another service is not this collection's to take away. */
static void slice_gone(struct kubernetes *kubernetes,
                       const struct kubernetes_collection *collection, const char *namespace,
                       const char *name)
{
    const struct kubernetes_slice *slice = kubernetes_cluster_slice(&kubernetes->cluster, namespace,
                                                                    name);

    if (slice && kubernetes_collection_covers(collection, namespace, slice->service))
        kubernetes_cluster_remove_slice(&kubernetes->cluster, namespace, name);
}

static void on_gone(void *owner, struct kubernetes_scope *scope,
                    const struct kubernetes_collection *collection, const json_t *object)
{
    const json_t *metadata = json_object_get(object, "metadata");
    const char *namespace = registry_json_text(metadata, "namespace");
    const char *name = registry_json_text(metadata, "name");
    struct kubernetes *kubernetes = owner;

    kubernetes->listing = false;
    switch (scope->options.resource) {
    case KUBERNETES_SERVICES:
        kubernetes_cluster_remove_service(&kubernetes->cluster, namespace, name);
        break;
    case KUBERNETES_SLICES:
        slice_gone(kubernetes, collection, namespace, name);
        break;
    default:
        kubernetes_cluster_remove_namespace(&kubernetes->cluster, name);
        break;
    }
    kubernetes_keys_run(&kubernetes->keys);
}

static void on_replacing(void *owner, struct kubernetes_scope *scope, uint64_t *ret_before)
{
    struct kubernetes *kubernetes = owner;

    (void)scope;
    *ret_before = kubernetes->cluster.clock + 1;
}

/* What the collection alone speaks for; another that is live has a word of its own. */
static bool is_its_own(void *owner, const char *namespace, const char *name)
{
    const struct kubernetes_collection *collection = owner;

    return kubernetes_collection_covers(collection, namespace, name) &&
           !kubernetes_scope_shares(collection->scope, collection, namespace, name);
}

static void on_replaced(void *owner, struct kubernetes_scope *scope,
                        const struct kubernetes_collection *collection, uint64_t before,
                        bool restored)
{
    struct kubernetes *kubernetes = owner;
    size_t left, removed;

    kubernetes->listing = true;
    left = kubernetes_cluster_sweep(&kubernetes->cluster, scope->options.resource, before,
                                    is_its_own, (void *)collection, &removed);
    if (restored)
        kubernetes_suspect(kubernetes, "the API server went back to an older state, or is another");
    else if (scope->options.resource == KUBERNETES_SERVICES && removed >= COLLAPSE_MIN && left == 0)
        kubernetes_suspect(kubernetes, "all services are gone at once");
    if (scope->options.resource == KUBERNETES_SLICES)
        kubernetes->missing = 0;
    kubernetes_answers(kubernetes);
    kubernetes_keys_turned(&kubernetes->keys, collection);
    kubernetes_keys_run(&kubernetes->keys);
}

static void on_turned(void *owner, struct kubernetes_scope *scope,
                      const struct kubernetes_collection *collection)
{
    struct kubernetes *kubernetes = owner;

    if (collection->failed) {
        if (scope->options.resource != KUBERNETES_NAMESPACES)
            kubernetes_unanswered(kubernetes, collection->text ? collection->text : "no answer");
    } else {
        kubernetes_answers(kubernetes);
    }
    /* After any loss it may be another cluster. */
    if (!collection->failed || kubernetes->down)
        kubernetes_facts_ask(&kubernetes->facts);
    kubernetes_keys_turned(&kubernetes->keys, collection);
    kubernetes_keys_run(&kubernetes->keys);
}

static void forget_it(struct kubernetes *kubernetes, struct kubernetes_scope *scope,
                      const struct kubernetes_collection *collection)
{
    enum kubernetes_resource resource = scope->options.resource;
    size_t removed;

    kubernetes->listing = true;
    if (*collection->name) { /* many of them may go at once: not each through all that is held */
        if (is_its_own((void *)collection, collection->namespace, collection->name))
            kubernetes_cluster_forget(&kubernetes->cluster, resource, collection->namespace,
                                      collection->name);
        return;
    }
    kubernetes_cluster_sweep(&kubernetes->cluster, resource, UINT64_MAX, is_its_own,
                             (void *)collection, &removed);
}

static void on_forget(void *owner, struct kubernetes_scope *scope,
                      const struct kubernetes_collection *collection)
{
    forget_it(owner, scope, collection);
}

/* ---- versions of the API ---- */

static void slices_api_set(struct kubernetes *kubernetes, enum kubernetes_slices_api api)
{
    kubernetes->slices_api = api;
    kubernetes_scope_set(&kubernetes->scopes[KUBERNETES_SLICES], slices_apis[api].group,
                         slices_apis[api].resource, slices_apis[api].selector);
}

static void on_again(struct env_timer *timer)
{
    struct kubernetes *kubernetes = timer->owner;

    for (unsigned i = 0; i < KUBERNETES_RESOURCES; i++)
        if (kubernetes->scopes[i].is_missing)
            kubernetes_scope_restart(&kubernetes->scopes[i]);
}

static bool on_missing(void *owner, struct kubernetes_scope *scope)
{
    struct kubernetes *kubernetes = owner;
    struct registry_env *env = kubernetes->registry.env;
    bool slices = scope->options.resource == KUBERNETES_SLICES;
    bool was_there = kubernetes->missing == 0 && kubernetes->slices_api != KUBERNETES_SLICES_V1;

    /* What an upgrade took away has a successor. */
    if (slices)
        slices_api_set(kubernetes, was_there
                                       ? KUBERNETES_SLICES_V1
                                       : (kubernetes->slices_api + 1) % KUBERNETES_SLICES_APIS);
    if (slices && ++kubernetes->missing < KUBERNETES_SLICES_APIS) {
        env_defer(env, &kubernetes->again);
        return true;
    }
    env_timer_set(env, &kubernetes->again, env_now(env) + env_jitter(env, MISSING_RETRY, 20));
    kubernetes_unanswered(kubernetes, "HTTP 404 for what every Kubernetes API has");
    kubernetes_keys_all_changed(&kubernetes->keys);
    return false;
}

static const struct kubernetes_scope_handler scope_handler = {
    on_object, on_gone, on_replacing, on_replaced, on_turned, on_missing, on_forget,
};

/* ---- verbs ---- */

static void scope_options(struct kubernetes *kubernetes, enum kubernetes_resource resource,
                          struct kubernetes_scope_options *ret_options)
{
    const struct kubernetes_settings *settings = kubernetes_settings(kubernetes);
    bool all = settings->watch == KUBERNETES_ALL && resource != KUBERNETES_NAMESPACES;

    *ret_options = (struct kubernetes_scope_options){
        .registry = &kubernetes->registry,
        .access = kubernetes->access,
        .server = &kubernetes->server,
        .resource = resource,
        .all = all,
        .namespaces = settings->namespaces,
        .labels = resource == KUBERNETES_SERVICES ? settings->label_selector : NULL,
        .handler = &scope_handler,
        .owner = kubernetes,
    };
}

static int scopes_start(struct kubernetes *kubernetes)
{
    struct kubernetes_scope_options options;
    int r = 0;

    for (unsigned i = 0; i < KUBERNETES_RESOURCES; i++) {
        scope_options(kubernetes, i, &options);
        kubernetes_scope_init(&kubernetes->scopes[i], &options);
    }
    kubernetes_scope_set(&kubernetes->scopes[KUBERNETES_SERVICES], "/api/v1", "services", NULL);
    kubernetes_scope_set(&kubernetes->scopes[KUBERNETES_NAMESPACES], "/api/v1", "namespaces", NULL);
    slices_api_set(kubernetes, KUBERNETES_SLICES_V1);
    for (unsigned i = 0; i < KUBERNETES_RESOURCES && r == 0; i++)
        if (kubernetes->scopes[i].options.all)
            r = kubernetes_scope_start(&kubernetes->scopes[i]);
    return r;
}

static int start(struct registry *registry)
{
    struct kubernetes *kubernetes = kubernetes_of(registry);
    int r;

    kubernetes->again = (struct env_timer){.fire = on_again, .owner = kubernetes};
    kubernetes->suspicion = (struct env_timer){.fire = on_suspicion_end, .owner = kubernetes};
    kubernetes_cluster_init(&kubernetes->cluster, registry->config, on_changed, kubernetes);
    kubernetes_keys_init(&kubernetes->keys, kubernetes);
    kubernetes_facts_init(&kubernetes->facts, kubernetes);
    r = kubernetes_access_new(registry, &kubernetes->access);
    if (r < 0)
        return r;
    r = scopes_start(kubernetes);
    if (r < 0) {
        registry->type->stop(registry);
        return r;
    }
    kubernetes_facts_ask(&kubernetes->facts);
    return 0;
}

static void stop(struct registry *registry)
{
    struct kubernetes *kubernetes = kubernetes_of(registry);

    env_timer_off(registry->env, &kubernetes->again);
    env_timer_off(registry->env, &kubernetes->suspicion);
    kubernetes_facts_done(&kubernetes->facts);
    kubernetes_keys_done(&kubernetes->keys);
    for (unsigned i = 0; i < KUBERNETES_RESOURCES; i++)
        kubernetes_scope_done(&kubernetes->scopes[i]);
    kubernetes_cluster_done(&kubernetes->cluster);
    kubernetes->access = kubernetes_access_free(kubernetes->access);
}

static int reload(struct registry *registry, const struct registry_config *config)
{
    struct kubernetes *kubernetes = kubernetes_of(registry);

    if (!kubernetes_settings_equal(kubernetes_settings_of(registry->config),
                                   kubernetes_settings_of(config)) ||
        !registry_prefixes_equal(registry->config, config))
        return -EOPNOTSUPP;
    registry->config = config;
    kubernetes->cluster.config = config;
    for (unsigned i = 0; i < KUBERNETES_RESOURCES; i++)
        scope_options(kubernetes, i, &kubernetes->scopes[i].options);
    return 0;
}

static enum registry_meaning resolve(const struct registry *registry, const char *name,
                                     size_t relative, const char *domain,
                                     struct registry_target *ret_target)
{
    bool pods = kubernetes_settings_of(registry->config)->pods != KUBERNETES_PODS_DISABLED;
    enum registry_meaning meaning;
    struct kubernetes_key key;

    (void)domain;
    meaning = kubernetes_name_parse(name, relative, pods, &key, &ret_target->selector);
    if (meaning == REGISTRY_TARGET)
        kubernetes_key_format(&key, ret_target->key);
    return meaning;
}

static int want(struct registry *registry, const char *key)
{
    return kubernetes_keys_want(&kubernetes_of(registry)->keys, key);
}

static int refresh(struct registry *registry, const char *key)
{
    return kubernetes_keys_refresh(&kubernetes_of(registry)->keys, key);
}

static void drop(struct registry *registry, const char *key)
{
    kubernetes_keys_drop(&kubernetes_of(registry)->keys, key);
}

static void kick(struct registry *registry)
{
    struct kubernetes *kubernetes = kubernetes_of(registry);

    if (!kubernetes->up)
        kubernetes_facts_kick(&kubernetes->facts);
    for (unsigned i = 0; i < KUBERNETES_RESOURCES; i++)
        if (kubernetes->scopes[i].is_missing)
            env_defer(registry->env, &kubernetes->again);
        else
            kubernetes_scope_kick(&kubernetes->scopes[i]);
}

static int reverse(const struct registry *registry, const struct address *address,
                   char ret_name[static NAME_SIZE])
{
    const struct kubernetes *kubernetes = (const struct kubernetes *)registry;
    const char *domain = registry->config->domains ? registry->config->domains[0] : NULL;
    size_t used;
    int r = kubernetes_cluster_reverse(&kubernetes->cluster, address, ret_name);

    if (r < 0 || !domain)
        return -ENOENT;
    used = strlen(ret_name);
    if (used + 1 + strlen(domain) > NAME_MAX_LENGTH)
        return -ENOENT;
    ret_name[used] = '.';
    strcpy(ret_name + used + 1, domain);
    return 0;
}

static void describe_streams(const struct kubernetes *kubernetes, json_t *object)
{
    static const char *const names[] = {"services", "endpoints", "namespaces"};
    json_t *streams = json_object();

    for (unsigned i = 0; i < KUBERNETES_RESOURCES; i++) {
        const struct kubernetes_scope *scope = &kubernetes->scopes[i];
        const struct kubernetes_collection *first = scope->collections;
        unsigned all, live, failed;

        kubernetes_scope_count(scope, &all, &live, &failed);
        json_object_set_new(
            streams, names[i],
            json_pack("{s:i, s:i, s:i, s:b, s:s}", "streams", (int)all, "live", (int)live,
                      "failing", (int)failed, "cluster_wide", (int)(scope->wide), "version",
                      first && first->stream ? kubernetes_stream_version(first->stream) : ""));
    }
    json_object_set_new(object, "streams", streams);
}

static void describe(const struct registry *registry, json_t *object)
{
    const struct kubernetes *kubernetes = (const struct kubernetes *)registry;
    const struct kubernetes_cluster *cluster = &kubernetes->cluster;

    if (kubernetes->access)
        kubernetes_access_describe(kubernetes->access, object);
    json_object_set_new(object, "cluster", json_string(kubernetes->facts.identity));
    json_object_set_new(object, "node", json_string(kubernetes->facts.node));
    json_object_set_new(object, "endpoints_api",
                        json_string(slices_apis[kubernetes->slices_api].name));
    json_object_set_new(object, "services", json_integer((json_int_t)cluster->service_count));
    json_object_set_new(object, "slices", json_integer(HASH_COUNT(cluster->slices)));
    json_object_set_new(object, "endpoints", json_integer((json_int_t)cluster->endpoint_count));
    json_object_set_new(object, "namespaces", json_integer(HASH_COUNT(cluster->namespaces)));
    json_object_set_new(object, "refused_addresses", json_integer(cluster->refused));
    json_object_set_new(object, "complete", json_boolean(!cluster->overflow));
    describe_streams(kubernetes, object);
    json_object_set_new(object, "last_error", json_string(kubernetes->error));
}

static const char *const default_domains[] = {"cluster.local", NULL};

const struct registry_type registry_type_kubernetes = {
    .name = "kubernetes",
    .size = sizeof(struct kubernetes),
    .items = kubernetes_items,
    .settings_size = sizeof(struct kubernetes_settings),
    .settings_done = kubernetes_settings_done,
    .default_domains = default_domains,
    .default_reverse = true,
    .source = kubernetes_access_source,
    .verify = kubernetes_settings_verify,
    .start = start,
    .reload = reload,
    .resolve = resolve,
    .want = want,
    .refresh = refresh,
    .drop = drop,
    .kick = kick,
    .reverse = reverse,
    .describe = describe,
    .stop = stop,
};
