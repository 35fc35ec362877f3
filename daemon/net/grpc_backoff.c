/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The waits of gRPC's connection back-off (grpc.h). */
#include "daemon/net/grpc.h"

#define FIRST   USEC_PER_SEC
#define LONGEST (120 * USEC_PER_SEC)

enum { JITTER_PERCENT = 20 };

usec_t grpc_backoff(unsigned failures, uint64_t random)
{
    usec_t delay = FIRST, jitter;

    if (failures == 0)
        return 0;
    while (--failures > 0 && delay < LONGEST)
        delay = delay * 8 / 5;
    if (delay > LONGEST)
        delay = LONGEST;
    jitter = delay * JITTER_PERCENT / 100;
    return delay - jitter + random % (2 * jitter + 1);
}
