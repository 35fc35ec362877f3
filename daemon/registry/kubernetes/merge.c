/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/kubernetes/merge.h"

#include <arpa/inet.h>

#include "daemon/registry/kubernetes/names.h"

/* An endpoint and the slice whose ports it has. */
struct pick {
    const struct kubernetes_endpoint *endpoint;
    const struct kubernetes_slice *slice;
};

struct picks {
    struct pick *items;
    size_t count;
};

/* Which tier of hints binds (kube-proxy's order). */
enum topology { TOPOLOGY_NONE, TOPOLOGY_NODE, TOPOLOGY_ZONE };

/* ---- order: copies of one pod side by side, ready ones first, then by address ---- */

static int rank(const struct kubernetes_endpoint *endpoint)
{
    return endpoint->ready ? 0 : endpoint->serving && endpoint->terminating ? 1 : 2;
}

/* What makes two entries one endpoint: the pod, or where none is named the address. */
static int identity_compare(const struct kubernetes_endpoint *a,
                            const struct kubernetes_endpoint *b)
{
    if (*a->pod || *b->pod)
        return strcmp(a->pod, b->pod);
    return address_compare(&a->address, &b->address);
}

static int pick_compare(const void *one, const void *two)
{
    const struct kubernetes_endpoint *a = ((const struct pick *)one)->endpoint;
    const struct kubernetes_endpoint *b = ((const struct pick *)two)->endpoint;
    int order = identity_compare(a, b);

    if (order == 0)
        order = rank(a) - rank(b);
    return order != 0 ? order : address_compare(&a->address, &b->address);
}

static int pick_compare_address(const void *one, const void *two)
{
    const struct kubernetes_endpoint *a = ((const struct pick *)one)->endpoint;
    const struct kubernetes_endpoint *b = ((const struct pick *)two)->endpoint;
    int order = address_compare(&a->address, &b->address);

    return order != 0 ? order : rank(a) - rank(b);
}

/* Those of this node alone, where the service says so and the node is known. */
static bool is_left_out(const struct kubernetes_merge *merge,
                        const struct kubernetes_endpoint *endpoint)
{
    return merge->service && merge->service->kind == KUBERNETES_CLUSTER_IP &&
           merge->service->internal_local && *merge->node && !streq(endpoint->node, merge->node);
}

static int picks_collect(const struct kubernetes_merge *merge,
                         int (*compare)(const void *, const void *), struct picks *ret_picks)
{
    size_t count = 0;

    for (size_t i = 0; i < merge->slice_count; i++)
        count += merge->slices[i]->endpoint_count;
    *ret_picks = (struct picks){.items = calloc(count + 1, sizeof(*ret_picks->items))};
    if (!ret_picks->items)
        return -ENOMEM;
    for (size_t i = 0; i < merge->slice_count; i++)
        for (size_t j = 0; j < merge->slices[i]->endpoint_count; j++)
            if (!is_left_out(merge, &merge->slices[i]->endpoints[j]))
                ret_picks->items[ret_picks->count++] = (struct pick){
                    &merge->slices[i]->endpoints[j], merge->slices[i]};
    qsort(ret_picks->items, ret_picks->count, sizeof(*ret_picks->items), compare);
    return 0;
}

/* ---- topology ---- */

static bool names(char *const *list, const char *word)
{
    for (; list && *list; list++)
        if (streq(*list, word))
            return true;
    return false;
}

/* A tier binds when every ready endpoint has hints of its kind and one of them names us. */
static enum topology topology_of(const struct kubernetes_merge *merge, const struct picks *picks)
{
    bool all_nodes = *merge->node, all_zones = *merge->zone, our_node = false, our_zone = false;

    if (merge->service && merge->service->kind == KUBERNETES_HEADLESS)
        return TOPOLOGY_NONE;
    for (size_t i = 0; i < picks->count; i++) {
        const struct kubernetes_endpoint *endpoint = picks->items[i].endpoint;

        if (!endpoint->ready)
            continue;
        all_nodes &= endpoint->hint_nodes != NULL;
        all_zones &= endpoint->hint_zones != NULL;
        our_node |= names(endpoint->hint_nodes, merge->node);
        our_zone |= names(endpoint->hint_zones, merge->zone);
    }
    if (all_nodes && our_node)
        return TOPOLOGY_NODE;
    return all_zones && our_zone ? TOPOLOGY_ZONE : TOPOLOGY_NONE;
}

static uint16_t priority_of(const struct kubernetes_merge *merge, enum topology topology,
                            const struct kubernetes_endpoint *endpoint)
{
    switch (topology) {
    case TOPOLOGY_NODE:
        return !names(endpoint->hint_nodes, merge->node);
    case TOPOLOGY_ZONE:
        return !names(endpoint->hint_zones, merge->zone);
    case TOPOLOGY_NONE:
        break;
    }
    return 0;
}

/* ---- endpoints ---- */

static enum endpoint_health health_of(const struct kubernetes_endpoint *endpoint)
{
    static const enum endpoint_health health[] = {HEALTH_PASSING, HEALTH_TERMINATING,
                                                  HEALTH_CRITICAL};

    return health[rank(endpoint)];
}

static void add_ports(struct endpoint_builder *builder, const struct kubernetes_port *ports,
                      size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ports[i].number > 0)
            endpoint_builder_port(builder, ports[i].name, ports[i].protocol, ports[i].number);
}

