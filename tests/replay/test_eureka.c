/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Eureka registry as stories: what it asks and reports when servers answer, fail, forget and
 * come back. The traps of Eureka that are known have a story each.
 */
#include "daemon/registry/eureka/eureka.h"
#include "tests/replay/twin.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <syslog.h>

#define SEC USEC_PER_SEC

static const char *const plain[] = {"URL", "http://e1.test:8761/eureka/", NULL};
static const char *const two[] = {"URL", "http://e1.test:8761/eureka http://e2.test:8761/eureka",
                                  NULL};

/* ---- the words of the stories ---- */

static struct http_call *expect_full(struct twin *twin)
{
    return twin_expect_http(twin, "GET", "/eureka/apps");
}

static struct http_call *expect_delta(struct twin *twin)
{
    return twin_expect_http(twin, "GET", "/eureka/apps/delta");
}

/*
 * "APP/id=10.0.0.1 APP/id=10.0.0.2!DOWN": instances of a document; "-" before one: it was deleted.
 * The vip of each is its application in lower case.
 */
static size_t put_instances(char *body, size_t size, const char *text)
{
    char copy[1024], *rest = copy, *word;
    size_t at = 0;

    snprintf(copy, sizeof(copy), "%s", text);
    while ((word = strsep(&rest, " ")) && *word) {
        bool deleted = word[0] == '-';
        char *id = strchr(word += deleted, '/'), *address, *status, vip[64];

        *id++ = '\0';
        address = strchr(id, '=');
        *address++ = '\0';
        status = strchr(address, '!');
        if (status)
            *status++ = '\0';
        for (size_t i = 0; i <= strlen(word); i++)
            vip[i] = name_fold_byte(word[i]);
        at += (size_t)snprintf(
            body + at, size - at,
            "%s{\"name\":\"%s\",\"instance\":[{\"instanceId\":\"%s\",\"hostName\":\"%s.example\","
            "\"app\":\"%s\",\"ipAddr\":\"%s\",\"status\":\"%s\",\"port\":{\"$\":80,\"@enabled\":"
            "\"true\"},\"vipAddress\":\"%s\",\"actionType\":\"%s\"}]}",
            at > 0 ? "," : "", word, id, id, word, address, status ?: "UP", vip,
            deleted ? "DELETED" : "ADDED");
    }
    return at;
}

static const char *document(const char *version, const char *hash, const char *instances)
{
    static char body[16384];
    size_t at = (size_t)snprintf(body, sizeof(body),
                                 "{\"applications\":{\"versions__delta\":\"%s\","
                                 "\"apps__hashcode\":\"%s\",\"application\":[",
                                 version, hash);

    at += put_instances(body + at, sizeof(body) - at, instances);
    snprintf(body + at, sizeof(body) - at, "]}}");
    return body;
}

static void reply_full(struct twin *twin, const char *hash, const char *instances)
{
    struct http_call *call = expect_full(twin);

    ck_assert_ptr_null(strstr(twin_http_request(call)->url, "delta"));
    twin_http_reply(call, 200, NULL, document("1", hash, instances));
}

static void reply_delta(struct twin *twin, const char *version, const char *hash,
                        const char *instances)
{
    twin_http_reply(expect_delta(twin), 200, NULL, document(version, hash, instances));
}

/* Not all hosts fetch all at one moment: this one does within a quarter of the interval. */
static void reply_full_soon(struct twin *twin, const char *hash, const char *instances)
{
    twin_expect_no_http(twin);
    twin_advance(twin, 30 * SEC / 4);
    reply_full(twin, hash, instances);
}

static struct twin *started(const char *const *settings)
{
    struct twin *twin = twin_new(&registry_type_eureka,
                                 &(struct twin_options){.settings = settings});

    ck_assert_int_eq(twin_start(twin), 0);
    return twin;
}

/* A registry that has come up and knows these; its reports so far are passed over. */
static struct twin *begin_with(const char *const *settings, const char *hash, const char *instances)
{
    struct twin *twin = started(settings);

    reply_full(twin, hash, instances);
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_report(twin, REPORT_SYNCED, NULL);
    return twin;
}

static struct twin *begin(const char *hash, const char *instances)
{
    return begin_with(plain, hash, instances);
}

/* ---- names and data ---- */

