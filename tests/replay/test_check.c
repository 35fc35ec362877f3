/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Health checks as stories: a scripted clock, and connections that the test answers. */
#include "daemon/check.h"
#include "daemon/check_gate.h"
#include "tests/replay/twin.h"
#include "tests/unit/unit.h"

#define SEC USEC_PER_SEC

static const struct registry_type no_type = {.name = "checks"};
static struct registry_config no_config = {.name = (char *)"checks"};
static struct registry nobody = {.type = &no_type, .config = &no_config};

static struct twin *twin;
static struct registry_env *env;
static unsigned changes;

static void report(void *userdata, struct registry *registry, const struct registry_report *told)
{
    (void)userdata, (void)registry, (void)told;
}

static void http_stirs(void *userdata, struct http_call *call)
{
    (void)userdata, (void)call;
}

static void set_up(void)
{
    static const struct twin_observer observer = {
        .report = report, .http = http_stirs, .http_gone = http_stirs};

    twin = twin_attach(&nobody, &(struct twin_options){.seed = 7}, &observer, 100000 * SEC);
    env = twin_env(twin);
    changes = 0;
}

static void tear_down(void)
{
    twin_detach(twin);
}

static void changed(void *userdata, struct check *check)
{
    (void)userdata, (void)check;
    changes++;
}

static struct check *make(const struct check_settings *settings)
{
    struct check *check;

    ck_assert_int_eq(check_new(env, settings, changed, NULL, &check), 0);
    return check;
}

static struct check_facts facts_of(const struct check *check)
{
    struct check_facts facts;

    check_facts(check, &facts);
    return facts;
}

static enum check_state state_of(const struct check *check)
{
    return facts_of(check).state;
}

/* Lets the check begin its run, and returns the connection. */
static struct tcp_call *next_tcp(void)
{
    while (twin_tcp_open(twin) == 0)
        twin_advance(twin, twin_next_timer(twin));
    return twin_expect_tcp(twin, "10.0.0.1", 80);
}

static struct http_call *next_http(const char *method, const char *url)
{
    while (twin_http_open(twin) == 0)
        twin_advance(twin, twin_next_timer(twin));
    return twin_expect_http(twin, method, url);
}

static const struct check_settings tcp = {
    .kind = CHECK_TCP, .target = "10.0.0.1:80", .interval = 10 * SEC, .timeout = 2 * SEC};
static const struct check_settings http = {.kind = CHECK_HTTP,
                                           .target = "http://10.0.0.1:80/readyz",
                                           .interval = 10 * SEC,
                                           .timeout = 2 * SEC};

/* ---- pace ---- */

START_TEST(a_check_begins_critical_and_runs_at_its_interval)
{
    struct check *check = make(&tcp);
    usec_t began = twin_now(twin), first;

    ck_assert_int_eq(state_of(check), CHECK_CRITICAL);
    ck_assert(!facts_of(check).known);
    twin_tcp_end(next_tcp(), TCP_CALL_CONNECTED, "10.0.0.1:80: connected");
    first = twin_now(twin);
    ck_assert_uint_lt(first, began + 10 * SEC);
    ck_assert_int_eq(state_of(check), CHECK_PASSING);
    ck_assert_uint_eq(changes, 1);
    ck_assert_str_eq(facts_of(check).output, "10.0.0.1:80: connected");
    ck_assert_uint_gt(facts_of(check).next + 100 * USEC_PER_MSEC, first + 10 * SEC);
    ck_assert_uint_le(facts_of(check).next, first + 10 * SEC);
    for (unsigned i = 1; i <= 3; i++) {
        twin_tcp_end(next_tcp(), TCP_CALL_CONNECTED, "");
        ck_assert_uint_eq(twin_now(twin), first + i * 10 * SEC);
    }
    ck_assert_uint_eq(changes, 1);
    ck_assert_uint_eq(facts_of(check).runs, 4);
    check_free(check);
}
END_TEST

