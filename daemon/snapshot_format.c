/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/snapshot_format.h"

#include <endian.h>

#include "nss-sd/name.h"
#include "nss-sd/siphash.h"

enum { SIZE_AT = 16, HEAD_SIZE = 40, CHECKSUM_SIZE = 8 };

static const uint8_t magic[8] = {'n', 's', 's', '-', 's', 'd', '\n', 0x1a};

static uint64_t checksum(const uint8_t *data, size_t size)
{
    static const uint8_t key[SIPHASH_KEY_SIZE] = "nss-sd snapshot";

    return siphash(key, data, size, 2, 4);
}

/* ---- writing ---- */

static void put(struct snapshot_buffer *buffer, const void *data, size_t size)
{
    if (buffer->error < 0)
        return;
    if (buffer->size + size > SNAPSHOT_SIZE_MAX) {
        buffer->error = -EFBIG;
        return;
    }
    if (buffer->size + size > buffer->capacity) {
        size_t capacity = (buffer->size + size) * 3 / 2 + 4096;
        uint8_t *grown = realloc(buffer->data, capacity);

        if (!grown) {
            buffer->error = -ENOMEM;
            return;
        }
        buffer->data = grown;
        buffer->capacity = capacity;
    }
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
}

static void put8(struct snapshot_buffer *buffer, uint8_t value)
{
    put(buffer, &value, sizeof(value));
}

static void put16(struct snapshot_buffer *buffer, size_t value)
{
    uint16_t word = htole16((uint16_t)value);

    put(buffer, &word, sizeof(word));
}

static void put32(struct snapshot_buffer *buffer, uint32_t value)
{
    value = htole32(value);
    put(buffer, &value, sizeof(value));
}

static void put64(struct snapshot_buffer *buffer, uint64_t value)
{
    value = htole64(value);
    put(buffer, &value, sizeof(value));
}

static void put_string(struct snapshot_buffer *buffer, const char *text)
{
    size_t length = strlen(text);

    if (length > UINT16_MAX) {
        buffer->error = buffer->error ?: -EFBIG;
        return;
    }
    put16(buffer, length);
    put(buffer, text, length + 1);
}

/* A word that was left open, now that it is known. */
static void fill(struct snapshot_buffer *buffer, size_t at, const void *word, size_t size)
{
    if (buffer->error >= 0)
        memcpy(buffer->data + at, word, size);
}

/* Begins a record; returns where its body begins. */
static size_t record_begin(struct snapshot_buffer *buffer, char kind)
{
    put8(buffer, (uint8_t)kind);
    put32(buffer, 0);
    return buffer->size;
}

static void record_end(struct snapshot_buffer *buffer, size_t body)
{
    uint32_t size = htole32((uint32_t)(buffer->size - body));

    fill(buffer, body - sizeof(size), &size, sizeof(size));
    buffer->records++;
}

void snapshot_begin(struct snapshot_buffer *buffer, const struct snapshot_binding *binding,
                    const struct snapshot_moment *written)
{
    put(buffer, magic, sizeof(magic));
    put32(buffer, SNAPSHOT_VERSION);
    put32(buffer, 0);
    put64(buffer, 0); /* SIZE_AT */
    put64(buffer, written->realtime);
    put64(buffer, written->boottime);
    put_string(buffer, written->boot_id);
    put_string(buffer, binding->registry);
    put_string(buffer, binding->type);
    put_string(buffer, binding->source);
    put_string(buffer, binding->domains);
    put_string(buffer, binding->identity);
}

static void put_addresses(struct snapshot_buffer *buffer, const struct address *addresses,
                          size_t count)
{
    put16(buffer, count);
    for (size_t i = 0; i < count; i++) {
        put8(buffer, addresses[i].family == AF_INET ? 4 : 6);
        put(buffer, addresses[i].bytes, address_size(&addresses[i]));
    }
}

static void put_endpoint(struct snapshot_buffer *buffer, const struct endpoint *endpoint)
{
    put_string(buffer, endpoint->name);
    put_string(buffer, endpoint->node);
    put_string(buffer, endpoint->hostname);
    put_string(buffer, endpoint->target);
    put_string(buffer, endpoint->zone);
    put_string(buffer, endpoint->region);
    put32(buffer, endpoint->weight);
    put16(buffer, endpoint->priority);
    put8(buffer, (uint8_t)endpoint->health);
    put_addresses(buffer, endpoint->addresses, endpoint->address_count);
    put16(buffer, endpoint->tag_count);
    for (size_t i = 0; i < endpoint->tag_count; i++)
        put_string(buffer, endpoint->tags[i]);
    put16(buffer, endpoint->port_count);
    for (size_t i = 0; i < endpoint->port_count; i++) {
        put_string(buffer, endpoint->ports[i].name);
        put_string(buffer, endpoint->ports[i].protocol);
        put16(buffer, endpoint->ports[i].number);
    }
}

