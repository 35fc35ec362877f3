/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/span.h"

#include <stdio.h>

const char *span_to_string(usec_t usec, char buffer[static SPAN_SIZE])
{
    static const struct {
        const char *name;
        usec_t length;
    } units[] = {
        {"y", 31557600 * USEC_PER_SEC},
        {"month", 2629800 * USEC_PER_SEC},
        {"w", 604800 * USEC_PER_SEC},
        {"d", 86400 * USEC_PER_SEC},
        {"h", 3600 * USEC_PER_SEC},
        {"min", 60 * USEC_PER_SEC},
        {"s", USEC_PER_SEC},
        {"ms", USEC_PER_MSEC},
        {"us", 1},
    };
    size_t length = 0;

    strcpy(buffer, "0");
    for (size_t i = 0, said = 0; i < ELEMENTS(units) && said < 2; i++) {
        unsigned long long count = usec / units[i].length;

        /* Below a second one unit says enough. */
        if (count == 0 || (said > 0 && units[i].length < USEC_PER_SEC))
            continue;
        length += (size_t)snprintf(buffer + length, SPAN_SIZE - length, "%s%llu%s", said ? " " : "",
                                   count, units[i].name);
        usec %= units[i].length;
        said += units[i].length < USEC_PER_SEC ? 2 : 1;
    }
    return buffer;
}
