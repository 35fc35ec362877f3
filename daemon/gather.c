/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/gather.h"

#include "nss-sd/wire.h"

/* What one evaluation may cost, so that names that lead to names in great numbers end: of host
 * names followed, and of endpoints looked at behind them. */
enum { STEPS_MAX = 2 * ENDPOINTS_MAX, STEPS_HOST = 8 };

/*
 * What one name of the walk adds: the state of each family. A walk that ends in addresses has added
 * them to the evaluation; `found` says so.
 */
struct outcome {
    uint8_t status4, status6;
    bool pending4, pending6;
};

/* The owned names that led to where the walk is. */
struct trail {
    const char *name;
    const struct trail *above;
};

struct walk {
    const struct gather *gather;
    struct evaluation *evaluation;
    const struct trail *trail;
    unsigned depth;
    size_t *steps;     /* left */
    unsigned registry; /* whose rules bind the addresses found */
    uint32_t weight;   /* of the endpoint that led here */
    uint16_t endpoint; /* its number */
    uint8_t tier;      /* and its tier */
    bool whole;        /* an alias: the target's own endpoints and weights count */
};

static void gather_owned(struct walk walk, const char *name, const struct resolver_owner *owner,
                         struct outcome *ret_outcome);

static struct outcome outcome_of(enum answer_status status)
{
    return (struct outcome){.status4 = (uint8_t)status, .status6 = (uint8_t)status};
}

/* One thing that the evaluation rests on: how long it holds. */
struct source {
    usec_t confirmed_at; /* 0: never */
    usec_t fresh_until, stale_until;
    usec_t ask_at; /* no use asking again before */
    bool stale;
};

static usec_t earlier(usec_t a, usec_t b)
{
    return a < b ? a : b;
}

static void note_source(struct evaluation *evaluation, const struct source *source)
{
    evaluation->sources++;
    if (source->confirmed_at > 0)
        evaluation->confirmed_at = earlier(evaluation->confirmed_at, source->confirmed_at);
    evaluation->fresh_until = earlier(evaluation->fresh_until, source->fresh_until);
    evaluation->stale_until = earlier(evaluation->stale_until, source->stale_until);
    if (source->stale && source->ask_at > evaluation->ask_at)
        evaluation->ask_at = source->ask_at;
    evaluation->stale |= source->stale;
}

static void note_service(struct evaluation *evaluation, const struct service_facts *facts)
{
    note_source(evaluation, &(struct source){
                                .confirmed_at = facts->confirmed_at,
                                .fresh_until = facts->fresh_until,
                                .stale_until = facts->stale_until,
                                .ask_at = facts->ask_at,
                                .stale = facts->state == FRESHNESS_STALE,
                            });
    evaluation->live = facts->live;
    evaluation->live_registry = facts->registry;
    evaluation->max_stale = facts->max_stale;
}

/* ---- host names that are not ours ---- */

static enum answer_status status_of_chase(enum chase_state state)
{
    switch (state) {
    case CHASE_FOUND:
        return ANSWER_FOUND;
    case CHASE_NO_DATA:
        return ANSWER_NO_DATA;
    case CHASE_ABSENT:
        return ANSWER_ABSENT;
    default:
        return ANSWER_UNDECIDED;
    }
}

/* One family of a link. Returns its status; addresses that the registry may not lead to are left
 * out. */
static enum answer_status gather_half(const struct walk *walk, const struct chase_link *link,
                                      int family, bool *ret_pending)
{
    const struct resolver_hooks *hooks = walk->gather->hooks;
    struct evaluation *evaluation = walk->evaluation;
    struct chase_facts facts;
    bool found = false;

    chase_facts(link, family, walk->gather->now, &facts);
    *ret_pending = facts.state == CHASE_PENDING;
    if (facts.state != CHASE_FOUND)
        return status_of_chase(facts.state);
    for (size_t i = 0; i < facts.count; i++)
        if (!hooks->refusal(hooks->userdata, walk->registry, &facts.addresses[i]))
            found |= evaluation_add(evaluation, &facts.addresses[i], walk->weight, walk->endpoint,
                                    walk->tier);
    note_source(evaluation, &(struct source){
                                .confirmed_at = facts.confirmed_at,
                                .fresh_until = facts.fresh_until,
                                .stale_until = facts.stale_until,
                                .ask_at = facts.ask_at,
                                .stale = facts.stale,
                            });
    return found ? ANSWER_FOUND : ANSWER_NO_DATA;
}

