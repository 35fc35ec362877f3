/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of the view's file: what a new one takes over from the one in place, whatever that is,
 * and how the old one ends.
 */
#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "tests/unit/view_peek.h"

static struct peek_world world;

/* What `carried` was told. */
static struct {
    unsigned count;
    char last[256];
} told;

static void set_up(void)
{
    peek_set_up(&world);
    told.count = 0;
    ck_assert_int_eq(peek_open_writer(&world, 0, "other.test", NULL, NULL), 0);
}

static void tear_down(void)
{
    peek_tear_down(&world);
}

static void on_carried(void *userdata, const char *name)
{
    ck_assert_ptr_eq(userdata, &told);
    told.count++;
    snprintf(told.last, sizeof(told.last), "%s", name);
}

/* The daemon is gone for so long and comes back, owner of "sd.test" alone. */
static void restart(usec_t gone)
{
    world.writer = view_writer_close(world.writer);
    world.now += gone;
    told.count = 0;
    ck_assert_int_eq(peek_open_writer(&world, 0, NULL, on_carried, &told), 0);
}

/* An answer with these times. */
static void publish(const char *name, uint32_t clock, uint32_t fresh_until, uint32_t stale_until)
{
    static struct payload payload;
    struct answer_head *head = (struct answer_head *)payload.data;
    size_t size = peek_make(&payload, name, 7);

    head->clock = clock;
    head->fresh_until = fresh_until;
    head->stale_until = stale_until;
    head->confirmed_at = clock == ANSWER_CLOCK_NONE ? peek_tick(&world) - 16 : 0;
    ck_assert_int_eq(view_writer_publish(world.writer, payload.data, size), 0);
}

/* One that will be carried over, whatever happens in the next hour. */
static void publish_good(const char *name)
{
    publish(name, ANSWER_CLOCK_NONE, peek_tick(&world) + 16, peek_tick(&world) + 3600 * 16);
}

/* The head of what was carried over; the answer is whole but for its times. */
static struct answer_head head_of(const char *name)
{
    struct peek peek;
    struct peek_found found;
    struct answer_record4 record = peek_record4(7);

    peek_open(&peek, world.path);
    ck_assert_msg(peek_find(&peek, false, name, &found), "%s is missing", name);
    peek_close(&peek);
    ck_assert_uint_eq(found.answer.head->count4, 8);
    for (unsigned i = 0; i < 8; i++)
        ck_assert_mem_eq(&found.answer.records4[i], &record, sizeof(record));
    return *found.answer.head;
}

/* ---- what is carried over ---- */

START_TEST(an_answer_with_times_is_carried_over_as_stale_until_its_own_limit)
{
    uint32_t now = peek_tick(&world);
    struct answer_head head;

    publish("web.sd.test", ANSWER_CLOCK_NONE, now + 160, now + 1600);
    restart(2 * USEC_PER_SEC);
    ck_assert_uint_eq(told.count, 1);
    ck_assert_str_eq(told.last, "web.sd.test");
    head = head_of("web.sd.test");
    ck_assert_uint_eq(head.flags, ANSWER_FLAG_STALE);
    ck_assert_uint_eq(head.clock, ANSWER_CLOCK_NONE);
    ck_assert_uint_eq(head.fresh_until, now + 32);
    ck_assert_uint_eq(head.refresh_at, now + 32);
    ck_assert_uint_eq(head.stale_until, now + 1600);
    ck_assert_uint_eq(head.confirmed_at, now - 16);
    /* A live daemon is asked first; without one it is served. */
    ck_assert_int_eq(view_slot_serve(&head, NULL, true, 0, now + 32), VIEW_SERVE_LAST);
    ck_assert_int_eq(view_slot_serve(&head, NULL, false, 0, now + 32), VIEW_SERVE_NOW);
    ck_assert_int_eq(view_slot_serve(&head, NULL, false, 0, now + 1600), VIEW_SERVE_NEVER);
    /* It outlives any number of restarts, but not its limit. */
    restart(2 * USEC_PER_SEC);
    head = head_of("web.sd.test");
    ck_assert_uint_eq(head.stale_until, now + 1600);
    ck_assert_uint_eq(head.confirmed_at, now - 16);
    restart(96 * USEC_PER_SEC);
    ck_assert_uint_eq(told.count, 0);
}
END_TEST

