/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names that this machine knows without a server: /etc/hosts and localhost (RFC 6761 6.3).
 *
 * The file is kept in memory and read again when it changes; beyond its first MiB it is ignored.
 */
#pragma once

#include "daemon/endpoint.h"
#include "nss-sd/name.h"

enum { HOSTS_FILE_MAX = 1024 * 1024, HOSTS_ADDRESSES_MAX = 64 };

struct hosts;
struct hosts *hosts_new(const char *path); /* NULL: out of memory */
struct hosts *hosts_free(struct hosts *hosts);

/*
 * Is `name` (folded) known here? If so, the file decides for both families: `ret_count` may be 0.
 */
bool hosts_lookup(struct hosts *hosts, const char *name, int family,
                  struct address ret_addresses[static HOSTS_ADDRESSES_MAX], size_t *ret_count);

/* The same in a file's text. */
bool hosts_text_lookup(const char *text, size_t size, const char *name, int family,
                       struct address ret_addresses[static HOSTS_ADDRESSES_MAX], size_t *ret_count);
