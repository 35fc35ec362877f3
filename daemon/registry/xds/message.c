/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/registry/xds/message.h"

#include <stdio.h>

#include "daemon/net/grpc.h"
#include "daemon/registry/xds/arena.h"
#include "proto/xds.pb-c.h"

enum {
    REQUEST_MEMORY_MAX = 64 << 20,
    SMALL_MEMORY_MAX = 1 << 20, /* of what has no resource in it */
    HEAD_TEXT_MAX = 4096,       /* bytes of a version or nonce */
};

#define WRAPPER_URL "type.googleapis.com/envoy.service.discovery.v3.Resource"

/* Fields of both responses; delta's removals are its own. */
enum {
    FIELD_VERSION = 1,
    FIELD_RESOURCES = 2,
    FIELD_TYPE_URL = 4,
    FIELD_NONCE = 5,
    FIELD_WORLD_CONTROL_PLANE = 6,
    FIELD_WORLD_ERRORS = 7,
    FIELD_DELTA_REMOVED = 6,
    FIELD_DELTA_CONTROL_PLANE = 7,
    FIELD_DELTA_REMOVED_NAMES = 8,
    FIELD_DELTA_ERRORS = 9,
    FIELD_TABLE = 1,
};

/* ---- requests ---- */

static char *text(const char *value)
{
    static char empty[] = "";

    return value ? (char *)value : empty;
}

static Xds__Struct *make_struct(struct xds_arena *arena, const json_t *object);

static Xds__ListValue *make_list(struct xds_arena *arena, const json_t *array);

static Xds__Value *make_value(struct xds_arena *arena, const json_t *json)
{
    Xds__Value *value = xds_arena_alloc(arena, sizeof(*value));

    if (!value)
        return NULL;
    xds__value__init(value);
    switch (json_typeof(json)) {
    case JSON_STRING:
        value->kind_case = XDS__VALUE__KIND_STRING_VALUE;
        value->string_value = text(json_string_value(json));
        return value;
    case JSON_INTEGER:
    case JSON_REAL:
        value->kind_case = XDS__VALUE__KIND_NUMBER_VALUE;
        value->number_value = json_number_value(json);
        return value;
    case JSON_TRUE:
    case JSON_FALSE:
        value->kind_case = XDS__VALUE__KIND_BOOL_VALUE;
        value->bool_value = json_is_true(json);
        return value;
    case JSON_OBJECT:
        value->kind_case = XDS__VALUE__KIND_STRUCT_VALUE;
        value->struct_value = make_struct(arena, json);
        return value->struct_value ? value : NULL;
    case JSON_ARRAY:
        value->kind_case = XDS__VALUE__KIND_LIST_VALUE;
        value->list_value = make_list(arena, json);
        return value->list_value ? value : NULL;
    case JSON_NULL:
        break;
    }
    value->kind_case = XDS__VALUE__KIND_NULL_VALUE;
    return value;
}

static Xds__ListValue *make_list(struct xds_arena *arena, const json_t *array)
{
    Xds__ListValue *list = xds_arena_alloc(arena, sizeof(*list));

    if (!list)
        return NULL;
    xds__list_value__init(list);
    list->values = xds_arena_alloc(arena, (json_array_size(array) + 1) * sizeof(*list->values));
    if (!list->values)
        return NULL;
    for (; list->n_values < json_array_size(array); list->n_values++) {
        list->values[list->n_values] = make_value(arena, json_array_get(array, list->n_values));
        if (!list->values[list->n_values])
            return NULL;
    }
    return list;
}

static Xds__Struct *make_struct(struct xds_arena *arena, const json_t *object)
{
    Xds__Struct *structure = xds_arena_alloc(arena, sizeof(*structure));
    const char *key;
    json_t *member;

    if (!structure)
        return NULL;
    xds__struct__init(structure);
    structure->fields = xds_arena_alloc(arena, (json_object_size(object) + 1) *
                                                   sizeof(*structure->fields));
    if (!structure->fields)
        return NULL;
    json_object_foreach ((json_t *)object, key, member) {
        Xds__Struct__FieldsEntry *entry = xds_arena_alloc(arena, sizeof(*entry));

        if (!entry)
            return NULL;
        xds__struct__fields_entry__init(entry);
        entry->key = text(key);
        entry->value = make_value(arena, member);
        if (!entry->value)
            return NULL;
        structure->fields[structure->n_fields++] = entry;
    }
    return structure;
}

