/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Works in the caller's array of record numbers alone: a tier is merged into it so that an
 * endpoint's records are neighbours, and what is drawn is rotated to the front.
 */
#include "nss/draw.h"

#include <pthread.h>
#include <sys/auxv.h>
#include <time.h>

#include "nss-sd/siphash.h"

enum {
    DRAW_TIERS = 256,
    DRAW_WEIGHTED = 16, /* endpoints drawn by weight; who comes so late is picked by nobody */
};

struct draw {
    const struct answer *answer;
    unsigned families;
    uint32_t turn;  /* of the first endpoint, or DRAW_NO_TURN */
    uint16_t floor; /* leave out addresses of a better rank than this */
    uint64_t random;
    uint16_t *order;
    size_t count; /* numbers in `order` */
};

/* What the draw looks at, of a record of either family. */
struct draw_record {
    uint16_t weight, endpoint, rank;
    uint8_t tier;
};

static inline struct draw_record draw_record(const struct answer *answer, size_t number)
{
    size_t count4 = answer->head->count4;

    if (number < count4) {
        const struct answer_record4 *r = &answer->records4[number];

        return (struct draw_record){r->weight, r->endpoint, r->rank, r->tier};
    } else {
        const struct answer_record6 *r = &answer->records6[number - count4];

        return (struct draw_record){r->weight, r->endpoint, r->rank, r->tier};
    }
}

uint64_t draw_seed(void)
{
    static const uint8_t no_key[SIPHASH_KEY_SIZE];
    const uint8_t *key = (const uint8_t *)getauxval(AT_RANDOM);
    struct timespec now = {0};
    uint64_t words[4];

    clock_gettime(CLOCK_MONOTONIC, &now);
    words[0] = (uint64_t)now.tv_sec;
    words[1] = (uint64_t)now.tv_nsec;
    words[2] = (uintptr_t)pthread_self();
    words[3] = (uintptr_t)words;
    return siphash13(key ? key : no_key, words, sizeof(words));
}

/* The next number of the sequence that the seed begins (SplitMix64: Steele, Lea, Flood 2014). */
static uint32_t draw_random(struct draw *draw)
{
    uint64_t z = draw->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ z >> 31) >> 32);
}

/* 0 .. bound - 1, all equally likely: multiply, shift, and draw again in the uneven rest. */
static uint32_t draw_below(struct draw *draw, uint32_t bound)
{
    uint32_t uneven = -bound % bound;
    uint64_t product;

    do
        product = (uint64_t)draw_random(draw) * bound;
    while ((uint32_t)product < uneven);
    return (uint32_t)(product >> 32);
}

/* Appends the record if it is of `tier`. Returns `next`, or the record's tier if that comes
 * earlier. */
static unsigned draw_take(struct draw *draw, size_t number, unsigned tier, unsigned next)
{
    struct draw_record record = draw_record(draw->answer, number);

    if (record.tier == tier && record.rank >= draw->floor)
        draw->order[draw->count++] = (uint16_t)number;
    return record.tier > tier && record.tier < next ? record.tier : next;
}

/* Appends all records of a tier, merged so that an endpoint's lie together. Returns the next tier.
 */
static unsigned draw_tier(struct draw *draw, unsigned tier)
{
    const struct answer *answer = draw->answer;
    size_t count4 = draw->families & DRAW_IPV4 ? answer->head->count4 : 0;
    size_t count6 = draw->families & DRAW_IPV6 ? answer->head->count6 : 0;
    size_t i = 0, j = 0;
    unsigned next = DRAW_TIERS;

    while (i < count4 || j < count6) {
        bool take4 = i < count4 &&
                     (j == count6 || answer->records4[i].endpoint <= answer->records6[j].endpoint);

        next = draw_take(draw, take4 ? i++ : answer->head->count4 + j++, tier, next);
    }
    return next;
}

/* How many of the numbers from `at` on are of the same endpoint. */
static size_t draw_run(const struct draw *draw, size_t at)
{
    uint16_t endpoint = draw_record(draw->answer, draw->order[at]).endpoint;
    size_t end = at + 1;

    while (end < draw->count && draw_record(draw->answer, draw->order[end]).endpoint == endpoint)
        end++;
    return end - at;
}

