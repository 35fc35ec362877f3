/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The connection of one call: bytes to and from a socket, with or without TLS.
 *
 * One turn of the loop reads at most 32 KiB. It may be freed at any time but from inside its own
 * callbacks.
 */
#pragma once

#include "daemon/endpoint.h"
#include "daemon/net/grpc_tls.h"

struct grpc_transport;
struct sd_event;

struct grpc_transport_handler {
    void (*on_connected)(void *userdata); /* with TLS: when it stands */
    void (*on_bytes)(void *userdata, const uint8_t *data, size_t size);
    void (*on_drained)(void *userdata); /* all that was written has left: more is welcome */
    /* Once, and the last one. `status` is a grpc_code. */
    void (*on_closed)(void *userdata, int status, const char *text);
};

/* Takes over `tls`, which may be NULL, in any case. 0, -ENOMEM. */
int grpc_transport_new(struct sd_event *event, struct grpc_tls *tls,
                       const struct grpc_transport_handler *handler, void *userdata,
                       struct grpc_transport **ret_transport);
struct grpc_transport *grpc_transport_free(struct grpc_transport *transport); /* takes NULL */

/* Once. The rest comes by the handler; on_closed() at once if a file of TLS is bad. 0, -ENOMEM. */
int grpc_transport_connect(struct grpc_transport *transport, const struct address *addresses,
                           size_t count, unsigned port);

/* May it be written to: connected, and nothing waits? */
bool grpc_transport_is_idle(const struct grpc_transport *transport);
/* For what is to be sent at once, in pieces; then flush. Errors come by on_closed(), later. */
void grpc_transport_write(struct grpc_transport *transport, const uint8_t *data, size_t size);
size_t grpc_transport_waiting(const struct grpc_transport *transport);
void grpc_transport_flush(struct grpc_transport *transport);

/* What it does now, for a text: "connecting" ... */
const char *grpc_transport_doing(const struct grpc_transport *transport);
