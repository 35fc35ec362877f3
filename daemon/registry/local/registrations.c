/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dynamic registrations of a local registry (registrations.h). */
#include "daemon/registry/local/registrations.h"

#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>
#include <uthash.h>

#include "daemon/registry/local/definition.h"
#include "daemon/registry/local/files.h"

enum { STATE_SIZE_MAX = 64 << 20 };
#define SAVE_DELAY (100 * USEC_PER_MSEC)
#define SAVE_RETRY (30 * USEC_PER_SEC)

struct registration {
    struct local_registrations *owner;
    struct local_entry *entry;
    usec_t ttl;
    struct env_timer timer; /* off when it stays */
    UT_hash_handle hh;
    char key[]; /* "SERVICE/ID" */
};

struct local_registrations {
    struct registry_env *env;
    struct local_index *index;
    void (*expired)(void *userdata, const char *service);
    void *userdata;
    struct registration *all;
    char *path; /* NULL: nothing is kept */
    struct env_timer save;
    bool unsaved;
    int save_error; /* logged already */
};

/* ---- the file ---- */

static json_t *document(const struct local_registrations *registrations)
{
    json_t *services = json_array(), *service;

    for (const struct registration *one = registrations->all; one; one = one->hh.next) {
        if (one->ttl != USEC_INFINITY)
            continue;
        service = local_definition_to_json(local_entry_service(one->entry),
                                           local_entry_endpoint(one->entry),
                                           local_entry_checks(one->entry));
        if (!service || json_array_append_new(services, service) < 0) {
            json_decref(services);
            return NULL;
        }
    }
    return json_pack("{s:o}", "services", services);
}

static int write_state(const struct local_registrations *registrations)
{
    json_t *object = document(registrations);
    int r = object ? local_file_write(registrations->path, object) : -ENOMEM;

    json_decref(object);
    return r;
}

static void save(struct local_registrations *registrations)
{
    struct registry_env *env = registrations->env;
    int r = write_state(registrations);

    if (r < 0 && r != registrations->save_error)
        env_log(env, LOG_ERR, NULL, "Cannot write %s, trying again every %u s: %s",
                registrations->path, (unsigned)(SAVE_RETRY / USEC_PER_SEC), strerror(-r));
    registrations->save_error = r;
    registrations->unsaved = r < 0;
    if (r < 0)
        env_timer_set(env, &registrations->save, env_now(env) + SAVE_RETRY);
}

static void save_fired(struct env_timer *timer)
{
    save(timer->owner);
}

static void save_soon(struct local_registrations *registrations)
{
    struct registry_env *env = registrations->env;

    if (!registrations->path || registrations->unsaved)
        return;
    registrations->unsaved = true;
    env_timer_set(env, &registrations->save, env_now(env) + SAVE_DELAY);
}

/* ---- instances ---- */

static struct registration *find(const struct local_registrations *registrations,
                                 const char *service, const char *id)
{
    char key[NAME_SIZE + 1 + LOCAL_ID_MAX + 1];
    struct registration *one;

    snprintf(key, sizeof(key), "%s/%s", service, id);
    HASH_FIND_STR(registrations->all, key, one);
    return one;
}

static void end(struct registration *one)
{
    struct local_registrations *registrations = one->owner;

    if (one->ttl == USEC_INFINITY)
        save_soon(registrations);
    env_timer_off(registrations->env, &one->timer);
    local_index_remove(registrations->index, one->entry);
    HASH_DEL(registrations->all, one);
    free(one);
}

static void expire(struct env_timer *timer)
{
    struct registration *one = timer->owner;
    struct local_registrations *registrations = one->owner;
    char service[NAME_SIZE];

    strcpy(service, local_entry_service(one->entry));
    env_log(registrations->env, LOG_INFO, service,
            "Instance '%s' was not registered anew in time, it is gone",
            local_entry_endpoint(one->entry)->name);
    end(one);
    registrations->expired(registrations->userdata, service);
}

static int add(struct local_registrations *registrations, const char *service,
               struct endpoint_set *endpoint, struct local_check_list *checks,
               struct registration **ret_one)
{
    const char *id = endpoint->endpoints[0].name;
    size_t size = strlen(service) + 1 + strlen(id) + 1;
    struct registration *one = calloc(1, sizeof(*one) + size);
    int r;

    if (!one)
        return -ENOMEM;
    r = local_index_add(registrations->index, LOCAL_REGISTERED, service, endpoint, checks,
                        &one->entry);
    if (r < 0) {
        free(one);
        return r;
    }
    snprintf(one->key, size, "%s/%s", service, id);
    one->owner = registrations;
    one->timer = (struct env_timer){.fire = expire, .owner = one};
    HASH_ADD_STR(registrations->all, key, one);
    *ret_one = one;
    return 0;
}

bool local_registrations_has(const struct local_registrations *registrations, const char *service,
                             const char *id)
{
    return find(registrations, service, id) != NULL;
}

