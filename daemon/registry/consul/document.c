/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Consul's JSON documents to endpoints (document.h). */
#include "daemon/registry/consul/document.h"

#include <stdio.h>

#include "daemon/registry/consul/names.h"
#include "daemon/registry/json.h"

/* What one document is being turned into. */
struct work {
    struct endpoint_builder *builder;
    const struct consul_document_rules *rules;
    struct consul_document *document;
    const char *datacenter;      /* of the whole answer; NULL: each node says its own */
    enum endpoint_checks checks; /* of the entry that is read */
};

static void freep_json(json_t **value)
{
    json_decref(*value);
}

static void work_skip(struct work *work, const char *instance, const char *reason)
{
    struct consul_document *document = work->document;

    document->skipped++;
    if (document->reason[0] == '\0')
        snprintf(document->reason, sizeof(document->reason), "%.60s: %.90s",
                 instance[0] ? instance : "an instance without id", reason);
}

static void copy_place(char ret_place[static CONSUL_PLACE_SIZE], const char *text)
{
    if (strlen(text) < CONSUL_PLACE_SIZE)
        strcpy(ret_place, text);
}

/* ---- addresses ---- */

/* Which of an instance's addresses a reader in our place must use. */
enum address_rule {
    ADDRESS_LAN,   /* the agent's own datacentre, or not known */
    ADDRESS_WAN,   /* another datacentre */
    ADDRESS_AS_IS, /* another one, and the agent has translated already */
};

/* What a peer exports is meant to be reached as it is written. */
static enum address_rule address_rule(const struct work *work, const json_t *node)
{
    const char *there = work->datacenter ?: registry_json_text(node, "Datacenter");
    const char *here = work->rules->own_datacenter;

    if (!there[0] || !here[0] || streq(there, here) || registry_json_text(node, "PeerName")[0])
        return ADDRESS_LAN;
    return work->rules->translated ? ADDRESS_AS_IS : ADDRESS_WAN;
}

/* Where an instance can be reached: one family, or a host name for any. */
struct place {
    const char *text; /* NULL: nowhere */
    uint16_t port;    /* of a tagged address; 0: the service's */
};

/* A tagged address: a string (nodes) or an object {Address, Port} in either case (services). */
static struct place tagged(const json_t *owner, const char *tag)
{
    const json_t *value = json_object_get(json_object_get(owner, "TaggedAddresses"), tag);
    const char *text = registry_json_text(json_object_get(owner, "TaggedAddresses"), tag);
    uint16_t port = 0;

    if (json_is_object(value)) {
        text = registry_json_text(value, "Address");
        port = (uint16_t)registry_json_number(value, "Port", 1, UINT16_MAX, 0);
        if (text[0] == '\0') {
            text = registry_json_text(value, "address");
            port = (uint16_t)registry_json_number(value, "port", 1, UINT16_MAX, 0);
        }
    }
    return (struct place){text[0] ? text : NULL, port};
}

static struct place untagged(const json_t *owner)
{
    const char *text = registry_json_text(owner, "Address");

    return (struct place){text[0] ? text : NULL, 0};
}

/* Can a lookup of `family` use this place? Host names can: they are resolved for each family. */
static bool place_serves(struct place place, int family)
{
    struct address address;
    char name[NAME_SIZE];

    if (!place.text)
        return false;
    if (address_from_string(place.text, &address) == 0)
        return address.family == family;
    return registry_host_name(place.text, name);
}

static bool place_is_name(struct place place)
{
    return place_serves(place, AF_INET) && place_serves(place, AF_INET6);
}

/* The first place that serves `family`, `service` may be NULL (a node alone).
 */
static struct place place_find(const json_t *node, const json_t *service, int family,
                               enum address_rule rule)
{
    bool v4 = family == AF_INET;
    const char *lan = v4 ? "lan_ipv4" : "lan_ipv6", *wan = v4 ? "wan_ipv4" : "wan_ipv6";
    const json_t *owners[] = {service, node};

