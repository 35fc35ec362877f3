/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which endpoints a name hands out, and why not the others (daemon/policy.h). */
#include "daemon/policy.h"
#include "tests/unit/unit.h"

#include <limits.h>
#include <stdio.h>

enum { ENDPOINTS = 64, SERVICES = 20000 };

static const struct policy_rules usual = {
    .allow_warning = true, .min_zone_endpoints = 2, .min_zone_share = 20};

static struct endpoint_builder *builder;
static unsigned built;

static void set_up(void)
{
    builder = endpoint_builder_new();
    built = 0;
}

static void tear_down(void)
{
    endpoint_builder_free(builder);
}

/* Names are in order, so the set keeps it. */
static void add(enum endpoint_health health, uint32_t weight, uint16_t priority, const char *tag,
                const char *zone)
{
    static const struct address address = {AF_INET, {10, 0, 0, 1}};
    char name[16];

    snprintf(name, sizeof(name), "%04u", built++);
    endpoint_builder_begin(builder, name);
    endpoint_builder_address(builder, &address);
    endpoint_builder_health(builder, health);
    endpoint_builder_weight(builder, weight);
    endpoint_builder_priority(builder, priority);
    endpoint_builder_tag(builder, tag);
    endpoint_builder_hostname(builder, tag);
    endpoint_builder_port(builder, tag, "tcp", 80);
    endpoint_builder_locality(builder, zone, "");
}

/* Verdicts as letters: large ones are used. */
static const char letters[] = {
    [VERDICT_USED] = 'U',           [VERDICT_USED_TERMINATING] = 'T', [VERDICT_USED_PANIC] = 'P',
    [VERDICT_USED_VETOED] = 'V',    [VERDICT_NOT_SELECTED] = 's',     [VERDICT_UNHEALTHY] = 'h',
    [VERDICT_WEIGHT_ZERO] = 'w',    [VERDICT_VETOED] = 'v',           [VERDICT_TERMINATING] = 't',
    [VERDICT_LOWER_PRIORITY] = 'p', [VERDICT_OTHER_ZONE] = 'z',
};

/* A judged set. */
struct court {
    struct endpoint_set *set;
    struct policy_judgement judgements[ENDPOINTS];
    struct policy_summary summary;
    char verdicts[ENDPOINTS + 1];
};

static struct court judge_all(const struct policy_question *asked)
{
    static const struct selector all;
    struct policy_question question = *asked;
    struct court court;
    uint64_t weight = 0;
    size_t used = 0;

    ck_assert_int_eq(endpoint_builder_finish(builder, &court.set), 0);
    ck_assert_uint_le(court.set->count, ENDPOINTS);
    built = 0;
    question.set = court.set;
    question.service = question.service ? question.service : "orders";
    question.rules = question.rules ? question.rules : &usual;
    question.selector = question.selector ? question.selector : &all;
    ck_assert_uint_eq(policy_judge(&question, court.judgements, &court.summary),
                      court.summary.used);
    for (uint32_t i = 0; i < court.set->count; i++) {
        const struct policy_judgement *one = &court.judgements[i];

        court.verdicts[i] = letters[one->verdict];
        used += policy_uses(one->verdict);
        weight += one->weight;
        ck_assert_int_eq(*policy_reason(one->verdict, &court.set->endpoints[i]) == '\0',
                         one->verdict == VERDICT_USED);
        ck_assert(one->weight == 0 || (one->tier == 0 && policy_uses(one->verdict)));
    }
    court.verdicts[court.set->count] = '\0';
    ck_assert_uint_eq(used, court.summary.used);
    ck_assert_uint_eq(weight, court.summary.weight);
    ck_assert_int_eq(used > 0, weight > 0);
    endpoint_set_unref(court.set);
    return court;
}

static const char *judge(enum selector_kind kind, const char *value,
                         const struct policy_rules *rules)
{
    static struct court court;
    struct selector selector = {.kind = kind};

    snprintf(selector.value, sizeof(selector.value), "%s", value);
    court = judge_all(&(struct policy_question){.selector = &selector, .rules = rules});
    return court.verdicts;
}

/*
 * Endpoints in short: for each a letter of health (p w t u c m: passing, warning, terminating,
 * unknown, critical, maintenance), a zone (a b c, or - for none), priority and weight, one digit
 * each: "pa01 cb01".
 */
