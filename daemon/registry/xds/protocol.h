/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rules of xDS between one response and one request, for the state-of-the-world (SotW) and the
 * incremental (delta) variant. Pure: no I/O, no bytes, the clock is an argument.
 *
 *   - A kind of resource has a conversation of its own: its first request on a stream says what is
 *     wanted, every response is acknowledged (ACK) or refused (NACK) once, a change of what is
 *     wanted is a request of its own. The node goes into the first request of a stream.
 *   - Nonces die with the stream; versions outlive it, as long as the server is the same one.
 *   - A NACK keeps the good resources of the response (gRPC A46) and all that was known before.
 *   - Who is absent: what a delta response removes; of clusters and listeners what a SotW response
 *     lacks that was there before, or that was asked for by wildcard; what was asked for by name on
 * a stream that answers and did not come for 15 s. That a SotW response lacks an assignment or a
 *     route says nothing.
 *   - A resource that nobody asked for is passed over; one that comes twice in a response is bad.
 */
#pragma once

#include "daemon/registry/xds/resources.h"

#define XDS_MISSING_TIME   (15 * USEC_PER_SEC) /* until what was asked for counts as absent */
#define XDS_TRANSIENT_TIME (30 * USEC_PER_SEC) /* where the server says that this is a failure */
#define XDS_COMPLETE_TIME  (1 * USEC_PER_SEC)  /* until a delta wildcard counts as told whole */

struct xds_exchange {
    bool wildcard;     /* everything of this kind is asked for; fixed while a stream lives */
    bool started;      /* the first request on this stream was made */
    bool changed;      /* the server is to be told what is wanted now */
    bool answered;     /* on this stream */
    usec_t asked_at;   /* the first request on this stream */
    usec_t whole_at;   /* wildcard: from then on what is not held is absent; 0: not known */
    char *version;     /* SotW: accepted last */
    char *nonce;       /* SotW: of the last response on this stream */
    char *reply;       /* nonce of the response that is to be acknowledged, or NULL */
    char *reply_nack;  /* what was wrong with it, or NULL */
    bool replying;     /* both are in the request that was made last */
    usec_t reply_at;   /* not before: a server that repeats what was refused is slowed down */
    unsigned refusals; /* in a row */
    uint64_t nacks;
    char *nack;        /* the last one, for operators */
    bool nack_is_news; /* the one before said something else */
};

struct xds_protocol {
    bool delta;
    bool transient;     /* server feature resource_timer_is_transient_error (A88) */
    bool node_told;     /* on this stream */
    bool heard;         /* a response came on this stream */
    uint64_t responses; /* counted from the beginning */
    usec_t due;         /* no resource is due before; 0: none is */
    struct xds_exchange exchanges[XDS_KINDS];
    struct xds_resources resources;
};

void xds_protocol_done(struct xds_protocol *protocol);

/* ---- what is wanted ---- */

/* Somebody depends on this resource now, or nobody does any more. */
void xds_protocol_touch(struct xds_protocol *protocol, struct xds_resource *resource);

/* ---- requests ---- */

struct xds_request {
    enum xds_kind kind;
    bool delta, with_node;
    const char *version;   /* SotW */
    const char *nonce;     /* NULL: none */
    const char *error;     /* NACK */
    const char **names;    /* SotW: all; delta: to subscribe to */
    const char **removed;  /* delta: to unsubscribe from */
    const char **held;     /* delta, first request: resources that are held ... */
    const char **versions; /* ... and their versions */
    size_t name_count, removed_count, held_count;
};

/*
 * The next request to send, if one is due: 1, 0, or -ENOMEM. It counts as sent. The strings are
 * borrowed until the protocol is next called; the arrays belong to the request.
 */
int xds_protocol_next(struct xds_protocol *protocol, usec_t now, struct xds_request *ret_request);
void xds_request_done(struct xds_request *request);

/* ---- responses ---- */

struct xds_response {
    enum xds_kind kind;
    uint64_t number;
    char *version, *nonce;
    size_t bad;
    bool partial; /* a bad one without a name, or a heartbeat: absence says nothing */
    char reasons[1024];
};

/* `version` and `nonce` are copied. 0 or -ENOMEM. */
int xds_protocol_begin(struct xds_protocol *protocol, enum xds_kind kind, const char *version,
                       const char *nonce, struct xds_response *ret_response);
/*
 * One resource: its value (taken, whatever comes), or NULL and the reason why it is bad. `name` "":
 * not known. `version` of it (delta), or NULL.
 */
void xds_protocol_take(struct xds_protocol *protocol, struct xds_response *response,
                       const char *name, const char *version, struct xds_value *value,
                       const char *reason, usec_t now);
/* The response is bad as a whole, or beside its resources. */
void xds_protocol_blame(struct xds_response *response, const char *name, const char *reason);
/* Delta: the server has it no more, or never had. */
void xds_protocol_removed(struct xds_protocol *protocol, struct xds_response *response,
                          const char *name);
/* The server says why it cannot tell of a resource: a google.rpc.Code and a text. */
void xds_protocol_refused(struct xds_protocol *protocol, const struct xds_response *response,
                          const char *name, int code, const char *text);
/* The whole was looked at: it is acknowledged with the next request. Frees the response. */
void xds_protocol_finish(struct xds_protocol *protocol, struct xds_response *response, usec_t now);
/* Or the stream ended before. */
void xds_response_done(struct xds_response *response);

/* ---- time, and the end of a stream ---- */

/* Resources that are due by now did not come. */
void xds_protocol_expire(struct xds_protocol *protocol, usec_t now);
/* The kind was asked for by name, `wait` ago or longer, and nothing came of it on this stream. */
bool xds_protocol_is_silent(const struct xds_protocol *protocol, enum xds_kind kind, usec_t wait,
                            usec_t now);
void xds_protocol_lost(struct xds_protocol *protocol);
/* Another server, or another variant: its versions are not those of the last one. */
void xds_protocol_forget_versions(struct xds_protocol *protocol);
