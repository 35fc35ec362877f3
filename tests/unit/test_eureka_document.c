/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is made of Eureka's documents: every shape that servers of different ages write, the
 * recorded answers of a real one, names, the reconcile hash, and the rules that are arithmetic.
 */
#include "daemon/registry/eureka/applications.h"
#include "daemon/registry/eureka/cadence.h"
#include "daemon/registry/eureka/document.h"
#include "daemon/registry/eureka/guard.h"
#include "tests/unit/unit.h"

#include <stdio.h>

static struct registry_config config;
static struct eureka_document_rules rules;
static struct eureka_applications applications;
static struct eureka_document document;
static char why_last[256];

static void name_changed(void *owner, const char *name)
{
    (void)owner;
    (void)name;
}

static int take(void *owner, struct eureka_instance *instance, const char *why)
{
    bool news;

    (void)owner;
    snprintf(why_last, sizeof(why_last), "%s", why ?: "");
    return eureka_applications_put(&applications, instance, &news);
}

static void set_up(void)
{
    config = (struct registry_config){0};
    rules = (struct eureka_document_rules){.config = &config};
    applications = (struct eureka_applications){.changed = name_changed};
    why_last[0] = '\0';
}

static void tear_down(void)
{
    eureka_applications_done(&applications);
}

/* In pieces of `step` bytes. */
static int read_in_steps(const char *text, size_t step)
{
    size_t size = strlen(text);
    int r = 0;

    eureka_document_init(&document, &rules, take, NULL);
    for (size_t at = 0; at < size && r == 0; at += step)
        r = eureka_document_feed(&document, text + at, size - at < step ? size - at : step);
    r = r ?: eureka_document_finish(&document);
    eureka_document_done(&document);
    return r;
}

static int read_text(const char *text)
{
    return read_in_steps(text, SIZE_MAX / 2);
}

/* "id=address:port zone", of each instance that `name` leads to, with its health unless passing. */
static const char *found(const char *name)
{
    static char text[1024], address[INET6_ADDRSTRLEN];
    struct eureka_found found;
    size_t at = 0;

    text[0] = '\0';
    ck_assert_int_eq(eureka_applications_find(&applications, name, &found), 0);
    for (uint32_t i = 0; i < found.endpoints->count; i++) {
        const struct endpoint *one = &found.endpoints->endpoints[i];

        if (one->address_count > 0)
            address_to_string(&one->addresses[0], address);
        at += (size_t)snprintf(
            text + at, sizeof(text) - at, "%s%s=%s:%d%s%s%s%s", at > 0 ? " " : "", one->name,
            one->address_count > 0 ? address : one->target,
            one->port_count > 0 ? one->ports[0].number : 0, one->zone[0] ? "@" : "", one->zone,
            one->health == HEALTH_PASSING ? "" : "/",
            one->health == HEALTH_PASSING ? "" : endpoint_health_to_string(one->health));
    }
    endpoint_set_unref(found.endpoints);
    return text;
}

static const char *hash(void)
{
    static char text[EUREKA_OWN_HASH_SIZE];

    eureka_applications_hash(&applications, text);
    return text;
}

/* A document with this one instance, in which `members` stand. */
static int read_instance(const char *members)
{
    static char text[4096];

    snprintf(text, sizeof(text),
             "{\"applications\":{\"apps__hashcode\":\"UP_1_\",\"application\":[{\"name\":\"A\","
             "\"instance\":[{%s}]}]}}",
             members);
    return read_text(text);
}

/* ---- shapes ---- */

START_TEST(an_only_element_may_stand_bare_and_nothing_may_be_written_in_many_ways)
{
    static const char *const one =
        "{\"applications\":{\"versions__delta\":7,\"apps__hashcode\":\"UP_1_\",\"application\":"
        "{\"instance\":{\"instanceId\":\"i\",\"ipAddr\":\"192.0.2.1\",\"status\":\"UP\"},"
        "\"name\":\"A\"}}}";
    static const char *const none[] = {
        "{\"applications\":{\"apps__hashcode\":\"\",\"application\":[]}}",
        "{\"applications\":{\"apps__hashcode\":\"\",\"application\":\"\"}}",
        "{\"applications\":{\"apps__hashcode\":\"\",\"application\":null}}",
        "{\"applications\":{\"apps__hashcode\":\"\"}}",
        "{\"applications\":{\"apps__hashcode\":\"\",\"application\":[{\"name\":\"A\"}]}}",
        "{\"applications\":{\"apps__hashcode\":\"\",\"application\":[{\"name\":\"A\",\"instance\":"
        "[]}]}}",
        "{\"applications\":{\"apps__hashcode\":\"\",\"application\":[{\"name\":\"A\",\"instance\":"
        "\"\"}]}}",
        "{\"applications\":{\"apps__hashcode\":\"\",\"application\":{\"name\":\"A\",\"instance\":"
        "null}}}",
    };

    ck_assert_int_eq(read_text(one), 0);
    ck_assert_str_eq(found("a"), "i=192.0.2.1:0");
    ck_assert_uint_eq(document.version, 7);
    ck_assert_str_eq(document.hash, "UP_1_");
    for (size_t i = 0; i < ELEMENTS(none); i++) {
        ck_assert_msg(read_text(none[i]) == 0, "%s", none[i]);
        ck_assert_uint_eq(document.instances, 0);
        ck_assert(document.has_hash);
    }
}
END_TEST

