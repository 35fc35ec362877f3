/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry type cloudmap as stories: polls, revisions, health, errors told apart, throttling,
 * credentials of every source, outages, clocks that are off.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>

#include "daemon/registry/cloudmap/cloudmap.h"
#include "tests/replay/twin.h"
#include "tests/unit/unit.h"

#define SEC USEC_PER_SEC
#define KEY "orders@shop.internal"
#define URL "http://127.0.0.1:5000/"

static const char *const domains[] = {"shop.internal", NULL};
static const char *const keys[] = {"AWS_ACCESS_KEY_ID",
                                   "AKIDEXAMPLE",
                                   "AWS_SECRET_ACCESS_KEY",
                                   "wJalrXUtnFEMI",
                                   "AWS_EC2_METADATA_DISABLED",
                                   "true",
                                   NULL};
static const char *const plain[] = {"Region", "eu-north-1", "Endpoint", URL, NULL};
static const char one[] =
    "{\"Instances\":[{\"InstanceId\":\"a\",\"HealthStatus\":\"HEALTHY\",\"Attributes\":{"
    "\"AWS_INSTANCE_IPV4\":\"192.0.2.1\",\"AWS_INSTANCE_PORT\":\"80\"}}],"
    "\"InstancesRevision\":7}";
static const char one_ill[] =
    "{\"Instances\":[{\"InstanceId\":\"a\",\"HealthStatus\":\"UNHEALTHY\",\"Attributes\":{"
    "\"AWS_INSTANCE_IPV4\":\"192.0.2.1\",\"AWS_INSTANCE_PORT\":\"80\"}}],"
    "\"InstancesRevision\":7}";
static const char two[] =
    "{\"Instances\":[{\"InstanceId\":\"a\",\"HealthStatus\":\"HEALTHY\",\"Attributes\":{"
    "\"AWS_INSTANCE_IPV4\":\"192.0.2.1\",\"AWS_INSTANCE_PORT\":\"80\"}},"
    "{\"InstanceId\":\"b\",\"HealthStatus\":\"UNKNOWN\",\"Attributes\":{"
    "\"AWS_INSTANCE_IPV4\":\"192.0.2.2\"}}],\"InstancesRevision\":3}";
static const char no_service[] =
    "{\"__type\":\"com.amazonaws.servicediscovery#ServiceNotFound\",\"Message\":\"none such\"}";
static const char limit[] = "{\"__type\":\"RequestLimitExceeded\",\"Message\":\"slow down\"}";
static const char listing[] =
    "{\"Namespaces\":[{\"Id\":\"ns-1\",\"Name\":\"shop.internal\",\"Type\":\"DNS_PRIVATE\","
    "\"Arn\":\"arn:aws:servicediscovery:eu-north-1:111122223333:namespace/ns-1\"}]}";

static struct twin *make(const char *const *settings, const char *const *environment)
{
    struct twin *twin = twin_new(&registry_type_cloudmap,
                                 &(struct twin_options){.domains = domains,
                                                        .settings = settings,
                                                        .environment = environment});

    ck_assert_int_eq(twin_start(twin), 0);
    return twin;
}

/* The open call of this operation. */
static struct http_call *expect(struct twin *twin, const char *operation)
{
    struct http_call *call = twin_expect_http(twin, "POST", "");
    char target[96];

    snprintf(target, sizeof(target), "Route53AutoNaming_v20170314.%s", operation);
    ck_assert_str_eq(twin_http_request_header(call, "X-Amz-Target"), target);
    return call;
}

/* Started, and its namespaces listed. */
static struct twin *started(void)
{
    struct twin *twin = make(plain, keys);

    twin_http_reply(expect(twin, "ListNamespaces"), 200, NULL, listing);
    twin_skip_reports(twin);
    return twin;
}

/* ... and one service known, at revision 7. */
static struct twin *serving(void)
{
    struct twin *twin = started();

    twin_want(twin, KEY);
    twin_http_reply(expect(twin, "DiscoverInstances"), 200, NULL, one);
    twin_expect_data(twin, KEY, "192.0.2.1:80");
    return twin;
}

