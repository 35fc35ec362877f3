/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One wanted key (watch.h). */
#include "daemon/registry/consul/watch.h"

#include <stdio.h>
#include <utlist.h>

#include "daemon/registry/consul/consul.h"
#include "daemon/registry/consul/document.h"

enum { SERVICE_MAX = 16 << 20 }; /* bytes of one answer */
#define DENIED_RETRY    (60 * USEC_PER_SEC)
#define THROTTLED_RETRY (5 * USEC_PER_SEC)
#define ABSENT_RECHECK  (30 * USEC_PER_SEC) /* where the catalogue tells nothing */
#define QUERY_TTL       (10 * USEC_PER_SEC)
#define STATIC_TTL      (3600 * USEC_PER_SEC)
/* So long a server may take to know again what it knew before its restart; EmptyHoldSec's default.
 */
#define RESTART_TIME (180 * USEC_PER_SEC)

static struct consul *consul_of(const struct consul_watch *watch)
{
    return watch->watches->consul;
}

static struct registry_env *env_of(const struct consul_watch *watch)
{
    return consul_of(watch)->registry.env;
}

/* ---- planning ---- */

void consul_watch_rest(struct consul_watch *watch)
{
    env_timer_off(env_of(watch), &watch->timer);
    consul_call_cancel(&watch->call);
    if (watch->state == WATCH_QUEUED)
        DL_DELETE(watch->watches->queue, watch);
    watch->state = WATCH_RESTING;
}

void consul_watch_plan(struct consul_watch *watch, usec_t delay)
{
    consul_watch_rest(watch);
    watch->planned = usec_add(env_now(env_of(watch)), delay);
    watch->state = WATCH_PLANNED;
    env_timer_set(env_of(watch), &watch->timer, watch->planned);
}

void consul_watch_restart(struct consul_watch *watch, usec_t delay)
{
    watch->index = 0;
    watch->doubted = false;
    consul_watch_plan(watch, delay);
}

/* ---- reports: each the last step of its way: the core may drop the watch on hearing it ---- */

static void report_data(struct consul_watch *watch, struct endpoint_set *set, usec_t validity)
{
    watch->owed = watch->absent = watch->suspect = false;
    watch->distrusted_since = watch->distrusts = 0;
    watch->confirmed = validity == REPORT_UNTIL_LOST;
    if (watch->endpoints != set) {
        endpoint_set_unref(watch->endpoints);
        watch->endpoints = endpoint_set_ref(set);
    }
    env_report(env_of(watch),
               &(struct registry_report){
                   .kind = REPORT_DATA,
                   .key = watch->key,
                   .endpoints = set,
                   .validity = validity,
                   /* Consul says NXDOMAIN where no instance is healthy; a node is there whatever it
                      has. */
                   .flags = watch->kind == CONSUL_SERVICE || watch->kind == CONSUL_QUERY
                                ? REPORT_EMPTY_IS_ABSENT
                                : 0,
               });
}

static void report_absent(struct consul_watch *watch, usec_t validity)
{
    watch->owed = watch->suspect = false;
    watch->distrusted_since = watch->distrusts = 0;
    watch->absent = true;
    watch->confirmed = validity == REPORT_UNTIL_LOST;
    watch->endpoints = endpoint_set_unref(watch->endpoints);
    env_report(env_of(watch), &(struct registry_report){
                                  .kind = REPORT_ABSENT, .key = watch->key, .validity = validity});
}

static void report_failed(struct consul_watch *watch, enum registry_failure failure,
                          const char *text, usec_t retry_after)
{
    watch->owed = watch->confirmed = false;
    env_report(env_of(watch), &(struct registry_report){.kind = REPORT_FAILED,
                                                        .key = watch->key,
                                                        .failure = failure,
                                                        .text = text,
                                                        .retry_after = retry_after});
}

static void report_suspect(struct consul_watch *watch, const char *text)
{
    watch->owed = watch->confirmed = false;
    watch->suspect = true;
    if (log_limit_pass(&watch->watches->log_limit, env_now(env_of(watch))))
        env_log(env_of(watch), LOG_WARNING, watch->key, "%s; keeping what was known", text);
    env_report(env_of(watch), &(struct registry_report){.kind = REPORT_SUSPECT,
                                                        .key = watch->key,
                                                        .endpoints = watch->endpoints,
                                                        .text = text});
}

/* ---- failures ---- */

static usec_t retry_delay(struct consul_watch *watch, const struct consul_answer *answer)
{
    usec_t delay = consul_pace_failed(&watch->pace), least = 0;

    if (answer->failure == FAILURE_DENIED || answer->failure == FAILURE_CONFIG)
        least = DENIED_RETRY;
    else if (answer->failure == FAILURE_THROTTLED)
        least = THROTTLED_RETRY;
    delay = delay > least ? delay : least;
    /* Downwards: the longest back-off is the longest that a lookup gets what is stale by then. */
    return env_jitter(env_of(watch), delay - delay / 10, 10);
}

