/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/gai_conf.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stdio.h>

enum { WORDS = 3, WORD_SIZE = 128 };

#define MAPPED 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff

/* RFC 3484, with what glibc changed: site-local, unique local and Teredo have labels. */
static const struct gai_prefix default_labels[] = {
    {{[15] = 1}, 128, 0},        {{0x20, 0x02}, 16, 2}, {{0}, 96, 3},
    {{MAPPED}, 96, 4},           {{0xfe, 0xc0}, 10, 5}, {{0xfc}, 7, 6},
    {{0x20, 0x01, 0, 0}, 32, 7}, {{0}, 0, 1},
};
static const struct gai_prefix default_precedences[] = {
    {{[15] = 1}, 128, 50}, {{0x20, 0x02}, 16, 30}, {{0}, 96, 20}, {{MAPPED}, 96, 10}, {{0}, 0, 40},
};
static const struct gai_scope default_scopes[] = {
    {UINT32_C(0xa9fe0000), UINT32_C(0xffff0000), 2}, /* 169.254.0.0/16 */
    {UINT32_C(0x7f000000), UINT32_C(0xff000000), 2}, /* 127.0.0.0/8 */
    {0, 0, 14},
};

/* ---- growing tables ---- */

/* Room for one more. */
static void *grown(void *table, size_t count, size_t item_size)
{
    if (count & (count - 1)) /* room is a power of two */
        return table;
    return realloc(table, (count ? 2 * count : 1) * item_size);
}

static int prefix_add(struct gai_prefix **table, size_t *count, const struct gai_prefix *prefix)
{
    struct gai_prefix *bigger = grown(*table, *count, sizeof(*prefix));

    if (!bigger)
        return -ENOMEM;
    *table = bigger;
    bigger[(*count)++] = *prefix;
    return 0;
}

static int scope_add(struct gai_conf *conf, const struct gai_scope *scope)
{
    struct gai_scope *bigger = grown(conf->scopes, conf->scope_count, sizeof(*scope));

    if (!bigger)
        return -ENOMEM;
    conf->scopes = bigger;
    bigger[conf->scope_count++] = *scope;
    return 0;
}

/* ---- lines ---- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The first three words, "" where there are fewer. False: one is too long to mean anything. */
static bool split(const char *line, size_t size, char ret_words[WORDS][WORD_SIZE])
{
    size_t at = 0;

    for (size_t i = 0; i < WORDS; i++) {
        size_t length = 0;

        while (at < size && is_space(line[at]))
            at++;
        while (at + length < size && !is_space(line[at + length]))
            length++;
        if (length >= WORD_SIZE)
            return false;
        memcpy(ret_words[i], line + at, length);
        ret_words[i][length] = '\0';
        at += length;
    }
    return true;
}

static bool parse_number(const char *text, unsigned long max, unsigned long *ret_number)
{
    char *end;

    errno = 0;
    *ret_number = strtoul(text, &end, 10);
    return end != text && *end == '\0' && errno == 0 && *ret_number <= max;
}

/* ADDRESS[/BITS]: cuts the text at the slash. Without bits, `*ret_bits` stays as it is. */
static bool cut_bits(char *text, unsigned long max, unsigned long *ret_bits)
{
    char *slash = strchr(text, '/');

    if (!slash)
        return true;
    *slash = '\0';
    return parse_number(slash + 1, max, ret_bits);
}

static int take_prefix(char words[WORDS][WORD_SIZE], struct gai_prefix **table, size_t *count)
{
    struct gai_prefix prefix;
    unsigned long bits = 128, value;

    if (!cut_bits(words[1], 128, &bits) || inet_pton(AF_INET6, words[1], prefix.address) != 1 ||
        !parse_number(words[2], INT_MAX, &value))
        return 0;
    prefix.bits = (uint8_t)bits;
    prefix.value = (uint32_t)value;
    return prefix_add(table, count, &prefix);
}

/* An IPv4 prefix, written as such or as a part of ::ffff:0:0/96. */
static int take_scope(struct gai_conf *conf, char words[WORDS][WORD_SIZE])
{
    static const uint8_t mapped[] = {MAPPED};
    bool has_bits = strchr(words[1], '/');
    unsigned long bits = 128, value;
    struct gai_scope scope;
    uint8_t address[16];

    if (!cut_bits(words[1], 128, &bits) || !parse_number(words[2], INT_MAX, &value))
        return 0;
    if (inet_pton(AF_INET, words[1], address + sizeof(mapped)) == 1) {
        if (has_bits && bits > 32)
            return 0;
        bits = has_bits ? bits + 96 : 128;
    } else if (inet_pton(AF_INET6, words[1], address) != 1 ||
               memcmp(address, mapped, sizeof(mapped)) != 0 || bits < 96) {
        return 0;
    }
    memcpy(&scope.address, address + sizeof(mapped), sizeof(scope.address));
    scope.mask = bits == 96 ? 0 : UINT32_MAX << (128 - bits);
    scope.address = ntohl(scope.address) & scope.mask;
    scope.value = (uint32_t)value;
    return scope_add(conf, &scope);
}

