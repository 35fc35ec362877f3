/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/backend_internal.h"

#include <stdio.h>
#include <systemd/sd-event.h>
#include <utlist.h>

#include "daemon/describe.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/registry/local.h"
#include "daemon/statistics.h"
#include "nss-sd/wire.h"
#include <config.h>

/* A Query that waits: for its lookup, or for the loop to hand over an answer that was there at
 * once. */
struct query {
    struct backend *backend;
    struct control_reply *reply;
    const struct peer *peer;
    struct lookup *lookup;
    bool denied;
    json_t *answer;
    sd_event_source *handover;
    struct query *prev, *next;
};

static struct describe describe_of(const struct backend *backend, const struct peer *peer)
{
    return (struct describe){
        .store = backend->parts.store,
        .chase = backend->parts.chase,
        .registries = backend->parts.registries,
        .hooks = backend->parts.hooks,
        .veto = backend->parts.veto,
        .asker = backend_asker(backend, peer),
        .now = backend_now(backend),
    };
}

/* ---- who may ---- */

static bool backend_may_ask(void *userdata, const struct peer *peer, const char *name)
{
    const struct backend *backend = userdata;
    const struct access_asker asker = backend_asker(backend, peer);

    return access_allows(&asker, resolver_access(backend->parts.resolver, name));
}

static bool query_may(void *userdata, struct access access)
{
    const struct query *query = userdata;
    const struct access_asker asker = backend_asker(query->backend, query->peer);

    return access_allows(&asker, access);
}

/* ---- Query ---- */

static void query_free(struct query *query)
{
    lookup_cancel(query->lookup);
    sd_event_source_disable_unref(query->handover);
    json_decref(query->answer);
    DL_DELETE(query->backend->queries, query);
    free(query);
}

static int query_hand_over(sd_event_source *source, void *userdata)
{
    struct query *query = userdata;
    struct control_reply *reply = query->reply;
    json_t *answer = query->answer;
    bool denied = query->denied;

    (void)source;
    query->answer = NULL;
    query_free(query);
    if (denied)
        control_reply_denied(reply);
    else
        control_reply_answer(reply, answer);
    return 0;
}

/* The lookup's answer; handed over in a later round of the loop, as control.h demands. */
static void query_done(void *userdata, const void *payload, size_t size)
{
    struct query *query = userdata;
    struct describe describe = describe_of(query->backend, query->peer);
    struct answer answer;

    query->lookup = NULL;
    /* It may be known only now that the name leads to a private one. */
    query->denied = answer_parse(payload, size, &answer) && *answer.name &&
                    !backend_may_ask(query->backend, query->peer, answer.name);
    if (!query->denied)
        query->answer = describe_answer(&describe, payload, size);
    sd_event_source_set_enabled(query->handover, SD_EVENT_ONESHOT);
}

static int wire_family_of(int family)
{
    return family == AF_INET ? WIRE_IPV4 : family == AF_INET6 ? WIRE_IPV6 : WIRE_UNSPEC;
}

static int backend_query(void *userdata, const struct control_query *asked,
                         struct control_reply *reply)
{
    struct backend *backend = userdata;
    usec_t now = backend_now(backend);
    struct query *query;
    int r;

    if (!lookup_server_allows(backend->parts.lookup_server, asked->uid, asked->name, asked->rooted,
                              now))
        return -EDQUOT;
    query = calloc(1, sizeof(*query));
    if (!query)
        return -ENOMEM;
    query->backend = backend;
    query->reply = reply;
    query->peer = asked->peer;
    DL_APPEND(backend->queries, query);
    r = sd_event_add_defer(backend->parts.event, &query->handover, query_hand_over, query);
    if (r >= 0)
        r = sd_event_source_set_enabled(query->handover, SD_EVENT_OFF);
    if (r >= 0)
        r = resolver_lookup(backend->parts.resolver, asked->name, asked->rooted,
                            wire_family_of(asked->family), now, query_may, query_done, query,
                            &query->lookup);
    if (r < 0)
        query_free(query);
    return r;
}

static void backend_query_cancel(void *userdata, struct control_reply *reply)
{
    struct backend *backend = userdata;
    struct query *query;

    DL_FOREACH (backend->queries, query) {
        if (query->reply == reply) {
            query_free(query);
            return;
        }
    }
}

