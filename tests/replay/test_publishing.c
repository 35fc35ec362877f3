/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stories of what stands in the view while registries say this and that and daemons come and go
 * (daemon/publisher.h). The view is a real one, read by the bytes that view.h documents.
 */
#include "daemon/publisher.h"

#include "nss-sd/wire.h"
#include "tests/replay/world.h"
#include "tests/unit/view_peek.h"

#include <signal.h>
#include <sys/resource.h>

static char directory[64];
static struct world *w;
static struct publisher *publisher;
static const char *private_name;
static unsigned carried, reversed;
static usec_t stopped_at;

/* ---- one daemon after another ---- */

static bool hook_view_policy(void *userdata, const char *name, unsigned *ret_limit)
{
    (void)userdata;
    *ret_limit = 8;
    return !private_name || !streq(name, private_name);
}

static int hook_view_reverse(void *userdata, const struct address *address,
                             char ret_name[static NAME_SIZE])
{
    (void)userdata, (void)address, (void)ret_name;
    reversed++;
    return -ENOENT;
}

static void hook_carried(void *userdata, const char *name)
{
    (void)userdata;
    resolver_recall(world_resolver(w), name, world_now(w));
    carried++;
}

static void hook_view_rank(void *userdata, struct answer_head *payload)
{
    (void)userdata;
    world_rank(w, payload);
}

static const struct view_domain_spec domains[] = {{"one", false}, {"two", false}};
static const struct view_spec good_spec = {
    .domains = domains, .domain_count = 2, .lookup_timeout = 2 * SEC};

static int start_daemon(const struct view_spec *spec)
{
    static const struct publisher_hooks hooks = {hook_view_policy, hook_view_reverse, hook_carried,
                                                 hook_view_rank, NULL};
    int r;

    w = world_new();
    if (stopped_at > 0)
        world_at(w, stopped_at);
    publisher = publisher_new(directory, &hooks);
    r = publisher_open(publisher, spec, 0, world_now(w));
    world_publish_to(w, publisher);
    return r;
}

static void stop_daemon(void)
{
    stopped_at = world_now(w);
    world_free(w);
    publisher = publisher_free(publisher);
}

static void restart_daemon(void)
{
    stop_daemon();
    ck_assert_int_eq(start_daemon(&good_spec), 1);
}

static void set_up(void)
{
    strcpy(directory, "/dev/shm/nss-sd-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(start_daemon(&good_spec), 1);
}

static void tear_down(void)
{
    char path[80];

    stop_daemon();
    snprintf(path, sizeof(path), "%s/view", directory);
    unlink(path);
    ck_assert_int_eq(rmdir(directory), 0);
}

/* ---- what stands in the view ---- */

static void open_view(struct peek *ret_peek)
{
    char path[80];

    snprintf(path, sizeof(path), "%s/view", directory);
    peek_open(ret_peek, path);
}

/* The IPv4 addresses of a name by their last bytes, in order of the slot, "!" behind those in a
 * higher tier; "absent", or "nothing". */
static const char *standing(const char *name)
{
    static char text[1024];
    struct peek peek;
    struct peek_found found;

    open_view(&peek);
    strcpy(text, peek_has_absence(&peek, name) ? "absent" : "nothing");
    if (peek_find(&peek, false, name, &found)) {
        text[0] = '\0';
        for (unsigned i = 0; i < found.answer.head->count4; i++)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u%s", i ? " " : "",
                     found.answer.records4[i].address[3],
                     found.answer.records4[i].tier == 0 ? "" : "!");
    }
    peek_close(&peek);
    return text;
}

#define STANDS(name, text) ck_assert_str_eq(standing(name), text)

/* ---- changes ---- */

