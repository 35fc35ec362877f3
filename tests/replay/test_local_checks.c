/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The health checks of the local registry as stories: what its files and registrations say of
 * checks, what is handed out then, and what is known after a restart. Hours pass in no time.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>

#include "daemon/registry/local.h"
#include "daemon/registry/local/definition.h"
#include "tests/replay/twin.h"
#include "tests/unit/unit.h"

#define SEC  USEC_PER_SEC
#define HOUR (3600 * SEC)

struct place {
    char root[40], state[56], local_d[56], path[160];
};

static struct place place;
static struct twin *twin;

static void put(const char *name, const char *text)
{
    FILE *file;

    snprintf(place.path, sizeof(place.path), "%s/%s", place.local_d, name);
    file = fopen(place.path, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    fclose(file);
}

static void change(const char *name, const char *text)
{
    put(name, text);
    twin_path_changed(twin, place.local_d);
}

static void take_away(const char *name)
{
    snprintf(place.path, sizeof(place.path), "%s/%s", place.local_d, name);
    ck_assert_int_eq(unlink(place.path), 0);
    twin_path_changed(twin, place.local_d);
}

static char *state_file(const char *name)
{
    static char text[8192];
    FILE *file;

    snprintf(place.path, sizeof(place.path), "%s/%s", place.state, name);
    file = fopen(place.path, "re");
    ck_assert_msg(file != NULL, "%s", place.path);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void set_up(void)
{
    place = (struct place){.root = "/tmp/test_local_checks.XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(place.root));
    snprintf(place.state, sizeof(place.state), "%s/state", place.root);
    snprintf(place.local_d, sizeof(place.local_d), "%s/local.d", place.root);
    ck_assert_int_eq(mkdir(place.state, 0755), 0);
    ck_assert_int_eq(mkdir(place.local_d, 0755), 0);
}

static void tear_down(void)
{
    char command[64];

    twin = twin_free(twin);
    snprintf(command, sizeof(command), "rm -r %s", place.root);
    ck_assert_int_eq(system(command), 0);
}

static void start(void)
{
    twin = twin_new(&registry_type_local, &(struct twin_options){
                                              .config_directory = place.root,
                                              .state_directory = place.state,
                                          });
    ck_assert_int_eq(twin_start(twin), 0);
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_report(twin, REPORT_SYNCED, NULL);
}

/* Another life of the daemon, `away` later. */
static void restart(usec_t away)
{
    usec_t now = twin_now(twin) + away;

    twin = twin_free(twin);
    twin = twin_new(&registry_type_local, &(struct twin_options){
                                              .config_directory = place.root,
                                              .state_directory = place.state,
                                          });
    twin_set_now(twin, now);
    ck_assert_int_eq(twin_start(twin), 0);
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_report(twin, REPORT_SYNCED, NULL);
}

static void want(const char *service, const char *endpoints)
{
    twin_skip_reports(twin);
    twin_want(twin, service);
    twin_expect_data(twin, service, endpoints);
}

/* Waits until a check connects there. */
static struct tcp_call *next_tcp(const char *host, uint16_t port)
{
    for (unsigned i = 0; i < 100000 && twin_tcp_open(twin) == 0; i++)
        twin_advance(twin, twin_next_timer(twin));
    return twin_expect_tcp(twin, host, port);
}

static void tcp_says(enum tcp_outcome outcome)
{
    twin_tcp_end(next_tcp("10.0.0.1", 80), outcome,
                 outcome == TCP_CALL_CONNECTED ? "10.0.0.1:80: connected" : "10.0.0.1:80: refused");
}

#define ONE(check)                                                                                 \
    "{\"service\": {\"name\": \"orders\", \"id\": \"o1\", \"address\": \"10.0.0.1\", \"port\": "   \
    "80,"                                                                                          \
    " " check "}}"
#define TCP "\"check\": {\"tcp\": \"10.0.0.1:80\", \"interval\": \"10s\", \"timeout\": \"2s\"}"

/* ---- health ---- */

START_TEST(an_instance_is_critical_until_its_check_passes)
{
    put("orders.json", ONE(TCP));
    start();
    want("orders", "10.0.0.1:80/critical");
    tcp_says(TCP_CALL_CONNECTED);
    twin_expect_data(twin, "orders", "10.0.0.1:80");
    tcp_says(TCP_CALL_CONNECTED);
    twin_expect_no_report(twin);
    tcp_says(TCP_CALL_REFUSED);
    twin_expect_data(twin, "orders", "10.0.0.1:80/critical");
    twin_expect_log(twin, TWIN_MESSAGE + MESSAGE_CHECK_CRITICAL,
                    "Instance 'o1' is critical: check 'service:o1' (tcp 10.0.0.1:80): 10.0.0.1:80: "
                    "refused");
    twin_expect_log(twin, TWIN_MESSAGE + MESSAGE_CHECK_PASSING, "Instance 'o1' is passing");
    ck_assert_uint_eq(twin_log_count(twin, TWIN_MESSAGE + MESSAGE_CHECK_CRITICAL, ""), 1);
}
END_TEST

START_TEST(instances_that_change_in_a_crowd_are_told_together_and_the_first_at_once)
{
    char text[4096] = "{\"services\": [", one[200], all[4096] = "";

    for (unsigned i = 1; i <= 20; i++) {
        snprintf(
            one, sizeof(one),
            "%s{\"name\": \"orders\", \"id\": \"o%02u\", \"address\": \"10.0.0.%u\", \"check\":"
            " {\"tcp\": \"10.0.0.1:80\", \"interval\": \"1m\", \"timeout\": \"5m\"}}",
            i > 1 ? "," : "", i, i);
        strcat(text, one);
        snprintf(one, sizeof(one), "%s10.0.0.%u", i > 1 ? " " : "", i);
        strcat(all, one);
    }
    put("orders.json", strcat(text, "]}"));
    start();
    twin_want(twin, "orders");
    twin_advance(twin, 60 * SEC);
    twin_skip_reports(twin);
    for (unsigned i = 0; i < 20; i++)
        tcp_says(TCP_CALL_CONNECTED);
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_DATA, "orders"));
    twin_expect_no_report(twin);
    twin_advance(twin, SEC / 20);
    twin_expect_data(twin, "orders", all);
    twin_expect_no_report(twin);
}
END_TEST

START_TEST(a_clash_of_ids_is_told_once_however_often_the_service_changes)
{
    put("orders.json", ONE(TCP));
    put("other.json", ONE(TCP));
    start();
    for (unsigned i = 0; i < 3; i++) {
        tcp_says(TCP_CALL_CONNECTED);
        tcp_says(TCP_CALL_REFUSED);
    }
    ck_assert_uint_eq(twin_log_count(twin, LOG_ERR, "Instance 'o1' of "), 1);
    take_away("orders.json");
    tcp_says(TCP_CALL_CONNECTED);
    change("orders.json", ONE(TCP));
    tcp_says(TCP_CALL_REFUSED);
    ck_assert_uint_eq(twin_log_count(twin, LOG_ERR, "Instance 'o1' of "), 2);
}
END_TEST

START_TEST(an_instance_that_was_never_well_is_told_once)
{
    put("orders.json", ONE(TCP));
    start();
    for (unsigned i = 0; i < 3; i++)
        tcp_says(TCP_CALL_REFUSED);
    ck_assert_uint_eq(twin_log_count(twin, TWIN_MESSAGE + MESSAGE_CHECK_CRITICAL, ""), 1);
}
END_TEST

START_TEST(the_initial_status_is_the_definitions)
{
    put("orders.json", ONE("\"check\": {\"tcp\": \"10.0.0.1:80\", \"status\": \"passing\"}"));
    start();
    want("orders", "10.0.0.1:80");
    tcp_says(TCP_CALL_REFUSED);
    twin_expect_data(twin, "orders", "10.0.0.1:80/critical");
}
END_TEST

START_TEST(the_worst_of_several_checks_wins_and_a_warning_has_its_weight)
{
    put("orders.json",
        ONE("\"weights\": {\"passing\": 7, \"warning\": 2}, \"checks\": [{\"id\": \"a\", \"ttl\":"
            " \"1h\", \"status\": \"passing\"}, {\"id\": \"b\", \"ttl\": \"1h\"}]"));
    start();
    want("orders", "10.0.0.1:80*7/critical");
    ck_assert_int_eq(registry_local_pass(twin_registry(twin), "b", CHECK_WARNING, NULL), 1);
    twin_expect_data(twin, "orders", "10.0.0.1:80*2/warning");
    ck_assert_int_eq(registry_local_pass(twin_registry(twin), "b", CHECK_PASSING, NULL), 1);
    twin_expect_data(twin, "orders", "10.0.0.1:80*7");
    ck_assert_int_eq(registry_local_pass(twin_registry(twin), "a", CHECK_CRITICAL, "oops"), 1);
    twin_expect_data(twin, "orders", "10.0.0.1:80*7/critical");
    ck_assert_int_eq(registry_local_pass(twin_registry(twin), "o1", CHECK_PASSING, NULL), 2);
    twin_expect_data(twin, "orders", "10.0.0.1:80*7");
}
END_TEST

START_TEST(an_instance_without_checks_is_passing)
{
    put("orders.json", ONE("\"tags\": []"));
    start();
    want("orders", "10.0.0.1:80");
    ck_assert_uint_eq(twin_next_timer(twin), USEC_INFINITY);
}
END_TEST

START_TEST(a_check_goes_on_through_changes_that_are_none_of_it)
{
    put("orders.json", ONE(TCP));
    start();
    want("orders", "10.0.0.1:80/critical");
    tcp_says(TCP_CALL_CONNECTED);
    twin_expect_data(twin, "orders", "10.0.0.1:80");
    change("orders.json", ONE("\"tags\": [\"x\"], " TCP));
    twin_expect_report(twin, REPORT_DATA, "orders");
    change("more.json", "{\"service\": {\"name\": \"orders\", \"address\": \"10.0.0.2\"}}");
    twin_expect_data(twin, "orders", "10.0.0.1:80 10.0.0.2");
    change("orders.json", ONE("\"check\": {\"tcp\": \"10.0.0.9:80\"}"));
    twin_expect_data(twin, "orders", "10.0.0.1:80/critical 10.0.0.2");
    twin_tcp_end(next_tcp("10.0.0.9", 80), TCP_CALL_CONNECTED, "");
    twin_expect_data(twin, "orders", "10.0.0.1:80 10.0.0.2");
    change("orders.json", ONE("\"tags\": []"));
    twin_advance(twin, SEC); /* what was known is forgotten on disk */
    ck_assert_uint_eq(twin_next_timer(twin), USEC_INFINITY);
}
END_TEST

START_TEST(one_check_more_leaves_the_others_as_they_are)
{
    put("orders.json", ONE("\"checks\": [{\"id\": \"a\", \"ttl\": \"10m\"}]"));
    start();
    registry_local_pass(twin_registry(twin), "a", CHECK_PASSING, NULL);
    want("orders", "10.0.0.1:80");
    change("orders.json",
           ONE("\"checks\": [{\"id\": \"b\", \"ttl\": \"10m\", \"status\": \"passing\"},"
               "{\"id\": \"a\", \"ttl\": \"10m\"}]"));
    twin_expect_no_report(twin);
}
END_TEST

START_TEST(a_check_that_a_definition_drops_is_forgotten_on_disk)
{
    put("orders.json", ONE("\"checks\": [{\"id\": \"old\", \"ttl\": \"10m\"}]"));
    start();
    registry_local_pass(twin_registry(twin), "old", CHECK_PASSING, NULL);
    twin_advance(twin, SEC);
    ck_assert_ptr_nonnull(strstr(state_file("checks.json"), "\"old\""));
    change("orders.json", ONE("\"checks\": [{\"id\": \"new\", \"ttl\": \"10m\"}]"));
    twin_advance(twin, SEC);
    ck_assert_ptr_null(strstr(state_file("checks.json"), "\"old\""));
}
END_TEST

START_TEST(an_instance_that_is_gone_is_checked_no_more)
{
    put("orders.json", ONE(TCP));
    start();
    tcp_says(TCP_CALL_CONNECTED);
    twin_advance(twin, SEC);
    ck_assert_ptr_nonnull(strstr(state_file("checks.json"), "o1"));
    next_tcp("10.0.0.1", 80);
    take_away("orders.json");
    ck_assert_uint_eq(twin_tcp_open(twin), 0);
    ck_assert_int_eq(registry_local_pass(twin_registry(twin), "o1", CHECK_PASSING, NULL), -ENOENT);
    twin_advance(twin, 2 * SEC); /* its state is forgotten on disk too */
    ck_assert_ptr_null(strstr(state_file("checks.json"), "o1"));
}
END_TEST

/* ---- words ---- */

START_TEST(a_ttl_check_lives_from_pass_to_pass)
{
    put("orders.json", ONE("\"check\": {\"ttl\": \"30s\", \"notes\": \"cron\"}"));
    start();
    want("orders", "10.0.0.1:80/critical");
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_int_eq(registry_local_pass(twin_registry(twin), "o1", CHECK_PASSING, "ok"), 1);
        twin_advance(twin, 29 * SEC);
    }
    twin_expect_data(twin, "orders", "10.0.0.1:80");
    twin_expect_no_report(twin);
    twin_advance(twin, SEC);
    twin_expect_data(twin, "orders", "10.0.0.1:80/critical");
    ck_assert_int_eq(registry_local_pass(twin_registry(twin), "service:o1", CHECK_PASSING, NULL),
                     1);
    twin_expect_data(twin, "orders", "10.0.0.1:80");
}
END_TEST

