/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Cloud Map's JSON documents (document.h). */
#include "daemon/registry/cloudmap/document.h"

#include <stdio.h>

#include "daemon/log.h"
#include "daemon/registry/json.h"

static json_t *parse_object(const char *data, size_t size)
{
    json_t *root = registry_json_parse(data, size);

    if (json_is_object(root))
        return root;
    json_decref(root);
    return NULL;
}

/* ---- instances ---- */

struct reading {
    const struct cloudmap_document_rules *rules;
    struct cloudmap_document *document;
    struct endpoint_builder *builder;
    const char *instance;
};

static void skip(struct reading *reading, const char *why)
{
    struct cloudmap_document *document = reading->document;
    char text[CLOUDMAP_REASON_SIZE];

    if (document->skipped++ > 0)
        return;
    snprintf(text, sizeof(text), "%.80s: %s", reading->instance, why);
    log_printable(text, document->reason, sizeof(document->reason));
}

static const char *refusal_of(const struct cloudmap_document_rules *rules,
                              const struct address *address)
{
    for (size_t i = 0; i < rules->allow_count; i++)
        if (address_prefix_contains(&rules->allow[i], address))
            return NULL;
    return address_refusal(address, rules->loopback);
}

/* Adds the address of this attribute. True: it was used; else `why` tells of a bad one. */
static bool add_address(struct reading *reading, const json_t *attributes, const char *key,
                        int family, const char **why)
{
    const char *text = registry_json_text(attributes, key), *refusal;
    struct address address;

    if (text[0] == '\0')
        return false;
    if (address_from_string(text, &address) < 0 || address.family != family) {
        *why = "an address is malformed";
        return false;
    }
    refusal = refusal_of(reading->rules, &address);
    if (refusal) {
        *why = refusal;
        return false;
    }
    endpoint_builder_address(reading->builder, &address);
    return true;
}

/* A host name in place of addresses: another name for it, or that of a load balancer. */
static bool add_target(struct reading *reading, const json_t *attributes, const char **why)
{
    static const char *const keys[] = {"AWS_ALIAS_DNS_NAME", "AWS_INSTANCE_CNAME"};
    char name[NAME_SIZE];

    for (size_t i = 0; i < ELEMENTS(keys); i++) {
        const char *text = registry_json_text(attributes, keys[i]);

        if (text[0] == '\0')
            continue;
        if (name_fold(text, SIZE_MAX, name, NULL) > 0) {
            endpoint_builder_target(reading->builder, name);
            return true;
        }
        *why = "its host name is none";
    }
    return false;
}

static void add_port(struct reading *reading, const json_t *attributes)
{
    const char *text = registry_json_text(attributes, "AWS_INSTANCE_PORT");
    size_t digits = strspn(text, "0123456789");
    unsigned long port = digits > 0 && digits < 6 && text[digits] == '\0' ? strtoul(text, NULL, 10)
                                                                          : 0;

    if (port > 0 && port <= UINT16_MAX)
        endpoint_builder_port(reading->builder, "", "", (uint16_t)port);
}

/* No health check at all (UNKNOWN, or nothing said) counts as healthy, as in Cloud Map's DNS. */
static enum endpoint_health health_of(const json_t *instance)
{
    const char *word = registry_json_text(instance, "HealthStatus");

    if (word[0] == '\0' || streq(word, "HEALTHY") || streq(word, "UNKNOWN"))
        return HEALTH_PASSING;
    return streq(word, "UNHEALTHY") ? HEALTH_CRITICAL : HEALTH_UNKNOWN;
}

static void read_instance(struct reading *reading, const json_t *instance)
{
    const json_t *attributes = json_object_get(instance, "Attributes");
    struct endpoint_builder *builder = reading->builder;
    const char *why = "it has no address";
    bool four, six;

    reading->document->entries++;
    reading->instance = registry_json_text(instance, "InstanceId");
    endpoint_builder_begin(builder, reading->instance);
    four = add_address(reading, attributes, "AWS_INSTANCE_IPV4", AF_INET, &why);
    six = add_address(reading, attributes, "AWS_INSTANCE_IPV6", AF_INET6, &why);
    if (!four && !six && !add_target(reading, attributes, &why)) {
        endpoint_builder_abandon(builder);
        skip(reading, why);
        return;
    }
    add_port(reading, attributes);
    endpoint_builder_locality(builder, registry_json_text(attributes, "AVAILABILITY_ZONE"),
                              registry_json_text(attributes, "REGION"));
    endpoint_builder_health(builder, health_of(instance));
    endpoint_builder_weight(builder, 1);
}

