/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * IP addresses and prefixes as values: to and from text, in order, and which of them somebody who is
 * not trusted may hand out. Pure; opens no socket and asks nobody.
 */
#pragma once

#include <netinet/in.h>

#include "daemon/base.h"

struct address {
    uint8_t family; /* AF_INET or AF_INET6 */
    uint8_t bytes[16];
};

/* Text to address, IPv4 or IPv6 (brackets and a scope are not accepted). 0 or -EINVAL. */
int address_from_string(const char *text, struct address *ret_address);
/* `ret_text` has INET6_ADDRSTRLEN bytes. */
void address_to_string(const struct address *address, char ret_text[static INET6_ADDRSTRLEN]);
int address_compare(const struct address *a, const struct address *b);
static inline size_t address_size(const struct address *address)
{
    return address->family == AF_INET ? 4 : 16;
}

/*
 * What addresses a registry may hand out (design: registries are untrusted): unspecified, multicast,
 * broadcast and link-local never; loopback only with `loopback`; IPv4-mapped IPv6 as the IPv4 inside.
 * Prefixes of AllowAddresses= are checked by the caller first. Returns NULL if allowed, else the reason.
 */
const char *address_refusal(const struct address *address, bool loopback);

struct address_prefix {
    struct address address;
    uint8_t length;
};
int address_prefix_from_string(const char *text, struct address_prefix *ret_prefix);
bool address_prefix_contains(const struct address_prefix *prefix, const struct address *address);
