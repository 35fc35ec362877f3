/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When snapshots are written (daemon/snapshot.h): a scripted clock, and in place of the thread a
 * worker that works when the test says so.
 */
#include "daemon/clock.h"
#include "daemon/snapshot.h"
#include "daemon/snapshot_journal.h"
#include "daemon/snapshot_worker.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- the clock: libsystemd asks this one too ---- */

static usec_t passed;

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    int r = (int)syscall(SYS_clock_gettime, clock, ret_time);

    if (r == 0 && clock == CLOCK_BOOTTIME) {
        usec_t nsec = (usec_t)ret_time->tv_nsec + passed % USEC_PER_SEC * 1000;

        ret_time->tv_sec += (time_t)(passed / USEC_PER_SEC + nsec / 1000000000);
        ret_time->tv_nsec = (long)(nsec % 1000000000);
    }
    return r;
}

/* ---- journals: to replace one begins with this ---- */

static unsigned replacements;

int unlinkat(int fd, const char *name, int flags)
{
    replacements += strcmp(name, "one.changes.new") == 0;
    return (int)syscall(SYS_unlinkat, fd, name, flags);
}

/* ---- the worker ---- */

struct snapshot_worker {
    struct snapshot_task *task;
    bool hangs;
};
static struct snapshot_worker worker;
static unsigned runs;

int snapshot_worker_new(struct sd_event *event, struct snapshot_worker **ret_worker)
{
    (void)event;
    worker = (struct snapshot_worker){0};
    *ret_worker = &worker;
    return 0;
}

int snapshot_worker_submit(struct snapshot_worker *ours, struct snapshot_task *task)
{
    ck_assert_ptr_null(ours->task); /* one file here: never two tasks */
    ours->task = task;
    return 0;
}

int snapshot_worker_drain(struct snapshot_worker *ours, usec_t timeout)
{
    struct snapshot_task *task = ours->task;

    (void)timeout;
    if (ours->hangs || !task)
        return ours->hangs ? -ETIMEDOUT : 0;
    ours->task = NULL;
    runs++;
    task->run(task);
    task->done(task);
    return 0;
}

struct snapshot_worker *snapshot_worker_free(struct snapshot_worker *ours)
{
    (void)ours;
    return NULL;
}

/* ---- the core ---- */

static char directory[64], path[128];
static sd_event *event;
static struct store *store;
static struct chase *chase;
static struct resolver *resolver;
static struct snapshot *snapshot;

static int hook_want(void *userdata, unsigned registry, const char *key)
{
    (void)userdata, (void)registry, (void)key;
    return 0;
}

static void hook_drop(void *userdata, unsigned registry, const char *key)
{
    (void)userdata, (void)registry, (void)key;
}

static uint64_t hook_random(void *userdata)
{
    (void)userdata;
    return 0;
}

static void hook_touched(void *userdata, unsigned registry, bool changed)
{
    (void)userdata;
    snapshot_touched(snapshot, registry, changed);
}

static void hook_replaced(void *userdata, struct service *service,
                          const struct endpoint_set *before)
{
    (void)userdata, (void)before;
    snapshot_replaced(snapshot, service);
}

static void add_registry(unsigned index, char *name)
{
    static const struct registry_type type = {.name = "scripted"};
    static const struct freshness_rules rules = {.max_ttl = 3600 * USEC_PER_SEC,
                                                 .max_stale = USEC_INFINITY};

    store_registry_add(store, index, &rules, 100);
    snapshot_added(snapshot, index, &(struct registry_config){.name = name, .type = &type});
}

static void set_up(void)
{
    static char name[] = "one";
    struct store_hooks hooks = {.want = hook_want,
                                .refresh = hook_want,
                                .drop = hook_drop,
                                .random = hook_random,
                                .touched = hook_touched,
                                .replaced = hook_replaced};

    strcpy(directory, "/tmp/test_snapshot.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/snapshot", directory);
    passed = runs = replacements = 0;
    ck_assert_int_ge(sd_event_new(&event), 0);
    store = store_new(&hooks);
    chase = chase_new(&(struct chase_hooks){0}, &(struct chase_rules){0});
    resolver = resolver_new(&(struct resolver_hooks){0}, store, chase, &(struct resolver_rules){0});
    ck_assert_int_eq(snapshot_new(&(struct snapshot_parts){.event = event,
                                                           .store = store,
                                                           .chase = chase,
                                                           .resolver = resolver,
                                                           .state_directory = directory,
                                                           .runtime_directory = directory},
                                  &snapshot),
                     0);
    snapshot_configure(snapshot, true, USEC_INFINITY);
    add_registry(0, name);
}

static void tear_down(void)
{
    char command[160];

    worker.hangs = false;
    snapshot_free(snapshot);
    resolver_free(resolver);
    chase_free(chase);
    store_free(store);
    sd_event_unref(event);
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    ck_assert_int_eq(system(command), 0);
}

