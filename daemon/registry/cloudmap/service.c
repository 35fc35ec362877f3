/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One wanted key (service.h). */
#include "daemon/registry/cloudmap/service.h"

#include <stdio.h>

#include "daemon/registry/cloudmap/document.h"

#define CONFIRM_TIME (5 * USEC_PER_SEC) /* a full poll that is due has so long to be answered */
#define DENIED_WAIT  (60 * USEC_PER_SEC)

enum { SERVICE_NAME_MAX = 127 };

static struct registry_env *env_of(const struct cloudmap_service *service)
{
    return service->cloudmap->registry.env;
}

static usec_t poll_period(const struct cloudmap_service *service)
{
    return cloudmap_period(service->cloudmap, cloudmap_settings(service->cloudmap)->poll);
}

static usec_t full_period(const struct cloudmap_service *service)
{
    return cloudmap_period(service->cloudmap, cloudmap_settings(service->cloudmap)->full_poll);
}

int cloudmap_key_format(const char *name, size_t relative, const char *domain,
                        char ret_key[static REGISTRY_KEY_MAX + 1])
{
    if (relative > SERVICE_NAME_MAX)
        return -ENAMETOOLONG;
    snprintf(ret_key, REGISTRY_KEY_MAX + 1, "%.*s@%s", (int)relative, name, domain);
    return 0;
}

/* ---- the next step ---- */

static void plan(struct cloudmap_service *service, usec_t delay)
{
    usec_t now = env_now(env_of(service)), at = now + env_jitter(env_of(service), delay, 10);

    if (service->polls && service->full_at > now && service->full_at < at)
        at = service->full_at;
    env_timer_set(env_of(service), &service->timer, at);
}

static void exists(struct cloudmap_service *service, bool polls)
{
    service->cloudmap->polled += (size_t)polls - (size_t)service->polls;
    service->polls = polls;
}