START_TEST(a_removed_instance_is_gone_while_another_one_is_looked_for)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1 10.0.0.2", REPORT_UNTIL_LOST, 0);
    STANDS("orders.one", "1 2");
    world_data(w, 0, "orders", "10.0.0.1 ->new.example", REPORT_UNTIL_LOST, 0);
    STANDS("orders.one", "1"); /* DNS has not answered */
    world_data(w, 0, "orders", "->new.example", REPORT_UNTIL_LOST, 0);
    STANDS("orders.one", "nothing");
    world_dns(w, "new.example", DNS_A, DNS_DATA, "10.0.0.3", 60, NULL);
    world_dns(w, "new.example", DNS_AAAA, DNS_NODATA, "", 60, NULL);
    STANDS("orders.one", "3");
}
END_TEST

START_TEST(an_absence_is_gone_while_the_first_instance_is_looked_for)
{
    world_report(w, 0, REPORT_UP, NULL);
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_report(w, 0, REPORT_ABSENT, "orders");
    STANDS("orders.one", "absent");
    world_data(w, 0, "orders", "->new.example", REPORT_UNTIL_LOST, 0);
    STANDS("orders.one", "nothing");
}
END_TEST

START_TEST(what_was_flushed_is_gone)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    store_flush(world_store(w), store_find(world_store(w), 0, "orders"), world_now(w));
    world_at(w, world_now(w) + 1);
    STANDS("orders.one", "nothing");
}
END_TEST

START_TEST(of_a_large_service_only_what_is_in_the_view_is_looked_at_for_its_names)
{
    static char endpoints[200 * 12];

    for (unsigned i = 0; i < 200; i++)
        sprintf(endpoints + strlen(endpoints), "10.0.0.%u ", i + 1);
    world_lookup(w, "orders.one", WIRE_IPV4);
    reversed = 0;
    world_data(w, 0, "orders", endpoints, REPORT_UNTIL_LOST, 0);
    ck_assert_uint_gt(reversed, 0);
    ck_assert_uint_le(reversed, 58);
}
END_TEST

START_TEST(an_absence_that_several_watches_say_is_left_to_the_daemon)
{
    world_report(w, 0, REPORT_UP, NULL);
    world_report(w, 1, REPORT_UP, NULL);
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_alias(w, 0, "orders", "orders.two", REPORT_UNTIL_LOST);
    world_report(w, 1, REPORT_ABSENT, "orders");
    ck_assert_str_eq(world_ask(w, "orders.one", WIRE_IPV4), "absent");
    STANDS("orders.one", "nothing");
}
END_TEST

/* ---- routes ---- */

START_TEST(an_address_without_a_route_is_told_to_readers_of_view_and_socket)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1 10.0.0.2", REPORT_UNTIL_LOST, 0);
    STANDS("orders.one", "1 2");
    world_unreachable(w, "10.0.0.1");
    STANDS("orders.one", "1! 2");
    ck_assert_str_eq(world_ask(w, "orders.one", WIRE_IPV4), "found 10.0.0.1! 10.0.0.2");
    world_data(w, 0, "orders", "10.0.0.1 10.0.0.3", REPORT_UNTIL_LOST, 0);
    STANDS("orders.one", "1! 3");
    world_unreachable(w, "");
    STANDS("orders.one", "1 3");
}
END_TEST

static uint32_t sequence_of(const char *name)
{
    struct peek peek;
    struct peek_found found;
    uint32_t sequence;

    open_view(&peek);
    ck_assert(peek_find(&peek, false, name, &found));
    sequence = found.answer.head->sequence;
    peek_close(&peek);
    return sequence;
}

START_TEST(a_change_of_routes_that_changes_no_rank_rewrites_nothing)
{
    uint32_t before;

    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1 10.0.0.2", REPORT_UNTIL_LOST, 0);
    before = sequence_of("orders.one");
    world_unreachable(w, "192.0.2.1");
    ck_assert_uint_eq(sequence_of("orders.one"), before);
    world_unreachable(w, "10.0.0.2");
    STANDS("orders.one", "1 2!");
}
END_TEST

