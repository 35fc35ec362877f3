/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The world as a registry sees it in the daemon, or a part of the daemon that is tested as one is:
 * struct registry_env over sd_event, the HTTP, gRPC and DNS clients, programs, inotify and the
 * kernel's random numbers. Its scripted twin is tests/replay/twin.h.
 *
 * Timers count CLOCK_BOOTTIME and fire in a later round of the loop than the one that set them.
 */
#pragma once

#include "daemon/registry/registry.h"

struct sd_event;

/* What every env shares; all of it must outlive the envs. */
struct env_services {
    struct sd_event *event;
    struct http_client *http;
    struct grpc_client *grpc;
    struct dns_client *dns;
    struct tcp_client *tcp;
    struct check_gate *checks;
    struct spawner *spawner;
    const char *state_directory, *config_directory; /* as in struct registry_env; never NULL */
    /* Takes every report; `report` is borrowed for the call. */
    void (*report)(void *userdata, struct registry *registry, const struct registry_report *report);
    /* As the verb of struct registry_env; NULL: nothing is known. */
    void (*locality)(void *userdata, const char **ret_zone, const char **ret_region);
    void *userdata;
};

/* Makes the env of `registry`; the caller puts it into registry->env. Before start(). NULL: one for
 * the daemon itself, in which nothing reports. */
int env_new(const struct env_services *services, struct registry *registry,
            struct registry_env **ret_env);

/* After stop(). Timers and watches that the type forgot are ended, and logged as its error. Takes
 * NULL. */
struct registry_env *env_free(struct registry_env *env);
