/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How far knowledge can be trusted as time passes (daemon/freshness.h). */
#include "daemon/freshness.h"
#include "tests/unit/unit.h"

#define SEC USEC_PER_SEC

static const struct freshness_rules rules = {
    .min_ttl = 1 * SEC,
    .max_ttl = 60 * SEC,
    .negative_ttl = 5 * SEC,
    .max_stale = 3600 * SEC,
    .empty_hold = 180 * SEC,
};

static struct freshness_clock live_clock(void)
{
    struct freshness_clock clock = {0};

    freshness_clock_live(&clock);
    return clock;
}

static enum freshness_state at(const struct freshness *freshness,
                               const struct freshness_clock *clock, usec_t seconds)
{
    return freshness_state(freshness, &rules, clock, seconds * SEC);
}

START_TEST(nothing_learned_is_unknown_for_ever)
{
    struct freshness_clock clock = live_clock();
    struct freshness freshness = {0};

    ck_assert_int_eq(at(&freshness, &clock, 1), FRESHNESS_UNKNOWN);
    freshness_failed(&freshness, &clock, 2 * SEC);
    ck_assert_int_eq(at(&freshness, &clock, 100000), FRESHNESS_UNKNOWN);
}
END_TEST

START_TEST(a_watch_stays_fresh_without_news_until_it_is_lost)
{
    struct freshness_clock clock = live_clock();
    struct freshness freshness = {0};

    freshness_data(&freshness, &rules, &clock, false, USEC_INFINITY, 10 * SEC);
    ck_assert_int_eq(at(&freshness, &clock, 1000000), FRESHNESS_FRESH);
    ck_assert_uint_eq(freshness_confirmed_at(&freshness, &clock, 77 * SEC), 77 * SEC);
    freshness_clock_lost(&clock, 100 * SEC);
    ck_assert_int_eq(at(&freshness, &clock, 100), FRESHNESS_STALE);
    ck_assert_uint_eq(freshness_confirmed_at(&freshness, &clock, 500 * SEC), 100 * SEC);
    ck_assert_int_eq(at(&freshness, &clock, 100 + 3599), FRESHNESS_STALE);
    ck_assert_int_eq(at(&freshness, &clock, 100 + 3600), FRESHNESS_EXPIRED);
}
END_TEST

START_TEST(a_new_connection_does_not_confirm_what_the_old_one_said)
{
    struct freshness_clock clock = live_clock();
    struct freshness freshness = {0};

    freshness_data(&freshness, &rules, &clock, false, USEC_INFINITY, 10 * SEC);
    freshness_clock_lost(&clock, 100 * SEC);
    freshness_clock_live(&clock);
    ck_assert_int_eq(at(&freshness, &clock, 101), FRESHNESS_STALE);
    freshness_data(&freshness, &rules, &clock, false, USEC_INFINITY, 102 * SEC);
    ck_assert_int_eq(at(&freshness, &clock, 5000), FRESHNESS_FRESH);
}
END_TEST

START_TEST(a_ttl_is_clamped_both_ways)
{
    struct freshness_clock clock = live_clock();
    struct freshness freshness = {0};

    freshness_data(&freshness, &rules, &clock, false, 0, 0);
    ck_assert_int_eq(freshness_state(&freshness, &rules, &clock, SEC - 1), FRESHNESS_FRESH);
    ck_assert_int_eq(at(&freshness, &clock, 1), FRESHNESS_STALE);
    freshness_data(&freshness, &rules, &clock, false, 3600 * SEC, 0);
    ck_assert_int_eq(at(&freshness, &clock, 59), FRESHNESS_FRESH);
    ck_assert_int_eq(at(&freshness, &clock, 60), FRESHNESS_STALE);
}
END_TEST

START_TEST(a_failure_keeps_data_and_starts_its_stale_clock)
{
    struct freshness_clock clock = live_clock();
    struct freshness freshness = {0};

    freshness_data(&freshness, &rules, &clock, false, USEC_INFINITY, 0);
    freshness_failed(&freshness, &clock, 50 * SEC);
    ck_assert_int_eq(at(&freshness, &clock, 51), FRESHNESS_STALE);
    /* Failing again does not make it younger. */
    freshness_failed(&freshness, &clock, 3000 * SEC);
    ck_assert_int_eq(at(&freshness, &clock, 50 + 3600), FRESHNESS_EXPIRED);
}
END_TEST