START_TEST(what_is_no_such_document_teaches_nothing)
{
    static const char *const bad[] = {
        "",
        "null",
        "{}",
        "[]",
        "{\"applications\":null}",
        "{\"applications\":\"\"}",
        "{\"applications\":{}}",
        "{\"applications\":{\"apps__hashcode\":\"\",\"application\":[",
        "{\"applications\":{\"apps__hashcode\":\"\",\"application\":[7]}}",
        "{\"applications\":{\"apps__hashcode\":\"\",\"application\":[{\"instance\":[7]}]}}",
        "{\"applications\":{\"apps__hashcode\":\"\",\"application\":[]}} more",
        "<applications><apps__hashcode></apps__hashcode></applications>",
    };

    for (size_t i = 0; i < ELEMENTS(bad); i++)
        ck_assert_msg(read_text(bad[i]) == -EBADMSG, "%s", bad[i]);
}
END_TEST

START_TEST(ports_are_numbers_or_texts_and_count_where_they_are_enabled)
{
    static const struct {
        const char *members, *port;
    } cases[] = {
        {"\"port\":{\"$\":80,\"@enabled\":\"true\"},\"securePort\":{\"$\":443,\"@enabled\":"
         "\"true\"}",
         "80"},
        {"\"port\":{\"$\":\"80\",\"@enabled\":true}", "80"},
        {"\"port\":{\"$\":80,\"@enabled\":\"false\"},\"securePort\":{\"$\":\"443\",\"@enabled\":"
         "\"true\"}",
         "443"},
        {"\"port\":{\"$\":80,\"@enabled\":\"false\"}", "0"},
        {"\"port\":{\"$\":80}", "80"},
        {"\"port\":8080", "8080"},
        {"\"port\":{\"$\":65536,\"@enabled\":\"true\"}", "0"},
        {"\"port\":{\"$\":-1,\"@enabled\":\"true\"}", "0"},
        {"\"port\":{\"$\":\"80x\",\"@enabled\":\"true\"}", "0"},
        {"\"port\":null", "0"},
    };

    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char members[512], expected[64];

        snprintf(members, sizeof(members),
                 "\"instanceId\":\"i\",\"ipAddr\":\"192.0.2.1\",\"status\":\"UP\",%s",
                 cases[i].members);
        snprintf(expected, sizeof(expected), "i=192.0.2.1:%s", cases[i].port);
        ck_assert_int_eq(read_instance(members), 0);
        ck_assert_str_eq(found("a"), expected);
    }
}
END_TEST

START_TEST(an_instance_is_who_it_says_it_is_or_who_amazon_or_its_host_says)
{
    ck_assert_int_eq(read_instance("\"hostName\":\"h.example\",\"ipAddr\":\"192.0.2.1\""), 0);
    ck_assert_str_eq(found("a"), "h.example=192.0.2.1:0/unknown");
    ck_assert_int_eq(read_instance("\"hostName\":\"h.example\",\"ipAddr\":\"192.0.2.2\","
                                   "\"dataCenterInfo\":{\"name\":\"Amazon\",\"metadata\":"
                                   "{\"instance-id\":\"i-1\",\"availability-zone\":"
                                   "\"us-east-1a\"}}"),
                     0);
    ck_assert_str_eq(found("a"),
                     "h.example=192.0.2.1:0/unknown i-1=192.0.2.2:0@us-east-1a/unknown");
    ck_assert_int_eq(read_instance("\"ipAddr\":\"192.0.2.1\""), 0);
    ck_assert_uint_eq(document.skipped, 1);
}
END_TEST

