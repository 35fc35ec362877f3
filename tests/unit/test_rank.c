/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ranks by hand-made hosts, and how gai.conf is read. tests/system/test_rank.py compares both with
 * the glibc of this machine. */
#include "daemon/rank.h"

#include "tests/unit/unit.h"

static struct gai_conf *conf;

static void read_conf(const char *text)
{
    gai_conf_free(conf);
    ck_assert_int_eq(gai_conf_parse(text, strlen(text), &conf), 0);
}

static void set_up(void)
{
    read_conf("");
}

static void tear_down(void)
{
    conf = gai_conf_free(conf);
}

/* ---- ranks ---- */

enum { WAYS_MAX = 16 };

/* "TO" alone: no route. */
struct way {
    const char *to, *from;
    uint8_t prefix;
    bool deprecated, home, tunnel;
};

static struct address address(const char *text)
{
    struct address address = {0};

    ck_assert_int_eq(address_from_string(text, &address), 0);
    return address;
}

/* The ranks as a number: 120 for 1, 2, 0. */
static unsigned ranks(const struct way *ways)
{
    struct rank_key keys[WAYS_MAX] = {0};
    uint16_t list[WAYS_MAX];
    unsigned number = 0;
    size_t count = 0;

    for (; ways[count].to; count++) {
        const struct way *way = &ways[count];
        struct address to = address(way->to);
        struct rank_source source = {.reachable = way->from != NULL,
                                     .deprecated = way->deprecated,
                                     .home = way->home,
                                     .native = !way->tunnel,
                                     .prefix = way->prefix};

        if (way->from)
            source.address = address(way->from);
        keys[count] = rank_key(conf, &to, &source);
        ck_assert(rank_key_reachable(&keys[count]) == source.reachable);
    }
    ck_assert_int_eq(rank_assign(keys, count, list), 0);
    for (size_t i = 0; i < count; i++)
        number = 10 * number + list[i];
    return number;
}

#define RANKS(...) ranks((const struct way[]){__VA_ARGS__, {0}})

START_TEST(addresses_that_are_equally_near_share_a_rank)
{
    ck_assert_uint_eq(RANKS({"10.9.8.1", "192.0.2.2", 24}, {"10.9.8.2", "192.0.2.2", 24},
                            {"10.1.1.1", "192.0.2.2", 24}),
                      0);
}
END_TEST

START_TEST(in_the_own_subnet_the_common_prefix_counts)
{
    ck_assert_uint_eq(RANKS({"192.0.2.8", "192.0.2.2", 24}, {"192.0.2.4", "192.0.2.2", 24},
                            {"192.0.2.3", "192.0.2.2", 24}, {"192.0.2.2", "192.0.2.2", 24},
                            {"192.0.2.5", "192.0.2.2", 24}, {"198.51.100.1", "192.0.2.2", 24}),
                      321024);
}
END_TEST

START_TEST(without_a_known_prefix_no_subnet_is_near)
{
    ck_assert_uint_eq(RANKS({"192.0.2.8", "192.0.2.2", 0}, {"192.0.2.3", "192.0.2.2", 0}), 0);
}
END_TEST

/* As an x86-64 does it, and whoever shifts by the last five bits of a count. */
#if defined(__x86_64__) || defined(__i386__) || defined(__aarch64__)
START_TEST(the_prefix_of_a_mapped_source_counts_from_its_ipv4_part)
{
    /* 120 of ::ffff:192.0.2.2 is 24 of 192.0.2.2. */
    ck_assert_uint_eq(RANKS({"192.0.2.8", "192.0.2.2", 120}, {"192.0.2.3", "192.0.2.2", 120},
                            {"198.51.100.1", "192.0.2.2", 120}),
                      102);
    /* 128, all of it, and 96, nothing of it: only the own address is near. */
    ck_assert_uint_eq(RANKS({"192.0.2.3", "192.0.2.2", 128}, {"192.0.2.2", "192.0.2.2", 128},
                            {"198.51.100.1", "192.0.2.2", 128}),
                      101);
    ck_assert_uint_eq(RANKS({"192.0.2.3", "192.0.2.2", 96}, {"192.0.2.2", "192.0.2.2", 96},
                            {"198.51.100.1", "192.0.2.2", 96}),
                      101);
    /* An IPv4 prefix of all of it is the same. */
    ck_assert_uint_eq(RANKS({"192.0.2.3", "192.0.2.2", 32}, {"192.0.2.2", "192.0.2.2", 32}), 10);
}
END_TEST
#endif

START_TEST(ipv6_addresses_are_compared_whole_and_without_a_subnet)
{
    ck_assert_uint_eq(
        RANKS({"2001:db8:1::9", "2001:db8::1", 64}, {"2001:db8::9", "2001:db8::1", 64},
              {"2001:db8:0:0:8000::9", "2001:db8::1", 64}, {"2001:db8::1", "2001:db8::1", 64}),
        3120);
}
END_TEST

