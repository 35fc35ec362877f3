/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is found in the tables of a view, when it may be served, and what damaged or hostile bytes
 * lead to: nothing.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "nss-sd/seqlock.h"
#include "nss/clock.h"
#include "nss/view_slots.h"
#include "tests/unit/hand_view.h"
#include "tests/unit/scripted_daemon.h"
#include "tests/unit/unit.h"

static const struct answer_record4 web4[] = {{{192, 0, 2, 1}, 1, 0, 0, 0, 0},
                                             {{192, 0, 2, 2}, 1, 1, 0, 0, 0}};
static const struct answer_record6 web6[] = {{{0x20, 0x01, 0x0d, 0xb8, [15] = 1}, 1, 0, 0, 0, 0}};
static const struct slot_spec web = {
    .payload = {.name = "web.consul", .records4 = web4, .count4 = 2, .records6 = web6, .count6 = 1},
    .fresh = 60,
    .stale = 600,
};
static const struct slot_spec absent = {.payload = {.name = "web.consul"}, .fresh = 60};

static struct scripted_daemon world; /* for its directory */
static struct hand_view file;
static struct view_answer found;

static void set_up(void)
{
    daemon_init(&world);
    hand_view_init(&file, world.directory, NULL, 0);
}

static void tear_down(void)
{
    hand_view_done(&file);
    daemon_done(&world);
}

static struct view_moment moment_now(void)
{
    struct view_moment moment = {.now = clock_tick()};

    moment.view = view_reader_current(moment.now);
    ck_assert_ptr_nonnull(moment.view);
    moment.live = view_pulse(moment.view, moment.now, &moment.heartbeat) == VIEW_LIVE;
    return moment;
}

static bool find(const char *name, enum view_serve least)
{
    struct view_moment moment = moment_now();

    return view_slots_find(&moment, name, strlen(name), least, &found);
}

static bool find4(const uint8_t *address)
{
    struct view_moment moment = moment_now();

    return view_slots_find_address(&moment, 4, address, &found);
}

static bool find6(const uint8_t *address)
{
    struct view_moment moment = moment_now();

    return view_slots_find_address(&moment, 6, address, &found);
}

/* ---- when: the table of view_slot_serve() ---- */

enum { NOW = 1000000, MINUTE = 60 * VIEW_TICKS_PER_SECOND };

