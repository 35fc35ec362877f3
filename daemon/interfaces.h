/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The addresses of this host's interfaces, from a dump of rtnetlink, as glibc's getaddrinfo reads
 * it: what it looks up of the address that a socket would send from. Pure: bytes in, facts out.
 *
 * As in glibc: the peer's address stands for the own one on point-to-point links; of two entries
 * with one address, a binary search decides; and without an IPv6 address other than ::1 the list
 * is dropped, so that IPv4 addresses have no prefix (and rule 9 no say).
 */
#pragma once

#include "daemon/base.h"

enum { INTERFACES_ADDRESSES_MAX = 16384, INTERFACES_LINKS_MAX = 16384 };

struct interface_address {
    uint8_t mapped[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint32_t link;
    uint8_t prefix;
    bool deprecated, home;
    bool native; /* after interfaces_finish() */
};

struct interfaces;
struct interfaces *interfaces_new(void);
struct interfaces *interfaces_free(struct interfaces *interfaces); /* takes NULL, returns NULL */

/*
 * Takes the messages of one datagram of a dump of addresses or links (those first or last, as you
 * like). 1: the dump is complete; 0: more is to come; -EINTR: it was interrupted by a change,
 * -E2BIG, -ENOMEM, -EBADMSG, or the error that the kernel says.
 */
int interfaces_take(struct interfaces *interfaces, const void *data, size_t size);

/* After all dumps. */
void interfaces_finish(struct interfaces *interfaces);

/* NULL: not in the list. */
const struct interface_address *interfaces_find(const struct interfaces *interfaces,
                                                const uint8_t mapped[static 16]);

/* How many glibc keeps: 0 on a host without IPv6. */
size_t interfaces_count(const struct interfaces *interfaces);
