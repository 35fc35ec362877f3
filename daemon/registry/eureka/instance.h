/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An instance as a Eureka server lists it: immutable but for where it stands in the table of
 * applications, one block of memory. Pure.
 */
#pragma once

#include <uthash.h>

#include "daemon/endpoint.h"
#include "nss-sd/name.h"

/* In the order of the alphabet, which the reconcile hash has. Any other word is UNKNOWN. */
enum eureka_status {
    EUREKA_DOWN,
    EUREKA_OUT_OF_SERVICE,
    EUREKA_STARTING,
    EUREKA_UNKNOWN,
    EUREKA_UP,
    EUREKA_STATUSES,
};
const char *eureka_status_to_string(enum eureka_status status);
enum eureka_status eureka_status_from_string(const char *text);

/* What an instance is made of; the strings are copied, NULL is "". */
struct eureka_facts {
    const char *app, *id;
    const char *vips[2]; /* lists with commas: vipAddress, secureVipAddress */
    const char *host, *zone, *region;
    enum eureka_status status;
    bool deleted;               /* actionType DELETED */
    struct address address;     /* family 0: none */
    const char *target;         /* a host name in its place */
    uint16_t port, secure_port; /* 0: not enabled */
};

struct eureka_instance {
    const char *key; /* "app/id", app in lower case: who it is */
    const char *id, *host, *target, *zone, *region;
    const char *app;  /* as a name, folded; "": no name can spell it */
    const char *vips; /* names, folded, each with its NUL, then another NUL */
    size_t text_size;
    enum eureka_status status;
    bool deleted;
    struct address address;
    uint16_t port, secure_port;

    /* applications.h */
    bool missing; /* the server does not list it any more, and is not believed yet */
    unsigned round;
    UT_hash_handle hh;
    char text[];
};

/* -EINVAL: neither app nor id; -ENOMEM. */
int eureka_instance_new(const struct eureka_facts *facts, struct eureka_instance **ret_instance);
struct eureka_instance *eureka_instance_free(struct eureka_instance *instance); /* takes NULL */

/* Does it say the same? */
bool eureka_instance_equal(const struct eureka_instance *a, const struct eureka_instance *b);
bool eureka_instance_has_vip(const struct eureka_instance *instance, const char *name);

/* Adds it to a set; nothing if it cannot be reached at all. */
void eureka_instance_build(const struct eureka_instance *instance,
                           struct endpoint_builder *builder);
