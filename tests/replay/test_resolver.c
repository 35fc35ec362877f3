/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stories of lookups: registries say this and that, time passes, a program gets ...
 * (daemon/resolver.h). */
#include "tests/replay/world.h"

#include <stdio.h>

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

#define EXPECT(seen, text)      ck_assert_str_eq(seen_text(seen), text)
#define ASK(name, family, text) ck_assert_str_eq(world_ask(w, name, family), text)

START_TEST(the_first_lookup_waits_for_the_registry)
{
    struct seen *four = world_lookup(w, "Orders.One.", WIRE_IPV4);
    struct seen *both = world_lookup(w, "orders.one", WIRE_UNSPEC);

    EXPECT(four, "waiting");
    ck_assert_uint_eq(world_calls(w, "want orders"), 1);
    world_at(w, 1001 * SEC);
    world_data(w, 0, "orders", "10.0.0.2,fd00::2 10.0.0.1", REPORT_UNTIL_LOST, 0);
    EXPECT(four, "found 10.0.0.1 10.0.0.2");
    EXPECT(both, "found 10.0.0.1 10.0.0.2 fd00::2");
    ck_assert_str_eq(seen_name(four), "orders.one");
    ASK("orders.one", WIRE_IPV6, "found fd00::2");
}
END_TEST

START_TEST(a_silent_registry_is_undecided_after_the_timeout_never_absent)
{
    struct seen *seen = world_lookup(w, "orders.one", WIRE_UNSPEC);

    world_at(w, 1002 * SEC - 1);
    EXPECT(seen, "waiting");
    world_at(w, 1002 * SEC);
    EXPECT(seen, "undecided");
}
END_TEST

START_TEST(nobody_waits_for_a_registry_that_is_known_to_be_down)
{
    struct seen *seen = world_lookup(w, "orders.one", WIRE_UNSPEC);

    world_report(w, 0, REPORT_DOWN, NULL);
    EXPECT(seen, "undecided");
    ASK("other.one", WIRE_IPV4, "undecided");
    /* The other registry is not concerned. */
    EXPECT(world_lookup(w, "orders.two", WIRE_IPV4), "waiting");
}
END_TEST

START_TEST(a_failure_of_one_key_ends_its_wait)
{
    struct seen *seen = world_lookup(w, "orders.one", WIRE_UNSPEC);

    world_report(w, 0, REPORT_FAILED, "orders");
    EXPECT(seen, "undecided");
}
END_TEST

START_TEST(a_change_is_in_the_next_lookup)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1 10.0.0.2", REPORT_UNTIL_LOST, 0);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.1 10.0.0.2");
    world_data(w, 0, "orders", "10.0.0.2", REPORT_UNTIL_LOST, 0);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.2");
    world_report(w, 0, REPORT_ABSENT, "orders");
    ASK("orders.one", WIRE_IPV4, "absent");
    world_data(w, 0, "orders", "10.0.0.9", REPORT_UNTIL_LOST, 0);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.9");
}
END_TEST

START_TEST(unhealthy_endpoints_are_not_handed_out)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1/critical 10.0.0.2/warning 10.0.0.3 10.0.0.4/terminating",
               REPORT_UNTIL_LOST, 0);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.2 10.0.0.3");
    world_data(w, 0, "orders", "10.0.0.1/critical 10.0.0.4/terminating", REPORT_UNTIL_LOST, 0);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.4");
    world_data(w, 0, "orders", "10.0.0.1/critical", REPORT_UNTIL_LOST, 0);
    ASK("orders.one", WIRE_IPV4, "no-data");
    world_data(w, 0, "orders", "10.0.0.1/critical", REPORT_UNTIL_LOST, REPORT_EMPTY_IS_ABSENT);
    ASK("orders.one", WIRE_IPV4, "absent");
}
END_TEST

START_TEST(tags_share_the_watch_of_their_service)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1/t=v1 10.0.0.2/t=V2", REPORT_UNTIL_LOST, 0);
    ASK("v2.tag.orders.one", WIRE_IPV4, "found 10.0.0.2");
    ASK("v3.tag.orders.one", WIRE_IPV4, "absent");
    ck_assert_uint_eq(world_calls(w, "want orders"), 1);
}
END_TEST

START_TEST(families_are_told_apart)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    ASK("orders.one", WIRE_IPV6, "no-data");
    ASK("orders.one", WIRE_UNSPEC, "found 10.0.0.1");
    world_data(w, 0, "orders", "10.0.0.1", 30 * SEC, REPORT_IPV6_UNDECIDED);
    ASK("orders.one", WIRE_IPV6, "undecided");
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.1");
    ASK("orders.one", WIRE_UNSPEC, "found 10.0.0.1");
}
END_TEST

START_TEST(grammar_decides_what_cannot_exist)
{
    ASK("x-bad.one", WIRE_IPV4, "absent");
    ASK("one", WIRE_IPV4, "no-data");
    ASK("www.example.org", WIRE_IPV4, "foreign");
    world_shared(w, true);
    ASK("x-bad.one", WIRE_IPV4, "foreign");
}
END_TEST

START_TEST(after_a_sleep_a_watch_is_believed_once_the_registry_says_so)
{
    usec_t slept_at = 1010 * SEC, awake = slept_at + 8 * 3600 * SEC;
    struct service_facts facts;
    struct seen *seen;

    world_freshness(w, 0)->max_stale = 72 * 3600 * SEC;
    store_registry_rules(world_store(w), 0, world_freshness(w, 0), 100, world_now(w));
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_report(w, 0, REPORT_UP, NULL);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_at(w, awake);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.1");
    ck_assert(store_doubt(world_store(w), 0, slept_at, awake));
    ck_assert_uint_eq(world_calls(w, "refresh orders"), 1);
    /* After StaleWaitSec= for the registry to say better; as old as it is: from before the sleep.
     */
    seen = world_lookup(w, "orders.one", WIRE_IPV4);
    world_at(w, awake + SEC);
    EXPECT(seen, "found~ 10.0.0.1");
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1");
    service_facts(store_find(world_store(w), 0, "orders"), awake, &facts);
    ck_assert_uint_eq(facts.confirmed_at, slept_at);
    ck_assert(!facts.live);
    world_data(w, 0, "orders", "10.0.0.2", REPORT_UNTIL_LOST, 0);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.2");
    service_facts(store_find(world_store(w), 0, "orders"), awake, &facts);
    ck_assert(facts.live);
}
END_TEST

START_TEST(a_sleep_longer_than_the_stale_limit_leaves_nothing_to_serve)
{
    usec_t slept_at = 1010 * SEC, awake = slept_at + 96 * 3600 * SEC;

    world_freshness(w, 0)->max_stale = 72 * 3600 * SEC;
    store_registry_rules(world_store(w), 0, world_freshness(w, 0), 100, world_now(w));
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_report(w, 0, REPORT_UP, NULL);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_at(w, awake);
    store_doubt(world_store(w), 0, slept_at, awake);
    EXPECT(world_lookup(w, "orders.one", WIRE_IPV4), "waiting");
}
END_TEST

