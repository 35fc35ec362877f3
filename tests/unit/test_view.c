/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The view's header: what the daemon writes (view_writer.c), a process reads (view_reader.c), and
 * what no process accepts. Every test is a process of its own.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "nss/clock.h"
#include "nss/view_reader.h"
#include "tests/unit/scripted_daemon.h"
#include "tests/unit/unit.h"

/* Of a new view. */
enum {
    FILE_SIZE = VIEW_HEADER_SIZE + (VIEW_SET_SIZE << VIEW_WRITER_SET_BITS) +
                (VIEW_SET_SIZE << VIEW_WRITER_NEGATIVE_BITS) +
                (VIEW_REVERSE_SIZE << (VIEW_WRITER_SET_BITS + 3)),
};

static struct scripted_daemon world;
static char view_path[128];

static void set_up(void)
{
    daemon_init(&world);
}

static void tear_down(void)
{
    daemon_done(&world);
}

static const char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", world.directory, name);
    return path;
}

static const struct view *attach(void)
{
    return view_reader_current(clock_tick());
}

/* The same, as it is `seconds` later. */
static const struct view *attach_later(unsigned seconds)
{
    return view_reader_current(clock_tick() + seconds * VIEW_TICKS_PER_SECOND);
}

static enum view_owner owner(const struct view *view, const char *name)
{
    return view_owner(view, name, strlen(name), false);
}

static void publish(const struct view_spec *spec)
{
    world.writer = view_writer_close(world.writer);
    ck_assert_int_eq(view_writer_open(world.directory, spec, (usec_t)clock_tick() * 62500, NULL,
                                      NULL, &world.writer),
                     0);
}

static unsigned count_entries(void)
{
    DIR *entries = opendir(world.directory);
    struct dirent *entry;
    unsigned count = 0;

    while ((entry = readdir(entries)))
        count += entry->d_name[0] != '.';
    closedir(entries);
    return count;
}

START_TEST(what_is_written_is_read)
{
    static const struct view_domain_spec domains[] = {
        {"consul", false}, {"eu.consul", true}, {"x", false}, {"service.eu.consul", false}};
    static const char *const search[] = {"service.consul", "consul"};
    struct view_spec spec = {domains, 4, search, 2, 2, 1500 * USEC_PER_MSEC, 0};
    const struct view *view;
    struct stat status;

    publish(&spec);
    ck_assert_int_eq(stat(path_of("view"), &status), 0);
    ck_assert_int_eq(status.st_mode & 07777, 0644);
    ck_assert_int_eq(status.st_size, FILE_SIZE);
    ck_assert_uint_eq(count_entries(), 1);
    view = attach();
    ck_assert_ptr_nonnull(view);
    ck_assert_uint_eq(view->header.lookup_timeout_ms, 1500);
    ck_assert(!view->elsewhere);
    /* Longest first, for the first match decides. */
    ck_assert_str_eq(view->header.domains[0].text, "service.eu.consul");
    ck_assert_str_eq(view->header.domains[1].text, "eu.consul");
    ck_assert_uint_eq(view->header.domains[1].flags, VIEW_DOMAIN_SHARED);
    ck_assert_int_eq(owner(view, "consul"), VIEW_OWNED);
    ck_assert_int_eq(owner(view, "a.b.consul"), VIEW_OWNED);
    ck_assert_int_eq(owner(view, "x"), VIEW_OWNED);
    ck_assert_int_eq(owner(view, "y.x"), VIEW_OWNED);
    ck_assert_int_eq(owner(view, "a.b.xx"), VIEW_FOREIGN);
}
END_TEST

