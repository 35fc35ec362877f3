/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions to agents (call.h). */
#include "daemon/registry/consul/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "daemon/registry/consul/consul.h"

enum {
    URL_MAX = 2048,
    CROWD = 16, /* this many calls may be what a connection limit refuses */
};
#define CROWD_AGE     (2 * USEC_PER_SEC)
#define READ_TIMEOUT  (17 * USEC_PER_SEC) /* Consul holds a call for 7 s while it has no leader */
#define PROBE_TIMEOUT (10 * USEC_PER_SEC)
#define CALL_OVERTIME (17 * USEC_PER_SEC)

static struct registry_env *env_of(const struct consul_agents *agents)
{
    return agents->consul->registry.env;
}

static const struct consul_settings *settings_of(const struct consul_agents *agents)
{
    return consul_settings_of(agents->consul->registry.config);
}

/* ---- what a response means ---- */

static bool header_is_true(const struct http_response *response, const char *name)
{
    const char *value = http_response_header(response, name);

    return value && strcasecmp(value, "true") == 0;
}

/*
 * Is the answer old? Answers out of a stream always say that no leader is known and nothing was
 * heard of it: for them the two headers mean nothing.
 */
static bool is_degraded(const struct consul_agents *agents, const struct http_response *response)
{
    const char *backend = http_response_header(response, "X-Consul-Query-Backend");
    const char *known = http_response_header(response, "X-Consul-KnownLeader");
    const char *contact = http_response_header(response, "X-Consul-LastContact");
    usec_t limit = settings_of(agents)->max_stale_contact;

    if (settings_of(agents)->consistency != CONSUL_STALE ||
        (backend && strcasecmp(backend, "streaming") == 0))
        return false;
    if (known && strcasecmp(known, "false") == 0)
        return true;
    return contact && strtoull(contact, NULL, 10) > limit / USEC_PER_MSEC;
}

/* "HTTP 500: first line of the body", printable, without the token if the body should repeat it. */
static void status_text(const struct consul_agents *agents, int status, const char *body,
                        char *ret_text, size_t size)
{
    int at = snprintf(ret_text, size, "HTTP %d", status);
    size_t length = strcspn(body, "\r\n"), i;

    if (length == 0 || body[0] == '<' || (agents->token && strstr(body, agents->token)))
        return;
    at += snprintf(ret_text + at, size - (size_t)at, ": %.*s", length > 160 ? 160 : (int)length,
                   body);
    for (i = 0; i < (size_t)at; i++)
        if (ret_text[i] < ' ' || ret_text[i] > '~')
            ret_text[i] = '?';
}

static enum registry_failure failure_of_status(int status)
{
    if (status == 403 || status == 401)
        return FAILURE_DENIED;
    if (status == 429)
        return FAILURE_THROTTLED;
    return status >= 500 ? FAILURE_TRANSIENT : FAILURE_CONFIG;
}

static void judge_status(struct consul_agents *agents, int status, struct consul_answer *answer)
{
    if (status == 200) {
        answer->verdict = CONSUL_ANSWERED;
        answer->filtered = header_is_true(answer->response, "X-Consul-Results-Filtered-By-ACLs");
        answer->translated = header_is_true(answer->response, "X-Consul-Translate-Addresses");
        answer->degraded = is_degraded(agents, answer->response);
        return;
    }
    answer->verdict = status == 404 ? CONSUL_NOT_FOUND : CONSUL_FAILED;
    answer->failure = failure_of_status(status);
    status_text(agents, status, answer->body, answer->text, sizeof(answer->text));
    answer->elsewhere = status == 429 || status >= 500;
    if (status == 403)
        answer->new_token = consul_agents_read_token(agents);
}

static void judge_outcome(enum http_outcome outcome, const char *text, struct consul_answer *answer)
{
    answer->verdict = CONSUL_FAILED;
    answer->failure = outcome == HTTP_TLS ? FAILURE_CONFIG : FAILURE_TRANSIENT;
    answer->elsewhere = outcome != HTTP_TOO_LARGE;
    snprintf(answer->text, sizeof(answer->text), "%s: %.200s", http_outcome_to_string(outcome),
             text);
}

