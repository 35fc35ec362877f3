/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/byte_queue.h"

enum { CAPACITY_MIN = 4096, CAPACITY_KEPT = 64 * 1024 };

/* Moving costs no more than what was appended before: only when the free front half is the larger.
 */
static int make_room(struct byte_queue *queue, size_t size)
{
    size_t capacity = queue->capacity ? queue->capacity : CAPACITY_MIN;
    uint8_t *data;

    if (queue->capacity - queue->start - queue->size >= size)
        return 0;
    if (queue->start >= queue->size && queue->capacity - queue->size >= size) {
        memmove(queue->data, queue->data + queue->start, queue->size);
        queue->start = 0;
        return 0;
    }
    if (size > SIZE_MAX / 4 - queue->start - queue->size)
        return -ENOMEM;
    while (capacity - queue->start - queue->size < size)
        capacity *= 2;
    data = realloc(queue->data, capacity);
    if (!data)
        return -ENOMEM;
    queue->data = data;
    queue->capacity = capacity;
    return 0;
}

int byte_queue_append(struct byte_queue *queue, const void *data, size_t size)
{
    int r;

    if (size == 0)
        return 0;
    r = make_room(queue, size);
    if (r < 0)
        return r;
    memcpy(queue->data + queue->start + queue->size, data, size);
    queue->size += size;
    return 0;
}

/* An empty queue does not keep the memory that one large message needed. */
void byte_queue_drop(struct byte_queue *queue, size_t size)
{
    queue->start += size;
    queue->size -= size;
    if (queue->size > 0)
        return;
    queue->start = 0;
    if (queue->capacity > CAPACITY_KEPT)
        byte_queue_done(queue);
}

void byte_queue_done(struct byte_queue *queue)
{
    free(queue->data);
    *queue = (struct byte_queue){0};
}
