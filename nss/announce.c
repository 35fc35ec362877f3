/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nss/announce.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nss-sd/wire.h"
#include "nss/clock.h"
#include "nss/runtime.h"

enum {
    ANNOUNCE_NAMES = 16,     /* remembered: who was announced last in each of so many places */
    ANNOUNCE_A_SECOND = 4,   /* from the whole process */
    ANNOUNCE_COUNT_BITS = 3, /* enough to count to that */
};

/*
 * Relaxed words for the whole process: half a hash, and the low half of the tick of its last
 * announcement. Two names that share a place may take turns; the limit of the process holds.
 */
static _Atomic uint32_t announced[ANNOUNCE_NAMES];
static _Atomic uint32_t announced_now; /* a second, and how many in it */

static bool announce_is_due(uint32_t hash, uint32_t now)
{
    _Atomic uint32_t *place = &announced[hash % ANNOUNCE_NAMES];
    uint32_t last = atomic_load_explicit(place, memory_order_relaxed);
    uint32_t mine = (hash & 0xffff0000u) | (now & 0xffffu);

    if ((last ^ mine) >> 16 == 0 && (uint16_t)(now - last) < VIEW_TICKS_PER_SECOND)
        return false;
    return atomic_compare_exchange_strong_explicit(place, &last, mine, memory_order_relaxed,
                                                   memory_order_relaxed);
}

static bool announce_is_within_limit(uint32_t now)
{
    uint32_t second = (now / VIEW_TICKS_PER_SECOND) << ANNOUNCE_COUNT_BITS;
    uint32_t last = atomic_load_explicit(&announced_now, memory_order_relaxed);
    uint32_t count = (last & -(1u << ANNOUNCE_COUNT_BITS)) == second ? last - second : 0;

    return count < ANNOUNCE_A_SECOND &&
           atomic_compare_exchange_strong_explicit(&announced_now, &last, second + count + 1,
                                                   memory_order_relaxed, memory_order_relaxed);
}

static void announce_send(const struct answer *answer)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct wire_interest interest = {
        .magic = WIRE_INTEREST_MAGIC,
        .version = WIRE_VERSION,
        .size = sizeof(interest),
        .length = answer->head->name_length,
    };
    int fd;

    memcpy(interest.name, answer->name, answer->head->name_length);
    if (!runtime_path(NSS_SD_REFRESH_SOCKET, address.sun_path))
        return;
    fd = runtime_fd_above_stdio(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd < 0)
        return;
    sendto(fd, &interest, sizeof(interest), MSG_DONTWAIT | MSG_NOSIGNAL,
           (const struct sockaddr *)&address, sizeof(address));
    close(fd);
}

void announce_interest(const struct answer *answer, uint32_t now)
{
    int cancel;

    if (!announce_is_due(answer->head->hash, now) || !announce_is_within_limit(now))
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    announce_send(answer);
    pthread_setcancelstate(cancel, NULL);
}
