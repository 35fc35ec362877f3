/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/resolver.h"

#include <stdio.h>

#include <uthash.h>

#include "nss-sd/wire.h"

/* Readers that say that a name is wanted are believed, but a name is evaluated for them only so
 * often. */
#define TOUCH_INTERVAL USEC_PER_SEC

/* Names given up at most for the sake of one. */
enum { CROWD_TRIES = 16 };

struct name;

/* A name rests on a service or a chased host name. */
struct dependency {
    struct watcher watcher;
    struct dependency *next;
};

struct name {
    struct resolver *resolver;
    struct evaluation evaluation;
    struct dependency *dependencies; /* attached ones first, then spare ones */
    struct dependency *spare;
    struct watch_list watchers; /* of lookups */
    usec_t used_at;
    usec_t interest_from; /* used_at, in coarse steps: what the slot's refresh time is made from */
    bool dirty;           /* in `dirty_names` */
    bool proven;          /* had an address, here or in an earlier daemon: not in `unproven` */
    bool answered;        /* was decided, by this daemon */
    struct name *dirty_next;
    struct name *prev, *next; /* in `unproven` */
    bool outranked;           /* published with ranks that do not hold: in `outranked` */
    struct name *outranked_prev, *outranked_next;
    UT_hash_handle hh;
    char text[];
};

/* One name that may answer a lookup: the name itself, or one made by the search list. */
struct candidate {
    struct watcher watcher;
    struct name *name;
};

struct lookup {
    struct resolver *resolver;
    struct candidate candidates[RESOLVER_SEARCH_MAX];
    size_t candidate_count;
    bool searched; /* through the search list: all absent means foreign */
    int family;
    usec_t deadline, soft_deadline;
    lookup_done_t done;
    void *userdata;
    bool due;                   /* a name of it changed: in `due` */
    bool soft;                  /* its soft deadline is to come: in `soft` */
    bool waits;                 /* the answer was not there at once */
    struct lookup *prev, *next; /* in `lookups`, by deadline */
    struct lookup *due_prev, *due_next;
    struct lookup *soft_prev, *soft_next; /* by soft deadline */
};

struct resolver {
    struct resolver_hooks hooks;
    struct store *store;
    struct chase *chase;
    struct resolver_rules rules;
    struct name *names;
    struct name *unproven; /* oldest first */
    unsigned unproven_count;
    struct name *dirty_names;
    struct name *outranked;
    struct lookup *lookups; /* all that wait, */
    struct lookup *due, *soft;
    unsigned lookup_count;
    struct resolver_counters counters;
    uint32_t buffer[ANSWER_SIZE_MAX / sizeof(uint32_t)]; /* of the answer being written */
};

/* ---- names ---- */

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

static void name_free(struct name *name)
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
        name_free(name);
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

static struct name *name_find(const struct resolver *resolver, const char *text)
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

/*
 * The name in use, evaluated for `now`. A program asked for it, so its services count as used, and
 * those that are due are asked again.
 */
static struct name *name_get(struct resolver *resolver, const char *text, usec_t now)
{
    struct name *name = name_find(resolver, text);

    if (!name)
        return name_new(resolver, text, now);
    name->used_at = now;
    name_evaluate_asked(name, now);
    return name;
}

/* ---- lookups ---- */

static void due_remove(struct lookup *lookup)
{
    if (lookup->due)
        DL_DELETE2(lookup->resolver->due, lookup, due_prev, due_next);
    lookup->due = false;
}

static void soft_remove(struct lookup *lookup)
{
    if (lookup->soft)
        DL_DELETE2(lookup->resolver->soft, lookup, soft_prev, soft_next);
    lookup->soft = false;
}

/* In order. Whoever asks later waits longer, but for a while after a reload: so from the end. */
static void deadlines_add(struct lookup *lookup)
{
    struct resolver *resolver = lookup->resolver;
    struct lookup *before = resolver->lookups ? resolver->lookups->prev : NULL;

    while (before && before->deadline > lookup->deadline)
        before = before == resolver->lookups ? NULL : before->prev;
    DL_APPEND_ELEM(resolver->lookups, before, lookup);
    before = resolver->soft ? resolver->soft->soft_prev : NULL;
    while (before && before->soft_deadline > lookup->soft_deadline)
        before = before == resolver->soft ? NULL : before->soft_prev;
    DL_APPEND_ELEM2(resolver->soft, before, lookup, soft_prev, soft_next);
    lookup->soft = true;
}

