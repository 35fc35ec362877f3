/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When to poll (cadence.h). */
#include "daemon/registry/eureka/cadence.h"

#include <stdio.h>
#include <time.h>

int eureka_date_from_string(const char *text, uint64_t *ret_seconds)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm = {0};
    char month[4];
    const char *found;
    time_t seconds;
    int used = 0;

    if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &tm.tm_mday, month,
               &tm.tm_year, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) != 6 ||
        used == 0 || text[used] != '\0' || strlen(month) != 3)
        return -EINVAL;
    found = strstr(months, month);
    if (!found || (found - months) % 3 != 0)
        return -EINVAL;
    tm.tm_mon = (int)(found - months) / 3;
    tm.tm_year -= 1900;
    seconds = timegm(&tm);
    if (seconds < 0)
        return -EINVAL;
    *ret_seconds = (uint64_t)seconds;
    return 0;
}

/* A Date is cut to the second, so the server's clock was between it and a second more. */
void eureka_cadence_note(struct eureka_cadence *cadence, uint64_t seconds, usec_t sent,
                         usec_t received)
{
    int64_t date = (int64_t)(seconds * USEC_PER_SEC);
    int64_t least = date - (int64_t)received, most = date + (int64_t)USEC_PER_SEC - (int64_t)sent;

    if (seconds > (uint64_t)INT64_MAX / USEC_PER_SEC / 2)
        return;
    if (cadence->known && least < cadence->most && cadence->least < most) {
        /* Every response narrows it down. */
        least = least > cadence->least ? least : cadence->least;
        most = most < cadence->most ? most : cadence->most;
    }
    *cadence = (struct eureka_cadence){.known = true, .least = least, .most = most};
}

usec_t eureka_cadence_next(const struct eureka_cadence *cadence, usec_t now, usec_t period,
                           uint64_t random)
{
    /* A hundredth to a twenty-fifth of the period: 0.3 s to 1.2 s of 30 s. */
    usec_t margin = period / 100 + random % (period / 100 * 3 + 1);
    int64_t there = (int64_t)now + cadence->least, step = (int64_t)period;
    usec_t since_last;

    if (!cadence->known)
        return usec_add(now, period);
    since_last = (usec_t)((there % step + step) % step);
    return usec_add(now, period - since_last + margin);
}
