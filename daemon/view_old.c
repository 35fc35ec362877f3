/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/view_old.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon/view_header.h"
#include "nss-sd/wire.h"

enum {
    CHUNK_SLOTS = 64, /* read at once */
    CHUNK_ENTRIES = 128,
    FUTURE_TICKS = 2 * VIEW_TICKS_PER_SECOND,
    STALE_TICKS_MAX = 1 << 30, /* two years: what "for ever" is without a clock */
};

struct view_old {
    int fd;
    uint32_t now; /* tick; not before the heartbeat */
    bool other_boot;
    struct view_header header; /* a copy; tables are checked to lie in the file */
};

/* ---- the file ---- */

static bool read_at(int fd, uint64_t offset, void *buffer, size_t size)
{
    return pread(fd, buffer, size, (off_t)offset) == (ssize_t)size;
}

static bool ours(int fd, struct view_header *ret_header)
{
    struct stat status;

    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
           (status.st_mode & (S_IWGRP | S_IWOTH)) == 0 && status.st_size >= VIEW_HEADER_SIZE &&
           status.st_size <= VIEW_FILE_MAX && read_at(fd, 0, ret_header, sizeof(*ret_header)) &&
           view_header_check(ret_header, (uint64_t)status.st_size);
}

struct view_old *view_old_open(int directory_fd, uint32_t now)
{
    struct view_old *old = calloc(1, sizeof(*old));
    uint32_t boot = view_header_boot();
    int32_t ahead;

    if (!old)
        return NULL;
    old->fd = openat(directory_fd, NSS_SD_VIEW_FILE,
                     O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (old->fd < 0 || !ours(old->fd, &old->header))
        return view_old_free(old);
    ahead = view_ticks_until(old->header.heartbeat, now);
    old->other_boot = ahead > FUTURE_TICKS ||
                      (boot != 0 && old->header.boot != 0 && old->header.boot != boot);
    old->now = ahead > 0 ? old->header.heartbeat : now;
    return old;
}

struct view_old *view_old_free(struct view_old *old)
{
    if (!old)
        return NULL;
    closep(&old->fd);
    free(old);
    return NULL;
}

void view_old_retire(const struct view_old *old)
{
    static const uint32_t retired = 1;

    (void)!pwrite(old->fd, &retired, sizeof(retired), offsetof(struct view_header, retired));
}

void view_old_punch(const struct view_old *old)
{
    off_t size = (off_t)old->header.file_size - VIEW_HEADER_SIZE;

    if (size > 0)
        fallocate(old->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, VIEW_HEADER_SIZE, size);
}

/* ---- its answers ---- */

/* The clock of an answer; NULL in `ret_clock`: it has none. False: it names none that is whole. */
static bool clock_of(const struct view_old *old, const struct answer_head *head,
                     const struct view_clock **ret_clock)
{
    *ret_clock = NULL;
    if (head->clock == ANSWER_CLOCK_NONE)
        return true;
    if (head->clock >= old->header.clock_count)
        return false;
    *ret_clock = &old->header.clocks[head->clock];
    return ((*ret_clock)->sequence & 1) == 0;
}

/* How long it may still be served without a daemon, which it may; `ret_age`: since it was
 * confirmed. */
static uint32_t ticks_left(const struct view_old *old, const struct answer_head *head,
                           const struct view_clock *clock, uint32_t *ret_age)
{
    int32_t fresh, stale;

    if (clock) {
        *ret_age = old->now -
                   (clock->state == VIEW_CLOCK_LIVE ? old->header.heartbeat : clock->confirmed_at);
        return head->stale_until == UINT32_MAX ? UINT32_MAX : head->stale_until - *ret_age;
    }
    fresh = view_ticks_until(head->fresh_until, old->now);
    stale = view_ticks_until(head->stale_until, old->now);
    *ret_age = old->now - head->confirmed_at;
    return (uint32_t)(fresh > stale ? fresh : stale);
}

/* Makes a checked copy what it has to be in another file; its bytes that mean nothing, zero. */
static void carry(const struct view_old *old, const struct view_clock *clock,
                  union view_slot *answer)
{
    struct answer_head *head = &answer->head;
    uint32_t age, left = ticks_left(old, head, clock, &age);

