/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registry type `xds` (xds.h): its verbs. */
#include "daemon/registry/xds/xds.h"

#include <stdio.h>

#include "daemon/config_url.h"
#include "daemon/log.h"
#include "daemon/registry/xds/names.h"

#define RECHECK_TIME (1 * USEC_PER_SEC)

enum { REFUSALS_LOGGED = 16 };

static struct xds *xds_of(struct registry *registry)
{
    return (struct xds *)registry;
}

static const struct xds_settings *settings_of(const struct xds *xds)
{
    return xds_settings_of(xds->registry.config);
}

/* ---- what is known ---- */

static bool is_whole(const struct xds *xds, enum xds_kind kind)
{
    usec_t at = xds->protocol.exchanges[kind].whole_at;

    return at > 0 && at <= env_now(xds->registry.env);
}

/* One came on this stream, and none that could be read. */
static bool names_are_broken(const struct xds *xds)
{
    const struct xds_exchange *exchange = &xds->protocol.exchanges[XDS_NAMES];

    return exchange->answered && exchange->whole_at == 0 && exchange->refusals > 0;
}

/* A control plane that has no name table leaves the question open: then the clusters are all. */
static bool names_are_whole(const struct xds *xds)
{
    const struct xds_exchange *exchange = &xds->protocol.exchanges[XDS_NAMES];

    return !settings_of(xds)->name_table || is_whole(xds, XDS_NAMES) ||
           (exchange->started && !exchange->answered &&
            env_now(xds->registry.env) >= usec_add(exchange->asked_at, XDS_MISSING_TIME));
}

struct xds_lookup xds_lookup_of(struct xds *xds, void *owner)
{
    bool istio = settings_of(xds)->istio;

    return (struct xds_lookup){
        .config = xds->registry.config,
        .protocol = &xds->protocol,
        .hosts = istio ? &xds->hosts : NULL,
        .hosts_whole = istio && !xds->hosts.overflow && is_whole(xds, XDS_CLUSTER) &&
                       names_are_whole(xds),
        .hosts_broken = istio && is_whole(xds, XDS_CLUSTER) && names_are_broken(xds),
        .owner = owner,
    };
}

/* Of what is left out so many lines are written: what ends the next one, or NULL, none. */
static const char *next_refusal(struct xds *xds)
{
    if (xds->refusals >= REFUSALS_LOGGED)
        return NULL;
    return ++xds->refusals == REFUSALS_LOGGED ? " (others are not told of any more)" : "";
}

static void tell_refusal(struct xds *xds, const struct xds_resource *resource)
{
    const struct xds_assignment *assignment = resource->kind == XDS_ENDPOINTS
                                                  ? &resource->value->assignment
                                                  : &resource->value->cluster.assignment;

    const char *end = assignment->refused > 0 ? next_refusal(xds) : NULL;

    if (end)
        env_log(xds->registry.env, LOG_WARNING, resource->name,
                "%u addresses of %.200s are passed over, among them %s%s", assignment->refused,
                resource->name, assignment->refusal, end);
}

static void tell_crowded_split(struct xds *xds, const struct xds_resource *resource)
{
    const struct xds_route *route = &resource->value->route;

    for (size_t i = 0; i < route->count; i++) {
        const struct xds_route_host *host = &route->hosts[i];
        const char *end = host->left_out > 0 ? next_refusal(xds) : NULL;

        if (end)
            env_log(xds->registry.env, LOG_WARNING, resource->name,
                    "%u clusters that %.200s leads to are left out: there are more than %u%s",
                    host->left_out, host->domain, XDS_ROUTED_MAX, end);
    }
}

static void resource_changed(void *owner, struct xds_resource *resource)
{
    struct xds *xds = owner;
    bool held = resource->known == XDS_HELD;

    if (held &&
        (resource->kind == XDS_ENDPOINTS ||
         (resource->kind == XDS_CLUSTER && resource->value->cluster.type == XDS_CLUSTER_INLINE)))
        tell_refusal(xds, resource);
    if (held && (resource->kind == XDS_LISTENER || resource->kind == XDS_ROUTE))
        tell_crowded_split(xds, resource);
    if (resource->kind == XDS_CLUSTER && settings_of(xds)->istio)
        xds_hosts_cluster(&xds->hosts, resource->name, held || xds_resource_is_broken(resource));
    xds_keys_resource_changed(&xds->keys, resource);
}

static void host_changed(void *owner, const char *host)
{
    struct xds *xds = owner;

    xds_keys_host_changed(&xds->keys, host);
}