START_TEST(what_each_run_is_late_does_not_add_up)
{
    struct check_settings settings = tcp;
    struct check *check;
    usec_t first;

    settings.interval = 1050 * USEC_PER_MSEC;
    check = make(&settings);
    twin_tcp_end(next_tcp(), TCP_CALL_CONNECTED, "");
    first = twin_now(twin);
    for (unsigned i = 0; i < 1000; i++) {
        /* The loop is a little late each time. */
        twin_set_now(twin, twin_now(twin) + twin_next_timer(twin) + 2 * USEC_PER_MSEC);
        twin_advance(twin, 0);
        twin_tcp_end(twin_expect_tcp(twin, "10.0.0.1", 80), TCP_CALL_CONNECTED, "");
    }
    ck_assert_uint_le(twin_now(twin), first + 1000 * settings.interval + SEC / 5);
    check_free(check);
}
END_TEST

START_TEST(many_checks_do_not_go_off_together)
{
    enum { CHECKS = 500, TENTHS = 10 };
    struct check *checks[CHECKS];
    unsigned open, before = 0;

    for (unsigned i = 0; i < CHECKS; i++)
        checks[i] = make(&tcp);
    ck_assert_uint_eq(twin_tcp_open(twin), 0);
    for (unsigned i = 0; i < TENTHS; i++) {
        while (twin_tcp_open(twin) > 0)
            twin_tcp_end(twin_expect_tcp(twin, "10.0.0.1", 80), TCP_CALL_CONNECTED, "");
        before = 0;
        for (unsigned j = 0; j < CHECKS; j++)
            before += facts_of(checks[j]).runs > 0;
        twin_advance(twin, SEC);
        open = twin_tcp_open(twin);
        /* 50 expected; so far off is one in 10^9. */
        ck_assert_msg(open > 10 && open < 100, "%u begin in second %u after %u", open, i, before);
    }
    for (unsigned i = 0; i < CHECKS; i++)
        check_free(checks[i]);
}
END_TEST

START_TEST(a_run_ends_by_its_timeout_and_the_next_begins_on_time)
{
    struct check *check = make(&tcp);
    usec_t began;

    next_tcp();
    began = twin_now(twin);
    twin_advance(twin, 2 * SEC);
    ck_assert_uint_eq(twin_tcp_open(twin), 0);
    ck_assert(facts_of(check).known);
    ck_assert_str_eq(facts_of(check).output, "no answer in time");
    ck_assert_uint_eq(facts_of(check).duration, 2 * SEC);
    next_tcp();
    ck_assert_uint_eq(twin_now(twin), began + 10 * SEC);
    check_free(check);
}
END_TEST

START_TEST(a_run_longer_than_the_interval_is_never_doubled)
{
    struct check_settings settings = tcp;
    struct check *check;

    settings.interval = SEC;
    settings.timeout = 5 * SEC;
    check = make(&settings);
    next_tcp();
    twin_advance(twin, 4 * SEC);
    ck_assert_uint_eq(twin_tcp_open(twin), 1);
    twin_advance(twin, SEC);
    ck_assert_uint_eq(facts_of(check).runs, 1);
    twin_expect_tcp(twin, "10.0.0.1", 80); /* the next one at once */
    check_free(check);
}
END_TEST

START_TEST(one_that_waits_for_its_turn_is_late_and_not_failed)
{
    struct check_settings settings = tcp;
    struct check *first, *second;
    struct tcp_call *call;

    env->checks->limit = 1;
    settings.interval = SEC;
    settings.timeout = 30 * SEC;
    settings.status = CHECK_PASSING;
    first = make(&settings);
    second = make(&settings);
    call = next_tcp();
    twin_advance(twin, 20 * SEC);
    twin_expect_no_tcp(twin);
    ck_assert_int_eq(state_of(first), CHECK_PASSING);
    ck_assert_int_eq(state_of(second), CHECK_PASSING);
    ck_assert_uint_eq(changes, 0);
    twin_tcp_end(call, TCP_CALL_CONNECTED, "");
    call = twin_expect_tcp(twin, "10.0.0.1", 80);
    ck_assert_uint_eq(facts_of(first).late + facts_of(second).late, 1);
    check_free(first);
    twin_advance(twin, 2 * SEC);
    check_free(second);
    ck_assert_uint_eq(twin_tcp_open(twin), 0);
    ck_assert_uint_eq(env->checks->inside, 0);
    ck_assert_ptr_null(env->checks->waiters);
}
END_TEST

