/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/sample.h"

#include <math.h>

enum {
    SAMPLE_TIERS = UINT8_MAX + 1,
    SAMPLE_ROUNDS = 64, /* to find who is taken in any case; a few do, whatever the weights */
};

bool sample_next_group(const struct evaluation *evaluation, int family, struct sample_group *group)
{
    const struct evaluation_item *items = evaluation->items;

    do {
        size_t i = group->end;

        *group = (struct sample_group){.begin = i};
        if (i == evaluation->count)
            return false;
        group->tier = items[i].tier;
        for (; i < evaluation->count && items[i].endpoint == items[group->begin].endpoint; i++) {
            if (items[i].address.family != family)
                continue;
            group->count++;
            if (items[i].weight > group->weight)
                group->weight = items[i].weight;
        }
        group->end = i;
    } while (group->count == 0);
    return true;
}

/* An endpoint's weight is shared by its addresses. */
static double part_of(const struct sample *sample, const struct sample_group *group)
{
    bool even = sample->even && group->tier == sample->tier;

    return (even ? 1.0 : group->weight) / (double)group->count;
}

/* The tier that does not fit, and in `ret_room` the places for it. */
static unsigned find_tier(const struct evaluation *evaluation, int family, size_t *ret_room)
{
    size_t counts[SAMPLE_TIERS] = {0};
    unsigned tier = 0;

    for (size_t i = 0; i < evaluation->count; i++)
        if (evaluation->items[i].address.family == family)
            counts[evaluation->items[i].tier]++;
    for (; tier < SAMPLE_TIERS && counts[tier] <= *ret_room; tier++)
        *ret_room -= counts[tier];
    return tier;
}

/* What the addresses below `certain` weigh together, and how many places the others leave. */
static double weigh_rest(const struct evaluation *evaluation, int family,
                         const struct sample *sample, size_t *ret_places)
{
    struct sample_group group = {0};
    double rest = 0;

    *ret_places = sample->left;
    while (sample_next_group(evaluation, family, &group)) {
        if (group.tier != sample->tier)
            continue;
        if (part_of(sample, &group) < sample->certain)
            rest += part_of(sample, &group) * (double)group.count;
        else
            *ret_places -= group.count < *ret_places ? group.count : *ret_places;
    }
    return rest;
}

void sample_init(const struct evaluation *evaluation, int family, size_t room, double random,
                 struct sample *ret_sample)
{
    struct sample sample = {.certain = INFINITY, .left = room};
    size_t places, before;
    double rest;

    sample.tier = find_tier(evaluation, family, &sample.left);
    sample.whole = sample.tier == SAMPLE_TIERS;
    rest = weigh_rest(evaluation, family, &sample, &places);
    sample.even = rest <= 0;
    if (sample.even)
        rest = weigh_rest(evaluation, family, &sample, &places);
    sample.step = INFINITY;
    for (unsigned round = 0; !sample.whole && places > 0 && round < SAMPLE_ROUNDS; round++) {
        before = places;
        sample.step = sample.certain = rest / (double)places;
        rest = weigh_rest(evaluation, family, &sample, &places);
        if (places == before)
            break;
    }
    if (places == 0) /* for any but these */
        sample.step = INFINITY;
    sample.next = places == 0 ? INFINITY : random * sample.step;
    *ret_sample = sample;
}

bool sample_take(struct sample *sample, const struct sample_group *group, double *ret_weight)
{
    double part = part_of(sample, group);

    *ret_weight = part;
    if (sample->whole || group->tier < sample->tier)
        return true;
    if (group->tier > sample->tier || sample->left == 0)
        return false;
    if (part < sample->certain) {
        sample->sum += part;
        if (sample->sum <= sample->next)
            return false;
        sample->next += sample->step;
        *ret_weight = sample->step;
    }
    sample->left--;
    return true;
}
