/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TLS between two buffers: what came from the socket goes in, what the peer said comes out, and the
 * other way round. OpenSSL without a socket of its own: nothing blocks, nothing is logged.
 *
 * TLS 1.2 or later, "h2" by ALPN or nothing, no renegotiation, no sessions kept: certificates and
 * keys are those of the files at the time of grpc_tls_new().
 */
#pragma once

#include "daemon/net/byte_queue.h"
#include "daemon/net/http.h"

enum { GRPC_TLS_TEXT_SIZE = 256 };

struct grpc_tls;

/*
 * `host` is verified and sent as SNI unless `config` (or NULL) has a server name. A file that
 * cannot be used is found out here and told by grpc_tls_error(). 0, -ENOMEM.
 */
int grpc_tls_new(const struct http_tls *config, const char *host, struct grpc_tls **ret_tls);
struct grpc_tls *grpc_tls_free(struct grpc_tls *tls); /* takes NULL */

/* 1: done; 0: not yet; -EPROTO: failed (grpc_tls_error()). What it says meanwhile is in drain(). */
int grpc_tls_handshake(struct grpc_tls *tls);
int grpc_tls_receive(struct grpc_tls *tls, const uint8_t *data, size_t size); /* 0, -ENOMEM */
/* What the peer said: bytes; 0: no more for now; -EPIPE: it said good-bye; -EPROTO. */
ssize_t grpc_tls_read(struct grpc_tls *tls, uint8_t *buffer, size_t size);
int grpc_tls_write(struct grpc_tls *tls, const uint8_t *data, size_t size); /* 0, -EPROTO */
/* Appends what the socket is to send. 0, -ENOMEM. */
int grpc_tls_drain(struct grpc_tls *tls, struct byte_queue *queue);

/* Why it failed, or will ("": it has not); and must an operator act for a certificate or key? */
const char *grpc_tls_error(const struct grpc_tls *tls, bool *ret_certificate);