START_TEST(a_run_that_could_not_be_tried_changes_nothing)
{
    struct check_settings settings = tcp;
    struct check *check;

    settings.status = CHECK_PASSING;
    check = make(&settings);
    for (unsigned i = 0; i < 5; i++)
        twin_tcp_end(next_tcp(), TCP_CALL_UNTRIED, "Too many open files");
    ck_assert_int_eq(state_of(check), CHECK_PASSING);
    ck_assert(!facts_of(check).known);
    ck_assert_uint_eq(changes, 0);
    check_free(check);
}
END_TEST

START_TEST(a_machine_that_slept_spreads_its_checks_anew)
{
    enum { CHECKS = 100 };
    struct check *checks[CHECKS];

    for (unsigned i = 0; i < CHECKS; i++)
        checks[i] = make(&tcp);
    twin_set_now(twin, twin_now(twin) + 3600 * SEC);
    twin_advance(twin, 0);
    ck_assert_uint_eq(twin_tcp_open(twin), 0);
    twin_advance(twin, SEC);
    ck_assert_uint_lt(twin_tcp_open(twin), CHECKS / 2);
    for (unsigned i = 0; i < CHECKS; i++)
        check_free(checks[i]);
}
END_TEST

START_TEST(a_check_can_be_hurried)
{
    struct check_settings settings = tcp;
    struct check *check;

    settings.interval = 3600 * SEC;
    check = make(&settings);
    check_hurry(check);
    twin_advance(twin, SEC);
    twin_tcp_end(twin_expect_tcp(twin, "10.0.0.1", 80), TCP_CALL_CONNECTED, "");
    ck_assert_int_eq(state_of(check), CHECK_PASSING);
    check_free(check);
}
END_TEST

/* ---- rules over time ---- */

START_TEST(flaps_are_damped_and_since_tells_when_the_state_came)
{
    struct check_settings settings = tcp;
    struct check *check;
    usec_t turned;

    settings.successes_before_passing = 2;
    settings.failures_before_critical = 3;
    check = make(&settings);
    twin_tcp_end(next_tcp(), TCP_CALL_CONNECTED, "");
    ck_assert_int_eq(state_of(check), CHECK_CRITICAL);
    twin_tcp_end(next_tcp(), TCP_CALL_CONNECTED, "");
    turned = twin_now(twin);
    ck_assert_int_eq(state_of(check), CHECK_PASSING);
    for (unsigned i = 0; i < 2; i++)
        twin_tcp_end(next_tcp(), TCP_CALL_REFUSED, "refused");
    ck_assert_int_eq(state_of(check), CHECK_PASSING);
    ck_assert_uint_eq(facts_of(check).since, turned);
    ck_assert_uint_eq(facts_of(check).failures, 2);
    twin_tcp_end(next_tcp(), TCP_CALL_REFUSED, "refused");
    ck_assert_int_eq(state_of(check), CHECK_CRITICAL);
    ck_assert_uint_eq(facts_of(check).since, twin_now(twin));
    ck_assert_uint_eq(changes, 3); /* the first result, which left it critical, too */
    check_free(check);
}
END_TEST

/* ---- HTTP ---- */

