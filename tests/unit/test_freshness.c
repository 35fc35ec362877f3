/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How far knowledge can be trusted as time passes (daemon/freshness.h): every cell of the table,
 * the table in the documentation, and what a table cannot say.
 */
#include "daemon/freshness.h"

#include <stdio.h>

#include "tests/unit/unit.h"

#define SEC USEC_PER_SEC
#define NOW (10000 * SEC)

static const struct freshness_rules rules = {
    .min_ttl = 1 * SEC,
    .max_ttl = 60 * SEC,
    .negative_ttl = 5 * SEC,
    .max_stale = 3600 * SEC,
    .empty_hold = 180 * SEC,
};

static const struct freshness_rules protecting = {
    .min_ttl = 1 * SEC,
    .max_ttl = 60 * SEC,
    .negative_ttl = 5 * SEC,
    .max_stale = 3600 * SEC,
    .empty_hold = 180 * SEC,
    .empty_protection = 600 * SEC,
};

static void apply(struct freshness *freshness, enum freshness_event event, usec_t validity,
                  usec_t seconds)
{
    freshness_apply(freshness, &rules, event, validity, seconds * SEC);
}

static enum freshness_state at(const struct freshness *freshness, usec_t seconds)
{
    return freshness_state(freshness, &rules, seconds * SEC);
}

/* ---- every cell ---- */

enum { VARIANTS = 8 };

/* The ways in which a service can be in a state at NOW. */
static unsigned make_state(enum freshness_state state, struct freshness *variants)
{
    static const enum freshness_event events[] = {
        [FRESHNESS_EMPTY] = FRESHNESS_NOTHING, [FRESHNESS_ABSENT] = FRESHNESS_NONE_SUCH};
    static const usec_t validities[] = {USEC_INFINITY, 30 * SEC, 3600 * SEC};
    unsigned count = 0;

    memset(variants, 0, VARIANTS * sizeof(*variants));
    switch (state) {
    case FRESHNESS_UNKNOWN:
        count = 3; /* never, and since long */
        freshness_apply(&variants[1], &rules, FRESHNESS_NOTHING, 60 * SEC, NOW - 6 * SEC);
        freshness_apply(&variants[2], &rules, FRESHNESS_NONE_SUCH, USEC_INFINITY, NOW - 60 * SEC);
        freshness_apply(&variants[2], &rules, FRESHNESS_LOST, 0, NOW - 6 * SEC);
        break;
    case FRESHNESS_FRESH:
        for (; count < ELEMENTS(validities); count++)
            freshness_apply(&variants[count], &rules, FRESHNESS_DATA, validities[count], NOW - SEC);
        break;
    case FRESHNESS_STALE:
        for (; count < ELEMENTS(validities); count++) {
            freshness_apply(&variants[count], &rules, FRESHNESS_DATA, validities[count],
                            NOW - 100 * SEC);
            freshness_apply(&variants[count], &rules, FRESHNESS_FAILED, 0, NOW - 30 * SEC);
        }
        freshness_restore(&variants[count++], NOW - 1000 * SEC);
        for (unsigned event = FRESHNESS_NOTHING; event <= FRESHNESS_NONE_SUCH; event++) {
            freshness_apply(&variants[count], &rules, FRESHNESS_DATA, USEC_INFINITY,
                            NOW - 100 * SEC);
            freshness_apply(&variants[count++], &protecting, event, USEC_INFINITY, NOW - SEC);
        }
        break;
    case FRESHNESS_EXPIRED:
        freshness_restore(&variants[count++], NOW - 3600 * SEC);
        freshness_apply(&variants[count++], &rules, FRESHNESS_DATA, 7200 * SEC, NOW - 3610 * SEC);
        freshness_apply(&variants[count], &rules, FRESHNESS_DATA, USEC_INFINITY, NOW - 999 * SEC);
        freshness_apply(&variants[count++], &rules, FRESHNESS_SUSPECT, 0, NOW - 999 * SEC);
        for (unsigned event = FRESHNESS_NOTHING; event <= FRESHNESS_NONE_SUCH; event++) {
            freshness_restore(&variants[count], NOW - 3600 * SEC);
            freshness_apply(&variants[count++], &protecting, event, USEC_INFINITY, NOW - SEC);
        }
        break;
    case FRESHNESS_EMPTY:
    case FRESHNESS_ABSENT:
        freshness_apply(&variants[count++], &rules, events[state], USEC_INFINITY, NOW - SEC);
        freshness_apply(&variants[count++], &rules, events[state], 60 * SEC, NOW - SEC);
        freshness_apply(&variants[count], &rules, events[state], USEC_INFINITY, NOW - 60 * SEC);
        freshness_apply(&variants[count++], &rules, FRESHNESS_FAILED, 0, NOW - SEC);
        break;
    }
    ck_assert_uint_le(count, VARIANTS);
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(freshness_state(&variants[i], &rules, NOW), state);
    return count;
}