    for (size_t i = 0; i < ELEMENTS(owners); i++) {
        struct place candidates[] = {
            rule == ADDRESS_WAN ? tagged(owners[i], wan) : (struct place){0},
            rule == ADDRESS_WAN ? tagged(owners[i], "wan") : (struct place){0},
            rule == ADDRESS_LAN ? tagged(owners[i], lan) : (struct place){0},
            untagged(owners[i]),
        };

        for (size_t k = 0; k < ELEMENTS(candidates); k++)
            if (place_serves(candidates[k], family))
                return candidates[k];
        if (owners[i] && untagged(owners[i]).text)
            break; /* a service with an address of its own is not on its node's */
    }
    return (struct place){0};
}

static const char *refusal(const struct work *work, const struct address *address)
{
    for (size_t i = 0; i < work->rules->allow_count; i++)
        if (address_prefix_contains(&work->rules->allow[i], address))
            return NULL;
    return address_refusal(address, work->rules->loopback);
}

/* Adds a place to the endpoint begun last. NULL, or why it is of no use. */
static const char *add_place(struct work *work, struct place place)
{
    struct address address;
    char name[NAME_SIZE];
    const char *reason;

    if (registry_host_name(place.text, name)) {
        endpoint_builder_target(work->builder, name);
        return NULL;
    }
    if (address_from_string(place.text, &address) < 0)
        return "no address";
    reason = refusal(work, &address);
    if (!reason)
        endpoint_builder_address(work->builder, &address);
    return reason;
}

/* ---- what else an instance has ---- */

static enum endpoint_health check_health(const json_t *check)
{
    const char *id = registry_json_text(check, "CheckID");
    const char *status = registry_json_text(check, "Status");

    if (streq(id, "_node_maintenance") || strncmp(id, "_service_maintenance:", 21) == 0)
        return HEALTH_MAINTENANCE;
    if (streq(status, "passing"))
        return HEALTH_PASSING;
    if (streq(status, "warning"))
        return HEALTH_WARNING;
    return streq(status, "critical") ? HEALTH_CRITICAL : HEALTH_UNKNOWN;
}

/* The worst of all checks counts: the words of enum endpoint_health stand in this order. */
static enum endpoint_health health_of(const json_t *checks)
{
    enum endpoint_health worst = HEALTH_PASSING;
    const json_t *check;
    size_t i;

    json_array_foreach (checks, i, check) {
        enum endpoint_health health = check_health(check);

        if (health > worst)
            worst = health;
    }
    return worst;
}

/* Checks of the node alone do not tell whether the instance works. */
static enum endpoint_checks checks_of(const json_t *checks)
{
    const json_t *check;
    size_t i;

    json_array_foreach (checks, i, check)
        if (registry_json_text(check, "ServiceID")[0])
            return CHECKS_SOME;
    return json_is_array(checks) ? CHECKS_NONE : CHECKS_NOT_TOLD;
}

/*
 * Weights follow health. Zero, which only Warning may be, means: not to be handed out. An instance
 * that is not handed out anyway keeps its passing weight, for policies that use it when nothing
 * else is left.
 */
static uint32_t weight_of(const json_t *service, enum endpoint_health health)
{
    const json_t *weights = json_object_get(service, "Weights");

    if (health == HEALTH_WARNING)
        return (uint32_t)registry_json_number(weights, "Warning", 0, UINT16_MAX, 1);
    return (uint32_t)registry_json_number(weights, "Passing", 1, UINT16_MAX, 1);
}

static const char *zone_of_meta(const json_t *owner, char *const *keys)
{
    const json_t *meta = json_object_get(owner, "Meta");

    for (; keys && *keys; keys++)
        if (registry_json_text(meta, *keys)[0])
            return registry_json_text(meta, *keys);
    return "";
}

static void add_locality(struct work *work, const json_t *node, const json_t *service)
{
    const json_t *places[] = {json_object_get(service, "Locality"),
                              json_object_get(node, "Locality")};
    const char *zone = "", *region = "";

    for (size_t i = 0; i < ELEMENTS(places) && !zone[0]; i++) {
        zone = registry_json_text(places[i], "Zone");
        region = registry_json_text(places[i], "Region");
    }
    if (!zone[0])
        zone = zone_of_meta(service, work->rules->zone_meta);
    if (!zone[0])
        zone = zone_of_meta(node, work->rules->zone_meta);
    endpoint_builder_locality(work->builder, zone, region);
}

