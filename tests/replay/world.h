/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A scripted world around the core (store, chase, resolver): one or two registries whose reports
 * the test writes, a DNS that the test answers, and a clock that the test moves. A test reads as a
 * story: given these reports, a lookup at t = 31 s gets ....
 *
 * Domains: "one" belongs to registry 0, "two" to registry 1. Under each, NAME.one means the key
 * NAME; TAG.tag.NAME.one picks the tag; "bad grammar" is any name with an x- label; the bare domain
 * has no data.
 */
#pragma once

#include "daemon/resolver.h"

#define SEC  USEC_PER_SEC
#define MSEC USEC_PER_MSEC

struct world;

struct world *world_new(void);
void world_free(struct world *world);

struct store *world_store(struct world *world);
struct resolver *world_resolver(struct world *world);
struct resolver_rules *world_rules(struct world *world); /* change, then world_apply_rules() */
void world_apply_rules(struct world *world);
/* Likewise. */
struct freshness_rules *world_freshness(struct world *world, unsigned registry);
/* Puts the host into a zone, or nowhere (NULL), from the next lookup on; so holds what is changed
 * in the rules returned. */
struct policy_rules *world_selection(struct world *world, const char *zone);
void world_shared(struct world *world, bool shared); /* of registry 0 */

usec_t world_now(const struct world *world);
size_t world_evaluations(const struct world *world); /* of names, till now */
/* Moves the clock to `t`, running everything that falls due on the way, in order. */
void world_at(struct world *world, usec_t t);

/* What names mean goes to this publisher from now on; it is opened by the test. NULL: nowhere. */
struct publisher;
void world_publish_to(struct world *world, struct publisher *publisher);

/* From now on there is no way to these addresses ("10.0.0.1,10.0.0.2"; "" for none), and the core
 * has heard of it. They have the rank and the tier that ranker.h gives them; all others rank 0. */
void world_unreachable(struct world *world, const char *addresses);
/* The hook that does it, for a publisher. */
void world_rank(struct world *world, struct answer_head *payload);

/* ---- registries ---- */

/* "ADDRESS ADDRESS,..." one endpoint a word, addresses with commas; after a '/': "warning",
 * "critical", "terminating", "w=5" (weight), "p=1" (priority), "z=ZONE", "t=TAG"; "->host.name"
 * instead of addresses. */
void world_data(struct world *world, unsigned registry, const char *key, const char *endpoints,
                usec_t validity, uint32_t flags);
void world_alias(struct world *world, unsigned registry, const char *key, const char *alias,
                 usec_t validity);
void world_report(struct world *world, unsigned registry, enum registry_report_kind kind,
                  const char *key);
/* Nothing was learned of the key; the registry wishes not to be asked before `retry_after`. */
void world_fail(struct world *world, unsigned registry, const char *key, usec_t retry_after);
void world_suspect(struct world *world, unsigned registry, const char *key, const char *endpoints);

/* Data of an earlier run, confirmed at this time (store_restore()). */
void world_restore(struct world *world, unsigned registry, const char *key, const char *endpoints,
                   usec_t confirmed_at);
/* The same, held or suspect then: told till this. */
void world_restore_doubted(struct world *world, unsigned registry, const char *key,
                           const char *endpoints, usec_t confirmed_at, usec_t doubted_until);
/* The names that end in `suffix` wish this rule (STORE_*) of their services, with this rank, from
 * the next evaluation or world_apply_rules() on. At most one suffix a rank. */
void world_wish(struct world *world, const char *suffix, unsigned rank, unsigned rule,
                usec_t value);

/* Names that end in this are private from the next evaluation on. */
void world_private(struct world *world, const char *suffix);

/* What the store told of since the last call: "KEY stale, KEY expiring, ...", or "". */
const char *world_notices(struct world *world);
/* How often the store called `touched`. */
unsigned world_touched(const struct world *world);

/* Verbs that the core has called, since the start: counts by "want KEY", "refresh KEY", "drop KEY".
 */
unsigned world_calls(const struct world *world, const char *verb_and_key);

/* ---- DNS ---- */

/* Answers the oldest question for `host` of this type; fails the test if there is none. */
void world_dns(struct world *world, const char *host, enum dns_type type, enum dns_outcome outcome,
               const char *addresses, usec_t ttl, const char *canonical);
unsigned world_dns_open(const struct world *world, const char *host);

/* ---- lookups ---- */

struct seen; /* one lookup */
struct seen *world_lookup(struct world *world, const char *name, int family);
/* "waiting", or STATUS of the request's family and, if found, the addresses in order of text: e.g.
 * "found 10.0.0.1 10.0.0.2", "absent", "no-data", "undecided", "foreign"; " = CANONICAL" for an
 * alias; a
 * "~" behind "found" for stale; a "!" behind an IPv4 address without a route. Valid until the next call. */
const char *seen_text(struct seen *seen);
/* Of its IPv4 addresses, the percent of first draws that each gets: "10.0.0.1=20 10.0.0.2=80". */
const char *seen_shares(struct seen *seen);
const char *seen_name(struct seen *seen); /* the FQDN that answered */

/* Looks up and returns the text at once. */
const char *world_ask(struct world *world, const char *name, int family);