/* Advances to the next poll, which is for the revision. */
static struct http_call *next_revision(struct twin *twin)
{
    twin_advance(twin, 6 * SEC);
    return expect(twin, "DiscoverInstancesRevision");
}

START_TEST(a_service_is_discovered_for_who_asks)
{
    struct twin *twin = started();
    struct http_call *call;

    twin_want(twin, twin_resolve_key(twin, "orders.shop.internal"));
    call = expect(twin, "DiscoverInstances");
    ck_assert_str_eq(twin_http_request(call)->url, URL);
    ck_assert_str_eq(twin_http_request(call)->body,
                     "{\"NamespaceName\":\"shop.internal\",\"ServiceName\":\"orders\","
                     "\"MaxResults\":1000,\"HealthStatus\":\"ALL\"}");
    twin_http_reply(call, 200, NULL, two);
    /* UNKNOWN is an instance without health check: as good as any. */
    twin_expect_data(twin, KEY, "192.0.2.1:80 192.0.2.2");
    twin_free(twin);
}
END_TEST

START_TEST(a_revision_that_stands_costs_no_full_poll)
{
    struct twin *twin = serving();

    twin_http_reply(next_revision(twin), 200, NULL, "{\"InstancesRevision\":7}");
    twin_expect_no_http(twin);
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

START_TEST(a_revision_that_goes_down_is_a_change)
{
    struct twin *twin = serving();

    twin_http_reply(next_revision(twin), 200, NULL, "{\"InstancesRevision\":3}");
    twin_http_reply(expect(twin, "DiscoverInstances"), 200, NULL, two);
    twin_expect_data(twin, KEY, "192.0.2.1:80 192.0.2.2");
    twin_http_reply(next_revision(twin), 200, NULL, "{\"InstancesRevision\":7}");
    twin_http_reply(expect(twin, "DiscoverInstances"), 200, NULL, one);
    twin_expect_data(twin, KEY, "192.0.2.1:80");
    twin_free(twin);
}
END_TEST

START_TEST(health_that_flips_at_the_same_revision_is_seen_by_the_full_poll)
{
    struct twin *twin = serving();
    bool seen = false;

    for (unsigned i = 0; i < 7 && !seen; i++) {
        struct http_call *call;

        twin_advance(twin, 6 * SEC);
        call = twin_expect_http(twin, "POST", "");
        seen = strstr(twin_http_request_header(call, "X-Amz-Target"), "Revision") == NULL;
        twin_http_reply(call, 200, NULL, seen ? one_ill : "{\"InstancesRevision\":7}");
    }
    ck_assert(seen);
    twin_expect_data(twin, KEY, "192.0.2.1:80/critical");
    twin_free(twin);
}
END_TEST

START_TEST(no_such_service_is_an_absence_and_is_not_polled)
{
    struct twin *twin = started();

    twin_want(twin, KEY);
    twin_http_reply(expect(twin, "DiscoverInstances"), 400, NULL, no_service);
    twin_expect_report(twin, REPORT_ABSENT, KEY);
    twin_advance(twin, 120 * SEC);
    twin_expect_no_http(twin);
    twin_free(twin);
}
END_TEST

START_TEST(a_service_that_was_deleted_is_absent_after_a_poll)
{
    struct twin *twin = serving();

    twin_http_reply(next_revision(twin), 400, NULL, no_service);
    twin_http_reply(expect(twin, "DiscoverInstances"), 400, NULL, no_service);
    twin_expect_report(twin, REPORT_ABSENT, KEY);
    twin_free(twin);
}
END_TEST

START_TEST(throttling_is_a_failure_with_back_off_and_never_an_absence)
{
    struct twin *twin = serving();
    unsigned calls = 0;

    twin_refresh(twin, KEY);
    for (unsigned i = 0; i < 120; i++) {
        while (twin_http_open(twin) > 0) {
            twin_http_reply(twin_expect_http(twin, "POST", ""), 400, NULL, limit);
            calls++;
        }
        twin_advance(twin, SEC);
    }
    ck_assert_ptr_null(twin_find_report(twin, REPORT_ABSENT, KEY));
    ck_assert_ptr_null(twin_find_report(twin, REPORT_DOWN, NULL));
    ck_assert_int_eq(twin_find_report(twin, REPORT_FAILED, KEY)->failure, FAILURE_THROTTLED);
    /* 20 s at most between two, about 10 s in the middle. */
    ck_assert_uint_ge(calls, 7);
    ck_assert_uint_le(calls, 40);
    twin_free(twin);
}
END_TEST

/* ---- rights, clocks, keys that are refused ---- */

static const char expired[] = "{\"__type\":\"ExpiredTokenException\",\"message\":\"old\"}";
static const char bad_signature[] =
    "{\"__type\":\"InvalidSignatureException\",\"message\":\"Signature expired\"}";
static const char denied[] = "{\"__type\":\"AccessDeniedException\",\"Message\":\"no\"}";

START_TEST(a_right_that_is_missing_is_told_and_is_no_absence)
{
    struct twin *twin = started();

    twin_want(twin, KEY);
    twin_http_reply(expect(twin, "DiscoverInstances"), 400, NULL, denied);
    ck_assert_int_eq(twin_expect_report(twin, REPORT_FAILED, KEY)->failure, FAILURE_DENIED);
    twin_free(twin);
}
END_TEST

START_TEST(without_the_right_to_revisions_instances_are_polled_in_full)
{
    struct twin *twin = serving();

    twin_http_reply(next_revision(twin), 403, NULL, denied);
    twin_http_reply(expect(twin, "DiscoverInstances"), 200, NULL, one);
    twin_expect_data(twin, KEY, "192.0.2.1:80");
    twin_expect_log(twin, LOG_WARNING, "revisions cannot be polled");
    twin_advance(twin, 25 * SEC);
    while (twin_http_open(twin) > 0)
        twin_http_reply(expect(twin, "DiscoverInstances"), 200, NULL, one);
    twin_free(twin);
}
END_TEST

/* The twin's year is 2023. */
START_TEST(a_clock_that_is_off_is_made_up_for)
{
    struct twin *twin = started();
    struct http_call *call;
    char first[32];

    twin_want(twin, KEY);
    call = expect(twin, "DiscoverInstances");
    strcpy(first, twin_http_request_header(call, "X-Amz-Date"));
    twin_http_reply(call, 403, "Date: Sun, 22 Nov 2026 12:00:00 GMT", bad_signature);
    call = expect(twin, "DiscoverInstances");
    ck_assert_str_eq(twin_http_request_header(call, "X-Amz-Date"), "20261122T120000Z");
    ck_assert_str_ne(first, "20261122T120000Z");
    twin_http_reply(call, 200, NULL, one);
    twin_expect_data(twin, KEY, "192.0.2.1:80");
    twin_expect_log(twin, LOG_WARNING, "clock is slow");
    twin_free(twin);
}
END_TEST

START_TEST(a_refused_signature_at_the_right_time_is_tried_once_more_at_most)
{
    struct twin *twin = started();

    twin_want(twin, KEY);
    twin_http_reply(expect(twin, "DiscoverInstances"), 403, NULL, bad_signature);
    twin_http_reply(expect(twin, "DiscoverInstances"), 403, NULL, bad_signature);
    ck_assert_int_eq(twin_expect_report(twin, REPORT_FAILED, KEY)->failure, FAILURE_DENIED);
    twin_expect_no_http(twin);
    twin_free(twin);
}
END_TEST

/* ---- credentials ---- */

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

START_TEST(a_session_token_goes_along_and_no_key_shows)
{
    static const char *const environment[] = {"AWS_ACCESS_KEY_ID",
                                              "ASIA1",
                                              "AWS_SECRET_ACCESS_KEY",
                                              "sesame",
                                              "AWS_SESSION_TOKEN",
                                              "opensesame",
                                              "AWS_EC2_METADATA_DISABLED",
                                              "true",
                                              "AWS_REGION",
                                              "eu-north-1",
                                              NULL};
    struct twin *twin = make(NULL, environment);
    struct http_call *call = expect(twin, "ListNamespaces");

    twin_forbid(twin, "sesame");
    ck_assert_str_eq(twin_http_request(call)->url,
                     "https://servicediscovery.eu-north-1.amazonaws.com/");
    ck_assert_str_eq(twin_http_request_header(call, "X-Amz-Security-Token"), "opensesame");
    ck_assert_ptr_nonnull(strstr(twin_http_request_header(call, "Authorization"),
                                 "x-amz-date;x-amz-security-token;x-amz-target"));
    twin_http_reply(call, 200, NULL, listing);
    twin_want(twin, KEY);
    call = expect(twin, "DiscoverInstances");
    ck_assert_str_eq(twin_http_request(call)->url,
                     "https://data-servicediscovery.eu-north-1.amazonaws.com/");
    twin_http_reply(call, 403, NULL, expired);
    twin_describe(twin);
    twin_free(twin);
}
END_TEST

START_TEST(a_web_identity_reads_its_token_anew_every_time)
{
    char folder[] = "/tmp/nss-sd-cloudmap-XXXXXX", path[64];
    const char *environment[] = {"AWS_WEB_IDENTITY_TOKEN_FILE",
                                 path,
                                 "AWS_ROLE_ARN",
                                 "arn:aws:iam::111122223333:role/disc",
                                 "AWS_EC2_METADATA_DISABLED",
                                 "true",
                                 NULL};
    static const char grant[] =
        "{\"AssumeRoleWithWebIdentityResponse\":{\"AssumeRoleWithWebIdentityResult\":{"
        "\"Credentials\":{\"AccessKeyId\":\"ASIA1\",\"SecretAccessKey\":\"sesame\","
        "\"SessionToken\":\"t\",\"Expiration\":\"2023-11-26T12:33:20Z\"}}}}";
    struct http_call *call;
    struct twin *twin;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/token", folder);
    write_file(path, "first/token\n");
    twin = make(plain, environment);
    twin_forbid(twin, "sesame");
    call = twin_expect_http(twin, "POST", "https://sts.eu-north-1.amazonaws.com/");
    ck_assert_ptr_nonnull(strstr(twin_http_request(call)->body, "&WebIdentityToken=first%2Ftoken"));
    ck_assert_ptr_nonnull(strstr(twin_http_request(call)->body,
                                 "&RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fdisc&"));
    twin_http_reply(call, 200, NULL, grant);
    twin_http_reply(expect(twin, "ListNamespaces"), 200, NULL, listing);
    write_file(path, "second");
    twin_want(twin, KEY);
    twin_http_reply(twin_expect_http(twin, "POST", URL), 403, NULL, expired);
    call = twin_expect_http(twin, "POST", "https://sts.");
    ck_assert_ptr_nonnull(strstr(twin_http_request(call)->body, "&WebIdentityToken=second"));
    twin_http_reply(call, 200, NULL, grant);
    twin_http_reply(twin_expect_http(twin, "POST", URL), 200, NULL, one);
    twin_free(twin);
    unlink(path);
    rmdir(folder);
}
END_TEST

static const char container_grant[] =
    "{\"AccessKeyId\":\"ASIA2\",\"SecretAccessKey\":\"sesame\",\"Token\":\"t\","
    "\"Expiration\":\"2099-11-26T12:33:20Z\"}";

START_TEST(a_container_s_agent_gets_its_authorization)
{
    static const char *const environment[] = {"AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                              "http://169.254.170.23/v1/credentials",
                                              "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                              "word",
                                              "AWS_EC2_METADATA_DISABLED",
                                              "true",
                                              NULL};
    struct twin *twin = make(plain, environment);
    struct http_call *call = twin_expect_http(twin, "GET", "http://169.254.170.23/v1/credentials");

    twin_forbid(twin, "sesame");
    ck_assert_str_eq(twin_http_request_header(call, "Authorization"), "word");
    twin_http_reply(call, 200, NULL, container_grant);
    expect(twin, "ListNamespaces");
    twin_free(twin);
}
END_TEST

START_TEST(keys_are_asked_for_in_the_clear_only_where_nobody_listens)
{
    static const char *const urls[] = {"http://192.0.2.1/", "http://169.254.170.2.example.com/",
                                       "http://127.0.0.1@192.0.2.1/", "ftp://127.0.0.1/"};

    for (size_t i = 0; i < ELEMENTS(urls); i++) {
        const char *environment[] = {"AWS_CONTAINER_CREDENTIALS_FULL_URI", urls[i],
                                     "AWS_EC2_METADATA_DISABLED", "true", NULL};
        struct twin *twin = make(plain, environment);

        twin_expect_no_http(twin);
        twin_expect_log(twin, LOG_WARNING, "neither https nor on this machine");
        twin_free(twin);
    }
}
END_TEST

START_TEST(a_line_break_makes_no_second_header)
{
    static const char *const environment[] = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                              "/v2/x",
                                              "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                              "word\r\nX-Evil: 1",
                                              "AWS_EC2_METADATA_DISABLED",
                                              "true",
                                              NULL};
    struct twin *twin = make(plain, environment);

    twin_expect_no_http(twin);
    twin_expect_log(twin, LOG_WARNING, "line break");
    twin_free(twin);
}
END_TEST