static void add_tags(struct work *work, const json_t *service)
{
    const json_t *tags = json_object_get(service, "Tags"), *tag;
    size_t i, count = 0;

    json_array_foreach (tags, i, tag) {
        const char *text = json_string_value(tag);

        if (text && text[0] && strlen(text) == json_string_length(tag) &&
            json_string_length(tag) < ENDPOINT_STRING_MAX && count++ < ENDPOINT_TAGS_MAX)
            endpoint_builder_tag(work->builder, text);
    }
}

/* The main port (`Port`, else the default of `Ports`, else the only one), 0 if there is none. */
static uint16_t main_port(const json_t *service)
{
    const json_t *ports = json_object_get(service, "Ports"), *port;
    long long number = registry_json_number(service, "Port", 1, UINT16_MAX, 0);
    size_t i;

    if (number == 0)
        json_array_foreach (ports, i, port) {
            if (json_array_size(ports) == 1 || json_is_true(json_object_get(port, "Default")))
                return (uint16_t)registry_json_number(port, "Port", 1, UINT16_MAX, 0);
        }
    return (uint16_t)number;
}

/* Main port first, then the named ones that differ from it. */
static void add_ports(struct work *work, const json_t *service, uint16_t number)
{
    const json_t *ports = json_object_get(service, "Ports"), *port;
    const char *name = "";
    size_t i;

    json_array_foreach (ports, i, port) {
        if (number != 0 && registry_json_number(port, "Port", 1, UINT16_MAX, 0) == number)
            name = registry_json_text(port, "Name");
    }
    if (number != 0)
        endpoint_builder_port(work->builder, name, "", number);
    json_array_foreach (ports, i, port) {
        uint16_t other = (uint16_t)registry_json_number(port, "Port", 1, UINT16_MAX, 0);

        if (other != 0 && other != number && i < ENDPOINT_PORTS_MAX - 1)
            endpoint_builder_port(work->builder, registry_json_text(port, "Name"), "", other);
    }
}

/* ---- instances ---- */

/* The one or two places of an instance; a host name beside an address gives way to it. */
static size_t places_find(const json_t *node, const json_t *service, enum address_rule rule,
                          struct place ret_places[static 2])
{
    struct place v4 = place_find(node, service, AF_INET, rule);
    struct place v6 = place_find(node, service, AF_INET6, rule);
    size_t count = 0;

    if (v4.text && !(place_is_name(v4) && v6.text))
        ret_places[count++] = v4;
    if (v6.text && !(place_is_name(v6) && count > 0))
        ret_places[count++] = v6;
    return count;
}

/* Makes one endpoint of places that share a port. NULL, or why none of them is of use. */
static const char *add_endpoint(struct work *work, const json_t *node, const json_t *service,
                                enum endpoint_health health, const struct place *places,
                                size_t count)
{
    const char *id = registry_json_text(service, "ID"), *refused = NULL;
    size_t used = 0;

    endpoint_builder_begin(work->builder, id[0] ? id : registry_json_text(node, "Node"));
    for (size_t i = 0; i < count; i++) {
        const char *reason = add_place(work, places[i]);

        used += reason == NULL;
        refused = refused ?: reason;
    }
    if (used == 0) {
        endpoint_builder_abandon(work->builder);
        return refused;
    }
    endpoint_builder_node(work->builder, registry_json_text(node, "Node"));
    endpoint_builder_health(work->builder, health);
    endpoint_builder_checks(work->builder, work->checks);
    endpoint_builder_weight(work->builder, weight_of(service, health));
    add_locality(work, node, service);
    add_tags(work, service);
    add_ports(work, service, places[0].port ?: main_port(service));
    return NULL;
}

/*
 * Makes the endpoints of an instance: one, or two where its IPv4 and its IPv6 address have ports of
 * their own. Returns NULL, or why the instance is of no use.
 */
static const char *add_instance(struct work *work, const json_t *node, const json_t *service,
                                enum endpoint_health health)
{
    struct place places[2];
    size_t count = places_find(node, service, address_rule(work, node), places);
    const char *reason, *other;

    if (count == 0 && registry_json_text(service, "SocketPath")[0])
        return "a unix socket";
    if (count == 0)
        return untagged(service).text ? "neither an address nor a host name" : "no address";
    if (count == 1 || places[0].port == places[1].port)
        return add_endpoint(work, node, service, health, places, count);
    reason = add_endpoint(work, node, service, health, &places[0], 1);
    other = add_endpoint(work, node, service, health, &places[1], 1);
    return reason && other ? reason : NULL;
}