START_TEST(a_name_is_answered_from_the_first_fetch)
{
    struct twin *twin = started(plain);
    const struct registry_report *report;
    struct http_call *call;

    twin_want(twin, "orders");
    call = expect_full(twin);
    ck_assert_str_eq(twin_http_request(call)->url, "http://e1.test:8761/eureka/apps");
    ck_assert_str_eq(twin_http_request_header(call, "Accept"), "application/json");
    twin_http_reply(call, 200, NULL,
                    document("1", "UP_2_", "ORDERS/a=192.0.2.1 ORDERS/b=192.0.2.2"));
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_report(twin, REPORT_SYNCED, NULL);
    report = twin_expect_data(twin, "orders", "192.0.2.1:80 192.0.2.2:80");
    ck_assert_uint_eq(report->validity, REPORT_UNTIL_LOST);
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

START_TEST(a_delta_adds_changes_and_removes)
{
    struct twin *twin = begin("UP_2_", "ORDERS/a=192.0.2.1 ORDERS/b=192.0.2.2");

    twin_want(twin, "orders");
    twin_expect_data(twin, "orders", "192.0.2.1:80 192.0.2.2:80");
    twin_advance(twin, 30 * SEC);
    reply_delta(twin, "2", "DOWN_1_UP_1_",
                "-ORDERS/a=192.0.2.1 ORDERS/b=192.0.2.2!DOWN "
                "ORDERS/c=192.0.2.3");
    twin_expect_data(twin, "orders", "192.0.2.2:80/critical 192.0.2.3:80");
    twin_expect_no_http(twin);
    twin_free(twin);
}
END_TEST

START_TEST(the_same_delta_twice_changes_nothing)
{
    struct twin *twin = begin("UP_1_", "ORDERS/a=192.0.2.1");

    twin_want(twin, "orders");
    twin_expect_data(twin, "orders", "192.0.2.1:80");
    for (unsigned i = 0; i < 6; i++) {
        twin_advance(twin, 30 * SEC);
        reply_delta(twin, "2", "UP_1_", "-ORDERS/a=192.0.2.1 ORDERS/b=192.0.2.2");
        if (i == 0)
            twin_expect_data(twin, "orders", "192.0.2.2:80");
        twin_expect_no_report(twin);
        twin_expect_no_http(twin);
    }
    twin_free(twin);
}
END_TEST

START_TEST(an_unknown_name_is_absent_until_it_appears)
{
    struct twin *twin = begin("UP_1_", "ORDERS/a=192.0.2.1");

    twin_want(twin, "bills");
    ck_assert_uint_eq(twin_expect_report(twin, REPORT_ABSENT, "bills")->validity,
                      REPORT_UNTIL_LOST);
    twin_advance(twin, 30 * SEC);
    reply_delta(twin, "2", "UP_2_", "BILLS/x=192.0.2.9");
    twin_expect_data(twin, "bills", "192.0.2.9:80");
    twin_advance(twin, 30 * SEC);
    reply_delta(twin, "3", "UP_1_", "-BILLS/x=192.0.2.9");
    twin_expect_report(twin, REPORT_ABSENT, "bills");
    twin_free(twin);
}
END_TEST

START_TEST(nothing_is_said_before_the_first_answer)
{
    struct twin *twin = started(plain);

    twin_want(twin, "bills");
    twin_expect_no_report(twin);
    ck_assert_uint_eq(twin_unanswered(twin), 1);
    reply_full(twin, "UP_1_", "ORDERS/a=192.0.2.1");
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_report(twin, REPORT_SYNCED, NULL);
    twin_expect_report(twin, REPORT_ABSENT, "bills");
    twin_free(twin);
}
END_TEST

START_TEST(instances_that_are_not_up_are_told_with_their_health_and_counted)
{
    struct twin *twin = begin("DOWN_1_OUT_OF_SERVICE_1_STARTING_1_UNKNOWN_1_UP_1_",
                              "A/a=192.0.2.1 A/b=192.0.2.2!DOWN A/c=192.0.2.3!STARTING "
                              "A/d=192.0.2.4!OUT_OF_SERVICE A/e=192.0.2.5!SLEEPING");

    twin_want(twin, "a");
    twin_expect_data(twin, "a",
                     "192.0.2.1:80 192.0.2.2:80/critical 192.0.2.3:80/critical "
                     "192.0.2.4:80/maintenance 192.0.2.5:80/unknown");
    twin_advance(twin, 30 * SEC);
    reply_delta(twin, "2", "DOWN_1_OUT_OF_SERVICE_1_STARTING_1_UNKNOWN_1_UP_1_", "");
    twin_expect_no_http(twin);
    twin_free(twin);
}
END_TEST

START_TEST(any_name_below_the_domain_is_a_key_and_the_domain_itself_has_no_address)
{
    struct twin *twin = begin("UP_1_", "ORDERS/a=192.0.2.1");
    struct registry_target target;

    ck_assert_str_eq(twin_resolve_key(twin, "orders.eureka.internal"), "orders");
    ck_assert_str_eq(twin_resolve_key(twin, "user_api.eureka.internal"), "user_api");
    ck_assert_str_eq(twin_resolve_key(twin, "pay.example.net.eureka.internal"), "pay.example.net");
    ck_assert_int_eq(twin_resolve(twin, "eureka.internal", &target), REGISTRY_NO_DATA);
    ck_assert_int_eq(twin_resolve(twin, "orders.internal", &target), REGISTRY_NOT_MINE);
    twin_free(twin);
}
END_TEST

/* ---- when all is fetched again ---- */

START_TEST(a_hash_that_differs_means_one_full_fetch)
{
    struct twin *twin = begin("UP_1_", "ORDERS/a=192.0.2.1");

    twin_want(twin, "orders");
    twin_expect_data(twin, "orders", "192.0.2.1:80");
    twin_advance(twin, 30 * SEC);
    reply_delta(twin, "2", "UP_2_", ""); /* a change was lost */
    reply_full_soon(twin, "UP_2_", "ORDERS/a=192.0.2.1 ORDERS/b=192.0.2.2");
    twin_expect_data(twin, "orders", "192.0.2.1:80 192.0.2.2:80");
    twin_expect_no_http(twin);
    twin_advance(twin, 30 * SEC);
    reply_delta(twin, "3", "UP_2_", "");
    twin_expect_no_http(twin);
    twin_free(twin);
}
END_TEST

START_TEST(a_hash_that_always_differs_means_ever_fewer_full_fetches)
{
    struct twin *twin = begin("UP_1_", "ORDERS/a=192.0.2.1");
    unsigned fulls = 0;

    for (unsigned polls = 0; polls < 10; polls++) {
        twin_advance(twin, 30 * SEC);
        while (twin_http_open(twin) > 0) {
            struct http_call *call = expect_full(twin);
            bool delta = strstr(twin_http_request(call)->url, "delta");

            fulls += !delta;
            twin_http_reply(call, 200, NULL,
                            document("2", "UP_7_", delta ? "" : "ORDERS/a=192.0.2.1"));
        }
    }
    ck_assert_uint_le(fulls, 5);
    ck_assert_uint_ge(fulls, 3);
    ck_assert_uint_eq(twin_log_count(twin, LOG_INFO, "changes were missed"), 1);
    twin_free(twin);
}
END_TEST

START_TEST(hosts_that_all_have_to_fetch_all_do_not_do_it_at_one_moment)
{
    for (unsigned restarted = 0; restarted < 2; restarted++) {
        unsigned early = 0, late = 0;

        for (unsigned host = 0; host < 40; host++) {
            struct twin *twin = twin_new(&registry_type_eureka,
                                         &(struct twin_options){.settings = plain, .seed = host});

            ck_assert_int_eq(twin_start(twin), 0);
            reply_full(twin, "UP_1_", "ORDERS/a=192.0.2.1");
            twin_advance(twin, 30 * SEC);
            reply_delta(twin, "7", "UP_1_", "");
            twin_advance(twin, 30 * SEC);
            reply_delta(twin, restarted ? "1" : "8", "UP_2_", "");
            twin_expect_no_http(twin);
            ck_assert_uint_le(twin_next_timer(twin), 30 * SEC / 4);
            early += twin_next_timer(twin) < 3 * SEC;
            late += twin_next_timer(twin) > 5 * SEC;
            twin_free(twin);
        }
        ck_assert_uint_ge(early, 5);
        ck_assert_uint_ge(late, 5);
    }
}
END_TEST

START_TEST(all_is_fetched_every_ten_minutes_though_the_hash_agrees)
{
    struct twin *twin = begin("UP_1_", "ORDERS/a=192.0.2.1");
    unsigned deltas = 0;

    twin_want(twin, "orders");
    twin_expect_data(twin, "orders", "192.0.2.1:80");
    for (;; deltas++) {
        struct http_call *call;

        twin_advance(twin, 30 * SEC);
        call = expect_full(twin);
        if (!strstr(twin_http_request(call)->url, "delta")) {
            /* Same count, another address: no hash could tell. */
            twin_http_reply(call, 200, NULL, document("1", "UP_1_", "ORDERS/a=192.0.2.7"));
            break;
        }
        twin_http_reply(call, 200, NULL, document("2", "UP_1_", ""));
    }
    ck_assert_uint_ge(deltas, 15);
    ck_assert_uint_le(deltas, 25);
    twin_expect_data(twin, "orders", "192.0.2.7:80");
    twin_free(twin);
}
END_TEST

START_TEST(a_server_without_deltas_is_asked_for_all)
{
    static const int statuses[] = {403, 404};

    for (size_t i = 0; i < ELEMENTS(statuses); i++) {
        struct twin *twin = begin("UP_1_", "ORDERS/a=192.0.2.1");

        twin_advance(twin, 30 * SEC);
        twin_http_reply(expect_delta(twin), statuses[i], NULL, "no");
        reply_full(twin, "UP_1_", "ORDERS/a=192.0.2.1");
        twin_advance(twin, 30 * SEC);
        reply_full(twin, "UP_1_", "ORDERS/a=192.0.2.1"); /* it is not asked for one again so soon */
        twin_expect_no_report(twin);
        twin_free(twin);
    }
}
END_TEST

START_TEST(a_delta_that_cannot_be_read_means_a_full_fetch)
{
    static const char *const bodies[] = {"",
                                         "nonsense",
                                         "{}",
                                         "[]",
                                         "{\"applications\":null}",
                                         "<applications><versions__delta>1</versions__delta>"};

    for (size_t i = 0; i < ELEMENTS(bodies); i++) {
        struct twin *twin = begin("UP_1_", "ORDERS/a=192.0.2.1");

        twin_advance(twin, 30 * SEC);
        twin_http_reply(expect_delta(twin), 200, NULL, bodies[i]);
        reply_full(twin, "UP_1_", "ORDERS/a=192.0.2.1");
        twin_advance(twin, 30 * SEC);
        reply_delta(twin, "1", "UP_1_", "");
        twin_expect_no_report(twin);
        twin_free(twin);
    }
}
END_TEST

START_TEST(after_a_long_gap_all_is_fetched)
{
    struct twin *twin = begin("UP_1_", "ORDERS/a=192.0.2.1");

    twin_advance(twin, 30 * SEC);
    reply_delta(twin, "1", "UP_1_", "");
    twin_set_now(twin, twin_now(twin) + 181 * SEC); /* the machine slept: nothing ran */
    twin_advance(twin, 0);
    reply_full(twin, "UP_1_", "ORDERS/a=192.0.2.1");
    twin_free(twin);
}
END_TEST

/* ---- failures ---- */

START_TEST(xml_is_a_failure)
{
    struct twin *twin = started(plain);
    const struct registry_report *report;

    twin_want(twin, "orders");
    twin_http_reply(expect_full(twin), 200, "Content-Type: application/xml",
                    "<applications><versions__delta>1</versions__delta></applications>");
    report = twin_expect_report(twin, REPORT_DOWN, NULL);
    ck_assert_ptr_nonnull(strstr(report->text, "JSON"));
    twin_expect_report(twin, REPORT_FAILED, "orders");
    twin_free(twin);
}
END_TEST

START_TEST(a_failure_takes_nothing_away_and_the_next_answer_says_all_again)
{
    struct twin *twin = begin("UP_2_", "ORDERS/a=192.0.2.1 BILLS/b=192.0.2.2");

    twin_want(twin, "orders");
    twin_want(twin, "bills");
    twin_want(twin, "none");
    twin_skip_reports(twin);
    twin_advance(twin, 30 * SEC);
    twin_http_fail(expect_delta(twin), HTTP_UNREACHABLE, "refused");
    twin_expect_report(twin, REPORT_DOWN, NULL);
    twin_expect_no_report(twin);
    twin_advance(twin, 3 * SEC);
    reply_delta(twin, "2", "UP_2_", "");
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_data(twin, "orders", "192.0.2.1:80");
    twin_expect_data(twin, "bills", "192.0.2.2:80");
    twin_expect_report(twin, REPORT_ABSENT, "none");
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

START_TEST(who_asks_while_it_is_down_is_told_of_the_failure)
{
    struct twin *twin = started(plain);

    twin_http_fail(expect_full(twin), HTTP_UNREACHABLE, "refused");
    twin_expect_report(twin, REPORT_DOWN, NULL);
    twin_want(twin, "orders");
    ck_assert_int_eq(twin_expect_report(twin, REPORT_FAILED, "orders")->failure, FAILURE_TRANSIENT);
    twin_refresh(twin, "orders");
    twin_expect_report(twin, REPORT_FAILED, "orders");
    twin_advance(twin, 3 * SEC);
    reply_full(twin, "UP_1_", "ORDERS/a=192.0.2.1");
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_report(twin, REPORT_SYNCED, NULL);
    twin_expect_data(twin, "orders", "192.0.2.1:80");
    twin_free(twin);
}
END_TEST

START_TEST(a_dead_server_is_asked_ever_more_seldom)
{
    struct twin *twin = started(plain);
    unsigned tries = 0;

    for (usec_t end = twin_now(twin) + 600 * SEC; twin_now(twin) < end;) {
        if (twin_http_open(twin) > 0) {
            twin_http_fail(expect_full(twin), HTTP_UNREACHABLE, "refused");
            tries++;
        }
        twin_advance(twin, SEC / 2);
    }
    ck_assert_uint_ge(tries, 20);
    ck_assert_uint_le(tries, 30);
    twin_expect_report(twin, REPORT_DOWN, NULL);
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

START_TEST(a_wish_of_the_server_is_respected)
{
    struct twin *twin = started(plain);

    twin_http_reply(expect_full(twin), 503, "Retry-After: 120", "busy");
    twin_advance(twin, 119 * SEC);
    twin_expect_no_http(twin);
    twin_advance(twin, SEC);
    reply_full(twin, "UP_1_", "ORDERS/a=192.0.2.1");
    twin_free(twin);
}
END_TEST

START_TEST(a_fetch_that_breaks_off_takes_nothing_away)
{
    struct twin *twin = begin("UP_2_", "ORDERS/a=192.0.2.1 ORDERS/b=192.0.2.2");
    struct http_call *call;
    const char *body;

    twin_want(twin, "orders");
    twin_skip_reports(twin);
    twin_advance(twin, 30 * SEC);
    reply_delta(twin, "2", "UP_9_", "");
    twin_advance(twin, 30 * SEC / 4);
    call = expect_full(twin);
    body = document("1", "UP_2_", "ORDERS/a=192.0.2.1 ORDERS/b=192.0.2.2");
    twin_http_head(call, 200, NULL);
    twin_http_chunk(call, body, strlen(body) / 2);
    twin_http_fail(call, HTTP_BROKEN, "cut off");
    twin_expect_report(twin, REPORT_DOWN, NULL);
    twin_advance(twin, 3 * SEC);
    reply_full(twin, "UP_2_", "ORDERS/a=192.0.2.1 ORDERS/b=192.0.2.2");
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_data(twin, "orders", "192.0.2.1:80 192.0.2.2:80");
    twin_free(twin);
}
END_TEST

/* ---- servers ---- */

START_TEST(another_server_is_asked_at_once_and_for_all)
{
    struct twin *twin = begin_with(two, "UP_1_", "ORDERS/a=192.0.2.1");
    struct http_call *call;

    twin_want(twin, "orders");
    twin_skip_reports(twin);
    twin_advance(twin, 30 * SEC);
    twin_http_fail(twin_expect_http(twin, "GET", "//e1.test"), HTTP_UNREACHABLE, "refused");
    call = twin_expect_http(twin, "GET", "//e2.test:8761/eureka/apps");
    ck_assert_ptr_null(strstr(twin_http_request(call)->url, "delta"));
    twin_http_reply(call, 200, NULL, document("1", "UP_1_", "ORDERS/a=192.0.2.2"));
    twin_expect_data(twin, "orders", "192.0.2.2:80"); /* and never down */
    twin_advance(twin, 30 * SEC);
    twin_http_reply(twin_expect_http(twin, "GET", "//e2.test:8761/eureka/apps/delta"), 200, NULL,
                    document("9", "UP_1_", ""));
    ck_assert_uint_eq(twin_log_count(twin, LOG_WARNING, "asking http://e2.test:8761/eureka"), 1);
    twin_free(twin);
}
END_TEST

START_TEST(a_server_that_failed_is_left_alone_and_then_used_again)
{
    struct twin *twin = begin_with(
        (const char *const[]){
            "URL", "http://e1.test/eureka http://e2.test/eureka http://e3.test/eureka", NULL},
        "UP_1_", "ORDERS/a=192.0.2.1");
    bool back = false;

    twin_advance(twin, 30 * SEC);
    twin_http_fail(twin_expect_http(twin, "GET", "//e1.test"), HTTP_TIMEOUT, "silent");
    for (unsigned minutes = 0; minutes < 15 && !back; minutes++)
        for (unsigned i = 0; i < 2 && !back; i++) {
            struct http_call *call = expect_full(twin);
            const char *url = twin_http_request(call)->url;

            back = strstr(url, "e1.test");
            ck_assert(back || strstr(url, "e2.test"));
            ck_assert(!back || minutes >= 5);
            twin_http_reply(
                call, 200, NULL,
                document("2", "UP_1_", strstr(url, "delta") ? "" : "ORDERS/a=192.0.2.1"));
            twin_advance(twin, 30 * SEC);
        }
    ck_assert(back);
    twin_free(twin);
}
END_TEST

START_TEST(it_is_down_when_three_servers_failed_in_a_row)
{
    struct twin *twin = started((const char *const[]){
        "URL", "http://e1.test/e http://e2.test/e http://e3.test/e http://e4.test/e", NULL});
    const struct registry_report *report;

    twin_http_fail(twin_expect_http(twin, "GET", "//e1.test"), HTTP_TIMEOUT, "silent");
    twin_http_reply(twin_expect_http(twin, "GET", "//e2.test"), 500, NULL, "");
    twin_expect_no_report(twin);
    twin_http_reply(twin_expect_http(twin, "GET", "//e3.test"), 302, NULL, "");
    report = twin_expect_report(twin, REPORT_DOWN, NULL);
    ck_assert_str_eq(report->text, "no server answers, last http://e3.test/e: HTTP 302");
    twin_expect_no_http(twin);
    twin_free(twin);
}
END_TEST

START_TEST(servers_of_our_zone_come_first)
{
    struct twin *twin = started((const char *const[]){"URL", "http://e1.test/e http://e2.test/e",
                                                      "ServerZones", "a b", "Zone", "b", NULL});
    const struct registry_report *report = twin_expect_report(twin, REPORT_LOCALITY, NULL);

    ck_assert_str_eq(report->zone, "b");
    twin_http_fail(twin_expect_http(twin, "GET", "//e2.test"), HTTP_UNREACHABLE, "refused");
    twin_expect_http(twin, "GET", "//e1.test");
    twin_free(twin);
}
END_TEST

START_TEST(remote_regions_are_asked_for)
{
    struct twin *twin = started(
        (const char *const[]){"RemoteRegions", "us-west-2 eu-north-1", NULL});

    twin_expect_http(twin, "GET", "http://127.0.0.1:8761/eureka/apps?regions=us-west-2,eu-north-1");
    twin_free(twin);
}
END_TEST

/* ---- restarts ---- */

START_TEST(a_restarted_server_that_knows_nothing_does_not_wipe_what_is_known)
{
    struct twin *twin = begin("UP_2_", "ORDERS/a=192.0.2.1 BILLS/b=192.0.2.2");

    twin_want(twin, "orders");
    twin_want(twin, "bills");
    twin_skip_reports(twin);
    twin_advance(twin, 30 * SEC);
    reply_delta(twin, "7", "UP_2_", "");
    twin_advance(twin, 30 * SEC);
    reply_delta(twin, "1", "", ""); /* its counter starts over */
    reply_full_soon(twin, "", "");
    twin_expect_report(twin, REPORT_SUSPECT, "orders");
    twin_expect_report(twin, REPORT_SUSPECT, "bills");
    twin_expect_log(twin, LOG_WARNING, "was restarted and lists 0 of 2 instances");
    ck_assert(json_is_true(json_object_get(twin_describe(twin), "suspect")));
    /* The first one registers again, the other one never. */
    twin_advance(twin, 30 * SEC);
    reply_delta(twin, "2", "UP_1_", "ORDERS/a=192.0.2.1");
    twin_expect_data(twin, "orders", "192.0.2.1:80");
    twin_expect_no_report(twin);
    for (unsigned i = 0; i < 4; i++) {
        twin_advance(twin, 30 * SEC);
        if (twin_http_open(twin) > 0)
            reply_delta(twin, "2", "UP_1_", "");
    }
    twin_expect_report(twin, REPORT_ABSENT, "bills");
    twin_expect_no_report(twin);
    ck_assert(json_is_false(json_object_get(twin_describe(twin), "suspect")));
    twin_free(twin);
}
END_TEST

START_TEST(a_server_that_comes_back_without_its_memory_tells_no_absence_before_all_was_fetched)
{
    static const char *const versions[] = {"1", "7"}; /* its counter may be where it was */

    for (unsigned i = 0; i < ELEMENTS(versions); i++) {
        struct twin *twin = begin("UP_1_", "ORDERS/a=192.0.2.1");

        twin_advance(twin, 30 * SEC);
        reply_delta(twin, "7", "UP_1_", "");
        twin_advance(twin, 30 * SEC);
        twin_http_fail(expect_delta(twin), HTTP_UNREACHABLE, "refused");
        twin_expect_report(twin, REPORT_DOWN, NULL);
        twin_advance(twin, 3 * SEC);
        reply_delta(twin, versions[i], "", "");
        twin_want(twin, "none");
        twin_expect_report(twin, REPORT_FAILED, "none");
        reply_full_soon(twin, "", "");
        twin_expect_report(twin, REPORT_UP, NULL);
        twin_expect_report(twin, REPORT_SUSPECT, "none");
        twin_free(twin);
    }
}
END_TEST

START_TEST(while_a_restarted_server_is_doubted_no_name_is_absent)
{
    struct twin *twin = begin("UP_2_", "ORDERS/a=192.0.2.1 BILLS/b=192.0.2.2");

    twin_advance(twin, 30 * SEC);
    reply_delta(twin, "7", "UP_2_", "");
    twin_advance(twin, 30 * SEC);
    reply_delta(twin, "1", "UP_1_", "");
    reply_full_soon(twin, "UP_1_", "ORDERS/a=192.0.2.1");
    twin_want(twin, "orders");
    twin_want(twin, "bills");
    twin_want(twin, "none");
    twin_expect_data(twin, "orders", "192.0.2.1:80");
    ck_assert_str_eq(
        twin_endpoints(twin, twin_expect_report(twin, REPORT_SUSPECT, "bills")->endpoints),
        "192.0.2.2:80");
    ck_assert_uint_eq(twin_expect_report(twin, REPORT_SUSPECT, "none")->endpoints->count, 0);
    twin_free(twin);
}
END_TEST

START_TEST(a_removal_that_is_told_is_believed_at_once_even_of_all)
{
    struct twin *twin = begin("UP_2_", "ORDERS/a=192.0.2.1 ORDERS/b=192.0.2.2");

    twin_want(twin, "orders");
    twin_skip_reports(twin);
    twin_advance(twin, 30 * SEC);
    reply_delta(twin, "2", "", "-ORDERS/a=192.0.2.1 -ORDERS/b=192.0.2.2");
    twin_expect_report(twin, REPORT_ABSENT, "orders");
    twin_expect_no_http(twin);
    twin_free(twin);
}
END_TEST

START_TEST(a_removal_is_believed_too_of_an_instance_that_is_kept_in_doubt)
{
    struct twin *twin = begin("UP_2_", "ORDERS/a=192.0.2.1 ORDERS/b=192.0.2.2");

    twin_want(twin, "orders");
    twin_skip_reports(twin);
    twin_advance(twin, 30 * SEC);
    reply_delta(twin, "7", "UP_2_", "");
    twin_advance(twin, 30 * SEC);
    reply_delta(twin, "1", "UP_1_", "");
    reply_full_soon(twin, "UP_1_", "ORDERS/a=192.0.2.1");
    ck_assert_str_eq(
        twin_endpoints(twin, twin_expect_report(twin, REPORT_SUSPECT, "orders")->endpoints),
        "192.0.2.1:80 192.0.2.2:80");
    twin_advance(twin, 30 * SEC);
    reply_delta(twin, "2", "UP_1_", "-ORDERS/b=192.0.2.2");
    twin_expect_data(twin, "orders", "192.0.2.1:80");
    twin_free(twin);
}
END_TEST

START_TEST(another_server_that_lists_a_little_less_is_believed_and_one_that_lists_half_is_not)
{
    static const char *const four = "A/a=192.0.2.1 A/b=192.0.2.2 A/c=192.0.2.3 A/d=192.0.2.4";

    for (unsigned i = 0; i < 2; i++) {
        struct twin *twin = begin_with(two, "UP_4_", four);

        twin_want(twin, "a");
        twin_skip_reports(twin);
        twin_advance(twin, 30 * SEC);
        twin_http_fail(twin_expect_http(twin, "GET", "//e1.test"), HTTP_UNREACHABLE, "refused");
        if (i == 0) {
            reply_full(twin, "UP_3_", "A/a=192.0.2.1 A/b=192.0.2.2 A/c=192.0.2.3");
            twin_expect_data(twin, "a", "192.0.2.1:80 192.0.2.2:80 192.0.2.3:80");
        } else {
            reply_full(twin, "UP_1_", "A/a=192.0.2.1");
            twin_expect_report(twin, REPORT_SUSPECT, "a");
        }
        twin_free(twin);
    }
}
END_TEST

START_TEST(a_server_that_lists_nothing_at_first_proves_no_absence)
{
    struct twin *twin = started(plain);

    twin_want(twin, "orders");
    reply_full(twin, "", "");
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_report(twin, REPORT_SYNCED, NULL);
    twin_expect_report(twin, REPORT_SUSPECT, "orders");
    for (unsigned i = 0; i < 5; i++) {
        twin_expect_no_report(twin);
        twin_advance(twin, 30 * SEC);
        if (twin_http_open(twin) > 0)
            reply_delta(twin, "1", "", "");
    }
    twin_expect_report(twin, REPORT_ABSENT, "orders");
    twin_free(twin);
}
END_TEST

/* ---- time ---- */

START_TEST(polls_come_just_after_the_cache_of_the_server_is_filled_anew)
{
    struct twin *twin = started(plain);
    usec_t began = twin_now(twin), since, next;

    /* On the server it is 12:00:11 when this is answered, give or take a second. */
    twin_http_reply(expect_full(twin), 200, "Date: Sun, 22 Nov 2026 12:00:11 GMT",
                    document("1", "UP_1_", "ORDERS/a=192.0.2.1"));
    next = twin_next_timer(twin);
    ck_assert_uint_ge(next, 18 * SEC);
    ck_assert_uint_le(next, 21 * SEC);
    twin_advance(twin, next);
    since = twin_now(twin) - began;
    ck_assert_uint_ge(since, 19 * SEC + 300 * USEC_PER_MSEC);
    ck_assert_uint_le(since, 20 * SEC + 200 * USEC_PER_MSEC);
    twin_http_reply(expect_delta(twin), 200, "Date: Sun, 22 Nov 2026 12:00:30 GMT",
                    document("1", "UP_1_", ""));
    next = twin_next_timer(twin);
    ck_assert_uint_ge(next, 29 * SEC);
    ck_assert_uint_le(next, 31 * SEC);
    twin_free(twin);
}
END_TEST

/* ---- credentials ---- */

static char *make_file(const char *text)
{
    char *path = strdup("/tmp/nss-sd-eureka-XXXXXX");
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    fputs(text, file);
    fclose(file);
}

START_TEST(user_and_password_come_from_a_file_and_show_nowhere)
{
    _cleanup_(freep) char *path = make_file("reader:s3cr:et\n");
    const char *const settings[] = {"CredentialsFile", path, NULL};
    struct twin *twin = twin_new(&registry_type_eureka,
                                 &(struct twin_options){.settings = settings});
    struct http_call *call;

    twin_forbid(twin, "s3cr");
    twin_forbid(twin, "0ther");
    twin_start(twin);
    call = expect_full(twin);
    ck_assert_str_eq(twin_http_request(call)->username, "reader");
    ck_assert_str_eq(twin_http_request(call)->password, "s3cr:et");
    ck_assert_ptr_null(strstr(twin_http_request(call)->url, "s3cr"));
    twin_http_reply(call, 401, NULL, "no");
    ck_assert_str_eq(twin_expect_report(twin, REPORT_DOWN, NULL)->text,
                     "http://127.0.0.1:8761/eureka: HTTP 401");
    twin_describe(twin);
    /* Another password: asked at once, without waiting for the end of the pause. */
    write_file(path, "reader:0ther\n");
    twin_path_changed(twin, path);
    call = expect_full(twin);
    ck_assert_str_eq(twin_http_request(call)->password, "0ther");
    unlink(path);
    twin_free(twin);
}
END_TEST

START_TEST(nothing_is_asked_without_the_credentials_that_are_configured)
{
    static const char *const texts[] = {"no-colon", ":password", "\n"};

    for (size_t i = 0; i < ELEMENTS(texts); i++) {
        _cleanup_(freep) char *path = make_file(texts[i]);
        const char *const settings[] = {"CredentialsFile", path, NULL};
        struct twin *twin = started(settings);

        twin_expect_no_http(twin);
        twin_expect_report(twin, REPORT_DOWN, NULL);
        twin_expect_log(twin, LOG_ERR, "does not hold USER:PASSWORD");
        write_file(path, "reader:secret");
        twin_path_changed(twin, path);
        ck_assert_str_eq(twin_http_request(expect_full(twin))->username, "reader");
        unlink(path);
        twin_free(twin);
    }
}
END_TEST

/* ---- verbs ---- */

START_TEST(a_changed_interval_keeps_what_is_known_and_another_server_does_not)
{
    struct twin *twin = begin("UP_1_", "ORDERS/a=192.0.2.1");

    twin_want(twin, "orders");
    twin_skip_reports(twin);
    twin_reload(
        twin, (const char *const[]){"URL", "http://e1.test:8761/eureka/", "PollSec", "60s", NULL});
    twin_expect_no_report(twin);
    reply_full(twin, "UP_1_", "ORDERS/a=192.0.2.1");
    twin_expect_no_report(twin);
    twin_advance(twin, 59 * SEC);
    twin_expect_no_http(twin);
    twin_reload(twin, (const char *const[]){"URL", "http://e9.test:8761/eureka/", NULL});
    twin_expect_http(twin, "GET", "//e9.test");
    twin_free(twin);
}
END_TEST

START_TEST(a_kick_polls_now_and_does_not_disturb_a_poll_under_way)
{
    struct twin *twin = begin("UP_1_", "ORDERS/a=192.0.2.1");

    twin_kick(twin);
    twin_kick(twin);
    ck_assert_uint_eq(twin_http_open(twin), 1);
    reply_delta(twin, "1", "UP_1_", "");
    twin_expect_no_http(twin);
    twin_free(twin);
}
END_TEST

START_TEST(what_is_dropped_is_not_reported_any_more)
{
    struct twin *twin = begin("UP_1_", "ORDERS/a=192.0.2.1");

    twin_want(twin, "orders");
    twin_expect_data(twin, "orders", "192.0.2.1:80");
    twin_refresh(twin, "orders");
    twin_expect_data(twin, "orders", "192.0.2.1:80");
    twin_drop(twin, "orders");
    twin_advance(twin, 30 * SEC);
    reply_delta(twin, "2", "UP_1_", "ORDERS/a=192.0.2.2");
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

START_TEST(status_tells_servers_instances_and_fetches)
{
    struct twin *twin = begin_with(two, "DOWN_1_UP_1_", "A/a=192.0.2.1 A/b=192.0.2.2!DOWN");
    const json_t *status = twin_describe(twin), *server;

    ck_assert_uint_eq(json_array_size(json_object_get(status, "servers")), 2);
    server = json_array_get(json_object_get(status, "servers"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(server, "state")), "current");
    ck_assert_str_eq(json_string_value(json_object_get(server, "url")),
                     "http://e1.test:8761/eureka");
    ck_assert_int_eq(json_integer_value(json_object_get(status, "instances")), 2);
    ck_assert_int_eq(json_integer_value(json_object_get(status, "instances_up")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(status, "full_fetches")), 1);
    twin_free(twin);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("eureka");

    UNIT_CASE(suite, "stories", a_name_is_answered_from_the_first_fetch,
              a_delta_adds_changes_and_removes, the_same_delta_twice_changes_nothing,
              an_unknown_name_is_absent_until_it_appears, nothing_is_said_before_the_first_answer,
              instances_that_are_not_up_are_told_with_their_health_and_counted,
              any_name_below_the_domain_is_a_key_and_the_domain_itself_has_no_address,
              a_hash_that_differs_means_one_full_fetch,
              a_hash_that_always_differs_means_ever_fewer_full_fetches,
              hosts_that_all_have_to_fetch_all_do_not_do_it_at_one_moment,
              all_is_fetched_every_ten_minutes_though_the_hash_agrees,
              a_server_without_deltas_is_asked_for_all,
              a_delta_that_cannot_be_read_means_a_full_fetch, after_a_long_gap_all_is_fetched,
              xml_is_a_failure, a_failure_takes_nothing_away_and_the_next_answer_says_all_again,
              who_asks_while_it_is_down_is_told_of_the_failure,
              a_dead_server_is_asked_ever_more_seldom, a_wish_of_the_server_is_respected,
              a_fetch_that_breaks_off_takes_nothing_away,
              another_server_is_asked_at_once_and_for_all,
              a_server_that_failed_is_left_alone_and_then_used_again,
              it_is_down_when_three_servers_failed_in_a_row, servers_of_our_zone_come_first,
              remote_regions_are_asked_for,
              a_restarted_server_that_knows_nothing_does_not_wipe_what_is_known,
              a_server_that_comes_back_without_its_memory_tells_no_absence_before_all_was_fetched,
              while_a_restarted_server_is_doubted_no_name_is_absent,
              a_removal_that_is_told_is_believed_at_once_even_of_all,
              a_removal_is_believed_too_of_an_instance_that_is_kept_in_doubt,
              another_server_that_lists_a_little_less_is_believed_and_one_that_lists_half_is_not,
              a_server_that_lists_nothing_at_first_proves_no_absence,
              polls_come_just_after_the_cache_of_the_server_is_filled_anew,
              user_and_password_come_from_a_file_and_show_nowhere,
              nothing_is_asked_without_the_credentials_that_are_configured,
              a_changed_interval_keeps_what_is_known_and_another_server_does_not,
              a_kick_polls_now_and_does_not_disturb_a_poll_under_way,
              what_is_dropped_is_not_reported_any_more, status_tells_servers_instances_and_fetches);
    return suite;
}

UNIT_MAIN(make_suite)
