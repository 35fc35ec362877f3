/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which cluster answers: its data centre, and the trust domain of its certificate authority (a UUID
 * that a cluster makes once, told to everybody). Asked once the data centre is known, and whenever
 * the registry comes up again. Best effort: a cluster without Connect has no trust domain, and is
 * not told from another one; so after a few failures it is asked no more. It takes no room from
 * other calls, and says nothing of its agent.
 */
#pragma once

#include "daemon/registry/consul/call.h"
#include "daemon/registry/consul/pace.h"
#include "nss-sd/name.h"

struct consul_identity {
    struct consul_call call;
    struct env_timer timer;
    struct consul_pace pace;
    char told[2 * NAME_SIZE]; /* as reported */
};

void consul_identity_init(struct consul_identity *identity, struct consul *consul);
/* Asks anew, from the loop. */
void consul_identity_ask(struct consul_identity *identity);
void consul_identity_abandon(struct consul_identity *identity);
