/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The refresh socket: readers of the view say here, in datagrams that nobody answers, which names
 * are still wanted, because hits in the view are invisible to the daemon. Owns the check of the
 * datagrams and the limit on how many count: whoever floods it harms nobody but the interest of
 * others.
 */
#pragma once

#include "daemon/base.h"

struct interest;
struct resolver;
struct sd_event;

/* `fd`: a bound SOCK_DGRAM socket, owned from now on. */
int interest_new(struct sd_event *event, int fd, struct resolver *resolver,
                 struct interest **ret_interest);
struct interest *interest_free(struct interest *interest);

/* Datagrams since the start. */
struct interest_counters {
    uint64_t received;
    uint64_t ignored; /* over the limit, unread */
    uint64_t malformed;
};
/* To read, and to set to zero. */
struct interest_counters *interest_counters(struct interest *interest);
