/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry type `dns`: any domain that named DNS servers serve (Consul's DNS, a cluster's, a
 * VPC's). It asks, by name; the key is the name.
 *
 *   settings   the keys of the .registry file
 *   host       the addresses of one host name: A and AAAA, and what was known of each family
 *   name       one wanted key: its SRV records and hosts, and the report that they make
 *   dns        the verbs; do the servers answer at all?
 *
 * Answers are never cached here: how long they hold is the core's matter (RFC 2181 TTLs, RFC 2308
 * negative TTLs, RFC 8767 stale answers).
 */
#pragma once

#include <uthash.h>

#include "daemon/registry/dns/settings.h"
#include "daemon/registry/registry.h"

struct dns_name;

struct dns_registry {
    struct registry registry;
    struct dns_name *names; /* wanted ones, by key */
    bool said_up, down;
    unsigned failures; /* of names, since the last answer */
    usec_t failing_since;
    char failed_key[REGISTRY_KEY_MAX + 1]; /* the first of them */
    bool several_failed;
    usec_t answered_at;
    struct env_timer probe; /* while down: asks again */
};

extern const struct registry_type registry_type_dns;

static inline const struct dns_settings *dns_registry_settings(const struct dns_registry *dns)
{
    return dns_settings_of(dns->registry.config);
}

/* A server gave an answer about a name; or none did, or none that can be used. */
void dns_registry_answered(struct dns_registry *dns);
void dns_registry_failed(struct dns_registry *dns, const char *key, const char *text);