START_TEST(the_zone_is_that_of_the_metadata_before_amazon_s)
{
    static const struct {
        const char *metadata, *zone;
    } cases[] = {
        {"{\"zone\":\"z1\"}", "@z1"},
        {"{\"zone\":\"defaultZone\"}", "@us-east-1b"},
        {"{\"@class\":\"java.util.Collections$EmptyMap\"}", "@us-east-1b"},
        {"{\"zone\":7}", "@us-east-1b"},
        {"null", "@us-east-1b"},
    };

    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char members[512], expected[64];

        snprintf(members, sizeof(members),
                 "\"instanceId\":\"i\",\"ipAddr\":\"192.0.2.1\",\"status\":\"UP\",\"metadata\":%s,"
                 "\"dataCenterInfo\":{\"metadata\":{\"availability-zone\":\"us-east-1b\"}}",
                 cases[i].metadata);
        snprintf(expected, sizeof(expected), "i=192.0.2.1:0%s", cases[i].zone);
        ck_assert_int_eq(read_instance(members), 0);
        ck_assert_str_eq(found("a"), expected);
    }
}
END_TEST

START_TEST(an_address_may_be_a_name_and_one_that_nobody_may_hand_out_is_kept_for_the_count)
{
    static const struct {
        const char *ip, *host, *expected, *why;
    } cases[] = {
        {"2001:db8::1", "h", "i=2001:db8::1:0", ""},
        {"[2001:db8::2]", "h", "i=2001:db8::2:0", ""},
        {"2001:db8::3%eth0", "h", "i=2001:db8::3:0", ""},
        {"Db.Example", "h", "i=db.example:0", ""},
        {"", "h.example", "i=h.example:0", ""},
        {"10.0.0.300", "h.example", "i=h.example:0", ""},
        {"", "192.0.2.5", "i=192.0.2.5:0", ""},
        {"127.0.0.1", "h.example", "", "loopback"},
        {"169.254.1.1", "h.example", "", "link-local"},
        {"", "", "", "neither an address nor a host name"},
    };

    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char members[512];

        snprintf(members, sizeof(members),
                 "\"instanceId\":\"i\",\"ipAddr\":\"%s\",\"hostName\":\"%s\",\"status\":\"UP\"",
                 cases[i].ip, cases[i].host);
        ck_assert_int_eq(read_instance(members), 0);
        ck_assert_str_eq(found("a"), cases[i].expected);
        ck_assert_msg(strstr(why_last, cases[i].why) != NULL, "%s: %s", cases[i].ip, why_last);
        ck_assert_str_eq(hash(), "UP_1_");
    }
}
END_TEST

START_TEST(the_public_address_is_used_where_that_is_wished)
{
    static const char *const members =
        "\"instanceId\":\"i\",\"ipAddr\":\"10.0.0.1\",\"status\":\"UP\",\"dataCenterInfo\":"
        "{\"metadata\":{\"public-ipv4\":\"203.0.113.9\"}}";

    read_instance(members);
    ck_assert_str_eq(found("a"), "i=10.0.0.1:0");
    rules.public_address = true;
    read_instance(members);
    ck_assert_str_eq(found("a"), "i=203.0.113.9:0");
}
END_TEST

/* ---- names ---- */

START_TEST(every_vip_of_a_list_is_a_name_in_any_case_and_with_any_port)
{
    read_instance("\"instanceId\":\"i\",\"app\":\"APP\",\"ipAddr\":\"192.0.2.1\",\"status\":\"UP\","
                  "\"vipAddress\":\"one, Two:7001,,a b,three\",\"secureVipAddress\":\"FOUR,one\"");
    ck_assert_str_eq(found("one"), "i=192.0.2.1:0");
    ck_assert_str_eq(found("two"), "i=192.0.2.1:0");
    ck_assert_str_eq(found("three"), "i=192.0.2.1:0");
    ck_assert_str_eq(found("four"), "i=192.0.2.1:0");
    ck_assert_str_eq(found("app"), "i=192.0.2.1:0");
    ck_assert_str_eq(found("a b"), "");
}
END_TEST

