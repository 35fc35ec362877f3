/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The question to the cloud as stories: on which machines it is asked, in which words, and what
 * becomes of services that are silent, slow or something else. A registry type of the test's own
 * stands around the part, so that the twin holds it to the rules of registries.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>

#include "daemon/cloud_zone.h"
#include "tests/replay/twin.h"
#include "tests/unit/unit.h"

#define SEC USEC_PER_SEC

static char dmi[64];
static char answer[1024]; /* "CLOUD ZONE REGION", or "" */
static unsigned answers;

struct host {
    struct registry registry;
    struct cloud_zone *zone;
};

static void found(void *userdata, const char *cloud, const char *zone, const char *region)
{
    ck_assert_ptr_eq(userdata, answer);
    answers++;
    snprintf(answer, sizeof(answer), "%s zone=%s region=%s", cloud, zone, region);
}

static int start(struct registry *registry)
{
    return cloud_zone_new(registry->env, dmi, found, answer, &((struct host *)registry)->zone);
}

static void kick(struct registry *registry)
{
    cloud_zone_kick(((struct host *)registry)->zone);
}

static void describe(const struct registry *registry, json_t *object)
{
    (void)registry, (void)object;
}

static void stop(struct registry *registry)
{
    cloud_zone_free(((struct host *)registry)->zone);
}

static const struct registry_type type = {
    .name = "host",
    .size = sizeof(struct host),
    .start = start,
    .kick = kick,
    .describe = describe,
    .stop = stop,
};

/* ---- the machine ---- */