/* Answers the instance metadata's three questions for keys; they expire at `expires`. */
static void answer_instance(struct twin *twin, const char *expires)
{
    char grant[256];

    snprintf(grant, sizeof(grant),
             "{\"Code\":\"Success\",\"AccessKeyId\":\"ASIA3\",\"SecretAccessKey\":\"sesame\","
             "\"Token\":\"t\",\"Expiration\":\"%s\"}",
             expires);
    twin_http_reply(twin_expect_http(twin, "GET", "security-credentials/"), 200, NULL, "role\n");
    twin_http_reply(twin_expect_http(twin, "GET", "security-credentials/role"), 200, NULL, grant);
}

START_TEST(expired_keys_of_the_instance_are_used_while_new_ones_are_asked_for)
{
    struct twin *twin = make(plain, (const char *const[]){NULL});
    struct http_call *call;
    bool asked = false;

    twin_forbid(twin, "sesame");
    /* The zone is asked for on the side. */
    twin_http_fail(twin_expect_http(twin, "PUT", "/latest/api/token"), HTTP_UNREACHABLE, "x");
    call = twin_expect_http(twin, "PUT", "/latest/api/token");
    twin_http_reply(call, 200, NULL, "IMDSTOKEN");
    answer_instance(twin, "2020-01-01T00:00:00Z");
    twin_http_reply(expect(twin, "ListNamespaces"), 200, NULL, listing);
    twin_want(twin, KEY);
    twin_http_reply(expect(twin, "DiscoverInstances"), 200, NULL, one);
    twin_expect_log(twin, LOG_WARNING, "expired already");
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_DATA, KEY));
    /* After five to ten minutes better ones are asked for, in vain here. */
    for (unsigned i = 0; i < 120 && !asked; i++) {
        twin_advance(twin, 5 * SEC);
        asked = twin_log_count(twin, LOG_WARNING, "no credentials of source instance") > 0;
    }
    ck_assert(asked);
    twin_free(twin);
}
END_TEST