START_TEST(the_status_decides)
{
    static const struct {
        int status;
        enum check_state state;
    } rows[] = {
        {200, CHECK_PASSING},  {204, CHECK_PASSING},  {299, CHECK_PASSING},  {429, CHECK_WARNING},
        {199, CHECK_CRITICAL}, {300, CHECK_CRITICAL}, {304, CHECK_CRITICAL}, {400, CHECK_CRITICAL},
        {401, CHECK_CRITICAL}, {404, CHECK_CRITICAL}, {500, CHECK_CRITICAL}, {503, CHECK_CRITICAL},
    };
    struct check *check = make(&http);

    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        twin_http_reply(next_http("GET", "http://10.0.0.1:80/readyz"), rows[i].status, NULL, "");
        ck_assert_msg(state_of(check) == rows[i].state, "%d", rows[i].status);
    }
    check_free(check);
}
END_TEST

START_TEST(a_request_is_made_as_told_over_a_connection_of_its_own)
{
    const struct http_header headers[] = {{"Host", "orders.example"}, {"X-Token", "sesame"}};
    struct check_settings settings = http;
    const struct http_request *request;
    struct http_call *call;
    struct check *check;

    settings.target = "https://10.0.0.1:8443/ready?deep=1";
    settings.method = "POST";
    settings.headers = headers;
    settings.header_count = 2;
    settings.body = "{}";
    settings.server_name = "orders.example";
    settings.skip_verify = true;
    check = make(&settings);
    call = next_http("POST", "https://10.0.0.1:8443/ready?deep=1");
    request = twin_http_request(call);
    ck_assert_str_eq(twin_http_request_header(call, "Host"), "orders.example");
    ck_assert_str_eq(twin_http_request_header(call, "X-Token"), "sesame");
    ck_assert_str_eq(twin_http_request_header(call, "Connection"), "close");
    ck_assert_str_eq(request->body, "{}");
    ck_assert_str_eq(request->tls->server_name, "orders.example");
    ck_assert(request->tls->insecure);
    ck_assert(request->fresh);
    ck_assert_uint_eq(request->timeout, 2 * SEC);
    twin_http_reply(call, 503, NULL, "sesame is wrong\nmore");
    ck_assert_str_eq(facts_of(check).output, "HTTP 503");
    check_free(check);
}
END_TEST

START_TEST(the_first_line_of_the_body_is_shown_and_no_more)
{
    struct check *check = make(&http);

    twin_http_reply(next_http("GET", ""), 503, NULL, "\n  database \x01 down\xff\r\nsecond line");
    ck_assert_str_eq(facts_of(check).output, "HTTP 503: database ? down");
    check_free(check);
}
END_TEST

START_TEST(an_endless_body_is_read_no_further_than_the_cap)
{
    static const char piece[1000];
    struct check *check = make(&http);
    struct http_call *call = next_http("GET", "");
    unsigned pieces = 0;

    twin_http_head(call, 200, NULL);
    for (; !twin_http_gone(twin, call); pieces++)
        twin_http_chunk(call, piece, sizeof(piece));
    ck_assert_uint_eq(pieces, 5);
    ck_assert_int_eq(state_of(check), CHECK_PASSING);
    check_free(check);
}
END_TEST

START_TEST(what_is_no_whole_response_is_critical)
{
    struct check_settings settings = http;
    struct check *check;
    struct http_call *call;

    settings.status = CHECK_PASSING;
    check = make(&settings);
    call = next_http("GET", "");
    twin_http_head(call, 200, "Content-Length: 10");
    twin_http_fail(call, HTTP_BROKEN, "10.0.0.1:80: cut off");
    ck_assert_int_eq(state_of(check), CHECK_CRITICAL);
    ck_assert_str_eq(facts_of(check).output, "10.0.0.1:80: cut off");
    twin_http_reply(next_http("GET", ""), 200, NULL, "");
    call = next_http("GET", "");
    twin_http_head(call, 200, "Content-Length: 10");
    twin_advance(twin, 2 * SEC);
    ck_assert_int_eq(state_of(check), CHECK_CRITICAL);
    check_free(check);
}
END_TEST

