/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as the byte stream of a call, in pieces of the first byte's size; and as a status and a
 * text for people. Messages are the bytes that arrived, within their bound, in order.
 */
#include <stdio.h>

#include "daemon/net/grpc_frame.h"
#include "daemon/net/grpc_status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { MESSAGE_MAX = 300 };

/* Returns where the messages end. */
static size_t check_messages(const uint8_t *data, size_t size, size_t piece)
{
    struct byte_queue queue = {0};
    const uint8_t *message;
    size_t length, done = 0;
    int r = 0;

    for (size_t at = 0; at < size && r >= 0; at += piece) {
        require(byte_queue_append(&queue, data + at, size - at < piece ? size - at : piece) == 0);
        while ((r = grpc_frame_peek(&queue, MESSAGE_MAX, &message, &length)) > 0) {
            require(length <= MESSAGE_MAX && length + GRPC_FRAME_HEAD <= queue.size);
            require(memcmp(message, data + done + GRPC_FRAME_HEAD, length) == 0);
            byte_queue_drop(&queue, GRPC_FRAME_HEAD + length);
            done += GRPC_FRAME_HEAD + length;
        }
    }
    byte_queue_done(&queue);
    return done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[GRPC_TEXT_SIZE];

    if (size == 0)
        return 0;
    require(check_messages(data + 1, size - 1, 1u + data[0]) ==
            check_messages(data + 1, size - 1, size));
    grpc_message_decode(data, size, text);
    require(strlen(text) <= size && strlen(text) < GRPC_TEXT_SIZE);
    for (const char *c = text; *c; c++)
        require(*c >= 0x20 && *c < 0x7f);
    require(!streq(grpc_code_to_string(grpc_status_parse(data, size)), "unknown"));
    return 0;
}
