/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/chase.h"

#include <stdio.h>

#include <uthash.h>

/* A failed question is repeated after 1 s, 2 s, ... 32 s (RFC 9520: at least one second, growing).
 */
#define RETRY_FIRST    (1 * USEC_PER_SEC)
#define RETRY_DOUBLING 5
/* A link that lost its last dependent stays this long: names come back. */
#define LINGER (30 * USEC_PER_SEC)

struct half {
    struct chase_link *link;
    enum dns_type type;
    struct dns_call *call; /* a question on its way */
    enum chase_state state;
    struct address *addresses;
    size_t count;
    unsigned failures; /* since the last answer */
    usec_t confirmed_at, fresh_until, ask_at;
};

struct chase_link {
    struct chase *chase;
    struct half halves[2]; /* A, AAAA */
    char canonical[NAME_SIZE];
    usec_t lonely_since; /* 0: has dependents */
    struct watch_list watchers;
    UT_hash_handle hh;
    char host[NAME_SIZE];
};

struct chase {
    struct chase_hooks hooks;
    struct chase_rules rules;
    struct chase_link *links;
};

struct chase *chase_new(const struct chase_hooks *hooks, const struct chase_rules *rules)
{
    struct chase *chase = calloc(1, sizeof(*chase));

    if (chase) {
        chase->hooks = *hooks;
        chase->rules = *rules;
    }
    return chase;
}

void chase_set_rules(struct chase *chase, const struct chase_rules *rules)
{
    chase->rules = *rules;
}

static void link_free(struct chase_link *link)
{
    struct chase *chase = link->chase;

    HASH_DEL(chase->links, link);
    watch_list_done(&link->watchers);
    for (size_t i = 0; i < ELEMENTS(link->halves); i++) {
        if (link->halves[i].call)
            chase->hooks.cancel(chase->hooks.userdata, link->halves[i].call);
        free(link->halves[i].addresses);
    }
    free(link);
}

struct chase *chase_free(struct chase *chase)
{
    if (!chase)
        return NULL;
    while (chase->links)
        link_free(chase->links);
    free(chase);
    return NULL;
}

static usec_t clamp(usec_t value, usec_t minimum, usec_t maximum)
{
    return value < minimum ? minimum : value > maximum ? maximum : value;
}

static void half_failed(struct half *half, usec_t now)
{
    unsigned shift = half->failures < RETRY_DOUBLING ? half->failures : RETRY_DOUBLING;

    half->failures++;
    half->ask_at = usec_add(now, RETRY_FIRST << shift);
    if (half->state == CHASE_PENDING)
        half->state = CHASE_FAILED;
}

static bool half_keep(struct half *half, const struct address *from, size_t from_count,
                      const char *canonical)
{
    size_t count = from_count < CHASE_ADDRESSES_MAX ? from_count : CHASE_ADDRESSES_MAX;
    struct address *addresses = malloc(count * sizeof(*addresses) + 1);

    if (!addresses)
        return false;
    memcpy(addresses, from, count * sizeof(*addresses));
    free(half->addresses);
    half->addresses = addresses;
    half->count = count;
    if (canonical)
        snprintf(half->link->canonical, NAME_SIZE, "%s", canonical);
    return true;
}

/* Are these the addresses that are known, in whatever order? */
static bool half_has(const struct half *half, const struct dns_result *result)
{
    if (half->state != CHASE_FOUND || half->count != result->address_count)
        return false;
    for (size_t i = 0; i < half->count; i++) {
        size_t j = 0;

        while (j < half->count && address_compare(&half->addresses[i], &result->addresses[j]) != 0)
            j++;
        if (j == half->count)
            return false;
    }
    return true;
}

static void half_answered(struct half *half, const struct dns_result *result, usec_t now)
{
    struct chase *chase = half->link->chase;
    const struct chase_rules *rules = &chase->rules;
    enum chase_state before = half->state;
    bool same;
    usec_t ttl;

    if (result->outcome == DNS_DATA && result->address_count > 0) {
        same = half_has(half, result);
        if (!half_keep(half, result->addresses, result->address_count, result->canonical)) {
            half_failed(half, now);
            return;
        }
        half->state = CHASE_FOUND;
        ttl = clamp(result->ttl, rules->min_ttl, rules->max_ttl);
    } else {
        half->state = result->outcome == DNS_NXDOMAIN ? CHASE_ABSENT : CHASE_NO_DATA;
        half->count = 0;
        same = half->state == before;
        ttl = clamp(result->ttl, rules->min_ttl, rules->negative_ttl);
    }
    half->failures = 0;
    half->confirmed_at = now;
    half->fresh_until = half->ask_at = usec_add(now, ttl);
    if (chase->hooks.touched)
        chase->hooks.touched(chase->hooks.userdata, !same);
}

static void half_done(void *userdata, const struct dns_result *result)
{
    struct half *half = userdata;
    struct chase *chase = half->link->chase;
    usec_t now = chase->hooks.now(chase->hooks.userdata);

    half->call = NULL;
    if (result->outcome == DNS_FAILED)
        half_failed(half, now);
    else
        half_answered(half, result, now);
    watch_list_notify(&half->link->watchers);
}

