/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/sleep_watch.h"

/* Too short a sleep to lose a connection by. */
#define SLEEP_LEAST (2 * USEC_PER_SEC)
/* As long as an unnoticed loss of a connection may last, and not what mere load does. */
#define FROZEN_LEAST (30 * USEC_PER_SEC)

usec_t sleep_watch_look(struct sleep_watch *watch, usec_t boottime, usec_t monotonic)
{
    struct sleep_watch before = *watch;
    usec_t passed = boottime - before.boottime;

    *watch = (struct sleep_watch){boottime, monotonic};
    if (before.boottime == 0)
        return 0;
    return passed >= monotonic - before.monotonic + SLEEP_LEAST || passed >= FROZEN_LEAST
               ? before.boottime
               : 0;
}
