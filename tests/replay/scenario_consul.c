/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small model of a Consul agent: services with instances and health, the index that moves with
 * every change, blocking queries that park until their wait is over or something changes. What it
 * says has the shape of a real agent's answers (tests/replay/recordings/consul), which scenario.c
 * checks.
 */
#include "daemon/config_item.h"
#include "tests/replay/scenario_machine.h"
#include "tests/replay/scenario_server.h"

#include <inttypes.h>
#include <stdio.h>
#include <utlist.h>

#define WAIT_DEFAULT (300 * USEC_PER_SEC)
#define WAIT_MAX     (600 * USEC_PER_SEC)

struct thing { /* a service, or a prepared query */
    char name[NAME_SIZE];
    bool query;
    struct instance instances[64];
    size_t count;
    uint64_t index;
    char ttl[32]; /* of a query, as Consul writes it */
    struct thing *prev, *next;
};

struct agent {
    uint64_t index;           /* of the newest change */
    uint64_t catalogue_index; /* of the newest change of the services' table */
    uint64_t removed_index;   /* when the last instance of any service went */
    uint64_t generation;      /* a restored snapshot wakes everybody */
    struct thing *things;
    bool filtered;   /* the token has no rights any more */
    bool quiet;      /* and nothing says so: servers before 1.11 */
    bool blank;      /* just restarted: knows nothing yet */
    bool leaderless; /* the server that answers is out of touch */
};

static void agent_init(struct server *server, void *state)
{
    struct agent *agent = state;

    (void)server;
    agent->index = agent->catalogue_index = agent->removed_index = 10;
}

static void agent_done(void *state)
{
    struct agent *agent = state;
    struct thing *thing, *next;

    DL_FOREACH_SAFE (agent->things, thing, next)
        free(thing);
}

static struct thing *thing_find(const struct agent *agent, const char *name, bool query)
{
    struct thing *thing;

    DL_FOREACH (agent->things, thing)
        if (streq(thing->name, name) && thing->query == query)
            return thing;
    return NULL;
}

/* ---- documents ---- */

static json_t *node_document(const struct instance *instance)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:{s:s}, s:{}, s:i, s:i}", "ID",
                     "cbbd6b2a-438b-d859-1b40-eb3dd8d7cc1b", "Node", "node-1", "Address",
                     instance->host ? "10.255.0.1" : instance->address, "Datacenter", "dc1",
                     "TaggedAddresses", "lan", instance->host ? "10.255.0.1" : instance->address,
                     "Meta", "CreateIndex", 10, "ModifyIndex", 10);
}

static json_t *tags_document(const struct instance *instance)
{
    json_t *tags = json_array();

    for (size_t i = 0; i < ELEMENTS(instance->tags) && instance->tags[i][0]; i++)
        json_array_append_new(tags, json_string(instance->tags[i]));
    return tags;
}

static json_t *service_document(const struct thing *thing, const struct instance *instance)
{
    return json_pack("{s:s, s:s, s:o, s:s, s:{}, s:i, s:{s:i, s:i}, s:b, s:I, s:I}", "ID",
                     instance->address, "Service", thing->name, "Tags", tags_document(instance),
                     "Address", instance->address, "Meta", "Port", 7001, "Weights", "Passing",
                     (int)instance->weight, "Warning", 1, "EnableTagOverride", 0, "CreateIndex",
                     (json_int_t)thing->index, "ModifyIndex", (json_int_t)thing->index);
}

static json_t *checks_document(const struct thing *thing, const struct instance *instance)
{
    bool maintenance = streq(instance->health, "maintenance");
    char id[512];

    snprintf(id, sizeof(id), "%s:%s", maintenance ? "_service_maintenance" : "service",
             instance->address);
    return json_pack("[{s:s, s:s, s:s, s:s, s:s}, {s:s, s:s, s:s, s:s, s:s}]", "Node", "node-1",
                     "CheckID", "serfHealth", "Status", "passing", "ServiceID", "", "ServiceName",
                     "", "Node", "node-1", "CheckID", id, "Status",
                     maintenance ? "critical" : instance->health, "ServiceID", instance->address,
                     "ServiceName", thing->name);
}

static json_t *entries_document(const struct thing *thing)
{
    json_t *entries = json_array();

    for (size_t i = 0; thing && i < thing->count; i++)
        json_array_append_new(
            entries, json_pack("{s:o, s:o, s:o}", "Node", node_document(&thing->instances[i]),
                               "Service", service_document(thing, &thing->instances[i]), "Checks",
                               checks_document(thing, &thing->instances[i])));
    return entries;
}

static json_t *catalogue_document(const struct agent *agent)
{
    const struct thing *thing;
    json_t *names = json_object();

    if (agent->filtered)
        return names;
    json_object_set_new(names, "consul", json_array());
    DL_FOREACH (agent->things, thing)
        if (!thing->query && !agent->blank && thing->count > 0)
            json_object_set_new(names, thing->name, tags_document(&thing->instances[0]));
    return names;
}

