/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Puts an answer into the caller's buffer, in the two forms that glibc wants. Everything that a
 * result points to lies in that buffer, of whatever size and alignment; the results themselves are
 * written only when all of it fits. Returns false where it does not (the caller answers ERANGE).
 */
#pragma once

#include <netdb.h>
#include <nss.h>

#include "nss-sd/answer.h"

/* The caller's buffer; `data` may be NULL and `size` 0. */
struct pack_buffer {
    char *data;
    size_t size;
};

/* Chosen records of an answer, in order (draw.h numbers them). `count` > 0. */
struct pack_records {
    const struct answer *answer;
    const uint16_t *order;
    size_t count;
};

/* One family: `records` are all of `family`. An alias gets its own name as h_aliases[0]. */
bool pack_hostent(struct pack_buffer buffer, const struct pack_records *records, int family,
                  struct hostent *ret_host);
/*
 * Both families. Up to glibc 2.36 `*list` may hold a first tuple of the caller's, which is then
 * filled and the rest chained to it; later it is NULL and set.
 */
bool pack_tuples(struct pack_buffer buffer, const struct pack_records *records,
                 struct gaih_addrtuple **list);
/* A reverse answer: its name, and the address that was asked for. */
bool pack_reverse(struct pack_buffer buffer, const struct answer *answer, int family,
                  const void *address, struct hostent *ret_host);
