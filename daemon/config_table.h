/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keys and what they fill: tables of config items bound to settings structs. A section of a file
 * may be served by several tables (a registry's common keys and those of its type).
 */
#pragma once

#include "daemon/config_file.h"
#include "daemon/config_item.h"

/* Where a key was set last. file NULL: it was not, the default is in force. */
struct config_origin {
    const char *file; /* borrowed from the config_value: it must outlive the table */
    unsigned line;
};

struct config_table {
    const char *section;
    const struct config_item *items;
    void *settings;
    struct config_origin *origins; /* one an item */
};

/*
 * Binds a table to `settings` (zeroed) and puts the defaults there. 0 or -ENOMEM; call
 * config_table_done() either way.
 */
int config_table_init(struct config_table *table, const char *section,
                      const struct config_item *items, void *settings,
                      struct config_messages *messages);
void config_table_done(struct config_table *table);

/* Where `key`, which must be in the table, was set. */
const struct config_origin *config_table_origin(const struct config_table *table, const char *key);

/*
 * Gives each pair of the file `path` to the table that has its key, or complains; `wanted` (NULL:
 * all) says for which keys. The pairs' sections must be among those of the tables. 0, also after a
 * complaint, or -ENOMEM.
 */
int config_tables_assign(const struct config_table *tables, size_t count, const char *path,
                         const struct config_pairs *pairs, bool (*wanted)(const char *key),
                         struct config_messages *messages);
