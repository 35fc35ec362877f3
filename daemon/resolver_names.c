/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names in use: what they rest on, when they are evaluated and published again, and when they are
 * given up. */
#include "daemon/resolver_internal.h"

#include "nss-sd/wire.h"

/* Readers that say that a name is wanted are believed, but a name is evaluated for them only so
 * often. */
#define TOUCH_INTERVAL USEC_PER_SEC

/* Names given up at most for the sake of one. */
enum { CROWD_TRIES = 16 };

static void name_mark(struct name *name)
{
    struct resolver *resolver = name->resolver;

    if (name->dirty)
        return;
    name->dirty = true;
    name->dirty_next = resolver->dirty_names;
    resolver->dirty_names = name;
    resolver->hooks.wake(resolver->hooks.userdata);
}

static void dependency_changed(struct watcher *watcher)
{
    name_mark(watcher->owner);
}

static void name_depend(void *userdata, struct watch_list *list)
{
    struct name *name = userdata;
    struct dependency *dependency = name->spare;

    if (dependency)
        name->spare = dependency->next;
    else
        dependency = calloc(1, sizeof(*dependency));
    if (!dependency)
        return;
    dependency->watcher.changed = dependency_changed;
    dependency->watcher.owner = name;
    watcher_attach(&dependency->watcher, list);
    dependency->next = name->dependencies;
    name->dependencies = dependency;
}

static void name_detach(struct name *name)
{
    while (name->dependencies) {
        struct dependency *dependency = name->dependencies;

        name->dependencies = dependency->next;
        watcher_detach(&dependency->watcher);
        dependency->next = name->spare;
        name->spare = dependency;
    }
}

static void outranked_remove(struct name *name)
{
    if (name->outranked)
        DL_DELETE2(name->resolver->outranked, name, outranked_prev, outranked_next);
    name->outranked = false;
}

/*
 * A watched name is told to be wanted once half of IdleSec has passed without a word. Coarse steps,
 * so that lookups by the socket do not rewrite its slot all the time.
 */
static void name_publish(struct name *name, usec_t now)
{
    const struct resolver *resolver = name->resolver;

    outranked_remove(name);
    if (!resolver->hooks.publish)
        return;
    if (name->used_at >= usec_add(name->interest_from, resolver->rules.idle / 8))
        name->interest_from = name->used_at;
    resolver->hooks.publish(resolver->hooks.userdata, name->text, &name->evaluation,
                            usec_add(name->interest_from, resolver->rules.idle / 2), now);
}

static void name_prove(struct name *name)
{
    struct resolver *resolver = name->resolver;

    if (name->proven)
        return;
    DL_DELETE(resolver->unproven, name);
    resolver->unproven_count--;
    name->proven = true;
}

static bool is_decided(const struct evaluation *evaluation)
{
    return !evaluation_pending(evaluation, WIRE_UNSPEC) && !evaluation->soft &&
           evaluation_status(evaluation, WIRE_UNSPEC) != ANSWER_UNDECIDED;
}

static void name_evaluate(struct name *name, bool asked, usec_t now)
{
    struct resolver *resolver = name->resolver;
    struct gather gather = {
        .hooks = &resolver->hooks,
        .store = resolver->store,
        .chase = resolver->chase,
        .now = now,
        .stale_wait = resolver->rules.stale_wait,
        .restored_wait = resolver->rules.lookup_timeout,
        .asked = asked,
        .depend = name_depend,
        .userdata = name,
    };

    name_detach(name);
    gather_name(&gather, name->text, &name->evaluation);
    if (resolver->hooks.evaluated)
        resolver->hooks.evaluated(resolver->hooks.userdata, name->text);
    name->evaluation.answered = name->answered;
    name_publish(name, now);
    name->answered |= is_decided(&name->evaluation);
    if (name->evaluation.count > 0)
        name_prove(name);
}

static void dirty_remove(struct name *name)
{
    struct name **place = &name->resolver->dirty_names;

    while (name->dirty && *place) {
        if (*place == name) {
            *place = name->dirty_next;
            return;
        }
        place = &(*place)->dirty_next;
    }
}

void resolver_name_free(struct name *name)
{
    struct resolver *resolver = name->resolver;

    if (resolver->hooks.withdraw)
        resolver->hooks.withdraw(resolver->hooks.userdata, name->text);
    HASH_DEL(resolver->names, name);
    dirty_remove(name);
    outranked_remove(name);
    if (!name->proven) {
        DL_DELETE(resolver->unproven, name);
        resolver->unproven_count--;
    }
    name_detach(name);
    watch_list_done(&name->watchers);
    while (name->spare) {
        struct dependency *dependency = name->spare;

        name->spare = dependency->next;
        free(dependency);
    }
    evaluation_done(&name->evaluation);
    free(name);
}

/* Gives up the oldest name without an address that no lookup waits for; `spared` stays. */
static bool make_room(struct resolver *resolver, const struct name *spared)
{
    struct name *name;

    DL_FOREACH (resolver->unproven, name) {
        if (name->watchers.first || name == spared)
            continue;
        resolver_name_free(name);
        return true;
    }
    return false;
}

/* Names without an address hold on to services; where a registry has no room for another service,
 * the oldest of them give way. */
static void name_evaluate_asked(struct name *name, usec_t now)
{
    name_evaluate(name, true, now);
    for (unsigned i = 0;
         i < CROWD_TRIES && name->evaluation.crowded && make_room(name->resolver, name); i++)
        name_evaluate(name, true, now);
}