static void add_text(const char *text)
{
    static const char healths[] = {
        [HEALTH_PASSING] = 'p', [HEALTH_WARNING] = 'w',  [HEALTH_TERMINATING] = 't',
        [HEALTH_UNKNOWN] = 'u', [HEALTH_CRITICAL] = 'c', [HEALTH_MAINTENANCE] = 'm',
    };

    for (; *text; text += text[4] ? 5 : 4) {
        char zone[2] = {text[1] == '-' ? '\0' : text[1], '\0'};
        enum endpoint_health health = HEALTH_PASSING;

        while (healths[health] != text[0])
            health++;
        add(health, (uint32_t)(text[3] - '0'), (uint16_t)(text[2] - '0'), "", zone);
    }
}

START_TEST(health_decides)
{
    static const struct policy_rules strict = {.allow_warning = false};

    add(HEALTH_PASSING, 1, 0, "", "");
    add(HEALTH_WARNING, 1, 0, "", "");
    add(HEALTH_CRITICAL, 1, 0, "", "");
    add(HEALTH_MAINTENANCE, 1, 0, "", "");
    add(HEALTH_UNKNOWN, 1, 0, "", "");
    ck_assert_str_eq(judge(SELECT_ALL, "", &usual), "UUhhh");
    add(HEALTH_PASSING, 1, 0, "", "");
    add(HEALTH_WARNING, 1, 0, "", "");
    ck_assert_str_eq(judge(SELECT_ALL, "", &strict), "Uh");
}
END_TEST

START_TEST(those_that_are_going_serve_only_when_nobody_else_does)
{
    static const struct policy_rules never = {.allow_warning = true, .terminating_never = true};

    add(HEALTH_TERMINATING, 1, 0, "", "");
    add(HEALTH_PASSING, 1, 0, "", "");
    ck_assert_str_eq(judge(SELECT_ALL, "", &usual), "tU");
    add(HEALTH_TERMINATING, 1, 0, "", "");
    add(HEALTH_CRITICAL, 1, 0, "", "");
    ck_assert_str_eq(judge(SELECT_ALL, "", &usual), "Th");
    add(HEALTH_TERMINATING, 1, 0, "", "");
    ck_assert_str_eq(judge(SELECT_ALL, "", &never), "t");
}
END_TEST

START_TEST(weight_zero_is_not_handed_out)
{
    add(HEALTH_WARNING, 0, 0, "", "");
    add(HEALTH_PASSING, 5, 0, "", "");
    ck_assert_str_eq(judge(SELECT_ALL, "", &usual), "wU");
}
END_TEST

START_TEST(the_best_priority_that_is_ready_is_used)
{
    add(HEALTH_CRITICAL, 1, 0, "", "");
    add(HEALTH_PASSING, 1, 1, "", "");
    add(HEALTH_PASSING, 1, 2, "", "");
    ck_assert_str_eq(judge(SELECT_ALL, "", &usual), "hUp");
}
END_TEST

START_TEST(selectors_pick)
{
    static const struct {
        enum selector_kind kind;
        const char *value, *verdicts;
    } table[] = {
        {SELECT_TAG, "v1", "UUs"},           {SELECT_TAG, "V1", "UUs"},
        {SELECT_TAG, "v9", "sss"},           {SELECT_HOST, "v2", "ssU"},
        {SELECT_PORT, "v1/tcp", "UUs"},      {SELECT_PORT, "v1/udp", "sss"},
        {SELECT_ZONE_PIN, "east", "Uss"},    {SELECT_ZONE_PIN, "north", "sss"},
        {SELECT_ZONE_PREFER, "east", "Uss"}, {SELECT_ZONE_PREFER, "north", "UUU"},
    };

    for (size_t i = 0; i < ELEMENTS(table); i++) {
        add(HEALTH_PASSING, 1, 0, "v1", "east");
        add(HEALTH_PASSING, 1, 0, "v1", "west");
        add(HEALTH_PASSING, 1, 0, "v2", "west");
        ck_assert_str_eq(judge(table[i].kind, table[i].value, &usual), table[i].verdicts);
    }
}
END_TEST