START_TEST(many_names_are_ranked_anew_in_slices)
{
    enum { NAMES = 500, ADDRESSES = 4, SLICE = RESOLVER_RERANK_SLICE / ADDRESSES };
    uint64_t published;
    size_t evaluations;
    unsigned runs = 0;
    char name[32];

    for (unsigned i = 0; i < NAMES; i++) {
        snprintf(name, sizeof(name), "s%u.one", i);
        world_lookup(w, name, WIRE_IPV4);
        *strchr(name, '.') = '\0';
        world_data(w, 0, name, "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4", REPORT_UNTIL_LOST, 0);
    }
    world_lookup(w, "single.one", WIRE_IPV4);
    world_data(w, 0, "single", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    published = publisher_counters(publisher)->published;
    evaluations = world_evaluations(w);
    ck_assert_uint_ge(evaluations, NAMES);
    resolver_rerank(world_resolver(w));
    for (uint64_t before = 0; publisher_counters(publisher)->published != before; runs++) {
        before = publisher_counters(publisher)->published;
        resolver_run(world_resolver(w), world_now(w));
        ck_assert_uint_le(publisher_counters(publisher)->published - before, SLICE);
    }
    ck_assert_uint_eq(publisher_counters(publisher)->published - published, NAMES);
    ck_assert_uint_eq(runs, NAMES / SLICE + 2);
    /* Else the checks that the evaluation wanted would be let go. */
    ck_assert_uint_eq(world_evaluations(w), evaluations);
}
END_TEST

START_TEST(what_changes_or_ends_while_ranks_are_made_anew_is_right_at_once)
{
    enum { NAMES = 300 };
    char name[32];

    for (unsigned i = 0; i < NAMES; i++) {
        snprintf(name, sizeof(name), "s%u.one", i);
        world_lookup(w, name, WIRE_IPV4);
        *strchr(name, '.') = '\0';
        world_data(w, 0, name, "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4", REPORT_UNTIL_LOST, 0);
    }
    resolver_rerank(world_resolver(w));
    world_data(w, 0, "s299", "10.0.0.1 10.0.0.2", REPORT_UNTIL_LOST, 0);
    STANDS("s299.one", "1 2");
    resolver_rerank(world_resolver(w));
    resolver_sweep(world_resolver(w), world_now(w) + 3600 * SEC);
    world_unreachable(w, "10.0.0.1");
    STANDS("s1.one", "nothing");
}
END_TEST

/* ---- a daemon that comes back ---- */

START_TEST(what_is_carried_over_stands_until_the_registry_answers)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_lookup(w, "users.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_data(w, 0, "users", "10.0.0.9", REPORT_UNTIL_LOST, 0);
    restart_daemon();
    STANDS("orders.one", "1");
    world_report(w, 0, REPORT_UP, NULL);
    world_data(w, 0, "orders", "10.0.0.2", REPORT_UNTIL_LOST, 0);
    world_report(w, 0, REPORT_ABSENT, "users");
    STANDS("orders.one", "2");
    STANDS("users.one", "absent");
}
END_TEST

/* How a living daemon's slot is served now: "now", "last", "never"; and a dead one's. */
static const char *served(const char *name)
{
    static const char *const words[] = {
        [VIEW_SERVE_NEVER] = "never", [VIEW_SERVE_LAST] = "last", [VIEW_SERVE_NOW] = "now"};
    static char text[32];
    uint32_t now = ticks_from_usec(world_now(w));
    struct peek peek;
    struct peek_found found;

    open_view(&peek);
    strcpy(text, "nothing");
    if (peek_find(&peek, false, name, &found)) {
        const struct answer_head *head = found.answer.head;
        const struct view_clock *clock = head->clock == ANSWER_CLOCK_NONE
                                             ? NULL
                                             : &peek.header.clocks[head->clock];

        snprintf(text, sizeof(text), "%s, %s", words[view_slot_serve(head, clock, true, now, now)],
                 words[view_slot_serve(head, clock, false, now, now)]);
    }
    peek_close(&peek);
    return text;
}

START_TEST(what_an_earlier_run_knew_is_served_ahead_of_no_registry_that_may_answer)
{
    world_restore(w, 0, "orders", "10.0.0.1", 900 * SEC);
    resolver_recall(world_resolver(w), "orders.one", world_now(w));
    ck_assert_str_eq(served("orders.one"), "last, now");
    world_at(w, 1010 * SEC);
    world_lookup(w, "orders.one", WIRE_IPV4);
    ck_assert_str_eq(served("orders.one"), "last, now");
    world_report(w, 0, REPORT_DOWN, NULL);
    ck_assert_str_eq(served("orders.one"), "now, now");
    world_report(w, 0, REPORT_UP, NULL);
    ck_assert_str_eq(served("orders.one"), "last, now");
    world_report(w, 0, REPORT_ABSENT, "orders");
    STANDS("orders.one", "absent");
}
END_TEST

START_TEST(what_an_earlier_run_knew_is_served_at_once_until_it_is_asked_for_again)
{
    world_restore(w, 0, "orders", "10.0.0.1", 900 * SEC);
    resolver_recall(world_resolver(w), "orders.one", world_now(w));
    world_report(w, 0, REPORT_FAILED, "orders");
    ck_assert_str_eq(served("orders.one"), "now, now");
    world_at(w, 1020 * SEC);
    ck_assert_str_eq(served("orders.one"), "last, now");
}
END_TEST

START_TEST(a_daemon_killed_before_its_clocks_are_settled_loses_nothing)
{
    struct peek peek;
    struct peek_found found;
    const struct view_clock *clock;

    world_lookup(w, "orders.one", WIRE_IPV4);
    world_report(w, 0, REPORT_UP, NULL);
    publisher_live(publisher, 0);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    open_view(&peek);
    ck_assert(peek_find(&peek, false, "orders.one", &found));
    ck_assert_uint_eq(found.answer.head->clock, 0);
    clock = &peek.header.clocks[0];
    ck_assert_int_eq(view_slot_serve(found.answer.head, clock, false, peek.header.heartbeat,
                                     peek.header.heartbeat + VIEW_LEASE_TICKS + 1),
                     VIEW_SERVE_NOW);
    peek_close(&peek);
    restart_daemon();
    STANDS("orders.one", "1");
}
END_TEST

START_TEST(what_is_carried_over_stands_while_its_host_name_is_looked_for)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "->old.example", REPORT_UNTIL_LOST, 0);
    world_dns(w, "old.example", DNS_A, DNS_DATA, "10.0.0.1", 60, NULL);
    world_dns(w, "old.example", DNS_AAAA, DNS_NODATA, "", 60, NULL);
    restart_daemon();
    world_data(w, 0, "orders", "->old.example", REPORT_UNTIL_LOST, 0);
    STANDS("orders.one", "1");
}
END_TEST

