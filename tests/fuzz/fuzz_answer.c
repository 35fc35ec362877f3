/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Arbitrary bytes as a reply of the daemon: checked, drawn from and packed into buffers of all
 * sizes. For any bytes there is a well-formed result within the buffer, or none.
 *
 * The first 8 bytes of the input steer the caller (buffer, family, seed); the rest is the reply, of
 * which lengths are put right for every other input, so that what lies behind the validator is
 * reached.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "nss-sd/wire.h"
#include "nss/draw.h"
#include "nss/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEERING = 8, HEAD = sizeof(struct wire_reply_head) };

struct steering {
    uint16_t room;
    uint8_t misalignment;
    uint8_t families;
    uint16_t limit;
    uint8_t repair;
    uint8_t given; /* the caller has a first tuple */
};

_Static_assert(sizeof(struct steering) == STEERING, "layout");

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* Makes the lengths agree with each other; everything else stays as it is. */
static void repair(char *reply, size_t size)
{
    struct wire_reply_head *head = (struct wire_reply_head *)reply;
    struct answer_head *answer = (struct answer_head *)(reply + HEAD);
    size_t left;

    if (size < HEAD + ANSWER_RECORDS)
        return;
    *head = (struct wire_reply_head){WIRE_REPLY_MAGIC,        WIRE_VERSION, HEAD, WIRE_OK, 0,
                                     (uint32_t)(size - HEAD), {0}};
    left = size - HEAD - ANSWER_RECORDS;
    answer->size = (uint32_t)(size - HEAD);
    answer->count6 = (uint16_t)(answer->count6 % (left / sizeof(struct answer_record6) + 1));
    left -= answer->count6 * sizeof(struct answer_record6);
    answer->count4 = (uint16_t)(left / sizeof(struct answer_record4));
    left -= answer->count4 * sizeof(struct answer_record4);
    answer->canonical_length = (uint16_t)left;
    answer->flags = left > 0 ? ANSWER_FLAG_ALIAS : 0;
    answer->status4 = answer->count4 > 0 ? ANSWER_FOUND : ANSWER_ABSENT;
    answer->status6 = answer->count6 > 0 ? ANSWER_FOUND : ANSWER_ABSENT;
    answer->name_length = 1;
    memcpy(reply + HEAD + ANSWER_HEAD_SIZE, "a", 2);
    memset(reply + size - left, 'b', left);
}

static void require_inside(const struct pack_buffer *buffer, const void *part, size_t size)
{
    const char *begin = part;

    require(begin >= buffer->data && begin + size <= buffer->data + buffer->size);
}

static void check_hostent(struct pack_buffer buffer, const struct pack_records *records, int family)
{
    struct hostent host;
    size_t count = 0;

    if (!pack_hostent(buffer, records, family, &host))
        return;
    require_inside(&buffer, host.h_name, strlen(host.h_name) + 1);
    for (; host.h_addr_list[count]; count++)
        require_inside(&buffer, host.h_addr_list[count], (size_t)host.h_length);
    require(count == records->count && host.h_name[0] != '\0');
}

static void check_tuples(struct pack_buffer buffer, const struct pack_records *records, bool given)
{
    struct gaih_addrtuple own, *list = given ? &own : NULL;
    size_t count = 0;

    if (!pack_tuples(buffer, records, &list))
        return;
    for (const struct gaih_addrtuple *at = list; at; at = at->next, count++) {
        if (at != &own)
            require_inside(&buffer, at, sizeof(*at));
        require_inside(&buffer, at->name, strlen(at->name) + 1);
        require(at->family == AF_INET || at->family == AF_INET6);
    }
    require(count == records->count);
}

static void check_draw(const struct answer *answer, const struct pack_records *records,
                       unsigned families, size_t limit)
{
    const struct answer_head *head = answer->head;
    size_t there = (families & DRAW_IPV4 ? head->count4 : 0u) +
                   (families & DRAW_IPV6 ? head->count6 : 0u);
    bool *seen = calloc(there + head->count4 + 1u, sizeof(*seen));

    require(seen != NULL);
    require((records->count > 0) == (there > 0));
    require(limit > 0 ? records->count <= limit : records->count == there);
    for (size_t i = 0; i < records->count; i++) {
        size_t number = records->order[i];

        require(number < (size_t)head->count4 + head->count6 && !seen[number]);
        require(families & (number < head->count4 ? DRAW_IPV4 : DRAW_IPV6));
        seen[number] = true;
    }
    free(seen);
}

static void check_answer(const struct answer *answer, const struct steering *steering,
                         uint64_t seed)
{
    unsigned families = steering->families % 3u + 1;
    size_t numbers = (size_t)answer->head->count4 + answer->head->count6;
    uint16_t *order = malloc(numbers * sizeof(*order) + 1);
    char *room = malloc(steering->misalignment + (size_t)steering->room + 1);
    struct pack_buffer buffer = {room + steering->misalignment, steering->room};
    struct pack_records records = {answer, order, 0};

    require(order && room);
    records.count = draw_order(answer, families, steering->limit, seed, (uint32_t)(seed >> 32),
                               order);
    check_draw(answer, &records, families, steering->limit);
    if (records.count > 0 && families == DRAW_IPV4)
        check_hostent(buffer, &records, AF_INET);
    else if (records.count > 0 && families == DRAW_IPV6)
        check_hostent(buffer, &records, AF_INET6);
    if (records.count > 0)
        check_tuples(buffer, &records, steering->given % 2 == 1);
    free(order);
    free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct steering steering;
    struct answer answer;
    uint64_t seed;
    char *reply;

    if (size < STEERING || size > STEERING + WIRE_REPLY_MAX)
        return 0;
    memcpy(&steering, data, STEERING);
    memcpy(&seed, data, STEERING);
    data += STEERING;
    size -= STEERING;
    reply = malloc(size + 1); /* exact, so that a sanitizer sees a byte too far */
    require(reply != NULL);
    memcpy(reply, data, size);
    if (steering.repair % 2 == 1)
        repair(reply, size);
    if (wire_reply_parse(reply, size, &answer))
        check_answer(&answer, &steering, seed);
    free(reply);
    return 0;
}