/* The states that follow one event in one variant, under all the rules and times that matter. */
static unsigned follow(const struct freshness *variant, enum freshness_event event)
{
    static const struct freshness_rules other_rules[] = {
        {.min_ttl = 1, .max_ttl = SEC, .negative_ttl = 1, .max_stale = 10 * SEC},
        {.min_ttl = 1, .max_ttl = 1, .negative_ttl = 1, .max_stale = 1},
        {.min_ttl = 1,
         .max_ttl = 7200 * SEC,
         .negative_ttl = 7200 * SEC,
         .max_stale = USEC_INFINITY,
         .empty_hold = 7200 * SEC,
         .empty_protection = 600 * SEC},
    };
    static const usec_t later[] = {1, 59 * SEC, 1000 * SEC, 4000 * SEC};
    const struct freshness_rules *all[] = {&rules, &protecting, &other_rules[0], &other_rules[1],
                                           &other_rules[2]};
    size_t count = event == FRESHNESS_RELOAD ? ELEMENTS(all) : 2;
    unsigned reached = 0;

    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < 2; j++) {
            struct freshness freshness = *variant;

            freshness_apply(&freshness, all[i], event, j ? USEC_INFINITY : 30 * SEC, NOW);
            reached |= 1u << freshness_state(&freshness, all[i], NOW);
        }
    for (size_t i = 0; event == FRESHNESS_TIME && i < ELEMENTS(later); i++) {
        enum freshness_state state = freshness_state(variant, &rules, NOW + later[i]);

        reached |= 1u << state;
    }
    return reached;
}

START_TEST(every_cell_of_the_table_is_what_happens)
{
    enum freshness_state state = (enum freshness_state)(_i / FRESHNESS_EVENTS);
    enum freshness_event event = (enum freshness_event)(_i % FRESHNESS_EVENTS);
    struct freshness variants[VARIANTS];
    unsigned count = make_state(state, variants), reached = 0;
    const struct freshness_move *move = freshness_move(state, event);

    for (unsigned i = 0; i < count; i++)
        reached |= follow(&variants[i], event);
    /* Data that expires within the step that time makes has been stale in between. */
    if (state == FRESHNESS_FRESH && event == FRESHNESS_TIME)
        reached &= ~(1u << FRESHNESS_EXPIRED);
    if (state == FRESHNESS_STALE && event == FRESHNESS_TIME)
        reached &= ~(1u << FRESHNESS_UNKNOWN);
    ck_assert_msg(reached == move->next, "%s, %s: %s leads to %#x, not %#x",
                  freshness_state_to_string(state), freshness_event_to_string(event),
                  freshness_action_to_string(move->action), reached, move->next);
}
END_TEST

/* ---- the table of the documentation ---- */

static void print_row(enum freshness_state state, char *row, size_t size)
{
    FILE *out = fmemopen(row, size, "w");

    fprintf(out, "| **%s** |", freshness_state_to_string(state));
    for (unsigned event = 0; event < FRESHNESS_EVENTS; event++) {
        const struct freshness_move *move = freshness_move(state, event);
        const char *comma = "";

        fprintf(out, " %s → ", freshness_action_to_string(move->action));
        for (unsigned next = 0; next < FRESHNESS_STATES; next++) {
            if (!(move->next & 1u << next))
                continue;
            fprintf(out, "%s%s", comma, freshness_state_to_string(next));
            comma = ", ";
        }
        fprintf(out, " |");
    }
    fclose(out);
}

