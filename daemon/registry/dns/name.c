/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/dns/name.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <syslog.h>

/* A refused address is told of once in this time. */
#define REFUSED_INTERVAL (3600 * USEC_PER_SEC)

static struct registry_env *env_of(const struct dns_name *name)
{
    return name->dns->registry.env;
}

/* ---- reports: each ends the asking ---- */

static void report(struct dns_name *name, const struct registry_report *report)
{
    name->busy = false;
    name->failed = report->kind == REPORT_FAILED;
    if (name->failed)
        dns_registry_failed(name->dns, name->key, report->text);
    else
        dns_registry_answered(name->dns);
    env_report(env_of(name), report);
}

static void report_failed(struct dns_name *name, const char *text)
{
    report(name, &(struct registry_report){.kind = REPORT_FAILED,
                                           .key = name->key,
                                           .failure = FAILURE_TRANSIENT,
                                           .text = text});
}

/* A TTL of 0 holds for the answer at hand: the core's MinTTLSec= is what it becomes. */
static usec_t validity(usec_t ttl)
{
    return ttl > 0 ? ttl : 1;
}

static void report_absent(struct dns_name *name, usec_t ttl)
{
    report(name, &(struct registry_report){
                     .kind = REPORT_ABSENT, .key = name->key, .validity = validity(ttl)});
}

static void report_data(struct dns_name *name, struct endpoint_builder *builder, const char *alias,
                        uint32_t flags, usec_t ttl)
{
    _cleanup_(endpoint_set_unrefp) struct endpoint_set *set = NULL;

    if (!builder || endpoint_builder_finish(builder, &set) < 0) {
        report_failed(name, "the answer is too large, or memory is short");
        return;
    }
    report(name, &(struct registry_report){.kind = REPORT_DATA,
                                           .key = name->key,
                                           .endpoints = set,
                                           .alias = set->count > 0 ? alias : NULL,
                                           .flags = flags,
                                           .validity = validity(ttl)});
}

/* ---- endpoints ---- */

static bool address_ok(struct dns_name *name, const struct address *address)
{
    const struct registry_config *config = name->dns->registry.config;
    const char *reason = registry_address_refusal(config, dns_settings_of(config)->on_machine,
                                                  address);
    usec_t now = env_now(env_of(name));
    char text[INET6_ADDRSTRLEN];

    if (!reason)
        return true;
    if (name->refused_at == 0 || now - name->refused_at >= REFUSED_INTERVAL) {
        name->refused_at = now;
        address_to_string(address, text);
        env_log(env_of(name), LOG_WARNING, name->key, "%s is refused: %s", text, reason);
    }
    return false;
}

/* Each address of the name is an instance of its own. */
static void add_family(struct dns_name *name, const struct dns_family *family,
                       struct endpoint_builder *builder)
{
    const struct address *addresses;
    size_t count = dns_host_addresses(name->self, family, &addresses);
    char text[INET6_ADDRSTRLEN];

    for (size_t i = 0; i < count; i++) {
        if (!address_ok(name, &addresses[i]))
            continue;
        address_to_string(&addresses[i], text);
        endpoint_builder_begin(builder, text);
        endpoint_builder_weight(builder, 1);
        endpoint_builder_address(builder, &addresses[i]);
    }
}

/* Returns how many there are. */
static size_t add_target_family(struct dns_name *name, const struct dns_host *host,
                                const struct dns_family *family, struct endpoint_builder *builder)
{
    const struct address *addresses;
    size_t count = dns_host_addresses(host, family, &addresses), added = 0;

    for (size_t i = 0; i < count; i++)
        if (address_ok(name, &addresses[i])) {
            endpoint_builder_address(builder, &addresses[i]);
            added++;
        }
    return added;
}

/* Nothing ties the families together but that there is one address of each: then it is one host,
 * and who gets its IPv4 address gets the other too. */
static void add_addresses(struct dns_name *name, const struct dns_host *host,
                          struct endpoint_builder *builder)
{
    const struct address *four, *six;
    char text[INET6_ADDRSTRLEN];

    if (dns_host_addresses(host, &host->four, &four) != 1 ||
        dns_host_addresses(host, &host->six, &six) != 1) {
        add_family(name, &host->four, builder);
        add_family(name, &host->six, builder);
        return;
    }
    address_to_string(four, text);
    endpoint_builder_begin(builder, text);
    endpoint_builder_weight(builder, 1);
    if (add_target_family(name, host, &host->four, builder) +
            add_target_family(name, host, &host->six, builder) ==
        0)
        endpoint_builder_abandon(builder);
}

/* "_http._tcp.NAME": the port's name and protocol; "" where the name does not say. */
static void port_words(const char *key, char ret_port[static NAME_LABEL_MAX + 1],
                       char ret_protocol[static NAME_LABEL_MAX + 1])
{
    ret_port[0] = ret_protocol[0] = '\0';
    if (sscanf(key, "_%63[^.]._%63[^.].", ret_port, ret_protocol) != 2)
        ret_port[0] = ret_protocol[0] = '\0';
}

