/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/replay/scenario_server.h"
#include "tests/unit/unit.h"

#include "daemon/config_item.h"
#include "tests/replay/scenario_machine.h"

#include <check.h>
#include <stdarg.h>
#include <utlist.h>

enum behaviour {
    WORKS,
    REFUSES,     /* nobody listens: calls fail at once, open ones break */
    RESETS,      /* calls are accepted and cut off */
    SILENT,      /* accepted, never answered: stopped, or hung */
    UNREACHABLE, /* packets are lost: connecting times out */
    ANSWERS,     /* a status and a body, whatever was asked */
};

struct rule {
    enum behaviour behaviour;
    char *pattern; /* NULL: every call */
    int status;
    char *headers, *body;
    usec_t delay;
    struct rule *prev, *next;
};

struct tally {
    char *call; /* "GET http://..." */
    struct tally *next;
};

struct server {
    struct machine *machine;
    char *name;
    const struct model *model;
    void *state;
    struct rule *rules; /* the first that matches counts: the newest is the first */
    struct asked *asked;
    struct tally *tally;
};

#define LATENCY         USEC_PER_MSEC
#define CONNECT_TIMEOUT (3 * USEC_PER_SEC)

static const struct model *model_find(const char *type)
{
    for (const struct model *const *model = scenario_models; *model; model++)
        if (streq((*model)->type, type))
            return *model;
    return NULL;
}

struct server *server_new(struct machine *machine, const char *name, const char *type)
{
    const struct model *model = model_find(type);
    struct server *server = calloc(1, sizeof(*server));

    UNIT_HOLDS(server);
    server->machine = machine;
    server->name = strdup(name);
    server->model = model;
    server->state = calloc(1, model && model->size > 0 ? model->size : 1);
    if (model && model->init)
        model->init(server, server->state);
    return server;
}

static void rule_free(struct rule *rule)
{
    free(rule->pattern);
    free(rule->headers);
    free(rule->body);
    free(rule);
}

static void rules_clear(struct server *server)
{
    struct rule *rule, *next;

    DL_FOREACH_SAFE (server->rules, rule, next)
        rule_free(rule);
    server->rules = NULL;
}

struct server *server_free(struct server *server)
{
    struct asked *asked, *next_asked;

    if (!server)
        return NULL;
    rules_clear(server);
    DL_FOREACH_SAFE (server->asked, asked, next_asked)
        free(asked);
    while (server->tally) {
        struct tally *tally = server->tally;

        server->tally = tally->next;
        free(tally->call);
        free(tally);
    }
    if (server->model && server->model->done)
        server->model->done(server->state);
    free(server->state);
    free(server->name);
    free(server);
    return NULL;
}

usec_t server_now(const struct server *server)
{
    return machine_now(server->machine);
}

uint64_t server_random(struct server *server)
{
    return machine_random(server->machine);
}

