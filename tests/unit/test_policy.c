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

/* The verdicts as letters: U used, S not selected, H unhealthy, W weight 0, R reserve. */
static const char *judge(enum selector_kind kind, const char *value,
                         const struct policy_rules *rules)
{
    static const char letters[] = "USHWR";
    static char text[64];
    struct selector selector = {.kind = kind};
    enum policy_verdict verdicts[64];
    struct endpoint_set *set;
    size_t used, selected, seen = 0;

    snprintf(selector.value, sizeof(selector.value), "%s", value);
    ck_assert_int_eq(endpoint_builder_finish(builder, &set), 0);
    used = policy_judge(set, &selector, rules, verdicts, &selected);
    for (uint32_t i = 0; i < set->count; i++) {
        text[i] = letters[verdicts[i]];
        seen += verdicts[i] == VERDICT_USED;
        ck_assert_int_eq(*policy_reason(verdicts[i], &set->endpoints[i]) == '\0',
                         verdicts[i] == VERDICT_USED);
    }
    text[set->count] = '\0';
    ck_assert_uint_eq(used, seen);
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
    ck_assert_str_eq(judge(SELECT_ALL, "", &usual), "UUHHH");
    add(HEALTH_PASSING, 1, 0, "", "");
    add(HEALTH_WARNING, 1, 0, "", "");
    ck_assert_str_eq(judge(SELECT_ALL, "", &strict), "UH");
}
END_TEST

START_TEST(those_that_are_going_serve_only_when_nobody_else_does)
{
    static const struct policy_rules never = {.allow_warning = true, .terminating_never = true};

    add(HEALTH_TERMINATING, 1, 0, "", "");
    add(HEALTH_PASSING, 1, 0, "", "");
    ck_assert_str_eq(judge(SELECT_ALL, "", &usual), "RU");
    add(HEALTH_TERMINATING, 1, 0, "", "");
    add(HEALTH_CRITICAL, 1, 0, "", "");
    ck_assert_str_eq(judge(SELECT_ALL, "", &usual), "UH");
    add(HEALTH_TERMINATING, 1, 0, "", "");
    ck_assert_str_eq(judge(SELECT_ALL, "", &never), "H");
}
END_TEST

START_TEST(weight_zero_is_not_handed_out)
{
    add(HEALTH_WARNING, 0, 0, "", "");
    add(HEALTH_PASSING, 5, 0, "", "");
    ck_assert_str_eq(judge(SELECT_ALL, "", &usual), "WU");
}
END_TEST

START_TEST(the_best_priority_that_is_ready_is_used)
{
    add(HEALTH_CRITICAL, 1, 0, "", "");
    add(HEALTH_PASSING, 1, 1, "", "");
    add(HEALTH_PASSING, 1, 2, "", "");
    ck_assert_str_eq(judge(SELECT_ALL, "", &usual), "HUR");
}
END_TEST

START_TEST(selectors_pick)
{
    static const struct {
        enum selector_kind kind;
        const char *value, *verdicts;
    } table[] = {
        {SELECT_TAG, "v1", "UUS"},           {SELECT_TAG, "V1", "UUS"},
        {SELECT_TAG, "v9", "SSS"},           {SELECT_HOST, "v2", "SSU"},
        {SELECT_PORT, "v1/tcp", "UUS"},      {SELECT_PORT, "v1/udp", "SSS"},
        {SELECT_ZONE_PIN, "east", "USS"},    {SELECT_ZONE_PIN, "north", "SSS"},
        {SELECT_ZONE_PREFER, "east", "USS"}, {SELECT_ZONE_PREFER, "north", "UUU"},
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