/* What the response says about its agent. */
static void judge_agent(struct consul_agents *agents, struct consul_call *call,
                        enum http_outcome outcome, int status, const struct consul_answer *answer)
{
    usec_t age = env_now(env_of(agents)) - call->since;
    bool crowded = consul_agents_held(agents) >= CROWD && age < CROWD_AGE;

    if (outcome == HTTP_UNREACHABLE)
        consul_agents_forget_abandoned(agents, call->agent);
    if (status == 429 || (outcome == HTTP_BROKEN && status == 0 && crowded))
        consul_agents_lower_limit(agents);
    else if (outcome == HTTP_UNREACHABLE || outcome == HTTP_TLS)
        consul_agents_failed(agents, call->agent, answer->text);
    else if (call->probe && (outcome != HTTP_DONE || status >= 500))
        consul_agents_failed(agents, call->agent, answer->text);
    else if (outcome == HTTP_BROKEN || outcome == HTTP_TIMEOUT)
        consul_probe_now(&agents->consul->probe);
    else if (outcome == HTTP_DONE && status < 500)
        consul_agents_answered(agents, call->agent);
}

static void call_done(void *userdata, enum http_outcome outcome,
                      const struct http_response *response, const char *body, size_t size,
                      const char *text)
{
    struct consul_call *call = userdata;
    struct consul_agents *agents = &call->consul->agents;
    struct consul_answer answer = {.body = body, .size = size, .response = response};
    unsigned agent = call->agent;

    call->http = NULL;
    if (outcome == HTTP_DONE || response->status == 429)
        judge_status(agents, response->status, &answer);
    else
        judge_outcome(outcome, text, &answer);
    agents->delivering = call;
    if (!call->aside)
        judge_agent(agents, call, outcome, response->status, &answer);
    agents->items[agent].open -= !call->aside;
    if (agents->delivering != call)
        return; /* cancelled by who heard that the registry is up; maybe gone */
    agents->delivering = NULL;
    if (answer.verdict == CONSUL_ANSWERED && !call->probe && !call->aside)
        consul_agents_note_degraded(agents, answer.degraded);
    answer.elsewhere = answer.elsewhere && consul_agents_has_another(agents, agent);
    call->done(call, &answer);
    if (answer.new_token)
        consul_new_token(agents->consul);
}

static const struct http_handler call_handler = {.on_done = call_done};

/* ---- calls ---- */

/* A growing URL; too long is noticed at the end. */
struct url {
    char text[URL_MAX];
    size_t size;
    char mark;
};

static void _printf_(2, 3) url_add(struct url *url, const char *format, ...)
{
    va_list arguments;
    int r;

    if (url->size >= sizeof(url->text))
        return;
    va_start(arguments, format);
    r = vsnprintf(url->text + url->size, sizeof(url->text) - url->size, format, arguments);
    va_end(arguments);
    url->size += (size_t)r;
}

static void url_parameter(struct url *url, const char *name, const char *value)
{
    if (!value || value[0] == '\0')
        return;
    url_add(url, "%c%s=%s", url->mark, name, value);
    url->mark = '&';
}

static void url_flag(struct url *url, const char *name)
{
    url_add(url, "%c%s", url->mark, name);
    url->mark = '&';
}

/* Where to look: the key's own words, else the configured tenancy. */
static void url_place(struct url *url, const struct consul_key *key,
                      const struct consul_settings *settings)
{
    url_parameter(url, "dc", key->datacenter);
    url_parameter(url, "ns", key->namespace[0] ? key->namespace : settings->namespace);
    url_parameter(url, "partition", key->partition[0] ? key->partition : settings->partition);
    url_parameter(url, "peer", key->peer);
    url_parameter(url, "sameness-group", key->sameness_group);
    if (settings->consistency == CONSUL_STALE)
        url_flag(url, "stale");
    else if (settings->consistency == CONSUL_CONSISTENT)
        url_flag(url, "consistent");
}

