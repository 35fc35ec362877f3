/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From the results of runs to the state of a check: how many in a row it takes. Pure.
 *
 * Consul's rules (documentation of success_before_passing, failures_before_warning and
 * failures_before_critical), with one difference: a failure never makes a state better.
 */
#pragma once

#include "daemon/check_settings.h"

struct check_rules {
    enum check_state state;
    unsigned successes, failures; /* in a row */
};

/* The state after a run that said `result`. */
enum check_state check_rules_apply(struct check_rules *rules, const struct check_settings *settings,
                                   enum check_state result);
