/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The core and its hooks: what it needs of the world, and what it hears from it. */
#include "daemon/manager_internal.h"

#include <sys/random.h>

#include "daemon/backend.h"
#include "daemon/bulletin.h"
#include "daemon/chase.h"
#include "daemon/clock.h"
#include "daemon/cloud_zone.h"
#include "daemon/config.h"
#include "daemon/env.h"
#include "daemon/host_zone.h"
#include "daemon/interest.h"
#include "daemon/log.h"
#include "daemon/net/dns.h"
#include "daemon/net/grpc.h"
#include "daemon/net/http.h"
#include "daemon/net/tcp.h"
#include "daemon/publisher.h"
#include "daemon/ranker.h"
#include "daemon/registries.h"
#include "daemon/rules.h"
#include "daemon/snapshot.h"
#include "daemon/store.h"
#include "daemon/veto.h"

#define GAI_CONF "/etc/gai.conf"

/* Our own number of this machine: the machine id itself is not to be spread. */
#define MACHINE_ID SD_ID128_MAKE(bb, 30, ad, 23, ce, 21, 4b, 65, b6, cb, 18, d5, 75, c3, 9b, 51)

/* ---- what the core needs from the world ---- */

usec_t manager_now(void *userdata)
{
    return clock_now(((struct manager *)userdata)->event);
}

/* From a pool, so that a sample of thousands costs no call each. */
static uint64_t manager_random(void *userdata)
{
    struct manager *manager = userdata;

    if (manager->random_left == 0) {
        if (getrandom(manager->random_pool, sizeof(manager->random_pool), 0) !=
            (ssize_t)sizeof(manager->random_pool))
            return (uint64_t)manager_now(manager) * UINT64_C(0x9e3779b97f4a7c15);
        manager->random_left = ELEMENTS(manager->random_pool);
    }
    return manager->random_pool[--manager->random_left];
}

void manager_wake(void *userdata)
{
    struct manager *manager = userdata;

    sd_event_source_set_enabled(manager->work, SD_EVENT_ONESHOT);
}

static int chase_query(void *userdata, const struct dns_question *question,
                       struct dns_call **ret_call)
{
    struct manager *manager = userdata;

    return dns_start(manager->dns, question, ret_call);
}

static void chase_cancel(void *userdata, struct dns_call *call)
{
    struct manager *manager = userdata;

    dns_cancel(manager->dns, call);
}

static void hook_policy(void *userdata, const char *name, struct resolver_policy *ret_policy)
{
    rules_policy(((struct manager *)userdata)->config, name, ret_policy);
}

/* Where there is no machine id (a container), the host keeps its choice until the next boot. */
void manager_learn_machine(struct manager *manager)
{
    int r = sd_id128_get_machine_app_specific(MACHINE_ID, &manager->machine);

    if (r < 0)
        r = sd_id128_get_boot_app_specific(MACHINE_ID, &manager->machine);
    if (r < 0)
        log_warning("no machine id: hosts that have none choose alike under Policy=hash");
}

static void hook_host(void *userdata, struct policy_host *ret_host)
{
    const struct manager *manager = userdata;

    *ret_host = (struct policy_host){.zone = host_zone_name(manager->host_zone)};
    memcpy(ret_host->machine, manager->machine.bytes, sizeof(ret_host->machine));
}

static void hook_evaluated(void *userdata, const char *name)
{
    veto_evaluated(((struct manager *)userdata)->veto, name);
}

static void hook_publish(void *userdata, const char *name, const struct evaluation *evaluation,
                         usec_t interest_at, usec_t now)
{
    struct manager *manager = userdata;

    publisher_publish(manager->publisher, name, evaluation, interest_at, now);
}

static void hook_withdraw(void *userdata, const char *name)
{
    struct manager *manager = userdata;

    veto_withdraw(manager->veto, name);
    publisher_withdraw(manager->publisher, name);
}

static void hook_rank(void *userdata, struct answer_head *payload)
{
    ranker_rank(((struct manager *)userdata)->ranker, payload);
}

static bool hook_view_policy(void *userdata, const char *name, unsigned *ret_limit)
{
    return rules_view(((struct manager *)userdata)->config, name, ret_limit);
}

/* An earlier daemon knew the name: its registry is asked, so that a restart loses nothing. */
static void hook_carried(void *userdata, const char *name)
{
    struct manager *manager = userdata;

    resolver_recall(manager->resolver, name, manager_now(manager));
}