static void print_head(char *row, size_t size)
{
    FILE *out = fmemopen(row, size, "w");

    fprintf(out, "| |");
    for (unsigned event = 0; event < FRESHNESS_EVENTS; event++)
        fprintf(out, " %s |", freshness_event_to_string(event));
    fclose(out);
}

START_TEST(the_documentation_shows_the_table_of_the_code)
{
    static char text[65536];
    char row[4096];
    const char *source = getenv("srcdir");
    char path[4096];
    FILE *file;

    snprintf(path, sizeof(path), "%s/doc/FRESHNESS.md", source ? source : ".");
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    print_head(row, sizeof(row));
    ck_assert_msg(strstr(text, row) != NULL, "doc/FRESHNESS.md lacks this line:\n%s", row);
    for (unsigned state = 0; state < FRESHNESS_STATES; state++) {
        print_row(state, row, sizeof(row));
        ck_assert_msg(strstr(text, row) != NULL, "doc/FRESHNESS.md lacks this line:\n%s", row);
    }
}
END_TEST

/* ---- what a table cannot say ---- */

START_TEST(a_watch_stays_fresh_without_news_until_it_is_lost)
{
    struct freshness freshness = {0};

    apply(&freshness, FRESHNESS_DATA, USEC_INFINITY, 10);
    ck_assert_int_eq(at(&freshness, 1000000), FRESHNESS_FRESH);
    ck_assert_uint_eq(freshness_confirmed_at(&freshness, 77 * SEC), 77 * SEC);
    apply(&freshness, FRESHNESS_LOST, 0, 100);
    ck_assert_int_eq(at(&freshness, 100), FRESHNESS_STALE);
    ck_assert_uint_eq(freshness_confirmed_at(&freshness, 500 * SEC), 100 * SEC);
    ck_assert_int_eq(at(&freshness, 100 + 3599), FRESHNESS_STALE);
    ck_assert_int_eq(at(&freshness, 100 + 3600), FRESHNESS_EXPIRED);
}
END_TEST

START_TEST(a_ttl_is_clamped_both_ways)
{
    struct freshness freshness = {0};

    apply(&freshness, FRESHNESS_DATA, 0, 0);
    ck_assert_int_eq(freshness_state(&freshness, &rules, SEC - 1), FRESHNESS_FRESH);
    ck_assert_int_eq(at(&freshness, 1), FRESHNESS_STALE);
    apply(&freshness, FRESHNESS_DATA, 3600 * SEC, 0);
    ck_assert_int_eq(at(&freshness, 59), FRESHNESS_FRESH);
    ck_assert_int_eq(at(&freshness, 60), FRESHNESS_STALE);
}
END_TEST

START_TEST(failing_again_and_again_makes_nothing_younger)
{
    struct freshness freshness = {0};

    apply(&freshness, FRESHNESS_DATA, USEC_INFINITY, 0);
    apply(&freshness, FRESHNESS_FAILED, 0, 50);
    apply(&freshness, FRESHNESS_LOST, 0, 2000);
    apply(&freshness, FRESHNESS_RESTART, 0, 2500);
    apply(&freshness, FRESHNESS_RELOAD, 0, 2600);
    apply(&freshness, FRESHNESS_FAILED, 0, 3000);
    ck_assert_int_eq(at(&freshness, 50 + 3599), FRESHNESS_STALE);
    ck_assert_int_eq(at(&freshness, 50 + 3600), FRESHNESS_EXPIRED);
}
END_TEST

