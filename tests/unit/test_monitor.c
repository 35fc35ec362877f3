/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What those hear who follow changes (daemon/monitor.h), and what one of them can cost. */
#include "daemon/monitor.h"

#include <stdio.h>

#include "tests/unit/unit.h"

static struct monitors *monitors;
static unsigned woken;

static const char *registry_name(void *userdata, unsigned index)
{
    (void)userdata;
    return index == 0 ? "consul" : index == 1 ? "local" : NULL;
}

static usec_t wall_clock(void *userdata)
{
    (void)userdata;
    return 1000;
}

static void wake(void *userdata)
{
    (void)userdata;
    woken++;
}

static void set_up(void)
{
    monitors = monitors_new(&(struct monitors_hooks){registry_name, wall_clock, NULL});
    woken = 0;
}

static void tear_down(void)
{
    monitors = monitors_free(monitors);
}

/* Follows the service "consul"/`key`, or everything. */
static int follow_as(uid_t uid, bool privileged, const char *key, struct monitor **ret_monitor)
{
    struct monitor_request request = {.uid = uid, .privileged = privileged, .wake = wake};

    if (key) {
        request.services = calloc(1, sizeof(*request.services));
        request.services[0] = (struct monitor_service){strdup("name"), strdup("consul"),
                                                       strdup(key)};
        request.count = 1;
    }
    return monitor_new(monitors, &request, ret_monitor);
}

static struct monitor *follow(const char *key)
{
    struct monitor *monitor;

    ck_assert_int_eq(follow_as(1000, false, key, &monitor), 0);
    return monitor;
}

/* Sets in words: "NAME HEALTH WEIGHT" an instance. */
struct instance {
    const char *name;
    enum endpoint_health health;
    unsigned weight;
    const char *address;
};

static struct endpoint_set *set_of(const struct instance *instances, size_t count)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    struct endpoint_set *set;

    for (size_t i = 0; i < count; i++) {
        struct address address;

        endpoint_builder_begin(builder, instances[i].name);
        endpoint_builder_health(builder, instances[i].health);
        endpoint_builder_weight(builder, instances[i].weight);
        ck_assert_int_eq(address_from_string(instances[i].address, &address), 0);
        endpoint_builder_address(builder, &address);
    }
    ck_assert_int_eq(endpoint_builder_finish(builder, &set), 0);
    endpoint_builder_free(builder);
    return set;
}

#define SET(...)                                                                                   \
    set_of((const struct instance[]){__VA_ARGS__},                                                 \
           sizeof((const struct instance[]){__VA_ARGS__}) / sizeof(struct instance))

static void replace(unsigned registry, const char *key, struct endpoint_set *before,
                    struct endpoint_set *now, enum freshness_state state)
{
    struct service_facts facts = {
        .registry = registry, .key = key, .state = state, .endpoints = now, .error = ""};

    monitors_replaced(monitors, &facts, before);
    endpoint_set_unref(before);
    endpoint_set_unref(now);
}

/* The events that wait, in short: "what instance (from>to) text; ...". */
static const char *heard(struct monitor *monitor)
{
    static char text[4096];
    char *end = text;
    json_t *batch = monitor_take(monitor), *event;
    size_t index;

    *end = '\0';
    json_array_foreach (json_object_get(batch, "events"), index, event) {
        const char *words[] = {"what", "instance", "from", "to", "text"};

        ck_assert_int_eq(json_integer_value(json_object_get(event, "at_usec")), 1000);
        for (size_t i = 0; i < ELEMENTS(words); i++) {
            const char *word = json_string_value(json_object_get(event, words[i]));

            if (word)
                end += sprintf(end, "%s%s", i > 0 ? " " : index > 0 ? "; " : "", word);
        }
    }
    json_decref(batch);
    return text;
}

#define A HEALTH_PASSING, 1, "10.0.0.1"
#define B HEALTH_PASSING, 1, "10.0.0.2"

