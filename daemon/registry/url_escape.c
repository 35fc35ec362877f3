/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/url_escape.h"

#include <string.h>

void url_escape(FILE *stream, const char *text, const char *also)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-._~";

    for (; *text; text++)
        if (strchr(unreserved, *text) || strchr(also, *text))
            fputc(*text, stream);
        else
            fprintf(stream, "%%%02X", (unsigned char)*text);
}
