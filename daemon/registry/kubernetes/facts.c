/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/kubernetes/facts.h"

#include <stdio.h>

#include "daemon/registry/json.h"
#include "daemon/registry/kubernetes/kubernetes.h"

enum { BODY_MAX = 1 << 20 };
#define ASK_TIMEOUT (10 * USEC_PER_SEC)
#define ASK_SPACE   (10 * USEC_PER_SEC)
#define RETRY_FIRST (5 * USEC_PER_SEC)
#define RETRY_MAX   (60 * USEC_PER_SEC)

/* One question. */
struct kubernetes_fact {
    struct kubernetes_facts *facts;
    unsigned index;
    struct kubernetes_waiter waiter;
    struct http_call *call;
    uint64_t epoch; /* of the credentials that it has */
    bool refused;
};

enum { FACT_IDENTITY, FACT_NODE };

static struct registry_env *env_of(const struct kubernetes_facts *facts)
{
    return facts->kubernetes->registry.env;
}

static void fact_free(struct kubernetes_fact *fact)
{
    if (!fact)
        return;
    fact->facts->asked[fact->index] = NULL;
    kubernetes_access_unwait(&fact->waiter);
    if (fact->call)
        env_of(fact->facts)->ops->http_cancel(env_of(fact->facts), fact->call);
    free(fact);
}

static void again_later(struct kubernetes_facts *facts)
{
    usec_t delay = RETRY_FIRST << (facts->failures < 4 ? facts->failures : 4);

    facts->failures++;
    env_timer_set(env_of(facts), &facts->again,
                  env_now(env_of(facts)) +
                      env_jitter(env_of(facts), delay < RETRY_MAX ? delay : RETRY_MAX, 30));
}

/* ---- what they say ---- */

static void identity_known(struct kubernetes_facts *facts, const json_t *object)
{
    const char *uid = registry_json_text(json_object_get(object, "metadata"), "uid");
    bool other = facts->identity[0] && !streq(facts->identity, uid);

    if (*uid == '\0' || strlen(uid) >= sizeof(facts->identity) || streq(facts->identity, uid))
        return;
    strcpy(facts->identity, uid);
    env_report(env_of(facts), &(struct registry_report){.kind = REPORT_IDENTITY, .text = uid});
    if (!other)
        return;
    kubernetes_suspect(facts->kubernetes, "the API server is another cluster's than before");
    for (unsigned i = 0; i < KUBERNETES_RESOURCES; i++)
        kubernetes_scope_relist(&facts->kubernetes->scopes[i]);
}

static bool label_take(const json_t *labels, const char *key, const char *old_key, char *ret_text)
{
    const char *text = registry_json_text(labels, key);
    char before[KUBERNETES_LABEL_SIZE];

    if (*text == '\0')
        text = registry_json_text(labels, old_key);
    strcpy(before, ret_text);
    snprintf(ret_text, KUBERNETES_LABEL_SIZE, "%s", text);
    return !streq(before, ret_text);
}

static void node_known(struct kubernetes_facts *facts, const json_t *object)
{
    const json_t *metadata = json_object_get(object, "metadata");
    const json_t *labels = json_object_get(metadata, "labels");
    const char *name = registry_json_text(metadata, "name");
    bool news = !streq(facts->node, name);

    snprintf(facts->node, sizeof(facts->node), "%s", name);
    news |= label_take(labels, "topology.kubernetes.io/zone",
                       "failure-domain.beta.kubernetes.io/zone", facts->zone);
    news |= label_take(labels, "topology.kubernetes.io/region",
                       "failure-domain.beta.kubernetes.io/region", facts->region);
    if (!news)
        return;
    kubernetes_keys_all_changed(&facts->kubernetes->keys);
    if (facts->zone[0] || facts->region[0])
        env_report(env_of(facts), &(struct registry_report){.kind = REPORT_LOCALITY,
                                                            .zone = facts->zone,
                                                            .region = facts->region});
}

/* ---- asking ---- */

static int fact_ask(struct kubernetes_facts *facts, unsigned index, bool refused);

static void fact_answered(struct kubernetes_facts *facts, unsigned index, const json_t *object)
{
    if (index == FACT_IDENTITY)
        identity_known(facts, object);
    else
        node_known(facts, object);
}

static void fact_failed(struct kubernetes_facts *facts, unsigned index, const char *text)
{
    if (index != FACT_IDENTITY)
        return;
    again_later(facts);
    kubernetes_unanswered(facts->kubernetes, text);
}

