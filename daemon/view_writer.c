/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file is made whole under a temporary name and renamed, and only then is the old one retired: a
 * reader that sees the hint finds the new file at the path.
 */
#include "daemon/view_writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "nss-sd/view.h"
#include "nss-sd/wire.h"

#define VIEW_TEMPORARY_PREFIX NSS_SD_VIEW_FILE "."

struct view_writer {
    struct view_header *header; /* the mapped file */
};

static uint32_t view_tick(usec_t now)
{
    return (uint32_t)(now / (USEC_PER_SEC / VIEW_TICKS_PER_SECOND));
}

/* Half-made files of a daemon that was killed: nobody but a writer ever opens them. */
static void view_sweep(int directory_fd)
{
    int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!entries) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(entries)))
        if (strncmp(entry->d_name, VIEW_TEMPORARY_PREFIX, strlen(VIEW_TEMPORARY_PREFIX)) == 0)
            unlinkat(directory_fd, entry->d_name, 0);
    closedir(entries);
}

/* By length, longest first; equal lengths in the order given. */
static void view_sort_domains(struct view_name *domains, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct view_name moved = domains[i];
        size_t j = i;

        for (; j > 0 && domains[j - 1].length < moved.length; j--)
            domains[j] = domains[j - 1];
        domains[j] = moved;
    }
}

static int view_name_set(struct view_name *ret_name, const char *text, uint16_t flags)
{
    size_t length = strlen(text);

    if (length > sizeof(ret_name->text) || !answer_name_ok(text, length))
        return -EINVAL;
    *ret_name = (struct view_name){.length = (uint16_t)length, .flags = flags};
    memcpy(ret_name->text, text, length);
    return 0;
}

/* Fills in what `spec` decides; the rest of the zeroed header is left alone. */
static int view_fill_spec(struct view_header *header, const struct view_spec *spec)
{
    usec_t timeout = spec->lookup_timeout / USEC_PER_MSEC;
    int r;

    if (spec->domain_count > VIEW_DOMAINS_MAX || spec->search_count > VIEW_SEARCH_MAX)
        return -E2BIG;
    for (size_t i = 0; i < spec->domain_count; i++) {
        const struct view_domain_spec *domain = &spec->domains[i];
        unsigned bit;

        r = view_name_set(&header->domains[i], domain->name,
                          domain->shared ? VIEW_DOMAIN_SHARED : 0);
        if (r < 0)
            return r;
        bit = view_filter_bit_of(domain->name, strlen(domain->name));
        header->filter[bit / 32] |= UINT32_C(1) << bit % 32;
    }
    for (size_t i = 0; i < spec->search_count; i++) {
        r = view_name_set(&header->search[i], spec->search[i], 0);
        if (r < 0)
            return r;
    }
    view_sort_domains(header->domains, spec->domain_count);
    header->domain_count = (uint32_t)spec->domain_count;
    header->search_count = (uint32_t)spec->search_count;
    header->ndots = spec->ndots;
    header->lookup_timeout_ms = timeout < WIRE_LOOKUP_TIMEOUT_MAX
                                    ? (uint32_t)timeout
                                    : (uint32_t)WIRE_LOOKUP_TIMEOUT_MAX;
    return 0;
}

/* Fills in what is the same whatever the configuration; the magic number last. */
static int view_fill_rest(struct view_header *header, usec_t now)
{
    struct stat netns = {0};

    if (getrandom(header->hash_key, sizeof(header->hash_key), 0) != sizeof(header->hash_key))
        return -EIO;
    if (stat("/proc/self/ns/net", &netns) == 0) {
        header->netns_low = (uint32_t)netns.st_ino;
        header->netns_high = (uint32_t)((uint64_t)netns.st_ino >> 32);
    }
    header->layout = VIEW_LAYOUT;
    header->endian = VIEW_ENDIAN;
    header->header_size = VIEW_HEADER_SIZE;
    header->set_bits = header->negative_bits = header->reverse_bits = VIEW_NO_TABLE;
    header->file_size = (uint32_t)view_file_size(header->set_bits, header->negative_bits,
                                                 header->reverse_bits);
    header->slot_size = ANSWER_SLOT_SIZE;
    header->lease_ticks = VIEW_LEASE_TICKS;
    header->heartbeat = view_tick(now);
    __atomic_store_n(&header->magic, VIEW_MAGIC, __ATOMIC_RELEASE);
    return 0;
}

