/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the two halves of the manager share: manager.c (life, signals, time, configuration) and
 * manager_core.c (the core and its hooks to the world). For them alone.
 */
#pragma once

#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>

#include "daemon/access.h"
#include "daemon/check_gate.h"
#include "daemon/manager.h"
#include "daemon/resolver.h"
#include "daemon/sleep_watch.h"

struct manager {
    char *config_directory; /* NULL: the three roots */
    char *runtime_directory, *state_directory;
    struct config *config;
    struct access_keeper keeper; /* by it */
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

usec_t manager_now(void *userdata);
/* The core has work: soon, from the loop. */
void manager_wake(void *userdata);

/* ---- in the order of a start ---- */

void manager_learn_machine(struct manager *manager);
/* Of a registry, or (NULL) of what the daemon itself asks of the world. */
int manager_make_env(struct manager *manager, struct registry *registry,
                     struct registry_env **ret_env);
int manager_make_core(struct manager *manager);
/* The zone of this host, as the configuration has it. */
void manager_apply_zone(struct manager *manager);
/* What the header of the view says may be another thing now. */
void manager_publish_header(struct manager *manager);
