/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an operator is told (daemon/bulletin.h, daemon/message.h): few lines, however much happens.
 * Two running registries of a type that does nothing, a store, and a log that the test reads.
 */
#include "daemon/bulletin.h"
#include "daemon/message.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <sys/mman.h>

#define SEC  USEC_PER_SEC
#define HOUR (3600 * USEC_PER_SEC)

static usec_t now;
static int capture = -1;
static char captured[65536];

/* ---- a type that does nothing ---- */

static int type_start(struct registry *registry)
{
    (void)registry;
    return 0;
}

static int type_reload(struct registry *registry, const struct registry_config *config)
{
    (void)config;
    return type_start(registry);
}

static void type_stop(struct registry *registry)
{
    (void)registry;
}

static const struct registry_type type = {
    .name = "scripted",
    .size = sizeof(struct registry),
    .start = type_start,
    .reload = type_reload,
    .stop = type_stop,
};

static int env_new(void *userdata, struct registry *registry, struct registry_env **ret_env)
{
    (void)userdata;
    (void)registry;
    *ret_env = NULL;
    return 0;
}

static struct registry_env *env_free(struct registry_env *env)
{
    (void)env;
    return NULL;
}

/* ---- the world ---- */

static struct registries *registries;
static struct store *store;
static struct bulletin *bulletin;

static const struct freshness_rules rules = {
    .max_ttl = 60 * SEC, .negative_ttl = 5 * SEC, .max_stale = 72 * HOUR, .empty_hold = 180 * SEC};

static void on_report(void *userdata, unsigned index, const struct registry_report *report)
{
    (void)userdata;
    store_report(store, index, report, now);
}

static void on_added(void *userdata, unsigned index, const struct registry_config *config)
{
    (void)userdata;
    store_registry_add(store, index, &rules, config->max_services);
}

static void on_changed(void *userdata, unsigned index, const struct registry_config *config,
                       bool restarted)
{
    (void)userdata;
    (void)restarted;
    store_registry_rules(store, index, &rules, config->max_services, now);
}

static void on_removed(void *userdata, unsigned index)
{
    (void)userdata;
    store_registry_remove(store, index);
}

static usec_t on_now(void *userdata)
{
    (void)userdata;
    return now;
}

static int on_ask(void *userdata, unsigned registry, const char *key)
{
    (void)userdata;
    (void)registry;
    (void)key;
    return 0;
}

static void on_drop(void *userdata, unsigned registry, const char *key)
{
    on_ask(userdata, registry, key);
}

static char consul[] = "consul", prod[] = "prod";
static struct registry_config configs[] = {
    {.name = consul, .type = &type, .max_services = 20000},
    {.name = prod, .type = &type, .max_services = 2},
};

static void set_up(void)
{
    now = 1000 * HOUR;
    unsetenv("JOURNAL_STREAM");
    log_set_level(LOG_DEBUG);
    capture = memfd_create("stderr", MFD_CLOEXEC);
    ck_assert_int_eq(dup2(capture, STDERR_FILENO), STDERR_FILENO);
    store = store_new(&(struct store_hooks){.want = on_ask, .refresh = on_ask, .drop = on_drop});
    registries = registries_new(&(struct registries_hooks){
        .env_new = env_new,
        .env_free = env_free,
        .report = on_report,
        .added = on_added,
        .changed = on_changed,
        .removed = on_removed,
        .now = on_now,
    });
    bulletin = bulletin_new(registries, store);
    registries_apply(registries, &(struct config){.registries = configs, .registry_count = 2});
}

static void tear_down(void)
{
    bulletin_free(bulletin);
    registries_free(registries);
    store_free(store);
    close(capture);
}

/* What a second brings. */
static const char *lines(void)
{
    ssize_t size;

    now += SEC;
    bulletin_settle(bulletin, now);
    size = pread(capture, captured, sizeof(captured) - 1, 0);
    ck_assert_int_ge(size, 0);
    captured[size] = '\0';
    ck_assert_int_eq(ftruncate(capture, 0), 0);
    lseek(capture, 0, SEEK_SET);
    return captured;
}

static unsigned count(const char *text)
{
    unsigned count = 0;

    for (; (text = strchr(text, '\n')); text++)
        count++;
    return count;
}

static void report(unsigned index, enum registry_report_kind kind, const char *text)
{
    struct registry_facts facts;

    registries_facts(registries, index, &facts);
    registries_report(registries, facts.registry,
                      &(struct registry_report){.kind = kind, .text = text});
}

