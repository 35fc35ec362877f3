/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verbs of the language: what each statement of a scenario does to the machine. */
#pragma once

#include "tests/replay/scenario_text.h"

#include <stdio.h>

/*
 * Runs the scenario. NULL: all its expectations hold; else "FILE:LINE: what was expected, what
 * came" (free it). `transcript` may be NULL.
 */
char *scenario_run(const struct scenario *scenario, uint64_t seed, FILE *transcript);
