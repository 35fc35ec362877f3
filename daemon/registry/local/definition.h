/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Service definitions as JSON, in the shape of Consul's: what a file of local.d says, as endpoints.
 *
 *     {"service": {"name": "orders", "id": "orders-1", "address": "192.0.2.1", "port": 8080,
 *                  "tags": ["v2"], "weights": {"passing": 10}, "meta": {"zone": "a"}}}
 *     {"services": [{...}, {...}]}
 *
 * Keys may be snake_case or CamelCase. A service has an `address` (an IP address or a host name),
 * `tagged_addresses` lan_ipv4 and lan_ipv6, which go before `address` for their family, or (not in
 * Consul) a list `addresses`. Without `id` one is made of name, address and port, so that several
 * instances of a name need none. `check` and `checks` are what check_list.h says.
 *
 * This file is pure: text in, endpoints out. The text is untrusted: any bytes give a definition or
 * one error, and a definition with a mistake in it is an error as a whole.
 */
#pragma once

#include <jansson.h>

#include "daemon/base.h"
#include "daemon/endpoint.h"
#include "daemon/registry/local/check_list.h"

enum {
    LOCAL_INSTANCES_MAX = 65536, /* of one definition, and of the registry */
    LOCAL_ID_MAX = 255,
    LOCAL_WARNINGS_MAX = PARSER_WARNINGS_MAX,
};

struct local_instance {
    char *service;                   /* folded, relative to the domain */
    struct endpoint_set *endpoint;   /* a set of one; its name is the instance's id */
    struct local_check_list *checks; /* NULL: none */
};

struct local_definition {
    struct local_instance *instances;
    size_t count;
    char *warnings[LOCAL_WARNINGS_MAX]; /* keys that mean nothing here; NULL after the last */
    size_t warning_count;               /* may be more than are kept */
};

/*
 * `name_max` is the longest service name that fits below the domain. Errors: -EBADMSG, with one
 * line in `ret_error` ("LINE:COLUMN: reason" or "LINE: services[2].port: reason"), the caller's to
 * free; -ENOMEM.
 */
int local_definition_parse(const char *data, size_t size, size_t name_max,
                           struct local_definition **ret_definition, char **ret_error);
/*
 * The same of a document that is JSON already, and has no lines. It is to be registered as a whole:
 * two instances of a service with one id are a mistake. (Those of files clash in the index.)
 */
int local_definition_from_json(json_t *document, size_t name_max,
                               struct local_definition **ret_definition, char **ret_error);
struct local_definition *local_definition_free(struct local_definition *definition);

/*
 * One endpoint as an object of `services`, which local_definition_parse() reads back to an equal
 * endpoint as far as a definition can say it, with the same checks (`checks` may be NULL). NULL:
 * out of memory.
 */
json_t *local_definition_to_json(const char *service, const struct endpoint *endpoint,
                                 const struct local_check_list *checks);

/* Is this an id: 1 to LOCAL_ID_MAX printable bytes? */
bool local_id_ok(const char *id);
/* Makes one of name, first address (or target) and port; cut where it is too long. */
void local_id_make(const char *service, const char *address, uint16_t port,
                   char ret_id[static LOCAL_ID_MAX + 1]);
