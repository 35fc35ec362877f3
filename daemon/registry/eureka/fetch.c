/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One fetch from a Eureka server (fetch.h). */
#include "daemon/registry/eureka/fetch.h"

#include <stdarg.h>
#include <stdio.h>

#include "daemon/log.h"
#include "daemon/registry/eureka/eureka.h"

enum { URL_MAX = 2048 };
#define CONNECT_TIMEOUT (5 * USEC_PER_SEC)
#define DELTA_TIMEOUT   (8 * USEC_PER_SEC)
#define SILENCE_TIMEOUT (8 * USEC_PER_SEC)
#define FULL_TIMEOUT    (60 * USEC_PER_SEC)
#define BODY_MAX        ((size_t)512 << 20) /* it is never held; 300,000 instances */

static struct registry_env *env_of(const struct eureka_fetch *fetch)
{
    return fetch->eureka->registry.env;
}

/* ---- what arrives ---- */

static int take_instance(void *owner, struct eureka_instance *instance, const char *why)
{
    struct eureka_fetch *fetch = owner;
    char key[128];
    bool news;
    int r;

    snprintf(key, sizeof(key), "%.100s", instance->key);
    r = eureka_applications_put(&fetch->eureka->applications, instance, &news);
    if (r == 0 && news && why && fetch->unreachable++ == 0)
        env_log(env_of(fetch), LOG_WARNING, NULL, "instance %s cannot be handed out: %s", key, why);
    return r;
}

static int on_head(void *userdata, const struct http_response *response)
{
    struct eureka_fetch *fetch = userdata;
    const char *date = http_response_header(response, "Date");
    uint64_t seconds;

    if (date && eureka_date_from_string(date, &seconds) == 0)
        eureka_cadence_note(&eureka_servers_current(&fetch->eureka->servers)->cadence, seconds,
                            fetch->sent, env_now(env_of(fetch)));
    return response->status == 200 ? 0 : -EPROTO;
}

static int on_body(void *userdata, const char *data, size_t size)
{
    struct eureka_fetch *fetch = userdata;

    fetch->error = eureka_document_feed(&fetch->document, data, size);
    return fetch->error;
}

/* ---- what it means ---- */

static void _printf_(3, 4)
    failed(struct eureka_result *result, enum registry_failure failure, const char *format, ...)
{
    va_list arguments;

    result->verdict = EUREKA_FAILED;
    result->failure = failure;
    va_start(arguments, format);
    vsnprintf(result->text, sizeof(result->text), format, arguments);
    va_end(arguments);
}

static void judge_document(struct eureka_fetch *fetch, struct eureka_result *result)
{
    int r = fetch->error ?: eureka_document_finish(&fetch->document);

    if (r == -ENOMEM)
        failed(result, FAILURE_TRANSIENT, "no memory");
    else if (r == -E2BIG)
        failed(result, FAILURE_TRANSIENT, "an application of more than 32 MiB");
    else if (r < 0)
        failed(result, FAILURE_TRANSIENT, "the answer is no list of applications in JSON");
}

/* Of a delta, 403 means "not here", and 404 too; of all applications, that the server is not ready
 * to serve, or that it refuses us. */
static void judge_status(struct eureka_fetch *fetch, const struct http_response *response,
                         struct eureka_result *result)
{
    const char *after = http_response_header(response, "Retry-After");
    int status = response->status;

    if (status == 401 || status == 403)
        failed(result, FAILURE_DENIED, "HTTP %d", status);
    else if (status == 429 || status == 503)
        failed(result, FAILURE_THROTTLED, "HTTP %d", status);
    else if (status == 404)
        failed(result, FAILURE_CONFIG,
               "HTTP 404: URL= has to end where apps begins, often /eureka");
    else if (status >= 500)
        failed(result, FAILURE_TRANSIENT, "HTTP %d", status);
    else
        failed(result, FAILURE_CONFIG, "HTTP %d", status);
    if (status == 401)
        result->new_credentials = eureka_credentials_read(&fetch->eureka->credentials);
    if (after && after[0] >= '0' && after[0] <= '9' && strlen(after) < 6)
        result->retry_after = strtoul(after, NULL, 10) * USEC_PER_SEC;
    if (fetch->delta && (status == 403 || status == 404))
        result->verdict = EUREKA_NO_DELTA;
}

static void judge(struct eureka_fetch *fetch, enum http_outcome outcome,
                  const struct http_response *response, const char *text,
                  struct eureka_result *result)
{
    bool broken = fetch->error == -EBADMSG || fetch->error == -E2BIG;

