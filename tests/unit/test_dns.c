/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Questions on the event loop: against a real dnsmasq, and against a scripted server where only
 * a broken one will do.
 */
#include "daemon/net/dns.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include "daemon/net/hosts.h"
#include "tests/unit/dns_script.h"
#include "tests/unit/dnsmasq.h"
#include "tests/unit/unit.h"

static sd_event *event;
static struct dns_client *client;
static struct dns_script script;
static struct dnsmasq dnsmasq;

static void set_up(void)
{
    ck_assert_int_ge(sd_event_new(&event), 0);
    ck_assert_int_eq(dns_client_new(event, &client), 0);
    script_start(&script, event, "127.0.0.1", 0, 1);
}

static void tear_down(void)
{
    client = dns_client_free(client);
    script_stop(&script);
    event = sd_event_unref(event);
}

static void set_up_dnsmasq(void)
{
    static const char *const records[] = {
        "--host-record=web.test,192.0.2.1,2001:db8::1",
        "--host-record=v4.test,192.0.2.4",
        "--cname=alias.test,web.test",
        "--srv-host=_web._tcp.test,web.test,8080,1,10",
        "--srv-host=_web._tcp.test,v4.test,8081,2,20",
        "--ptr-record=1.2.0.192.in-addr.arpa,Web.test",
        NULL,
    };

    set_up();
    dnsmasq_start(&dnsmasq, records);
}

static void tear_down_dnsmasq(void)
{
    dnsmasq_stop(&dnsmasq);
    tear_down();
}

/* What one question got. */
struct got {
    unsigned times;
    enum dns_outcome outcome;
    usec_t ttl;
    char canonical[NAME_SIZE], pointer[NAME_SIZE], text[128], address[INET6_ADDRSTRLEN];
    size_t addresses, services, extra;
    struct dns_srv service[4];
};

static void note(void *userdata, const struct dns_result *result)
{
    struct got *got = userdata;

    got->times++;
    got->outcome = result->outcome;
    got->ttl = result->ttl;
    snprintf(got->canonical, sizeof(got->canonical), "%s", result->canonical);
    snprintf(got->pointer, sizeof(got->pointer), "%s", result->pointer ? result->pointer : "");
    snprintf(got->text, sizeof(got->text), "%s", result->text);
    got->addresses = result->address_count;
    got->services = result->service_count;
    got->extra = result->extra_count;
    if (result->address_count > 0)
        address_to_string(&result->addresses[0], got->address);
    for (size_t i = 0; i < result->service_count && i < ELEMENTS(got->service); i++)
        got->service[i] = result->services[i];
}

static struct dns_call *start(const struct dns_question *question, struct got *got)
{
    struct dns_question copy = *question;
    struct dns_call *call = NULL;

    *got = (struct got){0};
    copy.done = note;
    copy.userdata = got;
    ck_assert_int_eq(dns_start(client, &copy, &call), 0);
    ck_assert_uint_eq(got->times, 0);
    return call;
}

static struct got ask(const struct dns_question *question)
{
    struct got got;

    start(question, &got);
    loop_until(event, &got.times, 1);
    loop_settle(event);
    ck_assert_uint_eq(got.times, 1);
    return got;
}

static struct got ask_script(const char *name)
{
    return ask(&(struct dns_question){.name = name, .type = DNS_A, .servers = script.servers});
}

/* ---- a real server ---- */

START_TEST(a_real_server_answers_over_udp_and_tcp)
{
    bool tcp = _i == 1;
    struct dns_question question = {.servers = dnsmasq.servers, .tcp = tcp};
    struct got got;

    question.name = "web.test";
    question.type = DNS_A;
    got = ask(&question);
    ck_assert_int_eq(got.outcome, DNS_DATA);
    ck_assert_str_eq(got.address, "192.0.2.1");
    ck_assert_uint_eq(got.ttl, 30 * USEC_PER_SEC);
    question.type = DNS_AAAA;
    got = ask(&question);
    ck_assert_str_eq(got.address, "2001:db8::1");
    question.name = "alias.test";
    got = ask(&question);
    ck_assert_str_eq(got.address, "2001:db8::1");
    ck_assert_str_eq(got.canonical, "web.test");
    question.type = DNS_CNAME;
    got = ask(&question);
    ck_assert_int_eq(got.outcome, DNS_DATA);
    ck_assert_str_eq(got.canonical, "web.test");
    question.name = "v4.test";
    question.type = DNS_AAAA;
    ck_assert_int_eq(ask(&question).outcome, DNS_NODATA);
    question.name = "none.test";
    ck_assert_int_eq(ask(&question).outcome, DNS_NXDOMAIN);
    question.name = "1.2.0.192.in-addr.arpa";
    question.type = DNS_PTR;
    ck_assert_str_eq(ask(&question).pointer, "web.test");
}
END_TEST

