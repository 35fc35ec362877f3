/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registry type `dns` (dns.h): its verbs, and whether the servers answer at all. */
#include "daemon/registry/dns/dns.h"

#include "daemon/registry/dns/name.h"

/* One name may be broken by itself: down means that several fail, and that nothing else answers. */
enum { FAILURES_DOWN = 2 };
#define DOWN_AFTER     (3 * USEC_PER_SEC)
#define PROBE_INTERVAL (5 * USEC_PER_SEC)
/* Names that failed are asked again at once when the network changed; so many at a time. */
enum { KICK_MAX = 64 };

static struct dns_registry *dns_of(struct registry *registry)
{
    return (struct dns_registry *)registry;
}

static struct dns_name *name_find(struct dns_registry *dns, const char *key)
{
    struct dns_name *name;

    HASH_FIND_STR(dns->names, key, name);
    return name;
}

/* ---- do the servers answer? ---- */

void dns_registry_answered(struct dns_registry *dns)
{
    bool news = dns->down || !dns->said_up;

    dns->failures = 0;
    dns->several_failed = dns->down = false;
    dns->said_up = true;
    dns->answered_at = env_now(dns->registry.env);
    env_timer_off(dns->registry.env, &dns->probe);
    if (news)
        env_report(dns->registry.env, &(struct registry_report){.kind = REPORT_UP});
}

static void probe_later(struct dns_registry *dns)
{
    env_timer_set(dns->registry.env, &dns->probe,
                  env_now(dns->registry.env) + env_jitter(dns->registry.env, PROBE_INTERVAL, 20));
}

void dns_registry_failed(struct dns_registry *dns, const char *key, const char *text)
{
    usec_t now = env_now(dns->registry.env);

    if (dns->failures++ == 0) {
        dns->failing_since = now;
        strcpy(dns->failed_key, key);
    }
    dns->several_failed |= !streq(dns->failed_key, key);
    if (dns->down || dns->failures < FAILURES_DOWN || now - dns->failing_since < DOWN_AFTER ||
        (!dns->several_failed && HASH_COUNT(dns->names) > 1))
        return;
    dns->down = true;
    probe_later(dns);
    env_report(dns->registry.env, &(struct registry_report){.kind = REPORT_DOWN, .text = text});
}

static void on_probe(struct env_timer *timer)
{
    struct dns_registry *dns = timer->owner;
    struct dns_name *name = name_find(dns, dns->failed_key) ?: dns->names;

    if (name)
        dns_name_ask(name);
    probe_later(dns);
}

/* ---- verbs ---- */

static int source(const struct registry_config *config, char **ret_source)
{
    *ret_source = strdup(dns_settings_of(config)->joined ?: "system");
    return *ret_source ? 0 : -ENOMEM;
}

static int start(struct registry *registry)
{
    struct dns_registry *dns = dns_of(registry);

    dns->probe = (struct env_timer){.fire = on_probe, .owner = dns};
    return 0;
}

static void stop(struct registry *registry)
{
    struct dns_registry *dns = dns_of(registry);
    struct dns_name *name, *next;

    env_timer_off(registry->env, &dns->probe);
    HASH_ITER (hh, dns->names, name, next) {
        HASH_DEL(dns->names, name);
        dns_name_free(name);
    }
}

static int reload(struct registry *registry, const struct registry_config *config)
{
    if (!dns_settings_equal(dns_settings_of(registry->config), dns_settings_of(config)) ||
        !registry_prefixes_equal(registry->config, config))
        return -EOPNOTSUPP;
    registry->config = config;
    return 0;
}

/* DNS has no grammar but that of names. */
static enum registry_meaning resolve(const struct registry *registry, const char *name,
                                     size_t relative, const char *domain,
                                     struct registry_target *ret_target)
{
    (void)registry;
    (void)relative;
    (void)domain;
    strcpy(ret_target->key, name);
    ret_target->selector.kind = SELECT_ALL;
    return REGISTRY_TARGET;
}

static int want(struct registry *registry, const char *key)
{
    struct dns_registry *dns = dns_of(registry);
    struct dns_name *name = name_find(dns, key);

    if (!name) {
        name = dns_name_new(dns, key);
        if (!name)
            return -ENOMEM;
        HASH_ADD_STR(dns->names, key, name);
    }
    dns_name_ask(name);
    return 0;
}

static void drop(struct registry *registry, const char *key)
{
    struct dns_registry *dns = dns_of(registry);
    struct dns_name *name = name_find(dns, key);

    if (!name)
        return;
    HASH_DEL(dns->names, name);
    dns_name_free(name);
}

static void kick(struct registry *registry)
{
    struct dns_registry *dns = dns_of(registry);
    struct dns_name *name, *next;
    unsigned asked = 0;

    HASH_ITER (hh, dns->names, name, next) {
        if (!name->failed)
            continue;
        if (asked++ == KICK_MAX)
            break;
        dns_name_ask(name);
    }
}

static void describe(const struct registry *registry, json_t *object)
{
    const struct dns_registry *dns = (const struct dns_registry *)registry;
    const struct dns_settings *settings = dns_registry_settings(dns);
    json_t *servers = json_array();
    json_int_t asking = 0, failed = 0;
    const struct dns_name *name;

    for (size_t i = 0; settings->servers[i]; i++)
        json_array_append_new(servers, json_string(settings->servers[i]));
    for (name = dns->names; name; name = name->hh.next) {
        asking += name->busy;
        failed += name->failed;
    }
    json_object_set_new(object, "servers", servers);
    json_object_set_new(object, "tcp", json_boolean(settings->force_tcp));
    json_object_set_new(object, "names", json_integer(HASH_COUNT(dns->names)));
    json_object_set_new(object, "asking", json_integer(asking));
    json_object_set_new(object, "failed", json_integer(failed));
}

const struct registry_type registry_type_dns = {
    .name = "dns",
    .size = sizeof(struct dns_registry),
    .asks = true,
    .items = dns_items,
    .settings_size = sizeof(struct dns_settings),
    .settings_done = dns_settings_done,
    .source = source,
    .verify = dns_settings_verify,
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
