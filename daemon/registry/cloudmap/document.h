/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cloud Map's JSON documents to endpoints, namespaces and errors. Pure: takes bytes, knows no HTTP,
 * no key, no time.
 *
 * Documents are untrusted. One that is not of its kind is -EBADMSG as a whole: nothing was learned.
 * In a good document an instance without a usable address is skipped and counted, so that one
 * careless registration never takes the others away.
 */
#pragma once

#include "daemon/endpoint.h"
#include "nss-sd/name.h"

struct cloudmap_document_rules {
    bool loopback; /* loopback addresses are good */
    const struct address_prefix *allow;
    size_t allow_count;
};

enum {
    CLOUDMAP_REASON_SIZE = 160,
    CLOUDMAP_INSTANCES_MAX = 1000, /* one answer never has more, and there is no second page */
};

struct cloudmap_document {
    struct endpoint_set *endpoints;
    unsigned entries;                  /* instances in the document, usable or not */
    unsigned skipped;                  /* of them without a usable address */
    char reason[CLOUDMAP_REASON_SIZE]; /* of the first one skipped: "INSTANCE: why"; "" */
    long long revision;                /* -1: not said */
};

/* An answer to DiscoverInstances. 0, -EBADMSG, -E2BIG, -ENOMEM. */
int cloudmap_document_instances(const char *data, size_t size,
                                const struct cloudmap_document_rules *rules,
                                struct cloudmap_document *ret_document);
void cloudmap_document_done(struct cloudmap_document *document);

/* An answer to DiscoverInstancesRevision. 0 or -EBADMSG. */
int cloudmap_document_revision(const char *data, size_t size, long long *ret_revision);

/* One namespace of ListNamespaces. */
struct cloudmap_namespace_entry {
    char domain[NAME_SIZE]; /* folded */
    const char *http_name;  /* as DiscoverInstances calls it: HttpName, or the ARN if shared */
    const char *id, *arn;
    bool is_public; /* a zone of the public DNS: other hosts live in it */
};
/*
 * Calls `found` for every namespace whose name is a host name. *ret_next is the token of the next
 * page (free() it), or NULL. 0, -EBADMSG, -ENOMEM, or what `found` returned.
 */
int cloudmap_document_namespaces(const char *data, size_t size,
                                 int (*found)(void *userdata,
                                              const struct cloudmap_namespace_entry *entry),
                                 void *userdata, char **ret_next);

/* What an error answer says: its code without the namespace of the model, and its message. */
struct cloudmap_error {
    char code[64];
    char message[160]; /* printable */
};
/* `header`: X-Amzn-ErrorType, or NULL. The code is "" if none is told. */
void cloudmap_document_error(const char *data, size_t size, const char *header,
                             struct cloudmap_error *ret_error);