START_TEST(a_session_token_that_does_not_come_is_told_with_what_keeps_it)
{
    static const char *const six[] = {"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6", NULL};
    struct twin *twin = make(plain, six);

    for (unsigned i = 0; i < 2; i++) /* the zone is asked for on the side */
        twin_http_fail(twin_expect_http(twin, "PUT", "http://[fd00:ec2::254]/latest/api/token"),
                       HTTP_TIMEOUT, "[fd00:ec2::254]:80: silent");
    twin_expect_log(twin, LOG_WARNING, "hop limit of 2");
    twin_free(twin);
}
END_TEST

/* Replies to what else is asked until STS is asked; that call. */
static struct http_call *pass_until_sts(struct twin *twin)
{
    for (unsigned i = 0; i < 900; i++) {
        while (twin_http_open(twin) > 0) {
            struct http_call *call = twin_expect_http(twin, "POST", "");
            const char *target = twin_http_request_header(call, "X-Amz-Target");

            if (!target)
                return call;
            twin_http_reply(call, 200, NULL,
                            strstr(target, "List")       ? listing
                            : strstr(target, "Revision") ? "{\"InstancesRevision\":7}"
                                                         : one);
        }
        twin_advance(twin, SEC);
    }
    ck_abort_msg("STS was not asked");
}

