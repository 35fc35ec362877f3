/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as the file of what health checks knew: entries within their bounds, which read back
 * equal from what they are written as.
 */
#include <stdio.h>

#include "daemon/registry/local/check_list.h"
#include "daemon/registry/local/checks_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void collect(void *userdata, const struct checks_state_entry *entry)
{
    json_t *object = checks_state_entry_to_json(entry);

    require(strlen(entry->instance) < CHECKS_STATE_KEY_SIZE && !strchr(entry->instance, '\n'));
    require(strlen(entry->id) < LOCAL_CHECK_ID_MAX);
    require(strlen(entry->what) < CHECK_SHOWN_SIZE);
    require(entry->since <= INT64_MAX);
    require(entry->until <= INT64_MAX || entry->until == USEC_INFINITY);
    require(object);
    json_array_append_new(userdata, object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *list = json_array(), *again = json_array(), *document;
    char *text;

    checks_state_read((const char *)data, size, collect, list);
    document = json_pack("{s:O}", "checks", list);
    text = json_dumps(document, 0);
    require(text);
    require(checks_state_read(text, strlen(text), collect, again));
    require(json_equal(list, again));
    free(text);
    json_decref(document);
    json_decref(list);
    json_decref(again);
    return 0;
}