static void gather_foreign(struct walk walk, const char *host, struct outcome *ret_outcome)
{
    const struct gather *gather = walk.gather;
    struct chase_link *link = chase_get(gather->chase, host, gather->now);

    *ret_outcome = outcome_of(ANSWER_UNDECIDED);
    if (!link)
        return;
    gather->depend(gather->userdata, chase_watchers(link));
    ret_outcome->status4 = (uint8_t)gather_half(&walk, link, AF_INET, &ret_outcome->pending4);
    ret_outcome->status6 = (uint8_t)gather_half(&walk, link, AF_INET6, &ret_outcome->pending6);
    if (walk.whole)
        evaluation_set_canonical(walk.evaluation, chase_canonical(link));
}

static bool take_steps(const struct walk *walk, size_t count)
{
    bool enough = count <= *walk->steps;

    *walk->steps -= enough ? count : *walk->steps;
    return enough;
}

static bool on_trail(const struct walk *walk, const char *name)
{
    for (const struct trail *trail = walk->trail; trail; trail = trail->above)
        if (streq(trail->name, name))
            return true;
    return false;
}

/* A host name that a registry gave: owned or not. */
static void gather_host(struct walk walk, const char *host, struct outcome *ret_outcome)
{
    const struct resolver_hooks *hooks = walk.gather->hooks;
    char name[NAME_SIZE];
    struct resolver_owner owner;

    *ret_outcome = outcome_of(ANSWER_UNDECIDED);
    if (walk.depth >= GATHER_DEPTH_MAX || !take_steps(&walk, STEPS_HOST))
        return;
    walk.depth++;
    if (name_fold(host, strlen(host) + 1, name, NULL) == 0) {
        *ret_outcome = outcome_of(ANSWER_NO_DATA);
        return;
    }
    if (!hooks->owner(hooks->userdata, name, &owner)) {
        gather_foreign(walk, name, ret_outcome);
        return;
    }
    if (on_trail(&walk, name))
        return;
    if (walk.whole)
        evaluation_set_canonical(walk.evaluation, name);
    gather_owned(walk, name, &owner, ret_outcome);
}

/* ---- endpoints ---- */

static uint8_t better(uint8_t a, uint8_t b)
{
    /* What one endpoint cannot tell another may: found, then undecided, then the rest. */
    static const uint8_t order[] = {
        [ANSWER_FOUND] = 0,  [ANSWER_UNDECIDED] = 1, [ANSWER_NO_DATA] = 2,
        [ANSWER_ABSENT] = 3, [ANSWER_FOREIGN] = 4,
    };

    return order[a] <= order[b] ? a : b;
}

static void merge(struct outcome *outcome, const struct outcome *more)
{
    outcome->status4 = better(outcome->status4, more->status4);
    outcome->status6 = better(outcome->status6, more->status6);
    outcome->pending4 |= more->pending4;
    outcome->pending6 |= more->pending6;
}

static struct outcome gather_endpoint(struct walk walk, const struct endpoint *endpoint,
                                      uint16_t number, uint8_t tier)
{
    struct outcome outcome = outcome_of(ANSWER_NO_DATA);

    if (walk.whole) {
        walk.weight = endpoint->weight;
        walk.endpoint = number;
        walk.tier = tier;
    }
    for (size_t i = 0; i < endpoint->address_count; i++) {
        const struct address *address = &endpoint->addresses[i];

        if (!evaluation_add(walk.evaluation, address, walk.weight, walk.endpoint, walk.tier))
            break;
        *(address->family == AF_INET ? &outcome.status4 : &outcome.status6) = ANSWER_FOUND;
    }
    if (endpoint->address_count == 0 && *endpoint->target) {
        walk.whole = false;
        gather_host(walk, endpoint->target, &outcome);
    }
    return outcome;
}

/* ---- the policy ---- */

struct veto_case {
    const struct resolver_hooks *hooks;
    const struct gather_case *of;
};

static bool ask_veto(void *userdata, const struct endpoint *endpoint)
{
    const struct veto_case *veto = userdata;

    return veto->hooks->vetoed(veto->hooks->userdata, veto->of->name, veto->of->registry,
                               veto->of->key, endpoint);
}

size_t gather_judge(const struct resolver_hooks *hooks, const struct gather_case *gather_case,
                    struct policy_judgement *ret_judgements, struct policy_summary *ret_summary)
{
    struct veto_case veto = {hooks, gather_case};
    struct policy_host host = {0};