START_TEST(what_comes_goes_and_changes_is_told_by_instance)
{
    struct monitor *monitor = follow(NULL);

    replace(0, "orders", NULL, SET({"a", A}, {"b", B}), FRESHNESS_FRESH);
    ck_assert_str_eq(heard(monitor), "added a passing; added b passing");
    replace(0, "orders", SET({"a", A}, {"b", B}), SET({"b", B}, {"c", A}), FRESHNESS_FRESH);
    ck_assert_str_eq(heard(monitor), "removed a; added c passing");
    replace(0, "orders", SET({"a", A}, {"b", B}),
            SET({"a", HEALTH_CRITICAL, 1, "10.0.0.1"}, {"b", HEALTH_PASSING, 5, "10.0.0.3"}),
            FRESHNESS_FRESH);
    ck_assert_str_eq(heard(monitor), "health a passing critical; "
                                     "changed b other addresses, weight 5, was 1");
    replace(0, "orders", SET({"a", A}), SET({"a", A}), FRESHNESS_FRESH);
    ck_assert_str_eq(heard(monitor), "");
    replace(0, "orders", SET({"a", A}), NULL, FRESHNESS_ABSENT);
    ck_assert_str_eq(heard(monitor), "removed a; absent");
    monitor_free(monitor);
}
END_TEST

START_TEST(what_becomes_of_services_and_registries_is_told)
{
    struct monitor *monitor = follow(NULL);
    struct service_facts facts = {.key = "orders", .error = "refused"};

    monitors_notice(monitors, STORE_NOTICE_STALE, &facts);
    facts.error = "";
    monitors_notice(monitors, STORE_NOTICE_CONFIRMED, &facts);
    monitors_vetoed(monitors, 0, "orders", (struct access){0}, "a", true, "tcp:80: refused");
    monitors_vetoed(monitors, 0, "orders", (struct access){0}, "a", false, "tcp:80");
    ck_assert_str_eq(heard(monitor), "stale refused; confirmed; vetoed a tcp:80: refused; "
                                     "admitted a tcp:80");
    monitors_condition(monitors, 0, 1, "down", "refused");
    monitors_condition(monitors, 0, 1, "down", "refused"); /* no news */
    monitors_condition(monitors, 0, 2, "up", "");
    ck_assert_str_eq(heard(monitor), "down refused; up");
    monitor_free(monitor);
}
END_TEST

START_TEST(one_service_is_followed_without_the_others)
{
    struct monitor *one = follow("orders"), *all = follow(NULL);

    replace(0, "users", NULL, SET({"u", A}), FRESHNESS_FRESH);
    replace(1, "orders", NULL, SET({"o", A}), FRESHNESS_FRESH);
    ck_assert_str_eq(heard(one), "");
    ck_assert_str_eq(heard(all), "added u passing; added o passing");
    replace(0, "orders", NULL, SET({"a", A}), FRESHNESS_FRESH);
    monitors_condition(monitors, 0, 1, "down", "");
    monitors_condition(monitors, 1, 1, "down", "");
    ck_assert_str_eq(heard(one), "added a passing; down");
    ck_assert_str_eq(heard(all), "added a passing; down; down");
    monitor_free(one);
    monitor_free(all);
}
END_TEST

