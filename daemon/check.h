/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine of health checks: a check runs at its interval, and its state follows its results.
 *
 * The first run comes at a random instant of the first interval, and the others follow at that
 * distance, so that many checks do not go off together. A check has one run at a time; all of the
 * daemon share env->checks (check_gate.h), and one that has to wait there is late, which is no
 * failure. A run that could not be tried for want of memory or descriptors changes nothing. A
 * machine that slept finds its checks spread anew.
 *
 * A check knows nothing of instances, registries or files: whoever makes it says what its state is
 * for. Built on the verbs of struct registry_env alone; all calls come from the loop.
 */
#pragma once

#include "daemon/check_run.h"
#include "daemon/check_settings.h"

struct check;

struct check_facts {
    enum check_state state;
    usec_t since; /* the state is this one since then (clock of env_now) */
    bool known;   /* there was a result, in this life or a restored one */
    const char
        *output;     /* of the last result: one line, "" before; valid until the check runs again */
    usec_t last;     /* when the last result came; 0: none in this life */
    usec_t duration; /* of the last run */
    usec_t next;     /* when the next run is due; TTL: when the last word has lost its force */
    bool running;
    uint64_t runs, late; /* so many ended; so many began more than a second after they were due */
    unsigned successes, failures; /* in a row */
};

/*
 * `settings` are copied. `changed` is called whenever the state is another, and with the first result,
 * whatever that is; from the loop or from inside check_pass(). It may free the check. Errors:
 * -EINVAL (check_settings_mistake() says why), -ENOMEM.
 */
int check_new(struct registry_env *env, const struct check_settings *settings,
              void (*changed)(void *userdata, struct check *check), void *userdata,
              struct check **ret_check);
struct check *check_free(struct check *check); /* ends its run too; takes NULL, returns NULL */

/*
 * What an earlier life knew: in force until the first result (TTL: until `next`, an env_now(), or a
 * while from now, as nobody could say a word meanwhile). Right after check_new().
 */
int check_restore(struct check *check, enum check_state state, usec_t since, usec_t next,
                  const char *output);

/* A TTL check: its word, in force for its ttl. `note` for people, or NULL. -EINVAL: of another
 * kind. */
int check_pass(struct check *check, enum check_state state, const char *note);

/* Runs it soon (within a second), due or not: the network came back. */
void check_hurry(struct check *check);

void check_facts(const struct check *check, struct check_facts *ret_facts);
const struct check_settings *check_settings(const struct check *check);
