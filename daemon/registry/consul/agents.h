/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Consul agents of one registry: which of them is asked, with what token, and what an HTTP
 * response means. Every call of the type goes through here.
 *
 * The first agent of URL= is the preferred one. One that cannot be reached is *failing* until it
 * answers again; calls go to the first that is not. When all fail the registry is down, which is
 * reported once, and no call but a probe (probe.h) is made until one of them answers. An error in a
 * response (500, 429) is no proof against an agent: only the caller's next try goes to another one.
 *
 * A token is read from its file, again when the file changes and after a 403; it is never sent but
 * in its header. Until it could be read once the registry is down too: asked without it, Consul
 * would answer "no such service" for all that it may not show.
 */
#pragma once

#include "daemon/registry/consul/names.h"

struct consul;
struct consul_call;

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
    usec_t since;
};

struct consul_request {
    const char *path;             /* "/v1/...", percent-encoded where needed */
    const struct consul_key *key; /* where to look; NULL: a question to the agent itself */
    uint64_t index;               /* block until it is passed; 0: answer at once */
    unsigned attempt;             /* tries that failed before: each goes to another agent */
    int agent;                    /* this very one, for probes; -1: any */
    size_t max_body;
};

struct consul_agent {
    char *shown;       /* as configured */
    char *base;        /* what paths are appended to */
    char *unix_socket; /* or NULL */
    bool failing;
    unsigned open; /* calls */
};

struct consul_agents {
    struct consul *consul;
    struct consul_agent *items;
    unsigned count, current;
    bool answered;               /* one of them answers; false at the start too */
    bool up, down;               /* as the core knows it, or hears soon; neither at the start */
    struct env_timer down_timer; /* reports DOWN outside of any call */
    char failing_text[256];      /* of the agent that failed last */

    char *token;
    int token_error; /* negative errno of the last try to read it */
    struct env_path_watch *token_watch;

    unsigned limit; /* calls at one time; lower than configured after a refusal */
    usec_t limited_until;
    bool degraded;
    struct consul_call *delivering; /* whose answer is on its way to done() */
};

int consul_agents_init(struct consul_agents *agents, struct consul *consul);
void consul_agents_done(struct consul_agents *agents);

/* Asks; the answer never comes from inside. -EHOSTDOWN: consul_agents_text() says why not. */
int consul_call_start(struct consul_call *call, const struct consul_request *request);
void consul_call_cancel(struct consul_call *call); /* also one that is not open */
/* Is it under way, its answer not told yet? */
bool consul_call_is_open(const struct consul_call *call);

/* Why nothing can be asked now; "" if something can. */
const char *consul_agents_text(const struct consul_agents *agents);

/* Reads the token file again. Is there another token now? */
bool consul_agents_read_token(struct consul_agents *agents);
/* The same while it could not be read, and all that follows from a token that is there at last. */
void consul_agents_retry_token(struct consul_agents *agents);

/* Forgets the lowered limit, reads the token. */
void consul_agents_kick(struct consul_agents *agents);

/* How many calls may be open at one time now. */
unsigned consul_agents_limit(struct consul_agents *agents);
unsigned consul_agents_open(const struct consul_agents *agents);

void consul_agents_describe(const struct consul_agents *agents, json_t *object);
