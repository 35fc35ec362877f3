/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a resource of a control plane; the first one says of which kind: a cluster,
 * endpoints, a listener, a route, an entry of a name table. It is refused with a reason, or what is
 * made of it is within its bounds.
 */
#include "daemon/registry/xds/document.h"
#include "tests/fuzz/xds_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[XDS_NAME_MAX + 1], reason[XDS_REASON_SIZE];
    struct xds_value *value = NULL;
    struct xds_name_entry entry;
    unsigned kind;

    if (size == 0)
        return 0;
    kind = data[0] % XDS_KINDS;
    if (kind == XDS_NAMES) {
        if (xds_document_name_entry(data + 1, size - 1, &entry) == 0)
            require(entry.name[0] && entry.count <= 4096);
        free(entry.addresses);
        return 0;
    }
    if (xds_document_decode((enum xds_kind)kind, &check_rules, data + 1, size - 1, name, &value,
                            reason) == 0)
        check_value(value);
    else
        require(*reason && !value);
    xds_value_free(value);
    return 0;
}
