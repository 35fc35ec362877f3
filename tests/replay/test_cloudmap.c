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

static Suite *make_suite(void)
{
    Suite *suite = suite_create("cloudmap");

    UNIT_CASE(suite, "polls", a_service_is_discovered_for_who_asks,
              a_revision_that_stands_costs_no_full_poll, a_revision_that_goes_down_is_a_change,
              health_that_flips_at_the_same_revision_is_seen_by_the_full_poll,
              no_such_service_is_an_absence_and_is_not_polled,
              a_service_that_was_deleted_is_absent_after_a_poll,
              throttling_is_a_failure_with_back_off_and_never_an_absence);
    return suite;
}

UNIT_MAIN(make_suite)
