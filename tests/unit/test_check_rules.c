/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From results to a state, as a table; and what settings may say. */
#include "daemon/check_gate.h"
#include "daemon/check_rules.h"
#include "tests/unit/unit.h"

/* Letters: p(assing), w(arning), c(ritical): results of runs, and the state after each. */
struct row {
    const char *what;
    unsigned passing, warning, critical; /* in a row */
    char start;
    const char *results, *states;
};

static const struct row rows[] = {
    {"without rules the state is the result", 0, 0, 0, 'c', "pwcpcw", "pwcpcw"},
    {"one is the same as none", 1, 1, 1, 'c', "pwcpcw", "pwcpcw"},
    {"passing takes three in a row", 3, 0, 0, 'c', "ppp", "ccp"},
    {"a failure between begins the count anew", 3, 0, 0, 'c', "ppcppp", "cccccp"},
    {"a warning counts as a success", 3, 0, 0, 'c', "pwp", "ccp"},
    {"a warning is the state when the count is full", 2, 0, 0, 'c', "ww", "cw"},
    {"critical takes three in a row", 0, 0, 3, 'p', "ccc", "ppc"},
    {"a success between begins that count anew", 0, 0, 3, 'p', "ccpccc", "pppppc"},
    {"a flapping target keeps its state", 2, 0, 2, 'p', "cpcpcpcp", "pppppppp"},
    {"a flapping target that is down stays down", 2, 0, 2, 'c', "pcpcpcpc", "cccccccc"},
    {"warning comes before critical", 0, 2, 4, 'p', "ccccc", "pwwcc"},
    {"warning never before there were so many", 0, 3, 3, 'p', "ccc", "ppc"},
    {"a failure makes nothing better", 0, 1, 3, 'c', "c", "c"},
    {"nor does one after a success that was not enough", 2, 1, 3, 'c', "pc", "cc"},
    {"back from warning at once", 0, 1, 3, 'p', "cp", "wp"},
    {"back from warning only after two", 2, 1, 3, 'p', "cppp", "wwpp"},
    {"warning after critical is no way back", 0, 1, 2, 'p', "cccp", "wccp"},
};

static enum check_state state_of(char letter)
{
    return letter == 'p' ? CHECK_PASSING : letter == 'w' ? CHECK_WARNING : CHECK_CRITICAL;
}

START_TEST(the_state_follows_the_rules)
{
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        const struct row *row = &rows[i];
        struct check_settings settings = {
            .successes_before_passing = row->passing,
            .failures_before_warning = row->warning,
            .failures_before_critical = row->critical,
        };
        struct check_rules rules = {.state = state_of(row->start)};

        for (size_t j = 0; row->results[j]; j++)
            ck_assert_msg(check_rules_apply(&rules, &settings, state_of(row->results[j])) ==
                              state_of(row->states[j]),
                          "%s: after %zu of '%s'", row->what, j + 1, row->results);
        ck_assert_uint_eq(strlen(row->results), strlen(row->states));
    }
}
END_TEST

/* ---- settings ---- */

static const char *mistake_of(enum check_kind kind, const char *target)
{
    return check_settings_mistake(&(struct check_settings){.kind = kind, .target = target});
}

START_TEST(a_target_is_what_its_kind_needs)
{
    static const char *const good_tcp[] = {"10.0.0.1:80", "[2001:db8::1]:80", "db.example:5432",
                                           "localhost:1"};
    static const char *const bad_tcp[] = {
        "",      "10.0.0.1", "10.0.0.1:", "10.0.0.1:0", ":80",   "a:b:80",  "10.0.0.1:65536",
        "[::1]", "a b:80",   "a:80x",     "a:-1",       "[]:80", "/run/x:1"};
    static const char *const good_http[] = {"http://10.0.0.1:80/readyz", "https://a.example",
                                            "http://[::1]/x?y=z", "http://u:p@a.example/"};
    static const char *const bad_http[] = {
        "", "10.0.0.1:80", "ftp://a/", "file:///etc/passwd", "http://", "unix:///run/x"};

    for (size_t i = 0; i < ELEMENTS(good_tcp); i++)
        ck_assert_msg(!mistake_of(CHECK_TCP, good_tcp[i]), "%s", good_tcp[i]);
    for (size_t i = 0; i < ELEMENTS(bad_tcp); i++)
        ck_assert_msg(mistake_of(CHECK_TCP, bad_tcp[i]), "%s", bad_tcp[i]);
    for (size_t i = 0; i < ELEMENTS(good_http); i++)
        ck_assert_msg(!mistake_of(CHECK_HTTP, good_http[i]), "%s", good_http[i]);
    for (size_t i = 0; i < ELEMENTS(bad_http); i++)
        ck_assert_msg(mistake_of(CHECK_HTTP, bad_http[i]), "%s", bad_http[i]);
    ck_assert_ptr_nonnull(mistake_of(CHECK_TTL, NULL));
    ck_assert_ptr_nonnull(mistake_of(CHECK_TCP, NULL));
}
END_TEST

