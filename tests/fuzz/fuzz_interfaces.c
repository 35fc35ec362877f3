/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as a dump of rtnetlink, cut into two datagrams: what is taken is found again. */
#include "daemon/interfaces.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct interfaces *interfaces = interfaces_new();
    size_t half = size / 2 & ~(size_t)3;
    uint8_t address[16] = {0};

    if (!interfaces)
        return 0;
    interfaces_take(interfaces, data, half);
    interfaces_take(interfaces, data + half, size - half);
    interfaces_finish(interfaces);
    if (size >= sizeof(address))
        memcpy(address, data + size - sizeof(address), sizeof(address));
    if (interfaces_find(interfaces, address) && interfaces_count(interfaces) == 0)
        abort();
    interfaces_free(interfaces);
    return 0;
}
