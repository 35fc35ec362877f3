/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One pair of a file meets the tables: finds the item of a key, or says what was meant; keeps
 * the difference between a default and a value, so that the first line of a list replaces the
 * default and the next ones add.
 */
#include "daemon/config_table.h"

#include <string.h>

#include "daemon/config_word.h"

enum { KEYS_MAX = 128 };

static size_t items_count(const struct config_item *items)
{
    size_t count = 0;

    while (items && items[count].key)
        count++;
    return count;
}

static void *field_of(const struct config_table *table, size_t index)
{
    return (char *)table->settings + table->items[index].offset;
}

int config_table_init(struct config_table *table, const char *section,
                      const struct config_item *items, void *settings,
                      struct config_messages *messages)
{
    size_t count = items_count(items);

    *table = (struct config_table){.section = section, .items = items, .settings = settings};
    table->origins = calloc(count + 1, sizeof(*table->origins));
    if (!table->origins)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct config_value value = {"(built-in defaults)", 0, items[i].key, "", messages};

        if (items[i].fallback && items[i].parse(&items[i], &value, field_of(table, i)) == -ENOMEM)
            return -ENOMEM;
    }
    return 0;
}

void config_table_done(struct config_table *table)
{
    free(table->origins);
    table->origins = NULL;
}

const struct config_origin *config_table_origin(const struct config_table *table, const char *key)
{
    size_t i = 0;

    while (!streq(table->items[i].key, key))
        i++;
    return &table->origins[i];
}

/* Keys with one value; all others are lists, to which a second line adds. */
static bool is_scalar(const struct config_item *item)
{
    return item->parse == config_parse_string || item->parse == config_parse_path ||
           item->parse == config_parse_bool || item->parse == config_parse_unsigned ||
           item->parse == config_parse_number_or_all || item->parse == config_parse_percent ||
           item->parse == config_parse_duration || item->parse == config_parse_word;
}

static int clear_default(const struct config_table *table, size_t index,
                         const struct config_value *value)
{
    struct config_item bare = table->items[index];
    struct config_value nothing = *value;

    bare.fallback = NULL;
    nothing.text = "";
    return bare.parse(&bare, &nothing, field_of(table, index));
}

static int assign(const struct config_table *table, size_t index, const struct config_value *value)
{
    const struct config_item *item = &table->items[index];
    struct config_origin *origin = &table->origins[index];
    int r;

    if (value->text[0] == '\0') {
        *origin = (struct config_origin){0};
        return item->parse(item, value, field_of(table, index));
    }
    if (is_scalar(item) && origin->file == value->file)
        config_warn(value->messages, value->file, value->line,
                    "%s= is set a second time: this one counts, not that of line %u", value->key,
                    origin->line);
    if (!is_scalar(item) && !origin->file && item->fallback) {
        r = clear_default(table, index, value);
        if (r < 0)
            return r;
    }
    *origin = (struct config_origin){value->file, value->line};
    return item->parse(item, value, field_of(table, index));
}

static bool contains(const char *key, const char *part)
{
    return strcasestr(key, part) != NULL;
}

/* Somebody wrote the secret itself into the configuration, which others may read. */
static bool looks_like_secret(const char *key)
{
    return contains(key, "token") || contains(key, "password") || contains(key, "secret");
}

/* A key that no table of the section has. The value is not quoted: it may be a secret. */
static void complain_unknown(const struct config_table *tables, size_t count, const char *section,
                             const struct config_value *value)
{
    const char *keys[KEYS_MAX + 1], *nearest, *elsewhere = NULL;
    size_t used = 0;

    for (size_t t = 0; t < count; t++)
        for (size_t i = 0; i < items_count(tables[t].items); i++) {
            const char *key = tables[t].items[i].key;

            if (streq(tables[t].section, section) && used < KEYS_MAX)
                keys[used++] = key;
            else if (streq(key, value->key))
                elsewhere = tables[t].section;
        }
    keys[used] = NULL;
    nearest = config_nearest_word(value->key, keys);
    if (looks_like_secret(value->key) && !contains(value->key, "file"))
        config_complain(value->messages, value->file, value->line,
                        "%s= is no key of [%s]: secrets are never written here, put it into a file "
                        "of its own and name that with %sFile=",
                        value->key, section, value->key);
    else if (elsewhere)
        config_complain(value->messages, value->file, value->line,
                        "%s= belongs to section [%s], not [%s]", value->key, elsewhere, section);
    else if (nearest)
        config_complain(value->messages, value->file, value->line,
                        "%s= is no key of [%s]; did you mean %s=?", value->key, section, nearest);
    else
        config_complain(value->messages, value->file, value->line, "%s= is no key of [%s]",
                        value->key, section);
}

static int assign_pair(const struct config_table *tables, size_t count, const char *section,
                       const struct config_value *value)
{
    for (size_t t = 0; t < count; t++) {
        if (!streq(tables[t].section, section))
            continue;
        for (size_t i = 0; i < items_count(tables[t].items); i++)
            if (streq(tables[t].items[i].key, value->key))
                return assign(&tables[t], i, value) == -ENOMEM ? -ENOMEM : 0;
    }
    complain_unknown(tables, count, section, value);
    return 0;
}

int config_tables_assign(const struct config_table *tables, size_t count, const char *path,
                         const struct config_pairs *pairs, bool (*wanted)(const char *key),
                         struct config_messages *messages)
{
    int r = 0;

    for (size_t i = 0; i < pairs->count && r == 0; i++) {
        const struct config_pair *pair = &pairs->items[i];
        struct config_value value = {path, pair->line, pair->key, pair->text, messages};

        if (!wanted || wanted(pair->key))
            r = assign_pair(tables, count, pair->section, &value);
    }
    return r;
}
