/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The names of all services (catalogue.h). */
#include "daemon/registry/consul/catalogue.h"

#include <uthash.h>

#include "daemon/log.h"
#include "daemon/registry/consul/consul.h"
#include "daemon/registry/consul/document.h"

enum { CATALOGUE_MAX = 16 << 20 };
#define DENIED_RETRY (60 * USEC_PER_SEC)
/* One call that shows whether the servers answer again, for all watches that failed with them. */
#define RETRY_MAX (10 * USEC_PER_SEC)

struct consul_catalogue_name {
    UT_hash_handle hh;
    char text[];
};

static struct registry_env *env_of(const struct consul_catalogue *catalogue)
{
    return catalogue->call.consul->registry.env;
}

static void plan(struct consul_catalogue *catalogue, usec_t delay)
{
    env_timer_set(env_of(catalogue), &catalogue->timer,
                  usec_add(env_now(env_of(catalogue)), delay));
}

/* ---- names ---- */

static struct consul_catalogue_name *names_free(struct consul_catalogue_name *names)
{
    struct consul_catalogue_name *name, *next;

    HASH_ITER (hh, names, name, next) {
        HASH_DEL(names, name);
        free(name);
    }
    return NULL;
}

static const struct consul_catalogue_name *names_find(const struct consul_catalogue_name *names,
                                                      const char *text)
{
    const struct consul_catalogue_name *name;

    HASH_FIND_STR(names, text, name);
    return name;
}

/* Names that no lookup can spell are left out. */
static int names_of(const json_t *services, struct consul_catalogue_name **ret_names)
{
    struct consul_catalogue_name *names = NULL, *name;
    char text[NAME_SIZE];
    const char *key;
    json_t *tags;

    json_object_foreach ((json_t *)services, key, tags) {
        size_t length = name_fold(key, SIZE_MAX, text, NULL);

        if (length == 0 || names_find(names, text))
            continue;
        name = malloc(sizeof(*name) + length + 1);
        if (!name) {
            names_free(names);
            return -ENOMEM;
        }
        memcpy(name->text, text, length + 1);
        HASH_ADD_STR(names, text, name);
    }
    *ret_names = names;
    return 0;
}

static bool names_equal(const struct consul_catalogue_name *a, struct consul_catalogue_name *b)
{
    const struct consul_catalogue_name *name;

    if (HASH_COUNT(a) != HASH_COUNT(b))
        return false;
    for (name = a; name; name = name->hh.next)
        if (!names_find(b, name->text))
            return false;
    return true;
}

/* ---- answers ---- */

/* Every datacentre lists its servers as "consul"; who does not see that sees not everything. */
static bool looks_partial(const struct consul_catalogue *catalogue, bool filtered)
{
    const struct consul_settings *settings = consul_settings_of(
        catalogue->call.consul->registry.config);
    bool tenant = settings->namespace || settings->partition;

    return filtered || !catalogue->names || (!tenant && !names_find(catalogue->names, "consul"));
}

static void decide(struct consul_catalogue *catalogue)
{
    if (catalogue->decided)
        return;
    catalogue->decided = true;
    env_report(env_of(catalogue), &(struct registry_report){.kind = REPORT_SYNCED});
}

static void failed(struct consul_catalogue *catalogue, const struct consul_answer *answer)
{
    unsigned tries = catalogue->pace.failures;
    usec_t delay = consul_pace_failed(&catalogue->pace);

    catalogue->index = 0;
    catalogue->live = false;
    if (delay > RETRY_MAX)
        delay = RETRY_MAX;
    if (answer->new_token ||
        (answer->elsewhere && tries + 1 < catalogue->call.consul->agents.count))
        delay = 0;
    else if (answer->failure == FAILURE_DENIED)
        delay = DENIED_RETRY;
    plan(catalogue, env_jitter(env_of(catalogue), delay, 20));
    consul_watches_catalogue_changed(&catalogue->call.consul->watches);
    consul_watches_catalogue_read(&catalogue->call.consul->watches);
    if (tries == 0 && delay > 0)
        env_log(env_of(catalogue), LOG_WARNING, NULL, "/v1/catalog/services: %s", answer->text);
    if (answer->failure == FAILURE_DENIED && !answer->new_token)
        decide(catalogue);
}

