/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An HTTP/2 server frame by frame, for tests: a thread runs a story of the test for each
 * connection, on blocking sockets. It knows no rules, so that it can break them.
 */
#pragma once

#include <arpa/inet.h>
#include <check.h>
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEER_FRAME_MAX = 16384 + 64 };

struct peer;
struct peer_server {
    int listener;
    unsigned port;
    _Atomic unsigned begun, ended; /* connections */
    _Atomic bool closing;
    SSL_CTX *tls; /* NULL: plain */
    void (*story)(struct peer *peer);
    pthread_t thread;
};

/* One connection, and the frame read last. */
struct peer {
    struct peer_server *server;
    int fd;
    SSL *ssl;
    bool gone;
    uint8_t type, flags;
    uint32_t stream, size;
    uint8_t payload[PEER_FRAME_MAX];
    char head[8192]; /* of the request: "name: value" lines */
    nghttp2_hd_inflater *inflater;
    uint64_t windows[2]; /* what the client takes: of the connection, of stream 1 */
};

static inline void peer_write(struct peer *peer, const void *data, size_t size)
{
    while (size > 0 && !peer->gone) {
        ssize_t n = peer->ssl ? SSL_write(peer->ssl, data, (int)size)
                              : send(peer->fd, data, size, MSG_NOSIGNAL);

        if (n <= 0) {
            peer->gone = true;
            return;
        }
        data = (const uint8_t *)data + n;
        size -= (size_t)n;
    }
}

static inline bool peer_read(struct peer *peer, void *data, size_t size)
{
    while (size > 0 && !peer->gone) {
        ssize_t n = peer->ssl ? SSL_read(peer->ssl, data, (int)size)
                              : recv(peer->fd, data, size, 0);

        if (n <= 0) {
            peer->gone = true;
            break;
        }
        data = (uint8_t *)data + n;
        size -= (size_t)n;
    }
    return size == 0;
}

/* ---- frames to the client ---- */

static inline void peer_frame(struct peer *peer, uint8_t type, uint8_t flags, uint32_t stream,
                              const void *payload, uint32_t size)
{
    uint8_t head[9] = {(uint8_t)(size >> 16),
                       (uint8_t)(size >> 8),
                       (uint8_t)size,
                       type,
                       flags,
                       (uint8_t)(stream >> 24),
                       (uint8_t)(stream >> 16),
                       (uint8_t)(stream >> 8),
                       (uint8_t)stream};

    peer_write(peer, head, sizeof(head));
    if (size > 0)
        peer_write(peer, payload, size);
}

/* "name: value" lines as a header block of literals. Returns its size. */
static inline size_t peer_block(const char *lines, uint8_t *block)
{
    size_t size = 0;

    while (*lines) {
        size_t name = strcspn(lines + 1, ":") + 1, value = strcspn(lines + name + 2, "\n");

        ck_assert_uint_lt(name, 127);
        ck_assert_uint_lt(value, 127);
        block[size++] = 0;
        block[size++] = (uint8_t)name;
        memcpy(block + size, lines, name);
        size += name;
        block[size++] = (uint8_t)value;
        memcpy(block + size, lines + name + 2, value);
        size += value;
        lines += name + 2 + value;
        lines += *lines == '\n';
    }
    return size;
}

static inline void peer_headers(struct peer *peer, const char *lines, bool end)
{
    uint8_t block[16384];
    size_t size = peer_block(lines, block);

    peer_frame(peer, NGHTTP2_HEADERS,
               NGHTTP2_FLAG_END_HEADERS | (end ? NGHTTP2_FLAG_END_STREAM : 0), 1, block,
               (uint32_t)size);
}

#define PEER_HEAD ":status: 200\ncontent-type: application/grpc\n"

static inline void peer_open(struct peer *peer)
{
    peer_headers(peer, PEER_HEAD, false);
}

static inline void peer_data(struct peer *peer, const void *data, size_t size, bool end)
{
    peer_frame(peer, NGHTTP2_DATA, end ? NGHTTP2_FLAG_END_STREAM : 0, 1, data, (uint32_t)size);
}

/* A message of less than 16 KiB in one frame. */
static inline void peer_message(struct peer *peer, const char *text)
{
    uint8_t data[16384] = {0};
    size_t size = strlen(text);

    data[3] = (uint8_t)(size >> 8);
    data[4] = (uint8_t)size;
    memcpy(data + 5, text, size);
    peer_data(peer, data, size + 5, false);
}

/* Trailers, and nothing after them: no RST_STREAM. */
static inline void peer_end(struct peer *peer, const char *lines)
{
    peer_headers(peer, lines, true);
}

static inline void peer_reset(struct peer *peer, uint32_t code)
{
    uint32_t payload = htonl(code);

    peer_frame(peer, NGHTTP2_RST_STREAM, 0, 1, &payload, sizeof(payload));
}

