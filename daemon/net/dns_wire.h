/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bytes of a DNS message: numbers and names behind a cursor that never leaves it. Knows nothing
 * of records and what they mean (dns_message.c does). Pure.
 */
#pragma once

#include "daemon/base.h"
#include "nss-sd/name.h"

enum { DNS_WIRE_NAME_MAX = 255 };

struct dns_cursor {
    const uint8_t *data;
    size_t size, at;
};

/*
 * A name uncompressed and in lower case, as on the wire: label lengths and all. Comparable whatever
 * bytes its labels hold (RFC 2317 puts '/' into names); only what is handed out must be a host
 * name.
 */
struct dns_wire_name {
    uint8_t bytes[DNS_WIRE_NAME_MAX];
    size_t length; /* with the root's zero byte */
};

/* All are false where the message ends too early; the cursor has no meaning then. */
bool dns_take_u16(struct dns_cursor *cursor, uint16_t *ret_value);
bool dns_take_u32(struct dns_cursor *cursor, uint32_t *ret_value);
bool dns_skip(struct dns_cursor *cursor, size_t count);
/* Reads a name, compressed or not, and leaves the cursor behind it. */
bool dns_take_name(struct dns_cursor *cursor, struct dns_wire_name *ret_name);

bool dns_wire_name_equal(const struct dns_wire_name *a, const struct dns_wire_name *b);
/* `name` is folded, so that it always fits. */
void dns_wire_name_from_text(const char *name, struct dns_wire_name *ret_name);
/* False if the name is no host name in the sense of nss-sd/name.h. The root is "". */
bool dns_wire_name_to_text(const struct dns_wire_name *name, char ret_text[static NAME_SIZE]);