START_TEST(short_names_are_searched_and_foreign_ones_are_not)
{
    static const struct view_domain_spec domain = {"consul", false};
    static const char *const search[] = {"service.consul"};
    struct view_spec spec = {&domain, 1, search, 1, 2, USEC_PER_SEC, 0};
    const struct view *view;

    publish(&spec);
    view = attach();
    ck_assert_int_eq(owner(view, "web"), VIEW_SEARCHED);
    ck_assert_int_eq(owner(view, "web.lan"), VIEW_SEARCHED);
    ck_assert_int_eq(owner(view, "notconsul"), VIEW_SEARCHED);
    ck_assert_int_eq(owner(view, "www.example.org"), VIEW_FOREIGN);
    ck_assert_int_eq(owner(view, "a.b.notconsul"), VIEW_FOREIGN);
    ck_assert_int_eq(view_owner(view, "web", 3, true), VIEW_FOREIGN);
}
END_TEST

START_TEST(without_a_search_list_no_name_is_searched)
{
    daemon_publish(&world, NULL, 100);
    ck_assert_int_eq(owner(attach(), "web"), VIEW_FOREIGN);
}
END_TEST

START_TEST(the_heartbeat_tells_who_lives)
{
    const struct view *view;
    uint32_t beat, now;

    daemon_publish(&world, NULL, 100);
    view = attach();
    ck_assert_int_eq(view_pulse(view, clock_tick(), &beat), VIEW_LIVE);
    now = clock_tick();
    ck_assert_int_eq(view_pulse(view, beat + VIEW_LEASE_TICKS, &beat), VIEW_LIVE);
    ck_assert_int_eq(view_pulse(view, beat + VIEW_LEASE_TICKS + 1, &beat), VIEW_OVERDUE);
    ck_assert_int_eq(view_pulse(view, beat - 2 * VIEW_TICKS_PER_SECOND, &beat), VIEW_LIVE);
    ck_assert_int_eq(view_pulse(view, beat - 2 * VIEW_TICKS_PER_SECOND - 1, &beat),
                     VIEW_FOREIGN_CLOCK);
    daemon_beat(&world, 6);
    ck_assert_int_eq(view_pulse(view, now, &beat), VIEW_OVERDUE);
    daemon_beat(&world, 0);
    ck_assert_int_eq(view_pulse(view, clock_tick(), &beat), VIEW_LIVE);
}
END_TEST

START_TEST(a_new_file_retires_the_old_and_readers_follow_at_once)
{
    static const struct view_domain_spec domain = {"nomad", false};
    struct view_spec spec = {.domains = &domain, .domain_count = 1};
    const struct view *old, *view;

    daemon_publish(&world, NULL, 100);
    old = attach();
    ck_assert_uint_eq(old->shared->retired, 0);
    publish(&spec);
    ck_assert_uint_ne(old->shared->retired, 0);
    view = attach();
    ck_assert_ptr_ne(view, old);
    ck_assert_int_eq(owner(view, "web.nomad"), VIEW_OWNED);
    ck_assert_int_eq(owner(view, "web.consul"), VIEW_FOREIGN);
    /* Another thread may still read the old one. */
    ck_assert_int_eq(owner(old, "web.consul"), VIEW_OWNED);
    ck_assert_uint_ne(old->shared->retired, 0);
}
END_TEST

static void retire_by_hand(void)
{
    static const uint32_t retired = 1;
    int fd = open(path_of("view"), O_WRONLY);

    ck_assert_int_eq(pwrite(fd, &retired, sizeof(retired), offsetof(struct view_header, retired)),
                     sizeof(retired));
    close(fd);
}

START_TEST(a_retired_file_without_successor_is_looked_at_once_a_second)
{
    uint32_t beat, now = clock_tick();
    const struct view *old;

    daemon_publish(&world, NULL, 100);
    old = view_reader_current(now);
    retire_by_hand();
    ck_assert_int_eq(unlink(path_of("view")), 0);
    ck_assert_ptr_eq(view_reader_current(now), old);
    ck_assert_int_eq(view_pulse(old, now, &beat), VIEW_RETIRED);
    daemon_publish(&world, NULL, 100);
    ck_assert_ptr_eq(view_reader_current(now + VIEW_TICKS_PER_SECOND - 1), old);
    ck_assert_ptr_ne(view_reader_current(now + VIEW_TICKS_PER_SECOND), old);
}
END_TEST