START_TEST(a_real_server_knows_services)
{
    struct got got = ask(&(struct dns_question){
        .name = "_web._tcp.test", .type = DNS_SRV, .servers = dnsmasq.servers});
    size_t web = got.service[0].port == 8080 ? 0 : 1;

    ck_assert_int_eq(got.outcome, DNS_DATA);
    ck_assert_uint_eq(got.services, 2);
    ck_assert_str_eq(got.service[web].target, "web.test");
    ck_assert_uint_eq(got.service[web].port, 8080);
    ck_assert_uint_eq(got.service[web].priority, 1);
    ck_assert_uint_eq(got.service[web].weight, 10);
    ck_assert_str_eq(got.service[1 - web].target, "v4.test");
    ck_assert_uint_ge(got.extra, 1);
}
END_TEST

START_TEST(servers_can_be_set_for_all_questions)
{
    ck_assert_int_eq(dns_client_set_servers(client, "nonsense"), -EINVAL);
    ck_assert_int_eq(dns_client_set_servers(client, dnsmasq.servers), 0);
    ck_assert_str_eq(ask(&(struct dns_question){.name = "web.test", .type = DNS_A}).address,
                     "192.0.2.1");
    ck_assert_int_eq(dns_client_set_servers(client, script.servers), 0);
    ck_assert_int_eq(ask(&(struct dns_question){.name = "refused.test", .type = DNS_A}).outcome,
                     DNS_FAILED);
}
END_TEST

/* ---- a broken server ---- */

START_TEST(an_unhelpful_server_is_a_failure_that_says_so)
{
    static const char *const names[] = {"servfail.test", "refused.test", "half.test",
                                        "referral.test"};
    static const char *const texts[] = {"fail", "refuse", "form", "referral"};
    struct got got = ask_script(names[_i]);

    ck_assert_int_eq(got.outcome, DNS_FAILED);
    ck_assert_msg(strcasestr(got.text, texts[_i]), "%s", got.text);
    ck_assert_str_eq(got.canonical, names[_i]);
}
END_TEST

START_TEST(silence_and_junk_end_with_the_time_out)
{
    static const char *const names[] = {"silent.test", "junk.test"};
    usec_t before = loop_now(), took;
    struct got got = ask(&(struct dns_question){.name = names[_i],
                                                .type = DNS_A,
                                                .servers = script.servers,
                                                .timeout = 300 * USEC_PER_MSEC});

    took = loop_now() - before;
    ck_assert_int_eq(got.outcome, DNS_FAILED);
    ck_assert_uint_lt(took, 2 * USEC_PER_SEC);
    ck_assert_uint_ge(script.queries, 1);
    if (_i == 0)
        ck_assert_uint_ge(took, 300 * USEC_PER_MSEC);
}
END_TEST

START_TEST(a_silent_server_is_asked_again)
{
    struct got got = ask(&(struct dns_question){.name = "silent.test",
                                                .type = DNS_A,
                                                .servers = script.servers,
                                                .timeout = 1200 * USEC_PER_MSEC});

    ck_assert_int_eq(got.outcome, DNS_FAILED);
    ck_assert_uint_eq(script.queries, 2);
}
END_TEST

START_TEST(the_next_server_helps_out)
{
    struct dns_script broken;
    char servers[160];
    struct got got;

    script_start(&broken, event, "127.0.0.1", 0, 66);
    broken.refuses = true;
    snprintf(servers, sizeof(servers), "127.0.0.1:1,%s,%s", broken.servers, script.servers);
    got = ask(&(struct dns_question){.name = "ok.test", .type = DNS_A, .servers = servers});
    ck_assert_int_eq(got.outcome, DNS_DATA);
    ck_assert_str_eq(got.address, "192.0.2.1");
    ck_assert_uint_ge(broken.queries, 1);
    script_stop(&broken);
}
END_TEST

START_TEST(a_cut_answer_is_fetched_whole_over_tcp)
{
    struct got got = ask_script("cut.test");

    ck_assert_int_eq(got.outcome, DNS_DATA);
    ck_assert_uint_eq(got.addresses, 300);
    ck_assert_uint_eq(script.tcp_queries, 1);
}
END_TEST

