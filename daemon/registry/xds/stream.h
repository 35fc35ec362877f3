/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The stream to the control plane (ADS over gRPC): one call, made again whenever it ends; which
 * server, which variant, how long to wait. Messages that come are decoded in turns of a bounded
 * number of bytes.
 *
 * A stream that ends after it has answered is made again at once: servers end them now and then.
 * Where they do it all the time, pauses grow between.
 * One that fails before leads to the next server; after all of them there is a pause that grows.
 */
#pragma once

#include "daemon/registry/xds/message.h"

struct xds;

/* A message that waits to be decoded. */
struct xds_waiting {
    struct xds_waiting *next;
    size_t size;
    uint8_t data[];
};

struct xds_stream {
    struct xds *xds;
    struct grpc_call *call; /* NULL: none; the retry timer runs */
    struct env_timer retry_timer;
    struct env_timer settle_timer; /* a stream that stands so long works, even if it says nothing */
    struct env_timer decode_timer;
    struct env_timer silence_timer; /* T20: a kind that is asked for by name stays silent */
    bool settled;                   /* on this stream: it answered, or it stands */
    size_t server, tried;           /* index of the current one; how many failed in a row */
    unsigned failures;              /* rounds in which all servers failed */
    unsigned brief;                 /* streams in a row that answered, and ended soon */
    usec_t opened_at;               /* the last stream */
    struct xds_intake intake;
    struct xds_waiting *waiting, *last; /* the intake reads the first */
    size_t waiting_size;
    char *token;
    int token_error;
};

int xds_stream_init(struct xds_stream *stream, struct xds *xds);
void xds_stream_done(struct xds_stream *stream);

/* Sends what is due. */
void xds_stream_flush(struct xds_stream *stream);
/* Ends the call and makes another at once: something about it is to be different. */
void xds_stream_restart(struct xds_stream *stream);
/* Tries again now if it waits. */
void xds_stream_kick(struct xds_stream *stream);

const struct xds_server *xds_stream_server(const struct xds_stream *stream);
