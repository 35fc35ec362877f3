/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Durations by the million in little room: a histogram whose buckets are as wide as 1/32 of what
 * they count. Lies in memory that processes share; each has one writer.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { HISTOGRAM_STEPS = 32, HISTOGRAM_BUCKETS = 40 * HISTOGRAM_STEPS };

struct histogram {
    uint64_t total;
    uint64_t counts[HISTOGRAM_BUCKETS];
};

static inline uint64_t bench_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline size_t histogram_bucket(uint64_t ns)
{
    unsigned shift = ns < HISTOGRAM_STEPS ? 0 : 58 - (unsigned)__builtin_clzll(ns);
    size_t bucket = (size_t)shift * HISTOGRAM_STEPS + (size_t)(ns >> shift);

    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static inline void histogram_add(struct histogram *histogram, uint64_t ns)
{
    histogram->counts[histogram_bucket(ns)]++;
    histogram->total++;
}

static inline void histogram_merge(struct histogram *into, const struct histogram *from)
{
    into->total += from->total;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->counts[i] += from->counts[i];
}

/* Lower end of the bucket that holds this share (0.99) of what was added; 0 of nothing. */
static inline uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
    uint64_t rank = (uint64_t)((double)histogram->total * share), seen = 0;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        size_t shift = i < 2 * HISTOGRAM_STEPS ? 0 : i / HISTOGRAM_STEPS - 1;

        seen += histogram->counts[i];
        if (seen > rank)
            return (uint64_t)(i - shift * HISTOGRAM_STEPS) << shift;
    }
    return 0;
}