static void lookup_free(struct lookup *lookup)
{
    struct resolver *resolver = lookup->resolver;

    for (size_t i = 0; i < lookup->candidate_count; i++)
        watcher_detach(&lookup->candidates[i].watcher);
    due_remove(lookup);
    soft_remove(lookup);
    DL_DELETE(resolver->lookups, lookup);
    resolver->lookup_count--;
    free(lookup);
}

void lookup_cancel(struct lookup *lookup)
{
    if (!lookup)
        return;
    lookup->resolver->counters.gone++;
    lookup_free(lookup);
}

static void candidate_changed(struct watcher *watcher)
{
    struct lookup *lookup = watcher->owner;

    if (!lookup->due)
        DL_APPEND2(lookup->resolver->due, lookup, due_prev, due_next);
    lookup->due = true;
}

static size_t write_answer(struct resolver *resolver, const struct name *name, usec_t now)
{
    struct resolver_policy policy;
    size_t size;

    resolver->hooks.policy(resolver->hooks.userdata, name->text, &policy);
    size = evaluation_write(&name->evaluation, name->text, policy.answers, now,
                            resolver->hooks.random, resolver->hooks.userdata, resolver->buffer,
                            sizeof(resolver->buffer));
    if (resolver->hooks.rank)
        resolver->hooks.rank(resolver->hooks.userdata, (struct answer_head *)resolver->buffer);
    return size;
}

enum progress { WAITING, ANSWERED };

/*
 * Goes through the candidates in order: the first that succeeds or exists wins. `ret_name`: the
 * winner, or NULL with *ret_status for all of them.
 */
static enum progress lookup_progress(const struct lookup *lookup, usec_t now,
                                     const struct name **ret_name, enum answer_status *ret_status)
{
    bool undecided = false, final = now >= lookup->deadline;

    for (size_t i = 0; i < lookup->candidate_count; i++) {
        const struct name *name = lookup->candidates[i].name;
        const struct evaluation *evaluation = &name->evaluation;
        enum answer_status status = evaluation_status(evaluation, lookup->family);

        if (!final && (evaluation_pending(evaluation, lookup->family) ||
                       (evaluation->soft && now < lookup->soft_deadline)))
            return WAITING;
        if (!lookup->searched || status == ANSWER_FOUND || status == ANSWER_NO_DATA) {
            *ret_name = name;
            return ANSWERED;
        }
        undecided |= status == ANSWER_UNDECIDED && evaluation->proven;
    }
    *ret_name = NULL;
    *ret_status = undecided ? ANSWER_UNDECIDED : ANSWER_FOREIGN;
    return ANSWERED;
}

/* `name`: who answers, or NULL. */
static void count_answer(const struct lookup *lookup, const struct name *name,
                         enum answer_status status, usec_t now)
{
    struct resolver_counters *counters = &lookup->resolver->counters;

    counters->outcomes[status]++;
    if (!lookup->waits)
        counters->at_once++;
    else if (now >= lookup->deadline)
        counters->timed_out++;
    else
        counters->waited++;
    if (name && status == ANSWER_FOUND && name->evaluation.stale)
        counters->stale++;
}

/* Answers if there is an answer; the lookup is gone then. */
static bool lookup_try(struct lookup *lookup, usec_t now)
{
    struct resolver *resolver = lookup->resolver;
    lookup_done_t done = lookup->done;
    void *userdata = lookup->userdata;
    enum answer_status status = ANSWER_UNDECIDED;
    const struct name *name;
    size_t size;

    due_remove(lookup);
    if (lookup_progress(lookup, now, &name, &status) == WAITING)
        return false;
    size = name ? write_answer(resolver, name, now)
                : evaluation_write_status(status, "", resolver->buffer);
    if (!name && status == ANSWER_UNDECIDED)
        size = evaluation_write_status(status, lookup->candidates[0].name->text, resolver->buffer);
    count_answer(lookup, name, name ? evaluation_status(&name->evaluation, lookup->family) : status,
                 now);
    lookup_free(lookup);
    done(userdata, resolver->buffer, size);
    return true;
}