/* The registry says that the service has this address (or says it again), `count` times over. */
static void report_many(uint8_t last, unsigned count)
{
    struct address address = {.family = AF_INET, .bytes = {192, 0, 2, last}};
    struct endpoint_builder *builder = endpoint_builder_new();
    struct endpoint_set *set;
    char name[16];

    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "%u", i);
        endpoint_builder_begin(builder, name);
        endpoint_builder_address(builder, &address);
    }
    ck_assert_int_eq(endpoint_builder_finish(builder, &set), 0);
    store_get(store, 0, "orders", clock_now(event));
    store_report(
        store, 0,
        &(struct registry_report){
            .kind = REPORT_DATA, .key = "orders", .endpoints = set, .validity = 60 * USEC_PER_SEC},
        clock_now(event));
    endpoint_set_unref(set);
    endpoint_builder_free(builder);
}

static void report(uint8_t last)
{
    report_many(last, 1);
}

/* What is due by now happens, on the loop and in the worker. */
static void settle(void)
{
    int r;

    do {
        while ((r = sd_event_run(event, 0)) > 0)
            ;
        ck_assert_int_eq(r, 0);
        snapshot_worker_drain(&worker, 0);
    } while (worker.task && !worker.hangs);
}

static void pass(usec_t duration)
{
    const usec_t step = 100 * USEC_PER_MSEC;

    for (usec_t end = passed + duration; passed < end;) {
        passed += step < end - passed ? step : end - passed;
        settle();
    }
}

static struct snapshot_facts facts(void)
{
    struct snapshot_facts facts;

    snapshot_facts(snapshot, &facts);
    return facts;
}

START_TEST(a_change_is_on_disk_within_a_second)
{
    snapshot_load(snapshot);
    pass(10 * USEC_PER_SEC);
    ck_assert_uint_eq(runs, 0);
    report(1);
    pass(USEC_PER_SEC);
    ck_assert_uint_eq(runs, 1);
    ck_assert_uint_eq(facts().files, 1);
    ck_assert_uint_eq(snapshot_counters(snapshot)->written, 1);
    ck_assert_uint_gt(facts().size, 0);
    ck_assert_str_eq(facts().error, "");
    pass(60 * USEC_PER_SEC);
    ck_assert_uint_eq(runs, 1);
}
END_TEST

START_TEST(a_service_that_changes_all_the_time_is_written_every_five_seconds)
{
    snapshot_load(snapshot);
    for (unsigned i = 0; i < 600; i++) {
        report((uint8_t)(i % 250));
        pass(100 * USEC_PER_MSEC);
    }
    ck_assert_uint_ge(runs, 11);
    ck_assert_uint_le(runs, 13);
    pass(6 * USEC_PER_SEC);
    runs = 0;
    pass(60 * USEC_PER_SEC);
    ck_assert_uint_eq(runs, 0);
}
END_TEST

START_TEST(a_confirmation_alone_is_written_every_five_minutes)
{
    snapshot_load(snapshot);
    report(1);
    pass(USEC_PER_SEC);
    for (unsigned minutes = 0; minutes < 20; minutes++) {
        pass(60 * USEC_PER_SEC);
        report(1);
    }
    ck_assert_uint_ge(runs, 1 + 3);
    ck_assert_uint_le(runs, 1 + 4);
}
END_TEST

START_TEST(nothing_is_written_before_what_is_there_was_read)
{
    report(1);
    pass(60 * USEC_PER_SEC);
    ck_assert_uint_eq(runs, 0);
    snapshot_load(snapshot);
    pass(USEC_PER_SEC);
    ck_assert_uint_eq(runs, 1);
}
END_TEST

START_TEST(what_is_not_on_disk_yet_is_written_at_the_end)
{
    snapshot_load(snapshot);
    report(1);
    snapshot_stop(snapshot);
    ck_assert_uint_eq(runs, 1);
    ck_assert_uint_eq(facts().files, 1);
}
END_TEST

START_TEST(a_change_during_a_write_is_written_after_it)
{
    snapshot_load(snapshot);
    report(1);
    worker.hangs = true;
    pass(USEC_PER_SEC);
    ck_assert_ptr_nonnull(worker.task);
    report(2);
    pass(60 * USEC_PER_SEC);
    worker.hangs = false;
    pass(USEC_PER_SEC);
    ck_assert_uint_eq(runs, 2);
}
END_TEST

