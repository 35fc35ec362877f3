/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registry type dns as stories: servers answer, half answer, break and come back. */
#include <syslog.h>

#include "daemon/registry/dns/dns.h"
#include "tests/replay/twin.h"
#include "tests/unit/unit.h"

#define SEC USEC_PER_SEC

static const char *const domains[] = {"test", NULL};
static const char *const plain[] = {"Servers", "192.0.2.53", NULL};
static const char *const with_srv[] = {"Servers", "192.0.2.53", "SRV", "yes", NULL};

static struct twin *started(const char *const *settings)
{
    struct twin *twin = twin_new(&registry_type_dns,
                                 &(struct twin_options){.domains = domains, .settings = settings});

    ck_assert_int_eq(twin_start(twin), 0);
    return twin;
}

static void answer(struct twin *twin, const char *name, const char *four, const char *six,
                   usec_t ttl)
{
    struct dns_call *a = twin_expect_dns(twin, DNS_A, name);
    struct dns_call *aaaa = twin_expect_dns(twin, DNS_AAAA, name);

    if (four)
        twin_dns_reply_addresses(a, ttl, four);
    else
        twin_dns_fail(a, DNS_NODATA, 5 * SEC, NULL);
    if (six)
        twin_dns_reply_addresses(aaaa, ttl, six);
    else
        twin_dns_fail(aaaa, DNS_NODATA, 5 * SEC, NULL);
}

static void both_fail(struct twin *twin, const char *name)
{
    twin_dns_fail(twin_expect_dns(twin, DNS_A, name), DNS_FAILED, 0, "time-out");
    twin_dns_fail(twin_expect_dns(twin, DNS_AAAA, name), DNS_FAILED, 0, "time-out");
}

START_TEST(both_families_make_one_report_for_the_shorter_ttl)
{
    struct twin *twin = started(plain);
    const struct registry_report *report;

    twin_want(twin, "web.test");
    twin_dns_reply_addresses(twin_expect_dns(twin, DNS_A, "web.test"), 60 * SEC,
                             "192.0.2.1 192.0.2.2");
    ck_assert_ptr_null(twin_find_report(twin, REPORT_DATA, "web.test"));
    twin_dns_reply_addresses(twin_expect_dns(twin, DNS_AAAA, "web.test"), 20 * SEC, "2001:db8::1");
    twin_expect_report(twin, REPORT_UP, NULL);
    report = twin_expect_data(twin, "web.test", "192.0.2.1 192.0.2.2 [2001:db8::1]");
    ck_assert_uint_eq(report->validity, 20 * SEC);
    /* It may be the name of a load balancer. */
    ck_assert_uint_eq(report->flags, REPORT_SINGULAR);
    twin_free(twin);
}
END_TEST

START_TEST(the_negative_ttl_of_one_family_does_not_shorten_the_other)
{
    struct twin *twin = started(plain);

    twin_want(twin, "web.test");
    answer(twin, "web.test", "192.0.2.1", NULL, 60 * SEC);
    twin_expect_report(twin, REPORT_UP, NULL);
    ck_assert_uint_eq(twin_expect_data(twin, "web.test", "192.0.2.1")->validity, 60 * SEC);
    twin_free(twin);
}
END_TEST

START_TEST(the_servers_of_the_configuration_are_asked_over_tcp_if_it_says_so)
{
    static const char *const settings[] = {"Servers", "127.0.0.1:8600 [2001:db8::53]:5353",
                                           "ForceTCP", "yes", NULL};
    struct twin *twin = started(settings);
    const struct dns_question *question;

    twin_want(twin, "web.test");
    question = twin_dns_question(twin_expect_dns(twin, DNS_A, "web.test"));
    ck_assert_str_eq(question->servers, "127.0.0.1:8600,[2001:db8::53]:5353");
    ck_assert(question->tcp);
    ck_assert(!question->hosts);
    ck_assert_uint_eq(question->timeout, 1500 * USEC_PER_MSEC);
    twin_free(twin);
}
END_TEST

START_TEST(no_such_domain_is_absence_for_the_time_of_its_soa)
{
    struct twin *twin = started(plain);

    twin_want(twin, "gone.test");
    twin_dns_fail(twin_expect_dns(twin, DNS_A, "gone.test"), DNS_NXDOMAIN, 7 * SEC, NULL);
    twin_dns_fail(twin_expect_dns(twin, DNS_AAAA, "gone.test"), DNS_NXDOMAIN, 7 * SEC, NULL);
    twin_expect_report(twin, REPORT_UP, NULL);
    ck_assert_uint_eq(twin_expect_report(twin, REPORT_ABSENT, "gone.test")->validity, 7 * SEC);
    twin_free(twin);
}
END_TEST

