/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Varlink client as a command-line tool needs it: one connection, one call after another, waiting
 * for each reply. What the daemon sends is checked as far as its shape goes; its size is bounded.
 */
#pragma once

#include <jansson.h>

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
