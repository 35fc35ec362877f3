/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From freshness to slots (daemon/publisher.h), judged by the reader's own rule
 * (view_slot_serve()): what a program gets as time passes, with the daemon alive and dead.
 */
#include "daemon/publisher.h"
#include "tests/unit/unit.h"

#define SEC USEC_PER_SEC
#define NOW (1000 * SEC)

static struct evaluation found(void)
{
    struct evaluation evaluation = {0};

    evaluation_reset(&evaluation);
    evaluation.status4 = ANSWER_FOUND;
    evaluation.status6 = ANSWER_NO_DATA;
    evaluation.sources = 1;
    evaluation.proven = true;
    evaluation.confirmed_at = NOW;
    evaluation.stale_until = NOW + 3600 * SEC;
    return evaluation;
}

/* What a reader does at `seconds` after NOW. */
static enum view_serve serve(const struct evaluation *evaluation, const struct view_clock *clock,
                             bool live, unsigned seconds)
{
    struct answer_head head = {.count4 = evaluation->status4 == ANSWER_FOUND};
    uint32_t heartbeat = ticks_from_usec(live ? NOW + seconds * SEC : NOW);

    publisher_set_times(evaluation, NOW + 900 * SEC, NOW, &head);
    return view_slot_serve(&head, head.clock == ANSWER_CLOCK_NONE ? NULL : clock, live, heartbeat,
                           ticks_from_usec(NOW + seconds * SEC));
}

START_TEST(a_live_watch_is_served_as_long_as_its_clock_lives)
{
    struct evaluation evaluation = found();
    struct view_clock live = {.state = VIEW_CLOCK_LIVE};
    struct view_clock lost = {.state = VIEW_CLOCK_LOST, .confirmed_at = ticks_from_usec(NOW)};

    evaluation.live = true;
    evaluation.live_registry = 3;
    evaluation.max_stale = 3600 * SEC;
    ck_assert_int_eq(serve(&evaluation, &live, true, 1000000), VIEW_SERVE_NOW);
    ck_assert_int_eq(serve(&evaluation, &lost, true, 3599), VIEW_SERVE_NOW);
    ck_assert_int_eq(serve(&evaluation, &lost, true, 3600), VIEW_SERVE_NEVER);
    ck_assert_int_eq(serve(&evaluation, &live, false, 3599), VIEW_SERVE_NOW);
    ck_assert_int_eq(serve(&evaluation, &live, false, 3600), VIEW_SERVE_NEVER);
}
END_TEST

START_TEST(a_watch_without_stale_limit_is_served_for_ever)
{
    struct evaluation evaluation = found();
    struct view_clock lost = {.state = VIEW_CLOCK_LOST, .confirmed_at = ticks_from_usec(NOW)};

    evaluation.live = true;
    evaluation.max_stale = USEC_INFINITY;
    ck_assert_int_eq(serve(&evaluation, &lost, false, 100000000), VIEW_SERVE_NOW);
}
END_TEST

START_TEST(a_stale_limit_of_decades_is_no_short_one)
{
    const usec_t year = 365 * 86400 * SEC;
    struct evaluation evaluation = found();
    struct view_clock lost = {.state = VIEW_CLOCK_LOST, .confirmed_at = ticks_from_usec(NOW)};

    evaluation.live = true;
    for (unsigned years = 1; years < 60; years++) {
        evaluation.max_stale = years * year;
        ck_assert_int_eq(serve(&evaluation, &lost, true, 300 * 86400), VIEW_SERVE_NOW);
    }
}
END_TEST

START_TEST(a_ttl_is_served_while_fresh_then_only_if_the_daemon_cannot_do_better)
{
    struct evaluation evaluation = found();

    evaluation.fresh_until = NOW + 30 * SEC;
    ck_assert_int_eq(serve(&evaluation, NULL, true, 29), VIEW_SERVE_NOW);
    ck_assert_int_eq(serve(&evaluation, NULL, true, 30), VIEW_SERVE_LAST);
    ck_assert_int_eq(serve(&evaluation, NULL, false, 30), VIEW_SERVE_NOW);
    ck_assert_int_eq(serve(&evaluation, NULL, false, 3600), VIEW_SERVE_NEVER);
}
END_TEST

