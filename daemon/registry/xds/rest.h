/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xDS over REST: a request of its own for each kind of resource, again every PollSec= and at once
 * when something new is wanted. A response answers exactly what was asked, so that what it lacks is
 * absent. It feeds the same protocol state as the stream does. A response is decoded while it
 * comes, resource by resource.
 */
#pragma once

#include "daemon/registry/json_pieces.h"
#include "daemon/registry/xds/protocol.h"

struct xds;

struct xds_rest {
    struct xds *xds;
    struct http_call *call; /* of `kind` */
    enum xds_kind kind;
    struct env_timer timer; /* the next round */
    size_t server, tried;
    unsigned failures;
    bool polling, again; /* a round is on its way; another one is due right after it */
    bool open;           /* a response comes */
    struct json_pieces pieces;
    struct xds_response response;
    char *token;
};

int xds_rest_init(struct xds_rest *rest, struct xds *xds);
void xds_rest_done(struct xds_rest *rest);
/* Something new is wanted, perhaps. */
void xds_rest_flush(struct xds_rest *rest);
void xds_rest_kick(struct xds_rest *rest);
