/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/grpc_transport.h"
#include "daemon/net/grpc.h"
#include "daemon/net/grpc_dial.h"

#include <stdio.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

enum { READ_SIZE = 32 * 1024 };

enum state { IDLE, DIALLING, HANDSHAKE, CONNECTED, CLOSED };

struct grpc_transport {
    sd_event *event;
    enum state state;
    struct grpc_dial *dial;
    struct grpc_tls *tls; /* NULL: plain */
    int fd;
    sd_event_source *io;
    struct byte_queue out; /* for the socket */
    int send_error;        /* nothing can be sent any more; what can be read says more */
    const struct grpc_transport_handler *handler;
    void *userdata;
};

/* ---- the end ---- */

static void transport_close(struct grpc_transport *transport, int status, const char *text)
{
    if (transport->state == CLOSED)
        return;
    transport->state = CLOSED;
    transport->io = sd_event_source_disable_unref(transport->io);
    transport->handler->on_closed(transport->userdata, status, text);
}

static void transport_close_errno(struct grpc_transport *transport, int error)
{
    int number = error < 0 ? -error : error;
    bool shortage = number == EMFILE || number == ENFILE || number == ENOMEM || number == ENOBUFS;

    transport_close(transport, shortage ? GRPC_SHORTAGE : GRPC_UNAVAILABLE, strerror(number));
}

static void transport_close_tls(struct grpc_transport *transport)
{
    bool certificate;
    const char *text = grpc_tls_error(transport->tls, &certificate);

    transport_close(transport, certificate ? GRPC_TLS : GRPC_UNAVAILABLE, text);
}

/* ---- out ---- */

static void transport_await(struct grpc_transport *transport)
{
    if (transport->io)
        sd_event_source_set_io_events(transport->io,
                                      EPOLLIN | (transport->out.size > 0 ? EPOLLOUT : 0));
}

/*
 * A server that refuses us says why, and closes the connection under what we send meanwhile. So an
 * error of sending ends nothing: reading finds the reason, or the end.
 */
static void transport_send(struct grpc_transport *transport)
{
    struct byte_queue *out = &transport->out;

    while (out->size > 0) {
        ssize_t n = send(transport->fd, byte_queue_front(out), out->size, MSG_NOSIGNAL);

        if (n >= 0) {
            byte_queue_drop(out, (size_t)n);
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            transport->send_error = errno;
            byte_queue_done(out);
        }
    }
    transport_await(transport);
}

void grpc_transport_write(struct grpc_transport *transport, const uint8_t *data, size_t size)
{
    int r;

    if (transport->state != CONNECTED)
        return;
    if (!transport->tls)
        r = byte_queue_append(&transport->out, data, size);
    else
        r = grpc_tls_write(transport->tls, data, size);
    if (r == 0 && transport->tls)
        r = grpc_tls_drain(transport->tls, &transport->out);
    if (r == -EPROTO)
        transport_close_tls(transport);
    else if (r < 0)
        transport_close_errno(transport, r);
}

size_t grpc_transport_waiting(const struct grpc_transport *transport)
{
    return transport->out.size;
}

bool grpc_transport_is_idle(const struct grpc_transport *transport)
{
    return transport->state == CONNECTED && transport->out.size == 0 && !transport->send_error;
}

void grpc_transport_flush(struct grpc_transport *transport)
{
    if (transport->state == CONNECTED)
        transport_send(transport);
}

/* ---- in ---- */

static void transport_connected(struct grpc_transport *transport)
{
    transport->state = CONNECTED;
    transport->handler->on_connected(transport->userdata);
}

static void transport_handshake(struct grpc_transport *transport)
{
    int done = grpc_tls_handshake(transport->tls);

    /* What it has to say goes out in any case: an alert tells the server why. */
    if (grpc_tls_drain(transport->tls, &transport->out) < 0) {
        transport_close_errno(transport, -ENOMEM);
        return;
    }
    transport_send(transport);
    if (done < 0)
        transport_close_tls(transport);
    else if (done > 0)
        transport_connected(transport);
}

