/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls: one question to an agent, and what the HTTP response means. Everything that the type asks
 * goes through here, so tenancy, consistency, token, time-outs and the reading of statuses and
 * headers are in one place. What a response says about its agent is handed to agents.h.
 */
#pragma once

#include "daemon/registry/consul/agents.h"
#include "daemon/registry/consul/names.h"

struct consul;

enum consul_verdict {
    CONSUL_ANSWERED,  /* 200 */
    CONSUL_NOT_FOUND, /* 404 */
    CONSUL_FAILED,    /* nothing was learned: failure, text, ... */
};

/* Valid during the callback. */
struct consul_answer {
    enum consul_verdict verdict;
    const char *body;
    size_t size;
    const struct http_response *response;

    /* ANSWERED */
    bool filtered;   /* entries were left out for want of rights */
    bool translated; /* addresses of other datacentres are their WAN addresses already */
    bool degraded;   /* the server that answered has no leader, or not heard of it for long */

    /* FAILED */
    enum registry_failure failure;
    char text[256];
    bool elsewhere; /* another agent may do better: worth a try at once */
    bool new_token; /* denied, and another token is there now: worth a try at once */
};

struct consul_call {
    void (*done)(struct consul_call *call, const struct consul_answer *answer);
    void *owner;
    struct consul *consul;
    struct http_call *http; /* NULL: not open */
    unsigned agent;         /* index of the agent asked */
    bool probe;
    bool aside;  /* takes no room from others, and how it ends says nothing of its agent */
    bool blocks; /* until something changes */
    usec_t since;
    usec_t held_until; /* blocks: until when the agent holds it, should it be given up */
};

struct consul_request {
    const char *path;             /* "/v1/...", percent-encoded where needed */
    const struct consul_key *key; /* where to look; NULL: a question to the agent itself */
    uint64_t index;               /* block until it is passed; 0: answer at once */
    unsigned attempt;             /* tries that failed before: each goes to another agent */
    int agent;                    /* this very one, for probes; -1: any */
    bool fresh;                   /* over a connection of its own */
    size_t max_body;
};

/* Asks; the answer never comes from inside. -EHOSTDOWN: consul_agents_text() says why not. */
int consul_call_start(struct consul_call *call, const struct consul_request *request);
void consul_call_cancel(struct consul_call *call); /* also one that is not open */
/* Is it under way, its answer not told yet? */
bool consul_call_is_open(const struct consul_call *call);
