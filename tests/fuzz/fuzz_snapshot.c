/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a snapshot. Its size and its checksum are made right first, so that what is behind
 * them is reached. Whatever comes out is within the bounds that the core relies on.
 */
#include <endian.h>
#include <stdio.h>

#include "daemon/snapshot_format.h"
#include "nss-sd/siphash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void make_whole(uint8_t *data, size_t size)
{
    static const uint8_t key[SIPHASH_KEY_SIZE] = "nss-sd snapshot";
    uint64_t word = htole64(size);

    if (size < 48)
        return;
    memcpy(data + 16, &word, sizeof(word));
    word = htole64(siphash(key, data, size - 8, 2, 4));
    memcpy(data + size - 8, &word, sizeof(word));
}

static void check_service(const struct snapshot_service *service)
{
    require(*service->key && strlen(service->key) <= REGISTRY_KEY_MAX);
    require(!service->endpoints || service->endpoints->count > 0);
    for (uint32_t i = 0; service->endpoints && i < service->endpoints->count; i++) {
        const struct endpoint *endpoint = &service->endpoints->endpoints[i];

        require(endpoint->health <= HEALTH_MAINTENANCE);
        require(endpoint->address_count <= ENDPOINT_ADDRESSES_MAX);
        for (size_t j = 0; j < endpoint->address_count; j++)
            require(endpoint->addresses[j].family == AF_INET ||
                    endpoint->addresses[j].family == AF_INET6);
    }
}

static bool is_name(const char *text)
{
    char folded[NAME_SIZE];

    return name_fold(text, SIZE_MAX, folded, NULL) > 0 && streq(folded, text);
}

static void check_record(const struct snapshot_record *record)
{
    if (record->kind == SNAPSHOT_SERVICE)
        check_service(&record->service);
    if (record->kind == SNAPSHOT_NAME)
        require(is_name(record->name));
    if (record->kind == SNAPSHOT_HOST)
        require(is_name(record->host.host) && is_name(record->host.canonical));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    struct snapshot_reader reader;
    struct snapshot_record record;
    int r;

    memcpy(copy, data, size);
    make_whole(copy, size);
    r = snapshot_open(&reader, copy, size);
    while (r >= 0 && (r = snapshot_next(&reader, &record)) >= 0) {
        check_record(&record);
        endpoint_set_unref(record.service.endpoints);
        if (record.kind == SNAPSHOT_END)
            break;
    }
    require(r >= 0 || r == -ENOMEM || (reader.why && *reader.why));
    snapshot_reader_done(&reader);
    free(copy);
    return 0;
}
