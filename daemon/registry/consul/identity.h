/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which cluster answers: its data centre, and the trust domain of its certificate authority (a UUID
 * that a cluster makes once, told to everybody). Asked once the agent said where we are
 * (locality.h), reported when both are known. Best effort: a token may not read the agent, and a
 * cluster without Connect has no trust domain; these are not told from another cluster.
 */
#pragma once

#include "daemon/registry/consul/call.h"
#include "nss-sd/name.h"

struct consul_identity {
    struct consul_call call;
    char trust_domain[NAME_SIZE]; /* "": not known */
    char told[2 * NAME_SIZE];     /* as reported */
};

void consul_identity_init(struct consul_identity *identity, struct consul *consul);
void consul_identity_done(struct consul_identity *identity);
void consul_identity_ask(struct consul_identity *identity);
/* The data centre is known (by another part): reports, if all is. */
void consul_identity_tell(struct consul_identity *identity);