static void add_candidate(struct lookup *lookup, const char *text, usec_t now)
{
    struct name *name = name_get(lookup->resolver, text, now);
    struct candidate *candidate;

    if (!name || lookup->candidate_count == RESOLVER_SEARCH_MAX)
        return;
    candidate = &lookup->candidates[lookup->candidate_count++];
    candidate->name = name;
    candidate->watcher.changed = candidate_changed;
    candidate->watcher.owner = lookup;
    watcher_attach(&candidate->watcher, &name->watchers);
}

/* The name that the search list makes at place `i`; false: it is too long, or nobody's. */
static bool searched_name(const struct resolver *resolver, const char *text, size_t i,
                          char ret_name[static 2 * NAME_SIZE])
{
    struct resolver_owner owner;

    return snprintf(ret_name, 2 * NAME_SIZE, "%s.%s", text, resolver->rules.search[i]) <
               NAME_SIZE &&
           resolver->hooks.owner(resolver->hooks.userdata, ret_name, &owner);
}

static void add_searched(struct lookup *lookup, const char *text, usec_t now)
{
    const struct resolver *resolver = lookup->resolver;
    char name[2 * NAME_SIZE];

    lookup->searched = true;
    for (size_t i = 0; i < resolver->rules.search_count; i++)
        if (searched_name(resolver, text, i, name))
            add_candidate(lookup, name, now);
}

static struct lookup *lookup_new(struct resolver *resolver, int family, usec_t now,
                                 lookup_done_t done, void *userdata)
{
    struct lookup *lookup;

    if (resolver->lookup_count >= RESOLVER_LOOKUPS_MAX)
        return NULL;
    lookup = calloc(1, sizeof(*lookup));
    if (!lookup)
        return NULL;
    lookup->resolver = resolver;
    lookup->family = family;
    lookup->deadline = usec_add(now, resolver->rules.lookup_timeout);
    lookup->soft_deadline = usec_add(now, resolver->rules.stale_wait);
    lookup->done = done;
    lookup->userdata = userdata;
    deadlines_add(lookup);
    resolver->lookup_count++;
    return lookup;
}

static void answer_status(struct resolver *resolver, enum answer_status status, const char *name,
                          lookup_done_t done, void *userdata)
{
    size_t size = evaluation_write_status(status, name, resolver->buffer);

    resolver->counters.outcomes[status]++;
    resolver->counters.at_once++;
    done(userdata, resolver->buffer, size);
}

int resolver_lookup(struct resolver *resolver, const char *name, bool rooted, int family,
                    usec_t now, lookup_done_t done, void *userdata, struct lookup **ret_lookup)
{
    struct resolver_owner owner;
    bool owned = resolver->hooks.owner(resolver->hooks.userdata, name, &owner);
    struct lookup *lookup;

    *ret_lookup = NULL;
    if (!owned && (rooted || name_dots(name, strlen(name)) >= resolver->rules.ndots)) {
        answer_status(resolver, ANSWER_FOREIGN, "", done, userdata);
        return 0;
    }
    lookup = lookup_new(resolver, family, now, done, userdata);
    if (!lookup) {
        answer_status(resolver, ANSWER_UNDECIDED, name, done, userdata);
        return 0;
    }
    if (owned)
        add_candidate(lookup, name, now);
    else
        add_searched(lookup, name, now);
    if (lookup->candidate_count == 0) {
        lookup_free(lookup);
        answer_status(resolver, owned ? ANSWER_UNDECIDED : ANSWER_FOREIGN, owned ? name : "", done,
                      userdata);
        return 0;
    }
    if (!lookup_try(lookup, now)) {
        lookup->waits = true;
        *ret_lookup = lookup;
        resolver->hooks.wake(resolver->hooks.userdata);
    }
    return 0;
}

bool resolver_learns(const struct resolver *resolver, const char *name, bool rooted)
{
    struct resolver_owner owner;
    char searched[2 * NAME_SIZE];
    bool learns = false;

    if (resolver->hooks.owner(resolver->hooks.userdata, name, &owner))
        return !name_find(resolver, name);
    if (rooted || name_dots(name, strlen(name)) >= resolver->rules.ndots)
        return false;
    for (size_t i = 0; i < resolver->rules.search_count; i++) {
        const struct name *known;

        if (!searched_name(resolver, name, i, searched))
            continue;
        known = name_find(resolver, searched);
        if (known && known->proven)
            return false;
        learns |= !known;
    }
    return learns;
}