static struct view_header *view_map(int fd)
{
    void *mapping = mmap(NULL, VIEW_HEADER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    return mapping == MAP_FAILED ? NULL : mapping;
}

static struct view_header *view_unmap(struct view_header *header)
{
    if (header)
        munmap(header, VIEW_HEADER_SIZE);
    return NULL;
}

/* Makes the complete file under the name `name`. On error it may be left half-made. */
static int view_create(int directory_fd, const char *name, const struct view_spec *spec, usec_t now,
                       struct view_header **ret_header)
{
    _cleanup_(closep) int fd = openat(directory_fd, name,
                                      O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct view_header *header;
    int r;

    if (fd < 0)
        return -errno;
    r = posix_fallocate(fd, 0, VIEW_HEADER_SIZE);
    if (r != 0)
        return -r;
    header = view_map(fd);
    if (!header)
        return -errno;
    r = view_fill_spec(header, spec);
    if (r >= 0)
        r = view_fill_rest(header, now);
    if (r >= 0 && fchmod(fd, 0644) < 0)
        r = -errno;
    if (r < 0) {
        view_unmap(header);
        return r;
    }
    *ret_header = header;
    return 0;
}

/* The file that is in place now, if it is a view of ours of this layout; else NULL. */
static struct view_header *view_open_old(int directory_fd)
{
    _cleanup_(closep) int fd = openat(directory_fd, NSS_SD_VIEW_FILE,
                                      O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct view_header *header;
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
        status.st_uid != geteuid() || status.st_size < VIEW_HEADER_SIZE)
        return NULL;
    header = view_map(fd);
    if (header && (header->magic != VIEW_MAGIC || header->layout != VIEW_LAYOUT))
        header = view_unmap(header);
    return header;
}

/* Creates the file beside the old one, puts it in its place, and only then retires the old one. */
static int view_replace(int directory_fd, const struct view_spec *spec, usec_t now,
                        struct view_header **ret_header)
{
    struct view_header *header = NULL, *old;
    char name[sizeof(VIEW_TEMPORARY_PREFIX) + 16];
    uint64_t random;
    int r;

    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        return -EIO;
    snprintf(name, sizeof(name), VIEW_TEMPORARY_PREFIX "%016llx", (unsigned long long)random);
    r = view_create(directory_fd, name, spec, now, &header);
    old = r < 0 ? NULL : view_open_old(directory_fd);
    if (r >= 0 && renameat(directory_fd, name, directory_fd, NSS_SD_VIEW_FILE) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(directory_fd, name, 0);
        view_unmap(header);
    } else {
        if (old)
            __atomic_store_n(&old->retired, 1, __ATOMIC_RELEASE);
        *ret_header = header;
    }
    view_unmap(old);
    return r;
}

int view_writer_open(const char *directory, const struct view_spec *spec, usec_t now,
                     struct view_writer **ret_writer)
{
    _cleanup_(closep) int directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct view_writer *writer;
    int r;

    if (directory_fd < 0)
        return -errno;
    writer = calloc(1, sizeof(*writer));
    if (!writer)
        return -ENOMEM;
    view_sweep(directory_fd);
    r = view_replace(directory_fd, spec, now, &writer->header);
    if (r < 0) {
        view_writer_close(writer);
        return r;
    }
    *ret_writer = writer;
    return 0;
}

bool view_writer_matches(const struct view_writer *writer, const struct view_spec *spec)
{
    const struct view_header *has = writer->header;
    struct view_header *wanted = calloc(1, sizeof(*wanted));
    bool same = wanted && view_fill_spec(wanted, spec) >= 0 && wanted->ndots == has->ndots &&
                wanted->lookup_timeout_ms == has->lookup_timeout_ms &&
                wanted->domain_count == has->domain_count &&
                wanted->search_count == has->search_count &&
                memcmp(wanted->domains, has->domains, sizeof(has->domains)) == 0 &&
                memcmp(wanted->search, has->search, sizeof(has->search)) == 0;

    free(wanted);
    return same;
}

void view_writer_beat(struct view_writer *writer, usec_t now)
{
    __atomic_store_n(&writer->header->heartbeat, view_tick(now), __ATOMIC_RELAXED);
}

struct view_writer *view_writer_close(struct view_writer *writer)
{
    if (!writer)
        return NULL;
    view_unmap(writer->header);
    free(writer);
    return NULL;
}