START_TEST(a_word_for_what_there_is_not_is_refused)
{
    put("orders.json", ONE(TCP));
    put("two.json", "{\"services\": [{\"name\": \"a\", \"id\": \"x\", \"address\": \"10.0.0.2\","
                    " \"check\": {\"ttl\": \"9s\"}}, {\"name\": \"b\", \"id\": \"x\", \"address\":"
                    " \"10.0.0.2\", \"check\": {\"ttl\": \"9s\"}}]}");
    start();
    ck_assert_int_eq(registry_local_pass(twin_registry(twin), "none", CHECK_PASSING, NULL),
                     -ENOENT);
    ck_assert_int_eq(registry_local_pass(twin_registry(twin), "o1", CHECK_PASSING, NULL), -EINVAL);
    ck_assert_int_eq(registry_local_pass(twin_registry(twin), "service:o1", CHECK_PASSING, NULL),
                     -EINVAL);
    ck_assert_int_eq(registry_local_pass(twin_registry(twin), "x", CHECK_PASSING, NULL), -ENOTUNIQ);
    ck_assert_int_eq(registry_local_pass(twin_registry(twin), "a/x", CHECK_PASSING, NULL), 1);
    want("a", "10.0.0.2");
    want("b", "10.0.0.2/critical");
}
END_TEST

