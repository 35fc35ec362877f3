/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The draw: who comes first, how often, and who is left out. Seeds are fixed, so figures are too,
 * but where seeds are what is tested.
 */
#include "nss/draw.h"
#include "nss/turn.h"
#include "tests/unit/payload.h"
#include "tests/unit/unit.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 60000, MANY = 400 };

/* A record of each family, described by what the draw looks at. */
static struct answer_record4 v4(uint16_t endpoint, uint16_t weight, uint16_t rank, uint8_t tier)
{
    return (struct answer_record4){
        {10, 0, (uint8_t)(endpoint >> 8), (uint8_t)endpoint}, weight, endpoint, rank, tier, 0};
}

static struct answer_record6 v6(uint16_t endpoint, uint16_t weight, uint16_t rank, uint8_t tier)
{
    return (struct answer_record6){{0xfd, [14] = (uint8_t)(endpoint >> 8), (uint8_t)endpoint},
                                   weight,
                                   endpoint,
                                   rank,
                                   tier,
                                   0};
}

struct sample {
    struct payload payload;
    struct answer answer;
    uint16_t order[MANY * 2];
};

static void sample_make(struct sample *sample, const struct answer_record4 *r4, size_t n4,
                        const struct answer_record6 *r6, size_t n6)
{
    struct payload_spec spec = {
        .name = "a.b", .records4 = r4, .count4 = n4, .records6 = r6, .count6 = n6};
    size_t size = payload_make(&sample->payload, &spec);

    ck_assert(answer_parse(sample->payload.data, size, &sample->answer));
}

static uint16_t endpoint_at(const struct sample *sample, size_t i)
{
    size_t number = sample->order[i], count4 = sample->answer.head->count4;

    return number < count4 ? sample->answer.records4[number].endpoint
                           : sample->answer.records6[number - count4].endpoint;
}

static size_t draw(struct sample *sample, unsigned families, size_t limit, uint64_t seed)
{
    return draw_order(&sample->answer, families, limit, seed, DRAW_NO_TURN, sample->order);
}

/*
 * How often each endpoint is at place `place`, against what is expected: Pearson's chi-square must
 * stay below a bound that chance exceeds less than once in 10^6 (normal approximation, z = 5).
 */
static void expect_shares(struct sample *sample, unsigned families, size_t place,
                          const double *shares, size_t count)
{
    unsigned hits[16] = {0};
    double chi = 0;

    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        UNIT_HOLDS(draw(sample, families, place + 1, seed) > place);
        hits[endpoint_at(sample, place)]++;
    }
    for (size_t i = 0; i < count; i++) {
        double expected = shares[i] * ROUNDS;

        if (expected == 0)
            ck_assert_uint_eq(hits[i], 0);
        else
            chi += (hits[i] - expected) * (hits[i] - expected) / expected;
    }
    ck_assert_msg(chi < (double)count + 5 * sqrt(2.0 * (double)count), "chi-square %f", chi);
}

START_TEST(equal_weights_share_equally)
{
    struct answer_record4 r[8];
    double shares[8];
    struct sample sample;

    for (uint16_t i = 0; i < 8; i++) {
        r[i] = v4(i, 1, 0, 0);
        shares[i] = 1.0 / 8;
    }
    sample_make(&sample, r, 8, NULL, 0);
    expect_shares(&sample, DRAW_IPV4, 0, shares, 8);
    expect_shares(&sample, DRAW_IPV4, 1, shares, 8);
    expect_shares(&sample, DRAW_IPV4, 7, shares, 8);
}
END_TEST

START_TEST(weights_are_followed_and_zero_is_never_first)
{
    const struct answer_record4 r[] = {v4(0, 1, 0, 0), v4(1, 2, 0, 0), v4(2, 0, 0, 0),
                                       v4(3, 5, 0, 0)};
    const double shares[] = {1.0 / 8, 2.0 / 8, 0, 5.0 / 8};
    struct sample sample;

    sample_make(&sample, r, 4, NULL, 0);
    expect_shares(&sample, DRAW_IPV4, 0, shares, 4);
    /* It is not lost: it comes when nothing else is left. */
    ck_assert_uint_eq(draw(&sample, DRAW_IPV4, 4, 1), 4);
    ck_assert_uint_eq(endpoint_at(&sample, 3), 2);
}
END_TEST

