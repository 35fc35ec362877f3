/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/protocol.h"

#include <stdio.h>

#include "daemon/net/grpc.h"

enum { DELTA_NAMES_MAX = 8192 }; /* of one request: servers take 4 MiB */

#define FOR_EACH(protocol, kind, resource)                                                         \
    for (struct xds_resource *next_, *resource = (protocol)->resources.tables[kind];              \
         resource && (next_ = resource->hh.next, true); resource = next_)

static void set_text(char **text, const char *value)
{
    free(*text);
    *text = value && *value ? strdup(value) : NULL;
}

/* ---- what is wanted ---- */

void xds_protocol_touch(struct xds_protocol *protocol, enum xds_kind kind)
{
    protocol->exchanges[kind].changed = true;
}

static void wait_until(struct xds_protocol *protocol, usec_t due)
{
    if (protocol->due == 0 || due < protocol->due)
        protocol->due = due;
}

static void wait_for(struct xds_protocol *protocol, struct xds_resource *resource, usec_t due)
{
    resource->due = due;
    wait_until(protocol, due);
}

/* Of a kind that is taken whole, what is not there is absent as soon as the whole is known. */
static void wait_for_whole(struct xds_protocol *protocol, enum xds_kind kind, usec_t now)
{
    const struct xds_exchange *exchange = &protocol->exchanges[kind];
    usec_t due = exchange->whole_at ?: usec_add(now, XDS_MISSING_TIME);

    FOR_EACH(protocol, kind, resource)
        if (xds_resource_is_wanted(resource) && resource->known == XDS_UNKNOWN &&
            (resource->due == 0 || due < resource->due))
            wait_for(protocol, resource, due);
}

/* ---- requests ---- */

void xds_request_done(struct xds_request *request)
{
    free(request->names);
    free(request->removed);
    free(request->held);
    free(request->versions);
}

static int make_lists(const struct xds_protocol *protocol, struct xds_request *request)
{
    size_t room = HASH_COUNT(protocol->resources.tables[request->kind]) + 1;

    request->names = calloc(room, sizeof(*request->names));
    request->removed = calloc(room, sizeof(*request->removed));
    request->held = calloc(room, sizeof(*request->held));
    request->versions = calloc(room, sizeof(*request->versions));
    return request->names && request->removed && request->held && request->versions ? 0 : -ENOMEM;
}

static bool wants_any(const struct xds_protocol *protocol, enum xds_kind kind)
{
    FOR_EACH(protocol, kind, resource)
        if (xds_resource_is_wanted(resource))
            return true;
    return false;
}

static void tell_of(struct xds_protocol *protocol, struct xds_request *request,
                    struct xds_resource *resource, usec_t now)
{
    request->names[request->name_count++] = resource->name;
    if (!resource->sent && resource->known == XDS_UNKNOWN)
        wait_for(protocol, resource,
                 usec_add(now, protocol->transient ? XDS_TRANSIENT_TIME : XDS_MISSING_TIME));
    resource->sent = true;
}

/*
 * The last names stay told: servers of old take an empty list for "everything".
 */
static void fill_world(struct xds_protocol *protocol, struct xds_request *request, usec_t now)
{
    struct xds_exchange *exchange = &protocol->exchanges[request->kind];
    bool any = wants_any(protocol, request->kind);

    exchange->changed = false;
    request->version = exchange->version;
    request->nonce = exchange->nonce;
    if (exchange->wildcard)
        return;
    FOR_EACH(protocol, request->kind, resource) {
        if (xds_resource_is_wanted(resource) || (!any && resource->sent)) {
            tell_of(protocol, request, resource, now);
        } else {
            resource->sent = false;
            xds_resources_release(&protocol->resources, resource, false);
        }
    }
}

static void fill_held(const struct xds_protocol *protocol, struct xds_request *request)
{
    FOR_EACH(protocol, request->kind, resource)
        if (resource->known == XDS_HELD && resource->version) {
            request->held[request->held_count] = resource->name;
            request->versions[request->held_count++] = resource->version;
        }
}