START_TEST(every_validity_has_its_hour)
{
    static const struct {
        const char *what;
        uint16_t count;
        bool live;
        int clock; /* its state; -1: none */
        uint32_t confirmed_at, fresh_until, stale_until;
        enum view_serve serve;
    } rows[] = {
        {"live clock", 1, true, VIEW_CLOCK_LIVE, 0, 0, MINUTE, VIEW_SERVE_NOW},
        {"live clock, no stale life", 1, true, VIEW_CLOCK_LIVE, 0, 0, 0, VIEW_SERVE_NOW},
        {"lost a moment ago", 1, true, VIEW_CLOCK_LOST, NOW - MINUTE + 1, 0, MINUTE,
         VIEW_SERVE_NOW},
        {"lost for as long as allowed", 1, true, VIEW_CLOCK_LOST, NOW - MINUTE, 0, MINUTE,
         VIEW_SERVE_NEVER},
        {"lost after the caller looked at its clock", 1, true, VIEW_CLOCK_LOST, NOW + 1, 0, MINUTE,
         VIEW_SERVE_NOW},
        {"lost just now, no stale life", 1, true, VIEW_CLOCK_LOST, NOW + 1, 0, 0, VIEW_SERVE_NEVER},
        {"lost long ago, by the count of ticks", 1, true, VIEW_CLOCK_LOST, NOW + 2 * MINUTE, 0,
         MINUTE, VIEW_SERVE_NEVER},
        {"lost, and kept for ever", 1, true, VIEW_CLOCK_LOST, NOW - MINUTE, 0, UINT32_MAX,
         VIEW_SERVE_NOW},
        {"unused clock", 1, true, VIEW_CLOCK_UNUSED, NOW, 0, MINUTE, VIEW_SERVE_NEVER},
        {"dead, clock was live", 1, false, VIEW_CLOCK_LIVE, 0, 0, 11 * VIEW_TICKS_PER_SECOND,
         VIEW_SERVE_NOW},
        {"dead beyond the limit", 1, false, VIEW_CLOCK_LIVE, NOW, 0, 10 * VIEW_TICKS_PER_SECOND,
         VIEW_SERVE_NEVER},
        {"dead, clock was lost", 1, false, VIEW_CLOCK_LOST, NOW - MINUTE / 2, 0, MINUTE,
         VIEW_SERVE_NOW},
        {"dead, clock was lost long ago", 1, false, VIEW_CLOCK_LOST, NOW - 2 * MINUTE, 0, MINUTE,
         VIEW_SERVE_NEVER},
        {"fresh", 1, true, -1, 0, NOW + 1, NOW + 1, VIEW_SERVE_NOW},
        {"stale", 1, true, -1, 0, NOW, NOW + 1, VIEW_SERVE_LAST},
        {"expired", 1, true, -1, 0, NOW, NOW, VIEW_SERVE_NEVER},
        {"dead, fresh", 1, false, -1, 0, NOW + 1, NOW + 1, VIEW_SERVE_NOW},
        {"dead, stale", 1, false, -1, 0, NOW - 1, NOW + 1, VIEW_SERVE_NOW},
        {"dead, expired", 1, false, -1, 0, NOW - 1, NOW, VIEW_SERVE_NEVER},
        {"negative, live clock", 0, true, VIEW_CLOCK_LIVE, 0, 0, MINUTE, VIEW_SERVE_NOW},
        {"negative, lost clock", 0, true, VIEW_CLOCK_LOST, NOW, 0, MINUTE, VIEW_SERVE_NEVER},
        {"negative, fresh", 0, true, -1, 0, NOW + 1, NOW + MINUTE, VIEW_SERVE_NOW},
        {"negative, stale", 0, true, -1, 0, NOW, NOW + MINUTE, VIEW_SERVE_NEVER},
        {"negative, dead", 0, false, -1, 0, NOW + 1, NOW + MINUTE, VIEW_SERVE_NEVER},
        {"negative, dead, live clock", 0, false, VIEW_CLOCK_LIVE, NOW, 0, UINT32_MAX,
         VIEW_SERVE_NEVER},
    };
    const uint32_t heartbeat = NOW - 10 * VIEW_TICKS_PER_SECOND;

    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        /* Over the end of the count of ticks as well as before it. */
        for (uint32_t shift = 0, n = 0; n < 2; n++, shift = -(uint32_t)NOW) {
            struct view_clock clock = {.state = (uint32_t)rows[i].clock,
                                       .confirmed_at = rows[i].confirmed_at + shift};
            bool watched = rows[i].clock >= 0;
            struct answer_head head = {
                .count6 = rows[i].count,
                .fresh_until = watched ? 0 : rows[i].fresh_until + shift,
                .stale_until = rows[i].stale_until + (watched ? 0 : shift),
            };

            ck_assert_msg(view_slot_serve(&head, watched ? &clock : NULL, rows[i].live,
                                          heartbeat + shift, NOW + shift) == rows[i].serve,
                          "%s", rows[i].what);
        }
    }
}
END_TEST

/* ---- where ---- */

START_TEST(a_name_is_found_in_any_way_of_both_sets)
{
    for (unsigned set = 0; set < 2; set++) {
        for (unsigned way = 0; way < VIEW_WAYS; way++) {
            struct answer_head *slot = hand_view_put_at(&file, &web, set, way);

            ck_assert(find("web.consul", VIEW_SERVE_NOW));
            ck_assert_uint_eq(found.answer.head->count4, 2);
            ck_assert_mem_eq(found.answer.records6[0].address, web6[0].address, 16);
            slot->size = 0;
            ck_assert(!find("web.consul", VIEW_SERVE_NEVER));
            slot = hand_view_put_at(&file, &absent, set, way);
            ck_assert(find("web.consul", VIEW_SERVE_NOW));
            ck_assert_int_eq(found.answer.head->status4, ANSWER_ABSENT);
            slot->size = 0;
        }
    }
}
END_TEST

START_TEST(only_the_very_name_is_found)
{
    struct answer_head *slot = hand_view_put(&file, &web);
    uint32_t tag = slot->hash;

    ck_assert(!find("wea.consul", VIEW_SERVE_NEVER));
    ck_assert(!find("web.consulx", VIEW_SERVE_NEVER));
    slot->hash++;
    ck_assert(!find("web.consul", VIEW_SERVE_NEVER));
    slot->hash = tag;
    ck_assert(find("web.consul", VIEW_SERVE_NEVER));
    /* Another name that by chance, or by malice, has the same hash. */
    ((char *)slot)[ANSWER_HEAD_SIZE] = 'v';
    ck_assert(!find("web.consul", VIEW_SERVE_NEVER));
}
END_TEST

