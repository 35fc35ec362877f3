/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For tests of the view's writer: a runtime directory with a writer in it, answers by number, and a
 * reader that knows nothing but the bytes that view.h documents, without any of the module's code.
 */
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon/view_writer.h"
#include "tests/unit/payload.h"
#include "tests/unit/unit.h"

#define PEEK_TICK 62500 /* microseconds */

/* ---- a writer ---- */

struct peek_world {
    char directory[64], path[80];
    struct view_writer *writer;
    usec_t now;
};

static inline void peek_set_up(struct peek_world *world)
{
    *world = (struct peek_world){.directory = "/dev/shm/nss-sd-test.XXXXXX",
                                 .now = 1000000 * USEC_PER_SEC};
    ck_assert_ptr_nonnull(mkdtemp(world->directory));
    snprintf(world->path, sizeof(world->path), "%s/view", world->directory);
}

static inline void peek_tear_down(struct peek_world *world)
{
    world->writer = view_writer_close(world->writer);
    unlink(world->path);
    ck_assert_int_eq(rmdir(world->directory), 0);
}

/* A new file, for the domains "sd.test" and `other` (NULL: none). */
static inline int peek_open_writer(struct peek_world *world, unsigned set_bits, const char *other,
                                   void (*carried)(void *userdata, const char *name),
                                   void *userdata)
{
    struct view_domain_spec domains[] = {{"sd.test", false}, {other, false}};
    struct view_spec spec = {.domains = domains,
                             .domain_count = other ? 2 : 1,
                             .ndots = 1,
                             .lookup_timeout = USEC_PER_SEC,
                             .set_bits = set_bits};
    struct view_writer *writer;
    int r = view_writer_open(world->directory, &spec, world->now, carried, userdata, &writer);

    if (r < 0)
        return r;
    view_writer_close(world->writer);
    world->writer = writer;
    return 0;
}

static inline uint32_t peek_tick(const struct peek_world *world)
{
    return (uint32_t)(world->now / PEEK_TICK);
}

/* ---- answers by number: every word of one follows from it ---- */

static inline struct answer_record4 peek_record4(uint32_t number)
{
    struct answer_record4 record = {.weight = (uint16_t)number,
                                    .endpoint = (uint16_t)(number >> 16)};

    memcpy(record.address, &number, sizeof(number));
    return record;
}

/* An answer with number % 58 + 1 addresses. Returns the size used. */
static inline size_t peek_make(struct payload *ret_payload, const char *name, uint32_t number)
{
    struct answer_record4 records[58];
    struct payload_spec spec = {.name = name,
                                .records4 = records,
                                .count4 = number % ELEMENTS(records) + 1,
                                .status6 = ANSWER_NO_DATA};
    struct answer_head *head = (struct answer_head *)ret_payload->data;

    for (size_t i = 0; i < spec.count4; i++)
        records[i] = peek_record4(number);
    payload_make(ret_payload, &spec);
    head->refresh_at = number;
    head->fresh_until = ~number;
    return head->size;
}

/* Is the checked answer the one of a number? */
static inline bool peek_whole(const struct answer *answer)
{
    uint32_t number = answer->head->refresh_at;
    struct answer_record4 record = peek_record4(number);

    if (answer->head->fresh_until != ~number || answer->head->count4 != number % 58 + 1)
        return false;
    for (size_t i = 0; i < answer->head->count4; i++)
        if (memcmp(&answer->records4[i], &record, sizeof(record)) != 0)
            return false;
    return true;
}

static inline int peek_publish(struct peek_world *world, const char *name, uint32_t number)
{
    static struct payload payload;

    return view_writer_publish(world->writer, payload.data, peek_make(&payload, name, number));
}

static inline int peek_publish_absent(struct peek_world *world, const char *name)
{
    static struct payload payload;
    struct payload_spec spec = {.name = name};

    return view_writer_publish(world->writer, payload.data, payload_make(&payload, &spec));
}

/* ---- the reader ---- */

struct peek {
    const uint32_t *words; /* the mapped file */
    size_t size;
    struct view_header header; /* as it was at peek_open() */
};

static inline void peek_open(struct peek *ret_peek, const char *path)
{
    int fd = open(path, O_RDONLY);
    struct stat status;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &status), 0);
    ret_peek->size = (size_t)status.st_size;
    ret_peek->words = mmap(NULL, ret_peek->size, PROT_READ, MAP_SHARED, fd, 0);
    ck_assert(ret_peek->words != MAP_FAILED);
    close(fd);
    memcpy(&ret_peek->header, ret_peek->words, sizeof(ret_peek->header));
    ck_assert(view_header_check(&ret_peek->header, ret_peek->size));
}