START_TEST(absence_of_one_family_by_a_broken_server_does_not_hide_the_other)
{
    struct twin *twin = started(plain);

    twin_want(twin, "web.test");
    twin_dns_reply_addresses(twin_expect_dns(twin, DNS_A, "web.test"), 60 * SEC, "192.0.2.1");
    twin_dns_fail(twin_expect_dns(twin, DNS_AAAA, "web.test"), DNS_NXDOMAIN, 0, NULL);
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_data(twin, "web.test", "192.0.2.1");
    twin_free(twin);
}
END_TEST

START_TEST(a_name_without_addresses_is_data_without_endpoints)
{
    struct twin *twin = started(plain);

    twin_want(twin, "bare.test");
    answer(twin, "bare.test", NULL, NULL, 0);
    twin_expect_report(twin, REPORT_UP, NULL);
    ck_assert_uint_eq(twin_expect_data(twin, "bare.test", "")->validity, 5 * SEC);
    twin_free(twin);
}
END_TEST

START_TEST(a_family_that_was_never_known_and_fails_is_undecided)
{
    struct twin *twin = started(plain);

    twin_want(twin, "web.test");
    twin_dns_reply_addresses(twin_expect_dns(twin, DNS_A, "web.test"), 60 * SEC, "192.0.2.1");
    twin_dns_fail(twin_expect_dns(twin, DNS_AAAA, "web.test"), DNS_FAILED, 0, "SERVFAIL");
    twin_expect_report(twin, REPORT_UP, NULL);
    ck_assert_uint_eq(twin_expect_data(twin, "web.test", "192.0.2.1")->flags,
                      REPORT_IPV6_UNDECIDED | REPORT_SINGULAR);
    twin_free(twin);
}
END_TEST

START_TEST(a_family_that_fails_keeps_its_addresses_beside_news_of_the_other_for_a_day)
{
    struct twin *twin = started(plain);

    twin_want(twin, "web.test");
    answer(twin, "web.test", "192.0.2.1", "2001:db8::1", 60 * SEC);
    twin_skip_reports(twin);
    for (unsigned hours = 0; hours <= 25; hours += 5) {
        const struct registry_report *report;

        twin_refresh(twin, "web.test");
        twin_dns_reply_addresses(twin_expect_dns(twin, DNS_A, "web.test"), 60 * SEC, "192.0.2.9");
        twin_dns_fail(twin_expect_dns(twin, DNS_AAAA, "web.test"), DNS_FAILED, 0, "SERVFAIL");
        report = twin_expect_data(twin, "web.test",
                                  hours < 24 ? "192.0.2.9+[2001:db8::1]" : "192.0.2.9");
        ck_assert_uint_eq(report->flags & REPORT_IPV6_UNDECIDED,
                          hours < 24 ? 0 : REPORT_IPV6_UNDECIDED);
        twin_advance(twin, 5 * 3600 * SEC);
    }
    twin_free(twin);
}
END_TEST

