/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files that describe share: small values of io.nss-sd.Control. Private to
 * daemon/describe*.c. */
#pragma once

#include "daemon/describe.h"
#include "daemon/varlink.h"

/* What a registry said may be no UTF-8 (xDS). */
static inline json_t *text_or_null(const char *text)
{
    return varlink_string(text && *text ? text : NULL);
}

/* Microseconds since `then`; null for never. */
static inline json_t *age(usec_t then, usec_t now)
{
    if (then == 0 || then == USEC_INFINITY)
        return json_null();
    return json_integer(then > now ? 0 : (json_int_t)(now - then));
}

/* Microseconds until `then`; -1: for ever. */
static inline json_t *span(usec_t then, usec_t now)
{
    if (then == USEC_INFINITY)
        return json_integer(-1);
    return json_integer(then > now ? (json_int_t)(then - now) : 0);
}

/* An enum answer_status. */
const char *describe_status(uint8_t status);
void describe_append_address(json_t *array, const struct address *address);

/* The Answer of a name, without addresses: what it rests on. NULL: no memory. */
json_t *describe_name(const struct describe *describe, const char *name, uint8_t status4,
                      uint8_t status6);
/* A Registry. */
json_t *describe_registry(const struct describe *describe, unsigned index,
                          const struct registry_facts *facts);
/* May who asks have what the name leads to first: by the policy of the name, and `service`. */
bool describe_may(const struct describe *describe, const char *name, struct service *service);
/* What the policy makes of the endpoints of a name's service. */
void describe_judge(const struct describe *describe, const char *name,
                    const struct service_facts *facts, const struct selector *selector,
                    struct policy_judgement *ret_judgements, struct policy_summary *ret_summary);
