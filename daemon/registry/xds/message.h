/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests to bytes, and responses from bytes, a piece at a time: a message of thousands of
 * resources is decoded in turns of a bounded number of bytes, so that the loop never waits for it.
 * Pure.
 */
#pragma once

#include "daemon/registry/xds/node.h"
#include "daemon/registry/xds/protocol.h"
#include "daemon/registry/xds/wire.h"

#define XDS_USER_AGENT "nss-sd"

/* The bytes of a request; free() them. 0 or -ENOMEM. */
int xds_message_encode(const struct xds_request *request, const struct xds_node *node,
                       uint8_t **ret_data, size_t *ret_size);

/* Who takes the entries of a name table (Istio), which is one resource of many thousands. */
struct xds_names_handler {
    void (*begin)(void *owner);
    void (*entry)(void *owner, const struct xds_name_entry *entry);
    void (*finish)(void *owner, bool whole); /* all was read; else what is not there says nothing */
};

struct xds_intake {
    struct xds_protocol *protocol;
    const struct xds_document_rules *rules;
    const struct xds_names_handler *names;
    void *names_owner;
    struct xds_response response;
    bool open, in_table, table_ok;
    struct xds_wire wire;  /* what is left of the message */
    struct xds_wire table; /* what is left of the name table in it */
    char identifier[128];  /* of the control plane, as it says itself; "" */
};

/*
 * A message arrived: reads its head. 0: xds_intake_run() is next; -EBADMSG: no response of a kind
 * that was asked for (`ret_reason`); -ENOMEM. The bytes are borrowed until the intake is closed.
 */
int xds_intake_open(struct xds_intake *intake, const void *data, size_t size,
                    char ret_reason[static XDS_REASON_SIZE]);
/* Decodes about `budget` bytes. 1: there is more; 0: the response is finished, an acknowledgement
 * is due. */
int xds_intake_run(struct xds_intake *intake, size_t budget, usec_t now);
/* Gives up a message that is not finished. */
void xds_intake_close(struct xds_intake *intake);
