/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry type `script`, of tests only: an asking one, which answers with a TTL, so that the
 * core's rules for asking registries have one to be tested with. NAME.<domain> is the key NAME,
 * TAG.tag.NAME picks a tag. It asks its server by HTTP: GET /KEY, which answers 200 with the TTL in
 * microseconds and a line of instances (none: empty), or 404 with a TTL. And that server's model.
 */
#include "daemon/config_item.h"
#include "daemon/registry/consul/consul.h"
#include "daemon/registry/dns/dns.h"
#include "daemon/registry/local.h"
#include "tests/replay/scenario_server.h"

#include <inttypes.h>
#include <stdio.h>
#include <utlist.h>

#define TIMEOUT (5 * USEC_PER_SEC)

/* ---- the type ---- */

struct script {
    struct registry registry;
    struct question *questions;
};

struct question {
    struct script *script;
    struct http_call *call;
    struct question *prev, *next;
    char key[];
};

static int script_start(struct registry *registry)
{
    (void)registry;
    return 0;
}

static int script_reload(struct registry *registry, const struct registry_config *config)
{
    (void)registry, (void)config;
    return 0;
}

static enum registry_meaning script_resolve(const struct registry *registry, const char *name,
                                            size_t relative, const char *domain,
                                            struct registry_target *ret_target)
{
    const char *tag;

    (void)registry, (void)domain;
    if (relative == 0)
        return REGISTRY_NO_DATA;
    if (strncmp(name, "x-", 2) == 0)
        return REGISTRY_NO_SUCH_NAME;
    *ret_target = (struct registry_target){0};
    snprintf(ret_target->key, sizeof(ret_target->key), "%.*s", (int)relative, name);
    tag = strstr(ret_target->key, ".tag.");
    if (tag) {
        ret_target->selector.kind = SELECT_TAG;
        snprintf(ret_target->selector.value, NAME_SIZE, "%.*s", (int)(tag - ret_target->key),
                 ret_target->key);
        memmove(ret_target->key, tag + 5, strlen(tag + 5) + 1);
    }
    return REGISTRY_TARGET;
}

static void add_instance(struct endpoint_builder *builder, const char *word)
{
    struct instance instance;
    struct address address;
    enum endpoint_health health = HEALTH_PASSING;

    if (!instance_parse(word, &instance))
        return;
    endpoint_builder_begin(builder, instance.address);
    if (instance.host)
        endpoint_builder_target(builder, instance.address);
    else if (address_from_string(instance.address, &address) >= 0)
        endpoint_builder_address(builder, &address);
    if (streq(instance.health, "warning"))
        health = HEALTH_WARNING;
    else if (streq(instance.health, "critical"))
        health = HEALTH_CRITICAL;
    else if (streq(instance.health, "terminating"))
        health = HEALTH_TERMINATING;
    endpoint_builder_health(builder, health);
    endpoint_builder_weight(builder, instance.weight);
    for (size_t i = 0; i < ELEMENTS(instance.tags) && instance.tags[i][0]; i++)
        endpoint_builder_tag(builder, instance.tags[i]);
}

static struct endpoint_set *parse_body(const char *body)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    struct endpoint_set *set = NULL;
    char *copy = strdup(body), *rest = copy, *word;

    while ((word = rest ? strsep(&rest, " ") : NULL))
        if (*word)
            add_instance(builder, word);
    free(copy);
    if (endpoint_builder_finish(builder, &set) < 0)
        abort();
    endpoint_builder_free(builder);
    return set;
}

static void report_failure(struct question *question, const struct http_response *response,
                           const char *text)
{
    const char *wish = http_response_header(response, "Retry-After");

    env_report(question->script->registry.env,
               &(struct registry_report){
                   .kind = REPORT_FAILED,
                   .key = question->key,
                   .failure = response->status == 429   ? FAILURE_THROTTLED
                              : response->status == 403 ? FAILURE_DENIED
                                                        : FAILURE_TRANSIENT,
                   .text = *text ? text : "the script says so",
                   .retry_after = wish ? strtoull(wish, NULL, 10) * USEC_PER_SEC : 0});
}

static void report_answer(struct question *question, const struct http_response *response,
                          const char *body)
{
    const char *suspect = http_response_header(response, "Suspect");
    struct registry_report report = {.key = question->key, .text = suspect};
    char *rest;

    report.validity = strtoull(body, &rest, 10);
    rest += strspn(rest, "\n ");
    if (response->status == 404) {
        report.kind = REPORT_ABSENT;
    } else if (strncmp(rest, "alias ", 6) == 0) {
        report.kind = REPORT_DATA;
        report.alias = rest + 6;
    } else {
        report.kind = suspect ? REPORT_SUSPECT : REPORT_DATA;
        report.endpoints = parse_body(rest);
    }
    env_report(question->script->registry.env, &report);
    endpoint_set_unref(report.endpoints);
}

static void question_done(void *userdata, enum http_outcome outcome,
                          const struct http_response *response, const char *body, size_t size,
                          const char *text)
{
    struct question *question = userdata;
    bool told = outcome == HTTP_DONE && (response->status == 200 || response->status == 404) &&
                size > 0 && body[0] >= '0' && body[0] <= '9';

    DL_DELETE(question->script->questions, question);
    if (told)
        report_answer(question, response, body);
    else
        report_failure(question, response, text);
    free(question);
}