static void host_crowded(void *owner, const char *host)
{
    struct xds *xds = owner;
    const char *end = next_refusal(xds);

    if (end && host)
        env_log(xds->registry.env, LOG_WARNING, host,
                "more than %u ports of %.253s: only these are used%s", XDS_HOST_PORTS_MAX, host,
                end);
    else if (end)
        env_log(xds->registry.env, LOG_WARNING, NULL,
                "more than %u hosts: the others are not used%s", XDS_HOSTS_MAX, end);
}

static void table_begin(void *owner)
{
    xds_hosts_table_begin(owner);
}

static void table_entry(void *owner, const struct xds_name_entry *entry)
{
    xds_hosts_table_entry(owner, entry);
}

static void table_finish(void *owner, bool whole)
{
    xds_hosts_table_finish(owner, whole);
}

const struct xds_names_handler xds_names_of_hosts = {table_begin, table_entry, table_finish};

/* ---- what is asked for ---- */

void xds_choose_wildcards(struct xds *xds)
{
    const struct xds_settings *settings = settings_of(xds);
    struct xds_exchange *exchanges = xds->protocol.exchanges;

    exchanges[XDS_CLUSTER].wildcard = settings->istio || xds->wide_clusters;
    exchanges[XDS_LISTENER].wildcard = xds->wide_clusters && settings->names == XDS_NAMES_LISTENER;
    exchanges[XDS_NAMES].wildcard = settings->istio && settings->name_table;
}

/*
 * First all clusters and listeners, which are short. Only where lists of assignments stay
 * unanswered as well, which nothing but the state of the world knows, all of those.
 */
bool xds_widen(struct xds *xds, enum xds_kind kind)
{
    bool *wide = &xds->wide_clusters;

    if (kind == XDS_ENDPOINTS || kind == XDS_ROUTE)
        wide = &xds->wide_endpoints;
    if (*wide || kind == XDS_NAMES || (wide == &xds->wide_endpoints && xds->protocol.delta))
        return false;
    *wide = xds->wide_clusters = true;
    return true;
}

static void want_whole(struct xds *xds, enum xds_kind kind, const char *name)
{
    struct xds_resource *resource = xds_resources_get(&xds->protocol.resources, kind, name);

    if (!resource)
        return;
    resource->whole = true;
    xds_protocol_touch(&xds->protocol, resource);
}

/* All that clusters and listeners refer to. */
static void want_referred(struct xds *xds, enum xds_kind from, enum xds_kind to)
{
    struct xds_resource *resource, *next;

    for (resource = xds->protocol.resources.tables[to]; resource; resource = resource->hh.next)
        resource->whole = false;
    for (resource = xds->protocol.resources.tables[from]; resource; resource = resource->hh.next) {
        if (resource->known != XDS_HELD)
            continue;
        if (from == XDS_CLUSTER && resource->value->cluster.type == XDS_CLUSTER_EDS)
            want_whole(xds, to, resource->value->cluster.service_name);
        else if (from == XDS_LISTENER && resource->value->route.route_name)
            want_whole(xds, to, resource->value->route.route_name);
    }
    HASH_ITER (hh, xds->protocol.resources.tables[to], resource, next) {
        if (!xds_resource_is_wanted(resource))
            xds_protocol_touch(&xds->protocol, resource);
        xds_resources_release(&xds->protocol.resources, resource, false);
    }
}

void xds_told(struct xds *xds, enum xds_kind kind)
{
    const struct xds_exchange *exchange = &xds->protocol.exchanges[kind];

    if (xds->wide_endpoints && kind == XDS_CLUSTER)
        want_referred(xds, XDS_CLUSTER, XDS_ENDPOINTS);
    if (xds->wide_endpoints && kind == XDS_LISTENER)
        want_referred(xds, XDS_LISTENER, XDS_ROUTE);
    if (!exchange->wildcard)
        return;
    if (is_whole(xds, kind) || (kind == XDS_NAMES && names_are_broken(xds)))
        xds_keys_recheck(&xds->keys);
    else if (exchange->whole_at > 0)
        env_timer_set(xds->registry.env, &xds->recheck_timer, exchange->whole_at);
}

void xds_moved(struct xds *xds)
{
    usec_t due;

    xds_keys_run(&xds->keys);
    if (settings_of(xds)->transport == XDS_REST)
        xds_rest_flush(&xds->rest);
    else
        xds_stream_flush(&xds->stream);
    due = xds->protocol.due;
    if (due != 0)
        env_timer_set(xds->registry.env, &xds->due_timer, due);
}

static void due_fire(struct env_timer *timer)
{
    struct xds *xds = timer->owner;

    xds_protocol_expire(&xds->protocol, env_now(xds->registry.env));
    xds_moved(xds);
}

