/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One wanted key: a service of a namespace.
 *
 * A service that exists is polled: its revision, which tells of instances that came and went, and,
 * less often, all of it, because health moves without the revision. One that does not exist is
 * asked for when a program asks. The reports hold until shortly after the next full poll.
 */
#pragma once

#include "daemon/registry/cloudmap/cloudmap.h"

struct cloudmap_service {
    struct cloudmap *cloudmap;
    struct cloudmap_call call;
    struct env_timer timer;
    const char *namespace; /* domain; inside `key` */
    long long revision;    /* of the instances that were read last; -1: not known */
    long long polled;      /* that the last poll told; -1: likewise */
    bool owed;             /* a report is due: want, refresh */
    bool polls;            /* it exists: counted in cloudmap->polled */
    bool full;             /* the call under way, or the next one, is for the instances */
    bool by_poll;          /* because its revision moved */
    usec_t full_at;        /* next full poll */
    bool crowded;          /* told of more instances than an answer takes */
    char *reason;          /* why an instance was skipped, as logged */
    UT_hash_handle hh;
    char key[];
};

/* "SERVICE@NAMESPACE". */
int cloudmap_key_format(const char *name, size_t relative, const char *domain,
                        char ret_key[static REGISTRY_KEY_MAX + 1]);

/* Puts it into the table. NULL: no memory. */
struct cloudmap_service *cloudmap_service_new(struct cloudmap *cloudmap, const char *key);
void cloudmap_service_free(struct cloudmap_service *service);

/* A report is wanted: asks for the instances. */
void cloudmap_service_ask(struct cloudmap_service *service);
/* Polls soon, at a moment within `spread`: there was an outage. */
void cloudmap_service_hurry(struct cloudmap_service *service, usec_t spread);