/* Every wish is a call of its own: who asks twice is seen to. */
static int script_ask(struct registry *registry, const char *key)
{
    static const struct http_handler handler = {.on_done = question_done};
    struct script *script = (struct script *)registry;
    struct question *question = calloc(1, sizeof(*question) + strlen(key) + 1);
    char url[1024];

    if (!question)
        return -ENOMEM;
    question->script = script;
    strcpy(question->key, key);
    DL_APPEND(script->questions, question);
    snprintf(url, sizeof(url), "http://%s/%s", registry->config->name, key);
    return env_http_start(
        registry->env,
        &(struct http_request){
            .url = url, .timeout = TIMEOUT, .handler = &handler, .userdata = question},
        &question->call);
}

static void questions_cancel(struct script *script, const char *key)
{
    struct registry_env *env = script->registry.env;
    struct question *question, *next;

    DL_FOREACH_SAFE (script->questions, question, next) {
        if (key && !streq(question->key, key))
            continue;
        env->ops->http_cancel(env, question->call);
        DL_DELETE(script->questions, question);
        free(question);
    }
}

static void script_drop(struct registry *registry, const char *key)
{
    questions_cancel((struct script *)registry, key);
}

static void script_kick(struct registry *registry)
{
    (void)registry;
}

static void script_describe(const struct registry *registry, json_t *object)
{
    (void)registry, (void)object;
}

static void script_stop(struct registry *registry)
{
    questions_cancel((struct script *)registry, NULL);
}

static const struct config_item script_items[] = {{.key = NULL}};

static const struct registry_type registry_type_script = {
    .name = "script",
    .size = sizeof(struct script),
    .items = script_items,
    .settings_size = 1,
    .asks = true,
    .start = script_start,
    .reload = script_reload,
    .resolve = script_resolve,
    .want = script_ask,
    .refresh = script_ask,
    .drop = script_drop,
    .kick = script_kick,
    .describe = script_describe,
    .stop = script_stop,
};

/* The types of this program: it has a list of its own, so the daemon's is not linked in. */
const struct registry_type *const registry_types[] = {
    &registry_type_consul, &registry_type_dns, &registry_type_local, &registry_type_script, NULL,
};

/* ---- its server ---- */

struct answer_text {
    char key[NAME_SIZE];
    bool absent, suspect;
    usec_t ttl;
    char text[2048];
    struct answer_text *prev, *next;
};

struct script_model {
    struct answer_text *answers;
};

static void model_done(void *state)
{
    struct script_model *model = state;
    struct answer_text *answer, *next;

    DL_FOREACH_SAFE (model->answers, answer, next)
        free(answer);
}

static struct answer_text *answer_find(const struct script_model *model, const char *key)
{
    struct answer_text *answer;

    DL_FOREACH (model->answers, answer)
        if (streq(answer->key, key))
            return answer;
    return NULL;
}

static void model_answer(struct server *server, void *state, struct asked *asked)
{
    const struct answer_text *answer = answer_find(state, asked_url(asked) + 1);
    char body[4096];

    (void)server;
    if (!answer) {
        server_reply(asked, 404, NULL, "60000000");
        return;
    }
    snprintf(body, sizeof(body), "%" PRIu64 "\n%s", answer->ttl, answer->text);
    server_reply(asked, answer->absent ? 404 : 200, answer->suspect ? "Suspect: scripted" : NULL,
                 body);
}

/* has KEY [ttl TIME] INSTANCE... | has KEY [ttl TIME] alias HOST | lacks KEY [ttl TIME] |
 * suspects KEY INSTANCE... */
static bool model_say(struct server *server, void *state, char *const *words, size_t count)
{
    struct script_model *model = state;
    struct answer_text *answer;
    size_t at = 0;

    if (count < 2 ||
        (!streq(words[0], "has") && !streq(words[0], "lacks") && !streq(words[0], "suspects")))
        return false;
    answer = answer_find(model, words[1]);
    if (!answer) {
        answer = calloc(1, sizeof(*answer));
        snprintf(answer->key, sizeof(answer->key), "%s", words[1]);
        DL_APPEND(model->answers, answer);
    }
    answer->absent = streq(words[0], "lacks");
    answer->suspect = streq(words[0], "suspects");
    answer->ttl = 60 * USEC_PER_SEC;
    answer->text[0] = '\0';
    for (size_t i = 2; i < count; i++) {
        struct instance instance;

        if (streq(words[i], "ttl") && i + 1 < count &&
            config_duration_from_string(words[i + 1], &answer->ttl) >= 0) {
            i++;
            continue;
        }
        if (!streq(words[i], "alias") && !streq(words[i - 1], "alias") &&
            !instance_parse(words[i], &instance))
            server_fail(server, "'%s' is no instance", words[i]);
        at += (size_t)snprintf(answer->text + at, sizeof(answer->text) - at, "%s%s", at ? " " : "",
                               words[i]);
    }
    return true;
}

static const struct model model_script = {
    .type = "script",
    .size = sizeof(struct script_model),
    .done = model_done,
    .say = model_say,
    .answer = model_answer,
};

/* The local registry asks nobody but the services that it checks. */
static const struct model model_local = {.type = "local"};

extern const struct model scenario_model_consul;
const struct model *const scenario_models[] = {
    &scenario_model_consul,
    &model_local,
    &model_script,
    NULL,
};
