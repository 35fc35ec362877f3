/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The text is cut into words of letters, digits, '_', '.', ':' and '%'; each word is tried as IPv6,
 * whole and behind what is no part of an address ("listen:2001:db8::1"), then each piece between
 * colons as IPv4.
 */
#include "ctl/address_scan.h"

#include <arpa/inet.h>
#include <ctype.h>

enum { WORD_MAX = 128 }; /* a longer one holds no address that people wrote */

struct scan {
    const char *data, *end;
    void (*found)(void *userdata, const struct address_found *found);
    void *userdata;
};

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool in_word(char byte)
{
    return isalnum((unsigned char)byte) || byte == '.' || byte == ':' || byte == '_' || byte == '%';
}

/* The number at `at`, of at most five digits that end where a word ends; 0: none, or no port. */
static unsigned port_at(const char *at, const char *end)
{
    unsigned port = 0;
    const char *digit = at;

    while (digit < end && is_digit(*digit) && digit - at < 6)
        port = port * 10 + (unsigned)(*digit++ - '0');
    if (digit == at || (digit < end && (isalnum((unsigned char)*digit) || *digit == '_')))
        return 0;
    return port <= UINT16_MAX ? port : 0;
}

/* Is what ends at `at` followed by a prefix length other than that of one address? */
static bool is_network(const char *at, const char *end, bool in_url, unsigned whole)
{
    unsigned length = 0;
    const char *digit = at + 1;

    if (in_url || at >= end || *at != '/')
        return false;
    while (digit < end && is_digit(*digit) && digit - at < 5)
        length = length * 10 + (unsigned)(*digit++ - '0');
    if (digit == at + 1 || (digit < end && (isalnum((unsigned char)*digit) || *digit == '.')))
        return false;
    return length < whole;
}

/* "http://10.0.0.5/24": what follows the slash is a path. */
static bool behind_scheme(const struct scan *scan, const char *word)
{
    return word - scan->data >= 2 && word[-1] == '/' && word[-2] == '/';
}

static void unmap(struct address *address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (address->family != AF_INET6 || memcmp(address->bytes, mapped, sizeof(mapped)) != 0)
        return;
    address->family = AF_INET;
    memmove(address->bytes, address->bytes + 12, 4);
    memset(address->bytes + 4, 0, 12);
}

static void tell(const struct scan *scan, const char *text, size_t length, struct address address,
                 unsigned port)
{
    struct address_found found = {address, text, length, port};

    unmap(&found.address);
    scan->found(scan->userdata, &found);
}

/* ---- IPv6 ---- */

static bool try_ipv6(const struct scan *scan, const char *text, size_t length, bool in_url)
{
    char copy[INET6_ADDRSTRLEN];
    struct address address = {.family = AF_INET6};
    const char *scope = memchr(text, '%', length), *behind = text + length;
    bool bracket = text > scan->data && text[-1] == '[' && behind < scan->end && *behind == ']';

    if (scope)
        length = (size_t)(scope - text);
    while (length > 0 && (text[length - 1] == '.' ||
                          (text[length - 1] == ':' && length > 1 && text[length - 2] != ':')))
        length--;
    if (length < 2 || length >= sizeof(copy))
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (inet_pton(AF_INET6, copy, address.bytes) != 1)
        return false;
    if (is_network(behind, scan->end, in_url, 128))
        return true;
    tell(scan, text, length, address,
         bracket && behind + 1 < scan->end && behind[1] == ':' ? port_at(behind + 2, scan->end)
                                                               : 0);
    return true;
}

static bool is_group(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!isxdigit((unsigned char)text[i]))
            return false;
    return true;
}

/* The whole word, or what is behind pieces that cannot belong to an address. */
static bool find_ipv6(const struct scan *scan, const char *word, size_t length)
{
    const char *end = word + length;
    bool in_url = behind_scheme(scan, word);

    for (const char *at = word, *colon; at < end; at = colon + 1) {
        if (try_ipv6(scan, at, (size_t)(end - at), in_url))
            return true;
        colon = memchr(at, ':', (size_t)(end - at));
        if (!colon || is_group(at, (size_t)(colon - at)))
            return false;
    }
    return false;
}

/* ---- IPv4 ---- */

/* Four numbers to 255, of up to three digits: padding with zeros is decimal to people. */
static bool parse_ipv4(const char *text, size_t length, struct address *ret_address)
{
    const char *end = text + length;

    *ret_address = (struct address){.family = AF_INET};
    for (size_t i = 0; i < 4; i++) {
        unsigned number = 0;
        const char *begin = text;

        while (text < end && is_digit(*text) && text - begin < 3)
            number = number * 10 + (unsigned)(*text++ - '0');
        if (text == begin || number > 255 || (i < 3 && (text == end || *text++ != '.')))
            return false;
        ret_address->bytes[i] = (uint8_t)number;
    }
    return text == end;
}

static void find_ipv4(const struct scan *scan, const char *word, size_t length)
{
    const char *end = word + length;
    bool in_url = behind_scheme(scan, word);

    for (const char *piece = word; piece < end;) {
        const char *colon = memchr(piece, ':', (size_t)(end - piece)), *stop = colon ?: end;
        size_t size = (size_t)(stop - piece);
        struct address address;

        if (size > 0 && !colon && piece[size - 1] == '.') /* the end of a sentence */
            size--;
        if (parse_ipv4(piece, size, &address) && (colon || !is_network(end, scan->end, in_url, 32)))
            tell(scan, piece, size, address, colon ? port_at(colon + 1, scan->end) : 0);
        piece = stop + 1;
    }
}

/* ---- words ---- */

static void scan_word(const struct scan *scan, const char *word, size_t length)
{
    size_t dots = 0, colons = 0, digits = 0;

    if (length < 2 || length > WORD_MAX)
        return;
    for (size_t i = 0; i < length; i++) {
        dots += word[i] == '.';
        colons += word[i] == ':';
        digits += is_digit(word[i]);
    }
    if (colons >= 2 && find_ipv6(scan, word, length))
        return;
    if (dots >= 3 && digits >= 4)
        find_ipv4(scan, word, length);
}

void address_scan(const char *data, size_t size,
                  void (*found)(void *userdata, const struct address_found *found), void *userdata)
{
    const struct scan scan = {data, data + size, found, userdata};

    for (const char *at = data; at < scan.end;) {
        const char *word = at;

        while (at < scan.end && in_word(*at))
            at++;
        scan_word(&scan, word, (size_t)(at - word));
        at += at < scan.end;
    }
}
