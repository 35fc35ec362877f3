/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tables of the view: what the daemon publishes is there for a reader that knows only the
 * documented bytes, at every instant. The life of the file is tested in test_view_old.c.
 *
 * ThreadSanitizer is of no use here: it does not know the fences on which the sequence lock rests.
 */
#include <stdatomic.h>
#include <sys/wait.h>

#include "tests/unit/view_peek.h"

static struct peek_world world;
static struct peek peek;

static void set_up(void)
{
    peek_set_up(&world);
    ck_assert_int_eq(peek_open_writer(&world, VIEW_WRITER_SET_BITS, NULL, NULL, NULL), 0);
    peek_open(&peek, world.path);
}

static void tear_down(void)
{
    peek_close(&peek);
    peek_tear_down(&world);
}

static void reopen(unsigned set_bits)
{
    ck_assert_int_eq(peek_open_writer(&world, set_bits, NULL, NULL, NULL), 0);
    peek_close(&peek);
    peek_open(&peek, world.path);
}

static const char *name_of(unsigned number)
{
    static char name[64];

    snprintf(name, sizeof(name), "service-%u.sd.test", number);
    return name;
}

/* The number that is published under a name; it must be there. */
static uint32_t number_of(const char *name)
{
    struct peek_found found;

    if (!peek_find(&peek, false, name, &found))
        ck_abort_msg("%s is missing", name);
    UNIT_HOLDS(peek_whole(&found.answer));
    return found.answer.head->refresh_at;
}

/* Entries of both tables that are not free. */
static unsigned count_slots(void)
{
    unsigned slots = 4u * ((1u << peek.header.set_bits) + (1u << peek.header.negative_bits));
    unsigned count = 0;

    for (unsigned i = 0; i < slots; i++)
        count += peek.words[VIEW_HEADER_SIZE / 4 + (size_t)i * 256 + 1] != 0;
    return count;
}

/* ---- one name ---- */

START_TEST(what_is_published_is_found_byte_for_byte)
{
    static struct payload payload;
    struct answer_record6 record = {.address = {0x20, 1}, .weight = 7};
    struct payload_spec spec = {.name = "web.sd.test",
                                .canonical = "a.b.c.example",
                                .records6 = &record,
                                .count6 = 1,
                                .status4 = ANSWER_NO_DATA};
    size_t size = payload_make(&payload, &spec);
    struct answer_head *head = (struct answer_head *)payload.data;
    struct peek_found found;

    ck_assert_int_eq(view_writer_publish(world.writer, payload.data, size), 0);
    ck_assert(peek_find(&peek, false, "web.sd.test", &found));
    head->sequence = found.answer.head->sequence;
    head->hash = (uint32_t)siphash13((const uint8_t *)peek.header.hash_key, "web.sd.test", 11);
    ck_assert_mem_eq(found.words, payload.data, size);
    ck_assert(!peek_has(&peek, "web2.sd.test"));
    ck_assert(!peek_has_absence(&peek, "web.sd.test"));
}
END_TEST

START_TEST(the_largest_answer_fits_and_a_larger_one_is_refused)
{
    static struct payload payload;

    ck_assert_uint_eq(peek_make(&payload, "big.sd.test", 57), 320 + 58 * 12);
    ck_assert_int_eq(view_writer_publish(world.writer, payload.data, 320 + 58 * 12), 0);
    ck_assert_uint_eq(number_of("big.sd.test"), 57);
    ck_assert_int_eq(view_writer_publish(world.writer, payload.data, 1025), -EINVAL);
    ck_assert_int_eq(view_writer_publish(world.writer, payload.data, 319), -EINVAL);
    ck_assert_int_eq(view_writer_publish(world.writer, payload.data, 400), -EINVAL);
    ck_assert_uint_eq(number_of("big.sd.test"), 57);
}
END_TEST