START_TEST(tcp_can_be_forced)
{
    struct got got = ask(&(struct dns_question){
        .name = "ok.test", .type = DNS_A, .servers = script.servers, .tcp = true});

    ck_assert_int_eq(got.outcome, DNS_DATA);
    ck_assert_uint_eq(script.tcp_queries, script.queries);
}
END_TEST

START_TEST(a_forged_id_is_ignored)
{
    struct got got = ask_script("wrongid.test");

    ck_assert_int_eq(got.outcome, DNS_DATA);
    ck_assert_str_eq(got.address, "192.0.2.1");
}
END_TEST

START_TEST(no_answer_is_kept_for_the_next_question)
{
    ck_assert_int_eq(ask_script("none.test").outcome, DNS_NODATA);
    ck_assert_int_eq(ask_script("none.test").outcome, DNS_NODATA);
    ck_assert_uint_eq(script.queries, 2);
}
END_TEST

/* ---- calls ---- */

START_TEST(a_cancelled_call_is_never_heard_of_again)
{
    struct dns_question question = {.name = "ok.test", .type = DNS_A, .servers = script.servers};
    struct got cancelled, late, local, other;
    struct dns_call *call = start(&question, &cancelled);

    dns_cancel(client, call);
    dns_cancel(client, NULL);
    /* Finished, but not delivered yet. */
    call = start(&(struct dns_question){.name = "localhost", .type = DNS_A, .hosts = true}, &local);
    dns_cancel(client, call);
    start(&question, &other);
    loop_until(event, &other.times, 1);
    /* Its answer arrives when nobody waits. */
    call = start(&question, &late);
    while (script.queries < 3)
        ck_assert_int_ge(sd_event_run(event, USEC_PER_SEC), 0);
    dns_cancel(client, call);
    loop_settle(event);
    ck_assert_uint_eq(cancelled.times + late.times + local.times, 0);
}
END_TEST

static struct dns_call *victim, *self;
static struct got next_got;

static void cancel_others_and_start(void *userdata, const struct dns_result *result)
{
    note(userdata, result);
    dns_cancel(client, victim);
    dns_cancel(client, self); /* as good as gone: harmless */
    start(&(struct dns_question){.name = "localhost", .type = DNS_AAAA, .hosts = true}, &next_got);
}

START_TEST(a_callback_may_cancel_and_start_calls)
{
    struct dns_question question = {
        .name = "localhost", .type = DNS_A, .hosts = true, .done = cancel_others_and_start};
    struct got first = {0}, second;

    question.userdata = &first;
    ck_assert_int_eq(dns_start(client, &question, &self), 0);
    victim = start(&question, &second);
    loop_until(event, &next_got.times, 1);
    loop_settle(event);
    ck_assert_uint_eq(first.times, 1);
    ck_assert_uint_eq(second.times, 0);
    ck_assert_str_eq(next_got.address, "::1");
}
END_TEST

START_TEST(freeing_the_client_ends_everything_quietly)
{
    struct got waiting, done;

    start(&(struct dns_question){.name = "silent.test", .type = DNS_A, .servers = script.servers},
          &waiting);
    loop_settle(event);
    start(&(struct dns_question){.name = "a.localhost", .type = DNS_A, .hosts = true}, &done);
    client = dns_client_free(client);
    loop_settle(event);
    ck_assert_uint_eq(waiting.times + done.times, 0);
}
END_TEST

START_TEST(questions_under_way_are_bounded)
{
    enum { MANY = 4096 + 100 };
    static struct got got[MANY];
    unsigned refused = 0;

    for (size_t i = 0; i < MANY; i++)
        start(&(struct dns_question){.name = "silent.test",
                                     .type = DNS_A,
                                     .servers = script.servers,
                                     .timeout = USEC_PER_SEC},
              &got[i]);
    loop_settle(event);
    for (size_t i = 0; i < MANY; i++)
        refused += got[i].times == 1 && strstr(got[i].text, "too many questions") != NULL;
    ck_assert_uint_eq(refused, 100);
}
END_TEST

START_TEST(many_lists_of_servers_do_not_pile_up)
{
    for (unsigned i = 1; i <= 80; i++) {
        char servers[160];
        struct got got;

        snprintf(servers, sizeof(servers), "%s,198.51.100.%u", script.servers, i);
        got = ask(&(struct dns_question){.name = "ok.test", .type = DNS_A, .servers = servers});
        ck_assert_int_eq(got.outcome, DNS_DATA);
    }
}
END_TEST