int local_registrations_set(struct local_registrations *registrations, const char *service,
                            struct endpoint_set *endpoint, struct local_check_list *checks,
                            usec_t ttl)
{
    struct registry_env *env = registrations->env;
    struct registration *one = find(registrations, service, endpoint->endpoints[0].name);
    int r = 0;

    if (one)
        local_index_replace(registrations->index, one->entry, endpoint, checks);
    else
        r = add(registrations, service, endpoint, checks, &one);
    if (r < 0)
        return r;
    if (ttl == USEC_INFINITY || one->ttl == USEC_INFINITY)
        save_soon(registrations);
    one->ttl = ttl;
    env_timer_off(env, &one->timer);
    if (ttl != USEC_INFINITY)
        r = env_timer_set(env, &one->timer, usec_add(env_now(env), ttl));
    if (r < 0)
        end(one);
    return r;
}

bool local_registrations_renew(struct local_registrations *registrations, const char *service,
                               const char *id)
{
    struct registration *one = find(registrations, service, id);

    if (!one || one->ttl == USEC_INFINITY)
        return false;
    env_timer_set(registrations->env, &one->timer, usec_add(env_now(registrations->env), one->ttl));
    return true;
}

unsigned local_registrations_remove(struct local_registrations *registrations, const char *service,
                                    const char *id)
{
    struct registration *one, *next;
    unsigned removed = 0;

    if (id) {
        one = find(registrations, service, id);
        if (one)
            end(one);
        return one != NULL;
    }
    HASH_ITER (hh, registrations->all, one, next)
        if (streq(local_entry_service(one->entry), service)) {
            end(one);
            removed++;
        }
    return removed;
}

size_t local_registrations_count(const struct local_registrations *registrations)
{
    return HASH_COUNT(registrations->all);
}

/* ---- life ---- */

static void set_aside(const struct local_registrations *registrations, const char *reason)
{
    _cleanup_(freep) char *aside = NULL;

    if (asprintf(&aside, "%s.broken", registrations->path) < 0)
        return;
    if (rename(registrations->path, aside) < 0)
        env_log(registrations->env, LOG_ERR, NULL, "%s: %s; registrations are lost",
                registrations->path, reason);
    else
        env_log(registrations->env, LOG_ERR, NULL,
                "%s: %s; registrations are lost, the file is kept as %s", registrations->path,
                reason, aside);
}

static int load(struct local_registrations *registrations, size_t name_max)
{
    _cleanup_(freep) char *data = NULL, *error = NULL;
    struct local_definition *definition;
    struct stat st;
    size_t size;
    int r = local_file_read(registrations->path, STATE_SIZE_MAX, &st, &data, &size);

    if (r == -ENOENT)
        return 0;
    if (r == 0)
        r = local_definition_parse(data, size, name_max, &definition, &error);
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        set_aside(registrations, error ? error : strerror(-r));
        return 0;
    }
    for (size_t i = 0; r == 0 && i < definition->count; i++)
        r = local_registrations_set(registrations, definition->instances[i].service,
                                    definition->instances[i].endpoint,
                                    definition->instances[i].checks, USEC_INFINITY);
    local_definition_free(definition);
    env_timer_off(registrations->env, &registrations->save);
    registrations->unsaved = false;
    return r;
}

/* The registry that the package brings has the plain name; another of this type its own file. */
static int make_path(struct local_registrations *registrations)
{
    const struct registry_env *env = registrations->env;
    const char *name = env->registry->config->name, *type = env->registry->type->name;
    int r = 0;

    if (!*env->state_directory)
        return 0;
    if (streq(name, type))
        r = asprintf(&registrations->path, "%s/registrations.json", env->state_directory);
    else
        r = asprintf(&registrations->path, "%s/registrations-%s.json", env->state_directory, name);
    if (r < 0)
        registrations->path = NULL;
    return r < 0 ? -ENOMEM : 0;
}

int local_registrations_new(struct registry_env *env, struct local_index *index, size_t name_max,
                            void (*expired)(void *userdata, const char *service), void *userdata,
                            struct local_registrations **ret_registrations)
{
    struct local_registrations *registrations = calloc(1, sizeof(*registrations));
    int r;

    if (!registrations)
        return -ENOMEM;
    registrations->env = env;
    registrations->index = index;
    registrations->expired = expired;
    registrations->userdata = userdata;
    registrations->save = (struct env_timer){.fire = save_fired, .owner = registrations};
    r = make_path(registrations);
    if (r == 0 && registrations->path)
        r = load(registrations, name_max);
    if (r < 0) {
        local_registrations_free(registrations);
        return r;
    }
    *ret_registrations = registrations;
    return 0;
}

struct local_registrations *local_registrations_free(struct local_registrations *registrations)
{
    struct registration *one, *next;

    if (!registrations)
        return NULL;
    if (registrations->unsaved)
        save(registrations);
    registrations->unsaved = true; /* what ends now is not to be written */
    HASH_ITER (hh, registrations->all, one, next)
        end(one);
    env_timer_off(registrations->env, &registrations->save);
    free(registrations->path);
    free(registrations);
    return NULL;
}
