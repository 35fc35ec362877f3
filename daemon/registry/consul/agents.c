/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Consul agents of one registry (agents.h). */
#include "daemon/registry/consul/agents.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "daemon/config.h"
#include "daemon/log.h"
#include "daemon/registry/consul/consul.h"

enum {
    URL_MAX = 2048,
    LIMIT_LEAST = 4,
    CROWD = 16, /* this many calls may be what a connection limit refuses */
};
#define LIMIT_TIME    (600 * USEC_PER_SEC)
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

/* ---- token ---- */

bool consul_agents_read_token(struct consul_agents *agents)
{
    const char *path = settings_of(agents)->token_file;
    char *token = NULL;
    bool changed;
    int r;

    if (!path)
        return false;
    r = config_secret_read(path, &token);
    if (r < 0 && r != agents->token_error)
        env_log(env_of(agents), LOG_ERR, NULL, "TokenFile=%s cannot be used: %s; %s", path,
                r == -EBADMSG ? "it holds no token" : strerror(-r),
                agents->token ? "using the token it held" : "asking nothing until it can");
    changed = r >= 0 && (!agents->token || !streq(agents->token, token));
    if (r >= 0 && agents->token_error < 0)
        env_log(env_of(agents), LOG_NOTICE, NULL, "TokenFile=%s can be used again", path);
    agents->token_error = r < 0 ? r : 0;
    if (!changed) {
        config_secret_free(token);
        return false;
    }
    config_secret_free(agents->token);
    agents->token = token;
    return true;
}

/* ---- up and down ---- */

static bool token_missing(const struct consul_agents *agents)
{
    return agents->token_error < 0 && !agents->token;
}

static bool all_failing(const struct consul_agents *agents)
{
    for (unsigned i = 0; i < agents->count; i++)
        if (!agents->items[i].failing)
            return false;
    return true;
}

const char *consul_agents_text(const struct consul_agents *agents)
{
    if (token_missing(agents))
        return "the token file cannot be read";
    return all_failing(agents) ? agents->failing_text : "";
}

static void report_down(struct env_timer *timer)
{
    struct consul_agents *agents = timer->owner;
    const char *text = consul_agents_text(agents);

    env_log(env_of(agents), LOG_WARNING, NULL, "down: %s", text);
    env_report(env_of(agents), &(struct registry_report){.kind = REPORT_DOWN, .text = text});
}

/* Tells the core and the rest of the type what has become of the whole. */
static void agents_judge(struct consul_agents *agents)
{
    bool down = consul_agents_text(agents)[0] != '\0';

    if (down && !agents->down) {
        agents->down = true;
        agents->up = false;
        env_defer(env_of(agents), &agents->down_timer);
        consul_went_down(agents->consul);
    } else if (!down && agents->answered && !agents->up) {
        agents->up = true;
        agents->down = false;
        env_timer_off(env_of(agents), &agents->down_timer);
        env_log(env_of(agents), LOG_NOTICE, NULL, "up: agent %s answers",
                agents->items[agents->current].shown);
        env_report(env_of(agents), &(struct registry_report){.kind = REPORT_UP});
        consul_came_up(agents->consul);
    }
}

static void token_changed(void *userdata)
{
    struct consul_agents *agents = userdata;

    if (!consul_agents_read_token(agents))
        return;
    if (!agents->down) {
        consul_ask_all_again(agents->consul);
        return;
    }
    agents_judge(agents);
    consul_probe_now(&agents->consul->probe);
}

void consul_agents_retry_token(struct consul_agents *agents)
{
    if (agents->token_error < 0)
        token_changed(agents);
}

/* The first agent that is not failing, or the current one when all are. */
static unsigned best_agent(const struct consul_agents *agents)
{
    for (unsigned i = 0; i < agents->count; i++)
        if (!agents->items[i].failing)
            return i;
    return agents->current;
}

static void agent_fails(struct consul_agents *agents, unsigned index, const char *text)
{
    struct consul_agent *agent = &agents->items[index];

    if (agent->failing)
        return;
    agent->failing = true;
    agents->current = best_agent(agents);
    snprintf(agents->failing_text, sizeof(agents->failing_text), "%s%.100s: %.120s",
             agents->count > 1 ? "no agent answers, last " : "", agent->shown, text);
    agents->answered = !all_failing(agents);
    if (agents->answered)
        env_log(env_of(agents), LOG_WARNING, NULL, "agent %s fails (%s); using %s", agent->shown,
                text, agents->items[agents->current].shown);
    consul_agent_failed(agents->consul, index);
    agents_judge(agents);
}

