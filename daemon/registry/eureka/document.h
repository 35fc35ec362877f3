/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The answers to apps and apps/delta, read while they arrive: one instance in memory at a time.
 * Pure: takes bytes, knows no HTTP, no time.
 *
 * Servers of different ages write the same in different shapes: an only element bare instead of in
 * an array, null or "" for nothing, numbers as strings. All are taken. Bytes are untrusted; what is
 * no such document is -EBADMSG as a whole, while one instance without identity is skipped and
 * counted. An instance that cannot be reached (no address, a refused one) is told all the same: the
 * reconcile hash counts it.
 */
#pragma once

#include "daemon/registry/eureka/instance.h"
#include "daemon/registry/eureka/settings.h"
#include "daemon/registry/json_pieces.h"

enum { EUREKA_HASH_SIZE = 256, EUREKA_REASON_SIZE = 160 };

struct eureka_document_rules {
    const struct registry_config *config; /* AllowAddresses= */
    bool loopback;                        /* loopback addresses are good */
    bool public_address;                  /* Amazon's public address goes first */
};

struct eureka_document {
    struct eureka_document_rules rules;
    /* Takes the instance over. `why`: it cannot be reached, for people; or NULL. 0 or -ENOMEM. */
    int (*instance)(void *owner, struct eureka_instance *instance, const char *why);
    void *owner;
    struct json_pieces pieces;
    char app[ENDPOINT_STRING_MAX];

    /* What was learned. */
    bool told; /* there is an object of applications */
    bool has_hash;
    char hash[EUREKA_HASH_SIZE]; /* apps__hashcode */
    uint64_t version;            /* versions__delta; 0: not said */
    unsigned instances, skipped;
};

void eureka_document_init(
    struct eureka_document *document, const struct eureka_document_rules *rules,
    int (*instance)(void *owner, struct eureka_instance *instance, const char *why), void *owner);
void eureka_document_done(struct eureka_document *document);

/* 0; -EBADMSG; -E2BIG an application that is too large; or what instance() returned. */
int eureka_document_feed(struct eureka_document *document, const char *data, size_t size);
int eureka_document_finish(struct eureka_document *document);
