/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as what a gRPC server says: a whole session of the client without a network. Whatever
 * comes, messages keep within their bound, the session says no more than it should, and it can be
 * ended.
 *
 * The first byte chooses the sizes of the pieces in which the bytes arrive.
 */
#include <stdio.h>

#include "daemon/net/grpc_session.h"
#include "daemon/net/grpc_status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { MESSAGE_MAX = 1000 };

static void drain_output(struct grpc_session *session)
{
    const uint8_t *out;
    size_t size, total = 0;

    while ((size = grpc_session_output(session, &out)) > 0)
        total += size;
    require(total < 1024 * 1024);
}

static void take_messages(struct grpc_session *session)
{
    const uint8_t *message;
    uint8_t sum = 0;
    size_t size;

    while (grpc_session_peek(session, &message, &size)) {
        require(size <= MESSAGE_MAX);
        for (size_t i = 0; i < size; i++)
            sum = (uint8_t)(sum + message[i]);
        if (sum % 3 == 0)
            grpc_session_send(session, message, size);
        grpc_session_take(session);
    }
}

static void check_end(struct grpc_session *session)
{
    const char *text;
    int status = -1;

    grpc_session_fail(session, GRPC_UNAVAILABLE, "closed");
    take_messages(session);
    require(grpc_session_ended(session, &status, &text));
    require((status == GRPC_OK) == (*text == '\0'));
    require(strlen(text) < GRPC_TEXT_SIZE);
    for (; *text; text++)
        require(*text >= 0x20 && *text < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct grpc_request request = {.path = "/p.S/M", .max_message = MESSAGE_MAX};
    size_t piece = size > 0 ? 1u + data[0] * 8u : 1;
    struct grpc_session *session;

    require(grpc_session_new(&request, "host:1", true, &session) == 0);
    drain_output(session);
    for (size_t at = size > 0; at < size; at += piece) {
        grpc_session_receive(session, at, data + at, size - at < piece ? size - at : piece);
        take_messages(session);
        if (at % 7 == 0)
            grpc_session_ping(session);
        drain_output(session);
    }
    check_end(session);
    grpc_session_leave(session);
    drain_output(session);
    grpc_session_free(session);
    return 0;
}
