/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory for one decoded message, given back as a whole: protobuf-c would make and free each string
 * by itself. It is bounded, since some bytes on the wire become a hundred in memory.
 *
 * A text with a NUL in it, which protobuf-c takes and C reads as a shorter one, is not decoded: the
 * name of one resource would be that of another.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "daemon/base.h"

struct xds_arena {
    ProtobufCAllocator allocator; /* what protobuf-c is given */
    struct xds_arena_block *blocks;
    size_t used, maximum;
    bool nul; /* xds_arena_unpack() met a text with a NUL in it */
};

void xds_arena_init(struct xds_arena *arena, size_t maximum);
/* NULL: no memory, or over the maximum. Aligned for anything, not cleared. */
void *xds_arena_alloc(struct xds_arena *arena, size_t size);
/* A message of this type, no part of which is of the type of one that it is in. NULL: none. */
void *xds_arena_unpack(struct xds_arena *arena, const ProtobufCMessageDescriptor *type,
                       const uint8_t *data, size_t size);
void xds_arena_done(struct xds_arena *arena);