START_TEST(a_name_that_is_private_now_is_not_carried_over)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    private_name = "orders.one";
    restart_daemon();
    STANDS("orders.one", "nothing"); /* the registry has not answered */
}
END_TEST

START_TEST(random_names_do_not_push_out_what_was_carried_over)
{
    char name[32];

    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    restart_daemon();
    for (unsigned i = 0; i < RESOLVER_UNPROVEN_MAX + 100; i++) {
        snprintf(name, sizeof(name), "random%u.one", i);
        world_lookup(w, name, WIRE_IPV4);
    }
    STANDS("orders.one", "1");
}
END_TEST

START_TEST(more_is_carried_over_than_the_registry_has_room_for_at_once)
{
    const struct view_spec spec = good_spec;
    char key[32], name[32];
    unsigned lost = 0;

    for (unsigned i = 0; i < STORE_UNPROVEN_MAX + 100; i++) {
        snprintf(key, sizeof(key), "s%u", i);
        snprintf(name, sizeof(name), "s%u.one", i);
        world_lookup(w, name, WIRE_IPV4);
        world_data(w, 0, key, "10.0.0.1", REPORT_UNTIL_LOST, 0);
        if (publisher_settle(publisher, world_now(w))) {
            publisher_open(publisher, &spec, resolver_names(world_resolver(w)), world_now(w));
            world_publish_to(w, publisher);
        }
        if (i % 500 == 0)
            world_at(w, world_now(w) + 4 * SEC);
    }
    carried = 0;
    restart_daemon();
    ck_assert_uint_gt(carried, STORE_UNPROVEN_MAX);
    world_at(w, world_now(w) + 1);
    for (unsigned i = 0; i < STORE_UNPROVEN_MAX + 100; i++) {
        snprintf(name, sizeof(name), "s%u.one", i);
        lost += !streq(standing(name), "1");
    }
    ck_assert_uint_eq(lost, STORE_UNPROVEN_MAX + 100 - carried);
}
END_TEST