static void log_failure(struct consul_watch *watch, const struct consul_answer *answer,
                        usec_t delay)
{
    if (watch->pace.failures == 1 &&
        log_limit_pass(&watch->watches->log_limit, env_now(env_of(watch))))
        env_log(env_of(watch), LOG_WARNING, watch->key, "%s; trying again in %u s", answer->text,
                (unsigned)((delay + USEC_PER_SEC / 2) / USEC_PER_SEC));
}

static void watch_failed(struct consul_watch *watch, const struct consul_answer *answer)
{
    const struct consul_agents *agents = &consul_of(watch)->agents;
    unsigned tries = watch->pace.failures;
    usec_t delay = retry_delay(watch, answer);

    if (answer->new_token || (answer->elsewhere && tries + 1 < agents->count)) {
        consul_watch_restart(watch, 0);
        return;
    }
    consul_watch_restart(watch, delay);
    log_failure(watch, answer, delay);
    report_failed(watch, answer->failure, answer->text,
                  answer->failure == FAILURE_TRANSIENT ? 0 : delay);
}

static void watch_failed_text(struct consul_watch *watch, enum registry_failure failure,
                              const char *text)
{
    struct consul_answer answer = {.verdict = CONSUL_FAILED, .failure = failure};

    snprintf(answer.text, sizeof(answer.text), "%s", text);
    answer.elsewhere = consul_agents_has_another(&consul_of(watch)->agents, watch->call.agent);
    watch_failed(watch, &answer);
}

/* ---- answers ---- */

/* No instance, or no node of this name. */
static void watch_absent(struct consul_watch *watch, enum consul_presence presence)
{
    bool told = presence == CONSUL_MISSING;

    consul_watches_release(watch);
    watch->index = 0;
    consul_watch_rest(watch);
    if (told && watch->absent && watch->confirmed && !watch->owed)
        return;
    if (!told && watch->kind != CONSUL_QUERY)
        consul_watch_plan(watch, env_jitter(env_of(watch), ABSENT_RECHECK, 20));
    report_absent(watch, told                          ? REPORT_UNTIL_LOST
                         : watch->kind == CONSUL_QUERY ? QUERY_TTL
                                                       : 2 * ABSENT_RECHECK);
}

static void log_skipped(struct consul_watch *watch, const struct consul_document *document)
{
    if (streq(watch->reason, document->reason))
        return;
    strcpy(watch->reason, document->reason);
    if (document->skipped > 0)
        env_log(env_of(watch), LOG_WARNING, watch->key, "%u of %u instances skipped; %s",
                document->skipped, document->entries, document->reason);
}

static void watch_data(struct consul_watch *watch, const struct consul_document *document,
                       bool news)
{
    usec_t validity = REPORT_UNTIL_LOST, period = consul_watches_poll_period(watch->watches);

    consul_watches_settle(watch, watch->owed);
    if (watch->kind == CONSUL_QUERY) {
        validity = document->ttl > 0 ? document->ttl : QUERY_TTL;
    } else if (watch->parks) {
        consul_watch_plan(watch, 0);
    } else {
        validity = 3 * period;
        consul_watch_plan(watch, env_jitter(env_of(watch), period, 10));
    }
    if (news || watch->owed || !watch->confirmed || validity != REPORT_UNTIL_LOST)
        report_data(watch, document->endpoints, validity);
}

/*
 * No instance is left, by an answer that does not say it was filtered. Servers before 1.11 never
 * say so. With a token that may have lost its rights the answer is checked: a catalogue that still
 * lists the service, or does not even list "consul" any more, says that we are not shown what is
 * there.
 */
static bool watch_doubts(struct consul_watch *watch, const struct consul_key *key)
{
    struct consul *consul = consul_of(watch);

    if (!consul->agents.token || consul_key_is_elsewhere(key) || !watch->endpoints ||
        watch->endpoints->count == 0)
        return false;
    watch->doubted = true;
    consul_catalogue_retry(&consul->catalogue);
    return true;
}

static void watch_filtered(struct consul_watch *watch)
{
    if (!watch->endpoints || watch->endpoints->count == 0) {
        watch_failed_text(watch, FAILURE_DENIED, "the token's rights hide all instances");
        return;
    }
    consul_watches_settle(watch, false);
    consul_watch_plan(watch, watch->parks ? 0 : consul_watches_poll_period(watch->watches));
    if (!watch->suspect || watch->owed)
        report_suspect(watch, "the token's rights hide all instances");
}