struct node_memory {
    Xds__Node node;
    Xds__Locality locality;
};

static Xds__Node *make_node(struct xds_arena *arena, const struct xds_node *from)
{
    static char *features[] = {
        (char *)"envoy.lb.does_not_support_overprovisioning",
        (char *)"xds.config.supports-resource-in-sotw",
    };
    struct node_memory *memory = xds_arena_alloc(arena, sizeof(*memory));

    if (!memory)
        return NULL;
    xds__node__init(&memory->node);
    xds__locality__init(&memory->locality);
    memory->node.id = text(from->id);
    memory->node.cluster = text(from->cluster);
    memory->node.user_agent_name = text(XDS_USER_AGENT);
    memory->node.user_agent_version = text(PACKAGE_VERSION);
    memory->node.client_features = features;
    memory->node.n_client_features = ELEMENTS(features);
    memory->locality.region = text(from->region);
    memory->locality.zone = text(from->zone);
    memory->locality.sub_zone = text(from->sub_zone);
    if (from->region || from->zone || from->sub_zone)
        memory->node.locality = &memory->locality;
    if (from->metadata) {
        memory->node.metadata = make_struct(arena, from->metadata);
        if (!memory->node.metadata)
            return NULL;
    }
    return &memory->node;
}

static int pack(const ProtobufCMessage *message, uint8_t **ret_data, size_t *ret_size)
{
    *ret_size = protobuf_c_message_get_packed_size(message);
    *ret_data = malloc(*ret_size + 1);
    if (!*ret_data)
        return -ENOMEM;
    protobuf_c_message_pack(message, *ret_data);
    return 0;
}

static Xds__Status make_error(const char *error)
{
    Xds__Status status = XDS__STATUS__INIT;

    status.code = GRPC_INVALID_ARGUMENT;
    status.message = text(error);
    return status;
}

static int encode_world(const struct xds_request *request, Xds__Node *node, uint8_t **ret_data,
                        size_t *ret_size)
{
    Xds__DiscoveryRequest message = XDS__DISCOVERY_REQUEST__INIT;
    Xds__Status error = make_error(request->error);

    message.version_info = text(request->version);
    message.node = node;
    message.n_resource_names = request->name_count;
    message.resource_names = (char **)request->names;
    message.type_url = text(xds_kind_url(request->kind));
    message.response_nonce = text(request->nonce);
    message.error_detail = request->error ? &error : NULL;
    return pack(&message.base, ret_data, ret_size);
}

typedef Xds__DeltaDiscoveryRequest__InitialResourceVersionsEntry versions_entry;

static int make_versions(struct xds_arena *arena, const struct xds_request *request,
                         Xds__DeltaDiscoveryRequest *message)
{
    message->initial_resource_versions = xds_arena_alloc(
        arena, (request->held_count + 1) * sizeof(*message->initial_resource_versions));
    if (!message->initial_resource_versions)
        return -ENOMEM;
    for (size_t i = 0; i < request->held_count; i++) {
        versions_entry *entry = xds_arena_alloc(arena, sizeof(*entry));

        if (!entry)
            return -ENOMEM;
        xds__delta_discovery_request__initial_resource_versions_entry__init(entry);
        entry->key = text(request->held[i]);
        entry->value = text(request->versions[i]);
        message->initial_resource_versions[message->n_initial_resource_versions++] = entry;
    }
    return 0;
}

