/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/config_word.h"

#include "nss-sd/name.h"

enum { WORD_MAX = 64 }; /* longer words have no neighbour */

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;

    return least < c ? least : c;
}

/* Edits between two words, a swap of neighbours being one, case ignored. */
static unsigned distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    unsigned rows[3][WORD_MAX + 1]; /* of a[..i-2], a[..i-1], a[..i], in turn */

    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a_length; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        char c = name_fold_byte(a[i - 1]);

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_length; j++) {
            char d = name_fold_byte(b[j - 1]);

            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (c != d));
            if (i > 1 && j > 1 && c == name_fold_byte(b[j - 2]) && d == name_fold_byte(a[i - 2]) &&
                before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
    }
    return rows[a_length % 3][b_length];
}

const char *config_nearest_word(const char *text, const char *const *words)
{
    const char *nearest = NULL;
    size_t length = strlen(text), least = SIZE_MAX;

    if (length == 0 || length > WORD_MAX)
        return NULL;
    for (; *words; words++) {
        size_t word_length = strlen(*words), edits;

        if (word_length > WORD_MAX)
            continue;
        edits = distance(text, length, *words, word_length);
        /* Near: two letters of three are right. */
        if (edits <= (word_length + 2) / 3 && edits < word_length && edits < least) {
            least = edits;
            nearest = *words;
        }
    }
    return nearest;
}
