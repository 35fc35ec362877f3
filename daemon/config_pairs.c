/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pairs of one configuration file (daemon/config_file.h).
 *
 * inih takes lines apart; it tells no line number, cuts long lines and mentions the first
 * faulty line only. So it gets its lines from a reader of ours, which counts them, hands out only
 * what inih can take, and notices when a line led to no pair.
 *
 * What a user sees of inih: KEY=VALUE or KEY:VALUE; a line whose first byte is '#' or ';' is a
 * comment; in a value, white space and ';' begin a comment; quotes mean nothing. White space before
 * a line means nothing (no continuation lines: a list takes several lines of the same key).
 */
#include "daemon/config_file.h"
#include "daemon/config_word.h"

#include <ini.h>

struct parser {
    const char *path;
    const char *data;
    size_t size, position;
    unsigned line;     /* handed out last, from 1 */
    bool pair_awaited; /* the line handed out last should be a pair, and none has come yet */
    int error;         /* -ENOMEM */
    const char *const *sections;
    struct config_messages *messages;
    struct config_pairs *pairs;
};

/* Takes the next line from the data, without white space at its ends. */
static void take_line(struct parser *parser, const char **ret_line, size_t *ret_length)
{
    const char *line = parser->data + parser->position;
    size_t rest = parser->size - parser->position;
    const char *end = memchr(line, '\n', rest);
    size_t length = end ? (size_t)(end - line) : rest;

    parser->position += length + (end ? 1 : 0);
    parser->line++;
    if (parser->line == 1 && length >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
        line += 3;
        length -= 3;
    }
    while (length > 0 && strchr(" \t\r", line[length - 1]))
        length--;
    while (length > 0 && strchr(" \t", line[0])) {
        line++;
        length--;
    }
    *ret_line = line;
    *ret_length = length;
}

static bool has_control(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (((unsigned char)line[i] < ' ' && line[i] != '\t') || line[i] == '\x7f')
            return true;
    return false;
}

static bool section_known(const struct parser *parser, const char *name, size_t length)
{
    for (size_t i = 0; parser->sections[i]; i++)
        if (strlen(parser->sections[i]) == length && memcmp(parser->sections[i], name, length) == 0)
            return true;
    return false;
}

static void complain_section(struct parser *parser, const char *name, size_t length)
{
    _cleanup_(freep) char *text = strndup(name, length);
    const char *nearest = text ? config_nearest_word(text, parser->sections) : NULL;

    if (!text)
        parser->error = -ENOMEM;
    else if (nearest)
        config_complain(parser->messages, parser->path, parser->line,
                        "[%s] is no section of this file; did you mean [%s]?", text, nearest);
    else
        config_complain(parser->messages, parser->path, parser->line,
                        "[%s] is no section of this file; they begin with [%s]", text,
                        parser->sections[0]);
}

/* A line that begins with '['. What follows an unknown one is left out without further words. */
static bool section_ok(struct parser *parser, const char *line, size_t length)
{
    const char *end = memchr(line, ']', length), *rest;

    if (!end) {
        config_complain(parser->messages, parser->path, parser->line,
                        "a section is written [NAME], the ']' is missing");
        return false;
    }
    for (rest = end + 1; rest < line + length && strchr(" \t", *rest); rest++)
        ;
    if (rest < line + length && !strchr(";#", *rest)) {
        config_complain(parser->messages, parser->path, parser->line,
                        "nothing but a comment may follow a section's ']'");
        return false;
    }
    if (!section_known(parser, line + 1, (size_t)(end - line) - 1)) {
        complain_section(parser, line + 1, (size_t)(end - line) - 1);
        return false;
    }
    return true;
}

/* Complains about a line that inih must not see. */
static bool line_ok(struct parser *parser, const char *line, size_t length, size_t maximum)
{
    if (has_control(line, length))
        config_complain(parser->messages, parser->path, parser->line,
                        "this line holds a control character");
    else if (length > maximum)
        config_complain(parser->messages, parser->path, parser->line,
                        "this line has more than %zu bytes; a list may be spread over several "
                        "lines of the same key",
                        maximum);
    else
        return *line != '[' || section_ok(parser, line, length);
    return false;
}

static void complain_junk(struct parser *parser)
{
    if (parser->pair_awaited)
        config_complain(parser->messages, parser->path, parser->line, "this line is no KEY=VALUE");
    parser->pair_awaited = false;
}