START_TEST(the_best_of_several_is_found)
{
    struct slot_spec expired = web;

    expired.stale = expired.fresh = -10;
    expired.payload.count6 = 0;
    hand_view_put_at(&file, &expired, 0, 0);
    hand_view_put_at(&file, &web, 1, 3);
    ck_assert(find("web.consul", VIEW_SERVE_NOW));
    ck_assert_uint_eq(found.answer.head->count6, 1);
    hand_view_slot(&file, false, "web.consul", 1, 3)->size = 0;
    ck_assert(!find("web.consul", VIEW_SERVE_LAST));
    ck_assert(find("web.consul", VIEW_SERVE_NEVER));
    /* Absent since. */
    hand_view_put(&file, &absent);
    ck_assert(find("web.consul", VIEW_SERVE_NOW));
    ck_assert_int_eq(found.answer.head->status4, ANSWER_ABSENT);
}
END_TEST

START_TEST(a_view_without_tables_holds_nothing)
{
    struct view_moment moment = moment_now();
    struct view view = *moment.view;

    hand_view_put(&file, &web);
    moment.view = &view;
    view.header.set_bits = view.header.negative_bits = view.header.reverse_bits = VIEW_NO_TABLE;
    ck_assert(!view_slots_know_addresses(&view));
    ck_assert(!view_slots_find(&moment, "web.consul", 10, VIEW_SERVE_NEVER, &found));
    ck_assert(!view_slots_find_address(&moment, 4, web4[0].address, &found));
}
END_TEST

/* ---- clocks ---- */

START_TEST(the_clock_of_its_registry_decides_for_a_watched_answer)
{
    struct slot_spec watched = web;
    struct answer_head *slot;

    watched.watched = true;
    watched.stale = 60;
    slot = hand_view_put(&file, &watched);
    ck_assert(find("web.consul", VIEW_SERVE_NOW));
    hand_view_clock(&file, VIEW_CLOCK_LOST, 59);
    ck_assert(find("web.consul", VIEW_SERVE_NOW));
    hand_view_clock(&file, VIEW_CLOCK_LOST, 61);
    ck_assert(!find("web.consul", VIEW_SERVE_LAST));
    hand_view_clock(&file, VIEW_CLOCK_LIVE, 61);
    hand_view_beat(&file, 59);
    ck_assert(find("web.consul", VIEW_SERVE_NOW));
    hand_view_beat(&file, 61);
    ck_assert(!find("web.consul", VIEW_SERVE_LAST));
    hand_view_beat(&file, 0);
    slot->clock = HAND_VIEW_CLOCKS; /* one beyond the last */
    file.header->clocks[HAND_VIEW_CLOCKS] = file.header->clocks[0];
    ck_assert(!find("web.consul", VIEW_SERVE_LAST));
    slot->clock = UINT32_MAX - 1;
    ck_assert(!find("web.consul", VIEW_SERVE_LAST));
}
END_TEST

START_TEST(a_clock_that_is_always_being_written_is_no_clock)
{
    struct slot_spec watched = web;

    watched.watched = true;
    watched.stale = -1;
    hand_view_put(&file, &watched);
    file.header->clocks[0].sequence = 7;
    ck_assert(!find("web.consul", VIEW_SERVE_LAST));
    file.header->clocks[0].sequence = 8;
    ck_assert(find("web.consul", VIEW_SERVE_NOW));
}
END_TEST

/* ---- samples ---- */

START_TEST(a_sample_for_a_caller_who_wants_all_is_the_last_resort)
{
    struct slot_spec sample = web;
    struct answer_head *slot;

    sample.flags = ANSWER_FLAG_PARTIAL;
    slot = hand_view_put(&file, &sample);
    ck_assert(!find("web.consul", VIEW_SERVE_NOW));
    ck_assert(find("web.consul", VIEW_SERVE_LAST));
    slot->limit = 8;
    ck_assert(find("web.consul", VIEW_SERVE_NOW));
    slot->limit = 0;
    hand_view_beat(&file, 10); /* nobody is there to give the rest */
    ck_assert(find("web.consul", VIEW_SERVE_NOW));
}
END_TEST

