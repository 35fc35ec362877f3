/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/policy.h"

#include <math.h>
#include <stdio.h>
#include <strings.h>

#include "nss-sd/siphash.h"

/* ---- words ---- */

const char *policy_reason(enum policy_verdict verdict, const struct endpoint *endpoint)
{
    static const char *const reasons[] = {
        [VERDICT_USED] = "",
        [VERDICT_USED_TERMINATING] = "used although terminating: none is ready",
        [VERDICT_USED_PANIC] = "used although unhealthy: too few are healthy",
        [VERDICT_USED_VETOED] = "used although our check fails: it fails for all",
        [VERDICT_NOT_SELECTED] = "not selected by this name",
        [VERDICT_UNHEALTHY] = "",
        [VERDICT_WEIGHT_ZERO] = "weight 0",
        [VERDICT_VETOED] = "our check fails",
        [VERDICT_TERMINATING] = "terminating, others are ready",
        [VERDICT_LOWER_PRIORITY] = "lower priority, others are ready",
        [VERDICT_OTHER_ZONE] = "in another zone",
    };

    return verdict == VERDICT_UNHEALTHY ? endpoint_health_to_string(endpoint->health)
                                        : reasons[verdict];
}

const char *policy_zone_text(enum policy_zone_outcome outcome)
{
    static const char *const texts[] = {
        [ZONE_IGNORED] = "zones are ignored",
        [ZONE_UNKNOWN_HOST] = "the zone of this host is not known",
        [ZONE_UNKNOWN_ENDPOINTS] = "no endpoint says its zone",
        [ZONE_OWN] = "own zone alone",
        [ZONE_STRICT_NONE] = "none is ready in the own zone, others are not allowed",
        [ZONE_SPILL_NONE] = "all zones: none is ready in the own one",
        [ZONE_SPILL_FEW] = "all zones: the own one has fewer endpoints than MinZoneEndpoints=",
        [ZONE_SPILL_SHARE] = "all zones: the own one has less of the weight than MinZoneShare=",
    };

    return texts[outcome];
}

/* ---- what the rules hand on to each other ---- */

struct court {
    const struct policy_question *question;
    const struct policy_rules *rules;
    const struct endpoint *endpoints;
    uint32_t count;
    struct policy_judgement *judgements;
    struct policy_summary *summary;
    const char *zone; /* of the host, where zones matter; else "" */
};

static bool is_used(const struct court *court, uint32_t i)
{
    return policy_uses(court->judgements[i].verdict);
}

static bool is_vetoed(const struct court *court, uint32_t i)
{
    const struct policy_question *question = court->question;

    return question->vetoed && question->vetoed(question->userdata, &court->endpoints[i]);
}

static bool in_own_zone(const struct court *court, uint32_t i)
{
    return strcasecmp(court->endpoints[i].zone, court->zone) == 0;
}

static size_t count_used(const struct court *court)
{
    size_t used = 0;

    for (uint32_t i = 0; i < court->count; i++)
        used += is_used(court, i);
    return used;
}

/* ---- health ---- */

static bool is_ready(const struct endpoint *endpoint, const struct policy_rules *rules)
{
    return endpoint->health == HEALTH_PASSING ||
           (endpoint->health == HEALTH_WARNING && rules->allow_warning);
}

static enum policy_verdict judge_health(const struct endpoint *endpoint,
                                        const struct policy_rules *rules)
{
    if (endpoint->health == HEALTH_TERMINATING)
        return VERDICT_TERMINATING;
    if (!is_ready(endpoint, rules))
        return VERDICT_UNHEALTHY;
    return endpoint->weight == 0 ? VERDICT_WEIGHT_ZERO : VERDICT_USED;
}

/* ---- selector ---- */

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

/* `preferred`: SELECT_ZONE_PREFER found somebody in its zone. */
static bool is_selected(const struct endpoint *endpoint, const struct selector *selector,
                        bool preferred)
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
        return !preferred || strcasecmp(endpoint->zone, selector->value) == 0;
    case SELECT_ZONE_PIN:
        return strcasecmp(endpoint->zone, selector->value) == 0;
    }
    return false;
}

/* A name that names a zone, or one host, has chosen: where they are does not matter beyond it. */
static bool ignores_zones(const struct policy_question *question)
{
    enum selector_kind kind = question->selector->kind;

    return question->rules->zone == POLICY_ZONE_OFF || question->headless ||
           kind == SELECT_ZONE_PIN || kind == SELECT_ZONE_PREFER || kind == SELECT_HOST;
}

static bool zone_has_ready(const struct court *court, const struct selector *selector)
{
    for (uint32_t i = 0; selector->kind == SELECT_ZONE_PREFER && i < court->count; i++)
        if (judge_health(&court->endpoints[i], court->rules) == VERDICT_USED &&
            strcasecmp(court->endpoints[i].zone, selector->value) == 0)
            return true;
    return false;
}