static void recheck_fire(struct env_timer *timer)
{
    struct xds *xds = timer->owner;
    const struct xds_exchange *names = &xds->protocol.exchanges[XDS_NAMES];

    xds_keys_recheck(&xds->keys);
    if (settings_of(xds)->istio && !names_are_whole(xds) && names->started && !names->answered)
        env_timer_set(xds->registry.env, timer, usec_add(names->asked_at, XDS_MISSING_TIME));
    xds_moved(xds);
}

/* ---- up and down ---- */

void xds_answered(struct xds *xds)
{
    struct registry_env *env = xds->registry.env;

    if (xds->up)
        return;
    xds->up = true;
    xds->down = false;
    env_report(env, &(struct registry_report){.kind = REPORT_UP});
    env_report(env, &(struct registry_report){.kind = REPORT_SYNCED});
    /* What it has nothing new to say of is confirmed by that. */
    env_timer_set(env, &xds->recheck_timer, usec_add(env_now(env), RECHECK_TIME));
}

void xds_unreachable(struct xds *xds, enum registry_failure failure, const char *text)
{
    bool news = !xds->down;

    snprintf(xds->text, sizeof(xds->text), "%s", text);
    xds->up = false;
    xds->down = true;
    env_timer_off(xds->registry.env, &xds->recheck_timer);
    xds_keys_went_down(&xds->keys);
    if (!news)
        return;
    env_report(
        xds->registry.env,
        &(struct registry_report){.kind = REPORT_FAILED, .failure = failure, .text = xds->text});
    env_report(xds->registry.env,
               &(struct registry_report){.kind = REPORT_DOWN, .text = xds->text});
}

/* ---- who we are ---- */

struct xds_node xds_node_now(const struct xds *xds)
{
    struct registry_env *env = xds->registry.env;
    struct xds_node node = xds->profile.node;
    const char *zone, *region;

    if (node.zone || node.region || node.sub_zone)
        return node;
    env->ops->locality(env, &zone, &region);
    node.zone = *zone ? (char *)zone : NULL;
    node.region = *region ? (char *)region : NULL;
    return node;
}

/* ---- life ---- */

static void tell_locality(struct env_timer *timer)
{
    struct xds *xds = timer->owner;

    env_report(xds->registry.env, &(struct registry_report){.kind = REPORT_LOCALITY,
                                                            .zone = xds->profile.node.zone,
                                                            .region = xds->profile.node.region});
}

static bool servers_are_local(const struct xds_profile *profile)
{
    for (size_t i = 0; i < profile->server_count; i++)
        if (!config_url_is_local(profile->servers[i].url))
            return false;
    return true;
}

static int start_parts(struct xds *xds)
{
    char reason[XDS_PROFILE_REASON_SIZE];
    int r = xds_profile_make(settings_of(xds), &xds->profile, reason);

    if (r < 0) {
        env_log(xds->registry.env, LOG_ERR, NULL, "%s", reason);
        return r;
    }
    xds->rules.loopback = servers_are_local(&xds->profile);
    if (xds->profile.node.zone || xds->profile.node.region)
        r = env_defer(xds->registry.env, &xds->locality_timer);
    if (r < 0)
        return r;
    return settings_of(xds)->transport == XDS_REST ? xds_rest_init(&xds->rest, xds)
                                                   : xds_stream_init(&xds->stream, xds);
}

static int start(struct registry *registry)
{
    struct xds *xds = xds_of(registry);
    int r;

    xds->rules.config = registry->config;
    xds->protocol.resources.changed = resource_changed;
    xds->protocol.resources.owner = xds;
    xds->hosts.changed = host_changed;
    xds->hosts.crowded = host_crowded;
    xds->hosts.owner = xds;
    xds->due_timer = (struct env_timer){.fire = due_fire, .owner = xds};
    xds->recheck_timer = (struct env_timer){.fire = recheck_fire, .owner = xds};
    xds->locality_timer = (struct env_timer){.fire = tell_locality, .owner = xds};
    xds_keys_init(&xds->keys, xds);
    r = start_parts(xds);
    if (r < 0)
        registry->type->stop(registry);
    return r;
}

static void stop(struct registry *registry)
{
    struct xds *xds = xds_of(registry);

    env_timer_off(registry->env, &xds->due_timer);
    env_timer_off(registry->env, &xds->recheck_timer);
    env_timer_off(registry->env, &xds->locality_timer);
    xds_stream_done(&xds->stream);
    xds_rest_done(&xds->rest);
    xds_keys_done(&xds->keys);
    xds_protocol_done(&xds->protocol);
    xds_hosts_done(&xds->hosts);
    xds_profile_done(&xds->profile);
}

