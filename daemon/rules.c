/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/rules.h"

struct freshness_rules rules_freshness(const struct config_resolve *global,
                                       const struct registry_config *own)
{
    return (struct freshness_rules){
        .min_ttl = config_or(own->min_ttl, global->min_ttl),
        .max_ttl = config_or(own->max_ttl, global->max_ttl),
        .negative_ttl = config_or(own->negative_ttl, global->negative_ttl),
        .max_stale = config_or(own->max_stale, global->max_stale),
        .empty_hold = global->empty_hold,
    };
}

struct resolver_rules rules_resolver(const struct config_resolve *global)
{
    return (struct resolver_rules){
        .search = (const char *const *)global->search,
        .search_count = config_strings_count(global->search),
        .ndots = global->ndots,
        .lookup_timeout = global->lookup_timeout,
        .stale_wait = global->stale_wait,
        .idle = global->idle,
    };
}

struct chase_rules rules_chase(const struct config_resolve *global)
{
    return (struct chase_rules){
        .min_ttl = global->min_ttl,
        .max_ttl = global->max_ttl,
        .negative_ttl = global->negative_ttl,
        .max_stale = global->max_stale,
    };
}

struct lookup_limits rules_lookup_limits(const struct config_resolve *global)
{
    return (struct lookup_limits){global->max_connections, global->max_connections_uid,
                                  global->max_new_names_uid};
}

/* What the policies of a name say, or else the global value. */
#define POLICY_OR(policy, global, member)                                                          \
    ((policy)->has_##member ? (policy)->member : (global)->member)

static struct policy_rules rules_selection(const struct config_policy *policy,
                                           const struct config_resolve *global)
{
    return (struct policy_rules){
        .allow_warning = !policy->has_allow_warning || policy->allow_warning,
        .terminating_never = policy->has_terminating && policy->terminating == 1,
        .min_healthy_percent = POLICY_OR(policy, global, min_healthy_percent),
        .zone = POLICY_OR(policy, global, zone_policy),
        .min_zone_endpoints = POLICY_OR(policy, global, min_zone_endpoints),
        .min_zone_share = POLICY_OR(policy, global, min_zone_share),
        .pick = POLICY_OR(policy, global, pick),
    };
}

static struct access access_of(const struct config_policy *policy)
{
    if (policy->has_private && policy->is_private)
        return (struct access){ACCESS_PRIVATE, policy->has_private};
    return (struct access){.kind = ACCESS_ANYBODY};
}

void rules_policy(const struct config *config, const char *name, struct resolver_policy *ret_policy)
{
    struct config_policy policy;

    config_policy_for(config, name, &policy);
    *ret_policy = (struct resolver_policy){
        .rules = rules_selection(&policy, &config->resolve),
        .answers = POLICY_OR(&policy, &config->resolve, answers),
        .wishes = {{
            [STORE_MIN_TTL] = {policy.has_min_ttl, policy.min_ttl},
            [STORE_MAX_TTL] = {policy.has_max_ttl, policy.max_ttl},
            [STORE_NEGATIVE_TTL] = {policy.has_negative_ttl, policy.negative_ttl},
            [STORE_MAX_STALE] = {policy.has_max_stale, policy.max_stale},
            [STORE_EMPTY_PROTECTION] = {policy.has_empty_protection, policy.empty_protection},
        }},
    };
    ret_policy->wishes.access = access_of(&policy);
}

bool rules_veto(const struct config *config, const char *name, struct veto_rules *ret_rules)
{
    struct config_policy policy;
    const char *mistake;

    config_policy_for(config, name, &policy);
    *ret_rules = (struct veto_rules){
        .interval = policy.has_check_interval ? policy.check_interval : VETO_INTERVAL,
        .timeout = policy.has_check_timeout ? policy.check_timeout : VETO_TIMEOUT,
        .failures = policy.has_check_failures ? policy.check_failures : VETO_FAILURES,
        .successes = policy.has_check_successes ? policy.check_successes : VETO_SUCCESSES,
    };
    return policy.has_check && veto_spec_parse(policy.check, &ret_rules->spec, &mistake) >= 0 &&
           !ret_rules->spec.none;
}

bool rules_view(const struct config *config, const char *name, unsigned *ret_limit)
{
    struct config_policy policy;

    config_policy_for(config, name, &policy);
    *ret_limit = POLICY_OR(&policy, &config->resolve, answers);
    return access_of(&policy).kind != ACCESS_PRIVATE;
}
