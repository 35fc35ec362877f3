/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Can one connect there? A TCP connection that is closed as soon as it stands: event-loop glue, and
 * nothing of any registry.
 *
 * A host name is resolved through net/dns, and its addresses are tried one after the other, each
 * for its share of the time. A connection that stood is closed with a reset: it leaves no TIME_WAIT
 * behind, which thousands of them would fill the ports with.
 *
 * No callback runs inside tcp_start(). After on_done() or tcp_cancel() the call is gone.
 */
#pragma once

#include "daemon/base.h"

enum tcp_outcome {
    TCP_CALL_CONNECTED,
    TCP_CALL_REFUSED, /* by all addresses, or not resolved, or no way there */
    TCP_CALL_TIMEOUT,
    TCP_CALL_UNTRIED, /* memory or descriptors ran out here: nothing is known of the other end */
};

/* Copied by tcp_start(). */
struct tcp_request {
    const char *host; /* name or address, without brackets */
    uint16_t port;
    usec_t timeout; /* in all, resolving too; 0: 3 s */
    /* Exactly once unless cancelled. `text`: what happened, one line: "10.0.0.1:80: refused". */
    void (*on_done)(void *userdata, enum tcp_outcome outcome, const char *text);
    void *userdata;
};

struct tcp_call;
struct tcp_client;
struct sd_event;
struct dns_client;

/* `dns` must outlive the client. */
int tcp_client_new(struct sd_event *event, struct dns_client *dns, struct tcp_client **ret_client);
/* Cancels all calls; not from within a callback. Takes NULL, returns NULL. */
struct tcp_client *tcp_client_free(struct tcp_client *client);

/* The network is another one now: names are resolved anew. */
void tcp_client_renew(struct tcp_client *client);

/* Errors: -EINVAL (host or port), -ENOMEM. */
int tcp_start(struct tcp_client *client, const struct tcp_request *request,
              struct tcp_call **ret_call);
void tcp_cancel(struct tcp_client *client, struct tcp_call *call); /* takes NULL */
