/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/protocol.h"

#include <stdio.h>

#include "daemon/net/grpc.h"

enum { DELTA_NAMES_MAX = 8192 }; /* of one request: servers take 4 MiB */

#define DUE_STEP    (500 * USEC_PER_MSEC)
#define REFUSAL_MIN (100 * USEC_PER_MSEC) /* between two refusals in a row, doubled each time */
#define REFUSAL_MAX (30 * USEC_PER_SEC)

#define FOR_EACH(protocol, kind, resource)                                                         \
    for (struct xds_resource * next_, *resource = (protocol)->resources.tables[kind];              \
         resource && (next_ = resource->hh.next, true); resource = next_)

#define FOR_EACH_DIRTY(protocol, kind, resource)                                                   \
    for (struct xds_resource * next_, *resource = (protocol)->resources.dirty[kind];               \
         resource && (next_ = resource->dirty_next, true); resource = next_)

static void set_text(char **text, const char *value)
{
    free(*text);
    *text = value && *value ? strdup(value) : NULL;
}

/* ---- what is wanted ---- */

void xds_protocol_touch(struct xds_protocol *protocol, struct xds_resource *resource)
{
    xds_resource_mark(&protocol->resources, resource);
    protocol->exchanges[resource->kind].changed = true;
}

static void due_at(struct xds_protocol *protocol, usec_t at)
{
    if (protocol->due == 0 || at < protocol->due)
        protocol->due = at;
}

static void wait_for(struct xds_protocol *protocol, struct xds_resource *resource, usec_t due)
{
    resource->due = due;
    due_at(protocol, due);
}

/* Rounded up, so that thousands of names are not looked through for each of them. */
static usec_t missing_at(const struct xds_protocol *protocol, usec_t now)
{
    usec_t at = usec_add(now, protocol->transient ? XDS_TRANSIENT_TIME : XDS_MISSING_TIME);

    return usec_add(at, DUE_STEP - 1) / DUE_STEP * DUE_STEP;
}

/* Of a kind that is taken whole, what is not there is absent as soon as the whole is known. */
static void wait_for_whole(struct xds_protocol *protocol, struct xds_resource *resource, usec_t now)
{
    usec_t due = protocol->exchanges[resource->kind].whole_at ?: missing_at(protocol, now);

    if (xds_resource_is_wanted(resource) && resource->known == XDS_UNKNOWN &&
        !xds_resource_is_broken(resource) && (resource->due == 0 || due < resource->due))
        wait_for(protocol, resource, due);
}

static void wait_for_all(struct xds_protocol *protocol, enum xds_kind kind, usec_t now)
{
    FOR_EACH(protocol, kind, resource)
    wait_for_whole(protocol, resource, now);
}

/* What nobody wants any more, and what the last request took back. */
static void look_at_dirty(struct xds_protocol *protocol, enum xds_kind kind, usec_t now)
{
    const struct xds_exchange *exchange = &protocol->exchanges[kind];

    FOR_EACH_DIRTY(protocol, kind, resource)
    {
        bool wanted = xds_resource_is_wanted(resource);

        if (exchange->wildcard && exchange->started)
            wait_for_whole(protocol, resource, now);
        if (exchange->wildcard || (resource->leaving && !wanted) || wanted == resource->sent)
            xds_resource_unmark(&protocol->resources, resource);
        resource->leaving = false;
        if (!wanted)
            xds_resources_release(&protocol->resources, resource, exchange->wildcard);
    }
}

/* ---- requests ---- */

void xds_request_done(struct xds_request *request)
{
    free(request->names);
    free(request->removed);
    free(request->held);
    free(request->versions);
}