START_TEST(a_negative_answer_lives_by_the_negative_ttl_whatever_its_own)
{
    for (unsigned event = FRESHNESS_NOTHING; event <= FRESHNESS_NONE_SUCH; event++) {
        enum freshness_state state = event == FRESHNESS_NOTHING ? FRESHNESS_EMPTY
                                                                : FRESHNESS_ABSENT;
        struct freshness freshness = {0};

        apply(&freshness, event, 600 * SEC, 20000);
        ck_assert_int_eq(at(&freshness, 20004), state);
        ck_assert_int_eq(at(&freshness, 20005), FRESHNESS_UNKNOWN);
        /* A watch undoes it by itself, so it lasts as long as the watch, and a little longer. */
        apply(&freshness, event, USEC_INFINITY, 30000);
        ck_assert_int_eq(at(&freshness, 99999), state);
        apply(&freshness, FRESHNESS_LOST, 0, 100000);
        ck_assert_int_eq(at(&freshness, 100004), state);
        ck_assert_int_eq(at(&freshness, 100005), FRESHNESS_UNKNOWN);
    }
}
END_TEST

START_TEST(suspect_data_is_held_for_its_time_only)
{
    struct freshness freshness = {0};

    apply(&freshness, FRESHNESS_DATA, USEC_INFINITY, 0);
    apply(&freshness, FRESHNESS_SUSPECT_NONE, 0, 100);
    ck_assert_int_eq(at(&freshness, 100), FRESHNESS_STALE);
    /* Saying it again does not lengthen the hold. */
    apply(&freshness, FRESHNESS_SUSPECT, 0, 200);
    ck_assert_int_eq(at(&freshness, 279), FRESHNESS_STALE);
    ck_assert_int_eq(at(&freshness, 280), FRESHNESS_EXPIRED);
    apply(&freshness, FRESHNESS_SUSPECT, 0, 290);
    ck_assert_int_eq(at(&freshness, 290), FRESHNESS_EXPIRED);
    apply(&freshness, FRESHNESS_DATA, USEC_INFINITY, 300);
    ck_assert_int_eq(at(&freshness, 9999), FRESHNESS_FRESH);
}
END_TEST

START_TEST(a_doubt_after_an_absence_is_another_one)
{
    struct freshness freshness = {0};

    apply(&freshness, FRESHNESS_DATA, USEC_INFINITY, 0);
    apply(&freshness, FRESHNESS_SUSPECT, USEC_INFINITY, 10);
    freshness_apply(&freshness, &protecting, FRESHNESS_NONE_SUCH, USEC_INFINITY, 20 * SEC);
    ck_assert_int_eq(freshness_state(&freshness, &protecting, 189 * SEC), FRESHNESS_STALE);
    ck_assert_int_eq(freshness_state(&freshness, &protecting, 300 * SEC), FRESHNESS_ABSENT);
    freshness_apply(&freshness, &protecting, FRESHNESS_SUSPECT, USEC_INFINITY, 300 * SEC);
    ck_assert_int_eq(freshness_state(&freshness, &protecting, 479 * SEC), FRESHNESS_STALE);
    ck_assert_int_eq(freshness_state(&freshness, &protecting, 481 * SEC), FRESHNESS_EXPIRED);
    /* But what expired stays so, however often it is said. */
    freshness_apply(&freshness, &protecting, FRESHNESS_SUSPECT, USEC_INFINITY, 500 * SEC);
    ck_assert_int_eq(freshness_state(&freshness, &protecting, 501 * SEC), FRESHNESS_EXPIRED);
}
END_TEST

START_TEST(a_valid_ttl_is_no_reason_to_call_suspect_data_fresh)
{
    struct freshness freshness = {0};

    apply(&freshness, FRESHNESS_DATA, 60 * SEC, 0);
    apply(&freshness, FRESHNESS_SUSPECT, 0, 1);
    ck_assert_int_eq(at(&freshness, 1), FRESHNESS_STALE);
}
END_TEST

