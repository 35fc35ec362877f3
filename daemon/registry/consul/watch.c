/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Watches of keys (watch.h). */
#include "daemon/registry/consul/watch.h"

#include <stdio.h>
#include <utlist.h>

#include "daemon/registry/consul/consul.h"
#include "daemon/registry/consul/document.h"

enum {
    SERVICE_MAX = 16 << 20, /* bytes of one answer */
    READS_SPARE = 16,       /* calls beyond the slots, for reads that do not block */
};
#define SPREAD_EACH     (20 * USEC_PER_MSEC) /* a watch, when many start again */
#define DENIED_RETRY    (60 * USEC_PER_SEC)
#define THROTTLED_RETRY (5 * USEC_PER_SEC)
#define POLL_PERIOD     (10 * USEC_PER_SEC)   /* at least */
#define POLL_EACH       (100 * USEC_PER_MSEC) /* a polled watch: ten reads a second in all */
#define ABSENT_RECHECK  (30 * USEC_PER_SEC)   /* where the catalogue tells nothing */
#define QUERY_TTL       (10 * USEC_PER_SEC)
#define STATIC_TTL      (3600 * USEC_PER_SEC)
#define ASK_AGAIN       USEC_PER_SEC          /* of a key that failed, for who asks for it */
#define UNUSED_TIME     (1200 * USEC_PER_SEC) /* the core refreshes what is used more often */

enum watch_state {
    WATCH_RESTING, /* until something happens */
    WATCH_PLANNED, /* the timer is set */
    WATCH_QUEUED,
    WATCH_READING, /* a call is open that answers at once */
    WATCH_PARKED,  /* a blocking call is open */
};

struct consul_watch {
    struct consul_watches *watches;
    enum consul_kind kind;
    enum watch_state state;
    struct consul_call call;
    struct env_timer timer;
    usec_t planned;
    struct consul_pace pace;
    uint64_t index;
    struct endpoint_set *endpoints; /* reported last as data; NULL: none was, or absent */
    bool owed;                      /* a report is due, with or without news: want, refresh */
    bool confirmed;                 /* what was reported holds until lost */
    bool absent, suspect;
    bool parks;                      /* holds a slot for a blocking query */
    usec_t used_at;                  /* want, refresh */
    char reason[CONSUL_REASON_SIZE]; /* why an instance was skipped, as logged */
    UT_hash_handle hh;
    struct consul_watch *prev, *next; /* of the queue */
    char key[];
};

static struct consul *consul_of(const struct consul_watch *watch)
{
    return watch->watches->consul;
}

static struct registry_env *env_of(const struct consul_watch *watch)
{
    return consul_of(watch)->registry.env;
}

/* ---- planning ---- */

/* Moves the watch to where nothing is open and nothing is set. */
static void watch_rest(struct consul_watch *watch)
{
    env_timer_off(env_of(watch), &watch->timer);
    consul_call_cancel(&watch->call);
    if (watch->state == WATCH_QUEUED)
        DL_DELETE(watch->watches->queue, watch);
    watch->state = WATCH_RESTING;
}

static void watch_plan(struct consul_watch *watch, usec_t delay)
{
    watch_rest(watch);
    watch->planned = usec_add(env_now(env_of(watch)), delay);
    watch->state = WATCH_PLANNED;
    env_timer_set(env_of(watch), &watch->timer, watch->planned);
}

/* Reads again from the start. */
static void watch_restart(struct consul_watch *watch, usec_t delay)
{
    watch->index = 0;
    watch_plan(watch, delay);
}

/* May a call be opened that does not block? Blocking ones have their slots. */
static bool reads_free(struct consul_watches *watches)
{
    struct consul_agents *agents = &watches->consul->agents;

    return consul_agents_open(agents) < consul_agents_limit(agents) + READS_SPARE;
}

/* Lets the next watch of the queue have the place of a call that ended. */
static void queue_run(struct consul_watches *watches)
{
    if (watches->queue && reads_free(watches))
        watch_plan(watches->queue, 0);
}