/* ---- registrations ---- */

/* Registers o1 of orders; `checks` as JSON, NULL: none. */
static int register_one(const char *checks, usec_t ttl)
{
    static const struct address address = {AF_INET, {10, 0, 0, 1}};
    struct local_check_list *list = NULL;
    struct parser parser = {0};
    json_t *json = checks ? json_loads(checks, 0, NULL) : NULL;
    char *id = NULL;
    int r;

    ck_assert_int_eq(local_check_list_parse(&parser, "o1", "", NULL, "checks", json, 1, &list), 0);
    r = registry_local_register(twin_registry(twin),
                                &(struct control_registration){.name = "orders",
                                                               .id = "o1",
                                                               .addresses = &address,
                                                               .address_count = 1,
                                                               .port = 80,
                                                               .weight = 1,
                                                               .ttl = ttl,
                                                               .checks = list},
                                &id);
    local_check_list_unref(list);
    json_decref(json);
    free(id);
    return r;
}

#define TCP_CHECKS                                                                                 \
    "[{\"tcp\": \"10.0.0.1:80\", \"interval\": \"10s\","                                           \
    " \"deregister_critical_service_after\": \"1h\"}]"

#define TTL_CHECKS "[{\"ttl\": \"30s\", \"deregister_critical_service_after\": \"1h\"}]"

