/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ranks of answers in a network namespace of our own: what the kernel says, what changes. */
#include "daemon/ranker.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <systemd/sd-event.h>

#include "daemon/evaluation.h"
#include "tests/unit/loop.h"
#include "tests/unit/unit.h"

static char directory[32];
static sd_event *event;
static struct ranker *ranker;
static unsigned changes;

static void on_change(void *userdata)
{
    (void)userdata;
    changes++;
}

static void run(const char *words)
{
    ck_assert_msg(system(words) == 0, "%s", words);
}

static const char *gai_conf(void)
{
    static char path[64];

    snprintf(path, sizeof(path), "%s/gai.conf", directory);
    return path;
}

static void write_gai_conf(const char *text)
{
    FILE *file = fopen(gai_conf(), "we");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void make_ranker(void)
{
    ck_assert_int_eq(ranker_new(event, gai_conf(), on_change, NULL, &ranker), 0);
}

/* A host with 192.0.2.2/24, 2001:db8::2/64 and no way to elsewhere. */
static void set_up(void)
{
    strcpy(directory, "/tmp/test_rank.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET), 0);
    run("ip link set lo up && ip link add e0 type veth peer name p0 && ip link set p0 up &&"
        "ip address add 192.0.2.2/24 dev e0 && ip address add 2001:db8::2/64 dev e0 nodad &&"
        "ip link set e0 up");
    ck_assert_int_eq(sd_event_new(&event), 0);
    changes = 0;
    ranker = NULL;
}

static void tear_down(void)
{
    ck_assert_ptr_null(ranker_free(ranker));
    ck_assert_ptr_null(sd_event_unref(event));
    unlink(gai_conf());
    rmdir(directory);
}

/* The answer to "a.one" of these addresses: "limit L: RANK[!] ...", IPv4 first. */
static const char *ranked(const char *addresses, bool all)
{
    static uint32_t buffer[ANSWER_SIZE_MAX / sizeof(uint32_t)];
    static char text[256];
    struct evaluation evaluation = {.status4 = ANSWER_NO_DATA, .status6 = ANSWER_NO_DATA};
    char *copy = strdup(addresses), *save = NULL;
    uint16_t endpoint = 0;
    struct answer answer;
    size_t size;

    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        struct address address;

        ck_assert_int_eq(address_from_string(word, &address), 0);
        evaluation_add(&evaluation, &address, 1, endpoint++, 0);
    }
    free(copy);
    evaluation.all_answers = all;
    size = evaluation_write(&evaluation, "a.one", 8, 0, NULL, NULL, buffer, sizeof(buffer));
    evaluation_done(&evaluation);
    ranker_rank(ranker, (struct answer_head *)buffer);
    ck_assert(answer_parse(buffer, size, &answer));
    snprintf(text, sizeof(text), "limit %u:", answer.head->limit);
    for (unsigned i = 0; i < answer.head->count4; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), " %u%s", answer.records4[i].rank,
                 answer.records4[i].tier == RANKER_TIER_UNREACHABLE ? "!" : "");
    for (unsigned i = 0; i < answer.head->count6; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), " %u%s", answer.records6[i].rank,
                 answer.records6[i].tier == RANKER_TIER_UNREACHABLE ? "!" : "");
    return text;
}

#define RANKED(addresses, text) ck_assert_str_eq(ranked(addresses, false), text)

START_TEST(records_of_both_families_get_rank_and_tier)
{
    make_ranker();
    RANKED("192.0.2.9 192.0.2.3 198.51.100.1", "limit 8: 1 0 2!");
    RANKED("192.0.2.9 192.0.2.3 2001:db8::3 2001:db8:1::1", "limit 8: 2 1 0 3!");
    RANKED("198.51.100.1", "limit 8: 0");
}
END_TEST

START_TEST(a_change_of_the_network_is_seen_when_it_is_told)
{
    make_ranker();
    RANKED("192.0.2.9 198.51.100.1", "limit 8: 0 1!");
    run("ip route add 198.51.100.0/24 dev e0");
    RANKED("192.0.2.9 198.51.100.1", "limit 8: 0 1!");
    ranker_network_changed(ranker);
    RANKED("192.0.2.9 198.51.100.1", "limit 8: 0 1");
    /* Without IPv6, glibc does not look at subnets. */
    run("ip -6 address flush dev e0 && ip -6 address flush dev p0");
    ranker_network_changed(ranker);
    RANKED("192.0.2.9 192.0.2.3 198.51.100.1 2001:db8::3", "limit 8: 0 0 0 1!");
}
END_TEST