START_TEST(an_answer_is_replaced_and_leaves_one_slot)
{
    for (uint32_t i = 0; i < 100; i++) {
        ck_assert_int_eq(peek_publish(&world, "web.sd.test", i), 0);
        ck_assert_uint_eq(number_of("web.sd.test"), i);
        ck_assert_uint_eq(count_slots(), 1);
    }
}
END_TEST

START_TEST(an_equal_answer_is_not_written_again)
{
    struct peek_found before, after;

    peek_publish(&world, "web.sd.test", 5);
    ck_assert(peek_find(&peek, false, "web.sd.test", &before));
    peek_publish(&world, "web.sd.test", 5);
    ck_assert(peek_find(&peek, false, "web.sd.test", &after));
    ck_assert_uint_eq(after.slot, before.slot);
    ck_assert_mem_eq(after.words, before.words, before.answer.head->size);
    peek_publish(&world, "web.sd.test", 6);
    ck_assert(peek_find(&peek, false, "web.sd.test", &after));
    ck_assert_uint_ne(after.slot, before.slot);
}
END_TEST

START_TEST(a_name_is_in_one_of_the_tables)
{
    peek_publish(&world, "web.sd.test", 1);
    ck_assert_int_eq(peek_publish_absent(&world, "web.sd.test"), 0);
    ck_assert(!peek_has(&peek, "web.sd.test"));
    ck_assert(peek_has_absence(&peek, "web.sd.test"));
    peek_publish(&world, "web.sd.test", 2);
    ck_assert(peek_has(&peek, "web.sd.test"));
    ck_assert(!peek_has_absence(&peek, "web.sd.test"));
    ck_assert_uint_eq(count_slots(), 1);
}
END_TEST

START_TEST(what_is_withdrawn_is_gone_from_both_tables)
{
    peek_publish(&world, "web.sd.test", 1);
    peek_publish_absent(&world, "db.sd.test");
    view_writer_withdraw(world.writer, "web.sd.test");
    view_writer_withdraw(world.writer, "db.sd.test");
    view_writer_withdraw(world.writer, "never.sd.test");
    ck_assert_uint_eq(count_slots(), 0);
    ck_assert_uint_eq(view_writer_load(world.writer), 0);
    peek_publish(&world, "web.sd.test", 3);
    ck_assert_uint_eq(number_of("web.sd.test"), 3);
}
END_TEST

/* ---- many names ---- */

START_TEST(every_name_is_found_at_the_load_that_calls_for_growth)
{
    unsigned count = 0;

    reopen(13);
    ck_assert_uint_eq(view_writer_set_bits(world.writer), 13);
    while (view_writer_load(world.writer) <= 70) {
        UNIT_HOLDS(peek_publish(&world, name_of(count), count) == 0);
        count++;
    }
    ck_assert_uint_gt(count, 20000);
    ck_assert_uint_eq(count_slots(), count);
    for (unsigned i = 0; i < count; i++)
        UNIT_HOLDS(number_of(name_of(i)) == i);
    /* All change, none is lost. */
    for (unsigned i = 0; i < count; i++)
        UNIT_HOLDS(peek_publish(&world, name_of(i), i + 1) == 0);
    for (unsigned i = 0; i < count; i++)
        UNIT_HOLDS(number_of(name_of(i)) == i + 1);
    ck_assert_uint_eq(count_slots(), count);
}
END_TEST

START_TEST(a_full_table_says_so_and_still_replaces_what_it_holds)
{
    unsigned count = 0;
    int r;

    while ((r = peek_publish(&world, name_of(count), count)) == 0)
        count++;
    ck_assert_int_eq(r, -ENOSPC);
    ck_assert_uint_gt(count, 1024 * 80 / 100); /* answers were moved to make room */
    ck_assert(!peek_has(&peek, name_of(count)));
    for (; count_slots() < 1024; count++)
        peek_publish(&world, name_of(count), count);
    ck_assert_uint_eq(view_writer_load(world.writer), 100);
    for (unsigned i = 0; i < count; i++)
        if (peek_has(&peek, name_of(i))) {
            UNIT_HOLDS(peek_publish(&world, name_of(i), i + 5) == 0);
            UNIT_HOLDS(number_of(name_of(i)) == i + 5);
        }
    ck_assert_uint_eq(count_slots(), 1024);
}
END_TEST

