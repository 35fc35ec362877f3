/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bench/core.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-event.h>
#include <utlist.h>

#include "daemon/ranker.h"
#include "nss-sd/wire.h"

enum { NAMED_MAX = 16 }; /* addresses of one answer */

/* A key that the store wants. */
struct want {
    struct want *prev, *next;
    char key[];
};

struct core {
    sd_event *event;
    sd_event_source *work, *heartbeat;
    struct store *store;
    struct chase *chase;
    struct resolver_hooks hooks;
    struct resolver *resolver;
    struct ranker *ranker;
    struct publisher *publisher;
    struct lookup_server *server;
    core_wanted_t wanted;
    void *userdata;
    struct want *wants;
    uint64_t random;
};

static usec_t core_now(void *userdata)
{
    struct core *core = userdata;
    usec_t now;

    sd_event_now(core->event, CLOCK_BOOTTIME, &now);
    return now;
}

static uint64_t hook_random(void *userdata)
{
    struct core *core = userdata;

    core->random = core->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return core->random >> 11;
}

static void hook_wake(void *userdata)
{
    struct core *core = userdata;

    sd_event_source_set_enabled(core->work, SD_EVENT_ONESHOT);
}

/* ---- the registry ---- */

static int hook_want(void *userdata, unsigned registry, const char *key)
{
    struct core *core = userdata;
    struct want *want = malloc(sizeof(*want) + strlen(key) + 1);

    (void)registry;
    if (!want)
        return -ENOMEM;
    strcpy(want->key, key);
    DL_APPEND(core->wants, want);
    hook_wake(core);
    return 0;
}

static int hook_refresh(void *userdata, unsigned registry, const char *key)
{
    (void)userdata;
    (void)registry;
    (void)key;
    return 0;
}

static void hook_drop(void *userdata, unsigned registry, const char *key)
{
    (void)userdata;
    (void)registry;
    (void)key;
}

static bool hook_owner(void *userdata, const char *name, struct resolver_owner *ret_owner)
{
    size_t length = strlen(name);

    (void)userdata;
    if (!name_below(name, length, "scale", 5))
        return false;
    *ret_owner = (struct resolver_owner){.domain = "scale",
                                         .relative = length > 5 ? length - 6 : 0};
    return true;
}

static enum registry_meaning hook_meaning(void *userdata, const struct resolver_owner *owner,
                                          const char *name, struct registry_target *ret_target)
{
    (void)userdata;
    if (owner->relative == 0)
        return REGISTRY_NO_DATA;
    snprintf(ret_target->key, sizeof(ret_target->key), "%.*s", (int)owner->relative, name);
    return REGISTRY_TARGET;
}

static int hook_reverse(void *userdata, const struct address *address,
                        char ret_name[static NAME_SIZE])
{
    (void)userdata;
    (void)address;
    (void)ret_name;
    return -ENOENT;
}

static const char *hook_refusal(void *userdata, unsigned registry, const struct address *address)
{
    (void)userdata;
    (void)registry;
    return address_refusal(address, false);
}

static void hook_policy(void *userdata, const char *name, struct resolver_policy *ret_policy)
{
    (void)userdata;
    (void)name;
    *ret_policy = (struct resolver_policy){.rules = {.allow_warning = true}, .answers = NAMED_MAX};
}

void core_report(struct core *core, const char *key, struct endpoint_set *endpoints)
{
    struct registry_report report = {
        .kind = REPORT_DATA, .key = key, .endpoints = endpoints, .validity = REPORT_UNTIL_LOST};

    store_report(core->store, 0, &report, core_now(core));
}

/* ---- the view ---- */

static bool hook_view_policy(void *userdata, const char *name, unsigned *ret_limit)
{
    (void)userdata;
    (void)name;
    *ret_limit = NAMED_MAX;
    return true;
}

static void hook_publish(void *userdata, const char *name, const struct evaluation *evaluation,
                         usec_t interest_at, usec_t now)
{
    publisher_publish(((struct core *)userdata)->publisher, name, evaluation, interest_at, now);
}

static void hook_withdraw(void *userdata, const char *name)
{
    publisher_withdraw(((struct core *)userdata)->publisher, name);
}

static void hook_rank(void *userdata, struct answer_head *payload)
{
    ranker_rank(((struct core *)userdata)->ranker, payload);
}

static void hook_carried(void *userdata, const char *name)
{
    struct core *core = userdata;

    resolver_touch(core->resolver, name, core_now(core));
}

static int open_view(struct core *core)
{
    struct view_domain_spec domain = {"scale", false};
    struct view_spec spec = {
        .domains = &domain, .domain_count = 1, .ndots = 1, .lookup_timeout = 2 * USEC_PER_SEC};
    int r = publisher_open(core->publisher, &spec, resolver_names(core->resolver), core_now(core));

    if (r > 0)
        resolver_republish(core->resolver, false);
    return r;
}

static void ranks_changed(void *userdata)
{
    resolver_rerank(((struct core *)userdata)->resolver);
}

void core_rerank(struct core *core)
{
    ranker_network_changed(core->ranker);
    ranks_changed(core);
}

/* ---- the loop ---- */

void core_run(struct core *core)
{
    usec_t now = core_now(core);

    resolver_run(core->resolver, now);
    if (publisher_settle(core->publisher, now))
        open_view(core);
    resolver_expire(core->resolver, now);
}