START_TEST(a_sleep_changes_nothing_for_a_registry_that_was_down)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_report(w, 0, REPORT_UP, NULL);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_report(w, 0, REPORT_DOWN, NULL);
    world_at(w, 5000 * SEC);
    ck_assert(!store_doubt(world_store(w), 0, 2000 * SEC, 5000 * SEC));
    ck_assert(store_registry_down(world_store(w), 0));
}
END_TEST

START_TEST(stale_answers_outlive_the_registry_but_not_for_ever)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_at(w, 2000 * SEC);
    world_report(w, 0, REPORT_DOWN, NULL);
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1");
    world_at(w, (2000 + 3599) * SEC);
    world_report(w, 0, REPORT_DOWN, NULL);
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1");
    world_at(w, (2000 + 3600) * SEC);
    ASK("orders.one", WIRE_IPV4, "undecided");
    world_report(w, 0, REPORT_UP, NULL);
    world_data(w, 0, "orders", "10.0.0.3", REPORT_UNTIL_LOST, 0);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.3");
}
END_TEST

START_TEST(an_absence_is_told_for_five_seconds_after_the_registry_is_lost)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_report(w, 0, REPORT_ABSENT, "orders");
    world_report(w, 0, REPORT_DOWN, NULL);
    world_at(w, 1004 * SEC);
    ASK("orders.one", WIRE_IPV4, "absent");
    world_at(w, 1005 * SEC);
    ASK("orders.one", WIRE_IPV4, "undecided");
}
END_TEST

START_TEST(a_ttl_that_runs_out_is_refreshed_before_and_waited_for_briefly_after)
{
    struct seen *seen;

    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", 10 * SEC, 0);
    world_at(w, 1006 * SEC);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.1");
    ck_assert_uint_eq(world_calls(w, "refresh orders"), 0);
    world_at(w, 1009 * SEC);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.1");
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.1");
    ck_assert_uint_eq(world_calls(w, "refresh orders"), 1);
    world_data(w, 0, "orders", "10.0.0.2", 10 * SEC, 0);
    world_at(w, 1030 * SEC);
    seen = world_lookup(w, "orders.one", WIRE_IPV4);
    EXPECT(seen, "waiting");
    world_at(w, 1030 * SEC + 200 * MSEC);
    EXPECT(seen, "found~ 10.0.0.2");
    world_at(w, 1040 * SEC);
    world_data(w, 0, "orders", "10.0.0.3", 10 * SEC, 0);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.3");
}
END_TEST

START_TEST(a_registry_that_fails_is_asked_again_with_growing_pauses)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", 1 * SEC, 0);
    for (unsigned i = 0; i < 600; i++) {
        unsigned before = world_calls(w, "refresh orders");

        world_at(w, (1002 + i) * SEC);
        world_lookup(w, "orders.one", WIRE_IPV4);
        if (world_calls(w, "refresh orders") > before)
            world_report(w, 0, REPORT_FAILED, "orders");
    }
    ck_assert_uint_lt(world_calls(w, "refresh orders"), 30);
    ck_assert_uint_gt(world_calls(w, "refresh orders"), 15);
}
END_TEST

START_TEST(suspect_data_takes_nothing_away)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1 10.0.0.2", REPORT_UNTIL_LOST, 0);
    world_suspect(w, 0, "orders", "10.0.0.2 10.0.0.3");
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1 10.0.0.2 10.0.0.3");
    world_at(w, 1180 * SEC);
    ASK("orders.one", WIRE_IPV4, "undecided");
    world_data(w, 0, "orders", "10.0.0.3", REPORT_UNTIL_LOST, 0);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.3");
}
END_TEST

START_TEST(host_names_of_endpoints_are_chased)
{
    struct seen *seen = world_lookup(w, "orders.one", WIRE_UNSPEC);

    world_data(w, 0, "orders", "->db.example.org 10.0.0.1", REPORT_UNTIL_LOST, 0);
    EXPECT(seen, "waiting");
    world_dns(w, "db.example.org", DNS_A, DNS_DATA, "192.0.2.7", 30 * SEC, NULL);
    EXPECT(seen, "waiting");
    world_dns(w, "db.example.org", DNS_AAAA, DNS_NODATA, "", 30 * SEC, NULL);
    EXPECT(seen, "found 10.0.0.1 192.0.2.7");
    /* Refreshed when the TTL is over, kept when that fails. */
    world_at(w, 1031 * SEC);
    ck_assert_uint_eq(world_dns_open(w, "db.example.org"), 2);
    world_dns(w, "db.example.org", DNS_A, DNS_FAILED, "", 0, NULL);
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1 192.0.2.7");
    world_at(w, 1033 * SEC);
    world_dns(w, "db.example.org", DNS_A, DNS_DATA, "192.0.2.8", 30 * SEC, NULL);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.1 192.0.2.8");
}
END_TEST

START_TEST(a_chased_name_may_not_lead_to_the_loopback)
{
    struct seen *seen = world_lookup(w, "orders.one", WIRE_IPV4);

    world_data(w, 0, "orders", "->evil.example.org", REPORT_UNTIL_LOST, 0);
    world_dns(w, "evil.example.org", DNS_A, DNS_DATA, "127.0.0.1", 30 * SEC, NULL);
    EXPECT(seen, "no-data");
}
END_TEST

START_TEST(an_alias_has_the_canonical_name_of_its_end)
{
    struct seen *seen = world_lookup(w, "orders.one", WIRE_IPV4);

    world_alias(w, 0, "orders", "www.example.org", REPORT_UNTIL_LOST);
    world_dns(w, "www.example.org", DNS_A, DNS_DATA, "192.0.2.1", 30 * SEC, "cdn.example.net");
    EXPECT(seen, "found 192.0.2.1 = cdn.example.net");
}
END_TEST

START_TEST(an_alias_to_an_owned_name_follows_its_changes)
{
    struct seen *seen = world_lookup(w, "orders.one", WIRE_IPV4);

    world_alias(w, 0, "orders", "Shop.two.", REPORT_UNTIL_LOST);
    EXPECT(seen, "waiting");
    ck_assert_uint_eq(world_calls(w, "want shop"), 1);
    world_data(w, 1, "shop", "10.0.0.1 10.0.0.2", REPORT_UNTIL_LOST, 0);
    EXPECT(seen, "found 10.0.0.1 10.0.0.2 = shop.two");
    world_data(w, 1, "shop", "10.0.0.2", REPORT_UNTIL_LOST, 0);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.2 = shop.two");
    world_report(w, 1, REPORT_ABSENT, "shop");
    ASK("orders.one", WIRE_IPV4, "absent");
}
END_TEST

