/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The twin's TCP connections, which wait for the test's answer. */
#include "tests/replay/twin_internal.h"
#include "tests/unit/unit.h"

#include <stdio.h>

#define TIMEOUT_DEFAULT (3 * USEC_PER_SEC)

/* Closed ones stay in their list until the twin ends, as HTTP calls do. */
struct tcp_call {
    struct twin *twin;
    struct tcp_request request;
    bool open, expected;
    struct env_timer timeout;
    struct twin_kept *kept;
    struct tcp_call *prev, *next;
};

static void tcp_close(struct tcp_call *call)
{
    call->open = false;
    twin_timer_off(&call->twin->env, &call->timeout);
}

static void tcp_finish(struct tcp_call *call, enum tcp_outcome outcome, const char *text)
{
    tcp_close(call);
    call->request.on_done(call->request.userdata, outcome, text);
}

static void tcp_timed_out(struct env_timer *timer)
{
    tcp_finish(timer->owner, TCP_CALL_TIMEOUT, "no answer in time");
}

int twin_tcp_start(struct registry_env *env, const struct tcp_request *request,
                   struct tcp_call **ret_call)
{
    struct twin *twin = twin_of(env);
    struct tcp_call *call;

    twin_check_impure(twin, "a connection is made");
    if (!request->on_done)
        twin_violated(twin, "a connection without on_done");
    if (!request->host || request->port == 0)
        return -EINVAL;
    call = calloc(1, sizeof(*call));
    UNIT_HOLDS(call);
    call->twin = twin;
    call->open = true;
    call->request = *request;
    call->request.host = twin_strdup_in(&call->kept, request->host);
    call->timeout = (struct env_timer){.fire = tcp_timed_out, .owner = call};
    twin_timer_set_own(twin, &call->timeout,
                       usec_add(twin->now, request->timeout ?: TIMEOUT_DEFAULT));
    DL_APPEND(twin->tcp_calls, call);
    *ret_call = call;
    if (twin->attached && twin->observer.tcp)
        twin->observer.tcp(twin->observer.userdata, call);
    return 0;
}

void twin_tcp_cancel(struct registry_env *env, struct tcp_call *call)
{
    struct twin *twin = twin_of(env);
    struct tcp_call *known;

    twin_check_impure(twin, "a connection is cancelled");
    if (!call)
        return;
    DL_FOREACH (twin->tcp_calls, known)
        if (known == call && known->open) {
            tcp_close(call);
            return;
        }
    twin_violated(twin, "a connection is cancelled that is not open");
}

/* ---- the test's side ---- */

struct tcp_call *twin_next_tcp(struct twin *twin)
{
    struct tcp_call *call;

    DL_FOREACH (twin->tcp_calls, call)
        if (call->open && !call->expected) {
            call->expected = true;
            return call;
        }
    return NULL;
}

struct tcp_call *twin_expect_tcp(struct twin *twin, const char *host, uint16_t port)
{
    struct tcp_call *call;

    DL_FOREACH (twin->tcp_calls, call)
        if (call->open && !call->expected && streq(call->request.host, host) &&
            call->request.port == port) {
            call->expected = true;
            return call;
        }
    DL_FOREACH (twin->tcp_calls, call)
        fprintf(stderr, "connection: %s %u%s%s\n", call->request.host, call->request.port,
                call->open ? "" : " (gone)", call->expected ? " (seen)" : "");
    ck_abort_msg("no open connection to %s, port %u", host, port);
    return NULL;
}

void twin_expect_no_tcp(struct twin *twin)
{
    struct tcp_call *call;

    DL_FOREACH (twin->tcp_calls, call)
        UNIT_HOLDS_MSG(!call->open || call->expected, "unexpected connection to %s, port %u",
                       call->request.host, call->request.port);
}

unsigned twin_tcp_open(const struct twin *twin)
{
    const struct tcp_call *call;
    unsigned count = 0;

    DL_FOREACH (twin->tcp_calls, call)
        count += call->open;
    return count;
}

const struct tcp_request *twin_tcp_request(const struct tcp_call *call)
{
    return &call->request;
}

void twin_tcp_end(struct tcp_call *call, enum tcp_outcome outcome, const char *text)
{
    UNIT_HOLDS_MSG(call->open, "a connection is answered that is gone");
    tcp_finish(call, outcome, text);
    twin_run(call->twin);
}

void twin_tcp_free(struct twin *twin, bool all)
{
    struct tcp_call *call, *next;

    DL_FOREACH_SAFE (twin->tcp_calls, call, next) {
        if (!all && call->open)
            continue;
        DL_DELETE(twin->tcp_calls, call);
        twin_kept_free(&call->kept);
        free(call);
    }
}