static int take_line(struct gai_conf *conf, const char *line, size_t size)
{
    char words[WORDS][WORD_SIZE];

    if (!split(line, size, words))
        return 0;
    if (streq(words[0], "label"))
        return take_prefix(words, &conf->labels, &conf->label_count);
    if (streq(words[0], "precedence"))
        return take_prefix(words, &conf->precedences, &conf->precedence_count);
    if (streq(words[0], "scopev4"))
        return take_scope(conf, words);
    if (streq(words[0], "reload"))
        conf->reload = streq(words[1], "yes");
    return 0;
}

/* ---- tables ---- */

/* The most specific first; the order of the file among equals. */
static void sort_prefixes(struct gai_prefix *table, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct gai_prefix moved = table[i];
        size_t at = i;

        for (; at > 0 && table[at - 1].bits < moved.bits; at--)
            table[at] = table[at - 1];
        table[at] = moved;
    }
}

static void sort_scopes(struct gai_scope *table, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct gai_scope moved = table[i];
        size_t at = i;

        for (; at > 0 && table[at - 1].mask < moved.mask; at--)
            table[at] = table[at - 1];
        table[at] = moved;
    }
}

/* A table of the file replaces the built-in one, but for what holds all the rest. */
static int complete_prefixes(struct gai_prefix **table, size_t *count,
                             const struct gai_prefix *defaults, size_t default_count)
{
    size_t from = *count > 0 ? default_count - 1 : 0;
    int r = 0;

    sort_prefixes(*table, *count);
    if (*count > 0 && (*table)[*count - 1].bits == 0)
        return 0;
    for (size_t i = from; r >= 0 && i < default_count; i++)
        r = prefix_add(table, count, &defaults[i]);
    return r;
}

static int complete_scopes(struct gai_conf *conf)
{
    size_t from = conf->scope_count > 0 ? ELEMENTS(default_scopes) - 1 : 0;
    int r = 0;

    sort_scopes(conf->scopes, conf->scope_count);
    if (conf->scope_count > 0 && conf->scopes[conf->scope_count - 1].mask == 0)
        return 0;
    for (size_t i = from; r >= 0 && i < ELEMENTS(default_scopes); i++)
        r = scope_add(conf, &default_scopes[i]);
    return r;
}

static int complete(struct gai_conf *conf)
{
    int r;

    conf->lines = conf->label_count + conf->precedence_count + conf->scope_count;
    r = complete_prefixes(&conf->labels, &conf->label_count, default_labels,
                          ELEMENTS(default_labels));
    if (r >= 0)
        r = complete_prefixes(&conf->precedences, &conf->precedence_count, default_precedences,
                              ELEMENTS(default_precedences));
    return r < 0 ? r : complete_scopes(conf);
}

/* Up to a comment, or to where a string of C ends. */
static size_t line_length(const char *line, size_t size)
{
    size_t length = 0;

    while (length < size && line[length] != '#' && line[length] != '\0')
        length++;
    return length;
}

int gai_conf_parse(const char *data, size_t size, struct gai_conf **ret_conf)
{
    struct gai_conf *conf;
    int r = 0;

    if (size > GAI_CONF_SIZE_MAX)
        return -E2BIG;
    conf = calloc(1, sizeof(*conf));
    if (!conf)
        return -ENOMEM;
    while (r >= 0 && size > 0) {
        const char *newline = memchr(data, '\n', size);
        size_t length = newline ? (size_t)(newline - data) : size;

        r = take_line(conf, data, line_length(data, length));
        length += newline ? 1 : 0;
        data += length;
        size -= length;
    }
    if (r >= 0)
        r = complete(conf);
    if (r < 0) {
        gai_conf_free(conf);
        return r;
    }
    *ret_conf = conf;
    return 0;
}

struct gai_conf *gai_conf_free(struct gai_conf *conf)
{
    if (!conf)
        return NULL;
    free(conf->labels);
    free(conf->precedences);
    free(conf->scopes);
    free(conf);
    return NULL;
}

/* ---- questions ---- */

static bool prefix_holds(const struct gai_prefix *prefix, const uint8_t address[static 16])
{
    size_t whole = prefix->bits / 8;
    unsigned mask = 0xff00u >> prefix->bits % 8 & 0xffu;

    return memcmp(prefix->address, address, whole) == 0 &&
           (whole == 16 || (prefix->address[whole] & mask) == (address[whole] & mask));
}

static uint32_t find_value(const struct gai_prefix *table, size_t count,
                           const uint8_t address[static 16])
{
    for (size_t i = 0; i + 1 < count; i++)
        if (prefix_holds(&table[i], address))
            return table[i].value;
    return table[count - 1].value;
}

uint32_t gai_conf_label(const struct gai_conf *conf, const uint8_t mapped[static 16])
{
    return find_value(conf->labels, conf->label_count, mapped);
}

uint32_t gai_conf_precedence(const struct gai_conf *conf, const uint8_t mapped[static 16])
{
    return find_value(conf->precedences, conf->precedence_count, mapped);
}

uint32_t gai_conf_scope4(const struct gai_conf *conf, uint32_t address)
{
    size_t i = 0;

    while (i + 1 < conf->scope_count && (address & conf->scopes[i].mask) != conf->scopes[i].address)
        i++;
    return conf->scopes[i].value;
}
