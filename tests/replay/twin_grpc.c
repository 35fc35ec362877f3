/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The twin's gRPC calls: streams that say what the test lets them say. */
#include "tests/replay/twin_internal.h"
#include "tests/unit/unit.h"

#include <stdio.h>

/* A message that the registry sent. */
struct sent {
    uint8_t *data;
    size_t size;
    bool taken;
    struct sent *next;
};

/* Calls stay in their list, closed, until the twin ends. */
struct grpc_call {
    struct twin *twin;
    struct grpc_request request;
    bool open, expected;
    struct sent *messages;
    struct twin_kept *kept;
    struct grpc_call *prev, *next;
};

static void add_message(struct grpc_call *call, const void *data, size_t size)
{
    struct sent *sent = twin_keep_in(&call->kept, calloc(1, sizeof(*sent)));

    sent->data = twin_keep_in(&call->kept, malloc(size + 1));
    memcpy(sent->data, data, size);
    sent->size = size;
    LL_APPEND(call->messages, sent);
}

static void copy_metadata(struct grpc_call *call, const struct grpc_request *request)
{
    struct http_header *copy = twin_keep_in(&call->kept,
                                            calloc(request->metadata_count + 1, sizeof(*copy)));

    for (size_t i = 0; i < request->metadata_count; i++)
        copy[i] = (struct http_header){twin_strdup_in(&call->kept, request->metadata[i].name),
                                       twin_strdup_in(&call->kept, request->metadata[i].value)};
    call->request.metadata = copy;
}

int twin_grpc_open(struct registry_env *env, const struct grpc_request *request,
                   struct grpc_call **ret_call)
{
    struct twin *twin = twin_of(env);
    struct grpc_call *call;

    twin_check_impure(twin, "a gRPC call is opened");
    if (!request->url || !request->path || !request->handler || !request->handler->on_message ||
        !request->handler->on_end)
        twin_violated(twin, "a gRPC call without URL, path or handlers");
    call = calloc(1, sizeof(*call));
    UNIT_HOLDS(call);
    call->twin = twin;
    call->open = true;
    call->request = *request;
    call->request.url = twin_strdup_in(&call->kept, request->url);
    call->request.path = twin_strdup_in(&call->kept, request->path);
    call->request.tls = NULL;
    if (request->tls) {
        struct http_tls *tls = twin_keep_in(&call->kept, malloc(sizeof(*tls)));

        *tls = *request->tls;
        tls->ca_file = twin_strdup_in(&call->kept, tls->ca_file);
        tls->cert_file = twin_strdup_in(&call->kept, tls->cert_file);
        tls->key_file = twin_strdup_in(&call->kept, tls->key_file);
        tls->server_name = twin_strdup_in(&call->kept, tls->server_name);
        call->request.tls = tls;
    }
    copy_metadata(call, request);
    if (request->message)
        add_message(call, request->message, request->message_size);
    DL_APPEND(twin->grpc_calls, call);
    *ret_call = call;
    return 0;
}

static bool is_open(const struct twin *twin, const struct grpc_call *call)
{
    const struct grpc_call *known;

    DL_FOREACH (twin->grpc_calls, known)
        if (known == call)
            return known->open;
    return false;
}

int twin_grpc_send(struct registry_env *env, struct grpc_call *call, const void *message,
                   size_t size)
{
    struct twin *twin = twin_of(env);

    twin_check_impure(twin, "a gRPC message is sent");
    if (!is_open(twin, call)) {
        twin_violated(twin, "a gRPC message is sent on a call that is not open");
        return -EPIPE;
    }
    add_message(call, message, size);
    return 0;
}

void twin_grpc_cancel(struct registry_env *env, struct grpc_call *call)
{
    struct twin *twin = twin_of(env);

    twin_check_impure(twin, "a gRPC call is cancelled");
    if (!call)
        return;
    if (!is_open(twin, call))
        twin_violated(twin, "a gRPC call is cancelled that is not open");
    else
        call->open = false;
}

/* ---- the test's side ---- */

struct grpc_call *twin_expect_grpc(struct twin *twin, const char *url, const char *path)
{
    struct grpc_call *call;

    DL_FOREACH (twin->grpc_calls, call)
        if (call->open && !call->expected && strstr(call->request.url, url) &&
            strstr(call->request.path, path)) {
            call->expected = true;
            return call;
        }
    DL_FOREACH (twin->grpc_calls, call)
        fprintf(stderr, "gRPC call: %s %s%s%s\n", call->request.url, call->request.path,
                call->open ? "" : " (gone)", call->expected ? " (seen)" : "");
    ck_abort_msg("no open call ...%s... ...%s...", url, path);
    return NULL;
}

void twin_expect_no_grpc(struct twin *twin)
{
    struct grpc_call *call;

    DL_FOREACH (twin->grpc_calls, call)
        UNIT_HOLDS_MSG(!call->open || call->expected, "unexpected call %s %s", call->request.url,
                       call->request.path);
}

unsigned twin_grpc_count(const struct twin *twin)
{
    const struct grpc_call *call;
    unsigned count = 0;

    DL_FOREACH (twin->grpc_calls, call)
        count += call->open;
    return count;
}

bool twin_grpc_gone(const struct twin *twin, const struct grpc_call *call)
{
    return !is_open(twin, call);
}

const struct grpc_request *twin_grpc_request(const struct grpc_call *call)
{
    return &call->request;
}

const char *twin_grpc_metadata(const struct grpc_call *call, const char *name)
{
    for (size_t i = 0; i < call->request.metadata_count; i++)
        if (streq(call->request.metadata[i].name, name))
            return call->request.metadata[i].value;
    return NULL;
}

const void *twin_grpc_take(struct grpc_call *call, size_t *ret_size)
{
    struct sent *sent = call->messages;

    while (sent && sent->taken)
        sent = sent->next;
    if (!sent)
        return NULL;
    sent->taken = true;
    *ret_size = sent->size;
    return sent->data;
}

void twin_grpc_answer(struct grpc_call *call, const void *message, size_t size)
{
    struct twin *twin = call->twin;
    /* Exactly as large, so that a sanitizer sees who reads past its end. */
    uint8_t *copy = malloc(size);
    int r;

    UNIT_HOLDS_MSG(call->open, "a gRPC call is answered that is gone");
    UNIT_HOLDS(copy || size == 0);
    if (size > 0)
        memcpy(copy, message, size);
    r = call->request.handler->on_message(call->request.userdata, copy, size);
    free(copy);
    if (r != 0 && call->open) {
        call->open = false;
        call->request.handler->on_end(call->request.userdata, GRPC_CANCELLED, "refused");
    }
    twin_run(twin);
}

void twin_grpc_end(struct grpc_call *call, int status, const char *text)
{
    struct twin *twin = call->twin;

    UNIT_HOLDS_MSG(call->open, "a gRPC call ends that is gone");
    call->open = false;
    call->request.handler->on_end(call->request.userdata, status, text);
    twin_run(twin);
}

void twin_grpc_free(struct twin *twin)
{
    struct grpc_call *call, *next;

    DL_FOREACH_SAFE (twin->grpc_calls, call, next) {
        DL_DELETE(twin->grpc_calls, call);
        twin_kept_free(&call->kept);
        free(call);
    }
}