START_TEST(the_largest_weights_do_not_overflow)
{
    struct answer_record4 r[MANY];
    struct sample sample;
    unsigned upper = 0;

    for (uint16_t i = 0; i < MANY; i++)
        r[i] = v4(i, UINT16_MAX, 0, 0);
    sample_make(&sample, r, MANY, NULL, 0);
    for (uint64_t seed = 0; seed < 4000; seed++) {
        ck_assert_uint_eq(draw(&sample, DRAW_IPV4, 1, seed), 1);
        upper += endpoint_at(&sample, 0) >= MANY / 2;
    }
    ck_assert_uint_gt(upper, 1800);
    ck_assert_uint_lt(upper, 2200);
}
END_TEST

START_TEST(all_weights_zero_share_equally)
{
    const struct answer_record4 r[] = {v4(0, 0, 0, 0), v4(1, 0, 0, 0)};
    const double shares[] = {0.5, 0.5};
    struct sample sample;

    sample_make(&sample, r, 2, NULL, 0);
    expect_shares(&sample, DRAW_IPV4, 0, shares, 2);
}
END_TEST

START_TEST(an_endpoint_of_two_families_counts_once)
{
    const struct answer_record4 r4[] = {v4(0, 1, 1, 0), v4(1, 1, 1, 0), v4(2, 1, 1, 0)};
    const struct answer_record6 r6[] = {v6(0, 1, 0, 0), v6(3, 1, 0, 0)};
    const double shares[] = {0.25, 0.25, 0.25, 0.25};
    struct sample sample;

    sample_make(&sample, r4, 3, r6, 2);
    expect_shares(&sample, DRAW_IPV4 | DRAW_IPV6, 0, shares, 4);
}
END_TEST

START_TEST(the_families_of_an_endpoint_stay_together_best_rank_first)
{
    struct answer_record4 r4[10];
    struct answer_record6 r6[10];
    struct sample sample;

    for (uint16_t i = 0; i < 10; i++) {
        r4[i] = v4(i, 1, 1, 0);
        r6[i] = v6(i, 1, 0, 0);
    }
    sample_make(&sample, r4, 10, r6, 10);
    for (uint64_t seed = 0; seed < 1000; seed++) {
        ck_assert_uint_eq(draw(&sample, DRAW_IPV4 | DRAW_IPV6, 8, seed), 8);
        for (size_t i = 0; i < 8; i += 2)
            UNIT_HOLDS(endpoint_at(&sample, i) == endpoint_at(&sample, i + 1));
        ck_assert_uint_ge(sample.order[0], 10);
    }
}
END_TEST

START_TEST(one_family_gets_no_record_of_the_other)
{
    const struct answer_record4 r4[] = {v4(0, 1, 0, 0), v4(1, 1, 0, 0)};
    const struct answer_record6 r6[] = {v6(0, 1, 0, 0)};
    struct sample sample;

    sample_make(&sample, r4, 2, r6, 1);
    ck_assert_uint_eq(draw(&sample, DRAW_IPV6, 0, 1), 1);
    ck_assert_uint_eq(sample.order[0], 2);
    ck_assert_uint_eq(draw(&sample, DRAW_IPV4, 0, 1), 2);
    sample_make(&sample, r4, 2, NULL, 0);
    ck_assert_uint_eq(draw(&sample, DRAW_IPV6, 0, 1), 0);
}
END_TEST

START_TEST(a_better_rank_never_follows_the_first)
{
    struct answer_record4 r[6];
    struct sample sample;
    unsigned by_first[3] = {0};

    for (uint16_t i = 0; i < 6; i++)
        r[i] = v4(i, 1, i / 2, i == 5 ? 1 : 0);
    sample_make(&sample, r, 6, NULL, 0);
    for (uint64_t seed = 0; seed < 3000; seed++) {
        size_t count = draw(&sample, DRAW_IPV4, 8, seed);
        uint16_t first = r[sample.order[0]].rank;

        for (size_t i = 1; i < count; i++)
            UNIT_HOLDS(r[sample.order[i]].rank >= first);
        ck_assert_uint_eq(count, 6u - 2u * first);
        by_first[first]++;
    }
    /* Rank decides who follows, not who is drawn: five in tier 0, one of them of rank 2. */
    ck_assert_uint_gt(by_first[2], 500);
}
END_TEST