START_TEST(a_loop_of_aliases_ends)
{
    world_lookup(w, "a.one", WIRE_IPV4);
    world_alias(w, 0, "a", "b.one", REPORT_UNTIL_LOST);
    world_alias(w, 0, "b", "a.one", REPORT_UNTIL_LOST);
    ASK("a.one", WIRE_IPV4, "undecided");
}
END_TEST

static const char *const search_list[] = {"one", "example.org", "two"};

static void use_search_list(void)
{
    world_rules(w)->search = search_list;
    world_rules(w)->search_count = 3;
    world_apply_rules(w);
}

START_TEST(the_first_candidate_that_exists_wins)
{
    struct seen *seen;

    use_search_list();
    seen = world_lookup(w, "orders", WIRE_IPV4);
    world_data(w, 1, "orders", "10.0.0.2", REPORT_UNTIL_LOST, 0);
    EXPECT(seen, "waiting");
    world_report(w, 0, REPORT_ABSENT, "orders");
    EXPECT(seen, "found 10.0.0.2");
    ck_assert_str_eq(seen_name(seen), "orders.two");
    world_data(w, 0, "orders", "fd00::1", REPORT_UNTIL_LOST, 0);
    ASK("orders", WIRE_IPV4, "no-data");
}
END_TEST

START_TEST(a_short_name_that_no_registry_knows_stays_whole)
{
    struct seen *seen;

    use_search_list();
    seen = world_lookup(w, "printer", WIRE_UNSPEC);
    world_report(w, 0, REPORT_ABSENT, "printer");
    world_report(w, 1, REPORT_ABSENT, "printer");
    EXPECT(seen, "foreign");
    ASK("printer.", WIRE_UNSPEC, "foreign");
    ASK("two.dots", WIRE_UNSPEC, "foreign");
}
END_TEST

START_TEST(an_undecided_candidate_counts_only_if_it_was_known_before)
{
    struct seen *seen;

    use_search_list();
    world_report(w, 0, REPORT_DOWN, NULL);
    world_report(w, 1, REPORT_DOWN, NULL);
    ASK("printer", WIRE_IPV4, "foreign");
    world_report(w, 0, REPORT_UP, NULL);
    world_report(w, 1, REPORT_UP, NULL);
    seen = world_lookup(w, "orders", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_report(w, 1, REPORT_ABSENT, "orders");
    EXPECT(seen, "found 10.0.0.1");
    world_report(w, 0, REPORT_DOWN, NULL);
    world_at(w, 1000 * SEC + 3601 * SEC);
    ASK("orders", WIRE_IPV4, "undecided");
}
END_TEST

START_TEST(random_names_do_not_push_out_live_ones)
{
    char name[64];

    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "random-%u.one", i);
        world_lookup(w, name, WIRE_IPV4);
        snprintf(name, sizeof(name), "random-%u", i);
        world_report(w, 0, REPORT_ABSENT, name);
    }
    ck_assert_uint_eq(world_calls(w, "want orders"), 1);
    ck_assert_uint_eq(world_calls(w, "drop orders"), 0);
    ck_assert_uint_eq(world_calls(w, "drop random-7"), 1);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.1");
}
END_TEST

START_TEST(a_service_that_nobody_asks_for_is_dropped)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_at(w, (1000 + 1799) * SEC);
    resolver_sweep(world_resolver(w), world_now(w));
    store_sweep(world_store(w), 1800 * SEC, world_now(w));
    ck_assert_uint_eq(world_calls(w, "drop orders"), 0);
    world_at(w, (1000 + 1800) * SEC);
    resolver_sweep(world_resolver(w), world_now(w));
    store_sweep(world_store(w), 1800 * SEC, world_now(w));
    ck_assert_uint_eq(world_calls(w, "drop orders"), 1);
}
END_TEST

START_TEST(names_that_nobody_has_leave_room_for_those_that_somebody_has)
{
    char name[64];

    store_registry_rules(world_store(w), 0, world_freshness(w, 0), 100, world_now(w));
    for (unsigned i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "random-%u.one", i);
        world_lookup(w, name, WIRE_IPV4);
        snprintf(name, sizeof(name), "random-%u", i);
        world_report(w, 0, REPORT_ABSENT, name);
    }
    EXPECT(world_lookup(w, "orders.one", WIRE_IPV4), "waiting");
    ck_assert_uint_eq(world_calls(w, "want orders"), 1);
    ck_assert_uint_eq(world_calls(w, "drop random-200"), 1);
    ck_assert_uint_eq(world_calls(w, "drop random-299"), 0);
}
END_TEST

/* A ring of services, each of `count` instances that are all at the name of the next service. */
static void make_ring(unsigned count)
{
    char key[16], endpoints[64 * 32];

    for (unsigned step = 0; step < GATHER_DEPTH_MAX; step++) {
        size_t size = 0;

        for (unsigned i = 0; i < count; i++)
            size += (size_t)snprintf(endpoints + size, sizeof(endpoints) - size,
                                     "->step-%u.one/w=%u ", (step + 1) % GATHER_DEPTH_MAX, i + 1);
        snprintf(key, sizeof(key), "step-%u", step);
        world_data(w, 0, key, endpoints, REPORT_UNTIL_LOST, 0);
    }
}

START_TEST(instances_at_each_others_names_cost_a_bounded_time)
{
    world_lookup(w, "self.one", WIRE_IPV4);
    world_data(w, 0, "self", "->self.one ->self.one/w=2 ->self.one/w=3", REPORT_UNTIL_LOST, 0);
    ASK("self.one", WIRE_IPV4, "undecided");
    /* 40 to the power of 8 ways lead to the end of this one: the test's time-out is the proof. */
    world_lookup(w, "step-0.one", WIRE_IPV4);
    for (unsigned i = 0; i < GATHER_DEPTH_MAX; i++)
        make_ring(40);
    ASK("step-0.one", WIRE_IPV4, "undecided");
}
END_TEST

START_TEST(a_patience_beyond_the_timeout_does_not_put_off_the_answer)
{
    world_rules(w)->stale_wait = 30 * SEC;
    world_apply_rules(w);
    world_lookup(w, "orders.one", WIRE_IPV4);
    ck_assert_uint_eq(resolver_expire(world_resolver(w), world_now(w)), 1002 * SEC);
}
END_TEST

START_TEST(losing_the_registry_twice_makes_nothing_younger)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_report(w, 0, REPORT_DOWN, NULL);
    world_at(w, 3000 * SEC);
    /* Started anew by a reload, and still down. */
    store_rewant(world_store(w), 0, world_now(w));
    world_report(w, 0, REPORT_DOWN, NULL);
    world_at(w, 4599 * SEC);
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1");
    world_at(w, 4600 * SEC);
    ASK("orders.one", WIRE_IPV4, "undecided");
}
END_TEST

