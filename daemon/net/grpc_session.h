/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One call as HTTP/2: what the server sends goes in, messages and an end come out; messages go in,
 * bytes for the server come out. No I/O, no clock, no callback: the owner looks.
 *
 * The peer is not trusted. Bounded are: the header list (64 KiB, 128 fields), what was received and
 * not taken yet (a window of 1 MiB, or one message of max_message), frames that carry nothing
 * (10,000 in 10 s: PING, SETTINGS, CONTINUATION, RST_STREAM, empty DATA, ...), acknowledgements
 * that it does not read, and what waits to be sent.
 */
#pragma once

#include "daemon/net/grpc.h"

struct grpc_session;

/* The call's head (and its first message) waits to be sent. `authority` is "host:port". 0, -EINVAL,
 * -ENOBUFS, -ENOMEM. */
int grpc_session_new(const struct grpc_request *request, const char *authority, bool tls,
                     struct grpc_session **ret_session);
struct grpc_session *grpc_session_free(struct grpc_session *session); /* takes NULL */

void grpc_session_receive(struct grpc_session *session, usec_t now, const uint8_t *data,
                          size_t size);
/* The next bytes for the server, to be sent before it is asked again; 0: none now. */
size_t grpc_session_output(struct grpc_session *session, const uint8_t **ret_data);

/* As grpc_send(). */
int grpc_session_send(struct grpc_session *session, const void *message, size_t size);

bool grpc_session_is_ready(const struct grpc_session *session);  /* the server spoke HTTP/2 */
bool grpc_session_is_opened(const struct grpc_session *session); /* and took the stream */

/* The next message, until grpc_session_take() has it done with: only then may the server send on.
 */
bool grpc_session_peek(struct grpc_session *session, const uint8_t **ret_message, size_t *ret_size);
void grpc_session_take(struct grpc_session *session);

/* Is it over? Asked when there is no message any more. `ret_text` is "" on GRPC_OK. */
bool grpc_session_ended(const struct grpc_session *session, int *ret_status, const char **ret_text);
/* Ends it for a reason of the owner's (the connection is lost), unless it has ended. */
void grpc_session_fail(struct grpc_session *session, int status, const char *text);

void grpc_session_ping(struct grpc_session *session);
/* The last word, to be fetched and sent if it can be: the server need not go on. */
void grpc_session_leave(struct grpc_session *session);
