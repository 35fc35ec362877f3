/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The road to the service (calls.h). */
#include "daemon/registry/cloudmap/calls.h"

#include <stdio.h>
#include <strings.h>
#include <utlist.h>

#include "daemon/config.h"
#include "daemon/registry/cloudmap/cloudmap.h"
#include "daemon/registry/cloudmap/document.h"
#include "daemon/registry/cloudmap/grant.h"

#define CALL_TIMEOUT  (10 * USEC_PER_SEC)
#define PAUSE_FIRST   (500 * USEC_PER_MSEC)
#define PAUSE_MAX     (20 * USEC_PER_SEC)
#define PAUSE_SHORT   USEC_PER_SEC /* calls wait for the end of such a pause; else they fail */
#define SKEW_NOTED    ((int64_t)(60 * USEC_PER_SEC))
#define CONTENT_TYPE  "application/x-amz-json-1.1"
#define SIGNING_NAME  "servicediscovery"
#define TARGET_PREFIX "Route53AutoNaming_v20170314."

enum {
    OPEN_MAX = 16,         /* calls under way at one time */
    ATTEMPTS_MAX = 2,      /* of one call, beyond the first */
    FAILURES_DOWN = 3,     /* in a row */
    ANSWER_MAX = 16 << 20, /* 1,000 instances of 5,000 characters of attributes, and room */
    URL_MAX = 512,
};

static const char *const operation_names[] = {
    [CLOUDMAP_DISCOVER] = "DiscoverInstances",
    [CLOUDMAP_REVISION] = "DiscoverInstancesRevision",
    [CLOUDMAP_LIST_NAMESPACES] = "ListNamespaces",
};

static struct registry_env *env_of(const struct cloudmap_calls *calls)
{
    return calls->cloudmap->registry.env;
}

static void unqueue(struct cloudmap_calls *calls, struct cloudmap_call *call)
{
    if (call->urgent)
        DL_DELETE(calls->urgent, call);
    else
        DL_DELETE(calls->polls, call);
}

static void queue(struct cloudmap_calls *calls, struct cloudmap_call *call)
{
    if (call->urgent)
        DL_APPEND(calls->urgent, call);
    else
        DL_APPEND(calls->polls, call);
}

/* ---- ends ---- */

/* The call is closed before its owner hears of it: it may start the next. */
static void finish(struct cloudmap_call *call, const struct cloudmap_answer *answer)
{
    free(call->body);
    call->body = NULL;
    call->done(call, answer);
}

static void fail_call(struct cloudmap_call *call, enum registry_failure failure, usec_t retry_after,
                      const char *text)
{
    struct cloudmap_answer answer = {
        .verdict = CLOUDMAP_FAILED, .failure = failure, .retry_after = retry_after, .body = ""};

    snprintf(answer.text, sizeof(answer.text), "%s", text);
    finish(call, &answer);
}

static struct cloudmap_call *find_doomed(struct cloudmap_calls *calls)
{
    struct cloudmap_call *call;

    DL_SEARCH_SCALAR(calls->urgent, call, doomed, true);
    if (!call)
        DL_SEARCH_SCALAR(calls->polls, call, doomed, true);
    return call;
}

/* Those that are queued now: who hears of it may queue others, and cancel or hurry any. */
static void fail_queued(struct cloudmap_calls *calls, enum registry_failure failure,
                        usec_t retry_after, const char *text)
{
    struct cloudmap_call *call;
    char copy[320];

    snprintf(copy, sizeof(copy), "%s", text);
    DL_FOREACH (calls->urgent, call)
        call->doomed = true;
    DL_FOREACH (calls->polls, call)
        call->doomed = true;
    while ((call = find_doomed(calls))) {
        unqueue(calls, call);
        call->doomed = false;
        fail_call(call, failure, retry_after, copy);
    }
}

/* ---- up, down, pauses ---- */

static void answered(struct cloudmap_calls *calls)
{
    calls->failures = calls->throttled = 0;
    calls->paused_until = 0;
    calls->down = false;
    calls->up = true;
}

/* Says what became of the registry as a whole, from the loop: who hears of it may end calls. */
static void tell(struct cloudmap_calls *calls)
{
    const struct cloudmap_credentials *credentials = &calls->cloudmap->credentials;
    bool without_keys = credentials->tried && !cloudmap_credentials_keys(credentials);

    if (without_keys && !calls->told_without_keys)
        env_report(env_of(calls), &(struct registry_report){.kind = REPORT_FAILED,
                                                            .failure = credentials->failure,
                                                            .text = credentials->text});
    calls->told_without_keys = without_keys;
    if (calls->down && !calls->told_down) {
        calls->told_down = true;
        calls->told_up = false;
        env_report(env_of(calls),
                   &(struct registry_report){.kind = REPORT_DOWN, .text = calls->text});
    } else if (calls->up && !calls->told_up) {
        bool again = calls->told_down;

        calls->told_up = true;
        calls->told_down = false;
        env_report(env_of(calls), &(struct registry_report){.kind = REPORT_UP});
        if (again)
            cloudmap_came_up(calls->cloudmap);
    }
}

