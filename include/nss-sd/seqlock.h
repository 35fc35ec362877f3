/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sequence lock of the view: one writer, any number of readers that can neither write nor wait.
 *
 * The sequence word is even while the data is whole and odd while the writer is at it. All accesses
 * are to 32-bit words by atomic operations, so there is no data race in the sense of C11, and no
 * access is ever torn or turned into a library call.
 *
 * Why a reader that sees the same even sequence before and after has one consistent copy:
 *
 *   writer                                 reader
 *   W1  sequence := s + 1   (relaxed)      R1  a := sequence   (acquire); odd: try again
 *   W2  release fence                      R2  copy := data    (relaxed)
 *   W3  data := new         (relaxed)      R3  acquire fence
 *   W4  sequence := s + 2   (release)      R4  b := sequence   (relaxed); b != a: try again
 *
 * No word of a later write: if R2 reads a word that W3 stored, then W2 (a release fence before that
 * store) synchronizes with R3 (an acquire fence after that load), so R4 sees W1 of that write or
 * something later, and b != a, as sequences only grow (they wrap after 2^31 writes within one copy
 * of 1 KiB, which no reader is slow enough to meet). No word of an earlier write: R1 that reads the
 * value stored by W4 synchronizes with it, so all of W3 before it happens before R2.
 *
 * A writer that died between W1 and W4 leaves the word odd for ever: readers give up after their
 * tries. So a slot that holds an answer is never the one that is written; see view.h on replacing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SEQLOCK_TRIES = 3 };

/* W1, W2. */
static inline uint32_t seqlock_write_begin(uint32_t *sequence)
{
    uint32_t before = __atomic_load_n(sequence, __ATOMIC_RELAXED);

    __atomic_store_n(sequence, before + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    return before + 2;
}

/* W3. `shared` and `data` are words; a sequence word among them is left out by the caller. */
static inline void seqlock_write_words(uint32_t *shared, const uint32_t *data, size_t words)
{
    for (size_t i = 0; i < words; i++)
        __atomic_store_n(&shared[i], data[i], __ATOMIC_RELAXED);
}

/* W4. */
static inline void seqlock_write_end(uint32_t *sequence, uint32_t next)
{
    __atomic_store_n(sequence, next, __ATOMIC_RELEASE);
}

/*
 * R1 to R4, at most SEQLOCK_TRIES times: copies `words` words behind `shared` to `ret_data`. False:
 * the writer was always at it (or died); treat it as a miss.
 */
static inline bool seqlock_read(const uint32_t *sequence, const uint32_t *shared,
                                uint32_t *ret_data, size_t words)
{
    for (int i = 0; i < SEQLOCK_TRIES; i++) {
        uint32_t before = __atomic_load_n(sequence, __ATOMIC_ACQUIRE);

        if (before & 1)
            continue;
#pragma GCC unroll 8 /* most of what a hit costs */
        for (size_t j = 0; j < words; j++)
            ret_data[j] = __atomic_load_n(&shared[j], __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(sequence, __ATOMIC_RELAXED) == before)
            return true;
    }
    return false;
}