/* Only the disk can have told of it so far, and the servers may not know it again yet. */
static bool watch_is_early(const struct consul_watch *watch)
{
    return watch->seen == 0 && !watch->absent && watch->kind != CONSUL_QUERY &&
           consul_agents_are_back(&consul_of(watch)->agents);
}

/*
 * Why an answer without instances proves nothing; NULL: it does. A server that has just started
 * answers stale reads before it has a leader, and so before it knows what it wrote down. One whose
 * index is behind the one that the instances came with has lost them, or is not there yet; on a
 * healthy one a removal moves the index on. Where no index is known, as of services that the disk
 * told of, one that was down a moment ago may have begun anew as well. What it still says after a
 * while has to be believed.
 */
static const char *why_distrusted(const struct consul_watch *watch,
                                  const struct consul_answer *answer, uint64_t index)
{
    if (answer->degraded)
        return "a server without a leader shows no instances";
    if (watch_is_early(watch))
        return "a server that has just come back shows no instances";
    if (watch->endpoints && watch->endpoints->count > 0 && watch->kind != CONSUL_QUERY &&
        index < watch->seen &&
        (watch->distrusted_since == 0 ||
         env_now(env_of(watch)) < usec_add(watch->distrusted_since, RESTART_TIME)))
        return "a server that has started anew shows no instances";
    return NULL;
}

/* Asks again soon: a parked call would wait for a change that perhaps was long before. */
static void watch_distrust(struct consul_watch *watch, const char *text)
{
    if (!watch->endpoints || watch->endpoints->count == 0) {
        watch_failed_text(watch, FAILURE_TRANSIENT, text);
        return;
    }
    if (watch->distrusts++ == 0)
        watch->distrusted_since = env_now(env_of(watch));
    watch->index = 0;
    consul_watch_plan(watch,
                      env_jitter(env_of(watch), consul_watches_recheck_period(watch->watches), 20));
    if (!watch->suspect || watch->owed)
        report_suspect(watch, text);
}

static int parse(const struct consul_watch *watch, const struct consul_answer *answer,
                 struct consul_document *ret_document)
{
    struct consul_document_rules rules = consul_document_rules(consul_of(watch));

    rules.translated = answer->translated;
    switch (watch->kind) {
    case CONSUL_NODE:
        return consul_document_node(answer->body, answer->size, &rules, ret_document);
    case CONSUL_QUERY:
        return consul_document_query(answer->body, answer->size, &rules, ret_document);
    default:
        return consul_document_health(answer->body, answer->size, &rules, ret_document);
    }
}

static void watch_answered(struct consul_watch *watch, const struct consul_answer *answer)
{
    _cleanup_(consul_document_done) struct consul_document document;
    const char *index = http_response_header(answer->response, "X-Consul-Index");
    int r = parse(watch, answer, &document);
    uint64_t now_at = consul_index_next(0, index);
    enum consul_presence presence;
    struct consul_key key;
    const char *distrusted;
    bool news;

    consul_key_parse(watch->key, &key);
    if (r < 0 && r != -ENOENT) {
        watch_failed_text(watch, FAILURE_TRANSIENT,
                          r == -E2BIG ? "too many instances" : "the answer is not Consul's");
        return;
    }
    news = r == 0 && !endpoint_set_equal(watch->endpoints, document.endpoints);
    consul_pace_answered(&watch->pace, news, env_now(env_of(watch)));
    watch->index = watch->kind == CONSUL_QUERY ? 0 : consul_index_next(watch->index, index);
    if (!consul_key_is_elsewhere(&key) && watch->kind != CONSUL_QUERY)
        consul_learn_datacenter(consul_of(watch), document.datacenter);
    log_skipped(watch, &document);
    if (document.entries > 0) {
        watch->seen = now_at;
    } else if (answer->filtered) { /* a node is "null" then, as one that does not exist */
        watch_filtered(watch);
        return;
    } else if ((distrusted = why_distrusted(watch, answer, now_at))) {
        watch_distrust(watch, distrusted);
        return;
    }
    if (watch->kind != CONSUL_SERVICE || document.entries > 0) {
        if (r == -ENOENT)
            watch_absent(watch, CONSUL_UNTOLD);
        else
            watch_data(watch, &document, news);
        return;
    }
    presence = consul_catalogue_find(&consul_of(watch)->catalogue, &key);
    if (watch_doubts(watch, &key))
        consul_watch_rest(watch);
    else if (presence == CONSUL_PRESENT)
        watch_data(watch, &document, news);
    else
        watch_absent(watch, presence);
}

/* Consul's own words: whatever stands before it, a proxy perhaps, answers 404 as well. */
static bool says_no_such_query(const struct consul_watch *watch, const struct consul_answer *answer)
{
    return watch->kind == CONSUL_QUERY && answer->verdict == CONSUL_NOT_FOUND &&
           strstr(answer->body, "Query not found");
}