static int read_instances(struct reading *reading, const json_t *root)
{
    const json_t *instances = json_object_get(root, "Instances"), *instance;
    size_t i;

    if (!json_is_array(instances))
        return -EBADMSG;
    json_array_foreach (instances, i, instance) {
        if (!json_is_object(instance))
            return -EBADMSG;
        read_instance(reading, instance);
    }
    reading->document->revision = registry_json_number(root, "InstancesRevision", 0, INT64_MAX, -1);
    return 0;
}

int cloudmap_document_instances(const char *data, size_t size,
                                const struct cloudmap_document_rules *rules,
                                struct cloudmap_document *ret_document)
{
    _cleanup_(endpoint_builder_freep) struct endpoint_builder *builder = endpoint_builder_new();
    struct reading reading = {.rules = rules, .document = ret_document, .builder = builder};
    json_t *root = parse_object(data, size);
    int r;

    *ret_document = (struct cloudmap_document){.revision = -1};
    if (!builder) {
        json_decref(root);
        return -ENOMEM;
    }
    r = root ? read_instances(&reading, root) : -EBADMSG;
    json_decref(root);
    return r < 0 ? r : endpoint_builder_finish(builder, &ret_document->endpoints);
}

void cloudmap_document_done(struct cloudmap_document *document)
{
    document->endpoints = endpoint_set_unref(document->endpoints);
}

int cloudmap_document_revision(const char *data, size_t size, long long *ret_revision)
{
    json_t *root = parse_object(data, size);

    *ret_revision = registry_json_number(root, "InstancesRevision", 0, INT64_MAX, -1);
    json_decref(root);
    return *ret_revision < 0 ? -EBADMSG : 0;
}

/* ---- lists ---- */

static int next_page(const json_t *root, char **ret_next)
{
    const char *token = registry_json_text(root, "NextToken");

    *ret_next = NULL;
    /* Half a list is none: what is not in it would seem to be gone. */
    if (registry_json_text_is_bad(root, "NextToken"))
        return -EBADMSG;
    if (token[0] == '\0')
        return 0;
    *ret_next = strdup(token);
    return *ret_next ? 0 : -ENOMEM;
}

static bool read_namespace(const json_t *item, struct cloudmap_namespace_entry *ret_entry)
{
    const json_t *http = json_object_get(json_object_get(item, "Properties"), "HttpProperties");
    const char *name = registry_json_text(item, "Name");
    const char *http_name = registry_json_text(http, "HttpName");

    *ret_entry = (struct cloudmap_namespace_entry){
        .http_name = http_name[0] ? http_name : name,
        .id = registry_json_text(item, "Id"),
        .arn = registry_json_text(item, "Arn"),
        .is_public = streq(registry_json_text(item, "Type"), "DNS_PUBLIC"),
    };
    if (streq(registry_json_text(item, "ResourceOwner"), "OTHER_ACCOUNTS") && ret_entry->arn[0])
        ret_entry->http_name = ret_entry->arn;
    return name_fold(name, SIZE_MAX, ret_entry->domain, NULL) > 0;
}

int cloudmap_document_namespaces(const char *data, size_t size,
                                 int (*found)(void *userdata,
                                              const struct cloudmap_namespace_entry *entry),
                                 void *userdata, char **ret_next)
{
    json_t *root = parse_object(data, size);
    const json_t *list = json_object_get(root, "Namespaces"), *item;
    struct cloudmap_namespace_entry entry;
    int r = json_is_array(list) ? 0 : -EBADMSG;
    size_t i;

    json_array_foreach (list, i, item) {
        if (r == 0 && read_namespace(item, &entry))
            r = found(userdata, &entry);
    }
    r = r < 0 ? r : next_page(root, ret_next);
    json_decref(root);
    return r;
}

/* ---- errors ---- */

/* "com.amazonaws.servicediscovery#ServiceNotFound:http://..." to "ServiceNotFound". */
static void take_code(const char *text, char *ret_code, size_t size)
{
    const char *mark = strrchr(text, '#');
    size_t length;

    text = mark ? mark + 1 : text;
    length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.");
    snprintf(ret_code, size, "%.*s", length < size ? (int)length : 0, text);
}

void cloudmap_document_error(const char *data, size_t size, const char *header,
                             struct cloudmap_error *ret_error)
{
    json_t *root = parse_object(data, size);
    const char *code = registry_json_text(root, "__type"), *message;

    *ret_error = (struct cloudmap_error){0};
    if (code[0] == '\0')
        code = registry_json_text(root, "code");
    take_code(code[0] || !header ? code : header, ret_error->code, sizeof(ret_error->code));
    message = registry_json_text(root, "Message");
    if (message[0] == '\0')
        message = registry_json_text(root, "message");
    log_printable(message, ret_error->message, sizeof(ret_error->message));
    json_decref(root);
}