START_TEST(an_answer_without_stale_life_is_carried_over_while_it_is_fresh)
{
    uint32_t now = peek_tick(&world);

    publish("web.sd.test", ANSWER_CLOCK_NONE, now + 160, now - 5);
    restart(2 * USEC_PER_SEC);
    ck_assert_uint_eq(head_of("web.sd.test").stale_until, now + 160);
}
END_TEST

START_TEST(an_answer_of_a_live_clock_was_confirmed_by_the_last_heartbeat)
{
    uint32_t beat;
    struct answer_head head;

    view_writer_clock(world.writer, 3, VIEW_CLOCK_LIVE, world.now - 100 * USEC_PER_SEC);
    publish("web.sd.test", 3, 0, 1600);
    world.now += 5 * USEC_PER_SEC;
    view_writer_beat(world.writer, world.now);
    beat = peek_tick(&world);
    restart(10 * USEC_PER_SEC);
    ck_assert_uint_eq(told.count, 1);
    head = head_of("web.sd.test");
    ck_assert_uint_eq(head.clock, ANSWER_CLOCK_NONE);
    ck_assert_uint_eq(head.confirmed_at, beat);
    ck_assert_uint_eq(head.stale_until, beat + 1600);
    ck_assert_uint_eq(head.fresh_until, beat + 160);
}
END_TEST

START_TEST(an_answer_of_a_lost_clock_was_confirmed_before_the_loss)
{
    uint32_t lost = peek_tick(&world);
    struct answer_head head;

    view_writer_clock(world.writer, 0, VIEW_CLOCK_LOST, world.now);
    publish("web.sd.test", 0, 0, 1600);
    world.now += 50 * USEC_PER_SEC;
    view_writer_beat(world.writer, world.now);
    restart(10 * USEC_PER_SEC);
    head = head_of("web.sd.test");
    ck_assert_uint_eq(head.confirmed_at, lost);
    ck_assert_uint_eq(head.stale_until, lost + 1600);
    restart(41 * USEC_PER_SEC);
    ck_assert_uint_eq(told.count, 0);
}
END_TEST

START_TEST(an_answer_that_may_be_stale_for_ever_gets_the_longest_limit)
{
    view_writer_clock(world.writer, 0, VIEW_CLOCK_LIVE, world.now);
    publish("web.sd.test", 0, 0, UINT32_MAX);
    restart(USEC_PER_SEC);
    ck_assert_uint_eq(head_of("web.sd.test").stale_until, peek_tick(&world) + (1u << 30));
    restart(1000 * USEC_PER_SEC);
    ck_assert_uint_eq(told.count, 1);
}
END_TEST

START_TEST(what_may_not_be_served_is_not_carried_over)
{
    uint32_t now = peek_tick(&world);

    view_writer_clock(world.writer, 0, VIEW_CLOCK_LIVE, world.now);
    view_writer_clock(world.writer, 1, VIEW_CLOCK_LOST, world.now - 100 * USEC_PER_SEC);
    publish("expired.sd.test", ANSWER_CLOCK_NONE, now - 160, now + 16);
    publish("expired-clock.sd.test", 1, 0, 101 * 16);
    publish("unused-clock.sd.test", 2, 0, 1600);
    publish("no-clock.sd.test", VIEW_CLOCKS_MAX, 0, 1600);
    publish("web.other.test", 0, 0, 1600); /* whose domain is not ours any more */
    publish("not-sd.test", 0, 0, 1600);
    ck_assert_int_eq(peek_publish_absent(&world, "absent.sd.test"), 0);
    restart(2 * USEC_PER_SEC);
    ck_assert_uint_eq(told.count, 0);
    ck_assert_uint_eq(view_writer_load(world.writer), 0);
}
END_TEST

START_TEST(ticks_of_another_boot_are_not_believed)
{
    publish_good("web.sd.test");
    world.writer = view_writer_close(world.writer);
    world.now -= 2 * USEC_PER_SEC; /* as far as clocks of one boot may seem apart */
    restart(0);
    ck_assert_uint_eq(told.count, 1);
    world.writer = view_writer_close(world.writer);
    world.now -= 2 * USEC_PER_SEC + PEEK_TICK;
    restart(0);
    ck_assert_uint_eq(told.count, 0);
}
END_TEST