/* Full jitter, so that a fleet that was refused at one time does not come back at one time. */
static void pause_calls(struct cloudmap_calls *calls, enum registry_failure failure,
                        const char *text)
{
    usec_t limit = PAUSE_FIRST << (calls->failures < 6 ? calls->failures : 6);

    calls->failures++;
    limit = limit < PAUSE_MAX ? limit : PAUSE_MAX;
    calls->paused_until = env_now(env_of(calls)) + 1 + env_random(env_of(calls)) % limit;
    calls->failure = failure;
    snprintf(calls->text, sizeof(calls->text), "%.250s", text);
}

static void service_failed(struct cloudmap_calls *calls, enum registry_failure failure,
                           const char *text)
{
    pause_calls(calls, failure, text);
    if (calls->down || calls->failures < FAILURES_DOWN || calls->throttled > 0)
        return;
    calls->down = true;
    calls->up = false;
}

static void service_throttled(struct cloudmap_calls *calls, const char *text)
{
    calls->throttles++;
    if (calls->throttled++ == 0)
        env_log(env_of(calls), LOG_NOTICE, NULL,
                "Cloud Map asks for fewer calls; backing off: %s (MaxCallsPerSec= is the budget of "
                "this host)",
                text);
    pause_calls(calls, FAILURE_THROTTLED, text);
}

/* ---- what an error means ---- */

enum meaning {
    MEANS_NO_SERVICE,
    MEANS_NO_NAMESPACE,
    MEANS_THROTTLED,
    MEANS_DENIED,
    MEANS_KEYS,
    MEANS_BROKEN,
    MEANS_OTHER
};

static enum meaning meaning_of(int status, const char *code)
{
    static const struct {
        const char *code;
        enum meaning meaning;
    } codes[] = {
        {"ServiceNotFound", MEANS_NO_SERVICE},
        {"NamespaceNotFound", MEANS_NO_NAMESPACE},
        {"RequestLimitExceeded", MEANS_THROTTLED},
        {"ThrottlingException", MEANS_THROTTLED},
        {"Throttling", MEANS_THROTTLED},
        {"TooManyRequestsException", MEANS_THROTTLED},
        {"AccessDeniedException", MEANS_DENIED},
        {"AccessDenied", MEANS_DENIED},
        {"ExpiredTokenException", MEANS_KEYS},
        {"ExpiredToken", MEANS_KEYS},
        {"UnrecognizedClientException", MEANS_KEYS},
        {"InvalidClientTokenId", MEANS_KEYS},
        {"InvalidSignatureException", MEANS_KEYS},
        {"SignatureDoesNotMatch", MEANS_KEYS},
        {"RequestExpired", MEANS_KEYS},
        {"RequestTimeTooSkewed", MEANS_KEYS},
    };

    for (size_t i = 0; i < ELEMENTS(codes); i++)
        if (streq(codes[i].code, code))
            return codes[i].meaning;
    if (status == 429)
        return MEANS_THROTTLED;
    if (status >= 500)
        return MEANS_BROKEN;
    return status == 401 || status == 403 ? MEANS_DENIED : MEANS_OTHER;
}

/* Is this machine's clock off by more than what was known? Then signatures are made for the
 * service's time from now on. */
static bool learn_skew(struct cloudmap_calls *calls, const struct http_response *response)
{
    const char *date = http_response_header(response, "Date");
    usec_t theirs, ours = env_of(calls)->ops->now_realtime(env_of(calls));
    int64_t skew;

    if (!date || cloudmap_time_from_http(date, &theirs) < 0)
        return false;
    skew = (int64_t)(theirs - ours);
    if (skew - calls->skew < SKEW_NOTED && calls->skew - skew < SKEW_NOTED)
        return false;
    calls->skew = skew;
    env_log(env_of(calls), LOG_WARNING, NULL,
            "this machine's clock is %s by %lld s; signing with Cloud Map's time",
            skew > 0 ? "slow" : "fast",
            (long long)((skew > 0 ? skew : -skew) / (int64_t)USEC_PER_SEC));
    return true;
}

