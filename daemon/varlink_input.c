/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/varlink_input.h"

#include <sys/socket.h>

enum {
    READ_SIZE = 16 * 1024, /* of one recv(): the most that may lie behind the first message */
    TURN_SIZE = 64 * 1024, /* of one turn of the loop */
};

void varlink_input_done(struct varlink_input *input)
{
    free(input->data);
    *input = (struct varlink_input){.end = input->end};
}

size_t varlink_input_message(struct varlink_input *input)
{
    const char *end = NULL;

    if (input->size > input->scanned)
        end = memchr(input->data + input->scanned, '\0', input->size - input->scanned);
    if (!end) {
        input->scanned = input->size;
        return 0;
    }
    input->scanned = (size_t)(end - input->data);
    return input->scanned + 1;
}

void varlink_input_drop(struct varlink_input *input, size_t size)
{
    input->size -= size;
    memmove(input->data, input->data + size, input->size);
    input->scanned = 0;
    if (input->size == 0)
        varlink_input_done(input);
}

static int input_reserve(struct varlink_input *input)
{
    size_t capacity = input->capacity ? input->capacity * 2 : 4096;
    char *data;

    if (input->size < input->capacity)
        return 0;
    data = realloc(input->data, capacity);
    if (!data)
        return -ENOMEM;
    input->data = data;
    input->capacity = capacity;
    return 0;
}

int varlink_input_fill(struct varlink_input *input, int fd, size_t limit)
{
    for (size_t taken = 0; taken < TURN_SIZE && varlink_input_message(input) == 0;) {
        size_t room;
        ssize_t size;
        int r;

        if (input->size >= limit)
            return -EMSGSIZE;
        r = input_reserve(input);
        if (r < 0)
            return r;
        room = input->capacity - input->size;
        size = recv(fd, input->data + input->size, room < READ_SIZE ? room : READ_SIZE,
                    MSG_DONTWAIT);
        if (size < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        input->end = size == 0;
        if (size == 0)
            return 0;
        input->size += (size_t)size;
        taken += (size_t)size;
    }
    return varlink_input_message(input) > limit ? -EMSGSIZE : 0;
}