START_TEST(higher_tiers_follow_and_are_never_first)
{
    const struct answer_record4 r[] = {v4(0, 9, 0, 7), v4(1, 1, 0, 2), v4(2, 1, 0, 0),
                                       v4(3, 1, 0, 2), v4(4, 1, 0, 0)};
    static const uint8_t tiers[] = {0, 0, 2, 2, 7};
    struct sample sample;

    sample_make(&sample, r, 5, NULL, 0);
    for (uint64_t seed = 0; seed < 200; seed++) {
        ck_assert_uint_eq(draw(&sample, DRAW_IPV4, 0, seed), 5);
        for (size_t i = 0; i < 5; i++)
            ck_assert_uint_eq(r[sample.order[i]].tier, tiers[i]);
    }
}
END_TEST

START_TEST(a_family_without_a_route_is_never_first)
{
    enum { UNREACHABLE = 0x80 };
    struct answer_record4 r4[8];
    struct answer_record6 r6[8];
    struct sample sample;

    for (uint16_t i = 0; i < 8; i++) {
        r4[i] = v4(i, 1, 1, 0);
        r6[i] = v6(i, 9, UINT16_MAX, UNREACHABLE);
    }
    sample_make(&sample, r4, 8, r6, 8);
    for (uint64_t seed = 0; seed < 2000; seed++) {
        UNIT_HOLDS(draw(&sample, DRAW_IPV4 | DRAW_IPV6, 16, seed) == 16);
        for (size_t i = 0; i < 16; i++)
            UNIT_HOLDS((sample.order[i] >= 8) == (i >= 8));
        /* Asked for alone, it is what there is. */
        UNIT_HOLDS(draw(&sample, DRAW_IPV6, 16, seed) == 8);
    }
}
END_TEST

START_TEST(the_lowest_tier_there_is_is_drawn)
{
    const struct answer_record4 r[] = {v4(0, 1, 0, 255), v4(1, 1, 0, 3)};
    struct sample sample;

    sample_make(&sample, r, 2, NULL, 0);
    ck_assert_uint_eq(draw(&sample, DRAW_IPV4, 1, 1), 1);
    ck_assert_uint_eq(sample.order[0], 1);
}
END_TEST

START_TEST(the_limit_is_kept_and_zero_gives_every_record_once)
{
    struct answer_record4 r4[MANY];
    struct answer_record6 r6[MANY];
    struct sample sample;

    for (uint16_t i = 0; i < MANY; i++) {
        r4[i] = v4(i, i % 5, i % 3, i % 2);
        r6[i] = v6(i, i % 5, i % 4, i % 2);
    }
    sample_make(&sample, r4, MANY, r6, MANY);
    for (uint64_t seed = 0; seed < 20; seed++) {
        bool seen[2 * MANY] = {false};

        ck_assert_uint_le(draw(&sample, DRAW_IPV4 | DRAW_IPV6, 8, seed), 8);
        ck_assert_uint_eq(draw(&sample, DRAW_IPV4 | DRAW_IPV6, 0, seed), 2 * MANY);
        for (size_t i = 0; i < 2 * MANY; i++) {
            UNIT_HOLDS(!seen[sample.order[i]]);
            seen[sample.order[i]] = true;
        }
    }
}
END_TEST

START_TEST(seeds_of_the_same_moment_differ)
{
    uint64_t seeds[1000];

    for (size_t i = 0; i < 1000; i++) {
        seeds[i] = draw_seed();
        for (size_t j = 0; j < i; j++)
            UNIT_HOLDS(seeds[i] != seeds[j]);
    }
}
END_TEST

/* ---- real seeds, in processes and threads ---- */

enum { CHILDREN = 40, DRAWS = 500, ENDPOINTS_MOST = 64 };

/* Counted by processes and threads together. */
struct tally {
    _Atomic unsigned hits[ENDPOINTS_MOST];
};

static struct tally *tally_new(void)
{
    void *shared = mmap(NULL, sizeof(struct tally), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(shared, MAP_FAILED);
    return shared;
}

struct drawer {
    struct sample sample; /* of its own: it has room for the order */
    struct tally *tally;
    unsigned draws;
};

static void *draw_many(void *userdata)
{
    struct drawer *drawer = userdata;

    for (unsigned i = 0; i < drawer->draws; i++) {
        draw(&drawer->sample, DRAW_IPV4 | DRAW_IPV6, 8, draw_seed());
        drawer->tally->hits[endpoint_at(&drawer->sample, 0)]++;
    }
    return NULL;
}

/* Half of a child's draws in each of two threads. */
static void draw_in_threads(const struct drawer *drawer)
{
    struct drawer halves[2] = {*drawer, *drawer};
    pthread_t threads[2];

    for (size_t i = 0; i < 2; i++) {
        struct sample *sample = &halves[i].sample;

        ck_assert(
            answer_parse(sample->payload.data, sizeof(sample->payload.data), &sample->answer));
        halves[i].draws /= 2;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, draw_many, &halves[i]), 0);
    }
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

