/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Service definitions (definition.h): a walk over a jansson document with a table of keys a level
 * (parser.h).
 */
#include "daemon/registry/local/definition.h"

#include <stdio.h>
#include <uthash.h>

#include "nss-sd/name.h"

struct taken {
    UT_hash_handle hh;
    char key[]; /* "SERVICE/ID" */
};

/* What a definition grows in; parser.userdata. */
struct builder {
    size_t name_max;
    bool ids_differ;     /* within a service, or it is a mistake */
    struct taken *taken; /* if so */
    struct local_definition *definition;
    struct endpoint_builder *endpoints;
};

/* What the keys of one service said. Strings borrow from the document. */
struct service {
    const char *name, *id, *address, *zone, *region, *meta_zone;
    struct address tagged4, tagged6, addresses[ENDPOINT_ADDRESSES_MAX];
    size_t address_count;
    uint16_t port, tagged_port;
    uint32_t weight, warning_weight;
    json_t *tags, *check, *checks;
    const char *check_key, *checks_key; /* as they are spelled */
};

static struct builder *builder_of(const struct parser *parser)
{
    return parser->userdata;
}

static int check_bool(struct parser *parser, const char *key, json_t *value, void *into)
{
    bool ignored;

    (void)into;
    return parser_bool(parser, key, value, &ignored);
}

static int get_port(struct parser *parser, const char *key, json_t *value, uint16_t *ret_port)
{
    unsigned port = 0;
    int r = parser_number(parser, key, value, 0, 65535, &port);

    if (r == 0)
        *ret_port = (uint16_t)port;
    return r;
}

/* ---- the keys of a service ---- */

static int read_name(struct parser *parser, const char *key, json_t *value, void *into)
{
    return parser_string(parser, key, value, &((struct service *)into)->name);
}

static int read_id(struct parser *parser, const char *key, json_t *value, void *into)
{
    struct service *service = into;
    int r = parser_string(parser, key, value, &service->id);

    if (r == 0 && *service->id && !local_id_ok(service->id))
        return parser_mistake(parser, key, "must be at most %d printable bytes", LOCAL_ID_MAX);
    return r;
}

static int read_address(struct parser *parser, const char *key, json_t *value, void *into)
{
    return parser_string(parser, key, value, &((struct service *)into)->address);
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
        return parser_mistake(parser, key, "must be a list of at most %d addresses",
                              ENDPOINT_ADDRESSES_MAX);
    json_array_foreach (value, i, item) {
        const char *text = json_string_value(item);

        if (!text || address_from_string(text, &service->addresses[service->address_count++]) < 0)
            return parser_mistake(parser, key, "item %zu is no IP address", i);
    }
    return 0;
}

