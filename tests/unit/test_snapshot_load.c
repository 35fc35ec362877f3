/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of a snapshot, and what the core knows after one was loaded (daemon/snapshot_load.h). */
#include "daemon/snapshot_file.h"
#include "daemon/snapshot_job.h"
#include "daemon/snapshot_journal.h"
#include "daemon/snapshot_load.h"
#include "tests/unit/snapshot_sample.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define START (268435456 * USEC_PER_SEC) /* of the core's clock, when the machine began */

static char directory[64];
static int directory_fd;
static struct store *store;
static struct chase *chase;
static struct snapshot_names names;
static unsigned wanted;

static int hook_want(void *userdata, unsigned registry, const char *key)
{
    (void)userdata, (void)registry, (void)key;
    wanted++;
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

static int hook_query(void *userdata, const struct dns_question *question,
                      struct dns_call **ret_call)
{
    (void)userdata, (void)question;
    *ret_call = (struct dns_call *)&store; /* never answered */
    return 0;
}

static void hook_cancel(void *userdata, struct dns_call *call)
{
    (void)userdata, (void)call;
}

static usec_t hook_now(void *userdata)
{
    (void)userdata;
    return START;
}

static void set_up(void)
{
    struct store_hooks hooks = {
        .want = hook_want, .refresh = hook_want, .drop = hook_drop, .random = hook_random};
    struct chase_hooks chase_hooks = {.query = hook_query, .cancel = hook_cancel, .now = hook_now};
    struct freshness_rules rules = {.max_ttl = USEC_PER_SEC, .max_stale = 100 * USEC_PER_SEC};

    strcpy(directory, "/tmp/test_snapshot_load.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    directory_fd = snapshot_directory_open(directory);
    ck_assert_int_ge(directory_fd, 0);
    store = store_new(&hooks);
    store_registry_add(store, 0, &rules, 100);
    chase = chase_new(&chase_hooks, &(struct chase_rules){.max_stale = 100 * USEC_PER_SEC});
    names = (struct snapshot_names){0};
    wanted = 0;
}

static void tear_down(void)
{
    char command[128];

    close(directory_fd);
    chase_free(chase);
    store_free(store);
    free(names.text);
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    ck_assert_int_eq(system(command), 0);
}

static void write_sample(const char *file)
{
    struct snapshot_buffer buffer = {0};
    const char *what;

    sample_encode(&buffer);
    ck_assert_int_eq(snapshot_file_write(directory_fd, file, buffer.data, buffer.size, &what), 0);
    snapshot_buffer_done(&buffer);
}

/* So long after it was written, in another boot, 5 s old. */
static struct snapshot_target target_after(usec_t elapsed, unsigned registry)
{
    return (struct snapshot_target){
        .store = store,
        .registry = registry,
        .chase = chase,
        .names = &names,
        .moment = {.realtime = sample_written.realtime + elapsed,
                   .boottime = 5 * USEC_PER_SEC,
                   .boot_id = "another"},
        .now = START + 5 * USEC_PER_SEC,
    };
}

static int load(usec_t elapsed, unsigned registry, struct snapshot_loaded *ret_loaded)
{
    struct snapshot_target target = target_after(elapsed, registry);
    char why[256];
    int r = snapshot_load_file(directory_fd, "one.snapshot", &sample_binding, &target, ret_loaded,
                               why, sizeof(why));

    ck_assert_int_eq(r < 0, *why != '\0');
    free(ret_loaded->identity);
    return r;
}

static struct service_facts facts_of(const char *key)
{
    struct service *service = store_find(store, 0, key);
    struct service_facts facts;

    ck_assert_ptr_nonnull(service);
    service_facts(service, START + 5 * USEC_PER_SEC, &facts);
    return facts;
}

START_TEST(what_was_known_before_a_reboot_is_known_again_as_old_as_it_is)
{
    struct snapshot_loaded loaded;
    struct service_facts facts;

    write_sample("one.snapshot");
    ck_assert_int_eq(load(30 * USEC_PER_SEC, 0, &loaded), 0);
    ck_assert_uint_eq(loaded.services, 3);
    ck_assert_uint_eq(wanted, 3);
    facts = facts_of("service/orders");
    ck_assert_int_eq(facts.state, FRESHNESS_STALE);
    ck_assert_uint_eq(facts.endpoints->count, 2);
    /* Confirmed 7 s before it was written: before this machine was switched on. */
    ck_assert_uint_eq(facts.confirmed_at, START + 5 * USEC_PER_SEC - 37 * USEC_PER_SEC);
    ck_assert_str_eq(facts_of("service/db").alias, "db.example.org");
    facts = facts_of("service/web");
    ck_assert_str_eq(facts.alias, "web.example.org");
    ck_assert_uint_eq(facts.endpoints->count, 2);
    ck_assert_uint_eq(loaded.names, 1);
    ck_assert_str_eq(names.text, "orders.service.consul");
}
END_TEST

START_TEST(what_expired_while_the_machine_was_off_is_not_revived)
{
    struct snapshot_loaded loaded;

    write_sample("one.snapshot");
    ck_assert_int_eq(load(94 * USEC_PER_SEC, 0, &loaded), 0);
    ck_assert_int_eq(facts_of("service/orders").state, FRESHNESS_EXPIRED);
    ck_assert_int_eq(facts_of("service/db").state, FRESHNESS_STALE);
}
END_TEST

START_TEST(what_its_registry_doubted_lives_no_longer_for_a_reboot)
{
    struct snapshot_loaded loaded;
    struct service_facts facts;

    write_sample("one.snapshot");
    ck_assert_int_eq(load(30 * USEC_PER_SEC, 0, &loaded), 0);
    facts = facts_of("service/web");
    ck_assert_int_eq(facts.state, FRESHNESS_STALE);
    ck_assert(facts.suspect && !facts_of("service/db").suspect);
    ck_assert_uint_eq(facts.until, START + 5 * USEC_PER_SEC + 10 * USEC_PER_SEC);
    store_registry_remove(store, 0);
    store_registry_add(store, 0, &(struct freshness_rules){.max_stale = 100 * USEC_PER_SEC}, 100);
    ck_assert_int_eq(load(40 * USEC_PER_SEC, 0, &loaded), 0);
    ck_assert_int_eq(facts_of("service/web").state, FRESHNESS_EXPIRED);
    ck_assert_int_eq(facts_of("service/db").state, FRESHNESS_STALE);
}
END_TEST

START_TEST(nothing_is_restored_over_what_the_registry_said)
{
    struct snapshot_loaded loaded;
    struct registry_report absent = {
        .kind = REPORT_ABSENT, .key = "service/orders", .validity = REPORT_UNTIL_LOST};

    write_sample("one.snapshot");
    store_get(store, 0, "service/orders", START);
    store_report(store, 0, &absent, START);
    ck_assert_int_eq(load(30 * USEC_PER_SEC, 0, &loaded), 0);
    ck_assert_int_eq(facts_of("service/orders").state, FRESHNESS_ABSENT);
}
END_TEST

START_TEST(host_names_lead_where_they_led)
{
    struct snapshot_loaded loaded;
    struct chase_facts facts;
    struct chase_link *link;

    write_sample("one.snapshot");
    ck_assert_int_eq(load(30 * USEC_PER_SEC, STORE_REGISTRIES_MAX, &loaded), 0);
    ck_assert_uint_eq(loaded.hosts, 1);
    link = chase_get(chase, "db.example.org", START);
    ck_assert_str_eq(chase_canonical(link), "db-1.example.org");
    chase_facts(link, AF_INET, START + 5 * USEC_PER_SEC, &facts);
    ck_assert_int_eq(facts.state, CHASE_FOUND);
    ck_assert(facts.stale);
    ck_assert_uint_eq(facts.count, 1);
    chase_facts(link, AF_INET6, START + 5 * USEC_PER_SEC, &facts);
    ck_assert_int_eq(facts.state, CHASE_NO_DATA);
    chase_facts(link, AF_INET, START + 80 * USEC_PER_SEC, &facts);
    ck_assert_int_eq(facts.state, CHASE_FAILED);
}
END_TEST

START_TEST(a_file_of_the_future_or_of_another_source_restores_nothing)
{
    struct snapshot_loaded loaded;
    struct snapshot_target target = target_after(0, 0);
    struct snapshot_binding other = sample_binding;
    char why[256];

    write_sample("one.snapshot");
    target.moment.realtime -= 400 * USEC_PER_SEC;
    ck_assert_int_eq(snapshot_load_file(directory_fd, "one.snapshot", &sample_binding, &target,
                                        &loaded, why, sizeof(why)),
                     -EBADMSG);
    ck_assert_str_eq(why, "it was written in the future");
    target = target_after(0, 0);
    other.source = "http://192.0.2.10:8500";
    ck_assert_int_eq(snapshot_load_file(directory_fd, "one.snapshot", &other, &target, &loaded, why,
                                        sizeof(why)),
                     -EBADMSG);
    ck_assert_str_eq(why, "it is of another source");
    ck_assert_ptr_null(store_find(store, 0, "service/orders"));
}
END_TEST

START_TEST(what_is_no_file_is_refused_without_being_read)
{
    struct snapshot_loaded loaded;

    ck_assert_int_eq(load(0, 0, &loaded), -ENOENT);
    ck_assert_int_eq(mkfifoat(directory_fd, "one.snapshot", 0600), 0);
    ck_assert_int_eq(load(0, 0, &loaded), -EINVAL);
    unlinkat(directory_fd, "one.snapshot", 0);
    ck_assert_int_eq(symlinkat("/dev/zero", directory_fd, "one.snapshot"), 0);
    ck_assert_int_eq(load(0, 0, &loaded), -ELOOP);
    unlinkat(directory_fd, "one.snapshot", 0);
    close(openat(directory_fd, "one.snapshot", O_CREAT | O_WRONLY, 0600));
    ck_assert_int_eq(load(0, 0, &loaded), -EBADMSG);
}
END_TEST

START_TEST(a_file_that_is_too_large_is_refused)
{
    struct snapshot_loaded loaded;
    int fd = openat(directory_fd, "one.snapshot", O_CREAT | O_WRONLY, 0600);

    ck_assert_int_eq(ftruncate(fd, (off_t)SNAPSHOT_SIZE_MAX + 1), 0);
    close(fd);
    ck_assert_int_eq(load(0, 0, &loaded), -EFBIG);
}
END_TEST

START_TEST(a_failed_write_leaves_the_old_file_and_nothing_else)
{
    struct snapshot_loaded loaded;
    const char *what;

    write_sample("one.snapshot");
    /* A directory in the way of the temporary name. */
    ck_assert_int_eq(mkdirat(directory_fd, "one.snapshot.new", 0700), 0);
    ck_assert_int_lt(snapshot_file_write(directory_fd, "one.snapshot", "x", 1, &what), 0);
    ck_assert_int_eq(load(0, 0, &loaded), 0);
    ck_assert_int_eq(unlinkat(directory_fd, "one.snapshot.new", AT_REMOVEDIR), 0);
}
END_TEST

static bool keeps_one(void *userdata, const char *name)
{
    (void)userdata;
    return strcmp(name, "one.snapshot") == 0;
}

static bool exists(const char *name)
{
    return faccessat(directory_fd, name, F_OK, 0) == 0;
}

static void make_old(const char *name)
{
    static const struct timespec old[2] = {{1000, 0}, {1000, 0}};

    close(openat(directory_fd, name, O_CREAT | O_WRONLY, 0600));
    ck_assert_int_eq(utimensat(directory_fd, name, old, 0), 0);
}

START_TEST(what_nobody_wants_any_more_is_swept_in_time)
{
    make_old("one.snapshot");
    make_old("two.snapshot");
    make_old("two.snapshot.refused");
    close(openat(directory_fd, "three.snapshot", O_CREAT | O_WRONLY, 0600));
    close(openat(directory_fd, "one.snapshot.new", O_CREAT | O_WRONLY, 0600));
    snapshot_directory_sweep(directory_fd, true, USEC_INFINITY, keeps_one, NULL);
    ck_assert(exists("two.snapshot") && !exists("one.snapshot.new"));
    snapshot_directory_sweep(directory_fd, true, 3600 * USEC_PER_SEC, keeps_one, NULL);
    ck_assert(exists("one.snapshot") && exists("three.snapshot"));
    ck_assert(!exists("two.snapshot") && !exists("two.snapshot.refused"));
}
END_TEST

START_TEST(a_job_writes_what_was_collected_whatever_became_of_it_since)
{
    char place[sizeof(directory)], key[] = "service/orders", alias[] = "db.example.org";
    struct endpoint_set *set = sample_set();
    struct snapshot_loaded loaded;
    struct snapshot_job *job;
    struct stat status;

    strcpy(place, directory);
    job = snapshot_job_new(place, "one.snapshot", &sample_binding, &sample_written);
    snapshot_job_add_service(
        job, &(struct snapshot_service){
                 .key = key, .alias = alias, .endpoints = set, .doubt_left = USEC_PER_SEC});
    snapshot_job_add_name(job, "orders.service.consul");
    endpoint_set_unref(set);
    place[0] = key[0] = alias[0] = 'X';
    snapshot_job_run(&job->task);
    ck_assert_int_eq(job->error, 0);
    snapshot_job_free(job);
    ck_assert_int_eq(load(0, 0, &loaded), 0);
    ck_assert_uint_eq(facts_of("service/orders").endpoints->count, 2);
    ck_assert_str_eq(facts_of("service/orders").alias, "db.example.org");
    ck_assert(facts_of("service/orders").suspect);
    ck_assert_int_eq(fstatat(directory_fd, "one.snapshot", &status, 0), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
}
END_TEST

/* One change, as a daemon that is killed leaves it: written at this time, of one service. */
static void append(struct snapshot_journal *journal, usec_t written, bool any)
{
    struct snapshot_moment moment = sample_written;
    struct endpoint_set *set = sample_set();
    struct snapshot_buffer buffer = {0};

    moment.realtime += written;
    snapshot_begin(&buffer, &sample_binding, &moment);
    snapshot_put_service(&buffer, &(struct snapshot_service){.key = "service/orders",
                                                             .endpoints = any ? set : NULL});
    ck_assert_int_eq(snapshot_finish(&buffer), 0);
    ck_assert_int_eq(snapshot_journal_append(journal, buffer.data, buffer.size), 0);
    snapshot_buffer_done(&buffer);
    endpoint_set_unref(set);
}

static size_t load_journal(struct snapshot_loaded *ret_loaded)
{
    struct snapshot_target target = target_after(30 * USEC_PER_SEC, 0);
    size_t size = snapshot_load_journal(directory_fd, "one.changes", &sample_binding, &target,
                                        ret_loaded);

    free(ret_loaded->identity);
    return size;
}

START_TEST(the_last_word_of_a_journal_counts_and_a_torn_one_does_not)
{
    struct snapshot_journal journal;
    struct snapshot_loaded loaded;
    size_t whole;

    write_sample("one.snapshot");
    snapshot_journal_begin(&journal, directory_fd, "one.changes", 0);
    append(&journal, 1 * USEC_PER_SEC, true);
    append(&journal, 2 * USEC_PER_SEC, false);
    whole = journal.size;
    append(&journal, 3 * USEC_PER_SEC, true);
    ck_assert_int_eq(ftruncate(journal.fd, (off_t)journal.size - 1), 0);
    snapshot_journal_end(&journal);
    ck_assert_int_eq(load(30 * USEC_PER_SEC, 0, &loaded), 0);
    ck_assert_uint_eq(load_journal(&loaded), whole);
    ck_assert_uint_eq(loaded.services, 2);
    ck_assert_int_eq(facts_of("service/orders").state, FRESHNESS_UNKNOWN);
    ck_assert_str_eq(facts_of("service/db").alias, "db.example.org");
    /* What follows is written over the torn part. */
    snapshot_journal_begin(&journal, directory_fd, "one.changes", whole);
    append(&journal, 4 * USEC_PER_SEC, true);
    snapshot_journal_end(&journal);
    ck_assert_uint_gt(load_journal(&loaded), whole);
    ck_assert_int_eq(facts_of("service/orders").state, FRESHNESS_STALE);
}
END_TEST

START_TEST(a_journal_is_older_than_a_snapshot_that_was_written_after_it)
{
    struct snapshot_journal journal;
    struct snapshot_loaded loaded;

    /* The sample was confirmed 7 s before it was written. */
    write_sample("one.snapshot");
    snapshot_journal_begin(&journal, directory_fd, "one.changes", 0);
    append(&journal, 0 - 8 * USEC_PER_SEC, false);
    ck_assert_int_eq(load(30 * USEC_PER_SEC, 0, &loaded), 0);
    load_journal(&loaded);
    ck_assert_int_eq(facts_of("service/orders").state, FRESHNESS_STALE);
    snapshot_journal_end(&journal);
}
END_TEST

START_TEST(a_snapshot_from_before_a_journal_was_replaced_takes_nothing_from_it)
{
    static const char *const keys[] = {"service/a", "service/b", "service/c", "service/d"};
    struct snapshot_buffer all = {0};
    struct snapshot_journal journal;
    struct snapshot_loaded loaded;
    uint64_t collected;

    snapshot_journal_begin(&journal, directory_fd, "one.changes", 0);
    append(&journal, 1 * USEC_PER_SEC, true);
    collected = snapshot_journal_position(&journal);
    snapshot_begin(&all, &sample_binding, &sample_written);
    for (unsigned i = 0; i < 2 * ELEMENTS(keys); i++)
        snapshot_put_service(&all, &(struct snapshot_service){.key = keys[i % ELEMENTS(keys)]});
    ck_assert_int_eq(snapshot_finish(&all), 0);
    ck_assert_uint_gt(all.size, collected);
    ck_assert_int_eq(snapshot_journal_replace(&journal, all.data, all.size), 0);
    ck_assert_int_eq(snapshot_journal_cut(&journal, collected), 0);
    ck_assert_uint_eq(load_journal(&loaded), all.size);
    ck_assert_uint_eq(journal.size, all.size);

    /* Nor does one from before it was emptied, of what came later. */
    ck_assert_int_eq(snapshot_journal_cut(&journal, snapshot_journal_position(&journal)), 0);
    append(&journal, 7 * USEC_PER_SEC, true);
    append(&journal, 8 * USEC_PER_SEC, true);
    ck_assert_int_eq(snapshot_journal_cut(&journal, collected), 0);
    ck_assert_uint_eq(load_journal(&loaded), journal.size);
    snapshot_journal_end(&journal);
    snapshot_buffer_done(&all);
}
END_TEST

START_TEST(a_journal_is_cut_to_what_came_after_the_snapshot)
{
    struct snapshot_journal journal;
    struct snapshot_loaded loaded;
    struct stat status;
    size_t first;

    snapshot_journal_begin(&journal, directory_fd, "one.changes", 0);
    append(&journal, 1 * USEC_PER_SEC, true);
    first = journal.size;
    append(&journal, 2 * USEC_PER_SEC, false);
    ck_assert_int_eq(snapshot_journal_cut(&journal, first), 0);
    append(&journal, 3 * USEC_PER_SEC, true);
    ck_assert_uint_eq(load_journal(&loaded), journal.size);
    ck_assert_uint_eq(loaded.services, 2);
    ck_assert_int_eq(facts_of("service/orders").state, FRESHNESS_STALE);
    ck_assert_int_eq(snapshot_journal_cut(&journal, snapshot_journal_position(&journal)), 0);
    ck_assert_int_lt(fstatat(directory_fd, "one.changes", &status, 0), 0);
    ck_assert_uint_eq(journal.size, 0);
    snapshot_journal_end(&journal);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("snapshot_load");

    UNIT_CASE_FIXTURE(suite, "core", set_up, tear_down,
                      what_was_known_before_a_reboot_is_known_again_as_old_as_it_is,
                      what_expired_while_the_machine_was_off_is_not_revived,
                      what_its_registry_doubted_lives_no_longer_for_a_reboot,
                      nothing_is_restored_over_what_the_registry_said,
                      host_names_lead_where_they_led,
                      a_file_of_the_future_or_of_another_source_restores_nothing);
    UNIT_CASE_FIXTURE(
        suite, "files", set_up, tear_down, what_is_no_file_is_refused_without_being_read,
        a_file_that_is_too_large_is_refused, a_failed_write_leaves_the_old_file_and_nothing_else,
        what_nobody_wants_any_more_is_swept_in_time,
        a_job_writes_what_was_collected_whatever_became_of_it_since);
    UNIT_CASE_FIXTURE(suite, "journal", set_up, tear_down,
                      the_last_word_of_a_journal_counts_and_a_torn_one_does_not,
                      a_journal_is_older_than_a_snapshot_that_was_written_after_it,
                      a_snapshot_from_before_a_journal_was_replaced_takes_nothing_from_it,
                      a_journal_is_cut_to_what_came_after_the_snapshot);
    return suite;
}

UNIT_MAIN(make_suite)
