/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/table.h"

#include <stdarg.h>

enum { COLUMNS_MAX = 16 };

struct cell {
    char *text;
    enum style style;
};

struct table {
    const char *const *headings;
    size_t columns;
    struct cell *cells;
    size_t count, capacity;
};

struct table *table_new(const char *const *headings)
{
    struct table *table = calloc(1, sizeof(*table));

    if (!table)
        out_of_memory();
    table->headings = headings;
    while (table->columns < COLUMNS_MAX && headings[table->columns])
        table->columns++;
    return table;
}

struct table *table_free(struct table *table)
{
    if (!table)
        return NULL;
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i].text);
    free(table->cells);
    free(table);
    return NULL;
}

void table_cell(struct table *table, enum style style, const char *format, ...)
{
    _cleanup_(freep) char *raw = NULL;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vasprintf(&raw, format, arguments);
    va_end(arguments);
    if (length < 0) {
        raw = NULL;
        out_of_memory();
    }
    if (table->count == table->capacity) {
        table->capacity = table->capacity ? table->capacity * 2 : 64;
        table->cells = reallocarray(table->cells, table->capacity, sizeof(*table->cells));
        if (!table->cells)
            out_of_memory();
    }
    table->cells[table->count++] = (struct cell){text_printable(length > 0 ? raw : "-"), style};
}

void table_word(struct table *table, const char *word)
{
    table_cell(table, style_of_word(word), "%s", word);
}

size_t table_rows(const struct table *table)
{
    return table->count / table->columns;
}

static const char *heading_text(const char *heading)
{
    return heading[0] == '>' ? heading + 1 : heading;
}

static size_t column_width(const struct table *table, size_t column, bool legend)
{
    size_t width = legend ? text_width(heading_text(table->headings[column])) : 0;

    for (size_t i = column; i < table->count; i += table->columns) {
        size_t own = text_width(table->cells[i].text);

        if (own > width)
            width = own;
    }
    return width;
}

static void print_cell(const struct table *table, size_t column, size_t width, const char *text,
                       enum style style)
{
    bool last = column + 1 == table->columns;
    int padding = (int)(width - text_width(text));
    bool right = table->headings[column][0] == '>';

    /* Styles embrace the text alone, and nothing follows the last column. */
    printf("%*s%s%s%s%*s%s", right ? padding : 0, "", style_begin(style), text, style_end(style),
           right || last ? 0 : padding, "", last ? "\n" : "  ");
}

void table_print(const struct table *table, bool legend)
{
    size_t widths[COLUMNS_MAX];

    for (size_t column = 0; column < table->columns; column++)
        widths[column] = column_width(table, column, legend);
    if (legend)
        for (size_t column = 0; column < table->columns; column++)
            print_cell(table, column, widths[column], heading_text(table->headings[column]),
                       STYLE_HEADING);
    for (size_t i = 0; i < table->count; i++)
        print_cell(table, i % table->columns, widths[i % table->columns], table->cells[i].text,
                   table->cells[i].style);
}