/* The file is of this boot: its directory is no tmpfs, as in containers. */
static void set_boot(uint32_t boot)
{
    int fd = open(world.path, O_RDWR | O_CLOEXEC);

    ck_assert_int_eq(pwrite(fd, &boot, sizeof(boot), offsetof(struct view_header, boot)),
                     sizeof(boot));
    close(fd);
}

START_TEST(a_view_of_another_boot_is_not_believed_however_long_that_one_took)
{
    publish_good("web.sd.test");
    restart(USEC_PER_SEC);
    ck_assert_uint_eq(told.count, 1);
    set_boot(0); /* an earlier version did not say */
    restart(USEC_PER_SEC);
    ck_assert_uint_eq(told.count, 1);
    set_boot(1);
    restart(USEC_PER_SEC);
    ck_assert_uint_eq(told.count, 0);
}
END_TEST

START_TEST(a_table_is_made_large_enough_for_what_is_carried_over)
{
    char name[64];

    ck_assert_int_eq(peek_open_writer(&world, 10, NULL, NULL, NULL), 0);
    for (unsigned i = 0; i < 2800; i++) {
        snprintf(name, sizeof(name), "%u.sd.test", i);
        publish_good(name);
    }
    restart(USEC_PER_SEC);
    ck_assert_uint_eq(told.count, 2800);
    ck_assert_uint_eq(view_writer_set_bits(world.writer), 10);
}
END_TEST

START_TEST(a_running_view_is_carried_over_by_its_own_daemon)
{
    struct view_writer *before = world.writer;

    publish_good("web.sd.test");
    ck_assert_int_eq(peek_open_writer(&world, 9, NULL, on_carried, &told), 0);
    ck_assert_ptr_ne(world.writer, before);
    ck_assert_uint_eq(told.count, 1);
    ck_assert_uint_eq(view_writer_set_bits(world.writer), 9);
    /* What it publishes now is in the place of what was carried over. */
    ck_assert_int_eq(peek_publish(&world, "web.sd.test", 7), 0);
    ck_assert_uint_eq(head_of("web.sd.test").flags, 0);
}
END_TEST

/* ---- addresses ---- */

START_TEST(listed_addresses_are_carried_over_with_their_names)
{
    struct answer_record4 record = peek_record4(7);
    struct address address = {.family = AF_INET};
    struct peek_found found;
    struct peek peek;

    memcpy(address.bytes, record.address, 4);
    publish_good("web.sd.test");
    view_writer_list_address(world.writer, &address, "web.sd.test");
    restart(USEC_PER_SEC);
    peek_open(&peek, world.path);
    ck_assert_str_eq(peek_reverse(&peek, AF_INET, address.bytes, &found), "web.sd.test");
    peek_close(&peek);
    restart(3600 * USEC_PER_SEC);
    peek_open(&peek, world.path);
    ck_assert_ptr_null(peek_reverse(&peek, AF_INET, address.bytes, &found));
    peek_close(&peek);
}
END_TEST

/* ---- files that are no view, or lie ---- */

static int open_view(void)
{
    int fd = open(world.path, O_RDWR);

    ck_assert_int_ge(fd, 0);
    return fd;
}

static void write_view(size_t offset, const void *data, size_t size)
{
    int fd = open_view();

    ck_assert_int_eq(pwrite(fd, data, size, (off_t)offset), size);
    close(fd);
}

/* A view with an answer that would be carried over. */
static void make_view(void)
{
    ck_assert_int_eq(peek_open_writer(&world, 0, NULL, NULL, NULL), 0);
    publish_good("web.sd.test");
    world.writer = view_writer_close(world.writer);
}

static void check_nothing_is_carried(const char *what)
{
    restart(USEC_PER_SEC);
    ck_assert_msg(told.count == 0, "%s", what);
    ck_assert_msg(view_writer_load(world.writer) == 0, "%s", what);
}

