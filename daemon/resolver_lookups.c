/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lookups: which names may answer one, when one of them does, and those that wait till then. */
#include "daemon/resolver_internal.h"

#include <stdio.h>

#include "nss-sd/wire.h"

/* ---- waiting ---- */

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

/* ---- answering ---- */

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

/* To nearly all lookups nothing is private, so nothing is asked of the kernel. */
static bool is_denied(const struct lookup *lookup, const struct evaluation *evaluation)
{
    return lookup->may && evaluation->access.kind == ACCESS_PRIVATE &&
           !lookup->may(lookup->userdata, evaluation->access);
}

/*
 * Goes through the candidates in order: the first that succeeds or exists wins. What is denied is
 * absent, at once. `ret_name`: the winner, or NULL with *ret_status for all of them.
 */
static enum progress lookup_progress(const struct lookup *lookup, usec_t now,
                                     const struct name **ret_name, enum answer_status *ret_status)
{
    bool undecided = false, denied = false, final = now >= lookup->deadline;

    for (size_t i = 0; i < lookup->candidate_count; i++) {
        const struct name *name = lookup->candidates[i].name;
        const struct evaluation *evaluation = &name->evaluation;
        enum answer_status status = evaluation_status(evaluation, lookup->family);

        if (is_denied(lookup, evaluation)) {
            denied = true;
            continue;
        }
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
    *ret_status = undecided                     ? ANSWER_UNDECIDED
                  : denied && !lookup->searched ? ANSWER_ABSENT
                                                : ANSWER_FOREIGN;
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
    if (!name && status != ANSWER_FOREIGN)
        size = evaluation_write_status(status, lookup->candidates[0].name->text, resolver->buffer);
    count_answer(lookup, name, name ? evaluation_status(&name->evaluation, lookup->family) : status,
                 now);
    lookup_free(lookup);
    done(userdata, resolver->buffer, size);
    return true;
}

static void answer_status(struct resolver *resolver, enum answer_status status, const char *name,
                          lookup_done_t done, void *userdata)
{
    size_t size = evaluation_write_status(status, name, resolver->buffer);

    resolver->counters.outcomes[status]++;
    resolver->counters.at_once++;
    done(userdata, resolver->buffer, size);
}

void resolver_lookups_run(struct resolver *resolver, usec_t now)
{
    /* done() may cancel other lookups: always the first. */
    while (resolver->due)
        lookup_try(resolver->due, now);
}

void resolver_lookups_end(struct resolver *resolver)
{
    while (resolver->lookups) {
        struct lookup *lookup = resolver->lookups;
        lookup_done_t done = lookup->done;
        void *userdata = lookup->userdata;

        lookup_free(lookup);
        answer_status(resolver, ANSWER_UNDECIDED, "unanswered", done, userdata);
    }
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

/* ---- asking ---- */

static void add_candidate(struct lookup *lookup, const char *text, usec_t now)
{
    struct name *name = resolver_name_get(lookup->resolver, text, now);
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
                                 lookup_may_t may, lookup_done_t done, void *userdata)
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
    lookup->may = may;
    lookup->done = done;
    lookup->userdata = userdata;
    deadlines_add(lookup);
    resolver->lookup_count++;
    return lookup;
}

int resolver_lookup(struct resolver *resolver, const char *name, bool rooted, int family,
                    usec_t now, lookup_may_t may, lookup_done_t done, void *userdata,
                    struct lookup **ret_lookup)
{
    struct resolver_owner owner;
    bool owned = resolver->hooks.owner(resolver->hooks.userdata, name, &owner);
    struct lookup *lookup;

    *ret_lookup = NULL;
    if (!owned && (rooted || name_dots(name, strlen(name)) >= resolver->rules.ndots)) {
        answer_status(resolver, ANSWER_FOREIGN, "", done, userdata);
        return 0;
    }
    lookup = lookup_new(resolver, family, now, may, done, userdata);
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
        return !resolver_name_find(resolver, name);
    if (rooted || name_dots(name, strlen(name)) >= resolver->rules.ndots)
        return false;
    for (size_t i = 0; i < resolver->rules.search_count; i++) {
        const struct name *known;

        if (!searched_name(resolver, name, i, searched))
            continue;
        known = resolver_name_find(resolver, searched);
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

struct access resolver_access(const struct resolver *resolver, const char *name)
{
    const struct name *known = resolver_name_find(resolver, name);
    struct resolver_policy policy;

    resolver->hooks.policy(resolver->hooks.userdata, name, &policy);
    return known ? access_join(policy.wishes.access, known->evaluation.access)
                 : policy.wishes.access;
}

static bool may_have(const struct resolver *resolver, const char *name, lookup_may_t may,
                     void *userdata)
{
    struct access access = resolver_access(resolver, name);

    return !may || access.kind != ACCESS_PRIVATE || may(userdata, access);
}

void resolver_reverse(struct resolver *resolver, const struct address *address, lookup_may_t may,
                      lookup_done_t done, void *userdata)
{
    char name[NAME_SIZE];
    size_t size;

    if (resolver->hooks.reverse(resolver->hooks.userdata, address, name) < 0 ||
        !may_have(resolver, name, may, userdata))
        size = evaluation_write_status(ANSWER_FOREIGN, "", resolver->buffer);
    else
        size = evaluation_write_reverse(name, address, resolver->buffer);
    done(userdata, resolver->buffer, size);
}
