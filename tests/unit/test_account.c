/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Accounts: what a uid may take, under a clock of the test's own. */
#include "daemon/account.h"

#include "tests/unit/unit.h"

#define S USEC_PER_SEC

static struct accounts accounts = {.connections_max = 2, .calls_per_second = 10, .calls_burst = 5};

START_TEST(connections_are_counted_for_each_user)
{
    struct account *a, *b, *c;

    ck_assert_int_eq(account_open(&accounts, 1, S, &a), 0);
    ck_assert_int_eq(account_open(&accounts, 1, S, &b), 0);
    ck_assert_ptr_eq(a, b);
    ck_assert_int_eq(account_open(&accounts, 1, S, &c), -EDQUOT);
    ck_assert_int_eq(account_open(&accounts, 2, S, &c), 0);
    ck_assert_ptr_ne(a, c);
    account_close(a);
    ck_assert_int_eq(account_open(&accounts, 1, S, &a), 0);
    accounts_done(&accounts);
}
END_TEST

START_TEST(calls_come_in_a_burst_and_then_at_the_rate)
{
    struct account *account;

    ck_assert_int_eq(account_open(&accounts, 1, S, &account), 0);
    for (int i = 0; i < 5; i++)
        ck_assert(account_call(&accounts, account, S));
    ck_assert(!account_call(&accounts, account, S));
    ck_assert(!account_call(&accounts, account, S + S / 10 - 1));
    ck_assert(account_call(&accounts, account, S + S / 10));
    ck_assert(!account_call(&accounts, account, S + S / 10));
    /* Rest fills it up again, and no further. */
    for (int i = 0; i < 5; i++)
        ck_assert(account_call(&accounts, account, 100 * S));
    ck_assert(!account_call(&accounts, account, 100 * S));
    accounts_done(&accounts);
}
END_TEST

START_TEST(accounts_are_kept_while_they_say_anything)
{
    struct account *account;

    /* One with a connection, one that called of late; the rest only fill the table. */
    ck_assert_int_eq(account_open(&accounts, 1, S, &account), 0);
    ck_assert_int_eq(account_open(&accounts, 2, S, &account), 0);
    for (int i = 0; i < 5; i++)
        ck_assert(account_call(&accounts, account, S));
    account_close(account);
    for (uid_t uid = 3; uid <= ACCOUNTS_MAX; uid++)
        ck_assert_int_eq(account_open(&accounts, uid, S, &account), 0);
    ck_assert_int_eq(account_open(&accounts, 5000, S, &account), -EUSERS);

    /* Its calls are not forgotten by hanging up, until they are paid for. */
    ck_assert_int_eq(account_open(&accounts, 2, S, &account), 0);
    ck_assert(!account_call(&accounts, account, S));
    account_close(account);
    ck_assert_int_eq(account_open(&accounts, 5000, 2 * S, &account), 0);
    ck_assert_int_eq(account_open(&accounts, 5001, 2 * S, &account), -EUSERS);
    accounts_done(&accounts);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("account");

    UNIT_CASE(suite, "account", connections_are_counted_for_each_user,
              calls_come_in_a_burst_and_then_at_the_rate,
              accounts_are_kept_while_they_say_anything);
    return suite;
}

UNIT_MAIN(make_suite)