static void agent_answers(struct consul_agents *agents, unsigned index)
{
    bool failed = agents->items[index].failing;

    if (!failed && agents->answered)
        return;
    agents->items[index].failing = false;
    agents->answered = true;
    agents->current = best_agent(agents);
    if (failed && agents->up)
        env_log(env_of(agents), LOG_NOTICE, NULL, "agent %s answers again; using %s",
                agents->items[index].shown, agents->items[agents->current].shown);
    agents_judge(agents);
}

/* ---- limit on calls ---- */

unsigned consul_agents_limit(struct consul_agents *agents)
{
    unsigned configured = settings_of(agents)->max_watches;

    if (agents->limit < configured && env_now(env_of(agents)) >= agents->limited_until)
        agents->limit = configured;
    return agents->limit;
}

unsigned consul_agents_open(const struct consul_agents *agents)
{
    unsigned open = 0;

    for (unsigned i = 0; i < agents->count; i++)
        open += agents->items[i].open;
    return open;
}

/* The agent refused a connection: it has a limit, which it shares out among all programs of the
 * host. */
static void lower_limit(struct consul_agents *agents)
{
    unsigned open = consul_agents_open(agents), limit = open - open / 8;

    limit = limit < LIMIT_LEAST ? LIMIT_LEAST : limit;
    agents->limited_until = env_now(env_of(agents)) + LIMIT_TIME;
    if (limit >= agents->limit)
        return;
    if (agents->limit == settings_of(agents)->max_watches)
        env_log(env_of(agents), LOG_WARNING, NULL,
                "an agent refuses more connections; at most %u at a time for 10 min", limit);
    agents->limit = limit;
    consul_watches_shrink(&agents->consul->watches);
}

void consul_agents_kick(struct consul_agents *agents)
{
    agents->limited_until = 0;
    token_changed(agents);
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
    bool crowded = consul_agents_open(agents) >= CROWD && age < CROWD_AGE;

    if (status == 429 || (outcome == HTTP_BROKEN && status == 0 && crowded))
        lower_limit(agents);
    else if (outcome == HTTP_UNREACHABLE || outcome == HTTP_TLS)
        agent_fails(agents, call->agent, answer->text);
    else if (call->probe && (outcome != HTTP_DONE || status >= 500))
        agent_fails(agents, call->agent, answer->text);
    else if (outcome == HTTP_BROKEN || outcome == HTTP_TIMEOUT)
        consul_probe_now(&agents->consul->probe);
    else if (outcome == HTTP_DONE && status < 500)
        agent_answers(agents, call->agent);
}

static bool another_agent(const struct consul_agents *agents, unsigned index)
{
    for (unsigned i = 0; i < agents->count; i++)
        if (i != index && !agents->items[i].failing)
            return true;
    return false;
}

static void note_degraded(struct consul_agents *agents, bool degraded)
{
    if (agents->degraded == degraded)
        return;
    agents->degraded = degraded;
    env_log(env_of(agents), degraded ? LOG_WARNING : LOG_NOTICE, NULL,
            degraded ? "the Consul server that answers has lost its leader; its data may be old"
                     : "the Consul server that answers is in touch with its leader again");
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
    judge_agent(agents, call, outcome, response->status, &answer);
    agents->items[agent].open--;
    if (agents->delivering != call)
        return; /* cancelled by who heard that the registry is up; maybe gone */
    agents->delivering = NULL;
    if (answer.verdict == CONSUL_ANSWERED && !call->probe)
        note_degraded(agents, answer.degraded);
    answer.elsewhere = answer.elsewhere && another_agent(agents, agent);
    call->done(call, &answer);
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

static struct http_tls make_tls(const struct consul_settings *settings)
{
    return (struct http_tls){
        .ca_file = settings->ca_file,
        .cert_file = settings->cert_file,
        .key_file = settings->key_file,
        .server_name = settings->tls_server_name,
        .insecure = !settings->tls_verify,
    };
}

/* Consul answers a blocking call after its wait plus up to a sixteenth of it. */
static usec_t timeout_of(const struct consul_agents *agents, const struct consul_call *call,
                         const struct consul_request *request)
{
    usec_t wait = settings_of(agents)->wait;

    if (call->probe)
        return PROBE_TIMEOUT;
    return request->index > 0 ? wait / 16 * 17 + CALL_OVERTIME : READ_TIMEOUT;
}

int consul_call_start(struct consul_call *call, const struct consul_request *request)
{
    struct consul_agents *agents = &call->consul->agents;
    struct http_tls tls = make_tls(settings_of(agents));
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
                           .handler = &call_handler,
                           .userdata = call,
                       },
                       &call->http);
    if (r < 0)
        return r;
    call->agent = (unsigned)agent;
    call->since = env_now(env_of(agents));
    agents->items[agent].open++;
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
    agents->items[call->agent].open--;
}