static void on_done(void *userdata, enum http_outcome outcome, const struct http_response *response,
                    const char *body, size_t size, const char *text)
{
    struct kubernetes_fact *fact = userdata;
    struct kubernetes_facts *facts = fact->facts;
    struct kubernetes_access *access = facts->kubernetes->access;
    unsigned index = fact->index;
    uint64_t epoch = fact->epoch;
    bool again = outcome == HTTP_DONE && response->status == 401 && !fact->refused;
    char words[256];

    fact->call = NULL;
    fact_free(fact);
    if (outcome == HTTP_UNREACHABLE)
        kubernetes_access_unreachable(access, epoch);
    else if (outcome == HTTP_TLS)
        kubernetes_access_untrusted(access, epoch);
    else if (outcome == HTTP_DONE && response->status == 401)
        kubernetes_access_refused(access, epoch);
    if (again && fact_ask(facts, index, true) == 0)
        return;
    if (outcome != HTTP_DONE) {
        snprintf(words, sizeof(words), "%s: %.200s", http_outcome_to_string(outcome), text);
        fact_failed(facts, index, words);
    } else if (response->status == 200) {
        json_t *object = registry_json_parse(body, size);

        facts->failures = 0;
        if (index == FACT_IDENTITY)
            kubernetes_answers(facts->kubernetes);
        fact_answered(facts, index, object);
        json_decref(object);
    } else if (response->status == 401 || response->status == 429 || response->status >= 500) {
        snprintf(words, sizeof(words), "HTTP %d", response->status);
        fact_failed(facts, index, words);
    } else if (index == FACT_IDENTITY) {
        facts->failures = 0;
        kubernetes_answers(facts->kubernetes); /* no right to know, or none there: it answers */
    }
}

static const struct http_handler handler = {.on_done = on_done};

static void path_of(const struct kubernetes_facts *facts, unsigned index, char *path, size_t size)
{
    const char *node = kubernetes_settings(facts->kubernetes)->node;
    char host[254] = "";

    if (index == FACT_IDENTITY) {
        snprintf(path, size, "/api/v1/namespaces/kube-system");
        return;
    }
    if (!node && gethostname(host, sizeof(host) - 1) == 0)
        node = host;
    snprintf(path, size, "/api/v1/nodes/%s", node ?: "");
    for (char *at = path; *at; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at - 'A' + 'a');
}

static void on_ready(struct kubernetes_waiter *waiter, int error, const char *text)
{
    struct kubernetes_fact *fact = (struct kubernetes_fact *)((char *)waiter -
                                                              offsetof(struct kubernetes_fact,
                                                                       waiter));
    struct kubernetes_facts *facts = fact->facts;
    struct http_request request = {
        .timeout = ASK_TIMEOUT, .max_body = BODY_MAX, .handler = &handler, .userdata = fact};
    unsigned index = fact->index;
    char path[320];
    int r = error;

    path_of(facts, index, path, sizeof(path));
    if (r == 0)
        r = kubernetes_access_fill(facts->kubernetes->access, path, &request);
    if (r == 0) {
        request.multiplex = true;
        fact->epoch = kubernetes_access_epoch(facts->kubernetes->access);
        r = env_http_start(env_of(facts), &request, &fact->call);
    }
    if (r < 0) {
        fact_free(fact);
        fact_failed(facts, index, error < 0 ? text : "the request cannot be made");
    }
}

static int fact_ask(struct kubernetes_facts *facts, unsigned index, bool refused)
{
    struct kubernetes_fact *fact;
    int r;

    if (facts->asked[index])
        return 0;
    fact = calloc(1, sizeof(*fact));
    if (!fact)
        return -ENOMEM;
    *fact = (struct kubernetes_fact){
        .facts = facts, .index = index, .refused = refused, .waiter = {.ready = on_ready}};
    facts->asked[index] = fact;
    r = kubernetes_access_wait(facts->kubernetes->access, &fact->waiter);
    if (r < 0)
        fact_free(fact);
    return r;
}

void kubernetes_facts_kick(struct kubernetes_facts *facts)
{
    env_timer_off(env_of(facts), &facts->again);
    facts->asked_at = env_now(env_of(facts));
    if (fact_ask(facts, FACT_IDENTITY, false) < 0 || fact_ask(facts, FACT_NODE, false) < 0)
        again_later(facts);
}

void kubernetes_facts_ask(struct kubernetes_facts *facts)
{
    if (facts->asked_at == 0 || env_now(env_of(facts)) - facts->asked_at >= ASK_SPACE)
        kubernetes_facts_kick(facts);
    else if (!facts->again.impl)
        env_timer_set(env_of(facts), &facts->again, facts->asked_at + ASK_SPACE);
}

static void on_again(struct env_timer *timer)
{
    kubernetes_facts_kick(timer->owner);
}

void kubernetes_facts_init(struct kubernetes_facts *facts, struct kubernetes *kubernetes)
{
    *facts = (struct kubernetes_facts){.kubernetes = kubernetes,
                                       .again = {.fire = on_again, .owner = facts}};
}

void kubernetes_facts_done(struct kubernetes_facts *facts)
{
    env_timer_off(env_of(facts), &facts->again);
    for (unsigned i = 0; i < KUBERNETES_FACTS; i++)
        fact_free(facts->asked[i]);
}
