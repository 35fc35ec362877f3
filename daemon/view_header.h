/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The header of a new view, from what the configuration decides. Pure but for the hash key, and for
 * where and in which boot we are. */
#pragma once

#include "daemon/view_writer.h"

/*
 * Fills the zeroed `header` with what `spec` decides but for its tables. -E2BIG, -EINVAL: a list
 * that is too long, or what is no name.
 */
int view_header_set_spec(struct view_header *header, const struct view_spec *spec);
/* Does `header` say what `wanted` was filled with? */
bool view_header_same_spec(const struct view_header *header, const struct view_header *wanted);
/* view_header.boot of what is written now; 0: it cannot be told. */
uint32_t view_header_boot(void);
/* Fills the rest, but for the magic number: tables of `set_bits`, a new hash key. -EIO. */
int view_header_complete(struct view_header *header, uint32_t set_bits, uint32_t now);
/* Is the folded name at or below one of the domains? */
bool view_header_owns(const struct view_header *header, const char *name, size_t length);
