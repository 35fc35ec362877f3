/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The chase: addresses of the host names that registries hand out instead of addresses, where those
 * names are not ours (owned names are followed through the store by the resolver).
 *
 * Owns one link a host name while somebody depends on it, asks DNS for both families, asks again
 * when the TTL runs out, and keeps the last addresses when that fails. No I/O of its own: DNS is a
 * hook, the clock an argument.
 */
#pragma once

#include "daemon/base.h"
#include "daemon/endpoint.h"
#include "daemon/net/dns.h"
#include "daemon/watcher.h"

enum { CHASE_LINKS_MAX = 16384, CHASE_ADDRESSES_MAX = 256 };

/* Asks DNS once; `done` as in net/dns.h, never from inside. */
struct chase_hooks {
    int (*query)(void *userdata, const struct dns_question *question, struct dns_call **ret_call);
    void (*cancel)(void *userdata, struct dns_call *call);
    usec_t (*now)(void *userdata);
    void *userdata;
    /* Some host name leads elsewhere than before, or was only confirmed. May be NULL. */
    void (*touched)(void *userdata, bool changed);
};

struct chase_rules {
    usec_t min_ttl, max_ttl, negative_ttl;
    usec_t max_stale; /* last addresses are kept so long after a failure */
};

enum chase_state {
    CHASE_PENDING, /* the first answer is on its way */
    CHASE_FOUND,   /* addresses, perhaps stale */
    CHASE_NO_DATA, /* the host name has no address of this family */
    CHASE_ABSENT,  /* the host name does not exist */
    CHASE_FAILED,  /* nothing was ever learned, or it is too old */
};

struct chase;
struct chase_link;

struct chase *chase_new(const struct chase_hooks *hooks, const struct chase_rules *rules);
struct chase *chase_free(struct chase *chase);
void chase_set_rules(struct chase *chase, const struct chase_rules *rules);

/* The link of a folded host name, asked at once if it is new. NULL: over CHASE_LINKS_MAX. */
struct chase_link *chase_get(struct chase *chase, const char *host, usec_t now);

/* The link of a folded host name that somebody depends on; NULL: none. */
struct chase_link *chase_find(struct chase *chase, const char *host);

/* What an earlier run knew of a host name: its last answers, as old as they are. Made and asked as
 * by chase_get(); nothing is restored over a link that is there. 0 or -ENOSPC, -ENOMEM. */
struct chase_half_memory {
    enum chase_state state; /* CHASE_FOUND, CHASE_NO_DATA; CHASE_PENDING: nothing */
    const struct address *addresses;
    size_t count;
    usec_t confirmed_at;
};
struct chase_memory {
    const char *host, *canonical;       /* folded */
    struct chase_half_memory halves[2]; /* IPv4, IPv6 */
};
int chase_restore(struct chase *chase, const struct chase_memory *memory, usec_t now);

struct chase_facts {
    enum chase_state state;
    const struct address *addresses;
    size_t count;
    bool stale;
    usec_t confirmed_at;
    usec_t fresh_until, stale_until;
    usec_t ask_at; /* it is asked again then */
};
void chase_facts(const struct chase_link *link, int family, usec_t now,
                 struct chase_facts *ret_facts);
/* End of its CNAME chain, folded. */
const char *chase_canonical(const struct chase_link *link);
const char *chase_host(const struct chase_link *link);
/* Calls `visit` for every link. */
void chase_each(struct chase *chase, void (*visit)(void *userdata, const struct chase_link *link),
                void *userdata);
struct watch_list *chase_watchers(struct chase_link *link);

/* Asks again what is due, forgets links without dependents. Returns when to come again. */
usec_t chase_sweep(struct chase *chase, usec_t now);

/* Asks again at once what failed: the network is another one now. */
void chase_kick(struct chase *chase, usec_t now);