START_TEST(a_registration_may_have_checks_and_keeps_them_when_it_is_renewed)
{
    start();
    twin_want(twin, "orders");
    twin_skip_reports(twin);
    ck_assert_int_eq(register_one(TCP_CHECKS, USEC_INFINITY), 0);
    twin_expect_data(twin, "orders", "10.0.0.1:80/critical");
    tcp_says(TCP_CALL_CONNECTED);
    twin_expect_data(twin, "orders", "10.0.0.1:80");
    ck_assert_int_eq(register_one(TCP_CHECKS, USEC_INFINITY), 0);
    twin_expect_no_report(twin);
    tcp_says(TCP_CALL_REFUSED);
    twin_expect_data(twin, "orders", "10.0.0.1:80/critical");
    ck_assert_int_eq(register_one(NULL, USEC_INFINITY), 0);
    twin_expect_data(twin, "orders", "10.0.0.1:80");
    ck_assert_uint_eq(twin_tcp_open(twin), 0);
}
END_TEST

START_TEST(a_pass_renews_the_time_to_live_of_a_registration)
{
    start();
    ck_assert_int_eq(register_one(NULL, 30 * SEC), 0);
    want("orders", "10.0.0.1:80");
    for (unsigned i = 0; i < 5; i++) {
        twin_advance(twin, 29 * SEC);
        ck_assert_int_eq(registry_local_pass(twin_registry(twin), "o1", CHECK_PASSING, NULL), 0);
    }
    twin_expect_no_report(twin);
    twin_advance(twin, 30 * SEC);
    twin_expect_report(twin, REPORT_ABSENT, "orders");
}
END_TEST