START_TEST(a_view_that_is_not_ours_is_replaced_and_not_believed)
{
    static const struct {
        size_t offset;
        uint32_t value;
    } lies[] = {
        {offsetof(struct view_header, magic), 0},
        {offsetof(struct view_header, layout), VIEW_LAYOUT + 1},
        {offsetof(struct view_header, endian), 0x04030201},
        {offsetof(struct view_header, header_size), 4096},
        {offsetof(struct view_header, file_size), UINT32_MAX},
        {offsetof(struct view_header, set_bits), 31},
        {offsetof(struct view_header, negative_bits), 31},
        {offsetof(struct view_header, reverse_bits), 31},
        {offsetof(struct view_header, clock_count), VIEW_CLOCKS_MAX + 1},
        {offsetof(struct view_header, domain_count), VIEW_DOMAINS_MAX + 1},
    };

    for (size_t i = 0; i < ELEMENTS(lies); i++) {
        make_view();
        write_view(lies[i].offset, &lies[i].value, 4);
        check_nothing_is_carried("lie");
    }
    make_view();
    ck_assert_int_eq(truncate(world.path, VIEW_HEADER_SIZE + 100000), 0);
    check_nothing_is_carried("truncated");
    make_view();
    ck_assert_int_eq(truncate(world.path, 100), 0);
    check_nothing_is_carried("truncated in the header");
    make_view();
    ck_assert_int_eq(truncate(world.path, 0), 0);
    check_nothing_is_carried("empty");
    make_view();
    ck_assert_int_eq(truncate(world.path, (off_t)VIEW_FILE_MAX * 4), 0);
    check_nothing_is_carried("huge");
    make_view();
    ck_assert_int_eq(chmod(world.path, 0646), 0);
    check_nothing_is_carried("writable for others");
    if (geteuid() == 0) {
        make_view();
        ck_assert_int_eq(chown(world.path, 12345, 12345), 0);
        check_nothing_is_carried("of another user");
    }
}
END_TEST

START_TEST(what_is_no_file_is_replaced_and_left_alone)
{
    char elsewhere[96];
    struct peek peek;

    make_view();
    snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", world.directory);
    ck_assert_int_eq(rename(world.path, elsewhere), 0);
    ck_assert_int_eq(symlink(elsewhere, world.path), 0);
    check_nothing_is_carried("link");
    peek_open(&peek, elsewhere);
    ck_assert_uint_eq(peek.header.retired, 0);
    peek_close(&peek);
    ck_assert_int_eq(unlink(elsewhere), 0);
    world.writer = view_writer_close(world.writer);
    ck_assert_int_eq(unlink(world.path), 0);
    ck_assert_int_eq(mkfifo(world.path, 0644), 0);
    check_nothing_is_carried("fifo");
    world.writer = view_writer_close(world.writer);
    ck_assert_int_eq(unlink(world.path), 0);
    check_nothing_is_carried("nothing");
}
END_TEST

START_TEST(a_slot_that_a_killed_writer_left_half_made_is_not_carried_over)
{
    struct peek_found found;
    struct peek peek;
    uint32_t odd;

    make_view();
    peek_open(&peek, world.path);
    ck_assert(peek_find(&peek, false, "web.sd.test", &found));
    peek_close(&peek);
    odd = found.words[0] | 1;
    write_view(view_slot_offset(&peek.header, false, found.slot), &odd, sizeof(odd));
    check_nothing_is_carried("odd");
}
END_TEST

/* Every answer of the file in place is well-formed and under our domain; returns how many. */
static unsigned check_view(void)
{
    static uint32_t words[256];
    unsigned count = 0;
    struct answer answer;
    struct peek peek;

    peek_open(&peek, world.path);
    for (size_t slot = 0; slot < (size_t)4 << peek.header.set_bits; slot++) {
        memcpy(words, peek.words + VIEW_HEADER_SIZE / 4 + slot * 256, sizeof(words));
        if (words[1] == 0)
            continue;
        count++;
        UNIT_HOLDS(answer_parse(words, sizeof(words), &answer));
        UNIT_HOLDS(name_below(answer.name, answer.head->name_length, "sd.test", 7));
        UNIT_HOLDS(answer.head->clock == ANSWER_CLOCK_NONE);
        UNIT_HOLDS(answer.head->flags & ANSWER_FLAG_STALE);
    }
    peek_close(&peek);
    return count;
}

/* Puts random bytes into the header's words, the answer's head and name, and the reverse table. */
static void damage(const struct peek *peek, uint32_t slot, unsigned *seed)
{
    uint64_t places[] = {(uint64_t)(rand_r(seed) % 24),
                         view_slot_offset(&peek->header, false, slot) / 4 + rand_r(seed) % 100,
                         view_slot_offset(&peek->header, false, slot) / 4 + rand_r(seed) % 16,
                         view_reverse_offset(&peek->header, rand_r(seed) % 2048) / 4};
    uint32_t values[] = {(uint32_t)rand_r(seed), 0, 1, UINT32_MAX, (uint32_t)rand_r(seed) % 2048};
    unsigned changes = 1 + rand_r(seed) % 4;

    for (unsigned i = 0; i < changes; i++) {
        uint64_t at = places[rand_r(seed) % ELEMENTS(places)] * 4 + rand_r(seed) % 4;

        write_view(at, &values[rand_r(seed) % ELEMENTS(values)], 1 + rand_r(seed) % 4);
    }
}

