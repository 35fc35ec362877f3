/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Service definitions (definition.h): a walk over a jansson document with a table of keys a level.
 * The path of the object at hand is kept, so that a mistake can say where it is.
 */
#include "daemon/registry/local/definition.h"

#include <stdarg.h>
#include <stdio.h>

#include "nss-sd/name.h"

enum { PATH_SIZE = 128, WORD_SIZE = 64 };

struct parser {
    size_t name_max;
    struct local_definition *definition;
    struct endpoint_builder *builder;
    char path[PATH_SIZE]; /* "services[2]" */
    char *error;
};

/* What the keys of one service said. Strings borrow from the document. */
struct service {
    const char *name, *id, *address, *zone, *region, *meta_zone;
    struct address tagged4, tagged6, addresses[ENDPOINT_ADDRESSES_MAX];
    size_t address_count;
    uint16_t port, tagged_port;
    uint32_t weight;
    json_t *tags;
};

/* A key: its name folded (lower case, no '_'), and what reads its value. */
struct key {
    const char *name;
    int (*read)(struct parser *parser, const char *key, json_t *value, void *into);
};

/* ---- mistakes ---- */

_printf_(3, 4) static int mistake(struct parser *parser, const char *key, const char *format, ...)
{
    char reason[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    free(parser->error);
    if (asprintf(&parser->error, "%s%s%s: %s", parser->path, *parser->path && *key ? "." : "", key,
                 reason) < 0) {
        parser->error = NULL;
        return -ENOMEM;
    }
    return -EBADMSG;
}

static void warn_unknown(struct parser *parser, const char *key)
{
    struct local_definition *definition = parser->definition;
    char *text;

    if (definition->warning_count++ >= LOCAL_WARNINGS_MAX)
        return;
    if (asprintf(&text, "%s%s%.*s: unknown key, ignored", parser->path, *parser->path ? "." : "",
                 WORD_SIZE, key) >= 0)
        definition->warnings[definition->warning_count - 1] = text;
    else
        definition->warning_count--;
}

/* ---- objects by tables ---- */

static void fold_key(const char *key, char ret_folded[static WORD_SIZE])
{
    size_t length = 0;

    for (; *key && length + 1 < WORD_SIZE; key++)
        if (*key != '_')
            ret_folded[length++] = name_fold_byte(*key);
    ret_folded[length] = '\0';
}

/* A bit a key of the table: the same key in two spellings is a mistake. */
static int read_object(struct parser *parser, const struct key *table, const char *name,
                       json_t *object, void *into)
{
    uint64_t seen = 0;
    const char *key;
    json_t *value;
    int r;

    if (!json_is_object(object))
        return mistake(parser, name, "must be an object");
    json_object_foreach (object, key, value) {
        char folded[WORD_SIZE];
        size_t i = 0;

        fold_key(key, folded);
        while (table[i].name && !streq(table[i].name, folded))
            i++;
        if (!table[i].name) {
            warn_unknown(parser, key);
            continue;
        }
        if (seen & UINT64_C(1) << i)
            return mistake(parser, key, "is given twice");
        seen |= UINT64_C(1) << i;
        if (!table[i].read || json_is_null(value))
            continue;
        r = table[i].read(parser, key, value, into);
        if (r < 0)
            return r;
    }
    return 0;
}

/* An object inside the one at hand, with its path. */
static int read_inner(struct parser *parser, const struct key *table, const char *key,
                      json_t *object, void *into)
{
    char saved[PATH_SIZE];
    size_t length = strlen(parser->path);
    int r;

    if (!json_is_object(object))
        return mistake(parser, key, "must be an object");
    memcpy(saved, parser->path, sizeof(saved));
    snprintf(parser->path + length, sizeof(parser->path) - length, "%s%s", length > 0 ? "." : "",
             key);
    r = read_object(parser, table, key, object, into);
    memcpy(parser->path, saved, sizeof(saved));
    return r;
}

/* ---- values ---- */

static int get_string(struct parser *parser, const char *key, json_t *value, const char **ret)
{
    const char *text = json_string_value(value);

    if (!text)
        return mistake(parser, key, "must be a string");
    if (strlen(text) >= ENDPOINT_STRING_MAX)
        return mistake(parser, key, "is longer than %d bytes", ENDPOINT_STRING_MAX - 1);
    *ret = text;
    return 0;
}

static int get_number(struct parser *parser, const char *key, json_t *value, unsigned minimum,
                      unsigned maximum, unsigned *ret)
{
    json_int_t number = json_integer_value(value);

    if (!json_is_integer(value) || number < minimum || number > maximum)
        return mistake(parser, key, "must be a number from %u to %u", minimum, maximum);
    *ret = (unsigned)number;
    return 0;
}

static int get_port(struct parser *parser, const char *key, json_t *value, uint16_t *ret_port)
{
    unsigned port = 0;
    int r = get_number(parser, key, value, 0, 65535, &port);

    if (r == 0)
        *ret_port = (uint16_t)port;
    return r;
}

static int check_string(struct parser *parser, const char *key, json_t *value, void *into)
{
    const char *text;

    (void)into;
    return get_string(parser, key, value, &text);
}

static int check_bool(struct parser *parser, const char *key, json_t *value, void *into)
{
    (void)into;
    return json_is_boolean(value) ? 0 : mistake(parser, key, "must be true or false");
}

static int check_count(struct parser *parser, const char *key, json_t *value, void *into)
{
    unsigned number;

    (void)into;
    return get_number(parser, key, value, 0, INT32_MAX, &number);
}

/* A Go duration, "1m30s" or "500ms", as far as its letters go. */
static int check_duration(struct parser *parser, const char *key, json_t *value, void *into)
{
    const char *text = "";
    int r = get_string(parser, key, value, &text);

    (void)into;
    if (r < 0)
        return r;
    if (strspn(text, "0123456789.") == 0 || strspn(text, "0123456789.hmsun") != strlen(text) ||
        !strchr("hms", text[strlen(text) - 1]))
        return mistake(parser, key, "must be a duration such as \"10s\"");
    return 0;
}

static int check_array(struct parser *parser, const char *key, json_t *value, void *into)
{
    (void)into;
    return json_is_array(value) ? 0 : mistake(parser, key, "must be a list");
}

static int check_object(struct parser *parser, const char *key, json_t *value, void *into)
{
    (void)into;
    return json_is_object(value) ? 0 : mistake(parser, key, "must be an object");
}

/* ---- checks: looked at, not run ---- */

static const struct key check_keys[] = {
    {"id", check_string},
    {"checkid", check_string},
    {"name", check_string},
    {"notes", check_string},
    {"status", check_string},
    {"serviceid", check_string},
    {"http", check_string},
    {"method", check_string},
    {"header", check_object},
    {"body", check_string},
    {"disableredirects", check_bool},
    {"tcp", check_string},
    {"tcpusetls", check_bool},
    {"udp", check_string},
    {"h2ping", check_string},
    {"h2pingusetls", check_bool},
    {"grpc", check_string},
    {"grpcusetls", check_bool},
    {"tlsservername", check_string},
    {"tlsskipverify", check_bool},
    {"ttl", check_duration},
    {"interval", check_duration},
    {"timeout", check_duration},
    {"deregistercriticalserviceafter", check_duration},
    {"successbeforepassing", check_count},
    {"failuresbeforewarning", check_count},
    {"failuresbeforecritical", check_count},
    {"outputmaxsize", check_count},
    {"args", check_array},
    {"shell", check_string},
    {"dockercontainerid", check_string},
    {"osservice", check_string},
    {"aliasnode", check_string},
    {"aliasservice", check_string},
    {NULL},
};

static int read_check(struct parser *parser, const char *key, json_t *value, void *into)
{
    return read_inner(parser, check_keys, key, value, into);
}

static int read_checks(struct parser *parser, const char *key, json_t *value, void *into)
{
    char element[WORD_SIZE];
    size_t i;
    json_t *check;
    int r = check_array(parser, key, value, into);

    json_array_foreach (value, i, check) {
        if (r < 0)
            break;
        snprintf(element, sizeof(element), "%.*s[%zu]", 32, key, i);
        r = read_inner(parser, check_keys, element, check, into);
    }
    return r;
}

/* ---- the keys of a service ---- */

static int read_name(struct parser *parser, const char *key, json_t *value, void *into)
{
    return get_string(parser, key, value, &((struct service *)into)->name);
}

static int read_id(struct parser *parser, const char *key, json_t *value, void *into)
{
    struct service *service = into;
    int r = get_string(parser, key, value, &service->id);

    if (r == 0 && *service->id && !local_id_ok(service->id))
        return mistake(parser, key, "must be at most %d printable bytes", LOCAL_ID_MAX);
    return r;
}

static int read_address(struct parser *parser, const char *key, json_t *value, void *into)
{
    return get_string(parser, key, value, &((struct service *)into)->address);
}

static int read_port(struct parser *parser, const char *key, json_t *value, void *into)
{
    return get_port(parser, key, value, &((struct service *)into)->port);
}

static int read_addresses(struct parser *parser, const char *key, json_t *value, void *into)
{
    struct service *service = into;
    size_t i;
    json_t *item;

    if (!json_is_array(value) || json_array_size(value) > ENDPOINT_ADDRESSES_MAX)
        return mistake(parser, key, "must be a list of at most %d addresses",
                       ENDPOINT_ADDRESSES_MAX);
    json_array_foreach (value, i, item) {
        const char *text = json_string_value(item);

        if (!text || address_from_string(text, &service->addresses[service->address_count++]) < 0)
            return mistake(parser, key, "item %zu is no IP address", i);
    }
    return 0;
}

static int read_tags(struct parser *parser, const char *key, json_t *value, void *into)
{
    const char *text;
    size_t i;
    json_t *tag;

    if (!json_is_array(value) || json_array_size(value) > ENDPOINT_TAGS_MAX)
        return mistake(parser, key, "must be a list of at most %d strings", ENDPOINT_TAGS_MAX);
    json_array_foreach (value, i, tag) {
        int r = get_string(parser, key, tag, &text);

        if (r < 0)
            return r;
    }
    ((struct service *)into)->tags = value;
    return 0;
}

static int read_meta(struct parser *parser, const char *key, json_t *value, void *into)
{
    const char *name, *text;
    json_t *item;

    if (!json_is_object(value))
        return mistake(parser, key, "must be an object");
    json_object_foreach (value, name, item) {
        int r = get_string(parser, key, item, &text);

        if (r < 0)
            return r;
        if (streq(name, "zone"))
            ((struct service *)into)->meta_zone = text;
    }
    return 0;
}

static int read_passing(struct parser *parser, const char *key, json_t *value, void *into)
{
    unsigned weight = 0;
    int r = get_number(parser, key, value, 1, 65535, &weight);

    if (r == 0)
        ((struct service *)into)->weight = weight;
    return r;
}

static int check_warning(struct parser *parser, const char *key, json_t *value, void *into)
{
    unsigned weight;

    (void)into;
    return get_number(parser, key, value, 0, 65535, &weight);
}

static int read_weights(struct parser *parser, const char *key, json_t *value, void *into)
{
    static const struct key keys[] = {
        {"passing", read_passing}, {"warning", check_warning}, {NULL}};

    return read_inner(parser, keys, key, value, into);
}

static int read_zone(struct parser *parser, const char *key, json_t *value, void *into)
{
    return get_string(parser, key, value, &((struct service *)into)->zone);
}

static int read_region(struct parser *parser, const char *key, json_t *value, void *into)
{
    return get_string(parser, key, value, &((struct service *)into)->region);
}

static int read_locality(struct parser *parser, const char *key, json_t *value, void *into)
{
    static const struct key keys[] = {{"region", read_region}, {"zone", read_zone}, {NULL}};

    return read_inner(parser, keys, key, value, into);
}

/* One of tagged_addresses: "ADDRESS", or {"address": "ADDRESS", "port": 80}. */
struct tagged {
    const char *address;
    uint16_t port;
};

static int read_tagged_address(struct parser *parser, const char *key, json_t *value, void *into)
{
    return get_string(parser, key, value, &((struct tagged *)into)->address);
}

static int read_tagged_port(struct parser *parser, const char *key, json_t *value, void *into)
{
    return get_port(parser, key, value, &((struct tagged *)into)->port);
}

static int read_tagged(struct parser *parser, const char *key, json_t *value, int family,
                       struct service *service)
{
    static const struct key keys[] = {
        {"address", read_tagged_address}, {"port", read_tagged_port}, {NULL}};
    struct tagged tagged = {.address = json_string_value(value)};
    struct address address;
    int r = tagged.address ? 0 : read_inner(parser, keys, key, value, &tagged);

    if (r < 0)
        return r;
    if (!tagged.address || address_from_string(tagged.address, &address) < 0 ||
        address.family != family)
        return mistake(parser, key, "must be an IPv%c address", family == AF_INET ? '4' : '6');
    *(family == AF_INET ? &service->tagged4 : &service->tagged6) = address;
    if (service->tagged_port == 0)
        service->tagged_port = tagged.port;
    return 0;
}

static int read_lan4(struct parser *parser, const char *key, json_t *value, void *into)
{
    return read_tagged(parser, key, value, AF_INET, into);
}

static int read_lan6(struct parser *parser, const char *key, json_t *value, void *into)
{
    return read_tagged(parser, key, value, AF_INET6, into);
}

static int read_tagged_addresses(struct parser *parser, const char *key, json_t *value, void *into)
{
    static const struct key keys[] = {
        {"lanipv4", read_lan4}, {"lanipv6", read_lan6}, {"lan", NULL},     {"wan", NULL},
        {"wanipv4", NULL},      {"wanipv6", NULL},      {"virtual", NULL}, {NULL},
    };

    return read_inner(parser, keys, key, value, into);
}

/* Without a function: known in Consul, without a meaning here. */
static const struct key service_keys[] = {
    {"name", read_name},
    {"id", read_id},
    {"address", read_address},
    {"addresses", read_addresses},
    {"taggedaddresses", read_tagged_addresses},
    {"port", read_port},
    {"tags", read_tags},
    {"meta", read_meta},
    {"weights", read_weights},
    {"locality", read_locality},
    {"check", read_check},
    {"checks", read_checks},
    {"enabletagoverride", check_bool},
    {"token", NULL},
    {NULL},
};

/* ---- a service ---- */

bool local_id_ok(const char *id)
{
    size_t length = strlen(id);

    for (const char *c = id; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return length > 0 && length <= LOCAL_ID_MAX;
}

void local_id_make(const char *service, const char *address, uint16_t port,
                   char ret_id[static LOCAL_ID_MAX + 1])
{
    char number[8] = "";

    if (port > 0)
        snprintf(number, sizeof(number), "-%u", port);
    /* What tells instances apart is kept, if need be at the cost of the service's name. */
    snprintf(ret_id, LOCAL_ID_MAX + 1, "%.*s-%.*s%s", 100, service, 140, address, number);
}

/* The addresses of a service: tagged ones stand for their family, then `address`, then the list. */
static int collect_addresses(struct parser *parser, struct service *service,
                             char ret_target[static NAME_SIZE])
{
    struct address list[ENDPOINT_ADDRESSES_MAX + 3], address;
    bool tagged = service->tagged4.family || service->tagged6.family;
    size_t count = 0;

    ret_target[0] = '\0';
    if (service->tagged4.family)
        list[count++] = service->tagged4;
    if (service->tagged6.family)
        list[count++] = service->tagged6;
    if (service->address && *service->address) {
        if (address_from_string(service->address, &address) == 0) {
            const struct address *same = address.family == AF_INET ? &service->tagged4
                                                                   : &service->tagged6;

            if (!same->family)
                list[count++] = address;
        } else if (name_fold(service->address, SIZE_MAX, ret_target, NULL) == 0) {
            return mistake(parser, "address", "is neither an IP address nor a host name");
        } else if (service->address_count > 0) {
            return mistake(parser, "addresses", "cannot stand beside a host name in `address`");
        } else if (tagged) {
            ret_target[0] = '\0';
        }
    }
    for (size_t i = 0; i < service->address_count; i++)
        list[count++] = service->addresses[i];
    if (count == 0 && !*ret_target)
        return mistake(parser, "address", "is missing");
    if (count > ENDPOINT_ADDRESSES_MAX)
        return mistake(parser, "addresses", "are more than %d", ENDPOINT_ADDRESSES_MAX);
    memcpy(service->addresses, list, count * sizeof(list[0]));
    service->address_count = count;
    return 0;
}

static void build_endpoint(struct endpoint_builder *builder, const struct service *service,
                           const char *id, const char *target)
{
    size_t i;
    json_t *tag;

    endpoint_builder_begin(builder, id);
    endpoint_builder_target(builder, target);
    for (i = 0; i < service->address_count; i++)
        endpoint_builder_address(builder, &service->addresses[i]);
    if (service->port > 0 || service->tagged_port > 0)
        endpoint_builder_port(builder, "", "",
                              service->port > 0 ? service->port : service->tagged_port);
    json_array_foreach (service->tags, i, tag)
        endpoint_builder_tag(builder, json_string_value(tag));
    endpoint_builder_locality(builder, service->zone ?: service->meta_zone, service->region);
    endpoint_builder_weight(builder, service->weight);
}

static int add_service(struct parser *parser, struct service *service)
{
    struct local_instance *instance = &parser->definition->instances[parser->definition->count];
    char name[NAME_SIZE], target[NAME_SIZE], first[INET6_ADDRSTRLEN], id[LOCAL_ID_MAX + 1];
    size_t length;
    bool rooted;
    int r;

    if (!service->name)
        return mistake(parser, "name", "is missing");
    length = name_fold(service->name, SIZE_MAX, name, &rooted);
    if (length == 0 || rooted)
        return mistake(parser, "name", "is not a host name");
    if (length > parser->name_max)
        return mistake(parser, "name", "is longer than %zu bytes", parser->name_max);
    r = collect_addresses(parser, service, target);
    if (r < 0)
        return r;
    if (service->address_count > 0)
        address_to_string(&service->addresses[0], first);
    if (!service->id || !*service->id)
        local_id_make(name, service->address_count > 0 ? first : target, service->port, id);
    else
        strcpy(id, service->id); /* local_id_ok() */
    build_endpoint(parser->builder, service, id, target);
    r = endpoint_builder_finish(parser->builder, &instance->endpoint);
    if (r < 0)
        return r == -ENOMEM ? r : mistake(parser, "tags", "are too large");
    instance->service = strdup(name);
    parser->definition->count++;
    return instance->service ? 0 : -ENOMEM;
}

static int read_one(struct parser *parser, json_t *object)
{
    struct service service = {.weight = 1};
    int r = read_object(parser, service_keys, "", object, &service);

    return r < 0 ? r : add_service(parser, &service);
}

/* ---- the document ---- */

static int instances_grow(struct parser *parser, size_t more)
{
    struct local_definition *definition = parser->definition;
    struct local_instance *instances;

    if (more > LOCAL_INSTANCES_MAX - definition->count)
        return mistake(parser, "services", "more than %d instances", LOCAL_INSTANCES_MAX);
    instances = reallocarray(definition->instances, definition->count + more, sizeof(*instances));
    if (!instances)
        return -ENOMEM;
    memset(instances + definition->count, 0, more * sizeof(*instances));
    definition->instances = instances;
    return 0;
}

static int read_service(struct parser *parser, const char *key, json_t *value, void *into)
{
    int r = instances_grow(parser, 1);

    (void)into;
    if (r < 0)
        return r;
    snprintf(parser->path, sizeof(parser->path), "%s", key);
    r = read_one(parser, value);
    parser->path[0] = '\0';
    return r;
}

static int read_services(struct parser *parser, const char *key, json_t *value, void *into)
{
    size_t i;
    json_t *object;
    int r = check_array(parser, key, value, into);

    if (r == 0 && json_array_size(value) > 0)
        r = instances_grow(parser, json_array_size(value));
    json_array_foreach (value, i, object) {
        if (r < 0)
            break;
        snprintf(parser->path, sizeof(parser->path), "%s[%zu]", key, i);
        r = read_one(parser, object);
    }
    parser->path[0] = '\0';
    return r;
}

static const struct key document_keys[] = {
    {"service", read_service},
    {"services", read_services},
    {NULL},
};

static int read_document(struct parser *parser, const char *data, size_t size)
{
    json_error_t where;
    json_t *document = json_loadb(data, size, JSON_REJECT_DUPLICATES, &where);
    char *near;
    int r;

    if (!document) {
        /* Not what stands near it: that may be a secret. */
        near = strstr(where.text, " near ");
        if (near)
            *near = '\0';
        if (json_error_code(&where) == json_error_out_of_memory ||
            asprintf(&parser->error, "%d:%d: %s", where.line, where.column, where.text) < 0)
            return -ENOMEM;
        return -EBADMSG;
    }
    r = read_object(parser, document_keys, "the document", document, NULL);
    if (r == 0 && json_object_size(document) == 0)
        r = mistake(parser, "the document", "has neither `service` nor `services`");
    json_decref(document);
    return r;
}

int local_definition_parse(const char *data, size_t size, size_t name_max,
                           struct local_definition **ret_definition, char **ret_error)
{
    struct parser parser = {
        .name_max = name_max,
        .definition = calloc(1, sizeof(struct local_definition)),
        .builder = endpoint_builder_new(),
    };
    int r = -ENOMEM;

    if (parser.definition && parser.builder)
        r = read_document(&parser, data, size);
    endpoint_builder_free(parser.builder);
    if (r < 0) {
        local_definition_free(parser.definition);
        if (r == -EBADMSG)
            *ret_error = parser.error;
        else
            free(parser.error);
        return r;
    }
    *ret_definition = parser.definition;
    return 0;
}

struct local_definition *local_definition_free(struct local_definition *definition)
{
    if (!definition)
        return NULL;
    for (size_t i = 0; i < definition->count; i++) {
        free(definition->instances[i].service);
        endpoint_set_unref(definition->instances[i].endpoint);
    }
    for (size_t i = 0; i < LOCAL_WARNINGS_MAX; i++)
        free(definition->warnings[i]);
    free(definition->instances);
    free(definition);
    return NULL;
}

/* ---- back to JSON ---- */

static json_t *addresses_to_json(const struct endpoint *endpoint)
{
    json_t *array = json_array();
    char text[INET6_ADDRSTRLEN];

    for (size_t i = 0; i < endpoint->address_count; i++) {
        address_to_string(&endpoint->addresses[i], text);
        json_array_append_new(array, json_string(text));
    }
    return array;
}

static json_t *tags_to_json(const struct endpoint *endpoint)
{
    json_t *array = json_array();

    for (size_t i = 0; i < endpoint->tag_count; i++)
        json_array_append_new(array, json_string(endpoint->tags[i]));
    return array;
}

json_t *local_definition_to_json(const char *service, const struct endpoint *endpoint)
{
    json_t *object = json_pack("{s:s, s:s, s:i, s:{s:i}, s:o}", "name", service, "id",
                               endpoint->name, "port",
                               endpoint->port_count > 0 ? endpoint->ports[0].number : 0, "weights",
                               "passing", (int)endpoint->weight, "tags", tags_to_json(endpoint));
    int r = object ? 0 : -1;

    if (r == 0)
        r = *endpoint->target
                ? json_object_set_new(object, "address", json_string(endpoint->target))
                : json_object_set_new(object, "addresses", addresses_to_json(endpoint));
    if (r == 0 && (*endpoint->zone || *endpoint->region))
        r = json_object_set_new(
            object, "locality",
            json_pack("{s:s, s:s}", "zone", endpoint->zone, "region", endpoint->region));
    if (r < 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}
