/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/json.h"

#include <stdio.h>

#include "proto/xds.pb-c.h"

enum { FIELD_NAME_MAX = 64 };

struct work {
    struct xds_arena *arena;
    char *reason;
};

static bool refuse(struct work *work, const char *name, const char *why)
{
    snprintf(work->reason, XDS_JSON_REASON_SIZE, "%.64s: %s", name, why);
    return false;
}

static void *allocate(struct work *work, size_t size)
{
    void *memory = xds_arena_alloc(work->arena, size);

    if (memory)
        memset(memory, 0, size);
    else
        refuse(work, "it", "too large");
    return memory;
}

static char *copy_text(struct work *work, const json_t *value)
{
    size_t size = json_string_length(value);
    char *text;

    if (strlen(json_string_value(value)) != size) {
        refuse(work, "a text", "with a NUL in it");
        return NULL;
    }
    text = allocate(work, size + 1);
    if (text)
        memcpy(text, json_string_value(value), size);
    return text;
}

static ProtobufCMessage *new_message(struct work *work, const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *message = allocate(work, type->sizeof_message);

    if (message)
        type->message_init(message);
    return message;
}

static ProtobufCMessage *decode(struct work *work, const ProtobufCMessageDescriptor *type,
                                const json_t *value);

/* ---- the forms of JSON that are not a message's own ---- */

static ProtobufCMessage *decode_duration(struct work *work, const json_t *value)
{
    Xds__Duration *duration = (Xds__Duration *)new_message(work, &xds__duration__descriptor);
    char unit = '\0', rest = '\0';
    double seconds;

    if (!duration)
        return NULL;
    if (!json_is_string(value) ||
        sscanf(json_string_value(value), "%lf%c%c", &seconds, &unit, &rest) != 2 || unit != 's' ||
        !(seconds >= 0 && seconds < 1e12)) {
        refuse(work, "a duration", "not like \"1.5s\"");
        return NULL;
    }
    duration->seconds = (int64_t)seconds;
    duration->nanos = (int32_t)((seconds - (double)duration->seconds) * 1e9);
    return &duration->base;
}

static bool read_number(struct work *work, const char *name, const json_t *value, double minimum,
                        double maximum, double *ret_number)
{
    double number;
    char *end;

    if (json_is_number(value)) {
        number = json_number_value(value);
    } else if (json_is_string(value)) { /* 64-bit numbers are strings */
        number = strtod(json_string_value(value), &end);
        if (end == json_string_value(value) || *end != '\0')
            return refuse(work, name, "no number");
    } else {
        return refuse(work, name, "no number");
    }
    if (!(number >= minimum && number <= maximum))
        return refuse(work, name, "out of range");
    *ret_number = number;
    return true;
}

static ProtobufCMessage *decode_wrapper(struct work *work, const json_t *value)
{
    Xds__UInt32Value *wrapper = (Xds__UInt32Value *)new_message(work,
                                                                &xds__uint32_value__descriptor);
    double number;

    if (!wrapper || !read_number(work, "a weight", value, 0, UINT32_MAX, &number))
        return NULL;
    wrapper->value = (uint32_t)number;
    return &wrapper->base;
}

/* The types that an Any may hold and that are of use; NULL: others keep their name and no content.
 */
static const ProtobufCMessageDescriptor *descriptor_of(const char *url)
{
    static const struct {
        const char *type;
        const ProtobufCMessageDescriptor *descriptor;
    } list[] = {
        {"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
         &xds__http_connection_manager__descriptor},
        {"envoy.extensions.clusters.aggregate.v3.ClusterConfig",
         &xds__aggregate_config__descriptor},
    };

    for (size_t i = 0; i < ELEMENTS(list); i++)
        if (strstr(url, list[i].type))
            return list[i].descriptor;
    return NULL;
}

static ProtobufCMessage *decode_any(struct work *work, const json_t *value)
{
    Xds__Any *any = (Xds__Any *)new_message(work, &xds__any__descriptor);
    const json_t *type = json_object_get(value, "@type");
    const ProtobufCMessageDescriptor *descriptor;
    ProtobufCMessage *message;

    if (!any || !json_is_string(type)) {
        refuse(work, "an Any", "without @type");
        return NULL;
    }
    any->type_url = copy_text(work, type);
    descriptor = any->type_url ? descriptor_of(any->type_url) : NULL;
    if (!descriptor)
        return any->type_url ? &any->base : NULL;
    message = decode(work, descriptor, value);
    if (!message)
        return NULL;
    any->value.len = protobuf_c_message_get_packed_size(message);
    any->value.data = allocate(work, any->value.len + 1);
    if (!any->value.data)
        return NULL;
    protobuf_c_message_pack(message, any->value.data);
    return &any->base;
}

/* ---- one value ---- */

