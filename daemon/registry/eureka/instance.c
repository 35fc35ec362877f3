/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One instance of a Eureka registry (instance.h). */
#include "daemon/registry/eureka/instance.h"

enum { VIPS_MAX = 64 };

static const char *const status_words[] = {
    [EUREKA_DOWN] = "DOWN",
    [EUREKA_OUT_OF_SERVICE] = "OUT_OF_SERVICE",
    [EUREKA_STARTING] = "STARTING",
    [EUREKA_UNKNOWN] = "UNKNOWN",
    [EUREKA_UP] = "UP",
};

const char *eureka_status_to_string(enum eureka_status status)
{
    return (size_t)status < ELEMENTS(status_words) ? status_words[status] : "UNKNOWN";
}

enum eureka_status eureka_status_from_string(const char *text)
{
    for (size_t i = 0; i < ELEMENTS(status_words); i++)
        if (streq(text, status_words[i]))
            return (enum eureka_status)i;
    return EUREKA_UNKNOWN;
}

/* ---- making one ---- */

/* Strings are laid one behind the other: counted in a first pass (`text` NULL), copied in a second.
 */
struct writer {
    char *text;
    size_t size;
};

static const char *put(struct writer *writer, const char *text)
{
    size_t size = strlen(text ?: "") + 1, at = writer->size;

    if (writer->text)
        memcpy(writer->text + at, text ?: "", size);
    writer->size += size;
    return writer->text ? writer->text + at : NULL;
}

static const char *put_key(struct writer *writer, const char *app, const char *id)
{
    size_t at = writer->size;

    for (const char *c = app; *c; c++, writer->size++)
        if (writer->text)
            writer->text[writer->size] = name_fold_byte(*c);
    if (writer->text)
        writer->text[writer->size] = '/';
    writer->size++;
    put(writer, id);
    return writer->text ? writer->text + at : NULL;
}

static const char *put_name(struct writer *writer, const char *text)
{
    char name[NAME_SIZE];

    return put(writer, name_fold(text, SIZE_MAX, name, NULL) > 0 ? name : "");
}

/*
 * A vip is a name, or NAME:PORT as Netflix's own clients write it. What no lookup can spell is left
 * out.
 */
static size_t vip_fold(const char *text, size_t size, char ret_name[static NAME_SIZE])
{
    const char *colon = memchr(text, ':', size);

    while (size > 0 && *text == ' ') {
        text++;
        size--;
    }
    if (colon && colon > text)
        size = (size_t)(colon - text);
    while (size > 0 && text[size - 1] == ' ')
        size--;
    return name_fold(text, size, ret_name, NULL);
}

static bool has_vip(const struct writer *writer, size_t from, const char *name)
{
    if (!writer->text)
        return false;
    for (size_t at = from; at < writer->size; at += strlen(writer->text + at) + 1)
        if (streq(writer->text + at, name))
            return true;
    return false;
}

static const char *put_vips(struct writer *writer, const char *const lists[static 2])
{
    size_t from = writer->size, count = 0;
    char name[NAME_SIZE];

    for (size_t i = 0; i < 2; i++)
        for (const char *at = lists[i] ?: ""; *at && count < VIPS_MAX; at += *at == ',') {
            size_t size = strcspn(at, ",");

            /* Both passes count alike, so repeated ones count too. */
            count++;
            if (vip_fold(at, size, name) > 0 && !has_vip(writer, from, name))
                put(writer, name);
            at += size;
        }
    put(writer, "");
    return writer->text ? writer->text + from : NULL;
}

static void write_texts(struct writer *writer, const struct eureka_facts *facts,
                        struct eureka_instance *instance)
{
    instance->key = put_key(writer, facts->app, facts->id);
    instance->id = put(writer, facts->id);
    instance->host = put(writer, facts->host);
    instance->target = put(writer, facts->target);
    instance->zone = put(writer, facts->zone);
    instance->region = put(writer, facts->region);
    instance->app = put_name(writer, facts->app);
    instance->vips = put_vips(writer, facts->vips);
}

int eureka_instance_new(const struct eureka_facts *facts, struct eureka_instance **ret_instance)
{
    struct eureka_instance scratch = {0}, *instance;
    struct writer writer = {0};

    if (!facts->app || !facts->app[0] || !facts->id || !facts->id[0])
        return -EINVAL;
    write_texts(&writer, facts, &scratch);
    instance = calloc(1, sizeof(*instance) + writer.size);
    if (!instance)
        return -ENOMEM;
    writer = (struct writer){.text = instance->text};
    write_texts(&writer, facts, instance);
    instance->text_size = writer.size;
    instance->status = facts->status;
    instance->deleted = facts->deleted;
    instance->address = facts->address;
    instance->port = facts->port;
    instance->secure_port = facts->secure_port;
    *ret_instance = instance;
    return 0;
}

struct eureka_instance *eureka_instance_free(struct eureka_instance *instance)
{
    free(instance);
    return NULL;
}

bool eureka_instance_equal(const struct eureka_instance *a, const struct eureka_instance *b)
{
    return a->text_size == b->text_size && memcmp(a->text, b->text, a->text_size) == 0 &&
           a->status == b->status && a->deleted == b->deleted &&
           a->address.family == b->address.family &&
           (a->address.family == 0 || address_compare(&a->address, &b->address) == 0) &&
           a->port == b->port && a->secure_port == b->secure_port;
}

bool eureka_instance_has_vip(const struct eureka_instance *instance, const char *name)
{
    for (const char *vip = instance->vips; *vip; vip += strlen(vip) + 1)
        if (streq(vip, name))
            return true;
    return false;
}

/* ---- as an endpoint ---- */

static enum endpoint_health health_of(enum eureka_status status)
{
    switch (status) {
    case EUREKA_UP:
        return HEALTH_PASSING;
    case EUREKA_OUT_OF_SERVICE:
        return HEALTH_MAINTENANCE;
    case EUREKA_DOWN:
    case EUREKA_STARTING:
        return HEALTH_CRITICAL;
    default:
        return HEALTH_UNKNOWN;
    }
}

void eureka_instance_build(const struct eureka_instance *instance, struct endpoint_builder *builder)
{
    if (instance->address.family == 0 && instance->target[0] == '\0')
        return;
    endpoint_builder_begin(builder, instance->id);
    if (instance->address.family != 0)
        endpoint_builder_address(builder, &instance->address);
    else
        endpoint_builder_target(builder, instance->target);
    endpoint_builder_node(builder, instance->host);
    endpoint_builder_locality(builder, instance->zone, instance->region);
    endpoint_builder_health(builder, health_of(instance->status));
    if (instance->port > 0)
        endpoint_builder_port(builder, "http", "tcp", instance->port);
    if (instance->secure_port > 0)
        endpoint_builder_port(builder, "https", "tcp", instance->secure_port);
}
