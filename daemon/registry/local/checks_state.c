/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the checks knew (checks_state.h). */
#include "daemon/registry/local/checks_state.h"

#include <stdio.h>
#include <syslog.h>
#include <uthash.h>

#include "daemon/registry/local/check_list.h"
#include "daemon/registry/local/files.h"

enum { FILE_SIZE_MAX = 64 << 20, KEY_SIZE = CHECKS_STATE_KEY_SIZE + LOCAL_CHECK_ID_MAX };

#define SAVE_DELAY      USEC_PER_SEC
#define SAVE_WORD_DELAY (60 * USEC_PER_SEC)
#define SAVE_RETRY      (30 * USEC_PER_SEC)

struct known {
    char what[CHECK_SHOWN_SIZE], output[CHECK_OUTPUT_SIZE];
    enum check_state state;
    usec_t since, until; /* CLOCK_REALTIME; until: of a TTL check's word */
    bool claimed;
    UT_hash_handle hh;
    char key[]; /* "SERVICE/ID\nCHECK" */
};

struct checks_state {
    struct registry_env *env;
    struct known *all;
    char *path; /* NULL: nothing is kept */
    struct env_timer save;
    usec_t save_at; /* USEC_INFINITY: nothing to write */
    int save_error; /* logged already */
};

static void make_key(char key[static KEY_SIZE], const char *instance, const char *id)
{
    snprintf(key, KEY_SIZE, "%s\n%.319s", instance, id);
}

static struct known *find(const struct checks_state *state, const char *instance, const char *id)
{
    char key[KEY_SIZE];
    struct known *known;

    make_key(key, instance, id);
    HASH_FIND_STR(state->all, key, known);
    return known;
}

static struct known *get(struct checks_state *state, const char *instance, const char *id)
{
    struct known *known = find(state, instance, id);

    if (known)
        return known;
    known = calloc(1, sizeof(*known) + KEY_SIZE);
    if (!known)
        return NULL;
    make_key(known->key, instance, id);
    HASH_ADD_STR(state->all, key, known);
    return known;
}

static void forget(struct checks_state *state, struct known *known)
{
    HASH_DEL(state->all, known);
    free(known);
}

/* ---- two clocks ---- */

static usec_t realtime(struct registry_env *env)
{
    return env->ops->now_realtime(env);
}

/* A time of env_now() as a date, and back; what is before either began is its beginning. */
static usec_t move(usec_t time, usec_t from_now, usec_t to_now)
{
    if (time == USEC_INFINITY)
        return time;
    if (time >= from_now)
        return usec_add(to_now, time - from_now);
    return to_now > from_now - time ? to_now - (from_now - time) : 1;
}

/* ---- the file ---- */

static json_t *known_to_json(const struct known *known)
{
    const char *end = strchr(known->key, '\n');

    return json_pack("{s:s%, s:s, s:s, s:s, s:I, s:I, s:s}", "instance", known->key,
                     (size_t)(end - known->key), "check", end + 1, "what", known->what, "state",
                     check_state_to_string(known->state), "since", (json_int_t)known->since,
                     "until", known->until == USEC_INFINITY ? -1 : (json_int_t)known->until,
                     "output", known->output);
}

static json_t *document(const struct checks_state *state)
{
    json_t *list = json_array();

    for (const struct known *known = state->all; known; known = known->hh.next)
        json_array_append_new(list, known_to_json(known));
    return json_pack("{s:o}", "checks", list);
}

static void save(struct checks_state *state)
{
    struct registry_env *env = state->env;
    json_t *object = document(state);
    int r = object ? local_file_write(state->path, object) : -ENOMEM;

    json_decref(object);
    if (r < 0 && r != state->save_error)
        env_log(env, LOG_ERR, NULL, "Cannot write %s, trying again every %u s: %s", state->path,
                (unsigned)(SAVE_RETRY / USEC_PER_SEC), strerror(-r));
    state->save_error = r;
    state->save_at = USEC_INFINITY;
    if (r < 0) {
        state->save_at = env_now(env) + SAVE_RETRY;
        env_timer_set(env, &state->save, state->save_at);
    }
}

static void save_fired(struct env_timer *timer)
{
    save(timer->owner);
}

static void save_within(struct checks_state *state, usec_t delay)
{
    usec_t at = env_now(state->env) + delay;

    if (!state->path || at >= state->save_at || state->save_error < 0)
        return;
    state->save_at = at;
    env_timer_set(state->env, &state->save, at);
}

