/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/grpc_tls.h"

int grpc_tls_new(const struct http_tls *config, const char *host, struct grpc_tls **ret_tls)
{
    (void)config, (void)host, (void)ret_tls;
    return -EOPNOTSUPP;
}

struct grpc_tls *grpc_tls_free(struct grpc_tls *tls)
{
    (void)tls;
    return NULL;
}

int grpc_tls_handshake(struct grpc_tls *tls)
{
    (void)tls;
    return -EPROTO;
}

int grpc_tls_receive(struct grpc_tls *tls, const uint8_t *data, size_t size)
{
    (void)tls, (void)data, (void)size;
    return 0;
}

ssize_t grpc_tls_read(struct grpc_tls *tls, uint8_t *buffer, size_t size)
{
    (void)tls, (void)buffer, (void)size;
    return -EPROTO;
}

int grpc_tls_write(struct grpc_tls *tls, const uint8_t *data, size_t size)
{
    (void)tls, (void)data, (void)size;
    return -EPROTO;
}

int grpc_tls_drain(struct grpc_tls *tls, struct byte_queue *queue)
{
    (void)tls, (void)queue;
    return 0;
}

const char *grpc_tls_error(const struct grpc_tls *tls, bool *ret_certificate)
{
    (void)tls;
    *ret_certificate = false;
    return "";
}
