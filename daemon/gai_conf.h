/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * /etc/gai.conf: the tables by which glibc's getaddrinfo sorts addresses (gai.conf(5)), with those
 * that are built into glibc where the file has none. Pure: bytes in, tables out.
 *
 * Reads what glibc 2.41 reads, and passes over what it passes over: lines with a mistake, unknown
 * words, what follows the third word. glibc 2.36 differs in broken lines alone.
 */
#pragma once

#include "daemon/base.h"
#include "daemon/endpoint.h"

enum { GAI_CONF_SIZE_MAX = 64 * 1024 };

/* One line "label" or "precedence". The first entry that holds an address counts. */
struct gai_prefix {
    uint8_t address[16];
    uint8_t bits;
    uint32_t value; /* to INT_MAX */
};

/* One line "scopev4", in host byte order. */
struct gai_scope {
    uint32_t address, mask;
    uint32_t value;
};

struct gai_conf {
    struct gai_prefix *labels, *precedences; /* the last entry of each table holds every address */
    struct gai_scope *scopes;
    size_t label_count, precedence_count, scope_count;
    size_t lines; /* that count; 0: all tables are the built-in ones */
    bool reload;  /* running programs follow changes of the file */
};

/* Size 0 for a file that is not there. -ENOMEM, -E2BIG. */
int gai_conf_parse(const char *data, size_t size, struct gai_conf **ret_conf);
struct gai_conf *gai_conf_free(struct gai_conf *conf); /* takes NULL, returns NULL */

/* IPv4 addresses as the IPv6 addresses ::ffff:a.b.c.d, as glibc looks them up. */
uint32_t gai_conf_label(const struct gai_conf *conf, const uint8_t mapped[static 16]);
uint32_t gai_conf_precedence(const struct gai_conf *conf, const uint8_t mapped[static 16]);
/* Of an IPv4 address in host byte order. */
uint32_t gai_conf_scope4(const struct gai_conf *conf, uint32_t address);