static void in_children(const struct drawer *drawer, unsigned children)
{
    for (unsigned i = 0; i < children; i++) {
        pid_t pid = fork();

        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
            draw_in_threads(drawer);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < children; i++)
        ck_assert_int_gt(wait(NULL), 0);
}

/* What chance exceeds once in 10^6 (Wilson and Hilferty, 1931). */
static double chi_square_most(size_t freedom)
{
    double part = 2.0 / (9.0 * (double)freedom), base = 1 - part + 4.7534 * sqrt(part);

    return (double)freedom * base * base * base;
}

/* Of 64 endpoints at most: 1, 2 or 3 parts of the weight each, of mixed families. */
static void make_drawer(struct drawer *drawer, uint16_t endpoints)
{
    struct answer_record4 r4[ENDPOINTS_MOST];
    struct answer_record6 r6[ENDPOINTS_MOST];
    size_t n4 = 0, n6 = 0;

    for (uint16_t i = 0; i < endpoints; i++) {
        if (i % 3 != 1)
            r4[n4++] = v4(i, 1 + i % 3, 1, 0);
        if (i % 3 != 0)
            r6[n6++] = v6(i, 1 + i % 3, 0, 0);
    }
    sample_make(&drawer->sample, r4, n4, r6, n6);
    drawer->tally = tally_new();
}

static void expect_by_weight(const struct tally *tally, uint16_t endpoints)
{
    double chi = 0, draws = 0, weights = 0;

    for (uint16_t i = 0; i < endpoints; i++) {
        draws += tally->hits[i];
        weights += 1 + i % 3;
    }
    for (uint16_t i = 0; i < endpoints; i++) {
        double expected = draws * (1 + i % 3) / weights;

        chi += (tally->hits[i] - expected) * (tally->hits[i] - expected) / expected;
    }
    if (endpoints > 1)
        ck_assert_msg(chi < chi_square_most(endpoints - 1u), "%u: %f", endpoints, chi);
}

START_TEST(processes_and_threads_draw_by_weight_all_together)
{
    static const uint16_t counts[] = {1, 2, 8, 64};

    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        static struct drawer drawer;
        unsigned draws = 0;

        make_drawer(&drawer, counts[c]);
        drawer.draws = DRAWS;
        in_children(&drawer, CHILDREN);
        for (uint16_t i = 0; i < counts[c]; i++)
            draws += drawer.tally->hits[i];
        ck_assert_uint_eq(draws, CHILDREN * DRAWS);
        expect_by_weight(drawer.tally, counts[c]);
        munmap(drawer.tally, sizeof(*drawer.tally));
    }
}
END_TEST

/* Alike in all that a draw could go by but the time: what a server with workers does. */
START_TEST(the_first_draws_of_forked_children_differ)
{
    static struct drawer drawer;

    make_drawer(&drawer, 8);
    for (unsigned i = 0; i < 400; i++) {
        pid_t pid = fork();

        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
            drawer.draws = 1;
            draw_many(&drawer);
            _exit(0);
        }
        if (i % 4 == 3)
            while (wait(NULL) > 0)
                ;
    }
    expect_by_weight(drawer.tally, 8);
    munmap(drawer.tally, sizeof(*drawer.tally));
}
END_TEST

/* ---- turns ---- */

static void make_named(struct sample *sample, const char *name, uint16_t endpoints)
{
    struct answer_record4 r[MANY];
    struct payload_spec spec = {.name = name, .records4 = r, .count4 = endpoints};
    size_t size;

    for (uint16_t i = 0; i < endpoints; i++)
        r[i] = v4(i, 3, 0, 0);
    size = payload_make(&sample->payload, &spec);
    ck_assert(answer_parse(sample->payload.data, size, &sample->answer));
}

/* The first turn of all is 0: they are counted in 16 bits, and where that is no multiple of the
 * endpoints, one of many thousands is out of turn. */
static uint16_t turn(struct sample *sample)
{
    draw_order(&sample->answer, DRAW_IPV4, 8, draw_seed(), turn_take(&sample->answer, DRAW_IPV4, 0),
               sample->order);
    return endpoint_at(sample, 0);
}