/* registries.h takes itself as userdata; the manager's hooks carry the manager. */
static bool hook_owner(void *userdata, const char *name, struct resolver_owner *ret_owner)
{
    return registries_owner(((struct manager *)userdata)->registries, name, ret_owner);
}

static enum registry_meaning hook_meaning(void *userdata, const struct resolver_owner *owner,
                                          const char *name, struct registry_target *ret_target)
{
    return registries_meaning(((struct manager *)userdata)->registries, owner, name, ret_target);
}

static int hook_reverse(void *userdata, const struct address *address,
                        char ret_name[static NAME_SIZE])
{
    return registries_reverse(((struct manager *)userdata)->registries, address, ret_name);
}

static const char *hook_refusal(void *userdata, unsigned registry, const struct address *address)
{
    return registries_refusal(((struct manager *)userdata)->registries, registry, address);
}

static int hook_want(void *userdata, unsigned registry, const char *key)
{
    return registries_want(((struct manager *)userdata)->registries, registry, key);
}

static int hook_refresh(void *userdata, unsigned registry, const char *key)
{
    return registries_refresh(((struct manager *)userdata)->registries, registry, key);
}

static void hook_drop(void *userdata, unsigned registry, const char *key)
{
    registries_drop(((struct manager *)userdata)->registries, registry, key);
}

static void hook_notice(void *userdata, enum store_notice notice, const struct service_facts *facts)
{
    struct manager *manager = userdata;

    bulletin_notice(manager->bulletin, notice, facts);
    backend_noticed(manager->backend, notice, facts);
}

static void hook_touched(void *userdata, unsigned registry, bool changed)
{
    struct manager *manager = userdata;

    if (manager->snapshot)
        snapshot_touched(manager->snapshot, registry, changed);
}

static void hook_replaced(void *userdata, struct service *service,
                          const struct endpoint_set *before)
{
    struct manager *manager = userdata;

    if (manager->snapshot)
        snapshot_replaced(manager->snapshot, service);
    backend_replaced(manager->backend, service, before);
}

static void hook_hosts_touched(void *userdata, bool changed)
{
    struct manager *manager = userdata;

    if (manager->snapshot)
        snapshot_hosts_touched(manager->snapshot, changed);
}

/* ---- registries ---- */

static void registry_added(void *userdata, unsigned index, const struct registry_config *config)
{
    struct manager *manager = userdata;
    struct freshness_rules rules = rules_freshness(&manager->config->resolve, config);

    store_registry_add(manager->store, index, &rules, config->max_services);
    store_registry_fetches(manager->store, index, config->type->asks ? config->max_fetches : 0);
    snapshot_added(manager->snapshot, index, config);
}

static void registry_changed(void *userdata, unsigned index, const struct registry_config *config,
                             bool restarted)
{
    struct manager *manager = userdata;
    struct freshness_rules rules = rules_freshness(&manager->config->resolve, config);

    store_registry_rules(manager->store, index, &rules, config->max_services, manager_now(manager));
    store_registry_fetches(manager->store, index, config->type->asks ? config->max_fetches : 0);
    snapshot_changed(manager->snapshot, index, config);
    if (!restarted)
        return;
    publisher_lost(manager->publisher, index, manager_now(manager));
    store_rewant(manager->store, index, manager_now(manager));
}

static void registry_removed(void *userdata, unsigned index)
{
    struct manager *manager = userdata;

    publisher_gone(manager->publisher, index);
    host_zone_forget(manager->host_zone, index);
    snapshot_removed(manager->snapshot, index);
    store_registry_remove(manager->store, index);
}

static void note_locality(struct manager *manager, unsigned index,
                          const struct registry_report *report)
{
    struct registry_facts facts;

    registries_facts(manager->registries, index, &facts);
    host_zone_report(manager->host_zone, index, facts.name, report->zone, report->region);
}

static void registry_reported(void *userdata, unsigned index, const struct registry_report *report)
{
    struct manager *manager = userdata;

    store_report(manager->store, index, report, manager_now(manager));
    switch (report->kind) {
    case REPORT_UP:
    case REPORT_SYNCED:
        publisher_live(manager->publisher, index);
        break;
    case REPORT_FAILED:
    case REPORT_DOWN:
        if (!report->key) /* of the whole registry */
            publisher_lost(manager->publisher, index, manager_now(manager));
        break;
    case REPORT_DOMAINS:
        manager_publish_header(manager);
        break;
    case REPORT_LOCALITY:
        note_locality(manager, index, report);
        break;
    case REPORT_IDENTITY:
        snapshot_identified(manager->snapshot, index, report->text);
        break;
    default:
        break;
    }
    backend_reported(manager->backend, index);
    manager->status_dirty = true;
    manager_wake(manager);
}

