/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/rest.h"

#include <stdio.h>

#include "daemon/config.h"
#include "daemon/config_file.h"
#include "daemon/log.h"
#include "daemon/net/grpc.h"
#include "daemon/registry/json.h"
#include "daemon/registry/xds/xds.h"

#define CALL_TIMEOUT (15 * USEC_PER_SEC)

enum {
    BODY_MAX = 256 << 20,
    AUTHORIZATION_SIZE = 16 * 1024,
    URL_SIZE = 2048,
};

/* Asked in this order, so that what one leads to is asked for in the same round. */
static const struct step {
    enum xds_kind kind;
    const char *path;
} steps[] = {
    {XDS_LISTENER, "listeners"},
    {XDS_ROUTE, "routes"},
    {XDS_CLUSTER, "clusters"},
    {XDS_ENDPOINTS, "endpoints"},
};

static struct registry_env *env_of(const struct xds_rest *rest)
{
    return rest->xds->registry.env;
}

static const struct xds_settings *settings_of(const struct xds_rest *rest)
{
    return xds_settings_of(rest->xds->registry.config);
}

static const struct xds_server *server_of(const struct xds_rest *rest)
{
    return &rest->xds->profile.servers[rest->server];
}

static struct xds_exchange *exchange_of(const struct xds_rest *rest)
{
    return &rest->xds->protocol.exchanges[rest->kind];
}

/* ---- a request ---- */

static json_t *names_of(struct xds_rest *rest)
{
    json_t *names = json_array();
    struct xds_resource *resource;

    for (resource = rest->xds->protocol.resources.tables[rest->kind]; resource;
         resource = resource->hh.next)
        if (xds_resource_is_wanted(resource)) {
            json_array_append_new(names, json_string(resource->name));
            resource->sent = true;
        }
    return names;
}

