/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a full fetch may take instances away (guard.h). */
#include "daemon/registry/eureka/guard.h"

#include <stdio.h>

bool eureka_guard_judge(struct eureka_guard *guard, unsigned known, unsigned lost, unsigned listed,
                        bool first, bool restarted, usec_t now)
{
    bool empty = first && listed == 0;

    if (eureka_guard_doubts(guard))
        return true;
    if (!empty && !(lost > 0 && (restarted || lost > known / 2)))
        return false;
    guard->until = usec_add(now, EUREKA_GUARD_TIME);
    if (empty)
        snprintf(guard->text, sizeof(guard->text),
                 "the server listed nothing at all when it was first asked");
    else
        snprintf(guard->text, sizeof(guard->text), "the server %s and lists %u of %u instances",
                 restarted ? "was restarted" : "has lost many", known - lost, known);
    return true;
}

void eureka_guard_end(struct eureka_guard *guard)
{
    *guard = (struct eureka_guard){0};
}
