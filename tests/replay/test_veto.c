/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checks of our own as stories: what is checked, for whom, from when to when, and what becomes of
 * results. Evaluations are played by the test: it judges the endpoints of a name, and ends the
 * round.
 */
#include <stdio.h>

#include "daemon/check_gate.h"
#include "daemon/veto.h"
#include "tests/replay/twin.h"
#include "tests/unit/unit.h"

#define SEC USEC_PER_SEC

static const struct registry_type no_type = {.name = "vetoes"};
static struct registry_config no_config = {.name = (char *)"vetoes"};
static struct registry nobody = {.type = &no_type, .config = &no_config};

static struct twin *twin;
static struct veto *veto;
static const char *check_of_all, *check_of_orders; /* Check= of policies */
static unsigned changes;
static FILE *lines;

/* ---- around it ---- */

static void report(void *userdata, struct registry *registry, const struct registry_report *told)
{
    (void)userdata, (void)registry, (void)told;
}

static void http_stirs(void *userdata, struct http_call *call)
{
    (void)userdata, (void)call;
}

static bool rules(void *userdata, const char *name, struct veto_rules *ret_rules)
{
    const char *text = streq(name, "orders.test") ? check_of_orders : check_of_all, *mistake;

    (void)userdata;
    *ret_rules = (struct veto_rules){
        .interval = 10 * SEC, .timeout = 2 * SEC, .failures = 3, .successes = 1};
    return text && veto_spec_parse(text, &ret_rules->spec, &mistake) == 0 && !ret_rules->spec.none;
}

static void changed(void *userdata, unsigned registry, const char *key)
{
    (void)userdata, (void)registry, (void)key;
    changes++;
}

static const char *registry_name(void *userdata, unsigned registry)
{
    (void)userdata, (void)registry;
    return "eureka";
}

static void set_up(void)
{
    static const struct twin_observer observer = {
        .report = report, .http = http_stirs, .http_gone = http_stirs};
    static const struct veto_hooks hooks = {
        .rules = rules, .changed = changed, .registry_name = registry_name};

    twin = twin_attach(&nobody, &(struct twin_options){.seed = 7}, &observer, 100000 * SEC);
    veto = veto_new(twin_env(twin), &hooks);
    check_of_all = check_of_orders = "tcp:80";
    changes = 0;
    lines = tmpfile();
    ck_assert(veto && lines && dup2(fileno(lines), STDERR_FILENO) == STDERR_FILENO);
}

static void tear_down(void)
{
    ck_assert_ptr_null(veto_free(veto));
    twin_detach(twin); /* no check outlives it */
    fclose(lines);
}

static unsigned logged(const char *part)
{
    unsigned count = 0;
    char line[2048];

    rewind(lines);
    while (fgets(line, sizeof(line), lines))
        count += strstr(line, part) != NULL;
    return count;
}

/* ---- an evaluation ---- */

/* An endpoint for each word: addresses with '+' between; its name is the word, its port 8080. */
static struct endpoint_set *endpoints(const char *words)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    char *copy = strdup(words), *rest = copy, *word;
    struct endpoint_set *set;

    while ((word = strsep(&rest, " "))) {
        char *text;

        endpoint_builder_begin(builder, word);
        endpoint_builder_port(builder, "dns", "udp", 53);
        endpoint_builder_port(builder, "web", "tcp", 8080);
        while ((text = strsep(&word, "+"))) {
            struct address address;

            if (address_from_string(text, &address) == 0)
                endpoint_builder_address(builder, &address);
            else
                endpoint_builder_target(builder, text);
        }
    }
    free(copy);
    ck_assert_int_eq(endpoint_builder_finish(builder, &set), 0);
    endpoint_builder_free(builder);
    return set;
}

/* Judges these endpoints of service `key` for `name`, and returns the names of those vetoed. */
static const char *judge_service(const char *name, const char *key, const char *words)
{
    static char vetoed[4096];
    struct endpoint_set *set = endpoints(words);

    vetoed[0] = '\0';
    for (uint32_t i = 0; i < set->count; i++)
        if (veto_judge(veto, name, 0, key, &set->endpoints[i]))
            sprintf(vetoed + strlen(vetoed), "%s%s", *vetoed ? " " : "", set->endpoints[i].name);
    endpoint_set_unref(set);
    return vetoed;
}