static void error_text(const struct cloudmap_call *call, int status,
                       const struct cloudmap_error *error, char *ret_text, size_t size)
{
    snprintf(ret_text, size, "%s: HTTP %d%s%s%s%s", operation_names[call->operation], status,
             error->code[0] ? " " : "", error->code, error->message[0] ? ": " : "", error->message);
}

/* Puts the call back: it is worth another attempt. */
static void again(struct cloudmap_calls *calls, struct cloudmap_call *call)
{
    queue(calls, call);
    cloudmap_calls_run(calls);
}

static bool sign_again(struct cloudmap_calls *calls, struct cloudmap_call *call,
                       const struct http_response *response)
{
    if (call->signed_again)
        return false;
    if (!learn_skew(calls, response) &&
        !cloudmap_credentials_refused(&calls->cloudmap->credentials, call->generation))
        return false;
    call->signed_again = true;
    again(calls, call);
    return true;
}

static void on_refusal(struct cloudmap_calls *calls, struct cloudmap_call *call,
                       const struct http_response *response, const char *body, size_t size)
{
    struct cloudmap_answer answer = {
        .verdict = CLOUDMAP_FAILED, .body = "", .failure = FAILURE_CONFIG};
    struct cloudmap_error error;
    enum meaning meaning;

    cloudmap_document_error(body, size, http_response_header(response, "X-Amzn-ErrorType"), &error);
    error_text(call, response->status, &error, answer.text, sizeof(answer.text));
    meaning = meaning_of(response->status, error.code);
    if (meaning == MEANS_BROKEN) {
        service_failed(calls, FAILURE_TRANSIENT, answer.text);
        answer.failure = FAILURE_TRANSIENT;
    } else if (meaning == MEANS_THROTTLED) {
        service_throttled(calls, answer.text);
        answer.failure = FAILURE_THROTTLED;
    } else {
        answered(calls);
    }
    if ((meaning == MEANS_BROKEN || meaning == MEANS_THROTTLED)) {
        answer.retry_after = calls->paused_until - env_now(env_of(calls));
        if (answer.retry_after < PAUSE_SHORT && call->attempts++ < ATTEMPTS_MAX) {
            again(calls, call);
            return;
        }
    }
    if (meaning == MEANS_KEYS && sign_again(calls, call, response))
        return;
    if (meaning == MEANS_NO_SERVICE || meaning == MEANS_NO_NAMESPACE)
        answer.verdict = meaning == MEANS_NO_SERVICE ? CLOUDMAP_NO_SERVICE : CLOUDMAP_NO_NAMESPACE;
    else if (meaning == MEANS_DENIED || meaning == MEANS_KEYS)
        answer.failure = FAILURE_DENIED;
    finish(call, &answer);
}

static void on_outcome(struct cloudmap_calls *calls, struct cloudmap_call *call,
                       enum http_outcome outcome, const char *text)
{
    enum registry_failure failure = outcome == HTTP_TLS ? FAILURE_CONFIG : FAILURE_TRANSIENT;
    char why[256];
    usec_t wait;

    snprintf(why, sizeof(why), "%s: %s: %.150s", operation_names[call->operation],
             http_outcome_to_string(outcome), text);
    service_failed(calls, failure, why);
    wait = calls->paused_until - env_now(env_of(calls));
    if (wait < PAUSE_SHORT && outcome != HTTP_TOO_LARGE && call->attempts++ < ATTEMPTS_MAX)
        again(calls, call);
    else
        fail_call(call, failure, wait, why);
}

static void on_done(void *userdata, enum http_outcome outcome, const struct http_response *response,
                    const char *body, size_t size, const char *text)
{
    struct cloudmap_call *call = userdata;
    struct cloudmap_calls *calls = &call->cloudmap->calls;

    call->http = NULL;
    calls->open--;
    cloudmap_calls_run(calls);
    if (outcome != HTTP_DONE) {
        on_outcome(calls, call, outcome, text);
    } else if (response->status != 200) {
        on_refusal(calls, call, response, body, size);
    } else {
        answered(calls);
        finish(call,
               &(struct cloudmap_answer){.verdict = CLOUDMAP_ANSWERED, .body = body, .size = size});
    }
}

/* ---- sending ---- */