START_TEST(a_redirect_is_followed_on_the_same_host)
{
    struct check *check = make(&http);
    usec_t began;

    began = twin_now(twin);
    twin_http_reply(next_http("GET", "/readyz"), 302, "Location: /login", "");
    began = twin_now(twin);
    twin_advance(twin, SEC);
    twin_http_reply(twin_expect_http(twin, "GET", "http://10.0.0.1:80/login"), 307,
                    "Location: https://10.0.0.1:8443/x", "");
    ck_assert_int_eq(state_of(check), CHECK_CRITICAL);
    ck_assert_uint_eq(
        twin_http_request(twin_expect_http(twin, "GET", "https://10.0.0.1:8443/x"))->timeout, SEC);
    twin_advance(twin, SEC); /* the time of the run is one for all */
    ck_assert(facts_of(check).known);
    ck_assert_uint_eq(facts_of(check).duration, 2 * SEC);
    ck_assert_uint_eq(twin_now(twin), began + 2 * SEC);
    check_free(check);
}
END_TEST

START_TEST(a_redirect_elsewhere_is_critical)
{
    static const char *const elsewhere[] = {
        "Location: http://169.254.169.254/latest/meta-data/",
        "Location: //other.example/",
        "Location: file:///etc/passwd",
        "Location: gopher://10.0.0.1:80/",
        "X-Nothing: 1",
    };
    struct check_settings settings = http;
    struct check *check = make(&settings);

    for (size_t i = 0; i < ELEMENTS(elsewhere); i++) {
        twin_http_reply(next_http("GET", "/readyz"), 302, elsewhere[i], "");
        ck_assert_uint_eq(twin_http_open(twin), 0);
        ck_assert_int_eq(state_of(check), CHECK_CRITICAL);
        ck_assert_str_eq(facts_of(check).output, "HTTP 302");
    }
    check_free(check);
    settings.target = "https://10.0.0.1:8443/readyz";
    check = make(&settings);
    twin_http_reply(next_http("GET", "/readyz"), 302, "Location: http://10.0.0.1/", "");
    ck_assert_uint_eq(twin_http_open(twin), 0);
    check_free(check);
    settings.no_redirects = true;
    check = make(&settings);
    twin_http_reply(next_http("GET", "/readyz"), 302, "Location: /x", "");
    ck_assert_uint_eq(twin_http_open(twin), 0);
    check_free(check);
}
END_TEST

START_TEST(what_a_check_sends_is_not_for_another_port)
{
    static const struct {
        const char *target, *location, *followed;
    } list[] = {
        {"http://u:p@10.0.0.1:80/", "Location: http://10.0.0.1:81/x", NULL},
        {"http://u:p@10.0.0.1:80/", "Location: https://10.0.0.1:8443/x", NULL},
        {"http://u:p@10.0.0.1:8080/", "Location: https://10.0.0.1/x", NULL},
        {"http://u:p@10.0.0.1:80/", "Location: https://10.0.0.1/x", "https://u:p@10.0.0.1/x"},
        {"http://u:p@10.0.0.1:8080/", "Location: http://10.0.0.1:8080/x",
         "http://u:p@10.0.0.1:8080/x"},
        {"https://u:p@10.0.0.1:8443/", "Location: /x", "https://u:p@10.0.0.1:8443/x"},
    };

    for (size_t i = 0; i < ELEMENTS(list); i++) {
        struct check_settings settings = http;
        struct check *check;

        settings.target = list[i].target;
        check = make(&settings);
        twin_http_reply(next_http("GET", ""), 302, list[i].location, "");
        ck_assert_uint_eq(twin_http_open(twin), list[i].followed ? 1 : 0);
        if (list[i].followed)
            twin_expect_http(twin, "GET", list[i].followed);
        check_free(check);
    }
}
END_TEST

START_TEST(redirects_in_a_circle_end)
{
    struct check *check = make(&http);
    unsigned hops = 0;

    for (struct http_call *call = next_http("GET", "/readyz"); call; hops++) {
        twin_http_reply(call, 302, "Location: /readyz", "");
        call = twin_http_open(twin) > 0 ? twin_expect_http(twin, "GET", "/readyz") : NULL;
    }
    ck_assert_uint_eq(hops, 11);
    ck_assert_str_eq(facts_of(check).output, "HTTP 302");
    check_free(check);
}
END_TEST