static int encode_delta(struct xds_arena *arena, const struct xds_request *request, Xds__Node *node,
                        uint8_t **ret_data, size_t *ret_size)
{
    Xds__DeltaDiscoveryRequest message = XDS__DELTA_DISCOVERY_REQUEST__INIT;
    Xds__Status error = make_error(request->error);

    message.node = node;
    message.type_url = text(xds_kind_url(request->kind));
    message.n_resource_names_subscribe = request->name_count;
    message.resource_names_subscribe = (char **)request->names;
    message.n_resource_names_unsubscribe = request->removed_count;
    message.resource_names_unsubscribe = (char **)request->removed;
    message.response_nonce = text(request->nonce);
    message.error_detail = request->error ? &error : NULL;
    if (make_versions(arena, request, &message) < 0)
        return -ENOMEM;
    return pack(&message.base, ret_data, ret_size);
}

int xds_message_encode(const struct xds_request *request, const struct xds_node *from,
                       uint8_t **ret_data, size_t *ret_size)
{
    struct xds_arena arena;
    Xds__Node *node;
    int r = -ENOMEM;

    xds_arena_init(&arena, REQUEST_MEMORY_MAX);
    node = request->with_node ? make_node(&arena, from) : NULL;
    if (node || !request->with_node)
        r = request->delta ? encode_delta(&arena, request, node, ret_data, ret_size)
                           : encode_world(request, node, ret_data, ret_size);
    xds_arena_done(&arena);
    return r;
}

/* ---- responses: the head ---- */

static int copy_text(const struct xds_field *field, size_t maximum, char **text_)
{
    if (!field->data || field->size > maximum || memchr(field->data, '\0', field->size))
        return -EBADMSG;
    *text_ = strndup((const char *)field->data, field->size);
    return *text_ ? 0 : -ENOMEM;
}

/* Decodes a small message; NULL: it is none. */
static void *unpack(const ProtobufCMessageDescriptor *type, const struct xds_field *field,
                    struct xds_arena *arena)
{
    return field->data && field->size <= SMALL_MEMORY_MAX
               ? xds_arena_unpack(arena, type, field->data, field->size)
               : NULL;
}

static void read_control_plane(struct xds_intake *intake, const struct xds_field *field)
{
    struct xds_arena arena;
    const Xds__ControlPlane *plane;

    xds_arena_init(&arena, SMALL_MEMORY_MAX);
    plane = unpack(&xds__control_plane__descriptor, field, &arena);
    if (plane)
        snprintf(intake->identifier, sizeof(intake->identifier), "%s", plane->identifier);
    xds_arena_done(&arena);
}

struct head {
    char *version, *nonce;
    int kind;
};

/* Of a field that is repeated the last counts, and only that is decoded. */
static int read_head(struct xds_intake *intake, struct xds_wire wire, struct head *head)
{
    uint32_t plane = intake->protocol->delta ? (uint32_t)FIELD_DELTA_CONTROL_PLANE
                                             : (uint32_t)FIELD_WORLD_CONTROL_PLANE;
    struct xds_field field, version = {0}, nonce = {0}, control_plane = {0};
    int r;

    head->kind = -ENOENT;
    while ((r = xds_wire_next(&wire, &field)) > 0)
        if (field.number == FIELD_VERSION)
            version = field;
        else if (field.number == FIELD_NONCE)
            nonce = field;
        else if (field.number == FIELD_TYPE_URL && field.data)
            head->kind = xds_kind_from_url((const char *)field.data, field.size);
        else if (field.number == plane)
            control_plane = field;
    if (r == 0 && version.number != 0)
        r = copy_text(&version, HEAD_TEXT_MAX, &head->version);
    if (r == 0 && nonce.number != 0)
        r = copy_text(&nonce, HEAD_TEXT_MAX, &head->nonce);
    if (r == 0 && control_plane.number != 0)
        read_control_plane(intake, &control_plane);
    return r;
}

