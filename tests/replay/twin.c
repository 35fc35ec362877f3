/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The twin's life: configuration, verbs, clock, timers, watched paths, log lines. Reports are in
 * twin_report.c, HTTP and DNS in twin_net.c.
 */
#include "tests/replay/twin_internal.h"
#include "tests/unit/unit.h"

#include "daemon/config.h"

#include <stdarg.h>
#include <stdio.h>

enum { FIRINGS_MAX = 100000 }; /* at one instant */

/* Days apart from zero, so that a forgotten zero or a wrong clock is far off. */
#define START_BOOTTIME (1000000 * USEC_PER_SEC)
#define REALTIME_AHEAD (1700000000 * USEC_PER_SEC)

/* ---- violations, memory ---- */

void twin_violated(struct twin *twin, const char *format, ...)
{
    char text[2048];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (!twin->options.collect_violations)
        ck_abort_msg("contract of %s: %s", twin->registry->type->name, text);
    if (!twin->violation)
        twin->violation = strdup(text);
}

const char *twin_take_violation(struct twin *twin)
{
    char *violation = twin->violation;

    twin->violation = NULL;
    return violation ? twin_keep(twin, violation) : NULL;
}

void *twin_keep_in(struct twin_kept **list, void *memory)
{
    struct twin_kept *kept = malloc(sizeof(*kept));

    UNIT_HOLDS(memory);
    UNIT_HOLDS(kept);
    kept->memory = memory;
    LL_PREPEND(*list, kept);
    return memory;
}

char *twin_strdup_in(struct twin_kept **list, const char *text)
{
    return text ? twin_keep_in(list, strdup(text)) : NULL;
}

void twin_kept_free(struct twin_kept **list)
{
    struct twin_kept *kept, *next;

    LL_FOREACH_SAFE (*list, kept, next) {
        free(kept->memory);
        free(kept);
    }
    *list = NULL;
}

void *twin_keep(struct twin *twin, void *memory)
{
    return twin_keep_in(&twin->kept, memory);
}

char *twin_strdup(struct twin *twin, const char *text)
{
    return twin_strdup_in(&twin->kept, text);
}

void twin_forbid(struct twin *twin, const char *secret)
{
    for (size_t i = 0; i < ELEMENTS(twin->secrets); i++)
        if (!twin->secrets[i]) {
            twin->secrets[i] = twin_strdup(twin, secret);
            return;
        }
    ck_abort_msg("too many secrets");
}

void twin_check_secrets(struct twin *twin, const char *where, const char *text)
{
    for (size_t i = 0; text && i < ELEMENTS(twin->secrets) && twin->secrets[i]; i++)
        if (strstr(text, twin->secrets[i]))
            twin_violated(twin, "a secret in %s: %s", where, text);
}

void twin_check_impure(struct twin *twin, const char *what)
{
    if (twin->inside_pure)
        twin_violated(twin, "%s from inside %s, which is pure", what, twin->inside);
}

/* ---- time ---- */

static usec_t now(struct registry_env *env)
{
    return twin_of(env)->now;
}

static usec_t now_realtime(struct registry_env *env)
{
    return twin_of(env)->now + (usec_t)twin_of(env)->realtime_ahead;
}

