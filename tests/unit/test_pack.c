/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The packer: for any buffer, of any size and alignment, all of a result or none of it. */
#include "nss/pack.h"
#include "tests/unit/payload.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>

enum { SIZE_LARGE = 1500, COUNT4 = 5, COUNT6 = 3 };

#define NAME  "web.service.consul"
#define ALIAS "web.example.org"

static struct payload payload;
static struct answer answer;
static const uint16_t order[] = {2, 7, 0, 5, 1, 6, 3, 4};
static const uint16_t order4[] = {2, 0, 1, 3, 4};
static const uint16_t order6[] = {7, 5, 6};

static void make_answer(bool alias)
{
    struct answer_record4 r4[COUNT4] = {0};
    struct answer_record6 r6[COUNT6] = {0};
    struct payload_spec spec = {
        .name = NAME,
        .canonical = alias ? ALIAS : NULL,
        .records4 = r4,
        .count4 = COUNT4,
        .records6 = r6,
        .count6 = COUNT6,
    };

    for (uint8_t i = 0; i < COUNT4; i++)
        memcpy(r4[i].address, (uint8_t[]){192, 0, 2, i}, 4);
    for (uint8_t i = 0; i < COUNT6; i++)
        memcpy(r6[i].address, (uint8_t[16]){0x20, 0x01, 0x0d, 0xb8, [15] = i}, 16);
    ck_assert(answer_parse(payload.data, payload_make(&payload, &spec), &answer));
}

/* A buffer of exactly `size` bytes at a given misalignment, with guards around it. */
struct room {
    char *block;
    struct pack_buffer buffer;
};

static struct room room_make(size_t size, size_t misalignment)
{
    struct room room = {.block = malloc(misalignment + size + 16)};

    room.buffer = (struct pack_buffer){room.block + misalignment, size};
    memset(room.block, 0x5a, misalignment + size + 16);
    return room;
}

static void room_check(struct room *room)
{
    for (const char *p = room->block; p < room->buffer.data; p++)
        UNIT_HOLDS(*p == 0x5a);
    for (size_t i = 0; i < 16; i++)
        UNIT_HOLDS(room->buffer.data[room->buffer.size + i] == 0x5a);
    free(room->block);
}

static void expect_inside(const struct room *room, const void *data, size_t size, size_t align)
{
    const char *begin = data, *end = begin + size;

    UNIT_HOLDS(begin >= room->buffer.data && end <= room->buffer.data + room->buffer.size);
    UNIT_HOLDS((uintptr_t)begin % align == 0);
}

static void expect_address(const void *address, size_t number)
{
    if (number < COUNT4)
        UNIT_HOLDS(memcmp(address, answer.records4[number].address, 4) == 0);
    else
        UNIT_HOLDS(memcmp(address, answer.records6[number - COUNT4].address, 16) == 0);
}

static void expect_hostent(const struct room *room, const struct hostent *host, int family,
                           const uint16_t *numbers, size_t count, bool alias)
{
    size_t length = family == AF_INET ? 4 : 16;

    UNIT_HOLDS(host->h_addrtype == family);
    UNIT_HOLDS(host->h_length == (int)length);
    UNIT_HOLDS(strcmp(host->h_name, alias ? ALIAS : NAME) == 0);
    expect_inside(room, host->h_name, strlen(host->h_name) + 1, 1);
    expect_inside(room, host->h_aliases, (alias ? 2 : 1) * sizeof(char *), sizeof(char *));
    if (alias) {
        UNIT_HOLDS(strcmp(host->h_aliases[0], NAME) == 0);
        expect_inside(room, host->h_aliases[0], sizeof(NAME), 1);
    }
    UNIT_HOLDS(host->h_aliases[alias ? 1 : 0] == NULL);
    expect_inside(room, host->h_addr_list, (count + 1) * sizeof(char *), sizeof(char *));
    for (size_t i = 0; i < count; i++) {
        expect_inside(room, host->h_addr_list[i], length, 4);
        expect_address(host->h_addr_list[i], numbers[i]);
    }
    UNIT_HOLDS(host->h_addr_list[count] == NULL);
}

static void expect_tuples(const struct room *room, const struct gaih_addrtuple *list,
                          const struct gaih_addrtuple *own, size_t count, bool alias)
{
    const struct gaih_addrtuple *at = list;

    for (size_t i = 0; i < count; i++, at = at->next) {
        UNIT_HOLDS(at != NULL);
        if (at != own)
            expect_inside(room, at, sizeof(*at), _Alignof(struct gaih_addrtuple));
        UNIT_HOLDS(strcmp(at->name, alias ? ALIAS : NAME) == 0);
        expect_inside(room, at->name, strlen(at->name) + 1, 1);
        UNIT_HOLDS(at->family == (order[i] < COUNT4 ? AF_INET : AF_INET6));
        UNIT_HOLDS(at->scopeid == 0);
        expect_address(at->addr, order[i]);
    }
    UNIT_HOLDS(at == NULL);
}

/* Calls `pack_one` for every size and alignment; it must fit from some size on, always. */
static void for_every_buffer(bool (*pack_one)(struct room *room, bool alias), bool alias)
{
    make_answer(alias);
    for (size_t misalignment = 0; misalignment < 16; misalignment++) {
        bool fitted = false;

        for (size_t size = 0; size <= SIZE_LARGE; size++) {
            struct room room = room_make(size, misalignment);
            bool fits = pack_one(&room, alias);

            UNIT_HOLDS(fits || !fitted);
            fitted = fits;
            room_check(&room);
        }
        UNIT_HOLDS(fitted);
    }
}

