/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A DNS response as bytes, made into a struct dns_result.
 *
 * Pure: no I/O, no clock, no event loop. Every byte comes from outside: nothing is read beyond the
 * message, compression pointers only ever lead backwards, and counts are believed only as far as
 * the bytes reach. Legacy parsers of c-ares are not used: they drop the TTL and the additional
 * section of SRV, and the SOA of negative answers.
 */
#pragma once

#include "daemon/net/dns.h"

/* Aliases (CNAME) followed inside one response. */
enum { DNS_CHAIN_MAX = 16 };

/* A result and the memory it points into. */
struct dns_message {
    struct dns_result result;
    char canonical[NAME_SIZE];
    char pointer[NAME_SIZE];
    char text[64];
    struct address *addresses;
    struct dns_srv *services;
    struct dns_extra *extra;
};

/*
 * Reads the response to the question (`name` folded, `type`). `ret_message` is always filled in and
 * needs dns_message_done(); what cannot be used is DNS_FAILED with a text.
 */
void dns_message_parse(const void *data, size_t size, const char *name, enum dns_type type,
                       struct dns_message *ret_message);
/* A response that is not one: DNS_FAILED with this text. */
void dns_message_fail(struct dns_message *ret_message, const char *name, const char *text);
/* The same for addresses known without a server; copies them. DNS_NODATA without any. */
void dns_message_local(struct dns_message *ret_message, const char *name,
                       const struct address *addresses, size_t count, usec_t ttl);
void dns_message_done(struct dns_message *message);
