/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The engine of health checks (check.h). */
#include "daemon/check.h"

#include <stdio.h>

#include "daemon/check_gate.h"
#include "daemon/check_rules.h"

#define STEP (100 * USEC_PER_MSEC)
#define LATE (1 * USEC_PER_SEC)
/* Nobody could say a word while the daemon was away: so long, or its ttl, a restored one lasts. */
#define RESTORED_MIN (60 * USEC_PER_SEC)

struct check {
    struct registry_env *env;
    struct check_settings *settings;
    void (*changed)(void *userdata, struct check *check);
    void *userdata;
    struct check_rules rules;
    struct env_timer timer;
    usec_t due; /* what the timer is set to */
    struct check_waiter waiter;
    bool inside; /* of the gate */
    struct check_run *run;
    usec_t started;
    usec_t since, last, duration;
    uint64_t runs, late;
    bool known;
    char output[CHECK_OUTPUT_SIZE];
};

/* Runs that are due within a step begin together: on an idle machine a wake-up costs as much as a
 * run. Each step has its part of the checks, so they are spread all the same. */
static int set_due(struct check *check, usec_t due)
{
    usec_t at = due < USEC_INFINITY - STEP ? (due + STEP - 1) / STEP * STEP : due;

    check->due = due;
    return env_timer_set(check->env, &check->timer, check->settings->kind == CHECK_TTL ? due : at);
}

/* A random instant within `duration` from now. */
static usec_t random_instant(struct check *check, usec_t duration)
{
    return usec_add(env_now(check->env), env_random(check->env) % duration);
}

/* ---- results ---- */

/* The last thing that is done: the check may be gone afterwards. */
static void take_state(struct check *check, enum check_state state)
{
    bool first = !check->known;

    check->known = true;
    if (state == check->rules.state && !first)
        return;
    check->rules.state = state;
    check->since = env_now(check->env);
    check->changed(check->userdata, check);
}

static void take_result(struct check *check, enum check_state result, const char *output)
{
    struct check_rules rules = check->rules;
    enum check_state state = check_rules_apply(&rules, check->settings, result);

    check_output_copy(check->output, output, strlen(output));
    check->rules.successes = rules.successes;
    check->rules.failures = rules.failures;
    check->last = env_now(check->env);
    take_state(check, state);
}

/* ---- runs ---- */

static void leave(struct check *check)
{
    if (!check->inside)
        return;
    check->inside = false;
    check_gate_leave(check->env->checks);
}

/* An interval after it was due, so that what a step or a wake-up adds does not add up; after its
 * beginning, if that was late. */
static void schedule(struct check *check)
{
    usec_t base = check->started < usec_add(check->due, 2 * STEP) ? check->due : check->started;
    usec_t next = usec_add(base, check->settings->interval), now = env_now(check->env);

    set_due(check, next > now ? next : now);
}

static void run_done(void *userdata, const struct check_result *result)
{
    struct check *check = userdata;

    check->run = NULL;
    check->runs++;
    check->duration = env_now(check->env) - check->started;
    schedule(check);
    leave(check);
    if (result->tried)
        take_result(check, result->state, result->output);
}

static void entered(struct check_waiter *waiter)
{
    struct check *check = (struct check *)((char *)waiter - offsetof(struct check, waiter));
    int r;

    check->inside = true;
    check->started = env_now(check->env);
    check->late += check->started > usec_add(check->due, LATE);
    r = check_run_start(check->env, check->settings, run_done, check, &check->run);
    if (r < 0) { /* it could not be tried */
        schedule(check);
        leave(check);
    }
}

static void ttl_expired(struct check *check)
{
    char note[CHECK_OUTPUT_SIZE], text[CHECK_OUTPUT_SIZE];

    strcpy(note, check->output);
    snprintf(text, sizeof(text), *note ? "not heard of in time; last: %.180s" : "not heard of%s",
             note);
    check->due = USEC_INFINITY;
    check_output_copy(check->output, text, strlen(text));
    check->last = env_now(check->env);
    take_state(check, CHECK_CRITICAL);
}