START_TEST(a_daemon_that_comes_back_is_found_by_its_overdue_heartbeat)
{
    const struct view *old, *view;

    daemon_publish(&world, NULL, 100);
    daemon_beat(&world, 10);
    old = attach();
    ck_assert_ptr_nonnull(old);
    for (unsigned i = 2; i < 20; i++)
        ck_assert_ptr_eq(attach_later(i), old);   /* the path still has the same file */
    ck_assert_int_eq(unlink(path_of("view")), 0); /* nobody could set the hint */
    ck_assert_ptr_eq(attach_later(20), old);
    daemon_publish(&world, NULL, 100);
    ck_assert_uint_eq(old->shared->retired, 0);
    view = attach_later(22);
    ck_assert_ptr_ne(view, old);
    ck_assert_int_eq(owner(view, "web.consul"), VIEW_OWNED);
}
END_TEST

START_TEST(a_missing_view_is_looked_for_once_a_second)
{
    ck_assert_ptr_null(attach());
    daemon_publish(&world, NULL, 100);
    ck_assert_ptr_null(attach());
    ck_assert_ptr_nonnull(attach_later(2));
}
END_TEST

START_TEST(after_many_files_a_new_one_is_adopted_once_a_minute)
{
    const struct view *views[256];
    unsigned seconds = 0;

    for (size_t i = 0; i < ELEMENTS(views); i++, seconds += 2) {
        daemon_publish(&world, NULL, 100);
        views[i] = attach_later(seconds);
        ck_assert_ptr_nonnull(views[i]);
        ck_assert(i == 0 || views[i] != views[i - 1]);
    }
    daemon_publish(&world, NULL, 100);
    ck_assert_ptr_ne(attach_later(seconds),
                     views[255]); /* one more: from now on they are counted */
    daemon_publish(&world, NULL, 100);
    views[0] = attach_later(seconds + 2);
    ck_assert_ptr_eq(attach_later(seconds + 59), views[0]);
    ck_assert_ptr_ne(attach_later(seconds + 61), views[0]);
}
END_TEST

/* A file with large tables that nothing was ever written to. */
static void publish_large(void)
{
    static struct view_header header = {
        .magic = VIEW_MAGIC,
        .layout = VIEW_LAYOUT,
        .endian = VIEW_ENDIAN,
        .header_size = VIEW_HEADER_SIZE,
        .slot_size = ANSWER_SLOT_SIZE,
        .set_bits = 17,
        .negative_bits = 16,
        .reverse_bits = VIEW_NO_TABLE,
        .retired = 1, /* there is always a newer one */
    };
    int fd = open(path_of("new"), O_WRONLY | O_CREAT | O_EXCL, 0644);

    header.file_size = (uint32_t)view_file_size(17, 16, VIEW_NO_TABLE);
    ck_assert_int_eq(pwrite(fd, &header, sizeof(header), 0), sizeof(header));
    ck_assert_int_eq(ftruncate(fd, header.file_size), 0);
    close(fd);
    ck_assert_int_eq(rename(path_of("new"), view_path), 0);
}

START_TEST(the_address_space_of_a_program_is_not_used_up)
{
    const struct view *view = NULL, *before = NULL;
    unsigned files = 0;

    strcpy(view_path, path_of("view"));
    for (; files == 0 || view != before; files++) {
        before = view;
        publish_large();
        view = attach();
        ck_assert_ptr_nonnull(view);
    }
    ck_assert_uint_eq(files - 1, (UINT64_C(64) << 30) / view->header.file_size);
}
END_TEST

static pthread_barrier_t together;

static void *attach_together(void *argument)
{
    pthread_barrier_wait(&together);
    return attach() ? argument : NULL;
}