struct name *resolver_name_find(const struct resolver *resolver, const char *text)
{
    struct name *name;

    HASH_FIND_STR(resolver->names, text, name);
    return name;
}

static struct name *name_new(struct resolver *resolver, const char *text, usec_t now)
{
    size_t length = strlen(text);
    struct name *name;

    if ((resolver->unproven_count >= RESOLVER_UNPROVEN_MAX ||
         HASH_COUNT(resolver->names) >= RESOLVER_NAMES_MAX) &&
        !make_room(resolver, NULL))
        return NULL;
    name = calloc(1, sizeof(*name) + length + 1);
    if (!name)
        return NULL;
    name->resolver = resolver;
    name->used_at = now;
    memcpy(name->text, text, length + 1);
    HASH_ADD_KEYPTR(hh, resolver->names, name->text, length, name);
    DL_APPEND(resolver->unproven, name);
    resolver->unproven_count++;
    name_evaluate_asked(name, now);
    return name;
}

struct name *resolver_name_get(struct resolver *resolver, const char *text, usec_t now)
{
    struct name *name = resolver_name_find(resolver, text);

    if (!name)
        return name_new(resolver, text, now);
    name->used_at = now;
    name_evaluate_asked(name, now);
    return name;
}

/* ---- what changes ---- */

/* The answer for everybody who waits for this name is there. */
static void count_herd(struct resolver *resolver, const struct name *name)
{
    static const size_t most[] = {1, 10, 100};
    const struct watcher *watcher;
    size_t size = 0, herd = 0;

    DL_FOREACH (name->watchers.first, watcher)
        size++;
    while (herd < ELEMENTS(most) && size > most[herd])
        herd++;
    if (size > 0 && !name->evaluation.soft && !evaluation_pending(&name->evaluation, WIRE_UNSPEC))
        resolver->counters.herds[herd]++;
}

void resolver_names_run(struct resolver *resolver, usec_t now)
{
    while (resolver->dirty_names) {
        struct name *name = resolver->dirty_names;

        resolver->dirty_names = name->dirty_next;
        name->dirty = false;
        name_evaluate(name, false, now);
        count_herd(resolver, name);
        watch_list_notify(&name->watchers);
    }
}

/* What was evaluated stands, so it is published as it is. */
void resolver_names_rank(struct resolver *resolver, usec_t now)
{
    size_t room = RESOLVER_RERANK_SLICE;

    while (resolver->outranked && room > 0) {
        struct name *name = resolver->outranked;

        room -= name->evaluation.count < room ? name->evaluation.count : room;
        name_publish(name, now);
    }
    if (resolver->outranked)
        resolver->hooks.wake(resolver->hooks.userdata);
}

void resolver_republish(struct resolver *resolver, bool sampled)
{
    struct name *name, *next;

    HASH_ITER (hh, resolver->names, name, next)
        if (!sampled || evaluation_body_size(&name->evaluation) > ANSWER_SLOT_SIZE - ANSWER_RECORDS)
            name_mark(name);
}

void resolver_rerank(struct resolver *resolver)
{
    struct name *name, *next;

    HASH_ITER (hh, resolver->names, name, next) {
        if (name->outranked || name->evaluation.count < 2)
            continue;
        name->outranked = true;
        DL_APPEND2(resolver->outranked, name, outranked_prev, outranked_next);
    }
    if (resolver->outranked)
        resolver->hooks.wake(resolver->hooks.userdata);
}

/* ---- what is wanted ---- */

/* Its registry could not tell it again. */
static bool is_last_known(const struct name *name)
{
    const struct resolver *resolver = name->resolver;
    struct resolver_owner owner;

    return name->proven && resolver->hooks.owner(resolver->hooks.userdata, name->text, &owner) &&
           store_registry_down(resolver->store, owner.registry);
}

void resolver_sweep(struct resolver *resolver, usec_t now)
{
    struct name *name, *next;

    HASH_ITER (hh, resolver->names, name, next)
        if (!name->watchers.first && now >= usec_add(name->used_at, resolver->rules.idle) &&
            !is_last_known(name))
            resolver_name_free(name);
}

void resolver_touch(struct resolver *resolver, const char *text, usec_t now)
{
    struct name *name = resolver_name_find(resolver, text);

    if (!name || now < usec_add(name->used_at, TOUCH_INTERVAL))
        return;
    resolver_name_get(resolver, text, now);
    resolver->hooks.wake(resolver->hooks.userdata);
}

void resolver_recall(struct resolver *resolver, const char *text, usec_t now)
{
    struct resolver_owner owner;
    struct name *name;

    if (resolver_name_find(resolver, text) ||
        !resolver->hooks.owner(resolver->hooks.userdata, text, &owner))
        return;
    name = name_new(resolver, text, now);
    if (name)
        name_prove(name);
    resolver->hooks.wake(resolver->hooks.userdata);
}

/* ---- reading ---- */

const struct evaluation *resolver_find(struct resolver *resolver, const char *text, usec_t now)
{
    struct name *name = resolver_name_find(resolver, text);

    if (!name)
        return NULL;
    name_evaluate(name, false, now);
    return &name->evaluation;
}

void resolver_each(const struct resolver *resolver, void (*visit)(void *userdata, const char *name),
                   void *userdata)
{
    struct name *name, *next;

    HASH_ITER (hh, resolver->names, name, next)
        if (name->proven)
            visit(userdata, name->text);
}

size_t resolver_names(const struct resolver *resolver)
{
    return HASH_COUNT(resolver->names) - resolver->unproven_count;
}