START_TEST(a_registration_that_is_critical_for_too_long_goes)
{
    start();
    ck_assert_int_eq(register_one(TCP_CHECKS, USEC_INFINITY), 0);
    want("orders", "10.0.0.1:80/critical");
    tcp_says(TCP_CALL_CONNECTED);
    twin_expect_data(twin, "orders", "10.0.0.1:80");
    for (usec_t end = twin_now(twin) + HOUR - 20 * SEC; twin_now(twin) < end;)
        tcp_says(TCP_CALL_REFUSED);
    twin_expect_data(twin, "orders", "10.0.0.1:80/critical");
    tcp_says(TCP_CALL_CONNECTED); /* the count begins anew */
    twin_expect_data(twin, "orders", "10.0.0.1:80");
    tcp_says(TCP_CALL_REFUSED);
    twin_expect_data(twin, "orders", "10.0.0.1:80/critical");
    for (usec_t end = twin_now(twin) + HOUR - 20 * SEC; twin_now(twin) < end;)
        tcp_says(TCP_CALL_REFUSED);
    twin_expect_no_report(twin);
    twin_advance(twin, 60 * SEC);
    twin_expect_report(twin, REPORT_ABSENT, "orders");
    twin_expect_log(twin, LOG_NOTICE, "Instance 'o1' is deregistered: check 'service:o1'");
    ck_assert_uint_eq(twin_tcp_open(twin), 0);
    restart(SEC);
    twin_want(twin, "orders");
    twin_expect_report(twin, REPORT_ABSENT, "orders");
}
END_TEST

START_TEST(an_instance_of_a_file_is_left_out_until_it_passes)
{
    put("orders.json", ONE("\"checks\": " TCP_CHECKS));
    put("more.json", "{\"service\": {\"name\": \"orders\", \"address\": \"10.0.0.2\"}}");
    start();
    want("orders", "10.0.0.1:80/critical 10.0.0.2");
    tcp_says(TCP_CALL_REFUSED);
    twin_expect_no_report(twin);
    for (usec_t end = twin_now(twin) + HOUR; twin_now(twin) < end;)
        tcp_says(TCP_CALL_REFUSED);
    twin_expect_data(twin, "orders", "10.0.0.2");
    twin_expect_log(twin, LOG_NOTICE, "Instance 'o1' is left out until it passes");
    tcp_says(TCP_CALL_REFUSED);
    twin_expect_no_report(twin);
    tcp_says(TCP_CALL_CONNECTED);
    twin_expect_data(twin, "orders", "10.0.0.1:80 10.0.0.2");
}
END_TEST

START_TEST(nobody_is_taken_out_who_was_never_looked_at)
{
    put("orders.json", ONE("\"check\": {\"tcp\": \"10.0.0.1:80\", \"interval\": \"24h\","
                           " \"deregister_critical_service_after\": \"1m\"}"));
    start();
    want("orders", "10.0.0.1:80/critical");
    while (twin_tcp_open(twin) == 0)
        twin_advance(twin, twin_next_timer(twin));
    twin_expect_no_report(twin);
    tcp_says(TCP_CALL_REFUSED);
    twin_advance(twin, 59 * SEC);
    twin_expect_no_report(twin);
    twin_advance(twin, SEC);
    twin_expect_data(twin, "orders", "");
}
END_TEST

