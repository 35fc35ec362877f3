/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A table of the view: slots of answers, found by name (include/nss-sd/view.h). Owns the order of
 * stores by which readers never miss a name that is there. The slots lie in the mapped file, which
 * nobody but this writer writes, so they are read back without their locks. Knows nothing of files,
 * times or addresses.
 */
#pragma once

#include "daemon/base.h"
#include "nss-sd/view.h"

#define VIEW_ENTRY_NONE UINT32_MAX

/* A slot, or a private copy of one. */
union view_slot {
    uint32_t words[ANSWER_SLOT_SIZE / sizeof(uint32_t)];
    struct answer_head head;
    char bytes[ANSWER_SLOT_SIZE];
};
_Static_assert(sizeof(union view_slot) == ANSWER_SLOT_SIZE, "layout");

static inline const char *view_slot_name(const union view_slot *slot)
{
    return slot->bytes + ANSWER_HEAD_SIZE;
}

/*
 * The answer in `from` is about to be freed. `to`: the slot that holds the name now, with the same
 * answer or another, or VIEW_ENTRY_NONE. Both can be read during the call.
 */
typedef void (*view_slot_leaving)(void *userdata, uint32_t from, uint32_t to);

struct view_table {
    union view_slot *slots;
    const uint32_t *hash_key;
    uint32_t bits;
    uint32_t used;
    uint64_t *ages; /* when each was published, in publications; NULL: nothing is evicted */
    uint64_t age;
    view_slot_leaving leaving; /* may be NULL */
    void *userdata;
};

/* A table of 2^bits zeroed sets. `evicts`: a full one drops its oldest answer. -ENOMEM. */
int view_table_init(struct view_table *table, void *slots, const uint32_t *hash_key, uint32_t bits,
                    bool evicts);
void view_table_done(struct view_table *table);

/* The slot of a name, or VIEW_ENTRY_NONE. */
uint32_t view_table_find(const struct view_table *table, const char *name, size_t length);
/*
 * Puts an answer, whose `hash` it sets, under its name. If that is there already nothing is
 * written. -ENOSPC: no place for a new name.
 */
int view_table_put(struct view_table *table, union view_slot *answer);
void view_table_remove(struct view_table *table, const char *name, size_t length);

/* The `i`-th, of VIEW_CANDIDATES, entries where `place` allows it. The two sets may be one. */
enum { VIEW_CANDIDATES = 2 * VIEW_WAYS };
static inline uint32_t view_candidate(const struct view_place *place, unsigned i)
{
    return place->sets[i / VIEW_WAYS] * VIEW_WAYS + i % VIEW_WAYS;
}

/*
 * A free entry in the emptier set of the two, or VIEW_ENTRY_NONE. An entry is free while its second
 * word is 0: the `size` of a slot, the `family` of an address.
 */
uint32_t view_entry_free(const struct view_place *place, const uint32_t *entries,
                         size_t entry_words);

static inline uint32_t view_table_capacity(const struct view_table *table)
{
    return (uint32_t)VIEW_WAYS << table->bits;
}
