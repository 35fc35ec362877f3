/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where we are: the own datacentre and the zone of this host, from the agent (/v1/agent/self) and
 * the entry of its node. Best effort: both need rights that a token need not have.
 */
#pragma once

#include "daemon/registry/consul/call.h"
#include "daemon/registry/consul/document.h"

struct consul_locality {
    struct consul_call call;
    struct consul_place place;
    bool asking_node; /* the second of the two questions */
    bool known;
};

void consul_locality_init(struct consul_locality *locality, struct consul *consul);
void consul_locality_done(struct consul_locality *locality);
/* Asks unless it is known. */
void consul_locality_ask(struct consul_locality *locality);