START_TEST(who_reads_slowly_loses_the_oldest_and_is_told)
{
    struct monitor *slow = follow(NULL), *quick = follow(NULL);
    json_int_t lost = 0;
    size_t told = 0, told_quick = 0;
    json_t *batch;

    for (int i = 0; i < MONITOR_EVENTS_MAX + 10; i++) {
        char key[16];

        sprintf(key, "s%d", i);
        replace(0, key, NULL, SET({"a", A}), FRESHNESS_FRESH);
        batch = monitor_take(quick);
        told_quick += json_array_size(json_object_get(batch, "events"));
        ck_assert_int_eq(json_integer_value(json_object_get(batch, "lost")), 0);
        json_decref(batch);
    }
    ck_assert_uint_eq(told_quick, MONITOR_EVENTS_MAX + 10);
    while ((batch = monitor_take(slow))) {
        json_t *events = json_object_get(batch, "events");

        if (told == 0)
            ck_assert_str_eq(
                json_string_value(json_object_get(json_array_get(events, 0), "service")), "s10");
        ck_assert_uint_le(json_array_size(events), MONITOR_BATCH_MAX);
        told += json_array_size(events);
        lost += json_integer_value(json_object_get(batch, "lost"));
        json_decref(batch);
    }
    ck_assert_uint_eq(told, MONITOR_EVENTS_MAX);
    ck_assert_int_eq(lost, 10);
    monitor_free(slow);
    monitor_free(quick);
}
END_TEST

START_TEST(a_large_change_is_told_in_part_and_counted)
{
    static struct instance instances[MONITOR_INSTANCES_TOLD + 5];
    static char names[ELEMENTS(instances)][16];
    struct monitor *monitor = follow(NULL);
    const char *last = NULL;
    json_t *batch, *event;
    size_t index, told = 0;
    char text[64] = "";

    for (size_t i = 0; i < ELEMENTS(instances); i++) {
        sprintf(names[i], "i%03zu", i);
        instances[i] = (struct instance){names[i], B};
    }
    replace(0, "orders", NULL, set_of(instances, ELEMENTS(instances)), FRESHNESS_FRESH);
    while ((batch = monitor_take(monitor))) {
        json_array_foreach (json_object_get(batch, "events"), index, event) {
            told++;
            last = json_string_value(json_object_get(event, "text"));
            snprintf(text, sizeof(text), "%s", last ? last : "");
        }
        json_decref(batch);
    }
    ck_assert_uint_eq(told, MONITOR_INSTANCES_TOLD + 1);
    ck_assert_str_eq(text, "5 more instances changed");
    monitor_free(monitor);
}
END_TEST

START_TEST(followers_are_woken_once_for_what_waits)
{
    struct monitor *monitor = follow(NULL);

    replace(0, "orders", NULL, SET({"a", A}, {"b", B}), FRESHNESS_FRESH);
    replace(0, "users", NULL, SET({"a", A}), FRESHNESS_FRESH);
    ck_assert_uint_eq(woken, 1);
    heard(monitor);
    replace(0, "users", SET({"a", A}), SET({"b", B}), FRESHNESS_FRESH);
    ck_assert_uint_eq(woken, 2);
    monitor_free(monitor);
}
END_TEST

START_TEST(followers_are_few_and_fewer_of_one_user)
{
    struct monitor *list[MONITORS_MAX], *refused;
    size_t count = 0;

    for (; count < MONITORS_UID_MAX; count++)
        ck_assert_int_eq(follow_as(1000, false, "orders", &list[count]), 0);
    ck_assert_int_eq(follow_as(1000, false, "orders", &refused), -EDQUOT);
    for (; count < MONITORS_MAX; count++)
        ck_assert_int_eq(follow_as(0, true, NULL, &list[count]), 0);
    ck_assert_int_eq(follow_as(0, true, "orders", &refused), -EUSERS);
    monitor_free(list[0]);
    ck_assert_int_eq(follow_as(1001, false, NULL, &list[0]), 0);
    for (size_t i = 0; i < count; i++)
        monitor_free(list[i]);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("monitor");

    UNIT_CASE_FIXTURE(
        suite, "told", set_up, tear_down, what_comes_goes_and_changes_is_told_by_instance,
        what_becomes_of_services_and_registries_is_told, one_service_is_followed_without_the_others,
        followers_are_woken_once_for_what_waits);
    UNIT_CASE_FIXTURE(
        suite, "bounds", set_up, tear_down, who_reads_slowly_loses_the_oldest_and_is_told,
        a_large_change_is_told_in_part_and_counted, followers_are_few_and_fewer_of_one_user);
    return suite;
}

UNIT_MAIN(make_suite)