START_TEST(two_failures_teach_nothing)
{
    struct twin *twin = started(plain);
    const struct registry_report *report;

    twin_want(twin, "web.test");
    both_fail(twin, "web.test");
    report = twin_expect_report(twin, REPORT_FAILED, "web.test");
    ck_assert_int_eq(report->failure, FAILURE_TRANSIENT);
    ck_assert_str_eq(report->text, "time-out");
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

START_TEST(asking_again_while_an_answer_is_on_its_way_asks_once)
{
    struct twin *twin = started(plain);

    twin_want(twin, "web.test");
    twin_refresh(twin, "web.test");
    twin_want(twin, "web.test");
    ck_assert_uint_eq(twin_dns_open(twin), 2);
    answer(twin, "web.test", "192.0.2.1", NULL, 60 * SEC);
    ck_assert_uint_eq(twin_dns_open(twin), 0);
    twin_free(twin);
}
END_TEST

START_TEST(an_alias_is_told_with_its_own_addresses)
{
    struct twin *twin = started(plain);
    struct address address = {.family = AF_INET, .bytes = {192, 0, 2, 1}};
    struct dns_result result = {.outcome = DNS_DATA,
                                .ttl = 60 * SEC,
                                .canonical = "real.example",
                                .addresses = &address,
                                .address_count = 1};

    twin_want(twin, "alias.test");
    twin_dns_reply(twin_expect_dns(twin, DNS_A, "alias.test"), &result);
    twin_dns_fail(twin_expect_dns(twin, DNS_AAAA, "alias.test"), DNS_NODATA, 0, NULL);
    twin_expect_report(twin, REPORT_UP, NULL);
    ck_assert_str_eq(twin_expect_data(twin, "alias.test", "192.0.2.1")->alias, "real.example");
    twin_free(twin);
}
END_TEST

START_TEST(addresses_that_nobody_may_hand_out_are_refused_with_one_line)
{
    struct twin *twin = started(plain);

    twin_want(twin, "web.test");
    answer(twin, "web.test", "127.0.0.1 192.0.2.1 224.0.0.1 169.254.1.1", NULL, 60 * SEC);
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_data(twin, "web.test", "192.0.2.1");
    ck_assert_uint_eq(twin_log_count(twin, LOG_WARNING, "is refused"), 1);
    twin_free(twin);
}
END_TEST

START_TEST(servers_on_this_machine_may_name_it)
{
    static const char *const settings[] = {"Servers", "127.0.0.1:8600 [::1]:53", NULL};
    struct twin *twin = started(settings);

    twin_want(twin, "web.test");
    answer(twin, "web.test", "127.0.0.1", NULL, 60 * SEC);
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_data(twin, "web.test", "127.0.0.1");
    twin_free(twin);
}
END_TEST

/* ---- SRV ---- */

/* `extra`: "NAME ADDRESS" pairs, NULL at the end. */
static void answer_srv(struct twin *twin, const char *name, const struct dns_srv *services,
                       size_t count, const char *const *extra)
{
    struct dns_extra extras[16];
    struct dns_result result = {.outcome = DNS_DATA,
                                .ttl = 30 * SEC,
                                .canonical = name,
                                .services = services,
                                .service_count = count,
                                .extra = extras};

    for (size_t i = 0; extra && extra[i]; i += 2) {
        struct dns_extra *one = &extras[result.extra_count++];

        *one = (struct dns_extra){0};
        strcpy(one->name, extra[i]);
        ck_assert_int_eq(address_from_string(extra[i + 1], &one->address), 0);
    }
    twin_dns_reply(twin_expect_dns(twin, DNS_SRV, name), &result);
}

/* The additional section had its IPv4 address; there is no other. */
static void answer_no_six(struct twin *twin, const char *name)
{
    twin_dns_fail(twin_expect_dns(twin, DNS_AAAA, name), DNS_NODATA, 0, NULL);
}

START_TEST(srv_gives_port_priority_and_weight)
{
    static const struct dns_srv services[] = {{1, 0, 8080, "a.test"}, {0, 3, 9090, "b.test"}};
    static const char *const extra[] = {"a.test", "192.0.2.1",   "b.test", "192.0.2.2",
                                        "b.test", "2001:db8::2", NULL};
    struct twin *twin = started(with_srv);
    const struct registry_report *report;

    twin_want(twin, "orders.test");
    answer_srv(twin, "orders.test", services, 2, extra);
    answer_no_six(twin, "a.test");
    twin_expect_report(twin, REPORT_UP, NULL);
    report = twin_expect_data(twin, "orders.test",
                              "192.0.2.1:8080#1 192.0.2.2+[2001:db8::2]:9090*30");
    ck_assert_uint_eq(report->endpoints->endpoints[0].priority, 1);
    ck_assert_uint_eq(report->endpoints->endpoints[1].priority, 0);
    ck_assert_uint_eq(report->validity, 30 * SEC);
    ck_assert_uint_eq(twin_dns_open(twin), 0);
    twin_free(twin);
}
END_TEST

START_TEST(targets_without_addresses_in_the_answer_are_asked_for_at_the_same_servers)
{
    static const struct dns_srv services[] = {{0, 1, 80, "a.test"}, {0, 1, 80, "b.other"}};
    static const char *const extra[] = {"a.test", "192.0.2.1", "c.test", "192.0.2.66", NULL};
    struct twin *twin = started(with_srv);
    const struct registry_report *report;

    twin_want(twin, "orders.test");
    answer_srv(twin, "orders.test", services, 2, extra);
    twin_expect_no_report(twin);
    ck_assert_ptr_nonnull(
        strstr(twin_dns_question(twin_expect_dns(twin, DNS_A, "b.other"))->servers, "192.0.2.53"));
    twin_free(twin);

    twin = started(with_srv);
    twin_want(twin, "orders.test");
    answer_srv(twin, "orders.test", services, 2, extra);
    answer_no_six(twin, "a.test");
    answer(twin, "b.other", "192.0.2.2", NULL, 10 * SEC);
    twin_expect_report(twin, REPORT_UP, NULL);
    report = twin_expect_data(twin, "orders.test", "192.0.2.1:80*10 192.0.2.2:80*10");
    ck_assert_uint_eq(report->validity, 10 * SEC);
    twin_free(twin);
}
END_TEST

START_TEST(a_family_that_is_not_in_the_additional_section_is_asked_for)
{
    static const struct dns_srv services[] = {{0, 1, 80, "a.test"}};
    static const char *const extra[] = {"a.test", "192.0.2.1", NULL};
    struct twin *twin = started(with_srv);

    twin_want(twin, "orders.test");
    answer_srv(twin, "orders.test", services, 1, extra);
    ck_assert_uint_eq(twin_dns_open(twin), 1); /* IPv4 is told */
    twin_dns_reply_addresses(twin_expect_dns(twin, DNS_AAAA, "a.test"), 60 * SEC, "2001:db8::1");
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_data(twin, "orders.test", "192.0.2.1+[2001:db8::1]:80*10");

    /* What it has not is not asked for with every answer, but not for ever left unasked either. */
    for (unsigned i = 0; i < 2; i++) {
        twin_advance(twin, 30 * SEC);
        twin_refresh(twin, "orders.test");
        answer_srv(twin, "orders.test", services, 1, extra);
        answer_no_six(twin, "a.test");
        twin_expect_data(twin, "orders.test", "192.0.2.1:80*10");
        twin_advance(twin, 10 * SEC);
        twin_refresh(twin, "orders.test");
        answer_srv(twin, "orders.test", services, 1, extra);
        twin_expect_data(twin, "orders.test", "192.0.2.1:80*10");
    }
    twin_free(twin);
}
END_TEST

START_TEST(a_family_of_targets_that_fails_is_undecided_not_absent)
{
    static const struct dns_srv services[] = {{0, 1, 80, "a.test"}, {0, 1, 80, "b.test"}};
    static const char *const extra[] = {"a.test", "192.0.2.1", NULL};
    struct twin *twin = started(with_srv);

    twin_want(twin, "orders.test");
    answer_srv(twin, "orders.test", services, 2, extra);
    answer_no_six(twin, "a.test");
    both_fail(twin, "b.test");
    twin_expect_report(twin, REPORT_UP, NULL);
    ck_assert_uint_eq(twin_expect_report(twin, REPORT_DATA, "orders.test")->flags,
                      REPORT_IPV6_UNDECIDED);

    twin_refresh(twin, "orders.test");
    answer_srv(twin, "orders.test", services, 2, extra);
    answer(twin, "b.test", NULL, NULL, 0);
    ck_assert_uint_eq(twin_expect_report(twin, REPORT_DATA, "orders.test")->flags, 0);
    twin_free(twin);
}
END_TEST

START_TEST(the_port_of_a_service_name_is_named_after_it)
{
    static const struct dns_srv services[] = {{0, 1, 80, "a.test"}};
    static const char *const extra[] = {"a.test", "192.0.2.1", NULL};
    struct twin *twin = started(plain);
    const struct registry_report *report;

    twin_want(twin, "_http._tcp.orders.test");
    answer_srv(twin, "_http._tcp.orders.test", services, 1, extra);
    answer_no_six(twin, "a.test");
    twin_expect_report(twin, REPORT_UP, NULL);
    report = twin_expect_data(twin, "_http._tcp.orders.test", "192.0.2.1:80*10");
    ck_assert_str_eq(report->endpoints->endpoints[0].ports[0].name, "http");
    ck_assert_str_eq(report->endpoints->endpoints[0].ports[0].protocol, "tcp");
    twin_free(twin);
}
END_TEST

START_TEST(the_root_as_target_says_that_the_service_is_not_there)
{
    static const struct dns_srv services[] = {{0, 0, 0, ""}};
    struct twin *twin = started(with_srv);

    twin_want(twin, "orders.test");
    answer_srv(twin, "orders.test", services, 1, NULL);
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_report(twin, REPORT_ABSENT, "orders.test");
    twin_free(twin);
}
END_TEST

START_TEST(a_host_without_srv_is_asked_for_addresses)
{
    struct twin *twin = started(with_srv);

    twin_want(twin, "host.test");
    twin_dns_fail(twin_expect_dns(twin, DNS_SRV, "host.test"), DNS_NODATA, 5 * SEC, NULL);
    answer(twin, "host.test", "192.0.2.1", NULL, 60 * SEC);
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_data(twin, "host.test", "192.0.2.1");
    twin_free(twin);
}
END_TEST

START_TEST(a_target_that_fails_keeps_its_last_addresses_and_one_never_known_is_left_out)
{
    static const struct dns_srv services[] = {{0, 1, 80, "a.test"}, {0, 1, 80, "b.test"}};
    static const char *const extra[] = {"a.test", "192.0.2.1", NULL};
    struct twin *twin = started(with_srv);

    twin_want(twin, "orders.test");
    answer_srv(twin, "orders.test", services, 2, extra);
    answer_no_six(twin, "a.test");
    both_fail(twin, "b.test");
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_data(twin, "orders.test", "192.0.2.1:80*10");

    twin_refresh(twin, "orders.test");
    answer_srv(twin, "orders.test", services, 2, NULL);
    both_fail(twin, "a.test");
    answer(twin, "b.test", "192.0.2.2", NULL, 60 * SEC);
    twin_expect_data(twin, "orders.test", "192.0.2.1:80*10 192.0.2.2:80*10");
    twin_free(twin);
}
END_TEST

START_TEST(targets_that_all_fail_teach_nothing)
{
    static const struct dns_srv services[] = {{0, 1, 80, "a.test"}, {0, 1, 80, "b.test"}};
    struct twin *twin = started(with_srv);

    twin_want(twin, "orders.test");
    answer_srv(twin, "orders.test", services, 2, NULL);
    both_fail(twin, "a.test");
    both_fail(twin, "b.test");
    twin_expect_report(twin, REPORT_FAILED, "orders.test");
    twin_free(twin);
}
END_TEST

/* Answers both questions for whichever target was asked for first. */
static void answer_next(struct twin *twin)
{
    struct dns_call *a = twin_expect_dns(twin, DNS_A, NULL);
    char name[NAME_SIZE];

    strcpy(name, twin_dns_question(a)->name);
    twin_dns_reply_addresses(a, 60 * SEC, "192.0.2.1");
    twin_dns_fail(twin_expect_dns(twin, DNS_AAAA, name), DNS_NODATA, 0, NULL);
}

START_TEST(many_targets_are_asked_for_a_few_at_a_time_and_the_best_are_used)
{
    struct dns_srv services[100];
    struct twin *twin = started(with_srv);
    unsigned asked = 0;

    for (unsigned i = 0; i < ELEMENTS(services); i++) {
        services[i] = (struct dns_srv){.priority = (uint16_t)(100 - i), .weight = 1, .port = 80};
        snprintf(services[i].target, sizeof(services[i].target), "t%u.test", i);
    }
    twin_want(twin, "orders.test");
    answer_srv(twin, "orders.test", services, ELEMENTS(services), NULL);
    while (twin_dns_open(twin) > 0) {
        ck_assert_uint_le(twin_dns_open(twin), 16);
        answer_next(twin);
        asked++;
    }
    ck_assert_uint_eq(asked, 64);
    twin_expect_report(twin, REPORT_UP, NULL);
    ck_assert_uint_eq(twin_expect_report(twin, REPORT_DATA, "orders.test")->endpoints->count, 64);
    twin_free(twin);
}
END_TEST

/* ---- up and down ---- */

START_TEST(servers_that_answer_nothing_are_down_and_are_asked_again_until_they_answer)
{
    struct twin *twin = started(plain);

    twin_want(twin, "a.test");
    twin_want(twin, "b.test");
    answer(twin, "a.test", "192.0.2.1", NULL, 60 * SEC);
    answer(twin, "b.test", "192.0.2.2", NULL, 60 * SEC);
    twin_skip_reports(twin);
    twin_refresh(twin, "a.test");
    both_fail(twin, "a.test");
    twin_advance(twin, 4 * SEC);
    twin_refresh(twin, "b.test");
    both_fail(twin, "b.test");
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_DOWN, NULL));
    twin_skip_reports(twin);

    twin_advance(twin, twin_next_timer(twin));
    both_fail(twin, "a.test");
    ck_assert_ptr_null(twin_find_report(twin, REPORT_DOWN, NULL));
    twin_skip_reports(twin);
    twin_advance(twin, twin_next_timer(twin));
    answer(twin, "a.test", "192.0.2.1", NULL, 60 * SEC);
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_data(twin, "a.test", "192.0.2.1");
    twin_advance(twin, 60 * SEC);
    twin_expect_no_dns(twin);
    twin_free(twin);
}
END_TEST

