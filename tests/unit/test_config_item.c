/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Single values of the configuration: every parser, what it takes and how it says no. */
#include "daemon/config_item.h"
#include "daemon/config_word.h"
#include "tests/unit/unit.h"

#include <stdio.h>

static struct config_messages messages;

/* Parses `text` into `field`; what was complained about is in `messages` until the next call. */
static int parse(const struct config_item *item, const char *text, void *field)
{
    struct config_value value = {"a.conf", 7, item->key, text, &messages};

    config_messages_done(&messages);
    return item->parse(item, &value, field);
}

static const char *complaint(void)
{
    ck_assert_uint_eq(messages.count, 1);
    ck_assert_uint_eq(messages.errors, 1);
    ck_assert_str_eq(messages.items[0].file, "a.conf");
    ck_assert_uint_eq(messages.items[0].line, 7);
    return messages.items[0].text;
}

static void done(void)
{
    config_messages_done(&messages);
}

START_TEST(durations_are_read_as_people_write_them)
{
    static const struct {
        const char *text;
        usec_t usec;
    } good[] = {
        {"0", 0},
        {"5", 5000000},
        {"30s", 30000000},
        {"30 sec", 30000000},
        {"5min", 300000000},
        {"5m", 300000000},
        {"1h 30min", UINT64_C(5400000000)},
        {"1h30min", UINT64_C(5400000000)},
        {"250ms", 250000},
        {"7us", 7},
        {"1s 500ms", 1500000},
        {"3d", UINT64_C(259200000000)},
        {"2 weeks 1 day", UINT64_C(1296000000000)},
        {"infinity", USEC_INFINITY},
        {"9223372036854775807us", INT64_MAX},
    };

    for (size_t i = 0; i < ELEMENTS(good); i++) {
        usec_t usec = 1;

        ck_assert_msg(config_duration_from_string(good[i].text, &usec) == 0, "%s", good[i].text);
        ck_assert_uint_eq(usec, good[i].usec);
    }
}
END_TEST

START_TEST(durations_refuse_what_has_no_one_meaning)
{
    static const char *const bad[] = {
        "",
        " ",
        "s",
        "-1s",
        "+1s",
        "1.5s",
        "1x",
        "1h 30",
        "30 1h",
        "1 2",
        "1S",
        "1M",
        "0x10",
        " 1s",
        "1s,",
        "Infinity",
        "1sec5",
        "inf",
        "infinity ",
        "1s infinity",
        "1\xc3\xa4",
        "9223372036854775808us",  /* above INT64_MAX */
        "18446744073709551614us", /* would be CONFIG_UNSET */
        "18446744073709551616",   /* above 64 bits */
        "18446744073710s",        /* the product is */
        "15250285w 15250285w",    /* the sum is */
    };

    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        usec_t usec = 42;

        ck_assert_msg(config_duration_from_string(bad[i], &usec) == -EINVAL, "'%s'", bad[i]);
        ck_assert_uint_eq(usec, 42);
    }
}
END_TEST

START_TEST(durations_print_as_they_are_read)
{
    static const char *const texts[] = {"0s",    "1us", "200ms", "90s",
                                        "61min", "36h", "3d",    "infinity"};
    char text[CONFIG_DURATION_SIZE];
    usec_t usec;

    for (size_t i = 0; i < ELEMENTS(texts); i++) {
        ck_assert_int_eq(config_duration_from_string(texts[i], &usec), 0);
        config_duration_to_string(usec, text);
        ck_assert_str_eq(text, texts[i]);
    }
    config_duration_to_string(USEC_INFINITY - 1, text);
    ck_assert_str_eq(text, "18446744073709551614us");
}
END_TEST

START_TEST(nearest_word_is_near_or_none)
{
    static const char *const words[] = {"Domains", "Type", "MaxStaleSec", "MinTTLSec", "yes", NULL};
    char longer[80];

    ck_assert_str_eq(config_nearest_word("Domians", words), "Domains");
    ck_assert_str_eq(config_nearest_word("domains", words), "Domains");
    ck_assert_str_eq(config_nearest_word("Domain", words), "Domains");
    ck_assert_str_eq(config_nearest_word("MaxStale", words), "MaxStaleSec");
    ck_assert_str_eq(config_nearest_word("MinTTL", words), "MinTTLSec");
    ck_assert_str_eq(config_nearest_word("Tpye", words), "Type");
    ck_assert_ptr_null(config_nearest_word("Weather", words));
    ck_assert_ptr_null(config_nearest_word("no", words));
    ck_assert_ptr_null(config_nearest_word("", words));
    ck_assert_ptr_null(config_nearest_word("Type", (const char *const[]){NULL}));
    memset(longer, 'a', sizeof(longer));
    longer[79] = '\0';
    ck_assert_ptr_null(config_nearest_word(longer, words));
    ck_assert_ptr_null(config_nearest_word(longer + 15, words));
}
END_TEST

