/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stories of selection, from a registry's report to what a lookup draws from: the published cases
 * of gRPC's interoperability tests (locality, fail-over, traffic splitting) as an unmodified
 * program meets them, and those of zones and panic. The rules one by one: tests/unit/test_policy.c.
 */
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

/* What the registry says of "orders" from now on. */
static void say(const char *endpoints)
{
    world_data(w, 0, "orders", endpoints, REPORT_UNTIL_LOST, 0);
}

/* Who is drawn by "orders.one", each with its percent. */
static const char *shares(void)
{
    return seen_shares(world_lookup(w, "orders.one", WIRE_IPV4));
}

static const char *answer(void)
{
    return world_ask(w, "orders.one", WIRE_IPV4);
}

/* ---- gRPC's cases ---- */

/* ping_pong, round_robin: all get the same. */
START_TEST(equal_backends_share_equally)
{
    answer();
    say("10.0.0.1 10.0.0.2");
    ck_assert_str_eq(shares(), "10.0.0.1=50 10.0.0.2=50");
}
END_TEST

/* backends_restart: they go, and come back. */
START_TEST(backends_that_restart_come_back)
{
    answer();
    say("10.0.0.1 10.0.0.2");
    say("");
    ck_assert_str_eq(answer(), "no-data");
    say("10.0.0.1 10.0.0.2");
    ck_assert_str_eq(shares(), "10.0.0.1=50 10.0.0.2=50");
}
END_TEST

/* change_backend_service: all traffic goes to the new ones. */
START_TEST(a_change_of_backends_moves_all_traffic)
{
    answer();
    say("10.0.0.1 10.0.0.2");
    say("10.0.1.1 10.0.1.2");
    ck_assert_str_eq(shares(), "10.0.1.1=50 10.0.1.2=50");
}
END_TEST

/* secondary_locality_gets_no_requests_on_partial_primary_failure */
START_TEST(the_secondary_locality_gets_nothing_on_a_partial_failure_of_the_primary)
{
    answer();
    say("10.0.0.1 10.0.0.2 10.0.1.1/p=1 10.0.1.2/p=1");
    ck_assert_str_eq(shares(), "10.0.0.1=50 10.0.0.2=50");
    say("10.0.0.1/critical 10.0.0.2 10.0.1.1/p=1 10.0.1.2/p=1");
    ck_assert_str_eq(shares(), "10.0.0.2=100");
    ck_assert_str_eq(answer(), "found 10.0.0.2");
}
END_TEST

/* secondary_locality_gets_requests_on_primary_failure */
START_TEST(the_secondary_locality_gets_all_once_the_primary_has_failed)
{
    answer();
    say("10.0.0.1/critical 10.0.0.2/critical 10.0.1.1/p=1 10.0.1.2/p=1");
    ck_assert_str_eq(shares(), "10.0.1.1=50 10.0.1.2=50");
    say("10.0.0.1/critical 10.0.0.2 10.0.1.1/p=1 10.0.1.2/p=1");
    ck_assert_str_eq(shares(), "10.0.0.2=100");
}
END_TEST

/* remove_instance_group: what is left gets all; the locality is then another zone. */
START_TEST(a_locality_that_was_removed_leaves_all_to_the_other)
{
    world_selection(w, "a");
    answer();
    say("10.0.0.1/z=a 10.0.0.2/z=a 10.0.1.1/z=b 10.0.1.2/z=b");
    ck_assert_str_eq(shares(), "10.0.0.1=50 10.0.0.2=50");
    say("10.0.1.1/z=b 10.0.1.2/z=b");
    ck_assert_str_eq(shares(), "10.0.1.1=50 10.0.1.2=50");
}
END_TEST

/* traffic_splitting: 20 % and 80 %, whoever is behind each half. */
START_TEST(traffic_is_split_by_weight)
{
    answer();
    say("10.0.0.1/w=20 10.0.1.1/w=80");
    ck_assert_str_eq(shares(), "10.0.0.1=20 10.0.1.1=80");
    say("10.0.0.1/w=10 10.0.0.2/w=10 10.0.1.1/w=40 10.0.1.2/w=40");
    ck_assert_str_eq(shares(), "10.0.0.1=10 10.0.0.2=10 10.0.1.1=40 10.0.1.2=40");
    /* Far beyond what a record can hold. */
    say("10.0.0.1/w=200000000 10.0.1.1/w=800000000");
    ck_assert_str_eq(shares(), "10.0.0.1=20 10.0.1.1=80");
}
END_TEST

START_TEST(an_address_that_two_have_comes_once_with_both_weights)
{
    answer();
    say("10.0.0.1,10.0.0.3/w=1 10.0.0.1/w=3 10.0.0.2/w=4");
    ck_assert_str_eq(answer(), "found 10.0.0.1 10.0.0.2 10.0.0.3");
}
END_TEST

/* ---- zones ---- */