/* ---- damage ---- */

START_TEST(a_slot_that_its_writer_left_half_written_is_a_miss)
{
    struct answer_head *slot = hand_view_put_at(&file, &web, 0, 0);

    slot->sequence = 1;
    ck_assert(!find("web.consul", VIEW_SERVE_NEVER));
    /* The old answer still stands in another way. */
    hand_view_put_at(&file, &web, 0, 1);
    ck_assert(find("web.consul", VIEW_SERVE_NOW));
    slot->sequence = 2;
    ck_assert(find("web.consul", VIEW_SERVE_NOW));
}
END_TEST

#define FIELD(field, width, value)                                                                 \
    {                                                                                              \
#field, offsetof(struct answer_head, field), width, value                                  \
    }

START_TEST(a_slot_that_lies_is_a_miss)
{
    static const struct {
        const char *what;
        size_t offset, width;
        uint32_t value;
    } lies[] = {
        FIELD(size, 4, 1),
        FIELD(size, 4, ANSWER_RECORDS - 1),
        FIELD(size, 4, ANSWER_RECORDS),
        FIELD(size, 4, ANSWER_SLOT_SIZE),
        FIELD(size, 4, ANSWER_SLOT_SIZE + 1),
        FIELD(size, 4, UINT32_MAX),
        FIELD(size, 4, UINT32_MAX - 2),
        FIELD(count4, 2, 0),
        FIELD(count4, 2, 3),
        FIELD(count4, 2, UINT16_MAX),
        FIELD(count6, 2, 0),
        FIELD(count6, 2, UINT16_MAX),
        FIELD(status4, 1, ANSWER_ABSENT),
        FIELD(status6, 1, 0),
        FIELD(status6, 1, 255),
        FIELD(flags, 4, ANSWER_FLAG_ALIAS),
        FIELD(canonical_length, 2, 1),
        FIELD(canonical_length, 2, UINT16_MAX),
        FIELD(name_length, 2, 0),
        FIELD(name_length, 2, 9),
        FIELD(name_length, 2, 11),
        FIELD(name_length, 2, 255),
        FIELD(name_length, 2, UINT16_MAX),
    };
    struct answer_head *slot = hand_view_put(&file, &web);
    static char good[ANSWER_SLOT_SIZE];

    memcpy(good, slot, sizeof(good));
    for (size_t i = 0; i < ELEMENTS(lies); i++) {
        memcpy((char *)slot + lies[i].offset, &lies[i].value, lies[i].width);
        ck_assert_msg(!find("web.consul", VIEW_SERVE_NEVER), "%s = %u", lies[i].what,
                      lies[i].value);
        memcpy(slot, good, sizeof(good));
        ck_assert(find("web.consul", VIEW_SERVE_NOW));
    }
}
END_TEST

/* ---- while it is written ---- */

enum { REWRITES = 20000, RECORDS = 58 };

static atomic_bool stop;
static atomic_uint rewrites;

/* Writes the slot over and over, as the daemon would; all records of one writing are alike. */
static void *rewrite(void *argument)
{
    uint32_t *slot = argument;
    uint32_t words[ANSWER_SLOT_SIZE / 4];

    memcpy(words, slot, sizeof(words));
    for (unsigned n = 1; !atomic_load(&stop); n++) {
        struct answer_record4 *records = (struct answer_record4 *)&words[ANSWER_RECORDS / 4];
        uint32_t next;

        for (unsigned i = 0; i < RECORDS; i++) {
            memcpy(records[i].address, &n, 4);
            records[i].weight = (uint16_t)n;
        }
        next = seqlock_write_begin(slot);
        /* Backwards, so that who reads meanwhile gets some of both. */
        for (size_t i = ELEMENTS(words) - 1; i > 0; i--)
            seqlock_write_words(&slot[i], &words[i], 1);
        seqlock_write_end(slot, next);
        atomic_store(&rewrites, n);
        /* Else the readers would give up almost every time. Not sched_yield(): on a busy machine
         * each gives a whole turn away. */
        for (volatile unsigned pause = 0; pause < 2000; pause++)
            ;
    }
    return NULL;
}

