/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/shelf.h"

#include <uthash.h>

struct shelf_item {
    struct store_memory memory; /* of copies */
    char *key, *alias;
    usec_t until;
    UT_hash_handle hh;
};

static void item_free(struct shelf_item *item)
{
    if (!item)
        return;
    endpoint_set_unref(item->memory.endpoints);
    free(item->key);
    free(item->alias);
    free(item);
}

static struct shelf_item *item_new(const struct store_memory *memory, usec_t until)
{
    struct shelf_item *item = calloc(1, sizeof(*item));

    if (!item)
        return NULL;
    item->memory = *memory;
    if (memory->endpoints)
        endpoint_set_ref(memory->endpoints);
    item->memory.key = item->key = strdup(memory->key);
    item->memory.alias = item->alias = memory->alias ? strdup(memory->alias) : NULL;
    item->until = until;
    if (item->key && !memory->alias == !item->alias)
        return item;
    item_free(item);
    return NULL;
}

static void item_remove(struct shelf *shelf, struct shelf_item *item)
{
    HASH_DEL(shelf->items, item);
    item_free(item);
}

static struct shelf_item *item_find(const struct shelf *shelf, const char *key)
{
    struct shelf_item *item;

    HASH_FIND_STR(shelf->items, key, item);
    return item;
}

void shelf_put(struct shelf *shelf, const struct store_memory *memory, usec_t until)
{
    struct shelf_item *item = item_new(memory, until);

    if (!item)
        return;
    shelf_remove(shelf, memory->key);
    if (HASH_COUNT(shelf->items) >= SHELF_MAX)
        item_remove(shelf, shelf->items);
    HASH_ADD_KEYPTR(hh, shelf->items, item->key, strlen(item->key), item);
}

const struct store_memory *shelf_find(const struct shelf *shelf, const char *key)
{
    struct shelf_item *item = item_find(shelf, key);

    return item ? &item->memory : NULL;
}

bool shelf_remove(struct shelf *shelf, const char *key)
{
    struct shelf_item *item = item_find(shelf, key);

    if (item)
        item_remove(shelf, item);
    return item;
}

void shelf_clear(struct shelf *shelf)
{
    while (shelf->items)
        item_remove(shelf, shelf->items);
}

void shelf_sweep(struct shelf *shelf, usec_t now)
{
    struct shelf_item *item, *next;

    HASH_ITER (hh, shelf->items, item, next)
        if (now >= item->until)
            item_remove(shelf, item);
}

void shelf_each(const struct shelf *shelf, store_memory_visit_t visit, void *userdata)
{
    struct shelf_item *item, *next;

    HASH_ITER (hh, shelf->items, item, next)
        visit(userdata, &item->memory);
}
