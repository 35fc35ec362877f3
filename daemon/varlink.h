/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Varlink server (https://varlink.org): JSON objects that end in NUL over a Unix stream socket.
 * Owns the connections, the framing, org.varlink.service and every bound on what a client can make
 * grow. Knows nothing of nss-sd: which methods there are and what they do is the service's
 * business.
 *
 * A connection has one call at a time; calls sent ahead wait in its buffer and are taken in order,
 * each after the reply to the one before (the last one, of a stream) has been handed to the kernel.
 * So one connection costs at most one message and one reply of memory. A message that is no Varlink
 * call ends its connection.
 */
#pragma once

#include <jansson.h>

#include "daemon/base.h"
#include "daemon/peer.h"

struct sd_event;
struct varlink_server;
struct varlink_call;

/* Zero members mean the default in brackets. What counts by uid does not bind the privileged. */
struct varlink_limits {
    unsigned connections; /* in all [64]; others than the privileged get three quarters of them */
    unsigned connections_uid;  /* of one uid [16] */
    unsigned calls_per_second; /* of one uid [50]; each 64 KiB of a reply count as one more */
    unsigned calls_burst;      /* at once, after a rest [100] */
    size_t message;            /* bytes of one call [1 MiB] */
    size_t reply;              /* bytes of one reply [32 MiB] */
    usec_t message_timeout;    /* from a call's first byte to its last [10 s] */
    usec_t reply_timeout;      /* a client that reads nothing [10 s] */
    usec_t idle_timeout;       /* between calls [5 min] */
};

/* What is served; must outlive the server. */
struct varlink_service {
    const char *vendor, *product, *version, *url; /* for GetInfo */
    const char *interface;                        /* "io.nss-sd.Control" */
    const char *description;                      /* the interface in Varlink's own language */
    const char *busy;      /* error of a call over a limit, without parameters */
    const char *too_large; /* error in place of a reply over its limit, likewise */
    struct varlink_limits limits;

    /* May this peer do everything? Asked once a connection. */
    bool (*privileged)(void *userdata, const struct peer *peer);
    /*
     * One call of the interface; false: there is no such method. Otherwise it has to reply, or to
     * call varlink_call_defer(), before it returns. `parameters` is an object, borrowed.
     */
    bool (*call)(void *userdata, struct varlink_call *call, const char *method, json_t *parameters);
    void *userdata;
};

/* `fd`: a listening AF_UNIX SOCK_STREAM socket, owned from now on; on error it stays the caller's.
 */
int varlink_server_new(struct sd_event *event, int fd, const struct varlink_service *service,
                       struct varlink_server **ret_server);
/* Ends all connections (see varlink_call_defer()); takes NULL, returns NULL. */
struct varlink_server *varlink_server_free(struct varlink_server *server);

const struct peer *varlink_call_peer(const struct varlink_call *call);
bool varlink_call_privileged(const struct varlink_call *call);

/*
 * End the call: with `parameters`, or with an error (a full name). The reference of `parameters` is
 * taken in every case; NULL is an empty object. Nothing is sent inside, so the caller's world stays
 * as it is.
 */
void varlink_reply(struct varlink_call *call, json_t *parameters);
void varlink_error(struct varlink_call *call, const char *error, json_t *parameters);

/* The standard errors a service gives itself. */
void varlink_invalid_parameter(struct varlink_call *call, const char *parameter);
/* `reason`: for people, or NULL. */
void varlink_permission_denied(struct varlink_call *call, const char *reason);

/*
 * The reply comes later. If the connection goes first, `gone` is called once and the call is no
 * more; it must not reply.
 */
void varlink_call_defer(struct varlink_call *call, void (*gone)(void *userdata), void *userdata);

/* ---- streams: calls with "more", which get any number of replies ---- */

/* Does the caller take more than one reply? If not, a method that streams says so. */
bool varlink_call_more(const struct varlink_call *call);
void varlink_expected_more(struct varlink_call *call);

/*
 * The replies come from `next`, called from the loop when the client has taken all before: one
 * reply's parameters (small: one over the limit of replies ends the stream with an error), NULL
 * for "none now", till varlink_call_wake(). With *ret_last the reply, which must be there then, is
 * the last. `gone` is called once, when the stream is over, whoever ended it. `patient`: the client
 * may be as slow as it likes, for it costs one reply; else one that reads nothing is dropped, as
 * what waits for it is dear.
 */
void varlink_call_stream(struct varlink_call *call, json_t *(*next)(void *userdata, bool *ret_last),
                         void (*gone)(void *userdata), void *userdata, bool patient);
/* There is something for `next` to tell. */
void varlink_call_wake(struct varlink_call *call);

/* A JSON string of any text: bytes that are not UTF-8 become '?'. NULL: JSON's null. */
json_t *varlink_string(const char *text);