static const char *evaluate(const char *name, const char *words)
{
    const char *vetoed = judge_service(name, "orders", words);

    veto_evaluated(veto, name);
    return vetoed;
}

static struct veto_summary summary(void)
{
    struct veto_summary summary;

    veto_summarize(veto, &summary);
    return summary;
}

/* Lets time pass; connections to `dead` are refused, others stand. `dead` NULL: all are refused. */
static void pass(usec_t duration, const char *dead)
{
    usec_t end = twin_now(twin) + duration;
    struct tcp_call *call;

    while (twin_now(twin) < end) {
        usec_t next = twin_next_timer(twin), left = end - twin_now(twin);

        twin_advance(twin, next < left ? next : left);
        while ((call = twin_next_tcp(twin))) {
            const char *host = twin_tcp_request(call)->host;
            bool refused = !dead || streq(host, dead);

            twin_tcp_end(call, refused ? TCP_CALL_REFUSED : TCP_CALL_CONNECTED,
                         refused ? "refused" : "connected");
        }
    }
}

#define A     "10.0.0.1"
#define B     "10.0.0.2"
#define C     "10.0.0.3"
#define THREE A " " B " " C

/* ---- stories ---- */

START_TEST(an_instance_that_crashed_is_out_after_three_failures_and_back_after_one_success)
{
    struct endpoint_set *set = endpoints(B);
    struct veto_facts facts;

    ck_assert_str_eq(evaluate("orders.test", THREE), "");
    pass(60 * SEC, "");
    ck_assert_str_eq(evaluate("orders.test", THREE), "");
    ck_assert_uint_eq(changes, 0);
    /* It crashes; two failures are not enough. */
    pass(20 * SEC, B);
    ck_assert_str_eq(evaluate("orders.test", THREE), "");
    pass(10 * SEC, B);
    ck_assert_uint_eq(changes, 1);
    ck_assert_str_eq(evaluate("orders.test", THREE), B);
    ck_assert_uint_eq(summary().failing, 1);
    ck_assert_uint_eq(
        logged("instance " B " fails our check tcp:80, and is not handed out: refused"), 1);
    pass(5 * SEC, B);
    ck_assert(veto_look(veto, "orders.test", 0, "orders", &set->endpoints[0], &facts));
    ck_assert(facts.failing);
    ck_assert_uint_ge(facts.lasting, 5 * SEC);
    ck_assert_str_eq(facts.text, "tcp:80: refused");
    /* It is back. */
    pass(10 * SEC, "");
    ck_assert_uint_eq(changes, 2);
    ck_assert_str_eq(evaluate("orders.test", THREE), "");
    ck_assert_uint_eq(logged("instance " B " passes our check tcp:80 again after"), 1);
    ck_assert_uint_eq(veto_counters(veto)->vetoed, 1);
    ck_assert_uint_eq(veto_counters(veto)->lifted, 1);
    endpoint_set_unref(set);
}
END_TEST

START_TEST(a_name_without_a_check_makes_none)
{
    check_of_all = NULL;
    evaluate("other.test", THREE);
    check_of_all = "none";
    evaluate("another.test", THREE);
    ck_assert_uint_eq(summary().endpoints, 0);
    ck_assert_uint_eq(twin_next_timer(twin), USEC_INFINITY);
}
END_TEST

START_TEST(when_all_fail_it_is_said_and_the_others_are_asked_at_once_when_one_is_back)
{
    usec_t before;

    evaluate("orders.test", THREE);
    pass(40 * SEC, NULL);
    ck_assert_str_eq(evaluate("orders.test", THREE), THREE);
    ck_assert_uint_eq(summary().failing_services, 1);
    ck_assert_uint_eq(logged("as do all 3 that are checked"), 1);
    ck_assert_uint_eq(logged("and is not handed out"), 2);
    /* The first that answers is not to carry everything till each of the others has its turn. */
    while (summary().failing == 3)
        pass(SEC / 10, "");
    before = twin_now(twin);
    while (summary().failing > 0)
        pass(SEC / 10, "");
    ck_assert_uint_le(twin_now(twin) - before, SEC + SEC / 5);
    ck_assert_str_eq(evaluate("orders.test", THREE), "");
}
END_TEST