START_TEST(bad_questions_are_refused_at_once)
{
    struct dns_question question = {.name = "a..b", .type = DNS_A, .done = note};
    struct dns_call *call;

    ck_assert_int_eq(dns_start(client, &question, &call), -EINVAL);
    question.name = "a.test";
    question.servers = "127.0.0.1:0";
    ck_assert_int_eq(dns_start(client, &question, &call), -EINVAL);
}
END_TEST

START_TEST(lists_of_servers_are_checked)
{
    static const char *const good[] = {
        "192.0.2.1",     "192.0.2.1:53", "192.0.2.1:65535,192.0.2.2", "[2001:db8::1]:5353",
        "[2001:db8::1]", "2001:db8::1",  "192.0.2.1:8600,[::1]:8600",
    };
    static const char *const bad[] = {
        "",
        ",",
        "192.0.2.1,",
        "192.0.2.1:",
        "192.0.2.1:0",
        "192.0.2.1:65536",
        "192.0.2.1:5x",
        "ns.test",
        "[192.0.2.1",
        "[::1]x",
        "[::1]:",
        "::1]:53",
        "192.0.2.1 ",
        "192.0.2.1:-1",
        "dns://192.0.2.1",
        "1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,"
        "1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1",
    };

    for (size_t i = 0; i < ELEMENTS(good); i++)
        ck_assert_msg(dns_servers_check(good[i]) == 0, "%s", good[i]);
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        ck_assert_msg(dns_servers_check(bad[i]) == -EINVAL, "%s", bad[i]);
}
END_TEST

/* ---- names known here ---- */

START_TEST(localhost_needs_no_server)
{
    struct got got = ask(&(struct dns_question){.name = "localhost", .type = DNS_A, .hosts = true});

    ck_assert_int_eq(got.outcome, DNS_DATA);
    ck_assert_str_eq(got.address, "127.0.0.1");
    got = ask(&(struct dns_question){.name = "db.localhost", .type = DNS_AAAA, .hosts = true});
    ck_assert_str_eq(got.address, "::1");
    /* Without `hosts`, and with servers of its own, a question goes out. */
    got = ask(&(struct dns_question){
        .name = "localhost", .type = DNS_A, .hosts = true, .servers = script.servers});
    ck_assert_int_eq(got.outcome, DNS_NODATA);
    ck_assert_uint_eq(script.queries, 1);
}
END_TEST

START_TEST(the_hosts_file_decides_for_both_families)
{
    static const char text[] = "# web\n"
                               "192.0.2.1\tWeb.Test web # n1\r\n"
                               "junk web\n"
                               "192.0.2.2 a\xff web\n"
                               "2001:db8::3 six\n"
                               "192.0.2.9 #web\n"
                               "192.0.2.4 last";
    struct address addresses[HOSTS_ADDRESSES_MAX];
    size_t count, size = sizeof(text) - 1;

    ck_assert(hosts_text_lookup(text, size, "web.test", AF_INET, addresses, &count));
    ck_assert_uint_eq(count, 1);
    ck_assert(hosts_text_lookup(text, size, "web", AF_INET, addresses, &count));
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(addresses[1].bytes[3], 2);
    ck_assert(hosts_text_lookup(text, size, "web", AF_INET6, addresses, &count));
    ck_assert_uint_eq(count, 0);
    ck_assert(hosts_text_lookup(text, size, "six", AF_INET6, addresses, &count));
    ck_assert_uint_eq(count, 1);
    ck_assert(hosts_text_lookup(text, size, "last", AF_INET, addresses, &count));
    ck_assert(!hosts_text_lookup(text, size, "n1", AF_INET, addresses, &count));
    ck_assert(!hosts_text_lookup(text, size - 1, "last", AF_INET, addresses, &count));
    ck_assert(!hosts_text_lookup("", 0, "web", AF_INET, addresses, &count));
}
END_TEST

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

START_TEST(a_changed_hosts_file_is_read_again)
{
    char path[] = "/tmp/nss-sd-hosts-XXXXXX";
    struct address addresses[HOSTS_ADDRESSES_MAX];
    struct hosts *hosts;
    size_t count;

    close(mkstemp(path));
    hosts = hosts_new(path);
    ck_assert(!hosts_lookup(hosts, "web", AF_INET, addresses, &count));
    write_file(path, "192.0.2.1 web\n");
    ck_assert(hosts_lookup(hosts, "web", AF_INET, addresses, &count));
    write_file(path, "192.0.2.1 web web2\n");
    ck_assert(hosts_lookup(hosts, "web2", AF_INET, addresses, &count));
    unlink(path);
    ck_assert(!hosts_lookup(hosts, "web", AF_INET, addresses, &count));
    hosts_free(hosts);
}
END_TEST

