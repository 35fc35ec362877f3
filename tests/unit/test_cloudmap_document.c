/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Cloud Map's answers to endpoints and namespaces, and what hands out keys: STS, agents, files. */
#include <stdio.h>

#include "daemon/registry/cloudmap/document.h"
#include "daemon/registry/cloudmap/grant.h"
#include "daemon/registry/cloudmap/profile.h"
#include "daemon/registry/cloudmap/settings.h"
#include "tests/unit/unit.h"

#define EXPIRES (1795352400 * USEC_PER_SEC) /* 2026-11-22T13:00:00Z */

static const struct cloudmap_document_rules rules;

static struct cloudmap_document parsed(const char *text)
{
    struct cloudmap_document document;

    ck_assert_int_eq(cloudmap_document_instances(text, strlen(text), &rules, &document), 0);
    return document;
}

/* One instance with these attributes. */
static struct cloudmap_document instance(const char *attributes)
{
    char text[4096];

    snprintf(text, sizeof(text),
             "{\"Instances\":[{\"InstanceId\":\"i\",\"HealthStatus\":\"HEALTHY\","
             "\"Attributes\":{%s}}],\"InstancesRevision\":412}",
             attributes);
    return parsed(text);
}

START_TEST(a_task_of_ecs_has_addresses_a_port_and_a_zone)
{
    struct cloudmap_document document = instance(
        "\"AWS_INSTANCE_IPV4\":\"10.30.1.9\",\"AWS_INSTANCE_IPV6\":\"2001:db8::9\","
        "\"AWS_INSTANCE_PORT\":\"7001\",\"AVAILABILITY_ZONE\":\"eu-north-1a\","
        "\"REGION\":\"eu-north-1\",\"ECS_SERVICE_NAME\":\"orders\"");
    const struct endpoint *endpoint = document.endpoints->endpoints;

    ck_assert_int_eq(document.revision, 412);
    ck_assert_uint_eq(document.endpoints->count, 1);
    ck_assert_uint_eq(endpoint->address_count, 2);
    ck_assert_uint_eq(endpoint->ports[0].number, 7001);
    ck_assert_str_eq(endpoint->zone, "eu-north-1a");
    ck_assert_str_eq(endpoint->region, "eu-north-1");
    ck_assert_str_eq(endpoint->name, "i");
    cloudmap_document_done(&document);
}
END_TEST

START_TEST(a_load_balancer_or_another_name_is_a_target)
{
    struct cloudmap_document document = instance(
        "\"AWS_ALIAS_DNS_NAME\":\"Orders-1.elb.example.com.\"");

    ck_assert_str_eq(document.endpoints->endpoints->target, "orders-1.elb.example.com");
    cloudmap_document_done(&document);
    document = instance("\"AWS_INSTANCE_CNAME\":\"db.example.com\"");
    ck_assert_str_eq(document.endpoints->endpoints->target, "db.example.com");
    cloudmap_document_done(&document);
}
END_TEST

START_TEST(instances_without_a_usable_address_are_skipped_and_counted)
{
    static const char *const bad[] = {
        "\"url\":\"https://example.com/\"",
        "\"AWS_INSTANCE_IPV4\":\"10.0.0\"",
        "\"AWS_INSTANCE_IPV4\":\"224.0.0.1\"",
        "\"AWS_INSTANCE_IPV4\":\"::1\"",
        "\"AWS_INSTANCE_IPV4\":\"127.0.0.1\"",
        "\"AWS_INSTANCE_CNAME\":\"not a name\"",
        "\"AWS_INSTANCE_IPV4\":7",
        "",
    };

    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        struct cloudmap_document document = instance(bad[i]);

        ck_assert_uint_eq(document.endpoints->count, 0);
        ck_assert_uint_eq(document.skipped, 1);
        ck_assert_uint_eq(document.entries, 1);
        ck_assert_int_eq(strncmp(document.reason, "i: ", 3), 0);
        cloudmap_document_done(&document);
    }
}
END_TEST

START_TEST(health_is_healthy_unknown_or_not_said_for_use)
{
    static const struct {
        const char *word;
        enum endpoint_health health;
    } cases[] = {{"\"HEALTHY\"", HEALTH_PASSING},
                 {"\"UNKNOWN\"", HEALTH_PASSING},
                 {"null", HEALTH_PASSING},
                 {"\"UNHEALTHY\"", HEALTH_CRITICAL},
                 {"\"PURPLE\"", HEALTH_UNKNOWN}};

    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        struct cloudmap_document document;
        char text[512];

        snprintf(text, sizeof(text),
                 "{\"Instances\":[{\"InstanceId\":\"i\",\"HealthStatus\":%s,\"Attributes\":{"
                 "\"AWS_INSTANCE_IPV4\":\"192.0.2.1\"}}]}",
                 cases[i].word);
        document = parsed(text);
        ck_assert_int_eq(document.endpoints->endpoints->health, cases[i].health);
        ck_assert_int_eq(document.revision, -1);
        cloudmap_document_done(&document);
    }
}
END_TEST

