/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Consul agents of one registry: which of them is asked, with what token, and how many calls at
 * a time.
 *
 * The first agent of URL= is the preferred one. One that cannot be reached is *failing* until it
 * answers again; calls go to the first that is not. When all fail the registry is down, which is
 * reported once, and no call but a probe (probe.h) is made until one of them answers. An error in a
 * response (500, 429) is no proof against an agent: only the caller's next try goes to another one.
 *
 * A blocking call that is given up is not over for the agent: it keeps the connection, which counts
 * against its limit (200 a client, shared by all programs of the host), until the call's wait is
 * over. So such calls are counted on, and take their part of our own limit.
 *
 * A token is read from its file, again when the file changes and after a 403; it is never sent but
 * in its header. Until it could be read once the registry is down too: asked without it, Consul
 * would answer "no such service" for all that it may not show.
 */
#pragma once

#include "daemon/registry/registry.h"

struct consul;
struct consul_call;

struct consul_agent {
    char *shown;       /* as configured */
    char *base;        /* what paths are appended to */
    char *unix_socket; /* or NULL */
    bool failing;
    unsigned open;     /* calls */
    usec_t *abandoned; /* blocking calls that were given up: until when the agent holds them */
    unsigned abandoned_count;
};

struct consul_agents {
    struct consul *consul;
    struct consul_agent *items;
    unsigned count, current;
    bool answered;               /* one of them answers; false at the start too */
    bool up, down;               /* as the core knows it, or hears soon; neither at the start */
    usec_t back;                 /* when one answered again after all had failed; 0: never */
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

/*
 * Did one answer again only a moment ago, after all had failed? A new leader needs that long to
 * read what it wrote down, and answers meanwhile: what it does not show may be there.
 */
bool consul_agents_are_back(const struct consul_agents *agents);

/* Why nothing can be asked now; "" if something can. */
const char *consul_agents_text(const struct consul_agents *agents);

/* Reads the token file again. Is there another token now? */
bool consul_agents_read_token(struct consul_agents *agents);
/* The same while it could not be read, and all that follows from a token that is there at last. */
void consul_agents_retry_token(struct consul_agents *agents);

/* Forgets the lowered limit, reads the token. */
void consul_agents_kick(struct consul_agents *agents);

/* The configured limit may be another one. */
void consul_agents_reload(struct consul_agents *agents);

/* What a call learned of its agent (call.h). */
void consul_agents_failed(struct consul_agents *agents, unsigned index, const char *text);
void consul_agents_answered(struct consul_agents *agents, unsigned index);
/* It refused a connection: it has a limit, which it shares out among all programs of the host. */
void consul_agents_lower_limit(struct consul_agents *agents);
/* The server behind it is out of touch with its leader, or in touch again. */
void consul_agents_note_degraded(struct consul_agents *agents, bool degraded);

/* Is there one beside `index` that does not fail? */
bool consul_agents_has_another(const struct consul_agents *agents, unsigned index);

/* How many calls may be open at one time now. */
unsigned consul_agents_limit(struct consul_agents *agents);
unsigned consul_agents_open(const struct consul_agents *agents);
/* Open calls, and those that were abandoned and are still held by their agents. */
unsigned consul_agents_held(struct consul_agents *agents);
/* A blocking call was given up; its agent holds it until `until`. */
void consul_agents_abandon(struct consul_agents *agents, unsigned index, usec_t until);
/* Nobody listens there any more, so nobody holds anything. */
void consul_agents_forget_abandoned(struct consul_agents *agents, unsigned index);

void consul_agents_describe(const struct consul_agents *agents, json_t *object);
