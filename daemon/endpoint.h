/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Endpoints: the instances of a service as a registry reports them.
 *
 * A set is immutable, reference-counted and one block of memory: build it with a builder, then share
 * it. Its order is canonical (by name, then address), so that two equal sets compare equal whatever
 * the order in which a registry sent them. Nothing here knows registries, time or policy.
 */
#pragma once

#include "daemon/address.h"

enum {
    ENDPOINTS_MAX = 65536,         /* endpoints of one set; more are refused */
    ENDPOINT_ADDRESSES_MAX = 64,   /* addresses of one endpoint */
    ENDPOINT_TAGS_MAX = 256,
    ENDPOINT_PORTS_MAX = 128,
    ENDPOINT_STRING_MAX = 1024,    /* bytes of any one string; longer ones are refused */
};

/* Health as its registry sees it, already reduced to one word an endpoint. */
enum endpoint_health {
    HEALTH_PASSING,
    HEALTH_WARNING,
    HEALTH_TERMINATING, /* still serving, on its way out (Kubernetes) */
    HEALTH_UNKNOWN,     /* the registry's word is none we know: not handed out */
    HEALTH_CRITICAL,
    HEALTH_MAINTENANCE,
};
const char *endpoint_health_to_string(enum endpoint_health health);

/* Does its registry check it? */
enum endpoint_checks {
    CHECKS_NOT_TOLD, /* the registry does not say */
    CHECKS_NONE,
    CHECKS_SOME,
};

struct endpoint_port {
    const char *name; /* "" if unnamed */
    const char *protocol; /* lower case: "tcp", "udp"; "" if not said */
    uint16_t number;
};

/* All strings are non-NULL; "" is "none". */
struct endpoint {
    const char *name;     /* the registry's identity of the instance, shown to operators */
    const char *node;     /* machine it runs on */
    const char *hostname; /* label by which a name can pick this endpoint (SELECTOR_HOST) */
    const char *target;   /* host name to resolve, if the registry gave no address */
    const char *zone;
    const char *region;
    const struct address *addresses;
    const char *const *tags;
    const struct endpoint_port *ports;
    uint16_t address_count, tag_count, port_count;
    uint16_t priority; /* 0 is used first */
    uint32_t weight;   /* relative; the registry has folded health-dependent weights in */
    enum endpoint_health health;
    enum endpoint_checks checks; /* not kept in snapshots */
};

struct endpoint_set {
    unsigned references;
    uint32_t count;
    const struct endpoint *endpoints;
};

struct endpoint_set *endpoint_set_ref(struct endpoint_set *set);
struct endpoint_set *endpoint_set_unref(struct endpoint_set *set); /* takes NULL, returns NULL */
/* Address by address, as strcmp(): of lists that begin alike the shorter one is first. */
int endpoint_addresses_compare(const struct endpoint *a, const struct endpoint *b);
bool endpoint_tags_equal(const struct endpoint *a, const struct endpoint *b);
bool endpoint_ports_equal(const struct endpoint *a, const struct endpoint *b);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
bool endpoint_set_equal(const struct endpoint_set *a, const struct endpoint_set *b);

/*
 * Builder (endpoint_builder.c). Calls take effect on the endpoint begun last; strings are copied,
 * NULL is "". An error is remembered and returned by endpoint_builder_finish(), so callers check
 * once: -E2BIG over a bound, -EINVAL call without an endpoint, -ENOMEM.
 */
struct endpoint_builder;
struct endpoint_builder *endpoint_builder_new(void);
struct endpoint_builder *endpoint_builder_free(struct endpoint_builder *builder);

void endpoint_builder_begin(struct endpoint_builder *builder, const char *name);
void endpoint_builder_node(struct endpoint_builder *builder, const char *node);
void endpoint_builder_hostname(struct endpoint_builder *builder, const char *hostname);
void endpoint_builder_target(struct endpoint_builder *builder, const char *target);
void endpoint_builder_locality(struct endpoint_builder *builder, const char *zone,
                               const char *region);
void endpoint_builder_address(struct endpoint_builder *builder, const struct address *address);
void endpoint_builder_tag(struct endpoint_builder *builder, const char *tag);
void endpoint_builder_port(struct endpoint_builder *builder, const char *name,
                           const char *protocol, uint16_t number);
void endpoint_builder_health(struct endpoint_builder *builder, enum endpoint_health health);
void endpoint_builder_checks(struct endpoint_builder *builder, enum endpoint_checks checks);
void endpoint_builder_weight(struct endpoint_builder *builder, uint32_t weight);
void endpoint_builder_priority(struct endpoint_builder *builder, uint16_t priority);
/* Copies a finished endpoint whole (begin and all). */
void endpoint_builder_copy(struct endpoint_builder *builder, const struct endpoint *endpoint);
/* Drops the endpoint begun last. */
void endpoint_builder_abandon(struct endpoint_builder *builder);

/* Makes the set (one reference, the caller's) and empties the builder. Exact duplicates are merged. */
int endpoint_builder_finish(struct endpoint_builder *builder, struct endpoint_set **ret_set);

static inline void endpoint_builder_freep(struct endpoint_builder **builder)
{
    endpoint_builder_free(*builder);
}
static inline void endpoint_set_unrefp(struct endpoint_set **set)
{
    endpoint_set_unref(*set);
}
