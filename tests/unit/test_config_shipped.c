/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files under config/ say what is so: they load without a message, and explain every key
 * of every table, each with its default.
 */
#include "daemon/config_load.h"
#include "tests/unit/unit.h"

#include <ctype.h>
#include <stdio.h>

static char *read_shipped(const char *name)
{
    const char *source = getenv("srcdir");
    char path[4096], *text = calloc(1, 65536);
    FILE *file;

    snprintf(path, sizeof(path), "%s/config/%s", source ? source : ".", name);
    file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    ck_assert_uint_lt(fread(text, 1, 65535, file), 65535);
    fclose(file);
    return text;
}

/* Lines "#Key=" become "Key=": prose begins with "# ". */
static void uncomment(char *text)
{
    for (char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (line[0] == '#' && isupper((unsigned char)line[1]))
            line[0] = ' ';
    }
}

static void pairs_of(const char *name, bool uncommented, struct config_pairs *ret_pairs)
{
    static const char *const sections[] = {"Resolve", "Server", "Control", "Registry",
                                           "Match",   "Policy", NULL};
    _cleanup_(freep) char *text = read_shipped(name);
    struct config_messages messages = {0};

    if (uncommented)
        uncomment(text);
    ck_assert_int_eq(config_pairs_parse(name, text, strlen(text), sections, &messages, ret_pairs),
                     0);
    for (size_t i = 0; i < messages.count; i++)
        ck_abort_msg("%s:%u: %s", name, messages.items[i].line, messages.items[i].text);
}

static const struct config_pair *pair_of(const struct config_pairs *pairs, const char *section,
                                         const char *key)
{
    for (size_t i = 0; i < pairs->count; i++)
        if (streq(pairs->items[i].section, section) && streq(pairs->items[i].key, key))
            return &pairs->items[i];
    return NULL;
}

/*
 * Every key is there, its value the default (nothing: the default is told in words) unless it is
 * one that has to be set (`set`; may be NULL). Counts them.
 */
static size_t explains(const char *name, const struct config_pairs *pairs,
                       const struct config_pairs *set, const char *section,
                       const struct config_item *items)
{
    size_t count = 0;

    for (; items && items->key; items++, count++) {
        const struct config_pair *pair = pair_of(pairs, section, items->key);

        ck_assert_msg(pair != NULL, "%s: %s= is not explained", name, items->key);
        if (!streq(section, "Match") && !(set && pair_of(set, section, items->key)))
            ck_assert_msg(streq(pair->text, items->fallback ? items->fallback : ""),
                          "%s:%u: %s= is not %s by default", name, pair->line, items->key,
                          pair->text);
    }
    return count;
}

START_TEST(the_main_file_explains_every_key)
{
    struct config_pairs pairs;
    size_t count;

    pairs_of("nss-sd.conf", false, &pairs);
    ck_assert_uint_eq(pairs.count, 0);
    config_pairs_done(&pairs);
    pairs_of("nss-sd.conf", true, &pairs);
    count = explains("nss-sd.conf", &pairs, NULL, "Resolve", config_resolve_items) +
            explains("nss-sd.conf", &pairs, NULL, "Server", config_server_items) +
            explains("nss-sd.conf", &pairs, NULL, "Control", config_control_items);
    ck_assert_uint_eq(pairs.count, count);
    config_pairs_done(&pairs);
}
END_TEST

START_TEST(the_policy_explains_every_key)
{
    struct config_pairs pairs;
    size_t count;

    pairs_of("services.d/example.policy.example", true, &pairs);
    count = explains("policy", &pairs, NULL, "Match", config_match_items) +
            explains("policy", &pairs, NULL, "Policy", config_policy_items);
    ck_assert_uint_eq(pairs.count, count);
    config_pairs_done(&pairs);
}
END_TEST

/* Loads a shipped registry file, as it is or with all its keys in force. */
static void load_registry(const char *text)
{
    char folder[] = "/tmp/nss-sd-shipped-XXXXXX", path[128];
    struct config_messages messages = {0};
    struct config *config = NULL;
    FILE *file;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "mkdir %s/registries.d", folder);
    ck_assert_int_eq(system(path), 0);
    snprintf(path, sizeof(path), "%s/registries.d/a.registry", folder);
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    ck_assert_int_eq(config_load(folder, &messages, &config), 0);
    for (size_t i = 0; i < messages.count; i++)
        ck_abort_msg("%s:%u: %s", path, messages.items[i].line, messages.items[i].text);
    ck_assert_uint_eq(config->registry_count, 1);
    config_free(config);
    config_messages_done(&messages);
    snprintf(path, sizeof(path), "rm -r %s", folder);
    ck_assert_int_eq(system(path), 0);
}

/* `mandatory`: how many keys have to be set, Type= among them. */
static void check_registry(const char *name, const char *type_name, unsigned mandatory)
{
    const struct registry_type *type = registry_type_find(type_name);
    _cleanup_(freep) char *text = read_shipped(name);
    struct config_pairs pairs, set;
    size_t count;

    ck_assert_msg(type != NULL, "%s is no type of this build", type_name);
    load_registry(text);
    uncomment(text);
    load_registry(text);
    pairs_of(name, false, &set);
    ck_assert_uint_eq(set.count, mandatory);
    ck_assert_str_eq(set.items[0].text, type_name);
    pairs_of(name, true, &pairs);
    count = explains(name, &pairs, &set, "Registry", config_registry_items) +
            explains(name, &pairs, &set, "Registry", type->items);
    ck_assert_uint_eq(pairs.count, count);
    config_pairs_done(&set);
    config_pairs_done(&pairs);
}

START_TEST(each_registry_file_explains_every_key_of_its_type)
{
    check_registry("registries.d/local.registry", "local", 1);
    check_registry("registries.d/cloudmap.registry.example", "cloudmap", 1);
    check_registry("registries.d/consul.registry.example", "consul", 1);
    check_registry("registries.d/dns.registry.example", "dns", 3);
    check_registry("registries.d/eureka.registry.example", "eureka", 1);
    check_registry("registries.d/kubernetes.registry.example", "kubernetes", 2);
    check_registry("registries.d/xds.registry.example", "xds", 2);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("config_shipped");

    UNIT_CASE(suite, "files", the_main_file_explains_every_key, the_policy_explains_every_key,
              each_registry_file_explains_every_key_of_its_type);
    return suite;
}

UNIT_MAIN(make_suite)
