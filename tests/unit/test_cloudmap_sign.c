/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Signatures as another implementation makes them. The expected ones were made by botocore 1.44.5:
 * botocore.auth.SigV4Auth(Credentials(access, secret, token), "servicediscovery",
 * region).add_auth() of a POST with these headers and this body, botocore.auth.get_current_datetime
 * replaced by the time below.
 */
#include "daemon/registry/cloudmap/sign.h"
#include "tests/unit/unit.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define NOON   (1795348800 * USEC_PER_SEC) /* 2026-11-22T12:00:00Z */

static char access_key[] = "AKIDEXAMPLE", secret[] = SECRET;

static void check(const char *host, const char *target, const char *body, const char *region,
                  char *token, usec_t time, const char *date, const char *expected)
{
    const struct cloudmap_keys keys = {.access = access_key, .secret = secret, .token = token};
    _cleanup_(freep) char *authorization = NULL;
    char ret_date[CLOUDMAP_DATE_SIZE];
    const struct cloudmap_sign_request request = {
        .host = host,
        .content_type = "application/x-amz-json-1.1",
        .target = target,
        .body = body,
        .body_size = strlen(body),
        .region = region,
        .service = "servicediscovery",
        .keys = &keys,
        .time = time,
    };

    ck_assert_int_eq(cloudmap_sign(&request, ret_date, &authorization), 0);
    ck_assert_str_eq(ret_date, date);
    ck_assert_str_eq(authorization, expected);
}

static void check_discover(char *token, const char *expected)
{
    check("data-servicediscovery.eu-north-1.amazonaws.com",
          "Route53AutoNaming_v20170314.DiscoverInstances",
          "{\"NamespaceName\":\"shop.internal\",\"ServiceName\":\"orders\",\"MaxResults\":1000,"
          "\"HealthStatus\":\"ALL\"}",
          "eu-north-1", token, NOON, "20261122T120000Z", expected);
}

START_TEST(a_request_with_lasting_keys_is_signed_as_botocore_signs_it)
{
    check_discover(NULL,
                   "AWS4-HMAC-SHA256 "
                   "Credential=AKIDEXAMPLE/20261122/eu-north-1/servicediscovery/aws4_request, "
                   "SignedHeaders=content-type;host;x-amz-date;x-amz-target, "
                   "Signature=c95a7ca8ad00bd0390db060a750a9b573240ee1aa526e930f48a290b7a6360a9");
}
END_TEST

START_TEST(a_session_token_is_signed_too)
{
    static char token[] = "IQoJb3JpZ2luX2VjEXAMPLE//token==";

    check_discover(token,
                   "AWS4-HMAC-SHA256 "
                   "Credential=AKIDEXAMPLE/20261122/eu-north-1/servicediscovery/aws4_request, "
                   "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, "
                   "Signature=4c0c73c2f7dfaf5042c910db16b0da437eacfead6a2674f31df797543cc7b0de");
}
END_TEST

START_TEST(a_port_of_its_own_belongs_to_the_host)
{
    static char token[] = "t";

    check("127.0.0.1:5000", "Route53AutoNaming_v20170314.ListNamespaces", "{}", "us-east-1", token,
          1801439999 * USEC_PER_SEC, "20270131T235959Z",
          "AWS4-HMAC-SHA256 "
          "Credential=AKIDEXAMPLE/20270131/us-east-1/servicediscovery/aws4_request, "
          "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, "
          "Signature=c3492d7e6cb5a5894cf94038c4d6915fa6552fe3477245b4a8080648078a0911");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("cloudmap_sign");

    UNIT_CASE(suite, "botocore", a_request_with_lasting_keys_is_signed_as_botocore_signs_it,
              a_session_token_is_signed_too, a_port_of_its_own_belongs_to_the_host);
    return suite;
}

UNIT_MAIN(make_suite)
