/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Accounts: what each uid takes of a server, so that no user can take it all. An account counts
 * open connections and spaces calls out. It is kept while it says anything; a set has at most
 * ACCOUNTS_MAX.
 */
#pragma once

#include <sys/types.h>

#include "daemon/base.h"

enum { ACCOUNTS_MAX = 1024 };

struct account;

struct accounts {
    struct account *by_uid;
    unsigned connections_max;  /* of one uid */
    unsigned calls_per_second; /* of one uid, on average */
    unsigned calls_burst;      /* and at once, after a rest */
};

void accounts_done(struct accounts *accounts);

/* Counts a connection. -EDQUOT over the uid's limit, -EUSERS too many uids, -ENOMEM. */
int account_open(struct accounts *accounts, uid_t uid, usec_t now, struct account **ret_account);
void account_close(struct account *account);

/* Counts a call, or returns false: too many of late. */
bool account_call(const struct accounts *accounts, struct account *account, usec_t now);
/* One that was counted cost as much as so many more. */
void account_charge(const struct accounts *accounts, struct account *account, size_t more,
                    usec_t now);
