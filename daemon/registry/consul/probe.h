/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The probe: a small question to one agent now and then, so that an agent that hangs is noticed
 * although nothing but blocking calls is open, and one that came back although nothing else is
 * asked.
 *
 * Asks /v1/status/leader: the current agent, by turns with those that fail; all of them, quickly at
 * first, while the registry is down. What an answer or its lack means is for agents.c.
 */
#pragma once

#include "daemon/registry/consul/call.h"

struct consul_probe {
    struct consul_call call;
    struct env_timer timer;
    unsigned turn;
    unsigned misses; /* while down: probes in a row */
    bool doubted; /* asked for: the connections that are open may be why */
    bool has_leader, leader_known;
};

void consul_probe_init(struct consul_probe *probe, struct consul *consul);
void consul_probe_done(struct consul_probe *probe);
void consul_probe_now(struct consul_probe *probe);
/* Likewise, and gives up one that is under way: it may wait for a network that is gone. */
void consul_probe_again(struct consul_probe *probe);