/* An ini_reader: the next line into `buffer`, or NULL at the end. */
static char *read_line(char *buffer, int size, void *userdata)
{
    struct parser *parser = userdata;
    const char *line;
    size_t length;

    complain_junk(parser);
    if (parser->error < 0 || parser->position == parser->size || size < 8)
        return NULL;
    take_line(parser, &line, &length);
    if (length == 0 || *line == ';' || *line == '#') {
        length = 0;
    } else if (!line_ok(parser, line, length, (size_t)size - 2)) {
        /* After a faulty section line nobody knows where the pairs belong: not to the one before.
         */
        length = *line == '[' ? 3 : 0;
        line = "[?]";
    }
    parser->pair_awaited = length > 0 && *line != '[';
    memcpy(buffer, line, length);
    memcpy(buffer + length, "\n", 2);
    return buffer;
}

static int pairs_add(struct parser *parser, const char *section, const char *key, const char *text)
{
    struct config_pairs *pairs = parser->pairs;
    struct config_pair pair = {parser->line, strdup(section), strdup(key), strdup(text)};
    struct config_pair *items;

    /* Grown by doubling: a file may hold half a million pairs. */
    if ((pairs->count & (pairs->count - 1)) == 0) {
        size_t capacity = pairs->count ? pairs->count * 2 : 1;

        items = reallocarray(pairs->items, capacity, sizeof(*items));
        if (items)
            pairs->items = items;
    } else {
        items = pairs->items;
    }
    if (!items || !pair.section || !pair.key || !pair.text) {
        free(pair.section);
        free(pair.key);
        free(pair.text);
        return -ENOMEM;
    }
    items[pairs->count++] = pair;
    return 0;
}

/* An ini_handler; its answer is of no use, as inih remembers the first line only. */
static int take_pair(void *userdata, const char *section, const char *key, const char *text)
{
    struct parser *parser = userdata;

    if (!key || !text || parser->error < 0)
        return 0;
    parser->pair_awaited = false;
    if (section_known(parser, section, strlen(section)) && key[0])
        parser->error = pairs_add(parser, section, key, text);
    else if (!key[0])
        config_complain(parser->messages, parser->path, parser->line, "there is no key before '='");
    else if (!section[0])
        config_complain(parser->messages, parser->path, parser->line,
                        "%s= stands before the first section; begin the file with [%s]", key,
                        parser->sections[0]);
    return 1;
}

int config_pairs_parse(const char *path, const char *data, size_t size, const char *const *sections,
                       struct config_messages *messages, struct config_pairs *ret_pairs)
{
    struct parser parser = {
        .path = path,
        .data = data,
        .size = size,
        .sections = sections,
        .messages = messages,
    };
    const char *nul = size > 0 ? memchr(data, '\0', size) : NULL;
    struct config_pairs pairs = {0};
    int r;

    *ret_pairs = pairs;
    if (nul) {
        unsigned line = 1;

        for (const char *at = data; at < nul; at++)
            line += *at == '\n';
        config_complain(messages, path, line, "a NUL byte: this is no text file");
        return 0;
    }
    parser.pairs = &pairs;
    r = ini_parse_stream(read_line, &parser, take_pair, &parser);
    if (parser.error < 0 || r == -2) {
        config_pairs_done(&pairs);
        return -ENOMEM;
    }
    *ret_pairs = pairs;
    return 0;
}

void config_pairs_done(struct config_pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++) {
        free(pairs->items[i].section);
        free(pairs->items[i].key);
        free(pairs->items[i].text);
    }
    free(pairs->items);
    *pairs = (struct config_pairs){0};
}

int config_pairs_read(const char *path, const char *const *sections,
                      struct config_messages *messages, struct config_pairs *ret_pairs)
{
    _cleanup_(freep) char *data = malloc(CONFIG_FILE_SIZE_MAX + 1);
    ssize_t size;

    *ret_pairs = (struct config_pairs){0};
    if (!data)
        return -ENOMEM;
    size = config_bytes_read(path, data, CONFIG_FILE_SIZE_MAX + 1);
    if (size > CONFIG_FILE_SIZE_MAX)
        size = -EFBIG;
    if (size < 0) {
        config_complain(messages, path, 0, "cannot be read: %s", strerror((int)-size));
        return 0;
    }
    return config_pairs_parse(path, data, (size_t)size, sections, messages, ret_pairs);
}