static json_t *query_document(const struct thing *thing)
{
    json_t *nodes = entries_document(thing);
    size_t i = json_array_size(nodes);

    /* Critical ones are never in the answer. */
    while (i-- > 0)
        if (streq(thing->instances[i].health, "critical"))
            json_array_remove(nodes, i);
    return json_pack("{s:s, s:o, s:{s:s}, s:s, s:i}", "Service", thing->name, "Nodes", nodes, "DNS",
                     "TTL", thing->ttl, "Datacenter", "dc1", "Failovers", 0);
}

static json_t *self_document(void)
{
    return json_pack("{s:{s:s, s:s, s:b, s:s}, s:{}}", "Config", "Datacenter", "dc1", "NodeName",
                     "node-1", "Server", 0, "Version", "1.8.7", "Meta");
}

static json_t *roots_document(void)
{
    return json_pack("{s:s, s:s, s:[{s:s, s:b}]}", "ActiveRootID", "93:ef", "TrustDomain",
                     "13c5ad10-f966-9595-817e-83a0454e277b.consul", "Roots", "ID", "93:ef",
                     "Active", 1);
}

/* ---- answers ---- */

/* Takes `document`. */
static void reply(const struct agent *agent, struct asked *asked, uint64_t index, json_t *document)
{
    char headers[256], *body = json_dumps(document, JSON_COMPACT | JSON_ENCODE_ANY);

    snprintf(headers, sizeof(headers),
             "Content-Type: application/json\nX-Consul-Index: %" PRIu64
             "\nX-Consul-Knownleader: %s\nX-Consul-Lastcontact: %s%s",
             index, agent->leaderless ? "false" : "true", agent->leaderless ? "120000" : "0",
             agent->filtered && !agent->quiet ? "\nX-Consul-Results-Filtered-By-ACLs: true" : "");
    server_reply(asked, 200, headers, body);
    json_decref(document);
    free(body);
}

static const char *parameter(const char *url, const char *name)
{
    size_t length = strlen(name);

    for (const char *at = strpbrk(url, "?&"); at; at = strpbrk(at + 1, "?&"))
        if (strncmp(at + 1, name, length) == 0 && at[1 + length] == '=')
            return at + length + 2;
    return NULL;
}

/* Parks a blocking query; false: it is to be answered. */
static bool park(struct agent *agent, struct asked *asked, uint64_t index)
{
    const char *url = asked_url(asked), *wanted = parameter(url, "index"),
               *wait = parameter(url, "wait");
    usec_t duration = wait ? strtoull(wait, NULL, 10) * USEC_PER_MSEC : WAIT_DEFAULT;
    usec_t now = server_now(asked->server);

    if (!wanted || strtoull(wanted, NULL, 10) == 0 || index > strtoull(wanted, NULL, 10))
        return false;
    if (asked->parked && (now >= asked->deadline || asked->mark != agent->generation))
        return false;
    if (asked->parked) {
        server_park(asked, asked->deadline);
        return true;
    }
    duration = duration > WAIT_MAX ? WAIT_MAX : duration;
    asked->mark = agent->generation;
    server_park(asked, now + duration + server_random(asked->server) % (duration / 16 + 1));
    return true;
}

static void answer_health(struct agent *agent, struct asked *asked, const char *name)
{
    const struct thing *thing = thing_find(agent, name, false);
    uint64_t index = thing ? thing->index : agent->removed_index;

    if (!park(agent, asked, index))
        reply(agent, asked, index,
              agent->filtered || agent->blank ? json_array() : entries_document(thing));
}

static void answer_query(struct agent *agent, struct asked *asked, const char *name)
{
    const struct thing *thing = thing_find(agent, name, true);

    if (thing)
        reply(agent, asked, 1, query_document(thing));
    else
        server_reply(asked, 404, "Content-Type: text/plain; charset=utf-8", "Query not found");
}

/* What follows `prefix` in the path, without `suffix`; NULL: another path. */
static const char *path_rest(const char *url, const char *prefix, const char *suffix)
{
    static char rest[NAME_SIZE];
    size_t size;

    if (strncmp(url, prefix, strlen(prefix)) != 0)
        return NULL;
    url += strlen(prefix);
    size = strcspn(url, "?");
    if (size < strlen(suffix) || strncmp(url + size - strlen(suffix), suffix, strlen(suffix)) != 0)
        return NULL;
    snprintf(rest, sizeof(rest), "%.*s", (int)(size - strlen(suffix)), url);
    return rest;
}

static void agent_answer(struct server *server, void *state, struct asked *asked)
{
    struct agent *agent = state;
    const char *url = asked_url(asked), *rest;

    (void)server;
    if (path_rest(url, "/v1/status/leader", ""))
        server_reply(asked, 200, "Content-Type: application/json", "\"10.0.0.5:8300\"");
    else if (path_rest(url, "/v1/agent/self", ""))
        reply(agent, asked, 1, self_document());
    else if (path_rest(url, "/v1/agent/connect/ca/roots", ""))
        reply(agent, asked, 1, roots_document());
    else if ((rest = path_rest(url, "/v1/catalog/node/", "")))
        reply(agent, asked, 1, json_null());
    else if ((rest = path_rest(url, "/v1/health/service/", "")))
        answer_health(agent, asked, rest);
    else if ((rest = path_rest(url, "/v1/query/", "/execute")))
        answer_query(agent, asked, rest);
    else if (!path_rest(url, "/v1/catalog/services", ""))
        server_reply(asked, 404, NULL, "");
    else if (!park(agent, asked, agent->catalogue_index))
        reply(agent, asked, agent->catalogue_index, catalogue_document(agent));
}