START_TEST(what_cannot_be_reached_comes_last)
{
    ck_assert_uint_eq(RANKS({"2001:db8::1"}, {"10.0.0.1", "192.0.2.2", 24}, {"10.0.0.2"}), 102);
    ck_assert_uint_eq(RANKS({"10.0.0.1"}, {"10.0.0.2"}), 0);
}
END_TEST

START_TEST(each_rule_goes_before_those_after_it)
{
    /* Each better in one rule, worse in all that follow. */
    ck_assert_uint_eq(RANKS({"192.0.2.9"},                                          /* 1 */
                            {"2001:db8::1", "fe80::1", 64, .home = true},           /* 2 */
                            {"2001:db8::1", "2001:db8::9", 64, true, .home = true}, /* 3 */
                            {"2001:db8::1", "2001:db8::9", 64},                     /* 4 */
                            {"2001:db8::1", "fd00::1", 64, .home = true},           /* 5 */
                            {"192.0.2.9", "192.0.2.1", 24, .home = true},           /* 6 */
                            {"2001:db8::1", "2001:db8::9", 64, .home = true, .tunnel = true},
                            {"2001:db8::1", "2001:db8::9", 64, .home = true}),
                      76543210);
}
END_TEST

START_TEST(the_smaller_scope_goes_before_the_longer_prefix)
{
    read_conf("label ::/0 1\nprecedence ::/0 40\n");
    ck_assert_uint_eq(RANKS({"2001:db8::2", "2001:db8::3", 64}, {"fec0::1", "fec0::ffff", 64}), 10);
}
END_TEST

START_TEST(families_on_a_par_are_numbered_each_for_itself)
{
    read_conf("label ::/0 1\nprecedence ::/0 40\n");
    ck_assert_uint_eq(RANKS({"192.0.2.3", "192.0.2.2", 24}, {"2001:db8::2", "2001:db8::3", 64},
                            {"192.0.2.9", "192.0.2.2", 24}, {"10.0.0.1"}),
                      12);
    /* As they are where the IPv6 address is an IPv4 one. */
    set_up();
    ck_assert_uint_eq(RANKS({"192.0.2.3", "192.0.2.2", 24},
                            {"::ffff:192.0.2.9", "::ffff:192.0.2.2", 24},
                            {"192.0.2.9", "192.0.2.2", 24}, {"10.0.0.1"}),
                      12);
}
END_TEST

START_TEST(one_or_none_is_ranked_too)
{
    ck_assert_uint_eq(RANKS({"10.0.0.1", "192.0.2.2", 24}), 0);
    ck_assert_int_eq(rank_assign(NULL, 0, NULL), 0);
}
END_TEST

/* ---- gai.conf ---- */

static const uint8_t *mapped(const char *text)
{
    static uint8_t bytes[16];
    struct address parsed = address(text);

    memset(bytes, 0, sizeof(bytes));
    if (parsed.family == AF_INET6)
        memcpy(bytes, parsed.bytes, 16);
    else {
        bytes[10] = bytes[11] = 0xff;
        memcpy(bytes + 12, parsed.bytes, 4);
    }
    return bytes;
}

#define LABEL(text)      gai_conf_label(conf, mapped(text))
#define PRECEDENCE(text) gai_conf_precedence(conf, mapped(text))

START_TEST(an_empty_file_leaves_the_built_in_tables)
{
    static const struct {
        const char *address;
        unsigned label, precedence;
    } table[] = {
        {"::1", 0, 50},       {"2001:db8::1", 1, 40}, {"2002::1", 2, 30}, {"::7", 3, 20},
        {"192.0.2.1", 4, 10}, {"fec0::1", 5, 40},     {"feff::1", 5, 40}, {"fe80::1", 1, 40},
        {"fd00::1", 6, 40},   {"fc00::1", 6, 40},     {"2001::1", 7, 40},
    };

    for (size_t i = 0; i < ELEMENTS(table); i++) {
        ck_assert_uint_eq(LABEL(table[i].address), table[i].label);
        ck_assert_uint_eq(PRECEDENCE(table[i].address), table[i].precedence);
    }
    ck_assert_uint_eq(gai_conf_scope4(conf, 0xa9fe0101), 2);
    ck_assert_uint_eq(gai_conf_scope4(conf, 0x7f000001), 2);
    ck_assert_uint_eq(gai_conf_scope4(conf, 0x0a000001), 14);
    ck_assert_uint_eq(conf->lines, 0);
    ck_assert(!conf->reload);
}
END_TEST

START_TEST(a_line_replaces_its_whole_table_but_for_the_last_resort)
{
    read_conf("  precedence\t::ffff:0:0/96 100 and the rest\r\n# label ::1 9\nreload yes");
    ck_assert_uint_eq(PRECEDENCE("192.0.2.1"), 100);
    ck_assert_uint_eq(PRECEDENCE("::1"), 40);
    ck_assert_uint_eq(LABEL("::1"), 0);
    ck_assert_uint_eq(conf->lines, 1);
    ck_assert(conf->reload);
    read_conf("label 2001:db8::/32 7\nreload no\n");
    ck_assert_uint_eq(LABEL("2001:db8::1"), 7);
    ck_assert_uint_eq(LABEL("192.0.2.1"), 1);
    ck_assert(!conf->reload);
}
END_TEST

