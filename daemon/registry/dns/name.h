/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One wanted name: asks for it, and reports what was learned, once for each asking.
 *
 * Owns its hosts: the name itself, or the targets of its SRV records (RFC 2782). A target whose
 * addresses the additional section does not bring is asked for, DNS_PARALLEL_MAX at a time.
 */
#pragma once

#include "daemon/registry/dns/host.h"

enum {
    DNS_TARGETS_MAX = 64, /* SRV records of a name that are used; the best ones */
    DNS_PARALLEL_MAX = 8,
};

struct dns_target {
    struct dns_srv record;
    struct dns_host *host; /* shared by the records of one target; in `hosts` */
};

struct dns_name {
    struct dns_registry *dns;
    bool busy;   /* an asking is under way */
    bool failed; /* the last one taught nothing */
    struct dns_host *self;
    struct dns_call *call; /* the SRV question */
    usec_t ttl;            /* of the SRV records */
    struct dns_target targets[DNS_TARGETS_MAX];
    size_t target_count;
    struct dns_host *hosts[DNS_TARGETS_MAX]; /* of the targets, each once */
    size_t host_count, host_next, hosts_open;
    struct env_timer later; /* ends an asking that could not begin */
    usec_t refused_at;      /* when a refused address was last told of */
    UT_hash_handle hh;
    char key[];
};

struct dns_name *dns_name_new(struct dns_registry *dns, const char *key);
struct dns_name *dns_name_free(struct dns_name *name);

/* Idempotent while an asking is under way. Never reports from inside. */
void dns_name_ask(struct dns_name *name);