/* Room for one name more; doubled when it is full. */
static int grow(const char ***list, size_t count)
{
    const char **grown;

    if (count > 0 && (count & (count - 1)) != 0)
        return 0;
    grown = realloc(*list, (count > 0 ? count * 2 : 1) * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    *list = grown;
    return 0;
}

static bool wants_any(const struct xds_protocol *protocol, enum xds_kind kind)
{
    FOR_EACH(protocol, kind, resource)
    if (xds_resource_is_wanted(resource))
        return true;
    return false;
}

static int tell_of(struct xds_protocol *protocol, struct xds_request *request,
                   struct xds_resource *resource, usec_t now)
{
    if (grow(&request->names, request->name_count) < 0)
        return -ENOMEM;
    request->names[request->name_count++] = resource->name;
    if (!resource->sent && resource->known == XDS_UNKNOWN)
        wait_for(protocol, resource, missing_at(protocol, now));
    resource->sent = true;
    xds_resource_unmark(&protocol->resources, resource);
    return 0;
}

/*
 * The last names stay told: servers of old take an empty list for "everything".
 */
static int fill_world(struct xds_protocol *protocol, struct xds_request *request, usec_t now)
{
    struct xds_exchange *exchange = &protocol->exchanges[request->kind];
    bool any = wants_any(protocol, request->kind);
    int r = 0;

    exchange->changed = false;
    request->version = exchange->version;
    request->nonce = exchange->nonce;
    request->error = exchange->reply_nack;
    if (exchange->wildcard)
        return 0;
    FOR_EACH(protocol, request->kind, resource)
    {
        if (r == 0 && (xds_resource_is_wanted(resource) || (!any && resource->sent))) {
            r = tell_of(protocol, request, resource, now);
        } else if (r == 0) {
            resource->sent = false;
            xds_resources_release(&protocol->resources, resource, false);
        }
    }
    return r;
}

static int fill_held(const struct xds_protocol *protocol, struct xds_request *request)
{
    FOR_EACH(protocol, request->kind, resource)
    {
        if (resource->known != XDS_HELD || !resource->version)
            continue;
        if (grow(&request->held, request->held_count) < 0 ||
            grow(&request->versions, request->held_count) < 0)
            return -ENOMEM;
        request->held[request->held_count] = resource->name;
        request->versions[request->held_count++] = resource->version;
    }
    return 0;
}

static int take_back(struct xds_request *request, struct xds_resource *resource)
{
    if (grow(&request->removed, request->removed_count) < 0)
        return -ENOMEM;
    request->removed[request->removed_count++] = resource->name;
    resource->sent = false;
    resource->leaving = true; /* its name is in the request */
    return 0;
}

static int fill_delta(struct xds_protocol *protocol, struct xds_request *request, usec_t now)
{
    struct xds_exchange *exchange = &protocol->exchanges[request->kind];
    int r = exchange->started ? 0 : fill_held(protocol, request);

    exchange->changed = false;
    if (exchange->wildcard)
        return r;
    FOR_EACH_DIRTY(protocol, request->kind, resource)
    {
        if (r < 0)
            break;
        if (request->name_count + request->removed_count == DELTA_NAMES_MAX) {
            exchange->changed = true;
            break;
        }
        r = xds_resource_is_wanted(resource) ? tell_of(protocol, request, resource, now)
                                             : take_back(request, resource);
    }
    return r;
}

static bool replies_now(const struct xds_exchange *exchange, usec_t now)
{
    return exchange->reply && now >= exchange->reply_at;
}

static bool is_due(struct xds_protocol *protocol, enum xds_kind kind, usec_t now)
{
    struct xds_exchange *exchange = &protocol->exchanges[kind];

    if (replies_now(exchange, now))
        return true;
    if (exchange->reply)
        due_at(protocol, exchange->reply_at);
    if (!exchange->started)
        return exchange->wildcard || wants_any(protocol, kind);
    return exchange->changed && !exchange->wildcard;
}

static bool is_empty(const struct xds_request *request)
{
    return request->name_count == 0 && request->removed_count == 0;
}

/* The strings of the reply live until the next call: they are in the request. */
static void replied(struct xds_exchange *exchange)
{
    exchange->replying = false;
    set_text(&exchange->reply, NULL);
    set_text(&exchange->reply_nack, NULL);
}

/* 0: there is nothing to say after all. */
static int fill_request(struct xds_protocol *protocol, struct xds_request *request, usec_t now)
{
    struct xds_exchange *exchange = &protocol->exchanges[request->kind];
    int r;

    if (!protocol->delta) {
        exchange->replying = exchange->reply != NULL;
        r = fill_world(protocol, request, now);
    } else if (replies_now(exchange, now)) {
        exchange->replying = true;
        request->nonce = exchange->reply;
        request->error = exchange->reply_nack;
        r = 0;
    } else {
        r = fill_delta(protocol, request, now);
        if (r == 0 && is_empty(request) && exchange->started)
            return 0;
    }
    return r < 0 ? r : 1;
}

static int make_request(struct xds_protocol *protocol, enum xds_kind kind, usec_t now,
                        struct xds_request *request)
{
    struct xds_exchange *exchange = &protocol->exchanges[kind];
    int r;

    *request = (struct xds_request){
        .kind = kind, .delta = protocol->delta, .with_node = !protocol->node_told};
    r = fill_request(protocol, request, now);
    if (r <= 0) {
        xds_request_done(request);
        return r;
    }
    if (!exchange->started) {
        exchange->started = true;
        exchange->asked_at = now;
        if (exchange->wildcard)
            wait_for_all(protocol, kind, now);
    }
    protocol->node_told = true;
    return 1;
}

int xds_protocol_next(struct xds_protocol *protocol, usec_t now, struct xds_request *ret_request)
{
    for (unsigned kind = 0; kind < XDS_KINDS; kind++) {
        struct xds_exchange *exchange = &protocol->exchanges[kind];
        int r;

        if (exchange->replying)
            replied(exchange);
        look_at_dirty(protocol, kind, now);
        if (!is_due(protocol, kind, now))
            continue;
        r = make_request(protocol, kind, now, ret_request);
        if (r != 0)
            return r;
    }
    return 0;
}

/* ---- responses ---- */

void xds_response_done(struct xds_response *response)
{
    free(response->version);
    free(response->nonce);
    *response = (struct xds_response){0};
}

int xds_protocol_begin(struct xds_protocol *protocol, enum xds_kind kind, const char *version,
                       const char *nonce, struct xds_response *ret_response)
{
    *ret_response = (struct xds_response){
        .kind = kind,
        .number = ++protocol->responses,
        .version = strdup(version),
        .nonce = strdup(nonce),
    };
    protocol->heard = true;
    protocol->exchanges[kind].answered = true;
    if (ret_response->version && ret_response->nonce)
        return 0;
    xds_response_done(ret_response);
    return -ENOMEM;
}

void xds_protocol_blame(struct xds_response *response, const char *name, const char *reason)
{
    size_t size = strlen(response->reasons);

    response->bad++;
    snprintf(response->reasons + size, sizeof(response->reasons) - size, "%s%.200s%s%s",
             size > 0 ? "; " : "", name, *name ? ": " : "", reason);
}

/* The resource of this name that a response may tell of; NULL: none that was asked for. */
static struct xds_resource *asked_for(struct xds_protocol *protocol, struct xds_response *response,
                                      const char *name)
{
    struct xds_resource *resource;

    if (protocol->exchanges[response->kind].wildcard) {
        resource = xds_resources_get(&protocol->resources, response->kind, name);
        if (!resource) {
            xds_protocol_blame(response, name, "too many resources");
            response->partial = true;
        }
        return resource;
    }
    resource = xds_resources_find(&protocol->resources, response->kind, name);
    if (resource && (xds_resource_is_wanted(resource) || resource->sent))
        return resource;
    return NULL;
}

void xds_protocol_take(struct xds_protocol *protocol, struct xds_response *response,
                       const char *name, const char *version, struct xds_value *value,
                       const char *reason, usec_t now)
{
    struct xds_resource *resource;

    if (*name == '\0') {
        xds_protocol_blame(response, "", reason && *reason ? reason : "a resource without a name");
        response->partial = true;
        xds_value_free(value);
        return;
    }
    resource = asked_for(protocol, response, name);
    if (!resource) {
        xds_value_free(value);
        return;
    }
    if (resource->seen == response->number) {
        xds_protocol_blame(response, name, "named twice");
        xds_value_free(value);
        return;
    }
    resource->seen = response->number;
    if (!value) {
        xds_protocol_blame(response, name, reason);
        xds_resource_fail(&protocol->resources, resource, reason);
    } else if (xds_resource_hold(&protocol->resources, resource, value, version, now) < 0) {
        xds_protocol_blame(response, name, "too many endpoints in all");
    }
}

void xds_protocol_removed(struct xds_protocol *protocol, struct xds_response *response,
                          const char *name)
{
    struct xds_resource *resource = xds_resources_find(&protocol->resources, response->kind, name);

    if (!resource)
        return;
    xds_resource_absent(&protocol->resources, resource);
    xds_resources_release(&protocol->resources, resource,
                          protocol->exchanges[response->kind].wildcard);
}

void xds_protocol_refused(struct xds_protocol *protocol, const struct xds_response *response,
                          const char *name, int code, const char *text)
{
    struct xds_resource *resource = xds_resources_find(&protocol->resources, response->kind, name);
    char reason[XDS_REASON_SIZE];

    if (!resource)
        return;
    if (code == GRPC_NOT_FOUND) {
        xds_resource_absent(&protocol->resources, resource);
        return;
    }
    snprintf(reason, sizeof(reason), "the server refuses it: %s: %.200s", grpc_code_to_string(code),
             text);
    xds_resource_fail(&protocol->resources, resource, reason);
}

/* SotW responses of these kinds are complete. */
static bool is_complete_kind(enum xds_kind kind)
{
    return kind == XDS_CLUSTER || kind == XDS_LISTENER;
}

static void sweep_missing(struct xds_protocol *protocol, const struct xds_response *response)
{
    bool wildcard = protocol->exchanges[response->kind].wildcard;

    FOR_EACH(protocol, response->kind, resource)
    {
        if (resource->seen == response->number)
            continue;
        /* By name an answer may be to the request before the one that named it, unless the server
         * has told of it before. */
        if (resource->known == XDS_HELD || xds_resource_is_broken(resource) || wildcard)
            xds_resource_absent(&protocol->resources, resource);
        xds_resources_release(&protocol->resources, resource, wildcard);
    }
}

/* Caches that repeat at once what was refused would be asked thousands of times a second. */
static void pace_reply(struct xds_exchange *exchange, const struct xds_response *response,
                       usec_t now)
{
    usec_t wait = REFUSAL_MAX;

    exchange->reply_at = 0;
    if (response->bad == 0) {
        exchange->refusals = 0;
        return;
    }
    exchange->nacks++;
    exchange->nack_is_news = !exchange->nack || !streq(exchange->nack, response->reasons);
    set_text(&exchange->nack, response->reasons);
    if (exchange->refusals < 9)
        wait = REFUSAL_MIN << exchange->refusals;
    if (exchange->refusals++ > 0)
        exchange->reply_at = usec_add(now, wait);
}

void xds_protocol_finish(struct xds_protocol *protocol, struct xds_response *response, usec_t now)
{
    struct xds_exchange *exchange = &protocol->exchanges[response->kind];

    if (!protocol->delta && is_complete_kind(response->kind) && !response->partial)
        sweep_missing(protocol, response);
    if (exchange->wildcard && exchange->whole_at == 0 && !response->partial) {
        exchange->whole_at = usec_add(now, protocol->delta ? XDS_COMPLETE_TIME : 0);
        wait_for_all(protocol, response->kind, now);
    }
    if (!protocol->delta) {
        set_text(&exchange->nonce, response->nonce);
        if (response->bad == 0)
            set_text(&exchange->version, response->version);
    }
    exchange->replying = false;
    free(exchange->reply);
    exchange->reply = response->nonce;
    response->nonce = NULL;
    set_text(&exchange->reply_nack, response->bad > 0 ? response->reasons : NULL);
    pace_reply(exchange, response, now);
    xds_response_done(response);
}

/* ---- time, and the end of a stream ---- */

static void expire(struct xds_protocol *protocol, struct xds_resource *resource)
{
    const struct xds_exchange *exchange = &protocol->exchanges[resource->kind];
    bool told = exchange->wildcard ? exchange->whole_at > 0
                                   : protocol->heard && !protocol->transient;

    resource->due = 0;
    if (resource->known != XDS_UNKNOWN)
        return;
    if (told)
        xds_resource_absent(&protocol->resources, resource);
    else
        xds_resource_fail(&protocol->resources, resource, "the control plane does not answer");
}

void xds_protocol_expire(struct xds_protocol *protocol, usec_t now)
{
    if (protocol->due == 0 || now < protocol->due)
        return;
    protocol->due = 0;
    for (unsigned kind = 0; kind < XDS_KINDS; kind++)
        FOR_EACH(protocol, kind, resource)
        {
            if (resource->due != 0 && resource->due <= now)
                expire(protocol, resource);
            else if (resource->due != 0)
                wait_for(protocol, resource, resource->due);
        }
}

bool xds_protocol_is_silent(const struct xds_protocol *protocol, enum xds_kind kind, usec_t wait,
                            usec_t now)
{
    const struct xds_exchange *exchange = &protocol->exchanges[kind];

    if (!exchange->started || exchange->wildcard || exchange->answered ||
        now < usec_add(exchange->asked_at, wait))
        return false;
    FOR_EACH(protocol, kind, resource)
    if (xds_resource_is_wanted(resource) && resource->known == XDS_UNKNOWN)
        return true;
    return false;
}

static void exchange_lost(struct xds_exchange *exchange)
{
    exchange->started = exchange->answered = exchange->changed = false;
    exchange->refusals = 0;
    exchange->asked_at = exchange->whole_at = exchange->reply_at = 0;
    set_text(&exchange->nonce, NULL);
    replied(exchange);
}

void xds_protocol_lost(struct xds_protocol *protocol)
{
    protocol->node_told = protocol->heard = false;
    protocol->due = 0;
    for (unsigned kind = 0; kind < XDS_KINDS; kind++) {
        exchange_lost(&protocol->exchanges[kind]);
        FOR_EACH(protocol, kind, resource)
        {
            resource->sent = resource->leaving = false;
            resource->due = resource->seen = 0;
            if (xds_resource_is_wanted(resource))
                xds_resource_mark(&protocol->resources, resource);
            xds_resources_release(&protocol->resources, resource,
                                  protocol->exchanges[kind].wildcard);
        }
    }
}

void xds_protocol_forget_versions(struct xds_protocol *protocol)
{
    for (unsigned kind = 0; kind < XDS_KINDS; kind++) {
        set_text(&protocol->exchanges[kind].version, NULL);
        FOR_EACH(protocol, kind, resource)
        set_text(&resource->version, NULL);
    }
}

void xds_protocol_done(struct xds_protocol *protocol)
{
    for (unsigned kind = 0; kind < XDS_KINDS; kind++) {
        struct xds_exchange *exchange = &protocol->exchanges[kind];

        exchange_lost(exchange);
        set_text(&exchange->version, NULL);
        set_text(&exchange->nack, NULL);
    }
    xds_resources_done(&protocol->resources);
}
