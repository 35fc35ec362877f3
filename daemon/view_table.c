/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/view_table.h"

#include "nss-sd/seqlock.h"

/* Answers moved at most for one new one. With two, no table was seen full below a load of 0.84. */
enum { MOVES_MAX = 2 };

int view_table_init(struct view_table *table, void *slots, const uint32_t *hash_key, uint32_t bits,
                    bool evicts)
{
    *table = (struct view_table){.slots = slots, .hash_key = hash_key, .bits = bits};
    if (!evicts)
        return 0;
    table->ages = calloc(view_table_capacity(table), sizeof(*table->ages));
    return table->ages ? 0 : -ENOMEM;
}

void view_table_done(struct view_table *table)
{
    free(table->ages);
    table->ages = NULL;
}

static struct view_place place_of(const struct view_table *table, const char *name, size_t length)
{
    return view_place_of(table->hash_key, name, length, table->bits);
}

static uint32_t find(const struct view_table *table, const struct view_place *place,
                     const char *name, size_t length)
{
    for (unsigned i = 0; i < VIEW_CANDIDATES; i++) {
        uint32_t slot = view_candidate(place, i);
        const union view_slot *is = &table->slots[slot];

        if (is->head.hash == place->tag && is->head.size != 0 && is->head.name_length == length &&
            memcmp(view_slot_name(is), name, length) == 0)
            return slot;
    }
    return VIEW_ENTRY_NONE;
}

uint32_t view_table_find(const struct view_table *table, const char *name, size_t length)
{
    struct view_place place = place_of(table, name, length);

    return find(table, &place, name, length);
}

uint32_t view_entry_free(const struct view_place *place, const uint32_t *entries,
                         size_t entry_words)
{
    uint32_t best = VIEW_ENTRY_NONE;
    unsigned most = 0;

    for (unsigned set = 0; set < 2; set++) {
        uint32_t first = VIEW_ENTRY_NONE;
        unsigned count = 0;

        for (unsigned way = VIEW_WAYS; way-- > 0;) {
            uint32_t entry = view_candidate(place, set * VIEW_WAYS + way);

            if (entries[entry * entry_words + 1] == 0) {
                first = entry;
                count++;
            }
        }
        if (count > most) {
            most = count;
            best = first;
        }
    }
    return best;
}

/* ---- stores ---- */

static void slot_touch(struct view_table *table, uint32_t slot)
{
    if (table->ages)
        table->ages[slot] = ++table->age;
}

/* Writes into a free slot. */
static void slot_write(struct view_table *table, uint32_t slot, const union view_slot *answer)
{
    uint32_t *words = table->slots[slot].words;
    size_t count = (answer->head.size + sizeof(*words) - 1) / sizeof(*words);
    uint32_t next = seqlock_write_begin(words);

    seqlock_write_words(words + 1, answer->words + 1, count - 1);
    seqlock_write_end(words, next);
    table->used++;
}

/* Frees a slot whose name is in slot `to` now, or nowhere any more. Nothing of the answer stays in
 * the file, which everybody can read: it may be taken back because it is private now. */
static void slot_leave(struct view_table *table, uint32_t from, uint32_t to)
{
    static const uint32_t nothing[sizeof(table->slots->words) / sizeof(uint32_t)];
    uint32_t *words = table->slots[from].words, next;
    size_t count = (table->slots[from].head.size + sizeof(*words) - 1) / sizeof(*words);

    if (table->leaving)
        table->leaving(table->userdata, from, to);
    next = seqlock_write_begin(words);
    seqlock_write_words(words + 1, nothing, count - 1);
    seqlock_write_end(words, next);
    table->used--;
}

/* ---- room ---- */

static uint32_t room_free(const struct view_table *table, const struct view_place *place)
{
    return view_entry_free(place, table->slots->words, ELEMENTS(table->slots->words));
}

/*
 * Moves one answer of two full sets, but not `keep`, to its other set, where `depth` moves may have
 * to make room first. Returns the slot that it left.
 */
static uint32_t room_move(struct view_table *table, const struct view_place *place, uint32_t keep,
                          unsigned depth)
{
    for (unsigned i = 0; i < VIEW_CANDIDATES; i++) {
        uint32_t from = view_candidate(place, i), to;
        const union view_slot *answer = &table->slots[from];
        struct view_place other;

        if (from == keep)
            continue;
        other = place_of(table, view_slot_name(answer), answer->head.name_length);
        to = room_free(table, &other);
        if (to == VIEW_ENTRY_NONE && depth > 0)
            to = room_move(table, &other, keep, depth - 1);
        if (to == VIEW_ENTRY_NONE)
            continue;
        slot_write(table, to, answer);
        slot_leave(table, from, to);
        return from;
    }
    return VIEW_ENTRY_NONE;
}

/* Drops the oldest answer of two full sets. */
static uint32_t room_evict(struct view_table *table, const struct view_place *place)
{
    uint32_t oldest = view_candidate(place, 0);

    for (unsigned i = 1; i < VIEW_CANDIDATES; i++)
        if (table->ages[view_candidate(place, i)] < table->ages[oldest])
            oldest = view_candidate(place, i);
    slot_leave(table, oldest, VIEW_ENTRY_NONE);
    return oldest;
}

/* A free slot for a name that is in `*old` (or VIEW_ENTRY_NONE) now. */
static uint32_t room_make(struct view_table *table, const struct view_place *place, uint32_t *old)
{
    uint32_t slot = room_free(table, place);

    for (unsigned depth = 0; depth < MOVES_MAX && slot == VIEW_ENTRY_NONE && !table->ages; depth++)
        slot = room_move(table, place, *old, depth);
    if (slot != VIEW_ENTRY_NONE)
        return slot;
    if (*old != VIEW_ENTRY_NONE) {
        /* Better missing for a moment, when readers ask the daemon, than wrong for long. */
        slot = *old;
        *old = VIEW_ENTRY_NONE;
        slot_leave(table, slot, VIEW_ENTRY_NONE);
        return slot;
    }
    return table->ages ? room_evict(table, place) : VIEW_ENTRY_NONE;
}

/* ---- answers ---- */

/* But for the sequence. */
static bool answers_equal(const union view_slot *a, const union view_slot *b)
{
    size_t from = offsetof(struct answer_head, size);

    return a->head.size == b->head.size &&
           memcmp(a->bytes + from, b->bytes + from, b->head.size - from) == 0;
}

int view_table_put(struct view_table *table, union view_slot *answer)
{
    size_t length = answer->head.name_length;
    struct view_place place = place_of(table, view_slot_name(answer), length);
    uint32_t old = find(table, &place, view_slot_name(answer), length);
    uint32_t slot;

    answer->head.hash = place.tag;
    if (old != VIEW_ENTRY_NONE && answers_equal(&table->slots[old], answer)) {
        slot_touch(table, old);
        return 0;
    }
    slot = room_make(table, &place, &old);
    if (slot == VIEW_ENTRY_NONE)
        return -ENOSPC;
    slot_write(table, slot, answer);
    slot_touch(table, slot);
    if (old != VIEW_ENTRY_NONE)
        slot_leave(table, old, slot);
    return 0;
}

void view_table_remove(struct view_table *table, const char *name, size_t length)
{
    uint32_t slot = view_table_find(table, name, length);

    if (slot != VIEW_ENTRY_NONE)
        slot_leave(table, slot, VIEW_ENTRY_NONE);
}
