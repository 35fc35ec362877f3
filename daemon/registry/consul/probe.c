/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The probe of agents (probe.h). */
#include "daemon/registry/consul/probe.h"

#include "daemon/registry/consul/consul.h"

enum { LEADER_MAX = 4096, DOWN_DOUBLINGS = 4 };
#define DOWN_FIRST USEC_PER_SEC

/* Every other turn belongs to the agents that fail, one after the other. */
static unsigned choose(struct consul_probe *probe)
{
    const struct consul_agents *agents = &probe->call.consul->agents;
    unsigned turn = probe->turn++;

    if (agents->up && turn % 2 == 0)
        return agents->current;
    for (unsigned i = 0; i < agents->count; i++) {
        unsigned index = ((agents->up ? turn / 2 : turn) + i) % agents->count;

        if (agents->items[index].failing)
            return index;
    }
    return agents->current;
}

static void plan(struct consul_probe *probe)
{
    struct consul *consul = probe->call.consul;
    struct registry_env *env = consul->registry.env;
    usec_t interval = consul_settings_of(consul->registry.config)->probe;

    if (!consul->agents.down) {
        probe->misses = 0;
    } else {
        if (interval > DOWN_FIRST << probe->misses)
            interval = DOWN_FIRST << probe->misses;
        probe->misses += probe->misses < DOWN_DOUBLINGS;
    }
    env_timer_set(env, &probe->timer, usec_add(env_now(env), env_jitter(env, interval, 10)));
}

static void answered(struct consul_call *call, const struct consul_answer *answer)
{
    struct consul_probe *probe = call->owner;

    probe->leader_known = answer->verdict == CONSUL_ANSWERED;
    /* A JSON string: an address, or "" while there is none. */
    probe->has_leader = probe->leader_known && answer->size > 4;
    plan(probe);
}

static void fire(struct env_timer *timer)
{
    struct consul_probe *probe = timer->owner;
    struct consul_request request = {
        .path = "/v1/status/leader",
        .agent = (int)choose(probe),
        .fresh = probe->doubted,
        .max_body = LEADER_MAX,
    };

    probe->doubted = false;
    consul_agents_retry_token(&probe->call.consul->agents);
    if (consul_call_start(&probe->call, &request) < 0)
        plan(probe);
}

void consul_probe_init(struct consul_probe *probe, struct consul *consul)
{
    *probe = (struct consul_probe){
        .call = {.done = answered, .owner = probe, .consul = consul, .probe = true},
        .timer = {.fire = fire, .owner = probe},
    };
    consul_probe_now(probe);
}

void consul_probe_done(struct consul_probe *probe)
{
    env_timer_off(probe->call.consul->registry.env, &probe->timer);
    consul_call_cancel(&probe->call);
}

void consul_probe_now(struct consul_probe *probe)
{
    if (probe->call.http)
        return;
    probe->doubted = true;
    env_defer(probe->call.consul->registry.env, &probe->timer);
}

void consul_probe_again(struct consul_probe *probe)
{
    consul_call_cancel(&probe->call);
    probe->misses = 0;
    consul_probe_now(probe);
}
