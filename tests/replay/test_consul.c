/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Consul registry as stories: what it asks and reports when agents answer, fail, lie and come
 * back. The traps of the Consul API that are known have a story each, named after the trap.
 */
#include "tests/replay/twin.h"
#include "tests/unit/unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <syslog.h>

extern const struct registry_type registry_type_consul;

#define SECONDS *USEC_PER_SEC

/* Without probes, so that time can pass in a story that is not about them. */
static const char *const plain[] = {"ProbeSec", "infinity", "WaitSec", "300s", NULL};

/* ---- the words of the stories ---- */

static struct http_call *expect(struct twin *twin, const char *url)
{
    return twin_expect_http(twin, "GET", url);
}

static void expect_url(const struct http_call *call, const char *url)
{
    ck_assert_str_eq(twin_http_request(call)->url, url);
}

static void reply(struct http_call *call, const char *index, const char *body)
{
    char headers[64];

    snprintf(headers, sizeof(headers), "X-Consul-Index: %s", index);
    twin_http_reply(call, 200, headers, body);
}

/* "a=10.0.0.1 b=10.0.0.2!critical" as an answer of /v1/health/service. */
static const char *instances(const char *text)
{
    static char body[8192];
    char copy[1024], *rest = copy, *word;
    size_t at = 1;

    snprintf(copy, sizeof(copy), "%s", text);
    strcpy(body, "[");
    while ((word = strsep(&rest, " ")) && *word) {
        char *address = strchr(word, '='), *status;

        *address++ = '\0';
        status = strchr(address, '!');
        if (status)
            *status++ = '\0';
        at += (size_t)snprintf(body + at, sizeof(body) - at,
                               "%s{\"Node\":{\"Node\":\"n\",\"Address\":\"%s\","
                               "\"Datacenter\":\"dc1\"},\"Service\":{\"ID\":\"%s\"},\"Checks\":"
                               "[{\"CheckID\":\"c\",\"Status\":\"%s\"}]}",
                               at > 1 ? "," : "", address, word, status ?: "passing");
    }
    strcpy(body + at, "]");
    return body;
}

/* The catalogue with these services, and "consul", which is always there. */
static const char *names(const char *text)
{
    static char body[1024];
    char copy[512], *rest = copy, *word;
    size_t at;

    snprintf(copy, sizeof(copy), "%s", text);
    at = (size_t)snprintf(body, sizeof(body), "{\"consul\":[]");
    while ((word = strsep(&rest, " ")) && *word)
        at += (size_t)snprintf(body + at, sizeof(body) - at, ",\"%s\":[\"v1\"]", word);
    strcpy(body + at, "}");
    return body;
}

#define ROOTS "/v1/agent/connect/ca/roots"

static void roots(struct http_call *call, const char *trust_domain)
{
    char body[128];

    snprintf(body, sizeof(body), "{\"TrustDomain\":\"%s\"}", trust_domain);
    twin_http_reply(call, 200, NULL, body);
}

/* A registry that has come up, with this catalogue; its reports so far are passed over. */
static struct twin *begin_with(const char *const *settings, const char *services)
{
    struct twin *twin = twin_new(&registry_type_consul,
                                 &(struct twin_options){.settings = settings});

    ck_assert_int_eq(twin_start(twin), 0);
    twin_http_reply(expect(twin, "/v1/status/leader"), 200, NULL, "\"10.0.0.5:8300\"");
    twin_http_reply(expect(twin, "/v1/agent/self"), 200, NULL,
                    "{\"Config\":{\"Datacenter\":\"dc1\",\"NodeName\":\"n\"},"
                    "\"Meta\":{\"zone\":\"z\"}}");
    roots(expect(twin, ROOTS), "11111111-2222-3333-4444-555555555555.consul");
    reply(expect(twin, "/v1/catalog/services"), "10", names(services));
    twin_skip_reports(twin);
    return twin;
}

static struct twin *begin(const char *services)
{
    return begin_with(plain, services);
}