    if (hooks->host)
        hooks->host(hooks->userdata, &host);
    return policy_judge(&(struct policy_question){.set = gather_case->set,
                                                  .selector = gather_case->selector,
                                                  .rules = gather_case->rules,
                                                  .host = &host,
                                                  .service = gather_case->key,
                                                  .headless = gather_case->headless,
                                                  .vetoed = hooks->vetoed ? ask_veto : NULL,
                                                  .userdata = &veto},
                        ret_judgements, ret_summary);
}

/* Nothing usable: absent where the registry's own contract says so. */
static enum answer_status status_of_nothing(const struct service_facts *facts,
                                            const struct selector *selector,
                                            const struct policy_summary *summary)
{
    if (summary->selected == 0 && selector->kind != SELECT_ALL)
        return selector->kind == SELECT_ZONE_PIN ? ANSWER_NO_DATA : ANSWER_ABSENT;
    if (summary->zone == ZONE_STRICT_NONE) /* our rule, not the registry's */
        return ANSWER_NO_DATA;
    return facts->flags & REPORT_EMPTY_IS_ABSENT ? ANSWER_ABSENT : ANSWER_NO_DATA;
}

static void gather_endpoints(struct walk walk, const char *name, const struct policy_rules *rules,
                             const struct service_facts *facts, const struct selector *selector,
                             struct outcome *ret_outcome)
{
    const struct endpoint_set *set = facts->endpoints;
    struct policy_judgement *judgements;
    struct policy_summary summary;
    size_t used;

    *ret_outcome = outcome_of(ANSWER_UNDECIDED);
    if (walk.depth > 0 && !take_steps(&walk, set->count))
        return;
    judgements = malloc(set->count * sizeof(*judgements) + 1);
    if (!judgements)
        return;
    used = gather_judge(walk.gather->hooks,
                        &(struct gather_case){name, facts->registry, facts->key, set, selector,
                                              rules, facts->flags & REPORT_ALL_ANSWERS},
                        judgements, &summary);
    if (walk.whole)
        walk.evaluation->turns = rules->pick == POLICY_PICK_ROUND_ROBIN;
    *ret_outcome = outcome_of(used == 0 ? status_of_nothing(facts, selector, &summary)
                                        : ANSWER_NO_DATA);
    for (uint32_t i = 0; used > 0 && i < set->count; i++) {
        struct outcome one;

        if (!policy_uses(judgements[i].verdict))
            continue;
        one = gather_endpoint(walk, &set->endpoints[i], (uint16_t)i, judgements[i].tier);
        merge(ret_outcome, &one);
    }
    free(judgements);
}

/* ---- owned names ---- */

/* What an earlier run knew is not to come back beside a registry that knows better, so each lookup
 * gives it its chance; but not one that was silent ever since. */
static bool is_worth_waiting(const struct gather *gather, const struct service_facts *facts)
{
    usec_t wait = facts->restored ? gather->restored_wait : gather->stale_wait;

    return gather->now < usec_add(facts->asked_since, wait);
}

/* A family that could not be learned is not absent. */
static void note_undecided(const struct service_facts *facts, struct outcome *outcome)
{
    if (facts->flags & REPORT_IPV4_UNDECIDED && outcome->status4 != ANSWER_FOUND)
        outcome->status4 = ANSWER_UNDECIDED;
    if (facts->flags & REPORT_IPV6_UNDECIDED && outcome->status6 != ANSWER_FOUND)
        outcome->status6 = ANSWER_UNDECIDED;
}

static void gather_data(struct walk walk, const char *name, const struct policy_rules *rules,
                        const struct service_facts *facts, const struct selector *selector,
                        struct outcome *ret_outcome)
{
    struct evaluation *evaluation = walk.evaluation;
    bool stale = facts->state == FRESHNESS_STALE;

    note_service(evaluation, facts);
    if (facts->alias && (!facts->endpoints || facts->endpoints->count == 0)) {
        gather_host(walk, facts->alias, ret_outcome);
    } else {
        if (facts->alias && walk.whole)
            evaluation_set_canonical(evaluation, facts->alias);
        gather_endpoints(walk, name, rules, facts, selector, ret_outcome);
        if (walk.whole && (facts->flags & REPORT_ALL_ANSWERS))
            evaluation->all_answers = true;
    }
    note_undecided(facts, ret_outcome);
    /* A fresher answer is on its way: worth a short wait. */
    if (stale && facts->asking) {
        evaluation->restored |= facts->restored;
        evaluation->soft |= is_worth_waiting(walk.gather, facts);
        /* Nobody was told this lately: worth the wait for a name that is not known. */
        if (facts->shelved && is_worth_waiting(walk.gather, facts))
            ret_outcome->pending4 = ret_outcome->pending6 = true;
    }
}

