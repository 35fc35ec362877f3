/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Monitors: what changes, told to those who follow it (`sdctl monitor`). Makes one event of each
 * change however many follow, and owns a queue for each follower: one that reads slowly loses the
 * oldest events and is told how many, at the cost of nobody else. While nobody follows nothing is
 * made. No I/O.
 */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "daemon/access.h"
#include "daemon/store.h"

enum {
    MONITORS_MAX = 16,            /* in all */
    MONITORS_UID_MAX = 4,         /* of one uid that is not privileged */
    MONITOR_SERVICES_MAX = 64,    /* that one can be about */
    MONITOR_EVENTS_MAX = 1024,    /* that wait for one follower */
    MONITOR_BATCH_MAX = 64,       /* events of one monitor_take() */
    MONITOR_INSTANCES_TOLD = 100, /* one by one, of one change of one service; more are counted */
    MONITOR_ADDRESSES_TOLD = 8,   /* of one instance */
};

struct monitors;
struct monitor;

struct monitors_hooks {
    /* The name of a registry by index; NULL: there is none. */
    const char *(*registry)(void *userdata, unsigned index);
    usec_t (*wall_clock)(void *userdata); /* microseconds since 1970 */
    void *userdata;
};

struct monitors *monitors_new(const struct monitors_hooks *hooks);
struct monitors *monitors_free(struct monitors *monitors); /* takes NULL; no follower may be left */

/* One service that a monitor is about. */
struct monitor_service {
    char *name;     /* by which it was asked for */
    char *registry; /* its name */
    char *key;
};
void monitor_services_free(struct monitor_service *services, size_t count);

struct monitor_request {
    uid_t uid;
    struct access_asker asker;        /* hears of nothing that is not for him */
    bool privileged;                  /* no limit of its own uid */
    struct monitor_service *services; /* none: all. Taken over, also on an error */
    size_t count;
    void (*wake)(void *userdata); /* there are events, after there were none */
    void *userdata;
};

/* -EDQUOT: the uid has too many; -EUSERS: there are too many; -ENOMEM. */
int monitor_new(struct monitors *monitors, const struct monitor_request *request,
                struct monitor **ret_monitor);
struct monitor *monitor_free(struct monitor *monitor); /* takes NULL, returns NULL */

/* The oldest events, as the Monitor method tells them ({events, lost}); NULL: there are none now.
 */
json_t *monitor_take(struct monitor *monitor);

/* Does anybody follow anything? */
bool monitors_any(const struct monitors *monitors);
/* Calls `visit` with every name that some monitor is about: it is to stay in use. */
void monitors_each_name(const struct monitors *monitors,
                        void (*visit)(void *userdata, const char *name), void *userdata);

/* ---- what happens ---- */

/* Another thing is known of a service than `before` (NULL: nothing was). */
void monitors_replaced(struct monitors *monitors, const struct service_facts *facts,
                       const struct endpoint_set *before);
void monitors_notice(struct monitors *monitors, enum store_notice notice,
                     const struct service_facts *facts);
/* A check of our own vetoes this instance, or does not any more. */
void monitors_vetoed(struct monitors *monitors, unsigned registry, const char *key,
                     struct access access, const char *instance, bool failing, const char *text);
/* How a registry is; `changes`: how often that was another thing. Tells what was not told before;
 * `text`: why it is so, or "". */
void monitors_condition(struct monitors *monitors, unsigned registry, uint64_t changes,
                        const char *condition, const char *text);