START_TEST(a_post_that_is_redirected_becomes_a_get_where_http_says_so)
{
    struct check_settings settings = http;
    struct check *check;
    struct http_call *call;

    settings.method = "POST";
    settings.body = "x";
    check = make(&settings);
    twin_http_reply(next_http("POST", "/readyz"), 307, "Location: /a", "");
    call = twin_expect_http(twin, "POST", "/a");
    ck_assert_str_eq(twin_http_request(call)->body, "x");
    twin_http_reply(call, 303, "Location: /b", "");
    call = twin_expect_http(twin, "GET", "/b");
    ck_assert_ptr_null(twin_http_request(call)->body);
    twin_http_reply(call, 200, NULL, "");
    ck_assert_int_eq(state_of(check), CHECK_PASSING);
    check_free(check);
}
END_TEST

/* ---- TTL ---- */

static const struct check_settings ttl = {.kind = CHECK_TTL, .ttl = 30 * SEC};

START_TEST(a_word_counts_for_its_ttl)
{
    struct check *check = make(&ttl);

    ck_assert_int_eq(state_of(check), CHECK_CRITICAL);
    ck_assert_int_eq(check_pass(check, CHECK_PASSING, "all is\nwell"), 0);
    ck_assert_int_eq(state_of(check), CHECK_PASSING);
    ck_assert_str_eq(facts_of(check).output, "all is");
    twin_advance(twin, 29 * SEC);
    ck_assert_int_eq(check_pass(check, CHECK_WARNING, NULL), 0);
    twin_advance(twin, 29 * SEC);
    ck_assert_int_eq(state_of(check), CHECK_WARNING);
    ck_assert_uint_eq(facts_of(check).next, twin_now(twin) + SEC);
    twin_advance(twin, SEC);
    ck_assert_int_eq(state_of(check), CHECK_CRITICAL);
    ck_assert_uint_eq(changes, 3);
    twin_advance(twin, 3600 * SEC);
    ck_assert_uint_eq(changes, 3);
    check_pass(check, CHECK_PASSING, "back");
    ck_assert_int_eq(state_of(check), CHECK_PASSING);
    twin_advance(twin, 30 * SEC);
    ck_assert_str_eq(facts_of(check).output, "not heard of in time; last: back");
    check_free(check);
}
END_TEST

START_TEST(a_word_is_for_ttl_checks_only)
{
    struct check *check = make(&tcp);

    ck_assert_int_eq(check_pass(check, CHECK_PASSING, NULL), -EINVAL);
    ck_assert_int_eq(state_of(check), CHECK_CRITICAL);
    check_free(check);
}
END_TEST

/* ---- another life ---- */

START_TEST(what_an_earlier_life_knew_holds_until_the_first_result)
{
    struct check_settings settings = tcp;
    struct check *check;

    settings.failures_before_critical = 2;
    check = make(&settings);
    check_restore(check, CHECK_PASSING, twin_now(twin) - 100 * SEC, 0, "connected");
    ck_assert_int_eq(state_of(check), CHECK_PASSING);
    ck_assert_uint_eq(facts_of(check).since, twin_now(twin) - 100 * SEC);
    ck_assert_str_eq(facts_of(check).output, "connected");
    twin_tcp_end(next_tcp(), TCP_CALL_REFUSED, "refused");
    ck_assert_int_eq(state_of(check), CHECK_PASSING);
    twin_tcp_end(next_tcp(), TCP_CALL_REFUSED, "refused");
    ck_assert_int_eq(state_of(check), CHECK_CRITICAL);
    ck_assert_uint_eq(changes, 1);
    check_free(check);
}
END_TEST

