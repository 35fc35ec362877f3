/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/account.h"

#include <uthash.h>

/*
 * Calls are spaced by one number: the time at which all calls so far would be over if each took its
 * share of a second. It may lie ahead of now by a burst of calls.
 */
struct account {
    uid_t uid;
    unsigned connections;
    usec_t busy_until;
    UT_hash_handle hh;
};

void accounts_done(struct accounts *accounts)
{
    struct account *account, *next;

    HASH_ITER (hh, accounts->by_uid, account, next) {
        HASH_DEL(accounts->by_uid, account);
        free(account);
    }
}

/* Accounts at rest say nothing that a new one would not. */
static void sweep(struct accounts *accounts, usec_t now)
{
    struct account *account, *next;

    HASH_ITER (hh, accounts->by_uid, account, next) {
        if (account->connections == 0 && account->busy_until <= now) {
            HASH_DEL(accounts->by_uid, account);
            free(account);
        }
    }
}

int account_open(struct accounts *accounts, uid_t uid, usec_t now, struct account **ret_account)
{
    struct account *account;

    HASH_FIND(hh, accounts->by_uid, &uid, sizeof(uid), account);
    if (!account) {
        sweep(accounts, now);
        if (HASH_COUNT(accounts->by_uid) >= ACCOUNTS_MAX)
            return -EUSERS;
        account = calloc(1, sizeof(*account));
        if (!account)
            return -ENOMEM;
        account->uid = uid;
        HASH_ADD(hh, accounts->by_uid, uid, sizeof(account->uid), account);
    }
    if (account->connections >= accounts->connections_max)
        return -EDQUOT;
    account->connections++;
    *ret_account = account;
    return 0;
}

void account_close(struct account *account)
{
    account->connections--;
}

bool account_call(const struct accounts *accounts, struct account *account, usec_t now)
{
    usec_t share = USEC_PER_SEC / accounts->calls_per_second;
    usec_t start = account->busy_until > now ? account->busy_until : now;

    if (start + share - now > share * accounts->calls_burst)
        return false;
    account->busy_until = start + share;
    return true;
}

void account_charge(const struct accounts *accounts, struct account *account, size_t more,
                    usec_t now)
{
    usec_t start = account->busy_until > now ? account->busy_until : now;

    account->busy_until = start + more * (USEC_PER_SEC / accounts->calls_per_second);
}
