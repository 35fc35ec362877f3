/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One fetch: all applications, or what changed in the last minutes, from the current server. The
 * document goes into the table of applications while it arrives (applications.h); what the response
 * means is told at the end. It decides nothing about what to do next (poll.h).
 */
#pragma once

#include "daemon/registry/eureka/document.h"
#include "daemon/registry/registry.h"

struct eureka;

enum eureka_verdict {
    EUREKA_FETCHED,
    EUREKA_NO_DELTA, /* the server has no deltas, or an unusable one: all has to be fetched */
    EUREKA_FAILED,
};

/* Valid during the callback. */
struct eureka_result {
    bool delta;
    enum eureka_verdict verdict;
    const struct eureka_document *document; /* FETCHED */
    enum registry_failure failure;          /* FAILED */
    char text[256];                         /* FAILED, NO_DELTA: for people */
    usec_t retry_after;                     /* FAILED: the server's own wish, or 0 */
    bool new_credentials;                   /* FAILED: there are others now: worth a try at once */
};

struct eureka_fetch {
    struct eureka *eureka;
    void (*done)(struct eureka *eureka, const struct eureka_result *result);
    struct http_call *http; /* NULL: none is on its way */
    bool delta;
    struct eureka_document document;
    int error; /* of the document */
    usec_t sent;
    unsigned unreachable; /* new instances without a usable address */
};

void eureka_fetch_init(struct eureka_fetch *fetch, struct eureka *eureka,
                       void (*done)(struct eureka *eureka, const struct eureka_result *result));
/* Asks the current server; done() is never called from inside. Negative errno: nothing was asked.
 */
int eureka_fetch_start(struct eureka_fetch *fetch, bool delta);
void eureka_fetch_cancel(struct eureka_fetch *fetch); /* also where there is none */
