/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registry type `cloudmap` (cloudmap.h): its verbs. */
#include "daemon/registry/cloudmap/cloudmap.h"

#include "daemon/config_url.h"
#include "daemon/registry/cloudmap/service.h"

/* Polls may use so much of the budget; the rest is for programs that wait. */
#define POLL_SHARE  0.8
#define SPREAD_STEP (50 * USEC_PER_MSEC)

static struct cloudmap *cloudmap_of(struct registry *registry)
{
    return (struct cloudmap *)registry;
}

/* ---- what the parts ask ---- */

usec_t cloudmap_realtime(const struct cloudmap *cloudmap)
{
    struct registry_env *env = cloudmap->registry.env;

    return env->ops->now_realtime(env) + (usec_t)cloudmap->calls.skew;
}

const char *cloudmap_region(const struct cloudmap *cloudmap)
{
    return cloudmap->locality.region[0] ? cloudmap->locality.region : NULL;
}

const char *cloudmap_region_suffix(const char *region)
{
    if (strncmp(region, "cn-", 3) == 0)
        return "amazonaws.com.cn";
    return strncmp(region, "eusc-", 5) == 0 ? "amazonaws.eu" : "amazonaws.com";
}

usec_t cloudmap_period(const struct cloudmap *cloudmap, usec_t base)
{
    const struct cloudmap_settings *settings = cloudmap_settings(cloudmap);
    double second = (double)USEC_PER_SEC;
    double one = second / (double)settings->full_poll +
                 (cloudmap->no_revisions ? 0 : second / (double)settings->poll);
    double load = (double)cloudmap->polled * one / ((double)settings->max_calls * POLL_SHARE);

    return load > 1 ? (usec_t)((double)base * load) : base;
}

bool cloudmap_is_local(const struct cloudmap *cloudmap)
{
    const char *endpoint = cloudmap_settings(cloudmap)->endpoint;

    return endpoint && config_url_is_local(endpoint);
}

void cloudmap_log_failing(struct cloudmap *cloudmap, const char *key, const char *text)
{
    if (log_limit_pass(&cloudmap->log_limit, env_now(cloudmap->registry.env)))
        env_log(cloudmap->registry.env, LOG_WARNING, key, "cannot be asked for: %s", text);
}

void cloudmap_no_revisions(struct cloudmap *cloudmap, const char *text)
{
    if (!cloudmap->no_revisions)
        env_log(cloudmap->registry.env, LOG_WARNING, NULL,
                "revisions cannot be polled: %s; instances are read every FullPollSec= alone until "
                "servicediscovery:DiscoverInstancesRevision is permitted",
                text);
    cloudmap->no_revisions = true;
}

/* ---- what they tell each other ---- */

static void hurry_all(struct cloudmap *cloudmap)
{
    usec_t spread = cloudmap->polled * SPREAD_STEP;
    struct cloudmap_service *service, *next;

    HASH_ITER (hh, cloudmap->services, service, next)
        cloudmap_service_hurry(service, spread);
}

void cloudmap_credentials_settled(struct cloudmap *cloudmap)
{
    cloudmap_calls_run(&cloudmap->calls);
}

void cloudmap_region_settled(struct cloudmap *cloudmap)
{
    cloudmap_calls_run(&cloudmap->calls);
}

void cloudmap_namespaces_settled(struct cloudmap *cloudmap)
{
    struct cloudmap_service *service, *next;

    HASH_ITER (hh, cloudmap->services, service, next)
        if (service->owed)
            cloudmap_service_ask(service);
}

void cloudmap_came_up(struct cloudmap *cloudmap)
{
    hurry_all(cloudmap);
}

/* ---- verbs ---- */

static int start(struct registry *registry)
{
    struct cloudmap *cloudmap = cloudmap_of(registry);

    cloudmap->log_limit = (struct log_limit){.interval = 60 * USEC_PER_SEC, .burst = 5};
    cloudmap_calls_init(&cloudmap->calls, cloudmap);
    cloudmap_credentials_init(&cloudmap->credentials, cloudmap);
    cloudmap_locality_init(&cloudmap->locality, cloudmap);
    cloudmap_namespaces_init(&cloudmap->namespaces, cloudmap);
    return 0;
}

