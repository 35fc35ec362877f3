/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/text.h"

#include <stdint.h>

void out_of_memory(void)
{
    fputs("sdctl: out of memory\n", stderr);
    exit(EXIT_FAILURE);
}

/* ---- harmless text ---- */

/* The code point at `text` and its length in bytes; UINT32_MAX and 1 for what is not UTF-8. */
static size_t decode(const unsigned char *text, uint32_t *ret_point)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = text[0] < 0x80             ? 1
                    : (text[0] & 0xe0) == 0xc0 ? 2
                    : (text[0] & 0xf0) == 0xe0 ? 3
                    : (text[0] & 0xf8) == 0xf0 ? 4
                                               : 0;
    uint32_t point = length == 1 ? text[0] : text[0] & (0x7fu >> length);

    *ret_point = UINT32_MAX;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 1;
        point = point << 6 | (text[i] & 0x3fu);
    }
    if (length == 0 || point < smallest[length] || point > 0x10ffff ||
        (point >= 0xd800 && point < 0xe000))
        return 1;
    *ret_point = point;
    return length;
}

/* Unicode's control, line-breaking, direction and invisible characters. */
static bool point_harmless(uint32_t point)
{
    static const struct {
        uint32_t first, last;
    } harmful[] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},     {0x061c, 0x061c},   {0x200b, 0x200f},
        {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xe0000, 0xe0fff}, {0xfff9, 0xfffb},
    };

    for (size_t i = 0; i < ELEMENTS(harmful); i++)
        if (point >= harmful[i].first && point <= harmful[i].last)
            return false;
    return point <= 0x10ffff;
}

char *text_printable(const char *text)
{
    enum { ESCAPED = sizeof("\\u123456") - 1 };
    char *printable = malloc(strlen(text) * ESCAPED + 1), *end = printable;

    if (!printable)
        out_of_memory();
    while (*text) {
        uint32_t point;
        size_t length = decode((const unsigned char *)text, &point);

        if (point_harmless(point)) {
            memcpy(end, text, length);
            end += length;
        } else if (point <= 0xff || point == UINT32_MAX) {
            end += sprintf(end, "\\x%02x", point <= 0xff ? point : (unsigned char)*text);
        } else {
            end += sprintf(end, "\\u%04x", point);
        }
        text += length;
    }
    *end = '\0';
    return printable;
}

size_t text_width(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        if (((unsigned char)*text & 0xc0) != 0x80)
            width++;
    return width;
}

/* ---- styles ---- */

enum style style_of_word(const char *word)
{
    static const struct {
        const char *word;
        enum style style;
    } words[] = {
        {"up", STYLE_GOOD},
        {"fresh", STYLE_GOOD},
        {"passing", STYLE_GOOD},
        {"starting", STYLE_DOUBTFUL},
        {"stale", STYLE_DOUBTFUL},
        {"warning", STYLE_DOUBTFUL},
        {"terminating", STYLE_DOUBTFUL},
        {"unknown", STYLE_DOUBTFUL},
        {"down", STYLE_BAD},
        {"expired", STYLE_BAD},
        {"critical", STYLE_BAD},
        {"maintenance", STYLE_BAD},
        {"error", STYLE_BAD},
    };

    for (size_t i = 0; i < ELEMENTS(words); i++)
        if (streq(words[i].word, word))
            return words[i].style;
    return STYLE_PLAIN;
}

bool style_wanted(void)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && !(no_color && *no_color) && term && *term &&
           !streq(term, "dumb");
}

const char *style_begin(enum style style)
{
    static const char *const sequences[] = {
        [STYLE_PLAIN] = "",        [STYLE_HEADING] = "\033[1m",
        [STYLE_GOOD] = "\033[32m", [STYLE_DOUBTFUL] = "\033[33m",
        [STYLE_BAD] = "\033[31m",
    };

    return style_wanted() ? sequences[style] : "";
}

const char *style_end(enum style style)
{
    return style != STYLE_PLAIN && style_wanted() ? "\033[0m" : "";
}
