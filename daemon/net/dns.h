/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * DNS on the event loop: c-ares on sd_event, and nothing of any registry.
 *
 * One question, one name, one type; no search list, no cache (c-ares' own is switched off where it
 * exists). The system's servers come from resolv.conf and are re-read when it changes; a question
 * may name servers of its own. Works on c-ares 1.18 and 1.34.
 *
 * No callback runs inside dns_start().
 */
#pragma once

#include "daemon/base.h"
#include "daemon/endpoint.h"
#include "nss-sd/name.h"

enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_PTR = 12, DNS_SRV = 33, DNS_AAAA = 28 };

enum dns_outcome {
    DNS_DATA,     /* records of the type asked for */
    DNS_NODATA,   /* the name exists, not with this type */
    DNS_NXDOMAIN, /* the name does not exist */
    DNS_FAILED,   /* anything else: time-out, SERVFAIL, REFUSED, malformed: nothing was learned */
};

struct dns_srv {
    uint16_t priority, weight, port;
    char target[NAME_SIZE]; /* folded; "" for the root: decidedly not available */
};

enum { DNS_RECORDS_MAX = 4096 };

/* Valid during the callback. */
struct dns_result {
    enum dns_outcome outcome;
    usec_t ttl;            /* DATA: minimum over the chain. NODATA, NXDOMAIN: RFC 2308; 0 without SOA */
    const char *canonical; /* last name of the CNAME chain, folded; the question's name without one */
    const struct address *addresses; /* A, AAAA; SRV: those of the additional section go to `extra` */
    size_t address_count;
    const struct dns_srv *services;
    size_t service_count;
    const char *pointer; /* PTR: folded, or NULL */
    /* SRV: address records of targets out of the additional section (owner equals a target). */
    const struct dns_extra {
        char name[NAME_SIZE];
        struct address address;
    } *extra;
    size_t extra_count;
    const char *text; /* FAILED: why */
};

/* Copied by dns_start(). */
struct dns_question {
    const char *name; /* folded FQDN, always asked as absolute */
    enum dns_type type;
    const char *servers; /* "192.0.2.1:53,[2001:db8::1]:5353"; NULL: the system's */
    bool tcp;            /* always over TCP */
    bool hosts;          /* A, AAAA: /etc/hosts first (system's servers only); localhost is known */
    usec_t timeout;      /* in all, over all tries and servers; 0: 5 s */
    void (*done)(void *userdata, const struct dns_result *result);
    void *userdata;
};

struct dns_call;
struct dns_client;
struct sd_event;

int dns_client_new(struct sd_event *event, struct dns_client **ret_client);
/* Drops all calls; not from within a callback. Takes NULL, returns NULL. */
struct dns_client *dns_client_free(struct dns_client *client);

/*
 * Servers to ask instead of the system's (a setting, and how tests bring their own); NULL: the
 * system's again. Questions under way are not touched. 0, -EINVAL or -ENOMEM.
 */
int dns_client_set_servers(struct dns_client *client, const char *servers);

/* resolv.conf is read again for the next question, and its servers are asked from other sockets. */
void dns_client_renew(struct dns_client *client);

/* -EINVAL: bad name or server list. */
int dns_start(struct dns_client *client, const struct dns_question *question,
              struct dns_call **ret_call);
void dns_cancel(struct dns_client *client, struct dns_call *call); /* takes NULL */

/* "IP[:PORT],[IP6]:PORT": 0 or -EINVAL. For the configuration. */
int dns_servers_check(const char *servers);