START_TEST(numbers_keep_to_their_range)
{
    struct config_item item = {"Answers", config_parse_unsigned, 0, 1, 16, "8"};
    struct config_item any = {"Any", config_parse_unsigned};
    unsigned number = 0;

    ck_assert_int_eq(parse(&item, "16", &number), 0);
    ck_assert_uint_eq(number, 16);
    ck_assert_int_eq(parse(&item, "", &number), 0);
    ck_assert_uint_eq(number, 8);
    for (size_t i = 0; i < 6; i++) {
        static const char *const bad[] = {"0", "17", "-1", "4 ", "four", "99999999999999999999"};

        ck_assert_int_eq(parse(&item, bad[i], &number), -EINVAL);
        ck_assert_ptr_nonnull(strstr(complaint(), "Answers= takes a number from 1 to 16, not '"));
        ck_assert_uint_eq(number, 8);
    }
    ck_assert_int_eq(parse(&any, "4294967295", &number), 0);
    ck_assert_uint_eq(number, 4294967295u);
    ck_assert_int_lt(parse(&any, "4294967296", &number), 0);
    ck_assert_int_eq(parse(&any, "", &number), 0);
    ck_assert_uint_eq(number, 0);
}
END_TEST

START_TEST(durations_keep_to_their_range)
{
    struct config_item item = {"WaitSec", config_parse_duration, 0, 100000, 30000000, "2s"};
    struct config_item any = {"AnySec", config_parse_duration};
    usec_t usec = 0;

    ck_assert_int_eq(parse(&item, "", &usec), 0);
    ck_assert_uint_eq(usec, 2000000);
    ck_assert_int_lt(parse(&item, "99ms", &usec), 0);
    ck_assert_str_eq(complaint(), "WaitSec= takes a duration from 100ms to 30s, not '99ms'");
    ck_assert_int_lt(parse(&item, "infinity", &usec), 0);
    complaint();
    ck_assert_int_lt(parse(&item, "soon", &usec), 0);
    ck_assert_str_eq(complaint(),
                     "WaitSec= takes a duration like 30s, 5min, 1h 30min or 1d, not 'soon'");
    ck_assert_uint_eq(usec, 2000000);
    ck_assert_int_eq(parse(&any, "infinity", &usec), 0);
    ck_assert_uint_eq(usec, USEC_INFINITY);
    ck_assert_int_lt(parse(&any, "soon", &usec), 0);
    ck_assert_ptr_nonnull(strstr(complaint(), "or infinity"));
}
END_TEST

START_TEST(words_and_flags_tell_the_choice)
{
    static const char *const words[] = {"last-resort", "never", NULL};
    struct config_item word = {"Terminating", config_parse_word, .words = words};
    struct config_item flag = {"Enabled", config_parse_bool, .fallback = "yes"};
    unsigned index = 9;
    bool set = false;

    ck_assert_int_eq(parse(&word, "never", &index), 0);
    ck_assert_uint_eq(index, 1);
    ck_assert_int_lt(parse(&word, "nevr", &index), 0);
    ck_assert_str_eq(complaint(), "Terminating= takes one of: last-resort, never; not 'nevr'; did "
                                  "you mean 'never'?");
    ck_assert_int_lt(parse(&word, "NEVERMORE", &index), 0);
    ck_assert_ptr_null(strstr(complaint(), "did you mean"));
    ck_assert_int_eq(parse(&word, "", &index), 0);
    ck_assert_uint_eq(index, 0);
    for (size_t i = 0; i < 8; i++) {
        static const char *const flags[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

        set = i % 2 == 0;
        ck_assert_int_eq(parse(&flag, flags[i], &set), 0);
        ck_assert_int_eq(set, i % 2);
    }
    ck_assert_int_lt(parse(&flag, "maybe", &set), 0);
    ck_assert_str_eq(complaint(), "Enabled= takes yes or no, not 'maybe'");
    set = false;
    ck_assert_int_eq(parse(&flag, "", &set), 0);
    ck_assert(set);
}
END_TEST

START_TEST(lists_add_and_an_empty_line_resets)
{
    struct config_item item = {"Words", config_parse_strings};
    char **list = NULL;

    ck_assert_int_eq(parse(&item, "a  b\tc", &list), 0);
    ck_assert_int_eq(parse(&item, "a", &list), 0);
    ck_assert_uint_eq(config_strings_count(list), 4);
    ck_assert_str_eq(list[2], "c");
    ck_assert_str_eq(list[3], "a");
    ck_assert_int_eq(parse(&item, "", &list), 0);
    ck_assert_uint_eq(config_strings_count(list), 0);
    config_strings_free(list);
}
END_TEST

START_TEST(lists_have_an_end)
{
    struct config_item item = {"Words", config_parse_strings};
    char **list = NULL, text[2 * 1024 + 1];

    for (size_t i = 0; i < 2048; i += 2)
        memcpy(text + i, "a ", 2);
    text[2048] = '\0';
    ck_assert_int_eq(parse(&item, text, &list), 0);
    ck_assert_uint_eq(config_strings_count(list), 1024);
    ck_assert_int_eq(parse(&item, "b", &list), -EINVAL);
    ck_assert_str_eq(complaint(), "Words= takes at most 1024 words");
    ck_assert_uint_eq(config_strings_count(list), 1024);
    config_strings_free(list);
}
END_TEST

START_TEST(domains_are_folded_and_met_once)
{
    struct config_item item = {"Domains", config_parse_domains};
    char **list = NULL, text[260];

    ck_assert_int_eq(parse(&item, "Consul. consul PROD.example CONSUL", &list), 0);
    ck_assert_uint_eq(config_strings_count(list), 2);
    ck_assert_str_eq(list[0], "consul");
    ck_assert_str_eq(list[1], "prod.example");
    ck_assert_int_lt(parse(&item, "good b*d", &list), 0);
    ck_assert_str_eq(complaint(), "Domains= takes domain names, not 'b*d'");
    ck_assert_uint_eq(config_strings_count(list), 2);
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = i % 2 ? '.' : 'a';
    text[253] = '\0'; /* a name, but too long for a domain */
    ck_assert_int_lt(parse(&item, text, &list), 0);
    text[251] = '\0';
    ck_assert_int_eq(parse(&item, text, &list), 0);
    config_strings_free(list);
}
END_TEST

START_TEST(urls_are_checked_to_the_port)
{
    static const char *const good[] = {
        "http://127.0.0.1:8500", "https://consul.example/", "http://[::1]:8500/path",
        "http://[::1]",          "https://a:65535/v2/apps", "unix:///run/consul.sock",
    };
    static const char *const bad[] = {
        "127.0.0.1:8500",  "ftp://a",
        "http://",         "http://:80",
        "http://a:",       "http://a:0",
        "http://a:65536",  "http://a:8x",
        "http://a:000080", "http://[::1",
        "http://[::1]80",  "http://[nonsense]",
        "http://a..b",     "unix://run",
        "unix:///",        "HTTP://a",
        "http://a\x01",    "http://\xc3\xa4",
        "http://a?x",      "http://a/#x",
        "http:",           "://",
        "http://[]",
    };
    struct config_item item = {"Address", config_parse_urls};
    char **list = NULL;

    for (size_t i = 0; i < ELEMENTS(good); i++)
        ck_assert_msg(parse(&item, good[i], &list) == 0, "%s", good[i]);
    ck_assert_uint_eq(config_strings_count(list), ELEMENTS(good));
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        ck_assert_msg(parse(&item, bad[i], &list) == -EINVAL, "%s", bad[i]);
        complaint();
    }
    ck_assert_uint_eq(config_strings_count(list), ELEMENTS(good));
    config_strings_free(list);
}
END_TEST