START_TEST(the_most_specific_line_counts_and_of_equals_the_first)
{
    read_conf("label ::/0 10\nlabel 2001:db8::/32 11\nlabel 2001:db8:1::/48 12\n"
              "label 2001:db8::/33 13\nlabel 2001:db8:1::/48 14\nlabel 2001:db8:1::1 15\n");
    ck_assert_uint_eq(LABEL("2001:db9::1"), 10);
    ck_assert_uint_eq(LABEL("2001:db8:8000::"), 11);
    ck_assert_uint_eq(LABEL("2001:db8:1::2"), 12);
    ck_assert_uint_eq(LABEL("2001:db8:2::"), 13);
    ck_assert_uint_eq(LABEL("2001:db8:1::1"), 15);
}
END_TEST

START_TEST(scopes_are_written_in_either_family)
{
    read_conf("scopev4 10.0.0.0/8 5\nscopev4 ::ffff:10.1.0.0/112 6\nscopev4 10.1.1.1 7\n"
              "scopev4 ::ffff:10.1.1.2 8\n");
    ck_assert_uint_eq(gai_conf_scope4(conf, 0x0a020304), 5);
    ck_assert_uint_eq(gai_conf_scope4(conf, 0x0a010304), 6);
    ck_assert_uint_eq(gai_conf_scope4(conf, 0x0a010101), 7);
    ck_assert_uint_eq(gai_conf_scope4(conf, 0x0a010102), 8);
    ck_assert_uint_eq(gai_conf_scope4(conf, 0x7f000001), 14);
    read_conf("scopev4 0.0.0.0/0 3\nscopev4 ::ffff:0:0/96 4\n");
    ck_assert_uint_eq(gai_conf_scope4(conf, 0x7f000001), 3);
}
END_TEST

START_TEST(lines_with_a_mistake_are_passed_over)
{
    static const char *const lines[] = {
        "label",
        "label ::1",
        "label ::1/128",
        "label ::1/128 x",
        "label ::1/128 1x",
        "label ::1/129 1",
        "label ::1/ 1",
        "label ::1/x 1",
        "label 10.0.0.0/8 1",
        "label x 1",
        "label ::1/128 2147483648",
        "label ::1/128 99999999999999999999",
        "Label ::1/128 1",
        "labels ::1/128 1",
        "scopev4 ::1/128 1",
        "scopev4 ::ffff:0:0/95 1",
        "scopev4 10.0.0.0/33 1",
        "scopev4 10.0.0.0/-1 1",
        "precedence",
        "reload",
        "reload maybe",
        "#label ::1/128 1",
        "label #::1/128 1",
        "label ::1/128 #1",
        "label "
        "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "000000000000000000000000000000000000000000000000000000000000000000001 1",
    };

    for (size_t i = 0; i < ELEMENTS(lines); i++) {
        read_conf(lines[i]);
        ck_assert_msg(conf->lines == 0, "%s", lines[i]);
        ck_assert(!conf->reload);
    }
    tear_down();
    ck_assert_int_eq(gai_conf_parse("label ::1 5\0 label\nlabel ::2 6", 30, &conf), 0);
    ck_assert_uint_eq(conf->lines, 2);
}
END_TEST

START_TEST(a_huge_file_is_refused)
{
    char *text = calloc(1, GAI_CONF_SIZE_MAX + 1);
    struct gai_conf *none;

    ck_assert_int_eq(gai_conf_parse(text, GAI_CONF_SIZE_MAX + 1, &none), -E2BIG);
    free(text);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("rank");

    UNIT_CASE_FIXTURE(
        suite, "ranks", set_up, tear_down, addresses_that_are_equally_near_share_a_rank,
        in_the_own_subnet_the_common_prefix_counts, without_a_known_prefix_no_subnet_is_near,
        ipv6_addresses_are_compared_whole_and_without_a_subnet, what_cannot_be_reached_comes_last,
        each_rule_goes_before_those_after_it, the_smaller_scope_goes_before_the_longer_prefix,
        families_on_a_par_are_numbered_each_for_itself, one_or_none_is_ranked_too);
#if defined(__x86_64__) || defined(__i386__) || defined(__aarch64__)
    UNIT_CASE_FIXTURE(suite, "mapped sources", set_up, tear_down,
                      the_prefix_of_a_mapped_source_counts_from_its_ipv4_part);
#endif
    UNIT_CASE_FIXTURE(
        suite, "gai.conf", set_up, tear_down, an_empty_file_leaves_the_built_in_tables,
        a_line_replaces_its_whole_table_but_for_the_last_resort,
        the_most_specific_line_counts_and_of_equals_the_first, scopes_are_written_in_either_family,
        lines_with_a_mistake_are_passed_over, a_huge_file_is_refused);
    return suite;
}

UNIT_MAIN(make_suite)
