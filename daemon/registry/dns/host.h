/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The addresses of one host name: A and AAAA, asked side by side.
 *
 * Owns the two questions, and what each family's last answer was. A family that fails while the
 * other one answers keeps its addresses for up to a day: a broken AAAA must not cost half of the
 * addresses, and fresh news of A must not wait for it.
 */
#pragma once

#include "daemon/registry/dns/dns.h"

struct dns_family {
    struct dns_host *host;
    struct dns_call *call;
    bool told;                /* in this asking, by an answer or its failure */
    enum dns_outcome outcome; /* if it was */
    usec_t ttl;
    struct address *addresses; /* last known */
    size_t count;
    usec_t known_at;     /* 0: never */
    usec_t absent_until; /* the host has none; said when it was asked for */
};

struct dns_host {
    struct dns_registry *dns;
    char *name;
    struct dns_family four, six;
    char canonical[NAME_SIZE]; /* where the chain of aliases ended */
    char text[128];            /* why a family failed */
    void (*done)(struct dns_host *host);
    void *owner;
};

/* What both families together say. */
enum dns_host_state {
    DNS_HOST_DATA,   /* at least one family answered; addresses may be none (NODATA) */
    DNS_HOST_ABSENT, /* there is no such name */
    DNS_HOST_FAILED, /* nothing was learned */
};

/* NULL: out of memory. `name` is folded. */
struct dns_host *dns_host_new(struct dns_registry *dns, const char *name,
                              void (*done)(struct dns_host *host), void *owner);
struct dns_host *dns_host_free(struct dns_host *host); /* takes NULL */

/* A new asking: nothing is told yet. */
void dns_host_begin(struct dns_host *host);
/* Asks for what is not told; `done` is called when all is. 0 or negative errno: none is asked. */
int dns_host_ask(struct dns_host *host);
bool dns_host_told(const struct dns_host *host);
/*
 * The addresses came with another answer (the additional section of SRV). A server may leave out of
 * it what it likes (RFC 2782): a family that is not there is told only where it was known a short
 * while ago that there is none.
 */
void dns_host_take(struct dns_host *host, const struct dns_extra *extra, size_t count, usec_t ttl);

enum dns_host_state dns_host_state(const struct dns_host *host);
/* Shortest of the families that answered. */
usec_t dns_host_ttl(const struct dns_host *host);
/* The addresses to hand out of one family, and whether they could not be learned. */
size_t dns_host_addresses(const struct dns_host *host, const struct dns_family *family,
                          const struct address **ret_addresses);
bool dns_host_undecided(const struct dns_host *host, const struct dns_family *family);