static char *make_body(const struct cloudmap_service *service, bool full)
{
    const struct cloudmap_namespace *known = cloudmap_namespaces_find(
        &service->cloudmap->namespaces, service->namespace);
    const char *namespace = known ? known->http_name : service->namespace;
    json_t *body = json_pack("{s:s, s:s%}", "NamespaceName", namespace, "ServiceName", service->key,
                             (size_t)(service->namespace - 1 - service->key));
    char *text;

    if (full) {
        json_object_set_new(body, "MaxResults", json_integer(CLOUDMAP_INSTANCES_MAX));
        json_object_set_new(body, "HealthStatus", json_string("ALL"));
    }
    text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

static void ask(struct cloudmap_service *service, bool full, bool urgent)
{
    env_timer_off(env_of(service), &service->timer);
    service->full = full;
    if (cloudmap_call_start(&service->call, full ? CLOUDMAP_DISCOVER : CLOUDMAP_REVISION,
                            make_body(service, full), urgent) < 0)
        plan(service, poll_period(service));
}

void cloudmap_service_ask(struct cloudmap_service *service)
{
    service->owed = true;
    if (!service->cloudmap->namespaces.settled)
        return;
    if (!cloudmap_call_is_open(&service->call)) {
        ask(service, true, true);
    } else if (service->full) {
        cloudmap_call_hurry(&service->call);
    } else {
        /* Nobody waits for a revision where the instances are asked for anyway. */
        cloudmap_call_cancel(&service->call);
        ask(service, true, true);
    }
}

void cloudmap_service_hurry(struct cloudmap_service *service, usec_t spread)
{
    if (cloudmap_call_is_open(&service->call) || (!service->polls && !service->owed))
        return;
    service->full_at = 0;
    env_timer_set(env_of(service), &service->timer,
                  env_now(env_of(service)) + env_random(env_of(service)) % (spread + 1));
}

static void on_timer(struct env_timer *timer)
{
    struct cloudmap_service *service = timer->owner;

    service->by_poll = false;
    ask(service,
        service->cloudmap->no_revisions || service->revision < 0 ||
            service->full_at <= env_now(env_of(service)),
        service->owed);
}

/* ---- reports: the last thing that is done, who hears of it may drop the key ---- */

static void log_skipped(struct cloudmap_service *service, const struct cloudmap_document *document)
{
    if (document->skipped == 0 || (service->reason && streq(service->reason, document->reason)))
        return;
    free(service->reason);
    service->reason = strdup(document->reason);
    env_log(env_of(service), LOG_WARNING, service->key,
            "%u of %u instances are left out; the first is %s", document->skipped,
            document->entries, document->reason);
}

static void log_crowded(struct cloudmap_service *service, const struct cloudmap_document *document)
{
    bool crowded = document->entries >= CLOUDMAP_INSTANCES_MAX;

    if (crowded && !service->crowded)
        env_log(env_of(service), LOG_WARNING, service->key,
                "%u instances are as many as Cloud Map tells; if there are more, they are not used",
                document->entries);
    service->crowded = crowded;
}

static void report_failed(struct cloudmap_service *service, enum registry_failure failure,
                          usec_t retry_after, const char *text)
{
    usec_t wait = failure == FAILURE_DENIED ? DENIED_WAIT : poll_period(service);

    service->owed = false;
    if (failure == FAILURE_DENIED || failure == FAILURE_CONFIG)
        cloudmap_log_failing(service->cloudmap, service->key, text);
    /* What exists goes on being polled; what is not known is for who asks for it to ask again. */
    if (service->polls)
        plan(service, wait > retry_after ? wait : retry_after);
    env_report(env_of(service), &(struct registry_report){.kind = REPORT_FAILED,
                                                          .key = service->key,
                                                          .failure = failure,
                                                          .retry_after = retry_after,
                                                          .text = text});
}

static void report_absent(struct cloudmap_service *service)
{
    service->owed = false;
    service->revision = service->polled = -1;
    exists(service, false);
    env_report(env_of(service), &(struct registry_report){.kind = REPORT_ABSENT,
                                                          .key = service->key,
                                                          .validity = poll_period(service)});
}

static void report_data(struct cloudmap_service *service, const struct cloudmap_document *document)
{
    usec_t period;

    log_skipped(service, document);
    log_crowded(service, document);
    exists(service, true);
    period = full_period(service);
    if (!service->by_poll && document->revision != service->revision)
        service->polled = -1;
    service->revision = document->revision;
    service->owed = service->by_poll = false;
    service->full_at = env_now(env_of(service)) + env_jitter(env_of(service), period, 10);
    plan(service, poll_period(service));
    env_report(env_of(service), &(struct registry_report){.kind = REPORT_DATA,
                                                          .key = service->key,
                                                          .endpoints = document->endpoints,
                                                          .validity = period + CONFIRM_TIME});
}

/* ---- answers ---- */

static void instances_answered(struct cloudmap_service *service,
                               const struct cloudmap_answer *answer)
{
    const struct registry_config *config = service->cloudmap->registry.config;
    const struct cloudmap_document_rules rules = {
        .loopback = cloudmap_is_local(service->cloudmap),
        .allow = config->allow_addresses,
        .allow_count = config->allow_address_count,
    };
    struct cloudmap_document document;
    int r = cloudmap_document_instances(answer->body, answer->size, &rules, &document);

    if (r < 0)
        report_failed(service, FAILURE_TRANSIENT, 0,
                      r == -EBADMSG ? "the answer to DiscoverInstances is malformed"
                                    : "the answer to DiscoverInstances cannot be used");
    else
        report_data(service, &document);
    cloudmap_document_done(&document);
}

/* The revision is no number that grows: another one is news. */
static void revision_answered(struct cloudmap_service *service,
                              const struct cloudmap_answer *answer)
{
    long long revision = -1;

    if (answer->verdict == CLOUDMAP_ANSWERED)
        cloudmap_document_revision(answer->body, answer->size, &revision);
    else if (answer->failure == FAILURE_DENIED)
        cloudmap_no_revisions(service->cloudmap, answer->text);
    if (answer->verdict == CLOUDMAP_FAILED && answer->failure != FAILURE_DENIED) {
        plan(service, poll_period(service));
        return;
    }
    if (revision >= 0 && (revision == service->revision || revision == service->polled)) {
        plan(service, poll_period(service));
        return;
    }
    service->polled = revision;
    service->by_poll = true;
    ask(service, true, true);
}

static void answered(struct cloudmap_call *call, const struct cloudmap_answer *answer)
{
    struct cloudmap_service *service = call->owner;

    if (!service->full) {
        revision_answered(service, answer);
        return;
    }
    switch (answer->verdict) {
    case CLOUDMAP_ANSWERED:
        instances_answered(service, answer);
        break;
    case CLOUDMAP_NO_NAMESPACE:
        if (!cloudmap_namespaces_sure(&service->cloudmap->namespaces)) {
            report_failed(service, FAILURE_TRANSIENT, 0,
                          "the API knows no namespace of this name, and namespaces could not be "
                          "listed: it may call it otherwise");
            break;
        }
        report_absent(service);
        break;
    case CLOUDMAP_NO_SERVICE:
        report_absent(service);
        break;
    case CLOUDMAP_FAILED:
        report_failed(service, answer->failure, answer->retry_after, answer->text);
        break;
    }
}

/* ---- life ---- */

struct cloudmap_service *cloudmap_service_new(struct cloudmap *cloudmap, const char *key)
{
    const char *mark = strchr(key, '@');
    size_t size = strlen(key);
    struct cloudmap_service *service = calloc(1, sizeof(*service) + size + 1);

    if (!service || !mark) {
        free(service);
        return NULL;
    }
    service->cloudmap = cloudmap;
    service->call = (struct cloudmap_call){
        .cloudmap = cloudmap, .done = answered, .owner = service};
    service->timer = (struct env_timer){.fire = on_timer, .owner = service};
    memcpy(service->key, key, size + 1);
    service->namespace = service->key + (mark - key) + 1;
    service->revision = service->polled = -1;
    HASH_ADD_STR(cloudmap->services, key, service);
    return service;
}

void cloudmap_service_free(struct cloudmap_service *service)
{
    exists(service, false);
    HASH_DEL(service->cloudmap->services, service);
    env_timer_off(env_of(service), &service->timer);
    cloudmap_call_cancel(&service->call);
    free(service->reason);
    free(service);
}
