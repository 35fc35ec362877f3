/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a service definition: either one error of one line, or instances within their bounds
 * that read back equal from what they are written as.
 */
#include <stdio.h>

#include "daemon/registry/local/definition.h"
#include "nss-sd/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LONGEST = 240 };

#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_instance(const struct local_instance *instance)
{
    const struct endpoint *endpoint = &instance->endpoint->endpoints[0];
    char name[NAME_SIZE];

    require(instance->endpoint->count == 1);
    require(name_fold(instance->service, SIZE_MAX, name, NULL) <= LONGEST);
    require(streq(name, instance->service));
    require(local_id_ok(endpoint->name));
    require((*endpoint->target != '\0') != (endpoint->address_count > 0));
    require(endpoint->weight >= 1 && endpoint->weight <= 65535);
}

static void check_writing(const struct local_instance *instance)
{
    json_t *object = json_pack("{s:o}", "service",
                               local_definition_to_json(instance->service,
                                                        &instance->endpoint->endpoints[0],
                                                        instance->checks));
    char *text = json_dumps(object, 0), *error = NULL;
    struct local_definition *again;

    require(text);
    require(local_definition_parse(text, strlen(text), LONGEST, &again, &error) == 0);
    require(again->count == 1 && again->warning_count == 0);
    require(streq(again->instances[0].service, instance->service));
    require(endpoint_set_equal(again->instances[0].endpoint, instance->endpoint));
    require(local_check_list_equal(again->instances[0].checks, instance->checks));
    local_definition_free(again);
    json_decref(object);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct local_definition *definition;
    char *error = NULL;
    int r = local_definition_parse((const char *)data, size, LONGEST, &definition, &error);

    if (r < 0) {
        require(r == -EBADMSG && error && *error);
        free(error);
        return 0;
    }
    for (size_t i = 0; i < definition->count; i++) {
        check_instance(&definition->instances[i]);
        check_writing(&definition->instances[i]);
    }
    local_definition_free(definition);
    return 0;
}