START_TEST(a_table_grows_by_new_files_and_loses_no_name)
{
    enum { NAMES = 20000 };

    for (unsigned i = 0; i < NAMES; i++) {
        static struct payload payload;
        struct answer_head *head = (struct answer_head *)payload.data;
        size_t size = peek_make(&payload, name_of(i), i);

        head->fresh_until = head->stale_until = peek_tick(&world) + 100;
        if (view_writer_load(world.writer) > 70)
            reopen(view_writer_set_bits(world.writer) + 1);
        UNIT_HOLDS(view_writer_publish(world.writer, payload.data, size) == 0);
    }
    ck_assert_uint_eq(view_writer_set_bits(world.writer), 13);
    for (unsigned i = 0; i < NAMES; i++)
        UNIT_HOLDS(peek_has(&peek, name_of(i)));
    ck_assert_uint_eq(count_slots(), NAMES);
}
END_TEST

struct tagged {
    uint32_t tag, number;
};

static int compare_tags(const void *a, const void *b)
{
    uint32_t left = ((const struct tagged *)a)->tag, right = ((const struct tagged *)b)->tag;

    return (left > right) - (left < right);
}

START_TEST(names_of_one_hash_are_told_apart)
{
    enum { NAMES = 400000 };
    struct tagged *names = calloc(NAMES, sizeof(*names));
    unsigned pairs = 0;

    for (uint32_t i = 0; i < NAMES; i++) {
        const char *name = name_of(100000 + i); /* all of one length */

        names[i].number = 100000 + i;
        names[i].tag = view_place_of(peek.header.hash_key, name, strlen(name), 8).tag;
    }
    qsort(names, NAMES, sizeof(*names), compare_tags);
    for (unsigned i = 1; i < NAMES; i++)
        if (names[i].tag == names[i - 1].tag) {
            pairs++;
            peek_publish(&world, name_of(names[i].number), names[i].number);
            peek_publish(&world, name_of(names[i - 1].number), names[i - 1].number);
            UNIT_HOLDS(number_of(name_of(names[i].number)) == names[i].number);
            UNIT_HOLDS(number_of(name_of(names[i - 1].number)) == names[i - 1].number);
        }
    ck_assert_uint_gt(pairs, 0); /* 18 are to be expected */
    free(names);
}
END_TEST

START_TEST(absences_push_out_the_oldest_absences_and_no_answer)
{
    for (unsigned i = 0; i < 700; i++)
        UNIT_HOLDS(peek_publish(&world, name_of(i), i) == 0);
    for (unsigned i = 1000000; i < 1010000; i++) {
        UNIT_HOLDS(peek_publish_absent(&world, name_of(i)) == 0);
        UNIT_HOLDS(peek_has_absence(&peek, name_of(i)));
    }
    for (unsigned i = 0; i < 700; i++)
        UNIT_HOLDS(number_of(name_of(i)) == i);
    ck_assert_uint_eq(count_slots(), 700 + 256);
    /* The last ones are there: 8 candidates each, so the newest few never were the oldest. */
    for (unsigned i = 1010000 - 8; i < 1010000; i++)
        UNIT_HOLDS(peek_has_absence(&peek, name_of(i)));
    ck_assert(!peek_has_absence(&peek, name_of(1000000)));
}
END_TEST

START_TEST(an_absence_that_is_said_again_is_not_the_oldest)
{
    for (unsigned i = 1000000; i < 1010000; i++) {
        UNIT_HOLDS(peek_publish_absent(&world, "kept.sd.test") == 0);
        UNIT_HOLDS(peek_publish_absent(&world, name_of(i)) == 0);
        UNIT_HOLDS(peek_has_absence(&peek, "kept.sd.test"));
    }
}
END_TEST