static void half_ask(struct half *half, usec_t now)
{
    struct chase *chase = half->link->chase;
    struct dns_question question = {
        .name = half->link->host,
        .type = half->type,
        .hosts = true,
        .done = half_done,
        .userdata = half,
    };

    if (half->call)
        return;
    if (chase->hooks.query(chase->hooks.userdata, &question, &half->call) < 0) {
        half->call = NULL;
        half_failed(half, now);
    }
}

static struct chase_link *link_new(struct chase *chase, const char *host, usec_t now)
{
    struct chase_link *link;

    if (HASH_COUNT(chase->links) >= CHASE_LINKS_MAX || strlen(host) >= NAME_SIZE)
        return NULL;
    link = calloc(1, sizeof(*link));
    if (!link)
        return NULL;
    link->chase = chase;
    strcpy(link->host, host);
    strcpy(link->canonical, host);
    link->lonely_since = now;
    link->halves[0] = (struct half){.link = link, .type = DNS_A};
    link->halves[1] = (struct half){.link = link, .type = DNS_AAAA};
    HASH_ADD_STR(chase->links, host, link);
    return link;
}

static void link_ask(struct chase_link *link, usec_t now)
{
    for (size_t i = 0; i < ELEMENTS(link->halves); i++)
        half_ask(&link->halves[i], now);
}

struct chase_link *chase_find(struct chase *chase, const char *host)
{
    struct chase_link *link;

    HASH_FIND_STR(chase->links, host, link);
    return link;
}

struct chase_link *chase_get(struct chase *chase, const char *host, usec_t now)
{
    struct chase_link *link = chase_find(chase, host);

    if (link)
        return link;
    link = link_new(chase, host, now);
    if (link)
        link_ask(link, now);
    return link;
}

int chase_restore(struct chase *chase, const struct chase_memory *memory, usec_t now)
{
    struct chase_link *link;

    HASH_FIND_STR(chase->links, memory->host, link);
    if (link)
        return 0;
    link = link_new(chase, memory->host, now);
    if (!link)
        return -ENOSPC;
    for (size_t i = 0; i < ELEMENTS(link->halves); i++) {
        const struct chase_half_memory *known = &memory->halves[i];
        struct half *half = &link->halves[i];

        if (known->state == CHASE_FOUND &&
            !half_keep(half, known->addresses, known->count, memory->canonical)) {
            link_free(link);
            return -ENOMEM;
        }
        half->state = known->state;
        half->confirmed_at = half->fresh_until = known->confirmed_at;
    }
    link_ask(link, now);
    return 0;
}

void chase_facts(const struct chase_link *link, int family, usec_t now,
                 struct chase_facts *ret_facts)
{
    const struct half *half = &link->halves[family == AF_INET6];
    const struct chase_rules *rules = &link->chase->rules;

    *ret_facts = (struct chase_facts){
        .state = half->state,
        .addresses = half->addresses,
        .count = half->count,
        .stale = now >= half->fresh_until,
        .confirmed_at = half->confirmed_at,
        .fresh_until = half->fresh_until,
        .stale_until = usec_add(half->confirmed_at, rules->max_stale),
        .ask_at = half->ask_at,
    };
    if (!ret_facts->stale || half->state == CHASE_PENDING || half->state == CHASE_FAILED)
        return;
    /* Past its TTL: addresses live on through failures, an absence does not. */
    if (half->state == CHASE_FOUND ? now >= usec_add(half->confirmed_at, rules->max_stale)
                                   : half->failures > 0)
        ret_facts->state = CHASE_FAILED;
    if (ret_facts->state != CHASE_FOUND)
        ret_facts->count = 0;
}

const char *chase_canonical(const struct chase_link *link)
{
    return link->canonical;
}

const char *chase_host(const struct chase_link *link)
{
    return link->host;
}

void chase_each(struct chase *chase, void (*visit)(void *userdata, const struct chase_link *link),
                void *userdata)
{
    struct chase_link *link, *next;

    HASH_ITER (hh, chase->links, link, next)
        visit(userdata, link);
}

struct watch_list *chase_watchers(struct chase_link *link)
{
    return &link->watchers;
}

static usec_t link_sweep(struct chase_link *link, usec_t now)
{
    usec_t again = USEC_INFINITY;

    if (link->watchers.first) {
        link->lonely_since = 0;
    } else {
        if (link->lonely_since == 0)
            link->lonely_since = now;
        if (now >= link->lonely_since + LINGER) {
            link_free(link);
            return USEC_INFINITY;
        }
        again = link->lonely_since + LINGER;
    }
    for (size_t i = 0; i < ELEMENTS(link->halves); i++) {
        struct half *half = &link->halves[i];

        if (half->call)
            continue;
        if (now >= half->ask_at)
            half_ask(half, now);
        if (!half->call && half->ask_at < again)
            again = half->ask_at;
    }
    return again;
}

usec_t chase_sweep(struct chase *chase, usec_t now)
{
    struct chase_link *link, *next;
    usec_t again = USEC_INFINITY;

    HASH_ITER (hh, chase->links, link, next) {
        usec_t due = link_sweep(link, now);

        if (due < again)
            again = due;
    }
    return again;
}

void chase_kick(struct chase *chase, usec_t now)
{
    struct chase_link *link, *next;

    HASH_ITER (hh, chase->links, link, next)
        for (size_t i = 0; i < ELEMENTS(link->halves); i++)
            if (link->halves[i].failures > 0) {
                link->halves[i].failures = 0;
                link->halves[i].ask_at = now;
            }
    chase_sweep(chase, now);
}
