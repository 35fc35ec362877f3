/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/policy.h"

#include <stdio.h>
#include <strings.h>

const char *policy_reason(enum policy_verdict verdict, const struct endpoint *endpoint)
{
    switch (verdict) {
    case VERDICT_USED:
        return "";
    case VERDICT_NOT_SELECTED:
        return "not selected by this name";
    case VERDICT_UNHEALTHY:
        return endpoint_health_to_string(endpoint->health);
    case VERDICT_WEIGHT_ZERO:
        return "weight 0";
    case VERDICT_RESERVE:
        return endpoint->health == HEALTH_TERMINATING ? "terminating, others are ready"
                                                      : "lower priority, others are ready";
    }
    return "";
}

static bool has_tag(const struct endpoint *endpoint, const char *tag)
{
    for (size_t i = 0; i < endpoint->tag_count; i++)
        if (strcasecmp(endpoint->tags[i], tag) == 0)
            return true;
    return false;
}

static bool has_port(const struct endpoint *endpoint, const char *wanted)
{
    char text[2 * ENDPOINT_STRING_MAX];

    for (size_t i = 0; i < endpoint->port_count; i++) {
        snprintf(text, sizeof(text), "%s/%s", endpoint->ports[i].name, endpoint->ports[i].protocol);
        if (strcasecmp(text, wanted) == 0)
            return true;
    }
    return false;
}

static bool selected(const struct endpoint *endpoint, const struct selector *selector,
                     bool zone_known)
{
    switch (selector->kind) {
    case SELECT_ALL:
        return true;
    case SELECT_TAG:
        return has_tag(endpoint, selector->value);
    case SELECT_HOST:
        return strcasecmp(endpoint->hostname, selector->value) == 0;
    case SELECT_PORT:
        return has_port(endpoint, selector->value);
    case SELECT_ZONE_PREFER:
        if (!zone_known)
            return true;
        return strcasecmp(endpoint->zone, selector->value) == 0;
    case SELECT_ZONE_PIN:
        return strcasecmp(endpoint->zone, selector->value) == 0;
    }
    return false;
}

/* Ready, ready as a last resort, or not at all. */
static enum policy_verdict judge_health(const struct endpoint *endpoint,
                                        const struct policy_rules *rules)
{
    switch (endpoint->health) {
    case HEALTH_PASSING:
        break;
    case HEALTH_WARNING:
        if (!rules->allow_warning)
            return VERDICT_UNHEALTHY;
        break;
    case HEALTH_TERMINATING:
        return rules->terminating_never ? VERDICT_UNHEALTHY : VERDICT_RESERVE;
    default:
        return VERDICT_UNHEALTHY;
    }
    return endpoint->weight == 0 ? VERDICT_WEIGHT_ZERO : VERDICT_USED;
}

static bool zone_has_any(const struct endpoint_set *set, const struct selector *selector)
{
    for (uint32_t i = 0; selector->kind == SELECT_ZONE_PREFER && i < set->count; i++)
        if (set->endpoints[i].health <= HEALTH_WARNING &&
            strcasecmp(set->endpoints[i].zone, selector->value) == 0)
            return true;
    return false;
}

/* Only the best priority that has a ready endpoint is used. */
static size_t keep_best_priority(const struct endpoint_set *set, enum policy_verdict *verdicts)
{
    uint16_t best = UINT16_MAX;
    size_t used = 0;

    for (uint32_t i = 0; i < set->count; i++)
        if (verdicts[i] == VERDICT_USED && set->endpoints[i].priority < best)
            best = set->endpoints[i].priority;
    for (uint32_t i = 0; i < set->count; i++) {
        if (verdicts[i] != VERDICT_USED)
            continue;
        if (set->endpoints[i].priority == best)
            used++;
        else
            verdicts[i] = VERDICT_RESERVE;
    }
    return used;
}

size_t policy_judge(const struct endpoint_set *set, const struct selector *selector,
                    const struct policy_rules *rules, enum policy_verdict *ret_verdicts,
                    size_t *ret_selected)
{
    bool zone_known = zone_has_any(set, selector);
    size_t used = 0;

    *ret_selected = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        ret_verdicts[i] = VERDICT_NOT_SELECTED;
        if (!selected(&set->endpoints[i], selector, zone_known))
            continue;
        (*ret_selected)++;
        ret_verdicts[i] = judge_health(&set->endpoints[i], rules);
        used += ret_verdicts[i] == VERDICT_USED;
    }
    /* Nothing ready: those that are going still serve. */
    for (uint32_t i = 0; used == 0 && i < set->count; i++)
        if (ret_verdicts[i] == VERDICT_RESERVE)
            ret_verdicts[i] = VERDICT_USED;
    return keep_best_priority(set, ret_verdicts);
}