START_TEST(what_is_no_such_document_tells_nothing)
{
    static const char *const bad[] = {"",
                                      "null",
                                      "[]",
                                      "{}",
                                      "{\"Instances\":{}}",
                                      "{\"Instances\":[1]}",
                                      "<html>",
                                      "{\"Instances\":["};
    struct cloudmap_document document;

    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        ck_assert_int_eq(cloudmap_document_instances(bad[i], strlen(bad[i]), &rules, &document),
                         -EBADMSG);
        ck_assert_ptr_null(document.endpoints);
    }
}
END_TEST

static int collect(void *userdata, const struct cloudmap_namespace_entry *entry)
{
    char *text = userdata;

    sprintf(text + strlen(text), "%s=%s%s ", entry->domain, entry->http_name,
            entry->is_public ? "!" : "");
    return 0;
}

START_TEST(namespaces_have_a_name_for_dns_and_one_for_the_api)
{
    static const char page[] =
        "{\"Namespaces\":["
        "{\"Name\":\"Shop.Internal\",\"Type\":\"DNS_PRIVATE\","
        "\"Properties\":{\"HttpProperties\":{\"HttpName\":\"shop-http\"}}},"
        "{\"Name\":\"prod\",\"Type\":\"HTTP\",\"Properties\":{\"HttpProperties\":{}}},"
        "{\"Name\":\"no host name\",\"Type\":\"HTTP\"},"
        "{\"Name\":\"example.com\",\"Type\":\"DNS_PUBLIC\"},"
        "{\"Name\":\"shared\",\"Type\":\"HTTP\",\"Arn\":\"arn:x\","
        "\"ResourceOwner\":\"OTHER_ACCOUNTS\"}],\"NextToken\":\"more\"}";
    _cleanup_(freep) char *next = NULL;
    char text[512] = "";

    ck_assert_int_eq(cloudmap_document_namespaces(page, strlen(page), collect, text, &next), 0);
    ck_assert_str_eq(text,
                     "shop.internal=shop-http prod=prod example.com=example.com! shared=arn:x ");
    ck_assert_str_eq(next, "more");
}
END_TEST

START_TEST(the_code_of_an_error_is_found_wherever_it_is)
{
    static const char body[] = "{\"__type\":\"com.amazonaws.servicediscovery#ServiceNotFound\","
                               "\"Message\":\"no\\nsuch\"}";
    struct cloudmap_error error;

    cloudmap_document_error(body, strlen(body), "Other", &error);
    ck_assert_str_eq(error.code, "ServiceNotFound");
    ck_assert_ptr_null(strchr(error.message, '\n'));
    cloudmap_document_error("{\"message\":\"m\"}", 15, "RequestLimitExceeded:http://x/", &error);
    ck_assert_str_eq(error.code, "RequestLimitExceeded");
    ck_assert_str_eq(error.message, "m");
    cloudmap_document_error("<html>", 6, NULL, &error);
    ck_assert_str_eq(error.code, "");
}
END_TEST

/* ---- keys ---- */

START_TEST(sts_grants_in_json_and_in_xml)
{
    static const char *const answers[] = {
        "{\"AssumeRoleWithWebIdentityResponse\":{\"AssumeRoleWithWebIdentityResult\":{"
        "\"Credentials\":{\"AccessKeyId\":\"ASIA\",\"SecretAccessKey\":\"s/+=\","
        "\"SessionToken\":\"t==\",\"Expiration\":1.7953524E9}}}}",
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
        "<AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s/+=</SecretAccessKey>"
        "<SessionToken>t==</SessionToken><Expiration>2026-11-22T13:00:00Z</Expiration>"
        "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
    };

    for (size_t i = 0; i < ELEMENTS(answers); i++) {
        struct cloudmap_grant grant;

        ck_assert_int_eq(cloudmap_grant_sts(answers[i], strlen(answers[i]), &grant), 0);
        ck_assert_str_eq(grant.keys.access, "ASIA");
        ck_assert_str_eq(grant.keys.secret, "s/+=");
        ck_assert_str_eq(grant.keys.token, "t==");
        ck_assert_uint_eq(grant.expires, EXPIRES);
        cloudmap_grant_done(&grant);
    }
}
END_TEST

START_TEST(half_a_grant_is_none)
{
    static const char *const bad[] = {
        "",
        "{}",
        "{\"AccessKeyId\":\"a\"}",
        "{\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"line\\nbreak\"}",
        "{\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"s\",\"Expiration\":\"soon\"}",
        "{\"Code\":\"Failed\",\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"s\"}",
    };
    struct cloudmap_grant grant;

    for (size_t i = 0; i < ELEMENTS(bad); i++)
        ck_assert_int_eq(cloudmap_grant_metadata(bad[i], strlen(bad[i]), &grant), -EBADMSG);
}
END_TEST