START_TEST(gai_conf_is_followed_and_told)
{
    struct ranker_facts facts;

    make_ranker();
    RANKED("192.0.2.9 2001:db8::3", "limit 8: 1 0");
    write_gai_conf("precedence ::ffff:0:0/96 100\n");
    loop_until(event, &changes, 1);
    RANKED("192.0.2.9 2001:db8::3", "limit 8: 0 1");
    ranker_facts(ranker, &facts);
    ck_assert_uint_eq(facts.gai_lines, 1);
    ck_assert_uint_eq(facts.addresses, 2);
    unlink(gai_conf());
    loop_until(event, &changes, 2);
    RANKED("192.0.2.9 2001:db8::3", "limit 8: 1 0");
}
END_TEST

START_TEST(facts_count_what_has_no_route)
{
    struct ranker_facts facts;

    make_ranker();
    ranked("192.0.2.9 198.51.100.1 198.51.100.2", false);
    ranker_facts(ranker, &facts);
    ck_assert(facts.prefixes_known);
    ck_assert_uint_ge(facts.interface_addresses, 4);
    ck_assert_uint_eq(facts.addresses, 3);
    ck_assert_uint_eq(facts.unreachable, 2);
    ranker_network_changed(ranker);
    ranker_facts(ranker, &facts);
    ck_assert_uint_eq(facts.addresses, 0);
}
END_TEST

/* From now on socket() of this family fails with EACCES, as a sandbox has it. */
static void forbid_sockets(int family)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)family, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {ELEMENTS(filter), filter};

    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* "192.0.2.2", "no route", "unknown" */
static const char *source_of(const char *text)
{
    static char source_text[INET6_ADDRSTRLEN];
    struct address to, source;
    int r;

    ck_assert_int_eq(address_from_string(text, &to), 0);
    r = ranker_source(ranker, &to, &source);
    if (r > 0)
        address_to_string(&source, source_text);
    return r > 0 ? source_text : r == 0 ? "no route" : "unknown";
}

START_TEST(the_source_of_an_address_is_the_kernels_of_now)
{
    make_ranker();
    ck_assert_str_eq(source_of("192.0.2.9"), "192.0.2.2");
    ck_assert_str_eq(source_of("2001:db8::3"), "2001:db8::2");
    ck_assert_str_eq(source_of("198.51.100.1"), "no route");
    run("ip address add 198.51.100.2/24 dev e0");
    ck_assert_str_eq(source_of("198.51.100.1"), "198.51.100.2");
    ck_assert_str_eq(source_of("192.0.2.9"), "192.0.2.2");
}
END_TEST

START_TEST(a_source_of_which_the_kernel_does_not_say_is_unknown)
{
    make_ranker();
    forbid_sockets(AF_INET);
    ck_assert_str_eq(source_of("192.0.2.9"), "unknown");
    ck_assert_str_eq(source_of("2001:db8::3"), "2001:db8::2");
}
END_TEST

START_TEST(without_netlink_an_answer_has_one_address_and_no_better_one_is_hidden)
{
    forbid_sockets(AF_NETLINK);
    make_ranker();
    RANKED("192.0.2.9 192.0.2.3 198.51.100.1", "limit 1: 0 0 1!");
    ck_assert_str_eq(ranked("192.0.2.9 192.0.2.3", true), "limit 0: 0 0");
    RANKED("192.0.2.9", "limit 8: 0");
    ranker_retry(ranker);
    ck_assert_uint_eq(changes, 0);
}
END_TEST

START_TEST(without_the_kernels_word_an_answer_has_one_address)
{
    make_ranker();
    forbid_sockets(AF_INET);
    RANKED("192.0.2.9 198.51.100.1", "limit 1: 0 0");
    RANKED("2001:db8::3 2001:db8:1::1", "limit 8: 0 1!");
}
END_TEST

START_TEST(more_addresses_than_are_remembered_are_ranked_too)
{
    struct ranker_facts facts;
    char text[64];

    make_ranker();
    run("ip route add 10.0.0.0/9 dev e0");
    ranker_network_changed(ranker);
    for (unsigned i = 0; i < 140000; i++) {
        snprintf(text, sizeof(text), "10.%u.%u.%u 10.200.0.1", i >> 16, i >> 8 & 255, i & 255);
        UNIT_HOLDS(streq(ranked(text, false), "limit 8: 0 1!"));
    }
    ranker_facts(ranker, &facts);
    ck_assert_uint_gt(facts.addresses, 100000);
    ck_assert_uint_lt(facts.addresses, 140000);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("ranker");

    UNIT_CASE_FIXTURE(
        suite, "ranker", set_up, tear_down, records_of_both_families_get_rank_and_tier,
        a_change_of_the_network_is_seen_when_it_is_told, gai_conf_is_followed_and_told,
        facts_count_what_has_no_route, the_source_of_an_address_is_the_kernels_of_now,
        a_source_of_which_the_kernel_does_not_say_is_unknown,
        without_netlink_an_answer_has_one_address_and_no_better_one_is_hidden,
        without_the_kernels_word_an_answer_has_one_address,
        more_addresses_than_are_remembered_are_ranked_too);
    return suite;
}

UNIT_MAIN(make_suite)
