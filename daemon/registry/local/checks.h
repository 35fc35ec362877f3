/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The checks of a local registry while they run: those of every instance that is in the index and
 * not left out by a clash. The worst of an instance's checks is its health.
 *
 * Which instances there are is learned from judge() and judged() alone (the hooks of index.h). A
 * check whose settings did not change goes on through any change of files or registrations. An
 * instance whose check was critical for deregister_critical_service_after is taken out: a
 * registered one by `expel`, for good; one of a file is left out until the check passes.
 *
 * What the checks know is kept in a file of the state directory, which only the daemon may read:
 * written within a second of a change of state and at the end, and read at the start, so that a
 * daemon that starts hands out what was well, and not what was critical. It is in force until the
 * first result.
 */
#pragma once

#include "daemon/check.h"
#include "daemon/registry/local/check_list.h"

struct local_checks;

struct local_checks_hooks {
    /* The health of an instance of this service is another: judge anew. From the loop or from a
     * word. */
    void (*changed)(void *userdata, const char *service);
    /* A registered instance was critical for too long. */
    void (*expel)(void *userdata, const char *service, const char *id);
    void *userdata;
};

int local_checks_new(struct registry_env *env, const struct local_checks_hooks *hooks,
                     struct local_checks **ret_checks);
struct local_checks *local_checks_free(struct local_checks *checks); /* writes; takes NULL */

/* As the hooks of index.h. */
bool local_checks_judge(struct local_checks *checks, const char *service, const char *id,
                        bool registered, struct local_check_list *list,
                        enum endpoint_health *ret_health);
void local_checks_judged(struct local_checks *checks, const char *service);

/* All instances were judged once: what else an earlier life knew is of instances that are no more.
 */
void local_checks_settled(struct local_checks *checks);

/*
 * A word about the TTL checks of an instance (`check` NULL), or about one of them. How many it
 * reached; -EINVAL: there is such a check, and it is no TTL check.
 */
int local_checks_pass(struct local_checks *checks, const char *service, const char *id,
                      const char *check, enum check_state state, const char *note);
/* The instance whose check this is: the first of `ret_service` and `ret_id`, borrowed; how many. */
size_t local_checks_find(const struct local_checks *checks, const char *check,
                         const char **ret_service, const char **ret_id);

/* All run soon. */
void local_checks_hurry(struct local_checks *checks);

/* Adds Checks: how many there are in which state, and how many runs began late. */
void local_checks_describe(const struct local_checks *checks, json_t *object);
/* Those of one instance as an array of objects (Check of io.nss-sd.Control); NULL: it has none. */
json_t *local_checks_of(const struct local_checks *checks, const char *service, const char *id);
