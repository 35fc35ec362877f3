/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a name means, as a payload (daemon/evaluation.h): always one that the validator takes. */
#include "daemon/evaluation.h"
#include "nss-sd/wire.h"
#include "tests/unit/unit.h"

#include <math.h>
#include <stdio.h>

static uint64_t counter(void *userdata)
{
    uint64_t *state = userdata;

    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return *state ^ *state << 32; /* the upper half is the better one */
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

/* What a draw from the answer would give each endpoint, summed over many answers. */
static void add_shares(const struct answer *answer, double *shares)
{
    double total = 0;

    for (unsigned i = 0; i < answer->head->count4; i++)
        total += answer->records4[i].weight;
    for (unsigned i = 0; i < answer->head->count4; i++)
        shares[answer->records4[i].endpoint] += answer->records4[i].weight / total;
}

START_TEST(a_sample_gives_everybody_the_share_of_its_weight)
{
    enum { ADDRESSES = 200, ROUNDS = 3000 };
    static const uint32_t largest[] = {1, 50, 100000};

    for (size_t l = 0; l < ELEMENTS(largest); l++) {
        struct evaluation evaluation = {0};
        double shares[ADDRESSES] = {0}, total = 0;
        uint64_t seed = 42;
        struct answer answer;

        evaluation_reset(&evaluation);
        add_many(&evaluation, ADDRESSES, 0);
        evaluation.items[ADDRESSES / 2].weight = largest[l];
        for (unsigned i = 0; i < ADDRESSES; i++)
            total += evaluation.items[i].weight;
        for (unsigned round = 0; round < ROUNDS; round++) {
            size_t size = evaluation_write(&evaluation, "orders.one", 8, 0, counter, &seed, buffer,
                                           ANSWER_SLOT_SIZE);

            ck_assert(answer_parse(buffer, size, &answer));
            ck_assert(answer.head->flags & ANSWER_FLAG_PARTIAL);
            ck_assert_uint_ge(answer.head->count4, 57);
            add_shares(&answer, shares);
        }
        /* Who is in the sample has 1/58 of what it is drawn from, more or less: six standard
         * deviations; and what 16 bits cannot tell. */
        for (unsigned i = 0; i < ADDRESSES; i++) {
            double share = evaluation.items[i].weight / total;
            double room = 6 * sqrt(share / 57 / ROUNDS) + 1.0 / UINT16_MAX;

            ck_assert_msg(fabs(shares[i] / ROUNDS - share) < room, "%u: %f of %f", i,
                          shares[i] / ROUNDS, share);
        }
        evaluation_done(&evaluation);
    }
}
END_TEST

/* 200 addresses, so many of tier 0 and of tier 1, the others of tier 2: how many of each are taken?
 */
static void expect_tiers(unsigned first, unsigned second, unsigned taken0, unsigned taken1,
                         unsigned taken2)
{
    struct evaluation evaluation = {0};
    struct answer answer;
    unsigned taken[3] = {0};
    uint64_t seed = 1;
    size_t size;

    evaluation_reset(&evaluation);
    add_many(&evaluation, 200, 0);
    for (unsigned i = 0; i < 200; i++)
        evaluation.items[199 - i].tier = i < first ? 0 : i < first + second ? 1 : 2;
    size = evaluation_write(&evaluation, "orders.one", 8, 0, counter, &seed, buffer,
                            ANSWER_SLOT_SIZE);
    ck_assert(answer_parse(buffer, size, &answer));
    for (unsigned i = 0; i < answer.head->count4; i++)
        taken[answer.records4[i].tier]++;
    ck_assert_uint_eq(taken[0], taken0);
    ck_assert_uint_eq(taken[1], taken1);
    ck_assert_uint_eq(taken[2], taken2);
    evaluation_done(&evaluation);
}

START_TEST(a_sample_takes_the_lowest_tiers_first)
{
    expect_tiers(30, 100, 30, 28, 0);
    expect_tiers(100, 50, 58, 0, 0);
    expect_tiers(1, 1, 1, 1, 56);
    expect_tiers(58, 100, 58, 0, 0);
}
END_TEST

START_TEST(endpoints_of_two_families_are_sampled_with_both)
{
    struct evaluation evaluation = {0};
    struct answer answer;
    uint64_t seed = 7;
    size_t size;

    evaluation_reset(&evaluation);
    for (unsigned i = 0; i < 300; i++) {
        struct address four = {AF_INET, {10, 0, (uint8_t)(i >> 8), (uint8_t)i}};
        struct address six = {AF_INET6, {0xfd, [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i}};

        ck_assert(evaluation_add(&evaluation, &four, 1 + i % 5, (uint16_t)i, 0));
        ck_assert(evaluation_add(&evaluation, &six, 1 + i % 5, (uint16_t)i, 0));
    }
    evaluation.status4 = evaluation.status6 = ANSWER_FOUND;
    size = evaluation_write(&evaluation, "orders.one", 8, 0, counter, &seed, buffer,
                            ANSWER_SLOT_SIZE);
    ck_assert(answer_parse(buffer, size, &answer));
    ck_assert_uint_eq(answer.head->count4, answer.head->count6);
    ck_assert_uint_ge(answer.head->count4, 18);
    for (unsigned i = 0; i < answer.head->count4; i++) {
        ck_assert_uint_eq(answer.records4[i].endpoint, answer.records6[i].endpoint);
        ck_assert_uint_eq(answer.records4[i].weight, answer.records6[i].weight);
    }
    evaluation_done(&evaluation);
}
END_TEST

START_TEST(duplicates_are_found_in_services_of_any_size)
{
    enum { DISTINCT = 5000 };
    struct evaluation evaluation = {0};

    for (unsigned i = 0; i < 3 * DISTINCT; i++) {
        unsigned n = i * 7919 % DISTINCT;
        struct address one = {AF_INET, {10, 0, (uint8_t)(n >> 8), (uint8_t)n}};

        ck_assert(evaluation_add(&evaluation, &one, 2, (uint16_t)i, i < DISTINCT ? 1 : 0));
    }
    ck_assert(evaluation_merge(&evaluation));
    ck_assert_uint_eq(evaluation.count, DISTINCT);
    for (unsigned i = 0; i < DISTINCT; i++) {
        ck_assert_uint_eq(evaluation.items[i].weight, 6);
        /* In the better tier, so by its second endpoint. */
        ck_assert_uint_eq(evaluation.items[i].tier, 0);
        ck_assert_uint_eq(evaluation.items[i].endpoint, DISTINCT + i);
    }
    evaluation_done(&evaluation);
}
END_TEST

START_TEST(weights_that_come_together_do_not_overflow)
{
    struct evaluation evaluation = {0};
    struct address one = {AF_INET, {10, 0, 0, 1}};

    ck_assert(evaluation_add(&evaluation, &one, UINT32_MAX, 0, 0));
    ck_assert(evaluation_add(&evaluation, &one, 2, 1, 0));
    ck_assert(evaluation_merge(&evaluation));
    ck_assert_uint_eq(evaluation.items[0].weight, UINT32_MAX);
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
              a_sample_gives_everybody_the_share_of_its_weight,
              a_sample_takes_the_lowest_tiers_first,
              endpoints_of_two_families_are_sampled_with_both,
              status_and_reverse_payloads_are_valid, weights_keep_their_proportion_in_sixteen_bits);
    UNIT_CASE(suite, "gathered", the_same_address_twice_counts_once_with_both_weights,
              duplicates_are_found_in_services_of_any_size,
              weights_that_come_together_do_not_overflow, both_families_make_one_verdict);
    return suite;
}

UNIT_MAIN(make_suite)