static void learn(unsigned index, const char *key)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    struct registry_facts facts;
    struct endpoint_set *set;

    ck_assert_ptr_nonnull(store_get(store, index, key, now));
    endpoint_builder_begin(builder, "x");
    ck_assert_int_eq(endpoint_builder_finish(builder, &set), 0);
    endpoint_builder_free(builder);
    registries_facts(registries, index, &facts);
    registries_report(
        registries, facts.registry,
        &(struct registry_report){
            .kind = REPORT_DATA, .key = key, .endpoints = set, .validity = REPORT_UNTIL_LOST});
    endpoint_set_unref(set);
}

static void notice(enum store_notice kind, unsigned index, const char *key, usec_t left)
{
    bulletin_notice(bulletin, kind,
                    &(struct service_facts){.registry = index,
                                            .key = key,
                                            .confirmed_at = now - HOUR,
                                            .until = usec_add(now, left),
                                            .max_stale = 72 * HOUR,
                                            .error = "connection refused"});
}

/* ---- registries ---- */

START_TEST(each_change_of_a_registry_is_told_once)
{
    report(0, REPORT_UP, NULL);
    learn(0, "orders");
    ck_assert_str_eq(lines(), "notice: registry consul: answers, for 1s; none of its services is "
                              "served stale\n");
    ck_assert_str_eq(lines(), "");
    report(0, REPORT_DOWN, "connection refused");
    ck_assert_str_eq(lines(), "warning: registry consul: does not answer, for 1s: connection "
                              "refused; 1 of its services is served stale, for another 2d 23h\n");
    report(0, REPORT_DOWN, "connection refused");
    ck_assert_str_eq(lines(), "");
    now += HOUR;
    report(0, REPORT_UP, NULL);
    ck_assert_ptr_nonnull(strstr(lines(), "notice: registry consul: answers again, for 1s"));
}
END_TEST

START_TEST(a_registry_that_never_answered_is_told_to_be_down)
{
    report(1, REPORT_DOWN, "no route");
    ck_assert_ptr_nonnull(
        strstr(lines(), "registry prod: does not answer, for 1s: no route; none"));
}
END_TEST

START_TEST(one_that_comes_and_goes_is_told_of_a_few_times_and_then_now_and_then)
{
    unsigned told = 0, summed = 0;

    for (unsigned i = 0; i < 1200; i++) { /* forty minutes */
        for (unsigned up = 0; up < 2; up++) {
            report(0, up ? REPORT_UP : REPORT_DOWN, "reset");
            told += count(lines());
            summed += strstr(captured, "times since it was told last") != NULL;
        }
    }
    ck_assert_uint_gt(summed, 0);
    ck_assert_uint_ge(told, 7);
    ck_assert_uint_le(told, 24);
    report(0, REPORT_DOWN, "reset");
    now += 600 * SEC;
    /* How it is in the end is told in any case. */
    ck_assert_ptr_nonnull(strstr(lines(), "consul: does not answer"));
}
END_TEST

/* ---- services ---- */

START_TEST(few_services_are_told_by_name)
{
    lines();
    notice(STORE_NOTICE_STALE, 0, "orders", 71 * HOUR);
    notice(STORE_NOTICE_EXPIRING, 0, "stock", 36 * HOUR);
    notice(STORE_NOTICE_EXPIRED, 0, "carts", USEC_INFINITY);
    notice(STORE_NOTICE_EMPTY_PROTECTION, 1, "users", 600 * SEC);
    notice(STORE_NOTICE_SUSPECT, 1, "mails", 180 * SEC);
    ck_assert_str_eq(
        lines(),
        "notice: registry consul: service orders: is served stale, last confirmed 1h 1s ago: "
        "connection refused; it is served for another 2d 22h\n"
        "warning: registry consul: service stock: was last confirmed 1h 1s ago and has used up "
        "50% of MaxStaleSec=; it is served for another 1d 11h, then lookups fail\n"
        "err: registry consul: service carts: was last confirmed 1h 1s ago, longer than "
        "MaxStaleSec= allows: its lookups fail until the registry confirms it\n"
        "warning: registry prod: service users: has no endpoint any more, says the registry; "
        "EmptyProtection= holds the last ones, served for another 9min 59s\n"
        "warning: registry prod: service mails: what the registry says is not trusted (connection "
        "refused): what was known is kept, served for another 2min 59s\n");
}
END_TEST

START_TEST(ten_thousand_services_make_one_line)
{
    char key[32];

    lines();
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(key, sizeof(key), "s%u", i);
        notice(STORE_NOTICE_STALE, 0, key, i == 77 ? HOUR : 72 * HOUR);
    }
    ck_assert_str_eq(
        lines(), "notice: registry consul: 10000 services are served stale: nobody confirms "
                 "them; the first is served for another 59min 59s (s0, s1, ...; 'sdctl services "
                 "--stale' lists them)\n");
}
END_TEST