/* Has so many names published; the view grows with them, unless it must not. */
static void publish_names(unsigned count)
{
    char key[32], name[32];

    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "s%u", i);
        snprintf(name, sizeof(name), "s%u.one", i);
        world_lookup(w, name, WIRE_IPV4);
        world_data(w, 0, key, "10.0.0.1", REPORT_UNTIL_LOST, 0);
    }
}

static int open_again(void)
{
    return publisher_open(publisher, &good_spec, resolver_names(world_resolver(w)), world_now(w));
}

static uint32_t set_bits(void)
{
    struct peek peek;
    uint32_t bits;

    open_view(&peek);
    bits = ((const struct view_header *)peek.words)->set_bits;
    peek_close(&peek);
    return bits;
}

/* While a file may not be larger than this it is as if the file system were full. */
static void limit_files(rlim_t size)
{
    struct rlimit limit = {.rlim_cur = size, .rlim_max = RLIM_INFINITY};

    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

START_TEST(a_daemon_that_found_a_large_view_makes_no_new_one_without_need)
{
    publish_names(900);
    world_at(w, world_now(w) + 4 * SEC);
    ck_assert_int_eq(open_again(), 1);
    restart_daemon();
    ck_assert_uint_gt(set_bits(), VIEW_WRITER_SET_BITS);
    ck_assert_int_eq(open_again(), 0);
}
END_TEST

START_TEST(a_view_that_cannot_grow_is_tried_again_in_a_minute_and_no_larger)
{
    publish_names(900);
    world_at(w, world_now(w) + 4 * SEC);
    ck_assert(publisher_settle(publisher, world_now(w)));
    limit_files(1);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_lt(open_again(), 0);
        ck_assert(!publisher_settle(publisher, world_now(w)));
        world_at(w, world_now(w) + 61 * SEC);
        ck_assert(publisher_settle(publisher, world_now(w)));
    }
    limit_files(RLIM_INFINITY);
    ck_assert_int_eq(open_again(), 1);
    ck_assert_uint_eq(set_bits(), VIEW_WRITER_SET_BITS + 1);
}
END_TEST

START_TEST(a_view_that_could_not_be_made_at_start_is_made_when_there_is_room)
{
    stop_daemon();
    limit_files(1);
    ck_assert_int_lt(start_daemon(&good_spec), 0);
    ck_assert(!publisher_settle(publisher, world_now(w)));
    limit_files(RLIM_INFINITY);
    world_at(w, world_now(w) + 61 * SEC);
    ck_assert(publisher_settle(publisher, world_now(w)));
    ck_assert_int_eq(open_again(), 1);
    ck_assert(!publisher_settle(publisher, world_now(w)));
}
END_TEST