bool consul_call_is_open(const struct consul_call *call)
{
    return call->http || call->consul->agents.delivering == call;
}

/* ---- life ---- */

static int agent_init(struct consul_agent *agent, const char *url)
{
    bool is_unix = strncmp(url, "unix://", 7) == 0;
    size_t size;

    agent->shown = strdup(url);
    agent->unix_socket = is_unix ? strdup(url + 7) : NULL;
    agent->base = strdup(is_unix ? "http://localhost" : url);
    if (!agent->shown || !agent->base || (is_unix && !agent->unix_socket))
        return -ENOMEM;
    size = strlen(agent->base);
    while (size > 0 && agent->base[size - 1] == '/')
        agent->base[--size] = '\0';
    return 0;
}

int consul_agents_init(struct consul_agents *agents, struct consul *consul)
{
    const struct consul_settings *settings = consul_settings_of(consul->registry.config);
    char *const *urls = consul_settings_urls(settings);
    unsigned count = 0;
    int r;

    *agents = (struct consul_agents){.consul = consul, .limit = settings->max_watches};
    agents->down_timer = (struct env_timer){.fire = report_down, .owner = agents};
    while (urls[count])
        count++;
    agents->items = calloc(count, sizeof(*agents->items));
    if (!agents->items)
        return -ENOMEM;
    for (; agents->count < count; agents->count++) {
        r = agent_init(&agents->items[agents->count], urls[agents->count]);
        if (r < 0) {
            agents->count++;
            return r;
        }
    }
    consul_agents_read_token(agents);
    agents_judge(agents);
    if (settings->token_file)
        env_of(agents)->ops->path_watch(env_of(agents), settings->token_file, token_changed, agents,
                                        &agents->token_watch);
    return 0;
}

void consul_agents_done(struct consul_agents *agents)
{
    if (!agents->consul)
        return;
    env_timer_off(env_of(agents), &agents->down_timer);
    if (agents->token_watch)
        env_of(agents)->ops->path_unwatch(env_of(agents), agents->token_watch);
    agents->token_watch = NULL;
    agents->token = config_secret_free(agents->token);
    for (unsigned i = 0; i < agents->count; i++) {
        free(agents->items[i].shown);
        free(agents->items[i].base);
        free(agents->items[i].unix_socket);
    }
    free(agents->items);
    agents->items = NULL;
    agents->count = 0;
}

void consul_agents_describe(const struct consul_agents *agents, json_t *object)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < agents->count; i++) {
        const struct consul_agent *agent = &agents->items[i];
        const char *state = agent->failing         ? "failing"
                            : i == agents->current ? "current"
                                                   : "standby";

        json_array_append_new(list, json_pack("{s:s, s:s, s:i}", "url", agent->shown, "state",
                                              state, "calls", (int)agent->open));
    }
    json_object_set_new(object, "agents", list);
    json_object_set_new(object, "limit", json_integer(agents->limit));
    json_object_set_new(object, "throttled",
                        json_boolean(agents->limit < settings_of(agents)->max_watches));
    json_object_set_new(object, "degraded", json_boolean(agents->degraded));
    if (consul_agents_text(agents)[0])
        json_object_set_new(object, "error", json_string(consul_agents_text(agents)));
}
