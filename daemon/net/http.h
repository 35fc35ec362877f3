/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * HTTP on the event loop: libcurl's multi interface on sd_event, and nothing of any registry.
 *
 * Rules for every call (reference: libcurl settings): no signals, only http and https, no redirects (a
 * token must not follow one), no proxy from the environment, separate connect time-out, keep-alive
 * probes (a peer that vanished without a word ends even a call without time-outs within 30 s:
 * HTTP_TIMEOUT), decoded bytes and headers capped. Host names in URLs are resolved through net/dns, never by
 * libcurl, so the daemon never resolves through itself. TLS verifies by default.
 *
 * No callback runs inside http_start(). After on_done() or http_cancel() the call is gone. Any callback
 * may start and cancel calls, its own too. The process must ignore SIGPIPE (OpenSSL writes without
 * MSG_NOSIGNAL).
 */
#pragma once

#include "daemon/base.h"

struct http_header {
    const char *name;
    const char *value;
};

struct http_tls {
    const char *ca_file;   /* NULL: the system's */
    const char *ca_path;
    const char *cert_file; /* client certificate, NULL: none */
    const char *key_file;
    const void *ca_pem, *cert_pem, *key_pem; /* in-memory twins of the files (kubeconfig *-data) */
    size_t ca_pem_size, cert_pem_size, key_pem_size;
    const char *server_name; /* verified (and sent as SNI) instead of the URL's host; NULL: the host */
    bool insecure;           /* no verification: only by explicit configuration */
};

/* The head of a response; valid during the callback. */
struct http_response {
    int status;
    const struct http_header *headers;
    size_t header_count;
};
/* Value of the first header of this name (case ignored), or NULL. */
const char *http_response_header(const struct http_response *response, const char *name);

enum http_outcome {
    HTTP_DONE,      /* a complete response of any status */
    HTTP_UNREACHABLE, /* not resolved, refused, TLS handshake or connect time-out */
    HTTP_TIMEOUT,   /* connected, the total time ran out or the peer fell silent */
    HTTP_BROKEN,    /* cut off, malformed, bad encoding */
    HTTP_TOO_LARGE, /* over max_body or the header caps */
    HTTP_TLS,       /* a certificate or key, theirs or ours, is not acceptable: an operator must act */
    HTTP_ABORTED,   /* on_body() refused */
};
const char *http_outcome_to_string(enum http_outcome outcome);

/* Callbacks; `userdata` is the request's. */
struct http_handler {
    /* Optional. The head arrived (once; not for 1xx). Non-zero refuses the body (HTTP_ABORTED). */
    int (*on_head)(void *userdata, const struct http_response *response);
    /* Optional: with it the body streams, without it it is collected for on_done. 0 or refuse. */
    int (*on_body)(void *userdata, const char *data, size_t size);
    /*
     * Always, exactly once, unless cancelled. `response` has the status 0 if no head arrived. `body` (never
     * NULL, NUL-terminated) is the collected one. `text` says what went wrong, "" on HTTP_DONE.
     */
    void (*on_done)(void *userdata, enum http_outcome outcome, const struct http_response *response,
                    const char *body, size_t size, const char *text);
};

/* Copied by http_start(), so it may be on the caller's stack. */
struct http_request {
    const char *method; /* NULL: GET */
    const char *url;
    const char *unix_socket; /* path, or NULL */
    const struct http_header *headers;
    size_t header_count;
    const char *body; /* NULL: none */
    size_t body_size;
    const char *username, *password; /* basic authentication, or NULL */
    const struct http_tls *tls;      /* NULL: defaults */
    usec_t connect_timeout;          /* 0: 3 s */
    usec_t timeout;                  /* in all; 0: none (a stream) */
    usec_t silence_timeout;          /* no byte for this long ends it; 0: none */
    size_t max_body;                 /* decoded bytes; 0: 64 MiB. Streams: unlimited if SIZE_MAX */
    bool no_compression;
    bool multiplex;    /* over TLS: wait for and share one HTTP/2 connection */
    bool fresh;        /* a connection of its own */
    bool connect_only; /* TCP connect alone ("http://ADDRESS:PORT"): HTTP_DONE, status 0 */
    const struct http_handler *handler;
    void *userdata;
};

struct http_call;
struct http_client;
struct sd_event;
struct dns_client;

/* `dns` must outlive the client. */
int http_client_new(struct sd_event *event, struct dns_client *dns, struct http_client **ret_client);
/* Cancels all calls; not from within a callback. Takes NULL, returns NULL. */
struct http_client *http_client_free(struct http_client *client);

/*
 * The network is another one now: what is asked from here on goes over connections made from here
 * on (to the second), to addresses resolved anew. Calls under way go on.
 */
void http_client_renew(struct http_client *client);
/* The machine slept: likewise, and every call that had begun ends with HTTP_BROKEN and `why`. Not
 * from within a callback. */
void http_client_reset(struct http_client *client, const char *why);

int http_start(struct http_client *client, const struct http_request *request,
               struct http_call **ret_call);
void http_cancel(struct http_client *client, struct http_call *call); /* takes NULL */