static void draw_reverse(uint16_t *order, size_t begin, size_t end)
{
    while (begin + 1 < end) {
        uint16_t swapped = order[begin];

        order[begin++] = order[--end];
        order[end] = swapped;
    }
}

/* Moves order[middle .. end) in front of order[begin .. middle), each in its own order. */
static void draw_rotate(uint16_t *order, size_t begin, size_t middle, size_t end)
{
    if (begin == middle)
        return;
    draw_reverse(order, begin, middle);
    draw_reverse(order, middle, end);
    draw_reverse(order, begin, end);
}

/* A point on the line of all weights; where a turn decides, at the beginning of its endpoint. */
static uint32_t draw_point(struct draw *draw, uint32_t total, uint32_t endpoints, bool even)
{
    uint32_t turn = draw->turn, line = total > 0 ? total : endpoints;

    draw->turn = DRAW_NO_TURN;
    if (turn == DRAW_NO_TURN || !even)
        return draw_below(draw, line);
    return turn % endpoints * (line / endpoints);
}

/* Draws one endpoint of those from `at` on, by weight, and moves it there. Returns its run. */
static size_t draw_endpoint(struct draw *draw, size_t at)
{
    uint32_t first = draw_record(draw->answer, draw->order[at]).weight, differs = 0;
    uint32_t total = 0, endpoints = 0, point;
    size_t run, i;

    for (i = at; i < draw->count; i += draw_run(draw, i)) {
        uint32_t weight = draw_record(draw->answer, draw->order[i]).weight;

        total += weight;
        differs |= weight ^ first;
        endpoints++;
    }
    point = draw_point(draw, total, endpoints, differs == 0);
    for (i = at;; i += run) {
        uint32_t weight = total > 0 ? draw_record(draw->answer, draw->order[i]).weight : 1;

        run = draw_run(draw, i);
        if (point < weight)
            break;
        point -= weight;
    }
    draw_rotate(draw->order, at, i, i + run);
    return run;
}

/* Puts the best ranked of the first `run` numbers in front. Returns its rank. */
static uint16_t draw_best_first(struct draw *draw, size_t run)
{
    uint16_t best = draw_record(draw->answer, draw->order[0]).rank;
    size_t at = 0;

    for (size_t i = 1; i < run; i++) {
        uint16_t rank = draw_record(draw->answer, draw->order[i]).rank;

        if (rank < best) {
            best = rank;
            at = i;
        }
    }
    draw_rotate(draw->order, 0, at, at + 1);
    return best;
}

static void draw_drop_below_floor(struct draw *draw)
{
    size_t kept = 0;

    for (size_t i = 0; i < draw->count; i++)
        if (draw_record(draw->answer, draw->order[i]).rank >= draw->floor)
            draw->order[kept++] = draw->order[i];
    draw->count = kept;
}

/* Orders the numbers from `at` on, of one tier, of which `wanted` are needed. */
static void draw_arrange(struct draw *draw, size_t at, size_t wanted)
{
    for (unsigned i = 0; i < DRAW_WEIGHTED && at < draw->count && at < wanted; i++)
        at += draw_endpoint(draw, at);
    if (at < draw->count && at < wanted)
        draw_rotate(draw->order, at, at + draw_below(draw, (uint32_t)(draw->count - at)),
                    draw->count);
}

size_t draw_order(const struct answer *answer, unsigned families, size_t limit, uint64_t seed,
                  uint32_t turn, uint16_t *ret_order)
{
    struct draw draw = {answer, families, .turn = turn, .random = seed, .order = ret_order};
    size_t wanted = limit > 0 ? limit : SIZE_MAX;

    if (answer->head->count4 + answer->head->count6 == 1) { /* as often as not */
        ret_order[0] = 0;
        return families & (answer->head->count4 == 1 ? DRAW_IPV4 : DRAW_IPV6) ? 1 : 0;
    }
    for (unsigned tier = 0; tier < DRAW_TIERS && draw.count < wanted;) {
        size_t begin = draw.count;

        tier = draw_tier(&draw, tier);
        if (begin == 0 && draw.count > 0) {
            uint16_t rank;

            begin = draw_endpoint(&draw, 0);
            rank = draw_best_first(&draw, begin);
            draw.floor = limit > 0 ? rank : 0;
            draw_drop_below_floor(&draw);
        }
        draw_arrange(&draw, begin, wanted);
    }
    return draw.count < wanted ? draw.count : wanted;
}
