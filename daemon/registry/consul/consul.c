/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registry type `consul` (consul.h): its verbs. */
#include "daemon/registry/consul/consul.h"

#include <strings.h>

static struct consul *consul_of(struct registry *registry)
{
    return (struct consul *)registry;
}

/* ---- what the parts tell each other ---- */

struct consul_document_rules consul_document_rules(const struct consul *consul)
{
    const struct registry_config *config = consul->registry.config;
    const struct consul_settings *settings = consul_settings_of(config);

    return (struct consul_document_rules){
        .own_datacenter = settings->datacenter ?: consul->datacenter,
        .loopback = server_urls_are_local(consul_settings_urls(settings)),
        .allow = config->allow_addresses,
        .allow_count = config->allow_address_count,
        .zone_meta = consul_settings_zone_meta(settings),
    };
}

void consul_learn_datacenter(struct consul *consul, const char *datacenter)
{
    if (datacenter[0] == '\0' || streq(datacenter, consul->datacenter) ||
        consul_settings_of(consul->registry.config)->datacenter)
        return;
    strcpy(consul->datacenter, datacenter);
    consul_identity_ask(&consul->identity);
    consul_watches_datacenter_known(&consul->watches);
}

void consul_agent_failed(struct consul *consul, unsigned agent)
{
    consul_watches_agent_failed(&consul->watches, agent);
    if (consul->catalogue.call.http && consul->catalogue.call.agent == agent)
        consul_catalogue_retry(&consul->catalogue);
    if (consul->locality.call.http && consul->locality.call.agent == agent)
        consul_call_cancel(&consul->locality.call);
    if (consul->identity.call.http && consul->identity.call.agent == agent)
        consul_identity_ask(&consul->identity);
}

void consul_went_down(struct consul *consul)
{
    consul_watches_went_down(&consul->watches);
    consul_catalogue_abandon(&consul->catalogue);
    consul_call_cancel(&consul->locality.call);
    consul_identity_abandon(&consul->identity);
    consul_probe_now(&consul->probe);
}

void consul_came_up(struct consul *consul)
{
    if (!consul_call_is_open(&consul->catalogue.call))
        consul_catalogue_retry(&consul->catalogue);
    consul_watches_came_up(&consul->watches);
    consul_locality_ask(&consul->locality);
    consul_identity_ask(&consul->identity);
}

void consul_new_token(struct consul *consul)
{
    consul->catalogue.was_complete = false; /* fewer rights are meant, not lost */
    consul_catalogue_retry(&consul->catalogue);
    consul_watches_retry(&consul->watches);
    consul_locality_ask(&consul->locality);
}

/* ---- verbs ---- */

static int start(struct registry *registry)
{
    struct consul *consul = consul_of(registry);
    int r;

    consul_watches_init(&consul->watches, consul);
    consul_locality_init(&consul->locality, consul);
    consul_identity_init(&consul->identity, consul);
    consul_probe_init(&consul->probe, consul);
    consul_catalogue_init(&consul->catalogue, consul);
    r = consul_agents_init(&consul->agents, consul);
    if (r < 0) {
        registry->type->stop(registry);
        return r;
    }
    consul_locality_ask(&consul->locality);
    return 0;
}

static void stop(struct registry *registry)
{
    struct consul *consul = consul_of(registry);

    consul_watches_done(&consul->watches);
    consul_locality_done(&consul->locality);
    consul_identity_abandon(&consul->identity);
    consul_catalogue_done(&consul->catalogue);
    consul_probe_done(&consul->probe);
    consul_agents_done(&consul->agents);
}

/*
 * Another source means that all has to be learned anew. Otherwise what is open stays open: calls
 * that are given up count against the agent's limit, and a new start would not know of them.
 */
static int reload(struct registry *registry, const struct registry_config *config)
{
    struct consul *consul = consul_of(registry);

    if (!consul_settings_ask_the_same(consul_settings_of(registry->config),
                                      consul_settings_of(config)) ||
        !registry_prefixes_equal(registry->config, config))
        return -EOPNOTSUPP;
    registry->config = config;
    consul_agents_reload(&consul->agents);
    consul_probe_now(&consul->probe);
    return 0;
}

static enum registry_meaning resolve(const struct registry *registry, const char *name,
                                     size_t relative, const char *domain,
                                     struct registry_target *ret_target)
{
    const struct consul_settings *settings = consul_settings_of(registry->config);
    enum registry_meaning meaning;
    struct consul_key key;

    (void)domain;
    meaning = consul_name_parse(name, relative, settings->namespace || settings->partition, &key,
                                &ret_target->selector);
    if (meaning != REGISTRY_TARGET)
        return meaning;
    if (settings->datacenter && strcasecmp(key.datacenter, settings->datacenter) == 0)
        key.datacenter[0] = '\0'; /* the own one: one watch with the names that do not say it */
    consul_key_format(&key, ret_target->key);
    return REGISTRY_TARGET;
}

static int want(struct registry *registry, const char *key)
{
    return consul_watches_want(&consul_of(registry)->watches, key);
}

static int refresh(struct registry *registry, const char *key)
{
    return consul_watches_refresh(&consul_of(registry)->watches, key);
}

static void drop(struct registry *registry, const char *key)
{
    consul_watches_drop(&consul_of(registry)->watches, key);
}

static void kick(struct registry *registry)
{
    struct consul *consul = consul_of(registry);

    consul_agents_kick(&consul->agents);
    consul_probe_again(&consul->probe);
    if (consul->agents.down)
        return;
    if (!consul->catalogue.live)
        consul_catalogue_retry(&consul->catalogue);
    consul_watches_kick(&consul->watches);
    consul_locality_ask(&consul->locality);
}

static void describe(const struct registry *registry, json_t *object)
{
    const struct consul *consul = (const struct consul *)registry;
    const char *datacenter = consul_settings_of(registry->config)->datacenter ?: consul->datacenter;

    consul_agents_describe(&consul->agents, object);
    json_object_set_new(object, "leader",
                        consul->probe.leader_known ? json_boolean(consul->probe.has_leader)
                                                   : json_null());
    json_object_set_new(object, "datacenter",
                        datacenter[0] ? json_string(datacenter) : json_null());
    json_object_set_new(object, "catalogue_services",
                        json_integer(consul_catalogue_count(&consul->catalogue)));
    json_object_set_new(object, "catalogue_complete",
                        json_boolean(consul->catalogue.live && !consul->catalogue.partial));
    consul_watches_describe(&consul->watches, object);
}

static const char *const default_domains[] = {"consul", NULL};

const struct registry_type registry_type_consul = {
    .name = "consul",
    .size = sizeof(struct consul),
    .items = consul_items,
    .settings_size = sizeof(struct consul_settings),
    .settings_done = consul_settings_done,
    .default_domains = default_domains,
    .source = consul_settings_source,
    .verify = consul_settings_verify,
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
