/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The policy: which endpoints of a service a name hands out, and why not the others.
 *
 * Pure: endpoints, selector and rules in, a verdict an endpoint out. It draws nothing and orders
 * nothing (the module does, per call) and knows neither time nor registries.
 */
#pragma once

#include "daemon/base.h"
#include "daemon/endpoint.h"
#include "daemon/registry/registry.h"

struct policy_rules {
    bool allow_warning;     /* warning counts as ready */
    bool terminating_never; /* else endpoints that are going are the last resort */
};

enum policy_verdict {
    VERDICT_USED,
    VERDICT_NOT_SELECTED, /* the name picks others: tag, host name, port, zone */
    VERDICT_UNHEALTHY,    /* its health word says it */
    VERDICT_WEIGHT_ZERO,
    VERDICT_RESERVE, /* going, or of a lower priority: others are ready */
};

/* "" for VERDICT_USED, else why not, for sdctl. */
const char *policy_reason(enum policy_verdict verdict, const struct endpoint *endpoint);

/*
 * Judges every endpoint: `ret_verdicts` has set->count entries. Returns the number of used ones,
 * and in `ret_selected` how many the selector picks at all, whatever their health.
 */
size_t policy_judge(const struct endpoint_set *set, const struct selector *selector,
                    const struct policy_rules *rules, enum policy_verdict *ret_verdicts,
                    size_t *ret_selected);
