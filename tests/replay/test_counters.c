/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the core counts while registries say this and that and programs ask: the sources of
 * `sdctl statistics`, and the sums that `sdctl status` shows. */
#include "tests/replay/world.h"

#include "nss-sd/wire.h"
#include "tests/unit/unit.h"

static struct world *w;

static void set_up(void)
{
    w = world_new();
}

static void tear_down(void)
{
    world_free(w);
}

static const struct resolver_counters *lookups(void)
{
    return resolver_counters(world_resolver(w));
}

static const struct store_counters *registry(void)
{
    return store_counters(world_store(w), 0);
}

START_TEST(every_lookup_counts_once_by_what_came_out_and_how)
{
    const uint64_t *outcomes = lookups()->outcomes;

    world_ask(w, "www.example.com", WIRE_UNSPEC);
    ck_assert_uint_eq(outcomes[ANSWER_FOREIGN], 1);
    ck_assert_uint_eq(lookups()->at_once, 1);
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_at(w, world_now(w) + SEC);
    ck_assert_uint_eq(lookups()->waited, 1);
    ck_assert_uint_eq(outcomes[ANSWER_FOUND], 1);
    world_ask(w, "orders.one", WIRE_IPV6);
    ck_assert_uint_eq(outcomes[ANSWER_NO_DATA], 1);
    world_lookup(w, "silent.one", WIRE_UNSPEC);
    world_at(w, world_now(w) + 3 * SEC);
    ck_assert_uint_eq(lookups()->timed_out, 1);
    ck_assert_uint_eq(outcomes[ANSWER_UNDECIDED], 1);
    world_lookup(w, "none.one", WIRE_UNSPEC);
    world_report(w, 0, REPORT_ABSENT, "none");
    world_at(w, world_now(w) + SEC);
    ck_assert_uint_eq(outcomes[ANSWER_ABSENT], 1);
    ck_assert_uint_eq(lookups()->at_once, 2);
    ck_assert_uint_eq(lookups()->waited, 2);
    ck_assert_uint_eq(lookups()->stale, 0);
}
END_TEST

START_TEST(answers_that_nobody_confirms_are_counted)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_report(w, 0, REPORT_UP, NULL);
    world_ask(w, "orders.one", WIRE_IPV4);
    world_report(w, 0, REPORT_DOWN, NULL);
    world_ask(w, "orders.one", WIRE_IPV4);
    world_ask(w, "orders.one", WIRE_IPV6);
    ck_assert_uint_eq(lookups()->stale, 1);
    ck_assert_uint_eq(lookups()->outcomes[ANSWER_FOUND], 3);
}
END_TEST

START_TEST(a_herd_counts_by_its_size_and_asks_once)
{
    for (unsigned i = 0; i < 11; i++)
        world_lookup(w, "orders.one", WIRE_IPV4);
    world_lookup(w, "stock.one", WIRE_IPV4);
    for (unsigned i = 0; i < 2; i++)
        world_lookup(w, "users.one", WIRE_IPV4);
    for (unsigned i = 0; i < 101; i++)
        world_lookup(w, "mails.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_data(w, 0, "stock", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_data(w, 0, "users", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_data(w, 0, "mails", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_at(w, world_now(w) + SEC);
    /* A change that nobody waits for is no herd. */
    world_data(w, 0, "mails", "10.0.0.2", REPORT_UNTIL_LOST, 0);
    world_at(w, world_now(w) + SEC);
    for (unsigned i = 0; i < RESOLVER_HERDS; i++)
        ck_assert_uint_eq(lookups()->herds[i], 1);
    ck_assert_uint_eq(registry()->wants, 4);
}
END_TEST

START_TEST(what_a_registry_is_asked_and_says_is_counted_by_kind)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_report(w, 0, REPORT_FAILED, "orders");
    world_data(w, 0, "orders", "10.0.0.1", 10 * SEC, 0);
    world_report(w, 0, REPORT_DOWN, NULL);
    ck_assert_uint_eq(registry()->wants, 1);
    ck_assert_uint_eq(registry()->reports[REPORT_FAILED], 1);
    ck_assert_uint_eq(registry()->failures[FAILURE_TRANSIENT], 1);
    ck_assert_uint_eq(registry()->reports[REPORT_DATA], 1);
    ck_assert_uint_eq(registry()->reports[REPORT_DOWN], 1);
    world_at(w, world_now(w) + 9 * SEC);
    world_ask(w, "orders.one", WIRE_IPV4);
    ck_assert_uint_eq(registry()->refreshes, 1);
    ck_assert_uint_eq(store_counters(world_store(w), 1)->wants, 0);
}
END_TEST

START_TEST(the_sum_of_a_registry_tells_what_is_stale_since_when_and_until_when)
{
    struct store_summary sum;
    usec_t lost;

    world_freshness(w, 0)->max_stale = 3600 * SEC;
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_lookup(w, "stock.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_data(w, 0, "stock", "10.0.0.1", 30 * SEC, 0);
    world_report(w, 0, REPORT_UP, NULL);
    store_summarize(world_store(w), 0, world_now(w), &sum);
    ck_assert_uint_eq(sum.services, 2);
    ck_assert_uint_eq(sum.stale + sum.expired + sum.stale_since, 0);
    ck_assert_uint_eq(sum.first_expires, USEC_INFINITY);
    world_at(w, world_now(w) + 10 * SEC);
    lost = world_now(w);
    world_report(w, 0, REPORT_DOWN, NULL);
    store_summarize(world_store(w), 0, lost, &sum);
    ck_assert_uint_eq(sum.stale, 1);
    ck_assert_uint_eq(sum.stale_since, lost);
    ck_assert_uint_eq(sum.first_expires, lost + 3600 * SEC);
    /* The other one turned stale when its time was over, and was confirmed before. */
    store_summarize(world_store(w), 0, lost + 60 * SEC, &sum);
    ck_assert_uint_eq(sum.stale, 2);
    ck_assert_uint_eq(sum.stale_since, lost);
    ck_assert_uint_eq(sum.first_expires, lost - 10 * SEC + 3600 * SEC);
    store_summarize(world_store(w), 0, lost + 3600 * SEC, &sum);
    ck_assert_uint_eq(sum.expired, 2);
    ck_assert_uint_eq(sum.stale, 0);
    ck_assert_uint_eq(sum.stale_since, lost);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("counters");

    UNIT_CASE_FIXTURE(
        suite, "lookups", set_up, tear_down, every_lookup_counts_once_by_what_came_out_and_how,
        answers_that_nobody_confirms_are_counted, a_herd_counts_by_its_size_and_asks_once);
    UNIT_CASE_FIXTURE(suite, "registries", set_up, tear_down,
                      what_a_registry_is_asked_and_says_is_counted_by_kind,
                      the_sum_of_a_registry_tells_what_is_stale_since_when_and_until_when);
    return suite;
}

UNIT_MAIN(make_suite)