static inline void peek_close(struct peek *peek)
{
    munmap((void *)peek->words, peek->size);
}

static inline uint32_t peek_word(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

struct peek_found {
    bool found;
    uint32_t slot;
    struct answer answer; /* of `words` */
    uint32_t words[ANSWER_SLOT_SIZE / 4];
};

/* Copies `count` words if no writer was at them. */
static inline bool peek_copy(const uint32_t *from, size_t count, uint32_t *ret_words)
{
    uint32_t sequence = peek_word(from);

    for (size_t i = 0; i < count; i++)
        ret_words[i] = peek_word(&from[i]);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return (sequence & 1) == 0 && peek_word(from) == sequence;
}

/*
 * Looks a name up. It is missing only if none of the places where it may be has changed between one
 * look at all of them and another: else it may have moved behind the reader's back.
 */
static inline bool peek_find(const struct peek *peek, bool negative, const char *name,
                             struct peek_found *ret_found)
{
    size_t length = strlen(name);
    uint32_t bits = negative ? peek->header.negative_bits : peek->header.set_bits;
    size_t table = VIEW_HEADER_SIZE + (negative ? (size_t)4096 << peek->header.set_bits : 0);
    uint64_t hash = siphash13((const uint8_t *)peek->header.hash_key, name, length);
    uint32_t halves[2] = {(uint32_t)hash, (uint32_t)(hash >> 32)}, sequences[8];
    bool moved;

    do {
        moved = false;
        for (unsigned i = 0; i < 8; i++) {
            uint32_t slot = (halves[i / 4] & ((1u << bits) - 1)) * 4 + i % 4;
            const uint32_t *at = peek->words + (table + (size_t)slot * 1024) / 4;

            sequences[i] = peek_word(at);
            if (peek_word(&at[1]) == 0 || peek_word(&at[11]) != halves[0] ||
                !peek_copy(at, 256, ret_found->words) || ret_found->words[1] == 0 ||
                !answer_parse(ret_found->words, 1024, &ret_found->answer) ||
                strcmp(ret_found->answer.name, name) != 0)
                continue;
            ret_found->slot = slot;
            return ret_found->found = true;
        }
        for (unsigned i = 0; i < 8; i++) {
            uint32_t slot = (halves[i / 4] & ((1u << bits) - 1)) * 4 + i % 4;

            moved |= peek_word(peek->words + (table + (size_t)slot * 1024) / 4) != sequences[i];
        }
    } while (moved);
    return ret_found->found = false;
}

static inline bool peek_has(const struct peek *peek, const char *name)
{
    struct peek_found found;

    return peek_find(peek, false, name, &found);
}

static inline bool peek_has_absence(const struct peek *peek, const char *name)
{
    struct peek_found found;

    return peek_find(peek, true, name, &found);
}

/* Reverse: the name that an address is listed under, or NULL. Checks what the entry says. */
static inline const char *peek_reverse(const struct peek *peek, int family, const void *bytes,
                                       struct peek_found *ret_found)
{
    uint32_t key[5] = {family == AF_INET ? 4 : 6}, entry[8];
    size_t table = VIEW_HEADER_SIZE + ((size_t)4096 << peek->header.set_bits) +
                   ((size_t)4096 << peek->header.negative_bits);
    uint8_t hashed[17] = {(uint8_t)key[0]};
    uint64_t hash;

    memcpy(&key[1], bytes, family == AF_INET ? 4 : 16);
    memcpy(&hashed[1], &key[1], 16);
    hash = siphash13((const uint8_t *)peek->header.hash_key, hashed, sizeof(hashed));
    for (unsigned i = 0; i < 8; i++) {
        uint32_t half = i < 4 ? (uint32_t)hash : (uint32_t)(hash >> 32);
        size_t index = (half & ((1u << (peek->header.reverse_bits - 2)) - 1)) * 4 + i % 4;

        if (!peek_copy(peek->words + (table + index * 32) / 4, 8, entry) ||
            memcmp(&entry[1], key, sizeof(key)) != 0)
            continue;
        ck_assert_uint_lt(entry[6], 4u << peek->header.set_bits);
        ret_found->slot = entry[6];
        ck_assert(peek_copy(peek->words + VIEW_HEADER_SIZE / 4 + (size_t)entry[6] * 256, 256,
                            ret_found->words));
        ck_assert(answer_parse(ret_found->words, 1024, &ret_found->answer));
        return ret_found->answer.name;
    }
    return NULL;
}
