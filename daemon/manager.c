/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/manager.h"

#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>
#include <time.h>

#include "daemon/backend.h"
#include "daemon/bulletin.h"
#include "daemon/chase.h"
#include "daemon/check_gate.h"
#include "daemon/clock.h"
#include "daemon/cloud_zone.h"
#include "daemon/config.h"
#include "daemon/control.h"
#include "daemon/env.h"
#include "daemon/host_zone.h"
#include "daemon/interest.h"
#include "daemon/log.h"
#include "daemon/lookup_server.h"
#include "daemon/net/dns.h"
#include "daemon/net/grpc.h"
#include "daemon/net/http.h"
#include "daemon/net/tcp.h"
#include "daemon/network_watch.h"
#include "daemon/publisher.h"
#include "daemon/ranker.h"
#include "daemon/registries.h"
#include "daemon/resolver.h"
#include "daemon/rules.h"
#include "daemon/sleep_watch.h"
#include "daemon/snapshot.h"
#include "daemon/sockets.h"
#include "daemon/store.h"
#include "daemon/veto.h"

#define GAI_CONF       "/etc/gai.conf"
#define RESOLV_CONF    "/etc/resolv.conf"
#define HEARTBEAT      (1 * USEC_PER_SEC)
#define SWEEP_INTERVAL (60 * USEC_PER_SEC)
/* Samples of services that are too large for a slot are drawn anew. */
#define REDRAW_INTERVAL (10 * USEC_PER_SEC)

/* Our own number of this machine: the machine id itself is not to be spread. */
#define MACHINE_ID SD_ID128_MAKE(bb, 30, ad, 23, ce, 21, 4b, 65, b6, cb, 18, d5, 75, c3, 9b, 51)

struct manager {
    char *config_directory; /* NULL: the three roots */
    char *runtime_directory, *state_directory;
    struct config *config;
    sd_event *event;
    struct dns_client *dns;
    struct http_client *http;
    struct tcp_client *tcp;
    struct check_gate checks;
    struct grpc_client *grpc;
    struct spawner *spawner;
    struct registry_env *env; /* of what the daemon itself asks of the world */
    struct host_zone *host_zone;
    struct cloud_zone *cloud_zone; /* NULL: the cloud is not asked */
    struct veto *veto;
    struct registries *registries;
    struct store *store;
    struct chase *chase;
    struct resolver_hooks resolver_hooks;
    struct resolver_hooks showing_hooks; /* the same for who judges to show it */
    struct resolver *resolver;
    struct ranker *ranker;
    struct publisher *publisher;
    struct snapshot *snapshot;
    struct lookup_server *lookup_server;
    struct interest *interest;
    struct backend *backend;
    struct bulletin *bulletin;
    struct control_server *control_server;
    sd_event_source *work;      /* resolver_run() soon */
    sd_event_source *deadlines; /* of waiting lookups */
    sd_event_source *ageing;    /* store_tick() */
    sd_event_source *heartbeat;
    struct network_watch *network_watch;
    struct sleep_watch sleep_watch;
    sd_id128_t machine;
    usec_t started_at, swept_at, redrawn_at;
    bool status_dirty;
    uint64_t random_pool[64];
    unsigned random_left;
};

/* ---- what the core needs from the world ---- */

static usec_t manager_now(void *userdata)
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

static void manager_wake(void *userdata)
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
static void learn_machine(struct manager *manager)
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

static void hook_publish(void *userdata, const char *name, const struct evaluation *evaluation,
                         usec_t interest_at, usec_t now)
{
    struct manager *manager = userdata;

    veto_evaluated(manager->veto, name);
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

static int registry_env_new(void *userdata, struct registry *registry,
                            struct registry_env **ret_env);

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

static void publish_header(struct manager *manager);

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
    case REPORT_DOWN:
        publisher_lost(manager->publisher, index, manager_now(manager));
        break;
    case REPORT_DOMAINS:
        publish_header(manager);
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

static int make_env(struct manager *manager, struct registry *registry,
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
        .userdata = manager,
    };

    return env_new(&services, registry, ret_env);
}

static int registry_env_new(void *userdata, struct registry *registry,
                            struct registry_env **ret_env)
{
    struct manager *manager = userdata;

