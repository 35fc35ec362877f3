/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which endpoints a name hands out, and why not the others (daemon/policy.h). */
#include "daemon/policy.h"
#include "tests/unit/unit.h"

#include <stdio.h>

static const struct policy_rules usual = {.allow_warning = true};

static struct endpoint_builder *builder;

static void set_up(void)
{
    builder = endpoint_builder_new();
}

static void tear_down(void)
{
    endpoint_builder_free(builder);
}

/* Names are "a", "b", ... in order, so the set keeps that order. */
static void add(enum endpoint_health health, uint32_t weight, uint16_t priority, const char *tag,
                const char *zone)
{
    static const struct address address = {AF_INET, {10, 0, 0, 1}};
    static char name[2];

    name[0] = (char)('a' + (name[0] ? name[0] - 'a' + 1 : 0));
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

/* The verdicts as letters. */
static const char letters[] = {
    [VERDICT_USED] = 'U',           [VERDICT_USED_TERMINATING] = 'T', [VERDICT_USED_PANIC] = 'P',
    [VERDICT_USED_VETOED] = 'V',    [VERDICT_NOT_SELECTED] = 's',     [VERDICT_UNHEALTHY] = 'h',
    [VERDICT_WEIGHT_ZERO] = 'w',    [VERDICT_VETOED] = 'v',           [VERDICT_TERMINATING] = 't',
    [VERDICT_LOWER_PRIORITY] = 'p', [VERDICT_OTHER_ZONE] = 'z',
};

static const char *judge(enum selector_kind kind, const char *value,
                         const struct policy_rules *rules)
{
    static char text[64];
    struct selector selector = {.kind = kind};
    struct policy_judgement judgements[64];
    struct policy_summary summary;
    struct endpoint_set *set;
    size_t used, seen = 0;

    snprintf(selector.value, sizeof(selector.value), "%s", value);
    ck_assert_int_eq(endpoint_builder_finish(builder, &set), 0);
    used = policy_judge(
        &(struct policy_question){
            .set = set, .selector = &selector, .rules = rules, .service = "orders"},
        judgements, &summary);
    for (uint32_t i = 0; i < set->count; i++) {
        enum policy_verdict verdict = judgements[i].verdict;

        text[i] = letters[verdict];
        seen += policy_uses(verdict);
        ck_assert_int_eq(*policy_reason(verdict, &set->endpoints[i]) == '\0',
                         verdict == VERDICT_USED);
    }
    text[set->count] = '\0';
    ck_assert_uint_eq(used, seen);
    ck_assert_uint_eq(used, summary.used);
    endpoint_set_unref(set);
    return text;
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

static Suite *make_suite(void)
{
    Suite *suite = suite_create("policy");

    UNIT_CASE_FIXTURE(suite, "verdicts", set_up, tear_down, health_decides,
                      those_that_are_going_serve_only_when_nobody_else_does,
                      weight_zero_is_not_handed_out, the_best_priority_that_is_ready_is_used,
                      selectors_pick);
    return suite;
}

UNIT_MAIN(make_suite)