START_TEST(what_came_while_the_registry_was_down_is_lost_with_it)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_report(w, 0, REPORT_DOWN, NULL);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.1");
    world_report(w, 0, REPORT_DOWN, NULL);
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1");
}
END_TEST

START_TEST(suspect_data_is_better_than_an_absence)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_report(w, 0, REPORT_ABSENT, "orders");
    ASK("orders.one", WIRE_IPV4, "absent");
    world_suspect(w, 0, "orders", "10.0.0.1");
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1");
    world_at(w, (1000 + 180) * SEC);
    ASK("orders.one", WIRE_IPV4, "undecided");
}
END_TEST

START_TEST(interest_makes_no_name_known_and_costs_little)
{
    world_data(w, 0, "orders", "10.0.0.1", 30 * SEC, 0);
    resolver_touch(world_resolver(w), "orders.one", world_now(w));
    ck_assert_uint_eq(world_calls(w, "want orders"), 0);
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", 30 * SEC, 0);
    world_at(w, 1029 * SEC); /* past 80 % of the TTL */
    ck_assert_uint_eq(world_calls(w, "refresh orders"), 0);
    resolver_touch(world_resolver(w), "orders.one", world_now(w));
    ck_assert_uint_eq(world_calls(w, "refresh orders"), 1);
    /* It is wanted, for half an hour, because somebody said so. */
    world_at(w, (1028 + 1800) * SEC);
    resolver_sweep(world_resolver(w), world_now(w));
    ck_assert_ptr_nonnull(resolver_find(world_resolver(w), "orders.one", world_now(w)));
    world_at(w, (1029 + 1800) * SEC);
    resolver_sweep(world_resolver(w), world_now(w));
    ck_assert_ptr_null(resolver_find(world_resolver(w), "orders.one", world_now(w)));
}
END_TEST

