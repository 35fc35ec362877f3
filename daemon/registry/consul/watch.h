/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watches: one for every key that the core wants, each keeping its key up to date in the cheapest
 * way.
 *
 *   service, node   a blocking query (`parks`), as many of them as there are slots; the others are
 * polled in turn, and what they learn is valid for a while only query           asked when the core
 * asks: prepared queries cannot block addr            known without asking
 *
 * An absent service rests until the catalogue names it. Nothing is asked while the registry is
 * down. Whatever happens ends in watch_fire() a little later, which looks at the whole and does the
 * next step; so a watch has one timer, at most one call, and no path of its own for any event.
 */
#pragma once

#include <uthash.h>

#include "daemon/log.h"
#include "daemon/registry/consul/agents.h"

struct consul_watch;

struct consul_watches {
    struct consul *consul;
    struct consul_watch *table; /* hash by key */
    struct consul_watch *queue; /* that wait for a call of another to end */
    unsigned parking;           /* watches that hold a slot */
    struct log_limit log_limit; /* lines about failing keys */
};

void consul_watches_init(struct consul_watches *watches, struct consul *consul);
void consul_watches_done(struct consul_watches *watches);

int consul_watch_want(struct consul_watches *watches, const char *key);
int consul_watch_refresh(struct consul_watches *watches, const char *key);
void consul_watch_drop(struct consul_watches *watches, const char *key);

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
/* The own datacentre is known now: what is remote has changed. */
void consul_watches_datacenter_known(struct consul_watches *watches);
/* There are fewer slots than before. */
void consul_watches_shrink(struct consul_watches *watches);

void consul_watches_describe(const struct consul_watches *watches, json_t *object);