START_TEST(an_error_of_sts_has_its_code_in_json_and_in_xml)
{
    static const char xml[] = "<ErrorResponse><Error><Code>InvalidIdentityToken</Code></Error>";
    static const char json[] = "{\"Error\":{\"Code\":\"AccessDenied\"}}";
    char code[CLOUDMAP_CODE_SIZE];

    cloudmap_grant_sts_error(xml, strlen(xml), code);
    ck_assert_str_eq(code, "InvalidIdentityToken");
    cloudmap_grant_sts_error(json, strlen(json), code);
    ck_assert_str_eq(code, "AccessDenied");
}
END_TEST

START_TEST(dates_are_read_as_the_services_write_them)
{
    usec_t time;

    ck_assert_int_eq(cloudmap_time_from_iso("2026-11-22T13:00:00.5Z", &time), 0);
    ck_assert_uint_eq(time, EXPIRES);
    ck_assert_int_eq(cloudmap_time_from_http("Sun, 22 Nov 2026 13:00:00 GMT", &time), 0);
    ck_assert_uint_eq(time, EXPIRES);
    ck_assert_int_eq(cloudmap_time_from_iso("2026-11-22", &time), -EINVAL);
    ck_assert_int_eq(cloudmap_time_from_http("yesterday", &time), -EINVAL);
    ck_assert_int_eq(cloudmap_time_from_http("Sun, 22 anF 2026 13:00:00 GMT", &time), -EINVAL);
}
END_TEST

START_TEST(a_profile_is_its_section_without_comments_and_nested_keys)
{
    static const char credentials[] = "# comment\n[default]\naws_access_key_id=D\n[work]\r\n"
                                      "aws_access_key_id = W\r\naws_secret_access_key = s=1\r\n"
                                      "; aws_session_token = no\n[other]\naws_session_token=o\n";
    static const char config[] = "[default]\nregion=eu-west-1\n[profile work]\n"
                                 "s3 =\n  region = wrong\nregion = eu-north-1\n"
                                 "[work]\nregion = not-this\n";
    struct cloudmap_profile profile = {0};

    ck_assert_int_eq(
        cloudmap_profile_read(&profile, "work", false, credentials, strlen(credentials)), 0);
    ck_assert_int_eq(cloudmap_profile_read(&profile, "work", true, config, strlen(config)), 0);
    ck_assert(profile.found);
    ck_assert_str_eq(profile.keys.access, "W");
    ck_assert_str_eq(profile.keys.secret, "s=1");
    ck_assert_ptr_null(profile.keys.token);
    ck_assert_str_eq(profile.region, "eu-north-1");
    cloudmap_profile_done(&profile);
}
END_TEST

START_TEST(a_profile_that_needs_more_than_keys_says_what)
{
    static const char config[] = "[profile work]\nrole_arn = x\nsource_profile = y\n";
    struct cloudmap_profile profile = {0};

    ck_assert_int_eq(cloudmap_profile_read(&profile, "work", true, config, strlen(config)), 0);
    ck_assert_str_eq(profile.unsupported, "role_arn");
    cloudmap_profile_done(&profile);
}
END_TEST

START_TEST(an_endpoint_is_a_url_without_a_path)
{
    char host[64];

    ck_assert(cloudmap_url_host("https://vpce.example.com:443/", host, sizeof(host)));
    ck_assert_str_eq(host, "vpce.example.com");
    ck_assert(cloudmap_url_host("http://127.0.0.1:5000", host, sizeof(host)));
    ck_assert_str_eq(host, "127.0.0.1:5000");
    ck_assert(!cloudmap_url_host("https://host/path", NULL, 0));
    ck_assert(!cloudmap_url_host("https://user@host", NULL, 0));
    ck_assert(!cloudmap_url_host("ftp://host", NULL, 0));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("cloudmap_document");

    UNIT_CASE(suite, "instances", a_task_of_ecs_has_addresses_a_port_and_a_zone,
              a_load_balancer_or_another_name_is_a_target,
              instances_without_a_usable_address_are_skipped_and_counted,
              health_is_healthy_unknown_or_not_said_for_use, what_is_no_such_document_tells_nothing,
              namespaces_have_a_name_for_dns_and_one_for_the_api,
              the_code_of_an_error_is_found_wherever_it_is);
    UNIT_CASE(suite, "keys", sts_grants_in_json_and_in_xml, half_a_grant_is_none,
              an_error_of_sts_has_its_code_in_json_and_in_xml,
              dates_are_read_as_the_services_write_them,
              a_profile_is_its_section_without_comments_and_nested_keys,
              a_profile_that_needs_more_than_keys_says_what, an_endpoint_is_a_url_without_a_path);
    return suite;
}

UNIT_MAIN(make_suite)
