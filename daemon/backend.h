/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The backend of the control socket (struct control_backend): what sdctl's methods do, in terms of
 * the core. Owns the queries that wait for an answer, and the monitors. Decides nothing about who
 * may call.
 */
#pragma once

#include "daemon/control.h"
#include "daemon/host_zone.h"
#include "daemon/interest.h"
#include "daemon/lookup_server.h"
#include "daemon/publisher.h"
#include "daemon/ranker.h"
#include "daemon/registries.h"
#include "daemon/resolver.h"
#include "daemon/snapshot.h"
#include "daemon/veto.h"

struct sd_event;
struct backend;

/* Borrowed; all must outlive the backend. */
struct backend_parts {
    struct sd_event *event;
    struct store *store;
    struct chase *chase;
    struct registries *registries;
    const struct host_zone *host_zone;
    struct resolver *resolver;
    const struct resolver_hooks *hooks;
    struct lookup_server *lookup_server;
    struct interest *interest;
    struct publisher *publisher;
    struct ranker *ranker;
    struct snapshot *snapshot;
    struct veto *veto;
    const struct access_keeper *keeper;
    const struct config *(*config)(void *userdata); /* what is in force */
    const char *runtime_directory;
    usec_t started_at;
    int (*reload)(void *userdata, struct config_messages *messages);
    void (*settle)(void *userdata); /* publishes what changed, now */
    void *userdata;
};

struct backend *backend_new(const struct backend_parts *parts);
struct backend *backend_free(struct backend *backend);
void backend_fill(struct backend *backend, struct control_backend *ret_control);

/* ---- what happens, for those who follow it (monitor.h) ---- */

/* Of the store's hooks. `backend` NULL: nobody follows yet. */
void backend_replaced(struct backend *backend, struct service *service,
                      const struct endpoint_set *before);
void backend_noticed(struct backend *backend, enum store_notice notice,
                     const struct service_facts *facts);
/* A check of our own vetoes an instance from now on, or does not any more. */
void backend_vetoed(struct backend *backend, unsigned registry, const char *key,
                    const char *instance, bool failing, const char *text);
/* A registry said something, or was started or stopped. */
void backend_reported(struct backend *backend, unsigned registry);
/* Now and then: registries that could not even start, and what is followed stays in use. */
void backend_beat(struct backend *backend);

/* Tells the service manager in one line how the registries are (STATUS=), if that is news. A
 * negative errno: it does not listen now. */
int backend_notify(struct backend *backend);
