/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Scripted servers: what stands behind the HTTP calls and DNS questions of a scenario. A server
 * answers by itself, over hours, after the rules that the scenario gave it.
 *
 * What a server knows and says when it works is the business of its model, one a registry type
 * (scenario_models[]). How it fails is the same for all: it refuses, resets, is silent, is slow,
 * answers with an error or with garbage, for all calls or for those whose URL contains a pattern.
 */
#pragma once

#include "tests/replay/twin.h"

struct machine;
struct server;

/* One call that waits for its answer. */
struct asked {
    struct server *server;
    struct http_call *call;
    usec_t due;      /* when it is looked at (again); USEC_INFINITY: when something changes */
    bool parked;     /* the model has nothing to say yet */
    usec_t deadline; /* of a parked one */
    uint64_t mark;   /* the model's own */
    bool breaking;
    struct asked *prev, *next;
};

struct model {
    const char *type; /* of registry */
    size_t size;      /* of its state, zeroed */
    void (*init)(struct server *server, void *state);
    void (*done)(void *state);
    /* A statement about this server: words behind its name. False: not one of its words. */
    bool (*say)(struct server *server, void *state, char *const *words, size_t count);
    /* Answers (server_reply()), or parks (server_park()). */
    void (*answer)(struct server *server, void *state, struct asked *asked);
};
extern const struct model *const scenario_models[]; /* NULL-terminated */

struct server *server_new(struct machine *machine, const char *name, const char *type);
struct server *server_free(struct server *server);

/* The words behind the server's name; what is wrong fails the machine. */
void server_say(struct server *server, char *const *words, size_t count);
/* A call arrives; a call is gone. */
void server_take(struct server *server, struct http_call *call);
void server_forget(struct server *server, const struct http_call *call);
usec_t server_due(const struct server *server);
void server_run(struct server *server, usec_t now); /* answers what is due */
/* Calls so far whose method, URL contain `pattern`. */
unsigned server_calls(const struct server *server, const char *pattern);

/* ---- for models ---- */

usec_t server_now(const struct server *server);
uint64_t server_random(struct server *server);
void server_fail(struct server *server, const char *format, ...) _printf_(2, 3); /* the scenario */
const char *asked_url(const struct asked *asked); /* without scheme and host */
void server_reply(struct asked *asked, int status, const char *headers, const char *body);
/* Until server_wake(), or the deadline. */
void server_park(struct asked *asked, usec_t deadline);
/* Something changed: parked calls are looked at again. */
void server_wake(struct server *server);
/* Its process ended: open calls break. */
void server_break(struct server *server);

/* "ADDRESS/critical/t=TAG" words: see scenarios/README.md. */
struct instance {
    char address[256]; /* or a host name */
    char health[16];   /* "passing", "warning", "critical", "maintenance", "terminating" */
    char tags[4][64];
    unsigned weight;
    bool host;
};
bool instance_parse(const char *word, struct instance *ret_instance);

/* ---- DNS: what the host names of endpoints lead to ---- */

struct dns_script;
struct dns_script *dns_script_new(struct machine *machine);
struct dns_script *dns_script_free(struct dns_script *script);
/* The words behind "dns". */
void dns_script_say(struct dns_script *script, char *const *words, size_t count);
int dns_script_ask(struct dns_script *script, const struct dns_question *question,
                   struct dns_call **ret_call); /* for the core */
void dns_script_cancel(struct dns_script *script, struct dns_call *call);
/* For registries. */
void dns_script_take(struct dns_script *script, struct dns_call *call);
void dns_script_forget(struct dns_script *script, const struct dns_call *call);
usec_t dns_script_due(const struct dns_script *script);
void dns_script_run(struct dns_script *script, usec_t now);
unsigned dns_script_calls(const struct dns_script *script, const char *name);
