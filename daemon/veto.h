/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checks of our own on the instances of any registry (Check= of [Policy]), so that one that its
 * registry still calls healthy is not handed out when it does not answer from here.
 *
 * A check can veto an instance and nothing else: policy.h says what a veto does (never add one,
 * never veto all of them). What is checked follows the evaluations: judging an endpoint for a name
 * wants its check, and one that the last evaluation of no name wanted ends. So services in use (or
 * kept because their registry is down, which can say least then) are checked, and only endpoints
 * that would be handed out. Names whose policies ask for the same share the checks. A result stays
 * while the endpoint does, in whatever order the registry reports it; at the start of the daemon
 * nothing is vetoed.
 *
 * An endpoint is vetoed when none of its addresses passes. It is not checked when it has no address
 * of its own (host names are chased, and what is behind them is no instance that the registry
 * named), more than VETO_ADDRESSES_MAX of them, or no port of the name in Check=.
 *
 * Owns the checks. Runs them by check.h, in the gate that all of the daemon shares.
 */
#pragma once

#include "daemon/check.h"
#include "daemon/veto_spec.h"

enum {
    VETO_ENDPOINTS_MAX = 4096, /* checked at one time; others are not vetoed */
    VETO_ADDRESSES_MAX = 4,    /* of one endpoint */
};

/* Where the policy says nothing else. */
#define VETO_INTERVAL (10 * USEC_PER_SEC)
#define VETO_TIMEOUT  (2 * USEC_PER_SEC)
enum { VETO_FAILURES = 3, VETO_SUCCESSES = 1 };

/* What the policy of a name asks for. */
struct veto_rules {
    struct veto_spec spec;
    usec_t interval, timeout;
    unsigned failures, successes; /* in a row, before a veto and before its end */
};

struct veto_hooks {
    /* False: no check. */
    bool (*rules)(void *userdata, const char *name, struct veto_rules *ret_rules);
    /* Vetoes of this service are others: its names are to be evaluated again. */
    void (*changed)(void *userdata, unsigned registry, const char *key);
    const char *(*registry_name)(void *userdata, unsigned registry);
    /* An instance fails our check from now on, or passes again; `text`: what the check said. May be
     * NULL. */
    void (*told)(void *userdata, unsigned registry, const char *key, const char *instance,
                 bool failing, const char *text);
    void *userdata;
};

struct veto;

/* `env` must outlive it. */
struct veto *veto_new(struct registry_env *env, const struct veto_hooks *hooks);
struct veto *veto_free(struct veto *veto); /* takes NULL */

/* The hook of the policy: wants the check of this endpoint, and says whether it fails now. */
bool veto_judge(struct veto *veto, const char *name, unsigned registry, const char *key,
                const struct endpoint *endpoint);

/* The evaluation of `name` is over: the checks that it wanted (of other names that it led to, too)
 * take the place of those that its last one wanted. */
void veto_evaluated(struct veto *veto, const char *name);
/* The name is not in use any more. */
void veto_withdraw(struct veto *veto, const char *name);
/* The configuration is another one: every name will be evaluated again. */
void veto_reload(struct veto *veto);
/* The network is another one, or the machine slept: checks everything within a second or so. */
void veto_hurry(struct veto *veto);

/* Of one endpoint, for people. */
struct veto_facts {
    bool failing;                                      /* a veto, unless all of its service fail */
    usec_t lasting;                                    /* for how long it is one or the other */
    char text[CHECK_SHOWN_SIZE + VETO_SPEC_TEXT_SIZE]; /* "tcp:8080: 10.0.0.1:8080: refused" */
};
/* False: it is not checked. Wants nothing. */
bool veto_look(struct veto *veto, const char *name, unsigned registry, const char *key,
               const struct endpoint *endpoint, struct veto_facts *ret_facts);

/* How it stands now. */
struct veto_summary {
    unsigned services, endpoints; /* checked */
    unsigned failing;             /* of the endpoints */
    unsigned failing_services;    /* of which all endpoints fail: nothing is vetoed there */
    bool full;                    /* there are as many as may be */
};
void veto_summarize(const struct veto *veto, struct veto_summary *ret_summary);

/* Since the start: to read, and to set to zero. */
struct veto_counters {
    uint64_t vetoed, lifted; /* endpoints that began to fail, and that passed again */
    uint64_t refused;        /* times that an endpoint was not checked for want of room */
};
struct veto_counters *veto_counters(struct veto *veto);
