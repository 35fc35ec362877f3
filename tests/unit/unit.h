/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every Check program shares: one main(), which a test file calls through UNIT_MAIN. */
#pragma once

#include <check.h>
#include <stdlib.h>

/* A ck_assert for inner loops: those of Check write to a pipe every time they pass. */
#define UNIT_HOLDS(condition)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("%s", #condition);                                                        \
    } while (0)

#define UNIT_HOLDS_MSG(condition, ...)                                                             \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg(__VA_ARGS__);                                                             \
    } while (0)

/* Runs the suite; -1 or CK_FORK as usual from the environment. */
#define UNIT_MAIN(make_suite)                                                                      \
    int main(void)                                                                                 \
    {                                                                                              \
        SRunner *runner = srunner_create(make_suite());                                            \
        srunner_run_all(runner, CK_NORMAL);                                                        \
        int failed = srunner_ntests_failed(runner);                                                \
        srunner_free(runner);                                                                      \
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;                                          \
    }

/* One test case with several test functions, and what runs before and after each (may be NULL). */
#define UNIT_CASE_FIXTURE(suite, name, set_up, tear_down, ...)                                     \
    do {                                                                                           \
        const TTest *tests_[] = {__VA_ARGS__};                                                     \
        TCase *case_ = tcase_create(name);                                                         \
        tcase_set_timeout(case_, 60);                                                              \
        tcase_add_checked_fixture(case_, set_up, tear_down);                                       \
        for (size_t i_ = 0; i_ < sizeof(tests_) / sizeof(tests_[0]); i_++)                         \
            tcase_add_test(case_, tests_[i_]);                                                     \
        suite_add_tcase(suite, case_);                                                             \
    } while (0)

#define UNIT_CASE(suite, name, ...) UNIT_CASE_FIXTURE(suite, name, NULL, NULL, __VA_ARGS__)
