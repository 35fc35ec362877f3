/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The documents of Eureka (document.h). */
#include "daemon/registry/eureka/document.h"

#include <stdio.h>

#include "daemon/registry/eureka/locality.h"
#include "daemon/registry/json.h"

enum {
    APPLICATION_MAX = 32 << 20, /* bytes: 10,000 instances and more */
    INSTANCE_MAX = 256 << 10,
};

static void freep_json(json_t **value)
{
    json_decref(*value);
}

/* ---- lax members ---- */

/* A number, or one in a string. */
static uint64_t number_lax(const json_t *value, uint64_t maximum)
{
    const char *text = json_string_value(value);
    unsigned long long number;
    char *end;

    if (json_is_integer(value))
        return json_integer_value(value) > 0 && (uint64_t)json_integer_value(value) <= maximum
                   ? (uint64_t)json_integer_value(value)
                   : 0;
    if (!text || text[0] < '0' || text[0] > '9')
        return 0;
    errno = 0;
    number = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && number <= maximum ? number : 0;
}

/* {"$":7001,"@enabled":"true"}; 0 where it is not enabled. */
static uint16_t port_of(const json_t *instance, const char *key)
{
    const json_t *port = json_object_get(instance, key);
    const json_t *enabled = json_object_get(port, "@enabled");

    if (!json_is_object(port))
        return (uint16_t)number_lax(port, UINT16_MAX);
    if (enabled && !json_is_true(enabled) && !streq(json_string_value(enabled) ?: "", "true"))
        return 0;
    return (uint16_t)number_lax(json_object_get(port, "$"), UINT16_MAX);
}

static const json_t *amazon_of(const json_t *instance)
{
    return json_object_get(json_object_get(instance, "dataCenterInfo"), "metadata");
}

static const char *id_of(const json_t *instance)
{
    const char *id = registry_json_text(instance, "instanceId");

    if (!id[0])
        id = registry_json_text(amazon_of(instance), "instance-id");
    return id[0] ? id : registry_json_text(instance, "hostName");
}

/* ---- addresses ---- */

/* Without the brackets and the scope that an IPv6 address may come with. */
static int address_lax(const char *text, struct address *ret_address)
{
    char copy[INET6_ADDRSTRLEN];
    size_t size;

    text += text[0] == '[';
    size = strcspn(text, "%]");
    if (size == 0 || size >= sizeof(copy))
        return -EINVAL;
    memcpy(copy, text, size);
    copy[size] = '\0';
    return address_from_string(copy, ret_address);
}

/* Fills where the instance is reached. NULL, or why it is not. */
static const char *find_place(const struct eureka_document_rules *rules, const json_t *instance,
                              struct eureka_facts *facts, char name[static NAME_SIZE])
{
    const char *candidates[] = {
        rules->public_address ? registry_json_text(amazon_of(instance), "public-ipv4") : "",
        registry_json_text(instance, "ipAddr"),
        registry_json_text(instance, "hostName"),
    };
    const char *why;

    for (size_t i = 0; i < ELEMENTS(candidates); i++) {
        if (address_lax(candidates[i], &facts->address) == 0) {
            why = registry_address_refusal(rules->config, rules->loopback, &facts->address);
            if (why)
                facts->address.family = 0;
            return why;
        }
        if (registry_host_name(candidates[i], name)) {
            facts->target = name;
            return NULL;
        }
    }
    return "neither an address nor a host name";
}

/* ---- instances ---- */

static int take_instance(void *owner, const char *text, size_t size)
{
    struct eureka_document *document = owner;
    _cleanup_(freep_json) json_t *json = registry_json_parse(text, size);
    struct eureka_instance *instance;
    struct eureka_place place;
    struct eureka_facts facts;
    char name[NAME_SIZE];
    const char *app, *why;
    int r;

    if (!json_is_object(json)) /* "" or null where there is none */
        return json_is_null(json) || streq(json_string_value(json) ?: "-", "") ? 0 : -EBADMSG;
    app = registry_json_text(json, "app");
    eureka_locality_read(json, &place);
    facts = (struct eureka_facts){
        .app = app[0] ? app : document->app,
        .id = id_of(json),
        .vips = {registry_json_text(json, "vipAddress"),
                 registry_json_text(json, "secureVipAddress")},
        .host = registry_json_text(json, "hostName"),
        .zone = place.zone,
        .region = place.region,
        .status = eureka_status_from_string(registry_json_text(json, "status")),
        .deleted = streq(registry_json_text(json, "actionType"), "DELETED"),
        .port = port_of(json, "port"),
        .secure_port = port_of(json, "securePort"),
    };
    why = find_place(&document->rules, json, &facts, name);
    r = eureka_instance_new(&facts, &instance);
    document->instances++;
    document->skipped += r == -EINVAL;
    if (r < 0)
        return r == -EINVAL ? 0 : r;
    return document->instance(document->owner, instance, why);
}