START_TEST(keys_that_were_refused_once_do_not_make_calls_wait_for_every_later_renewal)
{
    char path[] = "/tmp/nss-sd-cloudmap-XXXXXX";
    const char *environment[] = {"AWS_WEB_IDENTITY_TOKEN_FILE",
                                 path,
                                 "AWS_ROLE_ARN",
                                 "arn:aws:iam::111122223333:role/disc",
                                 "AWS_EC2_METADATA_DISABLED",
                                 "true",
                                 NULL};
    static const char grant[] =
        "{\"AssumeRoleWithWebIdentityResponse\":{\"AssumeRoleWithWebIdentityResult\":{"
        "\"Credentials\":{\"AccessKeyId\":\"ASIA1\",\"SecretAccessKey\":\"sesame\","
        "\"SessionToken\":\"t\",\"Expiration\":\"2020-01-01T00:00:00Z\"}}}}";
    struct twin *twin;
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    close(fd);
    write_file(path, "token\n");
    twin = make(plain, environment);
    twin_http_reply(twin_expect_http(twin, "POST", "//sts."), 200, NULL, grant);
    twin_http_reply(expect(twin, "ListNamespaces"), 200, NULL, listing);
    twin_want(twin, KEY);
    twin_http_reply(expect(twin, "DiscoverInstances"), 403, NULL, expired);
    twin_skip_reports(twin);
    twin_expect_http(twin, "POST", "//sts."); /* and nothing else before it has answered */
    twin_expect_no_http(twin);
    twin_advance(twin, 10 * SEC); /* it does not: the old keys are tried again */
    twin_http_reply(expect(twin, "DiscoverInstances"), 200, NULL, one);
    twin_expect_data(twin, KEY, "192.0.2.1:80");
    pass_until_sts(twin); /* which says nothing */
    twin_skip_reports(twin);
    twin_refresh(twin, KEY);
    twin_http_reply(expect(twin, "DiscoverInstances"), 200, NULL, one);
    twin_expect_data(twin, KEY, "192.0.2.1:80");
    twin_free(twin);
    unlink(path);
}
END_TEST