/* A version is one of a list of names: with another list the whole is asked for anew. */
static char *make_body(struct xds_rest *rest)
{
    struct xds_exchange *exchange = exchange_of(rest);
    struct xds_node node = xds_node_now(rest->xds);
    json_t *body = json_object();
    char *text;

    if (exchange->version && !exchange->changed)
        json_object_set_new(body, "version_info", json_string(exchange->version));
    exchange->changed = false;
    json_object_set_new(body, "node", xds_node_to_json(&node));
    json_object_set_new(body, "resource_names", names_of(rest));
    json_object_set_new(body, "type_url", json_string(xds_kind_url(rest->kind)));
    text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

static int on_head(void *userdata, const struct http_response *response);
static int on_body(void *userdata, const char *data, size_t size);
static void on_done(void *userdata, enum http_outcome outcome, const struct http_response *response,
                    const char *body, size_t size, const char *text);

static void read_token(struct xds_rest *rest)
{
    const char *path = settings_of(rest)->token_file;
    char *text = NULL;
    int r = path ? config_secret_read(path, &text) : -ENOENT;

    if (r == 0) {
        config_secret_free(rest->token);
        rest->token = text;
    } else if (path && !rest->token) {
        env_log(env_of(rest), LOG_ERR, NULL, "TokenFile=%s cannot be used: %s; asking without",
                path, r == -EBADMSG ? "it holds no token" : strerror(-r));
    }
}

static int start_call(struct xds_rest *rest, const char *path, const char *body)
{
    static const struct http_handler handler = {on_head, on_body, on_done};
    struct http_tls tls = server_tls_for_call(&server_of(rest)->tls);
    struct http_header headers[2] = {{"Content-Type", "application/json"}};
    char authorization[AUTHORIZATION_SIZE], url[URL_SIZE];
    size_t length = strcspn(server_of(rest)->url, "?#");
    int r;

    while (length > 0 && server_of(rest)->url[length - 1] == '/')
        length--;
    snprintf(url, sizeof(url), "%.*s/v3/discovery:%s", (int)length, server_of(rest)->url, path);
    read_token(rest);
    snprintf(authorization, sizeof(authorization), "Bearer %s", rest->token ?: "");
    headers[1] = (struct http_header){"Authorization", authorization};
    r = env_http_start(env_of(rest),
                       &(struct http_request){.method = "POST",
                                              .url = url,
                                              .headers = headers,
                                              .header_count = rest->token ? 2 : 1,
                                              .body = body,
                                              .body_size = strlen(body),
                                              .tls = &tls,
                                              .timeout = CALL_TIMEOUT,
                                              .max_body = BODY_MAX,
                                              .handler = &handler,
                                              .userdata = rest},
                       &rest->call);
    explicit_bzero(authorization, sizeof(authorization));
    return r;
}

/* ---- a round ---- */

static bool wants_any(const struct xds_rest *rest, enum xds_kind kind)
{
    const struct xds_resource *resource;

    for (resource = rest->xds->protocol.resources.tables[kind]; resource;
         resource = resource->hh.next)
        if (xds_resource_is_wanted(resource))
            return true;
    return false;
}

static void next_round(struct xds_rest *rest, usec_t wait)
{
    rest->polling = false;
    env_timer_set(env_of(rest), &rest->timer, usec_add(env_now(env_of(rest)), wait));
}

static void end_round(struct xds_rest *rest)
{
    bool again = rest->again;

    rest->again = false;
    next_round(rest, again ? 0 : env_jitter(env_of(rest), settings_of(rest)->poll, 10));
}

static void failed(struct xds_rest *rest, enum registry_failure failure, const char *text)
{
    char line[512];

    snprintf(line, sizeof(line), "%.200s: %.250s", server_of(rest)->url, text);
    if (++rest->tried < rest->xds->profile.server_count) {
        rest->server = (rest->server + 1) % rest->xds->profile.server_count;
        xds_protocol_forget_versions(&rest->xds->protocol);
        next_round(rest, 0);
    } else {
        rest->tried = 0;
        next_round(rest, grpc_backoff(++rest->failures, env_random(env_of(rest))));
        xds_unreachable(rest->xds, failure, line);
    }
    xds_moved(rest->xds);
}

/* Asks for the first kind from `step` on that somebody wants. */
static void ask_from(struct xds_rest *rest, size_t step)
{
    char *body;
    int r;

    while (step < ELEMENTS(steps) && !wants_any(rest, steps[step].kind))
        step++;
    if (step == ELEMENTS(steps)) {
        end_round(rest);
        return;
    }
    rest->kind = steps[step].kind;
    body = make_body(rest);
    r = body ? start_call(rest, steps[step].path, body) : -ENOMEM;
    free(body);
    if (r < 0)
        failed(rest, FAILURE_TRANSIENT, strerror(-r));
}

static size_t step_of(const struct xds_rest *rest)
{
    size_t step = 0;

    while (steps[step].kind != rest->kind)
        step++;
    return step;
}

static void timer_fire(struct env_timer *timer)
{
    struct xds_rest *rest = timer->owner;

    rest->polling = true;
    ask_from(rest, 0);
}

/* ---- a response ---- */

static void answered(struct xds_rest *rest)
{
    rest->tried = rest->failures = 0;
    xds_answered(rest->xds);
}

static void next_step(struct xds_rest *rest)
{
    struct xds *xds = rest->xds;

    xds_told(xds, rest->kind);
    xds_keys_run(&xds->keys); /* what is wanted next may hang on it */
    ask_from(rest, step_of(rest) + 1);
    xds_moved(xds);
}

/* It answers what was asked: what was sent and is not in it does not exist. */
static void absent_missing(struct xds_rest *rest)
{
    struct xds_resources *resources = &rest->xds->protocol.resources;
    struct xds_resource *resource, *next;

    HASH_ITER (hh, resources->tables[rest->kind], resource, next)
        if (resource->sent && resource->seen != rest->response.number)
            xds_resource_absent(resources, resource);
}

static void forget_unwanted(struct xds_rest *rest)
{
    struct xds_resources *resources = &rest->xds->protocol.resources;
    struct xds_resource *resource, *next;

    HASH_ITER (hh, resources->tables[rest->kind], resource, next) {
        resource->sent = false;
        xds_resources_release(resources, resource, false);
    }
}

static void finish(struct xds_rest *rest)
{
    struct xds_exchange *exchange = exchange_of(rest);

    if (!rest->response.partial)
        absent_missing(rest);
    if (rest->response.bad > 0)
        env_log(env_of(rest), LOG_WARNING, NULL, "refused a %s of %s: %.400s",
                xds_kind_to_string(rest->kind), server_of(rest)->url, rest->response.reasons);
    xds_protocol_finish(&rest->xds->protocol, &rest->response, env_now(env_of(rest)));
    free(exchange->reply); /* nothing is acknowledged over REST */
    exchange->reply = NULL;
    forget_unwanted(rest);
    next_step(rest);
}

static void take(struct xds_rest *rest, const json_t *object)
{
    char name[XDS_NAME_MAX + 1], reason[XDS_REASON_SIZE];
    struct xds_value *value = NULL;

    if (!streq(registry_json_text(object, "@type"), xds_kind_url(rest->kind))) {
        xds_protocol_take(&rest->xds->protocol, &rest->response, "", NULL, NULL,
                          "a resource of another type", env_now(env_of(rest)));
        return;
    }
    if (xds_document_decode_json(rest->kind, &rest->xds->rules, object, name, &value, reason) ==
        -ENOMEM)
        snprintf(reason, sizeof(reason), "no memory");
    xds_protocol_take(&rest->xds->protocol, &rest->response, name, NULL, value, reason,
                      env_now(env_of(rest)));
}

static int on_item(void *owner, const char *text, size_t size)
{
    json_t *object = registry_json_parse(text, size);

    if (!json_is_object(object)) {
        json_decref(object);
        return -EBADMSG;
    }
    take(owner, object);
    json_decref(object);
    return 0;
}

static int on_member(void *owner, unsigned level, const char *key, const char *text, size_t size)
{
    struct xds_rest *rest = owner;
    json_t *value;
    char *version;

    if (level != 0 || (!streq(key, "version_info") && !streq(key, "versionInfo")))
        return 0;
    value = registry_json_parse(text, size);
    version = strdup(json_string_value(value) ?: "");
    json_decref(value);
    if (!version)
        return -ENOMEM;
    free(rest->response.version);
    rest->response.version = version;
    return 0;
}

static int on_head(void *userdata, const struct http_response *response)
{
    static const struct json_pieces_handler handler = {on_item, on_member};
    static const char *const path[] = {"resources", NULL};
    struct xds_rest *rest = userdata;

    if (response->status != 200)
        return 0;
    if (xds_protocol_begin(&rest->xds->protocol, rest->kind, "", "", &rest->response) < 0)
        return -ENOMEM;
    json_pieces_init(&rest->pieces, path, &handler, rest, XDS_RESOURCE_MAX);
    rest->open = true;
    return 0;
}

/* What was read tells at once; whether something is absent is told by the whole. */
static int on_body(void *userdata, const char *data, size_t size)
{
    struct xds_rest *rest = userdata;

    return rest->open ? json_pieces_feed(&rest->pieces, data, size) : 0;
}

/* Ends a response that came or broke off. Was it whole? */
static bool close_response(struct xds_rest *rest)
{
    bool whole = rest->open && json_pieces_finish(&rest->pieces) == 0;

    if (rest->open)
        json_pieces_done(&rest->pieces);
    rest->open = false;
    return whole;
}

static enum registry_failure failure_of(enum http_outcome outcome, int status)
{
    if (outcome == HTTP_TLS || status == 404)
        return FAILURE_CONFIG;
    if (status == 401 || status == 403)
        return FAILURE_DENIED;
    return status == 429 ? FAILURE_THROTTLED : FAILURE_TRANSIENT;
}

static void on_done(void *userdata, enum http_outcome outcome, const struct http_response *response,
                    const char *body, size_t size, const char *text)
{
    struct xds_rest *rest = userdata;
    bool whole = close_response(rest);
    char line[64];

    (void)body, (void)size;
    rest->call = NULL;
    if (outcome == HTTP_DONE && response->status == 200 && whole) {
        answered(rest);
        finish(rest);
    } else if (outcome == HTTP_DONE && response->status == 304) {
        answered(rest);
        forget_unwanted(rest);
        next_step(rest);
    } else {
        xds_response_done(&rest->response);
        snprintf(line, sizeof(line), "HTTP status %d", response->status);
        failed(rest, failure_of(outcome, response->status),
               outcome == HTTP_ABORTED || (outcome == HTTP_DONE && response->status == 200)
                   ? "a response that is no DiscoveryResponse"
               : outcome == HTTP_DONE ? line
                                      : text);
    }
}

/* ---- life ---- */

void xds_rest_flush(struct xds_rest *rest)
{
    bool changed = false;

    for (size_t step = 0; step < ELEMENTS(steps); step++) {
        enum xds_kind kind = steps[step].kind;

        changed |= rest->xds->protocol.exchanges[kind].changed && wants_any(rest, kind);
    }
    if (changed && rest->polling)
        rest->again = true;
    else if (changed && !rest->xds->down)
        env_defer(env_of(rest), &rest->timer);
}

void xds_rest_kick(struct xds_rest *rest)
{
    if (!rest->polling)
        env_defer(env_of(rest), &rest->timer);
}

int xds_rest_init(struct xds_rest *rest, struct xds *xds)
{
    *rest = (struct xds_rest){.xds = xds};
    rest->timer = (struct env_timer){.fire = timer_fire, .owner = rest};
    return env_defer(xds->registry.env, &rest->timer);
}

void xds_rest_done(struct xds_rest *rest)
{
    if (!rest->xds)
        return;
    env_timer_off(env_of(rest), &rest->timer);
    if (rest->call)
        env_of(rest)->ops->http_cancel(env_of(rest), rest->call);
    rest->call = NULL;
    close_response(rest);
    xds_response_done(&rest->response);
    config_secret_free(rest->token);
}