/* Names that are removed stay in the table until the request was written. */
static void fill_delta(struct xds_protocol *protocol, struct xds_request *request, usec_t now)
{
    struct xds_exchange *exchange = &protocol->exchanges[request->kind];

    if (!exchange->started)
        fill_held(protocol, request);
    exchange->changed = false;
    if (exchange->wildcard)
        return;
    FOR_EACH(protocol, request->kind, resource) {
        bool wanted = xds_resource_is_wanted(resource);

        if (wanted == resource->sent)
            continue;
        if (request->name_count + request->removed_count == DELTA_NAMES_MAX) {
            exchange->changed = true;
            return;
        }
        if (wanted)
            tell_of(protocol, request, resource, now);
        else
            request->removed[request->removed_count++] = resource->name;
    }
}

/* What is not wanted any more and is not told of either. */
static void sweep_unwanted(struct xds_protocol *protocol, enum xds_kind kind)
{
    FOR_EACH(protocol, kind, resource)
        if (!xds_resource_is_wanted(resource) && !resource->sent)
            xds_resources_release(&protocol->resources, resource,
                                  protocol->exchanges[kind].wildcard);
}

/* Before the next request: those that the last one took back. */
static void forget_removed(struct xds_protocol *protocol, enum xds_kind kind)
{
    if (!protocol->delta)
        return;
    FOR_EACH(protocol, kind, resource)
        if (!xds_resource_is_wanted(resource) && resource->sent) {
            resource->sent = false;
            xds_resources_release(&protocol->resources, resource,
                                  protocol->exchanges[kind].wildcard);
        }
}

static bool is_due(struct xds_protocol *protocol, enum xds_kind kind, usec_t now)
{
    struct xds_exchange *exchange = &protocol->exchanges[kind];

    if (exchange->reply && now >= exchange->reply_at)
        return true;
    if (!exchange->started)
        return exchange->wildcard || wants_any(protocol, kind);
    return exchange->changed && !exchange->wildcard;
}

static bool is_empty(const struct xds_request *request)
{
    return request->name_count == 0 && request->removed_count == 0;
}

/* An answer to a response alone, as delta has it. */
static void fill_reply(struct xds_exchange *exchange, struct xds_request *request)
{
    request->nonce = exchange->reply;
    request->error = exchange->reply_nack;
}

static int make_request(struct xds_protocol *protocol, enum xds_kind kind, usec_t now,
                        struct xds_request *request)
{
    struct xds_exchange *exchange = &protocol->exchanges[kind];
    bool first = !exchange->started;

    *request = (struct xds_request){
        .kind = kind, .delta = protocol->delta, .with_node = !protocol->node_told};
    if (make_lists(protocol, request) < 0) {
        xds_request_done(request);
        return -ENOMEM;
    }
    if (!protocol->delta) {
        fill_world(protocol, request, now);
        request->error = exchange->reply_nack;
    } else if (exchange->reply) {
        fill_reply(exchange, request);
    } else {
        fill_delta(protocol, request, now);
        if (is_empty(request) && !first) {
            xds_request_done(request);
            return 0;
        }
    }
    if (request->error)
        exchange->nacked_at = now;
    if (first) {
        exchange->started = true;
        exchange->asked_at = now;
        if (exchange->wildcard)
            wait_for_whole(protocol, kind, now);
    }
    protocol->node_told = true;
    return 1;
}

/* The strings of the reply live until the next call: they are in the request. */
static void replied(struct xds_exchange *exchange)
{
    set_text(&exchange->reply, NULL);
    set_text(&exchange->reply_nack, NULL);
}

int xds_protocol_next(struct xds_protocol *protocol, usec_t now, struct xds_request *ret_request)
{
    for (unsigned kind = 0; kind < XDS_KINDS; kind++) {
        struct xds_exchange *exchange = &protocol->exchanges[kind];
        int r;

        if (exchange->replying) {
            exchange->replying = false;
            replied(exchange);
        }
        if (exchange->removing) {
            exchange->removing = false;
            forget_removed(protocol, kind);
        }
        if (exchange->wildcard && exchange->changed) {
            exchange->changed = false;
            if (exchange->started)
                wait_for_whole(protocol, kind, now);
            sweep_unwanted(protocol, kind);
        }
        if (!is_due(protocol, kind, now))
            continue;
        r = make_request(protocol, kind, now, ret_request);
        if (r == 0)
            continue;
        exchange->replying = exchange->reply != NULL;
        exchange->removing = r > 0 && ret_request->removed_count > 0;
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
            response->unnamed = true;
        }
        return resource;
    }
    resource = xds_resources_find(&protocol->resources, response->kind, name);
    if (resource && (xds_resource_is_wanted(resource) || resource->sent))
        return resource;
    response->ignored++;
    return NULL;
}