static const struct json_pieces_handler instance_handler = {.item = take_instance};

/* ---- applications ---- */

static void copy_text(const json_t *value, char *ret_text, size_t size)
{
    const char *text = json_string_value(value);

    if (text && strlen(text) == json_string_length(value) && strlen(text) < size)
        strcpy(ret_text, text);
}

/* The name of an application, which instances that do not say it themselves take. */
static int name_member(void *owner, unsigned level, const char *key, const char *text, size_t size)
{
    struct eureka_document *document = owner;
    _cleanup_(freep_json) json_t *value = NULL;

    if (level > 0 || !streq(key, "name"))
        return 0;
    value = registry_json_parse(text, size);
    copy_text(value, document->app, sizeof(document->app));
    return 0;
}

/* Looks for the name, which may come after the instances. */
static int nothing(void *owner, const char *text, size_t size)
{
    (void)owner;
    (void)text;
    (void)size;
    return 0;
}

static const struct json_pieces_handler name_handler = {.item = nothing, .member = name_member};

static int walk(struct eureka_document *document, const struct json_pieces_handler *handler,
                const char *text, size_t size)
{
    static const char *const path[] = {"instance", NULL};
    struct json_pieces pieces;
    int r;

    json_pieces_init(&pieces, path, handler, document, INSTANCE_MAX);
    r = json_pieces_feed(&pieces, text, size) ?: json_pieces_finish(&pieces);
    json_pieces_done(&pieces);
    return r;
}

static int take_application(void *owner, const char *text, size_t size)
{
    struct eureka_document *document = owner;

    document->told = true;
    if (size == 2 && memcmp(text, "\"\"", 2) == 0)
        return 0;
    document->app[0] = '\0';
    return walk(document, &name_handler, text, size)
               ?: walk(document, &instance_handler, text, size);
}

static int take_member(void *owner, unsigned level, const char *key, const char *text, size_t size)
{
    struct eureka_document *document = owner;
    _cleanup_(freep_json) json_t *value = NULL;

    if (level != 1)
        return 0;
    value = registry_json_parse(text, size);
    if (!value)
        return -EBADMSG;
    if (streq(key, "apps__hashcode") && json_is_string(value)) {
        copy_text(value, document->hash, sizeof(document->hash));
        document->told = document->has_hash = true;
    } else if (streq(key, "versions__delta")) {
        document->version = number_lax(value, INT64_MAX);
        document->told = true;
    }
    return 0;
}

static const struct json_pieces_handler document_handler = {
    .item = take_application,
    .member = take_member,
};

/* ---- life ---- */

void eureka_document_init(
    struct eureka_document *document, const struct eureka_document_rules *rules,
    int (*instance)(void *owner, struct eureka_instance *instance, const char *why), void *owner)
{
    static const char *const path[] = {"applications", "application", NULL};

    *document = (struct eureka_document){.rules = *rules, .instance = instance, .owner = owner};
    json_pieces_init(&document->pieces, path, &document_handler, document, APPLICATION_MAX);
}

void eureka_document_done(struct eureka_document *document)
{
    json_pieces_done(&document->pieces);
}

int eureka_document_feed(struct eureka_document *document, const char *data, size_t size)
{
    return json_pieces_feed(&document->pieces, data, size);
}

int eureka_document_finish(struct eureka_document *document)
{
    int r = json_pieces_finish(&document->pieces);

    return r < 0 ? r : document->told ? 0 : -EBADMSG;
}