/* false: it is no entry. */
static bool load_one(struct checks_state *state, json_t *object)
{
    const char *instance, *id, *what, *word, *output;
    json_int_t since, until;
    enum check_state told;
    struct known *known;

    if (json_unpack(object, "{s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "instance", &instance, "check",
                    &id, "what", &what, "state", &word, "since", &since, "until", &until, "output",
                    &output) < 0 ||
        check_state_from_string(word, &told) < 0 || since < 0 ||
        strlen(instance) >= CHECKS_STATE_KEY_SIZE || strchr(instance, '\n'))
        return false;
    known = get(state, instance, id);
    if (!known)
        return false;
    snprintf(known->what, sizeof(known->what), "%s", what);
    check_output_copy(known->output, output, strlen(output));
    known->state = told;
    known->since = (usec_t)since;
    known->until = until < 0 ? USEC_INFINITY : (usec_t)until;
    return true;
}

static int load(struct checks_state *state)
{
    _cleanup_(freep) char *data = NULL;
    json_t *document, *one;
    struct stat st;
    size_t size, i;
    bool good;
    int r = local_file_read(state->path, FILE_SIZE_MAX, &st, &data, &size);

    if (r == -ENOENT || r == -ENOMEM)
        return r == -ENOENT ? 0 : r;
    document = r == 0 ? json_loadb(data, size, 0, NULL) : NULL;
    good = json_is_array(json_object_get(document, "checks"));
    json_array_foreach (json_object_get(document, "checks"), i, one)
        good = load_one(state, one) && good;
    json_decref(document);
    if (!good)
        env_log(state->env, LOG_WARNING, NULL,
                "%s: cannot be understood; checks begin with the status of their definitions",
                state->path);
    return 0;
}

/* ---- the interface ---- */

void checks_state_set(struct checks_state *state, const char *instance, const char *id,
                      const struct check *check, bool changed)
{
    struct known *known = state->path ? get(state, instance, id) : NULL;
    usec_t now = env_now(state->env), date = realtime(state->env);
    struct check_facts facts;

    if (!known)
        return;
    check_facts(check, &facts);
    check_settings_show(check_settings(check), known->what);
    strcpy(known->output, facts.output);
    known->state = facts.state;
    known->since = move(facts.since, now, date);
    known->until = move(facts.next, now, date);
    known->claimed = true;
    save_within(state, changed ? SAVE_DELAY : SAVE_WORD_DELAY);
}

void checks_state_restore(struct checks_state *state, const char *instance, const char *id,
                          struct check *check)
{
    struct known *known = find(state, instance, id);
    usec_t now = env_now(state->env), date = realtime(state->env);
    char what[CHECK_SHOWN_SIZE];

    if (!known)
        return;
    check_settings_show(check_settings(check), what);
    if (!streq(what, known->what)) {
        forget(state, known);
        return;
    }
    known->claimed = true;
    check_restore(check, known->state, move(known->since, date, now), move(known->until, date, now),
                  known->output);
}

void checks_state_remove(struct checks_state *state, const char *instance, const char *id)
{
    struct known *known = state ? find(state, instance, id) : NULL;

    if (!known)
        return;
    forget(state, known);
    save_within(state, SAVE_DELAY);
}

void checks_state_settled(struct checks_state *state)
{
    struct known *known, *next;

    HASH_ITER (hh, state->all, known, next)
        if (!known->claimed) {
            forget(state, known);
            save_within(state, SAVE_DELAY);
        }
}

/* As registrations.c names its file. */
static int make_path(struct checks_state *state)
{
    const struct registry_env *env = state->env;
    const char *name = env->registry->config->name, *type = env->registry->type->name;
    int r = 0;

    if (!*env->state_directory)
        return 0;
    if (streq(name, type))
        r = asprintf(&state->path, "%s/checks.json", env->state_directory);
    else
        r = asprintf(&state->path, "%s/checks-%s.json", env->state_directory, name);
    if (r < 0)
        state->path = NULL;
    return r < 0 ? -ENOMEM : 0;
}

int checks_state_new(struct registry_env *env, struct checks_state **ret_state)
{
    struct checks_state *state = calloc(1, sizeof(*state));
    int r;

    if (!state)
        return -ENOMEM;
    state->env = env;
    state->save = (struct env_timer){.fire = save_fired, .owner = state};
    state->save_at = USEC_INFINITY;
    r = make_path(state);
    if (r == 0 && state->path)
        r = load(state);
    if (r < 0) {
        checks_state_free(state);
        return r;
    }
    *ret_state = state;
    return 0;
}

struct checks_state *checks_state_free(struct checks_state *state)
{
    struct known *known, *next;

    if (!state)
        return NULL;
    if (state->path && state->save_at != USEC_INFINITY)
        save(state);
    env_timer_off(state->env, &state->save);
    HASH_ITER (hh, state->all, known, next)
        forget(state, known);
    free(state->path);
    free(state);
    return NULL;
}
