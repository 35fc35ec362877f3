/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All wanted keys: the table of watches, the room for their calls, and what happens to many at
 * once.
 *
 * An agent allows a program only so many connections. A blocking query owns one for minutes, so
 * there are `MaxWatches=` slots for these, and a few calls more for reads that end at once.
 */
#pragma once

#include "daemon/log.h"
#include "daemon/registry/consul/call.h"

struct consul_watch;

struct consul_watches {
    struct consul *consul;
    struct consul_watch *table; /* hash by key */
    struct consul_watch *queue; /* that wait for a call of another to end */
    unsigned parking;           /* watches that hold a slot */
    usec_t unused_from;         /* none of them is unused before */
    struct log_limit log_limit; /* lines about failing keys */
};

void consul_watches_init(struct consul_watches *watches, struct consul *consul);
void consul_watches_done(struct consul_watches *watches);

int consul_watches_want(struct consul_watches *watches, const char *key);
int consul_watches_refresh(struct consul_watches *watches, const char *key);
void consul_watches_drop(struct consul_watches *watches, const char *key);

/* Tries again what waits; a blocking query that is open is left alone. */
void consul_watches_kick(struct consul_watches *watches);
/* The servers answer again: what failed meanwhile need not wait for its own next try. */
void consul_watches_recovered(struct consul_watches *watches);
/* Reads all again from the start, spread over a while: they may have missed anything. */
void consul_watches_retry(struct consul_watches *watches);
/* Ends calls to an agent that fails; their watches turn to another. */
void consul_watches_agent_failed(struct consul_watches *watches, unsigned agent);
/* The registry answers: whatever rests is read from the start, spread over a while. */
void consul_watches_came_up(struct consul_watches *watches);
/* The registry is down: ends all calls; who waits for a first report gets it. */
void consul_watches_went_down(struct consul_watches *watches);
/* The catalogue changed, or what it can tell did. */
void consul_watches_catalogue_changed(struct consul_watches *watches);
/* The catalogue was read, with or without news, or could not be: what was to be checked is decided.
 */
void consul_watches_catalogue_read(struct consul_watches *watches);
/* The own datacentre is known now: what is remote has changed. */
void consul_watches_datacenter_known(struct consul_watches *watches);
/* There are fewer slots than before. */
void consul_watches_shrink(struct consul_watches *watches);

/* May a call be opened that does not block? */
bool consul_watches_reads_free(struct consul_watches *watches);
/* Lets the next watch of the queue have the place of a call that ended. */
void consul_watches_queue_run(struct consul_watches *watches);

/* Takes a slot if there is one, gives it back if there are too many. `asked`: somebody waits. */
void consul_watches_settle(struct consul_watch *watch, bool asked);
void consul_watches_release(struct consul_watch *watch);
/* How often each watch without a slot reads. */
usec_t consul_watches_poll_period(const struct consul_watches *watches);

/* How often each watch reads whose last answer is not trusted. */
usec_t consul_watches_recheck_period(const struct consul_watches *watches);

void consul_watches_describe(const struct consul_watches *watches, json_t *object);
