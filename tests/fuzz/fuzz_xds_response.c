/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a response on a stream, state of the world or delta by the first byte. In pieces of
 * whatever size the same comes of it; it is acknowledged once; nothing is held that was not asked
 * for.
 */
#include "daemon/registry/xds/istio.h"
#include "daemon/registry/xds/message.h"
#include "tests/fuzz/xds_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct plane {
    struct xds_protocol protocol;
    struct xds_hosts hosts;
    struct xds_dependency wants[XDS_NAMES];
    struct xds_intake intake;
};

static void resource_changed(void *owner, struct xds_resource *resource)
{
    (void)owner, (void)resource;
}

static void host_changed(void *owner, const char *host)
{
    (void)owner, (void)host;
}

static void host_crowded(void *owner, const char *host)
{
    (void)owner, (void)host;
}

static void table_begin(void *owner)
{
    xds_hosts_table_begin(owner);
}

static void table_entry(void *owner, const struct xds_name_entry *entry)
{
    xds_hosts_table_entry(owner, entry);
}

static void table_finish(void *owner, bool whole)
{
    xds_hosts_table_finish(owner, whole);
}

static const struct xds_names_handler names = {table_begin, table_entry, table_finish};

/* All requests that are due are made; how many of them answer a response? */
static unsigned ask(struct plane *plane, usec_t now)
{
    static const struct xds_node node = {.id = (char *)"n"};
    struct xds_request request;
    unsigned answers = 0;

    while (xds_protocol_next(&plane->protocol, now, &request) > 0) {
        uint8_t *data;
        size_t size;

        answers += request.nonce || request.error;
        require(xds_message_encode(&request, &node, &data, &size) == 0);
        free(data);
        xds_request_done(&request);
    }
    return answers;
}

static void begin(struct plane *plane, bool delta, bool wildcard)
{
    *plane = (struct plane){
        .protocol = {.delta = delta, .resources = {.changed = resource_changed}},
        .hosts = {.changed = host_changed, .crowded = host_crowded},
        .intake = {.rules = &check_rules, .names = &names},
    };
    plane->intake.protocol = &plane->protocol;
    plane->intake.names_owner = &plane->hosts;
    plane->protocol.exchanges[XDS_CLUSTER].wildcard = wildcard;
    plane->protocol.exchanges[XDS_NAMES].wildcard = true;
    for (unsigned kind = 0; kind < XDS_NAMES; kind++) {
        struct xds_resource *resource = xds_resources_get(&plane->protocol.resources, kind, "cart");

        xds_depend(&plane->wants[kind], resource, NULL);
        xds_protocol_touch(&plane->protocol, resource);
    }
    ask(plane, 1);
}

static size_t check(const struct plane *plane, bool wildcard)
{
    size_t held = 0;

    for (unsigned kind = 0; kind < XDS_NAMES; kind++) {
        size_t count = xds_resources_count(&plane->protocol.resources, kind, XDS_HELD);

        require(count <= 1 || (wildcard && kind == XDS_CLUSTER));
        held += count;
    }
    return held * 1000 + HASH_COUNT(plane->hosts.table);
}

static size_t run(const uint8_t *data, size_t size, size_t budget, uint8_t how)
{
    char reason[XDS_REASON_SIZE];
    bool wildcard = how & 2;
    struct plane plane;
    size_t sum;

    begin(&plane, how & 1, wildcard);
    if (xds_intake_open(&plane.intake, data, size, reason) == 0) {
        while (xds_intake_run(&plane.intake, budget, 2) > 0)
            ;
        ask(&plane, 3);
        require(ask(&plane, 4) == 0);
    } else {
        require(*reason);
    }
    xds_protocol_expire(&plane.protocol, 60 * USEC_PER_SEC);
    sum = check(&plane, wildcard);
    xds_protocol_lost(&plane.protocol);
    ask(&plane, 61 * USEC_PER_SEC);
    for (unsigned kind = 0; kind < XDS_NAMES; kind++)
        xds_depend_no_more(&plane.wants[kind]);
    xds_protocol_done(&plane.protocol);
    xds_hosts_done(&plane.hosts);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    require(run(data + 1, size - 1, SIZE_MAX, data[0]) == run(data + 1, size - 1, 1, data[0]));
    return 0;
}
