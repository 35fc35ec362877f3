/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The loop of one Eureka registry (poll.h). */
#include "daemon/registry/eureka/poll.h"

#include <stdio.h>

#include "daemon/log.h"
#include "daemon/registry/eureka/eureka.h"

#define GAP_MAX       (150 * USEC_PER_SEC) /* servers remember changes for 180 s */
#define NO_DELTA_TIME (600 * USEC_PER_SEC)
#define RETRY_FIRST   (2 * USEC_PER_SEC)

enum {
    FULL_SPREAD = 4,         /* so much of PollSec= */
    MISMATCHES_COUNTED = 16, /* the pause is longer than FullFetchSec= long before */
};

static struct registry_env *env_of(const struct eureka_poll *poll)
{
    return poll->eureka->registry.env;
}

static usec_t now_of(const struct eureka_poll *poll)
{
    return env_now(env_of(poll));
}

static const struct eureka_settings *settings_of(const struct eureka_poll *poll)
{
    return eureka_settings_of(poll->eureka->registry.config);
}

static struct eureka_server *server_of(const struct eureka_poll *poll)
{
    return eureka_servers_current(&poll->eureka->servers);
}

static void plan(struct eureka_poll *poll, usec_t delay)
{
    env_timer_set(env_of(poll), &poll->timer, usec_add(now_of(poll), delay));
}

/*
 * All hosts of a fleet poll at one moment, so that all learn at one moment that they have to fetch
 * all: they do it one after the other, for a server that was just restarted above all.
 */
static void plan_next(struct eureka_poll *poll)
{
    if (poll->want_full) {
        plan(poll, env_random(env_of(poll)) % (settings_of(poll)->poll / FULL_SPREAD + 1));
        return;
    }
    env_timer_set(env_of(poll), &poll->timer,
                  eureka_cadence_next(&server_of(poll)->cadence, now_of(poll),
                                      settings_of(poll)->poll, env_random(env_of(poll))));
}

/* ---- up and down ---- */

static void report_down(struct env_timer *timer)
{
    struct eureka_poll *poll = timer->owner;

    env_report(env_of(poll), &(struct registry_report){.kind = REPORT_DOWN, .text = poll->text});
}

static void go_down(struct eureka_poll *poll, const char *text)
{
    const struct eureka_servers *servers = &poll->eureka->servers;

    snprintf(poll->text, sizeof(poll->text), "%s%.100s: %.120s",
             servers->count > 1 ? "no server answers, last " : "", server_of(poll)->url, text);
    if (poll->down)
        return;
    poll->down = true;
    poll->up = false;
    env_defer(env_of(poll), &poll->down_timer);
    eureka_watches_went_down(&poll->eureka->watches);
}

static void come_up(struct eureka_poll *poll)
{
    if (poll->up)
        return;
    poll->up = true;
    poll->down = false;
    env_timer_off(env_of(poll), &poll->down_timer);
    env_log(env_of(poll), LOG_NOTICE, NULL, "up: %s answers", server_of(poll)->url);
    eureka_watches_came_up(&poll->eureka->watches);
    env_report(env_of(poll), &(struct registry_report){.kind = REPORT_UP});
}

/* ---- asking ---- */

static bool needs_full(const struct eureka_poll *poll)
{
    usec_t now = now_of(poll);

    return !poll->synced || poll->want_full || poll->source != poll->eureka->servers.current ||
           now >= poll->full_due || now - poll->good_at > GAP_MAX || now < poll->no_delta_until;
}

static void fail_round(struct eureka_poll *poll, enum registry_failure failure, const char *text,
                       usec_t retry_after);

static void ask(struct eureka_poll *poll, bool full)
{
    int r;

    if (eureka_credentials_missing(&poll->eureka->credentials) &&
        !eureka_credentials_read(&poll->eureka->credentials)) {
        fail_round(poll, FAILURE_CONFIG, "the file with the credentials cannot be used", 0);
        return;
    }
    if (full) {
        poll->full_at = now_of(poll);
        poll->known = eureka_applications_listed(&poll->eureka->applications);
    }
    r = eureka_fetch_start(&poll->fetch, !full);
    if (r < 0)
        fail_round(poll, FAILURE_TRANSIENT, strerror(-r), 0);
}

static void fire(struct env_timer *timer)
{
    struct eureka_poll *poll = timer->owner;

    if (poll->fetch.http)
        return;
    /* All is fetched anyway, so it may be from the best server. */
    eureka_servers_begin(&poll->eureka->servers, needs_full(poll), now_of(poll));
    ask(poll, needs_full(poll));
}

