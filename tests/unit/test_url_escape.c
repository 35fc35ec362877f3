/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/url_escape.h"
#include "tests/unit/unit.h"

#include <string.h>

static void escapes_to(const char *text, const char *also, const char *expected)
{
    char *escaped = NULL;
    size_t size;
    FILE *stream = open_memstream(&escaped, &size);

    ck_assert_ptr_nonnull(stream);
    url_escape(stream, text, also);
    ck_assert_int_eq(fclose(stream), 0);
    ck_assert_str_eq(escaped, expected);
    free(escaped);
}

START_TEST(unreserved_characters_stay)
{
    escapes_to("AZaz09-._~", "", "AZaz09-._~");
    escapes_to("", "", "");
}
END_TEST

START_TEST(what_means_something_in_a_query_is_escaped)
{
    escapes_to("a=b&c d", "", "a%3Db%26c%20d");
    escapes_to("%2F+#?", "", "%252F%2B%23%3F");
}
END_TEST

START_TEST(bytes_beyond_ascii_are_escaped_one_by_one)
{
    escapes_to("\xc3\xa9\x7f\x01", "", "%C3%A9%7F%01");
}
END_TEST

START_TEST(the_caller_may_keep_more)
{
    escapes_to("example.com/app in (web)", "/", "example.com/app%20in%20%28web%29");
    escapes_to("example.com/app", "", "example.com%2Fapp");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("url_escape");

    UNIT_CASE(suite, "url_escape", unreserved_characters_stay,
              what_means_something_in_a_query_is_escaped, bytes_beyond_ascii_are_escaped_one_by_one,
              the_caller_may_keep_more);
    return suite;
}

UNIT_MAIN(make_suite)