START_TEST(a_zone_that_dies_spills_and_gets_its_own_back)
{
    world_selection(w, "a");
    answer();
    say("10.0.0.1/z=a 10.0.0.2/z=a 10.0.1.1/z=b 10.0.2.1/z=c");
    ck_assert_str_eq(answer(), "found 10.0.0.1 10.0.0.2");
    say("10.0.0.1/z=a 10.0.0.2/z=a/critical 10.0.1.1/z=b 10.0.2.1/z=c");
    ck_assert_str_eq(answer(), "found 10.0.0.1 10.0.1.1 10.0.2.1");
    say("10.0.0.1/z=a/critical 10.0.0.2/z=a/critical 10.0.1.1/z=b 10.0.2.1/z=c");
    ck_assert_str_eq(answer(), "found 10.0.1.1 10.0.2.1");
    say("10.0.0.1/z=a 10.0.0.2/z=a 10.0.1.1/z=b 10.0.2.1/z=c");
    ck_assert_str_eq(answer(), "found 10.0.0.1 10.0.0.2");
}
END_TEST

START_TEST(a_host_that_learns_its_zone_later_gets_other_answers)
{
    answer();
    say("10.0.0.1/z=a 10.0.0.2/z=a 10.0.1.1/z=b");
    ck_assert_str_eq(answer(), "found 10.0.0.1 10.0.0.2 10.0.1.1");
    world_selection(w, "a");
    resolver_run(world_resolver(w), world_now(w));
    ck_assert_str_eq(answer(), "found 10.0.0.1 10.0.0.2");
}
END_TEST

START_TEST(a_strict_zone_without_anybody_is_no_data_even_where_empty_is_absent)
{
    world_selection(w, "a")->zone = POLICY_ZONE_STRICT;
    answer();
    world_data(w, 0, "orders", "10.0.1.1/z=b", REPORT_UNTIL_LOST, REPORT_EMPTY_IS_ABSENT);
    ck_assert_str_eq(answer(), "no-data");
}
END_TEST

START_TEST(a_headless_name_has_the_endpoints_of_all_zones)
{
    world_selection(w, "a");
    answer();
    world_data(w, 0, "orders", "10.0.0.1/z=a 10.0.0.2/z=a 10.0.1.1/z=b", REPORT_UNTIL_LOST,
               REPORT_ALL_ANSWERS);
    ck_assert_str_eq(answer(), "found 10.0.0.1 10.0.0.2 10.0.1.1");
}
END_TEST

/* ---- panic, picks ---- */

START_TEST(a_panic_begins_and_ends_with_the_share_of_the_healthy)
{
    world_selection(w, NULL)->min_healthy_percent = 50;
    answer();
    say("10.0.0.1 10.0.0.2 10.0.0.3/critical");
    ck_assert_str_eq(answer(), "found 10.0.0.1 10.0.0.2");
    say("10.0.0.1 10.0.0.2/critical 10.0.0.3/critical");
    ck_assert_str_eq(answer(), "found 10.0.0.1 10.0.0.2 10.0.0.3");
    /* Who is removed is gone, panic or not. */
    say("10.0.0.1 10.0.0.3/critical");
    ck_assert_str_eq(answer(), "found 10.0.0.1");
}
END_TEST

START_TEST(the_first_is_used_till_it_fails)
{
    world_selection(w, NULL)->pick = POLICY_PICK_FIRST;
    answer();
    say("10.0.0.1 10.0.0.2 10.0.0.3");
    ck_assert_str_eq(shares(), "10.0.0.1=100");
    ck_assert_str_eq(answer(), "found 10.0.0.1 10.0.0.2 10.0.0.3");
    say("10.0.0.1/critical 10.0.0.2 10.0.0.3");
    ck_assert_str_eq(shares(), "10.0.0.2=100");
}
END_TEST

START_TEST(by_hash_the_winner_stays_while_others_come_and_go)
{
    char winner[64];

    world_selection(w, NULL)->pick = POLICY_PICK_HASH;
    answer();
    say("10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4");
    snprintf(winner, sizeof(winner), "%s", shares());
    ck_assert_ptr_nonnull(strstr(winner, "=100"));
    for (unsigned gone = 1; gone <= 4; gone++) {
        char text[128] = "", one[32];

        for (unsigned i = 1; i <= 4; i++) {
            snprintf(one, sizeof(one), "10.0.0.%u%s ", i, i == gone ? "/critical" : "");
            strcat(text, one);
        }
        say(text);
        snprintf(one, sizeof(one), "10.0.0.%u=100", gone);
        ck_assert_int_eq(streq(shares(), winner), !streq(one, winner));
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("selection");

    UNIT_CASE_FIXTURE(suite, "grpc", set_up, tear_down, equal_backends_share_equally,
                      backends_that_restart_come_back, a_change_of_backends_moves_all_traffic,
                      the_secondary_locality_gets_nothing_on_a_partial_failure_of_the_primary,
                      the_secondary_locality_gets_all_once_the_primary_has_failed,
                      a_locality_that_was_removed_leaves_all_to_the_other,
                      traffic_is_split_by_weight,
                      an_address_that_two_have_comes_once_with_both_weights);
    UNIT_CASE_FIXTURE(suite, "zone", set_up, tear_down,
                      a_zone_that_dies_spills_and_gets_its_own_back,
                      a_host_that_learns_its_zone_later_gets_other_answers,
                      a_strict_zone_without_anybody_is_no_data_even_where_empty_is_absent,
                      a_headless_name_has_the_endpoints_of_all_zones);
    UNIT_CASE_FIXTURE(
        suite, "pick", set_up, tear_down, a_panic_begins_and_ends_with_the_share_of_the_healthy,
        the_first_is_used_till_it_fails, by_hash_the_winner_stays_while_others_come_and_go);
    return suite;
}

UNIT_MAIN(make_suite)
