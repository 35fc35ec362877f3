/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which cluster answers (identity.h). */
#include "daemon/registry/consul/identity.h"

#include <stdio.h>

#include "daemon/registry/consul/consul.h"

/* The document holds the root certificates. */
enum { ROOTS_MAX = 1 << 20 };

void consul_identity_tell(struct consul_identity *identity)
{
    const struct consul *consul = identity->call.consul;
    const char *datacenter = consul_settings_of(consul->registry.config)->datacenter
                                 ?: consul->datacenter;
    char text[sizeof(identity->told)];

    if (!*datacenter || !*identity->trust_domain)
        return;
    snprintf(text, sizeof(text), "%s %s", datacenter, identity->trust_domain);
    if (streq(text, identity->told))
        return;
    strcpy(identity->told, text);
    env_report(consul->registry.env,
               &(struct registry_report){.kind = REPORT_IDENTITY, .text = text});
}

static void answered(struct consul_call *call, const struct consul_answer *answer)
{
    struct consul_identity *identity = call->owner;

    if (answer->verdict == CONSUL_ANSWERED &&
        consul_document_trust_domain(answer->body, answer->size, identity->trust_domain) >= 0)
        consul_identity_tell(identity);
}

void consul_identity_init(struct consul_identity *identity, struct consul *consul)
{
    *identity = (struct consul_identity){
        .call = {.done = answered, .owner = identity, .consul = consul}};
}

void consul_identity_done(struct consul_identity *identity)
{
    consul_call_cancel(&identity->call);
}

void consul_identity_ask(struct consul_identity *identity)
{
    if (consul_call_is_open(&identity->call))
        return;
    consul_call_start(&identity->call,
                      &(struct consul_request){.path = "/v1/agent/connect/ca/roots",
                                               .agent = -1,
                                               .max_body = ROOTS_MAX});
}