START_TEST(a_vip_is_stronger_than_an_application_of_this_name)
{
    read_text(
        "{\"applications\":{\"apps__hashcode\":\"UP_3_\",\"application\":[{\"name\":\"ORDERS\","
        "\"instance\":["
        "{\"instanceId\":\"regular\",\"ipAddr\":\"192.0.2.1\",\"status\":\"UP\","
        "\"vipAddress\":\"orders\"},"
        "{\"instanceId\":\"canary\",\"ipAddr\":\"192.0.2.2\",\"status\":\"UP\","
        "\"vipAddress\":\"orders-canary\"}]},{\"name\":\"BLUE\",\"instance\":["
        "{\"instanceId\":\"blue\",\"ipAddr\":\"192.0.2.3\",\"status\":\"UP\","
        "\"vipAddress\":\"orders\"}]}]}}");
    ck_assert_str_eq(found("orders"), "blue=192.0.2.3:0 regular=192.0.2.1:0");
    ck_assert_str_eq(found("orders-canary"), "canary=192.0.2.2:0");
    ck_assert_str_eq(found("blue"), "blue=192.0.2.3:0");
}
END_TEST

START_TEST(an_instance_that_changes_its_vip_leaves_the_old_name)
{
    static const char *const format =
        "\"instanceId\":\"i\",\"ipAddr\":\"192.0.2.1\",\"status\":\"UP\",\"vipAddress\":\"%s\"";
    char members[256];

    snprintf(members, sizeof(members), format, "old");
    read_instance(members);
    ck_assert_str_eq(found("old"), "i=192.0.2.1:0");
    snprintf(members, sizeof(members), format, "new");
    read_instance(members);
    ck_assert_str_eq(found("old"), "");
    ck_assert_str_eq(found("new"), "i=192.0.2.1:0");
    ck_assert_uint_eq(eureka_applications_count(&applications), 1);
}
END_TEST

/* ---- a real server, recorded (tests/replay/recordings/eureka) ---- */

static char *recording(const char *name)
{
    const char *source = getenv("srcdir");
    static char text[65536];
    char path[4096], *body;
    size_t size;
    FILE *file;

    snprintf(path, sizeof(path), "%s/tests/replay/recordings/eureka/%s.http", source ? source : ".",
             name);
    file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    size = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[size] = '\0';
    body = strstr(text, "\n\n");
    ck_assert_ptr_nonnull(body);
    return body + 2;
}

START_TEST(what_a_real_server_answers_is_understood_however_it_is_cut)
{
    static const size_t steps[] = {1, 7, 100, 1 << 20};

    for (size_t i = 0; i < ELEMENTS(steps); i++) {
        tear_down();
        set_up();
        ck_assert_int_eq(read_in_steps(recording("empty"), steps[i]), 0);
        ck_assert_str_eq(document.hash, "");
        ck_assert_int_eq(read_in_steps(recording("apps"), steps[i]), 0);
        ck_assert_str_eq(document.hash, "STARTING_1_UP_3_");
        ck_assert_str_eq(hash(), document.hash);
        ck_assert_str_eq(found("orders"),
                         "orders-1=192.0.2.1:8080@eu-north-a orders-2=192.0.2.2:8080 "
                         "orders-3=2001:db8::3:8080/critical");
        ck_assert_str_eq(found("orders-v2"), "orders-2=192.0.2.2:8080");
        ck_assert_str_eq(found("user_api"), "user-1=192.0.2.9:8080");
        ck_assert_int_eq(read_in_steps(recording("delta"), steps[i]), 0);
        ck_assert_str_eq(hash(), document.hash);
        ck_assert_str_eq(found("orders"), "orders-1=192.0.2.1:8080@eu-north-a/maintenance "
                                          "orders-3=2001:db8::3:8080/critical");
    }
    ck_assert_int_eq(read_text(recording("unknown-app")), -EBADMSG);
    ck_assert_int_eq(read_text(recording("xml")), -EBADMSG);
}
END_TEST

/* ---- what is missing ---- */

START_TEST(what_a_full_fetch_does_not_list_is_kept_or_goes)
{
    eureka_applications_begin(&applications);
    read_text(recording("apps"));
    eureka_applications_begin(&applications);
    ck_assert_uint_eq(eureka_applications_lost(&applications), 4);
    eureka_applications_sweep(&applications, true);
    ck_assert_uint_eq(eureka_applications_listed(&applications), 0);
    ck_assert_str_eq(hash(), "");
    ck_assert_str_eq(found("user_api"), "user-1=192.0.2.9:8080");
    read_text(recording("delta"));
    ck_assert_str_eq(hash(), "OUT_OF_SERVICE_1_STARTING_1_UP_1_");
    eureka_applications_drop_missing(&applications);
    ck_assert_uint_eq(eureka_applications_count(&applications), 3);
    eureka_applications_begin(&applications);
    eureka_applications_sweep(&applications, false);
    ck_assert_uint_eq(eureka_applications_count(&applications), 0);
}
END_TEST