int xds_intake_open(struct xds_intake *intake, const void *data, size_t size,
                    char ret_reason[static XDS_REASON_SIZE])
{
    struct head head = {0};
    int r;

    intake->wire = xds_wire(data, size);
    r = read_head(intake, intake->wire, &head);
    if (r == 0 && head.kind < 0)
        r = head.kind;
    if (r == 0 && !intake->protocol->exchanges[head.kind].started)
        r = -ENOENT;
    if (r == 0)
        r = xds_protocol_begin(intake->protocol, (enum xds_kind)head.kind, head.version ?: "",
                               head.nonce ?: "", &intake->response);
    free(head.version);
    free(head.nonce);
    intake->open = r == 0;
    intake->in_table = false;
    snprintf(ret_reason, XDS_REASON_SIZE, "%s",
             r == -ENOENT ? "a response of a kind that was not asked for"
                          : "a response that is no DiscoveryResponse");
    return r == -ENOENT ? -EBADMSG : r;
}

/* ---- responses: resources ---- */

static void take_table(struct xds_intake *intake, const void *data, size_t size)
{
    intake->in_table = intake->table_ok = true;
    intake->table = xds_wire(data, size);
    intake->names->begin(intake->names_owner);
}

static void take_any(struct xds_intake *intake, const Xds__Any *any, const char *name,
                     const char *version, usec_t now)
{
    enum xds_kind kind = intake->response.kind;
    char own[XDS_NAME_MAX + 1], reason[XDS_REASON_SIZE];
    struct xds_value *value = NULL;
    int r;

    if (!streq(any->type_url, xds_kind_url(kind))) {
        snprintf(reason, sizeof(reason), "a resource of the type %.150s", any->type_url);
        xds_protocol_take(intake->protocol, &intake->response, name, version, NULL, reason, now);
        return;
    }
    r = xds_document_decode(kind, intake->rules, any->value.data, any->value.len, own, &value,
                            reason);
    if (r == -ENOMEM)
        snprintf(reason, sizeof(reason), "no memory");
    xds_protocol_take(intake->protocol, &intake->response, *name ? name : own, version, value,
                      reason, now);
}

static bool name_fits(const char *name)
{
    return strlen(name) <= XDS_NAME_MAX;
}

/* `any`, and what the message around it calls it. */
static void take_wrapped(struct xds_intake *intake, const Xds__Resource *resource, usec_t now)
{
    if (!name_fits(resource->name))
        xds_protocol_take(intake->protocol, &intake->response, "", NULL, NULL,
                          "a name over 1024 bytes", now);
    else if (resource->resource)
        take_any(intake, resource->resource, resource->name, resource->version, now);
    else if (!intake->protocol->delta) /* a heartbeat: it is of those alone that have a TTL */
        intake->response.partial = true;
}

static void take_bad(struct xds_intake *intake, usec_t now)
{
    xds_protocol_take(intake->protocol, &intake->response, "", NULL, NULL,
                      "a resource that cannot be decoded", now);
}

/* A name table is too large to be copied: where its bytes are in the message. */
static bool find_any(struct xds_field field, struct xds_field *ret_value)
{
    struct xds_wire wire = xds_wire(field.data, field.size);
    struct xds_field inner;

    while (xds_wire_next(&wire, &inner) > 0)
        if (inner.number == 2 && inner.data) {
            *ret_value = inner;
            return true;
        }
    return false;
}

static void take_names(struct xds_intake *intake, const struct xds_field *field)
{
    struct xds_field value = *field;

    if (intake->protocol->delta && !find_any(value, &value))
        return;
    if (!find_any(value, &value))
        value.size = 0; /* a table in which there is nothing has no bytes */
    take_table(intake, value.data, value.size);
}

static void take_resource(struct xds_intake *intake, const struct xds_field *field, usec_t now)
{
    struct xds_arena arena;
    const Xds__Resource *resource = NULL;
    const Xds__Any *any = NULL;

    if (intake->response.kind == XDS_NAMES) {
        take_names(intake, field);
        return;
    }
    xds_arena_init(&arena, (size_t)4 * XDS_RESOURCE_MAX);
    if (field->data && intake->protocol->delta)
        resource = xds_arena_unpack(&arena, &xds__resource__descriptor, field->data, field->size);
    else if (field->data)
        any = xds_arena_unpack(&arena, &xds__any__descriptor, field->data, field->size);
    if (any && streq(any->type_url, WRAPPER_URL))
        resource = xds_arena_unpack(&arena, &xds__resource__descriptor, any->value.data,
                                    any->value.len);
    if (resource)
        take_wrapped(intake, resource, now);
    else if (any && !streq(any->type_url, WRAPPER_URL))
        take_any(intake, any, "", NULL, now);
    else
        take_bad(intake, now);
    xds_arena_done(&arena);
}