/* The selector and health; and do zones matter? */
static void judge_selection(struct court *court)
{
    const struct selector *selector = court->question->selector;
    bool preferred = zone_has_ready(court, selector), zones = false;

    for (uint32_t i = 0; i < court->count; i++) {
        bool selected = is_selected(&court->endpoints[i], selector, preferred);

        court->judgements[i].verdict = selected ? judge_health(&court->endpoints[i], court->rules)
                                                : VERDICT_NOT_SELECTED;
        court->summary->selected += selected;
        zones |= selected && *court->endpoints[i].zone;
    }
    if (ignores_zones(court->question))
        court->summary->zone = ZONE_IGNORED;
    else if (!*court->zone)
        court->summary->zone = ZONE_UNKNOWN_HOST;
    else if (!zones)
        court->summary->zone = ZONE_UNKNOWN_ENDPOINTS;
    else
        court->summary->zone = ZONE_OWN; /* till a later rule knows better */
    if (court->summary->zone != ZONE_OWN)
        court->zone = "";
}

/* Nobody of another zone is thought of any more. */
static void keep_own_zone(struct court *court)
{
    for (uint32_t i = 0; i < court->count; i++)
        if (court->judgements[i].verdict != VERDICT_NOT_SELECTED && !in_own_zone(court, i))
            court->judgements[i].verdict = VERDICT_OTHER_ZONE;
}

/* ---- who serves at all ---- */

/* Nothing ready: those that are going still serve. */
static void lift_terminating(struct court *court)
{
    if (court->rules->terminating_never || count_used(court) > 0)
        return;
    for (uint32_t i = 0; i < court->count; i++)
        if (court->judgements[i].verdict == VERDICT_TERMINATING)
            court->judgements[i].verdict = VERDICT_USED_TERMINATING;
}

/* Never all: checks that fail for everybody say more of this host than of them. */
static void apply_vetoes(struct court *court)
{
    size_t used = count_used(court), vetoed = 0;

    if (!court->question->vetoed)
        return;
    for (uint32_t i = 0; i < court->count; i++)
        vetoed += is_used(court, i) && is_vetoed(court, i);
    court->summary->vetoes_ignored = vetoed > 0 && vetoed == used;
    for (uint32_t i = 0; i < court->count; i++)
        if (is_used(court, i) && is_vetoed(court, i))
            court->judgements[i].verdict = court->summary->vetoes_ignored ? VERDICT_USED_VETOED
                                                                          : VERDICT_VETOED;
}

/* ---- priority and panic ---- */

/* Could it serve, if its health were not looked at? Who was taken out on purpose could not. */
static bool is_member(const struct court *court, uint32_t i)
{
    const struct endpoint *endpoint = &court->endpoints[i];
    enum policy_verdict verdict = court->judgements[i].verdict;

    return verdict != VERDICT_NOT_SELECTED && verdict != VERDICT_OTHER_ZONE &&
           endpoint->weight > 0 && endpoint->health != HEALTH_TERMINATING &&
           endpoint->health != HEALTH_MAINTENANCE;
}

/* The best priority that has somebody: used, or where nobody is, a member. */
static uint16_t best_priority(const struct court *court, bool members)
{
    uint16_t best = UINT16_MAX;

    for (uint32_t i = 0; i < court->count; i++)
        if ((members ? is_member(court, i) : is_used(court, i)) &&
            court->endpoints[i].priority < best)
            best = court->endpoints[i].priority;
    return best;
}

/* By the registry's word: a check of our own must not bring in whom the registry calls unhealthy.
 */
static bool too_few_healthy(const struct court *court, uint16_t priority)
{
    uint64_t members = 0, healthy = 0;

    for (uint32_t i = 0; i < court->count; i++) {
        if (court->endpoints[i].priority != priority || !is_member(court, i))
            continue;
        members++;
        healthy += is_ready(&court->endpoints[i], court->rules);
    }
    return healthy * 100 < members * court->rules->min_healthy_percent;
}

/* Envoy's panic: better some failures than all the load on the few that are left. */
static void panic(struct court *court, uint16_t priority)
{
    bool alone = count_used(court) == 0;

    court->summary->panic = true;
    for (uint32_t i = 0; i < court->count; i++)
        if (court->judgements[i].verdict == VERDICT_UNHEALTHY && is_member(court, i) &&
            court->endpoints[i].priority == priority && (alone || !is_vetoed(court, i)))
            court->judgements[i].verdict = VERDICT_USED_PANIC;
}

static void keep_best_priority(struct court *court)
{
    bool nobody = count_used(court) == 0;
    uint16_t best = best_priority(court, nobody);

    court->summary->priority = best;
    for (uint32_t i = 0; i < court->count; i++)
        if (is_used(court, i) && court->endpoints[i].priority != best)
            court->judgements[i].verdict = VERDICT_LOWER_PRIORITY;
    for (uint32_t i = 0; i < court->count; i++)
        if (court->judgements[i].verdict == VERDICT_USED_TERMINATING)
            return; /* these do serve, whatever is said of the others */
    if (court->rules->min_healthy_percent > 0 && too_few_healthy(court, best))
        panic(court, best);
}

/* ---- zone ---- */

struct share {
    uint64_t endpoints, weight;
};