void server_fail(struct server *server, const char *format, ...)
{
    char text[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    machine_fail(server->machine, "%s: %s", server->name, text);
}

/* ---- calls ---- */

const char *asked_url(const struct asked *asked)
{
    const char *url = twin_http_request(asked->call)->url, *path = strstr(url, "://");

    path = path ? strchr(path + 3, '/') : NULL;
    return path ?: "/";
}

static void asked_free(struct server *server, struct asked *asked)
{
    DL_DELETE(server->asked, asked);
    free(asked);
}

static const struct rule *rule_of(const struct server *server, const struct http_call *call)
{
    const struct rule *rule;

    DL_FOREACH (server->rules, rule)
        if (!rule->pattern || strstr(twin_http_request(call)->url, rule->pattern))
            return rule;
    return NULL;
}

static usec_t latency(struct server *server)
{
    return LATENCY + machine_random(server->machine) % LATENCY;
}

void server_take(struct server *server, struct http_call *call)
{
    const struct rule *rule = rule_of(server, call);
    struct asked *asked = calloc(1, sizeof(*asked));
    struct tally *tally = calloc(1, sizeof(*tally));

    UNIT_HOLDS(asked && tally);
    asked->server = server;
    asked->call = call;
    asked->due = server_now(server) + latency(server) + (rule ? rule->delay : 0);
    if (rule && rule->behaviour == UNREACHABLE)
        asked->due = server_now(server) +
                     (twin_http_request(call)->connect_timeout ?: CONNECT_TIMEOUT);
    DL_APPEND(server->asked, asked);
    UNIT_HOLDS(asprintf(&tally->call, "%s %s", twin_http_request(call)->method,
                        twin_http_request(call)->url) > 0);
    tally->next = server->tally;
    server->tally = tally;
    machine_note(server->machine, "%s <- %s", server->name, tally->call);
}

void server_forget(struct server *server, const struct http_call *call)
{
    struct asked *asked, *next;

    DL_FOREACH_SAFE (server->asked, asked, next)
        if (asked->call == call)
            asked_free(server, asked);
}

unsigned server_calls(const struct server *server, const char *pattern)
{
    unsigned count = 0;

    for (const struct tally *tally = server->tally; tally; tally = tally->next)
        count += strstr(tally->call, pattern) != NULL;
    return count;
}

static void call_fail(struct asked *asked, enum http_outcome outcome, const char *text)
{
    struct server *server = asked->server;
    struct http_call *call = asked->call;

    machine_note(server->machine, "%s -> %s %s", server->name, text, asked_url(asked));
    asked_free(server, asked);
    twin_http_fail(call, outcome, text);
}

void server_reply(struct asked *asked, int status, const char *headers, const char *body)
{
    struct server *server = asked->server;
    struct http_call *call = asked->call;

    machine_note(server->machine, "%s -> %d %s %s", server->name, status, asked_url(asked), body);
    asked_free(server, asked);
    twin_http_reply(call, status, headers, body);
}

void server_park(struct asked *asked, usec_t deadline)
{
    asked->parked = true;
    asked->due = asked->deadline = deadline;
}

void server_wake(struct server *server)
{
    struct asked *asked;

    DL_FOREACH (server->asked, asked)
        if (asked->parked)
            asked->due = server_now(server) + latency(server);
}

/* Looked at again: those that a silence held back, too. */
static void wake_silenced(struct server *server)
{
    struct asked *asked;

    DL_FOREACH (server->asked, asked)
        if (asked->due == USEC_INFINITY)
            asked->due = server_now(server) + latency(server);
}

void server_break(struct server *server)
{
    struct asked *asked;

    /* A failed call may make others, which are no part of this. */
    DL_FOREACH (server->asked, asked)
        asked->breaking = true;
    asked = server->asked;
    while (asked) {
        if (asked->breaking) {
            call_fail(asked, HTTP_BROKEN, "connection reset");
            asked = server->asked;
        } else {
            asked = asked->next;
        }
    }
}

static void asked_run(struct asked *asked)
{
    struct server *server = asked->server;
    const struct rule *rule = rule_of(server, asked->call);

    switch (rule ? rule->behaviour : WORKS) {
    case WORKS:
        if (server->model && server->model->answer)
            server->model->answer(server, server->state, asked);
        else
            server_reply(asked, 404, NULL, "");
        return;
    case REFUSES:
        call_fail(asked, asked->parked ? HTTP_BROKEN : HTTP_UNREACHABLE, "connection refused");
        return;
    case RESETS:
        call_fail(asked, HTTP_BROKEN, "connection reset");
        return;
    case UNREACHABLE:
        /* A connection that is there hangs; only a new one hears that there is no way. */
        if (!asked->parked) {
            call_fail(asked, HTTP_UNREACHABLE, "connecting timed out");
            return;
        }
        asked->due = USEC_INFINITY;
        return;
    case SILENT:
        asked->due = USEC_INFINITY;
        return;
    case ANSWERS:
        server_reply(asked, rule->status, rule->headers, rule->body);
        return;
    }
}

usec_t server_due(const struct server *server)
{
    const struct asked *asked;
    usec_t due = USEC_INFINITY;

    DL_FOREACH (server->asked, asked)
        due = asked->due < due ? asked->due : due;
    return due;
}

void server_run(struct server *server, usec_t now)
{
    struct asked *asked = server->asked;

    while (asked) {
        if (asked->due > now) {
            asked = asked->next;
            continue;
        }
        asked_run(asked);
        asked = server->asked;
    }
}

/* ---- what a scenario says ---- */

/* "works", "refuses", "is silent", ...: 0 or -EINVAL. */
static int parse_answers(struct rule *rule, char *const *words, size_t count)
{
    rule->behaviour = ANSWERS;
    if (count >= 1 && streq(words[0], "garbage")) {
        rule->status = 200;
        rule->headers = strdup("X-Consul-Index: 7");
        rule->body = strdup("<html>\x01 this is {no} registry");
        return count == 1 ? 0 : -EINVAL;
    }
    if (count < 1 || count > 3 || atoi(words[0]) < 100)
        return -EINVAL;
    rule->status = atoi(words[0]);
    rule->body = strdup(count > 1 ? words[1] : "");
    if (count > 2)
        rule->headers = strdup(words[2]);
    return 0;
}

static int rule_parse(struct rule *rule, char *const *words, size_t count)
{
    static const struct {
        const char *first, *second;
        enum behaviour behaviour;
    } phrases[] = {
        {"refuses", NULL, REFUSES},
        {"resets", NULL, RESETS},
        {"is", "silent", SILENT},
        {"is", "unreachable", UNREACHABLE},
    };

    for (size_t i = 0; i < ELEMENTS(phrases); i++) {
        size_t size = phrases[i].second ? 2 : 1;

        if (count != size || !streq(words[0], phrases[i].first) ||
            (size == 2 && !streq(words[1], phrases[i].second)))
            continue;
        rule->behaviour = phrases[i].behaviour;
        return 0;
    }
    if (count == 3 && streq(words[0], "is") && streq(words[1], "slow"))
        return config_duration_from_string(words[2], &rule->delay);
    if (count >= 2 && streq(words[0], "answers"))
        return parse_answers(rule, words + 1, count - 1);
    return -EINVAL;
}

/* What is under way feels it. */
static void rule_begins(struct server *server, const struct rule *rule)
{
    struct asked *asked, *next;

    if (rule->behaviour != REFUSES && rule->behaviour != RESETS)
        return;
    DL_FOREACH_SAFE (server->asked, asked, next)
        if (!rule->pattern || strstr(twin_http_request(asked->call)->url, rule->pattern)) {
            asked->parked = true;
            asked->due = server_now(server);
        }
}

void server_say(struct server *server, char *const *words, size_t count)
{
    struct rule *rule;

    if (count == 1 && streq(words[0], "works")) {
        rules_clear(server);
        wake_silenced(server);
        return;
    }
    if (server->model && server->model->say &&
        server->model->say(server, server->state, words, count))
        return;
    rule = calloc(1, sizeof(*rule));
    UNIT_HOLDS(rule);
    if (count > 2 && streq(words[0], "for")) {
        rule->pattern = strdup(words[1]);
        words += 2, count -= 2;
    } else {
        rules_clear(server);
        wake_silenced(server);
    }
    if (rule_parse(rule, words, count) < 0) {
        rule_free(rule);
        server_fail(server, "what is '%s'?", words[0]);
        return;
    }
    DL_PREPEND(server->rules, rule);
    rule_begins(server, rule);
}

/* ---- instances ---- */

static bool take_attribute(struct instance *instance, const char *part, unsigned *tags)
{
    static const char *const healths[] = {"passing", "warning", "critical", "maintenance",
                                          "terminating"};

    if (strncmp(part, "t=", 2) == 0 && *tags < ELEMENTS(instance->tags)) {
        snprintf(instance->tags[(*tags)++], sizeof(instance->tags[0]), "%s", part + 2);
        return true;
    }
    if (strncmp(part, "w=", 2) == 0) {
        instance->weight = (unsigned)atoi(part + 2);
        return true;
    }
    for (size_t i = 0; i < ELEMENTS(healths); i++)
        if (streq(part, healths[i])) {
            snprintf(instance->health, sizeof(instance->health), "%s", part);
            return true;
        }
    return false;
}

bool instance_parse(const char *word, struct instance *ret_instance)
{
    char copy[512], *rest = copy, *part;
    struct address address;
    unsigned tags = 0;

    snprintf(copy, sizeof(copy), "%s", word);
    *ret_instance = (struct instance){.health = "passing", .weight = 1};
    part = strsep(&rest, "/");
    if (strncmp(part, "->", 2) == 0) {
        ret_instance->host = true;
        part += 2;
    } else if (address_from_string(part, &address) < 0) {
        return false;
    }
    snprintf(ret_instance->address, sizeof(ret_instance->address), "%s", part);
    while ((part = rest ? strsep(&rest, "/") : NULL))
        if (!take_attribute(ret_instance, part, &tags))
            return false;
    return true;
}
