/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A reserve: one descriptor that a server keeps for the moment when there is no other. It is given
 * up for a connection that is told so and ended, and taken back; without it clients would wait in
 * the backlog until they lose patience. Best effort: another thread or process may be faster.
 */
#pragma once

#include "daemon/base.h"

struct reserve {
    int fd; /* -1: there is none now */
};

/* Opens it early, so that it is below every limit that is reached later; and again, if it is gone.
 */
void reserve_take(struct reserve *reserve);
void reserve_done(struct reserve *reserve);

/*
 * Accepts a connection in its place, to be handed to reserve_end() at once. -EAGAIN: nobody waits;
 * -EMFILE, -ENFILE and others: that did not help either.
 */
int reserve_accept(struct reserve *reserve, int listen_fd);
/* Closes the connection and takes the reserve back. */
void reserve_end(struct reserve *reserve, int fd);
