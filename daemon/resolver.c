/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/resolver_internal.h"

struct resolver *resolver_new(const struct resolver_hooks *hooks, struct store *store,
                              struct chase *chase, const struct resolver_rules *rules)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));

    if (!resolver)
        return NULL;
    resolver->hooks = *hooks;
    resolver->store = store;
    resolver->chase = chase;
    resolver->rules = *rules;
    return resolver;
}

struct resolver *resolver_free(struct resolver *resolver)
{
    if (!resolver)
        return NULL;
    resolver_lookups_end(resolver);
    /* What is published outlives the daemon. */
    resolver->hooks.withdraw = NULL;
    while (resolver->names)
        resolver_name_free(resolver->names);
    free(resolver);
    return NULL;
}

void resolver_set_rules(struct resolver *resolver, const struct resolver_rules *rules)
{
    resolver->rules = *rules;
    resolver_republish(resolver, false);
}

void resolver_run(struct resolver *resolver, usec_t now)
{
    resolver_names_run(resolver, now);
    resolver_lookups_run(resolver, now);
    resolver_names_rank(resolver, now);
}

struct resolver_counters *resolver_counters(struct resolver *resolver)
{
    return &resolver->counters;
}