static void stop(struct registry *registry)
{
    struct cloudmap *cloudmap = cloudmap_of(registry);
    struct cloudmap_service *service, *next;

    HASH_ITER (hh, cloudmap->services, service, next)
        cloudmap_service_free(service);
    cloudmap_namespaces_done(&cloudmap->namespaces);
    cloudmap_locality_done(&cloudmap->locality);
    cloudmap_credentials_done(&cloudmap->credentials);
    cloudmap_calls_done(&cloudmap->calls);
}

static int reload(struct registry *registry, const struct registry_config *config)
{
    if (!cloudmap_settings_ask_the_same(registry->config, config) ||
        !registry_prefixes_equal(registry->config, config))
        return -EOPNOTSUPP;
    registry->config = config;
    return 0;
}

/* Every domain is a namespace; what is before it is the service, whose name may have dots. */
static enum registry_meaning resolve(const struct registry *registry, const char *name,
                                     size_t relative, const char *domain,
                                     struct registry_target *ret_target)
{
    (void)registry;
    if (relative == 0)
        return REGISTRY_NO_DATA;
    if (cloudmap_key_format(name, relative, domain, ret_target->key) < 0)
        return REGISTRY_NO_SUCH_NAME;
    ret_target->selector.kind = SELECT_ALL;
    return REGISTRY_TARGET;
}

static struct cloudmap_service *service_find(struct cloudmap *cloudmap, const char *key)
{
    struct cloudmap_service *service;

    HASH_FIND_STR(cloudmap->services, key, service);
    return service;
}

static int want(struct registry *registry, const char *key)
{
    struct cloudmap *cloudmap = cloudmap_of(registry);
    struct cloudmap_service *service = service_find(cloudmap, key)
                                           ?: cloudmap_service_new(cloudmap, key);

    if (!service)
        return -ENOMEM;
    cloudmap_service_ask(service);
    return 0;
}

static void drop(struct registry *registry, const char *key)
{
    struct cloudmap_service *service = service_find(cloudmap_of(registry), key);

    if (service)
        cloudmap_service_free(service);
}

static void kick(struct registry *registry)
{
    struct cloudmap *cloudmap = cloudmap_of(registry);

    cloudmap->no_revisions = false;
    cloudmap_credentials_kick(&cloudmap->credentials);
    cloudmap_locality_kick(&cloudmap->locality);
    cloudmap_calls_kick(&cloudmap->calls);
    cloudmap_namespaces_kick(&cloudmap->namespaces);
    hurry_all(cloudmap);
}

static void describe(const struct registry *registry, json_t *object)
{
    const struct cloudmap *cloudmap = (const struct cloudmap *)registry;
    const struct cloudmap_settings *settings = cloudmap_settings(cloudmap);

    cloudmap_locality_describe(&cloudmap->locality, object);
    cloudmap_calls_describe(&cloudmap->calls, object);
    cloudmap_credentials_describe(&cloudmap->credentials, object);
    cloudmap_namespaces_describe(&cloudmap->namespaces, object);
    json_object_set_new(object, "services", json_integer(HASH_COUNT(cloudmap->services)));
    json_object_set_new(object, "polled", json_integer((json_int_t)cloudmap->polled));
    json_object_set_new(object, "revision-polls", json_boolean(!cloudmap->no_revisions));
    json_object_set_new(
        object, "poll-seconds",
        json_real((double)cloudmap_period(cloudmap, settings->poll) / (double)USEC_PER_SEC));
    json_object_set_new(
        object, "full-poll-seconds",
        json_real((double)cloudmap_period(cloudmap, settings->full_poll) / (double)USEC_PER_SEC));
}

/* The namespaces are the domains (REPORT_DOMAINS). */
static const char *const default_domains[] = {NULL};

const struct registry_type registry_type_cloudmap = {
    .name = "cloudmap",
    .size = sizeof(struct cloudmap),
    .asks = true,
    .items = cloudmap_items,
    .settings_size = sizeof(struct cloudmap_settings),
    .settings_done = cloudmap_settings_done,
    .default_domains = default_domains,
    .source = cloudmap_settings_source,
    .verify = cloudmap_settings_verify,
    .start = start,
    .reload = reload,
    .resolve = resolve,
    .want = want,
    .refresh = want,
    .drop = drop,
    .kick = kick,
    .describe = describe,
    .stop = stop,
};