static bool pack_hostent4(struct room *room, bool alias)
{
    struct pack_records records = {&answer, order4, COUNT4};
    struct hostent host, untouched;

    memset(&host, 0x77, sizeof(host));
    memset(&untouched, 0x77, sizeof(untouched));
    if (!pack_hostent(room->buffer, &records, AF_INET, &host)) {
        UNIT_HOLDS(memcmp(&host, &untouched, sizeof(host)) == 0);
        return false;
    }
    expect_hostent(room, &host, AF_INET, order4, COUNT4, alias);
    return true;
}

static bool pack_hostent6(struct room *room, bool alias)
{
    struct pack_records records = {&answer, order6, COUNT6};
    struct hostent host;

    if (!pack_hostent(room->buffer, &records, AF_INET6, &host))
        return false;
    expect_hostent(room, &host, AF_INET6, order6, COUNT6, alias);
    return true;
}

static bool pack_tuples_new(struct room *room, bool alias)
{
    struct pack_records records = {&answer, order, COUNT4 + COUNT6};
    struct gaih_addrtuple *list = NULL;

    if (!pack_tuples(room->buffer, &records, &list)) {
        UNIT_HOLDS(list == NULL);
        return false;
    }
    expect_tuples(room, list, NULL, COUNT4 + COUNT6, alias);
    return true;
}

/* glibc up to 2.36 hands in the first tuple, in memory of its own. */
static bool pack_tuples_given(struct room *room, bool alias)
{
    struct pack_records records = {&answer, order, COUNT4 + COUNT6};
    struct gaih_addrtuple own, untouched, *list = &own;

    memset(&own, 0x77, sizeof(own));
    memset(&untouched, 0x77, sizeof(untouched));
    if (!pack_tuples(room->buffer, &records, &list)) {
        UNIT_HOLDS(memcmp(&own, &untouched, sizeof(own)) == 0);
        UNIT_HOLDS(list == &own);
        return false;
    }
    UNIT_HOLDS(list == &own);
    expect_tuples(room, list, &own, COUNT4 + COUNT6, alias);
    return true;
}

static bool pack_reverse4(struct room *room, bool alias)
{
    struct hostent host;

    (void)alias;
    if (!pack_reverse(room->buffer, &answer, AF_INET, answer.records4[1].address, &host))
        return false;
    UNIT_HOLDS(strcmp(host.h_name, NAME) == 0);
    UNIT_HOLDS(host.h_aliases[0] == NULL);
    UNIT_HOLDS(host.h_addrtype == AF_INET);
    UNIT_HOLDS(host.h_length == 4);
    expect_inside(room, host.h_addr_list[0], 4, 4);
    expect_address(host.h_addr_list[0], 1);
    UNIT_HOLDS(host.h_addr_list[1] == NULL);
    return true;
}

START_TEST(a_hostent_fits_whole_or_not_at_all)
{
    for_every_buffer(pack_hostent4, false);
    for_every_buffer(pack_hostent6, false);
}
END_TEST

START_TEST(an_alias_is_the_name_and_the_name_an_alias)
{
    for_every_buffer(pack_hostent4, true);
    for_every_buffer(pack_hostent6, true);
}
END_TEST

START_TEST(tuples_fit_whole_or_not_at_all)
{
    for_every_buffer(pack_tuples_new, false);
    for_every_buffer(pack_tuples_new, true);
}
END_TEST

START_TEST(a_given_first_tuple_is_filled_and_chained)
{
    for_every_buffer(pack_tuples_given, false);
    for_every_buffer(pack_tuples_given, true);
}
END_TEST

START_TEST(a_given_tuple_alone_needs_room_for_the_name_only)
{
    struct room room;
    struct pack_records records = {&answer, order, 1};
    struct gaih_addrtuple own, *list = &own;

    make_answer(false);
    room = room_make(sizeof(NAME), 1);
    /* An array of no tuples may still cost its padding. */
    room.buffer.data = room.block + 8, room.buffer.size = sizeof(NAME);
    ck_assert(pack_tuples(room.buffer, &records, &list));
    ck_assert_ptr_null(own.next);
    ck_assert_str_eq(own.name, NAME);
    free(room.block);
}
END_TEST

START_TEST(a_reverse_answer_fits_whole_or_not_at_all)
{
    for_every_buffer(pack_reverse4, false);
}
END_TEST

START_TEST(no_buffer_is_no_room)
{
    struct pack_records records = {&answer, order4, COUNT4};
    struct pack_buffer none = {NULL, 1024};
    struct gaih_addrtuple *list = NULL;
    struct hostent host;

    make_answer(false);
    ck_assert(!pack_hostent(none, &records, AF_INET, &host));
    ck_assert(!pack_tuples(none, &records, &list));
    ck_assert(!pack_reverse(none, &answer, AF_INET, "\177\0\0\1", &host));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("pack");

    UNIT_CASE(suite, "hostent", a_hostent_fits_whole_or_not_at_all,
              an_alias_is_the_name_and_the_name_an_alias,
              a_reverse_answer_fits_whole_or_not_at_all);
    UNIT_CASE(suite, "tuples", tuples_fit_whole_or_not_at_all,
              a_given_first_tuple_is_filled_and_chained,
              a_given_tuple_alone_needs_room_for_the_name_only);
    UNIT_CASE(suite, "none", no_buffer_is_no_room);
    return suite;
}

UNIT_MAIN(make_suite)
