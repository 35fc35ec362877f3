/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attaches without lock or malloc: the loser of a race unmaps what nobody has seen. The checked
 * copy of the header lies in a mapping of its own, of which only the pages in use cost memory.
 */
#include "nss/view_reader.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nss-sd/wire.h"
#include "nss/clock.h"
#include "nss/runtime.h"
#include "nss/turn.h"

enum {
    VIEW_RETRY_TICKS = VIEW_TICKS_PER_SECOND,
    VIEW_RETRY_SLOW_TICKS = 60 * VIEW_TICKS_PER_SECOND,
    /* After so many, adopt a new file once a minute only: each leaves its address space behind (its
     * pages are punched out by the daemon). Enough for a daemon that crashes all the time. */
    VIEW_ATTACH_FEW = 256,
    VIEW_FUTURE_TICKS = 2 * VIEW_TICKS_PER_SECOND,
    VIEW_LEASE_TICKS_MAX = 60 * VIEW_TICKS_PER_SECOND,
};

/* And of files in all so many bytes: the address space is the program's, and with 32 bits small. */
#define VIEW_MAPPED_MAX (sizeof(void *) > 4 ? UINT64_C(64) << 30 : UINT64_C(256) << 20)

static struct view *_Atomic current;
static _Atomic uint32_t next_attach; /* tick before which nobody tries */
static _Atomic uint32_t attached;    /* how many files this process has adopted */
static atomic_size_t mapped;         /* and their bytes */

