/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a name means, as a payload (daemon/evaluation.h): always one that the validator takes. */
#include "daemon/evaluation.h"
#include "nss-sd/wire.h"
#include "tests/unit/unit.h"

#include <stdio.h>

static uint64_t counter(void *userdata)
{
    uint64_t *state = userdata;

    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return *state >> 16;
}

static void add_many(struct evaluation *evaluation, unsigned count4, unsigned count6)
{
    for (unsigned i = 0; i < count4; i++) {
        struct address one = {AF_INET, {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};

        ck_assert(evaluation_add(evaluation, &one, 1 + i % 3, (uint16_t)i, 0));
    }
    for (unsigned i = 0; i < count6; i++) {
        struct address one = {AF_INET6, {0xfd, [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i}};

        ck_assert(evaluation_add(evaluation, &one, 1, (uint16_t)i, 0));
    }
    evaluation->status4 = count4 ? ANSWER_FOUND : ANSWER_NO_DATA;
    evaluation->status6 = count6 ? ANSWER_FOUND : ANSWER_NO_DATA;
}

static uint32_t buffer[ANSWER_SIZE_MAX / 4];

START_TEST(every_size_makes_a_valid_payload)
{
    static const unsigned counts[] = {0, 1, 2, 19, 58, 59, 300, 3000};
    static const size_t capacities[] = {ANSWER_SLOT_SIZE, ANSWER_SIZE_MAX};
    uint64_t seed = 1;

    for (size_t a = 0; a < ELEMENTS(counts); a++)
        for (size_t b = 0; b < ELEMENTS(counts); b++)
            for (size_t c = 0; c < ELEMENTS(capacities); c++) {
                struct evaluation evaluation = {0};
                struct answer answer;
                size_t size;

                evaluation_reset(&evaluation);
                if (b % 2)
                    evaluation_set_canonical(&evaluation, "real.example.org");
                add_many(&evaluation, counts[a], counts[b]);
                size = evaluation_write(&evaluation, "orders.one", 8, 0, counter, &seed, buffer,
                                        capacities[c]);
                ck_assert_uint_le(size, capacities[c]);
                ck_assert(answer_parse(buffer, size, &answer));
                ck_assert_uint_le(answer.head->count4, counts[a]);
                ck_assert_int_eq(answer.head->count4 > 0, counts[a] > 0);
                ck_assert_int_eq(answer.head->count6 > 0, counts[b] > 0);
                ck_assert_int_eq((answer.head->flags & ANSWER_FLAG_PARTIAL) != 0,
                                 answer.head->count4 < counts[a] ||
                                     answer.head->count6 < counts[b]);
                evaluation_done(&evaluation);
            }
}
END_TEST

START_TEST(a_sample_takes_every_address_equally_often)
{
    enum { ADDRESSES = 200, ROUNDS = 3000 };
    struct evaluation evaluation = {0};
    unsigned seen[ADDRESSES] = {0};
    uint64_t seed = 42;
    struct answer answer;
    double expected = 0;

    evaluation_reset(&evaluation);
    add_many(&evaluation, ADDRESSES, 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t size = evaluation_write(&evaluation, "orders.one", 8, 0, counter, &seed, buffer,
                                       ANSWER_SLOT_SIZE);

        ck_assert(answer_parse(buffer, size, &answer));
        for (unsigned i = 0; i < answer.head->count4; i++)
            seen[answer.records4[i].address[3]]++;
        expected += (double)answer.head->count4 / ADDRESSES;
    }
    /* Six standard deviations of a binomial. */
    for (unsigned i = 0; i < ADDRESSES; i++)
        ck_assert_msg(seen[i] > expected - 160 && seen[i] < expected + 160, "%u: %u of %f", i,
                      seen[i], expected);
    evaluation_done(&evaluation);
}
END_TEST

START_TEST(the_same_address_twice_counts_once_with_both_weights)
{
    struct evaluation evaluation = {0};
    struct address one = {AF_INET, {10, 0, 0, 1}};

    ck_assert(evaluation_add(&evaluation, &one, 3, 0, 0));
    ck_assert(evaluation_add(&evaluation, &one, 4, 1, 0));
    ck_assert(evaluation_merge(&evaluation));
    ck_assert_uint_eq(evaluation.count, 1);
    ck_assert_uint_eq(evaluation.items[0].weight, 7);
    evaluation_done(&evaluation);
}
END_TEST

START_TEST(weights_keep_their_proportion_in_sixteen_bits)
{
    struct evaluation evaluation = {0};
    struct address small = {AF_INET, {10, 0, 0, 1}}, large = {AF_INET, {10, 0, 0, 2}};
    struct answer answer;
    size_t size;

    evaluation_reset(&evaluation);
    evaluation_add(&evaluation, &small, 1, 0, 0);
    evaluation_add(&evaluation, &large, 4000000000u, 1, 0);
    evaluation.status4 = ANSWER_FOUND;
    evaluation.status6 = ANSWER_NO_DATA;
    size = evaluation_write(&evaluation, "a", 8, 0, NULL, NULL, buffer, ANSWER_SIZE_MAX);
    ck_assert(answer_parse(buffer, size, &answer));
    ck_assert_uint_eq(answer.records4[0].weight, 1);
    ck_assert_uint_eq(answer.records4[1].weight, 65535);
    evaluation_done(&evaluation);
}
END_TEST

START_TEST(both_families_make_one_verdict)
{
    struct {
        uint8_t four, six, both;
    } table[] = {
        {ANSWER_FOUND, ANSWER_UNDECIDED, ANSWER_FOUND},
        {ANSWER_NO_DATA, ANSWER_FOUND, ANSWER_FOUND},
        {ANSWER_NO_DATA, ANSWER_UNDECIDED, ANSWER_UNDECIDED},
        {ANSWER_NO_DATA, ANSWER_ABSENT, ANSWER_NO_DATA},
        {ANSWER_ABSENT, ANSWER_ABSENT, ANSWER_ABSENT},
        {ANSWER_FOREIGN, ANSWER_FOREIGN, ANSWER_FOREIGN},
    };

    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct evaluation evaluation = {.status4 = table[i].four, .status6 = table[i].six};

        ck_assert_int_eq(evaluation_status(&evaluation, WIRE_UNSPEC), table[i].both);
        ck_assert_int_eq(evaluation_status(&evaluation, WIRE_IPV4), table[i].four);
        ck_assert_int_eq(evaluation_status(&evaluation, WIRE_IPV6), table[i].six);
    }
}
END_TEST

START_TEST(status_and_reverse_payloads_are_valid)
{
    struct address four = {AF_INET, {10, 0, 0, 1}}, six = {AF_INET6, {0xfd, [15] = 1}};
    struct answer answer;
    size_t size;

    size = evaluation_write_status(ANSWER_FOREIGN, "", buffer);
    ck_assert(answer_parse(buffer, size, &answer));
    size = evaluation_write_status(ANSWER_ABSENT, "a.one", buffer);
    ck_assert(answer_parse(buffer, size, &answer));
    size = evaluation_write_reverse("a.one", &four, buffer);
    ck_assert(answer_parse(buffer, size, &answer));
    ck_assert_uint_eq(answer.records4[0].address[0], 10);
    size = evaluation_write_reverse("a.one", &six, buffer);
    ck_assert(answer_parse(buffer, size, &answer));
    ck_assert_uint_eq(answer.records6[0].address[0], 0xfd);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("evaluation");

    UNIT_CASE(suite, "payload", every_size_makes_a_valid_payload,
              a_sample_takes_every_address_equally_often, status_and_reverse_payloads_are_valid,
              weights_keep_their_proportion_in_sixteen_bits);
    UNIT_CASE(suite, "gathered", the_same_address_twice_counts_once_with_both_weights,
              both_families_make_one_verdict);
    return suite;
}

UNIT_MAIN(make_suite)
