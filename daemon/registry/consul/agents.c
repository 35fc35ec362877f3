/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Consul agents of one registry (agents.h). */
#include "daemon/registry/consul/agents.h"

#include <stdio.h>

#include "daemon/config.h"
#include "daemon/log.h"
#include "daemon/registry/consul/consul.h"

enum { LIMIT_LEAST = 4, ABANDONED_MAX = 1000 };
#define REPLAY_TIME (5 * USEC_PER_SEC)
#define LIMIT_TIME  (600 * USEC_PER_SEC)

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

bool consul_agents_are_back(const struct consul_agents *agents)
{
    return agents->back > 0 && env_now(env_of(agents)) < usec_add(agents->back, REPLAY_TIME);
}

static void report_down(struct env_timer *timer)
{
    struct consul_agents *agents = timer->owner;

    env_report(env_of(agents),
               &(struct registry_report){.kind = REPORT_DOWN, .text = consul_agents_text(agents)});
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
        if (agents->down)
            agents->back = env_now(env_of(agents));
        agents->down = false;
        env_timer_off(env_of(agents), &agents->down_timer);
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
        consul_new_token(agents->consul);
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

void consul_agents_failed(struct consul_agents *agents, unsigned index, const char *text)
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

void consul_agents_answered(struct consul_agents *agents, unsigned index)
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

bool consul_agents_has_another(const struct consul_agents *agents, unsigned index)
{
    for (unsigned i = 0; i < agents->count; i++)
        if (i != index && !agents->items[i].failing)
            return true;
    return false;
}

void consul_agents_note_degraded(struct consul_agents *agents, bool degraded)
{
    if (agents->degraded == degraded)
        return;
    agents->degraded = degraded;
    env_log(env_of(agents), degraded ? LOG_WARNING : LOG_NOTICE, NULL,
            degraded ? "the Consul server that answers has lost its leader; its data may be old"
                     : "the Consul server that answers is in touch with its leader again");
}

/* ---- limit on calls ---- */

static unsigned count_abandoned(struct consul_agents *agents)
{
    usec_t now = env_now(env_of(agents));
    unsigned count = 0;

    for (unsigned i = 0; i < agents->count; i++) {
        struct consul_agent *agent = &agents->items[i];
        unsigned kept = 0;

        for (unsigned k = 0; k < agent->abandoned_count; k++)
            if (agent->abandoned[k] > now)
                agent->abandoned[kept++] = agent->abandoned[k];
        agent->abandoned_count = kept;
        count += kept;
    }
    return count;
}

void consul_agents_abandon(struct consul_agents *agents, unsigned index, usec_t until)
{
    struct consul_agent *agent = &agents->items[index];
    usec_t *grown = NULL;

    if (count_abandoned(agents) < ABANDONED_MAX)
        grown = reallocarray(agent->abandoned, agent->abandoned_count + 1, sizeof(*grown));
    if (!grown)
        return;
    agent->abandoned = grown;
    grown[agent->abandoned_count++] = until;
}

void consul_agents_forget_abandoned(struct consul_agents *agents, unsigned index)
{
    agents->items[index].abandoned_count = 0;
}

unsigned consul_agents_limit(struct consul_agents *agents)
{
    unsigned configured = settings_of(agents)->max_watches, abandoned = count_abandoned(agents);

    if (agents->limit < configured && env_now(env_of(agents)) >= agents->limited_until)
        agents->limit = configured;
    if (abandoned == 0)
        return agents->limit;
    return agents->limit > abandoned + LIMIT_LEAST ? agents->limit - abandoned : LIMIT_LEAST;
}

unsigned consul_agents_open(const struct consul_agents *agents)
{
    unsigned open = 0;

    for (unsigned i = 0; i < agents->count; i++)
        open += agents->items[i].open;
    return open;
}

unsigned consul_agents_held(struct consul_agents *agents)
{
    return consul_agents_open(agents) + count_abandoned(agents);
}

void consul_agents_lower_limit(struct consul_agents *agents)
{
    unsigned held = consul_agents_held(agents), limit = held - held / 8;

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

void consul_agents_reload(struct consul_agents *agents)
{
    agents->limit = settings_of(agents)->max_watches;
    consul_watches_shrink(&agents->consul->watches);
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
        free(agents->items[i].abandoned);
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
