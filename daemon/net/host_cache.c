/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/host_cache.h"
#include "daemon/clock.h"
#include "daemon/net/dns.h"

#include <systemd/sd-event.h>
#include <utlist.h>

#define TTL_MIN USEC_PER_SEC
#define TTL_MAX (60 * USEC_PER_SEC)
/* Of one family: a server that swallows AAAA must not eat up a caller's whole connect time-out. */
#define ASK_TIMEOUT (2 * USEC_PER_SEC)

enum { IPV6, IPV4, FAMILIES };

/* What is known of one family, and the question on its way. */
struct family {
    struct host *host;
    struct dns_call *call;
    enum dns_outcome outcome;
    usec_t ttl;
    struct address addresses[HOST_ADDRESSES_MAX / 2];
    size_t count;
};

struct host_waiter {
    struct host *host;
    host_known_t known;
    void *userdata;
    struct host_waiter *prev, *next;
};

/* Recently used hosts stand first. */
struct host {
    struct host_cache *cache;
    char name[NAME_SIZE];
    struct family families[FAMILIES];
    unsigned asked; /* questions on their way */
    struct address addresses[HOST_ADDRESSES_MAX];
    size_t count;
    usec_t expires;
    struct host_waiter *waiters;
    struct host *prev, *next;
};

struct host_cache {
    sd_event *event;
    struct dns_client *dns;
    struct host *hosts;
    size_t count;
};

static void host_free(struct host *host)
{
    struct host_cache *cache = host->cache;

    for (size_t i = 0; i < FAMILIES; i++)
        dns_cancel(cache->dns, host->families[i].call);
    while (host->waiters)
        host_cache_cancel(cache, host->waiters);
    DL_DELETE(cache->hosts, host);
    cache->count--;
    free(host);
}

static struct host *host_find(struct host_cache *cache, const char *name)
{
    struct host *host;

    DL_FOREACH (cache->hosts, host)
        if (streq(host->name, name))
            break;
    if (host) {
        DL_DELETE(cache->hosts, host);
        DL_PREPEND(cache->hosts, host);
    }
    return host;
}

static bool cache_make_room(struct host_cache *cache)
{
    struct host *host, *oldest = NULL;

    if (cache->count < HOST_CACHE_MAX)
        return true;
    DL_FOREACH (cache->hosts, host)
        if (host->asked == 0)
            oldest = host;
    if (oldest)
        host_free(oldest);
    return oldest;
}

static struct host *host_new(struct host_cache *cache, const char *name)
{
    struct host *host = calloc(1, sizeof(*host));

    if (!host)
        return NULL;
    host->cache = cache;
    name_fold(name, NAME_SIZE, host->name, NULL);
    for (size_t i = 0; i < FAMILIES; i++)
        host->families[i].host = host;
    DL_PREPEND(cache->hosts, host);
    cache->count++;
    return host;
}

/* ---- answers ---- */

static void host_join(struct host *host)
{
    host->count = 0;
    host->expires = TTL_MAX;
    for (size_t i = 0; i < FAMILIES; i++) {
        const struct family *family = &host->families[i];

        memcpy(host->addresses + host->count, family->addresses,
               family->count * sizeof(*family->addresses));
        host->count += family->count;
        if (family->outcome != DNS_FAILED && family->ttl < host->expires)
            host->expires = family->ttl;
    }
    if (host->expires < TTL_MIN)
        host->expires = TTL_MIN;
    host->expires += clock_boottime(host->cache->event);
}

/* Both families are in. Returns why there is no address, NULL if there is one. */
static const char *host_settle(struct host *host)
{
    const struct family *families = host->families;
    bool failed = families[IPV6].outcome == DNS_FAILED || families[IPV4].outcome == DNS_FAILED;

    if (!failed || families[IPV6].count > 0 || families[IPV4].count > 0)
        host_join(host);
    if (host->count > 0)
        return NULL;
    if (failed)
        return "cannot be resolved: DNS fails";
    return families[IPV4].outcome == DNS_NXDOMAIN ? "no such host name"
                                                  : "the host name has no address";
}

static void host_tell(struct host *host, const char *error)
{
    while (host->waiters) {
        struct host_waiter waiter = *host->waiters;

        host_cache_cancel(host->cache, host->waiters);
        waiter.known(waiter.userdata, host->addresses, host->count, error);
    }
}

static void family_on_answer(void *userdata, const struct dns_result *result)
{
    struct family *family = userdata;
    struct host *host = family->host;

    family->call = NULL;
    family->outcome = result->outcome;
    family->ttl = result->ttl;
    /* Of a family that failed, the addresses known last are the best there is. */
    if (result->outcome != DNS_FAILED) {
        family->count = result->address_count < ELEMENTS(family->addresses)
                            ? result->address_count
                            : ELEMENTS(family->addresses);
        if (family->count > 0)
            memcpy(family->addresses, result->addresses,
                   family->count * sizeof(*family->addresses));
    }
    if (--host->asked == 0)
        host_tell(host, host_settle(host));
}

static int host_start(struct host *host)
{
    struct dns_question question = {
        .name = host->name, .hosts = true, .timeout = ASK_TIMEOUT, .done = family_on_answer};

    for (size_t i = 0; i < FAMILIES; i++) {
        struct family *family = &host->families[i];
        int r;

        question.type = i == IPV6 ? DNS_AAAA : DNS_A;
        question.userdata = family;
        r = dns_start(host->cache->dns, &question, &family->call);
        if (r < 0)
            return r;
        host->asked++;
    }
    return 0;
}

/* ---- the cache ---- */

int host_cache_new(struct sd_event *event, struct dns_client *dns, struct host_cache **ret_cache)
{
    struct host_cache *cache = calloc(1, sizeof(*cache));

    if (!cache)
        return -ENOMEM;
    cache->event = sd_event_ref(event);
    cache->dns = dns;
    *ret_cache = cache;
    return 0;
}

struct host_cache *host_cache_free(struct host_cache *cache)
{
    if (!cache)
        return NULL;
    while (cache->hosts)
        host_free(cache->hosts);
    sd_event_unref(cache->event);
    free(cache);
    return NULL;
}

bool host_cache_find(struct host_cache *cache, const char *name, host_known_t known, void *userdata)
{
    struct host *host = host_find(cache, name);

    if (!host || host->count == 0 || clock_boottime(cache->event) >= host->expires)
        return false;
    known(userdata, host->addresses, host->count, NULL);
    return true;
}

int host_cache_ask(struct host_cache *cache, const char *name, host_known_t known, void *userdata,
                   struct host_waiter **ret_waiter)
{
    struct host *host = host_find(cache, name);
    struct host_waiter *waiter;
    int r;

    if (!host && !cache_make_room(cache))
        return -EBUSY;
    if (!host && !(host = host_new(cache, name)))
        return -ENOMEM;
    waiter = calloc(1, sizeof(*waiter));
    if (!waiter)
        return -ENOMEM;
    *waiter = (struct host_waiter){.host = host, .known = known, .userdata = userdata};
    DL_APPEND(host->waiters, waiter);
    r = host->asked == 0 ? host_start(host) : 0;
    if (r < 0) {
        host_free(host);
        return r;
    }
    *ret_waiter = waiter;
    return 0;
}

void host_cache_cancel(struct host_cache *cache, struct host_waiter *waiter)
{
    (void)cache;
    if (!waiter)
        return;
    DL_DELETE(waiter->host->waiters, waiter);
    free(waiter);
}

void host_cache_expire(struct host_cache *cache)
{
    struct host *host;

    DL_FOREACH (cache->hosts, host)
        host->expires = 0;
}
