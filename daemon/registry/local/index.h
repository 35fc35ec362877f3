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
#include "daemon/registry/local/check_list.h"
#include "nss-sd/name.h"

struct local_index;
struct local_entry; /* an instance in the index */

struct local_index *local_index_new(void);
/* Frees what is left in it too. */
struct local_index *local_index_free(struct local_index *index);

/*
 * Adds an instance: `endpoint` is a set of one; of it and of `checks` (may be NULL) it takes a
 * reference. `source` must live as long as the instance; the empty one sorts last. Errors: -ENOSPC
 * (LOCAL_INSTANCES_MAX), -ENOMEM.
 */
int local_index_add(struct local_index *index, const char *source, const char *service,
                    struct endpoint_set *endpoint, struct local_check_list *checks,
                    struct local_entry **ret_entry);
/* The instance, of this id still, is another now: it keeps its place, and there is always room. */
void local_index_replace(struct local_index *index, struct local_entry *entry,
                         struct endpoint_set *endpoint, struct local_check_list *checks);
void local_index_remove(struct local_index *index, struct local_entry *entry);

/* The instance of this id that comes from `source`, or from a file if `source` is NULL; or NULL. */
struct local_entry *local_index_find(struct local_index *index, const char *source,
                                     const char *service, const char *id);
/* The instances of this id in all services: how many services have one, and the name of one of
 * them. */
size_t local_index_find_id(const struct local_index *index, const char *id,
                           const char **ret_service);
const char *local_entry_service(const struct local_entry *entry);
const struct endpoint *local_entry_endpoint(const struct local_entry *entry);
struct local_check_list *local_entry_checks(const struct local_entry *entry); /* NULL: none */

struct local_index_hooks {
    /*
     * How is the instance? Asked of each that is not left out by a clash, and then, once, `judged`:
     * who was not asked about is no more. False: it is not to be handed out, nor shown.
     */
    bool (*judge)(void *userdata, const char *service, const char *id, bool registered,
                  struct local_check_list *checks, enum endpoint_health *ret_health);
    void (*judged)(void *userdata, const char *service);
    /* The endpoints of this service are others now; NULL: it has no instance any more. */
    void (*changed)(void *userdata, const char *service, struct endpoint_set *before,
                    struct endpoint_set *after);
    /* `loser` is left out from now on: its id is taken by the instance of `winner` (sources, as
     * given). */
    void (*clash)(void *userdata, const char *service, const char *id, const char *winner,
                  const char *loser);
    void *userdata;
};

/* The health of an instance of this service is another: it is to be rebuilt. */
void local_index_touch(struct local_index *index, const char *service);

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
