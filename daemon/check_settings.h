/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a health check is told to do: its kind, its target, its pace and its rules, as words of
 * Consul's check definitions. Pure. Headers, body and the target's user information and query may
 * be secrets: nothing of them is ever shown, check_settings_show() says what may be.
 */
#pragma once

#include "daemon/endpoint.h"
#include "daemon/net/http.h"

enum {
    CHECK_TARGET_MAX = 2048,
    CHECK_BODY_MAX = 64 * 1024,
    CHECK_HEADERS_MAX = 32,
    CHECK_SHOWN_SIZE = 256,
};

#define CHECK_INTERVAL_DEFAULT (10 * USEC_PER_SEC)
#define CHECK_INTERVAL_MIN     USEC_PER_SEC
#define CHECK_TIMEOUT_DEFAULT  (10 * USEC_PER_SEC)

/* The worst is the least, and what a zeroed struct says. */
enum check_state { CHECK_CRITICAL, CHECK_WARNING, CHECK_PASSING };
const char *check_state_to_string(enum check_state state);
int check_state_from_string(const char *text, enum check_state *ret_state); /* 0 or -EINVAL */

enum check_kind {
    CHECK_HTTP, /* a request: 2xx is passing, 429 warning, all else critical */
    CHECK_TCP,  /* a connection is accepted (with `tls`: and its handshake done) */
    CHECK_GRPC, /* grpc.health.v1 says SERVING */
    CHECK_TTL,  /* nothing is run: somebody says so in time (check_pass) */
};
const char *check_kind_to_string(enum check_kind kind);

/* Zeroed members are defaults. */
struct check_settings {
    enum check_kind kind;
    /* HTTP: a URL; TCP: "HOST:PORT", "[ADDRESS]:PORT"; gRPC: the same, then "/SERVICE" or nothing
     * (the server as a whole); TTL: NULL. */
    const char *target;
    /* HTTP */
    const char *method;                /* NULL: GET */
    const struct http_header *headers; /* "Host" too */
    size_t header_count;
    const char *body;  /* NULL: none */
    bool no_redirects; /* 3xx is critical, where it leads is not looked at */
    /* TLS */
    bool tls;                /* TCP: the handshake is part of the check; gRPC */
    const char *server_name; /* sent and verified instead of the target's host; NULL: that */
    bool skip_verify;
    /* Pace */
    usec_t interval; /* between the starts of two runs; 0: 10 s; at least 1 s */
    usec_t timeout;  /* of a run; 0: 10 s */
    usec_t ttl;      /* TTL: so long a word counts; never 0 */
    /* Rules: so many results of a kind in a row before the state follows; 0 is 1. */
    unsigned successes_before_passing;
    unsigned failures_before_warning; /* 0: as before critical, so that there is no warning */
    unsigned failures_before_critical;
    enum check_state status; /* till the first result */
};

/*
 * A copy of its own, with the defaults filled in. Errors: -EINVAL: a target, method, header or
 * number that cannot be (see check_settings_mistake()); -ENOMEM.
 */
int check_settings_copy(const struct check_settings *settings, struct check_settings **ret_copy);
struct check_settings *check_settings_free(struct check_settings *settings); /* takes NULL */

/* What cannot be, in one line without secrets; NULL: it is in order. */
const char *check_settings_mistake(const struct check_settings *settings);
bool check_settings_equal(const struct check_settings *a, const struct check_settings *b);

/* Of a target "HOST:PORT", and what follows a '/' is passed over: 0 or -EINVAL. The host without
 * brackets. */
int check_target_split(const char *target, char ret_host[static CHECK_SHOWN_SIZE],
                       uint16_t *ret_port);

/* Where it connects to, if the target says so by an address: 0; -ENOENT: by a name, or nowhere. */
int check_settings_address(const struct check_settings *settings, struct address *ret_address);

/* "http http://10.0.0.1:8080/readyz", "tcp 10.0.0.1:80", "ttl": for people; printable ASCII, cut
 * where too long. */
void check_settings_show(const struct check_settings *settings,
                         char ret_text[static CHECK_SHOWN_SIZE]);