START_TEST(threads_that_follow_together_count_a_file_once)
{
    pthread_t threads[32];
    const struct view *view = NULL;
    void *attached;

    pthread_barrier_init(&together, NULL, ELEMENTS(threads));
    for (unsigned files = 0; files < 60; files++) {
        daemon_publish(&world, NULL, 100);
        for (size_t i = 0; i < ELEMENTS(threads); i++)
            pthread_create(&threads[i], NULL, attach_together, &world);
        for (size_t i = 0; i < ELEMENTS(threads); i++) {
            pthread_join(threads[i], &attached);
            ck_assert_ptr_nonnull(attached);
        }
        ck_assert_ptr_ne(attach(), view);
        view = attach();
    }
}
END_TEST

START_TEST(closing_the_writer_leaves_the_file)
{
    daemon_publish(&world, NULL, 100);
    world.writer = view_writer_close(world.writer);
    ck_assert_int_eq(owner(attach(), "web.consul"), VIEW_OWNED);
}
END_TEST

START_TEST(leftovers_are_swept_and_nothing_else)
{
    ck_assert_int_eq(mkdir(path_of("view.d"), 0700), 0);
    close(open(path_of("view.0123"), O_CREAT | O_WRONLY, 0600));
    close(open(path_of("viewer"), O_CREAT | O_WRONLY, 0600));
    daemon_publish(&world, NULL, 100);
    ck_assert_int_ne(access(path_of("view.0123"), F_OK), 0);
    ck_assert_int_eq(unlink(path_of("viewer")), 0);
    ck_assert_int_eq(rmdir(path_of("view.d")), 0);
}
END_TEST

START_TEST(a_new_file_is_needed_only_for_other_content)
{
    struct view_domain_spec domains[] = {{"consul", false}, {"b", false}};
    const char *search[] = {"consul"};
    struct view_spec spec = {domains, 2, search, 1, 1, USEC_PER_SEC, 0}, other = spec;

    publish(&spec);
    ck_assert(view_writer_matches(world.writer, &spec));
    other.ndots = 2;
    ck_assert(!view_writer_matches(world.writer, &other));
    other = spec, other.lookup_timeout++;
    ck_assert(view_writer_matches(world.writer, &other)); /* below a millisecond */
    other.lookup_timeout += USEC_PER_MSEC;
    ck_assert(!view_writer_matches(world.writer, &other));
    other = spec, other.search_count = 0;
    ck_assert(!view_writer_matches(world.writer, &other));
    other = spec, other.domain_count = 1;
    ck_assert(!view_writer_matches(world.writer, &other));
    domains[1].shared = true;
    ck_assert(!view_writer_matches(world.writer, &spec));
}
END_TEST

START_TEST(what_does_not_fit_the_header_is_refused)
{
    struct view_domain_spec domains[VIEW_DOMAINS_MAX + 1];
    struct view_spec spec = {.domains = domains, .domain_count = VIEW_DOMAINS_MAX + 1};
    struct view_writer *writer;

    for (size_t i = 0; i < ELEMENTS(domains); i++)
        domains[i] = (struct view_domain_spec){"a", false};
    ck_assert_int_eq(view_writer_open(world.directory, &spec, 0, NULL, NULL, &writer), -E2BIG);
    spec.domain_count = 1;
    domains[0].name = "not a name";
    ck_assert_int_eq(view_writer_open(world.directory, &spec, 0, NULL, NULL, &writer), -EINVAL);
    domains[0].name = "";
    ck_assert_int_eq(view_writer_open(world.directory, &spec, 0, NULL, NULL, &writer), -EINVAL);
    ck_assert_uint_eq(count_entries(), 0);
    ck_assert_int_eq(view_writer_open("/nonexistent", &spec, 0, NULL, NULL, &writer), -ENOENT);
}
END_TEST

