/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/dns/host.h"

#include <arpa/inet.h>
#include <stdio.h>

/* How long a family that fails keeps its addresses beside one that answers. */
#define FAMILY_KEPT (24 * 3600 * USEC_PER_SEC)
/* A target without this family is not asked for it more often, whatever its SOA says. */
#define ABSENT_MIN (30 * USEC_PER_SEC)

static struct registry_env *env_of(const struct dns_host *host)
{
    return host->dns->registry.env;
}

struct dns_host *dns_host_new(struct dns_registry *dns, const char *name,
                              void (*done)(struct dns_host *host), void *owner)
{
    struct dns_host *host = calloc(1, sizeof(*host));

    if (!host)
        return NULL;
    host->dns = dns;
    host->name = strdup(name);
    host->done = done;
    host->owner = owner;
    host->four.host = host->six.host = host;
    return host->name ? host : dns_host_free(host);
}

static void family_cancel(struct dns_family *family)
{
    if (family->call)
        env_of(family->host)->ops->dns_cancel(env_of(family->host), family->call);
    family->call = NULL;
}

struct dns_host *dns_host_free(struct dns_host *host)
{
    if (!host)
        return NULL;
    family_cancel(&host->four);
    family_cancel(&host->six);
    free(host->four.addresses);
    free(host->six.addresses);
    free(host->name);
    free(host);
    return NULL;
}

static void family_know(struct dns_family *family, const struct address *addresses, size_t count)
{
    struct address *copy = malloc(count * sizeof(*copy) + 1);

    if (!copy) {
        family->outcome = DNS_FAILED;
        return;
    }
    if (count > 0)
        memcpy(copy, addresses, count * sizeof(*copy));
    free(family->addresses);
    family->addresses = copy;
    family->count = count;
    family->known_at = env_now(env_of(family->host));
}

static void family_on_done(void *userdata, const struct dns_result *result)
{
    struct dns_family *family = userdata;
    struct dns_host *host = family->host;

    family->call = NULL;
    family->told = true;
    family->outcome = result->outcome;
    family->ttl = result->ttl;
    if (result->outcome == DNS_FAILED)
        snprintf(host->text, sizeof(host->text), "%s", result->text);
    else
        family_know(family, result->addresses,
                    result->outcome == DNS_DATA ? result->address_count : 0);
    if (result->outcome == DNS_NODATA)
        family->absent_until = usec_add(env_now(env_of(host)),
                                        result->ttl > ABSENT_MIN ? result->ttl : ABSENT_MIN);
    if (result->outcome == DNS_DATA && result->canonical)
        snprintf(host->canonical, sizeof(host->canonical), "%s", result->canonical);
    if (!host->four.call && !host->six.call)
        host->done(host);
}

static int family_ask(struct dns_family *family, enum dns_type type)
{
    struct dns_host *host = family->host;
    const struct dns_settings *settings = dns_registry_settings(host->dns);
    struct dns_question question = {
        .name = host->name,
        .type = type,
        .servers = settings->joined,
        .tcp = settings->force_tcp,
        .timeout = settings->timeout,
        .done = family_on_done,
        .userdata = family,
    };

    return env_of(host)->ops->dns_start(env_of(host), &question, &family->call);
}

void dns_host_begin(struct dns_host *host)
{
    host->canonical[0] = host->text[0] = '\0';
    host->four.told = host->six.told = false;
    host->four.outcome = host->six.outcome = DNS_FAILED;
}

bool dns_host_told(const struct dns_host *host)
{
    return host->four.told && host->six.told;
}

int dns_host_ask(struct dns_host *host)
{
    int r = 0;

    if (!host->four.told)
        r = family_ask(&host->four, DNS_A);
    if (r == 0 && !host->six.told)
        r = family_ask(&host->six, DNS_AAAA);
    if (r < 0)
        family_cancel(&host->four);
    return r;
}

void dns_host_take(struct dns_host *host, const struct dns_extra *extra, size_t count, usec_t ttl)
{
    struct dns_family *families[] = {&host->four, &host->six};
    struct address *addresses = malloc(count * sizeof(*addresses) + 1);

    for (size_t f = 0; f < ELEMENTS(families); f++) {
        struct dns_family *family = families[f];
        size_t found = 0;

        for (size_t i = 0; addresses && i < count; i++)
            if (streq(extra[i].name, host->name) &&
                extra[i].address.family == (f == 0 ? AF_INET : AF_INET6))
                addresses[found++] = extra[i].address;
        if (found == 0 && env_now(env_of(host)) >= family->absent_until)
            continue;
        family->told = true;
        family->outcome = found > 0 ? DNS_DATA : DNS_NODATA;
        family->ttl = ttl;
        family_know(family, addresses, found);
    }
    free(addresses);
}

enum dns_host_state dns_host_state(const struct dns_host *host)
{
    enum dns_outcome four = host->four.outcome, six = host->six.outcome;

    if (four == DNS_DATA || six == DNS_DATA)
        return DNS_HOST_DATA;
    /* It is for the name, whatever the type (RFC 8020); servers that say it of AAAA alone exist. */
    if (four == DNS_NXDOMAIN || (six == DNS_NXDOMAIN && four != DNS_NODATA))
        return DNS_HOST_ABSENT;
    return four == DNS_FAILED && six == DNS_FAILED ? DNS_HOST_FAILED : DNS_HOST_DATA;
}

usec_t dns_host_ttl(const struct dns_host *host)
{
    usec_t four = host->four.outcome == DNS_FAILED ? USEC_INFINITY : host->four.ttl;
    usec_t six = host->six.outcome == DNS_FAILED ? USEC_INFINITY : host->six.ttl;

    /* The negative TTL of one family does not shorten the other's addresses. */
    if (host->four.outcome == DNS_DATA && host->six.outcome != DNS_DATA)
        return four;
    if (host->six.outcome == DNS_DATA && host->four.outcome != DNS_DATA)
        return six;
    return four < six ? four : six;
}

/* Failed now, known not long ago. */
static bool family_kept(const struct dns_host *host, const struct dns_family *family)
{
    return family->outcome == DNS_FAILED && family->known_at > 0 &&
           env_now(env_of(host)) - family->known_at < FAMILY_KEPT;
}

size_t dns_host_addresses(const struct dns_host *host, const struct dns_family *family,
                          const struct address **ret_addresses)
{
    *ret_addresses = family->addresses;
    return family->outcome == DNS_DATA || family_kept(host, family) ? family->count : 0;
}

bool dns_host_undecided(const struct dns_host *host, const struct dns_family *family)
{
    return family->outcome == DNS_FAILED && !family_kept(host, family);
}
