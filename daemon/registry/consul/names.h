/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The grammar of Consul's names, and the keys that they lead to. Pure: no HTTP, no state.
 *
 *   [TAG.]NAME.service[LOC]      _NAME._TAG[.service][LOC] ("tcp" filters nothing)
 *   PORT.port.NAME.service[LOC]  one named port (Consul 1.22)
 *   NODE.node[LOC]               node names may hold dots, tags too
 *   QUERY.query[.DC]             _QUERY._PROTO.query[.DC]
 *   HEX.addr[.DC]                8 hex digits IPv4, 32 IPv6
 *   LOC                          nothing, .DC, or pairs: X.dc X.peer; with Enterprise also
 *                                X.ns X.ap X.cluster X.sg, and .NS.DC
 *
 * As in Consul's own DNS, labels are read from the right and the first kind word decides; a peer
 * together with a datacentre is no name; bare kinds and the bare domain do not exist. The mesh
 * forms (connect, ingress, virtual) are not answered: what they lead to speaks mutual TLS of the
 * mesh only.
 */
#pragma once

#include "daemon/registry/registry.h"

enum consul_kind { CONSUL_SERVICE, CONSUL_NODE, CONSUL_QUERY, CONSUL_ADDR };

/* What a key says. "" is "not said". */
struct consul_key {
    enum consul_kind kind;
    char name[NAME_SIZE];
    char datacenter[NAME_LABEL_MAX + 1];
    char namespace[NAME_LABEL_MAX + 1];
    char partition[NAME_LABEL_MAX + 1];
    char peer[NAME_LABEL_MAX + 1];
    char sameness_group[NAME_LABEL_MAX + 1];
};

/*
 * `name` of `size` bytes is the folded part before the domain. `enterprise` lets the forms of
 * Consul Enterprise in. REGISTRY_TARGET or REGISTRY_NO_SUCH_NAME.
 */
enum registry_meaning consul_name_parse(const char *name, size_t size, bool enterprise,
                                        struct consul_key *ret_key, struct selector *ret_selector);

/* "service/orders?dc=dc2" and back. Parsing: 0, or -EINVAL for text that no format call made. */
void consul_key_format(const struct consul_key *key, char ret_text[static REGISTRY_KEY_MAX + 1]);
int consul_key_parse(const char *text, struct consul_key *ret_key);

/* The address that an "addr" key spells. -EINVAL: not 8 or 32 hex digits. */
int consul_hex_address(const char *text, struct address *ret_address);

/* Does the key look at another place than the agent's own datacentre and tenancy? */
bool consul_key_is_elsewhere(const struct consul_key *key);