/* Did a slice of an earlier copy of the pod have this port? The other family's has the same. */
static bool port_before(const struct pick *first, const struct pick *pick,
                        const struct kubernetes_port *port)
{
    for (; first < pick; first++)
        for (size_t i = 0; i < first->slice->port_count; i++) {
            const struct kubernetes_port *known = &first->slice->ports[i];

            if (known->number == port->number && streq(known->protocol, port->protocol) &&
                streq(known->name, port->name))
                return true;
        }
    return false;
}

static void add_new_ports(struct endpoint_builder *builder, const struct pick *first,
                          const struct pick *pick)
{
    for (size_t i = 0; i < pick->slice->port_count; i++)
        if (!port_before(first, pick, &pick->slice->ports[i]))
            add_ports(builder, &pick->slice->ports[i], 1);
}

static void begin(struct endpoint_builder *builder, const struct kubernetes_endpoint *endpoint)
{
    char text[INET6_ADDRSTRLEN];

    address_to_string(&endpoint->address, text);
    endpoint_builder_begin(builder, *endpoint->pod ? endpoint->pod : text);
    endpoint_builder_node(builder, endpoint->node);
    endpoint_builder_hostname(builder, endpoint->hostname);
    endpoint_builder_locality(builder, endpoint->zone, "");
    endpoint_builder_health(builder, health_of(endpoint));
    endpoint_builder_weight(builder, 1);
}

static int finish(struct endpoint_builder *builder, struct picks *picks,
                  struct endpoint_set **ret_set)
{
    int r = endpoint_builder_finish(builder, ret_set);

    free(picks->items);
    endpoint_builder_free(builder);
    return r;
}

int kubernetes_merge_pods(const struct kubernetes_merge *merge, struct endpoint_set **ret_set)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    const struct pick *first = NULL;
    enum topology topology;
    struct picks picks;
    int r = builder ? picks_collect(merge, pick_compare, &picks) : -ENOMEM;

    if (r < 0) {
        endpoint_builder_free(builder);
        return r;
    }
    topology = topology_of(merge, &picks);
    for (size_t i = 0; i < picks.count; i++) {
        const struct pick *pick = &picks.items[i];
        bool news = !first || identity_compare(first->endpoint, pick->endpoint) != 0;

        if (news) {
            first = pick;
            begin(builder, pick->endpoint);
            endpoint_builder_priority(builder, priority_of(merge, topology, pick->endpoint));
        }
        /* A worse copy brings neither addresses nor ports. */
        if (rank(pick->endpoint) != rank(first->endpoint))
            continue;
        if (news || address_compare(&pick[-1].endpoint->address, &pick->endpoint->address) != 0)
            endpoint_builder_address(builder, &pick->endpoint->address);
        add_new_ports(builder, first, pick);
    }
    return finish(builder, &picks, ret_set);
}

int kubernetes_merge_hosts(const struct kubernetes_merge *merge, struct endpoint_set **ret_set)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    const struct pick *first = NULL;
    struct picks picks;
    int r = builder ? picks_collect(merge, pick_compare_address, &picks) : -ENOMEM;

    if (r < 0) {
        endpoint_builder_free(builder);
        return r;
    }
    for (size_t i = 0; i < picks.count; i++) {
        const struct pick *pick = &picks.items[i];
        const struct kubernetes_endpoint *endpoint = pick->endpoint;
        char text[INET6_ADDRSTRLEN], label[NAME_LABEL_MAX + 1];

        if (first && address_compare(&first->endpoint->address, &endpoint->address) == 0)
            continue;
        first = pick;
        begin(builder, endpoint);
        address_to_string(&endpoint->address, text);
        kubernetes_dashed_address(&endpoint->address, label);
        if (!*endpoint->hostname)
            endpoint_builder_hostname(builder, label);
        endpoint_builder_address(builder, &endpoint->address);
        add_ports(builder, pick->slice->ports, pick->slice->port_count);
    }
    return finish(builder, &picks, ret_set);
}

/* ---- the service's own addresses ---- */

int kubernetes_merge_vips(const struct kubernetes_service *service, struct endpoint_set **ret_set)
{
    _cleanup_(endpoint_builder_freep) struct endpoint_builder *builder = endpoint_builder_new();

    if (!builder)
        return -ENOMEM;
    if (service->vip_count > 0) {
        endpoint_builder_begin(builder, "cluster IP");
        endpoint_builder_weight(builder, 1);
        for (size_t i = 0; i < service->vip_count; i++)
            endpoint_builder_address(builder, &service->vips[i]);
        add_ports(builder, service->ports, service->port_count);
    }
    return endpoint_builder_finish(builder, ret_set);
}

int kubernetes_merge_ingress(const struct kubernetes_service *service,
                             struct endpoint_set **ret_set)
{
    _cleanup_(endpoint_builder_freep) struct endpoint_builder *builder = endpoint_builder_new();
    char text[INET6_ADDRSTRLEN];

    if (!builder)
        return -ENOMEM;
    for (size_t i = 0; i < service->ingress_address_count; i++) {
        address_to_string(&service->ingress_addresses[i], text);
        endpoint_builder_begin(builder, text);
        endpoint_builder_weight(builder, 1);
        endpoint_builder_address(builder, &service->ingress_addresses[i]);
        add_ports(builder, service->ports, service->port_count);
    }
    for (char *const *host = service->ingress_hosts; *host; host++) {
        endpoint_builder_begin(builder, *host);
        endpoint_builder_weight(builder, 1);
        endpoint_builder_target(builder, *host);
        add_ports(builder, service->ports, service->port_count);
    }
    return endpoint_builder_finish(builder, ret_set);
}