START_TEST(one_broken_name_does_not_make_the_servers_down)
{
    struct twin *twin = started(plain);

    twin_want(twin, "a.test");
    twin_want(twin, "broken.test");
    answer(twin, "a.test", "192.0.2.1", NULL, 60 * SEC);
    for (unsigned i = 0; i < 10; i++) {
        twin_refresh(twin, "broken.test");
        both_fail(twin, "broken.test");
        twin_advance(twin, 5 * SEC);
    }
    ck_assert_ptr_null(twin_find_report(twin, REPORT_DOWN, NULL));
    twin_free(twin);
}
END_TEST

START_TEST(a_kick_asks_again_for_what_failed_and_for_nothing_else)
{
    struct twin *twin = started(plain);

    twin_want(twin, "a.test");
    twin_want(twin, "b.test");
    answer(twin, "a.test", "192.0.2.1", NULL, 60 * SEC);
    both_fail(twin, "b.test");
    twin_kick(twin);
    twin_expect_dns(twin, DNS_A, "b.test");
    twin_expect_dns(twin, DNS_AAAA, "b.test");
    twin_expect_no_dns(twin);
    twin_free(twin);
}
END_TEST

START_TEST(dropping_a_name_ends_its_questions)
{
    struct twin *twin = started(with_srv);

    twin_want(twin, "orders.test");
    ck_assert_uint_eq(twin_dns_open(twin), 1);
    twin_drop(twin, "orders.test");
    ck_assert_uint_eq(twin_dns_open(twin), 0);
    twin_free(twin);
}
END_TEST

