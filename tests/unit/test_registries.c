/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Running registries (daemon/registries.h): who owns a name, and what of a report goes on. */
#include "daemon/registries.h"
#include "tests/unit/unit.h"

#include <stdio.h>

static unsigned started, stopped, reloaded, restarted;
static struct endpoint_set *seen;
static char seen_text[1024];
static int reload_result;

/* ---- a type that does what the test says ---- */

static int type_start(struct registry *registry)
{
    (void)registry;
    started++;
    return 0;
}

static int type_reload(struct registry *registry, const struct registry_config *config)
{
    (void)registry;
    (void)config;
    reloaded++;
    return reload_result;
}

static enum registry_meaning type_resolve(const struct registry *registry, const char *name,
                                          size_t relative, const char *domain,
                                          struct registry_target *ret_target)
{
    (void)registry;
    (void)domain;
    snprintf(ret_target->key, sizeof(ret_target->key), "%.*s", (int)relative, name);
    return REGISTRY_TARGET;
}

static int type_ask(struct registry *registry, const char *key)
{
    (void)registry;
    (void)key;
    return 0;
}

static void type_drop(struct registry *registry, const char *key)
{
    (void)registry;
    (void)key;
}

static void type_kick(struct registry *registry)
{
    (void)registry;
}

static void type_stop(struct registry *registry)
{
    (void)registry;
    stopped++;
}

static const struct registry_type type = {
    .name = "scripted",
    .size = sizeof(struct registry),
    .start = type_start,
    .reload = type_reload,
    .resolve = type_resolve,
    .want = type_ask,
    .refresh = type_ask,
    .drop = type_drop,
    .kick = type_kick,
    .stop = type_stop,
};

/* ---- hooks ---- */

static int hook_env_new(void *userdata, struct registry *registry, struct registry_env **ret_env)
{
    (void)userdata;
    (void)registry;
    *ret_env = NULL;
    return 0;
}

static struct registry_env *hook_env_free(struct registry_env *env)
{
    (void)env;
    return NULL;
}

static void hook_report(void *userdata, unsigned index, const struct registry_report *report)
{
    (void)userdata;
    (void)index;
    endpoint_set_unref(seen);
    seen = endpoint_set_ref(report->endpoints);
    snprintf(seen_text, sizeof(seen_text), "%s", report->text ? report->text : "");
}

static void hook_added(void *userdata, unsigned index, const struct registry_config *config)
{
    (void)userdata;
    (void)index;
    (void)config;
}

static void hook_changed(void *userdata, unsigned index, const struct registry_config *config,
                         bool anew)
{
    (void)userdata;
    (void)index;
    (void)config;
    restarted += anew;
}

static void hook_removed(void *userdata, unsigned index)
{
    (void)userdata;
    (void)index;
}

static usec_t hook_now(void *userdata)
{
    (void)userdata;
    return 1;
}

static char one[] = "one", deep[] = "deep.two", two[] = "two", first[] = "first",
            second[] = "second";
static char *first_domains[] = {one, deep, NULL}, *second_domains[] = {two, NULL};
static struct registry_config configs[] = {
    {.name = first, .type = &type, .domains = first_domains},
    {.name = second, .type = &type, .domains = second_domains, .shared = true},
};
static struct registries *registries;

static void apply(size_t count)
{
    registries_apply(registries, &(struct config){.registries = configs, .registry_count = count});
}

static void set_up(void)
{
    registries = registries_new(&(struct registries_hooks){
        .env_new = hook_env_new,
        .env_free = hook_env_free,
        .report = hook_report,
        .added = hook_added,
        .changed = hook_changed,
        .removed = hook_removed,
        .now = hook_now,
    });
    apply(2);
}

static void tear_down(void)
{
    registries = registries_free(registries);
    seen = endpoint_set_unref(seen);
    configs[0].allow_address_count = 0;
    ck_assert_uint_eq(started, stopped);
}

