/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When a program has to think that it did not run (daemon/sleep_watch.h). */
#include "daemon/sleep_watch.h"
#include "tests/unit/unit.h"

#define SECONDS *USEC_PER_SEC

/* Both clocks go on by so much between two looks; what the second one says. */
static usec_t look_after(usec_t boottime, usec_t monotonic)
{
    struct sleep_watch watch = {0};

    ck_assert_uint_eq(sleep_watch_look(&watch, 5000 SECONDS, 100 SECONDS), 0);
    return sleep_watch_look(&watch, 5000 SECONDS + boottime, 100 SECONDS + monotonic);
}

START_TEST(a_second_is_a_second)
{
    ck_assert_uint_eq(look_after(1 SECONDS, 1 SECONDS), 0);
    ck_assert_uint_eq(look_after(1 SECONDS, 1 SECONDS - 1), 0);
}
END_TEST

START_TEST(a_busy_machine_is_no_sleep)
{
    ck_assert_uint_eq(look_after(29 SECONDS, 29 SECONDS), 0);
}
END_TEST

START_TEST(a_suspended_machine_slept_since_the_look_before)
{
    ck_assert_uint_eq(look_after(8 * 3600 SECONDS, 1 SECONDS), 5000 SECONDS);
    ck_assert_uint_eq(look_after(3 SECONDS, 1 SECONDS), 5000 SECONDS);
}
END_TEST

START_TEST(a_frozen_daemon_slept_too)
{
    ck_assert_uint_eq(look_after(30 SECONDS, 30 SECONDS), 5000 SECONDS);
}
END_TEST

START_TEST(a_sleep_is_told_once)
{
    struct sleep_watch watch = {0};

    sleep_watch_look(&watch, 5000 SECONDS, 100 SECONDS);
    ck_assert_uint_ne(sleep_watch_look(&watch, 9000 SECONDS, 101 SECONDS), 0);
    ck_assert_uint_eq(sleep_watch_look(&watch, 9001 SECONDS, 102 SECONDS), 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("sleep_watch");

    UNIT_CASE(suite, "sleep", a_second_is_a_second, a_busy_machine_is_no_sleep,
              a_suspended_machine_slept_since_the_look_before, a_frozen_daemon_slept_too,
              a_sleep_is_told_once);
    return suite;
}

UNIT_MAIN(make_suite)