START_TEST(a_reload_with_other_servers_asks_them)
{
    static const char *const other[] = {"Servers", "192.0.2.54", NULL};
    struct twin *twin = started(plain);

    twin_want(twin, "web.test");
    answer(twin, "web.test", "192.0.2.1", NULL, 60 * SEC);
    twin_skip_reports(twin);
    ck_assert_int_eq(twin_reload(twin, plain), 0);
    twin_expect_no_dns(twin);
    twin_reload(twin, other);
    ck_assert_str_eq(twin_dns_question(twin_expect_dns(twin, DNS_A, "web.test"))->servers,
                     "192.0.2.54");
    twin_free(twin);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("dns registry");

    UNIT_CASE(suite, "addresses", both_families_make_one_report_for_the_shorter_ttl,
              the_negative_ttl_of_one_family_does_not_shorten_the_other,
              the_servers_of_the_configuration_are_asked_over_tcp_if_it_says_so,
              no_such_domain_is_absence_for_the_time_of_its_soa,
              absence_of_one_family_by_a_broken_server_does_not_hide_the_other,
              a_name_without_addresses_is_data_without_endpoints,
              a_family_that_was_never_known_and_fails_is_undecided,
              a_family_that_fails_keeps_its_addresses_beside_news_of_the_other_for_a_day,
              two_failures_teach_nothing, asking_again_while_an_answer_is_on_its_way_asks_once,
              an_alias_is_told_with_its_own_addresses,
              addresses_that_nobody_may_hand_out_are_refused_with_one_line,
              servers_on_this_machine_may_name_it);
    UNIT_CASE(suite, "srv", srv_gives_port_priority_and_weight,
              targets_without_addresses_in_the_answer_are_asked_for_at_the_same_servers,
              a_family_that_is_not_in_the_additional_section_is_asked_for,
              a_family_of_targets_that_fails_is_undecided_not_absent,
              the_port_of_a_service_name_is_named_after_it,
              the_root_as_target_says_that_the_service_is_not_there,
              a_host_without_srv_is_asked_for_addresses,
              a_target_that_fails_keeps_its_last_addresses_and_one_never_known_is_left_out,
              targets_that_all_fail_teach_nothing,
              many_targets_are_asked_for_a_few_at_a_time_and_the_best_are_used);
    UNIT_CASE(suite, "up and down",
              servers_that_answer_nothing_are_down_and_are_asked_again_until_they_answer,
              one_broken_name_does_not_make_the_servers_down,
              a_kick_asks_again_for_what_failed_and_for_nothing_else,
              dropping_a_name_ends_its_questions, a_reload_with_other_servers_asks_them);
    return suite;
}

UNIT_MAIN(make_suite)
