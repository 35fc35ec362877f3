/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finds IP addresses in text as people write them in configuration files: dotted quads, IPv6 in any
 * spelling, in brackets, mapped, with a port, a scope or a full-length prefix behind. Networks
 * (10.0.0.0/8), version numbers of other lengths and parts of longer names are none. Pure; looks at
 * every byte once or twice.
 */
#pragma once

#include "daemon/endpoint.h"

struct address_found {
    struct address address; /* IPv4-mapped IPv6 is the IPv4 inside */
    const char *text;       /* in the text that is scanned, as it is written there */
    size_t length;
    unsigned port; /* behind it, or 0 */
};

void address_scan(const char *data, size_t size,
                  void (*found)(void *userdata, const struct address_found *found), void *userdata);
