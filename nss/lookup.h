/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The road of a lookup, from a name or an address to a verdict: the one implementation behind all
 * entry points. Decides whose the name is, who is asked, and what glibc is told when nobody answers
 * (doc: the table "What a program gets"). Stores nothing through the caller's error pointers; that
 * is verdict_store()'s, last of all, because they may be errno itself.
 */
#pragma once

#include <nss.h>

#include "nss/pack.h"

/* What glibc is told. On success `error` is 0 and is not stored. */
struct verdict {
    enum nss_status status;
    int error;   /* errno */
    int h_error; /* h_errno; NETDB_INTERNAL with ERANGE and nowhere else */
};

/* Where an answer goes: the buffer, and one of the two forms. */
struct lookup_target {
    struct pack_buffer buffer;
    struct hostent *host;
    struct gaih_addrtuple **tuples; /* NULL: the form is `host` */
    bool twice;                     /* host: a single address is given twice (module.c says why) */
};

/* `family`: AF_INET, AF_INET6, or AF_UNSPEC for tuples. `name` may be any text, or NULL. */
struct verdict lookup_name(const char *name, int family, const struct lookup_target *target);
/* `address` of `length` bytes, of AF_INET or AF_INET6; target: host. */
struct verdict lookup_address(const void *address, size_t length, int family,
                              const struct lookup_target *target);