/* ---- slots for blocking queries ---- */

static void slot_release(struct consul_watch *watch)
{
    watch->watches->parking -= watch->parks;
    watch->parks = false;
}

/* Of the watches that hold a slot, the one that nobody has asked for in a long time; or NULL. */
static struct consul_watch *find_unused(struct consul_watches *watches, usec_t now)
{
    struct consul_watch *watch, *found = NULL;

    for (watch = watches->table; watch; watch = watch->hh.next)
        if (watch->parks && now - watch->used_at > UNUSED_TIME &&
            (!found || watch->used_at < found->used_at))
            found = watch;
    return found;
}

static usec_t poll_period(const struct consul_watches *watches)
{
    usec_t all = (HASH_COUNT(watches->table) - watches->parking) * POLL_EACH;

    return all > POLL_PERIOD ? all : POLL_PERIOD;
}

/* Takes a slot if there is one, gives one back if there are too many. `asked`: somebody waits. */
static void slot_settle(struct consul_watch *watch, bool asked)
{
    struct consul_watches *watches = watch->watches;
    unsigned limit = consul_agents_limit(&watches->consul->agents);
    struct consul_watch *unused;

    if (watch->kind == CONSUL_QUERY || (watch->parks && watches->parking > limit)) {
        slot_release(watch);
        return;
    }
    if (!watch->parks && watches->parking >= limit && asked) {
        unused = find_unused(watches, env_now(env_of(watch)));
        if (unused) {
            slot_release(unused);
            watch_restart(unused, poll_period(watches));
        }
    }
    if (!watch->parks && watches->parking < limit) {
        watch->parks = true;
        watches->parking++;
    }
}

void consul_watches_shrink(struct consul_watches *watches)
{
    unsigned limit = consul_agents_limit(&watches->consul->agents);
    struct consul_watch *watch;

    for (watch = watches->table; watch && watches->parking > limit; watch = watch->hh.next)
        if (watch->parks && watch->state == WATCH_PARKED) {
            slot_release(watch);
            watch_restart(watch, poll_period(watches));
        }
}

/* ---- reports: each the last step of its way, since the core may drop the watch on hearing it ----
 */

static void report_data(struct consul_watch *watch, struct endpoint_set *set, usec_t validity)
{
    watch->owed = watch->absent = watch->suspect = false;
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
    return env_jitter(env_of(watch), delay > least ? delay : least, 20);
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
        watch_restart(watch, 0);
        return;
    }
    watch_restart(watch, delay);
    log_failure(watch, answer, delay);
    report_failed(watch, answer->failure, answer->text,
                  answer->failure == FAILURE_TRANSIENT ? 0 : delay);
}

static void watch_failed_text(struct consul_watch *watch, enum registry_failure failure,
                              const char *text)
{
    struct consul_answer answer = {.verdict = CONSUL_FAILED, .failure = failure};

    snprintf(answer.text, sizeof(answer.text), "%s", text);
    watch_failed(watch, &answer);
}

/* ---- answers ---- */

/* No instance, or no node of this name. */
static void watch_absent(struct consul_watch *watch, enum consul_presence presence)
{
    bool told = presence == CONSUL_MISSING;

    slot_release(watch);
    watch->index = 0;
    watch_rest(watch);
    if (told && watch->absent && watch->confirmed && !watch->owed)
        return;
    if (!told && watch->kind != CONSUL_QUERY)
        watch_plan(watch, env_jitter(env_of(watch), ABSENT_RECHECK, 20));
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
    usec_t validity = REPORT_UNTIL_LOST, period = poll_period(watch->watches);

    slot_settle(watch, watch->owed);
    if (watch->kind == CONSUL_QUERY) {
        validity = document->ttl > 0 ? document->ttl : QUERY_TTL;
    } else if (watch->parks) {
        watch_plan(watch, 0);
    } else {
        validity = 2 * period + POLL_PERIOD;
        watch_plan(watch, env_jitter(env_of(watch), period, 10));
    }
    if (news || watch->owed || !watch->confirmed || validity != REPORT_UNTIL_LOST)
        report_data(watch, document->endpoints, validity);
}

