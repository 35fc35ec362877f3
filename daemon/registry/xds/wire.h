/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The outermost layer of a protobuf message, field by field, without copying any of it. protobuf-c
 * decodes a message as a whole; this is for the few that are too large for that: responses of
 * thousands of resources, and name tables. Pure; every byte comes from outside.
 */
#pragma once

#include "daemon/base.h"

struct xds_wire {
    const uint8_t *at, *end;
};

struct xds_field {
    uint32_t number;
    const uint8_t *data; /* of a field with a length (string, bytes, message); else NULL */
    size_t size;
};

static inline struct xds_wire xds_wire(const void *data, size_t size)
{
    return (struct xds_wire){.at = data, .end = (const uint8_t *)data + size};
}

/* 1 with the next field, 0 at the end, -EBADMSG: not protobuf (groups included). */
int xds_wire_next(struct xds_wire *wire, struct xds_field *ret_field);
