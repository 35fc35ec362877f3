/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One run of a check: it connects, asks, and says what came of it. A file a kind of check behind
 * one interface; all that it needs of the world comes from struct registry_env.
 *
 * A run has three results that never mix: the target is well (or warns), it is not, and it could
 * not be tried (memory or descriptors ran out here), which says nothing of the target. An HTTP run
 * cannot tell that: to libcurl it is a target that is not reached.
 */
#pragma once

#include "daemon/check_settings.h"
#include "daemon/registry/registry.h"

enum { CHECK_OUTPUT_SIZE = 256, CHECK_BODY_READ = 4096 };

struct check_run;

struct check_result {
    bool tried; /* false: it says nothing of the target */
    enum check_state state;
    const char *output; /* one line, printable, no secrets; valid during the call */
};

typedef void (*check_run_done_t)(void *userdata, const struct check_result *result);

/*
 * Begins a run; `settings` must outlive it. `done` is called once, never from inside the call, and
 * the run is gone then; or it is cancelled. It ends within settings->timeout. Errors: negative
 * errno.
 */
int check_run_start(struct registry_env *env, const struct check_settings *settings,
                    check_run_done_t done, void *userdata, struct check_run **ret_run);
struct check_run *check_run_cancel(struct check_run *run); /* takes NULL, returns NULL */

/* What is not printable or not in the first line goes. */
void check_output_copy(char ret_output[static CHECK_OUTPUT_SIZE], const char *text, size_t size);
