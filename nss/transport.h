/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The socket road: one non-blocking connect, send, poll, receive, close for a question that nothing
 * nearer can answer. Keeps no descriptor, raises no signal, never waits beyond its deadline, and
 * takes nothing from the reply that wire.h has not checked. The caller has thread cancellation
 * disabled.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "nss-sd/wire.h"

enum {
    TRANSPORT_LOCAL_SIZE = 4096, /* replies up to here stay on the stack */
    TRANSPORT_LOCAL_RECORDS = (TRANSPORT_LOCAL_SIZE - (int)sizeof(struct wire_reply_head) -
                               ANSWER_RECORDS) /
                              (int)sizeof(struct answer_record4),
};

enum transport_outcome {
    TRANSPORT_ANSWERED = 1, /* the reply holds a checked answer */
    TRANSPORT_REFUSED,      /* nobody listens, or we may not talk to it */
    TRANSPORT_BUSY,         /* it is overloaded, or we are out of descriptors or memory */
    TRANSPORT_TIMEOUT,      /* connected, and silent until the deadline */
    TRANSPORT_BROKEN,       /* closed without a reply, or the reply is no use */
};

/* One reply and the room to order its records in. About 5 KiB, for the stack. */
struct transport_reply {
    struct answer answer; /* points into `local` or `mapping` */
    uint16_t *order;      /* room for one number a record of `answer`, and one more */
    void *mapping;        /* holds a large reply; NULL: there is none */
    size_t mapping_size;
    uint16_t local_order[TRANSPORT_LOCAL_RECORDS];
    _Alignas(8) char local[TRANSPORT_LOCAL_SIZE];
};

/* `ret_reply` needs transport_reply_done() whatever the outcome. */
enum transport_outcome transport_ask(const struct wire_request *request, unsigned timeout_ms,
                                     struct transport_reply *ret_reply);
void transport_reply_done(struct transport_reply *reply);