    if (left > STALE_TICKS_MAX)
        left = STALE_TICKS_MAX;
    if ((int32_t)age < 0)
        age = 0; /* "confirmed" in the future */
    head->sequence = 0;
    head->flags &= ANSWER_FLAG_ALIAS | ANSWER_FLAG_PARTIAL;
    head->flags |= ANSWER_FLAG_STALE;
    head->clock = ANSWER_CLOCK_NONE;
    head->fresh_until = head->refresh_at = old->now;
    head->stale_until = old->now + left;
    head->confirmed_at = old->now - age;
    memset(head->reserved, 0, sizeof(head->reserved));
    memset(answer->bytes + ANSWER_HEAD_SIZE + head->name_length, 0,
           ANSWER_NAME_SIZE - head->name_length);
    memset(answer->bytes + head->size, 0, sizeof(answer->bytes) - head->size);
}

/* Makes what may still be served what it has to be. False: it may not. */
static bool revive(const struct view_old *old, union view_slot *answer)
{
    const struct view_clock *clock;
    struct answer checked;

    if ((answer->head.sequence & 1) || !answer_parse(answer, sizeof(*answer), &checked) ||
        (answer->head.flags & ANSWER_FLAG_REVERSE) || !clock_of(old, &answer->head, &clock) ||
        view_slot_serve(&answer->head, clock, false, old->header.heartbeat, old->now) ==
            VIEW_SERVE_NEVER)
        return false;
    carry(old, clock, answer);
    return true;
}

void view_old_each(const struct view_old *old, view_old_answer each, void *userdata)
{
    uint64_t slots = view_table_size(old->header.set_bits, VIEW_WAYS);
    union view_slot *chunk;

    if (old->other_boot)
        return;
    chunk = calloc(CHUNK_SLOTS, sizeof(*chunk));
    if (!chunk)
        return;
    for (uint64_t first = 0; first < slots; first += CHUNK_SLOTS) {
        size_t count = slots - first < CHUNK_SLOTS ? (size_t)(slots - first) : CHUNK_SLOTS;

        if (!read_at(old->fd, view_slot_offset(&old->header, false, (uint32_t)first), chunk,
                     count * sizeof(*chunk)))
            break;
        for (size_t i = 0; i < count; i++)
            if (revive(old, &chunk[i]))
                each(userdata, &chunk[i]);
    }
    free(chunk);
}

/* ---- its addresses ---- */

static void each_address(const struct view_old *old, const struct view_reverse *entry,
                         view_old_address each, void *userdata)
{
    struct address address = {.family = entry->family == 4 ? AF_INET : AF_INET6};
    struct answer checked;
    union view_slot answer;

    if ((entry->sequence & 1) || (entry->family != 4 && entry->family != 6) ||
        entry->slot >= view_table_size(old->header.set_bits, VIEW_WAYS) ||
        !read_at(old->fd, view_slot_offset(&old->header, false, entry->slot), &answer,
                 sizeof(answer)) ||
        !answer_parse(&answer, sizeof(answer), &checked))
        return;
    memcpy(address.bytes, entry->address, entry->family == 4 ? 4 : 16);
    each(userdata, &address, checked.name);
}

void view_old_each_address(const struct view_old *old, view_old_address each, void *userdata)
{
    uint64_t entries = view_table_size(old->header.reverse_bits, 1);
    struct view_reverse chunk[CHUNK_ENTRIES];

    for (uint64_t first = 0; first < entries; first += CHUNK_ENTRIES) {
        size_t count = entries - first < CHUNK_ENTRIES ? (size_t)(entries - first) : CHUNK_ENTRIES;

        if (!read_at(old->fd, view_reverse_offset(&old->header, (uint32_t)first), chunk,
                     count * sizeof(*chunk)))
            return;
        for (size_t i = 0; i < count; i++)
            each_address(old, &chunk[i], each, userdata);
    }
}
