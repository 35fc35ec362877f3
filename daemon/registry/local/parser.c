/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The walk over JSON objects (parser.h). */
#include "daemon/registry/local/parser.h"

#include <stdarg.h>
#include <stdio.h>

#include "daemon/endpoint.h"
#include "daemon/log.h"
#include "nss-sd/name.h"

enum { REASON_SIZE = 256 };

/* ---- mistakes ---- */

/* NULL: out of memory. */
static char *place_text(const struct parser *parser, const char *key, const char *reason)
{
    char path[PARSER_PATH_SIZE + PARSER_WORD_SIZE + 2], shown[4 * sizeof(path)], line[16] = "";
    char *text;

    snprintf(path, sizeof(path), "%s%s%.*s", parser->path, *parser->path && *key ? "." : "",
             PARSER_WORD_SIZE, key);
    if (parser->text)
        snprintf(line, sizeof(line), "%u: ", parser_line_of(parser->text, parser->size, path));
    log_printable(path, shown, sizeof(shown)); /* the key may be any text, and cut */
    return asprintf(&text, "%s%s: %s", line, shown, reason) < 0 ? NULL : text;
}

int parser_mistake(struct parser *parser, const char *key, const char *format, ...)
{
    char reason[REASON_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    free(parser->error);
    parser->error = place_text(parser, key, reason);
    return parser->error ? -EBADMSG : -ENOMEM;
}

void parser_warn(struct parser *parser, const char *key, const char *format, ...)
{
    char reason[REASON_SIZE], *text;
    va_list arguments;

    if (parser->warning_count >= PARSER_WARNINGS_MAX) {
        parser->warning_count++;
        return;
    }
    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    text = place_text(parser, key, reason);
    if (text)
        parser->warnings[parser->warning_count++] = text;
}

void parser_done(struct parser *parser)
{
    free(parser->error);
    parser->error = NULL;
    for (size_t i = 0; i < PARSER_WARNINGS_MAX; i++) {
        free(parser->warnings[i]);
        parser->warnings[i] = NULL;
    }
    parser->warning_count = 0;
}

/* ---- objects by tables ---- */

static void fold_key(const char *key, char ret_folded[static PARSER_WORD_SIZE])
{
    size_t length = 0;

    for (; *key && length + 1 < PARSER_WORD_SIZE; key++)
        if (*key != '_')
            ret_folded[length++] = name_fold_byte(*key);
    ret_folded[length] = '\0';
}

/* A bit a key of the table: the same key in two spellings is a mistake. */
int parser_object(struct parser *parser, const struct parser_key *table, const char *name,
                  json_t *object, void *into)
{
    uint64_t seen = 0;
    const char *key;
    json_t *value;
    int r;

    if (!json_is_object(object))
        return parser_mistake(parser, name, "must be an object");
    json_object_foreach (object, key, value) {
        char folded[PARSER_WORD_SIZE];
        size_t i = 0;

        fold_key(key, folded);
        while (table[i].name && !streq(table[i].name, folded))
            i++;
        if (!table[i].name) {
            parser_warn(parser, key, "unknown key, ignored");
            continue;
        }
        if (seen & UINT64_C(1) << i)
            return parser_mistake(parser, key, "is given twice");
        seen |= UINT64_C(1) << i;
        if (!table[i].read || json_is_null(value))
            continue;
        r = table[i].read(parser, key, value, into);
        if (r < 0)
            return r;
    }
    return 0;
}

int parser_inner(struct parser *parser, const struct parser_key *table, const char *key, int index,
                 json_t *object, void *into)
{
    char saved[PARSER_PATH_SIZE], element[16] = "";
    size_t length = strlen(parser->path);
    int r;

    memcpy(saved, parser->path, sizeof(saved));
    if (index >= 0)
        snprintf(element, sizeof(element), "[%d]", index);
    snprintf(parser->path + length, sizeof(parser->path) - length, "%s%.32s%s",
             length > 0 ? "." : "", key, element);
    r = parser_object(parser, table, "", object, into);
    memcpy(parser->path, saved, sizeof(saved));
    return r;
}

/* ---- values ---- */

int parser_string(struct parser *parser, const char *key, json_t *value, const char **ret_text)
{
    const char *text = json_string_value(value);

    if (!text)
        return parser_mistake(parser, key, "must be a string");
    if (strlen(text) >= ENDPOINT_STRING_MAX)
        return parser_mistake(parser, key, "is longer than %d bytes", ENDPOINT_STRING_MAX - 1);
    *ret_text = text;
    return 0;
}

int parser_number(struct parser *parser, const char *key, json_t *value, unsigned minimum,
                  unsigned maximum, unsigned *ret_number)
{
    json_int_t number = json_integer_value(value);

    if (!json_is_integer(value) || number < minimum || number > maximum)
        return parser_mistake(parser, key, "must be a number from %u to %u", minimum, maximum);
    *ret_number = (unsigned)number;
    return 0;
}

int parser_bool(struct parser *parser, const char *key, json_t *value, bool *ret_bool)
{
    if (!json_is_boolean(value))
        return parser_mistake(parser, key, "must be true or false");
    *ret_bool = json_is_true(value);
    return 0;
}

/* Nanoseconds of a unit at `*text`, which moves behind it; 0: none. The longest that fits. */
static double take_unit(const char **text)
{
    static const struct {
        const char *name;
        double length;
    } units[] = {{"ms", 1e6}, {"us", 1e3}, {"ns", 1}, {"h", 3600e9}, {"m", 60e9}, {"s", 1e9}};

    for (size_t i = 0; i < ELEMENTS(units); i++)
        if (strncmp(*text, units[i].name, strlen(units[i].name)) == 0) {
            *text += strlen(units[i].name);
            return units[i].length;
        }
    return 0;
}

/* Digits with at most one point; false: none. */
static bool take_number(const char **text, double *ret_number)
{
    double number = 0, place = 0;
    bool any = false;

    for (; (**text >= '0' && **text <= '9') || (**text == '.' && place == 0); (*text)++) {
        if (**text == '.') {
            place = 1;
            continue;
        }
        any = true;
        number = number * 10 + (**text - '0');
        place *= 10;
    }
    *ret_number = place > 0 ? number / place : number;
    return any;
}

static bool read_duration(const char *text, usec_t *ret_duration)
{
    double sum = 0, number, unit;

    if (!*text)
        return false;
    if (streq(text, "0")) { /* the only one without a unit */
        *ret_duration = 0;
        return true;
    }
    while (*text) {
        if (!take_number(&text, &number))
            return false;
        unit = take_unit(&text);
        if (unit == 0)
            return false;
        sum += number * unit;
    }
    if (!(sum < 1e18)) /* 31 years, which a double still counts by the microsecond */
        return false;
    *ret_duration = (usec_t)(sum / 1000 + 0.5);
    return true;
}

int parser_duration(struct parser *parser, const char *key, json_t *value, usec_t *ret_duration)
{
    const char *text = "";
    int r = parser_string(parser, key, value, &text);

    if (r == 0 && !read_duration(text, ret_duration))
        return parser_mistake(parser, key, "must be a duration such as \"10s\" or \"1m30s\"");
    return r;
}

/* ---- lines ---- */

struct cursor {
    const char *at, *end;
};

static void skip_space(struct cursor *cursor)
{
    while (cursor->at < cursor->end && strchr(" \t\r\n", *cursor->at) && *cursor->at)
        cursor->at++;
}

/* From quote to quote. */
static void skip_string(struct cursor *cursor)
{
    for (cursor->at++; cursor->at < cursor->end && *cursor->at != '"'; cursor->at++)
        if (*cursor->at == '\\' && cursor->at + 1 < cursor->end)
            cursor->at++;
    if (cursor->at < cursor->end)
        cursor->at++;
}

/* Up to the comma or bracket behind it. */
static void skip_value(struct cursor *cursor)
{
    size_t depth = 0;

    while (cursor->at < cursor->end) {
        char c = *cursor->at;

        if (c == '"') {
            skip_string(cursor);
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            return;
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        cursor->at++;
    }
}

/* To the value under `key`, or the element of this number; false: there is none. */
static bool find_member(struct cursor *cursor, const char *key, size_t length)
{
    while (cursor->at < cursor->end && *cursor->at != '}') {
        const char *name;
        bool found;

        cursor->at++; /* '{' or ',' */
        skip_space(cursor);
        if (cursor->at >= cursor->end || *cursor->at != '"')
            return false;
        name = cursor->at + 1;
        skip_string(cursor);
        found = (size_t)(cursor->at - name) == length + 1 && memcmp(name, key, length) == 0;
        skip_space(cursor);
        if (cursor->at < cursor->end)
            cursor->at++; /* ':' */
        skip_space(cursor);
        if (found)
            return true;
        skip_value(cursor);
    }
    return false;
}

static bool find_element(struct cursor *cursor, unsigned long index)
{
    while (cursor->at < cursor->end && *cursor->at != ']') {
        cursor->at++; /* '[' or ',' */
        skip_space(cursor);
        if (index-- == 0)
            return cursor->at < cursor->end && *cursor->at != ']';
        skip_value(cursor);
    }
    return false;
}

/* One step down the path, which moves on; false: it leads no further. */
static bool descend(struct cursor *cursor, const char **path)
{
    size_t length = strcspn(*path, ".[");
    const char *key = *path;
    char *rest;

    if (cursor->at >= cursor->end)
        return false;
    if (**path == '[') {
        unsigned long index = strtoul(*path + 1, &rest, 10);

        *path = rest + (*rest == ']');
        *path += **path == '.';
        return *cursor->at == '[' && find_element(cursor, index);
    }
    *path += length;
    *path += **path == '.';
    return length > 0 && *cursor->at == '{' && find_member(cursor, key, length);
}

unsigned parser_line_of(const char *text, size_t size, const char *path)
{
    struct cursor cursor = {text, text + size}, deepest;
    unsigned line = 1;

    skip_space(&cursor);
    do
        deepest = cursor;
    while (*path && descend(&cursor, &path));
    for (const char *c = text; c < deepest.at; c++)
        line += *c == '\n';
    return line;
}
