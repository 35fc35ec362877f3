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

/* ---- the document ---- */

json_t *checks_state_entry_to_json(const struct checks_state_entry *entry)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "instance", entry->instance, "check",
                     entry->id, "what", entry->what, "state", check_state_to_string(entry->state),
                     "since", (json_int_t)entry->since, "until",
                     entry->until == USEC_INFINITY ? -1 : (json_int_t)entry->until, "output",
                     entry->output);
}

static bool read_entry(json_t *object, struct checks_state_entry *ret_entry)
{
    json_int_t since, until;
    const char *word;

    if (json_unpack(object, "{s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "instance", &ret_entry->instance,
                    "check", &ret_entry->id, "what", &ret_entry->what, "state", &word, "since",
                    &since, "until", &until, "output", &ret_entry->output) < 0 ||
        check_state_from_string(word, &ret_entry->state) < 0 || since < 0 ||
        strlen(ret_entry->instance) >= CHECKS_STATE_KEY_SIZE || strchr(ret_entry->instance, '\n') ||
        strlen(ret_entry->id) >= LOCAL_CHECK_ID_MAX || strlen(ret_entry->what) >= CHECK_SHOWN_SIZE)
        return false;
    ret_entry->since = (usec_t)since;
    ret_entry->until = until < 0 ? USEC_INFINITY : (usec_t)until;
    return true;
}

bool checks_state_read(const char *data, size_t size,
                       void (*visit)(void *userdata, const struct checks_state_entry *entry),
                       void *userdata)
{
    json_t *document = json_loadb(data, size, 0, NULL), *one;
    bool good = json_is_array(json_object_get(document, "checks"));
    struct checks_state_entry entry;
    size_t i;

    json_array_foreach (json_object_get(document, "checks"), i, one) {
        if (read_entry(one, &entry))
            visit(userdata, &entry);
        else
            good = false;
    }
    json_decref(document);
    return good;
}

/* ---- entries ---- */

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
    char instance[KEY_SIZE], *id = strchr(strcpy(instance, known->key), '\n');
    struct checks_state_entry entry = {
        .instance = instance,
        .id = id + 1,
        .what = known->what,
        .output = known->output,
        .state = known->state,
        .since = known->since,
        .until = known->until,
    };

    *id = '\0';
    return checks_state_entry_to_json(&entry);
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

static void load_one(void *userdata, const struct checks_state_entry *entry)
{
    struct known *known = get(userdata, entry->instance, entry->id);

    if (!known)
        return;
    strcpy(known->what, entry->what);
    check_output_copy(known->output, entry->output, strlen(entry->output));
    known->state = entry->state;
    known->since = entry->since;
    known->until = entry->until;
}

static int load(struct checks_state *state)
{
    _cleanup_(freep) char *data = NULL;
    struct stat st;
    size_t size;
    int r = local_file_read(state->path, FILE_SIZE_MAX, &st, &data, &size);

    if (r == -ENOENT || r == -ENOMEM)
        return r == -ENOENT ? 0 : r;
    if (r < 0 || !checks_state_read(data, size, load_one, state))
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