START_TEST(stale_data_is_served_at_once_until_the_registry_is_asked_again)
{
    struct evaluation evaluation = found();

    evaluation.stale = true;
    evaluation.fresh_until = NOW - SEC;
    evaluation.ask_at = NOW + 8 * SEC;
    ck_assert_int_eq(serve(&evaluation, NULL, true, 7), VIEW_SERVE_NOW);
    ck_assert_int_eq(serve(&evaluation, NULL, true, 8), VIEW_SERVE_LAST);
    evaluation.ask_at = USEC_INFINITY;
    ck_assert_int_eq(serve(&evaluation, NULL, true, 3599), VIEW_SERVE_NOW);
    ck_assert_int_eq(serve(&evaluation, NULL, true, 3600), VIEW_SERVE_NEVER);
}
END_TEST

START_TEST(an_absence_is_told_only_while_the_daemon_lives)
{
    struct evaluation evaluation = found();
    struct view_clock live = {.state = VIEW_CLOCK_LIVE}, lost = {.state = VIEW_CLOCK_LOST};

    evaluation.status4 = evaluation.status6 = ANSWER_ABSENT;
    evaluation.fresh_until = NOW + 5 * SEC;
    ck_assert_int_eq(serve(&evaluation, NULL, true, 4), VIEW_SERVE_NOW);
    ck_assert_int_eq(serve(&evaluation, NULL, true, 5), VIEW_SERVE_NEVER);
    ck_assert_int_eq(serve(&evaluation, NULL, false, 4), VIEW_SERVE_NEVER);
    evaluation.live = true;
    ck_assert_int_eq(serve(&evaluation, &live, true, 1000), VIEW_SERVE_NOW);
    ck_assert_int_eq(serve(&evaluation, &lost, true, 1), VIEW_SERVE_NEVER);
}
END_TEST

START_TEST(only_what_is_certain_changes_the_view)
{
    struct evaluation evaluation = found();

    ck_assert_int_eq(publisher_action(&evaluation), PUBLISHER_PUBLISH);
    evaluation.pending6 = true;
    ck_assert_int_eq(publisher_action(&evaluation), PUBLISHER_LEAVE);
    evaluation.answered = true; /* and what stands is ours, and may be wrong now */
    ck_assert_int_eq(publisher_action(&evaluation), PUBLISHER_PUBLISH);
    evaluation.status4 = ANSWER_UNDECIDED;
    ck_assert_int_eq(publisher_action(&evaluation), PUBLISHER_WITHDRAW);
    evaluation.status4 = ANSWER_FOUND;
    evaluation.answered = evaluation.pending6 = false;
    evaluation.status4 = ANSWER_UNDECIDED;
    ck_assert_int_eq(publisher_action(&evaluation), PUBLISHER_WITHDRAW);
    /* Carried over from an earlier daemon, not known to this one yet. */
    evaluation.proven = false;
    ck_assert_int_eq(publisher_action(&evaluation), PUBLISHER_LEAVE);
    evaluation.status4 = evaluation.status6 = ANSWER_ABSENT;
    ck_assert_int_eq(publisher_action(&evaluation), PUBLISHER_WITHDRAW); /* for how long? */
    evaluation.live = true;
    ck_assert_int_eq(publisher_action(&evaluation), PUBLISHER_PUBLISH);
    evaluation.live = false;
    evaluation.fresh_until = NOW + 5 * SEC;
    ck_assert_int_eq(publisher_action(&evaluation), PUBLISHER_PUBLISH);
    evaluation.sources = 0;
    ck_assert_int_eq(publisher_action(&evaluation), PUBLISHER_WITHDRAW);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("publisher");

    UNIT_CASE(suite, "times", a_live_watch_is_served_as_long_as_its_clock_lives,
              a_watch_without_stale_limit_is_served_for_ever,
              a_stale_limit_of_decades_is_no_short_one,
              a_ttl_is_served_while_fresh_then_only_if_the_daemon_cannot_do_better,
              stale_data_is_served_at_once_until_the_registry_is_asked_again,
              an_absence_is_told_only_while_the_daemon_lives);
    UNIT_CASE(suite, "actions", only_what_is_certain_changes_the_view);
    return suite;
}

UNIT_MAIN(make_suite)
