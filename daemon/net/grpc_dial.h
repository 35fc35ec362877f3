/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One connected socket out of several addresses: the next one is tried after 250 ms, or at once
 * when one fails, families in turns (RFC 8305, in its simple form). The first to connect wins.
 */
#pragma once

#include "daemon/endpoint.h"

struct grpc_dial;
struct sd_event;

/*
 * Exactly once unless freed, never from inside grpc_dial_new(): a socket that is the receiver's
 * now, or a negative errno, that of the last address.
 */
typedef void (*grpc_dialled_t)(void *userdata, int fd);

/* At most 32 addresses are tried. 0, -ENOMEM. */
int grpc_dial_new(struct sd_event *event, const struct address *addresses, size_t count,
                  unsigned port, grpc_dialled_t done, void *userdata, struct grpc_dial **ret_dial);
/* At any time, from inside `done` too. Takes NULL, returns NULL. */
struct grpc_dial *grpc_dial_free(struct grpc_dial *dial);