static void sink_report(void *userdata, struct registry *registry,
                        const struct registry_report *report)
{
    struct manager *manager = userdata;

    registries_report(manager->registries, registry, report);
}

static void tell_locality(void *userdata, const char **ret_zone, const char **ret_region)
{
    const struct host_zone *zone = ((struct manager *)userdata)->host_zone;

    *ret_zone = zone ? host_zone_name(zone) : "";
    *ret_region = zone ? host_zone_region(zone) : "";
}

int manager_make_env(struct manager *manager, struct registry *registry,
                     struct registry_env **ret_env)
{
    struct env_services services = {
        .event = manager->event,
        .http = manager->http,
        .grpc = manager->grpc,
        .dns = manager->dns,
        .tcp = manager->tcp,
        .checks = &manager->checks,
        .spawner = manager->spawner,
        .state_directory = manager->state_directory,
        .config_directory = manager->config_directory ? manager->config_directory : "",
        .report = sink_report,
        .locality = tell_locality,
        .userdata = manager,
    };

    return env_new(&services, registry, ret_env);
}

static int registry_env_new(void *userdata, struct registry *registry,
                            struct registry_env **ret_env)
{
    struct manager *manager = userdata;

    return manager_make_env(manager, registry, ret_env);
}

/* ---- the zone of this host ---- */

static void zone_changed(void *userdata)
{
    struct manager *manager = userdata;
    const char *zone = host_zone_name(manager->host_zone),
               *region = host_zone_region(manager->host_zone),
               *origin = host_zone_origin(manager->host_zone);

    if (*origin)
        log_info("this host is in zone %s, region %s (from %s)", *zone ? zone : "unknown",
                 *region ? region : "unknown", origin);
    else
        log_info("the zone of this host is not known any more");
    resolver_republish(manager->resolver, false);
}

static void cloud_found(void *userdata, const char *cloud, const char *zone, const char *region)
{
    host_zone_cloud(((struct manager *)userdata)->host_zone, cloud, zone, region);
}

/* What the configuration says of it. */
void manager_apply_zone(struct manager *manager)
{
    const struct config_resolve *global = &manager->config->resolve;

    host_zone_configure(manager->host_zone, global->zone);
    if (!global->zone_detection || global->zone) {
        manager->cloud_zone = cloud_zone_free(manager->cloud_zone);
        host_zone_cloud(manager->host_zone, "", NULL, NULL);
    } else if (!manager->cloud_zone && cloud_zone_new(manager->env, CLOUD_ZONE_DMI, cloud_found,
                                                      manager, &manager->cloud_zone) < 0) {
        log_error("the cloud is not asked for the zone of this host: out of memory");
    }
}

/* ---- checks of our own ---- */

static bool veto_rules_of(void *userdata, const char *name, struct veto_rules *ret_rules)
{
    return rules_veto(((struct manager *)userdata)->config, name, ret_rules);
}

static void veto_changed(void *userdata, unsigned registry, const char *key)
{
    struct manager *manager = userdata;
    struct service *service = store_find(manager->store, registry, key);

    if (service)
        watch_list_notify(service_watchers(service));
}

static void veto_told(void *userdata, unsigned registry, const char *key, const char *instance,
                      bool failing, const char *text)
{
    backend_vetoed(((struct manager *)userdata)->backend, registry, key, instance, failing, text);
}

static const char *registry_name(void *userdata, unsigned registry)
{
    struct registry_facts facts;

    registries_facts(((struct manager *)userdata)->registries, registry, &facts);
    return facts.name;
}

static bool hook_vetoed(void *userdata, const char *name, unsigned registry, const char *key,
                        const struct endpoint *endpoint)
{
    return veto_judge(((struct manager *)userdata)->veto, name, registry, key, endpoint);
}

/* For those who judge to show it: no check is made for their sake. */
static bool hook_vetoed_now(void *userdata, const char *name, unsigned registry, const char *key,
                            const struct endpoint *endpoint)
{
    struct veto_facts facts;

    return veto_look(((struct manager *)userdata)->veto, name, registry, key, endpoint, &facts) &&
           facts.failing;
}

/* ---- view ---- */

