/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The checks of one instance as its definition says them, in the words of Consul's: `check`, or a
 * list `checks`. Immutable and shared.
 *
 * Run are http, tcp, grpc and ttl. A check of another kind of Consul's (args and script, docker,
 * udp, h2ping, os_service, alias) is left out with a warning that says so: the instance counts as
 * if it had none such. Pure: JSON in, settings out.
 */
#pragma once

#include "daemon/check_settings.h"
#include "daemon/registry/local/parser.h"
#include "daemon/registry/registry.h"

enum {
    LOCAL_CHECKS_MAX = 16, /* of one instance */
    LOCAL_CHECK_ID_MAX = 320,
};

#define LOCAL_DEREGISTER_MIN (60 * USEC_PER_SEC)

struct local_check {
    char
        *id; /* given, or "service:INSTANCE" (of several "service:INSTANCE:NUMBER"), as in Consul */
    char *name;  /* for people; "" */
    char *notes; /* likewise */
    usec_t
        deregister_after; /* critical for so long, and the instance goes; USEC_INFINITY: it stays */
    struct check_settings *settings;
};

struct local_check_list {
    unsigned references;
    uint32_t warning_weight; /* of the instance while the worst of them is a warning */
    size_t count;
    struct local_check checks[];
};

/*
 * From what `check` (an object or NULL) and `checks` (a list or NULL) hold, spelled as `check_key`
 * and `checks_key`. NULL in `ret_list`: there is none to run. Errors: -EBADMSG (parser->error),
 * -ENOMEM.
 */
int local_check_list_parse(struct parser *parser, const char *instance, const char *check_key,
                           json_t *check, const char *checks_key, json_t *checks,
                           uint32_t warning_weight, struct local_check_list **ret_list);

/* Gives those an id that were parsed for an instance "", as one that had none yet. 0 or -ENOMEM. */
int local_check_list_name(struct local_check_list *list, const char *instance);

struct local_check_list *local_check_list_ref(struct local_check_list *list);   /* takes NULL */
struct local_check_list *local_check_list_unref(struct local_check_list *list); /* likewise */
bool local_check_list_equal(const struct local_check_list *a, const struct local_check_list *b);

/*
 * Why a check of it may not be run by a registry so configured, or NULL: it connects to an address
 * that the registry may not hand out either (registry_address_refusal(), loopback allowed).
 */
const char *local_check_list_refusal(const struct local_check_list *list,
                                     const struct registry_config *config,
                                     struct address *ret_address);

/* As a list that reads back equal but for the weight; the headers are in it. NULL: out of memory.
 */
json_t *local_check_list_to_json(const struct local_check_list *list);
