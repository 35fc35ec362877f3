/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kinds of runs share (check_run.c and check_run_KIND.c). */
#pragma once

#include "daemon/check_run.h"

struct check_run {
    struct registry_env *env;
    const struct check_settings *settings;
    check_run_done_t done;
    void *userdata;
    usec_t deadline;
    struct http_call *http; /* NULL: none on its way */
    struct tcp_call *tcp;
    struct grpc_call *grpc;
    /* HTTP */
    char *url;     /* where a redirect led; NULL: the target */
    unsigned hops; /* redirects followed */
    bool plain;    /* a redirect made a GET of it: method and body are no more */
    bool full;     /* enough of the body was read */
    char *body;
    size_t body_size;
    /* gRPC */
    bool answered;
    int health; /* what it answered */
};

/* Begin; negative errno. */
int check_run_http(struct check_run *run);
int check_run_tcp(struct check_run *run);
int check_run_grpc(struct check_run *run);

/* Tells and frees; its calls have ended. */
void check_run_end(struct check_run *run, bool tried, enum check_state state, const char *output);
