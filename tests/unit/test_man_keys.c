/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The manual pages and the parser know the same keys: every key of every table stands in the
 * section of the page that is for it, with its default and its range, and no page names another.
 *
 * In a page a key is ".It Ic Key= ..."; below it a line "Default: VALUE, from A to B." gives what
 * the table says. Where the default is no value of the table, any words may stand for it.
 */
#include "daemon/config_load.h"
#include "tests/unit/unit.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

enum { KEYS_MAX = 128, LINE_SIZE = 256 };

struct page_key {
    char section[LINE_SIZE], key[LINE_SIZE], text[LINE_SIZE];
    bool known; /* a table has it */
};

struct page {
    const char *name;
    struct page_key keys[KEYS_MAX];
    size_t count;
};

static void page_line(struct page *page, char *section, const char *line)
{
    struct page_key *key = &page->keys[page->count];

    if (sscanf(line, ".Sh %255[^\n]", section) == 1)
        return;
    if (sscanf(line, ".It Ic %254[A-Za-z]=", key->key) == 1 && strchr(line, '=')) {
        ck_assert_uint_lt(page->count + 1, KEYS_MAX);
        strcpy(key->section, section);
        page->count++;
    }
    if (strncmp(line, "Default: ", 9) == 0 && page->count > 0)
        sscanf(line + 9, "%255[^\n]", page->keys[page->count - 1].text);
}

static void page_read(const char *name, struct page *ret_page)
{
    const char *source = getenv("srcdir");
    char path[4096], line[LINE_SIZE], section[LINE_SIZE] = "";
    FILE *file;

    *ret_page = (struct page){.name = name};
    snprintf(path, sizeof(path), "%s/man/%s", source ? source : ".", name);
    file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    while (fgets(line, sizeof(line), file))
        page_line(ret_page, section, line);
    fclose(file);
    ck_assert_uint_gt(ret_page->count, 0);
}

static void bound_text(const struct config_item *item, uint64_t bound,
                       char text[static CONFIG_DURATION_SIZE])
{
    if (item->parse == config_parse_duration)
        config_duration_to_string(bound, text);
    else
        snprintf(text, CONFIG_DURATION_SIZE, "%" PRIu64, bound);
}

/* How the line ends: what the item takes. */
static void range_text(const struct config_item *item, char text[static LINE_SIZE])
{
    char low[CONFIG_DURATION_SIZE], high[CONFIG_DURATION_SIZE];
    bool duration = item->parse == config_parse_duration;

    bound_text(item, item->minimum, low);
    bound_text(item, item->maximum, high);
    if (item->maximum == 0 && item->minimum == 0)
        strcpy(text, duration ? ", or infinity." : ".");
    else if (item->maximum == 0)
        snprintf(text, LINE_SIZE, ", at least %s.", low);
    else if (item->minimum == 0 && duration)
        snprintf(text, LINE_SIZE, ", at most %s.", high);
    else
        snprintf(text, LINE_SIZE, ", from %s to %s.", low, high);
}

static void check_item(struct page *page, const char *section, const struct config_item *item)
{
    char range[LINE_SIZE], expected[2 * LINE_SIZE];

    range_text(item, range);
    snprintf(expected, sizeof(expected), "%s%s", item->fallback ?: "", range);
    for (size_t i = 0; i < page->count; i++) {
        struct page_key *key = &page->keys[i];
        size_t size = strlen(key->text), tail = strlen(range);

        if (!streq(key->section, section) || !streq(key->key, item->key))
            continue;
        ck_assert_msg(!key->known, "%s: %s= is explained twice", page->name, item->key);
        key->known = true;
        ck_assert_msg(item->fallback ? streq(key->text, expected)
                                     : size > tail && streq(key->text + size - tail, range),
                      "%s: %s= says \"Default: %s\" and not \"Default: %s\"", page->name, item->key,
                      key->text, item->fallback ? expected : range);
        return;
    }
    ck_abort_msg("%s: .Sh %s does not explain %s=", page->name, section, item->key);
}

static void check_items(struct page *page, const char *section, const struct config_item *items)
{
    for (; items && items->key; items++)
        check_item(page, section, items);
}

static void check_no_other_key(const struct page *page)
{
    for (size_t i = 0; i < page->count; i++)
        ck_assert_msg(page->keys[i].known, "%s: .Sh %s explains %s=, which no parser knows",
                      page->name, page->keys[i].section, page->keys[i].key);
}

START_TEST(the_page_of_the_main_file_has_the_keys_that_are_parsed)
{
    static struct page page;

    page_read("nss-sd.conf.5", &page);
    check_items(&page, "THE RESOLVE SECTION", config_resolve_items);
    check_items(&page, "THE SERVER SECTION", config_server_items);
    check_items(&page, "THE CONTROL SECTION", config_control_items);
    check_no_other_key(&page);
}
END_TEST

START_TEST(the_page_of_policies_has_the_keys_that_are_parsed)
{
    static struct page page;

    page_read("nss-sd.policy.5", &page);
    check_items(&page, "THE MATCH SECTION", config_match_items);
    check_items(&page, "THE POLICY SECTION", config_policy_items);
    check_no_other_key(&page);
}
END_TEST

START_TEST(the_page_of_registries_has_a_section_for_every_type)
{
    static struct page page;

    page_read("nss-sd.registry.5", &page);
    check_items(&page, "KEYS OF ALL TYPES", config_registry_items);
    for (size_t i = 0; registry_types[i]; i++) {
        char section[LINE_SIZE];

        snprintf(section, sizeof(section), "THE TYPE %s", registry_types[i]->name);
        for (char *at = section; *at; at++)
            *at = (char)toupper((unsigned char)*at);
        check_items(&page, section, registry_types[i]->items);
    }
    check_no_other_key(&page);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("man_keys");

    UNIT_CASE(suite, "keys", the_page_of_the_main_file_has_the_keys_that_are_parsed,
              the_page_of_policies_has_the_keys_that_are_parsed,
              the_page_of_registries_has_a_section_for_every_type);
    return suite;
}

UNIT_MAIN(make_suite)
