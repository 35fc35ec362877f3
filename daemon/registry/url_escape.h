/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text inside a query or a form (RFC 3986 2.1): the one way in which registries escape it. Pure. */
#pragma once

#include <stdio.h>

/* Writes `text`, with %XX in the place of all but the unreserved characters and those of `also`. */
void url_escape(FILE *stream, const char *text, const char *also);
