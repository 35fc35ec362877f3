/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/snapshot_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/log.h"
#include "daemon/snapshot_format.h"

#define TEMPORARY ".new"
#define REFUSED   ".refused"

/* A read that takes longer is told of, once in this time. */
#define PROGRESS USEC_PER_SEC

int snapshot_directory_open(const char *path)
{
    int fd;

    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* ---- reading ---- */

static usec_t monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (usec_t)now.tv_sec * USEC_PER_SEC + (usec_t)now.tv_nsec / 1000;
}

static int read_all(int fd, const char *name, uint8_t *data, size_t size)
{
    usec_t told = monotonic();

    for (size_t at = 0; at < size;) {
        size_t piece = size - at < (1u << 20) ? size - at : 1u << 20;
        ssize_t count = read(fd, data + at, piece);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        if (count == 0)
            return -EIO; /* it was cut under our hands */
        at += (size_t)count;
        if (monotonic() - told < PROGRESS)
            continue;
        told = monotonic();
        log_info("snapshot %s: %zu of %zu MiB read", name, at >> 20, size >> 20);
    }
    return 0;
}

int snapshot_file_read(int directory_fd, const char *name, void **ret_data, size_t *ret_size)
{
    _cleanup_(closep) int fd = openat(directory_fd, name,
                                      O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    uint8_t *data;
    int r;

    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EINVAL;
    if (status.st_size > SNAPSHOT_SIZE_MAX)
        return -EFBIG;
    data = malloc((size_t)status.st_size + 1);
    if (!data)
        return -ENOMEM;
    r = read_all(fd, name, data, (size_t)status.st_size);
    if (r < 0) {
        free(data);
        return r;
    }
    *ret_data = data;
    *ret_size = (size_t)status.st_size;
    return 0;
}

/* ---- writing ---- */

static int write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t count = write(fd, data, size);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        data += count;
        size -= (size_t)count;
    }
    return 0;
}

static int write_temporary(int directory_fd, const char *temporary, const void *data, size_t size,
                           const char **ret_what)
{
    int fd, r;

    *ret_what = "made";
    if (unlinkat(directory_fd, temporary, 0) < 0 && errno != ENOENT)
        return -errno;
    fd = openat(directory_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    *ret_what = "written";
    r = write_all(fd, data, size);
    if (r >= 0 && fsync(fd) < 0) {
        *ret_what = "synced";
        r = -errno;
    }
    if (close(fd) < 0 && r >= 0)
        r = -errno;
    return r;
}

int snapshot_file_write(int directory_fd, const char *name, const void *data, size_t size,
                        const char **ret_what)
{
    char temporary[NAME_MAX + 1];
    int r;

    if (snprintf(temporary, sizeof(temporary), "%s" TEMPORARY, name) >= (int)sizeof(temporary))
        return -ENAMETOOLONG;
    r = write_temporary(directory_fd, temporary, data, size, ret_what);
    if (r >= 0 && renameat(directory_fd, temporary, directory_fd, name) < 0) {
        *ret_what = "renamed";
        r = -errno;
    }
    if (r < 0) {
        unlinkat(directory_fd, temporary, 0);
        return r;
    }
    *ret_what = "synced";
    return fsync(directory_fd) < 0 ? -errno : 0;
}

int snapshot_file_set_aside(int directory_fd, const char *name)
{
    char refused[NAME_MAX + 1];

    if (snprintf(refused, sizeof(refused), "%s" REFUSED, name) >= (int)sizeof(refused))
        return -ENAMETOOLONG;
    return renameat(directory_fd, name, directory_fd, refused) < 0 ? -errno : 0;
}

/* ---- sweeping ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), size = strlen(end);

    return length > size && streq(text + length - size, end);
}

static bool older_than(int directory_fd, const char *name, usec_t age)
{
    struct stat status;
    time_t now = time(NULL);

    return age != USEC_INFINITY && fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) >= 0 &&
           S_ISREG(status.st_mode) && now > status.st_mtime &&
           (usec_t)(now - status.st_mtime) > age / USEC_PER_SEC;
}

void snapshot_directory_sweep(int directory_fd, bool torn, usec_t age,
                              bool (*keeps)(void *userdata, const char *name), void *userdata)
{
    int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!stream) {
        closep(&fd);
        return;
    }
    while ((entry = readdir(stream))) {
        const char *name = entry->d_name;

        if (name[0] == '.')
            continue;
        if (ends_with(name, TEMPORARY)
                ? torn
                : !keeps(userdata, name) && older_than(directory_fd, name, age))
            unlinkat(directory_fd, name, 0);
    }
    closedir(stream);
}
