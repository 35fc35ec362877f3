/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/arena.h"

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

void xds_arena_done(struct xds_arena *arena)
{
    while (arena->blocks) {
        struct xds_arena_block *block = arena->blocks;

        arena->blocks = block->next;
        free(block);
    }
    arena->used = 0;
}