/* What TLS has for us after new bytes; its own words to the peer too. */
static void transport_take_tls(struct grpc_transport *transport)
{
    uint8_t buffer[READ_SIZE];
    ssize_t n = 0;

    if (transport->state == HANDSHAKE)
        transport_handshake(transport);
    while (transport->state == CONNECTED &&
           (n = grpc_tls_read(transport->tls, buffer, sizeof(buffer))) > 0)
        transport->handler->on_bytes(transport->userdata, buffer, (size_t)n);
    if (transport->state != CONNECTED)
        return;
    if (grpc_tls_drain(transport->tls, &transport->out) < 0) {
        transport_close_errno(transport, -ENOMEM);
        return;
    }
    transport_send(transport);
    if (n == -EPIPE)
        transport_close(transport, GRPC_UNAVAILABLE, "the server closed the connection");
    else if (n == -EPROTO)
        transport_close_tls(transport);
}

static void transport_receive(struct grpc_transport *transport)
{
    uint8_t buffer[READ_SIZE];
    ssize_t n = recv(transport->fd, buffer, sizeof(buffer), 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 && transport->send_error)
        transport_close_errno(transport, transport->send_error);
    else if (n < 0)
        transport_close_errno(transport, errno);
    else if (n == 0)
        transport_close(transport, GRPC_UNAVAILABLE,
                        transport->state == HANDSHAKE
                            ? "the server closed the connection in the TLS handshake"
                            : "the server closed the connection");
    else if (!transport->tls)
        transport->handler->on_bytes(transport->userdata, buffer, (size_t)n);
    else if (grpc_tls_receive(transport->tls, buffer, (size_t)n) < 0)
        transport_close_errno(transport, -ENOMEM);
    else
        transport_take_tls(transport);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct grpc_transport *transport = userdata;

    (void)source, (void)fd;
    if (events & EPOLLOUT) {
        transport_send(transport);
        if (grpc_transport_is_idle(transport))
            transport->handler->on_drained(transport->userdata);
    }
    if (events & ~(uint32_t)EPOLLOUT)
        transport_receive(transport);
    return 0;
}

/* ---- birth ---- */

static void on_dialled(void *userdata, int fd)
{
    struct grpc_transport *transport = userdata;
    int r;

    transport->dial = grpc_dial_free(transport->dial);
    if (fd < 0) {
        transport_close_errno(transport, fd);
        return;
    }
    transport->fd = fd;
    r = sd_event_add_io(transport->event, &transport->io, fd, EPOLLIN, on_io, transport);
    if (r < 0) {
        transport_close_errno(transport, r);
        return;
    }
    transport->state = HANDSHAKE;
    if (transport->tls)
        transport_handshake(transport);
    else
        transport_connected(transport);
}

int grpc_transport_connect(struct grpc_transport *transport, const struct address *addresses,
                           size_t count, unsigned port)
{
    bool certificate;

    transport->state = DIALLING;
    if (transport->tls && *grpc_tls_error(transport->tls, &certificate)) {
        transport_close_tls(transport);
        return 0;
    }
    return grpc_dial_new(transport->event, addresses, count, port, on_dialled, transport,
                         &transport->dial);
}

const char *grpc_transport_doing(const struct grpc_transport *transport)
{
    switch (transport->state) {
    case DIALLING:
        return "not connected";
    case HANDSHAKE:
        return "no TLS handshake";
    default:
        return "no HTTP/2";
    }
}

int grpc_transport_new(struct sd_event *event, struct grpc_tls *tls,
                       const struct grpc_transport_handler *handler, void *userdata,
                       struct grpc_transport **ret_transport)
{
    struct grpc_transport *transport = calloc(1, sizeof(*transport));

    if (!transport) {
        grpc_tls_free(tls);
        return -ENOMEM;
    }
    *transport = (struct grpc_transport){.event = sd_event_ref(event),
                                         .tls = tls,
                                         .fd = -1,
                                         .handler = handler,
                                         .userdata = userdata};
    *ret_transport = transport;
    return 0;
}

struct grpc_transport *grpc_transport_free(struct grpc_transport *transport)
{
    if (!transport)
        return NULL;
    grpc_dial_free(transport->dial);
    sd_event_source_disable_unref(transport->io);
    if (transport->fd >= 0)
        close(transport->fd);
    grpc_tls_free(transport->tls);
    byte_queue_done(&transport->out);
    sd_event_unref(transport->event);
    free(transport);
    return NULL;
}