START_TEST(endpoints_of_equal_weight_take_turns)
{
    static struct sample sample;
    uint16_t last;

    make_named(&sample, "turns.a", 7);
    last = turn(&sample);
    for (unsigned i = 0; i < 1000; i++) {
        uint16_t next = turn(&sample);

        ck_assert_uint_eq(next, (last + 1) % 7);
        last = next;
    }
}
END_TEST

START_TEST(turns_are_no_matter_where_weights_differ)
{
    const struct answer_record4 r[] = {v4(0, 1, 0, 0), v4(1, 3, 0, 0)};
    struct sample sample;
    unsigned hits = 0;

    sample_make(&sample, r, 2, NULL, 0);
    for (uint32_t i = 0; i < 8000; i++) {
        draw_order(&sample.answer, DRAW_IPV4, 8, i, i, sample.order);
        hits += endpoint_at(&sample, 0);
    }
    ck_assert_uint_gt(hits, 5760);
    ck_assert_uint_lt(hits, 6240);
}
END_TEST

START_TEST(names_that_alternate_do_not_take_each_others_turns)
{
    static struct sample one, two;

    make_named(&one, "one.a", 2);
    make_named(&two, "two.a", 2);
    for (unsigned i = 0; i < 100; i++) {
        uint16_t first = turn(&one), second = turn(&two);

        ck_assert_uint_ne(turn(&one), first);
        ck_assert_uint_ne(turn(&two), second);
    }
}
END_TEST

START_TEST(a_call_that_is_made_again_has_the_same_turn)
{
    static struct sample sample;
    uint32_t first, again;

    make_named(&sample, "again.a", 2);
    for (unsigned i = 0; i < 100; i++) {
        first = turn_take(&sample.answer, DRAW_IPV4, 5);
        turn_give_back(&sample.answer, DRAW_IPV4, first);
        again = turn_take(&sample.answer, DRAW_IPV4, 5);
        ck_assert_uint_eq(first, again);
    }
}
END_TEST

START_TEST(a_forked_child_begins_somewhere_else)
{
    static struct sample sample;
    int status;
    pid_t pid;

    make_named(&sample, "fork.a", 8);
    turn_prepare();
    ck_assert_uint_eq(turn_take(&sample.answer, DRAW_IPV4, 0), 0);
    pid = fork();
    if (pid == 0)
        _exit(turn_take(&sample.answer, DRAW_IPV4, 77) == 77 ? 0 : 1);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(turn_take(&sample.answer, DRAW_IPV4, 0), 1);
}
END_TEST

static struct tally turns;

static void *take_turns(void *userdata)
{
    struct sample sample;

    (void)userdata;
    make_named(&sample, "threads.a", 4);
    for (unsigned i = 0; i < 5000; i++)
        turns.hits[turn(&sample)]++;
    return NULL;
}

START_TEST(threads_share_the_turns)
{
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_turns, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    /* A thread that was overtaken four times gives way; drawn at random these would be 60 apart. */
    for (size_t i = 0; i < 4; i++) {
        ck_assert_uint_gt(turns.hits[i], 4980);
        ck_assert_uint_lt(turns.hits[i], 5020);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("draw");

    UNIT_CASE(suite, "weight", equal_weights_share_equally,
              weights_are_followed_and_zero_is_never_first, the_largest_weights_do_not_overflow,
              all_weights_zero_share_equally, an_endpoint_of_two_families_counts_once);
    UNIT_CASE(suite, "order", the_families_of_an_endpoint_stay_together_best_rank_first,
              one_family_gets_no_record_of_the_other, a_better_rank_never_follows_the_first,
              higher_tiers_follow_and_are_never_first, a_family_without_a_route_is_never_first,
              the_lowest_tier_there_is_is_drawn,
              the_limit_is_kept_and_zero_gives_every_record_once);
    UNIT_CASE(suite, "seed", seeds_of_the_same_moment_differ,
              processes_and_threads_draw_by_weight_all_together,
              the_first_draws_of_forked_children_differ);
    UNIT_CASE(suite, "turn", endpoints_of_equal_weight_take_turns,
              turns_are_no_matter_where_weights_differ,
              names_that_alternate_do_not_take_each_others_turns,
              a_call_that_is_made_again_has_the_same_turn, a_forked_child_begins_somewhere_else,
              threads_share_the_turns);
    return suite;
}

UNIT_MAIN(make_suite)
