/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/view_listing.h"

#include <sys/socket.h>

#include "nss-sd/seqlock.h"

union view_entry {
    uint32_t words[VIEW_REVERSE_SIZE / sizeof(uint32_t)];
    struct view_reverse reverse;
};

int view_listing_init(struct view_listing *listing, void *entries, uint32_t bits,
                      const struct view_table *table)
{
    *listing = (struct view_listing){
        .entries = entries,
        .hash_key = table->hash_key,
        .slots = table->slots,
        .bits = bits,
        .ages = calloc((size_t)1 << bits, sizeof(*listing->ages)),
        .listed = calloc(view_table_capacity(table), sizeof(*listing->listed)),
    };
    return listing->ages && listing->listed ? 0 : -ENOMEM;
}

void view_listing_done(struct view_listing *listing)
{
    free(listing->ages);
    free(listing->listed);
    listing->ages = NULL;
    listing->listed = NULL;
}

/* ---- addresses ---- */

/* An entry without its slot is the form in which addresses are handled here. */
static struct view_reverse reverse_of(uint32_t family, const uint8_t *bytes)
{
    struct view_reverse reverse = {.family = family};

    memcpy(reverse.address, bytes, family == 4 ? 4 : 16);
    return reverse;
}

static bool reverse_same(const struct view_reverse *a, const struct view_reverse *b)
{
    return a->family == b->family && memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

/* The `i`-th address of an answer, IPv4 first. */
static struct view_reverse reverse_at(const struct answer *answer, size_t i)
{
    return i < answer->head->count4
               ? reverse_of(4, answer->records4[i].address)
               : reverse_of(6, answer->records6[i - answer->head->count4].address);
}

static size_t address_count(const struct answer *answer)
{
    return (size_t)answer->head->count4 + answer->head->count6;
}

static bool holds(const struct answer *answer, const struct view_reverse *reverse)
{
    for (size_t i = 0; i < address_count(answer); i++) {
        struct view_reverse other = reverse_at(answer, i);

        if (reverse_same(&other, reverse))
            return true;
    }
    return false;
}

/* Copies the answer out of its slot. False: there is none. */
static bool answer_at(const struct view_listing *listing, uint32_t slot, union view_slot *copy,
                      struct answer *ret_answer)
{
    if (slot == VIEW_ENTRY_NONE)
        return false;
    memcpy(copy, &listing->slots[slot], sizeof(*copy));
    return answer_parse(copy, sizeof(*copy), ret_answer);
}

/* ---- entries ---- */

static uint32_t entry_find(const struct view_listing *listing, const struct view_place *place,
                           const struct view_reverse *reverse)
{
    for (unsigned i = 0; i < VIEW_CANDIDATES; i++)
        if (reverse_same(&listing->entries[view_candidate(place, i)].reverse, reverse))
            return view_candidate(place, i);
    return VIEW_ENTRY_NONE;
}

static void entry_write(struct view_listing *listing, uint32_t at, const union view_entry *entry)
{
    uint32_t *words = listing->entries[at].words;
    uint32_t next = seqlock_write_begin(words);

    seqlock_write_words(words + 1, entry->words + 1, ELEMENTS(entry->words) - 1);
    seqlock_write_end(words, next);
}

static void entry_free(struct view_listing *listing, uint32_t at)
{
    listing->listed[listing->entries[at].reverse.slot]--;
    entry_write(listing, at, &(union view_entry){0});
}

/* Where to list an address that is listed at `old`, or nowhere: a free entry; failing that its own,
 * or the oldest. */
static uint32_t entry_room(const struct view_listing *listing, const struct view_place *place,
                           uint32_t old)
{
    uint32_t at = view_entry_free(place, listing->entries->words,
                                  ELEMENTS(listing->entries->words));

    if (at != VIEW_ENTRY_NONE || old != VIEW_ENTRY_NONE)
        return at != VIEW_ENTRY_NONE ? at : old;
    at = view_candidate(place, 0);
    for (unsigned i = 1; i < VIEW_CANDIDATES; i++)
        if (listing->ages[view_candidate(place, i)] < listing->ages[at])
            at = view_candidate(place, i);
    return at;
}

/* As for answers, the new entry is written before the old one is freed. */
static void entry_put(struct view_listing *listing, const struct view_reverse *reverse,
                      uint32_t slot)
{
    struct view_place place = view_reverse_place_of(listing->hash_key, reverse, listing->bits);
    uint32_t old = entry_find(listing, &place, reverse), at = old;
    union view_entry entry = {.reverse = *reverse};

    if (old == VIEW_ENTRY_NONE || listing->entries[old].reverse.slot != slot) {
        entry.reverse.slot = slot;
        at = entry_room(listing, &place, old);
        if (listing->entries[at].reverse.family != 0)
            listing->listed[listing->entries[at].reverse.slot]--;
        entry_write(listing, at, &entry);
        listing->listed[slot]++;
        if (old != VIEW_ENTRY_NONE && old != at)
            entry_free(listing, old);
    }
    listing->ages[at] = ++listing->age;
}

/* ---- listing ---- */

void view_listing_add(struct view_listing *listing, const struct address *address, uint32_t slot)
{
    struct view_reverse reverse = reverse_of(address->family == AF_INET ? 4 : 6, address->bytes);
    struct answer answer;
    union view_slot copy;

    if (answer_at(listing, slot, &copy, &answer) && holds(&answer, &reverse))
        entry_put(listing, &reverse, slot);
}

void view_listing_follow(struct view_listing *listing, uint32_t from, uint32_t to)
{
    struct answer left, now;
    union view_slot left_copy, now_copy;
    bool stays;

    if (listing->listed[from] == 0 || !answer_at(listing, from, &left_copy, &left))
        return;
    stays = answer_at(listing, to, &now_copy, &now);
    for (size_t i = 0; i < address_count(&left); i++) {
        struct view_reverse reverse = reverse_at(&left, i);
        struct view_place place = view_reverse_place_of(listing->hash_key, &reverse, listing->bits);
        uint32_t at = entry_find(listing, &place, &reverse);

        if (at == VIEW_ENTRY_NONE || listing->entries[at].reverse.slot != from)
            continue;
        if (stays && holds(&now, &reverse))
            entry_put(listing, &reverse, to);
        else
            entry_free(listing, at);
    }
}