/* What makes an entry of a health or query document unusable before any address is looked at. */
static const char *entry_fault(const json_t *node, const json_t *service, const json_t *checks)
{
    if (!json_is_object(node) || !json_is_object(service))
        return "no Node or no Service object";
    if (registry_json_text_is_bad(service, "ID") || registry_json_text_is_bad(node, "Node"))
        return "a bad ID or Node";
    if (registry_json_text_is_bad(service, "Address") || registry_json_text_is_bad(node, "Address"))
        return "a bad Address";
    if (checks && !json_is_null(checks) && !json_is_array(checks))
        return "Checks is no list";
    return NULL;
}

static void add_entry(struct work *work, const json_t *entry)
{
    const json_t *node = json_object_get(entry, "Node"),
                 *service = json_object_get(entry, "Service");
    const json_t *checks = json_object_get(entry, "Checks");
    const char *reason = entry_fault(node, service, checks);

    work->document->entries++;
    work->checks = checks_of(checks);
    if (!reason)
        reason = add_instance(work, node, service, health_of(checks));
    if (reason)
        work_skip(work, registry_json_text(service, "ID"), reason);
    else if (work->document->datacenter[0] == '\0')
        copy_place(work->document->datacenter, registry_json_text(node, "Datacenter"));
}

/* ---- documents ---- */

static int work_begin(struct work *work, const struct consul_document_rules *rules,
                      struct consul_document *document)
{
    *document = (struct consul_document){0};
    *work = (struct work){.builder = endpoint_builder_new(), .rules = rules, .document = document};
    return work->builder ? 0 : -ENOMEM;
}

/* Ends with what went well so far (r = 0) or with the error. */
static int work_end(struct work *work, int r)
{
    if (r == 0)
        r = endpoint_builder_finish(work->builder, &work->document->endpoints);
    endpoint_builder_free(work->builder);
    return r;
}

int consul_document_health(const char *data, size_t size, const struct consul_document_rules *rules,
                           struct consul_document *ret_document)
{
    struct work work;
    json_t *entry;
    size_t at = 0;
    int r = work_begin(&work, rules, ret_document);

    if (r < 0)
        return r;
    while ((r = registry_json_next(data, size, &at, &entry)) > 0) {
        add_entry(&work, entry);
        json_decref(entry);
    }
    return work_end(&work, r);
}

int consul_document_query(const char *data, size_t size, const struct consul_document_rules *rules,
                          struct consul_document *ret_document)
{
    _cleanup_(freep_json) json_t *root = registry_json_parse(data, size);
    const json_t *nodes = json_object_get(root, "Nodes"), *entry;
    struct work work;
    size_t i;
    int r = work_begin(&work, rules, ret_document);

    if (r < 0)
        return r;
    if (!json_is_array(nodes) && !json_is_null(nodes))
        return work_end(&work, -EBADMSG);
    work.datacenter = registry_json_text(root, "Datacenter");
    copy_place(ret_document->datacenter, work.datacenter);
    json_array_foreach (nodes, i, entry)
        add_entry(&work, entry);
    if (consul_duration_from_string(registry_json_text(json_object_get(root, "DNS"), "TTL"),
                                    &ret_document->ttl) < 0)
        ret_document->ttl = 0;
    return work_end(&work, 0);
}

int consul_document_node(const char *data, size_t size, const struct consul_document_rules *rules,
                         struct consul_document *ret_document)
{
    _cleanup_(freep_json) json_t *root = registry_json_parse(data, size);
    const json_t *node = json_object_get(root, "Node");
    const char *reason = "a bad Address";
    struct work work;
    int r = work_begin(&work, rules, ret_document);

    if (r < 0)
        return r;
    if (json_is_null(root))
        return work_end(&work, -ENOENT);
    if (!json_is_object(node))
        return work_end(&work, -EBADMSG);
    ret_document->entries = 1;
    if (!registry_json_text_is_bad(node, "Node") && !registry_json_text_is_bad(node, "Address"))
        reason = add_instance(&work, node, NULL, HEALTH_PASSING);
    if (reason)
        work_skip(&work, registry_json_text(node, "Node"), reason);
    copy_place(ret_document->datacenter, registry_json_text(node, "Datacenter"));
    return work_end(&work, 0);
}