/* ---- another life ---- */

START_TEST(what_was_well_is_well_after_a_restart_and_what_was_critical_is_not)
{
    put("orders.json", ONE(TCP));
    put("web.json", "{\"service\": {\"name\": \"web\", \"id\": \"w1\", \"address\": \"10.0.0.2\","
                    " \"check\": {\"ttl\": \"1h\", \"status\": \"passing\"}}}");
    start();
    tcp_says(TCP_CALL_CONNECTED);
    ck_assert_int_eq(registry_local_pass(twin_registry(twin), "w1", CHECK_CRITICAL, "no disk"), 1);
    restart(10 * SEC);
    want("orders", "10.0.0.1:80");
    want("web", "10.0.0.2/critical");
    ck_assert_uint_eq(twin_log_count(twin, TWIN_MESSAGE + MESSAGE_CHECK_PASSING, ""), 0);
    tcp_says(TCP_CALL_REFUSED);
    twin_expect_data(twin, "orders", "10.0.0.1:80/critical");
    restart(10 * SEC);
    want("orders", "10.0.0.1:80/critical");
}
END_TEST

/* What is kept and shown of a long target is cut, maybe in the middle of a character. */
START_TEST(what_a_check_with_a_long_target_knows_outlasts_a_restart)
{
    for (unsigned shift = 0; shift < 2; shift++) {
        char text[1024], path[300] = "";
        json_t *checks;

        for (unsigned i = 0; i < 140; i++)
            strcat(path, "\xc3\xbc");
        snprintf(text, sizeof(text),
                 ONE("\"check\": {\"http\": \"http://10.0.0.1:80/%s%s\", \"interval\": \"10s\"}"),
                 shift ? "a" : "", path);
        put("orders.json", text);
        start();
        while (twin_http_open(twin) == 0)
            twin_advance(twin, twin_next_timer(twin));
        twin_http_reply(twin_expect_http(twin, "GET", "10.0.0.1"), 200, NULL, "");
        restart(SEC);
        want("orders", "10.0.0.1:80");
        checks = registry_type_local.checks(twin_registry(twin), "orders", "o1");
        ck_assert_uint_eq(json_array_size(checks), 1);
        json_decref(checks);
        tear_down();
        set_up();
    }
}
END_TEST

START_TEST(a_check_that_looks_elsewhere_begins_anew_after_a_restart)
{
    put("orders.json", ONE(TCP));
    start();
    tcp_says(TCP_CALL_CONNECTED);
    put("orders.json", ONE("\"check\": {\"tcp\": \"10.0.0.1:81\"}"));
    restart(SEC);
    want("orders", "10.0.0.1:80/critical");
}
END_TEST

START_TEST(a_crash_costs_no_more_than_the_last_second)
{
    char copy[300];

    put("orders.json", ONE(TCP));
    start();
    tcp_says(TCP_CALL_CONNECTED);
    twin_advance(twin, SEC);
    snprintf(copy, sizeof(copy), "cp %s/checks.json %s/kept", place.state, place.root);
    ck_assert_int_eq(system(copy), 0);
    tcp_says(TCP_CALL_REFUSED);
    twin = twin_free(twin);
    snprintf(copy, sizeof(copy), "cp %s/kept %s/checks.json", place.root, place.state);
    ck_assert_int_eq(system(copy), 0);
    start();
    want("orders", "10.0.0.1:80");
}
END_TEST

START_TEST(a_word_is_good_for_as_long_as_it_was_given_across_a_restart)
{
    put("orders.json", ONE("\"check\": {\"ttl\": \"30m\"}"));
    start();
    registry_local_pass(twin_registry(twin), "o1", CHECK_PASSING, NULL);
    restart(10 * 60 * SEC);
    want("orders", "10.0.0.1:80");
    twin_advance(twin, 20 * 60 * SEC - SEC);
    twin_expect_no_report(twin);
    twin_advance(twin, SEC);
    twin_expect_data(twin, "orders", "10.0.0.1:80/critical");
    registry_local_pass(twin_registry(twin), "o1", CHECK_PASSING, NULL);
    restart(24 * HOUR); /* nobody could say a word meanwhile: a minute to do so */
    want("orders", "10.0.0.1:80");
    twin_advance(twin, 60 * SEC);
    twin_expect_data(twin, "orders", "10.0.0.1:80/critical");
}
END_TEST

