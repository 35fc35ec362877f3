/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Host names as module and daemon agree on them.
 *
 * A name is at most 253 bytes of ASCII in labels of 1 to 63 bytes, letters, digits, '-' and '_'
 * (RFC 1123 2.1; '_' because RFC 2782 names and real registries use it). Inside nss-sd a name is
 * always *folded*: lower case, without the trailing dot. This file owns that rule. It is pure: no
 * libc call, no allocation, no locale, so the module may use it anywhere.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { NAME_MAX_LENGTH = 253, NAME_SIZE = 254, NAME_LABEL_MAX = 63 };

static inline char name_fold_byte(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* May this byte stand in a label? `c` is folded. */
static inline bool name_byte_ok(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/*
 * Folds `text` (NUL-terminated or `size` bytes, whichever ends first) into `ret_name`, which is
 * NUL-terminated on success. Returns the folded length (1 to 253), or 0 when the text is not a name:
 * empty, overlong, an empty or overlong label, or a foreign byte. `ret_rooted` (may be NULL) says
 * whether one trailing dot was taken off.
 */
static inline size_t name_fold(const char *text, size_t size, char ret_name[static NAME_SIZE],
                               bool *ret_rooted)
{
    size_t length = 0, label = 0;

    if (ret_rooted)
        *ret_rooted = false;
    for (size_t i = 0; i < size && text[i] != '\0'; i++) {
        char c = name_fold_byte(text[i]);

        if (c == '.') {
            if (label == 0)
                return 0;
            if (i + 1 == size || text[i + 1] == '\0') {
                if (ret_rooted)
                    *ret_rooted = true;
                break;
            }
            label = 0;
        } else if (!name_byte_ok(c) || ++label > NAME_LABEL_MAX) {
            return 0;
        }
        if (length == NAME_MAX_LENGTH)
            return 0;
        ret_name[length++] = c;
    }
    ret_name[length] = '\0';
    return length;
}

/* Is `name` (folded, `length` bytes) equal to `domain`, or below it? Both without trailing dot. */
static inline bool name_below(const char *name, size_t length, const char *domain,
                              size_t domain_length)
{
    if (domain_length == 0 || domain_length > length)
        return false;
    if (domain_length < length && name[length - domain_length - 1] != '.')
        return false;
    for (size_t i = 0; i < domain_length; i++)
        if (name[length - domain_length + i] != domain[i])
            return false;
    return true;
}

static inline unsigned name_dots(const char *name, size_t length)
{
    unsigned dots = 0;

    for (size_t i = 0; i < length; i++)
        dots += name[i] == '.';
    return dots;
}
