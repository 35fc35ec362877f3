/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses as people write them in configuration files (ctl/address_scan.h). */
#include "ctl/address_scan.h"

#include <stdio.h>

#include "tests/unit/unit.h"

static void note(void *userdata, const struct address_found *found)
{
    char *text = userdata, address[INET6_ADDRSTRLEN];

    address_to_string(&found->address, address);
    sprintf(text + strlen(text), "%s%.*s=%s", *text ? " " : "", (int)found->length, found->text,
            address);
    if (found->port > 0)
        sprintf(text + strlen(text), " port %u", found->port);
}

static const char *scanned(const char *input)
{
    static char text[4096];
    /* Exactly as large as the input: a sanitizer sees a look behind it. */
    size_t size = strlen(input);
    char *copy = malloc(size + !size);

    memcpy(copy, input, size);
    *text = '\0';
    address_scan(copy, size, note, text);
    free(copy);
    return text;
}

static void check_table(const char *const (*table)[2], size_t count)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(strcmp(scanned(table[i][0]), table[i][1]) == 0, "'%s': %s", table[i][0],
                      scanned(table[i][0]));
}

START_TEST(ipv4_is_found_where_people_write_it)
{
    static const char *const table[][2] = {
        {"10.0.0.5", "10.0.0.5=10.0.0.5"},
        {"host = \"10.0.0.5\";", "10.0.0.5=10.0.0.5"},
        {"server 10.0.0.5:8080 weight=5;", "10.0.0.5=10.0.0.5 port 8080"},
        {"http://10.0.0.5:8080/x", "10.0.0.5=10.0.0.5 port 8080"},
        {"http://10.0.0.5/24", "10.0.0.5=10.0.0.5"},
        {"address:10.0.0.5", "10.0.0.5=10.0.0.5"},
        {"10.0.0.5:8080:80", "10.0.0.5=10.0.0.5 port 8080"},
        {"010.000.000.005", "010.000.000.005=10.0.0.5"},
        {"10.0.0.5/32", "10.0.0.5=10.0.0.5"},
        {"It is 10.0.0.5.", "10.0.0.5=10.0.0.5"},
        {"10.0.0.5,10.0.0.6", "10.0.0.5=10.0.0.5 10.0.0.6=10.0.0.6"},
        {"10.0.0.5-10.0.0.6", "10.0.0.5=10.0.0.5 10.0.0.6=10.0.0.6"},
        {"user@10.0.0.5", "10.0.0.5=10.0.0.5"},
        {"10.0.0.5:99999", "10.0.0.5=10.0.0.5"},
        {"10.0.0.5:http", "10.0.0.5=10.0.0.5"},
    };

    check_table(table, ELEMENTS(table));
}
END_TEST

START_TEST(what_only_looks_like_ipv4_is_left_alone)
{
    static const char *const table[][2] = {
        {"10.0.0.0/8", ""},
        {"10.0.0.5/31", ""},
        {"1.2.3.4.5", ""},
        {"v10.0.0.5", ""},
        {"10.0.0.5.example.com", ""},
        {"x10.0.0.5", ""},
        {"10.0.0", ""},
        {"10.0.0.256", ""},
        {"10.0.0.5a", ""},
        {"10.0.0.0005", ""},
        {"_10.0.0.5", ""},
        {"10..0.5", ""},
        {"", ""},
        {".", ""},
        {"10.0.0.", ""},
    };

    check_table(table, ELEMENTS(table));
}
END_TEST

START_TEST(ipv6_is_found_in_any_spelling)
{
    static const char *const table[][2] = {
        {"2001:db8::5", "2001:db8::5=2001:db8::5"},
        {"2001:0DB8:0000:0:0:0:0:0005", "2001:0DB8:0000:0:0:0:0:0005=2001:db8::5"},
        {"[2001:db8::5]:8080", "2001:db8::5=2001:db8::5 port 8080"},
        {"[2001:db8::5]", "2001:db8::5=2001:db8::5"},
        {"2001:db8::5%eth0", "2001:db8::5=2001:db8::5"},
        {"2001:db8::5/128", "2001:db8::5=2001:db8::5"},
        {"::ffff:10.0.0.5", "::ffff:10.0.0.5=10.0.0.5"},
        {"listen:2001:db8::5", "2001:db8::5=2001:db8::5"},
        {"2001:db8::5: # a key", "2001:db8::5=2001:db8::5"},
        {"fe80::abcd", "fe80::abcd=fe80::abcd"},
        {"dead::beef", "dead::beef=dead::beef"},
    };

    check_table(table, ELEMENTS(table));
}
END_TEST

START_TEST(what_only_looks_like_ipv6_is_left_alone)
{
    static const char *const table[][2] = {
        {"2001:db8::/32", ""},
        {"12:34:56", ""},
        {"00:11:22:33:44:55", ""},
        {"std::string", ""},
        {"a:b:c", ""},
        {"2001:db8::5::6", ""},
        {":::::::::", ""},
        {"2001:db8:0:0:0:0:0:0:0:5", ""},
    };

    check_table(table, ELEMENTS(table));
}
END_TEST

START_TEST(a_word_without_end_is_none)
{
    char *text = malloc(100001);

    memset(text, '1', 100000);
    for (size_t i = 0; i < 100000; i += 4)
        text[i] = i % 8 ? '.' : ':';
    text[100000] = '\0';
    ck_assert_str_eq(scanned(text), "");
    free(text);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("address_scan");

    UNIT_CASE(suite, "scan", ipv4_is_found_where_people_write_it,
              what_only_looks_like_ipv4_is_left_alone, ipv6_is_found_in_any_spelling,
              what_only_looks_like_ipv6_is_left_alone, a_word_without_end_is_none);
    return suite;
}

UNIT_MAIN(make_suite)