/* Of this host in zone a; the own zone needs two endpoints and a fifth of the weight. */
START_TEST(the_own_zone_comes_first_while_it_is_strong_enough)
{
    static const struct {
        const char *endpoints, *verdicts;
        enum policy_zone_outcome outcome;
    } table[] = {
        {"pa01 pa01 pb01 pb01", "UUzz", ZONE_OWN},
        {"pa01 pa01 pb01 pc01 p-01", "UUzzz", ZONE_OWN},
        /* too few of them, ready ones that is */
        {"pa01 pb01 pb01", "UUU", ZONE_SPILL_FEW},
        {"pa01 ca01 pb01 pb01", "UhUU", ZONE_SPILL_FEW},
        {"ca01 ca01 pb01 pb01", "hhUU", ZONE_SPILL_NONE},
        {"pb01 pc01", "UU", ZONE_SPILL_NONE},
        /* a fifth of the weight is enough, less is not */
        {"pa01 pa01 pb04 pb04", "UUzz", ZONE_OWN},
        {"pa01 pa01 pb04 pb05", "UUUU", ZONE_SPILL_SHARE},
        {"pa01 pa01 pb04 cb05", "UUzh", ZONE_OWN},
        /* within the priority that is used */
        {"pa11 pa11 pb01 pb01", "ppUU", ZONE_SPILL_NONE},
        {"pa01 pa01 pa11 pb01 pb19", "UUpzp", ZONE_OWN},
        /* nobody says where it is */
        {"p-01 p-01", "UU", ZONE_UNKNOWN_ENDPOINTS},
        {"ta01 ta01 tb01", "TTz", ZONE_OWN},
    };

    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct court court;

        add_text(table[i].endpoints);
        court = judge_all(&(struct policy_question){.host = &(struct policy_host){.zone = "a"}});
        ck_assert_msg(streq(court.verdicts, table[i].verdicts), "%s: %s", table[i].endpoints,
                      court.verdicts);
        ck_assert_int_eq(court.summary.zone, table[i].outcome);
        ck_assert(*policy_zone_text(court.summary.zone));
    }
}
END_TEST

START_TEST(a_strict_zone_is_never_left)
{
    static const struct {
        const char *endpoints, *verdicts;
        enum policy_zone_outcome outcome;
    } table[] = {
        {"pa01 pb01", "Uz", ZONE_OWN},
        {"ca01 pb01", "hz", ZONE_STRICT_NONE},
        {"pb01", "z", ZONE_STRICT_NONE},
        {"pa01 pb09 pb09", "Uzz", ZONE_OWN},
        /* its priorities and its last resort are its own */
        {"pa11 pb01", "Uz", ZONE_OWN},
        {"ta01 pb01", "Tz", ZONE_OWN},
        {"p-01", "U", ZONE_UNKNOWN_ENDPOINTS},
    };
    struct policy_rules strict = usual;

    strict.zone = POLICY_ZONE_STRICT;
    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct court court;

        add_text(table[i].endpoints);
        court = judge_all(&(struct policy_question){.rules = &strict,
                                                    .host = &(struct policy_host){.zone = "A"}});
        ck_assert_msg(streq(court.verdicts, table[i].verdicts), "%s: %s", table[i].endpoints,
                      court.verdicts);
        ck_assert_int_eq(court.summary.zone, table[i].outcome);
    }
}
END_TEST

START_TEST(zones_do_not_matter_where_nobody_asked_for_them)
{
    static const struct policy_host here = {.zone = "a"};
    static const struct policy_rules off = {.allow_warning = true, .zone = POLICY_ZONE_OFF};
    static const struct {
        struct policy_question question;
        struct selector selector;
        const char *verdicts;
        enum policy_zone_outcome outcome;
    } table[] = {
        {{.host = &here, .rules = &off}, {0}, "UUUU", ZONE_IGNORED},
        {{.host = NULL}, {0}, "UUUU", ZONE_UNKNOWN_HOST},
        {{.host = &here, .headless = true}, {0}, "UUUU", ZONE_IGNORED},
        {{.host = &here}, {SELECT_ZONE_PREFER, "b"}, "ssUU", ZONE_IGNORED},
        {{.host = &here}, {SELECT_ZONE_PIN, "b"}, "ssUU", ZONE_IGNORED},
        {{.host = &here}, {SELECT_ZONE_PREFER, "x"}, "UUUU", ZONE_IGNORED},
        {{.host = &here}, {SELECT_HOST, ""}, "UUUU", ZONE_IGNORED},
        {{.host = &here}, {SELECT_TAG, ""}, "UUzz", ZONE_OWN},
    };

    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct policy_question question = table[i].question;
        struct court court;

        add_text("pa01 pa01 pb01 pb01");
        question.selector = &table[i].selector;
        court = judge_all(&question);
        ck_assert_msg(streq(court.verdicts, table[i].verdicts), "%zu: %s", i, court.verdicts);
        ck_assert_int_eq(court.summary.zone, table[i].outcome);
    }
}
END_TEST