void xds_protocol_take(struct xds_protocol *protocol, struct xds_response *response,
                       const char *name, const char *version, struct xds_value *value,
                       const char *reason, usec_t now)
{
    struct xds_resource *resource;

    if (*name == '\0') {
        xds_protocol_blame(response, "", reason && *reason ? reason : "a resource without a name");
        response->unnamed = true;
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
    struct xds_resource *resource =
        xds_resources_find(&protocol->resources, response->kind, name);

    if (!resource)
        return;
    xds_resource_absent(&protocol->resources, resource);
    xds_resources_release(&protocol->resources, resource,
                          protocol->exchanges[response->kind].wildcard);
}

void xds_protocol_refused(struct xds_protocol *protocol, const struct xds_response *response,
                          const char *name, int code, const char *text)
{
    struct xds_resource *resource =
        xds_resources_find(&protocol->resources, response->kind, name);
    char reason[XDS_REASON_SIZE];

    if (!resource)
        return;
    if (code == GRPC_NOT_FOUND) {
        xds_resource_absent(&protocol->resources, resource);
        return;
    }
    snprintf(reason, sizeof(reason), "the server refuses it: %s: %.200s",
             grpc_code_to_string(code), text);
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

    FOR_EACH(protocol, response->kind, resource) {
        if (resource->seen == response->number)
            continue;
        /* By name an answer may be to the request before the one that named it. */
        if (resource->known == XDS_HELD || wildcard)
            xds_resource_absent(&protocol->resources, resource);
        xds_resources_release(&protocol->resources, resource, wildcard);
    }
}

/* Refusals are told in no hurry when they come one after another. */
static void refuse(struct xds_protocol *protocol, struct xds_exchange *exchange, const char *reasons,
                   usec_t now)
{
    exchange->reply_at = now;
    if (exchange->nacked_at != 0 && now < usec_add(exchange->nacked_at, XDS_NACK_PAUSE)) {
        exchange->reply_at = usec_add(exchange->nacked_at, XDS_NACK_PAUSE);
        wait_until(protocol, exchange->reply_at);
    }
    exchange->nacks++;
    exchange->nack_is_news = !exchange->nack || !streq(exchange->nack, reasons);
    set_text(&exchange->nack, reasons);
}

void xds_protocol_finish(struct xds_protocol *protocol, struct xds_response *response, usec_t now)
{
    struct xds_exchange *exchange = &protocol->exchanges[response->kind];

    if (!protocol->delta && is_complete_kind(response->kind) && !response->unnamed)
        sweep_missing(protocol, response);
    if (exchange->wildcard && exchange->whole_at == 0) {
        exchange->whole_at = usec_add(now, protocol->delta ? XDS_COMPLETE_TIME : 0);
        wait_for_whole(protocol, response->kind, now);
    }
    if (!protocol->delta) {
        set_text(&exchange->nonce, response->nonce);
        if (response->bad == 0)
            set_text(&exchange->version, response->version);
    }
    exchange->replying = exchange->removing = false;
    free(exchange->reply);
    exchange->reply = response->nonce;
    response->nonce = NULL;
    set_text(&exchange->reply_nack, response->bad > 0 ? response->reasons : NULL);
    exchange->reply_at = 0;
    if (response->bad > 0)
        refuse(protocol, exchange, response->reasons, now);
    xds_response_done(response);
}

/* ---- time, and the end of a stream ---- */

static void expire(struct xds_protocol *protocol, struct xds_resource *resource)
{
    const struct xds_exchange *exchange = &protocol->exchanges[resource->kind];
    bool told = exchange->whole_at > 0 || (protocol->heard && !protocol->transient);

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
    for (unsigned kind = 0; kind < XDS_KINDS; kind++) {
        if (protocol->exchanges[kind].reply_at > now)
            wait_until(protocol, protocol->exchanges[kind].reply_at);
        FOR_EACH(protocol, kind, resource) {
            if (resource->due != 0 && resource->due <= now)
                expire(protocol, resource);
            else if (resource->due != 0)
                wait_for(protocol, resource, resource->due);
        }
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
    exchange->replying = exchange->removing = false;
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
        FOR_EACH(protocol, kind, resource) {
            resource->sent = false;
            resource->due = 0;
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
