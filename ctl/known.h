/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The addresses of all instances that the daemon knows, each with the names that lead to it: what
 * `sdctl check --scan` looks for.
 */
#pragma once

#include "ctl/verb.h"

enum { KNOWN_NAMES_MAX = 8, KNOWN_PORTS_MAX = 8 };

/* A name that leads to an address. */
struct known_name {
    char *name;
    unsigned ports[KNOWN_PORTS_MAX];
    size_t port_count;
};

struct known_address {
    struct address address; /* the key; unused bytes are 0 */
    bool own;               /* of this host */
    struct known_name names[KNOWN_NAMES_MAX];
    size_t name_count;
    size_t more; /* names beyond these */
};

struct known;

/* Asks the daemon. NULL: explained why not. */
struct known *known_load(const struct options *options);
struct known *known_free(struct known *all); /* takes NULL, returns NULL */

size_t known_count(const struct known *all);
const struct known_address *known_find(const struct known *all, const struct address *address);

/* The name to write instead of address and port (0: none is written): the shortest of those with
 * this port, else the shortest. *ret_port: it has this port. */
const char *known_best(const struct known_address *known, unsigned port, bool *ret_port);