/* ---- at every instant ---- */

/* Shared by the process that writes and the one that reads. */
struct race {
    atomic_bool over;
    atomic_ulong reads, missed, torn;
};

static _Noreturn void read_on(struct race *race, const char *name)
{
    struct peek_found found;

    while (!atomic_load(&race->over)) {
        if (!peek_find(&peek, false, name, &found))
            atomic_fetch_add(&race->missed, 1);
        else if (!peek_whole(&found.answer))
            atomic_fetch_add(&race->torn, 1);
        atomic_fetch_add(&race->reads, 1);
    }
    _exit(0);
}

/* Runs `write` while another process reads `name` without pause. */
static void race_readers(const char *name, void (*write)(unsigned round), unsigned rounds)
{
    struct race *race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;
    pid_t pid;

    ck_assert(race != MAP_FAILED);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        read_on(race, name);
    for (unsigned i = 0; i < rounds; i++)
        write(i);
    while (atomic_load(&race->reads) < 1000)
        usleep(1000);
    atomic_store(&race->over, true);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(atomic_load(&race->missed), 0);
    ck_assert_uint_eq(atomic_load(&race->torn), 0);
    munmap(race, sizeof(*race));
}

static void replace(unsigned round)
{
    UNIT_HOLDS(peek_publish(&world, "web.sd.test", round) == 0);
}

START_TEST(a_name_is_readable_at_every_instant_while_it_is_replaced)
{
    replace(0);
    race_readers("web.sd.test", replace, 100000);
}
END_TEST

/*
 * Names that can be in one set only: four in one candidate set of "web.sd.test", four in the other.
 * Three of each are there; when the fourth comes, "web.sd.test" has to leave that set.
 */
static char crowd[2][4][64];

static void find_crowd(unsigned set, uint32_t index)
{
    unsigned count = 0;

    for (unsigned i = 0; count < 4; i++) {
        const char *name = name_of(i);
        struct view_place place = view_place_of(peek.header.hash_key, name, strlen(name), 8);

        if (place.sets[0] == index && place.sets[1] == index)
            strcpy(crowd[set][count++], name);
    }
}

static void push(unsigned round)
{
    const char *name = crowd[round % 2][3];

    UNIT_HOLDS(peek_publish(&world, name, round) == 0);
    view_writer_withdraw(world.writer, name);
}

START_TEST(a_name_is_readable_at_every_instant_while_it_moves)
{
    struct view_place place;
    struct peek_found found;

    do {
        reopen(8);
        place = view_place_of(peek.header.hash_key, "web.sd.test", 11, 8);
    } while (place.sets[0] == place.sets[1]);
    replace(57); /* the largest, which takes longest to copy */
    for (unsigned set = 0; set < 2; set++) {
        find_crowd(set, place.sets[set]);
        for (unsigned i = 0; i < 3; i++)
            ck_assert_int_eq(peek_publish(&world, crowd[set][i], i), 0);
    }
    push(1);
    for (unsigned i = 0; i < 10; i++) {
        push(i);
        ck_assert(peek_find(&peek, false, "web.sd.test", &found));
        ck_assert_uint_eq(found.slot / 4, place.sets[(i + 1) % 2]);
    }
    race_readers("web.sd.test", push, 100000);
    ck_assert_uint_eq(number_of("web.sd.test"), 57);
}
END_TEST