START_TEST(an_absence_has_no_stale_life)
{
    struct freshness_clock clock = live_clock();
    struct freshness freshness = {0};

    freshness_absent(&freshness, &rules, &clock, USEC_INFINITY, 0);
    ck_assert_int_eq(at(&freshness, &clock, 9999), FRESHNESS_ABSENT);
    freshness_clock_lost(&clock, 10000 * SEC);
    ck_assert_int_eq(at(&freshness, &clock, 10004), FRESHNESS_ABSENT);
    ck_assert_int_eq(at(&freshness, &clock, 10005), FRESHNESS_UNKNOWN);

    freshness_absent(&freshness, &rules, &clock, 600 * SEC, 20000 * SEC);
    ck_assert_int_eq(at(&freshness, &clock, 20004), FRESHNESS_ABSENT);
    ck_assert_int_eq(at(&freshness, &clock, 20005), FRESHNESS_UNKNOWN);
}
END_TEST

START_TEST(an_absence_or_emptiness_replaces_data_at_once)
{
    struct freshness_clock clock = live_clock();
    struct freshness freshness = {0};

    freshness_data(&freshness, &rules, &clock, false, USEC_INFINITY, 0);
    freshness_data(&freshness, &rules, &clock, true, USEC_INFINITY, SEC);
    ck_assert_int_eq(at(&freshness, &clock, 1), FRESHNESS_EMPTY);
    freshness_absent(&freshness, &rules, &clock, USEC_INFINITY, 2 * SEC);
    ck_assert_int_eq(at(&freshness, &clock, 2), FRESHNESS_ABSENT);
}
END_TEST

START_TEST(suspect_data_is_stale_and_held_for_its_time_only)
{
    struct freshness_clock clock = live_clock();
    struct freshness freshness = {0};

    freshness_data(&freshness, &rules, &clock, false, USEC_INFINITY, 0);
    freshness_suspect(&freshness, &rules, &clock, false, 100 * SEC);
    ck_assert_int_eq(at(&freshness, &clock, 100), FRESHNESS_STALE);
    /* Saying it again does not lengthen the hold. */
    freshness_suspect(&freshness, &rules, &clock, false, 200 * SEC);
    ck_assert_int_eq(at(&freshness, &clock, 279), FRESHNESS_STALE);
    ck_assert_int_eq(at(&freshness, &clock, 280), FRESHNESS_EXPIRED);
    freshness_data(&freshness, &rules, &clock, false, USEC_INFINITY, 300 * SEC);
    ck_assert_int_eq(at(&freshness, &clock, 9999), FRESHNESS_FRESH);
}
END_TEST

START_TEST(until_says_when_the_state_ends)
{
    struct freshness_clock clock = live_clock();
    struct freshness freshness = {0};

    freshness_data(&freshness, &rules, &clock, false, 30 * SEC, 0);
    ck_assert_uint_eq(freshness_until(&freshness, &rules, &clock, SEC), 30 * SEC);
    ck_assert_uint_eq(freshness_until(&freshness, &rules, &clock, 31 * SEC), 3600 * SEC);
    freshness_data(&freshness, &rules, &clock, false, USEC_INFINITY, 0);
    ck_assert_uint_eq(freshness_until(&freshness, &rules, &clock, SEC), USEC_INFINITY);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("freshness");

    UNIT_CASE(suite, "states", nothing_learned_is_unknown_for_ever,
              a_watch_stays_fresh_without_news_until_it_is_lost,
              a_new_connection_does_not_confirm_what_the_old_one_said, a_ttl_is_clamped_both_ways,
              a_failure_keeps_data_and_starts_its_stale_clock, an_absence_has_no_stale_life,
              an_absence_or_emptiness_replaces_data_at_once,
              suspect_data_is_stale_and_held_for_its_time_only, until_says_when_the_state_ends);
    return suite;
}

UNIT_MAIN(make_suite)