/* ---- what no process attaches ---- */

/* In a process of its own, for one that failed waits a second: is there a view to attach? */
static bool attaches(void)
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(attach() ? 1 : 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status), "signal %d", WTERMSIG(status));
    return WEXITSTATUS(status) == 1;
}

START_TEST(only_a_regular_file_that_others_cannot_write_is_attached)
{
    char real[128];

    daemon_publish(&world, NULL, 100);
    ck_assert(attaches());
    ck_assert_int_eq(chmod(path_of("view"), 0664), 0);
    ck_assert(!attaches());
    ck_assert_int_eq(chmod(path_of("view"), 0646), 0);
    ck_assert(!attaches());
    ck_assert_int_eq(chmod(path_of("view"), 0600), 0);
    ck_assert(attaches());
    ck_assert_int_eq(truncate(path_of("view"), VIEW_HEADER_SIZE - 1), 0);
    ck_assert(!attaches());
    ck_assert_int_eq(truncate(path_of("view"), (off_t)VIEW_FILE_MAX + 1), 0);
    ck_assert(!attaches());
    daemon_publish(&world, NULL, 100);
    snprintf(real, sizeof(real), "%s/real", world.directory);
    ck_assert_int_eq(rename(path_of("view"), real), 0);
    ck_assert_int_eq(symlink(real, path_of("view")), 0);
    ck_assert(!attaches());
    ck_assert_int_eq(unlink(real), 0);
    ck_assert_int_eq(unlink(path_of("view")), 0);
    ck_assert_int_eq(mkfifo(path_of("view"), 0644), 0);
    ck_assert(!attaches());
    ck_assert_int_eq(unlink(path_of("view")), 0);
    ck_assert_int_eq(mkdir(path_of("view"), 0755), 0);
    ck_assert(!attaches());
    ck_assert_int_eq(rmdir(path_of("view")), 0);
}
END_TEST

#define FIELD(field, value_)                                                                       \
    {                                                                                              \
#field, offsetof(struct view_header, field), value_                                        \
    }

START_TEST(a_header_that_lies_is_no_view)
{
    static const struct {
        const char *field;
        size_t offset;
        uint32_t value;
    } lies[] = {
        FIELD(magic, 0),
        FIELD(layout, VIEW_LAYOUT + 1),
        FIELD(endian, 0x04030201),
        FIELD(header_size, 0),
        FIELD(header_size, 4096),
        FIELD(file_size, 0),
        FIELD(file_size, UINT32_MAX),
        FIELD(slot_size, 512),
        FIELD(set_bits, 0),
        FIELD(set_bits, 31),
        FIELD(set_bits, UINT32_MAX),
        FIELD(negative_bits, 12),
        FIELD(reverse_bits, 3),
        FIELD(domain_count, VIEW_DOMAINS_MAX + 1),
        FIELD(domain_count, 2), /* the second has no length */
        FIELD(search_count, VIEW_SEARCH_MAX + 1),
        FIELD(clock_count, VIEW_CLOCKS_MAX + 1),
        FIELD(domains[0], 0), /* length 0 */
        FIELD(domains[0], 253),
        FIELD(domains[0], UINT16_MAX),
        FIELD(domains[0].text, 0x20202020), /* blanks */
        FIELD(domains[0].text, 0x4f434f43), /* capitals */
    };
    static _Alignas(8) char good[FILE_SIZE], bad[FILE_SIZE];
    static struct view view;
    int fd;

    daemon_publish(&world, NULL, 100);
    fd = open(path_of("view"), O_RDONLY);
    ck_assert_int_eq(read(fd, good, sizeof(good)), sizeof(good));
    close(fd);
    ck_assert(view_init(&view, good, sizeof(good)));
    for (size_t i = 0; i < ELEMENTS(lies); i++) {
        memcpy(bad, good, sizeof(bad));
        memcpy(bad + lies[i].offset, &lies[i].value, 4);
        ck_assert_msg(!view_init(&view, bad, sizeof(bad)), "%s = %u", lies[i].field, lies[i].value);
    }
    ck_assert(!view_init(&view, good, sizeof(good) + 4096));
}
END_TEST