START_TEST(whatever_bytes_a_view_holds_only_well_formed_answers_are_carried_over)
{
    struct peek_found found;
    unsigned seed = 1, carried = 0, rounds = 500;
    struct peek peek;

    for (unsigned i = 0; i < rounds; i++) {
        make_view();
        peek_open(&peek, world.path);
        ck_assert(peek_find(&peek, false, "web.sd.test", &found));
        peek_close(&peek);
        damage(&peek, found.slot, &seed);
        restart(USEC_PER_SEC);
        carried += check_view();
    }
    /* The damage is neither always fatal nor never. */
    ck_assert_uint_gt(carried, rounds / 10);
    ck_assert_uint_lt(carried, rounds - rounds / 10);
}
END_TEST

/* ---- the end of the old file ---- */

static blkcnt_t blocks_of(int fd)
{
    struct stat status;

    ck_assert_int_eq(fstat(fd, &status), 0);
    return status.st_blocks;
}

static off_t size_of(int fd)
{
    struct stat status;

    ck_assert_int_eq(fstat(fd, &status), 0);
    return status.st_size;
}

START_TEST(the_memory_of_an_old_file_is_given_back_two_seconds_after_it_was_replaced)
{
    int fd = open_view();
    off_t size = size_of(fd);
    struct peek_found found;
    struct peek old;

    publish_good("web.sd.test");
    peek_open(&old, world.path);
    ck_assert_int_ge(blocks_of(fd), size / 512);
    ck_assert_int_eq(peek_open_writer(&world, 0, NULL, NULL, NULL), 0);
    ck_assert_uint_ne(((const struct view_header *)old.words)->retired, 0);
    world.now += 2 * USEC_PER_SEC - 1;
    view_writer_beat(world.writer, world.now);
    ck_assert(peek_find(&old, false, "web.sd.test", &found));
    world.now += 1;
    view_writer_beat(world.writer, world.now);
    ck_assert_int_le(blocks_of(fd), 65536 / 512);
    ck_assert_int_eq(size_of(fd), size);
    /* Who still has it mapped sees free slots, and whose names they were. */
    for (size_t i = VIEW_HEADER_SIZE / 4; i < old.size / 4; i++)
        UNIT_HOLDS(old.words[i] == 0);
    ck_assert_mem_eq(old.words, &old.header, offsetof(struct view_header, retired));
    ck_assert_uint_ne(((const struct view_header *)old.words)->retired, 0);
    ck_assert_int_eq(peek_publish(&world, "web.sd.test", 7), 0);
    ck_assert(!peek_find(&old, false, "web.sd.test", &found));
    head_of("web.sd.test");
    peek_close(&old);
    close(fd);
}
END_TEST

START_TEST(closing_the_writer_leaves_the_old_file_to_its_readers)
{
    struct peek_found found;
    struct peek old;

    publish_good("web.sd.test");
    peek_open(&old, world.path);
    ck_assert_int_eq(peek_open_writer(&world, 0, NULL, NULL, NULL), 0);
    world.writer = view_writer_close(world.writer);
    ck_assert(peek_find(&old, false, "web.sd.test", &found));
    peek_close(&old);
}
END_TEST

START_TEST(a_daemon_killed_right_after_the_rename_loses_nothing)
{
    int status;
    pid_t pid;

    publish_good("web.sd.test");
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(peek_open_writer(&world, 0, NULL, NULL, NULL) == 0 ? 0 : 1);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    restart(USEC_PER_SEC);
    ck_assert_uint_eq(told.count, 1);
    head_of("web.sd.test");
}
END_TEST

/* ---- a file that cannot be made ---- */

static unsigned count_entries(void)
{
    DIR *entries = opendir(world.directory);
    struct dirent *entry;
    unsigned count = 0;

    ck_assert_ptr_nonnull(entries);
    while ((entry = readdir(entries)))
        count += entry->d_name[0] != '.';
    closedir(entries);
    return count;
}

