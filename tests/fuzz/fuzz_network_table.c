/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as a datagram of rtnetlink, twice: what is well-formed is no news the second time,
 * unless it tells of an end. */
#include "daemon/network_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct network_table *table = network_table_new();

    if (!table)
        return 0;
    network_table_take(table, data, size);
    network_table_take(table, data, size);
    network_table_free(table);
    return 0;
}