/* Copies words of the mapping, each read once. */
static void view_copy(void *ret_copy, const void *shared, size_t size)
{
    const uint32_t *from = shared;
    uint32_t *to = ret_copy;

    for (size_t i = 0; i < size / sizeof(*to); i++)
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

static bool view_copy_names(struct view_name *ret_names, const struct view_name *shared,
                            uint32_t count)
{
    view_copy(ret_names, shared, count * sizeof(*ret_names));
    for (uint32_t i = 0; i < count; i++)
        if (!view_name_check(&ret_names[i]))
            return false;
    return true;
}

bool view_init(struct view *ret_view, const void *file, size_t size)
{
    const struct view_header *shared = file;
    struct view_header *header = &ret_view->header;

    view_copy(header, shared, offsetof(struct view_header, clocks));
    if (!view_header_check(header, size))
        return false;
    if (!view_copy_names(header->domains, shared->domains, header->domain_count) ||
        !view_copy_names(header->search, shared->search, header->search_count))
        return false;
    if (header->lookup_timeout_ms > WIRE_LOOKUP_TIMEOUT_MAX)
        header->lookup_timeout_ms = WIRE_LOOKUP_TIMEOUT_MS;
    if (header->lease_ticks > VIEW_LEASE_TICKS_MAX)
        header->lease_ticks = VIEW_LEASE_TICKS;
    ret_view->shared = shared;
    ret_view->elsewhere = ret_view->other_time = false; /* until the caller has looked */
    return true;
}

/* Is this namespace of ours another one than the daemon's? Where that cannot be told, it is not. */
static bool view_is_other(const char *path, uint32_t low, uint32_t high)
{
    uint64_t inode = (uint64_t)high << 32 | low;
    struct stat here;

    return inode != 0 && stat(path, &here) == 0 && (uint64_t)here.st_ino != inode;
}

/* The ranks of answers hold in the daemon's network namespace, ticks in its time namespace. */
static void view_find_namespaces(struct view *view)
{
    const struct view_header *header = &view->header;

    view->elsewhere = view_is_other("/proc/self/ns/net", header->netns_low, header->netns_high);
    view->other_time = view_is_other("/proc/self/ns/time", header->timens_low, header->timens_high);
}

/* Opens the file if it is one to trust with our address space: see the design's "Attach". */
static int view_open(struct stat *ret_status)
{
    char path[RUNTIME_PATH_SIZE];
    int fd;

    if (!runtime_path(NSS_SD_VIEW_FILE, path))
        return -1;
    fd = runtime_fd_above_stdio(open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (fd < 0)
        return -1;
    if (fstat(fd, ret_status) < 0 || !S_ISREG(ret_status->st_mode) ||
        (ret_status->st_mode & (S_IWGRP | S_IWOTH)) || ret_status->st_size < VIEW_HEADER_SIZE ||
        ret_status->st_size > VIEW_FILE_MAX) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Maps the open file and checks it. The attachment gets a mapping of its own: there is no malloc.
 */
static struct view *view_map(int fd, const struct stat *status)
{
    size_t size = (size_t)status->st_size;
    struct view *view;
    void *file;

    if (atomic_load_explicit(&mapped, memory_order_relaxed) + (uint64_t)size > VIEW_MAPPED_MAX)
        return NULL;
    file = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (file == MAP_FAILED)
        return NULL;
    view = mmap(NULL, sizeof(*view), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (view != MAP_FAILED) {
        if (view_init(view, file, size)) {
            view->device = status->st_dev;
            view->inode = status->st_ino;
            view_find_namespaces(view);
            return view;
        }
        munmap(view, sizeof(*view));
    }
    munmap(file, size);
    return NULL;
}

/* Undoes an attachment that nobody else has seen. */
static void view_unmap(struct view *view)
{
    munmap((void *)view->shared, view->header.file_size);
    munmap(view, sizeof(*view));
}

/* Opens the path and publishes what is there, if it is another file than `old`. */
static struct view *view_attach(struct view *old, uint32_t now)
{
    struct stat status;
    struct view *view = NULL;
    int fd = view_open(&status);
    uint32_t before;
    bool few;

    if (fd < 0)
        return NULL;
    if (!old || status.st_dev != old->device || status.st_ino != old->inode)
        view = view_map(fd, &status);
    close(fd);
    if (!view)
        return NULL;
    if (!atomic_compare_exchange_strong(&current, &old, view)) {
        view_unmap(view);
        return old; /* what another thread published meanwhile */
    }
    atomic_fetch_add_explicit(&mapped, view->header.file_size, memory_order_relaxed);
    before = atomic_fetch_add_explicit(&attached, 1, memory_order_relaxed);
    few = before < VIEW_ATTACH_FEW;
    if (before == 0)
        turn_prepare();
    atomic_store(&next_attach, few ? now : now + VIEW_RETRY_SLOW_TICKS);
    return view;
}

static bool view_retired(const struct view *view)
{
    return __atomic_load_n(&view->shared->retired, __ATOMIC_RELAXED) != 0;
}

/*
 * Is the path to be looked at now? While there is no view, or a retired one, by every thread, so
 * that none is left without; once that was in vain, and for a heart that stands still, by one a
 * second.
 */
static bool view_attach_due(const struct view *old, uint32_t now)
{
    uint32_t next = atomic_load(&next_attach);

    if (clock_pending(next, now, VIEW_RETRY_SLOW_TICKS))
        return false;
    return !old || view_retired(old) ||
           atomic_compare_exchange_strong(&next_attach, &next, now + VIEW_RETRY_TICKS);
}

static const struct view *view_refresh(struct view *old, uint32_t now)
{
    struct view *view;
    int cancel;

    if (!view_attach_due(old, now))
        return atomic_load(&current); /* another thread may just have attached */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    view = view_attach(old, now);
    pthread_setcancelstate(cancel, NULL);
    if (view)
        return view;
    atomic_store(&next_attach, now + VIEW_RETRY_TICKS);
    return old;
}

const struct view *view_reader_current(uint32_t now)
{
    struct view *view = atomic_load_explicit(&current, memory_order_acquire);

    return view && view_pulse(view, now, &(uint32_t){0}) == VIEW_LIVE ? view
                                                                      : view_refresh(view, now);
}

enum view_pulse view_pulse(const struct view *view, uint32_t now, uint32_t *ret_heartbeat)
{
    uint32_t heartbeat = __atomic_load_n(&view->shared->heartbeat, __ATOMIC_RELAXED);
    int32_t age = (int32_t)(now - heartbeat);
    bool overdue;

    *ret_heartbeat = heartbeat;
    overdue = age > (int32_t)view->header.lease_ticks;
    if (age < -VIEW_FUTURE_TICKS || (overdue && view->other_time))
        return VIEW_FOREIGN_CLOCK;
    if (view_retired(view))
        return VIEW_RETIRED;
    return overdue ? VIEW_OVERDUE : VIEW_LIVE;
}

static bool view_filter_has(const struct view_header *header, const char *name, size_t length)
{
    unsigned bit = view_filter_bit_of(name, length);

    return header->filter[bit / 32] >> bit % 32 & 1;
}

enum view_owner view_owner(const struct view *view, const char *name, size_t length, bool rooted)
{
    const struct view_header *header = &view->header;

    if (view_filter_has(header, name, length))
        for (uint32_t i = 0; i < header->domain_count; i++)
            if (name_below(name, length, header->domains[i].text, header->domains[i].length))
                return VIEW_OWNED;
    if (!rooted && header->search_count > 0 && name_dots(name, length) < header->ndots)
        return VIEW_SEARCHED;
    return VIEW_FOREIGN;
}