START_TEST(whoever_has_less_patience_after_a_reload_is_answered_before_those_who_wait)
{
    struct seen *patient, *other, *hasty;

    patient = world_lookup(w, "orders.one", WIRE_IPV4);
    other = world_lookup(w, "users.one", WIRE_IPV4);
    world_rules(w)->lookup_timeout = 500 * MSEC;
    world_apply_rules(w);
    hasty = world_lookup(w, "orders.one", WIRE_IPV4);
    world_at(w, 1000 * SEC + 500 * MSEC);
    EXPECT(hasty, "undecided");
    EXPECT(patient, "waiting");
    world_data(w, 0, "users", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    EXPECT(other, "found 10.0.0.1");
    EXPECT(patient, "waiting");
    world_at(w, 1002 * SEC);
    EXPECT(patient, "undecided");
}
END_TEST

static struct denial {
    unsigned asked; /* how often somebody had to be judged */
    int status;
} denial;

static bool may_not(void *userdata, struct access access)
{
    (void)userdata;
    ck_assert_int_eq(access.kind, ACCESS_PRIVATE);
    denial.asked++;
    return false;
}

static void note_status(void *userdata, const void *payload, size_t size)
{
    struct answer answer;

    (void)userdata;
    ck_assert(answer_parse(payload, size, &answer));
    denial.status = answer.head->status4;
}

/* What a lookup by somebody who may have nothing private gets. */
static int status_denied(const char *name)
{
    struct lookup *lookup;

    denial = (struct denial){.status = -1};
    ck_assert_int_eq(resolver_lookup(world_resolver(w), name, true, WIRE_IPV4, world_now(w),
                                     may_not, note_status, NULL, &lookup),
                     0);
    if (lookup)
        lookup_cancel(lookup);
    return denial.status;
}

START_TEST(what_is_private_is_absent_at_once_to_those_who_may_not_have_it)
{
    world_private(w, "secret.one");
    ck_assert_int_eq(status_denied("secret.one"), ANSWER_ABSENT);
    world_data(w, 0, "secret", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_lookup(w, "open.one", WIRE_IPV4);
    world_data(w, 0, "open", "10.0.0.2", REPORT_UNTIL_LOST, 0);
    ck_assert_int_eq(status_denied("secret.one"), ANSWER_ABSENT);
    ASK("secret.one", WIRE_IPV4, "found 10.0.0.1");
    ck_assert_int_eq(status_denied("open.one"), ANSWER_FOUND);
    ck_assert_uint_eq(denial.asked, 0);
}
END_TEST

START_TEST(what_leads_to_a_private_name_is_as_private)
{
    world_private(w, "secret.one");
    world_lookup(w, "front.one", WIRE_IPV4);
    world_alias(w, 0, "front", "secret.one", REPORT_UNTIL_LOST);
    world_data(w, 0, "secret", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    ASK("front.one", WIRE_IPV4, "found 10.0.0.1 = secret.one");
    ck_assert_int_eq(status_denied("front.one"), ANSWER_ABSENT);
    world_lookup(w, "host.one", WIRE_IPV4);
    world_data(w, 0, "host", "->secret.one", REPORT_UNTIL_LOST, 0);
    ASK("host.one", WIRE_IPV4, "found 10.0.0.1");
    ck_assert_int_eq(status_denied("host.one"), ANSWER_ABSENT);
}
END_TEST

START_TEST(a_private_name_is_no_name_of_an_address_to_those_who_may_not_have_it)
{
    const struct address address = {AF_INET, {10, 0, 0, 1}};

    resolver_reverse(world_resolver(w), &address, may_not, note_status, NULL);
    ck_assert_int_eq(denial.status, ANSWER_FOUND);
    world_private(w, "ten.one");
    resolver_reverse(world_resolver(w), &address, may_not, note_status, NULL);
    ck_assert_int_eq(denial.status, ANSWER_FOREIGN);
    resolver_reverse(world_resolver(w), &address, NULL, note_status, NULL);
    ck_assert_int_eq(denial.status, ANSWER_FOUND);
}
END_TEST

static void count_answer(void *userdata, const void *payload, size_t size)
{
    (void)payload, (void)size;
    ++*(unsigned *)userdata;
}

START_TEST(so_many_lookups_may_wait_and_one_more_is_undecided_at_once)
{
    struct resolver *resolver = world_resolver(w);
    unsigned answered = 0;

    for (unsigned i = 0; i <= RESOLVER_LOOKUPS_MAX; i++) {
        struct lookup *lookup;
        char name[32];

        snprintf(name, sizeof(name), "n%u.one", i % 100);
        ck_assert_uint_eq(answered, 0);
        ck_assert_int_eq(resolver_lookup(resolver, name, true, WIRE_IPV4, world_now(w), NULL,
                                         count_answer, &answered, &lookup),
                         0);
    }
    ck_assert_uint_eq(answered, 1);
    world_data(w, 0, "n7", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    ck_assert_uint_eq(answered, 1 + (RESOLVER_LOOKUPS_MAX + 92) / 100);
    world_at(w, 1002 * SEC);
    ck_assert_uint_eq(answered, 1 + RESOLVER_LOOKUPS_MAX);
}
END_TEST

START_TEST(only_a_name_that_nobody_asked_for_is_learned)
{
    struct resolver *resolver = world_resolver(w);
    unsigned answered = 0;

    ck_assert(resolver_learns(resolver, "orders.one", true));
    ck_assert(!resolver_learns(resolver, "www.elsewhere", false));
    resolver_decline(resolver, "orders.one", count_answer, &answered);
    ck_assert_uint_eq(answered, 1);
    ck_assert(resolver_learns(resolver, "orders.one", true));
    ck_assert_uint_eq(world_calls(w, "want orders"), 0);
    world_lookup(w, "orders.one", WIRE_IPV4);
    ck_assert(!resolver_learns(resolver, "orders.one", true));
}
END_TEST

START_TEST(a_short_name_is_learned_unless_one_of_its_names_has_addresses)
{
    struct resolver *resolver = world_resolver(w);
    unsigned answered = 0;

    use_search_list();
    ck_assert(resolver_learns(resolver, "orders", false));
    ck_assert(!resolver_learns(resolver, "orders", true));
    resolver_decline(resolver, "orders", count_answer, &answered);
    ck_assert_uint_eq(answered, 1);
    ck_assert_uint_eq(resolver_counters(resolver)->outcomes[ANSWER_FOREIGN], 1);
    world_lookup(w, "orders.one", WIRE_IPV4);
    ck_assert(resolver_learns(resolver, "orders", false));
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    ck_assert(!resolver_learns(resolver, "orders", false));
}
END_TEST

/* ---- what an earlier run knew ---- */

START_TEST(what_an_earlier_run_knew_waits_a_moment_for_a_registry_that_may_know_better)
{
    struct seen *seen;

    world_restore(w, 0, "orders", "10.0.0.1 10.0.0.2", 900 * SEC);
    ck_assert_uint_eq(world_calls(w, "want orders"), 1);
    world_at(w, 1001 * SEC);
    seen = world_lookup(w, "orders.one", WIRE_IPV4);
    EXPECT(seen, "waiting");
    world_data(w, 0, "orders", "10.0.0.2", REPORT_UNTIL_LOST, 0);
    EXPECT(seen, "found 10.0.0.2");
}
END_TEST

START_TEST(what_an_earlier_run_knew_is_told_when_the_registry_takes_too_long)
{
    struct seen *seen;

    world_restore(w, 0, "orders", "10.0.0.1", 900 * SEC);
    world_at(w, 1001 * SEC);
    seen = world_lookup(w, "orders.one", WIRE_IPV4);
    world_at(w, 1001 * SEC + 199 * MSEC);
    EXPECT(seen, "waiting");
    world_at(w, 1001 * SEC + 200 * MSEC);
    EXPECT(seen, "found~ 10.0.0.1");
    /* Each lookup gives it its chance, till it was silent for too long. */
    EXPECT(world_lookup(w, "orders.one", WIRE_IPV4), "waiting");
    world_at(w, 1002 * SEC);
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1");
}
END_TEST

START_TEST(what_an_earlier_run_knew_is_told_at_once_where_the_registry_is_down)
{
    struct seen *seen;

    world_restore(w, 0, "orders", "10.0.0.1", 900 * SEC);
    seen = world_lookup(w, "orders.one", WIRE_IPV4);
    EXPECT(seen, "waiting");
    world_report(w, 0, REPORT_DOWN, NULL);
    EXPECT(seen, "found~ 10.0.0.1");
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1");
    /* It answers again, but has not spoken of this service. */
    world_report(w, 0, REPORT_UP, NULL);
    seen = world_lookup(w, "orders.one", WIRE_IPV4);
    EXPECT(seen, "waiting");
    world_report(w, 0, REPORT_ABSENT, "orders");
    EXPECT(seen, "absent");
}
END_TEST

START_TEST(what_an_earlier_run_knew_is_as_old_as_it_was_then)
{
    world_restore(w, 0, "orders", "10.0.0.1", 500 * SEC);
    world_restore(w, 0, "old", "10.0.0.2", 1);
    /* A clock that was set back revives nothing, and makes nothing younger than now. */
    world_restore(w, 0, "future", "10.0.0.3", 999999 * SEC);
    world_report(w, 0, REPORT_DOWN, NULL);
    world_at(w, 3601 * SEC);
    ASK("old.one", WIRE_IPV4, "undecided");
    world_at(w, (500 + 3599) * SEC);
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1");
    world_at(w, (500 + 3600) * SEC);
    ASK("orders.one", WIRE_IPV4, "undecided");
    world_at(w, (1000 + 3600) * SEC);
    ASK("future.one", WIRE_IPV4, "undecided");
}
END_TEST

START_TEST(what_is_known_of_this_run_is_not_restored_over)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_restore(w, 0, "orders", "10.0.0.9", 900 * SEC);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.1");
    ck_assert_uint_eq(world_calls(w, "want orders"), 1);
}
END_TEST

START_TEST(of_two_memories_the_one_that_was_confirmed_later_counts)
{
    world_restore(w, 0, "orders", "10.0.0.1 10.0.0.2", 900 * SEC);
    world_restore(w, 0, "orders", "10.0.0.1", 901 * SEC);
    world_restore(w, 0, "orders", "10.0.0.1 10.0.0.3", 899 * SEC);
    world_restore(w, 0, "users", "10.0.0.4", 900 * SEC);
    world_restore(w, 0, "users", "", 901 * SEC);
    world_restore(w, 0, "users", "10.0.0.4", 900 * SEC);
    world_report(w, 0, REPORT_DOWN, NULL);
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1");
    ASK("users.one", WIRE_IPV4, "undecided");
    world_restore(w, 0, "users", "10.0.0.5", 902 * SEC);
    ASK("users.one", WIRE_IPV4, "found~ 10.0.0.5");
    ck_assert_uint_eq(world_calls(w, "want users"), 1);
}
END_TEST

START_TEST(a_protection_does_not_begin_anew_with_the_daemon)
{
    world_wish(w, "orders.one", 1, STORE_EMPTY_PROTECTION, 600 * SEC);
    world_restore_doubted(w, 0, "orders", "10.0.0.1", 900 * SEC, 1100 * SEC);
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "", REPORT_UNTIL_LOST, 0);
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1");
    world_at(w, 1100 * SEC);
    ASK("orders.one", WIRE_IPV4, "no-data");
}
END_TEST

START_TEST(a_protection_ends_while_the_registry_or_the_daemon_is_down)
{
    world_restore_doubted(w, 0, "orders", "10.0.0.1", 900 * SEC, 1100 * SEC);
    world_restore_doubted(w, 0, "users", "10.0.0.2", 900 * SEC, 999 * SEC);
    world_report(w, 0, REPORT_DOWN, NULL);
    ASK("users.one", WIRE_IPV4, "undecided");
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1");
    world_at(w, 1100 * SEC);
    ASK("orders.one", WIRE_IPV4, "undecided");
}
END_TEST

START_TEST(what_another_cluster_knew_is_forgotten_unless_this_one_confirmed_it)
{
    struct seen *seen;

    world_restore(w, 0, "orders", "10.0.0.1", 900 * SEC);
    world_restore(w, 0, "users", "10.0.0.2", 900 * SEC);
    world_lookup(w, "users.one", WIRE_IPV4);
    world_data(w, 0, "users", "10.0.0.2", REPORT_UNTIL_LOST, 0);
    seen = world_lookup(w, "orders.one", WIRE_IPV4);
    store_disown(world_store(w), 0, world_now(w));
    world_at(w, 1001 * SEC);
    EXPECT(seen, "waiting");
    world_at(w, 1002 * SEC);
    EXPECT(seen, "undecided");
    ASK("users.one", WIRE_IPV4, "found 10.0.0.2");
}
END_TEST

START_TEST(nothing_known_is_given_up_while_its_registry_is_down)
{
    world_restore(w, 0, "orders", "10.0.0.1", 1000 * SEC);
    world_rules(w)->idle = 60 * SEC;
    world_apply_rules(w);
    world_report(w, 0, REPORT_DOWN, NULL);
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1");
    world_at(w, 2000 * SEC);
    resolver_sweep(world_resolver(w), world_now(w));
    store_sweep(world_store(w), 60 * SEC, world_now(w));
    ck_assert_uint_eq(world_calls(w, "drop orders"), 0);
    ck_assert_ptr_nonnull(resolver_find(world_resolver(w), "orders.one", world_now(w)));
    world_report(w, 0, REPORT_UP, NULL);
    resolver_sweep(world_resolver(w), world_now(w));
    store_sweep(world_store(w), 60 * SEC, world_now(w));
    ck_assert_uint_eq(world_calls(w, "drop orders"), 1);
}
END_TEST

/* ---- what is told of age ---- */

START_TEST(an_outage_is_told_once_in_each_of_its_steps)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_at(w, 2000 * SEC);
    ck_assert_str_eq(world_notices(w), "");
    world_report(w, 0, REPORT_DOWN, NULL);
    world_report(w, 0, REPORT_DOWN, NULL);
    ck_assert_str_eq(world_notices(w), "orders stale");
    world_at(w, (2000 + 1799) * SEC);
    ck_assert_str_eq(world_notices(w), "");
    world_at(w, (2000 + 1800) * SEC);
    ck_assert_str_eq(world_notices(w), "orders expiring");
    world_at(w, (2000 + 3240) * SEC);
    ck_assert_str_eq(world_notices(w), "orders expiring");
    world_at(w, (2000 + 3600) * SEC);
    ck_assert_str_eq(world_notices(w), "orders expired");
    world_at(w, 9000 * SEC);
    world_report(w, 0, REPORT_UP, NULL);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    ck_assert_str_eq(world_notices(w), "orders confirmed");
    world_report(w, 0, REPORT_DOWN, NULL);
    ck_assert_str_eq(world_notices(w), "orders stale");
}
END_TEST

START_TEST(a_healthy_store_needs_no_wake_up)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_lookup(w, "users.one", WIRE_IPV4);
    world_data(w, 0, "users", "10.0.0.1", 10 * SEC, 0);
    ck_assert_uint_eq(store_tick(world_store(w), world_now(w)), USEC_INFINITY);
    /* A TTL that ends while nobody asks is nobody's trouble; one that cannot be renewed is. */
    world_at(w, 1100 * SEC);
    ck_assert_str_eq(world_notices(w), "");
    world_lookup(w, "users.one", WIRE_IPV4);
    world_report(w, 0, REPORT_FAILED, "users");
    ck_assert_str_eq(world_notices(w), "users stale");
}
END_TEST