/* ---- outages ---- */

START_TEST(an_outage_is_told_keeps_what_is_known_and_ends_by_itself)
{
    struct twin *twin = serving();

    for (unsigned i = 0; i < 90; i++) {
        while (twin_http_open(twin) > 0)
            twin_http_fail(twin_expect_http(twin, "POST", ""), HTTP_UNREACHABLE, "no route");
        twin_advance(twin, SEC);
    }
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_DOWN, NULL));
    ck_assert_ptr_null(twin_find_report(twin, REPORT_ABSENT, KEY));
    twin_skip_reports(twin);
    for (unsigned i = 0; i < 60; i++) {
        while (twin_http_open(twin) > 0) {
            struct http_call *call = twin_expect_http(twin, "POST", "");

            twin_http_reply(call, 200, NULL,
                            strstr(twin_http_request_header(call, "X-Amz-Target"), "List") ? listing
                                                                                           : one);
        }
        twin_advance(twin, SEC);
    }
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_UP, NULL));
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_DATA, KEY));
    twin_free(twin);
}
END_TEST

static struct cloudmap_call behind;

static void takes_away_what_is_behind(struct cloudmap_call *call,
                                      const struct cloudmap_answer *answer)
{
    ck_assert_int_eq(answer->verdict, CLOUDMAP_FAILED);
    *(unsigned *)call->owner += 1;
    cloudmap_call_cancel(&behind);
}

/* As the core does that hears of one key's failure and drops another one. */
START_TEST(who_hears_of_a_failure_may_take_away_what_is_queued_behind)
{
    struct twin *twin = started();
    struct cloudmap *cloudmap = (struct cloudmap *)twin_registry(twin);
    unsigned ends = 0;
    struct cloudmap_call first = {
        .cloudmap = cloudmap, .done = takes_away_what_is_behind, .owner = &ends};

    behind = first;
    cloudmap->calls.paused_until = twin_now(twin) + 10 * SEC;
    ck_assert_int_eq(cloudmap_call_start(&first, CLOUDMAP_DISCOVER, strdup("{}"), true), 0);
    ck_assert_int_eq(cloudmap_call_start(&behind, CLOUDMAP_DISCOVER, strdup("{}"), false), 0);
    twin_advance(twin, 0);
    ck_assert_uint_eq(ends, 1);
    ck_assert(!cloudmap_call_is_open(&behind));
    ck_assert_ptr_null(cloudmap->calls.urgent);
    ck_assert_ptr_null(cloudmap->calls.polls);
    twin_free(twin);
}
END_TEST