START_TEST(names_of_one_service_share_a_check)
{
    evaluate("orders.test", THREE);
    evaluate("eu.orders.test", A);
    ck_assert_uint_eq(summary().endpoints, 3);
    ck_assert_uint_eq(summary().services, 1);
    /* It ends with the last name that wants it. */
    veto_withdraw(veto, "orders.test");
    ck_assert_uint_eq(summary().endpoints, 1);
    veto_withdraw(veto, "eu.orders.test");
    veto_withdraw(veto, "never.heard.of");
    ck_assert_uint_eq(summary().endpoints, 0);
    ck_assert_uint_eq(twin_next_timer(twin), USEC_INFINITY);
}
END_TEST

START_TEST(names_with_other_rules_have_checks_of_their_own)
{
    check_of_orders = "http:8080/readyz";
    evaluate("orders.test", A);
    evaluate("other.test", A);
    ck_assert_uint_eq(summary().services, 2);
    pass(40 * SEC, NULL);
    ck_assert_str_eq(evaluate("other.test", A), A);
    ck_assert_str_eq(evaluate("orders.test", A), A); /* nobody answers HTTP here */
    veto_withdraw(veto, "other.test");
    ck_assert_uint_eq(summary().services, 1);
}
END_TEST

START_TEST(an_endpoint_that_is_gone_is_not_checked_any_more_and_others_keep_their_results)
{
    evaluate("orders.test", THREE);
    pass(40 * SEC, B);
    ck_assert_str_eq(evaluate("orders.test", C " " B), B);
    ck_assert_uint_eq(summary().endpoints, 2);
    ck_assert_str_eq(evaluate("orders.test", B " 10.0.0.9 " A), B);
    ck_assert_uint_eq(summary().endpoints, 3);
    /* Gone and there again: it begins anew. */
    evaluate("orders.test", A);
    ck_assert_uint_eq(summary().failing, 0);
    ck_assert_str_eq(evaluate("orders.test", A " " B), "");
}
END_TEST

START_TEST(an_alias_holds_the_checks_of_what_it_leads_to)
{
    /* One evaluation, of alias.test, that judged two services by the policies of their names. */
    judge_service("orders.test", "orders", THREE);
    judge_service("other.test", "others", A);
    veto_evaluated(veto, "alias.test");
    ck_assert_uint_eq(summary().endpoints, 4);
    veto_withdraw(veto, "orders.test");
    ck_assert_uint_eq(summary().endpoints, 4);
    veto_withdraw(veto, "alias.test");
    ck_assert_uint_eq(summary().endpoints, 0);
}
END_TEST

START_TEST(a_name_given_up_amid_an_evaluation_takes_nothing_away_from_it)
{
    evaluate("orders.test", THREE);
    judge_service("eu.orders.test", "orders", A " " B);
    veto_withdraw(veto, "orders.test");
    veto_evaluated(veto, "eu.orders.test");
    ck_assert_uint_eq(summary().endpoints, 2);
}
END_TEST

START_TEST(looking_makes_no_check)
{
    struct endpoint_set *set = endpoints(THREE);
    struct veto_facts facts;

    for (uint32_t i = 0; i < set->count; i++)
        ck_assert(!veto_look(veto, "orders.test", 0, "orders", &set->endpoints[i], &facts));
    ck_assert_uint_eq(summary().endpoints, 0);
    evaluate("orders.test", THREE);
    ck_assert(veto_look(veto, "orders.test", 0, "orders", &set->endpoints[0], &facts));
    ck_assert(!facts.failing);
    ck_assert(!veto_look(veto, "orders.test", 1, "orders", &set->endpoints[0], &facts));
    ck_assert(!veto_look(veto, "orders.test", 0, "order", &set->endpoints[0], &facts));
    endpoint_set_unref(set);
}
END_TEST

