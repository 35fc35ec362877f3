/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls: the one road to the service. Owns the queue, the budget (MaxCallsPerSec=), the back-off,
 * the correction of the clock, and what an answer's status and error code mean.
 *
 * The quota of AWS is one for all hosts of an account, so nothing goes around the budget. What
 * programs wait for goes before polls. During a back-off calls fail at once, from the loop.
 */
#pragma once

#include "daemon/registry/registry.h"

struct cloudmap;

enum cloudmap_operation {
    CLOUDMAP_DISCOVER,
    CLOUDMAP_REVISION,
    CLOUDMAP_LIST_NAMESPACES,
};

enum cloudmap_verdict {
    CLOUDMAP_ANSWERED,
    CLOUDMAP_NO_SERVICE,   /* there is no such service, */
    CLOUDMAP_NO_NAMESPACE, /* or no such namespace */
    CLOUDMAP_FAILED,       /* nothing was learned: failure, text, retry_after */
};

/* Valid during the callback. */
struct cloudmap_answer {
    enum cloudmap_verdict verdict;
    const char *body;
    size_t size;
    enum registry_failure failure;
    char text[320];
    usec_t retry_after; /* 0: none told */
};

struct cloudmap_call {
    struct cloudmap *cloudmap;
    void (*done)(struct cloudmap_call *call, const struct cloudmap_answer *answer);
    void *owner;
    enum cloudmap_operation operation;
    char *body; /* NULL: not under way */
    bool urgent;
    struct http_call *http; /* NULL: queued */
    uint64_t generation;    /* of the keys that signed it */
    unsigned attempts;      /* that failed for reasons worth another one */
    bool signed_again;      /* with other keys or another time */
    bool doomed;            /* queued, and about to fail */
    struct cloudmap_call *prev, *next;
};

struct cloudmap_calls {
    struct cloudmap *cloudmap;
    struct cloudmap_call *urgent, *polls; /* queued */
    struct env_timer timer;
    unsigned open;
    usec_t booked_until; /* the budget is spent up to here */
    usec_t paused_until;
    unsigned failures;  /* in a row, that the whole service is behind */
    unsigned throttled; /* of them, by throttling */
    enum registry_failure failure;
    char text[256]; /* of the last of them */
    int64_t skew;   /* of this machine's clock: add it to get the service's */
    bool up, down;  /* does it answer? Neither: not known yet */
    bool told_up, told_down, told_without_keys;
    uint64_t made, throttles;
};

void cloudmap_calls_init(struct cloudmap_calls *calls, struct cloudmap *cloudmap);
void cloudmap_calls_done(struct cloudmap_calls *calls); /* after all calls were cancelled */

/* Queues a call; takes `body` (of malloc; NULL is out of memory). The answer never comes from
 * inside. 0, -ENOMEM, or -EBUSY if it is under way. */
int cloudmap_call_start(struct cloudmap_call *call, enum cloudmap_operation operation, char *body,
                        bool urgent);
void cloudmap_call_cancel(struct cloudmap_call *call); /* also one that is not under way */
bool cloudmap_call_is_open(const struct cloudmap_call *call);
/* Somebody waits for it now. */
void cloudmap_call_hurry(struct cloudmap_call *call);

/* Goes on with what is queued, from the loop: something that it waits for is there, or failed. */
void cloudmap_calls_run(struct cloudmap_calls *calls);
/* Tries again now whatever backs off. */
void cloudmap_calls_kick(struct cloudmap_calls *calls);

void cloudmap_calls_describe(const struct cloudmap_calls *calls, json_t *object);
