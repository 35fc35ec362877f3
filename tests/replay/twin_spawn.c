/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The twin's programs, which run until the test ends them. */
#include "tests/replay/twin_internal.h"
#include "tests/unit/unit.h"

#include <stdio.h>

/* Calls stay in their list, closed, until the twin ends. */
struct spawn_call {
    struct twin *twin;
    struct spawn_request request;
    bool open, expected;
    struct env_timer timeout;
    struct twin_kept *kept;
    struct spawn_call *prev, *next;
};

static const char *const *words_copy(struct twin_kept **kept, const char *const *words)
{
    const char **copy;
    size_t count = 0;

    while (words && words[count])
        count++;
    copy = twin_keep_in(kept, calloc(count + 1, sizeof(*copy)));
    for (size_t i = 0; i < count; i++)
        copy[i] = twin_strdup_in(kept, words[i]);
    return copy;
}

static void spawn_finish(struct spawn_call *call, const struct spawn_result *result)
{
    call->open = false;
    twin_timer_off(&call->twin->env, &call->timeout);
    call->request.done(call->request.userdata, result);
}

static void spawn_timed_out(struct env_timer *timer)
{
    spawn_finish(
        timer->owner,
        &(struct spawn_result){.outcome = SPAWN_TIMEOUT, .output = "", .text = "took too long"});
}

int twin_spawn_start(struct registry_env *env, const struct spawn_request *request,
                     struct spawn_call **ret_call)
{
    struct twin *twin = twin_of(env);
    struct spawn_call *call;

    twin_check_impure(twin, "a program is run");
    if (!request->program || !request->done || request->timeout == 0 || request->max_output == 0)
        twin_violated(twin, "a program is run without name, done or bounds");
    if (twin->spawn_error < 0)
        return twin->spawn_error;
    call = calloc(1, sizeof(*call));
    UNIT_HOLDS(call);
    call->twin = twin;
    call->open = true;
    call->request = *request;
    call->request.program = twin_strdup_in(&call->kept, request->program);
    call->request.arguments = words_copy(&call->kept, request->arguments);
    call->request.variables = words_copy(&call->kept, request->variables);
    call->timeout = (struct env_timer){.fire = spawn_timed_out, .owner = call};
    twin_timer_set_own(twin, &call->timeout, usec_add(twin->now, request->timeout));
    DL_APPEND(twin->spawn_calls, call);
    *ret_call = call;
    return 0;
}

void twin_spawn_cancel(struct registry_env *env, struct spawn_call *call)
{
    struct twin *twin = twin_of(env);
    struct spawn_call *known;

    twin_check_impure(twin, "a program is cancelled");
    if (!call)
        return;
    DL_FOREACH (twin->spawn_calls, known)
        if (known == call && known->open) {
            call->open = false;
            twin_timer_off(env, &call->timeout);
            return;
        }
    twin_violated(twin, "a program is cancelled that does not run");
}

struct spawn_call *twin_expect_spawn(struct twin *twin, const char *program)
{
    struct spawn_call *call;

    DL_FOREACH (twin->spawn_calls, call)
        if (call->open && !call->expected && streq(call->request.program, program)) {
            call->expected = true;
            return call;
        }
    DL_FOREACH (twin->spawn_calls, call)
        fprintf(stderr, "program: %s%s%s\n", call->request.program, call->open ? "" : " (gone)",
                call->expected ? " (seen)" : "");
    ck_abort_msg("%s does not run", program);
    return NULL;
}

void twin_expect_no_spawn(struct twin *twin)
{
    struct spawn_call *call;

    DL_FOREACH (twin->spawn_calls, call)
        UNIT_HOLDS_MSG(!call->open || call->expected, "unexpected program %s",
                       call->request.program);
}

unsigned twin_spawn_open(const struct twin *twin)
{
    const struct spawn_call *call;
    unsigned count = 0;

    DL_FOREACH (twin->spawn_calls, call)
        count += call->open;
    return count;
}

const struct spawn_request *twin_spawn_request(const struct spawn_call *call)
{
    return &call->request;
}

const char *twin_spawn_variable(const struct spawn_call *call, const char *name)
{
    size_t size = strlen(name);

    for (const char *const *one = call->request.variables; *one; one++)
        if (strncmp(*one, name, size) == 0 && (*one)[size] == '=')
            return *one + size + 1;
    return NULL;
}

void twin_spawn_exit(struct spawn_call *call, int status, const char *output, const char *text)
{
    struct twin *twin = call->twin;
    bool fits = strlen(output) <= call->request.max_output;

    UNIT_HOLDS_MSG(call->open, "a program ends that is gone");
    spawn_finish(call, &(struct spawn_result){.outcome = fits ? SPAWN_EXITED : SPAWN_TOO_LARGE,
                                              .status = status,
                                              .output = fits ? output : "",
                                              .size = fits ? strlen(output) : 0,
                                              .text = fits ? text ?: "" : "wrote too much"});
    twin_run(twin);
}

void twin_spawn_refuse(struct twin *twin, int error)
{
    twin->spawn_error = error;
}

void twin_spawns_free(struct twin *twin)
{
    struct spawn_call *call, *next;

    DL_FOREACH_SAFE (twin->spawn_calls, call, next) {
        DL_DELETE(twin->spawn_calls, call);
        twin_kept_free(&call->kept);
        free(call);
    }
}
