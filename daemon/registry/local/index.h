/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The services of a local registry: every known instance, and what they make together.
 *
 * Instances come and go one by one, each from a *source* (a file, or the dynamic registrations); a
 * service that they touch is rebuilt when the change as a whole is settled, so that a service that
 * moves from one file to another is never seen gone. Two instances of a service with one id clash:
 * the source that sorts first wins. The index also maps addresses to services. Pure: no files, no
 * clock, no reports.
 */
#pragma once

#include "daemon/base.h"
#include "daemon/endpoint.h"
#include "nss-sd/name.h"

struct local_index;
struct local_entry; /* an instance in the index */

struct local_index *local_index_new(void);
/* Frees what is left in it too. */
struct local_index *local_index_free(struct local_index *index);

/*
 * Adds an instance: `endpoint` is a set of one, of which it takes a reference. `source` must live
 * as long as the instance; the empty one sorts last. Errors: -ENOSPC (LOCAL_INSTANCES_MAX),
 * -ENOMEM.
 */
int local_index_add(struct local_index *index, const char *source, const char *service,
                    struct endpoint_set *endpoint, struct local_entry **ret_entry);
void local_index_remove(struct local_index *index, struct local_entry *entry);

/* The instance of this id that comes from `source`, or from a file if `source` is NULL; or NULL. */
struct local_entry *local_index_find(struct local_index *index, const char *source,
                                     const char *service, const char *id);
const char *local_entry_service(const struct local_entry *entry);
const struct endpoint *local_entry_endpoint(const struct local_entry *entry);

struct local_index_hooks {
    /* The endpoints of this service are others now; NULL: it has no instance any more. */
    void (*changed)(void *userdata, const char *service, struct endpoint_set *before,
                    struct endpoint_set *after);
    /* `loser` is left out: its id is taken by the instance of `winner` (sources, as given). */
    void (*clash)(void *userdata, const char *service, const char *id, const char *winner,
                  const char *loser);
    void *userdata;
};

/*
 * Rebuilds what was touched since it was settled last: one service, or (NULL) all. The hooks may
 * not add or remove.
 */
void local_index_settle(struct local_index *index, const char *service,
                        const struct local_index_hooks *hooks);

/* What was settled last: borrowed; NULL: no such service. */
struct endpoint_set *local_index_endpoints(const struct local_index *index, const char *service);
/* The first service, by name, that has this address; NULL: none. */
const char *local_index_reverse(const struct local_index *index, const struct address *address);

size_t local_index_services(const struct local_index *index);
size_t local_index_instances(const struct local_index *index);
