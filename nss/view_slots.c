/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nss/view_slots.h"

#include <string.h>

#include "nss-sd/seqlock.h"

static const char *view_at(const struct view *view, uint64_t offset)
{
    return (const char *)view->shared + offset;
}

/*
 * Copies one slot of a table out, to be checked. What `size` says before the copy is a hint that
 * saves copying what is unused: should it change, the check finds the copy too short. Returns its
 * bytes; 0: there is none.
 */
static size_t slot_copy(const struct view *view, bool negative, uint32_t slot,
                        struct view_answer *ret_answer)
{
    const uint32_t *shared = (const uint32_t *)view_at(
        view, view_slot_offset(&view->header, negative, slot));
    uint32_t size = __atomic_load_n(&shared[offsetof(struct answer_head, size) / sizeof(*shared)],
                                    __ATOMIC_RELAXED);
    size_t words = (size + sizeof(*shared) - 1) / sizeof(*shared);

    if (size < ANSWER_RECORDS || size > ANSWER_SLOT_SIZE)
        return 0;
    ret_answer->copy[0] = 0;
    return seqlock_read(&shared[0], &shared[1], &ret_answer->copy[1], words - 1)
               ? words * sizeof(*shared)
               : 0;
}

static bool slot_copy_of(const struct view *view, bool negative, uint32_t slot, const char *name,
                         size_t length, struct view_answer *ret_answer)
{
    size_t size = slot_copy(view, negative, slot, ret_answer);

    return size > 0 && answer_parse_of(ret_answer->copy, size, name, length, &ret_answer->answer);
}

static bool slot_copy_any(const struct view *view, uint32_t slot, struct view_answer *ret_answer)
{
    size_t size = slot_copy(view, false, slot, ret_answer);

    return size > 0 && answer_parse(ret_answer->copy, size, &ret_answer->answer);
}

static bool clock_copy(const struct view *view, uint32_t index, struct view_clock *ret_clock)
{
    const struct view_clock *shared;

    if (index >= view->header.clock_count)
        return false;
    shared = &view->shared->clocks[index];
    return seqlock_read(&shared->sequence, &shared->state, &ret_clock->state,
                        sizeof(*shared) / sizeof(uint32_t) - 1);
}

static enum view_serve slot_serve(const struct view_moment *moment, const struct answer_head *head)
{
    struct view_clock clock;
    enum view_serve serve;
    bool watched = head->clock != ANSWER_CLOCK_NONE;

    if (watched && !clock_copy(moment->view, head->clock, &clock))
        return VIEW_SERVE_NEVER;
    serve = view_slot_serve(head, watched ? &clock : NULL, moment->live, moment->heartbeat,
                            moment->now);
    if (serve == VIEW_SERVE_NOW && moment->live && head->limit == 0 &&
        (head->flags & ANSWER_FLAG_PARTIAL))
        return VIEW_SERVE_LAST;
    return serve;
}

/* Might this slot hold the name? A look at two words spares most copies. */
static bool slot_promises(const struct view *view, bool negative, uint32_t slot, uint32_t tag)
{
    const struct answer_head *head = (const struct answer_head *)view_at(
        view, view_slot_offset(&view->header, negative, slot));

    return __atomic_load_n(&head->hash, __ATOMIC_RELAXED) == tag &&
           __atomic_load_n(&head->size, __ATOMIC_RELAXED) != 0;
}

static bool table_find(const struct view_moment *moment, bool negative, const char *name,
                       size_t length, enum view_serve least, struct view_answer *ret_answer)
{
    const struct view_header *header = &moment->view->header;
    uint32_t bits = negative ? header->negative_bits : header->set_bits;
    struct view_place place;

    if (bits == VIEW_NO_TABLE)
        return false;
    place = view_place_of(header->hash_key, name, length, bits);
    for (uint32_t i = 0; i < 2 * VIEW_WAYS; i++) {
        uint32_t slot = place.sets[i / VIEW_WAYS] * VIEW_WAYS + i % VIEW_WAYS;

        if (slot_promises(moment->view, negative, slot, place.tag) &&
            slot_copy_of(moment->view, negative, slot, name, length, ret_answer) &&
            slot_serve(moment, ret_answer->answer.head) >= least)
            return true;
    }
    return false;
}

bool view_slots_find(const struct view_moment *moment, const char *name, size_t length,
                     enum view_serve least, struct view_answer *ret_answer)
{
    return table_find(moment, false, name, length, least, ret_answer) ||
           table_find(moment, true, name, length, least, ret_answer);
}

/* ---- reverse ---- */

static bool answer_holds(const struct answer *answer, unsigned family, const uint8_t *address)
{
    if (family == 4) {
        for (size_t i = 0; i < answer->head->count4; i++)
            if (memcmp(answer->records4[i].address, address, 4) == 0)
                return true;
    } else {
        for (size_t i = 0; i < answer->head->count6; i++)
            if (memcmp(answer->records6[i].address, address, 16) == 0)
                return true;
    }
    return false;
}

/* Which slot an entry of the reverse table names, if it is for the address of `wanted`. */
static bool reverse_copy(const struct view *view, uint32_t entry, const struct view_reverse *wanted,
                         uint32_t *ret_slot)
{
    const struct view_reverse *shared = (const struct view_reverse *)view_at(
        view, view_reverse_offset(&view->header, entry));
    struct view_reverse copy;

    if (__atomic_load_n(&shared->family, __ATOMIC_RELAXED) != wanted->family ||
        !seqlock_read(&shared->sequence, &shared->family, &copy.family,
                      sizeof(copy) / sizeof(uint32_t) - 1) ||
        copy.family != wanted->family ||
        memcmp(copy.address, wanted->address, sizeof(copy.address)) != 0 ||
        copy.slot >> view->header.set_bits >= VIEW_WAYS)
        return false;
    *ret_slot = copy.slot;
    return true;
}

bool view_slots_find_address(const struct view_moment *moment, unsigned family,
                             const uint8_t *address, struct view_answer *ret_answer)
{
    const struct view *view = moment->view;
    struct view_reverse wanted = {.family = family};
    struct view_place place;
    uint32_t slot;

    if (!view_slots_know_addresses(view))
        return false;
    memcpy(wanted.address, address, family == 4 ? 4 : 16);
    place = view_reverse_place_of(view->header.hash_key, &wanted, view->header.reverse_bits);
    for (uint32_t i = 0; i < 2 * VIEW_WAYS; i++)
        if (reverse_copy(view, place.sets[i / VIEW_WAYS] * VIEW_WAYS + i % VIEW_WAYS, &wanted,
                         &slot) &&
            slot_copy_any(view, slot, ret_answer) &&
            answer_holds(&ret_answer->answer, family, address) &&
            slot_serve(moment, ret_answer->answer.head) != VIEW_SERVE_NEVER)
            return true;
    return false;
}
