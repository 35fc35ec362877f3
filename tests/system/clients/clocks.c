/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A library to preload: the machine's clocks as a test sets them. The file NSS_SD_TEST_CLOCKS holds
 * two 64-bit numbers, nanoseconds that CLOCK_REALTIME and CLOCK_BOOTTIME are ahead. A test that
 * writes to it sets the clocks of all these processes at one instant: REALTIME like an
 * administrator, BOOTTIME (which a time namespace cannot move while processes run) like a suspend.
 * A timer that is armed already does not move with them: it fires when it would have.
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { FDS_MAX = 1024 };

static const volatile int64_t *offsets;
static clockid_t timer_clocks[FDS_MAX];
static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_create)(int, int);
static int (*real_settime)(int, int, const struct itimerspec *, struct itimerspec *);

static void init(void)
{
    const char *path = getenv("NSS_SD_TEST_CLOCKS");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *file;

    *(void **)&real_create = dlsym(RTLD_NEXT, "timerfd_create");
    *(void **)&real_settime = dlsym(RTLD_NEXT, "timerfd_settime");
    *(void **)&real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    if (fd < 0)
        return;
    file = mmap(NULL, 2 * sizeof(*offsets), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (file != MAP_FAILED)
        offsets = file;
}

/* Other libraries read the clock before our turn has come. */
__attribute__((constructor)) static void start(void)
{
    if (!real_gettime)
        init();
}

static int64_t offset_of(clockid_t clock)
{
    start();
    if (!offsets)
        return 0;
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
        return offsets[0];
    case CLOCK_BOOTTIME:
        return offsets[1];
    default:
        return 0;
    }
}

static void shift(struct timespec *time, int64_t nanoseconds)
{
    int64_t sum = time->tv_nsec + nanoseconds % 1000000000;

    time->tv_sec += nanoseconds / 1000000000 + (sum >= 1000000000) - (sum < 0);
    time->tv_nsec = (sum + 1000000000) % 1000000000;
}

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    int64_t offset = offset_of(clock);
    int r = real_gettime(clock, ret_time);

    if (r == 0)
        shift(ret_time, offset);
    return r;
}

time_t time(time_t *ret_time)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (ret_time)
        *ret_time = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict ret_time, void *restrict zone)
{
    struct timespec now;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *ret_time = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

int timerfd_create(clockid_t clock, int flags)
{
    start();
    int fd = real_create(clock, flags);

    if (fd >= 0 && fd < FDS_MAX)
        timer_clocks[fd] = clock;
    return fd;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *ret_old)
{
    struct itimerspec shifted = *value;

    start();
    if (fd >= 0 && fd < FDS_MAX && flags & TFD_TIMER_ABSTIME &&
        (value->it_value.tv_sec || value->it_value.tv_nsec)) {
        shift(&shifted.it_value, -offset_of(timer_clocks[fd]));
        if (shifted.it_value.tv_sec < 0) /* long ago */
            shifted.it_value = (struct timespec){.tv_nsec = 1};
    }
    return real_settime(fd, flags, &shifted, ret_old);
}
