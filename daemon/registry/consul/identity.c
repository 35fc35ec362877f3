/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which cluster answers (identity.h). */
#include "daemon/registry/consul/identity.h"

#include <stdio.h>

#include "daemon/registry/consul/consul.h"

enum {
    ROOTS_MAX = 1 << 20, /* the document holds the root certificates */
    TRIES = 5,           /* in about three minutes: a server that starts is ready by then */
};

static const char *datacenter_of(const struct consul_identity *identity)
{
    const struct consul *consul = identity->call.consul;

    return consul_settings_of(consul->registry.config)->datacenter ?: consul->datacenter;
}

static void tell(struct consul_identity *identity, const char *trust_domain)
{
    char text[sizeof(identity->told)];

    snprintf(text, sizeof(text), "%s %s", datacenter_of(identity), trust_domain);
    if (streq(text, identity->told))
        return;
    strcpy(identity->told, text);
    env_report(identity->call.consul->registry.env,
               &(struct registry_report){.kind = REPORT_IDENTITY, .text = text});
}

static void answered(struct consul_call *call, const struct consul_answer *answer)
{
    struct consul_identity *identity = call->owner;
    struct registry_env *env = call->consul->registry.env;
    char trust_domain[NAME_SIZE];

    if (answer->verdict == CONSUL_ANSWERED &&
        consul_document_trust_domain(answer->body, answer->size, trust_domain) >= 0)
        tell(identity, trust_domain);
    else if (identity->pace.failures < TRIES)
        env_timer_set(env, &identity->timer,
                      env_now(env) + env_jitter(env, consul_pace_failed(&identity->pace), 20));
}

static void ask(struct env_timer *timer)
{
    struct consul_identity *identity = timer->owner;

    consul_call_start(&identity->call, &(struct consul_request){
                                           .path = "/v1/agent/connect/ca/roots",
                                           .attempt = identity->pace.failures,
                                           .agent = -1,
                                           .max_body = ROOTS_MAX,
                                       });
}

void consul_identity_init(struct consul_identity *identity, struct consul *consul)
{
    *identity = (struct consul_identity){
        .call = {.done = answered, .owner = identity, .consul = consul, .aside = true},
        .timer = {.fire = ask, .owner = identity},
    };
}

void consul_identity_ask(struct consul_identity *identity)
{
    consul_identity_abandon(identity);
    identity->pace.failures = 0;
    if (*datacenter_of(identity))
        env_defer(identity->call.consul->registry.env, &identity->timer);
}

void consul_identity_abandon(struct consul_identity *identity)
{
    env_timer_off(identity->call.consul->registry.env, &identity->timer);
    consul_call_cancel(&identity->call);
}
