/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Consul's JSON documents to endpoints. Pure: takes bytes, knows no HTTP, no key, no time.
 *
 * Documents are untrusted. A document that is not of its kind is -EBADMSG as a whole: nothing was
 * learned. In a good document one bad instance (no address, a refused address, fields of wrong
 * type) is skipped and counted, so that one careless registration never takes the others away.
 * Check output is never looked at.
 */
#pragma once

#include <jansson.h>

#include "daemon/endpoint.h"
#include "nss-sd/name.h"

struct consul_document_rules {
    const char *own_datacenter; /* an instance of another one is reached by its WAN address; "": not
                                   known */
    bool translated;            /* the agent has put the WAN address in place already */
    bool loopback;              /* loopback addresses are good */
    const struct address_prefix *allow;
    size_t allow_count;
    char *const *zone_meta; /* meta keys that name the zone, best first; NULL-terminated or NULL */
};

enum { CONSUL_REASON_SIZE = 160, CONSUL_PLACE_SIZE = 64 };

struct consul_document {
    struct endpoint_set *endpoints;
    unsigned entries;                   /* instances in the document, usable or not */
    unsigned skipped;                   /* of them without use */
    char reason[CONSUL_REASON_SIZE];    /* of the first one skipped: "INSTANCE: why"; "" */
    char datacenter[CONSUL_PLACE_SIZE]; /* where the answer comes from; "" if not said */
    usec_t ttl;                         /* prepared query: DNS.TTL, 0 if not said */
};

/*
 * The answers to /v1/health/service/NAME, /v1/query/NAME/execute and /v1/catalog/node/NAME. 0;
 * -EBADMSG not such a document; -ENOENT the node does not exist; -E2BIG too many endpoints;
 * -ENOMEM.
 */
int consul_document_health(const char *data, size_t size, const struct consul_document_rules *rules,
                           struct consul_document *ret_document);
int consul_document_query(const char *data, size_t size, const struct consul_document_rules *rules,
                          struct consul_document *ret_document);
int consul_document_node(const char *data, size_t size, const struct consul_document_rules *rules,
                         struct consul_document *ret_document);
/* The one endpoint that HEX.addr spells; none if the rules refuse it. */
int consul_document_address(const char *hex, const struct consul_document_rules *rules,
                            struct endpoint_set **ret_set);
void consul_document_done(struct consul_document *document);

/* /v1/catalog/services: an object whose names are the services. 0 or -EBADMSG. */
int consul_document_services(const char *data, size_t size, json_t **ret_services);

/* Where a node is: what /v1/agent/self and /v1/catalog/node/NAME say of it; "" if not said. */
struct consul_place {
    char datacenter[CONSUL_PLACE_SIZE];
    char node[NAME_SIZE];
    char zone[CONSUL_PLACE_SIZE];
    char region[CONSUL_PLACE_SIZE];
};
int consul_document_self(const char *data, size_t size, char *const *zone_meta,
                         struct consul_place *ret_place);
/* Fills zone and region only. */
int consul_document_node_place(const char *data, size_t size, char *const *zone_meta,
                               struct consul_place *place);

/* The trust domain of a cluster's certificate authority (/v1/agent/connect/ca/roots), folded. 0 or
 * -EBADMSG. */
int consul_document_trust_domain(const char *data, size_t size, char ret_domain[static NAME_SIZE]);

/* "10s", "1m30s", "1.5h", "0": a duration as Go writes it. 0 or -EINVAL. */
int consul_duration_from_string(const char *text, usec_t *ret_usec);
