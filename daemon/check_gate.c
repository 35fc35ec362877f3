/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/check_gate.h"

#include <utlist.h>

/* One after the other: who enters may leave at once. */
static void gate_open(struct check_gate *gate)
{
    unsigned limit = gate->limit ? gate->limit : CHECK_GATE_LIMIT;

    if (gate->opening)
        return;
    gate->opening = true;
    while (gate->waiters && gate->inside < limit) {
        struct check_waiter *waiter = gate->waiters;

        check_gate_forget(gate, waiter);
        gate->inside++;
        waiter->enter(waiter);
    }
    gate->opening = false;
}

void check_gate_enter(struct check_gate *gate, struct check_waiter *waiter)
{
    waiter->waiting = true;
    DL_APPEND(gate->waiters, waiter);
    gate_open(gate);
}

void check_gate_leave(struct check_gate *gate)
{
    gate->inside--;
    gate_open(gate);
}

void check_gate_forget(struct check_gate *gate, struct check_waiter *waiter)
{
    if (!waiter->waiting)
        return;
    waiter->waiting = false;
    DL_DELETE(gate->waiters, waiter);
}