START_TEST(a_time_out_or_lease_beyond_reason_is_not_believed)
{
    static _Alignas(8) char file[FILE_SIZE];
    struct view_header *header = (struct view_header *)file;
    static struct view view;
    int fd;

    daemon_publish(&world, NULL, 100);
    fd = open(path_of("view"), O_RDONLY);
    ck_assert_int_eq(read(fd, file, sizeof(file)), sizeof(file));
    close(fd);
    header->lookup_timeout_ms = WIRE_LOOKUP_TIMEOUT_MAX + 1;
    header->lease_ticks = UINT32_MAX;
    ck_assert(view_init(&view, file, sizeof(file)));
    ck_assert_uint_eq(view.header.lookup_timeout_ms, WIRE_LOOKUP_TIMEOUT_MS);
    ck_assert_uint_eq(view.header.lease_ticks, VIEW_LEASE_TICKS);
}
END_TEST

START_TEST(a_runtime_directory_that_cannot_be_used_is_no_view)
{
    char overlong[200] = "/";

    daemon_publish(&world, NULL, 100);
    ck_assert(attaches());
    memset(overlong + 1, 'a', sizeof(overlong) - 2);
    setenv(NSS_SD_RUNTIME_DIRECTORY_ENV, overlong, 1);
    ck_assert(!attaches());
    ck_assert_int_eq(chdir(world.directory), 0);
    setenv(NSS_SD_RUNTIME_DIRECTORY_ENV, ".", 1);
    ck_assert(!attaches());
    setenv(NSS_SD_RUNTIME_DIRECTORY_ENV, world.directory, 1);
    ck_assert(attaches());
}
END_TEST

START_TEST(a_tick_of_long_ago_is_not_one_to_come)
{
    ck_assert(clock_pending(100, 99, 16));
    ck_assert(!clock_pending(100, 100, 16));
    ck_assert(!clock_pending(100, 101, 16));
    ck_assert(!clock_pending(100, 80, 16));
    ck_assert(clock_pending(3, UINT32_MAX - 3, 16));         /* over the end of the count */
    ck_assert(!clock_pending(0, UINT32_MAX / 2 + 100, 960)); /* never set, up for five years */
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("view");

#define VIEW_CASE(name, ...) UNIT_CASE_FIXTURE(suite, name, set_up, tear_down, __VA_ARGS__)
    VIEW_CASE("read", what_is_written_is_read, short_names_are_searched_and_foreign_ones_are_not,
              without_a_search_list_no_name_is_searched, the_heartbeat_tells_who_lives);
    VIEW_CASE("life", after_many_files_a_new_one_is_adopted_once_a_minute,
              the_address_space_of_a_program_is_not_used_up,
              threads_that_follow_together_count_a_file_once,
              a_new_file_retires_the_old_and_readers_follow_at_once,
              a_retired_file_without_successor_is_looked_at_once_a_second,
              a_daemon_that_comes_back_is_found_by_its_overdue_heartbeat,
              a_missing_view_is_looked_for_once_a_second, closing_the_writer_leaves_the_file,
              leftovers_are_swept_and_nothing_else, a_new_file_is_needed_only_for_other_content,
              what_does_not_fit_the_header_is_refused);
    VIEW_CASE("hostile", only_a_regular_file_that_others_cannot_write_is_attached,
              a_header_that_lies_is_no_view, a_time_out_or_lease_beyond_reason_is_not_believed,
              a_runtime_directory_that_cannot_be_used_is_no_view);
    UNIT_CASE(suite, "clock", a_tick_of_long_ago_is_not_one_to_come);
    return suite;
}

UNIT_MAIN(make_suite)