START_TEST(no_copy_is_torn_while_the_slot_is_rewritten)
{
    static struct answer_record4 records[RECORDS];
    struct slot_spec spec = web;
    struct view_moment moment;
    pthread_t writer;
    unsigned whole = 0;

    spec.payload = (struct payload_spec){
        .name = "web.consul", .records4 = records, .count4 = RECORDS, .status6 = ANSWER_NO_DATA};
    pthread_create(&writer, NULL, rewrite, hand_view_put(&file, &spec));
    moment = moment_now();
    while (atomic_load(&rewrites) < REWRITES || whole == 0) {
        if (!view_slots_find(&moment, "web.consul", 10, VIEW_SERVE_NOW, &found))
            continue;
        whole++;
        for (unsigned i = 1; i < RECORDS; i++)
            UNIT_HOLDS(memcmp(&found.answer.records4[i], &found.answer.records4[0], 6) == 0);
    }
    atomic_store(&stop, true);
    pthread_join(writer, NULL);
    ck_assert(find("web.consul", VIEW_SERVE_NOW));
}
END_TEST

/* ---- reverse ---- */

START_TEST(a_listed_address_leads_to_its_name)
{
    uint32_t slot = hand_view_slot_number(&file, hand_view_put(&file, &web));

    ck_assert(!find4(web4[1].address));
    hand_view_list(&file, 4, web4[1].address, slot);
    hand_view_list(&file, 6, web6[0].address, slot);
    ck_assert(find4(web4[1].address));
    ck_assert_str_eq(found.answer.name, "web.consul");
    ck_assert(find6(web6[0].address));
    ck_assert(!find4(web4[0].address));
}
END_TEST

START_TEST(an_entry_counts_only_if_its_slot_holds_the_address)
{
    struct answer_head *slot = hand_view_put(&file, &web);
    uint32_t number = hand_view_slot_number(&file, slot);
    static const uint8_t gone[4] = {192, 0, 2, 3};
    struct view_reverse *entry = hand_view_list(&file, 4, gone, number);

    ck_assert(!find4(gone));
    memcpy((char *)slot + ANSWER_RECORDS, gone, 4);
    ck_assert(find4(gone));
    entry->sequence = 1;
    ck_assert(!find4(gone));
    entry->sequence = 2;
    entry->slot = 4u << HAND_VIEW_BITS; /* the first of the next table */
    memcpy((char *)file.header + view_slot_offset(file.header, true, 0), slot, ANSWER_SLOT_SIZE);
    ck_assert(!find4(gone));
    entry->slot = UINT32_MAX;
    ck_assert(!find4(gone));
    entry->slot = number;
    entry->address[4] = 1; /* an IPv4 address has but four bytes */
    ck_assert(!find4(gone));
    entry->address[4] = 0;
    entry->family = 6;
    ck_assert(!find4(gone));
    entry->family = 4;
    ck_assert(find4(gone));
    slot->stale_until = slot->fresh_until = clock_tick() - 1;
    ck_assert(!find4(gone));
    slot->size = 0;
    ck_assert(!find4(gone));
}
END_TEST

START_TEST(a_stale_answer_still_names_its_address)
{
    struct slot_spec stale = web;

    stale.fresh = -10;
    hand_view_list(&file, 4, web4[0].address,
                   hand_view_slot_number(&file, hand_view_put(&file, &stale)));
    ck_assert(find4(web4[0].address));
    hand_view_beat(&file, 10);
    ck_assert(find4(web4[0].address));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("view_slots");

#define SLOTS_CASE(name, ...) UNIT_CASE_FIXTURE(suite, name, set_up, tear_down, __VA_ARGS__)
    UNIT_CASE(suite, "when", every_validity_has_its_hour);
    SLOTS_CASE("where", a_name_is_found_in_any_way_of_both_sets, only_the_very_name_is_found,
               the_best_of_several_is_found, a_view_without_tables_holds_nothing);
    SLOTS_CASE("clocks", the_clock_of_its_registry_decides_for_a_watched_answer,
               a_clock_that_is_always_being_written_is_no_clock,
               a_sample_for_a_caller_who_wants_all_is_the_last_resort);
    SLOTS_CASE("damage", a_slot_that_its_writer_left_half_written_is_a_miss,
               a_slot_that_lies_is_a_miss, no_copy_is_torn_while_the_slot_is_rewritten);
    SLOTS_CASE("reverse", a_listed_address_leads_to_its_name,
               an_entry_counts_only_if_its_slot_holds_the_address,
               a_stale_answer_still_names_its_address);
    return suite;
}

UNIT_MAIN(make_suite)
