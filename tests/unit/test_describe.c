/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the daemon tells of a name (daemon/describe.h), whatever the registry told of it. */
#include "daemon/describe_internal.h"
#include "tests/unit/unit.h"

#include <stdio.h>

/* ---- a registry that knows what the test told the store ---- */

static int type_start(struct registry *registry)
{
    (void)registry;
    return 0;
}

static enum registry_meaning type_resolve(const struct registry *registry, const char *name,
                                          size_t relative, const char *domain,
                                          struct registry_target *ret_target)
{
    (void)registry, (void)domain;
    snprintf(ret_target->key, sizeof(ret_target->key), "%.*s", (int)relative, name);
    return REGISTRY_TARGET;
}

static void type_describe(const struct registry *registry, json_t *object)
{
    (void)registry, (void)object;
}

static void type_stop(struct registry *registry)
{
    (void)registry;
}

static const struct registry_type type = {
    .name = "scripted",
    .size = sizeof(struct registry),
    .start = type_start,
    .resolve = type_resolve,
    .describe = type_describe,
    .stop = type_stop,
};

static int env_of(void *userdata, struct registry *registry, struct registry_env **ret_env)
{
    (void)userdata, (void)registry;
    *ret_env = NULL;
    return 0;
}

static struct registry_env *env_done(struct registry_env *env)
{
    (void)env;
    return NULL;
}

static void added(void *userdata, unsigned index, const struct registry_config *config)
{
    (void)userdata, (void)index, (void)config;
}

static void removed(void *userdata, unsigned index)
{
    (void)userdata, (void)index;
}

static usec_t now(void *userdata)
{
    (void)userdata;
    return USEC_PER_SEC;
}

static int ask(void *userdata, unsigned registry, const char *key)
{
    (void)userdata, (void)registry, (void)key;
    return 0;
}

static void drop(void *userdata, unsigned registry, const char *key)
{
    (void)userdata, (void)registry, (void)key;
}

static uint64_t no_random(void *userdata)
{
    (void)userdata;
    return 0;
}

static void policy(void *userdata, const char *name, struct resolver_policy *ret_policy)
{
    (void)userdata, (void)name;
    *ret_policy = (struct resolver_policy){0};
}

/* ---- the world ---- */

static char name_one[] = "one", *domains[] = {name_one, NULL};
static struct registry_config config = {.name = name_one, .type = &type, .domains = domains};
static struct registries *registries;
static struct store *store;

static void set_up(void)
{
    registries = registries_new(&(struct registries_hooks){
        .env_new = env_of, .env_free = env_done, .added = added, .removed = removed, .now = now});
    registries_apply(registries, &(struct config){.registries = &config, .registry_count = 1});
    store = store_new(
        &(struct store_hooks){.want = ask, .refresh = ask, .drop = drop, .random = no_random});
    store_registry_add(store, 0, &(struct freshness_rules){.max_stale = USEC_INFINITY}, 10);
}

static void tear_down(void)
{
    store = store_free(store);
    registries = registries_free(registries);
}

/* One instance of orders.one, all of whose texts are this one. */
static void report(const char *text)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    struct endpoint_set *set;

    endpoint_builder_begin(builder, text);
    endpoint_builder_address(builder, &(struct address){AF_INET, {10, 0, 0, 1}});
    endpoint_builder_port(builder, text, text, 80);
    endpoint_builder_tag(builder, text);
    endpoint_builder_locality(builder, text, text);
    ck_assert_int_eq(endpoint_builder_finish(builder, &set), 0);
    endpoint_builder_free(builder);
    ck_assert_ptr_nonnull(store_get(store, 0, "orders", USEC_PER_SEC));
    store_report(
        store, 0,
        &(struct registry_report){
            .kind = REPORT_DATA, .key = "orders", .endpoints = set, .validity = REPORT_UNTIL_LOST},
        USEC_PER_SEC);
    endpoint_set_unref(set);
}

static const char *member(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

START_TEST(an_instance_is_told_though_its_texts_are_no_utf_8)
{
    const struct resolver_hooks hooks = {.policy = policy};
    const struct describe describe = {
        .store = store, .registries = registries, .hooks = &hooks, .now = USEC_PER_SEC};
    json_t *object, *endpoint, *port;

    report("caf\xe9");
    object = describe_name(&describe, "orders.one", ANSWER_FOUND, ANSWER_NO_DATA);
    endpoint = json_array_get(json_object_get(object, "endpoints"), 0);
    ck_assert_str_eq(member(endpoint, "name"), "caf?");
    ck_assert_str_eq(member(endpoint, "zone"), "caf?");
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(endpoint, "tags"), 0)),
                     "caf?");
    port = json_array_get(json_object_get(endpoint, "ports"), 0);
    ck_assert_str_eq(member(port, "name"), "caf?");
    ck_assert_str_eq(member(port, "protocol"), "caf?");
    json_decref(object);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("describe");

    UNIT_CASE_FIXTURE(suite, "describe", set_up, tear_down,
                      an_instance_is_told_though_its_texts_are_no_utf_8);
    return suite;
}

UNIT_MAIN(make_suite)
