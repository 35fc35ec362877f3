/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/grpc_frame.h"

int grpc_frame_peek(const struct byte_queue *queue, size_t max, const uint8_t **ret_message,
                    size_t *ret_size)
{
    const uint8_t *head = byte_queue_front(queue);
    size_t size;

    if (queue->size > 0 && head[0] != 0)
        return -EBADMSG;
    if (queue->size < GRPC_FRAME_HEAD)
        return 0;
    size = (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];
    if (size > max)
        return -EMSGSIZE;
    if (queue->size - GRPC_FRAME_HEAD < size)
        return 0;
    *ret_message = head + GRPC_FRAME_HEAD;
    *ret_size = size;
    return 1;
}

int grpc_frame_append(struct byte_queue *queue, const void *message, size_t size)
{
    uint8_t head[GRPC_FRAME_HEAD] = {0, (uint8_t)(size >> 24), (uint8_t)(size >> 16),
                                     (uint8_t)(size >> 8), (uint8_t)size};
    int r;

    if (size > UINT32_MAX)
        return -EMSGSIZE;
    r = byte_queue_append(queue, head, sizeof(head));
    if (r < 0)
        return r;
    r = byte_queue_append(queue, message, size);
    if (r < 0)
        queue->size -= sizeof(head);
    return r;
}
