/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any text as a resource over REST; the first byte says of which kind. As fuzz_xds_document. */
#include "daemon/registry/json.h"
#include "tests/fuzz/xds_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[XDS_NAME_MAX + 1], reason[XDS_REASON_SIZE];
    struct xds_value *value = NULL;
    json_t *object;

    if (size == 0)
        return 0;
    object = registry_json_parse((const char *)data + 1, size - 1);
    if (object && xds_document_decode_json((enum xds_kind)(data[0] % XDS_NAMES), &check_rules,
                                           object, name, &value, reason) == 0)
        check_value(value);
    else if (object)
        require(*reason && !value);
    xds_value_free(value);
    json_decref(object);
    return 0;
}
