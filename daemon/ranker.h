/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Gives the records of answers their ranks on this host: gai.conf and the kernel's routes
 * (routes.h) go in, rank.h says what follows. Keeps what it learned of an address until the network
 * or gai.conf changes, within bounds.
 *
 * An address without a route gets the worst rank and RANKER_TIER_UNREACHABLE: it is never drawn
 * while one with a route is there. Where the kernel does not say, an answer is cut to one address:
 * glibc has nothing to sort then, and balance holds without ranks, at the price of a second choice.
 * That is logged once.
 */
#pragma once

#include "daemon/base.h"
#include "daemon/rank.h"
#include "nss-sd/answer.h"

struct ranker;
struct sd_event;

/* Bit of a record's tier; those of the policy are below. */
enum { RANKER_TIER_UNREACHABLE = 0x80 };

/*
 * `gai_conf`: path of the file, watched. `changed`: ranks may be others from now on. Netlink that
 * cannot be had is logged, and done without. -ENOMEM.
 */
int ranker_new(struct sd_event *event, const char *gai_conf, void (*changed)(void *userdata),
               void *userdata, struct ranker **ret_ranker);
struct ranker *ranker_free(struct ranker *ranker); /* takes NULL, returns NULL */

/* Addresses or routes of this host are others. Does not call `changed`. */
void ranker_network_changed(struct ranker *ranker);

/* Reads the host's addresses again if that failed; now and then. */
void ranker_retry(struct ranker *ranker);

/* Fills in rank and tier of a forward answer that evaluation_write() made. */
void ranker_rank(struct ranker *ranker, struct answer_head *payload);

/*
 * Which of this host's addresses a packet to that one would carry: what its rank follows from. Asks
 * the kernel, as it is now. 1; 0: there is no route; negative errno: the kernel does not say.
 */
int ranker_source(const struct ranker *ranker, const struct address *to,
                  struct address *ret_source);

struct ranker_facts {
    const char *gai_conf;          /* path */
    size_t gai_lines;              /* lines of it in force; 0: glibc's own tables */
    bool prefixes_known;           /* the interfaces' addresses could be read */
    size_t interface_addresses;    /* that glibc looks at; 0 on a host without IPv6 */
    size_t addresses, unreachable; /* of those asked for since the last change and still known */
};
void ranker_facts(const struct ranker *ranker, struct ranker_facts *ret_facts);
