/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A walk over a JSON object by a table of its keys, for definitions (definition.h, check_list.h).
 * The path of the object at hand is kept, so that a mistake can say where it is: "12:
 * services[2].port: must be a number" (line 12 of the text, where there is one). Pure.
 */
#pragma once

#include <jansson.h>

#include "daemon/base.h"

enum { PARSER_PATH_SIZE = 128, PARSER_WORD_SIZE = 64, PARSER_WARNINGS_MAX = 8 };

struct parser {
    const char *text; /* the document; NULL: mistakes name no line */
    size_t size;
    char path[PARSER_PATH_SIZE]; /* of the object at hand: "services[2]" */
    char *error;                 /* the mistake; the caller's to free */
    char *warnings[PARSER_WARNINGS_MAX];
    size_t warning_count; /* may be more than are kept */
    void *userdata;
};

/* A key: its name folded (lower case, no '_'), and what reads its value; NULL: it means nothing
 * here. */
struct parser_key {
    const char *name;
    int (*read)(struct parser *parser, const char *key, json_t *value, void *into);
};

/* Remembers the mistake; returns -EBADMSG, or -ENOMEM. `key` "": of the object at hand. */
int parser_mistake(struct parser *parser, const char *key, const char *format, ...) _printf_(3, 4);
void parser_warn(struct parser *parser, const char *key, const char *format, ...) _printf_(3, 4);
/* Frees error and warnings. */
void parser_done(struct parser *parser);

/* The object at hand. A key that the table has not is a warning; one in two spellings a mistake. */
int parser_object(struct parser *parser, const struct parser_key *table, const char *name,
                  json_t *object, void *into);
/* An object inside it, with its path: under `key`, or (`index` not negative) an element of that. */
int parser_inner(struct parser *parser, const struct parser_key *table, const char *key, int index,
                 json_t *object, void *into);

/* Values. Strings are borrowed from the document. */
int parser_string(struct parser *parser, const char *key, json_t *value, const char **ret_text);
int parser_number(struct parser *parser, const char *key, json_t *value, unsigned minimum,
                  unsigned maximum, unsigned *ret_number);
int parser_bool(struct parser *parser, const char *key, json_t *value, bool *ret_bool);
/* As Go writes them: "1m30s", "500ms", "1.5h"; units h, m, s, ms, us, ns. */
int parser_duration(struct parser *parser, const char *key, json_t *value, usec_t *ret_duration);

/*
 * The line on which `path` ("services[2].checks[0].http") stands in a text that is good JSON, or
 * the deepest part of it that does.
 */
unsigned parser_line_of(const char *text, size_t size, const char *path);