START_TEST(a_reload_changes_the_check)
{
    evaluate("orders.test", A);
    pass(40 * SEC, NULL);
    ck_assert_str_eq(evaluate("orders.test", A), A);
    check_of_orders = "tcp:81";
    veto_reload(veto);
    ck_assert_str_eq(evaluate("orders.test", A), "");
    ck_assert_uint_eq(summary().endpoints, 1);
    while (twin_tcp_open(twin) == 0)
        twin_advance(twin, SEC);
    ck_assert_uint_eq(twin_tcp_request(twin_expect_tcp(twin, A, 81))->port, 81);
    check_of_orders = NULL;
    veto_reload(veto);
    ck_assert_str_eq(evaluate("orders.test", A), "");
    ck_assert_uint_eq(summary().endpoints, 0);
}
END_TEST

START_TEST(an_endpoint_is_vetoed_when_none_of_its_addresses_answers)
{
    evaluate("orders.test", A "+2001:db8::1");
    /* This host has no IPv6. */
    pass(60 * SEC, "2001:db8::1");
    ck_assert_str_eq(evaluate("orders.test", A "+2001:db8::1"), "");
    ck_assert_uint_eq(changes, 0);
    pass(60 * SEC, NULL);
    ck_assert_str_eq(evaluate("orders.test", A "+2001:db8::1"), A "+2001:db8::1");
    ck_assert_uint_eq(changes, 1);
}
END_TEST

START_TEST(what_has_no_address_or_too_many_is_not_checked)
{
    evaluate("orders.test", "host.example 10.0.0.1+10.0.0.2+10.0.0.3+10.0.0.4+10.0.0.5");
    ck_assert_uint_eq(summary().endpoints, 0);
    evaluate("orders.test", "10.0.0.1+10.0.0.2+10.0.0.3+10.0.0.4");
    ck_assert_uint_eq(summary().endpoints, 1);
}
END_TEST

START_TEST(the_port_is_the_instances_own_where_the_policy_says_so)
{
    static const struct {
        const char *check;
        uint16_t port;
    } cases[] = {{"tcp:port", 8080}, {"tcp:web", 8080}, {"tcp:WEB", 8080}, {"tcp:9", 9}};

    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        check_of_orders = cases[i].check;
        veto_reload(veto);
        evaluate("orders.test", A);
        while (twin_tcp_open(twin) == 0)
            twin_advance(twin, SEC);
        ck_assert_uint_eq(twin_tcp_request(twin_expect_tcp(twin, A, cases[i].port))->port,
                          cases[i].port);
        veto_withdraw(veto, "orders.test");
    }
    /* A port that the instance does not have: it is not checked. */
    check_of_orders = "tcp:admin";
    veto_reload(veto);
    evaluate("orders.test", A);
    ck_assert_uint_eq(summary().endpoints, 0);
}
END_TEST

START_TEST(http_is_asked_by_address_without_looking_at_certificates)
{
    struct http_call *call;

    check_of_orders = "https:port/readyz?verbose";
    evaluate("orders.test", "2001:db8::1");
    while (twin_http_open(twin) == 0)
        twin_advance(twin, SEC);
    call = twin_expect_http(twin, "GET", "https://[2001:db8::1]:8080/readyz?verbose");
    ck_assert(twin_http_request(call)->tls->insecure);
    twin_http_reply(call, 503, NULL, "not ready");
    pass(30 * SEC, "");
}
END_TEST

START_TEST(beyond_the_limit_nothing_is_checked_and_it_is_said_once)
{
    char *words = calloc(VETO_ENDPOINTS_MAX + 8, 16), *end = words;

    for (unsigned i = 0; i < VETO_ENDPOINTS_MAX + 4; i++)
        end += sprintf(end, "%s10.1.%u.%u", i ? " " : "", i / 256, i % 256);
    evaluate("orders.test", words);
    ck_assert_uint_eq(summary().endpoints, VETO_ENDPOINTS_MAX);
    ck_assert(summary().full);
    ck_assert_uint_eq(veto_counters(veto)->refused, 4);
    evaluate("other.test", A);
    ck_assert_uint_eq(logged("more than 4096 endpoints are to be checked"), 1);
    /* There is room again. */
    veto_withdraw(veto, "orders.test");
    evaluate("other.test", A);
    ck_assert_uint_eq(summary().endpoints, 1);
    ck_assert(!summary().full);
    free(words);
}
END_TEST

