/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Timers that share an instant, on a real loop: their order, their turns, and what those that fire
 * do to the others. */
#include <systemd/sd-event.h>

#include "daemon/env_timers.h"
#include "tests/unit/unit.h"

enum { TIMERS = 100 };

static sd_event *event;
static struct env_timers timers;

/* What fired, in order, and in which turn of the loop. */
static struct env_timer timer[TIMERS];
static size_t fired[2 * TIMERS], count;
static uint64_t turn[2 * TIMERS];
static void (*then)(size_t which);

static void fire(struct env_timer *which)
{
    ck_assert_ptr_null(which->impl);
    ck_assert_uint_lt(count, ELEMENTS(fired));
    fired[count] = (size_t)(which - timer);
    ck_assert_int_ge(sd_event_get_iteration(event, &turn[count]), 0);
    count++;
    if (then)
        then((size_t)(which - timer));
}

static void begin(void)
{
    timers = (struct env_timers){0};
    ck_assert_int_ge(sd_event_new(&timers.event), 0);
    event = timers.event;
    for (size_t i = 0; i < TIMERS; i++)
        timer[i] = (struct env_timer){.fire = fire};
    count = 0;
    then = NULL;
}

static void set(size_t which, usec_t at)
{
    ck_assert_int_eq(env_timers_set(&timers, &timer[which], at), 0);
}

/* Runs the loop until nothing is due at once. */
static void run(void)
{
    while (sd_event_run(event, 0) > 0)
        ;
}

static void end(void)
{
    ck_assert(!env_timers_end(&timers));
    sd_event_unref(event);
}

START_TEST(all_of_an_instant_fire_in_order_in_few_turns)
{
    size_t in_first = 1;

    begin();
    for (size_t i = 0; i < TIMERS; i++)
        set(i, 1);
    run();
    ck_assert_uint_eq(count, TIMERS);
    for (size_t i = 0; i < TIMERS; i++)
        ck_assert_uint_eq(fired[i], i);
    while (turn[in_first] == turn[0])
        in_first++;
    ck_assert_uint_ge(in_first, 10);
    ck_assert_uint_lt(in_first, TIMERS);
    end();
}
END_TEST

START_TEST(what_is_deferred_takes_turns)
{
    begin();
    for (size_t i = 0; i < 3; i++)
        set(i, 0);
    run();
    ck_assert_uint_eq(count, 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_eq(fired[i], i);
    ck_assert_uint_lt(turn[0], turn[1]);
    ck_assert_uint_lt(turn[1], turn[2]);
    end();
}
END_TEST

START_TEST(a_timer_moves_from_instant_to_instant)
{
    begin();
    set(0, 1);
    set(1, 1);
    set(0, USEC_INFINITY - 1);
    set(2, USEC_INFINITY - 1);
    set(0, USEC_INFINITY - 1);
    run();
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(fired[0], 1);
    ck_assert_ptr_nonnull(timer[0].impl);
    set(0, 1);
    env_timers_off(&timers, &timer[2]);
    env_timers_off(&timers, &timer[2]);
    run();
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(fired[1], 0);
    end();
}
END_TEST

static void switch_off_the_next(size_t which)
{
    if (which % 2 == 0 && which + 1 < TIMERS)
        env_timers_off(&timers, &timer[which + 1]);
}

START_TEST(one_that_is_switched_off_by_another_does_not_fire)
{
    begin();
    then = switch_off_the_next;
    for (size_t i = 0; i < TIMERS; i++)
        set(i, 1);
    run();
    ck_assert_uint_eq(count, TIMERS / 2);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq(fired[i], 2 * i);
    end();
}
END_TEST

static void set_anew(size_t which)
{
    if (which < 2 && count <= 2)
        set(which, 1);
}

START_TEST(one_that_is_set_anew_fires_in_a_later_turn)
{
    begin();
    then = set_anew;
    set(0, 1);
    set(1, 1);
    run();
    ck_assert_uint_eq(count, 4);
    ck_assert_uint_eq(turn[0], turn[1]);
    ck_assert_uint_gt(turn[2], turn[1]);
    end();
}
END_TEST

START_TEST(those_that_are_left_are_switched_off)
{
    begin();
    set(0, 1);
    set(1, USEC_INFINITY - 1);
    set(2, USEC_INFINITY - 1);
    ck_assert(env_timers_end(&timers));
    for (size_t i = 0; i < 3; i++)
        ck_assert_ptr_null(timer[i].impl);
    run();
    ck_assert_uint_eq(count, 0);
    end();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("env_timers");

    UNIT_CASE(suite, "order", all_of_an_instant_fire_in_order_in_few_turns,
              what_is_deferred_takes_turns, a_timer_moves_from_instant_to_instant);
    UNIT_CASE(suite, "changes", one_that_is_switched_off_by_another_does_not_fire,
              one_that_is_set_anew_fires_in_a_later_turn, those_that_are_left_are_switched_off);
    return suite;
}

UNIT_MAIN(make_suite)
