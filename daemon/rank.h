/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ranks: the order into which glibc's getaddrinfo would sort addresses on this host, as numbers.
 *
 * What counts is glibc (2.36 to 2.41 do the same), not RFC 6724 that it follows: where they differ,
 * this file has glibc's way and says so. Pure: addresses and what the kernel says of the way to
 * them in, ranks out.
 *
 * The promise: of addresses in the order A, B, C, ..., where no rank is less than A's, glibc leaves
 * A first. Equal ranks stay in the order in which glibc got them.
 *
 * glibc's relation is lexicographic but for its last rule, which compares addresses of one family
 * only. So where gai.conf puts both families on a par, it is not transitive: 10.0.0.1 may come
 * before 10.0.0.2, and neither before or after 2001:db8::1. Each family is then numbered for itself
 * from the same number on, and the promise holds: a merge sort moves nothing in front of its first
 * element but what is better than that very element.
 *
 * Not covered: a program that asks for AF_INET6 with AI_V4MAPPED. Its IPv4 addresses are sorted as
 * IPv6 ones, and nobody can tell it from one that asks for AF_INET.
 */
#pragma once

#include "daemon/base.h"
#include "daemon/endpoint.h"
#include "daemon/gai_conf.h"

/* The way to an address: what a socket that is connected to it sends from. */
struct rank_source {
    bool reachable;         /* all below is of no meaning without */
    struct address address; /* of the family of the destination */
    bool deprecated, home;  /* flags of that address */
    bool native;            /* its interface is known and none of the tunnels that glibc knows */
    uint8_t prefix;         /* its length; 0: not known */
};

/* What all comparing comes down to, of one address: the smaller comes first. */
struct rank_key {
    uint64_t first; /* rules 1 to 7 */
    uint32_t scope; /* rule 8 */
    uint8_t family;
    uint8_t distance; /* rule 9: bits that differ from the source */
};

struct rank_key rank_key(const struct gai_conf *conf, const struct address *destination,
                         const struct rank_source *source);

bool rank_key_reachable(const struct rank_key *key);

/* Dense ranks from 0, the best, in `ret_ranks`; at most UINT16_MAX keys. -ENOMEM. */
int rank_assign(const struct rank_key *keys, size_t count, uint16_t *ret_ranks);