START_TEST(another_network_has_everything_checked_again_soon)
{
    evaluate("orders.test", THREE);
    pass(40 * SEC, NULL);
    veto_hurry(veto);
    pass(SEC + SEC / 10, "");
    ck_assert_uint_eq(summary().failing, 0);
}
END_TEST

START_TEST(what_check_takes_and_what_it_does_not)
{
    static const struct {
        const char *text, *mistake;
    } cases[] = {
        {"tcp:8080", NULL},
        {"tcp:port", NULL},
        {"http:http-metrics/a/b?c=d", NULL},
        {"https:443", NULL},
        {"none", NULL},
        {"", "none of tcp:PORT"},
        {"tcp", "none of tcp:PORT"},
        {"udp:53", "none of tcp:PORT"},
        {"TCP:53", "none of tcp:PORT"},
        {"tcp:", "needs a port"},
        {"http:/readyz", "needs a port"},
        {"tcp:0", "from 1 to 65535"},
        {"tcp:65536", "from 1 to 65535"},
        {"tcp:99999999999999999999", "from 1 to 65535"},
        {"grpc:50051", NULL},
        {"grpc:port/my.pkg.Service", NULL},
        {"grpc:", "needs a port"},
        {"grpc:80/a b", "no path has"},
        {"tcp:80/x", "only http, https and grpc take"},
        {"tcp:a:b", "no name of a port"},
        {"http:80/a b", "no path has"},
        {"http:80/\xc3\xa9", "no path has"},
    };

    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        struct veto_spec spec;
        const char *mistake;
        int r = veto_spec_parse(cases[i].text, &spec, &mistake);

        ck_assert_int_eq(r, cases[i].mistake ? -EINVAL : 0);
        ck_assert_msg(cases[i].mistake ? strstr(mistake, cases[i].mistake) != NULL : !mistake,
                      "%s: %s", cases[i].text, mistake);
    }
}
END_TEST

START_TEST(a_query_is_not_shown)
{
    char text[VETO_SPEC_TEXT_SIZE];
    struct veto_spec spec;
    const char *mistake;

    veto_spec_parse("http:port/readyz?token=x", &spec, &mistake);
    veto_spec_show(&spec, text);
    ck_assert_str_eq(text, "http:port/readyz");
}
END_TEST

static Suite *veto_suite(void)
{
    Suite *suite = suite_create("veto");

    UNIT_CASE_FIXTURE(
        suite, "veto", set_up, tear_down,
        an_instance_that_crashed_is_out_after_three_failures_and_back_after_one_success,
        a_name_without_a_check_makes_none,
        when_all_fail_it_is_said_and_the_others_are_asked_at_once_when_one_is_back,
        names_of_one_service_share_a_check, names_with_other_rules_have_checks_of_their_own,
        an_endpoint_that_is_gone_is_not_checked_any_more_and_others_keep_their_results,
        an_alias_holds_the_checks_of_what_it_leads_to,
        a_name_given_up_amid_an_evaluation_takes_nothing_away_from_it, looking_makes_no_check,
        a_reload_changes_the_check, an_endpoint_is_vetoed_when_none_of_its_addresses_answers,
        what_has_no_address_or_too_many_is_not_checked,
        the_port_is_the_instances_own_where_the_policy_says_so,
        http_is_asked_by_address_without_looking_at_certificates,
        beyond_the_limit_nothing_is_checked_and_it_is_said_once,
        another_network_has_everything_checked_again_soon);
    UNIT_CASE(suite, "spec", what_check_takes_and_what_it_does_not, a_query_is_not_shown);
    return suite;
}

UNIT_MAIN(veto_suite)