START_TEST(time_spent_critical_counts_across_a_restart)
{
    start();
    ck_assert_int_eq(register_one(TCP_CHECKS, USEC_INFINITY), 0);
    tcp_says(TCP_CALL_REFUSED);
    restart(HOUR / 2);
    want("orders", "10.0.0.1:80/critical");
    tcp_says(TCP_CALL_REFUSED);
    twin_advance(twin, HOUR / 2 + 60 * SEC);
    twin_expect_report(twin, REPORT_ABSENT, "orders");
}
END_TEST

START_TEST(silence_counts_across_a_restart)
{
    start();
    ck_assert_int_eq(register_one(TTL_CHECKS, USEC_INFINITY), 0);
    ck_assert_int_eq(registry_local_pass(twin_registry(twin), "o1", CHECK_PASSING, NULL), 1);
    twin_advance(twin, 30 * SEC);
    restart(2 * HOUR);
    want("orders", "10.0.0.1:80/critical");
    twin_advance(twin, 30 * SEC - SEC); /* time for a word */
    twin_expect_no_report(twin);
    twin_advance(twin, SEC);
    twin_expect_report(twin, REPORT_ABSENT, "orders");
}
END_TEST

START_TEST(nobody_is_taken_out_after_a_long_stop_before_another_look)
{
    start();
    ck_assert_int_eq(register_one(TCP_CHECKS, USEC_INFINITY), 0);
    tcp_says(TCP_CALL_REFUSED);
    restart(24 * HOUR);
    tcp_says(TCP_CALL_CONNECTED);
    want("orders", "10.0.0.1:80");
    tcp_says(TCP_CALL_REFUSED);
    restart(24 * HOUR);
    want("orders", "10.0.0.1:80/critical");
    tcp_says(TCP_CALL_REFUSED);
    twin_advance(twin, 20 * SEC);
    twin_expect_report(twin, REPORT_ABSENT, "orders");
}
END_TEST

START_TEST(a_state_that_cannot_be_understood_is_no_state)
{
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "{\"checks\": [1]}",
        "{\"checks\": [{\"instance\": \"orders/o1\"}]}",
        "{\"checks\": [{\"instance\": \"orders/o1\", \"check\": \"service:o1\", \"what\": \"tcp"
        " 10.0.0.1:80\", \"state\": \"splendid\", \"since\": 1, \"until\": 1, \"output\": \"\"}]}",
    };

    for (size_t i = 0; i < ELEMENTS(texts); i++) {
        FILE *file;

        put("orders.json", ONE(TCP));
        snprintf(place.path, sizeof(place.path), "%s/checks.json", place.state);
        file = fopen(place.path, "we");
        fputs(texts[i], file);
        fclose(file);
        start();
        twin_expect_log(twin, LOG_WARNING, "checks.json: cannot be understood");
        want("orders", "10.0.0.1:80/critical");
        twin = twin_free(twin);
    }
}
END_TEST

/* ---- secrets ---- */