void resolver_decline(struct resolver *resolver, const char *name, lookup_done_t done,
                      void *userdata)
{
    struct resolver_owner owner;

    if (resolver->hooks.owner(resolver->hooks.userdata, name, &owner))
        answer_status(resolver, ANSWER_UNDECIDED, name, done, userdata);
    else
        answer_status(resolver, ANSWER_FOREIGN, "", done, userdata);
}

void resolver_reverse(struct resolver *resolver, const struct address *address, lookup_done_t done,
                      void *userdata)
{
    char name[NAME_SIZE];
    size_t size;

    if (resolver->hooks.reverse(resolver->hooks.userdata, address, name) < 0)
        size = evaluation_write_status(ANSWER_FOREIGN, "", resolver->buffer);
    else
        size = evaluation_write_reverse(name, address, resolver->buffer);
    done(userdata, resolver->buffer, size);
}

/* ---- the resolver ---- */

struct resolver *resolver_new(const struct resolver_hooks *hooks, struct store *store,
                              struct chase *chase, const struct resolver_rules *rules)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));

    if (!resolver)
        return NULL;
    resolver->hooks = *hooks;
    resolver->store = store;
    resolver->chase = chase;
    resolver->rules = *rules;
    return resolver;
}

struct resolver *resolver_free(struct resolver *resolver)
{
    if (!resolver)
        return NULL;
    while (resolver->lookups) {
        struct lookup *lookup = resolver->lookups;
        lookup_done_t done = lookup->done;
        void *userdata = lookup->userdata;

        lookup_free(lookup);
        answer_status(resolver, ANSWER_UNDECIDED, "unanswered", done, userdata);
    }
    /* What is published outlives the daemon. */
    resolver->hooks.withdraw = NULL;
    while (resolver->names)
        name_free(resolver->names);
    free(resolver);
    return NULL;
}

void resolver_set_rules(struct resolver *resolver, const struct resolver_rules *rules)
{
    struct name *name, *next;

    resolver->rules = *rules;
    HASH_ITER (hh, resolver->names, name, next)
        name_mark(name);
}

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

/* What was evaluated stands, so it is published as it is. */
static void rerank_slice(struct resolver *resolver, usec_t now)
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

void resolver_run(struct resolver *resolver, usec_t now)
{
    while (resolver->dirty_names) {
        struct name *name = resolver->dirty_names;

        resolver->dirty_names = name->dirty_next;
        name->dirty = false;
        name_evaluate(name, false, now);
        count_herd(resolver, name);
        watch_list_notify(&name->watchers);
    }
    /* done() may cancel other lookups: always the first. */
    while (resolver->due)
        lookup_try(resolver->due, now);
    rerank_slice(resolver, now);
}

usec_t resolver_expire(struct resolver *resolver, usec_t now)
{
    struct lookup *lookup;
    usec_t next = USEC_INFINITY;

    while ((lookup = resolver->soft) && now >= lookup->soft_deadline) {
        soft_remove(lookup);
        lookup_try(lookup, now);
    }
    /* Each of these is answered. */
    while ((lookup = resolver->lookups) && now >= lookup->deadline)
        lookup_try(lookup, now);
    if (resolver->lookups)
        next = resolver->lookups->deadline;
    if (resolver->soft && resolver->soft->soft_deadline < next)
        next = resolver->soft->soft_deadline;
    return next;
}

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
            name_free(name);
}

const struct evaluation *resolver_find(struct resolver *resolver, const char *text, usec_t now)
{
    struct name *name = name_find(resolver, text);

    if (!name)
        return NULL;
    name_evaluate(name, false, now);
    return &name->evaluation;
}

void resolver_touch(struct resolver *resolver, const char *text, usec_t now)
{
    struct name *name = name_find(resolver, text);

    if (!name || now < usec_add(name->used_at, TOUCH_INTERVAL))
        return;
    name_get(resolver, text, now);
    resolver->hooks.wake(resolver->hooks.userdata);
}

void resolver_recall(struct resolver *resolver, const char *text, usec_t now)
{
    struct resolver_owner owner;
    struct name *name;

    if (name_find(resolver, text) || !resolver->hooks.owner(resolver->hooks.userdata, text, &owner))
        return;
    name = name_new(resolver, text, now);
    if (name)
        name_prove(name);
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

struct resolver_counters *resolver_counters(struct resolver *resolver)
{
    return &resolver->counters;
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