/* Wants service/orders, which has the one instance 10.0.0.1, and returns its parked call. */
static struct http_call *orders_parked(struct twin *twin)
{
    twin_want(twin, "service/orders");
    reply(expect(twin, "/v1/health/service/orders"), "100", instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/orders", "10.0.0.1");
    return expect(twin, "/v1/health/service/orders?stale&index=100");
}

static void pass(struct twin *twin, usec_t duration)
{
    twin_advance(twin, duration);
}

/* Lets time pass until one more call is open than now; how long that took. */
static usec_t pass_until_call(struct twin *twin)
{
    unsigned open = twin_http_open(twin);
    usec_t since = twin_now(twin);

    while (twin_http_open(twin) <= open) {
        ck_assert_uint_lt(twin_now(twin) - since, 600 SECONDS);
        pass(twin, twin_next_timer(twin));
    }
    return twin_now(twin) - since;
}

static char token_path[] = "/tmp/nss-sd-token-XXXXXX";
static bool token_made;

static void token_write(const char *token)
{
    FILE *file;

    if (!token_made)
        close(mkstemp(token_path));
    token_made = true;
    file = fopen(token_path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(token, file);
    fclose(file);
}

static void token_forget(void)
{
    if (token_made)
        unlink(token_path);
    token_made = false;
    strcpy(token_path + strlen(token_path) - 6, "XXXXXX");
}

/* ---- the ordinary day ---- */

START_TEST(starting_says_up_synced_and_where_we_are)
{
    struct twin *twin = twin_new(&registry_type_consul, &(struct twin_options){.settings = plain});
    const struct registry_report *report;

    twin_start(twin);
    twin_expect_no_report(twin);
    twin_http_reply(expect(twin, "/v1/agent/self"), 200, NULL,
                    "{\"Config\":{\"Datacenter\":\"dc1\",\"NodeName\":\"Web-A1\"},\"Meta\":{}}");
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_http_reply(expect(twin, "/v1/catalog/node/web-a1"), 200, NULL,
                    "{\"Node\":{\"Locality\":{\"Region\":\"eu\",\"Zone\":\"eu-a\"}}}");
    report = twin_expect_report(twin, REPORT_LOCALITY, NULL);
    ck_assert_str_eq(report->zone, "eu-a");
    ck_assert_str_eq(report->region, "eu");
    reply(expect(twin, "/v1/catalog/services"), "10", names("orders"));
    twin_expect_report(twin, REPORT_SYNCED, NULL);
    expect_url(expect(twin, "/v1/catalog/services"),
               "http://127.0.0.1:8500/v1/catalog/services?stale&index=10&wait=300000ms");
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

START_TEST(a_service_is_read_and_then_followed)
{
    struct twin *twin = begin("orders");
    struct http_call *call;
    const struct registry_report *report;

    ck_assert_str_eq(twin_resolve_key(twin, "v1.orders.service.consul"), "service/orders");
    twin_want(twin, "service/orders");
    call = expect(twin, "/v1/health/");
    expect_url(call, "http://127.0.0.1:8500/v1/health/service/orders?stale");
    reply(call, "100", instances("a=10.0.0.1 b=10.0.0.2!critical"));
    report = twin_expect_data(twin, "service/orders", "10.0.0.1 10.0.0.2/critical");
    ck_assert_uint_eq(report->validity, REPORT_UNTIL_LOST);
    ck_assert_uint_eq(report->flags, REPORT_EMPTY_IS_ABSENT);
    call = expect(twin, "/v1/health/");
    expect_url(call, "http://127.0.0.1:8500/v1/health/service/orders?stale&index=100&"
                     "wait=300000ms");
    ck_assert_uint_ge(twin_http_request(call)->timeout, 300 * 17 / 16 SECONDS + 17 SECONDS);
    ck_assert_uint_eq(twin_http_request(call)->max_body, 16 << 20);
    reply(call, "101", instances("a=10.0.0.1!critical b=10.0.0.2"));
    twin_expect_data(twin, "service/orders", "10.0.0.1/critical 10.0.0.2");
    twin_drop(twin, "service/orders");
    expect(twin, "/v1/catalog/services");
    twin_expect_no_http(twin);
    ck_assert_uint_eq(twin_http_open(twin), 1);
    twin_free(twin);
}
END_TEST

START_TEST(an_absent_service_costs_no_call_and_is_there_when_it_appears)
{
    struct twin *twin = begin("other");
    struct http_call *catalogue = expect(twin, "/v1/catalog/services");
    const struct registry_report *report;

    twin_want(twin, "service/orders");
    report = twin_expect_report(twin, REPORT_ABSENT, "service/orders");
    ck_assert_uint_eq(report->validity, REPORT_UNTIL_LOST);
    twin_expect_no_http(twin);
    reply(catalogue, "11", names("other Orders"));
    reply(expect(twin, "/v1/health/service/orders"), "11", instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/orders", "10.0.0.1");
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

/* Down, and up again. */
static void restart_agent(struct twin *twin)
{
    twin_http_fail(expect(twin, "/v1/catalog/services"), HTTP_UNREACHABLE, "connection refused");
    twin_expect_report(twin, REPORT_DOWN, NULL);
    twin_http_reply(expect(twin, "/v1/status/leader"), 200, NULL, "\"10.0.0.5:8300\"");
    twin_expect_report(twin, REPORT_UP, NULL);
}

START_TEST(which_cluster_answers_is_told_once_and_anew_when_it_is_another)
{
    struct twin *twin = begin("");
    const struct registry_report *report;

    restart_agent(twin);
    roots(expect(twin, ROOTS), "11111111-2222-3333-4444-555555555555.consul");
    twin_expect_no_report(twin);
    reply(expect(twin, "/v1/catalog/services"), "10", names(""));
    restart_agent(twin);
    roots(expect(twin, ROOTS), "66666666-2222-3333-4444-555555555555.consul");
    report = twin_expect_report(twin, REPORT_IDENTITY, NULL);
    ck_assert_str_eq(report->text, "dc1 66666666-2222-3333-4444-555555555555.consul");
    twin_free(twin);
}
END_TEST

START_TEST(which_cluster_answers_is_asked_a_few_times_and_changes_nothing_else)
{
    struct twin *twin = begin("");

    restart_agent(twin);
    reply(expect(twin, "/v1/catalog/services"), "10", names(""));
    for (unsigned tries = 1;; tries++) {
        twin_http_reply(expect(twin, ROOTS), 429, NULL, "Your IP is issuing too many connections");
        if (tries == 6)
            break;
        pass_until_call(twin);
    }
    ck_assert(json_is_false(json_object_get(twin_describe(twin), "throttled")));
    for (unsigned minutes = 0; minutes < 10; minutes++) {
        reply(expect(twin, "/v1/catalog/services"), "10", names(""));
        pass(twin, 60 SECONDS);
    }
    expect(twin, "/v1/catalog/services");
    twin_expect_no_http(twin);
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

START_TEST(the_last_instance_gone_is_absence)
{
    struct twin *twin = begin("orders");
    struct http_call *catalogue = expect(twin, "/v1/catalog/services");
    struct http_call *orders = orders_parked(twin);

    /* The catalogue lags: still there, nobody home. Then it follows. */
    reply(orders, "101", "[]");
    twin_expect_data(twin, "service/orders", "");
    expect(twin, "/v1/health/service/orders");
    reply(catalogue, "102", names(""));
    twin_expect_report(twin, REPORT_ABSENT, "service/orders");
    expect(twin, "/v1/catalog/services");
    ck_assert_uint_eq(twin_http_open(twin), 1);
    twin_free(twin);
}
END_TEST

START_TEST(a_refresh_reads_anew_and_reports_without_news)
{
    struct twin *twin = begin("orders");
    struct http_call *parked = orders_parked(twin);

    twin_refresh(twin, "service/orders");
    ck_assert(twin_http_gone(twin, parked));
    parked = expect(twin, "/v1/health/service/orders");
    expect_url(parked, "http://127.0.0.1:8500/v1/health/service/orders?stale");
    reply(parked, "100", instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/orders", "10.0.0.1");
    twin_refresh(twin, "service/orders");
    twin_refresh(twin, "service/orders");
    reply(expect(twin, "/v1/health/service/orders?stale"), "100", instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/orders", "10.0.0.1");
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

START_TEST(nodes_queries_and_addresses_are_answered)
{
    struct twin *twin = begin("");
    const struct registry_report *report;
    struct http_call *call;

    twin_want(twin, "node/web-1");
    reply(expect(twin, "/v1/catalog/node/web-1"), "5",
          "{\"Node\":{\"Node\":\"web-1\",\"Address\":\"10.0.0.7\"},\"Services\":{}}");
    report = twin_expect_data(twin, "node/web-1", "10.0.0.7");
    ck_assert_uint_eq(report->flags, 0);
    expect(twin, "/v1/catalog/node/web-1?stale&index=5");

    twin_want(twin, "query/nearest");
    call = expect(twin, "/v1/query/nearest/execute");
    twin_http_reply(call, 200, NULL,
                    "{\"Nodes\":[{\"Node\":{\"Node\":\"n\",\"Address\":\"10.0.0.8\"},"
                    "\"Service\":{\"ID\":\"q\"}}],\"DNS\":{\"TTL\":\"30s\"},"
                    "\"Datacenter\":\"dc1\"}");
    report = twin_expect_data(twin, "query/nearest", "10.0.0.8");
    ck_assert_uint_eq(report->validity, 30 SECONDS);
    twin_want(twin, "query/none");
    twin_http_reply(expect(twin, "/v1/query/none/execute"), 404, NULL, "Query not found");
    report = twin_expect_report(twin, REPORT_ABSENT, "query/none");
    ck_assert_uint_eq(report->validity, 10 SECONDS);

    ck_assert_str_eq(twin_resolve_key(twin, "0a000009.addr.consul"), "addr/0a000009");
    twin_want(twin, "addr/0a000009");
    report = twin_expect_data(twin, "addr/0a000009", "10.0.0.9");
    ck_assert_uint_lt(report->validity, REPORT_UNTIL_LOST);
    twin_refresh(twin, "addr/0a000009");
    twin_expect_data(twin, "addr/0a000009", "10.0.0.9");
    twin_want(twin, "addr/e0000001");
    twin_expect_data(twin, "addr/e0000001", "");
    expect(twin, "/v1/catalog/services");
    pass(twin, 60 SECONDS);
    twin_expect_no_http(twin); /* queries are asked when the core asks */
    twin_refresh(twin, "query/nearest");
    expect(twin, "/v1/query/nearest/execute");
    twin_free(twin);
}
END_TEST

START_TEST(other_places_are_asked_with_their_words)
{
    struct twin *twin = begin("orders");

    twin_want(twin, twin_resolve_key(twin, "orders.service.dc2.consul"));
    expect_url(expect(twin, "dc="), "http://127.0.0.1:8500/v1/health/service/orders?dc=dc2&stale");
    twin_want(twin, twin_resolve_key(twin, "orders.service.east.peer.consul"));
    expect_url(expect(twin, "peer="),
               "http://127.0.0.1:8500/v1/health/service/orders?peer=east&stale");
    twin_free(twin);
}
END_TEST

START_TEST(the_wan_address_counts_as_soon_as_the_own_datacentre_is_known)
{
    static const char remote[] =
        "[{\"Node\":{\"Node\":\"n\",\"Address\":\"10.0.0.1\",\"Datacenter\":\"dc2\","
        "\"TaggedAddresses\":{\"wan\":\"198.51.100.1\"}},\"Service\":{\"ID\":\"a\"}}]";
    struct twin *twin = twin_new(&registry_type_consul, &(struct twin_options){.settings = plain});

    twin_start(twin);
    twin_want(twin, "service/orders?dc=dc2");
    reply(expect(twin, "/v1/health/service/orders?dc=dc2"), "7", remote);
    twin_skip_reports(twin);
    expect(twin, "/v1/health/service/orders?dc=dc2&stale&index=7");
    twin_http_reply(expect(twin, "/v1/agent/self"), 403, NULL, "Permission denied");
    twin_want(twin, "service/local");
    reply(expect(twin, "/v1/health/service/local"), "8", instances("l=10.9.9.9"));
    twin_expect_data(twin, "service/local", "10.9.9.9");
    reply(expect(twin, "/v1/health/service/orders?dc=dc2"), "7", remote);
    twin_expect_data(twin, "service/orders?dc=dc2", "198.51.100.1");
    twin_free(twin);
}
END_TEST

START_TEST(an_absent_service_elsewhere_is_asked_for_again_now_and_then)
{
    struct twin *twin = begin("");
    const struct registry_report *report;

    expect(twin, "/v1/catalog/services");
    twin_want(twin, "service/orders?dc=dc2");
    reply(expect(twin, "/v1/health/service/orders"), "7", "[]");
    report = twin_expect_report(twin, REPORT_ABSENT, "service/orders?dc=dc2");
    ck_assert_uint_eq(report->validity, 60 SECONDS);
    twin_expect_no_http(twin);
    pass(twin, 40 SECONDS);
    reply(expect(twin, "/v1/health/service/orders"), "9", instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/orders?dc=dc2", "10.0.0.1");
    twin_free(twin);
}
END_TEST

/* ---- traps ---- */

START_TEST(trap_1_an_error_with_an_index_changes_nothing)
{
    struct twin *twin = begin("orders");
    struct http_call *call = orders_parked(twin);
    const struct registry_report *report;

    twin_http_reply(call, 500, "X-Consul-Index: 1\nX-Consul-KnownLeader: false",
                    "No cluster leader");
    report = twin_expect_report(twin, REPORT_FAILED, "service/orders");
    ck_assert_int_eq(report->failure, FAILURE_TRANSIENT);
    ck_assert_str_eq(report->text, "HTTP 500: No cluster leader");
    twin_expect_no_report(twin);
    pass(twin, 2 SECONDS);
    call = expect(twin, "/v1/health/service/orders");
    expect_url(call, "http://127.0.0.1:8500/v1/health/service/orders?stale");
    reply(call, "100", instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/orders", "10.0.0.1");
    twin_free(twin);
}
END_TEST

START_TEST(trap_2_an_index_that_goes_back_starts_over_and_zero_counts_as_one)
{
    struct twin *twin = begin("orders");
    struct http_call *call = orders_parked(twin);

    reply(call, "40", instances("a=10.0.0.2"));
    twin_expect_data(twin, "service/orders", "10.0.0.2");
    call = expect(twin, "/v1/health/service/orders");
    expect_url(call, "http://127.0.0.1:8500/v1/health/service/orders?stale");
    reply(call, "40", instances("a=10.0.0.2"));
    twin_expect_no_report(twin);
    call = expect(twin, "/v1/health/service/orders?stale&index=40");
    reply(call, "0", instances("a=10.0.0.3"));
    twin_expect_data(twin, "service/orders", "10.0.0.3");
    expect(twin, "/v1/health/service/orders?stale&index=1&");
    twin_free(twin);
}
END_TEST

/* ---- servers that have just started ---- */

/* An answer of a server that has no leader yet, as Consul gives it to a stale read. */
static void reply_without_leader(struct http_call *call, const char *body)
{
    twin_http_reply(call, 200, "X-Consul-Index: 1\nX-Consul-KnownLeader: false", body);
}

START_TEST(a_server_without_a_leader_cannot_empty_a_service)
{
    struct twin *twin = begin("orders");
    struct http_call *call = orders_parked(twin);
    const struct registry_report *report;

    expect(twin, "/v1/catalog/services");
    reply_without_leader(call, "[]");
    report = twin_expect_report(twin, REPORT_SUSPECT, "service/orders");
    ck_assert_str_eq(twin_endpoints(twin, report->endpoints), "10.0.0.1");
    /* It is asked again soon, and does not wait for a change. */
    pass(twin, 2 SECONDS);
    call = expect(twin, "/v1/health/service/orders");
    expect_url(call, "http://127.0.0.1:8500/v1/health/service/orders?stale");
    reply_without_leader(call, "[]");
    twin_expect_no_report(twin);
    pass(twin, 2 SECONDS);
    reply(expect(twin, "/v1/health/service/orders?stale"), "100", instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/orders", "10.0.0.1");
    expect(twin, "/v1/health/service/orders?stale&index=100");
    twin_free(twin);
}
END_TEST

START_TEST(what_was_removed_while_a_server_started_is_gone_once_it_has_a_leader)
{
    struct twin *twin = begin("orders");
    struct http_call *call = orders_parked(twin);

    reply_without_leader(call, "[]");
    twin_expect_report(twin, REPORT_SUSPECT, "service/orders");
    pass(twin, 2 SECONDS);
    twin_http_reply(expect(twin, "/v1/health/service/orders?stale"), 200,
                    "X-Consul-Index: 101\nX-Consul-KnownLeader: true", "[]");
    twin_expect_data(twin, "service/orders", "");
    twin_free(twin);
}
END_TEST

START_TEST(a_server_that_lost_its_memory_is_believed_only_after_a_while)
{
    struct twin *twin = begin("orders");
    struct http_call *call = orders_parked(twin);
    usec_t since = twin_now(twin);

    expect(twin, "/v1/catalog/services");
    reply(call, "7", "[]");
    twin_expect_report(twin, REPORT_SUSPECT, "service/orders");
    for (;;) {
        pass(twin, 2 SECONDS);
        reply(expect(twin, "/v1/health/service/orders?stale"), "7", "[]");
        if (twin_now(twin) >= since + 180 SECONDS)
            break;
        twin_expect_no_report(twin);
    }
    twin_expect_data(twin, "service/orders", "");
    twin_free(twin);
}
END_TEST

START_TEST(an_instance_that_registers_anew_ends_the_doubt)
{
    struct twin *twin = begin("orders");
    struct http_call *call = orders_parked(twin);

    reply(call, "7", "[]");
    twin_expect_report(twin, REPORT_SUSPECT, "service/orders");
    pass(twin, 2 SECONDS);
    reply(expect(twin, "/v1/health/service/orders?stale"), "8", instances("b=10.0.0.2"));
    twin_expect_data(twin, "service/orders", "10.0.0.2");
    /* From here on that server's index counts: an instance removed is gone at once. */
    reply(expect(twin, "/v1/health/service/orders?stale&index=8"), "9", "[]");
    twin_expect_data(twin, "service/orders", "");
    twin_free(twin);
}
END_TEST

START_TEST(a_server_without_a_leader_cannot_tell_absence)
{
    struct twin *twin = begin("orders");

    reply_without_leader(expect(twin, "/v1/catalog/services"), "{}");
    twin_want(twin, "service/orders");
    reply_without_leader(expect(twin, "/v1/health/service/orders"), "[]");
    twin_expect_report(twin, REPORT_FAILED, "service/orders");
    pass(twin, 2 SECONDS);
    reply(expect(twin, "/v1/health/service/orders"), "100", instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/orders", "10.0.0.1");
    twin_free(twin);
}
END_TEST

/* As when the daemon knows what the disk told it, and no index. */
START_TEST(a_server_that_has_just_come_back_cannot_tell_absence)
{
    struct twin *twin = begin("");

    restart_agent(twin);
    reply(expect(twin, "/v1/catalog/services"), "3", names(""));
    twin_want(twin, "service/orders");
    reply(expect(twin, "/v1/health/service/orders"), "3", "[]");
    twin_expect_report(twin, REPORT_FAILED, "service/orders");
    pass(twin, 2 SECONDS);
    reply(expect(twin, "/v1/health/service/orders"), "100", instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/orders", "10.0.0.1");
    twin_free(twin);
}
END_TEST

START_TEST(a_server_that_came_back_a_while_ago_tells_absence)
{
    struct twin *twin = begin("");

    restart_agent(twin);
    reply(expect(twin, "/v1/catalog/services"), "3", names(""));
    pass(twin, 6 SECONDS);
    twin_want(twin, "service/orders");
    twin_expect_report(twin, REPORT_ABSENT, "service/orders");
    twin_free(twin);
}
END_TEST

START_TEST(another_agent_is_asked_instead_of_one_without_a_leader)
{
    struct twin *twin = begin_with((const char *const[]){"ProbeSec", "infinity", "WaitSec", "300s",
                                                         "URL", "http://one:1 http://two:1", NULL},
                                   "orders");
    struct http_call *call = orders_parked(twin);

    expect_url(call, "http://one:1/v1/health/service/orders?stale&index=100&wait=300000ms");
    reply_without_leader(call, "[]");
    twin_expect_report(twin, REPORT_SUSPECT, "service/orders");
    pass(twin, 2 SECONDS);
    call = expect(twin, "/v1/health/service/orders");
    expect_url(call, "http://two:1/v1/health/service/orders?stale");
    reply(call, "100", instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/orders", "10.0.0.1");
    twin_free(twin);
}
END_TEST

static unsigned limit_of(struct twin *twin)
{
    return (unsigned)json_integer_value(json_object_get(twin_describe(twin), "limit"));
}

START_TEST(a_reload_of_how_much_and_how_often_leaves_calls_open)
{
    struct twin *twin = begin("orders");
    struct http_call *call = orders_parked(twin);
    const char *const fewer[] = {"ProbeSec", "5s", "WaitSec", "60s", "MaxWatches", "20", NULL};

    twin_refresh(twin, "service/orders"); /* gives up a call, which its agent holds for 300 s */
    ck_assert(twin_http_gone(twin, call));
    reply(expect(twin, "/v1/health/service/orders"), "100", instances("a=10.0.0.1"));
    twin_skip_reports(twin);
    call = expect(twin, "/v1/health/service/orders?stale&index=100");
    ck_assert_int_eq(twin_reload(twin, fewer), 0);
    ck_assert(!twin_http_gone(twin, call));
    twin_expect_no_report(twin);
    ck_assert_uint_eq(limit_of(twin), 20);
    /* Probes, which there were none of, begin. */
    twin_http_reply(expect(twin, "/v1/status/leader"), 200, NULL, "\"10.0.0.5:8300\"");
    pass(twin, 6 SECONDS);
    expect(twin, "/v1/status/leader");
    twin_free(twin);
}
END_TEST

START_TEST(trap_3_streaming_answers_without_leader_are_not_degraded)
{
    struct twin *twin = begin("orders");
    struct http_call *call = orders_parked(twin);
    const char *old = "X-Consul-Index: 102\nX-Consul-KnownLeader: true\n"
                      "X-Consul-LastContact: 31000";

    twin_http_reply(call, 200,
                    "X-Consul-Index: 101\nX-Consul-Query-Backend: streaming\n"
                    "X-Consul-Knownleader: false\nX-Consul-Lastcontact: 0",
                    instances("a=10.0.0.2"));
    twin_expect_data(twin, "service/orders", "10.0.0.2");
    ck_assert(json_is_false(json_object_get(twin_describe(twin), "degraded")));
    twin_http_reply(expect(twin, "index=101"), 200, old, instances("a=10.0.0.3"));
    twin_expect_data(twin, "service/orders", "10.0.0.3"); /* used all the same */
    ck_assert(json_is_true(json_object_get(twin_describe(twin), "degraded")));
    ck_assert_uint_eq(twin_log_count(twin, LOG_WARNING, "lost its leader"), 1);
    twin_http_reply(expect(twin, "index=102"), 200,
                    "X-Consul-Index: 103\nX-Consul-KnownLeader: false", instances("a=10.0.0.3"));
    ck_assert(json_is_true(json_object_get(twin_describe(twin), "degraded")));
    twin_http_reply(expect(twin, "index=103"), 200,
                    "X-Consul-Index: 104\nX-Consul-KnownLeader: true\nX-Consul-LastContact: 5",
                    instances("a=10.0.0.3"));
    ck_assert(json_is_false(json_object_get(twin_describe(twin), "degraded")));
    ck_assert_uint_eq(twin_log_count(twin, LOG_WARNING, "lost its leader"), 1);
    twin_free(twin);
}
END_TEST

START_TEST(trap_4_a_list_emptied_by_missing_rights_is_suspect)
{
    struct twin *twin = begin("orders other");
    struct http_call *call = orders_parked(twin);
    const struct registry_report *report;

    twin_http_reply(call, 200, "X-Consul-Index: 101\nX-Consul-Results-Filtered-By-ACLs: true",
                    "[]");
    report = twin_expect_report(twin, REPORT_SUSPECT, "service/orders");
    ck_assert_str_eq(twin_endpoints(twin, report->endpoints), "10.0.0.1");
    twin_http_reply(expect(twin, "index=101"), 200,
                    "X-Consul-Index: 102\nX-Consul-Results-Filtered-By-ACLs: true", "[]");
    twin_expect_no_report(twin);
    /* The rights are back: the same instance is confirmed again. Then it goes for good. */
    reply(expect(twin, "index=102"), "103", instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/orders", "10.0.0.1");
    reply(expect(twin, "index=103"), "104", "[]");
    twin_expect_data(twin, "service/orders", "");

    /* Never seen: not absent, but not ours to see. */
    twin_want(twin, "service/other");
    twin_http_reply(expect(twin, "/v1/health/service/other"), 200,
                    "X-Consul-Index: 5\nX-Consul-Results-Filtered-By-ACLs: true", "[]");
    report = twin_expect_report(twin, REPORT_FAILED, "service/other");
    ck_assert_int_eq(report->failure, FAILURE_DENIED);
    twin_free(twin);
}
END_TEST

START_TEST(trap_4_a_node_and_a_query_that_rights_hide_are_not_absent)
{
    static const char hidden[] = "X-Consul-Index: 6\nX-Consul-Results-Filtered-By-ACLs: true";
    static const char nearest[] = "{\"Nodes\":[{\"Node\":{\"Node\":\"n\",\"Address\":"
                                  "\"10.0.0.8\"},\"Service\":{\"ID\":\"q\"}}]}";
    struct twin *twin = begin("");

    twin_want(twin, "node/web-1");
    reply(expect(twin, "/v1/catalog/node/web-1"), "5",
          "{\"Node\":{\"Node\":\"web-1\",\"Address\":\"10.0.0.7\"},\"Services\":{}}");
    twin_expect_data(twin, "node/web-1", "10.0.0.7");
    twin_http_reply(expect(twin, "node/web-1?stale&index=5"), 200, hidden, "null");
    ck_assert_str_eq(
        twin_endpoints(twin, twin_expect_report(twin, REPORT_SUSPECT, "node/web-1")->endpoints),
        "10.0.0.7");

    twin_want(twin, "query/nearest");
    twin_http_reply(expect(twin, "/v1/query/nearest/execute"), 200, NULL, nearest);
    twin_expect_data(twin, "query/nearest", "10.0.0.8");
    twin_refresh(twin, "query/nearest");
    twin_http_reply(expect(twin, "/v1/query/nearest/execute"), 200, hidden, "{\"Nodes\":[]}");
    ck_assert_str_eq(
        twin_endpoints(twin, twin_expect_report(twin, REPORT_SUSPECT, "query/nearest")->endpoints),
        "10.0.0.8");

    twin_want(twin, "node/web-2"); /* never seen */
    twin_http_reply(expect(twin, "/v1/catalog/node/web-2"), 200, hidden, "null");
    ck_assert_int_eq(twin_expect_report(twin, REPORT_FAILED, "node/web-2")->failure,
                     FAILURE_DENIED);
    twin_free(twin);
}
END_TEST

START_TEST(only_consul_can_say_that_a_query_does_not_exist)
{
    struct twin *twin = begin("");

    twin_want(twin, "query/nearest");
    twin_http_reply(expect(twin, "/v1/query/nearest/execute"), 404, NULL,
                    "<html>404 Not Found: nginx</html>");
    twin_expect_report(twin, REPORT_FAILED, "query/nearest");
    twin_free(twin);
}
END_TEST

/* As in Consul 1.8: nothing says that the list was filtered. The catalogue tells the two apart. */
START_TEST(trap_4_with_a_server_that_does_not_say_what_it_hides)
{
    struct twin *twin;
    struct http_call *call, *catalogue;

    token_write("one");
    twin = begin_with((const char *const[]){"ProbeSec", "infinity", "TokenFile", token_path, NULL},
                      "orders");
    catalogue = expect(twin, "/v1/catalog/services");
    call = orders_parked(twin);
    reply(call, "101", "[]");
    twin_expect_no_report(twin);
    ck_assert(twin_http_gone(twin, catalogue));
    catalogue = expect(twin, "/v1/catalog/services?stale");
    reply(catalogue, "101", "{}"); /* not even "consul" is ours to see any more */
    ck_assert_str_eq(
        twin_endpoints(twin, twin_expect_report(twin, REPORT_SUSPECT, "service/orders")->endpoints),
        "10.0.0.1");
    reply(expect(twin, "/v1/health/service/orders?stale&index=101"), "102",
          instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/orders", "10.0.0.1");
    reply(expect(twin, "/v1/catalog/services?stale&index=101"), "102", names("orders"));

    /* Here the last instance is really gone. */
    reply(expect(twin, "/v1/health/service/orders?stale&index=102"), "103", "[]");
    reply(expect(twin, "/v1/catalog/services?stale"), "103", names(""));
    twin_expect_report(twin, REPORT_ABSENT, "service/orders");
    twin_expect_no_report(twin);
    expect(twin, "/v1/catalog/services");
    ck_assert_uint_eq(twin_http_open(twin), 1);
    twin_free(twin);
    token_forget();
}
END_TEST

START_TEST(trap_6_a_node_that_does_not_exist)
{
    struct twin *twin = begin("");

    expect(twin, "/v1/catalog/services");
    twin_want(twin, "node/nobody");
    reply(expect(twin, "/v1/catalog/node/nobody"), "5", "null");
    twin_expect_report(twin, REPORT_ABSENT, "node/nobody");
    twin_expect_no_http(twin); /* no watch for what is not there */
    twin_refresh(twin, "node/nobody");
    reply(expect(twin, "/v1/catalog/node/nobody"), "6",
          "{\"Node\":{\"Node\":\"nobody\",\"Address\":\"10.0.0.7\"}}");
    twin_expect_data(twin, "node/nobody", "10.0.0.7");
    twin_free(twin);
}
END_TEST

static int watches_of(struct twin *twin, const char *what)
{
    return (int)json_integer_value(
        json_object_get(json_object_get(twin_describe(twin), "watches"), what));
}

/* Wants service/s0 .. s(count-1), all of which exist, and lets as many park as there are slots. */
static void many_parked(struct twin *twin, unsigned count)
{
    char key[32], url[64];

    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "service/s%u", i);
        snprintf(url, sizeof(url), "/v1/health/service/s%u?", i);
        twin_want(twin, key);
        reply(expect(twin, url), "7", instances("a=10.0.0.1"));
        twin_expect_data(twin, key, "10.0.0.1");
    }
}

START_TEST(trap_7_a_refused_connection_lowers_the_cap)
{
    struct twin *twin = begin_with(
        (const char *const[]){"ProbeSec", "infinity", "MaxWatches", "40", NULL}, "s0 s1");
    const struct registry_report *report;
    char services[400] = "";
    unsigned asked = 0;

    for (unsigned i = 0; i < 41; i++)
        snprintf(services + strlen(services), sizeof(services) - strlen(services), "%ss%u",
                 i > 0 ? " " : "", i);
    reply(expect(twin, "/v1/catalog/services"), "11", names(services));
    expect(twin, "/v1/catalog/services");
    many_parked(twin, 40);
    ck_assert_int_eq(watches_of(twin, "parked"), 40);
    twin_want(twin, "service/s40");
    /* Bare 429 and a reset: the head came, the rest did not. */
    {
        struct http_call *call = expect(twin, "/v1/health/service/s40");

        twin_http_head(call, 429, NULL);
        twin_http_fail(call, HTTP_BROKEN, "connection reset");
    }
    report = twin_expect_report(twin, REPORT_FAILED, "service/s40");
    ck_assert_int_eq(report->failure, FAILURE_THROTTLED);
    ck_assert_uint_lt(limit_of(twin), 40);
    ck_assert_uint_ge(limit_of(twin), 30);
    ck_assert_int_lt(watches_of(twin, "parked"), 40);
    ck_assert_uint_eq(twin_log_count(twin, LOG_WARNING, "refuses more connections"), 1);
    /* Only calls of the polled ones are new, and no storm of them. */
    for (unsigned i = 0; i < 5; i++) {
        unsigned before = twin_http_open(twin);

        pass(twin, 1 SECONDS);
        asked += twin_http_open(twin) - before;
    }
    ck_assert_uint_le(asked, 8);
    twin_free(twin);
}
END_TEST

static void begin_forty(struct twin **ret_twin, const char *probe)
{
    char services[400] = "";

    *ret_twin = begin_with((const char *const[]){"ProbeSec", probe, "MaxWatches", "40", NULL},
                           "s0 s1");
    for (unsigned i = 0; i < 41; i++)
        snprintf(services + strlen(services), sizeof(services) - strlen(services), "%ss%u",
                 i > 0 ? " " : "", i);
    reply(expect(*ret_twin, "/v1/catalog/services"), "11", names(services));
    expect(*ret_twin, "/v1/catalog/services");
    many_parked(*ret_twin, 40);
    pass(*ret_twin, 1 SECONDS);
    while (twin_http_open(*ret_twin) < 41)
        pass(*ret_twin, 1 SECONDS);
}

START_TEST(a_kick_leaves_alone_what_is_parked)
{
    struct twin *twin;

    begin_forty(&twin, "infinity");
    for (unsigned i = 0; i < 40; i++)
        expect(twin, "index=7");
    twin_kick(twin);
    pass(twin, 1 SECONDS);
    reply(expect(twin, "/v1/status/leader"), "1", "\"x:1\"");
    pass(twin, 5 SECONDS);
    twin_expect_no_http(twin);
    ck_assert_uint_eq(twin_http_open(twin), 41);
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

/* Consul does not notice that a client went away from a blocking query before its wait is over. */
START_TEST(calls_that_were_given_up_take_their_part_of_the_limit)
{
    struct twin *twin;
    char key[32], url[64];

    begin_forty(&twin, "infinity");
    for (unsigned i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "service/s%u", i);
        twin_refresh(twin, key);
    }
    pass(twin, 1 SECONDS);
    ck_assert_uint_le(twin_http_open(twin), 4 + 16 + 1);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "service/s%u", i);
        snprintf(url, sizeof(url), "/v1/health/service/s%u?", i);
        reply(expect(twin, url), "8", instances("a=10.0.0.1"));
        twin_expect_data(twin, key, "10.0.0.1");
    }
    ck_assert_int_eq(watches_of(twin, "parked"), 4);
    twin_free(twin);
}
END_TEST

START_TEST(an_agent_that_refuses_because_of_them_is_not_down)
{
    struct twin *twin;
    char key[32];

    begin_forty(&twin, "10s");
    for (unsigned i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "service/s%u", i);
        twin_drop(twin, key);
    }
    while (twin_http_open(twin) < 2)
        pass(twin, 1 SECONDS);
    twin_http_fail(expect(twin, "/v1/status/leader"), HTTP_BROKEN, "empty reply");
    pass(twin, 1 SECONDS);
    ck_assert_ptr_null(twin_find_report(twin, REPORT_DOWN, NULL));
    ck_assert_uint_eq(twin_log_count(twin, LOG_WARNING, "refuses more connections"), 1);
    twin_free(twin);
}
END_TEST

START_TEST(trap_8_a_server_that_always_answers_at_once_is_asked_once_a_second)
{
    struct twin *twin = begin("orders");
    struct http_call *call = orders_parked(twin);
    usec_t end = twin_now(twin) + 60 SECONDS;
    unsigned asked = 0;
    uint64_t index = 100;

    expect(twin, "/v1/catalog/services");
    while (twin_now(twin) < end) {
        char text[32];

        snprintf(text, sizeof(text), "%" PRIu64, ++index);
        reply(call, text, instances("a=10.0.0.1"));
        asked++;
        if (twin_http_open(twin) < 2)
            pass(twin, twin_next_timer(twin));
        call = expect(twin, "/v1/health/service/orders");
    }
    twin_expect_no_report(twin);
    ck_assert_uint_ge(asked, 55);
    ck_assert_uint_le(asked, 70);
    twin_free(twin);
}
END_TEST

START_TEST(a_service_that_really_changes_is_followed_closely)
{
    struct twin *twin = begin("orders");
    struct http_call *call = orders_parked(twin);

    for (unsigned i = 1; i <= 40; i++) {
        char text[64], index[16];

        snprintf(index, sizeof(index), "%u", 100 + i);
        snprintf(text, sizeof(text), "a=10.0.0.%u", 1 + i);
        reply(call, index, instances(text));
        snprintf(text, sizeof(text), "10.0.0.%u", 1 + i);
        twin_expect_data(twin, "service/orders", text);
        call = expect(twin, "/v1/health/service/orders");
    }
    twin_free(twin);
}
END_TEST

START_TEST(trap_9_the_same_data_in_another_order_is_no_news)
{
    struct twin *twin = begin("orders");
    struct http_call *call = orders_parked(twin);

    reply(call, "101", instances("a=10.0.0.1 b=10.0.0.2"));
    twin_expect_data(twin, "service/orders", "10.0.0.1 10.0.0.2");
    reply(expect(twin, "index=101"), "102", instances("b=10.0.0.2 a=10.0.0.1"));
    twin_expect_no_report(twin);
    expect(twin, "index=102");
    twin_free(twin);
}
END_TEST

START_TEST(trap_10_tenancy_is_sent_only_where_it_is_configured)
{
    struct twin *twin = begin("orders");
    struct registry_target target;
    struct http_call *call;

    ck_assert_int_eq(twin_resolve(twin, "orders.service.team.ns.consul", &target),
                     REGISTRY_NO_SUCH_NAME);
    twin_want(twin, "service/orders");
    call = expect(twin, "/v1/health/");
    ck_assert_ptr_null(strstr(twin_http_request(call)->url, "ns="));
    ck_assert_ptr_null(strstr(twin_http_request(call)->url, "partition="));
    ck_assert_ptr_null(twin_http_request_header(call, "X-Consul-Namespace"));
    twin_free(twin);

    twin = begin_with((const char *const[]){"ProbeSec", "infinity", "Namespace", "team",
                                            "Partition", "east", NULL},
                      "orders");
    twin_want(twin, "service/orders");
    expect_url(expect(twin, "/v1/health/"),
               "http://127.0.0.1:8500/v1/health/service/orders?ns=team&partition=east&stale");
    ck_assert_str_eq(twin_resolve_key(twin, "orders.service.blue.ns.consul"),
                     "service/orders?ns=blue");
    twin_want(twin, "service/orders?ns=blue");
    expect(twin, "?ns=blue&partition=east&stale");
    twin_free(twin);
}
END_TEST

START_TEST(trap_11_an_absent_name_is_not_woken_by_what_others_do)
{
    struct twin *twin = begin("other");
    struct http_call *catalogue = expect(twin, "/v1/catalog/services");

    twin_want(twin, "service/orders");
    twin_expect_report(twin, REPORT_ABSENT, "service/orders");
    reply(catalogue, "11", names(""));
    catalogue = expect(twin, "/v1/catalog/services");
    reply(catalogue, "12", names("another"));
    expect(twin, "/v1/catalog/services");
    pass(twin, 200 SECONDS);
    twin_expect_no_report(twin);
    twin_expect_no_http(twin);
    twin_free(twin);
}
END_TEST

START_TEST(trap_12_maintenance_is_told_apart_and_at_once)
{
    struct twin *twin = begin("orders");
    struct http_call *call = orders_parked(twin);

    reply(call, "101",
          "[{\"Node\":{\"Node\":\"n\",\"Address\":\"10.0.0.1\"},\"Service\":{\"ID\":\"a\"},"
          "\"Checks\":[{\"CheckID\":\"_service_maintenance:a\",\"Status\":\"critical\"}]}]");
    twin_expect_data(twin, "service/orders", "10.0.0.1/maintenance");
    twin_free(twin);
}
END_TEST

/* ---- rights ---- */

START_TEST(the_token_is_a_header_and_nothing_else)
{
    struct twin *twin;
    struct http_call *call;

    token_write("s3cret-one\n");
    twin = begin_with((const char *const[]){"ProbeSec", "infinity", "TokenFile", token_path, NULL},
                      "orders");
    twin_forbid(twin, "s3cret");
    twin_want(twin, "service/orders");
    call = expect(twin, "/v1/health/service/orders");
    ck_assert_str_eq(twin_http_request_header(call, "X-Consul-Token"), "s3cret-one");
    ck_assert_ptr_null(strstr(twin_http_request(call)->url, "s3cret"));
    twin_http_reply(call, 403, NULL, "ACL not found: s3cret-one");
    ck_assert_str_eq(twin_expect_report(twin, REPORT_FAILED, "service/orders")->text, "HTTP 403");
    twin_describe(twin);
    twin_free(twin);
    token_forget();
}
END_TEST

START_TEST(after_a_denial_a_new_token_is_tried_at_once_and_the_old_one_slowly)
{
    struct twin *twin;
    struct http_call *call;
    const struct registry_report *report;

    token_write("one");
    twin = begin_with((const char *const[]){"ProbeSec", "infinity", "TokenFile", token_path, NULL},
                      "orders");
    expect(twin, "/v1/catalog/services");
    twin_want(twin, "service/orders");
    token_write("two");
    twin_http_reply(expect(twin, "/v1/health/"), 403, NULL, "ACL not found");
    reply(expect(twin, "/v1/catalog/services"), "10", names("orders"));
    expect(twin, "/v1/catalog/services");
    call = expect(twin, "/v1/health/");
    ck_assert_str_eq(twin_http_request_header(call, "X-Consul-Token"), "two");
    twin_http_reply(call, 403, NULL, "Permission denied");
    report = twin_expect_report(twin, REPORT_FAILED, "service/orders");
    ck_assert_int_eq(report->failure, FAILURE_DENIED);
    ck_assert_str_eq(report->text, "HTTP 403: Permission denied");
    ck_assert_uint_ge(report->retry_after, 45 SECONDS);
    pass(twin, 40 SECONDS);
    twin_expect_no_http(twin);
    token_write("three");
    twin_path_changed(twin, token_path);
    pass(twin, 100 * USEC_PER_MSEC);
    call = expect(twin, "/v1/health/");
    ck_assert_str_eq(twin_http_request_header(call, "X-Consul-Token"), "three");
    ck_assert_str_eq(
        twin_http_request_header(expect(twin, "/v1/catalog/services"), "X-Consul-Token"), "three");
    reply(call, "7", instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/orders", "10.0.0.1");
    twin_free(twin);
    token_forget();
}
END_TEST

START_TEST(without_its_token_nothing_is_asked)
{
    struct twin *twin;

    token_write("one");
    unlink(token_path);
    twin = twin_new(
        &registry_type_consul,
        &(struct twin_options){.settings = (const char *const[]){"TokenFile", token_path, NULL}});
    twin_start(twin);
    twin_expect_report(twin, REPORT_DOWN, NULL);
    twin_expect_log(twin, LOG_ERR, "TokenFile=");
    twin_http_reply(expect(twin, "/v1/status/leader"), 200, NULL, "\"10.0.0.5:8300\"");
    twin_want(twin, "service/orders");
    twin_expect_report(twin, REPORT_FAILED, "service/orders");
    twin_expect_no_http(twin);
    token_write("two");
    twin_path_changed(twin, token_path);
    twin_expect_report(twin, REPORT_UP, NULL);
    pass(twin, 1 SECONDS);
    reply(expect(twin, "/v1/health/"), "7", instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/orders", "10.0.0.1");
    /* Half-written or gone later: the token in hand still counts. */
    token_write("");
    twin_path_changed(twin, token_path);
    twin_expect_no_report(twin);
    twin_free(twin);
    token_forget();
}
END_TEST

START_TEST(a_catalogue_that_is_denied_leaves_absence_to_the_health_answer)
{
    struct twin *twin = twin_new(&registry_type_consul, &(struct twin_options){.settings = plain});

    twin_start(twin);
    twin_http_reply(expect(twin, "/v1/catalog/services"), 403, NULL, "Permission denied");
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_report(twin, REPORT_SYNCED, NULL);
    twin_http_reply(expect(twin, "/v1/status/leader"), 200, NULL, "\"10.0.0.5:8300\"");
    twin_http_reply(expect(twin, "/v1/agent/self"), 403, NULL, "Permission denied");
    twin_want(twin, "service/orders");
    reply(expect(twin, "/v1/health/"), "7", "[]");
    ck_assert_uint_eq(twin_expect_report(twin, REPORT_ABSENT, "service/orders")->validity,
                      60 SECONDS);
    pass(twin, 40 SECONDS);
    reply(expect(twin, "/v1/health/"), "8", instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/orders", "10.0.0.1");
    pass_until_call(twin);
    expect(twin, "/v1/catalog/services"); /* tried again, slowly */
    twin_free(twin);
}
END_TEST

START_TEST(a_catalogue_that_hides_names_does_not_tell_absence)
{
    struct twin *twin = begin("other");

    twin_http_reply(expect(twin, "/v1/catalog/services"), 200,
                    "X-Consul-Index: 11\nX-Consul-Results-Filtered-By-ACLs: true", names("other"));
    twin_want(twin, "service/orders");
    reply(expect(twin, "/v1/health/service/orders"), "7", "[]");
    twin_expect_report(twin, REPORT_ABSENT, "service/orders");
    reply(expect(twin, "/v1/catalog/services"), "12", "{}");
    twin_want(twin, "service/more");
    expect(twin, "/v1/health/service/more");
    twin_free(twin);
}
END_TEST

/* ---- agents that fail ---- */

START_TEST(an_agent_that_dies_and_comes_back)
{
    struct twin *twin = begin("orders");
    struct http_call *call = orders_parked(twin);
    struct http_call *catalogue = expect(twin, "/v1/catalog/services");

    twin_http_fail(call, HTTP_BROKEN, "connection reset");
    twin_expect_report(twin, REPORT_FAILED, "service/orders");
    twin_http_fail(expect(twin, "/v1/status/leader"), HTTP_UNREACHABLE, "connection refused");
    twin_expect_report(twin, REPORT_DOWN, NULL);
    ck_assert(twin_http_gone(twin, catalogue));
    twin_expect_no_report(twin);

    /* Down: only the probe is sent, and who asks hears at once. */
    pass(twin, 500 * USEC_PER_MSEC);
    twin_want(twin, "service/other");
    twin_expect_report(twin, REPORT_FAILED, "service/other");
    twin_expect_no_http(twin);
    pass(twin, 1 SECONDS);
    twin_http_fail(expect(twin, "/v1/status/leader"), HTTP_UNREACHABLE, "connection refused");
    twin_expect_no_http(twin);
    pass(twin, 3 SECONDS);
    twin_http_reply(expect(twin, "/v1/status/leader"), 200, NULL, "\"10.0.0.5:8300\"");
    twin_expect_report(twin, REPORT_UP, NULL);
    reply(expect(twin, "/v1/catalog/services"), "10", names("orders other"));
    pass(twin, 1 SECONDS);
    reply(expect(twin, "/v1/health/service/orders"), "100", instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/orders", "10.0.0.1"); /* the same, and confirmed */
    reply(expect(twin, "/v1/health/service/other"), "5", instances("b=10.0.0.2"));
    twin_expect_data(twin, "service/other", "10.0.0.2");
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

START_TEST(absent_services_are_absent_again_once_the_catalogue_was_read)
{
    struct twin *twin = begin("orders");
    struct http_call *catalogue = expect(twin, "/v1/catalog/services");

    twin_want(twin, "service/none");
    twin_expect_report(twin, REPORT_ABSENT, "service/none");
    twin_http_fail(catalogue, HTTP_UNREACHABLE, "connection refused");
    twin_expect_report(twin, REPORT_DOWN, NULL);
    twin_http_reply(expect(twin, "/v1/status/leader"), 200, NULL, "\"10.0.0.5:8300\"");
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_no_report(twin);
    roots(expect(twin, ROOTS), "11111111-2222-3333-4444-555555555555.consul");
    reply(expect(twin, "/v1/catalog/services"), "10", names("orders"));
    twin_expect_report(twin, REPORT_ABSENT, "service/none");
    expect(twin, "/v1/catalog/services");
    twin_expect_no_http(twin);
    twin_free(twin);
}
END_TEST

START_TEST(an_agent_that_hangs_is_noticed_within_thirty_seconds)
{
    struct twin *twin = begin_with(NULL, "orders");
    struct http_call *call = orders_parked(twin);
    usec_t since = twin_now(twin);

    while (!twin_find_report(twin, REPORT_DOWN, NULL)) {
        ck_assert_uint_le(twin_now(twin) - since, 30 SECONDS);
        pass(twin, 1 SECONDS);
    }
    ck_assert(twin_http_gone(twin, call));
    twin_free(twin);
}
END_TEST

static const char *const two_agents[] = {"ProbeSec", "infinity", "URL",
                                         "http://a.example:8500 http://b.example:8500/", NULL};

START_TEST(another_agent_takes_over_without_a_word_to_the_core)
{
    struct twin *twin = begin_with(two_agents, "orders");
    struct http_call *call = orders_parked(twin);

    expect_url(call, "http://a.example:8500/v1/health/service/orders?stale&index=100&"
                     "wait=60000ms");
    twin_http_fail(expect(twin, "/v1/catalog/services"), HTTP_UNREACHABLE, "no route");
    ck_assert(twin_http_gone(twin, call));
    expect(twin, "http://b.example:8500/v1/catalog/services?stale");
    pass(twin, 1 SECONDS);
    call = expect(twin, "/v1/health/");
    expect_url(call, "http://b.example:8500/v1/health/service/orders?stale");
    reply(call, "100", instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/orders", "10.0.0.1");
    twin_expect_no_report(twin);
    ck_assert_uint_eq(twin_log_count(twin, LOG_WARNING, "a.example"), 1);
    twin_free(twin);
}
END_TEST

START_TEST(an_error_of_one_agent_is_asked_of_the_other_first)
{
    struct twin *twin = begin_with(two_agents, "orders");
    struct http_call *call = orders_parked(twin);

    twin_http_reply(call, 500, NULL, "rpc error");
    twin_expect_no_report(twin);
    call = expect(twin, "http://b.example:8500/v1/health/service/orders?stale");
    twin_http_reply(call, 500, NULL, "rpc error");
    twin_expect_report(twin, REPORT_FAILED, "service/orders");
    ck_assert_ptr_null(twin_find_report(twin, REPORT_DOWN, NULL));
    twin_free(twin);
}
END_TEST

START_TEST(all_agents_must_fail_before_the_registry_is_down)
{
    struct twin *twin = begin_with(two_agents, "orders");
    const struct registry_report *report;

    twin_http_fail(expect(twin, "http://a.example:8500/v1/catalog/services"), HTTP_UNREACHABLE,
                   "no route");
    twin_expect_no_report(twin);
    twin_http_fail(expect(twin, "http://b.example:8500/v1/catalog/services"), HTTP_TLS,
                   "certificate has expired");
    report = twin_expect_report(twin, REPORT_DOWN, NULL);
    ck_assert_ptr_nonnull(strstr(report->text, "certificate has expired"));
    twin_kick(twin);
    twin_http_reply(expect(twin, "/v1/status/leader"), 200, NULL, "\"\"");
    twin_expect_report(twin, REPORT_UP, NULL);
    ck_assert(json_is_false(json_object_get(twin_describe(twin), "leader")));
    twin_free(twin);
}
END_TEST

START_TEST(the_first_agent_is_taken_again_when_it_answers)
{
    struct twin *twin = begin_with(
        (const char *const[]){"URL", "http://a.example:8500 http://b.example:8500", NULL}, "");

    twin_http_fail(expect(twin, "http://a.example:8500/v1/catalog/services"), HTTP_UNREACHABLE,
                   "no route");
    reply(expect(twin, "http://b.example:8500/v1/catalog/services"), "10", names(""));
    pass(twin, 11 SECONDS);
    twin_http_reply(expect(twin, "http://a.example:8500/v1/status/leader"), 200, NULL, "\"x:1\"");
    twin_want(twin, "node/n");
    expect(twin, "http://a.example:8500/v1/catalog/node/n");
    twin_free(twin);
}
END_TEST

START_TEST(answers_that_are_not_consuls_keep_what_is_known)
{
    static const char *const junk[] = {"<html>Bad gateway</html>", "", "null", "{}", "[{]"};
    struct twin *twin = begin("orders");
    struct http_call *call = orders_parked(twin);

    expect(twin, "/v1/catalog/services");
    for (size_t i = 0; i < ELEMENTS(junk); i++) {
        reply(call, "999", junk[i]);
        twin_expect_report(twin, REPORT_FAILED, "service/orders");
        pass_until_call(twin);
        call = expect(twin, "/v1/health/service/orders?stale");
        ck_assert_ptr_null(strstr(twin_http_request(call)->url, "index="));
    }
    twin_http_fail(call, HTTP_TOO_LARGE, "more than 16 MiB");
    twin_expect_report(twin, REPORT_FAILED, "service/orders");
    twin_expect_log(twin, LOG_WARNING, "not Consul's");
    twin_free(twin);
}
END_TEST

START_TEST(failures_are_tried_again_with_growing_pauses)
{
    static const unsigned seconds[] = {1, 5, 20, 45, 80, 125, 180};
    struct twin *twin = begin_with(
        (const char *const[]){"ProbeSec", "infinity", "WaitSec", "600s", NULL}, "orders");

    twin_want(twin, "service/orders");
    expect(twin, "/v1/catalog/services");
    for (size_t i = 0; i < ELEMENTS(seconds); i++) {
        usec_t pause;

        twin_http_reply(expect(twin, "/v1/health/"), 500, NULL, "No path to datacenter");
        twin_expect_report(twin, REPORT_FAILED, "service/orders");
        pause = pass_until_call(twin);
        ck_assert_uint_ge(pause, seconds[i] * 4 / 5 SECONDS);
        ck_assert_uint_le(pause, seconds[i] * 6 / 5 SECONDS + USEC_PER_SEC / 5);
    }
    twin_free(twin);
}
END_TEST

START_TEST(servers_that_answer_again_end_the_pauses_of_all)
{
    struct twin *twin = begin_with(
        (const char *const[]){"ProbeSec", "infinity", "WaitSec", "600s", NULL}, "orders");
    struct http_call *catalogue = expect(twin, "/v1/catalog/services"), *orders;

    orders = orders_parked(twin);
    for (unsigned i = 0; i < 5; i++) {
        twin_http_reply(orders, 500, NULL, "No cluster leader");
        twin_expect_report(twin, REPORT_FAILED, "service/orders");
        pass_until_call(twin);
        orders = expect(twin, "/v1/health/service/orders");
    }
    twin_http_reply(orders, 500, NULL, "No cluster leader");
    twin_expect_report(twin, REPORT_FAILED, "service/orders");
    for (unsigned i = 0; i < 5; i++) {
        twin_http_reply(catalogue, 500, NULL, "No cluster leader");
        ck_assert_uint_le(pass_until_call(twin), 12 SECONDS);
        catalogue = expect(twin, "/v1/catalog/services");
    }
    reply(catalogue, "10", names("orders"));
    pass(twin, 100 * USEC_PER_MSEC);
    reply(expect(twin, "/v1/health/service/orders"), "101", instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/orders", "10.0.0.1");
    twin_free(twin);
}
END_TEST

START_TEST(a_refresh_of_what_failed_is_tried_soon_and_a_kick_at_once)
{
    struct twin *twin = begin("orders");

    twin_want(twin, "service/orders");
    for (unsigned i = 0; i < 4; i++) {
        twin_http_reply(expect(twin, "/v1/health/"), 500, NULL, "no");
        twin_expect_report(twin, REPORT_FAILED, "service/orders");
        twin_refresh(twin, "service/orders");
        pass(twin, 1 SECONDS);
    }
    twin_http_reply(expect(twin, "/v1/health/"), 500, NULL, "no");
    twin_kick(twin);
    pass(twin, 100 * USEC_PER_MSEC);
    expect(twin, "/v1/health/");
    twin_free(twin);
}
END_TEST

/* ---- many services ---- */

START_TEST(beyond_the_slots_services_are_polled)
{
    struct twin *twin = begin_with(
        (const char *const[]){"ProbeSec", "infinity", "MaxWatches", "2", NULL}, "s0 s1 s2 s3");
    const struct registry_report *report;

    expect(twin, "/v1/catalog/services");
    many_parked(twin, 2);
    twin_want(twin, "service/s2");
    reply(expect(twin, "/v1/health/service/s2"), "7", instances("a=10.0.0.1"));
    report = twin_expect_data(twin, "service/s2", "10.0.0.1");
    ck_assert_uint_ge(report->validity, 20 SECONDS);
    ck_assert_uint_le(report->validity, 60 SECONDS);
    expect(twin, "/v1/health/service/s0?stale&index=7");
    expect(twin, "/v1/health/service/s1?stale&index=7");
    twin_expect_no_http(twin);
    ck_assert_int_eq(watches_of(twin, "parked"), 2);
    ck_assert_int_eq(watches_of(twin, "polled"), 1);
    pass(twin, 12 SECONDS);
    reply(expect(twin, "/v1/health/service/s2?stale"), "7", instances("a=10.0.0.1"));
    twin_expect_data(twin, "service/s2", "10.0.0.1"); /* confirmed for a while again */

    /* A slot that is given back goes to it. */
    twin_drop(twin, "service/s0");
    pass(twin, 12 SECONDS);
    reply(expect(twin, "/v1/health/service/s2?stale"), "7", instances("a=10.0.0.1"));
    report = twin_expect_data(twin, "service/s2", "10.0.0.1");
    ck_assert_uint_eq(report->validity, REPORT_UNTIL_LOST);
    expect(twin, "/v1/health/service/s2?stale&index=7");
    twin_free(twin);
}
END_TEST

START_TEST(a_service_in_use_takes_the_slot_of_one_that_is_not)
{
    struct twin *twin = begin_with(
        (const char *const[]){"ProbeSec", "infinity", "MaxWatches", "1", "WaitSec", "600s", NULL},
        "s0 s1");
    struct http_call *first, *catalogue;

    many_parked(twin, 1);
    for (unsigned i = 0; i < 3; i++) { /* 25 minutes without a word about s0 */
        first = expect(twin, "/v1/health/service/s0?stale&index=");
        catalogue = expect(twin, "/v1/catalog/services?stale&index=");
        pass(twin, 500 SECONDS);
        reply(first, "7", instances("a=10.0.0.1"));
        reply(catalogue, "10", names("s0 s1"));
    }
    first = expect(twin, "/v1/health/service/s0?stale&index=");
    twin_want(twin, "service/s1");
    reply(expect(twin, "/v1/health/service/s1"), "7", instances("a=10.0.0.1"));
    ck_assert_uint_eq(twin_expect_data(twin, "service/s1", "10.0.0.1")->validity,
                      REPORT_UNTIL_LOST);
    expect(twin, "/v1/health/service/s1?stale&index=7");
    /* Its open call is good to the end; then it is polled. */
    ck_assert(!twin_http_gone(twin, first));
    reply(first, "8", instances("a=10.0.0.2"));
    ck_assert_uint_lt(twin_expect_data(twin, "service/s0", "10.0.0.2")->validity,
                      REPORT_UNTIL_LOST);
    twin_free(twin);
}
END_TEST

START_TEST(reads_wait_their_turn_when_very_many_start_at_once)
{
    struct twin *twin = begin_with(
        (const char *const[]){"ProbeSec", "infinity", "MaxWatches", "4", NULL}, "");
    char key[40];

    for (unsigned i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "service/s%u?dc=dc2", i);
        twin_want(twin, key);
    }
    ck_assert_uint_le(twin_http_open(twin), 20);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "/v1/health/service/s%u?", i);
        reply(expect(twin, key), "5", instances("a=10.0.0.1"));
        ck_assert_uint_le(twin_http_open(twin), 21);
    }
    ck_assert_uint_eq(twin_unanswered(twin), 0);
    twin_free(twin);
}
END_TEST

/* ---- a real Consul 1.8.7, recorded (tests/replay/recordings/consul) ---- */

/* Answers as a recorded server did. */
static void replay(struct http_call *call, const char *name)
{
    char path[512], *text = NULL, *headers, *body;
    size_t size = 0;
    FILE *file;
    int status;

    snprintf(path, sizeof(path), "%s/tests/replay/recordings/consul/%s.http",
             getenv("srcdir") ?: ".", name);
    file = fopen(path, "r");
    ck_assert_msg(file, "%s: %s", path, strerror(errno));
    ck_assert_int_gt(getdelim(&text, &size, '\0', file), 0);
    fclose(file);
    ck_assert_int_eq(sscanf(text, "HTTP/1.1 %d", &status), 1);
    headers = strchr(text, '\n') + 1;
    body = strstr(headers, "\n\n");
    *body = '\0';
    twin_http_reply(call, status, headers, body + 2);
    free(text);
}

START_TEST(the_answers_of_a_real_consul_are_understood)
{
    struct twin *twin = twin_new(
        &registry_type_consul,
        &(struct twin_options){
            .settings = (const char *const[]){"ProbeSec", "infinity", "Namespace", "team", NULL}});
    const struct registry_report *report;

    twin_start(twin);
    replay(expect(twin, "/v1/status/leader"), "status-leader");
    replay(expect(twin, "/v1/agent/self"), "agent-self");
    replay(expect(twin, "/v1/catalog/node/dc1-agent"), "catalog-node");
    replay(expect(twin, ROOTS), "connect-roots");
    replay(expect(twin, "/v1/catalog/services"), "catalog-services");
    twin_expect_report(twin, REPORT_UP, NULL);
    report = twin_expect_report(twin, REPORT_IDENTITY, NULL);
    ck_assert_str_eq(report->text, "dc1 13c5ad10-f966-9595-817e-83a0454e277b.consul");
    twin_expect_report(twin, REPORT_SYNCED, NULL);
    ck_assert(json_is_true(json_object_get(twin_describe(twin), "leader")));
    ck_assert_str_eq(json_string_value(json_object_get(twin_describe(twin), "datacenter")), "dc1");
    expect(twin, "/v1/catalog/services");

    twin_want(twin, "service/orders");
    replay(expect(twin, "/v1/health/service/orders"), "health-service");
    twin_expect_data(twin, "service/orders",
                     "10.0.0.1:7001*10 db.example:7002/warning 127.0.0.1:7003/maintenance "
                     "[2001:db8::4]:7004 10.0.0.5:7005/critical 10.0.0.6:8080");
    expect(twin, "/v1/health/service/orders?ns=team&stale&index=");
    twin_want(twin, "service/none");
    twin_expect_report(twin, REPORT_ABSENT, "service/none");
    twin_want(twin, "node/dc1-agent");
    replay(expect(twin, "/v1/catalog/node/dc1-agent"), "catalog-node");
    twin_expect_data(twin, "node/dc1-agent", "127.0.0.1");
    twin_want(twin, "node/none");
    replay(expect(twin, "/v1/catalog/node/none"), "catalog-node-none");
    twin_expect_report(twin, REPORT_ABSENT, "node/none");
    twin_want(twin, "query/nearest");
    replay(expect(twin, "/v1/query/nearest/execute"), "query");
    report = twin_expect_report(twin, REPORT_DATA, "query/nearest");
    ck_assert_uint_eq(report->endpoints->count, 4);
    ck_assert_uint_eq(report->validity, 10 SECONDS);
    twin_want(twin, "query/none");
    replay(expect(twin, "/v1/query/none/execute"), "query-none");
    twin_expect_report(twin, REPORT_ABSENT, "query/none");
    twin_free(twin);
}
END_TEST

START_TEST(the_errors_of_a_real_consul_are_told_apart)
{
    static const struct {
        const char *name;
        enum registry_failure failure;
        const char *text;
    } table[] = {
        {"no-path", FAILURE_TRANSIENT, "HTTP 500: No path to datacenter"},
        {"acl-not-found", FAILURE_DENIED, "HTTP 403: ACL not found"},
        {"enterprise-only", FAILURE_CONFIG,
         "HTTP 400: Bad request: Invalid query parameter: \"ns\" - Namespaces are a Consul "
         "Enterprise feature"},
    };

    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct twin *twin = begin("orders");
        const struct registry_report *report;

        twin_want(twin, "service/orders");
        replay(expect(twin, "/v1/health/service/orders"), table[i].name);
        report = twin_expect_report(twin, REPORT_FAILED, "service/orders");
        ck_assert_int_eq(report->failure, table[i].failure);
        ck_assert_str_eq(report->text, table[i].text);
        twin_free(twin);
    }
}
END_TEST

START_TEST(rights_that_a_real_consul_does_not_give)
{
    struct twin *twin = twin_new(&registry_type_consul, &(struct twin_options){.settings = plain});

    twin_start(twin);
    replay(expect(twin, "/v1/agent/self"), "acl-self-denied");
    replay(expect(twin, "/v1/catalog/services"), "acl-catalog-filtered");
    twin_skip_reports(twin);
    twin_want(twin, "service/orders"); /* a catalogue that shows nothing tells nothing */
    replay(expect(twin, "/v1/health/service/orders"), "acl-filtered");
    ck_assert_uint_lt(twin_expect_report(twin, REPORT_ABSENT, "service/orders")->validity,
                      REPORT_UNTIL_LOST);
    twin_free(twin);
}
END_TEST

/* ---- configuration ---- */

START_TEST(unix_sockets_tls_and_consistency_reach_the_request)
{
    struct twin *twin = twin_new(
        &registry_type_consul,
        &(struct twin_options){.settings = (const char *const[]){
                                   "URL", "unix:///run/consul.sock https://c.example:8501",
                                   "CAFile", "/etc/hostname", "TLSServerName", "server.dc1.consul",
                                   "Consistency", "consistent", NULL}});
    struct http_call *call;

    twin_start(twin);
    call = expect(twin, "/v1/catalog/services");
    expect_url(call, "http://localhost/v1/catalog/services?consistent");
    ck_assert_str_eq(twin_http_request(call)->unix_socket, "/run/consul.sock");
    twin_http_fail(call, HTTP_UNREACHABLE, "no such file");
    call = expect(twin, "https://c.example:8501/v1/catalog/services?consistent");
    ck_assert_ptr_null(twin_http_request(call)->unix_socket);
    ck_assert_str_eq(twin_http_request(call)->tls->ca_file, "/etc/hostname");
    ck_assert_str_eq(twin_http_request(call)->tls->server_name, "server.dc1.consul");
    ck_assert(!twin_http_request(call)->tls->insecure);
    twin_free(twin);
}
END_TEST

START_TEST(a_reload_without_a_change_keeps_everything)
{
    struct twin *twin = begin("orders");
    struct http_call *call = orders_parked(twin);

    ck_assert_int_eq(twin_reload(twin, plain), 0);
    ck_assert(!twin_http_gone(twin, call));
    twin_reload(twin, two_agents);
    ck_assert(twin_http_gone(twin, call));
    expect(twin, "http://a.example:8500/v1/health/service/orders?stale");
    twin_describe(twin);
    twin_free(twin);
}
END_TEST

START_TEST(the_own_datacentre_shares_its_watch_with_the_short_name)
{
    struct twin *twin = begin_with(
        (const char *const[]){"ProbeSec", "infinity", "Datacenter", "DC1", NULL}, "");

    ck_assert_str_eq(twin_resolve_key(twin, "orders.service.dc1.consul"), "service/orders");
    ck_assert_str_eq(twin_resolve_key(twin, "orders.service.dc2.consul"), "service/orders?dc=dc2");
    ck_assert_int_eq(twin_want(twin, "service/../agent"), -EINVAL);
    twin_free(twin);
}
END_TEST

START_TEST(a_skipped_instance_is_logged_once)
{
    struct twin *twin = begin("orders");
    struct http_call *call = orders_parked(twin);

    reply(call, "101", instances("a=10.0.0.1 bad=0.0.0.0"));
    twin_expect_no_report(twin); /* no news */
    reply(expect(twin, "index=101"), "102", instances("a=10.0.0.2 bad=0.0.0.0"));
    twin_expect_data(twin, "service/orders", "10.0.0.2");
    ck_assert_uint_eq(twin_log_count(twin, LOG_WARNING, "bad: unspecified address"), 1);
    twin_free(twin);
}
END_TEST

START_TEST(loopback_addresses_are_good_from_an_agent_on_loopback_only)
{
    struct twin *twin = begin("orders");

    twin_want(twin, "service/orders");
    reply(expect(twin, "/v1/health/"), "5", instances("a=127.0.0.1"));
    twin_expect_data(twin, "service/orders", "127.0.0.1");
    twin_free(twin);
    twin = begin_with(two_agents, "orders");
    twin_want(twin, "service/orders");
    reply(expect(twin, "/v1/health/"), "5", instances("a=127.0.0.1"));
    twin_expect_data(twin, "service/orders", "");
    twin_free(twin);
}
END_TEST

START_TEST(stopping_at_any_moment_leaves_nothing)
{
    struct twin *twin = twin_new(&registry_type_consul,
                                 &(struct twin_options){.settings = two_agents});

    twin_start(twin);
    twin_stop(twin);
    twin_start(twin);
    twin_want(twin, "service/orders");
    twin_stop(twin);
    twin_start(twin);
    twin_http_fail(expect(twin, "/v1/agent/self"), HTTP_UNREACHABLE, "no");
    twin_want(twin, "service/orders");
    twin_want(twin, "query/q");
    twin_stop(twin);
    twin_free(twin);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("consul");

    UNIT_CASE(suite, "ordinary", starting_says_up_synced_and_where_we_are,
              a_service_is_read_and_then_followed,
              an_absent_service_costs_no_call_and_is_there_when_it_appears,
              which_cluster_answers_is_told_once_and_anew_when_it_is_another,
              which_cluster_answers_is_asked_a_few_times_and_changes_nothing_else,
              the_last_instance_gone_is_absence, a_refresh_reads_anew_and_reports_without_news,
              nodes_queries_and_addresses_are_answered, other_places_are_asked_with_their_words,
              the_wan_address_counts_as_soon_as_the_own_datacentre_is_known,
              an_absent_service_elsewhere_is_asked_for_again_now_and_then);
    UNIT_CASE(suite, "just started", a_server_without_a_leader_cannot_empty_a_service,
              what_was_removed_while_a_server_started_is_gone_once_it_has_a_leader,
              a_server_that_lost_its_memory_is_believed_only_after_a_while,
              an_instance_that_registers_anew_ends_the_doubt,
              a_server_without_a_leader_cannot_tell_absence,
              a_server_that_has_just_come_back_cannot_tell_absence,
              a_server_that_came_back_a_while_ago_tells_absence,
              another_agent_is_asked_instead_of_one_without_a_leader,
              a_reload_of_how_much_and_how_often_leaves_calls_open);
    UNIT_CASE(suite, "traps", trap_1_an_error_with_an_index_changes_nothing,
              trap_2_an_index_that_goes_back_starts_over_and_zero_counts_as_one,
              trap_3_streaming_answers_without_leader_are_not_degraded,
              trap_4_a_list_emptied_by_missing_rights_is_suspect,
              trap_4_with_a_server_that_does_not_say_what_it_hides,
              trap_4_a_node_and_a_query_that_rights_hide_are_not_absent,
              only_consul_can_say_that_a_query_does_not_exist, trap_6_a_node_that_does_not_exist,
              trap_7_a_refused_connection_lowers_the_cap, a_kick_leaves_alone_what_is_parked,
              calls_that_were_given_up_take_their_part_of_the_limit,
              an_agent_that_refuses_because_of_them_is_not_down,
              trap_8_a_server_that_always_answers_at_once_is_asked_once_a_second,
              a_service_that_really_changes_is_followed_closely,
              trap_9_the_same_data_in_another_order_is_no_news,
              trap_10_tenancy_is_sent_only_where_it_is_configured,
              trap_11_an_absent_name_is_not_woken_by_what_others_do,
              trap_12_maintenance_is_told_apart_and_at_once);
    UNIT_CASE(suite, "rights", the_token_is_a_header_and_nothing_else,
              after_a_denial_a_new_token_is_tried_at_once_and_the_old_one_slowly,
              without_its_token_nothing_is_asked,
              a_catalogue_that_is_denied_leaves_absence_to_the_health_answer,
              a_catalogue_that_hides_names_does_not_tell_absence);
    UNIT_CASE(suite, "agents", an_agent_that_dies_and_comes_back,
              absent_services_are_absent_again_once_the_catalogue_was_read,
              an_agent_that_hangs_is_noticed_within_thirty_seconds,
              another_agent_takes_over_without_a_word_to_the_core,
              an_error_of_one_agent_is_asked_of_the_other_first,
              all_agents_must_fail_before_the_registry_is_down,
              the_first_agent_is_taken_again_when_it_answers,
              answers_that_are_not_consuls_keep_what_is_known,
              failures_are_tried_again_with_growing_pauses,
              servers_that_answer_again_end_the_pauses_of_all,
              a_refresh_of_what_failed_is_tried_soon_and_a_kick_at_once);
    UNIT_CASE(suite, "many", beyond_the_slots_services_are_polled,
              a_service_in_use_takes_the_slot_of_one_that_is_not,
              reads_wait_their_turn_when_very_many_start_at_once);
    UNIT_CASE(suite, "recorded", the_answers_of_a_real_consul_are_understood,
              the_errors_of_a_real_consul_are_told_apart, rights_that_a_real_consul_does_not_give);
    UNIT_CASE(suite, "configuration", unix_sockets_tls_and_consistency_reach_the_request,
              a_reload_without_a_change_keeps_everything,
              the_own_datacentre_shares_its_watch_with_the_short_name,
              a_skipped_instance_is_logged_once,
              loopback_addresses_are_good_from_an_agent_on_loopback_only,
              stopping_at_any_moment_leaves_nothing);
    return suite;
}

UNIT_MAIN(make_suite)