static void add_target(struct dns_name *name, const struct dns_target *target,
                       struct endpoint_builder *builder)
{
    const struct dns_srv *record = &target->record;
    char port[NAME_LABEL_MAX + 1], protocol[NAME_LABEL_MAX + 1], text[NAME_SIZE + 8];

    port_words(name->key, port, protocol);
    snprintf(text, sizeof(text), "%s:%u", record->target, record->port);
    endpoint_builder_begin(builder, text);
    endpoint_builder_node(builder, record->target);
    endpoint_builder_port(builder, port, protocol, record->port);
    endpoint_builder_priority(builder, record->priority);
    /* RFC 2782: weight 0 has a very small chance, not none. */
    endpoint_builder_weight(builder, record->weight > 0 ? record->weight * 10u : 1);
    if (add_target_family(name, target->host, &target->host->four, builder) +
            add_target_family(name, target->host, &target->host->six, builder) ==
        0)
        endpoint_builder_abandon(builder);
}

/* ---- the name itself ---- */

static void self_on_done(struct dns_host *host)
{
    _cleanup_(endpoint_builder_freep) struct endpoint_builder *builder = NULL;
    struct dns_name *name = host->owner;
    uint32_t flags = REPORT_SINGULAR;

    switch (dns_host_state(host)) {
    case DNS_HOST_FAILED:
        report_failed(name, host->text);
        return;
    case DNS_HOST_ABSENT:
        report_absent(name, dns_host_ttl(host));
        return;
    case DNS_HOST_DATA:
        break;
    }
    builder = endpoint_builder_new();
    if (builder)
        add_addresses(name, host, builder);
    if (dns_host_undecided(host, &host->four))
        flags |= REPORT_IPV4_UNDECIDED;
    if (dns_host_undecided(host, &host->six))
        flags |= REPORT_IPV6_UNDECIDED;
    report_data(name, builder,
                host->canonical[0] && !streq(host->canonical, name->key) ? host->canonical : NULL,
                flags, dns_host_ttl(host));
}

/* An asking that cannot begin is told of from the loop. */
static void fail_later(struct dns_name *name)
{
    env_defer(env_of(name), &name->later);
}

static void on_later(struct env_timer *timer)
{
    report_failed(timer->owner, "the question cannot be sent");
}

static void ask_self(struct dns_name *name)
{
    if (!name->self)
        name->self = dns_host_new(name->dns, name->key, self_on_done, name);
    if (name->self)
        dns_host_begin(name->self);
    if (!name->self || dns_host_ask(name->self) < 0)
        fail_later(name);
}

/* ---- SRV ---- */

static bool all_failed(const struct dns_name *name)
{
    for (size_t i = 0; i < name->host_count; i++)
        if (dns_host_state(name->hosts[i]) != DNS_HOST_FAILED ||
            !dns_host_undecided(name->hosts[i], &name->hosts[i]->four) ||
            !dns_host_undecided(name->hosts[i], &name->hosts[i]->six))
            return false;
    return true;
}

/* No target has an address of the family, but one of them might. */
static bool family_is_undecided(const struct dns_name *name, bool six)
{
    const struct address *unused;
    bool undecided = false;

    for (size_t i = 0; i < name->host_count; i++) {
        const struct dns_host *host = name->hosts[i];
        const struct dns_family *family = six ? &host->six : &host->four;

        if (dns_host_addresses(host, family, &unused) > 0)
            return false;
        undecided |= dns_host_undecided(host, family);
    }
    return undecided;
}

static void targets_finish(struct dns_name *name)
{
    _cleanup_(endpoint_builder_freep) struct endpoint_builder *builder = NULL;
    usec_t ttl = name->ttl;
    uint32_t flags = 0;

    if (all_failed(name)) {
        report_failed(name, name->hosts[0]->text);
        return;
    }
    builder = endpoint_builder_new();
    for (size_t i = 0; builder && i < name->target_count; i++) {
        const struct dns_host *host = name->targets[i].host;
        usec_t own = dns_host_ttl(host);

        add_target(name, &name->targets[i], builder);
        if (dns_host_state(host) == DNS_HOST_DATA && own < ttl)
            ttl = own;
    }
    if (family_is_undecided(name, false))
        flags |= REPORT_IPV4_UNDECIDED;
    if (family_is_undecided(name, true))
        flags |= REPORT_IPV6_UNDECIDED;
    report_data(name, builder, NULL, flags, ttl);
}

/* Asks for the next targets; ends the asking when none is left. */
static void targets_continue(struct dns_name *name)
{
    while (name->hosts_open < DNS_PARALLEL_MAX && name->host_next < name->host_count) {
        struct dns_host *host = name->hosts[name->host_next++];

        if (!dns_host_told(host) && dns_host_ask(host) == 0)
            name->hosts_open++;
    }
    if (name->hosts_open == 0)
        targets_finish(name);
}

static void target_on_done(struct dns_host *host)
{
    struct dns_name *name = host->owner;

    name->hosts_open--;
    targets_continue(name);
}

static void targets_clear(struct dns_name *name)
{
    for (size_t i = 0; i < name->host_count; i++)
        dns_host_free(name->hosts[i]);
    name->host_count = name->target_count = 0;
}

