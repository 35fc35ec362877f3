/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Samples: which addresses of one family go into a payload that has no room for all of them.
 *
 * The lowest tiers go first, whole. Of the tier that does not fit, each address is taken with a
 * probability in proportion to its weight, and weighs so much more as it was unlikely to be taken
 * (systematic sampling; Horvitz and Thompson, 1952). So the weights of a sample always add up to
 * the whole, and over many samples everybody is drawn exactly as often as its weight says; equal
 * weights alone would give those that are large the share of a small one most of the time.
 *
 * Both families are sampled by one random number, so that endpoints of two families come with both
 * where there are as many of each. Pure.
 */
#pragma once

#include "daemon/evaluation.h"

/* The addresses of one endpoint in one family: neighbours among the items. */
struct sample_group {
    size_t begin, end; /* its items, and others of the endpoint */
    size_t count;      /* of the family */
    uint32_t weight;   /* of the endpoint */
    uint8_t tier;
};

/* The group after `group` (zero-initialized: the first). False: there is no more. */
bool sample_next_group(const struct evaluation *evaluation, int family, struct sample_group *group);

struct sample {
    bool whole;       /* all of them fit */
    unsigned tier;    /* the one that is sampled; lower ones are taken, higher ones are not */
    bool even;        /* nobody of it weighs anything: all alike */
    double certain;   /* who weighs so much is taken in any case */
    double step;      /* what each of the others weighs, if taken */
    double next, sum; /* where on the line of weights the next one is taken; where the line is */
    size_t left;      /* places */
};

/* `room`: how many addresses fit. `random`: 0 .. 1. */
void sample_init(const struct evaluation *evaluation, int family, size_t room, double random,
                 struct sample *ret_sample);

/* Is one more address of the group taken? Then what it weighs. Asked once for each, in order. */
bool sample_take(struct sample *sample, const struct sample_group *group, double *ret_weight);