void snapshot_put_service(struct snapshot_buffer *buffer, const struct snapshot_service *service)
{
    uint32_t count = service->endpoints ? service->endpoints->count : 0;
    size_t body;

    /* No reader would take it. */
    if (strlen(service->key) > REGISTRY_KEY_MAX ||
        (service->alias && strlen(service->alias) >= ENDPOINT_STRING_MAX))
        return;
    body = record_begin(buffer, 'S');
    put_string(buffer, service->key);
    put32(buffer, service->flags);
    put64(buffer, service->age);
    put64(buffer, service->doubt_left);
    put_string(buffer, service->alias ? service->alias : "");
    put32(buffer, count);
    for (uint32_t i = 0; i < count; i++)
        put_endpoint(buffer, &service->endpoints->endpoints[i]);
    record_end(buffer, body);
}

void snapshot_put_name(struct snapshot_buffer *buffer, const char *name)
{
    size_t body = record_begin(buffer, 'N');

    put_string(buffer, name);
    record_end(buffer, body);
}

void snapshot_put_host(struct snapshot_buffer *buffer, const struct snapshot_host *host)
{
    size_t body = record_begin(buffer, 'H');

    put_string(buffer, host->host);
    put_string(buffer, host->canonical);
    for (size_t i = 0; i < ELEMENTS(host->halves); i++) {
        put8(buffer, (uint8_t)host->halves[i].state);
        put64(buffer, host->halves[i].age);
        put_addresses(buffer, host->halves[i].addresses, host->halves[i].count);
    }
    record_end(buffer, body);
}

int snapshot_finish(struct snapshot_buffer *buffer)
{
    uint32_t records = buffer->records;
    size_t body = record_begin(buffer, 'E');
    uint64_t size;

    put32(buffer, records);
    record_end(buffer, body);
    size = htole64(buffer->size + CHECKSUM_SIZE);
    fill(buffer, SIZE_AT, &size, sizeof(size));
    if (buffer->error >= 0)
        put64(buffer, checksum(buffer->data, buffer->size));
    return buffer->error;
}

void snapshot_buffer_done(struct snapshot_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct snapshot_buffer){0};
}

/* ---- reading ---- */

static int refuse(struct snapshot_reader *reader, const char *why)
{
    reader->bad = true;
    reader->why = why;
    return -EBADMSG;
}

/* The next `size` bytes, or NULL at the end. */
static const uint8_t *get(struct snapshot_reader *reader, size_t size)
{
    if (reader->bad || size > reader->size - reader->at) {
        reader->bad = true;
        return NULL;
    }
    reader->at += size;
    return reader->data + reader->at - size;
}

static uint64_t get_number(struct snapshot_reader *reader, size_t size)
{
    const uint8_t *bytes = get(reader, size);

    if (!bytes)
        return 0;
    return size == 8 ? siphash_word8(bytes) : siphash_word(bytes, size);
}

/* "" where there is none. At most `max` bytes. */
static const char *get_string(struct snapshot_reader *reader, size_t max)
{
    size_t length = get_number(reader, 2);
    const char *text = (const char *)get(reader, length + 1);

    if (!text || length > max || strnlen(text, length + 1) != length) {
        reader->bad = true;
        return "";
    }
    return text;
}

/* A name, folded as all names are; or "". */
static const char *get_name(struct snapshot_reader *reader)
{
    const char *text = get_string(reader, NAME_MAX_LENGTH);
    char folded[NAME_SIZE];

    if (name_fold(text, SIZE_MAX, folded, NULL) == 0 || !streq(folded, text))
        reader->bad = true;
    return text;
}

static void get_address(struct snapshot_reader *reader, struct address *ret_address)
{
    uint64_t family = get_number(reader, 1);
    const uint8_t *bytes;

    *ret_address = (struct address){.family = family == 4 ? AF_INET : AF_INET6};
    if (family != 4 && family != 6)
        reader->bad = true;
    bytes = get(reader, address_size(ret_address));
    if (bytes)
        memcpy(ret_address->bytes, bytes, address_size(ret_address));
}

