/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Instances that were registered while the daemon runs (`sdctl register`), kept in the index of a
 * local registry under the empty source.
 *
 * One with a time to live goes when it is not registered anew in time. One without stays: it is
 * written to a file of the state directory shortly after each change (and at the end), in the shape
 * of a definition file, and read back at the start. Without a state directory nothing is kept. Only
 * the daemon may read the file: headers of checks are in it.
 */
#pragma once

#include "daemon/registry/local/index.h"
#include "daemon/registry/registry.h"

#define LOCAL_REGISTERED "" /* their source in the index */

struct local_registrations;

/*
 * Reads the file; one that cannot be understood is set aside under NAME.broken and logged.
 * `expired` is called from the loop after an instance went: its service is to be settled.
 */
int local_registrations_new(struct registry_env *env, struct local_index *index, size_t name_max,
                            void (*expired)(void *userdata, const char *service), void *userdata,
                            struct local_registrations **ret_registrations);
/* Writes what is not written yet. */
struct local_registrations *local_registrations_free(struct local_registrations *registrations);

/* Is this instance registered? */
bool local_registrations_has(const struct local_registrations *registrations, const char *service,
                             const char *id);
/* Adds or replaces the instance of this name (a set of one; `checks` may be NULL). `ttl`:
 * USEC_INFINITY: it stays. */
int local_registrations_set(struct local_registrations *registrations, const char *service,
                            struct endpoint_set *endpoint, struct local_check_list *checks,
                            usec_t ttl);
/* A sign of life: its time to live begins anew. False: there is none of this id that has one. */
bool local_registrations_renew(struct local_registrations *registrations, const char *service,
                               const char *id);
/* Takes away one instance, or (`id` NULL) all of the service; how many. */
unsigned local_registrations_remove(struct local_registrations *registrations, const char *service,
                                    const char *id);
size_t local_registrations_count(const struct local_registrations *registrations);
