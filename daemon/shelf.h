/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The shelf: last-known-good of services of one registry that nobody uses any more. It is not
 * watched and only ages; if somebody asks for one again, the store takes it back as it takes back
 * what an earlier run knew, so an outage that began meanwhile does not find the service unknown.
 *
 * Owns copies. Bounded: the one that was put there first gives way.
 */
#pragma once

#include "daemon/store.h"

enum { SHELF_MAX = 1024 };

/* Zero-initialized: empty. */
struct shelf {
    struct shelf_item *items; /* in the order in which they came */
};

/* Nothing may be told of it after `until`. Without memory for it the shelf stays as it was. */
void shelf_put(struct shelf *shelf, const struct store_memory *memory, usec_t until);
/* NULL: not there. Valid until the next change. */
const struct store_memory *shelf_find(const struct shelf *shelf, const char *key);
/* False: it was not there. */
bool shelf_remove(struct shelf *shelf, const char *key);
void shelf_clear(struct shelf *shelf);
/* Forgets what may not be told any more. */
void shelf_sweep(struct shelf *shelf, usec_t now);
void shelf_each(const struct shelf *shelf, store_memory_visit_t visit, void *userdata);