START_TEST(headers_stay_in_the_files_that_only_the_daemon_reads)
{
    const json_t *described;
    json_t *checks;
    struct stat st;
    char *text;

    start();
    twin_forbid(twin, "sesame");
    ck_assert_int_eq(
        register_one(
            "[{\"http\": \"http://u:sesame@10.0.0.1/x?key=sesame\", \"header\": {\"X-Token\":"
            " [\"sesame\"]}, \"body\": \"sesame\"}]",
            USEC_INFINITY),
        0);
    want("orders", "10.0.0.1:80/critical");
    while (twin_http_open(twin) == 0)
        twin_advance(twin, twin_next_timer(twin));
    twin_http_reply(twin_expect_http(twin, "GET", "http://u:sesame@10.0.0.1/x?key=sesame"), 500,
                    NULL, "sesame");
    described = twin_describe(twin);
    ck_assert_int_eq(json_integer_value(json_object_get(described, "ChecksCritical")), 1);
    checks = registry_type_local.checks(twin_registry(twin), "orders", "o1");
    text = json_dumps(checks, 0);
    json_decref(checks);
    ck_assert_ptr_nonnull(strstr(text, "http://10.0.0.1/x"));
    ck_assert_ptr_null(strstr(text, "sesame"));
    free(text);
    twin_advance(twin, 2 * SEC);
    ck_assert_ptr_nonnull(strstr(state_file("registrations.json"), "sesame"));
    ck_assert_int_eq(stat(place.path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    ck_assert_ptr_null(strstr(state_file("checks.json"), "sesame"));
    ck_assert_int_eq(stat(place.path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
}
END_TEST

START_TEST(an_address_that_no_registry_may_hand_out_is_not_looked_at)
{
    put("orders.json", ONE("\"check\": {\"http\": \"http://169.254.169.254/latest/meta-data/\"}"));
    start();
    twin_expect_log(twin, LOG_ERR, "link-local");
    twin_want(twin, "orders");
    twin_expect_report(twin, REPORT_ABSENT, "orders");
    ck_assert_int_eq(register_one("[{\"tcp\": \"0.0.0.0:80\"}]", USEC_INFINITY), -EINVAL);
    ck_assert_int_eq(register_one("[{\"tcp\": \"127.0.0.1:80\"}]", USEC_INFINITY), 0);
}
END_TEST

START_TEST(a_kick_runs_what_waits)
{
    put("orders.json", ONE("\"check\": {\"tcp\": \"10.0.0.1:80\", \"interval\": \"24h\"}"));
    start();
    want("orders", "10.0.0.1:80/critical");
    twin_kick(twin);
    twin_advance(twin, SEC);
    tcp_says(TCP_CALL_CONNECTED);
    twin_expect_data(twin, "orders", "10.0.0.1:80");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("local checks");

    UNIT_CASE_FIXTURE(
        suite, "health", set_up, tear_down, an_instance_is_critical_until_its_check_passes,
        a_clash_of_ids_is_told_once_however_often_the_service_changes,
        instances_that_change_in_a_crowd_are_told_together_and_the_first_at_once,
        an_instance_that_was_never_well_is_told_once, the_initial_status_is_the_definitions,
        the_worst_of_several_checks_wins_and_a_warning_has_its_weight,
        an_instance_without_checks_is_passing, a_check_goes_on_through_changes_that_are_none_of_it,
        one_check_more_leaves_the_others_as_they_are,
        a_check_that_a_definition_drops_is_forgotten_on_disk,
        an_instance_that_is_gone_is_checked_no_more, a_kick_runs_what_waits);
    UNIT_CASE_FIXTURE(suite, "words", set_up, tear_down, a_ttl_check_lives_from_pass_to_pass,
                      a_word_for_what_there_is_not_is_refused);
    UNIT_CASE_FIXTURE(suite, "registrations", set_up, tear_down,
                      a_registration_may_have_checks_and_keeps_them_when_it_is_renewed,
                      a_pass_renews_the_time_to_live_of_a_registration,
                      a_registration_that_is_critical_for_too_long_goes,
                      an_instance_of_a_file_is_left_out_until_it_passes,
                      nobody_is_taken_out_who_was_never_looked_at);
    UNIT_CASE_FIXTURE(suite, "restarts", set_up, tear_down,
                      what_was_well_is_well_after_a_restart_and_what_was_critical_is_not,
                      a_check_that_looks_elsewhere_begins_anew_after_a_restart,
                      what_a_check_with_a_long_target_knows_outlasts_a_restart,
                      a_crash_costs_no_more_than_the_last_second,
                      a_word_is_good_for_as_long_as_it_was_given_across_a_restart,
                      time_spent_critical_counts_across_a_restart, silence_counts_across_a_restart,
                      nobody_is_taken_out_after_a_long_stop_before_another_look,
                      a_state_that_cannot_be_understood_is_no_state);
    UNIT_CASE_FIXTURE(suite, "secrets", set_up, tear_down,
                      headers_stay_in_the_files_that_only_the_daemon_reads,
                      an_address_that_no_registry_may_hand_out_is_not_looked_at);
    return suite;
}

UNIT_MAIN(make_suite)