static int read_tags(struct parser *parser, const char *key, json_t *value, void *into)
{
    const char *text;
    size_t i;
    json_t *tag;

    if (!json_is_array(value) || json_array_size(value) > ENDPOINT_TAGS_MAX)
        return parser_mistake(parser, key, "must be a list of at most %d strings",
                              ENDPOINT_TAGS_MAX);
    json_array_foreach (value, i, tag) {
        int r = parser_string(parser, key, tag, &text);

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
        return parser_mistake(parser, key, "must be an object");
    json_object_foreach (value, name, item) {
        int r = parser_string(parser, key, item, &text);

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
    int r = parser_number(parser, key, value, 1, 65535, &weight);

    if (r == 0)
        ((struct service *)into)->weight = weight;
    return r;
}

static int read_warning(struct parser *parser, const char *key, json_t *value, void *into)
{
    unsigned weight = 0;
    int r = parser_number(parser, key, value, 0, 65535, &weight);

    if (r == 0)
        ((struct service *)into)->warning_weight = weight;
    return r;
}

static int read_weights(struct parser *parser, const char *key, json_t *value, void *into)
{
    static const struct parser_key keys[] = {
        {"passing", read_passing}, {"warning", read_warning}, {NULL}};

    return parser_inner(parser, keys, key, -1, value, into);
}

static int read_zone(struct parser *parser, const char *key, json_t *value, void *into)
{
    return parser_string(parser, key, value, &((struct service *)into)->zone);
}

static int read_region(struct parser *parser, const char *key, json_t *value, void *into)
{
    return parser_string(parser, key, value, &((struct service *)into)->region);
}

static int read_locality(struct parser *parser, const char *key, json_t *value, void *into)
{
    static const struct parser_key keys[] = {{"region", read_region}, {"zone", read_zone}, {NULL}};

    return parser_inner(parser, keys, key, -1, value, into);
}

/* One of tagged_addresses: "ADDRESS", or {"address": "ADDRESS", "port": 80}. */
struct tagged {
    const char *address;
    uint16_t port;
};

static int read_tagged_address(struct parser *parser, const char *key, json_t *value, void *into)
{
    return parser_string(parser, key, value, &((struct tagged *)into)->address);
}

static int read_tagged_port(struct parser *parser, const char *key, json_t *value, void *into)
{
    return get_port(parser, key, value, &((struct tagged *)into)->port);
}

static int read_tagged(struct parser *parser, const char *key, json_t *value, int family,
                       struct service *service)
{
    static const struct parser_key keys[] = {
        {"address", read_tagged_address}, {"port", read_tagged_port}, {NULL}};
    struct tagged tagged = {.address = json_string_value(value)};
    struct address address;
    int r = tagged.address ? 0 : parser_inner(parser, keys, key, -1, value, &tagged);

    if (r < 0)
        return r;
    if (!tagged.address || address_from_string(tagged.address, &address) < 0 ||
        address.family != family)
        return parser_mistake(parser, key, "must be an IPv%c address",
                              family == AF_INET ? '4' : '6');
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
    static const struct parser_key keys[] = {
        {"lanipv4", read_lan4}, {"lanipv6", read_lan6}, {"lan", NULL},     {"wan", NULL},
        {"wanipv4", NULL},      {"wanipv6", NULL},      {"virtual", NULL}, {NULL},
    };

    return parser_inner(parser, keys, key, -1, value, into);
}

static int read_check(struct parser *parser, const char *key, json_t *value, void *into)
{
    struct service *service = into;

    if (!json_is_object(value))
        return parser_mistake(parser, key, "must be an object");
    service->check = value;
    service->check_key = key;
    return 0;
}

static int read_checks(struct parser *parser, const char *key, json_t *value, void *into)
{
    struct service *service = into;

    if (!json_is_array(value))
        return parser_mistake(parser, key, "must be a list");
    service->checks = value;
    service->checks_key = key;
    return 0;
}

/* Without a function: known in Consul, without a meaning here. */
static const struct parser_key service_keys[] = {
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
            return parser_mistake(parser, "address", "is neither an IP address nor a host name");
        } else if (service->address_count > 0) {
            return parser_mistake(parser, "addresses",
                                  "cannot stand beside a host name in `address`");
        } else if (tagged) {
            ret_target[0] = '\0';
        }
    }
    for (size_t i = 0; i < service->address_count; i++)
        list[count++] = service->addresses[i];
    if (count == 0 && !*ret_target)
        return parser_mistake(parser, "address", "is missing");
    if (count > ENDPOINT_ADDRESSES_MAX)
        return parser_mistake(parser, "addresses", "are more than %d", ENDPOINT_ADDRESSES_MAX);
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

/* The instance is the only one of its id so far. */
static int take_id(struct parser *parser, const char *service, const char *id)
{
    struct builder *builder = builder_of(parser);
    size_t size = strlen(service) + 1 + strlen(id) + 1;
    struct taken *taken = calloc(1, sizeof(*taken) + size), *other;

    if (!taken)
        return -ENOMEM;
    snprintf(taken->key, size, "%s/%s", service, id);
    HASH_FIND_STR(builder->taken, taken->key, other);
    if (other) {
        free(taken);
        return parser_mistake(parser, "id", "another instance of %s has this id too", service);
    }
    HASH_ADD_STR(builder->taken, key, taken);
    return 0;
}

static void taken_free(struct taken *all)
{
    struct taken *taken, *next;

    HASH_ITER (hh, all, taken, next) {
        HASH_DEL(all, taken);
        free(taken);
    }
}

static int add_service(struct parser *parser, struct service *service)
{
    struct local_definition *definition = builder_of(parser)->definition;
    struct local_instance *instance = &definition->instances[definition->count];
    char name[NAME_SIZE], target[NAME_SIZE], first[INET6_ADDRSTRLEN], id[LOCAL_ID_MAX + 1];
    size_t length;
    bool rooted;
    int r;

    if (!service->name)
        return parser_mistake(parser, "name", "is missing");
    length = name_fold(service->name, SIZE_MAX, name, &rooted);
    if (length == 0 || rooted)
        return parser_mistake(parser, "name", "is not a host name");
    if (length > builder_of(parser)->name_max)
        return parser_mistake(parser, "name", "is longer than %zu bytes",
                              builder_of(parser)->name_max);
    r = collect_addresses(parser, service, target);
    if (r < 0)
        return r;
    if (service->address_count > 0)
        address_to_string(&service->addresses[0], first);
    if (!service->id || !*service->id)
        local_id_make(name, service->address_count > 0 ? first : target, service->port, id);
    else
        strcpy(id, service->id); /* local_id_ok() */
    r = builder_of(parser)->ids_differ ? take_id(parser, name, id) : 0;
    if (r < 0)
        return r;
    build_endpoint(builder_of(parser)->endpoints, service, id, target);
    r = endpoint_builder_finish(builder_of(parser)->endpoints, &instance->endpoint);
    if (r < 0)
        return r == -ENOMEM ? r : parser_mistake(parser, "tags", "are too large");
    instance->service = strdup(name);
    definition->count++;
    if (!instance->service)
        return -ENOMEM;
    return local_check_list_parse(parser, id, service->check_key ?: "", service->check,
                                  service->checks_key ?: "", service->checks,
                                  service->warning_weight, &instance->checks);
}

static int read_one(struct parser *parser, json_t *object)
{
    struct service service = {.weight = 1, .warning_weight = 1};
    int r = parser_object(parser, service_keys, "", object, &service);

    return r < 0 ? r : add_service(parser, &service);
}

/* ---- the document ---- */

static int instances_grow(struct parser *parser, size_t more)
{
    struct local_definition *definition = builder_of(parser)->definition;
    struct local_instance *instances;

    if (more > LOCAL_INSTANCES_MAX - definition->count)
        return parser_mistake(parser, "services", "more than %d instances", LOCAL_INSTANCES_MAX);
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
    int r = 0;

    (void)into;
    if (!json_is_array(value))
        return parser_mistake(parser, key, "must be a list");
    if (json_array_size(value) > 0)
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

static const struct parser_key document_keys[] = {
    {"service", read_service},
    {"services", read_services},
    {NULL},
};

static int read_document(struct parser *parser, json_t *document)
{
    int r = parser_object(parser, document_keys, "the document", document, NULL);

    if (r == 0 && json_object_size(document) == 0)
        r = parser_mistake(parser, "the document", "has neither `service` nor `services`");
    return r;
}

/* A document that is none is a mistake too. */
static int load_document(struct parser *parser, json_t **ret_document)
{
    json_error_t where;
    char *near;

    *ret_document = json_loadb(parser->text, parser->size, JSON_REJECT_DUPLICATES, &where);
    if (*ret_document)
        return 0;
    /* Not what stands near it: that may be a secret. */
    near = strstr(where.text, " near ");
    if (near)
        *near = '\0';
    if (json_error_code(&where) == json_error_out_of_memory ||
        asprintf(&parser->error, "%d:%d: %s", where.line, where.column, where.text) < 0) {
        parser->error = NULL;
        return -ENOMEM;
    }
    return -EBADMSG;
}

/* The warnings, or the error, become the caller's. */
static int parse(struct parser *parser, json_t *document, size_t name_max, bool ids_differ,
                 struct local_definition **ret_definition, char **ret_error)
{
    struct builder builder = {
        .name_max = name_max,
        .ids_differ = ids_differ,
        .definition = calloc(1, sizeof(struct local_definition)),
        .endpoints = endpoint_builder_new(),
    };
    int r = -ENOMEM;

    parser->userdata = &builder;
    if (builder.definition && builder.endpoints)
        r = read_document(parser, document);
    endpoint_builder_free(builder.endpoints);
    taken_free(builder.taken);
    if (r == 0) {
        memcpy(builder.definition->warnings, parser->warnings, sizeof(parser->warnings));
        builder.definition->warning_count = parser->warning_count;
        *ret_definition = builder.definition;
        return 0;
    }
    local_definition_free(builder.definition);
    if (r == -EBADMSG) {
        *ret_error = parser->error;
        parser->error = NULL;
    }
    parser_done(parser);
    return r;
}

int local_definition_from_json(json_t *document, size_t name_max,
                               struct local_definition **ret_definition, char **ret_error)
{
    return parse(&(struct parser){0}, document, name_max, true, ret_definition, ret_error);
}

int local_definition_parse(const char *data, size_t size, size_t name_max,
                           struct local_definition **ret_definition, char **ret_error)
{
    struct parser parser = {.text = data, .size = size};
    json_t *document = NULL;
    int r = load_document(&parser, &document);

    if (r == 0)
        r = parse(&parser, document, name_max, false, ret_definition, ret_error);
    else if (r == -EBADMSG)
        *ret_error = parser.error;
    json_decref(document);
    return r;
}

struct local_definition *local_definition_free(struct local_definition *definition)
{
    if (!definition)
        return NULL;
    for (size_t i = 0; i < definition->count; i++) {
        free(definition->instances[i].service);
        endpoint_set_unref(definition->instances[i].endpoint);
        local_check_list_unref(definition->instances[i].checks);
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

json_t *local_definition_to_json(const char *service, const struct endpoint *endpoint,
                                 const struct local_check_list *checks)
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
    if (r == 0 && checks)
        r = json_object_set_new(object, "checks", local_check_list_to_json(checks));
    if (r == 0 && checks)
        r = json_object_set_new(json_object_get(object, "weights"), "warning",
                                json_integer(checks->warning_weight));
    if (r < 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}
