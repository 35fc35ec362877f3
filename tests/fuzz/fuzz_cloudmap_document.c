/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as every document of Cloud Map and of what hands out its keys: parsing ends, gives
 * something within its bounds or an error, and the same bytes give an equal set again.
 */
#include "daemon/registry/cloudmap/document.h"
#include "daemon/registry/cloudmap/grant.h"
#include "daemon/registry/cloudmap/profile.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void try_instances(const char *data, size_t size)
{
    const struct cloudmap_document_rules rules = {0};
    struct cloudmap_document first, second;

    if (cloudmap_document_instances(data, size, &rules, &first) < 0) {
        require(!first.endpoints);
        return;
    }
    for (uint32_t i = 0; i < first.endpoints->count; i++) {
        const struct endpoint *endpoint = &first.endpoints->endpoints[i];

        require(endpoint->address_count > 0 || endpoint->target[0]);
        require(endpoint->address_count <= 2 && endpoint->port_count <= 1);
        for (size_t a = 0; a < endpoint->address_count; a++)
            require(!address_refusal(&endpoint->addresses[a], false));
    }
    require(first.skipped <= first.entries);
    require((first.skipped > 0) == (first.reason[0] != '\0'));
    require(cloudmap_document_instances(data, size, &rules, &second) == 0);
    require(endpoint_set_equal(first.endpoints, second.endpoints));
    cloudmap_document_done(&first);
    cloudmap_document_done(&second);
}

static int check_namespace(void *userdata, const struct cloudmap_namespace_entry *entry)
{
    (void)userdata;
    require(entry->domain[0] && entry->http_name[0]);
    return 0;
}

static void try_grant(int (*read)(const char *, size_t, struct cloudmap_grant *), const char *data,
                      size_t size)
{
    struct cloudmap_grant grant;

    if (read(data, size, &grant) < 0)
        return;
    require(grant.keys.access[0] && grant.keys.secret[0]);
    require(!grant.keys.token || !strpbrk(grant.keys.token, "\r\n"));
    cloudmap_grant_done(&grant);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Exactly so many bytes: none after them may be looked at. */
    const char *text = (const char *)data;
    struct cloudmap_profile profile = {0};
    char code[CLOUDMAP_CODE_SIZE];
    struct cloudmap_error error;
    char *next = NULL;
    long long revision;

    try_instances(text, size);
    cloudmap_document_revision(text, size, &revision);
    cloudmap_document_error(text, size, NULL, &error);
    if (cloudmap_document_namespaces(text, size, check_namespace, NULL, &next) == 0)
        free(next);
    try_grant(cloudmap_grant_metadata, text, size);
    try_grant(cloudmap_grant_sts, text, size);
    cloudmap_grant_sts_error(text, size, code);
    require(cloudmap_profile_read(&profile, "default", true, text, size) == 0);
    cloudmap_profile_done(&profile);
    return 0;
}