/* ---- failures ---- */

static usec_t retry_delay(const struct eureka_poll *poll, enum registry_failure failure,
                          usec_t retry_after)
{
    usec_t longest = settings_of(poll)->poll, delay = RETRY_FIRST;

    for (unsigned i = 1; i < poll->failures && delay < longest; i++)
        delay *= 2;
    if (failure == FAILURE_DENIED || failure == FAILURE_CONFIG || delay > longest)
        delay = longest;
    return retry_after > delay ? retry_after : env_jitter(env_of(poll), delay, 20);
}

static void fail_round(struct eureka_poll *poll, enum registry_failure failure, const char *text,
                       usec_t retry_after)
{
    if (poll->failures < UINT16_MAX)
        poll->failures++;
    go_down(poll, text);
    plan(poll, retry_delay(poll, failure, retry_after));
}

static void fetch_failed(struct eureka_poll *poll, const struct eureka_result *result)
{
    struct eureka_servers *servers = &poll->eureka->servers;
    const char *url = server_of(poll)->url;

    if (result->new_credentials) {
        ask(poll, needs_full(poll));
        return;
    }
    if (eureka_servers_failed(servers, now_of(poll))) {
        env_log(env_of(poll), LOG_WARNING, NULL, "server %s fails (%s); asking %s", url,
                result->text, server_of(poll)->url);
        ask(poll, needs_full(poll));
        return;
    }
    fail_round(poll, result->failure, result->text, result->retry_after);
}

/* ---- answers ---- */

/* The answer is good, and the table is like the server's as far as anybody can tell. */
static void succeed(struct eureka_poll *poll)
{
    poll->good_at = now_of(poll);
    poll->failures = 0;
    eureka_servers_answered(&poll->eureka->servers);
    plan_next(poll);
    come_up(poll);
    if (!poll->synced) {
        poll->synced = true;
        env_report(env_of(poll), &(struct registry_report){.kind = REPORT_SYNCED});
    }
    eureka_watches_run(&poll->eureka->watches);
}

static void guard_over(struct env_timer *timer)
{
    struct eureka_poll *poll = timer->owner;
    struct eureka *eureka = poll->eureka;

    env_log(env_of(poll), LOG_WARNING, NULL, "the server is believed now: %u instances are gone",
            eureka->applications.missing);
    eureka_guard_end(&eureka->guard);
    eureka_applications_drop_missing(&eureka->applications);
    eureka_watches_doubt_over(&eureka->watches);
    if (!poll->down)
        eureka_watches_run(&eureka->watches);
}

/* What a full fetch did not list: does it go? */
static void sweep(struct eureka_poll *poll)
{
    struct eureka *eureka = poll->eureka;
    unsigned lost = eureka_applications_lost(&eureka->applications);
    unsigned listed = eureka_applications_listed(&eureka->applications) - lost;
    bool doubted = eureka_guard_doubts(&eureka->guard);
    bool keep = eureka_guard_judge(&eureka->guard, poll->known, lost, listed, !poll->synced,
                                   poll->restarted, now_of(poll));

    if (keep && !doubted) {
        env_log(env_of(poll), LOG_WARNING, NULL,
                "%s; keeping what was known for %u s, until they register again",
                eureka->guard.text, (unsigned)(EUREKA_GUARD_TIME / USEC_PER_SEC));
        env_timer_set(env_of(poll), &poll->guard_timer, eureka->guard.until);
    }
    eureka_applications_sweep(&eureka->applications, keep);
    poll->restarted = false;
}

/* Are the counts by status those of the server? A document that does not say them proves nothing.
 */
static bool hash_matches(const struct eureka_poll *poll, const struct eureka_document *document)
{
    char hash[EUREKA_OWN_HASH_SIZE];

    eureka_applications_hash(&poll->eureka->applications, hash);
    return document->has_hash && streq(hash, document->hash);
}

static void full_fetched(struct eureka_poll *poll, const struct eureka_document *document)
{
    poll->fulls++;
    sweep(poll);
    poll->source = poll->eureka->servers.current;
    poll->want_full = false;
    poll->full_due = usec_add(now_of(poll),
                              env_jitter(env_of(poll), settings_of(poll)->full_fetch, 20));
    /* Its own count differs where instances without identity were skipped. */
    if (document->skipped > 0)
        env_log(env_of(poll), LOG_WARNING, NULL,
                "%u of %u instances have no identity and are left out", document->skipped,
                document->instances);
    succeed(poll);
}

/*
 * All is fetched before the server counts as one that answers: a restarted one lacks what has not
 * registered again, and for who waits that would be absence.
 */
