/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Expectations: the clauses behind "->", with commas between. They are compared with what came,
 * which is a text of the same kind; a mismatch fails the machine.
 */
#pragma once

#include "tests/replay/scenario_machine.h"
#include "tests/replay/scenario_text.h"

/* All facts that a clause may ask for. */
struct came {
    const char
        *outcome; /* "found 10.0.0.1", "fresh", "3": what the first clause is compared with */
    const struct reply *reply; /* NULL: the clauses about replies do not apply */
    usec_t age, took;          /* USEC_INFINITY: not known */
};

void expect_came(struct machine *machine, const struct statement *statement,
                 const struct came *came);
/* A number, with "<=" or ">=" before it where the scenario is not exact. */
void expect_number(struct machine *machine, const struct statement *statement, unsigned number);
