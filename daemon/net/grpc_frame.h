/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gRPC's messages in the byte stream of a call: a flag, a length of four bytes, the message. They
 * cross HTTP/2's frames as they like. Pure.
 *
 * A length is only believed as far as bytes arrive: nothing is allocated for what is announced.
 */
#pragma once

#include "daemon/net/byte_queue.h"

enum { GRPC_FRAME_HEAD = 5 };

/*
 * The first message of `queue`, borrowed until the queue changes. 1: there it is; 0: not whole yet;
 * -EBADMSG: compressed, which we never offered, or an unknown flag; -EMSGSIZE: over `max`.
 */
int grpc_frame_peek(const struct byte_queue *queue, size_t max, const uint8_t **ret_message,
                    size_t *ret_size);

/* Appends a message and its head, both or neither. 0, -EMSGSIZE, -ENOMEM. */
int grpc_frame_append(struct byte_queue *queue, const void *message, size_t size);
