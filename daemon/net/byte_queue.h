/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes that wait: appended at the end, taken from the front. Bounding it is its owner's part.
 */
#pragma once

#include "daemon/base.h"

/* All zero is an empty one. The bytes are `data + start`, `size` of them, until the next call. */
struct byte_queue {
    uint8_t *data;
    size_t start, size, capacity;
};

static inline const uint8_t *byte_queue_front(const struct byte_queue *queue)
{
    return queue->data + queue->start;
}

int byte_queue_append(struct byte_queue *queue, const void *data, size_t size); /* 0, -ENOMEM */
void byte_queue_drop(struct byte_queue *queue, size_t size); /* at most queue->size */
void byte_queue_done(struct byte_queue *queue);
