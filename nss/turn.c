/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nss/turn.h"

#include <stdatomic.h>
#include <sys/mman.h>

#include "nss-sd/siphash.h"

enum {
    TURN_PAGE = 4096, /* where pages are larger the kernel refuses, and children go in step */
    TURN_COUNTERS = TURN_PAGE / sizeof(uint32_t),
    TURN_TRIES = 4,
};

/* Each: a tag of the name in the upper half (never 0), the last turn in the lower one. 0: unused.
 */
static _Alignas(TURN_PAGE) _Atomic uint32_t counters[TURN_COUNTERS];

void turn_prepare(void)
{
    (void)madvise(counters, sizeof(counters), MADV_WIPEONFORK);
}

/* By name and families: a program that asks for one family after the other sees all of each. */
static _Atomic uint32_t *turn_counter(const struct answer *answer, unsigned families,
                                      uint32_t *ret_tag)
{
    static const uint8_t no_key[SIPHASH_KEY_SIZE];
    uint64_t hash = siphash13(no_key, answer->name, answer->head->name_length) + families;

    *ret_tag = (uint32_t)(hash >> 32) | UINT32_C(0x10000);
    *ret_tag &= UINT32_C(0xffff0000);
    return &counters[hash % TURN_COUNTERS];
}

uint32_t turn_take(const struct answer *answer, unsigned families, uint64_t random)
{
    uint32_t tag, next = (uint32_t)random & UINT16_MAX;
    _Atomic uint32_t *counter = turn_counter(answer, families, &tag);
    uint32_t last = atomic_load_explicit(counter, memory_order_relaxed);

    for (unsigned i = 0; i < TURN_TRIES; i++) {
        if ((last & UINT32_C(0xffff0000)) == tag)
            next = (last + 1) & UINT16_MAX;
        if (atomic_compare_exchange_weak_explicit(counter, &last, tag | next, memory_order_relaxed,
                                                  memory_order_relaxed))
            break;
    }
    return next;
}

void turn_give_back(const struct answer *answer, unsigned families, uint32_t turn)
{
    uint32_t tag;
    _Atomic uint32_t *counter = turn_counter(answer, families, &tag);
    uint32_t last = tag | turn;

    atomic_compare_exchange_strong_explicit(counter, &last, tag | ((turn - 1) & UINT16_MAX),
                                            memory_order_relaxed, memory_order_relaxed);
}
