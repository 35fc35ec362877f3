/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A table on stdout: columns as wide as their widest cell, two spaces between them, headings bold
 * on a terminal. Cells are made printable (text.h); an empty one shows as "-". Running out of
 * memory ends the program.
 */
#pragma once

#include "ctl/text.h"

struct table;

/* `headings`: NULL-terminated, outlives the table. One that starts with '>' is aligned to the
 * right. */
struct table *table_new(const char *const *headings);
struct table *table_free(struct table *table);

/* The next cell, row by row from left to right. */
void table_cell(struct table *table, enum style style, const char *format, ...) _printf_(3, 4);
/* The next cell with one of the daemon's words, in its style. */
void table_word(struct table *table, const char *word);

size_t table_rows(const struct table *table);
void table_print(const struct table *table, bool legend);

static inline void table_freep(struct table **table)
{
    table_free(*table);
}