START_TEST(a_restored_word_lasts_as_long_as_it_was_given_or_a_while)
{
    struct check_settings settings = ttl;
    struct check *check = make(&ttl);

    check_restore(check, CHECK_PASSING, 0, twin_now(twin) - 3600 * SEC, "");
    twin_advance(twin, 29 * SEC);
    ck_assert_int_eq(state_of(check), CHECK_PASSING);
    twin_advance(twin, SEC);
    ck_assert_int_eq(state_of(check), CHECK_CRITICAL);
    check_free(check);
    settings.ttl = 3600 * SEC;
    check = make(&settings);
    check_restore(check, CHECK_PASSING, 0, twin_now(twin) + 1800 * SEC, "");
    twin_advance(twin, 1799 * SEC);
    ck_assert_int_eq(state_of(check), CHECK_PASSING);
    twin_advance(twin, SEC);
    ck_assert_int_eq(state_of(check), CHECK_CRITICAL);
    check_free(check);
    check = make(&settings);
    check_restore(check, CHECK_PASSING, 0, 0, "");
    twin_advance(twin, 60 * SEC);
    ck_assert_int_eq(state_of(check), CHECK_CRITICAL);
    check_free(check);
    /* The date went back: a machine without a clock of its own. */
    check = make(&settings);
    check_restore(check, CHECK_PASSING, 0, twin_now(twin) + 400 * 24 * 3600 * SEC, "");
    twin_advance(twin, 3600 * SEC);
    ck_assert_int_eq(state_of(check), CHECK_CRITICAL);
    check_free(check);
}
END_TEST

/* ---- gRPC ---- */

static const struct check_settings grpc = {.kind = CHECK_GRPC,
                                           .target = "10.0.0.1:50051/shop.Orders",
                                           .interval = 10 * SEC,
                                           .timeout = 2 * SEC};

static struct grpc_call *next_grpc(const char *url)
{
    while (twin_grpc_count(twin) == 0)
        twin_advance(twin, twin_next_timer(twin));
    return twin_expect_grpc(twin, url, "/grpc.health.v1.Health/Check");
}

/* One run: an answer (or NULL) and an end. */
static void answer_grpc(struct check *check, const char *answer, size_t size, int status,
                        enum check_state state, const char *output)
{
    struct grpc_call *call = next_grpc("http://10.0.0.1:50051");

    if (answer)
        twin_grpc_answer(call, answer, size);
    if (!twin_grpc_gone(twin, call))
        twin_grpc_end(call, status, status == GRPC_OK ? "" : "10.0.0.1:50051: reason");
    ck_assert_int_eq(state_of(check), state);
    ck_assert_str_eq(facts_of(check).output, output);
}

START_TEST(a_grpc_server_is_well_when_it_says_that_it_serves)
{
    struct check *check = make(&grpc);

    answer_grpc(check, "\10\1", 2, GRPC_OK, CHECK_PASSING, "gRPC: SERVING");
    answer_grpc(check, "\10\2", 2, GRPC_OK, CHECK_CRITICAL, "gRPC: NOT_SERVING");
    answer_grpc(check, "\10\1", 2, GRPC_OK, CHECK_PASSING, "gRPC: SERVING");
    answer_grpc(check, "", 0, GRPC_OK, CHECK_CRITICAL, "gRPC: UNKNOWN");
    answer_grpc(check, "\10\3", 2, GRPC_OK, CHECK_CRITICAL, "gRPC: SERVICE_UNKNOWN");
    answer_grpc(check, "\10\143", 2, GRPC_OK, CHECK_CRITICAL, "gRPC: UNKNOWN");
    answer_grpc(check, NULL, 0, GRPC_OK, CHECK_CRITICAL, "gRPC: no answer in the call");
    answer_grpc(check, "\10\1", 2, GRPC_INTERNAL, CHECK_CRITICAL,
                "gRPC INTERNAL: 10.0.0.1:50051: reason");
    answer_grpc(check, NULL, 0, GRPC_UNIMPLEMENTED, CHECK_CRITICAL,
                "gRPC UNIMPLEMENTED: the server has no health service");
    answer_grpc(check, NULL, 0, GRPC_NOT_FOUND, CHECK_CRITICAL,
                "gRPC NOT_FOUND: the server knows no such service");
    answer_grpc(check, "\10\1\377", 3, GRPC_OK, CHECK_CRITICAL,
                "gRPC: the answer is no health status");
    check_free(check);
}
END_TEST

