/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Announces interest: hits are invisible to the daemon, so a reader of an answer that is due for a
 * refresh (answer_head.refresh_at) tells it that somebody still asks. One datagram, best effort,
 * never waited for; at most one a name and few in all a second from one process.
 */
#pragma once

#include "nss-sd/answer.h"

/* May change errno. */
void announce_interest(const struct answer *answer, uint32_t now);