START_TEST(a_header_that_could_not_be_written_is_tried_again)
{
    static const char *const search[] = {"one"};
    struct view_spec spec = good_spec;

    spec.search = search;
    spec.search_count = 1;
    limit_files(1);
    ck_assert_int_lt(publisher_open(publisher, &spec, 0, world_now(w)), 0);
    limit_files(RLIM_INFINITY);
    world_at(w, world_now(w) + 61 * SEC);
    ck_assert(publisher_settle(publisher, world_now(w)));
    ck_assert_int_eq(publisher_open(publisher, &spec, 0, world_now(w)), 1);
    ck_assert(!publisher_settle(publisher, world_now(w)));
}
END_TEST

START_TEST(a_daemon_that_cannot_publish_takes_the_old_view_out_of_force)
{
    static const char *const search[] = {"a", "b", "c", "d", "e", "f", "g"};
    const struct view_spec too_long = {.search = search, .search_count = ELEMENTS(search)};
    struct peek peek;

    stop_daemon();
    open_view(&peek);
    ck_assert_uint_eq(((const struct view_header *)peek.words)->retired, 0);
    ck_assert_int_eq(start_daemon(&too_long), -E2BIG);
    ck_assert_uint_ne(((const struct view_header *)peek.words)->retired, 0);
    peek_close(&peek);
}
END_TEST

START_TEST(a_running_view_stays_in_force_when_the_next_one_cannot_be_made)
{
    static const char *const search[] = {"a", "b", "c", "d", "e", "f", "g"};
    const struct view_spec too_long = {.search = search, .search_count = ELEMENTS(search)};
    struct peek peek;

    open_view(&peek);
    ck_assert_int_eq(publisher_open(publisher, &too_long, 0, world_now(w)), -E2BIG);
    ck_assert_uint_eq(((const struct view_header *)peek.words)->retired, 0);
    peek_close(&peek);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("publishing");

    UNIT_CASE_FIXTURE(suite, "changes", set_up, tear_down,
                      a_removed_instance_is_gone_while_another_one_is_looked_for,
                      an_absence_is_gone_while_the_first_instance_is_looked_for,
                      what_was_flushed_is_gone,
                      of_a_large_service_only_what_is_in_the_view_is_looked_at_for_its_names,
                      an_absence_that_several_watches_say_is_left_to_the_daemon);
    UNIT_CASE_FIXTURE(suite, "routes", set_up, tear_down,
                      an_address_without_a_route_is_told_to_readers_of_view_and_socket,
                      a_change_of_routes_that_changes_no_rank_rewrites_nothing,
                      many_names_are_ranked_anew_in_slices,
                      what_changes_or_ends_while_ranks_are_made_anew_is_right_at_once);
    UNIT_CASE_FIXTURE(suite, "restart", set_up, tear_down,
                      what_is_carried_over_stands_until_the_registry_answers,
                      what_an_earlier_run_knew_is_served_ahead_of_no_registry_that_may_answer,
                      what_an_earlier_run_knew_is_served_at_once_until_it_is_asked_for_again,
                      a_daemon_killed_before_its_clocks_are_settled_loses_nothing,
                      what_is_carried_over_stands_while_its_host_name_is_looked_for,
                      a_name_that_is_private_now_is_not_carried_over,
                      random_names_do_not_push_out_what_was_carried_over,
                      more_is_carried_over_than_the_registry_has_room_for_at_once,
                      a_daemon_that_cannot_publish_takes_the_old_view_out_of_force,
                      a_running_view_stays_in_force_when_the_next_one_cannot_be_made);
    UNIT_CASE_FIXTURE(suite, "files", set_up, tear_down,
                      a_daemon_that_found_a_large_view_makes_no_new_one_without_need,
                      a_view_that_cannot_grow_is_tried_again_in_a_minute_and_no_larger,
                      a_view_that_could_not_be_made_at_start_is_made_when_there_is_room,
                      a_header_that_could_not_be_written_is_tried_again);
    return suite;
}

UNIT_MAIN(make_suite)
