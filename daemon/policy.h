/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The policy: which endpoints of a service a name hands out, in which tiers, and why not the
 * others.
 *
 * Pure: endpoints, selector and rules in, a judgement an endpoint out. It draws nothing (the module
 * does, per call) and knows neither time nor registries. One rule after the other, each seeing what
 * the ones before it left:
 *
 *   selector      what the name asks for; ZonePolicy=strict is part of it
 *   health        ready, or not; administrative weight 0
 *   terminating   those that are going serve when nothing is ready
 *   veto          checks of our own may take out, never add, never all
 *   priority      the best one that still has somebody
 *   panic         MinHealthyPercent=: of that priority everybody is used, when so few are healthy
 *   zone          the own zone alone, when it is strong enough
 *   pick          the tiers: who is drawn, and who only follows
 */
#pragma once

#include "daemon/base.h"
#include "daemon/endpoint.h"
#include "daemon/registry/registry.h"

enum policy_zone { POLICY_ZONE_PREFER, POLICY_ZONE_STRICT, POLICY_ZONE_OFF };

enum policy_pick {
    POLICY_PICK_RANDOM,      /* all in one tier: drawn by weight */
    POLICY_PICK_ROUND_ROBIN, /* the same; the module takes turns where weights are equal */
    POLICY_PICK_FIRST,       /* canonical order: the second only follows the first */
    POLICY_PICK_HASH,        /* weighted rendezvous hashing: every host has its own order */
};

/* The upper bit of a record's tier is for addresses without a route. */
enum { POLICY_TIER_MAX = 0x7f };

struct policy_rules {
    bool allow_warning;           /* warning counts as ready */
    bool terminating_never;       /* else endpoints that are going are the last resort */
    unsigned min_healthy_percent; /* 0: no panic */
    enum policy_zone zone;
    unsigned min_zone_endpoints; /* ready ones that make a zone strong enough */
    unsigned min_zone_share;     /* and the percent of the ready weight that it must hold */
    enum policy_pick pick;
};

/* What the policy knows of this host. */
struct policy_host {
    const char *zone;    /* borrowed; "" or NULL: unknown */
    uint8_t machine[16]; /* of our own, derived from the machine id; keys POLICY_PICK_HASH */
};

/* Used ones come first: policy_uses(). */
enum policy_verdict {
    VERDICT_USED,
    VERDICT_USED_TERMINATING, /* going, but nobody is ready */
    VERDICT_USED_PANIC,       /* unhealthy, but so are too many */
    VERDICT_USED_VETOED,      /* fails our check, but so does everybody */
    VERDICT_NOT_SELECTED,     /* the name picks others: tag, host name, port, zone */
    VERDICT_UNHEALTHY,        /* its health word says it */
    VERDICT_WEIGHT_ZERO,
    VERDICT_VETOED,         /* fails a check of our own */
    VERDICT_TERMINATING,    /* going, and others are ready or it is never used */
    VERDICT_LOWER_PRIORITY, /* a better priority has somebody */
    VERDICT_OTHER_ZONE,     /* the own zone is strong enough, or the only one allowed */
};

static inline bool policy_uses(enum policy_verdict verdict)
{
    return verdict <= VERDICT_USED_VETOED;
}

/* "" for VERDICT_USED, else why (not), for people. */
const char *policy_reason(enum policy_verdict verdict, const struct endpoint *endpoint);

struct policy_judgement {
    enum policy_verdict verdict;
    uint8_t tier;    /* 0 is drawn, higher ones follow; of used ones */
    uint32_t weight; /* its part of policy_summary.weight in the first draw; 0: it is not drawn */
};

/* What became of the zones. */
enum policy_zone_outcome {
    ZONE_IGNORED,      /* ZonePolicy=off, a headless name, one that picks a zone or host, a panic */
    ZONE_UNKNOWN_HOST, /* nobody knows where this host is */
    ZONE_UNKNOWN_ENDPOINTS, /* or where the endpoints are */
    ZONE_OWN,               /* the host's own alone */
    ZONE_STRICT_NONE,       /* ZonePolicy=strict, and nobody usable is in it */
    ZONE_SPILL_NONE,        /* nobody usable is in it */
    ZONE_SPILL_FEW,         /* fewer than MinZoneEndpoints= */
    ZONE_SPILL_SHARE,       /* less of the weight than MinZoneShare= */
};

/* For people: "own zone alone", ... */
const char *policy_zone_text(enum policy_zone_outcome outcome);

struct policy_summary {
    size_t selected;   /* by the name, whatever their health */
    size_t used;       /* of them */
    uint64_t weight;   /* of tier 0 in all */
    uint16_t priority; /* the one in use; if any is used */
    enum policy_zone_outcome zone;
    bool panic;          /* MinHealthyPercent= holds: unhealthy ones are used */
    bool vetoes_ignored; /* everybody fails our checks: they are not listened to */
};

/* Of one name. All borrowed. */
struct policy_question {
    const struct endpoint_set *set;
    const struct selector *selector;
    const struct policy_rules *rules;
    const struct policy_host *host; /* NULL: nothing is known */
    const char *service;            /* its key: what is drawn by hash differs by service */
    bool headless;                  /* the name means all of them, wherever they are */
    /* Does the endpoint fail a check of our own? NULL: there is none. */
    bool (*vetoed)(void *userdata, const struct endpoint *endpoint);
    void *userdata;
};

/* Judges every endpoint: `ret_judgements` has set->count entries. Returns how many are used. */
size_t policy_judge(const struct policy_question *question, struct policy_judgement *ret_judgements,
                    struct policy_summary *ret_summary);