    if (response->status != 0 && response->status != 200)
        judge_status(fetch, response, result);
    else if (outcome == HTTP_DONE || fetch->error)
        judge_document(fetch, result);
    else
        failed(result, outcome == HTTP_TLS ? FAILURE_CONFIG : FAILURE_TRANSIENT, "%s: %.200s",
               http_outcome_to_string(outcome), text);
    /* A delta that cannot be read says nothing against the server itself. */
    if (fetch->delta && result->verdict == EUREKA_FAILED && (outcome == HTTP_DONE || broken) &&
        response->status == 200)
        result->verdict = EUREKA_NO_DELTA;
}

static void on_done(void *userdata, enum http_outcome outcome, const struct http_response *response,
                    const char *body, size_t size, const char *text)
{
    struct eureka_fetch *fetch = userdata;
    struct eureka_document document;
    struct eureka_result result = {.delta = fetch->delta};

    (void)body;
    (void)size;
    fetch->http = NULL;
    judge(fetch, outcome, response, text, &result);
    document = fetch->document; /* done() may begin the next one */
    result.document = &document;
    eureka_document_done(&fetch->document);
    fetch->done(fetch->eureka, &result);
}

static const struct http_handler fetch_handler = {
    .on_head = on_head,
    .on_body = on_body,
    .on_done = on_done,
};

/* ---- asking ---- */

static int make_url(const struct eureka_fetch *fetch, char ret_url[static URL_MAX])
{
    const struct eureka *eureka = fetch->eureka;
    char *const *regions = eureka_settings_of(eureka->registry.config)->remote_regions;
    int at = snprintf(ret_url, URL_MAX, "%s/apps%s", eureka_servers_current(&eureka->servers)->url,
                      fetch->delta ? "/delta" : "");

    for (size_t i = 0; regions && regions[i] && at < URL_MAX; i++)
        at += snprintf(ret_url + at, (size_t)(URL_MAX - at), "%s%s", i == 0 ? "?regions=" : ",",
                       regions[i]);
    return at < URL_MAX ? 0 : -ENAMETOOLONG;
}

static struct eureka_document_rules make_rules(const struct registry_config *config)
{
    const struct eureka_settings *settings = eureka_settings_of(config);

    return (struct eureka_document_rules){
        .config = config,
        .loopback = server_urls_are_local(eureka_settings_urls(settings)),
        .public_address = settings->address == EUREKA_ADDRESS_PUBLIC,
    };
}

int eureka_fetch_start(struct eureka_fetch *fetch, bool delta)
{
    /* Servers answer in XML to who does not ask for JSON. Where they limit clients, it is those
     * that do not say that they are the usual one. */
    static const struct http_header headers[] = {
        {"Accept", "application/json"},
        {"DiscoveryIdentity-Name", "DefaultClient"},
        {"DiscoveryIdentity-Version", "1.4"},
    };
    struct eureka *eureka = fetch->eureka;
    struct http_tls tls = server_tls_for_call(&eureka_settings_of(eureka->registry.config)->tls);
    struct eureka_document_rules rules = make_rules(eureka->registry.config);
    char url[URL_MAX];
    int r;

    fetch->delta = delta;
    r = make_url(fetch, url);
    if (r < 0)
        return r;
    r = env_http_start(env_of(fetch),
                       &(struct http_request){
                           .url = url,
                           .headers = headers,
                           .header_count = ELEMENTS(headers),
                           .username = eureka->credentials.user,
                           .password = eureka->credentials.password,
                           .tls = &tls,
                           .connect_timeout = CONNECT_TIMEOUT,
                           .timeout = delta ? DELTA_TIMEOUT : FULL_TIMEOUT,
                           .silence_timeout = SILENCE_TIMEOUT,
                           .max_body = BODY_MAX,
                           .handler = &fetch_handler,
                           .userdata = fetch,
                       },
                       &fetch->http);
    if (r < 0)
        return r;
    eureka_document_init(&fetch->document, &rules, take_instance, fetch);
    if (!delta)
        eureka_applications_begin(&eureka->applications);
    fetch->error = 0;
    fetch->unreachable = 0;
    fetch->sent = env_now(env_of(fetch));
    return 0;
}

void eureka_fetch_init(struct eureka_fetch *fetch, struct eureka *eureka,
                       void (*done)(struct eureka *eureka, const struct eureka_result *result))
{
    *fetch = (struct eureka_fetch){.eureka = eureka, .done = done};
}

void eureka_fetch_cancel(struct eureka_fetch *fetch)
{
    if (!fetch->http)
        return;
    env_of(fetch)->ops->http_cancel(env_of(fetch), fetch->http);
    fetch->http = NULL;
    eureka_document_done(&fetch->document);
}
