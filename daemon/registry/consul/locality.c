/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where we are (locality.h). */
#include "daemon/registry/consul/locality.h"

#include <stdio.h>

#include "daemon/registry/consul/consul.h"

enum { LOCALITY_MAX = 4 << 20 };

static char *const *zone_meta_of(const struct consul_locality *locality)
{
    return consul_settings_zone_meta(consul_settings_of(locality->call.consul->registry.config));
}

static void report(struct consul_locality *locality)
{
    const struct consul_place *place = &locality->place;

    locality->known = true;
    if (place->zone[0] || place->region[0])
        env_report(locality->call.consul->registry.env,
                   &(struct registry_report){
                       .kind = REPORT_LOCALITY, .zone = place->zone, .region = place->region});
}

/* A node's name goes into the path: one that is no plain name is not asked for. */
static void ask_node(struct consul_locality *locality)
{
    static const struct consul_key here = {.kind = CONSUL_NODE};
    char path[NAME_SIZE + 32], name[NAME_SIZE];

    if (name_fold(locality->place.node, SIZE_MAX, name, NULL) == 0) {
        report(locality);
        return;
    }
    snprintf(path, sizeof(path), "/v1/catalog/node/%s", name);
    locality->asking_node = true;
    if (consul_call_start(&locality->call,
                          &(struct consul_request){
                              .path = path, .key = &here, .agent = -1, .max_body = LOCALITY_MAX}) <
        0)
        report(locality);
}

static void answered(struct consul_call *call, const struct consul_answer *answer)
{
    struct consul_locality *locality = call->owner;
    bool ok = answer->verdict == CONSUL_ANSWERED;

    if (locality->asking_node) {
        if (ok)
            consul_document_node_place(answer->body, answer->size, zone_meta_of(locality),
                                       &locality->place);
        report(locality);
        return;
    }
    if (!ok || consul_document_self(answer->body, answer->size, zone_meta_of(locality),
                                    &locality->place) < 0)
        return;
    consul_learn_datacenter(call->consul, locality->place.datacenter);
    if (locality->place.zone[0])
        report(locality);
    else
        ask_node(locality);
}

void consul_locality_init(struct consul_locality *locality, struct consul *consul)
{
    *locality = (struct consul_locality){
        .call = {.done = answered, .owner = locality, .consul = consul}};
}

void consul_locality_done(struct consul_locality *locality)
{
    consul_call_cancel(&locality->call);
}

void consul_locality_ask(struct consul_locality *locality)
{
    if (locality->known || consul_call_is_open(&locality->call))
        return;
    locality->asking_node = false;
    consul_call_start(
        &locality->call,
        &(struct consul_request){.path = "/v1/agent/self", .agent = -1, .max_body = LOCALITY_MAX});
}