START_TEST(protection_ends_after_its_time_in_what_the_registry_says)
{
    struct freshness freshness = {0};

    apply(&freshness, FRESHNESS_DATA, USEC_INFINITY, 0);
    ck_assert_int_eq(
        freshness_apply(&freshness, &protecting, FRESHNESS_NONE_SUCH, USEC_INFINITY, 100 * SEC),
        FRESHNESS_HOLD);
    ck_assert(freshness_is_held(&freshness, 100 * SEC));
    ck_assert_uint_eq(freshness_stale_until(&freshness, &protecting, 100 * SEC), 700 * SEC);
    /* Saying it again, in other words, does not lengthen it. */
    ck_assert_int_eq(
        freshness_apply(&freshness, &protecting, FRESHNESS_NOTHING, USEC_INFINITY, 400 * SEC),
        FRESHNESS_HOLD);
    ck_assert_int_eq(freshness_state(&freshness, &protecting, 699 * SEC), FRESHNESS_STALE);
    ck_assert_int_eq(freshness_state(&freshness, &protecting, 700 * SEC), FRESHNESS_EMPTY);
    ck_assert(!freshness_has_data(&freshness, 700 * SEC));
    ck_assert_int_eq(freshness_state(&freshness, &protecting, 99999 * SEC), FRESHNESS_EMPTY);
    freshness_apply(&freshness, &protecting, FRESHNESS_DATA, USEC_INFINITY, 100000 * SEC);
    ck_assert_int_eq(freshness_state(&freshness, &protecting, 100000 * SEC), FRESHNESS_FRESH);
}
END_TEST

START_TEST(protection_lengthens_no_stale_life)
{
    struct freshness freshness = {0};

    freshness_restore(&freshness, 0);
    ck_assert_int_eq(
        freshness_apply(&freshness, &protecting, FRESHNESS_NONE_SUCH, USEC_INFINITY, 3500 * SEC),
        FRESHNESS_HOLD);
    ck_assert_int_eq(freshness_state(&freshness, &protecting, 3599 * SEC), FRESHNESS_STALE);
    ck_assert_int_eq(freshness_state(&freshness, &protecting, 3600 * SEC), FRESHNESS_EXPIRED);
}
END_TEST

START_TEST(taking_the_protection_away_ends_it_at_once)
{
    struct freshness freshness = {0};

    apply(&freshness, FRESHNESS_DATA, USEC_INFINITY, 0);
    freshness_apply(&freshness, &protecting, FRESHNESS_NONE_SUCH, USEC_INFINITY, 100 * SEC);
    apply(&freshness, FRESHNESS_RELOAD, 0, 200);
    ck_assert_int_eq(at(&freshness, 200), FRESHNESS_ABSENT);
}
END_TEST

START_TEST(until_says_when_the_state_ends)
{
    struct freshness freshness = {0};

    apply(&freshness, FRESHNESS_DATA, 30 * SEC, 0);
    ck_assert_uint_eq(freshness_until(&freshness, &rules, SEC), 30 * SEC);
    ck_assert_uint_eq(freshness_until(&freshness, &rules, 31 * SEC), 3600 * SEC);
    apply(&freshness, FRESHNESS_DATA, USEC_INFINITY, 0);
    ck_assert_uint_eq(freshness_until(&freshness, &rules, SEC), USEC_INFINITY);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("freshness");
    TCase *table = tcase_create("table");

    tcase_add_loop_test(table, every_cell_of_the_table_is_what_happens, 0,
                        FRESHNESS_STATES * FRESHNESS_EVENTS);
    tcase_add_test(table, the_documentation_shows_the_table_of_the_code);
    suite_add_tcase(suite, table);
    UNIT_CASE(suite, "rules", a_watch_stays_fresh_without_news_until_it_is_lost,
              a_ttl_is_clamped_both_ways, failing_again_and_again_makes_nothing_younger,
              a_negative_answer_lives_by_the_negative_ttl_whatever_its_own,
              suspect_data_is_held_for_its_time_only, a_doubt_after_an_absence_is_another_one,
              a_valid_ttl_is_no_reason_to_call_suspect_data_fresh,
              protection_ends_after_its_time_in_what_the_registry_says,
              protection_lengthens_no_stale_life, taking_the_protection_away_ends_it_at_once,
              until_says_when_the_state_ends);
    return suite;
}

UNIT_MAIN(make_suite)