static void take_removed(struct xds_intake *intake, const struct xds_field *field)
{
    char name[XDS_NAME_MAX + 1];

    if (!field->data || field->size > XDS_NAME_MAX || memchr(field->data, '\0', field->size))
        return; /* it is none of ours */
    memcpy(name, field->data, field->size);
    name[field->size] = '\0';
    xds_protocol_removed(intake->protocol, &intake->response, name);
}

static void take_removed_name(struct xds_intake *intake, const struct xds_field *field)
{
    struct xds_arena arena;
    const Xds__ResourceName *name;

    xds_arena_init(&arena, SMALL_MEMORY_MAX);
    name = unpack(&xds__resource_name__descriptor, field, &arena);
    if (name)
        xds_protocol_removed(intake->protocol, &intake->response, name->name);
    xds_arena_done(&arena);
}

static void take_error(struct xds_intake *intake, const struct xds_field *field)
{
    struct xds_arena arena;
    const Xds__ResourceError *error;

    xds_arena_init(&arena, SMALL_MEMORY_MAX);
    error = unpack(&xds__resource_error__descriptor, field, &arena);
    if (error && error->resource_name)
        xds_protocol_refused(intake->protocol, &intake->response, error->resource_name->name,
                             error->error_detail ? error->error_detail->code : GRPC_UNKNOWN,
                             error->error_detail ? error->error_detail->message : "");
    xds_arena_done(&arena);
}

static void take_field(struct xds_intake *intake, const struct xds_field *field, usec_t now)
{
    bool delta = intake->protocol->delta;

    if (field->number == FIELD_RESOURCES)
        take_resource(intake, field, now);
    else if (delta && field->number == FIELD_DELTA_REMOVED)
        take_removed(intake, field);
    else if (delta && field->number == FIELD_DELTA_REMOVED_NAMES)
        take_removed_name(intake, field);
    else if (field->number == (delta ? (uint32_t)FIELD_DELTA_ERRORS : (uint32_t)FIELD_WORLD_ERRORS))
        take_error(intake, field);
}

/* An entry of the table, or its end. */
static size_t run_table(struct xds_intake *intake)
{
    struct xds_name_entry entry;
    struct xds_field field;
    int r = xds_wire_next(&intake->table, &field);

    if (r <= 0) {
        intake->in_table = false;
        intake->table_ok &= r == 0;
        if (!intake->table_ok) {
            xds_protocol_blame(&intake->response, "", "a name table that cannot be decoded");
            intake->response.partial = true;
        }
        intake->names->finish(intake->names_owner, intake->table_ok);
        return 1;
    }
    if (field.number != FIELD_TABLE || !field.data)
        return 1;
    r = xds_document_name_entry(field.data, field.size, &entry);
    if (r == 0)
        intake->names->entry(intake->names_owner, &entry);
    else if (r != -ENOENT)
        intake->table_ok = false;
    free(entry.addresses);
    return field.size + 1;
}

int xds_intake_run(struct xds_intake *intake, size_t budget, usec_t now)
{
    size_t done = 0;

    while (done < budget) {
        struct xds_field field;

        if (intake->in_table) {
            done += run_table(intake);
            continue;
        }
        if (xds_wire_next(&intake->wire, &field) <= 0) {
            xds_protocol_finish(intake->protocol, &intake->response, now);
            intake->open = false;
            return 0;
        }
        take_field(intake, &field, now);
        done += intake->in_table ? 1 : field.size + 1;
    }
    return 1;
}

void xds_intake_close(struct xds_intake *intake)
{
    if (!intake->open)
        return;
    if (intake->in_table)
        intake->names->finish(intake->names_owner, false);
    xds_response_done(&intake->response);
    intake->open = intake->in_table = false;
}