START_TEST(what_a_reload_makes_fresh_again_is_not_looked_at_all_the_time)
{
    world_lookup(w, "users.one", WIRE_IPV4);
    world_data(w, 0, "users", "10.0.0.1", 10 * SEC, 0);
    world_at(w, world_now(w) + 12 * SEC);
    world_lookup(w, "users.one", WIRE_IPV4);
    world_report(w, 0, REPORT_FAILED, "users");
    ck_assert_str_eq(world_notices(w), "users stale");
    world_wish(w, "users.one", 1, STORE_MIN_TTL, 60 * SEC);
    world_wish(w, "users.one", 2, STORE_MAX_STALE, 5 * SEC);
    world_apply_rules(w);
    EXPECT(world_lookup(w, "users.one", WIRE_IPV4), "found 10.0.0.1");
    ck_assert_uint_gt(store_tick(world_store(w), world_now(w)), world_now(w));
}
END_TEST

START_TEST(suspicion_is_told_when_it_begins)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_suspect(w, 0, "orders", "");
    world_suspect(w, 0, "orders", "");
    ck_assert_str_eq(world_notices(w), "orders suspect");
    world_at(w, 1180 * SEC);
    ck_assert_str_eq(world_notices(w), "orders expiring, orders expiring, orders expired");
}
END_TEST

