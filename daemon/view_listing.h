/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reverse table of the view (include/nss-sd/view.h): which slot of the positive table names an
 * address. Owns the rule that every entry names a slot whose answer holds its address, also while
 * answers move. Reads the mapped file back without locks, as view_table.h does.
 */
#pragma once

#include "daemon/base.h"
#include "daemon/endpoint.h"
#include "daemon/view_table.h"

union view_entry;

struct view_listing {
    union view_entry *entries;
    const uint32_t *hash_key;
    const union view_slot *slots; /* of the positive table */
    uint32_t bits;
    uint64_t *ages; /* when each entry was listed, in listings */
    uint64_t age;
    uint8_t *listed; /* entries of each slot; an answer holds at most 58 addresses */
};

/* 2^bits zeroed entries over `table`. -ENOMEM. */
int view_listing_init(struct view_listing *listing, void *entries, uint32_t bits,
                      const struct view_table *table);
void view_listing_done(struct view_listing *listing);

/* Lists the address for `slot`, in place of any other slot, if the answer there holds it. */
void view_listing_add(struct view_listing *listing, const struct address *address, uint32_t slot);
/*
 * The answer in `from` is leaving (view_slot_leaving): addresses that `to` holds too follow it, the
 * others are no longer listed.
 */
void view_listing_follow(struct view_listing *listing, uint32_t from, uint32_t to);