START_TEST(many_names_stay_within_the_budget)
{
    struct twin *twin = started();
    unsigned calls = 0;

    for (unsigned i = 0; i < 300; i++) {
        char key[64];

        snprintf(key, sizeof(key), "s%u@shop.internal", i);
        twin_want(twin, key);
    }
    for (unsigned i = 0; i < 120; i++) {
        while (twin_http_open(twin) > 0) {
            struct http_call *call = twin_expect_http(twin, "POST", "");
            bool revision = strstr(twin_http_request_header(call, "X-Amz-Target"), "Revision") !=
                            NULL;

            twin_http_reply(call, 200, NULL, revision ? "{\"InstancesRevision\":7}" : one);
            calls++;
        }
        twin_advance(twin, SEC);
    }
    ck_assert_uint_eq(twin_unanswered(twin), 0);
    /* MaxCallsPerSec=10, and a second's worth of reserve. */
    ck_assert_uint_le(calls, 1210);
    ck_assert_uint_ge(calls, 700);
    twin_free(twin);
}
END_TEST

/* ---- namespaces ---- */

START_TEST(the_api_is_asked_by_the_http_name)
{
    struct twin *twin = make(plain, keys);
    struct http_call *call = expect(twin, "ListNamespaces");

    twin_want(twin, KEY);
    twin_expect_no_http(twin);
    twin_http_reply(call, 200, NULL,
                    "{\"Namespaces\":[{\"Name\":\"shop.internal\",\"Type\":\"DNS_PRIVATE\","
                    "\"Properties\":{\"HttpProperties\":{\"HttpName\":\"shop-http\"}}}]}");
    call = expect(twin, "DiscoverInstances");
    ck_assert_ptr_nonnull(strstr(twin_http_request(call)->body, "\"shop-http\""));
    twin_free(twin);
}
END_TEST

START_TEST(found_namespaces_are_the_domains)
{
    static const char *const none[] = {NULL};
    struct twin *twin = twin_new(
        &registry_type_cloudmap,
        &(struct twin_options){.domains = none, .settings = plain, .environment = keys});
    const struct registry_report *report;
    struct http_call *call;

    ck_assert_int_eq(twin_start(twin), 0);
    twin_http_reply(expect(twin, "ListNamespaces"), 200, NULL,
                    "{\"Namespaces\":[{\"Name\":\"example.com\",\"Type\":\"DNS_PUBLIC\"}],"
                    "\"NextToken\":\"more\"}");
    call = expect(twin, "ListNamespaces");
    ck_assert_ptr_nonnull(strstr(twin_http_request(call)->body, "\"more\""));
    twin_http_reply(call, 200, NULL, listing);
    report = twin_find_report(twin, REPORT_DOMAINS, NULL);
    ck_assert_ptr_nonnull(report);
    ck_assert_str_eq(report->domains[0], "shop.internal");
    ck_assert_ptr_null(report->domains[1]);
    ck_assert_str_eq(twin_find_report(twin, REPORT_IDENTITY, NULL)->text, "111122223333");
    twin_free(twin);
}
END_TEST

/* What was said last of the registry as a whole. */
static enum registry_report_kind last_word(struct twin *twin)
{
    enum registry_report_kind kind = REPORT_UP;
    const struct registry_report *report;

    while ((report = twin_take_report(twin)))
        if (report->kind == REPORT_UP || report->kind == REPORT_DOWN ||
            (report->kind == REPORT_FAILED && !report->key))
            kind = report->kind;
    return kind;
}

