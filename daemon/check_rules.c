/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/check_rules.h"

static unsigned at_least_one(unsigned number)
{
    return number > 0 ? number : 1;
}

static void take_success(struct check_rules *rules, const struct check_settings *settings,
                         enum check_state result)
{
    rules->failures = 0;
    rules->successes += rules->successes < UINT32_MAX;
    if (rules->successes >= at_least_one(settings->successes_before_passing))
        rules->state = result;
}

static void take_failure(struct check_rules *rules, const struct check_settings *settings)
{
    unsigned critical = at_least_one(settings->failures_before_critical);
    unsigned warning = settings->failures_before_warning ? settings->failures_before_warning
                                                         : critical;

    rules->successes = 0;
    rules->failures += rules->failures < UINT32_MAX;
    if (rules->failures >= critical)
        rules->state = CHECK_CRITICAL;
    else if (rules->failures >= warning && rules->state > CHECK_WARNING)
        rules->state = CHECK_WARNING;
}

enum check_state check_rules_apply(struct check_rules *rules, const struct check_settings *settings,
                                   enum check_state result)
{
    if (result == CHECK_CRITICAL)
        take_failure(rules, settings);
    else
        take_success(rules, settings, result);
    return rules->state;
}