static void judge_zone(struct court *court)
{
    const struct policy_rules *rules = court->rules;
    struct share all = {0}, own = {0};

    for (uint32_t i = 0; i < court->count; i++) {
        struct share *shares[] = {&all, &own};

        for (size_t s = 0; is_used(court, i) && s < (in_own_zone(court, i) ? 2u : 1u); s++) {
            shares[s]->endpoints++;
            shares[s]->weight += court->endpoints[i].weight;
        }
    }
    if (rules->zone == POLICY_ZONE_STRICT)
        court->summary->zone = own.endpoints > 0 ? ZONE_OWN : ZONE_STRICT_NONE;
    else if (court->summary->panic)
        court->summary->zone = ZONE_IGNORED;
    else if (own.endpoints == 0)
        court->summary->zone = ZONE_SPILL_NONE;
    else if (own.endpoints < rules->min_zone_endpoints)
        court->summary->zone = ZONE_SPILL_FEW;
    else if (own.weight * 100 < all.weight * rules->min_zone_share)
        court->summary->zone = ZONE_SPILL_SHARE;
    else
        for (uint32_t i = 0; i < court->count; i++)
            if (is_used(court, i) && !in_own_zone(court, i))
                court->judgements[i].verdict = VERDICT_OTHER_ZONE;
}

/* ---- tiers ---- */

struct place {
    double key; /* the smaller, the earlier */
    uint32_t index;
};

static int compare_places(const void *a, const void *b)
{
    const struct place *left = a, *right = b;

    if (left->key != right->key)
        return left->key < right->key ? -1 : 1;
    return (left->index > right->index) - (left->index < right->index);
}

/*
 * Weighted rendezvous hashing (Schindelhauer and Schomaker, 2005): each endpoint draws a time that
 * is exponentially distributed with its weight as rate, from a hash of host, service and itself;
 * the earliest wins. Who comes or goes changes nobody else's time.
 */
static double hash_time(const struct court *court, const struct endpoint *endpoint)
{
    static const uint8_t no_machine[SIPHASH_KEY_SIZE];
    const struct policy_host *host = court->question->host;
    const uint8_t *machine = host ? host->machine : no_machine;
    uint64_t words[2] = {
        siphash13(machine, court->question->service, strlen(court->question->service)),
        siphash13(machine, endpoint->name, strlen(endpoint->name)),
    };
    uint64_t hash = siphash13(machine, words, sizeof(words));

    return -log(((double)(hash >> 12) + 0.5) * 0x1p-52) /
           (endpoint->weight > 0 ? endpoint->weight : 1);
}

/* Without memory for it the tiers stay as they are: all are drawn. */
static void order_tiers(struct court *court)
{
    bool by_hash = court->rules->pick == POLICY_PICK_HASH;
    struct place *places = malloc(court->count * sizeof(*places));
    size_t count = 0;

    for (uint32_t i = 0; places && i < court->count; i++)
        if (is_used(court, i))
            places[count++] = (struct place){by_hash ? hash_time(court, &court->endpoints[i]) : 0,
                                             i};
    if (by_hash && count > 1)
        qsort(places, count, sizeof(*places), compare_places);
    for (size_t i = 0; i < count; i++)
        court->judgements[places[i].index].tier = (uint8_t)(i < POLICY_TIER_MAX ? i
                                                                                : POLICY_TIER_MAX);
    free(places);
}

/* What each may expect of the first draw; where all weigh nothing they are alike. */
static void share_weight(struct court *court)
{
    struct policy_summary *summary = court->summary;
    bool weighs = false;

    for (uint32_t i = 0; i < court->count; i++)
        weighs |= is_used(court, i) && court->judgements[i].tier == 0 &&
                  court->endpoints[i].weight > 0;
    for (uint32_t i = 0; i < court->count; i++) {
        struct policy_judgement *judgement = &court->judgements[i];

        if (!is_used(court, i) || judgement->tier > 0)
            continue;
        judgement->weight = weighs ? court->endpoints[i].weight : 1;
        summary->weight += judgement->weight;
    }
}

size_t policy_judge(const struct policy_question *question, struct policy_judgement *ret_judgements,
                    struct policy_summary *ret_summary)
{
    const struct policy_host *host = question->host;
    struct court court = {
        .question = question,
        .rules = question->rules,
        .endpoints = question->set->endpoints,
        .count = question->set->count,
        .judgements = ret_judgements,
        .summary = ret_summary,
        .zone = host && host->zone ? host->zone : "",
    };

    *ret_summary = (struct policy_summary){0};
    memset(ret_judgements, 0, court.count * sizeof(*ret_judgements));
    judge_selection(&court);
    if (*court.zone && court.rules->zone == POLICY_ZONE_STRICT)
        keep_own_zone(&court);
    lift_terminating(&court);
    apply_vetoes(&court);
    keep_best_priority(&court);
    if (*court.zone)
        judge_zone(&court);
    if (court.rules->pick == POLICY_PICK_FIRST || court.rules->pick == POLICY_PICK_HASH)
        order_tiers(&court);
    share_weight(&court);
    return ret_summary->used = count_used(&court);
}
