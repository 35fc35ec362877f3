/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the checks of a local registry knew, across a restart of the daemon: a file of the state
 * directory (checks.json; checks-NAME.json of a registry of another name), which only the daemon
 * may read. Written within a second of a change of state, within a minute of a word for a TTL
 * check, and at the end. Times in it are those of CLOCK_REALTIME. Without a state directory nothing
 * is kept.
 *
 * An entry is for a check of this id, of this instance, that does what it did then: one that looks
 * elsewhere now begins anew.
 */
#pragma once

#include <jansson.h>

#include "daemon/check.h"

struct checks_state;

/* ---- the document: pure ---- */

/* Of one check. Texts are borrowed. */
struct checks_state_entry {
    const char *instance; /* "SERVICE/ID", shorter than CHECKS_STATE_KEY_SIZE */
    const char *id;       /* of the check, shorter than LOCAL_CHECK_ID_MAX */
    const char *what;     /* what it did (check_settings_show()), shorter than CHECK_SHOWN_SIZE */
    const char *output;   /* of any length */
    enum check_state state;
    usec_t since, until; /* CLOCK_REALTIME; until: of a TTL check's word, or USEC_INFINITY */
};

/* Calls `visit` for each entry. False: `data` is no such document, or something in it no entry. */
bool checks_state_read(const char *data, size_t size,
                       void (*visit)(void *userdata, const struct checks_state_entry *entry),
                       void *userdata);

/* The entry as the list "checks" of the document holds it. NULL: no memory, or not UTF-8. */
json_t *checks_state_entry_to_json(const struct checks_state_entry *entry);

/* ---- what is known ---- */

/* A file that cannot be understood is logged, and nothing is known. */
int checks_state_new(struct registry_env *env, struct checks_state **ret_state);
struct checks_state *checks_state_free(struct checks_state *state); /* writes; takes NULL */

/* `instance`: "SERVICE/ID". `changed`: its state is another; else only when it was heard of last.
 */
void checks_state_set(struct checks_state *state, const char *instance, const char *id,
                      const struct check *check, bool changed);
/* Tells the check what was known of it; right after check_new(). */
void checks_state_restore(struct checks_state *state, const char *instance, const char *id,
                          struct check *check);
/* There is no such check any more; `state` may be NULL. */
void checks_state_remove(struct checks_state *state, const char *instance, const char *id);
/* What nobody asked for by now is of checks that are no more. */
void checks_state_settled(struct checks_state *state);

enum { CHECKS_STATE_KEY_SIZE = 253 + 1 + 255 + 1 };
