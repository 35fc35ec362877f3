/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The text of a scenario: lines into a tree of statements, by their indentation. What the words
 * mean is the business of scenario_verbs.c; scenarios/README.md describes the language.
 */
#pragma once

#include "daemon/base.h"

struct statement {
    unsigned line; /* the first is 1 */
    unsigned indent;
    char *text;   /* trimmed */
    char **words; /* before "->"; "quoted words" without their quotes */
    size_t count;
    char *expected;                /* after "->", trimmed; NULL: no such sign */
    struct statement *body, *next; /* lines that are indented deeper; the next of the same depth */
};

struct scenario {
    char *file; /* for messages */
    struct statement *first;
};

/* NULL with one line in ret_error ("FILE:LINE: ...", free it) where the text is no tree. */
struct scenario *scenario_parse(const char *file, const char *text, char **ret_error);
struct scenario *scenario_read(const char *path, char **ret_error);
struct scenario *scenario_free(struct scenario *scenario); /* takes NULL */

/* Splits at spaces, quotes respected; ends in NULL. Free with words_free(). */
char **words_split(const char *text, size_t *ret_count);
void words_free(char **words);