/* splitmix64 */
static uint64_t next_random(struct registry_env *env)
{
    uint64_t x = twin_of(env)->random += 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static const char *variable(struct registry_env *env, const char *name)
{
    const char *const *words = twin_of(env)->options.environment;

    for (; words && words[0]; words += 2)
        if (streq(words[0], name))
            return words[1];
    return NULL;
}

static void locality(struct registry_env *env, const char **ret_zone, const char **ret_region)
{
    *ret_zone = twin_of(env)->options.zone ?: "";
    *ret_region = twin_of(env)->options.region ?: "";
}

static int timer_order(const struct twin_timer *a, const struct twin_timer *b)
{
    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

static void timer_set(struct twin *twin, struct env_timer *timer, usec_t at, bool own)
{
    struct twin_timer *entry = timer->impl;

    if (!timer->fire)
        twin_violated(twin, "a timer without function is set");
    if (entry)
        DL_DELETE(twin->timers, entry);
    else
        entry = calloc(1, sizeof(*entry));
    UNIT_HOLDS(entry);
    entry->timer = timer;
    entry->at = at > twin->now ? at : twin->now;
    entry->sequence = twin->sequence++;
    entry->own = own;
    timer->impl = entry;
    DL_INSERT_INORDER(twin->timers, entry, timer_order);
}

int twin_timer_set(struct registry_env *env, struct env_timer *timer, usec_t at)
{
    twin_check_impure(twin_of(env), "a timer is set");
    timer_set(twin_of(env), timer, at, false);
    return 0;
}

void twin_timer_set_own(struct twin *twin, struct env_timer *timer, usec_t at)
{
    timer_set(twin, timer, at, true);
}

void twin_timer_off(struct registry_env *env, struct env_timer *timer)
{
    struct twin *twin = twin_of(env);
    struct twin_timer *entry = timer->impl;

    twin_check_impure(twin, "a timer is switched off");
    if (!entry)
        return;
    timer->impl = NULL;
    DL_DELETE(twin->timers, entry);
    free(entry);
}

/* Fires what is due until `end`, moving the clock from timer to timer. */
static void run_until(struct twin *twin, usec_t end)
{
    unsigned firings = 0;

    while (twin->timers && twin->timers->at <= end) {
        struct env_timer *timer = twin->timers->timer;

        if (twin->timers->at > twin->now)
            firings = 0;
        /* After a jump of the clock it is late. */
        if (twin->timers->at > twin->now)
            twin->now = twin->timers->at;
        if (++firings > FIRINGS_MAX) {
            twin_violated(twin, "timers fire without end at one instant");
            break;
        }
        twin_timer_off(&twin->env, timer);
        timer->fire(timer);
    }
    if (end > twin->now)
        twin->now = end;
}

void twin_run(struct twin *twin)
{
    if (!twin->held)
        run_until(twin, twin->now);
}

void twin_hold(struct twin *twin)
{
    twin->held = true;
}

usec_t twin_now(const struct twin *twin)
{
    return twin->now;
}

void twin_advance(struct twin *twin, usec_t duration)
{
    run_until(twin, twin->now + duration);
}

usec_t twin_due(const struct twin *twin)
{
    return twin->timers ? twin->timers->at : USEC_INFINITY;
}

void twin_set_now(struct twin *twin, usec_t now)
{
    twin->now = now;
}

void twin_set_realtime_ahead(struct twin *twin, int64_t ahead)
{
    twin->realtime_ahead = ahead;
}

usec_t twin_next_timer(const struct twin *twin)
{
    const struct twin_timer *entry;

    DL_FOREACH (twin->timers, entry)
        if (!entry->own)
            return entry->at - twin->now;
    return USEC_INFINITY;
}

/* ---- files ---- */

static int path_watch(struct registry_env *env, const char *path, void (*changed)(void *userdata),
                      void *userdata, struct env_path_watch **ret_watch)
{
    struct twin *twin = twin_of(env);
    struct env_path_watch *watch = calloc(1, sizeof(*watch));

    twin_check_impure(twin, "a path is watched");
    UNIT_HOLDS(watch);
    UNIT_HOLDS(changed);
    watch->path = twin_strdup(twin, path);
    watch->changed = changed;
    watch->userdata = userdata;
    watch->open = true;
    DL_APPEND(twin->watches, watch);
    *ret_watch = watch;
    return 0;
}

static void path_unwatch(struct registry_env *env, struct env_path_watch *watch)
{
    struct twin *twin = twin_of(env);
    struct env_path_watch *known;

    twin_check_impure(twin, "a watch is ended");
    if (!watch)
        return;
    DL_FOREACH (twin->watches, known)
        if (known == watch && known->open) {
            known->open = false;
            return;
        }
    twin_violated(twin, "a watch is ended that is not open");
}

void twin_path_changed(struct twin *twin, const char *path)
{
    /* Those that are there now: a callback may add and end watches. */
    const struct env_path_watch *last = twin->watches ? twin->watches->prev : NULL;
    bool found = false;

    for (struct env_path_watch *watch = last ? twin->watches : NULL; watch;
         watch = watch == last ? NULL : watch->next)
        if (watch->open && streq(watch->path, path)) {
            found = true;
            watch->changed(watch->userdata);
        }
    UNIT_HOLDS_MSG(found, "nobody watches %s", path);
    twin_run(twin);
}

void twin_path_touched(struct twin *twin, const char *path)
{
    const char *slash = strrchr(path, '/');
    char directory[4096];

    snprintf(directory, sizeof(directory), "%.*s", slash ? (int)(slash - path) : 0, path);
    for (struct env_path_watch *watch = twin->watches; watch; watch = watch->next)
        if (watch->open && (streq(watch->path, path) || streq(watch->path, directory)))
            watch->changed(watch->userdata);
}

unsigned twin_path_watches(const struct twin *twin)
{
    const struct env_path_watch *watch;
    unsigned count = 0;

    DL_FOREACH (twin->watches, watch)
        count += watch->open;
    return count;
}

/* ---- log lines ---- */

static void log_line(struct registry_env *env, int level, const char *service, const char *text)
{
    struct twin *twin = twin_of(env);
    struct twin_line *line = calloc(1, sizeof(*line));

    (void)service;
    UNIT_HOLDS(line);
    if (strchr(text, '\n'))
        twin_violated(twin, "a log line of more than one line: %s", text);
    twin_check_secrets(twin, "a log line", text);
    line->level = level;
    line->text = twin_strdup(twin, text);
    DL_APPEND(twin->lines, line);
}

/* A story sees messages as lines of a level of their own. */
static void message_line(struct registry_env *env, enum message message, const char *service,
                         const char *text)
{
    UNIT_HOLDS_MSG(service, "a message about no service: %s", text);
    log_line(env, TWIN_MESSAGE + (int)message, service, text);
}

static const char *find_line(const struct twin *twin, int level, const char *part,
                             unsigned *ret_count)
{
    const struct twin_line *line;
    const char *found = NULL;

    *ret_count = 0;
    DL_FOREACH (twin->lines, line)
        if (line->level == level && strstr(line->text, part)) {
            found = line->text;
            ++*ret_count;
        }
    return found;
}

unsigned twin_log_count(const struct twin *twin, int level, const char *part)
{
    unsigned count;

    find_line(twin, level, part, &count);
    return count;
}

const char *twin_expect_log(struct twin *twin, int level, const char *part)
{
    unsigned count;
    const char *found = find_line(twin, level, part, &count);
    struct twin_line *line;

    if (!found) {
        DL_FOREACH (twin->lines, line)
            fprintf(stderr, "logged: <%d> %s\n", line->level, line->text);
        ck_abort_msg("no log line of level %d with '%s'", level, part);
    }
    return found;
}

static const struct registry_env_ops twin_ops = {
    .now = now,
    .now_realtime = now_realtime,
    .random = next_random,
    .variable = variable,
    .locality = locality,
    .timer_set = twin_timer_set,
    .timer_off = twin_timer_off,
    .http_start = twin_http_start,
    .http_cancel = twin_http_cancel,
    .dns_start = twin_dns_start,
    .dns_cancel = twin_dns_cancel,
    .grpc_open = twin_grpc_open,
    .grpc_send = twin_grpc_send,
    .grpc_cancel = twin_grpc_cancel,
    .tcp_start = twin_tcp_start,
    .tcp_cancel = twin_tcp_cancel,
    .spawn_start = twin_spawn_start,
    .spawn_cancel = twin_spawn_cancel,
    .path_watch = path_watch,
    .path_unwatch = path_unwatch,
    .report = twin_report_record,
    .log = log_line,
    .message = message_line,
};

/* ---- configuration ---- */

static void settings_parse(const struct registry_type *type, const char *key, const char *text,
                           struct registry_config *config, struct config_messages *messages)
{
    const struct config_item *item = type->items;
    struct config_value value = {
        .file = "twin", .line = 1, .key = key, .text = text, .messages = messages};

    while (item && item->key && !streq(item->key, key))
        item++;
    UNIT_HOLDS_MSG(item && item->key, "type %s has no key %s", type->name, key);
    item->parse(item, &value, (char *)config->settings + item->offset);
}

static void config_check(const struct config_messages *messages)
{
    for (size_t i = 0; i < messages->count; i++)
        UNIT_HOLDS_MSG(messages->items[i].warning, "settings: %s", messages->items[i].text);
}

static char **domains_copy(struct twin *twin, const char *const *domains)
{
    static const char *const fallback[] = {"test", NULL};
    size_t count = 0;
    char **copy;

    domains = domains ?: fallback;
    while (domains[count])
        count++;
    copy = twin_keep(twin, calloc(count + 1, sizeof(*copy)));
    for (size_t i = 0; i < count; i++)
        copy[i] = twin_strdup(twin, domains[i]);
    return copy;
}

static struct registry_config *config_new(struct twin *twin, const struct registry_type *type,
                                          const char *const *settings)
{
    const struct twin_options *options = &twin->options;
    struct registry_config *config = calloc(1, sizeof(*config));
    struct config_messages messages = {0};

    UNIT_HOLDS(config);
    *config = (struct registry_config){
        .name = twin_strdup(twin, options->name ?: type->name),
        .type = type,
        .domains = domains_copy(twin, options->domains ?: type->default_domains),
        .shared = options->shared,
        .reverse = options->reverse,
        .enabled = true,
        .min_ttl = CONFIG_UNSET,
        .max_ttl = CONFIG_UNSET,
        .negative_ttl = CONFIG_UNSET,
        .max_stale = CONFIG_UNSET,
        .empty_hold = 180 * USEC_PER_SEC,
        .max_services = options->max_services ?: 1000,
        .settings = calloc(1, type->settings_size + 1),
        .file = twin_strdup(twin, "twin.registry"),
    };
    UNIT_HOLDS(config->settings);
    for (const struct config_item *item = type->items; item && item->key; item++)
        if (item->fallback)
            settings_parse(type, item->key, item->fallback, config, &messages);
    for (; settings && settings[0]; settings += 2)
        settings_parse(type, settings[0], settings[1], config, &messages);
    config_check(&messages);
    if (type->verify)
        UNIT_HOLDS(type->verify(config, &messages) == 0);
    config_check(&messages);
    config_messages_done(&messages);
    return config;
}

static void config_drop(struct registry_config *config)
{
    if (config->type->settings_done)
        config->type->settings_done(config->settings);
    free(config->settings);
    free(config);
}

/* ---- life ---- */

static void env_init(struct twin *twin)
{
    twin->env = (struct registry_env){
        .ops = &twin_ops,
        .registry = twin->registry,
        .checks = &twin->gate,
        .state_directory = twin_strdup(twin, twin->options.state_directory ?: ""),
        .config_directory = twin_strdup(twin, twin->options.config_directory ?: "/nonexistent"),
    };
}

struct twin *twin_new(const struct registry_type *type, const struct twin_options *options)
{
    struct twin *twin = calloc(1, sizeof(*twin));

    UNIT_HOLDS(twin);
    UNIT_HOLDS(type->size >= sizeof(struct registry));
    twin->options = options ? *options : (struct twin_options){0};
    twin->now = START_BOOTTIME;
    twin->realtime_ahead = REALTIME_AHEAD;
    twin->random = twin->options.seed;
    twin->registry = calloc(1, type->size);
    UNIT_HOLDS(twin->registry);
    twin->registry->type = type;
    twin->config = config_new(twin, type, twin->options.settings);
    twin->registry->config = twin->config;
    twin->registry->env = &twin->env;
    env_init(twin);
    return twin;
}

struct twin *twin_attach(struct registry *registry, const struct twin_options *options,
                         const struct twin_observer *observer, usec_t now)
{
    struct twin *twin = calloc(1, sizeof(*twin));

    UNIT_HOLDS(twin);
    twin->options = *options;
    twin->observer = *observer;
    twin->now = now;
    twin->realtime_ahead = REALTIME_AHEAD;
    twin->random = options->seed;
    twin->registry = registry;
    twin->attached = twin->running = true;
    env_init(twin);
    return twin;
}

struct registry_env *twin_env(struct twin *twin)
{
    return &twin->env;
}

struct twin *twin_detach(struct twin *twin)
{
    if (!twin)
        return NULL;
    twin->running = false;
    twin_check_released(twin);
    return twin_free(twin);
}

struct registry *twin_registry(struct twin *twin)
{
    return twin->registry;
}

static void wanted_clear(struct twin *twin)
{
    struct twin_key *entry, *next;

    HASH_ITER (hh, twin->wanted, entry, next) {
        HASH_DEL(twin->wanted, entry);
        free(entry);
    }
}

struct twin *twin_free(struct twin *twin)
{
    struct twin_line *line, *next_line;
    struct env_path_watch *watch, *next_watch;

    if (!twin)
        return NULL;
    if (twin->running)
        twin_stop(twin);
    while (twin->timers)
        twin_timer_off(&twin->env, twin->timers->timer);
    twin_calls_free(twin);
    twin_tcp_free(twin, true);
    twin_spawns_free(twin);
    twin_grpc_free(twin);
    twin_reports_free(twin);
    wanted_clear(twin);
    DL_FOREACH_SAFE (twin->lines, line, next_line)
        free(line);
    DL_FOREACH_SAFE (twin->watches, watch, next_watch)
        free(watch);
    if (!twin->attached) {
        config_drop(twin->config);
        free(twin->registry);
    }
    twin_kept_free(&twin->kept);
    json_decref(twin->description);
    free(twin->violation);
    free(twin);
    return NULL;
}

/* ---- verbs ---- */

static void enter(struct twin *twin, const char *verb, bool quiet, bool pure)
{
    UNIT_HOLDS_MSG(twin->running || streq(verb, "start"), "%s of a registry that is stopped", verb);
    twin->inside = verb;
    twin->inside_quiet = quiet;
    twin->inside_pure = pure;
}

static void leave(struct twin *twin)
{
    twin->inside = NULL;
    twin->inside_quiet = twin->inside_pure = false;
    twin_run(twin);
}

int twin_start(struct twin *twin)
{
    int r;

    UNIT_HOLDS_MSG(!twin->running, "started twice");
    enter(twin, "start", false, false);
    twin->running = true;
    r = twin->registry->type->start(twin->registry);
    twin->running = r >= 0;
    leave(twin);
    return r;
}

void twin_check_released(struct twin *twin)
{
    if (twin_next_timer(twin) != USEC_INFINITY)
        twin_violated(twin, "a timer is still set after stop");
    if (twin_spawn_open(twin) > 0)
        twin_violated(twin, "%u programs still run after stop", twin_spawn_open(twin));
    if (twin_http_open(twin) > 0)
        twin_violated(twin, "%u HTTP calls are still open after stop", twin_http_open(twin));
    if (twin_tcp_open(twin) > 0)
        twin_violated(twin, "%u connections are still open after stop", twin_tcp_open(twin));
    if (twin_grpc_count(twin) > 0)
        twin_violated(twin, "%u gRPC calls are still open after stop", twin_grpc_count(twin));
    if (twin_dns_open(twin) > 0)
        twin_violated(twin, "%u DNS questions are still open after stop", twin_dns_open(twin));
    if (twin_path_watches(twin) > 0)
        twin_violated(twin, "%u paths are still watched after stop", twin_path_watches(twin));
}

void twin_stop(struct twin *twin)
{
    enter(twin, "stop", true, false);
    twin->registry->type->stop(twin->registry);
    twin->inside = NULL;
    twin->inside_quiet = twin->running = false;
    twin_check_released(twin);
    wanted_clear(twin);
}
static void wanted_add(struct twin *twin, const char *key)
{
    struct twin_key *entry;

    UNIT_HOLDS(strlen(key) <= REGISTRY_KEY_MAX);
    HASH_FIND_STR(twin->wanted, key, entry);
    if (entry)
        return;
    entry = calloc(1, sizeof(*entry));
    UNIT_HOLDS(entry);
    strcpy(entry->key, key);
    HASH_ADD_STR(twin->wanted, key, entry);
}

static void wanted_remove(struct twin *twin, const char *key)
{
    struct twin_key *entry;

    HASH_FIND_STR(twin->wanted, key, entry);
    if (!entry)
        return;
    HASH_DEL(twin->wanted, entry);
    free(entry);
}

int twin_want(struct twin *twin, const char *key)
{
    int r;

    enter(twin, "want", true, false);
    r = twin->registry->type->want(twin->registry, key);
    if (r >= 0)
        wanted_add(twin, key);
    leave(twin);
    return r;
}

int twin_refresh(struct twin *twin, const char *key)
{
    int r;

    enter(twin, "refresh", true, false);
    r = twin->registry->type->refresh(twin->registry, key);
    leave(twin);
    return r;
}

void twin_drop(struct twin *twin, const char *key)
{
    wanted_remove(twin, key);
    enter(twin, "drop", false, false);
    twin->registry->type->drop(twin->registry, key);
    leave(twin);
}

void twin_enter_verb(struct twin *twin, const char *verb, const char *key)
{
    enter(twin, verb, streq(verb, "want") || streq(verb, "refresh"), false);
    if (streq(verb, "want"))
        wanted_add(twin, key);
    else if (streq(verb, "drop"))
        wanted_remove(twin, key);
}

void twin_leave_verb(struct twin *twin)
{
    twin->inside = NULL;
    twin->inside_quiet = twin->inside_pure = false;
}

void twin_kick(struct twin *twin)
{
    enter(twin, "kick", false, false);
    twin->registry->type->kick(twin->registry);
    leave(twin);
}

/* Stop, start anew with `config`, want again. */
static void restart(struct twin *twin, struct registry_config *config)
{
    struct twin_key *wanted = twin->wanted, *entry, *next;

    twin->wanted = NULL;
    twin_stop(twin);
    config_drop(twin->config);
    memset(twin->registry, 0, config->type->size);
    *twin->registry = (struct registry){.type = config->type, .config = config, .env = &twin->env};
    twin->config = config;
    UNIT_HOLDS(twin_start(twin) >= 0);
    HASH_ITER (hh, wanted, entry, next) {
        UNIT_HOLDS(twin_want(twin, entry->key) >= 0);
        HASH_DEL(wanted, entry);
        free(entry);
    }
}

int twin_reload(struct twin *twin, const char *const *settings)
{
    struct registry_config *config = config_new(twin, twin->registry->type, settings);
    int r;

    enter(twin, "reload", false, false);
    r = config->type->reload(twin->registry, config);
    leave(twin);
    if (r == -EOPNOTSUPP) {
        restart(twin, config);
    } else if (r < 0) {
        config_drop(config);
    } else {
        twin->registry->config = config;
        config_drop(twin->config);
        twin->config = config;
    }
    return r;
}

enum registry_meaning twin_resolve(struct twin *twin, const char *name,
                                   struct registry_target *ret_target)
{
    const char *longest = NULL;
    enum registry_meaning meaning;
    size_t length = strlen(name), relative;

    for (char **domain = twin->config->domains; *domain; domain++)
        if (name_below(name, length, *domain, strlen(*domain)) &&
            (!longest || strlen(*domain) > strlen(longest)))
            longest = *domain;
    if (!longest)
        return REGISTRY_NOT_MINE;
    relative = length - strlen(longest);
    enter(twin, "resolve", true, true);
    meaning = twin->registry->type->resolve(twin->registry, name, relative ? relative - 1 : 0,
                                            longest, ret_target);
    leave(twin);
    return meaning;
}

const char *twin_resolve_key(struct twin *twin, const char *name)
{
    struct registry_target target;

    UNIT_HOLDS_MSG(twin_resolve(twin, name, &target) == REGISTRY_TARGET, "%s has no target", name);
    return twin_strdup(twin, target.key);
}

const char *twin_reverse(struct twin *twin, const char *address)
{
    struct address parsed;
    char name[NAME_SIZE];
    int r;

    UNIT_HOLDS(address_from_string(address, &parsed) == 0);
    if (!twin->registry->type->reverse)
        return NULL;
    enter(twin, "reverse", true, true);
    r = twin->registry->type->reverse(twin->registry, &parsed, name);
    leave(twin);
    UNIT_HOLDS(r == 0 || r == -ENOENT);
    return r == 0 ? twin_strdup(twin, name) : NULL;
}

const json_t *twin_describe(struct twin *twin)
{
    json_t *object = json_object();
    char *text;

    UNIT_HOLDS(object);
    enter(twin, "describe", true, true);
    twin->registry->type->describe(twin->registry, object);
    leave(twin);
    json_decref(twin->description);
    twin->description = object;
    text = json_dumps(object, 0);
    twin_check_secrets(twin, "describe()", twin_keep(twin, text));
    return object;
}

unsigned twin_unanswered(const struct twin *twin)
{
    const struct twin_key *entry;
    unsigned count = 0;

    for (entry = twin->wanted; entry; entry = entry->hh.next)
        count += !entry->answered;
    return count;
}