START_TEST(the_longest_domain_decides)
{
    struct resolver_owner owner;

    ck_assert(registries_owner(registries, "a.two", &owner));
    ck_assert_uint_eq(owner.registry, 1);
    ck_assert(owner.shared);
    ck_assert(registries_owner(registries, "a.deep.two", &owner));
    ck_assert_uint_eq(owner.registry, 0);
    ck_assert_uint_eq(owner.relative, 1);
    ck_assert(registries_owner(registries, "one", &owner));
    ck_assert_uint_eq(owner.relative, 0);
    ck_assert(!registries_owner(registries, "aone", &owner));
}
END_TEST

START_TEST(a_reload_keeps_what_it_can)
{
    struct resolver_owner owner;

    reload_result = 0;
    apply(2);
    ck_assert_uint_eq(reloaded, 2);
    ck_assert_uint_eq(started, 2);
    reload_result = -EOPNOTSUPP;
    apply(2);
    ck_assert_uint_eq(started, 4);
    ck_assert_uint_eq(restarted, 2);
    apply(1);
    ck_assert(!registries_owner(registries, "a.two", &owner));
    ck_assert_uint_eq(stopped, 4); /* two at the restart, one restarted again, one removed */
}
END_TEST

static struct endpoint_set *report_addresses(const char *left, const char *right)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    struct registry_facts facts;
    struct endpoint_set *set;
    struct address address;

    endpoint_builder_begin(builder, "x");
    ck_assert_int_eq(address_from_string(left, &address), 0);
    endpoint_builder_address(builder, &address);
    ck_assert_int_eq(address_from_string(right, &address), 0);
    endpoint_builder_address(builder, &address);
    ck_assert_int_eq(endpoint_builder_finish(builder, &set), 0);
    endpoint_builder_free(builder);
    registries_facts(registries, 0, &facts);
    registries_report(
        registries, facts.registry,
        &(struct registry_report){.kind = REPORT_DATA, .key = "orders", .endpoints = set});
    endpoint_set_unref(set);
    return seen;
}

START_TEST(addresses_that_nobody_may_hand_out_go_no_further)
{
    struct endpoint_set *kept = report_addresses("10.0.0.1", "169.254.169.254");

    ck_assert_uint_eq(kept->count, 1);
    ck_assert_uint_eq(kept->endpoints[0].address_count, 1);
    ck_assert_uint_eq(kept->endpoints[0].addresses[0].bytes[0], 10);
    /* Loopback is for the type to judge. */
    kept = report_addresses("127.0.0.1", "::1");
    ck_assert_uint_eq(kept->endpoints[0].address_count, 2);
}
END_TEST

START_TEST(the_administrator_may_allow_more)
{
    static struct address_prefix prefix;

    ck_assert_int_eq(address_prefix_from_string("169.254.0.0/16", &prefix), 0);
    configs[0].allow_addresses = &prefix;
    configs[0].allow_address_count = 1;
    ck_assert_uint_eq(report_addresses("10.0.0.1", "169.254.1.1")->endpoints[0].address_count, 2);
    ck_assert_uint_eq(report_addresses("10.0.0.1", "224.0.0.1")->endpoints[0].address_count, 1);
}
END_TEST

START_TEST(what_a_server_says_becomes_one_printable_line)
{
    struct registry_facts facts;

    registries_facts(registries, 0, &facts);
    registries_report(
        registries, facts.registry,
        &(struct registry_report){.kind = REPORT_DOWN,
                                  .text = "no certificate of \xff\nMAINPID=1\x1b[31m"});
    registries_facts(registries, 0, &facts);
    ck_assert_str_eq(facts.error, "no certificate of \\xff\\x0aMAINPID=1\\x1b[31m");
    ck_assert_str_eq(seen_text, facts.error);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("registries");

    UNIT_CASE_FIXTURE(suite, "ownership", set_up, tear_down, the_longest_domain_decides,
                      a_reload_keeps_what_it_can);
    UNIT_CASE_FIXTURE(suite, "addresses", set_up, tear_down,
                      addresses_that_nobody_may_hand_out_go_no_further,
                      the_administrator_may_allow_more);
    UNIT_CASE_FIXTURE(suite, "texts", set_up, tear_down,
                      what_a_server_says_becomes_one_printable_line);
    return suite;
}

UNIT_MAIN(make_suite)