    return make_env(manager, registry, ret_env);
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
static void apply_zone(struct manager *manager)
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

static void publish_header(struct manager *manager)
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

/* ---- configuration ---- */

static void log_messages(const struct config_messages *messages)
{
    for (size_t i = 0; i < messages->count; i++) {
        const struct config_message *message = &messages->items[i];

        log_write(message->warning ? LOG_WARNING : LOG_ERR, NULL, "%s:%u: %s", message->file,
                  message->line, message->text);
    }
}

/* Loads; on errors in the files -EBADMSG and the messages, the running configuration untouched. */
static int load_config(struct manager *manager, struct config_messages *messages,
                       struct config **ret_config)
{
    struct config *config;
    int r = config_load(manager->config_directory, messages, &config);

    if (r < 0)
        return r;
    log_messages(messages);
    if (messages->errors > 0) {
        config_free(config);
        return -EBADMSG;
    }
    *ret_config = config;
    return 0;
}

/* Who is asked for host names that no registry owns. */
static void apply_upstream(struct manager *manager)
{
    _cleanup_(freep) char *servers = NULL;

    if (config_servers_join(manager->config->resolve.upstream, &servers) < 0 ||
        dns_client_set_servers(manager->dns, servers) < 0)
        log_error("Upstream= is not in force: out of memory");
}

static int manager_reload(void *userdata, struct config_messages *messages)
{
    struct manager *manager = userdata;
    struct config *config, *old = manager->config;
    struct resolver_rules resolver_rules;
    struct chase_rules chase_rules;
    struct lookup_limits limits;
    int r = load_config(manager, messages, &config);

    if (r < 0) {
        log_error("the configuration has errors; the running one stays in force");
        return r;
    }
    manager->config = config;
    veto_reload(manager->veto);
    apply_upstream(manager);
    apply_zone(manager);
    snapshot_configure(manager->snapshot, config->resolve.persist, config->resolve.max_stale);
    store_reload_begin(manager->store);
    registries_apply(manager->registries, config);
    snapshot_load(manager->snapshot);
    resolver_rules = rules_resolver(&config->resolve);
    resolver_set_rules(manager->resolver, &resolver_rules);
    /* Every name says its wishes anew. */
    resolver_run(manager->resolver, manager_now(manager));
    store_reload_end(manager->store, manager_now(manager));
    chase_rules = rules_chase(&config->resolve);
    chase_set_rules(manager->chase, &chase_rules);
    limits = rules_lookup_limits(&config->resolve);
    lookup_server_set_limits(manager->lookup_server, &limits);
    registries_kick(manager->registries);
    publish_header(manager);
    config_free(old);
    log_info("configuration reloaded: %zu registries", config->registry_count);
    return 0;
}

/* ---- another network, a long sleep ---- */

static void try_again(struct manager *manager)
{
    dns_client_renew(manager->dns);
    http_client_renew(manager->http);
    tcp_client_renew(manager->tcp);
    grpc_client_renew(manager->grpc);
    chase_kick(manager->chase, manager_now(manager));
    if (manager->cloud_zone)
        cloud_zone_kick(manager->cloud_zone);
    veto_hurry(manager->veto);
    registries_kick(manager->registries);
    manager_wake(manager);
}

static void network_changed(void *userdata, bool routes)
{
    struct manager *manager = userdata;

    log_info("the network has changed; trying again what failed");
    if (routes) {
        ranker_network_changed(manager->ranker);
        resolver_rerank(manager->resolver);
    }
    try_again(manager);
}

static void ranks_changed(void *userdata)
{
    resolver_rerank(((struct manager *)userdata)->resolver);
}

/* Whatever happened while we slept, no connection would have told. What is known is served on as of
 * `since`. */
static void doubt_all(struct manager *manager, usec_t since)
{
    usec_t now = manager_now(manager);

    log_notice("this program did not run for %llu s; asking the registries again",
               (unsigned long long)((now - since) / USEC_PER_SEC));
    /* Nor could anybody say what is wanted: what looks unused has not been forgotten. */
    manager->swept_at = now;
    for (unsigned i = 0; i < REGISTRIES_MAX; i++)
        if (store_doubt(manager->store, i, since, now)) {
            publisher_lost(manager->publisher, i, since);
            publisher_live(manager->publisher, i);
        }
    http_client_reset(manager->http, "the connection is from before a sleep");
    grpc_client_reset(manager->grpc, "the connection is from before a sleep");
    try_again(manager);
}

static void notice_sleep(struct manager *manager)
{
    usec_t monotonic, since;

    sd_event_now(manager->event, CLOCK_MONOTONIC, &monotonic);
    since = sleep_watch_look(&manager->sleep_watch, manager_now(manager), monotonic);
    if (since > 0)
        doubt_all(manager, since);
}

/* ---- every second ---- */

static int on_heartbeat(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct manager *manager = userdata;
    usec_t now = manager_now(manager);

    (void)usec;
    /* Before the beat, which lets readers believe what the clocks say. */
    notice_sleep(manager);
    publisher_beat(manager->publisher, now);
    /* A view that was full when it was too young to grow. */
    manager_wake(manager);
    ranker_retry(manager->ranker);
    lookup_server_sweep(manager->lookup_server, now);
    chase_sweep(manager->chase, now);
    if (now >= manager->swept_at + SWEEP_INTERVAL) {
        manager->swept_at = now;
        resolver_sweep(manager->resolver, now);
        store_sweep(manager->store, manager->config->resolve.idle, now);
    }
    if (now >= manager->redrawn_at + REDRAW_INTERVAL) {
        manager->redrawn_at = now;
        resolver_republish(manager->resolver, true);
    }
    bulletin_settle(manager->bulletin, now);
    backend_beat(manager->backend);
    if (manager->status_dirty)
        manager->status_dirty = backend_notify(manager->backend) < 0;
    sd_event_source_set_time(source, clock_event_time(now + HEARTBEAT));
    return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* ---- work that a change or a lookup left ---- */

static void arm(sd_event_source *source, usec_t next)
{
    if (next == USEC_INFINITY) {
        sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return;
    }
    sd_event_source_set_time(source, clock_event_time(next));
    sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void manager_settle(void *userdata)
{
    struct manager *manager = userdata;
    usec_t now = manager_now(manager);

    arm(manager->ageing, store_tick(manager->store, now));
    resolver_run(manager->resolver, now);
    if (publisher_settle(manager->publisher, now))
        publish_header(manager);
    arm(manager->deadlines, resolver_expire(manager->resolver, now));
}

static int on_work(sd_event_source *source, void *userdata)
{
    (void)source;
    manager_settle(userdata);
    return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)usec;
    return on_work(source, userdata);
}

/* ---- signals ---- */

static usec_t manager_monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (usec_t)now.tv_sec * USEC_PER_SEC + (usec_t)now.tv_nsec / 1000;
}

static int on_reload_signal(sd_event_source *source, const struct signalfd_siginfo *info,
                            void *userdata)
{
    struct manager *manager = userdata;
    struct config_messages messages = {0};
    char ready[128];

    (void)source;
    (void)info;
    snprintf(ready, sizeof(ready), "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)manager_monotonic());
    sd_notify(0, ready);
    manager_reload(manager, &messages);
    config_messages_done(&messages);
    sd_notify(0, "READY=1");
    return 0;
}

static int on_stop_signal(sd_event_source *source, const struct signalfd_siginfo *info,
                          void *userdata)
{
    (void)source;
    (void)info;
    return sd_event_exit(((struct manager *)userdata)->event, 0);
}

static int add_signals(struct manager *manager)
{
    static const int stopping[] = {SIGTERM, SIGINT};
    sigset_t set;
    int r;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < ELEMENTS(stopping); i++) {
        r = sd_event_add_signal(manager->event, NULL, stopping[i], on_stop_signal, manager);
        if (r < 0)
            return r;
    }
    return sd_event_add_signal(manager->event, NULL, SIGHUP, on_reload_signal, manager);
}

/* ---- life ---- */

/* Directories of a daemon started by hand; under the service manager they are there. */
static int make_directory(const char *path, mode_t mode)
{
    if (mkdir(path, mode) < 0 && errno != EEXIST) {
        log_error("%s: cannot be made: %s", path, strerror(errno));
        return -errno;
    }
    return 0;
}

/* Every lookup that waits holds a descriptor; the soft limit is low for the sake of select(). */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        log_warning("the limit on descriptors cannot be raised: %s", strerror(errno));
}