START_TEST(the_guard_doubts_restarts_collapses_and_an_empty_start)
{
    static const struct {
        unsigned known, lost, listed;
        bool first, restarted, keep;
    } cases[] = {
        {0, 0, 0, true, false, true},     {0, 0, 5, true, false, false},
        {10, 1, 9, false, false, false},  {10, 5, 5, false, false, false},
        {10, 6, 4, false, false, true},   {1, 1, 0, false, false, true},
        {10, 1, 9, false, true, true},    {10, 0, 10, false, true, false},
        {100, 0, 0, false, false, false},
    };

    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        struct eureka_guard guard = {0};

        ck_assert_int_eq(eureka_guard_judge(&guard, cases[i].known, cases[i].lost, cases[i].listed,
                                            cases[i].first, cases[i].restarted, 1000),
                         cases[i].keep);
        ck_assert_uint_eq(guard.until, cases[i].keep ? 1000 + EUREKA_GUARD_TIME : 0);
        ck_assert_int_eq(guard.text[0] != '\0', cases[i].keep);
    }
}
END_TEST

/* ---- when to poll ---- */

START_TEST(dates_are_those_of_http)
{
    static const char *const bad[] = {"",
                                      "Sun, 22 Nov 2026 12:00:30",
                                      "Sun, 22 Xxx 2026 12:00:30 GMT",
                                      "Sun, 22 anF 2026 12:00:30 GMT",
                                      "Sun, 22 Nov 1901 12:00:30 GMT",
                                      "Sun, 22 Nov 2026 12:00:30 GMTx"};
    uint64_t seconds;

    ck_assert_int_eq(eureka_date_from_string("Sun, 06 Nov 1994 08:49:37 GMT", &seconds), 0);
    ck_assert_uint_eq(seconds, 784111777);
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        ck_assert_msg(eureka_date_from_string(bad[i], &seconds) == -EINVAL, "%s", bad[i]);
}
END_TEST

START_TEST(polls_follow_the_clock_of_the_server_and_never_twice_in_one_period)
{
    enum { PERIOD = 30 };
    struct eureka_cadence cadence = {0};
    const usec_t period = PERIOD * USEC_PER_SEC;
    /* Our clock shows 1000 s when it is 12:00:11.7 there. */
    const usec_t start = 1000 * USEC_PER_SEC, ahead = 11700 * USEC_PER_MSEC;
    usec_t now = start;

    ck_assert_uint_eq(eureka_cadence_next(&cadence, now, period, 7), now + period);
    for (uint64_t random = 12345; now < start + 3600 * USEC_PER_SEC; random = random * 69069 + 1) {
        usec_t there = now - start + ahead, next, past;

        eureka_cadence_note(&cadence, 1795348800 + there / USEC_PER_SEC, now, now);
        next = eureka_cadence_next(&cadence, now, period, random);
        past = (next - start + ahead) % period;
        /* After the server's multiple, by a second of its Date and the margin at most. */
        ck_assert_uint_ge(past, 300 * USEC_PER_MSEC);
        ck_assert_uint_le(past, 2300 * USEC_PER_MSEC);
        ck_assert_uint_ge(next - now, now == start ? 0 : 27 * USEC_PER_SEC);
        now = next;
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("eureka_document");

    UNIT_CASE_FIXTURE(
        suite, "document", set_up, tear_down,
        an_only_element_may_stand_bare_and_nothing_may_be_written_in_many_ways,
        what_is_no_such_document_teaches_nothing,
        ports_are_numbers_or_texts_and_count_where_they_are_enabled,
        an_instance_is_who_it_says_it_is_or_who_amazon_or_its_host_says,
        the_zone_is_that_of_the_metadata_before_amazon_s,
        an_address_may_be_a_name_and_one_that_nobody_may_hand_out_is_kept_for_the_count,
        the_public_address_is_used_where_that_is_wished,
        every_vip_of_a_list_is_a_name_in_any_case_and_with_any_port,
        a_vip_is_stronger_than_an_application_of_this_name,
        an_instance_that_changes_its_vip_leaves_the_old_name,
        what_a_real_server_answers_is_understood_however_it_is_cut,
        what_a_full_fetch_does_not_list_is_kept_or_goes,
        the_guard_doubts_restarts_collapses_and_an_empty_start, dates_are_those_of_http,
        polls_follow_the_clock_of_the_server_and_never_twice_in_one_period);
    return suite;
}

UNIT_MAIN(make_suite)