static int reload(struct registry *registry, const struct registry_config *config)
{
    struct xds *xds = xds_of(registry);

    /* A bootstrap file may hold other servers now. */
    if (settings_of(xds)->bootstrap ||
        !xds_settings_equal(settings_of(xds), xds_settings_of(config)) ||
        !config_strings_equal(registry->config->domains, config->domains) ||
        !registry_prefixes_equal(registry->config, config))
        return -EOPNOTSUPP;
    registry->config = config;
    xds->rules.config = config;
    return 0;
}

static enum registry_meaning resolve(const struct registry *registry, const char *name,
                                     size_t relative, const char *domain,
                                     struct registry_target *ret_target)
{
    (void)domain;
    /* A mesh may have a host that is called like the domain. */
    if (relative == 0 && !xds_settings_of(registry->config)->istio)
        return REGISTRY_NO_DATA;
    snprintf(ret_target->key, sizeof(ret_target->key), "%s", name);
    ret_target->selector = (struct selector){.kind = SELECT_ALL};
    return REGISTRY_TARGET;
}

static int want(struct registry *registry, const char *key)
{
    return xds_keys_want(&xds_of(registry)->keys, key);
}

static int refresh(struct registry *registry, const char *key)
{
    return xds_keys_refresh(&xds_of(registry)->keys, key);
}

static void drop(struct registry *registry, const char *key)
{
    xds_keys_drop(&xds_of(registry)->keys, key);
}

static void kick(struct registry *registry)
{
    struct xds *xds = xds_of(registry);

    if (settings_of(xds)->transport == XDS_REST)
        xds_rest_kick(&xds->rest);
    else
        xds_stream_kick(&xds->stream);
}

/* ---- sdctl status ---- */

static void describe_kind(const struct xds *xds, enum xds_kind kind, json_t *list)
{
    const struct xds_exchange *exchange = &xds->protocol.exchanges[kind];
    const struct xds_resources *resources = &xds->protocol.resources;
    json_t *item;

    if (!exchange->started && HASH_COUNT(resources->tables[kind]) == 0 && exchange->nacks == 0)
        return;
    item = json_pack("{s:s, s:b, s:I, s:I}", "kind", xds_kind_to_string(kind), "all",
                     exchange->wildcard, "held",
                     (json_int_t)xds_resources_count(resources, kind, XDS_HELD), "absent",
                     (json_int_t)xds_resources_count(resources, kind, XDS_ABSENT));
    if (exchange->version)
        json_object_set_new(item, "version", json_string(exchange->version));
    json_object_set_new(item, "nacks", json_integer((json_int_t)exchange->nacks));
    if (exchange->nack)
        json_object_set_new(item, "last_nack", json_string(exchange->nack));
    json_array_append_new(list, item);
}

static void describe(const struct registry *registry, json_t *object)
{
    const struct xds *xds = (const struct xds *)registry;
    bool rest = settings_of(xds)->transport == XDS_REST;
    size_t server = rest ? xds->rest.server : xds->stream.server;
    json_t *kinds = json_array();

    if (server < xds->profile.server_count)
        json_object_set_new(object, "server", json_string(xds->profile.servers[server].url));
    json_object_set_new(object, "protocol",
                        json_string(rest                  ? "rest"
                                    : xds->protocol.delta ? "delta"
                                                          : "sotw"));
    json_object_set_new(object, "node",
                        xds->profile.node.id ? json_string(xds->profile.node.id) : json_null());
    if (xds->stream.intake.identifier[0])
        json_object_set_new(object, "control_plane", json_string(xds->stream.intake.identifier));
    for (unsigned kind = 0; kind < XDS_KINDS; kind++)
        describe_kind(xds, kind, kinds);
    json_object_set_new(object, "resources", kinds);
    json_object_set_new(object, "watches", json_integer(HASH_COUNT(xds->keys.table)));
    if (settings_of(xds)->istio) {
        json_object_set_new(object, "hosts", json_integer(HASH_COUNT(xds->hosts.table)));
        json_object_set_new(object, "hosts_named", json_integer((json_int_t)xds->hosts.named));
    }
}

static const char *const default_domains[] = {"xds.internal", NULL};

const struct registry_type registry_type_xds = {
    .name = "xds",
    .size = sizeof(struct xds),
    .items = xds_items,
    .settings_size = sizeof(struct xds_settings),
    .settings_done = xds_settings_done,
    .default_domains = default_domains,
    .source = xds_settings_source,
    .verify = xds_settings_verify,
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