START_TEST(what_is_known_is_said_to_have_changed_when_it_did)
{
    unsigned before;

    world_lookup(w, "orders.one", WIRE_IPV4);
    before = world_touched(w);
    world_data(w, 0, "orders", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    ck_assert_uint_eq(world_touched(w), before + 1);
    world_report(w, 0, REPORT_DOWN, NULL);
    ck_assert_uint_eq(world_touched(w), before + 2);
    world_at(w, 1500 * SEC);
    world_lookup(w, "orders.one", WIRE_IPV4);
    ck_assert_uint_eq(world_touched(w), before + 2);
}
END_TEST

/* ---- protection, and what beats it ---- */

START_TEST(a_sudden_emptiness_is_held_off_where_that_is_wished)
{
    world_wish(w, "orders.one", 1, STORE_EMPTY_PROTECTION, 600 * SEC);
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_lookup(w, "users.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1 10.0.0.2", REPORT_UNTIL_LOST, 0);
    world_data(w, 0, "users", "10.0.0.1", REPORT_UNTIL_LOST, 0);
    world_data(w, 0, "orders", "", REPORT_UNTIL_LOST, 0);
    world_data(w, 0, "users", "", REPORT_UNTIL_LOST, 0);
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1 10.0.0.2");
    ASK("users.one", WIRE_IPV4, "no-data");
    ck_assert_str_eq(world_notices(w), "orders protected");
    world_at(w, 1100 * SEC);
    world_report(w, 0, REPORT_ABSENT, "orders");
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1 10.0.0.2");
    world_at(w, 1600 * SEC);
    ASK("orders.one", WIRE_IPV4, "absent");
    world_data(w, 0, "orders", "10.0.0.3", REPORT_UNTIL_LOST, 0);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.3");
}
END_TEST

START_TEST(what_the_registry_names_is_not_protected)
{
    world_wish(w, "orders.one", 1, STORE_EMPTY_PROTECTION, 600 * SEC);
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1 10.0.0.2 10.0.0.3", REPORT_UNTIL_LOST, 0);
    world_data(w, 0, "orders", "10.0.0.1 10.0.0.2", REPORT_UNTIL_LOST, 0);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.1 10.0.0.2");
    world_report(w, 0, REPORT_ABSENT, "orders");
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1 10.0.0.2");
    /* Also while something is held. */
    world_data(w, 0, "orders", "10.0.0.2", REPORT_UNTIL_LOST, 0);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.2");
    world_data(w, 0, "orders", "10.0.0.2/critical", REPORT_UNTIL_LOST, 0);
    ASK("orders.one", WIRE_IPV4, "no-data");
}
END_TEST

START_TEST(an_instance_that_suspect_data_calls_failing_is_out)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1 10.0.0.2", REPORT_UNTIL_LOST, 0);
    world_suspect(w, 0, "orders", "10.0.0.2/critical");
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1");
    world_suspect(w, 0, "orders", "10.0.0.1/terminating 10.0.0.3");
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.3");
}
END_TEST

START_TEST(an_alias_is_no_worse_for_suspect_data)
{
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_alias(w, 0, "orders", "users.one", REPORT_UNTIL_LOST);
    world_data(w, 0, "users", "10.0.0.9", REPORT_UNTIL_LOST, 0);
    world_suspect(w, 0, "orders", "10.0.0.1");
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.9 = users.one");
}
END_TEST

/* ---- rules of one service ---- */

START_TEST(a_service_has_the_rules_of_the_last_file_whatever_name_came_first)
{
    for (unsigned order = 0; order < 2; order++) {
        const char *service = order ? "b" : "a", *plain = order ? "b.one" : "a.one";
        const char *tagged = order ? "v1.tag.b.one" : "v1.tag.a.one";

        world_wish(w, plain, 1, STORE_MAX_STALE, 100 * SEC);
        world_wish(w, tagged, 2, STORE_MAX_STALE, 500 * SEC);
        world_lookup(w, order ? tagged : plain, WIRE_IPV4);
        world_data(w, 0, service, "10.0.0.1/t=v1", REPORT_UNTIL_LOST, 0);
        world_lookup(w, order ? plain : tagged, WIRE_IPV4);
    }
    world_report(w, 0, REPORT_DOWN, NULL);
    world_at(w, 1499 * SEC);
    ASK("a.one", WIRE_IPV4, "found~ 10.0.0.1");
    world_at(w, 1500 * SEC);
    ASK("a.one", WIRE_IPV4, "undecided");
    ASK("v1.tag.b.one", WIRE_IPV4, "undecided");
}
END_TEST

START_TEST(a_reload_takes_rules_back_and_puts_others_in_force_at_once)
{
    world_wish(w, "orders.one", 1, STORE_MAX_TTL, 10 * SEC);
    world_wish(w, "orders.one", 2, STORE_EMPTY_PROTECTION, 600 * SEC);
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", 60 * SEC, 0);
    world_at(w, 1020 * SEC);
    ck_assert_str_eq(seen_text(world_lookup(w, "orders.one", WIRE_IPV4)), "waiting");
    world_wish(w, NULL, 1, STORE_MAX_TTL, 0);
    world_apply_rules(w);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.1");
    /* A protection outlives a reload that does not concern it, and ends with its rule. */
    world_report(w, 0, REPORT_ABSENT, "orders");
    world_apply_rules(w);
    ASK("orders.one", WIRE_IPV4, "found~ 10.0.0.1");
    world_wish(w, NULL, 2, STORE_EMPTY_PROTECTION, 0);
    world_apply_rules(w);
    ASK("orders.one", WIRE_IPV4, "absent");
}
END_TEST

START_TEST(a_least_ttl_of_a_service_beats_the_greatest_one_of_its_registry)
{
    world_wish(w, "orders.one", 1, STORE_MIN_TTL, 120 * SEC);
    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", 5 * SEC, 0);
    world_at(w, 1080 * SEC);
    ASK("orders.one", WIRE_IPV4, "found 10.0.0.1");
    ck_assert_uint_eq(world_calls(w, "refresh orders"), 0);
}
END_TEST

/* ---- how a registry is asked ---- */

START_TEST(a_herd_on_expiry_costs_one_fetch)
{
    struct seen *herd[1000];

    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", 10 * SEC, 0);
    world_at(w, 1020 * SEC);
    for (unsigned i = 0; i < 1000; i++)
        herd[i] = world_lookup(w, "orders.one", WIRE_IPV4);
    ck_assert_uint_eq(world_calls(w, "refresh orders"), 1);
    world_data(w, 0, "orders", "10.0.0.2", 10 * SEC, 0);
    for (unsigned i = 0; i < 1000; i++)
        EXPECT(herd[i], "found 10.0.0.2");
    ck_assert_uint_eq(world_calls(w, "refresh orders"), 1);
}
END_TEST

START_TEST(fetches_wait_for_their_turn_and_refreshes_do_not_starve)
{
    char name[32];

    store_registry_fetches(world_store(w), 0, 2);
    world_lookup(w, "known.one", WIRE_IPV4);
    world_data(w, 0, "known", "10.0.0.1", 10 * SEC, 0);
    world_at(w, 1001 * SEC);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "n%u.one", i);
        world_lookup(w, name, WIRE_IPV4);
    }
    ck_assert_uint_eq(world_calls(w, "want n1"), 1);
    ck_assert_uint_eq(world_calls(w, "want n2"), 0);
    world_at(w, 1009 * SEC);
    world_lookup(w, "known.one", WIRE_IPV4);
    ck_assert_uint_eq(world_calls(w, "refresh known"), 0);
    world_report(w, 0, REPORT_ABSENT, "n0");
    world_report(w, 0, REPORT_FAILED, "n1");
    ck_assert_uint_eq(world_calls(w, "refresh known"), 1);
    ck_assert_uint_eq(world_calls(w, "want n2"), 1);
    ck_assert_uint_eq(world_calls(w, "want n3"), 0);
    /* A registry started anew owes no answers. */
    store_rewant(world_store(w), 0, world_now(w));
    world_report(w, 0, REPORT_FAILED, "known");
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        world_report(w, 0, REPORT_ABSENT, name);
    }
    ck_assert_uint_eq(world_calls(w, "want n99"), 1);
    store_registry_remove(world_store(w), 0);
}
END_TEST