static size_t get_count(struct snapshot_reader *reader, size_t size, size_t max)
{
    uint64_t count = get_number(reader, size);

    if (count > max)
        reader->bad = true;
    return reader->bad ? 0 : (size_t)count;
}

static void get_endpoint(struct snapshot_reader *reader)
{
    enum { TEXT = ENDPOINT_STRING_MAX - 1 };
    struct endpoint_builder *builder = reader->builder;
    const char *zone;
    size_t count;

    endpoint_builder_begin(builder, get_string(reader, TEXT));
    endpoint_builder_node(builder, get_string(reader, TEXT));
    endpoint_builder_hostname(builder, get_string(reader, TEXT));
    endpoint_builder_target(builder, get_string(reader, TEXT));
    zone = get_string(reader, TEXT);
    endpoint_builder_locality(builder, zone, get_string(reader, TEXT));
    endpoint_builder_weight(builder, (uint32_t)get_number(reader, 4));
    endpoint_builder_priority(builder, (uint16_t)get_number(reader, 2));
    endpoint_builder_health(builder,
                            (enum endpoint_health)get_count(reader, 1, HEALTH_MAINTENANCE));
    count = get_count(reader, 2, ENDPOINT_ADDRESSES_MAX);
    for (size_t i = 0; i < count && !reader->bad; i++) {
        struct address address;

        get_address(reader, &address);
        endpoint_builder_address(builder, &address);
    }
    count = get_count(reader, 2, ENDPOINT_TAGS_MAX);
    for (size_t i = 0; i < count && !reader->bad; i++)
        endpoint_builder_tag(builder, get_string(reader, TEXT));
    count = get_count(reader, 2, ENDPOINT_PORTS_MAX);
    for (size_t i = 0; i < count && !reader->bad; i++) {
        const char *name = get_string(reader, TEXT), *protocol = get_string(reader, TEXT);

        endpoint_builder_port(builder, name, protocol, (uint16_t)get_number(reader, 2));
    }
}

static int get_service(struct snapshot_reader *reader, struct snapshot_service *ret_service)
{
    struct endpoint_set *set = NULL;
    size_t count;
    int r;

    ret_service->key = get_string(reader, REGISTRY_KEY_MAX);
    ret_service->flags = (uint32_t)get_number(reader, 4);
    ret_service->age = get_number(reader, 8);
    ret_service->doubt_left = get_number(reader, 8);
    ret_service->alias = get_string(reader, ENDPOINT_STRING_MAX - 1);
    count = get_count(reader, 4, ENDPOINTS_MAX);
    for (size_t i = 0; i < count && !reader->bad; i++)
        get_endpoint(reader);
    r = endpoint_builder_finish(reader->builder, &set);
    if (r == -ENOMEM)
        return r;
    if (r < 0 || reader->bad || !*ret_service->key) {
        endpoint_set_unref(set);
        return refuse(reader, "a service in it is malformed");
    }
    if (!*ret_service->alias)
        ret_service->alias = NULL;
    ret_service->endpoints = count > 0 ? set : endpoint_set_unref(set);
    return 0;
}

static int get_host(struct snapshot_reader *reader, struct snapshot_host *ret_host)
{
    ret_host->host = get_name(reader);
    ret_host->canonical = get_name(reader);
    for (size_t i = 0; i < ELEMENTS(ret_host->halves); i++) {
        struct snapshot_half *half = &ret_host->halves[i];

        half->state = (enum snapshot_half_state)get_count(reader, 1, SNAPSHOT_HALF_NO_DATA);
        half->age = get_number(reader, 8);
        half->count = get_count(reader, 2, SNAPSHOT_ADDRESSES_MAX);
        half->addresses = reader->addresses[i];
        for (size_t j = 0; j < half->count && !reader->bad; j++) {
            get_address(reader, &reader->addresses[i][j]);
            if (reader->addresses[i][j].family != (i == 0 ? AF_INET : AF_INET6))
                reader->bad = true;
        }
        if ((half->state == SNAPSHOT_HALF_FOUND) != (half->count > 0))
            reader->bad = true;
    }
    return reader->bad ? refuse(reader, "a host in it is malformed") : 0;
}

static int get_end(struct snapshot_reader *reader)
{
    uint64_t records = get_number(reader, 4);

    if (reader->bad || records != reader->records || reader->at != reader->size)
        return refuse(reader, "it does not end where it says");
    return 0;
}

