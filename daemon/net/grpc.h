/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gRPC calls as registries see them: bidirectional or server-streaming, asynchronous, and nothing of
 * any registry. The client behind it comes with the first registry that needs it; until then
 * registry_env's grpc verbs return -EOPNOTSUPP.
 */
#pragma once

#include "daemon/base.h"
#include "daemon/net/http.h"

struct grpc_handler {
    /* The server took the stream (its head arrived). Optional. */
    void (*on_open)(void *userdata);
    /* One whole message; non-zero ends the call. */
    int (*on_message)(void *userdata, const void *message, size_t size);
    /* Exactly once unless cancelled. `status` is a gRPC status code; `text` for people. */
    void (*on_end)(void *userdata, int status, const char *text);
};

struct grpc_request {
    const char *url;  /* "http://host:port" or "https://..." */
    const char *path; /* "/package.Service/Method" */
    const struct http_header *metadata;
    size_t metadata_count;
    const struct http_tls *tls;
    usec_t connect_timeout; /* 0: 3 s */
    usec_t ping_interval;   /* 0: 5 min */
    size_t max_message;     /* 0: 64 MiB */
    const struct grpc_handler *handler;
    void *userdata;
};

struct grpc_call;
