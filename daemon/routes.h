/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's word on the way to an address: whether there is one, and which of the own addresses
 * a packet would carry. Asked for as glibc does, by connecting a UDP socket (which sends nothing),
 * so that policy routing, source selection and what filters connections count as for a program.
 *
 * Neither call waits for anything but the kernel itself. Remembers the interfaces' addresses alone:
 * routes_refresh() after a change of the network.
 */
#pragma once

#include "daemon/base.h"
#include "daemon/rank.h"

struct routes;
struct routes *routes_new(void);
struct routes *routes_free(struct routes *routes); /* takes NULL, returns NULL */

/* Reads the addresses of the interfaces anew. Negative errno: it could not, and what was read
 * before stays. */
int routes_refresh(struct routes *routes);

/* 0, or negative errno: the kernel had no socket or port for the question, which says nothing. */
int routes_find(struct routes *routes, const struct address *to, struct rank_source *ret_source);

/* Own addresses that glibc's rules know; 0 on a host without IPv6. */
size_t routes_interface_addresses(const struct routes *routes);