static void set_up(void)
{
    strcpy(dmi, "/tmp/test_cloud_zone.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dmi));
    answer[0] = '\0';
    answers = 0;
}

static void tear_down(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -r %s", dmi);
    ck_assert_int_eq(system(command), 0);
}

static void firmware(const char *file, const char *text)
{
    char path[128];
    FILE *stream;

    snprintf(path, sizeof(path), "%s/%s", dmi, file);
    stream = fopen(path, "w");
    ck_assert_ptr_nonnull(stream);
    fprintf(stream, "%s\n", text);
    fclose(stream);
}

static struct twin *started(const char *const *environment)
{
    struct twin *twin = twin_new(&type, &(struct twin_options){.environment = environment});

    ck_assert_int_eq(twin_start(twin), 0);
    return twin;
}

static struct twin *on_ec2(void)
{
    firmware("sys_vendor", "Amazon EC2");
    return started(NULL);
}

static struct twin *on_google(void)
{
    firmware("product_name", "Google Compute Engine");
    return started(NULL);
}

static struct twin *on_azure(void)
{
    firmware("sys_vendor", "Microsoft Corporation");
    firmware("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77");
    return started(NULL);
}

static void give_token(struct twin *twin)
{
    struct http_call *call = twin_expect_http(twin, "PUT", "169.254.169.254/latest/api/token");

    ck_assert_ptr_nonnull(twin_http_request_header(call, "X-aws-ec2-metadata-token-ttl-seconds"));
    twin_http_reply(call, 200, NULL, "T0KEN");
}

static struct http_call *expect_ec2(struct twin *twin, const char *path)
{
    struct http_call *call = twin_expect_http(twin, "GET", path);

    ck_assert_str_eq(twin_http_request_header(call, "X-aws-ec2-metadata-token"), "T0KEN");
    return call;
}

/* ---- stories ---- */

START_TEST(a_machine_of_no_cloud_asks_nobody)
{
    static const char *const others[][2] = {
        {"sys_vendor", "Google"}, /* a laptop */
        {"sys_vendor", "Microsoft Corporation"},
        {"sys_vendor", "QEMU"},
        {"bios_version", "4.11.amazon.not"},
        {"chassis_asset_tag", ""},
    };
    struct twin *twin = started(NULL);

    twin_expect_no_http(twin);
    ck_assert_uint_eq(twin_next_timer(twin), USEC_INFINITY);
    twin_free(twin);
    for (size_t i = 0; i < ELEMENTS(others); i++) {
        firmware(others[i][0], others[i][1]);
        twin = started(NULL);
        twin_kick(twin);
        twin_advance(twin, 3600 * SEC);
        twin_expect_no_http(twin);
        twin_free(twin);
    }
}
END_TEST

START_TEST(ec2_tells_region_and_zone_for_a_token)
{
    struct twin *twin = on_ec2();

    twin_forbid(twin, "T0KEN");
    give_token(twin);
    twin_http_reply(expect_ec2(twin, "/latest/meta-data/placement/region"), 200, NULL,
                    "eu-north-1");
    twin_http_reply(expect_ec2(twin, "/latest/meta-data/placement/availability-zone"), 200, NULL,
                    "eu-north-1a\n");
    ck_assert_str_eq(answer, "EC2 zone=eu-north-1a region=eu-north-1");
    /* It is asked once. */
    twin_kick(twin);
    twin_advance(twin, 24 * 3600 * SEC);
    twin_expect_no_http(twin);
    ck_assert_uint_eq(answers, 1);
    twin_free(twin);
}
END_TEST

START_TEST(ec2_on_xen_is_known_by_its_firmware)
{
    struct twin *twin;

    firmware("sys_vendor", "Xen");
    firmware("bios_version", "4.11.amazon");
    twin = started(NULL);
    twin_expect_http(twin, "PUT", "/latest/api/token");
    twin_free(twin);
}
END_TEST

START_TEST(ec2_without_a_path_for_the_region_tells_the_zone)
{
    struct twin *twin = on_ec2();

    give_token(twin);
    twin_http_reply(expect_ec2(twin, "placement/region"), 404, NULL, "<html>none</html>");
    twin_http_reply(expect_ec2(twin, "placement/availability-zone"), 200, NULL, "eu-north-1a");
    ck_assert_str_eq(answer, "EC2 zone=eu-north-1a region=");
    twin_free(twin);
}
END_TEST

START_TEST(ec2_is_not_asked_where_its_metadata_are_switched_off)
{
    static const char *const off[] = {"AWS_EC2_METADATA_DISABLED", "true", NULL};
    struct twin *twin;

    firmware("board_vendor", "Amazon EC2");
    twin = started(off);
    twin_kick(twin);
    twin_expect_no_http(twin);
    twin_free(twin);
}
END_TEST

START_TEST(google_tells_the_zone_which_holds_the_region)
{
    struct twin *twin = on_google();
    struct http_call *call = twin_expect_http(
        twin, "GET", "http://169.254.169.254/computeMetadata/v1/instance/zone");

    ck_assert_str_eq(twin_http_request_header(call, "Metadata-Flavor"), "Google");
    twin_http_reply(call, 200, "Metadata-Flavor: Google",
                    "projects/123456789012/zones/europe-west1-b");
    ck_assert_str_eq(answer, "Google Cloud zone=europe-west1-b region=europe-west1");
    twin_free(twin);
}
END_TEST

START_TEST(who_does_not_say_that_it_is_google_is_not_believed)
{
    struct twin *twin = on_google();

    twin_http_reply(twin_expect_http(twin, "GET", "instance/zone"), 200, NULL,
                    "projects/1/zones/evil");
    ck_assert_str_eq(answer, "");
    twin_expect_log(twin, LOG_NOTICE, "cannot be learned from Google Cloud");
    twin_free(twin);
}
END_TEST

START_TEST(azure_tells_location_and_number_of_the_zone)
{
    struct twin *twin = on_azure();
    struct http_call *call = twin_expect_http(twin, "GET", "/metadata/instance/compute/location?");

    ck_assert_str_eq(twin_http_request_header(call, "Metadata"), "true");
    twin_http_reply(call, 200, NULL, "WestEurope");
    twin_http_reply(twin_expect_http(twin, "GET", "/metadata/instance/compute/zone?"), 200, NULL,
                    "2");
    ck_assert_str_eq(answer, "Azure zone=westeurope-2 region=westeurope");
    twin_free(twin);
}
END_TEST

START_TEST(a_machine_of_azure_may_be_in_no_zone)
{
    static const char *const zones[] = {"", "not a number but a long text"};

    for (size_t i = 0; i < ELEMENTS(zones); i++) {
        struct twin *twin = on_azure();

        twin_http_reply(twin_expect_http(twin, "GET", "location"), 200, NULL, "westeurope");
        twin_http_reply(twin_expect_http(twin, "GET", "compute/zone"), 200, NULL, zones[i]);
        ck_assert_str_eq(answer, "Azure zone= region=westeurope");
        twin_free(twin);
    }
}
END_TEST

START_TEST(a_silent_service_is_asked_again_ever_more_seldom_and_complained_of_once)
{
    struct twin *twin = on_google();
    unsigned tries = 0;

    for (unsigned second = 0; second < 3600; second++) {
        if (twin_http_open(twin) > 0) {
            twin_http_fail(twin_expect_http(twin, "GET", "instance/zone"), HTTP_UNREACHABLE,
                           "no route");
            tries++;
        }
        twin_advance(twin, SEC);
    }
    /* 5 s, 10 s, 20 s, ... 10 min, give or take the jitter. */
    ck_assert_uint_ge(tries, 9);
    ck_assert_uint_le(tries, 14);
    ck_assert_uint_eq(twin_log_count(twin, LOG_NOTICE, "cannot be learned"), 1);
    /* The network is another one: now. */
    twin_kick(twin);
    twin_http_reply(twin_expect_http(twin, "GET", "instance/zone"), 200, "Metadata-Flavor: Google",
                    "projects/1/zones/us-east1-c");
    ck_assert_str_eq(answer, "Google Cloud zone=us-east1-c region=us-east1");
    twin_free(twin);
}
END_TEST

START_TEST(an_answer_that_is_late_is_none)
{
    struct twin *twin = on_google();

    twin_expect_http(twin, "GET", "instance/zone");
    twin_advance(twin, 3 * SEC);
    ck_assert_uint_eq(twin_http_open(twin), 0);
    ck_assert_uint_eq(answers, 0);
    for (unsigned i = 0; i < 100 && twin_http_open(twin) == 0; i++)
        twin_advance(twin, SEC / 10);
    twin_expect_http(twin, "GET", "instance/zone");
    twin_free(twin);
}
END_TEST

START_TEST(a_kick_while_it_asks_does_not_ask_twice)
{
    struct twin *twin = on_google();

    twin_kick(twin);
    ck_assert_uint_eq(twin_http_open(twin), 1);
    twin_free(twin);
}
END_TEST

START_TEST(an_endless_answer_is_no_zone)
{
    struct twin *twin = on_google();
    char body[2048] = "";

    memset(body, 'z', sizeof(body) - 1);
    twin_http_reply(twin_expect_http(twin, "GET", "instance/zone"), 200, "Metadata-Flavor: Google",
                    body);
    ck_assert_str_eq(answer, "Google Cloud zone= region=");
    twin_free(twin);
}
END_TEST

static Suite *cloud_zone_suite(void)
{
    Suite *suite = suite_create("cloud_zone");

    UNIT_CASE_FIXTURE(suite, "cloud_zone", set_up, tear_down, a_machine_of_no_cloud_asks_nobody,
                      ec2_tells_region_and_zone_for_a_token, ec2_on_xen_is_known_by_its_firmware,
                      ec2_without_a_path_for_the_region_tells_the_zone,
                      ec2_is_not_asked_where_its_metadata_are_switched_off,
                      google_tells_the_zone_which_holds_the_region,
                      who_does_not_say_that_it_is_google_is_not_believed,
                      azure_tells_location_and_number_of_the_zone,
                      a_machine_of_azure_may_be_in_no_zone,
                      a_silent_service_is_asked_again_ever_more_seldom_and_complained_of_once,
                      an_answer_that_is_late_is_none, a_kick_while_it_asks_does_not_ask_twice,
                      an_endless_answer_is_no_zone);
    return suite;
}

UNIT_MAIN(cloud_zone_suite)