static int backend_query_address(void *userdata, const struct peer *peer,
                                 const struct address *address, char **ret_name,
                                 char **ret_registry)
{
    struct backend *backend = userdata;
    struct registry_facts facts;
    struct resolver_owner owner;
    char name[NAME_SIZE];

    if (registries_reverse(backend->parts.registries, address, name) < 0)
        return -ENOENT;
    /* That it is one of a private name is not for everybody either. */
    if (!registries_owner(backend->parts.registries, name, &owner) ||
        !backend_may_ask(backend, peer, name))
        return -ENOENT;
    registries_facts(backend->parts.registries, owner.registry, &facts);
    *ret_name = strdup(name);
    *ret_registry = strdup(facts.name);
    if (*ret_name && *ret_registry)
        return 0;
    free(*ret_name);
    free(*ret_registry);
    return -ENOMEM;
}

/* ---- Status, Services ---- */

static json_t *text_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static json_t *backend_status(void *userdata)
{
    struct backend *backend = userdata;
    const struct backend_parts *parts = &backend->parts;
    struct describe describe = describe_of(backend, NULL);
    char view[4096];

    snprintf(view, sizeof(view), "%s/" NSS_SD_VIEW_FILE, parts->runtime_directory);
    return json_pack("{s:s, s:i, s:I, s:s, s:I, s:I, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o}",
                     "version", PACKAGE_VERSION, "pid", (int)getpid(), "uptime_usec",
                     (json_int_t)(describe.now - parts->started_at), "view", view, "lookups",
                     (json_int_t)lookup_server_counters(parts->lookup_server)->requests,
                     "connections", (json_int_t)lookup_server_connections(parts->lookup_server),
                     "zone", text_or_null(host_zone_name(parts->host_zone)), "region",
                     text_or_null(host_zone_region(parts->host_zone)), "zone_from",
                     text_or_null(host_zone_origin(parts->host_zone)), "log_level",
                     log_level_to_string(log_get_level()), "vetoes", describe_vetoes(parts->veto),
                     "ranks", describe_ranks(parts->ranker), "snapshot",
                     describe_snapshot(parts->snapshot, describe.now), "registries",
                     describe_registries(&describe));
}

static json_t *backend_services(void *userdata, const struct peer *peer, const char *registry,
                                bool stale)
{
    struct backend *backend = userdata;
    struct describe describe = describe_of(backend, peer);
    int index = STORE_REGISTRIES_MAX;

    if (registry)
        index = registries_find(backend->parts.registries, registry);
    return index < 0 ? NULL : describe_services(&describe, (unsigned)index, stale);
}

/* ---- Explain ---- */

static json_t *backend_explain(void *userdata, const struct peer *peer, const char *name)
{
    struct backend *backend = userdata;
    struct describe describe = describe_of(backend, peer);
    struct describe_explained parts = {
        .resolver = backend->parts.resolver,
        .config = backend->parts.config(backend->parts.userdata),
        .host_zone = backend->parts.host_zone,
        .ranker = backend->parts.ranker,
    };

    return describe_explain(&describe, &parts, name);
}

/* ---- Statistics ---- */

static struct statistics_parts statistics_of(const struct backend *backend)
{
    const struct backend_parts *parts = &backend->parts;

    return (struct statistics_parts){
        .lookup_server = parts->lookup_server,
        .resolver = parts->resolver,
        .interest = parts->interest,
        .publisher = parts->publisher,
        .snapshot = parts->snapshot,
        .store = parts->store,
        .veto = parts->veto,
        .registries = parts->registries,
    };
}

static json_t *backend_statistics(void *userdata)
{
    struct backend *backend = userdata;
    struct statistics_parts parts = statistics_of(backend);
    usec_t now = backend_now(backend);

    return statistics_to_json(&parts, now - backend->counted_since, now);
}

static void backend_statistics_reset(void *userdata)
{
    struct backend *backend = userdata;
    struct statistics_parts parts = statistics_of(backend);

    statistics_reset(&parts);
    backend->counted_since = backend_now(backend);
}

/* ---- Register, Deregister ---- */

static struct registry *local_registry(struct backend *backend)
{
    struct registry_facts facts = {0};
    int index = registries_find_type(backend->parts.registries, "local");

    if (index >= 0)
        registries_facts(backend->parts.registries, (unsigned)index, &facts);
    return facts.registry;
}

/* Whoever hears that something was done must not see the world before it. */
static int settled(const struct backend *backend, int r)
{
    if (r >= 0)
        backend->parts.settle(backend->parts.userdata);
    return r;
}

static int backend_register(void *userdata, const struct control_registration *registration,
                            char **ret_id)
{
    struct registry *local = local_registry(userdata);

    return settled(userdata,
                   local ? registry_local_register(local, registration, ret_id) : -ENOENT);
}

