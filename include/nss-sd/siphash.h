/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SipHash (Aumasson, Bernstein: "SipHash: a fast short-input PRF"): a keyed hash of 64 bits whose
 * collisions nobody finds who does not know the key. nss-sd uses SipHash-1-3, one round a word and
 * three at the end, for the places of names in the view and for the seeds of draws. Pure; no libc.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { SIPHASH_KEY_SIZE = 16 };

struct siphash {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t siphash_rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static inline void siphash_rounds(struct siphash *s, unsigned rounds)
{
    while (rounds-- > 0) {
        s->v0 += s->v1;
        s->v1 = siphash_rotate(s->v1, 13) ^ s->v0;
        s->v0 = siphash_rotate(s->v0, 32);
        s->v2 += s->v3;
        s->v3 = siphash_rotate(s->v3, 16) ^ s->v2;
        s->v0 += s->v3;
        s->v3 = siphash_rotate(s->v3, 21) ^ s->v0;
        s->v2 += s->v1;
        s->v1 = siphash_rotate(s->v1, 17) ^ s->v2;
        s->v2 = siphash_rotate(s->v2, 32);
    }
}

/* 8 bytes as a little-endian word; a load where the machine is little-endian itself. */
static inline uint64_t siphash_word8(const uint8_t *bytes)
{
    uint64_t word;

    __builtin_memcpy(&word, bytes, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* Less than 8 bytes. */
static inline uint64_t siphash_word(const uint8_t *bytes, size_t count)
{
    uint64_t word = 0;

    for (size_t i = 0; i < count; i++)
        word |= (uint64_t)bytes[i] << (8 * i);
    return word;
}

/* The general form; `word_rounds` and `final_rounds` are the paper's c and d. */
static inline uint64_t siphash(const uint8_t key[static SIPHASH_KEY_SIZE], const void *data,
                               size_t size, unsigned word_rounds, unsigned final_rounds)
{
    uint64_t k0 = siphash_word8(key), k1 = siphash_word8(key + 8), word;
    struct siphash s = {
        .v0 = k0 ^ UINT64_C(0x736f6d6570736575),
        .v1 = k1 ^ UINT64_C(0x646f72616e646f6d),
        .v2 = k0 ^ UINT64_C(0x6c7967656e657261),
        .v3 = k1 ^ UINT64_C(0x7465646279746573),
    };
    const uint8_t *bytes = data;

    for (size_t left = size; left >= 8; left -= 8, bytes += 8) {
        word = siphash_word8(bytes);
        s.v3 ^= word;
        siphash_rounds(&s, word_rounds);
        s.v0 ^= word;
    }
    word = siphash_word(bytes, size % 8) | (uint64_t)size << 56;
    s.v3 ^= word;
    siphash_rounds(&s, word_rounds);
    s.v0 ^= word;
    s.v2 ^= 0xff;
    siphash_rounds(&s, final_rounds);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

static inline uint64_t siphash13(const uint8_t key[static SIPHASH_KEY_SIZE], const void *data,
                                 size_t size)
{
    return siphash(key, data, size, 1, 3);
}