void manager_publish_header(struct manager *manager)
{
    const struct config_resolve *global = &manager->config->resolve;
    struct resolver_owner owners[VIEW_DOMAINS_MAX];
    struct view_domain_spec domains[VIEW_DOMAINS_MAX];
    struct view_spec spec = {
        .domains = domains,
        .domain_count = registries_domains(manager->registries, owners, ELEMENTS(owners)),
        .search = (const char *const *)global->search,
        .search_count = config_strings_count(global->search),
        .ndots = global->ndots,
        .lookup_timeout = global->lookup_timeout,
    };

    for (size_t i = 0; i < spec.domain_count; i++)
        domains[i] = (struct view_domain_spec){owners[i].domain, owners[i].shared};
    if (publisher_open(manager->publisher, &spec, resolver_names(manager->resolver),
                       manager_now(manager)) > 0)
        resolver_republish(manager->resolver, false);
}

/* ---- the core ---- */

static void ranks_changed(void *userdata)
{
    resolver_rerank(((struct manager *)userdata)->resolver);
}

static int make_snapshot(struct manager *manager)
{
    const struct config_resolve *global = &manager->config->resolve;
    struct snapshot_parts parts = {
        .event = manager->event,
        .store = manager->store,
        .chase = manager->chase,
        .resolver = manager->resolver,
        .registries = manager->registries,
        .state_directory = manager->state_directory,
        .runtime_directory = manager->runtime_directory,
    };
    int r = snapshot_new(&parts, &manager->snapshot);

    if (r >= 0)
        snapshot_configure(manager->snapshot, global->persist, global->max_stale);
    return r;
}

int manager_make_core(struct manager *manager)
{
    struct store_hooks store_hooks = {
        .want = hook_want,
        .refresh = hook_refresh,
        .drop = hook_drop,
        .random = manager_random,
        .notice = hook_notice,
        .touched = hook_touched,
        .replaced = hook_replaced,
        .userdata = manager,
    };
    struct chase_hooks chase_hooks = {chase_query, chase_cancel, manager_now, manager,
                                      hook_hosts_touched};
    struct registries_hooks registries_hooks = {
        .env_new = registry_env_new,
        .env_free = env_free,
        .report = registry_reported,
        .added = registry_added,
        .changed = registry_changed,
        .removed = registry_removed,
        .now = manager_now,
        .userdata = manager,
    };
    struct publisher_hooks publisher_hooks = {hook_view_policy, hook_reverse, hook_carried,
                                              hook_rank, manager};
    struct veto_hooks veto_hooks = {veto_rules_of, veto_changed, registry_name, veto_told, manager};
    struct chase_rules chase_rules = rules_chase(&manager->config->resolve);
    struct resolver_rules resolver_rules = rules_resolver(&manager->config->resolve);
    int r = ranker_new(manager->event, GAI_CONF, ranks_changed, manager, &manager->ranker);

    if (r < 0)
        return r;
    manager->resolver_hooks = (struct resolver_hooks){
        .owner = hook_owner,
        .meaning = hook_meaning,
        .reverse = hook_reverse,
        .refusal = hook_refusal,
        .policy = hook_policy,
        .host = hook_host,
        .vetoed = hook_vetoed,
        .evaluated = hook_evaluated,
        .publish = hook_publish,
        .withdraw = hook_withdraw,
        .rank = hook_rank,
        .wake = manager_wake,
        .random = manager_random,
        .userdata = manager,
    };
    manager->showing_hooks = manager->resolver_hooks;
    manager->showing_hooks.vetoed = hook_vetoed_now;
    manager->publisher = publisher_new(manager->runtime_directory, &publisher_hooks);
    manager->store = store_new(&store_hooks);
    manager->chase = chase_new(&chase_hooks, &chase_rules);
    manager->registries = registries_new(&registries_hooks);
    manager->host_zone = host_zone_new(zone_changed, manager);
    manager->veto = veto_new(manager->env, &veto_hooks);
    if (!manager->publisher || !manager->store || !manager->chase || !manager->registries ||
        !manager->host_zone || !manager->veto)
        return -ENOMEM;
    manager->bulletin = bulletin_new(manager->registries, manager->store);
    if (!manager->bulletin)
        return -ENOMEM;
    manager->resolver = resolver_new(&manager->resolver_hooks, manager->store, manager->chase,
                                     &resolver_rules);
    return manager->resolver ? make_snapshot(manager) : -ENOMEM;
}