int consul_document_address(const char *hex, const struct consul_document_rules *rules,
                            struct endpoint_set **ret_set)
{
    struct consul_document document;
    struct address address;
    struct work work;
    int r = work_begin(&work, rules, &document);

    if (r < 0)
        return r;
    r = consul_hex_address(hex, &address);
    if (r == 0 && !refusal(&work, &address)) {
        endpoint_builder_begin(work.builder, hex);
        endpoint_builder_address(work.builder, &address);
    }
    r = work_end(&work, r);
    *ret_set = document.endpoints;
    return r;
}

void consul_document_done(struct consul_document *document)
{
    document->endpoints = endpoint_set_unref(document->endpoints);
}

int consul_document_services(const char *data, size_t size, json_t **ret_services)
{
    json_t *root = registry_json_parse(data, size);

    if (!json_is_object(root)) {
        json_decref(root);
        return -EBADMSG;
    }
    *ret_services = root;
    return 0;
}

/* ---- places ---- */

int consul_document_self(const char *data, size_t size, char *const *zone_meta,
                         struct consul_place *ret_place)
{
    _cleanup_(freep_json) json_t *root = registry_json_parse(data, size);
    const json_t *config = json_object_get(root, "Config");
    const char *node = registry_json_text(config, "NodeName");

    *ret_place = (struct consul_place){0};
    if (!json_is_object(config))
        return -EBADMSG;
    copy_place(ret_place->datacenter, registry_json_text(config, "Datacenter"));
    if (strlen(node) < sizeof(ret_place->node))
        strcpy(ret_place->node, node);
    copy_place(ret_place->zone, zone_of_meta(root, zone_meta));
    return 0;
}

int consul_document_node_place(const char *data, size_t size, char *const *zone_meta,
                               struct consul_place *place)
{
    _cleanup_(freep_json) json_t *root = registry_json_parse(data, size);
    const json_t *node = json_object_get(root, "Node");
    const json_t *locality = json_object_get(node, "Locality");

    if (!json_is_object(node))
        return -EBADMSG;
    copy_place(place->zone, registry_json_text(locality, "Zone"));
    copy_place(place->region, registry_json_text(locality, "Region"));
    if (place->zone[0] == '\0')
        copy_place(place->zone, zone_of_meta(node, zone_meta));
    return 0;
}

int consul_document_trust_domain(const char *data, size_t size, char ret_domain[static NAME_SIZE])
{
    _cleanup_(freep_json) json_t *root = registry_json_parse(data, size);
    char domain[NAME_SIZE];

    if (name_fold(registry_json_text(root, "TrustDomain"), SIZE_MAX, domain, NULL) == 0)
        return -EBADMSG;
    strcpy(ret_domain, domain);
    return 0;
}

/* ---- durations ---- */

static const struct {
    const char *unit;
    double usec;
} duration_units[] = {
    {"ns", 0.001}, {"us", 1}, {"ms", 1000}, {"s", 1e6}, {"m", 60e6}, {"h", 3600e6},
};

int consul_duration_from_string(const char *text, usec_t *ret_usec)
{
    double total = 0;

    if (streq(text, "0")) {
        *ret_usec = 0;
        return 0;
    }
    if (text[0] == '\0')
        return -EINVAL;
    while (*text) {
        size_t digits = strspn(text, "0123456789."), unit, i;
        double value;
        char *end;

        value = strtod(text, &end);
        if (digits == 0 || digits > 20 || end != text + digits)
            return -EINVAL;
        text = end;
        unit = strspn(text, "nsumh");
        for (i = 0; i < ELEMENTS(duration_units); i++)
            if (strlen(duration_units[i].unit) == unit &&
                memcmp(text, duration_units[i].unit, unit) == 0)
                break;
        if (i == ELEMENTS(duration_units))
            return -EINVAL;
        total += value * duration_units[i].usec;
        text += unit;
    }
    if (total > 1e15) /* 30 years */
        return -EINVAL;
    *ret_usec = (usec_t)total;
    return 0;
}
