/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stays of services that were given up (daemon/shelf.h). */
#include "daemon/shelf.h"
#include "tests/unit/unit.h"

#include <stdio.h>

static struct shelf shelf;

static void put(const char *key, const char *alias, usec_t until)
{
    shelf_put(&shelf, &(struct store_memory){.key = key, .alias = alias, .confirmed_at = 7}, until);
}

static void clear(void)
{
    shelf_clear(&shelf);
}

START_TEST(it_holds_copies)
{
    char key[] = "orders", alias[] = "one.test";
    const struct store_memory *memory;

    put(key, alias, 100);
    memset(key, 0, sizeof(key));
    memset(alias, 0, sizeof(alias));
    memory = shelf_find(&shelf, "orders");
    ck_assert_ptr_nonnull(memory);
    ck_assert_str_eq(memory->key, "orders");
    ck_assert_str_eq(memory->alias, "one.test");
    ck_assert_uint_eq(memory->confirmed_at, 7);
    ck_assert(shelf_remove(&shelf, "orders"));
    ck_assert(!shelf_remove(&shelf, "orders"));
    ck_assert_ptr_null(shelf_find(&shelf, "orders"));
}
END_TEST

START_TEST(the_later_word_on_a_service_counts)
{
    put("orders", "one.test", 100);
    put("orders", "two.test", 100);
    ck_assert_str_eq(shelf_find(&shelf, "orders")->alias, "two.test");
    ck_assert(shelf_remove(&shelf, "orders"));
    ck_assert_ptr_null(shelf_find(&shelf, "orders"));
}
END_TEST

START_TEST(what_may_not_be_told_any_more_goes)
{
    put("orders", "one.test", 100);
    put("users", "one.test", 101);
    shelf_sweep(&shelf, 100);
    ck_assert_ptr_null(shelf_find(&shelf, "orders"));
    ck_assert_ptr_nonnull(shelf_find(&shelf, "users"));
}
END_TEST

static void count(void *userdata, const struct store_memory *memory)
{
    (void)memory;
    ++*(unsigned *)userdata;
}

START_TEST(the_first_that_came_gives_way)
{
    unsigned number = 0;
    char key[32];

    for (unsigned i = 0; i < SHELF_MAX + 1; i++) {
        snprintf(key, sizeof(key), "service-%u", i);
        put(key, "one.test", 100);
    }
    shelf_each(&shelf, count, &number);
    ck_assert_uint_eq(number, SHELF_MAX);
    ck_assert_ptr_null(shelf_find(&shelf, "service-0"));
    ck_assert_ptr_nonnull(shelf_find(&shelf, "service-1"));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("shelf");

    UNIT_CASE_FIXTURE(suite, "shelf", NULL, clear, it_holds_copies,
                      the_later_word_on_a_service_counts, what_may_not_be_told_any_more_goes,
                      the_first_that_came_gives_way);
    return suite;
}

UNIT_MAIN(make_suite)