START_TEST(services_that_trickle_in_make_a_line_a_minute_and_are_all_counted)
{
    unsigned told = 0;

    learn(0, "s");
    report(0, REPORT_DOWN, "reset");
    lines();
    for (unsigned i = 0; i < 600; i++) {
        notice(STORE_NOTICE_STALE, 0, "s", HOUR);
        told += count(lines());
    }
    ck_assert_uint_ge(told, 9);
    ck_assert_uint_le(told, 11);
    now += 60 * SEC;
    notice(STORE_NOTICE_STALE, 0, "s", HOUR);
    ck_assert_ptr_nonnull(strstr(lines(), " services are served stale"));
}
END_TEST

START_TEST(what_was_over_before_its_line_came_is_not_told)
{
    lines();
    notice(STORE_NOTICE_STALE, 0, "s", HOUR);
    ck_assert_uint_eq(count(lines()), 1);
    notice(STORE_NOTICE_STALE, 0, "s", HOUR);
    ck_assert_str_eq(lines(), "");
    now += 60 * SEC; /* and nothing is stale any more */
    ck_assert_str_eq(lines(), "");
    notice(STORE_NOTICE_STALE, 0, "s", HOUR);
    ck_assert_uint_eq(count(lines()), 1);
}
END_TEST

START_TEST(a_loud_registry_leaves_the_others_their_lines)
{
    struct log_context loud = {.registry = "consul"}, quiet = {.registry = "prod"};

    lines();
    for (unsigned i = 0; i < 1000; i++)
        message_log(MESSAGE_SUSPECT, &loud, now, "again");
    ck_assert_uint_eq(count(lines()), MESSAGE_BURST);
    message_log(MESSAGE_SUSPECT, &quiet, now, "once");
    ck_assert_str_eq(lines(), "warning: registry prod: once\n");
    message_log(MESSAGE_STALE, &loud, now, "another kind");
    ck_assert_str_eq(lines(), "notice: registry consul: another kind\n");
    now += MESSAGE_INTERVAL;
    message_log(MESSAGE_SUSPECT, &loud, now, "later");
    ck_assert_ptr_nonnull(strstr(lines(), "980 lines"));
}
END_TEST

START_TEST(many_registries_do_not_make_limits_forget)
{
    char name[32];
    struct log_context context = {.registry = name};

    lines();
    for (unsigned round = 0; round < 100; round++)
        for (unsigned i = 0; i < 64; i++) {
            snprintf(name, sizeof(name), "r%u", i);
            message_log(MESSAGE_SUSPECT, &context, now, "again");
        }
    ck_assert_uint_eq(count(lines()), 64 * MESSAGE_BURST);
}
END_TEST

START_TEST(reaching_max_services_is_told_once_a_minute)
{
    lines();
    learn(1, "a");
    learn(1, "b");
    ck_assert_str_eq(lines(), "notice: registry prod: answers, for 1s; none of its services is "
                              "served stale\n");
    for (unsigned i = 0; i < 100; i++)
        ck_assert_ptr_null(store_get(store, 1, "c", now));
    ck_assert_str_eq(lines(),
                     "warning: registry prod: 100 lookups of further services were turned "
                     "away: MaxServices=2 is reached; raise it in the registry's file if 'sdctl "
                     "services' lists none that nobody needs\n");
    ck_assert_ptr_null(store_get(store, 1, "c", now));
    ck_assert_str_eq(lines(), "");
    now += 60 * SEC;
    ck_assert_ptr_nonnull(strstr(lines(), "1 lookups"));
}
END_TEST

START_TEST(a_registry_that_takes_the_place_of_another_starts_anew)
{
    lines();
    notice(STORE_NOTICE_STALE, 1, "orders", HOUR);
    registries_apply(registries, &(struct config){.registries = configs, .registry_count = 1});
    ck_assert_str_eq(lines(), "");
    registries_apply(registries, &(struct config){.registries = configs, .registry_count = 2});
    ck_assert_str_eq(lines(), "");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("bulletin");

    UNIT_CASE_FIXTURE(suite, "registries", set_up, tear_down,
                      each_change_of_a_registry_is_told_once,
                      a_registry_that_never_answered_is_told_to_be_down,
                      one_that_comes_and_goes_is_told_of_a_few_times_and_then_now_and_then,
                      reaching_max_services_is_told_once_a_minute,
                      a_registry_that_takes_the_place_of_another_starts_anew);
    UNIT_CASE_FIXTURE(suite, "services", set_up, tear_down, few_services_are_told_by_name,
                      ten_thousand_services_make_one_line,
                      services_that_trickle_in_make_a_line_a_minute_and_are_all_counted,
                      what_was_over_before_its_line_came_is_not_told);
    UNIT_CASE_FIXTURE(suite, "limits", set_up, tear_down,
                      a_loud_registry_leaves_the_others_their_lines,
                      many_registries_do_not_make_limits_forget);
    return suite;
}

UNIT_MAIN(make_suite)