static int backend_register_definition(void *userdata, json_t *definition, json_t **ret_reply,
                                       char **ret_error)
{
    struct registry *local = local_registry(userdata);

    return settled(userdata, local ? registry_local_register_definition(local, definition,
                                                                        ret_reply, ret_error)
                                   : -ENOENT);
}

static int backend_pass(void *userdata, const char *id, enum check_state state, const char *note)
{
    struct registry *local = local_registry(userdata);

    return settled(userdata, local ? registry_local_pass(local, id, state, note) : -EUNATCH);
}

static int backend_deregister(void *userdata, const char *name, const char *id)
{
    struct registry *local = local_registry(userdata);

    return settled(userdata, local ? registry_local_deregister(local, name, id) : -ENOENT);
}

/* ---- Flush, Reload ---- */

struct flush {
    struct backend *backend;
    int count;
};

static void flush_service(void *userdata, struct service *service)
{
    struct flush *flush = userdata;

    store_flush(flush->backend->parts.store, service, backend_now(flush->backend));
    flush->count++;
}

static int flush_name(struct backend *backend, const char *name)
{
    struct flush flush = {.backend = backend};
    struct registry_target target = {0};
    struct resolver_owner owner;
    struct service *service;

    if (!registries_owner(backend->parts.registries, name, &owner) ||
        registries_meaning(backend->parts.registries, &owner, name, &target) != REGISTRY_TARGET)
        return -ENOENT;
    service = store_find(backend->parts.store, owner.registry, target.key);
    if (!service)
        return store_forget_shelved(backend->parts.store, owner.registry, target.key) ? 1 : -ENOENT;
    flush_service(&flush, service);
    return flush.count;
}

static int backend_flush(void *userdata, const char *name)
{
    struct backend *backend = userdata;
    struct flush flush = {.backend = backend};

    if (name)
        return flush_name(backend, name);
    store_each(backend->parts.store, STORE_REGISTRIES_MAX, flush_service, &flush);
    store_forget_all_shelved(backend->parts.store);
    registries_kick(backend->parts.registries);
    return flush.count;
}

static int backend_reload(void *userdata, struct config_messages *messages)
{
    struct backend *backend = userdata;

    return backend->parts.reload(backend->parts.userdata, messages);
}

/* ---- life ---- */

struct backend *backend_new(const struct backend_parts *parts)
{
    struct backend *backend = calloc(1, sizeof(*backend));

    if (!backend)
        return NULL;
    backend->parts = *parts;
    backend->counted_since = parts->started_at;
    backend->monitors = backend_monitors_new(backend);
    return backend->monitors ? backend : backend_free(backend);
}

struct backend *backend_free(struct backend *backend)
{
    if (!backend)
        return NULL;
    while (backend->queries)
        query_free(backend->queries);
    monitors_free(backend->monitors);
    free(backend);
    return NULL;
}

void backend_fill(struct backend *backend, struct control_backend *ret_control)
{
    *ret_control = (struct control_backend){
        .userdata = backend,
        .may_ask = backend_may_ask,
        .query = backend_query,
        .query_cancel = backend_query_cancel,
        .query_address = backend_query_address,
        .status = backend_status,
        .explain = backend_explain,
        .services = backend_services,
        .monitor = backend_monitor,
        .instances = backend_instances,
        .review = backend_review,
        .statistics = backend_statistics,
        .statistics_reset = backend_statistics_reset,
        .register_instance = backend_register,
        .register_definition = backend_register_definition,
        .pass = backend_pass,
        .deregister_instance = backend_deregister,
        .flush = backend_flush,
        .reload = backend_reload,
    };
}

int backend_notify(struct backend *backend)
{
    unsigned total = 0, up = 0;
    char first_down[128] = "", status[sizeof(backend->status)];
    int r = 0;

    for (unsigned i = 0; i < REGISTRIES_MAX; i++) {
        struct registry_facts facts;

        registries_facts(backend->parts.registries, i, &facts);
        if (!facts.name)
            continue;
        total++;
        up += facts.condition == CONDITION_UP;
        if (facts.condition == CONDITION_DOWN && !*first_down)
            snprintf(first_down, sizeof(first_down), "; %s is down: %.64s", facts.name,
                     facts.error);
    }
    snprintf(status, sizeof(status), "STATUS=%u of %u registries up%s", up, total, first_down);
    if (!streq(status, backend->status))
        r = notify_try(status);
    if (r >= 0)
        strcpy(backend->status, status);
    return r;
}