static void watch_filtered(struct consul_watch *watch)
{
    if (!watch->endpoints || watch->endpoints->count == 0) {
        watch_failed_text(watch, FAILURE_DENIED, "the token's rights hide all instances");
        return;
    }
    slot_settle(watch, false);
    watch_plan(watch, watch->parks ? 0 : poll_period(watch->watches));
    if (!watch->suspect || watch->owed)
        report_suspect(watch, "the token's rights hide all instances");
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
    enum consul_presence presence;
    struct consul_key key;
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
    if (watch->kind != CONSUL_SERVICE || document.entries > 0) {
        if (r == -ENOENT)
            watch_absent(watch, CONSUL_UNTOLD);
        else
            watch_data(watch, &document, news);
        return;
    }
    presence = consul_catalogue_find(&consul_of(watch)->catalogue, &key);
    if (answer->filtered)
        watch_filtered(watch);
    else if (presence == CONSUL_PRESENT)
        watch_data(watch, &document, news);
    else
        watch_absent(watch, presence);
}

static void watch_done(struct consul_call *call, const struct consul_answer *answer)
{
    struct consul_watch *watch = call->owner;

    watch->state = WATCH_RESTING;
    queue_run(watch->watches);
    if (answer->verdict == CONSUL_ANSWERED)
        watch_answered(watch, answer);
    else if (answer->verdict == CONSUL_NOT_FOUND && watch->kind == CONSUL_QUERY)
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

    if (!blocks && !reads_free(watch->watches)) {
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
                                            .attempt = watch->pace.failures,
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
    if (presence == CONSUL_MISSING && (!watch->endpoints || watch->endpoints->count == 0))
        watch_absent(watch, presence);
    else if (wait > 0)
        watch_plan(watch, wait);
    else
        watch_ask(watch, &key);
}

/* ---- verbs ---- */

static struct consul_watch *watch_find(struct consul_watches *watches, const char *key)
{
    struct consul_watch *watch;

    HASH_FIND_STR(watches->table, key, watch);
    return watch;
}

static struct consul_watch *watch_new(struct consul_watches *watches, const char *text,
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

static void watch_free(struct consul_watch *watch)
{
    struct consul_watches *watches = watch->watches;

    watch_rest(watch);
    slot_release(watch);
    endpoint_set_unref(watch->endpoints);
    HASH_DEL(watches->table, watch);
    free(watch);
    queue_run(watches);
}

int consul_watch_want(struct consul_watches *watches, const char *text)
{
    struct consul_watch *watch = watch_find(watches, text);
    struct consul_key key;

    if (!watch) {
        if (consul_key_parse(text, &key) < 0)
            return -EINVAL;
        watch = watch_new(watches, text, key.kind);
        if (!watch)
            return -ENOMEM;
        watch->owed = true;
        watch_plan(watch, 0);
    }
    watch->used_at = env_now(watches->consul->registry.env);
    return 0;
}

int consul_watch_refresh(struct consul_watches *watches, const char *text)
{
    struct consul_watch *watch = watch_find(watches, text);
    usec_t now = env_now(watches->consul->registry.env), earliest = 0;

    if (!watch)
        return -ENOENT;
    watch->used_at = now;
    watch->owed = true;
    if (watch->state == WATCH_READING || watch->state == WATCH_QUEUED)
        return 0;
    if (watch->pace.failures > 0 && now < watch->call.since + ASK_AGAIN)
        earliest = watch->call.since + ASK_AGAIN - now;
    if (watch->state != WATCH_PLANNED || watch->planned > now + earliest)
        watch_restart(watch, earliest);
    return 0;
}

void consul_watch_drop(struct consul_watches *watches, const char *key)
{
    struct consul_watch *watch = watch_find(watches, key);

    if (watch)
        watch_free(watch);
}

/* ---- events that concern many; none reports, so the table stands still ---- */

static usec_t spread(struct consul_watches *watches)
{
    return env_random(watches->consul->registry.env) % (HASH_COUNT(watches->table) * SPREAD_EACH);
}

void consul_watches_retry(struct consul_watches *watches)
{
    struct consul_watch *watch;

    for (watch = watches->table; watch; watch = watch->hh.next) {
        watch->confirmed = false;
        watch->pace.failures = 0;
        watch_restart(watch, watch->owed ? 0 : spread(watches));
    }
}

void consul_watches_agent_failed(struct consul_watches *watches, unsigned agent)
{
    struct consul_watch *watch;

    for (watch = watches->table; watch; watch = watch->hh.next)
        if (watch->call.http && watch->call.agent == agent) {
            watch->confirmed = false;
            watch_restart(watch, watch->owed ? 0 : spread(watches));
        }
}

void consul_watches_came_up(struct consul_watches *watches)
{
    struct consul_watch *watch;

    /* The catalogue speaks for absent services, once it was read. */
    for (watch = watches->table; watch; watch = watch->hh.next)
        if (watch->state == WATCH_RESTING && (!watch->absent || watch->kind != CONSUL_SERVICE))
            watch_restart(watch, watch->owed ? 0 : spread(watches));
}

void consul_watches_went_down(struct consul_watches *watches)
{
    struct consul_watch *watch;

    for (watch = watches->table; watch; watch = watch->hh.next) {
        watch->confirmed = false;
        watch->index = 0;
        watch->pace.failures = 0;
        if (watch->owed)
            watch_plan(watch, 0);
        else if (watch->kind != CONSUL_ADDR)
            watch_rest(watch);
    }
}

/* Does what the catalogue says now change anything for a service that was reported absent? */
static bool absence_moves(const struct consul_watch *watch, enum consul_presence presence)
{
    switch (presence) {
    case CONSUL_PRESENT:
        return true;
    case CONSUL_MISSING:
        return !watch->confirmed;
    default:
        return watch->confirmed || watch->state == WATCH_RESTING;
    }
}

void consul_watches_catalogue_changed(struct consul_watches *watches)
{
    struct consul_watch *watch;
    struct consul_key key;

    for (watch = watches->table; watch; watch = watch->hh.next) {
        enum consul_presence presence;

        if (watch->kind != CONSUL_SERVICE || (watch->endpoints && watch->endpoints->count > 0))
            continue;
        consul_key_parse(watch->key, &key);
        presence = consul_catalogue_find(&watches->consul->catalogue, &key);
        if (watch->endpoints ? presence == CONSUL_MISSING
                             : watch->absent && absence_moves(watch, presence))
            watch_restart(watch, 0);
    }
}

void consul_watches_datacenter_known(struct consul_watches *watches)
{
    struct consul_watch *watch;

    for (watch = watches->table; watch; watch = watch->hh.next)
        if (!watch->absent && (watch->kind == CONSUL_QUERY || strchr(watch->key, '?')) &&
            (watch->state == WATCH_PARKED || watch->endpoints))
            watch_restart(watch, 0);
}

void consul_watches_init(struct consul_watches *watches, struct consul *consul)
{
    *watches = (struct consul_watches){
        .consul = consul,
        .log_limit = {.interval = 60 * USEC_PER_SEC, .burst = 5},
    };
}

void consul_watches_done(struct consul_watches *watches)
{
    struct consul_watch *watch, *next;

    HASH_ITER (hh, watches->table, watch, next)
        watch_free(watch);
}

void consul_watches_describe(const struct consul_watches *watches, json_t *object)
{
    int parked = 0, polled = 0, absent = 0, failing = 0;
    const struct consul_watch *watch;

    for (watch = watches->table; watch; watch = watch->hh.next) {
        if (watch->absent)
            absent++;
        else if (watch->pace.failures > 0)
            failing++;
        else if (watch->parks)
            parked++;
        else
            polled++;
    }
    json_object_set_new(object, "watches",
                        json_pack("{s:i, s:i, s:i, s:i}", "parked", parked, "polled", polled,
                                  "absent", absent, "failing", failing));
}
