/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registry type `eureka` (eureka.h): its verbs. */
#include "daemon/registry/eureka/eureka.h"

static struct eureka *eureka_of(struct registry *registry)
{
    return (struct eureka *)registry;
}

static void name_changed(void *owner, const char *name)
{
    struct eureka *eureka = owner;

    eureka_watches_changed(&eureka->watches, name);
}

static void credentials_changed(void *owner)
{
    struct eureka *eureka = owner;

    eureka_poll_again(&eureka->poll);
}

static void tell_locality(struct env_timer *timer)
{
    struct eureka *eureka = timer->owner;
    const struct eureka_settings *settings = eureka_settings_of(eureka->registry.config);

    env_report(eureka->registry.env, &(struct registry_report){.kind = REPORT_LOCALITY,
                                                               .zone = settings->zone,
                                                               .region = settings->region});
}

static int start(struct registry *registry)
{
    struct eureka *eureka = eureka_of(registry);
    const struct eureka_settings *settings = eureka_settings_of(registry->config);
    int r;

    eureka->applications.changed = name_changed;
    eureka->applications.owner = eureka;
    eureka->locality_timer = (struct env_timer){.fire = tell_locality, .owner = eureka};
    eureka_watches_init(&eureka->watches, eureka);
    eureka_credentials_init(&eureka->credentials, registry, credentials_changed, eureka);
    r = eureka_servers_init(&eureka->servers, settings) ?: eureka_poll_init(&eureka->poll, eureka);
    if (r == 0 && (settings->zone || settings->region))
        r = env_defer(registry->env, &eureka->locality_timer);
    if (r < 0)
        registry->type->stop(registry);
    return r;
}

static void stop(struct registry *registry)
{
    struct eureka *eureka = eureka_of(registry);

    env_timer_off(registry->env, &eureka->locality_timer);
    eureka_poll_done(&eureka->poll);
    eureka_watches_done(&eureka->watches);
    eureka_applications_done(&eureka->applications);
    eureka_credentials_done(&eureka->credentials);
    eureka_servers_done(&eureka->servers);
}

static int reload(struct registry *registry, const struct registry_config *config)
{
    if (!eureka_settings_ask_the_same(eureka_settings_of(registry->config),
                                      eureka_settings_of(config)) ||
        !registry_prefixes_equal(registry->config, config))
        return -EOPNOTSUPP;
    registry->config = config;
    eureka_poll_reload(&eureka_of(registry)->poll);
    return 0;
}

static enum registry_meaning resolve(const struct registry *registry, const char *name,
                                     size_t relative, const char *domain,
                                     struct registry_target *ret_target)
{
    (void)registry;
    (void)domain;
    if (relative == 0)
        return REGISTRY_NO_DATA;
    memcpy(ret_target->key, name, relative);
    ret_target->key[relative] = '\0';
    ret_target->selector = (struct selector){.kind = SELECT_ALL};
    return REGISTRY_TARGET;
}

static int want(struct registry *registry, const char *key)
{
    return eureka_watches_want(&eureka_of(registry)->watches, key);
}

static int refresh(struct registry *registry, const char *key)
{
    return eureka_watches_refresh(&eureka_of(registry)->watches, key);
}

static void drop(struct registry *registry, const char *key)
{
    eureka_watches_drop(&eureka_of(registry)->watches, key);
}

static void kick(struct registry *registry)
{
    eureka_poll_kick(&eureka_of(registry)->poll);
}

static void describe(const struct registry *registry, json_t *object)
{
    const struct eureka *eureka = (const struct eureka *)registry;
    usec_t now = env_now(registry->env);

    eureka_servers_describe(&eureka->servers, now, object);
    json_object_set_new(object, "instances",
                        json_integer(eureka_applications_listed(&eureka->applications)));
    json_object_set_new(object, "instances_up",
                        json_integer(eureka->applications.statuses[EUREKA_UP]));
    eureka_poll_describe(&eureka->poll, object);
    json_object_set_new(object, "watches", json_integer(HASH_COUNT(eureka->watches.table)));
    json_object_set_new(object, "suspect", json_boolean(eureka_guard_doubts(&eureka->guard)));
    if (eureka_guard_doubts(&eureka->guard)) {
        json_object_set_new(object, "suspect_why", json_string(eureka->guard.text));
        json_object_set_new(object, "instances_kept", json_integer(eureka->applications.missing));
        json_object_set_new(
            object, "suspect_sec",
            json_integer(now < eureka->guard.until
                             ? (json_int_t)((eureka->guard.until - now) / USEC_PER_SEC)
                             : 0));
    }
}

static const char *const default_domains[] = {"eureka.internal", NULL};

const struct registry_type registry_type_eureka = {
    .name = "eureka",
    .size = sizeof(struct eureka),
    .items = eureka_items,
    .settings_size = sizeof(struct eureka_settings),
    .settings_done = eureka_settings_done,
    .default_domains = default_domains,
    .source = eureka_settings_source,
    .verify = eureka_settings_verify,
    .start = start,
    .reload = reload,
    .resolve = resolve,
    .want = want,
    .refresh = refresh,
    .drop = drop,
    .kick = kick,
    .describe = describe,
    .stop = stop,
};