static int make_url(const struct cloudmap_calls *calls, enum cloudmap_operation operation,
                    char ret_url[static URL_MAX])
{
    const struct cloudmap_settings *settings = cloudmap_settings(calls->cloudmap);
    bool data = operation == CLOUDMAP_DISCOVER || operation == CLOUDMAP_REVISION;
    const char *region = cloudmap_region(calls->cloudmap), *url = settings->endpoint;

    if (!data && settings->list_endpoint)
        url = settings->list_endpoint;
    url = url ?: env_variable(env_of(calls), "AWS_ENDPOINT_URL_SERVICEDISCOVERY")
              ?: env_variable(env_of(calls), "AWS_ENDPOINT_URL");
    if (!url)
        return snprintf(ret_url, URL_MAX, "https://%sservicediscovery.%s.%s/", data ? "data-" : "",
                        region, cloudmap_region_suffix(region)) < URL_MAX
                   ? 0
                   : -EINVAL;
    if (!cloudmap_url_host(url, NULL, 0))
        return -EINVAL;
    return snprintf(ret_url, URL_MAX, "%s%s", url, url[strlen(url) - 1] == '/' ? "" : "/") < URL_MAX
               ? 0
               : -EINVAL;
}

static int start_http(struct cloudmap_calls *calls, struct cloudmap_call *call, const char *url,
                      const struct http_header *headers, size_t count)
{
    static const struct http_handler handler = {.on_done = on_done};

    return env_http_start(
        env_of(calls),
        &(struct http_request){
            .method = "POST",
            .url = url,
            .headers = headers,
            .header_count = count,
            .body = call->body,
            .body_size = strlen(call->body),
            .tls = &(struct http_tls){.ca_file = cloudmap_settings(calls->cloudmap)->ca_file},
            .timeout = CALL_TIMEOUT,
            .max_body = ANSWER_MAX,
            .multiplex = true,
            .handler = &handler,
            .userdata = call,
        },
        &call->http);
}

static int send_call(struct cloudmap_calls *calls, struct cloudmap_call *call,
                     const struct cloudmap_keys *keys)
{
    char url[URL_MAX], host[URL_MAX], date[CLOUDMAP_DATE_SIZE], target[64], *authorization = NULL;
    int r = make_url(calls, call->operation, url);

    if (r < 0 || !cloudmap_url_host(url, host, sizeof(host)))
        return -EINVAL;
    snprintf(target, sizeof(target), TARGET_PREFIX "%s", operation_names[call->operation]);
    r = cloudmap_sign(
        &(struct cloudmap_sign_request){
            .host = host,
            .content_type = CONTENT_TYPE,
            .target = target,
            .body = call->body,
            .body_size = strlen(call->body),
            .region = cloudmap_region(calls->cloudmap),
            .service = SIGNING_NAME,
            .keys = keys,
            .time = cloudmap_realtime(calls->cloudmap),
        },
        date, &authorization);
    if (r == 0)
        r = start_http(calls, call, url,
                       (const struct http_header[]){
                           {"Content-Type", CONTENT_TYPE},
                           {"X-Amz-Date", date},
                           {"X-Amz-Target", target},
                           {"Authorization", authorization},
                           {"X-Amz-Security-Token", keys->token},
                       },
                       keys->token ? 5 : 4);
    config_secret_free(authorization);
    return r;
}

/* ---- the queue ---- */

/* When the budget allows a call; polls leave half of its reserve to those that somebody waits for.
 */
static usec_t allowed_at(const struct cloudmap_calls *calls, bool urgent)
{
    unsigned per_second = cloudmap_settings(calls->cloudmap)->max_calls;
    usec_t reserve = urgent ? USEC_PER_SEC : USEC_PER_SEC / 2;

    /* However small the budget, one call may always go when none went for as long as it takes. */
    if (per_second < 4)
        reserve = urgent ? 2 * USEC_PER_SEC : 0;
    return calls->booked_until > reserve ? calls->booked_until - reserve : 0;
}

static void book(struct cloudmap_calls *calls, usec_t now)
{
    usec_t from = calls->booked_until > now ? calls->booked_until : now;

    calls->booked_until = from + USEC_PER_SEC / cloudmap_settings(calls->cloudmap)->max_calls;
    calls->made++;
}

static void send_queued(struct cloudmap_calls *calls, const struct cloudmap_keys *keys, usec_t now)
{
    /* While the service fails one call at a time finds out whether it still does. */
    unsigned limit = calls->failures > 0 ? 1 : OPEN_MAX;
    struct cloudmap_call *call;

    while (calls->open < limit && (call = calls->urgent ?: calls->polls)) {
        usec_t at = allowed_at(calls, call->urgent);
        int r;

        if (at > now) {
            env_timer_set(env_of(calls), &calls->timer, at);
            return;
        }
        unqueue(calls, call);
        call->generation = calls->cloudmap->credentials.generation;
        r = send_call(calls, call, keys);
        if (r < 0) {
            fail_call(call, r == -EINVAL ? FAILURE_CONFIG : FAILURE_TRANSIENT, 0,
                      r == -EINVAL ? "the endpoint is no URL of the form http[s]://HOST[:PORT]"
                                   : "a call cannot be made");
            continue;
        }
        calls->open++;
        book(calls, now);
    }
}