static bool decode_enum(struct work *work, const ProtobufCFieldDescriptor *field,
                        const json_t *value, int *ret)
{
    const ProtobufCEnumValue *known;
    double number;

    if (json_is_string(value)) {
        known = protobuf_c_enum_descriptor_get_value_by_name(field->descriptor,
                                                             json_string_value(value));
        /* A word that is newer than we are: no value that we know either. */
        *ret = known ? known->value : INT32_MAX;
        return true;
    }
    if (!read_number(work, field->name, value, INT32_MIN, INT32_MAX, &number))
        return false;
    *ret = (int)number;
    return true;
}

static bool decode_value(struct work *work, const ProtobufCFieldDescriptor *field,
                         const json_t *value, void *member)
{
    double number;

    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        if (!json_is_string(value))
            return refuse(work, field->name, "no string");
        return (*(char **)member = copy_text(work, value)) != NULL;
    case PROTOBUF_C_TYPE_ENUM:
        return decode_enum(work, field, value, member);
    case PROTOBUF_C_TYPE_UINT32:
        if (!read_number(work, field->name, value, 0, UINT32_MAX, &number))
            return false;
        *(uint32_t *)member = (uint32_t)number;
        return true;
    case PROTOBUF_C_TYPE_INT32:
        /* The protocol of a socket address, an enum by its words. */
        if (json_is_string(value)) {
            *(int32_t *)member = streq(json_string_value(value), "UDP");
            return true;
        }
        if (!read_number(work, field->name, value, INT32_MIN, INT32_MAX, &number))
            return false;
        *(int32_t *)member = (int32_t)number;
        return true;
    case PROTOBUF_C_TYPE_MESSAGE:
        return (*(ProtobufCMessage **)member = decode(work, field->descriptor, value)) != NULL;
    default:
        return refuse(work, field->name, "of a type that is not read");
    }
}

static size_t value_size(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_MESSAGE || field->type == PROTOBUF_C_TYPE_STRING
               ? sizeof(void *)
               : sizeof(uint32_t);
}

static bool decode_repeated(struct work *work, const ProtobufCFieldDescriptor *field,
                            const json_t *list, ProtobufCMessage *message)
{
    size_t count = json_array_size(list), size = value_size(field);
    char *items;

    if (!json_is_array(list))
        return refuse(work, field->name, "no array");
    items = allocate(work, count * size + 1);
    if (!items)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!decode_value(work, field, json_array_get(list, i), items + i * size))
            return false;
    *(size_t *)((char *)message + field->quantifier_offset) = count;
    *(void **)((char *)message + field->offset) = items;
    return true;
}

static bool decode_field(struct work *work, const ProtobufCFieldDescriptor *field,
                         const json_t *value, ProtobufCMessage *message)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return decode_repeated(work, field, value, message);
    if (!decode_value(work, field, value, (char *)message + field->offset))
        return false;
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        *(uint32_t *)((char *)message + field->quantifier_offset) = field->id;
    return true;
}

/* ---- messages ---- */

static const char *camel_case(const char *name, char buffer[static FIELD_NAME_MAX])
{
    size_t at = 0;

    for (; *name && at + 1 < FIELD_NAME_MAX; name++) {
        if (*name == '_' && name[1] >= 'a' && name[1] <= 'z')
            buffer[at++] = (char)(*++name - 'a' + 'A');
        else
            buffer[at++] = *name;
    }
    buffer[at] = '\0';
    return buffer;
}

static const json_t *member_of(const json_t *object, const char *name)
{
    char camel[FIELD_NAME_MAX];
    const json_t *value = json_object_get(object, name);

    return value ?: json_object_get(object, camel_case(name, camel));
}

/* Depth is that of the descriptors, none of which leads back to itself. */
static ProtobufCMessage *decode(struct work *work, const ProtobufCMessageDescriptor *type,
                                const json_t *value)
{
    ProtobufCMessage *message;

    if (type == &xds__duration__descriptor)
        return decode_duration(work, value);
    if (type == &xds__uint32_value__descriptor)
        return decode_wrapper(work, value);
    if (type == &xds__any__descriptor)
        return decode_any(work, value);
    if (!json_is_object(value)) {
        refuse(work, type->short_name, "no object");
        return NULL;
    }
    message = new_message(work, type);
    for (unsigned i = 0; message && i < type->n_fields; i++) {
        const json_t *member = member_of(value, type->fields[i].name);

        if (member && !json_is_null(member) &&
            !decode_field(work, &type->fields[i], member, message))
            return NULL;
    }
    return message;
}

ProtobufCMessage *xds_json_decode(const ProtobufCMessageDescriptor *descriptor,
                                  const json_t *object, struct xds_arena *arena,
                                  char ret_reason[static XDS_JSON_REASON_SIZE])
{
    struct work work = {.arena = arena, .reason = ret_reason};

    return decode(&work, descriptor, object);
}
