/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many checks run at one time, in the whole daemon: a limit and a queue, first come, first
 * served. Who waits in it is late, and nothing worse. Pure.
 */
#pragma once

#include "daemon/base.h"

enum { CHECK_GATE_LIMIT = 256 };

struct check_waiter {
    void (*enter)(struct check_waiter *waiter); /* its turn has come: it is inside */
    bool waiting;
    struct check_waiter *prev, *next;
};

/* Zeroed: nobody inside, CHECK_GATE_LIMIT. */
struct check_gate {
    unsigned limit; /* 0: CHECK_GATE_LIMIT */
    unsigned inside;
    bool opening;
    struct check_waiter *waiters;
};

/* Calls `enter`, now or when somebody has left. */
void check_gate_enter(struct check_gate *gate, struct check_waiter *waiter);
/* Who is inside goes. */
void check_gate_leave(struct check_gate *gate);
/* Who waits waits no more; takes one that does not. */
void check_gate_forget(struct check_gate *gate, struct check_waiter *waiter);
