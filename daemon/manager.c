/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/manager_internal.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "daemon/backend.h"
#include "daemon/bulletin.h"
#include "daemon/chase.h"
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
#include "daemon/rules.h"
#include "daemon/snapshot.h"
#include "daemon/sockets.h"
#include "daemon/store.h"
#include "daemon/veto.h"

#define RESOLV_CONF    "/etc/resolv.conf"
#define HEARTBEAT      (1 * USEC_PER_SEC)
#define SWEEP_INTERVAL (60 * USEC_PER_SEC)
/* Samples of services that are too large for a slot are drawn anew. */
#define REDRAW_INTERVAL (10 * USEC_PER_SEC)

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
    /* First of all: who may have what was said by the places of policies that are others now. */
    store_reload_begin(manager->store);
    veto_reload(manager->veto);
    apply_upstream(manager);
    manager_apply_zone(manager);
    snapshot_configure(manager->snapshot, config->resolve.persist, config->resolve.max_stale);
    registries_apply(manager->registries, config);
    snapshot_load(manager->snapshot);
    resolver_rules = rules_resolver(&config->resolve);
    resolver_set_rules(manager->resolver, &resolver_rules);
    /* Every name says its wishes anew. */
    resolver_run(manager->resolver, manager_now(manager));
    store_reload_end(manager->store, manager_now(manager));
    publisher_prune(manager->publisher);
    chase_rules = rules_chase(&config->resolve);
    chase_set_rules(manager->chase, &chase_rules);
    limits = rules_lookup_limits(&config->resolve);
    lookup_server_set_limits(manager->lookup_server, &limits);
    registries_kick(manager->registries);
    manager_publish_header(manager);
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
        manager_publish_header(manager);
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

    access_rights_init(&manager->keeper.rights, global->control_group);
    manager->keeper.config = &manager->config;
    r = sockets_open(manager->runtime_directory, &sockets);
    if (r < 0)
        return r;
    r = lookup_server_new(manager->event, sockets.lookup, manager->resolver, &manager->keeper,
                          &limits, &manager->lookup_server);
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
        .keeper = &manager->keeper,
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
    manager_learn_machine(manager);
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
        r = manager_make_env(manager, NULL, &manager->env);
    if (r >= 0)
        r = manager_make_core(manager);
    if (r >= 0)
        r = make_sources(manager);
    if (r >= 0)
        r = make_servers(manager);
    if (r < 0)
        return r;
    apply_upstream(manager);
    manager_apply_zone(manager);
    registries_apply(manager->registries, manager->config);
    snapshot_load(manager->snapshot);
    manager_publish_header(manager);
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