static void watch_done(struct consul_call *call, const struct consul_answer *answer)
{
    struct consul_watch *watch = call->owner;

    watch->state = WATCH_RESTING;
    consul_watches_queue_run(watch->watches);
    if (answer->verdict == CONSUL_ANSWERED)
        watch_answered(watch, answer);
    else if (says_no_such_query(watch, answer))
        watch_absent(watch, CONSUL_UNTOLD);
    else
        watch_failed(watch, answer);
}

/* ---- the next step ---- */

static void watch_ask(struct consul_watch *watch, const struct consul_key *key)
{
    static const char *const paths[] = {
        [CONSUL_SERVICE] = "/v1/health/service/",
        [CONSUL_NODE] = "/v1/catalog/node/",
        [CONSUL_QUERY] = "/v1/query/",
    };
    bool blocks = watch->parks && watch->index > 0 && !watch->owed;
    char path[NAME_SIZE + 32];
    int r;

    if (!blocks && !consul_watches_reads_free(watch->watches)) {
        DL_APPEND(watch->watches->queue, watch);
        watch->state = WATCH_QUEUED;
        return;
    }
    snprintf(path, sizeof(path), "%s%s%s", paths[watch->kind], key->name,
             watch->kind == CONSUL_QUERY ? "/execute" : "");
    r = consul_call_start(&watch->call, &(struct consul_request){
                                            .path = path,
                                            .key = key,
                                            .index = blocks ? watch->index : 0,
                                            .attempt = watch->pace.failures + watch->distrusts,
                                            .agent = -1,
                                            .max_body = SERVICE_MAX,
                                        });
    watch->state = r < 0 ? WATCH_RESTING : blocks ? WATCH_PARKED : WATCH_READING;
    if (r < 0)
        watch_failed_text(watch, FAILURE_TRANSIENT, "the call cannot be made");
}

/* The one endpoint that an "addr" key spells. */
static void watch_spell(struct consul_watch *watch, const struct consul_key *key)
{
    _cleanup_(endpoint_set_unrefp) struct endpoint_set *set = NULL;
    struct consul_document_rules rules = consul_document_rules(consul_of(watch));
    int r = consul_document_address(key->name, &rules, &set);

    if (r < 0)
        watch_failed_text(watch, FAILURE_TRANSIENT, strerror(-r));
    else
        report_data(watch, set, STATIC_TTL);
}

static void watch_fire(struct env_timer *timer)
{
    struct consul_watch *watch = timer->owner;
    const struct consul_agents *agents = &consul_of(watch)->agents;
    enum consul_presence presence = CONSUL_UNTOLD;
    struct consul_key key;
    usec_t wait;

    watch->state = WATCH_RESTING;
    consul_key_parse(watch->key, &key);
    if (key.kind == CONSUL_ADDR) {
        watch_spell(watch, &key);
        return;
    }
    if (agents->down) {
        if (watch->owed)
            report_failed(watch, FAILURE_TRANSIENT, consul_agents_text(agents), 0);
        return;
    }
    if (key.kind == CONSUL_SERVICE)
        presence = consul_catalogue_find(&consul_of(watch)->catalogue, &key);
    wait = consul_pace_wait(&watch->pace, env_now(env_of(watch)));
    if (watch->doubted) {
        watch->doubted = false;
        if (presence == CONSUL_PRESENT || consul_catalogue_shrank(&consul_of(watch)->catalogue))
            watch_filtered(watch);
        else
            watch_absent(watch, presence);
    } else if (presence == CONSUL_MISSING && !watch_is_early(watch) &&
               (!watch->endpoints || watch->endpoints->count == 0)) {
        watch_absent(watch, presence);
    } else if (wait > 0) {
        consul_watch_plan(watch, wait);
    } else {
        watch_ask(watch, &key);
    }
}

/* ---- life ---- */

struct consul_watch *consul_watch_new(struct consul_watches *watches, const char *text,
                                      enum consul_kind kind)
{
    size_t length = strlen(text);
    struct consul_watch *watch = calloc(1, sizeof(*watch) + length + 1);

    if (!watch)
        return NULL;
    watch->watches = watches;
    watch->kind = kind;
    watch->call = (struct consul_call){
        .done = watch_done, .owner = watch, .consul = watches->consul};
    watch->timer = (struct env_timer){.fire = watch_fire, .owner = watch};
    memcpy(watch->key, text, length + 1);
    HASH_ADD_KEYPTR(hh, watches->table, watch->key, length, watch);
    return watch;
}

void consul_watch_free(struct consul_watch *watch)
{
    struct consul_watches *watches = watch->watches;

    consul_watch_rest(watch);
    consul_watches_release(watch);
    endpoint_set_unref(watch->endpoints);
    HASH_DEL(watches->table, watch);
    free(watch);
    consul_watches_queue_run(watches);
}