static int get_body(struct snapshot_reader *reader, uint64_t kind,
                    struct snapshot_record *ret_record)
{
    switch (kind) {
    case 'S':
        ret_record->kind = SNAPSHOT_SERVICE;
        return get_service(reader, &ret_record->service);
    case 'N':
        ret_record->kind = SNAPSHOT_NAME;
        ret_record->name = get_name(reader);
        return reader->bad ? refuse(reader, "a name in it is malformed") : 0;
    case 'H':
        ret_record->kind = SNAPSHOT_HOST;
        return get_host(reader, &ret_record->host);
    case 'E':
        ret_record->kind = SNAPSHOT_END;
        return get_end(reader);
    default:
        return refuse(reader, "it holds a record of an unknown kind");
    }
}

int snapshot_next(struct snapshot_reader *reader, struct snapshot_record *ret_record)
{
    uint64_t kind = get_number(reader, 1), size = get_number(reader, 4);
    size_t end = reader->at + size;
    int r;

    *ret_record = (struct snapshot_record){0};
    if (reader->bad || size > reader->size - reader->at)
        return refuse(reader, "a record in it is cut off");
    r = get_body(reader, kind, ret_record);
    if (r >= 0 && reader->at != end) {
        endpoint_set_unref(ret_record->service.endpoints);
        return refuse(reader, "a record in it has a wrong size");
    }
    reader->records++;
    return r;
}

static void get_head(struct snapshot_reader *reader)
{
    const char *boot_id;

    reader->written.realtime = get_number(reader, 8);
    reader->written.boottime = get_number(reader, 8);
    boot_id = get_string(reader, SNAPSHOT_BOOT_ID_SIZE - 1);
    strcpy(reader->written.boot_id, boot_id);
    reader->binding.registry = get_string(reader, UINT16_MAX);
    reader->binding.type = get_string(reader, UINT16_MAX);
    reader->binding.source = get_string(reader, UINT16_MAX);
    reader->binding.domains = get_string(reader, UINT16_MAX);
    reader->binding.identity = get_string(reader, UINT16_MAX);
}

size_t snapshot_size(const void *data, size_t size)
{
    uint64_t says;

    if (size < HEAD_SIZE + CHECKSUM_SIZE || memcmp(data, magic, sizeof(magic)) != 0)
        return 0;
    says = siphash_word8((const uint8_t *)data + SIZE_AT);
    return says >= HEAD_SIZE + CHECKSUM_SIZE && says <= size ? (size_t)says : 0;
}

int snapshot_open(struct snapshot_reader *reader, const void *data, size_t size)
{
    const uint8_t *begin;
    uint64_t version;

    *reader = (struct snapshot_reader){.data = data, .size = size};
    reader->builder = endpoint_builder_new();
    if (!reader->builder)
        return -ENOMEM;
    begin = get(reader, sizeof(magic));
    if (!begin || memcmp(begin, magic, sizeof(magic)) != 0)
        return refuse(reader, size == 0 ? "it is empty" : "it is no snapshot");
    version = get_number(reader, 4);
    if (!reader->bad && version != SNAPSHOT_VERSION)
        return refuse(reader, "it is of another version");
    get_number(reader, 4);
    if (get_number(reader, 8) != size || size < HEAD_SIZE + CHECKSUM_SIZE)
        return refuse(reader, "it is cut off, or longer than it says");
    if (checksum(data, size - CHECKSUM_SIZE) != siphash_word8(reader->data + size - CHECKSUM_SIZE))
        return refuse(reader, "its checksum is wrong");
    reader->size -= CHECKSUM_SIZE;
    get_head(reader);
    return reader->bad ? refuse(reader, "its head is malformed") : 0;
}

void snapshot_reader_done(struct snapshot_reader *reader)
{
    reader->builder = endpoint_builder_free(reader->builder);
}

/* ---- judging ---- */

int snapshot_elapsed(const struct snapshot_moment *written, const struct snapshot_moment *now,
                     usec_t *ret_elapsed)
{
    bool same_boot = *now->boot_id && streq(written->boot_id, now->boot_id);
    usec_t then = same_boot ? written->boottime : written->realtime;
    usec_t today = same_boot ? now->boottime : now->realtime;

    if (then > today && then - today > SNAPSHOT_FUTURE_MAX)
        return -ETIME;
    *ret_elapsed = then > today ? 0 : today - then;
    return 0;
}

const char *snapshot_foreign(const struct snapshot_binding *is,
                             const struct snapshot_binding *wanted)
{
    if (!streq(is->registry, wanted->registry))
        return "registry";
    if (!streq(is->type, wanted->type))
        return "type";
    if (!streq(is->source, wanted->source))
        return "source";
    return streq(is->domains, wanted->domains) ? NULL : "domains";
}