START_TEST(a_disk_that_fails_is_tried_again_with_growing_pauses)
{
    FILE *file = fopen(path, "w"); /* in place of the directory */

    fclose(file);
    snapshot_load(snapshot);
    report(1);
    pass(USEC_PER_SEC);
    ck_assert_uint_eq(runs, 1);
    ck_assert_str_ne(facts().error, "");
    ck_assert_uint_gt(facts().error_since, 0);
    ck_assert_uint_eq(facts().files, 0);
    pass(36 * USEC_PER_SEC); /* 5 + 10 + 20 */
    ck_assert_uint_eq(runs, 4);
    ck_assert_uint_eq(snapshot_counters(snapshot)->failed, 4);
    pass(3600 * USEC_PER_SEC); /* 40 + 80 + 160 + 300 ... */
    ck_assert_uint_ge(runs, 4 + 13);
    ck_assert_uint_le(runs, 4 + 15);
    ck_assert_int_eq(unlink(path), 0);
    pass(300 * USEC_PER_SEC);
    ck_assert_str_eq(facts().error, "");
    ck_assert_uint_eq(facts().files, 1);
}
END_TEST

START_TEST(a_doubt_is_a_change)
{
    snapshot_load(snapshot);
    report(1);
    pass(10 * USEC_PER_SEC);
    runs = 0;
    store_report(store, 0, &(struct registry_report){.kind = REPORT_SUSPECT, .key = "orders"},
                 clock_now(event));
    pass(USEC_PER_SEC);
    ck_assert_uint_eq(runs, 1);
}
END_TEST

START_TEST(what_was_given_up_stays_on_disk_until_it_is_forgotten)
{
    size_t size;

    snapshot_load(snapshot);
    report(1);
    pass(10 * USEC_PER_SEC);
    size = facts().size;
    store_sweep(store, 0, clock_now(event));
    ck_assert_ptr_null(store_find(store, 0, "orders"));
    pass(10 * USEC_PER_SEC);
    ck_assert_uint_eq(runs, 2);
    ck_assert_uint_eq(facts().size, size);
    store_forget_all_shelved(store);
    pass(10 * USEC_PER_SEC);
    ck_assert_uint_eq(runs, 3);
    ck_assert_uint_lt(facts().size, size);
}
END_TEST

static void touch_file(const char *file)
{
    FILE *stream = fopen(file, "w");

    ck_assert_ptr_nonnull(stream);
    fclose(stream);
}

START_TEST(what_a_killed_writer_left_goes_at_start_and_what_is_being_written_stays)
{
    char torn[160], two[] = "two";

    snprintf(torn, sizeof(torn), "%s/one.snapshot.new", path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    touch_file(torn);
    snapshot_load(snapshot);
    ck_assert_int_lt(access(torn, F_OK), 0);
    touch_file(torn);
    add_registry(1, two); /* a reload */
    snapshot_load(snapshot);
    ck_assert_int_eq(access(torn, F_OK), 0);
}
END_TEST

static off_t journal_size(void)
{
    struct stat status = {0};
    char file[128];

    snprintf(file, sizeof(file), "%s/one.changes", directory);
    return stat(file, &status) < 0 ? 0 : status.st_size;
}

START_TEST(a_journal_that_cannot_be_replaced_is_tried_again_after_a_while)
{
    char blocked[128];
    unsigned tried;

    snprintf(blocked, sizeof(blocked), "%s/one.changes.new", directory);
    ck_assert_int_eq(mkdir(blocked, 0700), 0);
    snapshot_load(snapshot);
    worker.hangs = true; /* nothing is cut */
    for (unsigned i = 0; replacements == 0; i++)
        report_many((uint8_t)i, 4000);
    ck_assert_int_gt(journal_size(), SNAPSHOT_JOURNAL_MAX);
    tried = replacements;
    report(201);
    ck_assert_uint_eq(replacements, tried);
    pass(6 * USEC_PER_SEC);
    report(202);
    ck_assert_uint_gt(replacements, tried);
    ck_assert_int_eq(rmdir(blocked), 0);
    pass(6 * USEC_PER_SEC);
    report(203);
    ck_assert_int_lt(journal_size(), 1000);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("snapshot");

    UNIT_CASE_FIXTURE(suite, "times", set_up, tear_down, a_change_is_on_disk_within_a_second,
                      a_service_that_changes_all_the_time_is_written_every_five_seconds,
                      a_confirmation_alone_is_written_every_five_minutes,
                      nothing_is_written_before_what_is_there_was_read,
                      what_is_not_on_disk_yet_is_written_at_the_end,
                      a_change_during_a_write_is_written_after_it,
                      a_disk_that_fails_is_tried_again_with_growing_pauses, a_doubt_is_a_change,
                      what_was_given_up_stays_on_disk_until_it_is_forgotten);
    UNIT_CASE_FIXTURE(suite, "files", set_up, tear_down,
                      what_a_killed_writer_left_goes_at_start_and_what_is_being_written_stays,
                      a_journal_that_cannot_be_replaced_is_tried_again_after_a_while);
    return suite;
}

UNIT_MAIN(make_suite)