static inline void peer_goaway(struct peer *peer, uint32_t last, uint32_t code, const char *text)
{
    uint8_t payload[256];
    uint32_t words[2] = {htonl(last), htonl(code)};

    memcpy(payload, words, 8);
    memcpy(payload + 8, text, strlen(text));
    peer_frame(peer, NGHTTP2_GOAWAY, 0, 0, payload, (uint32_t)(8 + strlen(text)));
}

/* ---- frames from the client ---- */

static inline void peer_inflate(struct peer *peer)
{
    const uint8_t *in = peer->payload;
    size_t left = peer->size, length = 0;

    while (left > 0 || length == 0) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t n = nghttp2_hd_inflate_hd2(peer->inflater, &nv, &flags, in, left, 1);

        ck_assert_int_ge(n, 0);
        in += n;
        left -= (size_t)n;
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            length += (size_t)snprintf(peer->head + length, sizeof(peer->head) - length, "%s: %s\n",
                                       (char *)nv.name, (char *)nv.value);
        if (flags & NGHTTP2_HD_INFLATE_FINAL) {
            nghttp2_hd_inflate_end_headers(peer->inflater);
            return;
        }
    }
}

/* The next frame of whatever type. False: the client has gone. */
static inline bool peer_next(struct peer *peer)
{
    uint8_t head[9];

    if (!peer_read(peer, head, sizeof(head)))
        return false;
    peer->size = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
    peer->type = head[3];
    peer->flags = head[4];
    peer->stream = (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 |
                   head[8];
    ck_assert_uint_le(peer->size, sizeof(peer->payload));
    if (!peer_read(peer, peer->payload, peer->size))
        return false;
    if (peer->type == NGHTTP2_HEADERS)
        peer_inflate(peer);
    if (peer->type == NGHTTP2_WINDOW_UPDATE && peer->stream <= 1)
        peer->windows[peer->stream] += (uint32_t)peer->payload[0] << 24 |
                                       (uint32_t)peer->payload[1] << 16 |
                                       (uint32_t)peer->payload[2] << 8 | peer->payload[3];
    return true;
}

/* The next frame of this type; others are passed over, SETTINGS are acknowledged. */
static inline bool peer_expect(struct peer *peer, uint8_t type)
{
    while (peer_next(peer)) {
        if (peer->type == NGHTTP2_SETTINGS && !(peer->flags & NGHTTP2_FLAG_ACK))
            peer_frame(peer, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
        if (peer->type == type)
            return true;
    }
    return false;
}

/* Waits until the client has closed the connection. */
static inline void peer_wait(struct peer *peer)
{
    while (peer_next(peer))
        ;
}

/* Greets, and reads the request's head, unless the client has gone. */
static inline void peer_greet(struct peer *peer)
{
    char magic[24];

    if (!peer_read(peer, magic, sizeof(magic)))
        return;
    ck_assert_int_eq(memcmp(magic, NGHTTP2_CLIENT_MAGIC, sizeof(magic)), 0);
    peer_frame(peer, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    peer_expect(peer, NGHTTP2_HEADERS);
}

/* ---- the server ---- */

static inline void peer_run(struct peer_server *server, int fd)
{
    struct peer *peer = calloc(1, sizeof(*peer));

    peer->server = server;
    peer->fd = fd;
    peer->windows[0] = 65535;
    peer->windows[1] = 1024 * 1024; /* as its SETTINGS say */
    nghttp2_hd_inflate_new(&peer->inflater);
    if (server->tls) {
        peer->ssl = SSL_new(server->tls);
        SSL_set_fd(peer->ssl, fd);
        peer->gone = SSL_accept(peer->ssl) != 1;
    }
    if (!peer->gone)
        server->story(peer);
    SSL_free(peer->ssl);
    close(fd);
    nghttp2_hd_inflate_del(peer->inflater);
    free(peer);
}

static inline void *peer_accept(void *userdata)
{
    struct peer_server *server = userdata;
    int fd;

    while ((fd = accept(server->listener, NULL, NULL)) >= 0) {
        server->begun++;
        peer_run(server, fd);
        server->ended++;
    }
    return NULL;
}

/* On 127.0.0.1, one connection after the other. */
static inline void peer_server_start(struct peer_server *server)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(sin);

    *server = (struct peer_server){.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    ck_assert_int_eq(bind(server->listener, (struct sockaddr *)&sin, sizeof(sin)), 0);
    ck_assert_int_eq(getsockname(server->listener, (struct sockaddr *)&sin, &length), 0);
    server->port = ntohs(sin.sin_port);
    ck_assert_int_eq(listen(server->listener, 16), 0);
    ck_assert_int_eq(pthread_create(&server->thread, NULL, peer_accept, server), 0);
}

/* Waits until the stories of all connections are over. */
static inline void peer_server_settle(struct peer_server *server)
{
    while (server->ended < server->begun)
        usleep(1000);
}

/* After the last client has closed its connections. */
static inline void peer_server_stop(struct peer_server *server)
{
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
    SSL_CTX_free(server->tls);
}
