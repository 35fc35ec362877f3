/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The core of the daemon with its view and its lookup socket, as the manager connects them, but
 * with one scripted registry: it owns the domain "scale", the key of NAME.scale is NAME, and what
 * it reports is what the benchmark says. The clock is the real one, for readers live by it too.
 */
#pragma once

#include "daemon/lookup_server.h"
#include "daemon/publisher.h"
#include "daemon/resolver.h"
#include "daemon/store.h"

struct sd_event;
struct core;

/* Called in order, from the loop, for every key that the store wants. */
typedef void (*core_wanted_t)(void *userdata, const char *key);

struct core *core_new(struct sd_event *event, const char *directory, unsigned max_services,
                      core_wanted_t wanted, void *userdata);
struct core *core_free(struct core *core);

/* Has the registry report the endpoints of a key. Evaluated and published in the loop's next turn,
 * or at once by core_run(). */
void core_report(struct core *core, const char *key, struct endpoint_set *endpoints);
void core_run(struct core *core);

/* As after a change of the network. */
void core_rerank(struct core *core);

/* A lookup in both families, as lookup_server.c would make it. `done` as in resolver.h; it may be
 * called from inside. */
void core_lookup(struct core *core, const char *name, lookup_done_t done, void *userdata);

/* How often a program had to ask by the socket. */
uint64_t core_requests(const struct core *core);
