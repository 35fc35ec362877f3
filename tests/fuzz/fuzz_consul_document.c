/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as every document of Consul: parsing ends, gives a set within its bounds or an error,
 * and the same bytes give an equal set again.
 */
#include "daemon/registry/consul/document.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

typedef int (*parser)(const char *, size_t, const struct consul_document_rules *,
                      struct consul_document *);

static void check_endpoint(const struct endpoint *endpoint)
{
    require(endpoint->address_count > 0 || endpoint->target[0]);
    require(endpoint->address_count <= 2);
    require(endpoint->tag_count <= ENDPOINT_TAGS_MAX && endpoint->port_count <= ENDPOINT_PORTS_MAX);
    require(strlen(endpoint->name) < ENDPOINT_STRING_MAX);
    for (size_t i = 0; i < endpoint->address_count; i++)
        require(!address_refusal(&endpoint->addresses[i], false));
}

static void try_parser(parser parse, const char *data, size_t size,
                       const struct consul_document_rules *rules)
{
    struct consul_document first, second;

    if (parse(data, size, rules, &first) < 0) {
        require(!first.endpoints);
        return;
    }
    for (uint32_t i = 0; i < first.endpoints->count; i++)
        check_endpoint(&first.endpoints->endpoints[i]);
    require(first.skipped <= first.entries);
    require((first.skipped > 0) == (first.reason[0] != '\0'));
    require(parse(data, size, rules, &second) == 0);
    require(endpoint_set_equal(first.endpoints, second.endpoints));
    consul_document_done(&first);
    consul_document_done(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char zone[] = "zone";
    static char *const zone_meta[] = {zone, NULL};
    static const parser parsers[] = {consul_document_health, consul_document_query,
                                     consul_document_node};
    struct consul_document_rules rules = {.own_datacenter = "dc1", .zone_meta = zone_meta};
    const char *text = (const char *)data;
    struct consul_place place;
    json_t *services;

    for (size_t i = 0; i < ELEMENTS(parsers); i++) {
        rules.own_datacenter = size % 2 ? "dc1" : "dc2";
        try_parser(parsers[i], text, size, &rules);
    }
    if (consul_document_services(text, size, &services) == 0)
        json_decref(services);
    if (consul_document_self(text, size, zone_meta, &place) == 0)
        require(strlen(place.zone) < sizeof(place.zone));
    place = (struct consul_place){0};
    consul_document_node_place(text, size, zone_meta, &place);
    return 0;
}
