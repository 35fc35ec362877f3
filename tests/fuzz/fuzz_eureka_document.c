/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a document of Eureka, in pieces of any size: reading ends, what is known stays in
 * order (counts, names, sets), and how the bytes were cut makes no difference.
 */
#include "daemon/registry/eureka/applications.h"
#include "daemon/registry/eureka/document.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* What the name that changed leads to is a good set, whatever came before. */
static void check_name(void *owner, const char *name)
{
    struct eureka_found found;

    require(strlen(name) < NAME_SIZE && name[0]);
    require(eureka_applications_find(owner, name, &found) == 0);
    for (uint32_t i = 0; i < found.endpoints->count; i++) {
        const struct endpoint *endpoint = &found.endpoints->endpoints[i];

        require(endpoint->address_count == 1 || endpoint->target[0]);
        require(endpoint->address_count == 0 || !address_refusal(&endpoint->addresses[0], false));
    }
    endpoint_set_unref(found.endpoints);
}

static int take(void *owner, struct eureka_instance *instance, const char *why)
{
    bool news;

    require(instance->key[0] && instance->id[0]);
    require(why || instance->address.family != 0 || instance->target[0]);
    return eureka_applications_put(owner, instance, &news);
}

static int read_steps(struct eureka_applications *applications, const char *data, size_t size,
                      size_t step)
{
    struct registry_config config = {0};
    struct eureka_document_rules rules = {.config = &config};
    struct eureka_document document;
    int r = 0;

    eureka_document_init(&document, &rules, take, applications);
    for (size_t at = 0; at < size && r == 0; at += step)
        r = eureka_document_feed(&document, data + at, size - at < step ? size - at : step);
    r = r ?: eureka_document_finish(&document);
    require(document.skipped <= document.instances);
    eureka_document_done(&document);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct eureka_applications first = {.changed = check_name, .owner = &first};
    struct eureka_applications second = {.changed = check_name, .owner = &second};
    char one[EUREKA_OWN_HASH_SIZE], other[EUREKA_OWN_HASH_SIZE];

    eureka_applications_begin(&first);
    require(read_steps(&first, (const char *)data, size, size + 1) ==
            read_steps(&second, (const char *)data, size, size % 7 + 1));
    eureka_applications_hash(&first, one);
    eureka_applications_hash(&second, other);
    require(streq(one, other));
    eureka_applications_begin(&first);
    eureka_applications_sweep(&first, size % 2);
    require(eureka_applications_listed(&first) == 0);
    eureka_applications_drop_missing(&first);
    require(eureka_applications_count(&first) == 0 && !first.names);
    eureka_applications_done(&first);
    eureka_applications_done(&second);
    return 0;
}