START_TEST(a_grpc_check_asks_for_its_service)
{
    struct check *check = make(&grpc);
    struct grpc_call *call = next_grpc("http://10.0.0.1:50051");
    const struct grpc_request *request = twin_grpc_request(call);
    const void *message;
    size_t size;

    ck_assert_str_eq(request->url, "http://10.0.0.1:50051");
    ck_assert(request->single);
    ck_assert_uint_eq(request->timeout, 2 * SEC);
    message = twin_grpc_take(call, &size);
    ck_assert_uint_eq(size, 13);
    ck_assert_int_eq(memcmp(message, "\12\13shop.Orders", 13), 0);
    check_free(check);
    check = make(&(struct check_settings){.kind = CHECK_GRPC,
                                          .target = "[2001:db8::1]:443",
                                          .tls = true,
                                          .skip_verify = true,
                                          .server_name = "orders.test"});
    call = next_grpc("https://[2001:db8::1]:443");
    request = twin_grpc_request(call);
    ck_assert_str_eq(request->tls->server_name, "orders.test");
    ck_assert(request->tls->insecure);
    ck_assert_ptr_nonnull(twin_grpc_take(call, &size));
    ck_assert_uint_eq(size, 0);
    check_free(check);
}
END_TEST

START_TEST(what_ran_out_here_says_nothing_of_a_grpc_server)
{
    struct check *check = make(&grpc);

    answer_grpc(check, "\10\1", 2, GRPC_OK, CHECK_PASSING, "gRPC: SERVING");
    twin_grpc_end(next_grpc("http://10.0.0.1:50051"), GRPC_SHORTAGE, "Too many open files");
    ck_assert_int_eq(state_of(check), CHECK_PASSING);
    check_free(check);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("check");

    UNIT_CASE_FIXTURE(
        suite, "pace", set_up, tear_down, a_check_begins_critical_and_runs_at_its_interval,
        what_each_run_is_late_does_not_add_up, many_checks_do_not_go_off_together,
        a_run_ends_by_its_timeout_and_the_next_begins_on_time,
        a_run_longer_than_the_interval_is_never_doubled,
        one_that_waits_for_its_turn_is_late_and_not_failed,
        a_run_that_could_not_be_tried_changes_nothing, a_machine_that_slept_spreads_its_checks_anew,
        a_check_can_be_hurried, flaps_are_damped_and_since_tells_when_the_state_came);
    UNIT_CASE_FIXTURE(
        suite, "HTTP", set_up, tear_down, the_status_decides,
        a_request_is_made_as_told_over_a_connection_of_its_own,
        the_first_line_of_the_body_is_shown_and_no_more,
        an_endless_body_is_read_no_further_than_the_cap, what_is_no_whole_response_is_critical,
        a_redirect_is_followed_on_the_same_host, a_redirect_elsewhere_is_critical,
        what_a_check_sends_is_not_for_another_port, redirects_in_a_circle_end, a_post_that_is_redirected_becomes_a_get_where_http_says_so);
    UNIT_CASE_FIXTURE(suite, "TTL", set_up, tear_down, a_word_counts_for_its_ttl,
                      a_word_is_for_ttl_checks_only,
                      what_an_earlier_life_knew_holds_until_the_first_result,
                      a_restored_word_lasts_as_long_as_it_was_given_or_a_while);
    UNIT_CASE_FIXTURE(
        suite, "grpc", set_up, tear_down, a_grpc_server_is_well_when_it_says_that_it_serves,
        a_grpc_check_asks_for_its_service, what_ran_out_here_says_nothing_of_a_grpc_server);
    return suite;
}

UNIT_MAIN(make_suite)
