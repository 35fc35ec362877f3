/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/arena.h"

#include "daemon/registry/xds/wire.h"

enum { BLOCK_SIZE = 32 * 1024 };

struct xds_arena_block {
    struct xds_arena_block *next;
    size_t used, size;
    max_align_t data[];
};

static void *allocate(void *userdata, size_t size)
{
    return xds_arena_alloc(userdata, size);
}

static void release(void *userdata, void *pointer)
{
    (void)userdata, (void)pointer;
}

void xds_arena_init(struct xds_arena *arena, size_t maximum)
{
    *arena = (struct xds_arena){
        .allocator = {.alloc = allocate, .free = release, .allocator_data = arena},
        .maximum = maximum,
    };
}

static struct xds_arena_block *add_block(struct xds_arena *arena, size_t size)
{
    size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
    struct xds_arena_block *block = malloc(sizeof(*block) + room);

    if (!block)
        return NULL;
    *block = (struct xds_arena_block){.next = arena->blocks, .size = room};
    arena->blocks = block;
    return block;
}

void *xds_arena_alloc(struct xds_arena *arena, size_t size)
{
    struct xds_arena_block *block = arena->blocks;
    void *memory;

    if (size > arena->maximum - arena->used)
        return NULL;
    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (size > arena->maximum - arena->used)
        return NULL;
    if (!block || size > block->size - block->used)
        block = add_block(arena, size);
    if (!block)
        return NULL;
    memory = (char *)block->data + block->used;
    block->used += size;
    arena->used += size;
    return memory;
}

/* Few messages have a zero byte at all: only those are looked through. */
static bool has_nul(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size)
{
    struct xds_wire wire = xds_wire(data, size);
    struct xds_field field;

    if (size == 0 || !memchr(data, '\0', size))
        return false;
    while (xds_wire_next(&wire, &field) > 0) {
        const ProtobufCFieldDescriptor *known = protobuf_c_message_descriptor_get_field(
            type, field.number);

        if (!known || !field.data)
            continue;
        if (known->type == PROTOBUF_C_TYPE_STRING && memchr(field.data, '\0', field.size))
            return true;
        if (known->type == PROTOBUF_C_TYPE_MESSAGE &&
            has_nul(known->descriptor, field.data, field.size))
            return true;
    }
    return false;
}

void *xds_arena_unpack(struct xds_arena *arena, const ProtobufCMessageDescriptor *type,
                       const uint8_t *data, size_t size)
{
    if (has_nul(type, data, size)) {
        arena->nul = true;
        return NULL;
    }
    return protobuf_c_message_unpack(type, &arena->allocator, size, data);
}

void xds_arena_done(struct xds_arena *arena)
{
    while (arena->blocks) {
        struct xds_arena_block *block = arena->blocks;

        arena->blocks = block->next;
        free(block);
    }
    arena->used = 0;
}