/* The API answers all the while. */
START_TEST(a_listing_that_is_denied_again_and_again_does_not_leave_the_registry_down)
{
    static const char *const none[] = {NULL};
    struct twin *twin = twin_new(
        &registry_type_cloudmap,
        &(struct twin_options){.domains = none, .settings = plain, .environment = keys});

    ck_assert_int_eq(twin_start(twin), 0);
    for (unsigned i = 0; i < 2; i++) {
        twin_http_reply(expect(twin, "ListNamespaces"), 403, NULL, denied);
        twin_advance(twin, SEC);
        ck_assert_int_eq(last_word(twin), REPORT_UP);
        while (twin_http_open(twin) == 0)
            twin_advance(twin, SEC);
    }
    twin_http_reply(expect(twin, "ListNamespaces"), 200, NULL, listing);
    twin_advance(twin, SEC);
    ck_assert_int_ne(last_word(twin), REPORT_FAILED);
    twin_free(twin);
}
END_TEST

START_TEST(a_listing_without_end_is_given_up)
{
    struct twin *twin = make(plain, keys);
    unsigned pages = 0;

    for (unsigned i = 0; i < 200; i++) {
        for (; twin_http_open(twin) > 0; pages++)
            twin_http_reply(expect(twin, "ListNamespaces"), 200, NULL,
                            "{\"Namespaces\":[],\"NextToken\":\"more\"}");
        twin_advance(twin, 100 * USEC_PER_MSEC);
        if (twin_log_count(twin, LOG_WARNING, "comes to no end") > 0)
            break;
    }
    twin_expect_log(twin, LOG_WARNING, "comes to no end");
    ck_assert_uint_eq(pages, CLOUDMAP_PAGES_MAX);
    twin_free(twin);
}
END_TEST

START_TEST(an_unknown_namespace_is_not_believed_before_names_are_known)
{
    struct twin *twin = make(plain, keys);
    unsigned i;

    twin_want(twin, KEY);
    for (i = 0; i < 3; i++) {
        twin_http_reply(expect(twin, "ListNamespaces"), 500, NULL, "");
        twin_advance(twin, SEC);
        if (!twin_http_open(twin))
            break;
    }
    twin_advance(twin, SEC);
    ck_assert_ptr_null(twin_find_report(twin, REPORT_ABSENT, KEY));
    twin_free(twin);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("cloudmap");

    UNIT_CASE(suite, "polls", a_service_is_discovered_for_who_asks,
              a_revision_that_stands_costs_no_full_poll, a_revision_that_goes_down_is_a_change,
              health_that_flips_at_the_same_revision_is_seen_by_the_full_poll,
              no_such_service_is_an_absence_and_is_not_polled,
              a_service_that_was_deleted_is_absent_after_a_poll,
              throttling_is_a_failure_with_back_off_and_never_an_absence);
    UNIT_CASE(suite, "refusals", a_right_that_is_missing_is_told_and_is_no_absence,
              without_the_right_to_revisions_instances_are_polled_in_full,
              a_clock_that_is_off_is_made_up_for,
              a_refused_signature_at_the_right_time_is_tried_once_more_at_most);
    UNIT_CASE(suite, "credentials", a_session_token_goes_along_and_no_key_shows,
              a_web_identity_reads_its_token_anew_every_time,
              a_container_s_agent_gets_its_authorization,
              keys_are_asked_for_in_the_clear_only_where_nobody_listens,
              a_line_break_makes_no_second_header,
              expired_keys_of_the_instance_are_used_while_new_ones_are_asked_for,
              a_session_token_that_does_not_come_is_told_with_what_keeps_it,
              keys_that_were_refused_once_do_not_make_calls_wait_for_every_later_renewal);
    UNIT_CASE(suite, "outages", an_outage_is_told_keeps_what_is_known_and_ends_by_itself,
              who_hears_of_a_failure_may_take_away_what_is_queued_behind,
              many_names_stay_within_the_budget);
    UNIT_CASE(suite, "namespaces", the_api_is_asked_by_the_http_name,
              found_namespaces_are_the_domains,
              a_listing_that_is_denied_again_and_again_does_not_leave_the_registry_down,
              a_listing_without_end_is_given_up,
              an_unknown_namespace_is_not_believed_before_names_are_known);
    return suite;
}

UNIT_MAIN(make_suite)
