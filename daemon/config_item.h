/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One key of a configuration file: name, parser, place in a settings struct. The global
 * configuration, policies and every registry type describe their keys in tables of these, so that there
 * is one parser, one set of messages and one list of words to suggest from (config_word.h).
 *
 * Keys whose parser (of this file) takes one value warn when a file sets them twice. All other keys
 * are lists: the first line replaces the default, further ones add.
 */
#pragma once

#include "daemon/base.h"

/* Messages about the configuration, collected so that `sdctl check` can show them all. */
struct config_message {
    char *file;
    unsigned line; /* 0: the file as a whole */
    bool warning;  /* else an error: a reload keeps the running configuration */
    char *text;
};
struct config_messages {
    struct config_message *items; /* the first 1000 */
    size_t count, errors;         /* errors: all of them, also those that are not in items */
};

/* Text that is not printable ASCII is escaped, and cut to 1 KiB. */
void config_complain(struct config_messages *messages, const char *file, unsigned line,
                     const char *format, ...) _printf_(4, 5);
void config_warn(struct config_messages *messages, const char *file, unsigned line,
                 const char *format, ...) _printf_(4, 5);
void config_messages_done(struct config_messages *messages);

/* What a parser is told. */
struct config_value {
    const char *file;
    unsigned line;
    const char *key;
    const char *text; /* trimmed; "" resets to the default (item->fallback) */
    struct config_messages *messages;
};

struct config_item {
    const char *key; /* CamelCase; NULL ends a table */
    /* Complains and returns negative, or stores into `field` (freeing what was there) and returns 0. */
    int (*parse)(const struct config_item *item, const struct config_value *value, void *field);
    size_t offset;   /* of the field in the settings struct */
    uint64_t minimum, maximum;   /* for numbers and durations; 0, 0: unbounded */
    const char *fallback;        /* default, in the syntax of the file; NULL: field stays zero */
    const char *const *words;    /* config_parse_word: NULL-terminated */
};

/* The parsers; the type of field in brackets. */
int config_parse_string(const struct config_item *, const struct config_value *, void *);   /* char * */
int config_parse_path(const struct config_item *, const struct config_value *, void *);     /* char *, absolute */
int config_parse_strings(const struct config_item *, const struct config_value *, void *);  /* char **, NULL-terminated, separated by spaces; a second line adds */
int config_parse_domains(const struct config_item *, const struct config_value *, void *);  /* char **, folded names, no trailing dot */
int config_parse_bool(const struct config_item *, const struct config_value *, void *);     /* bool */
int config_parse_unsigned(const struct config_item *, const struct config_value *, void *); /* unsigned */
int config_parse_number_or_all(const struct config_item *, const struct config_value *, void *); /* unsigned; "all" is 0 */
int config_parse_percent(const struct config_item *, const struct config_value *, void *);  /* unsigned: 0 to 100; "20" and "20%" */
int config_parse_duration(const struct config_item *, const struct config_value *, void *); /* usec_t; "infinity" */
int config_parse_word(const struct config_item *, const struct config_value *, void *);     /* unsigned: index into words */
int config_parse_servers(const struct config_item *, const struct config_value *, void *); /* char **: DNS servers "IP[:PORT]", "[IP6]:PORT"; or one word, "system" */
int config_parse_urls(const struct config_item *, const struct config_value *, void *);     /* char **; http, https, unix */

/* "30s", "5min", "1h 30min", "250ms", a bare number is seconds, "infinity". 0 or -EINVAL. */
int config_duration_from_string(const char *text, usec_t *ret_usec);

/* The other way, in one unit: "90s", "1d", "infinity". */
enum { CONFIG_DURATION_SIZE = 24 };
void config_duration_to_string(usec_t usec, char ret_text[static CONFIG_DURATION_SIZE]);

/* Lists as the parsers make them; both take NULL, free returns it. */
size_t config_strings_count(char *const *strings);
char **config_strings_free(char **strings);

/* The same, word by word? NULL is like itself, and a list of none. */
bool config_text_equal(const char *a, const char *b);
bool config_strings_equal(char *const *a, char *const *b);

/* Such servers as net/dns.h takes them; *ret_servers is NULL for the system's. 0 or -ENOMEM. */
int config_servers_join(char *const *servers, char **ret_servers);
