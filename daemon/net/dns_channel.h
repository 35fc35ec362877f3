/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One c-ares channel on the event loop: one list of servers, over UDP (TCP when an answer is cut)
 * or over TCP alone.
 *
 * The only file that knows c-ares. It hands out raw responses: c-ares' parsers and its cache (which
 * keeps NODATA for an hour) are not used. Idle, a channel holds no socket and no timer.
 */
#pragma once

#include "daemon/base.h"

struct sd_event;
struct dns_channel;

enum { DNS_SERVERS_MAX = 16, DNS_PENDING_MAX = 4096 };

/*
 * `servers` as in struct dns_question, "" for those of resolv.conf as it is now. -EINVAL: bad list.
 */
int dns_channel_new(struct sd_event *event, const char *servers, bool tcp,
                    struct dns_channel **ret_channel);
/* Ends what is pending (its `done` runs). Never from within `done`. Takes NULL, returns NULL. */
struct dns_channel *dns_channel_free(struct dns_channel *channel);

/* Queries that have not ended. */
size_t dns_channel_pending(const struct dns_channel *channel);

/*
 * Either the bytes of a response, or NULL and `error`. Runs exactly once a query, maybe already
 * inside dns_channel_ask(), always on top of c-ares: it must only take notes.
 */
typedef void (*dns_channel_done_t)(void *userdata, const void *data, size_t size,
                                   const char *error);
/* `name` is folded and asked as absolute. A query cannot be cancelled. */
void dns_channel_ask(struct dns_channel *channel, const char *name, int type,
                     dns_channel_done_t done, void *userdata);