START_TEST(a_file_that_cannot_be_put_in_place_is_removed)
{
    world.writer = view_writer_close(world.writer);
    ck_assert_int_eq(unlink(world.path), 0);
    ck_assert_int_eq(mkdir(world.path, 0755), 0);
    ck_assert_int_eq(peek_open_writer(&world, 0, NULL, on_carried, &told), -EISDIR);
    ck_assert_uint_eq(count_entries(), 1);
    ck_assert_int_eq(rmdir(world.path), 0);
}
END_TEST

static void write_proc(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);

    ck_assert_int_eq(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* A mount namespace of its own, for the rest of this process. */
static void enter_namespace(void)
{
    bool root = geteuid() == 0;
    char users[32], groups[32];

    snprintf(users, sizeof(users), "0 %u 1", (unsigned)geteuid());
    snprintf(groups, sizeof(groups), "0 %u 1", (unsigned)getegid());
    ck_assert_int_eq(unshare(CLONE_NEWNS | (root ? 0 : CLONE_NEWUSER)), 0);
    if (!root) {
        write_proc("/proc/self/setgroups", "deny");
        write_proc("/proc/self/uid_map", users);
        write_proc("/proc/self/gid_map", groups);
    }
    ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
}

START_TEST(on_a_full_file_system_the_old_file_stays_in_force)
{
    struct peek peek;

    world.writer = view_writer_close(world.writer);
    ck_assert_int_eq(unlink(world.path), 0);
    enter_namespace();
    ck_assert_int_eq(mount("tmpfs", world.directory, "tmpfs", 0, "size=2m,mode=0755"), 0);
    ck_assert_int_eq(peek_open_writer(&world, 0, NULL, NULL, NULL), 0);
    publish_good("web.sd.test");
    peek_open(&peek, world.path);
    ck_assert_int_eq(peek_open_writer(&world, 0, NULL, on_carried, &told), -ENOSPC);
    ck_assert_uint_eq(told.count, 0);
    ck_assert_uint_eq(count_entries(), 1);
    ck_assert(peek_has(&peek, "web.sd.test"));
    ck_assert_uint_eq(((const struct view_header *)peek.words)->retired, 0);
    /* Its writer goes on. */
    publish_good("db.sd.test");
    ck_assert(peek_has(&peek, "db.sd.test"));
    world.now += 2 * USEC_PER_SEC;
    view_writer_beat(world.writer, world.now);
    ck_assert_uint_eq(((const struct view_header *)peek.words)->heartbeat, peek_tick(&world));
    ck_assert(peek_has(&peek, "web.sd.test"));
    peek_close(&peek);
    world.writer = view_writer_close(world.writer);
    ck_assert_int_eq(umount2(world.directory, MNT_DETACH), 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("old view");

#define OLD_CASE(name, ...) UNIT_CASE_FIXTURE(suite, name, set_up, tear_down, __VA_ARGS__)
    OLD_CASE("carried over", an_answer_with_times_is_carried_over_as_stale_until_its_own_limit,
             an_answer_without_stale_life_is_carried_over_while_it_is_fresh,
             an_answer_of_a_live_clock_was_confirmed_by_the_last_heartbeat,
             an_answer_of_a_lost_clock_was_confirmed_before_the_loss,
             an_answer_that_may_be_stale_for_ever_gets_the_longest_limit,
             what_may_not_be_served_is_not_carried_over, ticks_of_another_boot_are_not_believed,
             a_view_of_another_boot_is_not_believed_however_long_that_one_took,
             a_table_is_made_large_enough_for_what_is_carried_over,
             a_running_view_is_carried_over_by_its_own_daemon,
             listed_addresses_are_carried_over_with_their_names);
    OLD_CASE("hostile", a_view_that_is_not_ours_is_replaced_and_not_believed,
             what_is_no_file_is_replaced_and_left_alone,
             a_slot_that_a_killed_writer_left_half_made_is_not_carried_over,
             whatever_bytes_a_view_holds_only_well_formed_answers_are_carried_over);
    OLD_CASE("end", the_memory_of_an_old_file_is_given_back_two_seconds_after_it_was_replaced,
             closing_the_writer_leaves_the_old_file_to_its_readers,
             a_daemon_killed_right_after_the_rename_loses_nothing,
             a_file_that_cannot_be_put_in_place_is_removed,
             on_a_full_file_system_the_old_file_stays_in_force);
    return suite;
}

UNIT_MAIN(make_suite)
