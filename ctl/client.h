/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Varlink client as a command-line tool needs it: one connection, one call after another, waiting
 * for each reply or for the many that a call with "more" gets. What the daemon sends is checked as
 * far as its shape goes; its size is bounded.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { CLIENT_TIMEOUT_SEC = 60 }; /* without a byte from the daemon */

/* Negative errno as connect() gives it; the descriptor otherwise, for the caller to close. */
int client_connect(const char *path);

/*
 * Calls `method` (a full name). The reference of `parameters` (NULL: none) is taken. 0 and the
 * whole reply object, with "parameters" (always an object) and, when the daemon refused, "error" (a
 * string). Otherwise -ETIMEDOUT, -ECONNRESET (the daemon hung up), -EBADMSG (no Varlink reply),
 * -EMSGSIZE, ....
 */
int client_call(int fd, const char *method, json_t *parameters, json_t **ret_reply);

/* ---- calls with many replies ---- */

/* What was received and not taken yet. Zero-initialized: nothing. */
struct client_stream {
    char *data;
    size_t size, capacity;
};

/* Sends the call; errors as above. */
int client_stream_begin(int fd, const char *method, json_t *parameters);
/* The next reply, as of client_call(); *ret_more: others follow. -ETIMEDOUT: none in
 * CLIENT_TIMEOUT_SEC, and it may be asked for again. */
int client_stream_next(int fd, struct client_stream *stream, json_t **ret_reply, bool *ret_more);
void client_stream_done(struct client_stream *stream);