/* Sets the sequence of a slot to what a writer leaves that dies while it writes there. */
static void kill_writer_at(uint32_t slot)
{
    uint32_t *words;
    int fd = open(world.path, O_RDWR);

    words = mmap(NULL, peek.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert(words != MAP_FAILED);
    close(fd);
    words[(VIEW_HEADER_SIZE + (size_t)slot * 1024) / 4] |= 1;
    munmap(words, peek.size);
}

START_TEST(a_writer_killed_while_it_fills_a_free_slot_leaves_the_name)
{
    struct peek_found old, found;

    /* It writes the new answer, and dies: the slot where that one goes is learned first. */
    peek_publish(&world, "web.sd.test", 1);
    ck_assert(peek_find(&peek, false, "web.sd.test", &old));
    peek_publish(&world, "web.sd.test", 2);
    ck_assert(peek_find(&peek, false, "web.sd.test", &found));
    peek_publish(&world, "web.sd.test", 3);
    ck_assert_uint_ne(found.slot, old.slot);
    kill_writer_at(found.slot);
    ck_assert_uint_eq(number_of("web.sd.test"), 3);
}
END_TEST

START_TEST(a_writer_killed_while_it_frees_the_old_slot_leaves_the_name)
{
    struct peek_found old;

    peek_publish(&world, "web.sd.test", 1);
    ck_assert(peek_find(&peek, false, "web.sd.test", &old));
    peek_publish(&world, "web.sd.test", 2);
    kill_writer_at(old.slot);
    ck_assert_uint_eq(number_of("web.sd.test"), 2);
}
END_TEST

/* ---- clocks ---- */

START_TEST(clocks_say_what_they_are_told)
{
    const struct view_header *header = (const struct view_header *)peek.words;
    uint32_t sequence;

    ck_assert_uint_eq(header->clock_count, VIEW_CLOCKS_MAX);
    ck_assert_uint_eq(header->clocks[3].state, VIEW_CLOCK_UNUSED);
    view_writer_clock(world.writer, 3, VIEW_CLOCK_LIVE, 160 * USEC_PER_SEC);
    ck_assert_uint_eq(header->clocks[3].state, VIEW_CLOCK_LIVE);
    ck_assert_uint_eq(header->clocks[3].confirmed_at, 160 * 16);
    view_writer_clock(world.writer, 3, VIEW_CLOCK_LOST, 170 * USEC_PER_SEC);
    ck_assert_uint_eq(header->clocks[3].state, VIEW_CLOCK_LOST);
    ck_assert_uint_eq(header->clocks[3].confirmed_at, 170 * 16);
    sequence = header->clocks[3].sequence;
    ck_assert_uint_eq(sequence % 2, 0);
    view_writer_clock(world.writer, 3, VIEW_CLOCK_LOST, 170 * USEC_PER_SEC);
    ck_assert_uint_eq(header->clocks[3].sequence, sequence);
    /* One beyond the last is nobody's. */
    view_writer_clock(world.writer, VIEW_CLOCKS_MAX, VIEW_CLOCK_LIVE, 1);
    ck_assert_uint_eq(header->domains[0].length, strlen("sd.test"));
}
END_TEST

/* ---- addresses ---- */

/* Publishes the IPv4 addresses 192.0.2.x of `last` and, if there is one, the IPv6 address `last6`.
 */
static void publish_addresses(const char *name, const char *last, uint8_t last6)
{
    static struct payload payload;
    struct answer_record4 records[58];
    struct answer_record6 record6 = {.address = {0x20, 1, 0xd, 0xb8, [15] = last6}, .weight = 1};
    struct payload_spec spec = {.name = name,
                                .records4 = records,
                                .count4 = strlen(last),
                                .status4 = last[0] ? ANSWER_FOUND : ANSWER_NO_DATA,
                                .records6 = &record6,
                                .count6 = last6 != 0,
                                .status6 = last6 != 0 ? ANSWER_FOUND : ANSWER_NO_DATA};

    for (size_t i = 0; i < spec.count4; i++)
        records[i] = (struct answer_record4){.address = {192, 0, 2, (uint8_t)last[i]}, .weight = 1};
    UNIT_HOLDS(view_writer_publish(world.writer, payload.data, payload_make(&payload, &spec)) == 0);
}

static struct address address4(uint8_t last)
{
    return (struct address){.family = AF_INET, .bytes = {192, 0, 2, last}};
}

static struct address address6(uint8_t last)
{
    return (struct address){.family = AF_INET6, .bytes = {0x20, 1, 0xd, 0xb8, [15] = last}};
}

static void list(struct address address, const char *name)
{
    view_writer_list_address(world.writer, &address, name);
}

/* The name that an address is listed under; "" if it is not. */
static const char *listed(struct address address)
{
    static struct peek_found found;
    const char *name = peek_reverse(&peek, address.family, address.bytes, &found);

    return name ? name : "";
}

static unsigned count_listed(void)
{
    size_t entries = (size_t)1 << peek.header.reverse_bits;
    size_t table = (peek.size - entries * 32) / 4;
    unsigned count = 0;

    for (size_t i = 0; i < entries; i++)
        count += peek.words[table + i * 8 + 1] != 0;
    return count;
}

START_TEST(an_address_is_listed_under_the_name_that_holds_it)
{
    publish_addresses("web.sd.test", "ab", 'c');
    publish_addresses("db.sd.test", "ax", 0);
    list(address4('a'), "web.sd.test");
    list(address6('c'), "web.sd.test");
    list(address4('x'), "web.sd.test");   /* does not hold it */
    list(address6('a'), "web.sd.test");   /* nor that */
    list(address4('b'), "never.sd.test"); /* is not published */
    ck_assert_str_eq(listed(address4('a')), "web.sd.test");
    ck_assert_str_eq(listed(address6('c')), "web.sd.test");
    ck_assert_str_eq(listed(address4('b')), "");
    ck_assert_uint_eq(count_listed(), 2);
    list(address4('a'), "db.sd.test");
    ck_assert_str_eq(listed(address4('a')), "db.sd.test");
    ck_assert_uint_eq(count_listed(), 2);
}
END_TEST

START_TEST(listed_addresses_follow_their_answer_and_leave_with_it)
{
    publish_addresses("web.sd.test", "abc", 'd');
    list(address4('a'), "web.sd.test");
    list(address4('b'), "web.sd.test");
    list(address4('c'), "web.sd.test");
    list(address6('d'), "web.sd.test");
    for (unsigned i = 0; i < 100; i++) {
        publish_addresses("web.sd.test", i % 2 ? "abc" : "cbax", 'd');
        ck_assert_str_eq(listed(address4('a')), "web.sd.test");
        ck_assert_str_eq(listed(address4('b')), "web.sd.test");
        ck_assert_str_eq(listed(address6('d')), "web.sd.test");
        ck_assert_uint_eq(count_listed(), 4);
    }
    publish_addresses("web.sd.test", "ac", 0);
    ck_assert_str_eq(listed(address4('b')), "");
    ck_assert_str_eq(listed(address6('d')), "");
    ck_assert_uint_eq(count_listed(), 2);
    /* Listed again under another name, it is not that of the first any more. */
    publish_addresses("db.sd.test", "a", 0);
    list(address4('a'), "db.sd.test");
    view_writer_withdraw(world.writer, "web.sd.test");
    ck_assert_str_eq(listed(address4('a')), "db.sd.test");
    ck_assert_str_eq(listed(address4('c')), "");
    ck_assert_uint_eq(count_listed(), 1);
    peek_publish_absent(&world, "db.sd.test");
    ck_assert_uint_eq(count_listed(), 0);
}
END_TEST

START_TEST(an_answer_that_holds_an_address_twice_lists_it_once)
{
    publish_addresses("web.sd.test", "aaaa", 0);
    list(address4('a'), "web.sd.test");
    publish_addresses("web.sd.test", "aaa", 0);
    ck_assert_str_eq(listed(address4('a')), "web.sd.test");
    view_writer_withdraw(world.writer, "web.sd.test");
    ck_assert_uint_eq(count_listed(), 0);
}
END_TEST

static struct address address_of(uint32_t number)
{
    struct address address = {.family = AF_INET};
    struct answer_record4 record = peek_record4(number);

    memcpy(address.bytes, record.address, sizeof(record.address));
    return address;
}

START_TEST(addresses_stay_listed_while_a_full_table_moves_its_answers)
{
    unsigned count = 0, kept = 0, found = 0;

    for (; peek_publish(&world, name_of(count), count) == 0; count++) {
        ck_assert_uint_eq(count_listed(), kept);
        list(address_of(count), name_of(count));
        ck_assert_str_eq(listed(address_of(count)), name_of(count));
        /* One more; but one in a thousand finds both its sets full, and the oldest there goes. */
        ck_assert_uint_le(kept, count_listed());
        kept = count_listed();
    }
    for (unsigned i = 0; i < count; i++) {
        const char *name = listed(address_of(i));

        found += *name != '\0';
        UNIT_HOLDS(!*name || strcmp(name, name_of(i)) == 0);
    }
    ck_assert_uint_eq(found, kept);
    ck_assert_uint_ge(kept, count * 99 / 100);
    for (unsigned i = 0; i < count; i++)
        view_writer_withdraw(world.writer, name_of(i));
    ck_assert_uint_eq(count_listed(), 0);
}
END_TEST

START_TEST(more_addresses_than_fit_push_out_the_oldest)
{
    static struct payload payload;
    struct answer_record4 records[50];
    struct payload_spec spec = {.records4 = records, .count4 = 50, .status6 = ANSWER_NO_DATA};
    unsigned names = 200;

    for (unsigned i = 0; i < names; i++) {
        spec.name = name_of(i);
        for (unsigned j = 0; j < 50; j++)
            records[j] = peek_record4(i * 50 + j);
        view_writer_publish(world.writer, payload.data, payload_make(&payload, &spec));
        for (unsigned j = 0; j < 50; j++) {
            list(address_of(i * 50 + j), spec.name);
            UNIT_HOLDS(strcmp(listed(address_of(i * 50 + j)), spec.name) == 0);
        }
    }
    ck_assert_uint_gt(count_listed(), 2000); /* of 2,048 */
    ck_assert_str_eq(listed(address_of(0)), "");
    for (unsigned i = names * 50 - 8; i < names * 50; i++)
        ck_assert_str_eq(listed(address_of(i)), name_of(names - 1));
    for (unsigned i = 0; i < names; i++)
        view_writer_withdraw(world.writer, name_of(i));
    ck_assert_uint_eq(count_listed(), 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("view writer");

#define WRITER_CASE(name, ...) UNIT_CASE_FIXTURE(suite, name, set_up, tear_down, __VA_ARGS__)
    WRITER_CASE("one", what_is_published_is_found_byte_for_byte,
                the_largest_answer_fits_and_a_larger_one_is_refused,
                an_answer_is_replaced_and_leaves_one_slot, an_equal_answer_is_not_written_again,
                a_name_is_in_one_of_the_tables, what_is_withdrawn_is_gone_from_both_tables);
    WRITER_CASE("many", every_name_is_found_at_the_load_that_calls_for_growth,
                a_full_table_says_so_and_still_replaces_what_it_holds,
                a_table_grows_by_new_files_and_loses_no_name, names_of_one_hash_are_told_apart,
                absences_push_out_the_oldest_absences_and_no_answer,
                an_absence_that_is_said_again_is_not_the_oldest);
    WRITER_CASE("instant", a_name_is_readable_at_every_instant_while_it_is_replaced,
                a_name_is_readable_at_every_instant_while_it_moves,
                a_writer_killed_while_it_fills_a_free_slot_leaves_the_name,
                a_writer_killed_while_it_frees_the_old_slot_leaves_the_name);
    WRITER_CASE("clocks", clocks_say_what_they_are_told);
    WRITER_CASE("addresses", an_address_is_listed_under_the_name_that_holds_it,
                listed_addresses_follow_their_answer_and_leave_with_it,
                an_answer_that_holds_an_address_twice_lists_it_once,
                addresses_stay_listed_while_a_full_table_moves_its_answers,
                more_addresses_than_fit_push_out_the_oldest);
    return suite;
}

UNIT_MAIN(make_suite)