static void gather_service(struct walk walk, const char *name, struct service *service,
                           const struct selector *selector, struct outcome *ret_outcome)
{
    const struct gather *gather = walk.gather;
    struct resolver_policy policy;
    struct service_facts facts;

    gather->hooks->policy(gather->hooks->userdata, name, &policy);
    store_wish(service, &policy.wishes, gather->now);
    walk.evaluation->access = access_join(walk.evaluation->access, policy.wishes.access);
    gather->depend(gather->userdata, service_watchers(service));
    if (gather->asked)
        store_ask(gather->store, service, gather->now);
    service_facts(service, gather->now, &facts);
    walk.evaluation->proven |= facts.proven;
    switch (facts.state) {
    case FRESHNESS_FRESH:
    case FRESHNESS_STALE:
        gather_data(walk, name, &policy.rules, &facts, selector, ret_outcome);
        return;
    case FRESHNESS_EMPTY:
        *ret_outcome = outcome_of(facts.flags & REPORT_EMPTY_IS_ABSENT ? ANSWER_ABSENT
                                                                       : ANSWER_NO_DATA);
        note_undecided(&facts, ret_outcome);
        break;
    case FRESHNESS_ABSENT:
        *ret_outcome = outcome_of(ANSWER_ABSENT);
        break;
    case FRESHNESS_UNKNOWN:
    case FRESHNESS_EXPIRED:
        *ret_outcome = outcome_of(ANSWER_UNDECIDED);
        ret_outcome->pending4 = ret_outcome->pending6 = facts.asking;
        break;
    }
    note_service(walk.evaluation, &facts);
}

static void gather_owned(struct walk walk, const char *name, const struct resolver_owner *owner,
                         struct outcome *ret_outcome)
{
    const struct gather *gather = walk.gather;
    struct trail trail = {.name = name, .above = walk.trail};
    struct registry_target target = {0};
    struct service *service;

    switch (gather->hooks->meaning(gather->hooks->userdata, owner, name, &target)) {
    case REGISTRY_NOT_MINE:
    case REGISTRY_NO_SUCH_NAME:
        *ret_outcome = outcome_of(owner->shared ? ANSWER_FOREIGN : ANSWER_ABSENT);
        return;
    case REGISTRY_NO_DATA:
        *ret_outcome = outcome_of(ANSWER_NO_DATA);
        return;
    case REGISTRY_TARGET:
        break;
    }
    walk.registry = owner->registry;
    walk.trail = &trail;
    *ret_outcome = outcome_of(ANSWER_UNDECIDED);
    service = store_get(gather->store, owner->registry, target.key, gather->now);
    if (service)
        gather_service(walk, name, service, &target.selector, ret_outcome);
    else
        walk.evaluation->crowded = true;
}

/* Found means records, and only records mean found. */
static uint8_t final_status(const struct evaluation *evaluation, int family, uint8_t status)
{
    if (evaluation_count(evaluation, family) > 0)
        return ANSWER_FOUND;
    return status == ANSWER_FOUND ? ANSWER_NO_DATA : status;
}

void gather_name(const struct gather *gather, const char *name, struct evaluation *evaluation)
{
    const struct resolver_hooks *hooks = gather->hooks;
    size_t steps = STEPS_MAX;
    struct walk walk = {
        .gather = gather, .evaluation = evaluation, .steps = &steps, .weight = 1, .whole = true};
    struct outcome outcome = outcome_of(ANSWER_FOREIGN);
    struct resolver_owner owner;

    evaluation_reset(evaluation);
    if (hooks->owner(hooks->userdata, name, &owner))
        gather_owned(walk, name, &owner, &outcome);
    evaluation_merge(evaluation);
    /* More than one thing to rest on: no one clock tells its validity. */
    evaluation->live &= evaluation->sources == 1;
    evaluation->pending4 = outcome.pending4;
    evaluation->pending6 = outcome.pending6;
    evaluation->status4 = final_status(evaluation, AF_INET, outcome.status4);
    evaluation->status6 = final_status(evaluation, AF_INET6, outcome.status6);
}
