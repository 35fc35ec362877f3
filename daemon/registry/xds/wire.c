/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/wire.h"

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_LENGTH = 2, WIRE_32 = 5 };

static int read_varint(struct xds_wire *wire, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte;

        if (wire->at == wire->end)
            return -EBADMSG;
        byte = *wire->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *ret_value = value;
            return 0;
        }
    }
    return -EBADMSG;
}

static int skip(struct xds_wire *wire, uint64_t size)
{
    if (size > (uint64_t)(wire->end - wire->at))
        return -EBADMSG;
    wire->at += size;
    return 0;
}

static int read_length(struct xds_wire *wire, struct xds_field *field)
{
    uint64_t size;
    int r = read_varint(wire, &size);

    if (r < 0)
        return r;
    field->data = wire->at;
    field->size = (size_t)size;
    return skip(wire, size);
}

int xds_wire_next(struct xds_wire *wire, struct xds_field *ret_field)
{
    uint64_t tag, value;
    int r;

    if (wire->at == wire->end)
        return 0;
    r = read_varint(wire, &tag);
    if (r < 0 || tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3)
        return -EBADMSG;
    *ret_field = (struct xds_field){.number = (uint32_t)(tag >> 3)};
    switch (tag & 7) {
    case WIRE_VARINT:
        r = read_varint(wire, &value);
        break;
    case WIRE_64:
        r = skip(wire, 8);
        break;
    case WIRE_LENGTH:
        r = read_length(wire, ret_field);
        break;
    case WIRE_32:
        r = skip(wire, 4);
        break;
    default:
        r = -EBADMSG;
    }
    return r < 0 ? r : 1;
}
