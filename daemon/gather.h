/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Gathering: evaluates one name from all that is known now: its registry's service and selector,
 * the policy, aliases and host names of endpoints (owned ones through the store, others through the
 * chase; to depth 8 and a bounded number in all; loops are undecided).
 *
 * What is missing is asked for on the way, and every object that the result rests on is handed to
 * `depend`, so that the caller can gather again when one changes. Holds no state.
 */
#pragma once

#include "daemon/base.h"
#include "daemon/chase.h"
#include "daemon/evaluation.h"
#include "daemon/policy.h"
#include "daemon/store.h"

enum { GATHER_DEPTH_MAX = 8 };

/* Whose a name is. */
struct resolver_owner {
    unsigned registry;
    const char *domain; /* the longest domain that the name is under */
    size_t relative;    /* length of the part before it, without the dot */
    bool shared;        /* outside the grammar: foreign */
};

/* What the configuration says of one name. */
struct resolver_policy {
    struct policy_rules rules;
    unsigned answers;
    struct store_wishes wishes; /* of its service, and whose the name is */
};

/* The world as the resolver sees it. */
struct resolver_hooks {
    bool (*owner)(void *userdata, const char *name, struct resolver_owner *ret_owner);
    enum registry_meaning (*meaning)(void *userdata, const struct resolver_owner *owner,
                                     const char *name, struct registry_target *ret_target);
    /* The name of an address, by the registries with Reverse=yes: 0 or -ENOENT. */
    int (*reverse)(void *userdata, const struct address *address, char ret_name[static NAME_SIZE]);
    /* May this registry's host names lead to this address? NULL, or why not. */
    const char *(*refusal)(void *userdata, unsigned registry, const struct address *address);
    void (*policy)(void *userdata, const char *name, struct resolver_policy *ret_policy);
    /* What is known of this host now; NULL: nothing. After a change: resolver_republish(). */
    void (*host)(void *userdata, struct policy_host *ret_host);
    /* Does this endpoint of a registry's service fail the checks that the policy of `name` asks
     * for? NULL: there are none. After a change: watch_list_notify(service_watchers(service)). */
    bool (*vetoed)(void *userdata, const char *name, unsigned registry, const char *key,
                   const struct endpoint *endpoint);
    /* A name was evaluated: what was not judged for it (vetoed) is not wanted for it any more. NULL
     * where nothing is vetoed. */
    void (*evaluated)(void *userdata, const char *name);
    /* A name was evaluated, or its ranks are others: its slot of the view may have to change.
     * `interest_at`: from then on a reader is to say that the name is still wanted. NULL where
     * there is no view. */
    void (*publish)(void *userdata, const char *name, const struct evaluation *evaluation,
                    usec_t interest_at, usec_t now);
    void (*withdraw)(void *userdata, const char *name);
    /* Fills in the ranks of an answer's records (ranker.h). NULL: they are all 0. */
    void (*rank)(void *userdata, struct answer_head *payload);
    /* Something is to be done: call resolver_run() from the loop, soon. */
    void (*wake)(void *userdata);
    uint64_t (*random)(void *userdata);
    void *userdata;
};

/* Whose endpoints are judged for which name. All borrowed. */
struct gather_case {
    const char *name;
    unsigned registry;
    const char *key; /* of the service */
    const struct endpoint_set *set;
    const struct selector *selector;
    const struct policy_rules *rules; /* of the name */
    bool headless;                    /* REPORT_ALL_ANSWERS */
};

/* policy_judge() with all that the hooks know. */
size_t gather_judge(const struct resolver_hooks *hooks, const struct gather_case *gather_case,
                    struct policy_judgement *ret_judgements, struct policy_summary *ret_summary);

struct gather {
    const struct resolver_hooks *hooks;
    struct store *store;
    struct chase *chase;
    usec_t now;
    usec_t stale_wait;    /* how long an answer of the registry is worth waiting for */
    usec_t restored_wait; /* the same, for what an earlier run knew */
    bool asked;           /* on behalf of a program: services count as used */
    void (*depend)(void *userdata, struct watch_list *list);
    void *userdata;
};

/* Fills `evaluation` (reset first). */
void gather_name(const struct gather *gather, const char *name, struct evaluation *evaluation);