/* ---- what a scenario says ---- */

static bool set_instances(struct thing *thing, char *const *words, size_t count)
{
    thing->count = 0;
    for (size_t i = 0; i < count; i++)
        if (thing->count == ELEMENTS(thing->instances) ||
            !instance_parse(words[i], &thing->instances[thing->count++]))
            return false;
    return true;
}

static struct thing *thing_get(struct agent *agent, const char *name, bool query)
{
    struct thing *thing = thing_find(agent, name, query);

    if (thing)
        return thing;
    thing = calloc(1, sizeof(*thing));
    if (!thing)
        abort();
    snprintf(thing->name, sizeof(thing->name), "%s", name);
    thing->query = query;
    DL_APPEND(agent->things, thing);
    return thing;
}

/* has NAME INSTANCE...: and no others. */
static bool say_has(struct server *server, struct agent *agent, char *const *words, size_t count)
{
    struct thing *thing = thing_get(agent, words[0], false);

    if (!set_instances(thing, words + 1, count - 1))
        return false;
    thing->index = agent->catalogue_index = ++agent->index;
    server_wake(server);
    return true;
}

static bool say_loses(struct server *server, struct agent *agent, const char *name)
{
    struct thing *thing = thing_find(agent, name, false);

    if (!thing)
        return false;
    DL_DELETE(agent->things, thing);
    free(thing);
    agent->catalogue_index = agent->removed_index = ++agent->index;
    server_wake(server);
    return true;
}

/* query NAME TTL INSTANCE... */
static bool say_query(struct agent *agent, char *const *words, size_t count)
{
    struct thing *thing = thing_get(agent, words[0], true);

    snprintf(thing->ttl, sizeof(thing->ttl), "%s", words[1]);
    return set_instances(thing, words + 2, count - 2);
}

/* Its servers restored a snapshot, or it restarted: the index begins anew. */
static void set_index(struct agent *agent, uint64_t index)
{
    struct thing *thing;

    agent->index = agent->catalogue_index = agent->removed_index = index;
    agent->generation++;
    DL_FOREACH (agent->things, thing)
        thing->index = index;
}

/* restarts [empty] [index N] */
static bool say_restarts(struct server *server, struct agent *agent, char *const *words,
                         size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (streq(words[i], "empty"))
            agent->blank = true;
        else if (streq(words[i], "index") && i + 1 < count)
            set_index(agent, strtoull(words[++i], NULL, 10));
        else
            return false;
    }
    server_break(server);
    return true;
}

static void touch_all(struct server *server, struct agent *agent)
{
    struct thing *thing;

    DL_FOREACH (agent->things, thing)
        thing->index = ++agent->index;
    agent->catalogue_index = ++agent->index;
    server_wake(server);
}

static bool say_flag(struct server *server, struct agent *agent, char *const *words, size_t count)
{
    if (count == 1 && streq(words[0], "filters"))
        agent->filtered = true;
    else if (count == 2 && streq(words[0], "filters") && streq(words[1], "silently"))
        agent->filtered = agent->quiet = true;
    else if (count == 2 && streq(words[0], "shows") && streq(words[1], "all"))
        agent->filtered = agent->quiet = false;
    else if (count == 1 && streq(words[0], "syncs"))
        agent->blank = false;
    else if (count == 2 && streq(words[0], "loses-leader"))
        agent->leaderless = streq(words[1], "yes");
    else
        return false;
    touch_all(server, agent);
    return true;
}

static bool agent_say(struct server *server, void *state, char *const *words, size_t count)
{
    struct agent *agent = state;

    if (count >= 2 && streq(words[0], "has"))
        return say_has(server, agent, words + 1, count - 1);
    if (count == 2 && streq(words[0], "loses"))
        return say_loses(server, agent, words[1]);
    if (count >= 3 && streq(words[0], "query"))
        return say_query(agent, words + 1, count - 1);
    if (count >= 1 && streq(words[0], "restarts"))
        return say_restarts(server, agent, words, count);
    if (count == 2 && streq(words[0], "index")) {
        set_index(agent, strtoull(words[1], NULL, 10));
        server_wake(server);
        return true;
    }
    if (count == 1 && streq(words[0], "wakes")) {
        agent->generation++;
        server_wake(server);
        return true;
    }
    return say_flag(server, agent, words, count);
}

const struct model scenario_model_consul = {
    .type = "consul",
    .size = sizeof(struct agent),
    .init = agent_init,
    .done = agent_done,
    .say = agent_say,
    .answer = agent_answer,
};
