/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What rtnetlink tells of links, addresses and routes, and whether it is news. Pure: bytes in, a
 * verdict out.
 *
 * The kernel repeats itself: router advertisements renew addresses every few seconds, wireless
 * links report every scan. So the last state of every link, address and route is kept, as far as it
 * matters for reaching something: a message that repeats it is no news.
 */
#pragma once

#include "daemon/base.h"

enum { NETWORK_TABLE_MAX = 1024 }; /* beyond it nothing is remembered, and everything is news */

struct network_table;

struct network_table *network_table_new(void);
struct network_table *network_table_free(struct network_table *table);

/* Takes the messages of one datagram. Is one of them news? What is malformed is passed over. */
bool network_table_take(struct network_table *table, const void *data, size_t size);