START_TEST(what_may_be_a_secret_is_not_quoted)
{
    struct config_item urls = {"Address", config_parse_urls};
    struct config_item path = {"TokenFile", config_parse_path};
    char **list = NULL, *file = NULL;

    ck_assert_int_lt(parse(&urls, "http://user:hunter2@host", &list), 0);
    ck_assert_ptr_null(strstr(complaint(), "hunter2"));
    ck_assert_int_lt(parse(&urls, "http://host/?token=hunter2", &list), 0);
    ck_assert_ptr_null(strstr(complaint(), "hunter2"));
    ck_assert_int_lt(parse(&path, "hunter2", &file), 0);
    ck_assert_ptr_null(strstr(complaint(), "hunter2"));
    ck_assert_int_eq(parse(&path, "/etc/token", &file), 0);
    ck_assert_str_eq(file, "/etc/token");
    free(file);
}
END_TEST

START_TEST(messages_are_printable_and_have_an_end)
{
    config_messages_done(&messages);
    config_complain(&messages, "f", 1, "a\nb\x1b%s", "\xff");
    ck_assert_str_eq(messages.items[0].text, "a\\x0ab\\x1b\\xff");
    for (unsigned i = 0; i < 5000; i++)
        config_complain(&messages, "f", i, "x");
    ck_assert_uint_eq(messages.count, 1000);
    ck_assert_uint_eq(messages.errors, 5001);
    config_warn(&messages, "f", 1, "x");
    ck_assert_uint_eq(messages.errors, 5001);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("config_item");
    const TTest *parsers[] = {
        numbers_keep_to_their_range,
        durations_keep_to_their_range,
        words_and_flags_tell_the_choice,
        lists_add_and_an_empty_line_resets,
        lists_have_an_end,
        domains_are_folded_and_met_once,
        urls_are_checked_to_the_port,
        what_may_be_a_secret_is_not_quoted,
        messages_are_printable_and_have_an_end,
    };
    TCase *parser_case = tcase_create("parsers");

    tcase_add_checked_fixture(parser_case, NULL, done);
    for (size_t i = 0; i < ELEMENTS(parsers); i++)
        tcase_add_test(parser_case, parsers[i]);
    suite_add_tcase(suite, parser_case);
    UNIT_CASE(suite, "text", durations_are_read_as_people_write_them,
              durations_refuse_what_has_no_one_meaning, durations_print_as_they_are_read,
              nearest_word_is_near_or_none);
    return suite;
}

UNIT_MAIN(make_suite)