static void taken(struct consul_catalogue *catalogue, struct consul_catalogue_name *names,
                  const struct consul_answer *answer)
{
    bool live = catalogue->live, partial = catalogue->partial;
    bool news = !names_equal(catalogue->names, names), recovered = catalogue->pace.failures > 0;

    names_free(catalogue->names);
    catalogue->names = names;
    catalogue->live = true;
    catalogue->partial = looks_partial(catalogue, answer->filtered);
    catalogue->was_complete |= !catalogue->partial;
    catalogue->index = consul_index_next(catalogue->index,
                                         http_response_header(answer->response, "X-Consul-Index"));
    consul_pace_answered(&catalogue->pace, news, env_now(env_of(catalogue)));
    plan(catalogue, 0);
    if (news || !live || partial != catalogue->partial)
        consul_watches_catalogue_changed(&catalogue->call.consul->watches);
    consul_watches_catalogue_read(&catalogue->call.consul->watches);
    if (recovered)
        consul_watches_recovered(&catalogue->call.consul->watches);
    decide(catalogue);
}

/* Is a name gone? */
static bool names_lost(const struct consul_catalogue_name *before,
                       const struct consul_catalogue_name *now)
{
    for (; before; before = before->hh.next)
        if (!names_find(now, before->text))
            return true;
    return !now;
}

static void answered(struct consul_call *call, const struct consul_answer *answer)
{
    struct consul_catalogue *catalogue = call->owner;
    struct consul_catalogue_name *names;
    struct consul_answer broken = {.failure = FAILURE_TRANSIENT, .text = "not a list of services"};
    struct consul_answer early = {.failure = FAILURE_TRANSIENT,
                                  .text = "a server without a leader shows fewer services"};
    json_t *services;
    int r;

    if (answer->verdict != CONSUL_ANSWERED) {
        failed(catalogue, answer);
        return;
    }
    r = consul_document_services(answer->body, answer->size, &services);
    if (r >= 0) {
        r = names_of(services, &names);
        json_decref(services);
    }
    if (r < 0) {
        failed(catalogue, &broken);
    } else if (answer->degraded && names_lost(catalogue->names, names)) {
        /* It has just started, and does not know yet what it wrote down (watch.c). */
        names_free(names);
        early.elsewhere = consul_agents_has_another(&call->consul->agents, call->agent);
        failed(catalogue, &early);
    } else {
        taken(catalogue, names, answer);
    }
}

/* ---- life ---- */

static void fire(struct env_timer *timer)
{
    static const struct consul_key here = {.kind = CONSUL_SERVICE};
    struct consul_catalogue *catalogue = timer->owner;
    usec_t wait = consul_pace_wait(&catalogue->pace, env_now(env_of(catalogue)));
    struct consul_answer unsent = {.failure = FAILURE_TRANSIENT, .text = "the call cannot be made"};
    struct consul_request request = {
        .path = "/v1/catalog/services",
        .key = &here,
        .index = catalogue->index,
        .attempt = catalogue->pace.failures,
        .agent = -1,
        .max_body = CATALOGUE_MAX,
    };
    int r;

    if (wait > 0) {
        plan(catalogue, wait);
        return;
    }
    r = consul_call_start(&catalogue->call, &request);
    if (r < 0 && r != -EHOSTDOWN)
        failed(catalogue, &unsent);
}

void consul_catalogue_init(struct consul_catalogue *catalogue, struct consul *consul)
{
    *catalogue = (struct consul_catalogue){
        .call = {.done = answered, .owner = catalogue, .consul = consul},
        .timer = {.fire = fire, .owner = catalogue},
    };
    plan(catalogue, 0);
}

void consul_catalogue_abandon(struct consul_catalogue *catalogue)
{
    env_timer_off(env_of(catalogue), &catalogue->timer);
    consul_call_cancel(&catalogue->call);
    catalogue->index = 0;
    catalogue->live = false;
}

void consul_catalogue_done(struct consul_catalogue *catalogue)
{
    consul_catalogue_abandon(catalogue);
    catalogue->names = names_free(catalogue->names);
}

void consul_catalogue_retry(struct consul_catalogue *catalogue)
{
    consul_call_cancel(&catalogue->call);
    catalogue->index = 0;
    catalogue->pace.failures = 0;
    plan(catalogue, 0);
}

bool consul_catalogue_shrank(const struct consul_catalogue *catalogue)
{
    return catalogue->partial && catalogue->was_complete;
}

enum consul_presence consul_catalogue_find(const struct consul_catalogue *catalogue,
                                           const struct consul_key *key)
{
    if (consul_key_is_elsewhere(key))
        return CONSUL_UNTOLD;
    if (names_find(catalogue->names, key->name))
        return CONSUL_PRESENT;
    return catalogue->live && !catalogue->partial ? CONSUL_MISSING : CONSUL_UNTOLD;
}

unsigned consul_catalogue_count(const struct consul_catalogue *catalogue)
{
    return HASH_COUNT(catalogue->names);
}