START_TEST(too_few_healthy_ones_bring_the_others_in)
{
    static const struct {
        const char *endpoints, *verdicts;
        bool panic;
    } table[] = {
        {"p-01 c-01", "Uh", false},
        {"p-01 c-01 c-01", "UPP", true},
        {"c-01 u-01", "PP", true},
        /* who was taken out on purpose neither counts nor comes */
        {"p-01 m-01 m-01 c-00", "Uhhh", false},
        {"p-01 c-01 c-01 m-01 p-00 c-00 t-01", "UPPhwht", true},
        /* of the priority that is used */
        {"p-01 p-01 c-11 c-11 c-11", "UUhhh", false},
        {"p-01 c-01 c-01 p-11 c-11", "UPPph", true},
        {"c-01 c-01 p-11", "hhU", false},
        {"c-11 c-01 c-01", "hPP", true},
        /* those that are going do serve */
        {"t-01 c-01 c-01", "Thh", false},
        /* a zone that is sick is not to be all there is */
        {"pa01 pa01 cb01 cb01 cb01 cb01", "UUPPPP", true},
        {"m-01", "h", false},
    };
    struct policy_rules half = usual;

    half.min_healthy_percent = 50;
    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct court court;

        add_text(table[i].endpoints);
        court = judge_all(
            &(struct policy_question){.rules = &half, .host = &(struct policy_host){.zone = "a"}});
        ck_assert_msg(streq(court.verdicts, table[i].verdicts), "%s: %s", table[i].endpoints,
                      court.verdicts);
        ck_assert_int_eq(court.summary.panic, table[i].panic);
    }
    add_text("p-01 c-01 c-01 c-01");
    ck_assert_str_eq(judge_all(&(struct policy_question){.rules = &usual}).verdicts, "Uhhh");
}
END_TEST

/* `userdata`: the numbers of those that fail. */
static bool fails(void *userdata, const struct endpoint *endpoint)
{
    return strchr(userdata, endpoint->name[3]) != NULL;
}

START_TEST(a_check_of_our_own_takes_out_but_never_all_and_adds_nobody)
{
    static const struct {
        const char *endpoints, *failing, *verdicts;
        bool ignored;
    } table[] = {
        {"p-01 p-01 p-01", "", "UUU", false},
        {"p-01 p-01 p-01", "1", "UvU", false},
        {"p-01 p-01 p-01", "012", "VVV", true},
        {"p-01 c-01", "0", "Vh", true},
        {"p-01 c-01", "1", "Uh", false},
        {"t-01 t-01", "1", "Tv", false},
        /* the next priority takes over */
        {"p-01 p-01 p-11", "01", "vvU", false},
        {"p-01 p-11", "01", "Vp", true},
        /* a zone is as strong as who is left of it */
        {"pa01 pa01 pb01 pb01", "0", "vUUU", false},
        {"pa01 pa01 pb01 pb01", "01", "vvUU", false},
        /* and a panic is the registry's: two of three are healthy */
        {"p-01 p-01 c-01", "0", "vUh", false},
        {"p-01 c-01 c-01", "1", "UhP", false},
        {"c-01 c-01 c-01", "012", "PPP", false},
    };
    struct policy_rules half = usual;

    half.min_healthy_percent = 50;
    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct court court;

        add_text(table[i].endpoints);
        court = judge_all(&(struct policy_question){.rules = &half,
                                                    .host = &(struct policy_host){.zone = "a"},
                                                    .vetoed = fails,
                                                    .userdata = (void *)table[i].failing});
        ck_assert_msg(streq(court.verdicts, table[i].verdicts), "%s, %s fail: %s",
                      table[i].endpoints, table[i].failing, court.verdicts);
        ck_assert_int_eq(court.summary.vetoes_ignored, table[i].ignored);
    }
}
END_TEST

START_TEST(shares_follow_the_weights_of_who_is_drawn)
{
    struct policy_rules first = usual;
    struct court court;

    first.pick = POLICY_PICK_FIRST;
    add_text("p-02 p-08 c-05");
    court = judge_all(&(struct policy_question){0});
    ck_assert_uint_eq(court.judgements[0].weight, 2);
    ck_assert_uint_eq(court.summary.weight, 10);
    add_text("t-00 t-00");
    court = judge_all(&(struct policy_question){0});
    ck_assert_uint_eq(court.summary.weight, 2);
    add_text("c-01 p-02 p-08");
    court = judge_all(&(struct policy_question){.rules = &first});
    ck_assert_uint_eq(court.judgements[1].tier, 0);
    ck_assert_uint_eq(court.judgements[2].tier, 1);
    ck_assert_uint_eq(court.summary.weight, 2);
}
END_TEST

/* ---- Policy=hash ---- */

/* The one in tier 0, of endpoints 0000 to 0007 of which `without` is not there; weights by digit.
 */