static void fetch_all_soon(struct eureka_poll *poll)
{
    poll->want_full = true;
    eureka_servers_answered(&poll->eureka->servers);
    plan_next(poll);
    if (poll->up)
        eureka_watches_run(&poll->eureka->watches);
}

/*
 * Changes were missed: all is fetched, soon. Where that does not help, it is done ever more seldom,
 * down to every FullFetchSec=: all hosts would do the same at every poll.
 */
static void mismatched(struct eureka_poll *poll)
{
    usec_t pause = (settings_of(poll)->poll / 2) << poll->mismatching;
    usec_t due = usec_add(poll->full_at, pause);

    if (poll->mismatching == 0)
        env_log(env_of(poll), LOG_INFO, NULL, "changes were missed; fetching all");
    poll->mismatches++;
    poll->mismatching += poll->mismatching < MISMATCHES_COUNTED;
    if (due < poll->full_due)
        poll->full_due = due;
    if (poll->down || due <= now_of(poll))
        fetch_all_soon(poll);
    else
        succeed(poll);
}

static void delta_fetched(struct eureka_poll *poll, const struct eureka_document *document)
{
    struct eureka_server *server = server_of(poll);
    uint64_t version = server->version;

    poll->deltas++;
    server->version = document->version;
    if (document->version < version) {
        env_log(env_of(poll), LOG_NOTICE, NULL, "server %s was restarted; fetching all",
                server->url);
        poll->restarted = true;
        fetch_all_soon(poll);
    } else if (hash_matches(poll, document)) {
        poll->mismatching = 0;
        succeed(poll);
    } else {
        mismatched(poll);
    }
}

static void fetched(struct eureka *eureka, const struct eureka_result *result)
{
    struct eureka_poll *poll = &eureka->poll;

    switch (result->verdict) {
    case EUREKA_FETCHED:
        if (result->delta)
            delta_fetched(poll, result->document);
        else
            full_fetched(poll, result->document);
        break;
    case EUREKA_NO_DELTA:
        env_log(env_of(poll), LOG_INFO, NULL, "%s gives no changes (%s); fetching all",
                server_of(poll)->url, result->text);
        if (result->failure != FAILURE_TRANSIENT)
            poll->no_delta_until = usec_add(now_of(poll), NO_DELTA_TIME);
        ask(poll, true);
        break;
    case EUREKA_FAILED:
        fetch_failed(poll, result);
        break;
    }
}

/* ---- life ---- */

int eureka_poll_init(struct eureka_poll *poll, struct eureka *eureka)
{
    *poll = (struct eureka_poll){.eureka = eureka};
    poll->timer = (struct env_timer){.fire = fire, .owner = poll};
    poll->down_timer = (struct env_timer){.fire = report_down, .owner = poll};
    poll->guard_timer = (struct env_timer){.fire = guard_over, .owner = poll};
    eureka_fetch_init(&poll->fetch, eureka, fetched);
    return env_defer(env_of(poll), &poll->timer);
}

void eureka_poll_done(struct eureka_poll *poll)
{
    if (!poll->eureka)
        return;
    eureka_fetch_cancel(&poll->fetch);
    env_timer_off(env_of(poll), &poll->timer);
    env_timer_off(env_of(poll), &poll->down_timer);
    env_timer_off(env_of(poll), &poll->guard_timer);
}

void eureka_poll_kick(struct eureka_poll *poll)
{
    if (poll->fetch.http)
        return;
    poll->failures = 0;
    eureka_servers_pardon(&poll->eureka->servers);
    plan(poll, 0);
}

void eureka_poll_again(struct eureka_poll *poll)
{
    eureka_fetch_cancel(&poll->fetch);
    eureka_poll_kick(poll);
}

void eureka_poll_reload(struct eureka_poll *poll)
{
    poll->full_due = 0;
    eureka_poll_kick(poll);
}

void eureka_poll_describe(const struct eureka_poll *poll, json_t *object)
{
    usec_t now = now_of(poll);

    json_object_set_new(object, "full_fetches", json_integer((json_int_t)poll->fulls));
    json_object_set_new(object, "delta_fetches", json_integer((json_int_t)poll->deltas));
    json_object_set_new(object, "hash_mismatches", json_integer((json_int_t)poll->mismatches));
    json_object_set_new(object, "last_answer_sec",
                        poll->good_at
                            ? json_integer((json_int_t)((now - poll->good_at) / USEC_PER_SEC))
                            : json_null());
    if (poll->down)
        json_object_set_new(object, "error", json_string(poll->text));
}