START_TEST(what_is_shown_of_a_check_holds_no_secret)
{
    char text[CHECK_SHOWN_SIZE];
    const struct http_header header = {"Authorization", "Bearer sesame"};

    check_settings_show(
        &(struct check_settings){.target = "http://me:sesame@10.0.0.1:8080/readyz?token=sesame",
                                 .headers = &header,
                                 .header_count = 1},
        text);
    ck_assert_str_eq(text, "http http://10.0.0.1:8080/readyz");
    check_settings_show(&(struct check_settings){.kind = CHECK_TCP, .target = "[::1]:80"}, text);
    ck_assert_str_eq(text, "tcp [::1]:80");
}
END_TEST

START_TEST(a_copy_equals_what_it_was_made_of_and_any_change_shows)
{
    const struct http_header headers[] = {{"Host", "a"}, {"X-Token", "b"}};
    const struct http_header others[] = {{"Host", "a"}, {"X-Token", "c"}};
    struct check_settings settings = {
        .target = "http://10.0.0.1/",
        .headers = headers,
        .header_count = 2,
        .body = "x",
        .interval = 2 * USEC_PER_SEC,
        .timeout = USEC_PER_SEC,
    };
    struct check_settings *copy, *other;

    ck_assert_int_eq(check_settings_copy(&settings, &copy), 0);
    ck_assert(check_settings_equal(&settings, copy));
    settings.headers = others;
    ck_assert_int_eq(check_settings_copy(&settings, &other), 0);
    ck_assert(!check_settings_equal(copy, other));
    check_settings_free(other);
    settings.headers = headers;
    settings.skip_verify = true;
    ck_assert(!check_settings_equal(&settings, copy));
    check_settings_free(copy);
    settings.interval = USEC_PER_MSEC;
    ck_assert_int_eq(check_settings_copy(&settings, &copy), -EINVAL);
}
END_TEST

/* ---- the gate ---- */

static unsigned entered;

static void enter(struct check_waiter *waiter)
{
    (void)waiter;
    entered++;
}

START_TEST(the_gate_lets_in_no_more_than_its_limit_in_their_order)
{
    struct check_gate gate = {.limit = 2};
    struct check_waiter waiters[4] = {{enter}, {enter}, {enter}, {enter}};

    entered = 0;
    for (size_t i = 0; i < 4; i++)
        check_gate_enter(&gate, &waiters[i]);
    ck_assert_uint_eq(entered, 2);
    ck_assert(waiters[2].waiting && waiters[3].waiting);
    check_gate_leave(&gate);
    ck_assert_uint_eq(entered, 3);
    ck_assert(!waiters[2].waiting && waiters[3].waiting);
    check_gate_forget(&gate, &waiters[3]);
    check_gate_leave(&gate);
    check_gate_leave(&gate);
    ck_assert_uint_eq(entered, 3);
    ck_assert_uint_eq(gate.inside, 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("check rules");

    UNIT_CASE(suite, "rules", the_state_follows_the_rules);
    UNIT_CASE(suite, "settings", a_target_is_what_its_kind_needs,
              what_is_shown_of_a_check_holds_no_secret,
              a_copy_equals_what_it_was_made_of_and_any_change_shows);
    UNIT_CASE(suite, "gate", the_gate_lets_in_no_more_than_its_limit_in_their_order);
    return suite;
}

UNIT_MAIN(make_suite)