/* The host of this name: one of `old` (what is known of it stays known), or a new one. */
static struct dns_host *target_host(struct dns_name *name, struct dns_host **old, size_t old_count,
                                    const char *text)
{
    struct dns_host *host = NULL;

    for (size_t i = 0; i < name->host_count; i++)
        if (streq(name->hosts[i]->name, text))
            return name->hosts[i];
    for (size_t i = 0; i < old_count && !host; i++)
        if (old[i] && streq(old[i]->name, text)) {
            host = old[i];
            old[i] = NULL;
        }
    host = host ?: dns_host_new(name->dns, text, target_on_done, name);
    if (!host)
        return NULL;
    dns_host_begin(host);
    name->hosts[name->host_count++] = host;
    return host;
}

static bool extra_has(const struct dns_result *result, const char *host)
{
    for (size_t i = 0; i < result->extra_count; i++)
        if (streq(result->extra[i].name, host))
            return true;
    return false;
}

static int srv_compare(const void *a, const void *b)
{
    const struct dns_srv *one = a, *two = b;

    return one->priority < two->priority ? -1 : one->priority > two->priority;
}

/* False: out of memory. */
static bool targets_take(struct dns_name *name, const struct dns_result *result)
{
    size_t count = result->service_count, old_count = name->host_count;
    struct dns_srv *records = malloc(count * sizeof(*records) + 1);
    struct dns_host *old[DNS_TARGETS_MAX];
    bool ok = records;

    memcpy(old, name->hosts, old_count * sizeof(*old));
    name->host_count = name->target_count = name->host_next = 0;
    if (ok) {
        memcpy(records, result->services, count * sizeof(*records));
        qsort(records, count, sizeof(*records), srv_compare);
    }
    for (size_t i = 0; ok && i < count && name->target_count < DNS_TARGETS_MAX; i++) {
        struct dns_host *host;

        if (records[i].target[0] == '\0')
            continue;
        host = target_host(name, old, old_count, records[i].target);
        ok = host;
        if (host)
            name->targets[name->target_count++] = (struct dns_target){.record = records[i],
                                                                      .host = host};
    }
    for (size_t i = 0; i < name->host_count; i++)
        if (extra_has(result, name->hosts[i]->name))
            dns_host_take(name->hosts[i], result->extra, result->extra_count, result->ttl);
    for (size_t i = 0; i < old_count; i++)
        dns_host_free(old[i]);
    free(records);
    return ok;
}

static bool is_service_name(const char *key)
{
    char port[NAME_LABEL_MAX + 1], protocol[NAME_LABEL_MAX + 1];

    port_words(key, port, protocol);
    return port[0] != '\0';
}

static void srv_on_done(void *userdata, const struct dns_result *result)
{
    struct dns_name *name = userdata;

    name->call = NULL;
    switch (result->outcome) {
    case DNS_FAILED:
        report_failed(name, result->text);
        return;
    case DNS_NXDOMAIN:
        targets_clear(name);
        report_absent(name, result->ttl);
        return;
    case DNS_NODATA:
        targets_clear(name);
        /* A host, not a service. */
        if (is_service_name(name->key))
            report_data(name, endpoint_builder_new(), NULL, 0, result->ttl);
        else
            ask_self(name);
        return;
    case DNS_DATA:
        break;
    }
    name->ttl = result->ttl;
    if (!targets_take(name, result))
        report_failed(name, "out of memory");
    else if (name->target_count == 0)
        report_absent(name, result->ttl); /* the root as the only target: decidedly not there */
    else
        targets_continue(name);
}

static int ask_srv(struct dns_name *name)
{
    const struct dns_settings *settings = dns_registry_settings(name->dns);
    struct dns_question question = {
        .name = name->key,
        .type = DNS_SRV,
        .servers = settings->joined,
        .tcp = settings->force_tcp,
        .timeout = settings->timeout,
        .done = srv_on_done,
        .userdata = name,
    };

    return env_of(name)->ops->dns_start(env_of(name), &question, &name->call);
}

/* ---- life ---- */

void dns_name_ask(struct dns_name *name)
{
    if (name->busy)
        return;
    name->busy = true;
    if (!dns_registry_settings(name->dns)->srv && !is_service_name(name->key))
        ask_self(name);
    else if (ask_srv(name) < 0)
        fail_later(name);
}

struct dns_name *dns_name_new(struct dns_registry *dns, const char *key)
{
    size_t length = strlen(key);
    struct dns_name *name = calloc(1, sizeof(*name) + length + 1);

    if (!name)
        return NULL;
    name->dns = dns;
    name->later = (struct env_timer){.fire = on_later, .owner = name};
    memcpy(name->key, key, length + 1);
    return name;
}

struct dns_name *dns_name_free(struct dns_name *name)
{
    if (!name)
        return NULL;
    if (name->call)
        env_of(name)->ops->dns_cancel(env_of(name), name->call);
    env_timer_off(env_of(name), &name->later);
    dns_host_free(name->self);
    targets_clear(name);
    free(name);
    return NULL;
}
