/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text for a terminal: what came from outside made harmless, styles only where they are
 * wanted. Nothing here knows the daemon.
 */
#pragma once

#include <stdio.h>

#include "daemon/base.h"

/* What a tool that lives for one call does without memory: says so and ends. */
_Noreturn void out_of_memory(void);

/*
 * A copy in which nothing can move the cursor, change colours or reorder the line: control
 * characters (C0, DEL, C1, the direction and invisible ones of Unicode) and bytes that are not
 * UTF-8 become \xNN or \uNNNN. Never NULL: ends the program when memory is out.
 */
char *text_printable(const char *text);

/* Columns that a printable text takes, as far as one code point is one column. */
size_t text_width(const char *text);

/* How something is meant; PLAIN where no colours are wanted. */
enum style { STYLE_PLAIN, STYLE_HEADING, STYLE_GOOD, STYLE_DOUBTFUL, STYLE_BAD };

/* The style that the daemon's own words for states and health stand for. */
enum style style_of_word(const char *word);

/* Is stdout a terminal with colours that nobody switched off (NO_COLOR, TERM=dumb)? */
bool style_wanted(void);
/* Sequences to begin and end a style on stdout; "" when it is not wanted or is PLAIN. */
const char *style_begin(enum style style);
const char *style_end(enum style style);