/* ---- the system's servers ---- */

/* A world with its own resolv.conf and its own loopback, where port 53 is free. */
static void enter_own_world(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd, flags = CLONE_NEWNS | CLONE_NEWNET | (geteuid() != 0 ? CLONE_NEWUSER : 0);

    ck_assert_msg(unshare(flags) == 0, "needs root or user namespaces");
    ck_assert_int_eq(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL), 0);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(ioctl(fd, SIOCSIFFLAGS, &request), 0);
    close(fd);
}

START_TEST(a_changed_resolv_conf_counts)
{
    char path[] = "/tmp/nss-sd-resolv-XXXXXX";
    struct dns_question question = {.name = "ok.test", .type = DNS_A, .hosts = true};
    struct dns_script first, second;
    usec_t end;
    struct got got, slow;

    enter_own_world();
    close(mkstemp(path));
    write_file(path, "nameserver 127.0.0.1\nsearch nowhere.test\n");
    ck_assert_int_eq(mount(path, "/etc/resolv.conf", "none", MS_BIND, NULL), 0);
    script_start(&first, event, "127.0.0.1", 53, 1);
    script_start(&second, event, "127.0.0.2", 53, 2);
    ck_assert_str_eq(ask(&question).address, "192.0.2.1");
    /* One is under way when the file changes: it keeps its channel. */
    start(&(struct dns_question){.name = "silent.test", .type = DNS_A, .timeout = 3 * USEC_PER_SEC},
          &slow);
    write_file(path, "nameserver 127.0.0.2\n");
    end = loop_now() + LOOP_PATIENCE;
    do
        got = ask(&question);
    while (streq(got.address, "192.0.2.1") && loop_now() < end);
    ck_assert_str_eq(got.address, "192.0.2.2");
    loop_until(event, &slow.times, 1);
    ck_assert_int_eq(slow.outcome, DNS_FAILED);
    unlink(path);
    script_stop(&first);
    script_stop(&second);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("dns");
    TCase *real = tcase_create("real"), *broken = tcase_create("broken");
    TCase *calls = tcase_create("calls");

    tcase_add_checked_fixture(real, set_up_dnsmasq, tear_down_dnsmasq);
    tcase_add_loop_test(real, a_real_server_answers_over_udp_and_tcp, 0, 2);
    tcase_add_test(real, a_real_server_knows_services);
    tcase_add_test(real, servers_can_be_set_for_all_questions);
    suite_add_tcase(suite, real);

    tcase_add_checked_fixture(broken, set_up, tear_down);
    tcase_set_timeout(broken, 60);
    tcase_add_loop_test(broken, an_unhelpful_server_is_a_failure_that_says_so, 0, 4);
    tcase_add_loop_test(broken, silence_and_junk_end_with_the_time_out, 0, 2);
    tcase_add_test(broken, a_silent_server_is_asked_again);
    tcase_add_test(broken, the_next_server_helps_out);
    tcase_add_test(broken, a_cut_answer_is_fetched_whole_over_tcp);
    tcase_add_test(broken, tcp_can_be_forced);
    tcase_add_test(broken, a_forged_id_is_ignored);
    tcase_add_test(broken, no_answer_is_kept_for_the_next_question);
    suite_add_tcase(suite, broken);

    tcase_add_checked_fixture(calls, set_up, tear_down);
    tcase_set_timeout(calls, 60);
    tcase_add_test(calls, a_cancelled_call_is_never_heard_of_again);
    tcase_add_test(calls, a_callback_may_cancel_and_start_calls);
    tcase_add_test(calls, freeing_the_client_ends_everything_quietly);
    tcase_add_test(calls, questions_under_way_are_bounded);
    tcase_add_test(calls, many_lists_of_servers_do_not_pile_up);
    tcase_add_test(calls, bad_questions_are_refused_at_once);
    tcase_add_test(calls, localhost_needs_no_server);
    tcase_add_test(calls, a_changed_resolv_conf_counts);
    suite_add_tcase(suite, calls);

    UNIT_CASE(suite, "pure", lists_of_servers_are_checked, the_hosts_file_decides_for_both_families,
              a_changed_hosts_file_is_read_again);
    return suite;
}

UNIT_MAIN(make_suite)
