/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SipHash against the vectors of its authors, and of CPython (which hashes with SipHash-1-3). */
#include "nss-sd/siphash.h"
#include "tests/unit/unit.h"

#include <string.h>

START_TEST(two_four_gives_the_vectors_of_the_paper)
{
    static const struct {
        size_t size;
        uint64_t hash;
    } vectors[] = {
        {0, UINT64_C(0x726fdb47dd0e0e31)},
        {1, UINT64_C(0x74f839c593dc67fd)},
        {8, UINT64_C(0x93f5f5799a932462)},
        {15, UINT64_C(0xa129ca6149be45e5)},
    };
    uint8_t bytes[16];

    for (uint8_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = i;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        ck_assert_uint_eq(siphash(bytes, bytes, vectors[i].size, 2, 4), vectors[i].hash);
}
END_TEST

/* PYTHONHASHSEED=0 python3 -c "print(hex(hash(b'abcdefg') & (2**64 - 1)))" with Python 3.11. */
START_TEST(one_three_hashes_as_cpython_does)
{
    static const struct {
        const char *text;
        uint64_t hash;
    } vectors[] = {
        {"a", UINT64_C(0x407448d2b89b1813)},
        {"abcdefg", UINT64_C(0x6db12aae9070f506)},
        {"abcdefgh", UINT64_C(0x3f7b849c0b8e35ea)},
        {"web.service.consul", UINT64_C(0x2ed372f2bf24fc73)},
    };
    static const uint8_t zero_key[SIPHASH_KEY_SIZE];

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        ck_assert_uint_eq(siphash13(zero_key, vectors[i].text, strlen(vectors[i].text)),
                          vectors[i].hash);
}
END_TEST

START_TEST(every_bit_of_key_and_data_counts)
{
    uint8_t key[SIPHASH_KEY_SIZE] = {0}, data[24] = {0};
    uint64_t plain = siphash13(key, data, sizeof(data));

    for (unsigned bit = 0; bit < 8 * sizeof(key); bit++) {
        key[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_uint_ne(siphash13(key, data, sizeof(data)), plain);
        key[bit / 8] = 0;
    }
    for (unsigned bit = 0; bit < 8 * sizeof(data); bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_uint_ne(siphash13(key, data, sizeof(data)), plain);
        data[bit / 8] = 0;
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("siphash");

    UNIT_CASE(suite, "vectors", two_four_gives_the_vectors_of_the_paper,
              one_three_hashes_as_cpython_does, every_bit_of_key_and_data_counts);
    return suite;
}

UNIT_MAIN(make_suite)
