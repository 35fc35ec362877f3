/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry type `consul`: its parts in one struct, and what they tell each other.
 *
 *   names      what a name means, what a key says (pure)
 *   document   JSON to endpoints (pure), on json
 *   pace       index rules, limiter, back-off (pure)
 *   settings   the keys of the .registry file
 *   agents     whom to ask, with what token, how much at a time; up and down
 *   call       one question, and what the response means
 *   probe      does the agent live?
 *   catalogue  which services exist
 *   watches    all wanted keys, and the room for their calls
 *   watch      one of them
 *   locality   where we are
 *   identity   which cluster answers
 *
 * Everything goes over the agents' HTTP API; Consul's DNS, events and agent-local hashes are not
 * used.
 */
#pragma once

#include "daemon/registry/consul/agents.h"
#include "daemon/registry/consul/call.h"
#include "daemon/registry/consul/catalogue.h"
#include "daemon/registry/consul/document.h"
#include "daemon/registry/consul/identity.h"
#include "daemon/registry/consul/locality.h"
#include "daemon/registry/consul/probe.h"
#include "daemon/registry/consul/settings.h"
#include "daemon/registry/consul/watches.h"

struct consul {
    struct registry registry;
    struct consul_agents agents;
    struct consul_probe probe;
    struct consul_catalogue catalogue;
    struct consul_watches watches;
    struct consul_locality locality;
    struct consul_identity identity;
    char datacenter[CONSUL_PLACE_SIZE]; /* our own; "": not known yet */
};

extern const struct registry_type registry_type_consul;

/* The rules for documents as they are now; `translated` is the answer's. */
struct consul_document_rules consul_document_rules(const struct consul *consul);

/* An answer names the own datacentre; "" and what is known already are passed over. */
void consul_learn_datacenter(struct consul *consul, const char *datacenter);

/* What agents tell the others. None of these reports. */
void consul_agent_failed(struct consul *consul, unsigned agent);
void consul_went_down(struct consul *consul);
void consul_came_up(struct consul *consul);
void consul_new_token(struct consul *consul); /* all is asked again */