static int make_url(const struct consul_agents *agents, const struct consul_agent *agent,
                    const struct consul_request *request, struct url *url)
{
    const struct consul_settings *settings = settings_of(agents);
    char number[32];

    *url = (struct url){.mark = '?'};
    url_add(url, "%s%s", agent->base, request->path);
    if (request->key)
        url_place(url, request->key, settings);
    if (request->index > 0) {
        snprintf(number, sizeof(number), "%llu", (unsigned long long)request->index);
        url_parameter(url, "index", number);
        snprintf(number, sizeof(number), "%llums",
                 (unsigned long long)(settings->wait / USEC_PER_MSEC));
        url_parameter(url, "wait", number);
    }
    return url->size < sizeof(url->text) ? 0 : -ENAMETOOLONG;
}

static int choose_agent(const struct consul_agents *agents, const struct consul_request *request)
{
    unsigned good = 0, skip;

    if (request->agent >= 0)
        return request->agent;
    for (unsigned i = 0; i < agents->count; i++)
        good += !agents->items[i].failing;
    if (good == 0)
        return -EHOSTDOWN;
    skip = request->attempt % good;
    for (unsigned i = agents->current;; i = (i + 1) % agents->count)
        if (!agents->items[i].failing && skip-- == 0)
            return (int)i;
}

/* Consul answers a blocking call after its wait plus up to a sixteenth of it. */
static usec_t longest_wait(const struct consul_agents *agents)
{
    return settings_of(agents)->wait / 16 * 17;
}

static usec_t timeout_of(const struct consul_agents *agents, const struct consul_call *call,
                         const struct consul_request *request)
{
    if (call->probe)
        return PROBE_TIMEOUT;
    return request->index > 0 ? longest_wait(agents) + CALL_OVERTIME : READ_TIMEOUT;
}

int consul_call_start(struct consul_call *call, const struct consul_request *request)
{
    struct consul_agents *agents = &call->consul->agents;
    struct http_tls tls = server_tls_for_call(&settings_of(agents)->tls);
    struct http_header token = {"X-Consul-Token", agents->token};
    int agent = choose_agent(agents, request), r;
    struct url url;

    if (agents->down && !call->probe)
        return -EHOSTDOWN;
    r = agent < 0 ? agent : make_url(agents, &agents->items[agent], request, &url);
    if (r < 0)
        return r;
    r = env_http_start(env_of(agents),
                       &(struct http_request){
                           .url = url.text,
                           .unix_socket = agents->items[agent].unix_socket,
                           .headers = &token,
                           .header_count = agents->token ? 1 : 0,
                           .tls = &tls,
                           .timeout = timeout_of(agents, call, request),
                           .max_body = request->max_body,
                           .multiplex = true,
                           .fresh = request->fresh,
                           .handler = &call_handler,
                           .userdata = call,
                       },
                       &call->http);
    if (r < 0)
        return r;
    call->agent = (unsigned)agent;
    call->blocks = request->index > 0;
    call->since = env_now(env_of(agents));
    call->held_until = call->since + longest_wait(agents);
    agents->items[agent].open += !call->aside;
    return 0;
}

void consul_call_cancel(struct consul_call *call)
{
    struct consul_agents *agents = &call->consul->agents;

    if (agents->delivering == call)
        agents->delivering = NULL;
    if (!call->http)
        return;
    env_of(agents)->ops->http_cancel(env_of(agents), call->http);
    call->http = NULL;
    agents->items[call->agent].open -= !call->aside;
    if (call->blocks)
        consul_agents_abandon(agents, call->agent, call->held_until);
}

bool consul_call_is_open(const struct consul_call *call)
{
    return call->http || call->consul->agents.delivering == call;
}