/* One wanted key at a turn: a registry's answers come one by one. */
static int on_work(sd_event_source *source, void *userdata)
{
    struct core *core = userdata;
    struct want *want = core->wants;

    (void)source;
    if (want) {
        DL_DELETE(core->wants, want);
        core->wanted(core->userdata, want->key);
        free(want);
    }
    core_run(core);
    if (core->wants)
        hook_wake(core);
    return 0;
}

static int on_heartbeat(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct core *core = userdata;
    usec_t now = core_now(core);

    (void)usec;
    publisher_beat(core->publisher, now);
    lookup_server_sweep(core->server, now);
    hook_wake(core);
    sd_event_source_set_time(source, now + USEC_PER_SEC);
    return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int listen_in(const char *directory)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", directory, NSS_SD_LOOKUP_SOCKET);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 512) < 0)
        return -errno;
    return fd;
}

static int make_core(struct core *core, unsigned max_services)
{
    struct store_hooks store_hooks = {
        .want = hook_want,
        .refresh = hook_refresh,
        .drop = hook_drop,
        .random = hook_random,
        .userdata = core,
    };
    struct freshness_rules freshness = {USEC_PER_SEC, 60 * USEC_PER_SEC, 5 * USEC_PER_SEC,
                                        3600 * USEC_PER_SEC, 180 * USEC_PER_SEC};
    struct chase_hooks chase_hooks = {.now = core_now, .userdata = core};
    struct chase_rules chase_rules = {USEC_PER_SEC, 60 * USEC_PER_SEC, 5 * USEC_PER_SEC,
                                      3600 * USEC_PER_SEC};
    struct resolver_rules rules = {.ndots = 1,
                                   .lookup_timeout = 2 * USEC_PER_SEC,
                                   .stale_wait = 200 * USEC_PER_MSEC,
                                   .idle = 1800 * USEC_PER_SEC};

    core->hooks = (struct resolver_hooks){
        .owner = hook_owner,
        .meaning = hook_meaning,
        .reverse = hook_reverse,
        .refusal = hook_refusal,
        .policy = hook_policy,
        .publish = hook_publish,
        .withdraw = hook_withdraw,
        .rank = hook_rank,
        .wake = hook_wake,
        .random = hook_random,
        .userdata = core,
    };
    core->store = store_new(&store_hooks);
    core->chase = chase_new(&chase_hooks, &chase_rules);
    if (!core->store || !core->chase)
        return -ENOMEM;
    core->resolver = resolver_new(&core->hooks, core->store, core->chase, &rules);
    if (!core->resolver)
        return -ENOMEM;
    store_registry_add(core->store, 0, &freshness, max_services);
    return 0;
}

static int make_edges(struct core *core, const char *directory)
{
    struct publisher_hooks hooks = {hook_view_policy, hook_reverse, hook_carried, hook_rank, core};
    struct lookup_limits limits = {1024, 1024, 100000};
    int r, fd = listen_in(directory);

    if (fd < 0)
        return fd;
    core->publisher = publisher_new(directory, &hooks);
    if (!core->publisher)
        return -ENOMEM;
    r = lookup_server_new(core->event, fd, core->resolver, NULL, &limits, &core->server);
    if (r >= 0)
        r = sd_event_add_defer(core->event, &core->work, on_work, core);
    if (r >= 0)
        r = sd_event_add_time(core->event, &core->heartbeat, CLOCK_BOOTTIME, 0, 100 * USEC_PER_MSEC,
                              on_heartbeat, core);
    return r;
}

struct core *core_new(struct sd_event *event, const char *directory, unsigned max_services,
                      core_wanted_t wanted, void *userdata)
{
    struct core *core = calloc(1, sizeof(*core));
    struct registry_report synced = {.kind = REPORT_SYNCED};

    if (!core)
        return NULL;
    *core = (struct core){.event = sd_event_ref(event), .wanted = wanted, .userdata = userdata};
    if (ranker_new(event, "/etc/gai.conf", ranks_changed, core, &core->ranker) < 0 ||
        make_core(core, max_services) < 0 || make_edges(core, directory) < 0)
        return core_free(core);
    store_report(core->store, 0, &synced, core_now(core));
    publisher_live(core->publisher, 0);
    return open_view(core) < 0 ? core_free(core) : core;
}

struct core *core_free(struct core *core)
{
    if (!core)
        return NULL;
    resolver_free(core->resolver);
    lookup_server_free(core->server);
    chase_free(core->chase);
    store_free(core->store);
    publisher_free(core->publisher);
    ranker_free(core->ranker);
    while (core->wants) {
        struct want *want = core->wants;

        DL_DELETE(core->wants, want);
        free(want);
    }
    sd_event_source_disable_unref(core->work);
    sd_event_source_disable_unref(core->heartbeat);
    sd_event_unref(core->event);
    free(core);
    return NULL;
}

void core_lookup(struct core *core, const char *name, lookup_done_t done, void *userdata)
{
    struct lookup *lookup;

    resolver_lookup(core->resolver, name, false, WIRE_UNSPEC, core_now(core), NULL, done, userdata,
                    &lookup);
}

uint64_t core_requests(const struct core *core)
{
    return lookup_server_counters(core->server)->requests;
}