static unsigned seconds_till_asked(usec_t retry_after)
{
    unsigned seconds = 0;

    world_fail(w, 0, "orders", retry_after);
    while (seconds < 1000) {
        unsigned before = world_calls(w, "refresh orders");

        world_at(w, world_now(w) + SEC);
        seconds++;
        world_lookup(w, "orders.one", WIRE_IPV4);
        if (world_calls(w, "refresh orders") > before)
            break;
    }
    return seconds;
}

START_TEST(a_registry_is_not_asked_before_it_wishes)
{
    unsigned seconds;

    world_lookup(w, "orders.one", WIRE_IPV4);
    world_data(w, 0, "orders", "10.0.0.1", 1 * SEC, 0);
    world_at(w, 1010 * SEC);
    world_lookup(w, "orders.one", WIRE_IPV4);
    seconds = seconds_till_asked(120 * SEC);
    ck_assert_uint_ge(seconds, 120);
    ck_assert_uint_le(seconds, 122);
    for (unsigned i = 0; i < 10; i++) {
        seconds = seconds_till_asked(0);
        ck_assert_uint_le(seconds, 38);
    }
    ck_assert_uint_ge(seconds, 30);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("resolver");

    UNIT_CASE_FIXTURE(suite, "waiting", set_up, tear_down, the_first_lookup_waits_for_the_registry,
                      a_silent_registry_is_undecided_after_the_timeout_never_absent,
                      nobody_waits_for_a_registry_that_is_known_to_be_down,
                      a_failure_of_one_key_ends_its_wait);
    UNIT_CASE_FIXTURE(suite, "answers", set_up, tear_down, a_change_is_in_the_next_lookup,
                      unhealthy_endpoints_are_not_handed_out, tags_share_the_watch_of_their_service,
                      families_are_told_apart, grammar_decides_what_cannot_exist);
    UNIT_CASE_FIXTURE(suite, "time", set_up, tear_down,
                      after_a_sleep_a_watch_is_believed_once_the_registry_says_so,
                      a_sleep_longer_than_the_stale_limit_leaves_nothing_to_serve,
                      a_sleep_changes_nothing_for_a_registry_that_was_down,
                      stale_answers_outlive_the_registry_but_not_for_ever,
                      an_absence_is_told_for_five_seconds_after_the_registry_is_lost,
                      a_ttl_that_runs_out_is_refreshed_before_and_waited_for_briefly_after,
                      a_registry_that_fails_is_asked_again_with_growing_pauses,
                      suspect_data_takes_nothing_away, suspect_data_is_better_than_an_absence,
                      losing_the_registry_twice_makes_nothing_younger,
                      what_came_while_the_registry_was_down_is_lost_with_it,
                      a_patience_beyond_the_timeout_does_not_put_off_the_answer,
                      whoever_has_less_patience_after_a_reload_is_answered_before_those_who_wait,
                      so_many_lookups_may_wait_and_one_more_is_undecided_at_once,
                      only_a_name_that_nobody_asked_for_is_learned,
                      a_short_name_is_learned_unless_one_of_its_names_has_addresses);
    UNIT_CASE_FIXTURE(suite, "chase", set_up, tear_down, host_names_of_endpoints_are_chased,
                      a_chased_name_may_not_lead_to_the_loopback,
                      an_alias_has_the_canonical_name_of_its_end,
                      an_alias_to_an_owned_name_follows_its_changes, a_loop_of_aliases_ends);
    UNIT_CASE_FIXTURE(suite, "search", set_up, tear_down, the_first_candidate_that_exists_wins,
                      a_short_name_that_no_registry_knows_stays_whole,
                      an_undecided_candidate_counts_only_if_it_was_known_before);
    UNIT_CASE_FIXTURE(suite, "private", set_up, tear_down,
                      what_is_private_is_absent_at_once_to_those_who_may_not_have_it,
                      what_leads_to_a_private_name_is_as_private,
                      a_private_name_is_no_name_of_an_address_to_those_who_may_not_have_it);
    UNIT_CASE_FIXTURE(suite, "restored", set_up, tear_down,
                      what_an_earlier_run_knew_waits_a_moment_for_a_registry_that_may_know_better,
                      what_an_earlier_run_knew_is_told_when_the_registry_takes_too_long,
                      what_an_earlier_run_knew_is_told_at_once_where_the_registry_is_down,
                      what_an_earlier_run_knew_is_as_old_as_it_was_then,
                      what_is_known_of_this_run_is_not_restored_over,
                      of_two_memories_the_one_that_was_confirmed_later_counts,
                      a_protection_does_not_begin_anew_with_the_daemon,
                      a_protection_ends_while_the_registry_or_the_daemon_is_down,
                      what_another_cluster_knew_is_forgotten_unless_this_one_confirmed_it,
                      nothing_known_is_given_up_while_its_registry_is_down);
    UNIT_CASE_FIXTURE(
        suite, "protected", set_up, tear_down, a_sudden_emptiness_is_held_off_where_that_is_wished,
        what_the_registry_names_is_not_protected,
        an_instance_that_suspect_data_calls_failing_is_out, an_alias_is_no_worse_for_suspect_data);
    UNIT_CASE_FIXTURE(suite, "rules", set_up, tear_down,
                      a_service_has_the_rules_of_the_last_file_whatever_name_came_first,
                      a_reload_takes_rules_back_and_puts_others_in_force_at_once,
                      a_least_ttl_of_a_service_beats_the_greatest_one_of_its_registry);
    UNIT_CASE_FIXTURE(suite, "asking", set_up, tear_down, a_herd_on_expiry_costs_one_fetch,
                      fetches_wait_for_their_turn_and_refreshes_do_not_starve,
                      a_registry_is_not_asked_before_it_wishes);
    UNIT_CASE_FIXTURE(suite, "told", set_up, tear_down, an_outage_is_told_once_in_each_of_its_steps,
                      a_healthy_store_needs_no_wake_up,
                      what_a_reload_makes_fresh_again_is_not_looked_at_all_the_time,
                      suspicion_is_told_when_it_begins,
                      what_is_known_is_said_to_have_changed_when_it_did);
    UNIT_CASE_FIXTURE(suite, "bounds", set_up, tear_down, random_names_do_not_push_out_live_ones,
                      interest_makes_no_name_known_and_costs_little,
                      names_that_nobody_has_leave_room_for_those_that_somebody_has,
                      instances_at_each_others_names_cost_a_bounded_time,
                      a_service_that_nobody_asks_for_is_dropped);
    return suite;
}

UNIT_MAIN(make_suite)