static int take_options(struct manager *manager, const struct manager_options *options)
{
    manager->runtime_directory = strdup(options->runtime_directory);
    manager->state_directory = strdup(options->state_directory);
    if (options->config_directory) {
        manager->config_directory = strdup(options->config_directory);
        if (!manager->config_directory)
            return -ENOMEM;
    }
    return manager->runtime_directory && manager->state_directory ? 0 : -ENOMEM;
}

static int make_sources(struct manager *manager)
{
    int r;

    r = sd_event_add_defer(manager->event, &manager->work, on_work, manager);
    if (r < 0)
        return r;
    sd_event_source_set_enabled(manager->work, SD_EVENT_OFF);
    r = sd_event_add_time(manager->event, &manager->deadlines, CLOCK_BOOTTIME, 0, USEC_PER_MSEC,
                          on_time, manager);
    if (r < 0)
        return r;
    sd_event_source_set_enabled(manager->deadlines, SD_EVENT_OFF);
    r = sd_event_add_time(manager->event, &manager->ageing, CLOCK_BOOTTIME, 0, USEC_PER_SEC,
                          on_time, manager);
    if (r < 0)
        return r;
    sd_event_source_set_enabled(manager->ageing, SD_EVENT_OFF);
    r = sd_event_add_time(manager->event, &manager->heartbeat, CLOCK_BOOTTIME,
                          clock_event_time(manager->started_at + HEARTBEAT), 100 * USEC_PER_MSEC,
                          on_heartbeat, manager);
    if (r < 0)
        return r;
    notice_sleep(manager); /* from now on */
    /* First after a sleep, before anybody is told that what is known is fresh. */
    r = sd_event_source_set_priority(manager->heartbeat, SD_EVENT_PRIORITY_IMPORTANT);
    if (r < 0)
        return r;
    r = network_watch_new(manager->event, RESOLV_CONF, network_changed, manager,
                          &manager->network_watch);
    if (r >= 0) /* what changed before anybody watched */
        ranker_network_changed(manager->ranker);
    return r;
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

static int make_core(struct manager *manager)
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
    struct veto_hooks veto_hooks = {veto_rules_of, veto_changed, registry_name, veto_told,
                                    manager};
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

static const struct config *hook_config(void *userdata)
{
    return ((struct manager *)userdata)->config;
}

static int make_servers(struct manager *manager)
{
    const struct config_resolve *global = &manager->config->resolve;
    struct lookup_limits limits = rules_lookup_limits(global);
    struct control_backend control;
    struct sockets sockets;
    int r;

    r = sockets_open(manager->runtime_directory, &sockets);
    if (r < 0)
        return r;
    r = lookup_server_new(manager->event, sockets.lookup, manager->resolver, &limits,
                          &manager->lookup_server);
    if (r < 0) {
        close(sockets.lookup);
        close(sockets.refresh);
        close(sockets.control);
        return r;
    }
    r = interest_new(manager->event, sockets.refresh, manager->resolver, &manager->interest);
    if (r < 0) {
        close(sockets.refresh);
        close(sockets.control);
        return r;
    }
    manager->backend = backend_new(&(struct backend_parts){
        .event = manager->event,
        .store = manager->store,
        .chase = manager->chase,
        .registries = manager->registries,
        .host_zone = manager->host_zone,
        .resolver = manager->resolver,
        .hooks = &manager->showing_hooks,
        .lookup_server = manager->lookup_server,
        .interest = manager->interest,
        .publisher = manager->publisher,
        .ranker = manager->ranker,
        .snapshot = manager->snapshot,
        .veto = manager->veto,
        .runtime_directory = manager->runtime_directory,
        .config = hook_config,
        .started_at = manager->started_at,
        .reload = manager_reload,
        .settle = manager_settle,
        .userdata = manager,
    });
    if (!manager->backend) {
        close(sockets.control);
        return -ENOMEM;
    }
    backend_fill(manager->backend, &control);
    r = control_server_new(manager->event, sockets.control, &control, global->control_group,
                           &manager->control_server);
    if (r < 0)
        close(sockets.control);
    return r;
}

static int manager_start(struct manager *manager)
{
    struct config_messages messages = {0};
    int r;

    raise_descriptor_limit();
    r = make_directory(manager->runtime_directory, 0755);
    if (r >= 0)
        r = make_directory(manager->state_directory, 0700);
    if (r < 0)
        return r;
    r = load_config(manager, &messages, &manager->config);
    config_messages_done(&messages);
    if (r < 0)
        return r;
    r = sd_event_default(&manager->event);
    if (r < 0)
        return r;
    manager->started_at = manager->swept_at = manager_now(manager);
    learn_machine(manager);
    r = add_signals(manager);
    if (r >= 0)
        r = dns_client_new(manager->event, &manager->dns);
    if (r >= 0)
        r = http_client_new(manager->event, manager->dns, &manager->http);
    if (r >= 0)
        r = tcp_client_new(manager->event, manager->dns, &manager->tcp);
    if (r >= 0)
        r = grpc_client_new(manager->event, manager->dns, &manager->grpc);
    if (r >= 0)
        r = spawner_new(manager->event, &manager->spawner);
    if (r >= 0)
        r = make_env(manager, NULL, &manager->env);
    if (r >= 0)
        r = make_core(manager);
    if (r >= 0)
        r = make_sources(manager);
    if (r >= 0)
        r = make_servers(manager);
    if (r < 0)
        return r;
    apply_upstream(manager);
    apply_zone(manager);
    registries_apply(manager->registries, manager->config);
    snapshot_load(manager->snapshot);
    publish_header(manager);
    /* Whoever hears that the daemon is ready finds what it knows in the view. */
    manager_settle(manager);
    return sd_event_set_watchdog(manager->event, true);
}

int manager_new(const struct manager_options *options, struct manager **ret_manager)
{
    struct manager *manager = calloc(1, sizeof(*manager));
    int r;

    if (!manager)
        return -ENOMEM;
    r = take_options(manager, options);
    if (r >= 0)
        r = manager_start(manager);
    if (r < 0) {
        manager_free(manager);
        return r;
    }
    *ret_manager = manager;
    return 0;
}

struct manager *manager_free(struct manager *manager)
{
    if (!manager)
        return NULL;
    control_server_free(manager->control_server);
    interest_free(manager->interest);
    manager->backend = backend_free(manager->backend);
    manager->snapshot = snapshot_free(manager->snapshot);
    /* Before the server, so that those who wait hear that the answer is undecided. */
    resolver_free(manager->resolver);
    lookup_server_free(manager->lookup_server);
    registries_free(manager->registries);
    chase_free(manager->chase);
    store_free(manager->store);
    bulletin_free(manager->bulletin);
    veto_free(manager->veto);
    cloud_zone_free(manager->cloud_zone);
    host_zone_free(manager->host_zone);
    env_free(manager->env);
    spawner_free(manager->spawner);
    tcp_client_free(manager->tcp);
    grpc_client_free(manager->grpc);
    http_client_free(manager->http);
    dns_client_free(manager->dns);
    publisher_free(manager->publisher);
    ranker_free(manager->ranker);
    network_watch_free(manager->network_watch);
    sd_event_source_disable_unref(manager->work);
    sd_event_source_disable_unref(manager->deadlines);
    sd_event_source_disable_unref(manager->ageing);
    sd_event_source_disable_unref(manager->heartbeat);
    sd_event_unref(manager->event);
    config_free(manager->config);
    free(manager->config_directory);
    free(manager->runtime_directory);
    free(manager->state_directory);
    free(manager);
    return NULL;
}

int manager_run(struct manager *manager)
{
    int r;

    backend_notify(manager->backend);
    sd_notify(0, "READY=1");
    log_info("answering in %s: %zu registries", manager->runtime_directory,
             manager->config->registry_count);
    r = sd_event_loop(manager->event);
    sd_notify(0, "STOPPING=1");
    /* Readers see a last sign of life, and who owns which name stays known. */
    publisher_beat(manager->publisher, manager_now(manager));
    snapshot_stop(manager->snapshot);
    return r;
}