/* True: the queue has to wait for a pause, or was failed for it. */
static bool is_paused(struct cloudmap_calls *calls, usec_t now)
{
    char text[320];

    if (calls->paused_until <= now)
        return false;
    env_timer_set(env_of(calls), &calls->timer, calls->paused_until);
    if (calls->paused_until - now >= PAUSE_SHORT) {
        snprintf(text, sizeof(text), "backing off after %s", calls->text);
        fail_queued(calls, calls->failure, calls->paused_until - now, text);
    }
    return true;
}

static void on_timer(struct env_timer *timer)
{
    struct cloudmap_calls *calls = timer->owner;
    struct cloudmap *cloudmap = calls->cloudmap;
    struct cloudmap_credentials *credentials = &cloudmap->credentials;
    usec_t now = env_now(env_of(calls));

    tell(calls);
    if ((!calls->urgent && !calls->polls) || is_paused(calls, now))
        return;
    if (!cloudmap_region(cloudmap)) {
        if (cloudmap_locality_need(&cloudmap->locality) < 0)
            fail_queued(calls, FAILURE_CONFIG, 0, cloudmap->locality.text);
        return;
    }
    cloudmap_credentials_need(credentials);
    if (cloudmap_credentials_keys(credentials) && !(credentials->fetching && credentials->refused))
        send_queued(calls, cloudmap_credentials_keys(credentials), now);
    else if (!credentials->fetching)
        fail_queued(calls, credentials->failure, 0, credentials->text);
}

void cloudmap_calls_run(struct cloudmap_calls *calls)
{
    env_defer(env_of(calls), &calls->timer);
}

void cloudmap_calls_kick(struct cloudmap_calls *calls)
{
    calls->paused_until = 0;
    cloudmap_calls_run(calls);
}

/* ---- one call ---- */

int cloudmap_call_start(struct cloudmap_call *call, enum cloudmap_operation operation, char *body,
                        bool urgent)
{
    if (!body || call->body) {
        free(body);
        return body ? -EBUSY : -ENOMEM;
    }
    call->operation = operation;
    call->body = body;
    call->urgent = urgent;
    call->attempts = 0;
    call->signed_again = call->doomed = false;
    queue(&call->cloudmap->calls, call);
    cloudmap_calls_run(&call->cloudmap->calls);
    return 0;
}

void cloudmap_call_cancel(struct cloudmap_call *call)
{
    struct cloudmap_calls *calls;

    if (!call->body)
        return;
    calls = &call->cloudmap->calls;
    if (call->http) {
        env_of(calls)->ops->http_cancel(env_of(calls), call->http);
        call->http = NULL;
        calls->open--;
        cloudmap_calls_run(calls);
    } else {
        unqueue(calls, call);
    }
    free(call->body);
    call->body = NULL;
}

bool cloudmap_call_is_open(const struct cloudmap_call *call)
{
    return call->body;
}

void cloudmap_call_hurry(struct cloudmap_call *call)
{
    if (!call->body || call->http || call->urgent)
        return;
    unqueue(&call->cloudmap->calls, call);
    call->urgent = true;
    queue(&call->cloudmap->calls, call);
    cloudmap_calls_run(&call->cloudmap->calls);
}

void cloudmap_calls_describe(const struct cloudmap_calls *calls, json_t *object)
{
    char url[URL_MAX];

    if (cloudmap_region(calls->cloudmap) && make_url(calls, CLOUDMAP_DISCOVER, url) == 0)
        json_object_set_new(object, "endpoint", json_string(url));
    json_object_set_new(object, "calls", json_integer((json_int_t)calls->made));
    json_object_set_new(object, "throttled", json_integer((json_int_t)calls->throttles));
    json_object_set_new(object, "clock-skew-seconds",
                        json_integer(calls->skew / (int64_t)USEC_PER_SEC));
}

void cloudmap_calls_init(struct cloudmap_calls *calls, struct cloudmap *cloudmap)
{
    *calls = (struct cloudmap_calls){.cloudmap = cloudmap};
    calls->timer = (struct env_timer){.fire = on_timer, .owner = calls};
}

void cloudmap_calls_done(struct cloudmap_calls *calls)
{
    env_timer_off(env_of(calls), &calls->timer);
}