static void fired(struct env_timer *timer)
{
    struct check *check = timer->owner;
    usec_t now = env_now(check->env);

    if (check->settings->kind == CHECK_TTL)
        ttl_expired(check);
    else if (now > usec_add(check->due, check->settings->interval)) /* the machine slept */
        set_due(check, random_instant(check, check->settings->interval));
    else
        check_gate_enter(check->env->checks, &check->waiter);
}

void check_hurry(struct check *check)
{
    usec_t soon = random_instant(check, USEC_PER_SEC);

    if (check->settings->kind == CHECK_TTL || check->run || check->waiter.waiting)
        return;
    /* One that is overdue was slept over, and would begin anew within its whole interval. */
    if (soon < check->due || check->due < env_now(check->env))
        set_due(check, soon);
}

/* ---- words ---- */

int check_pass(struct check *check, enum check_state state, const char *note)
{
    usec_t now = env_now(check->env);

    if (check->settings->kind != CHECK_TTL)
        return -EINVAL;
    check_output_copy(check->output, note ? note : "", note ? strlen(note) : 0);
    check->last = now;
    set_due(check, usec_add(now, check->settings->ttl));
    take_state(check, state);
    return 0;
}

/* ---- life ---- */

int check_new(struct registry_env *env, const struct check_settings *settings,
              void (*changed)(void *userdata, struct check *check), void *userdata,
              struct check **ret_check)
{
    struct check *check = calloc(1, sizeof(*check));
    int r = check ? check_settings_copy(settings, &check->settings) : -ENOMEM;

    if (r == 0) {
        check->env = env;
        check->changed = changed;
        check->userdata = userdata;
        check->timer = (struct env_timer){.fire = fired, .owner = check};
        check->waiter.enter = entered;
        check->rules.state = check->settings->status;
        check->since = env_now(env);
        r = set_due(check, settings->kind == CHECK_TTL
                               ? usec_add(env_now(env), settings->ttl)
                               : random_instant(check, check->settings->interval));
    }
    if (r < 0) {
        if (check)
            check_settings_free(check->settings);
        free(check);
        return r;
    }
    *ret_check = check;
    return 0;
}

int check_restore(struct check *check, enum check_state state, usec_t since, usec_t next,
                  const char *output)
{
    usec_t now = env_now(check->env), ttl = check->settings->ttl, least, most;

    check->known = true;
    check->rules.state = state;
    check->since = since < now ? since : now;
    check_output_copy(check->output, output, strlen(output));
    if (check->settings->kind != CHECK_TTL)
        return 0;
    if (next == USEC_INFINITY) /* it has lost its force */
        return set_due(check, next);
    least = usec_add(now, ttl < RESTORED_MIN ? ttl : RESTORED_MIN);
    most = usec_add(now, ttl); /* the date may have gone back */
    return set_due(check, next < least ? least : next > most ? most : next);
}

struct check *check_free(struct check *check)
{
    if (!check)
        return NULL;
    check_run_cancel(check->run);
    check_gate_forget(check->env->checks, &check->waiter);
    leave(check);
    env_timer_off(check->env, &check->timer);
    check_settings_free(check->settings);
    explicit_bzero(check->output, sizeof(check->output));
    free(check);
    return NULL;
}

/* ---- showing ---- */

void check_facts(const struct check *check, struct check_facts *ret_facts)
{
    *ret_facts = (struct check_facts){
        .state = check->rules.state,
        .since = check->since,
        .known = check->known,
        .output = check->output,
        .last = check->last,
        .duration = check->duration,
        .next = check->due,
        .running = check->run != NULL,
        .runs = check->runs,
        .late = check->late,
        .successes = check->rules.successes,
        .failures = check->rules.failures,
    };
}

const struct check_settings *check_settings(const struct check *check)
{
    return check->settings;
}