static unsigned winner(const char *service, uint8_t machine, const char *weights, int without)
{
    static const char text[] = "p-0";
    struct policy_rules hash = usual;
    struct policy_host host = {.machine = {machine, 7}};
    struct court court;
    unsigned found = UINT_MAX;

    hash.pick = POLICY_PICK_HASH;
    for (int i = 0; weights[i]; i++) {
        char one[5];

        snprintf(one, sizeof(one), "%s%c", text, i == without ? '0' : weights[i]);
        add_text(one);
    }
    court = judge_all(&(struct policy_question){.rules = &hash, .host = &host, .service = service});
    for (unsigned i = 0; weights[i]; i++) {
        if (!policy_uses(court.judgements[i].verdict) || court.judgements[i].tier > 0)
            continue;
        ck_assert_uint_eq(found, UINT_MAX);
        found = i;
    }
    return found;
}

START_TEST(a_host_keeps_its_endpoint_and_only_those_of_the_one_that_left_move)
{
    unsigned moved = 0, of_two = 0, differs = 0;

    for (unsigned i = 0; i < 500; i++) {
        char service[16];
        unsigned before, after;

        snprintf(service, sizeof(service), "service%u", i);
        before = winner(service, 1, "11111111", -1);
        ck_assert_uint_eq(before, winner(service, 1, "11111111", -1));
        after = winner(service, 1, "11111111", 2);
        ck_assert(before == 2 || after == before);
        moved += after != before;
        of_two += before == 2;
        differs += winner(service, 2, "11111111", -1) != before;
    }
    ck_assert_uint_eq(moved, of_two);
    ck_assert_uint_gt(moved, 30); /* one in eight: 62 */
    ck_assert_uint_lt(moved, 100);
    ck_assert_uint_gt(differs, 380); /* seven in eight: 437 */
}
END_TEST

START_TEST(hosts_and_services_spread_by_weight)
{
    static const char weights[] = "1241";
    unsigned hits[4] = {0};
    double chi = 0;

    for (unsigned i = 0; i < SERVICES; i++) {
        char service[16];

        snprintf(service, sizeof(service), "%u", i);
        hits[winner(service, (uint8_t)i, weights, -1)]++;
    }
    for (size_t i = 0; i < 4; i++) {
        double expected = (weights[i] - '0') / 8.0 * SERVICES;

        chi += (hits[i] - expected) * (hits[i] - expected) / expected;
    }
    ck_assert_msg(chi < 21.1, "chi-square %f", chi); /* p = 0.0001 with three degrees of freedom */
}
END_TEST

START_TEST(all_endpoints_get_a_tier_and_the_last_share_one)
{
    enum { MANY = 300 };
    static struct policy_judgement judgements[MANY];
    struct policy_rules hash = usual;
    struct selector all = {0};
    struct policy_summary summary;
    unsigned seen[POLICY_TIER_MAX + 1] = {0};
    struct endpoint_set *set;

    hash.pick = POLICY_PICK_HASH;
    for (unsigned i = 0; i < MANY; i++)
        add_text("p-01");
    ck_assert_int_eq(endpoint_builder_finish(builder, &set), 0);
    policy_judge(&(struct policy_question){set, &all, &hash, NULL, "orders"}, judgements, &summary);
    for (unsigned i = 0; i < MANY; i++)
        seen[judgements[i].tier]++;
    for (unsigned i = 0; i < POLICY_TIER_MAX; i++)
        ck_assert_uint_eq(seen[i], 1);
    ck_assert_uint_eq(seen[POLICY_TIER_MAX], MANY - POLICY_TIER_MAX);
    endpoint_set_unref(set);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("policy");

    UNIT_CASE_FIXTURE(suite, "verdicts", set_up, tear_down, health_decides,
                      those_that_are_going_serve_only_when_nobody_else_does,
                      weight_zero_is_not_handed_out, the_best_priority_that_is_ready_is_used,
                      selectors_pick, the_own_zone_comes_first_while_it_is_strong_enough,
                      a_strict_zone_is_never_left, zones_do_not_matter_where_nobody_asked_for_them,
                      too_few_healthy_ones_bring_the_others_in,
                      a_check_of_our_own_takes_out_but_never_all_and_adds_nobody,
                      shares_follow_the_weights_of_who_is_drawn);
    UNIT_CASE_FIXTURE(suite, "hash", set_up, tear_down,
                      a_host_keeps_its_endpoint_and_only_those_of_the_one_that_left_move,
                      hosts_and_services_spread_by_weight,
                      all_endpoints_get_a_tier_and_the_last_share_one);
    return suite;
}

UNIT_MAIN(make_suite)
