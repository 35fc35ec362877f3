/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The addresses of the few hosts that we connect to: registries, by name.
 *
 * Both families are asked for through net/dns (/etc/hosts counts), one pair of questions however
 * many wait, and kept for their TTL, within 1 s to 60 s. When servers fail, the addresses known
 * last stay in use: a registry must not be lost because DNS is.
 */
#pragma once

#include "daemon/endpoint.h"

enum { HOST_CACHE_MAX = 256, HOST_ADDRESSES_MAX = 32 };

struct sd_event;
struct dns_client;
struct host_cache;
struct host_waiter;

int host_cache_new(struct sd_event *event, struct dns_client *dns, struct host_cache **ret_cache);
struct host_cache *host_cache_free(struct host_cache *cache);

/* Addresses, IPv6 first, or none and why not; valid during the call. */
typedef void (*host_known_t)(void *userdata, const struct address *addresses, size_t count,
                             const char *error);

/* Calls `known` at once if the host is known and fresh; otherwise returns false. */
bool host_cache_find(struct host_cache *cache, const char *name, host_known_t known,
                     void *userdata);
/* Calls `known` later, exactly once unless cancelled. `name` is folded. 0, -ENOMEM, -EBUSY. */
int host_cache_ask(struct host_cache *cache, const char *name, host_known_t known, void *userdata,
                   struct host_waiter **ret_waiter);
void host_cache_cancel(struct host_cache *cache, struct host_waiter *waiter); /* takes NULL */

/* Whatever is asked for next is resolved anew; should DNS fail, what is known stays in use. */
void host_cache_expire(struct host_cache *cache);
