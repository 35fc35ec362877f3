/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gRPC calls on the event loop: HTTP/2 (nghttp2) and TLS (OpenSSL) on sd_event, and nothing of any
 * registry.
 *
 *   grpc            the calls: life, timers, turns, what the caller is told
 *   grpc_session    one call as HTTP/2: bytes in, bytes out, no I/O, no clock
 *   grpc_frame      messages in the byte stream of a call (pure)
 *   grpc_status     how a call ended, out of headers, HTTP statuses and reset codes (pure)
 *   grpc_transport  the connection: bytes to and from a socket, with or without TLS
 *   grpc_dial       one connected socket out of several addresses
 *   grpc_tls        TLS between two buffers
 *
 * Every call has a connection of its own. A registry has one stream for ever, a health check one
 * short call every few seconds which is to show that the server takes connections: neither gains by
 * sharing, and so a GOAWAY, a rotated certificate or a connection's death is a matter of one call.
 *
 * Host names are resolved as in net/http: /etc/hosts and c-ares, never through ourselves. No
 * callback runs inside grpc_open(), grpc_send() or grpc_cancel(). After on_end() or grpc_cancel()
 * the call is gone. Any callback may open, send and cancel, its own call too. The next message
 * comes from the network no sooner than on_message() has returned: a slow reader slows the server
 * down. What becomes of a failed call (again, when) is the caller's; grpc_backoff() says how long
 * to wait.
 */
#pragma once

#include "daemon/base.h"
#include "daemon/net/http.h"

/* How a call ends: the status codes of gRPC, and two of our own. */
enum grpc_code {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8, /* also: a message or header list over our caps */
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,    /* also: the peer broke the protocol */
    GRPC_UNAVAILABLE = 14, /* also: not resolved, not connected, connection lost, silent */
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
    /* A certificate or key, theirs or ours, is not acceptable: an operator must act. */
    GRPC_TLS = 1000,
    /* Memory or descriptors ran out here: nothing was learned of the server. */
    GRPC_SHORTAGE = 1001,
};
const char *grpc_code_to_string(int code); /* "UNAVAILABLE"; "unknown" for what is no code */

struct grpc_handler {
    /* The server took the stream (its head arrived; many send it with the first message only).
     * Optional. */
    void (*on_open)(void *userdata);
    /* One whole message; non-zero ends the call (on_end: GRPC_CANCELLED). */
    int (*on_message)(void *userdata, const void *message, size_t size);
    /* Exactly once unless cancelled. `status` is a grpc_code; `text` for people, "" on GRPC_OK. */
    void (*on_end)(void *userdata, int status, const char *text);
};

/* Copied by grpc_open(), so it may be on the caller's stack; the handler must stay. */
struct grpc_request {
    const char *url;  /* "http://host:port" or "https://..."; no user, no path */
    const char *path; /* "/package.Service/Method" */
    /* Names in lower case; none of HTTP/2's or gRPC's own. "-bin" values are base64 already. */
    const struct http_header *metadata;
    size_t metadata_count;
    const struct http_tls *tls; /* files are read at each call */
    usec_t connect_timeout;     /* until the server speaks HTTP/2; 0: 3 s */
    /* In all (GRPC_DEADLINE_EXCEEDED); the server is told. 0: none (a stream). */
    usec_t timeout;
    /*
     * A PING after so long without a byte from the server, which then has as long again to say
     * anything, at most 20 s. 0: 5 min, because servers cut off who asks more often.
     */
    usec_t ping_interval;
    size_t max_message; /* 0: 64 MiB */
    /* The first message, or NULL. `single`: also the last, as in unary and server-streaming calls.
     */
    const void *message;
    size_t message_size;
    bool single;
    const struct grpc_handler *handler;
    void *userdata;
};

struct grpc_call;
struct grpc_client;
struct sd_event;
struct dns_client;

/* `dns` must outlive the client. */
int grpc_client_new(struct sd_event *event, struct dns_client *dns,
                    struct grpc_client **ret_client);
/* Cancels all calls; not from within a callback. Takes NULL, returns NULL. */
struct grpc_client *grpc_client_free(struct grpc_client *client);

/* As their twins in net/http.h: the network is another one; the machine slept. */
void grpc_client_renew(struct grpc_client *client);
void grpc_client_reset(struct grpc_client *client, const char *why);

/* 0, -EINVAL (URL, path or metadata), -ENOBUFS (message), -ENOMEM. */
int grpc_open(struct grpc_client *client, const struct grpc_request *request,
              struct grpc_call **ret_call);

/*
 * Queues a message; the call need not be open yet. 0; -ENOBUFS: too much waits for the server
 * (16 MiB), nothing was queued; -EPIPE: the call sends no more (`single`); -ENOMEM.
 */
int grpc_send(struct grpc_call *call, const void *message, size_t size);
void grpc_cancel(struct grpc_call *call); /* takes NULL */

/*
 * How long to wait before another attempt after `failures` of them in a row: 1 s, then times 1.6,
 * at most 120 s, each with 20 % of jitter drawn from `random` (gRPC's connection back-off). Pure.
 */
usec_t grpc_backoff(unsigned failures, uint64_t random);
