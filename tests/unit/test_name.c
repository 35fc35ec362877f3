/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Host names: what is one, how it folds, what lies below a domain (include/nss-sd/name.h). */
#include "nss-sd/name.h"
#include "nss-sd/answer.h"
#include "nss-sd/view.h"
#include "nss-sd/wire.h"
#include "tests/unit/unit.h"

#include <string.h>

START_TEST(folds_case_and_one_trailing_dot)
{
    char name[NAME_SIZE];
    bool rooted;

    ck_assert_uint_eq(name_fold("Web.Service.CONSUL.", 32, name, &rooted), 18);
    ck_assert_str_eq(name, "web.service.consul");
    ck_assert(rooted);
    ck_assert_uint_eq(name_fold("_http._tcp.a", 32, name, &rooted), 12);
    ck_assert(!rooted);
}
END_TEST

START_TEST(refuses_what_is_no_name)
{
    static const char *const bad[] = {"",     ".",     "..",   "a..b", ".a",      "a b",
                                      "a\n",  "a..",   "a/b",  "\xc3\xa4", "a%s", "*.a"};
    char name[NAME_SIZE], label[65], longest[300];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(name_fold(bad[i], strlen(bad[i]) + 1, name, NULL) == 0, "'%s'", bad[i]);
    memset(label, 'a', 64);
    label[64] = '\0';
    ck_assert_uint_eq(name_fold(label, 65, name, NULL), 0);
    ck_assert_uint_eq(name_fold(label, 63, name, NULL), 63);
    for (size_t i = 0; i < sizeof(longest); i++)
        longest[i] = i % 2 ? '.' : 'a';
    ck_assert_uint_eq(name_fold(longest, 253, name, NULL), 253);
    ck_assert_uint_eq(name_fold(longest, 255, name, NULL), 0);
}
END_TEST

START_TEST(below_compares_whole_labels)
{
    ck_assert(name_below("consul", 6, "consul", 6));
    ck_assert(name_below("a.consul", 8, "consul", 6));
    ck_assert(!name_below("aconsul", 7, "consul", 6));
    ck_assert(!name_below("onsul", 5, "consul", 6));
    ck_assert(!name_below("a.consul", 8, "", 0));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("name");

    UNIT_CASE(suite, "fold", folds_case_and_one_trailing_dot, refuses_what_is_no_name,
              below_compares_whole_labels);
    return suite;
}

UNIT_MAIN(make_suite)
