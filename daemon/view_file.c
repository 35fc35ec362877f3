/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/view_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "nss-sd/wire.h"

#define TEMPORARY_PREFIX NSS_SD_VIEW_FILE "."

void view_file_sweep(int directory_fd)
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
        if (strncmp(entry->d_name, TEMPORARY_PREFIX, strlen(TEMPORARY_PREFIX)) == 0)
            unlinkat(directory_fd, entry->d_name, 0);
    closedir(entries);
}

/* All or nothing: on a full tmpfs a store into a hole of the mapping would raise SIGBUS. */
static int allocate(int fd, size_t size)
{
    int r;

    do
        r = posix_fallocate(fd, 0, (off_t)size);
    while (r == EINTR);
    return -r;
}

static int map(int fd, struct view_file *file)
{
    void *mapping = mmap(NULL, file->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (mapping == MAP_FAILED)
        return -errno;
    file->header = mapping;
    return 0;
}

int view_file_create(int directory_fd, size_t size, struct view_file *ret_file)
{
    struct view_file file = {.size = size};
    _cleanup_(closep) int fd = -1;
    uint64_t random;
    int r;

    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        return -EIO;
    snprintf(file.temporary, sizeof(file.temporary), TEMPORARY_PREFIX "%016llx",
             (unsigned long long)random);
    fd = openat(directory_fd, file.temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                0600);
    if (fd < 0)
        return -errno;
    r = allocate(fd, size);
    if (r >= 0 && fchmod(fd, 0644) < 0)
        r = -errno;
    if (r >= 0)
        r = map(fd, &file);
    if (r < 0)
        view_file_discard(&file, directory_fd);
    else
        *ret_file = file;
    return r;
}

int view_file_install(struct view_file *file, int directory_fd)
{
    __atomic_store_n(&file->header->magic, VIEW_MAGIC, __ATOMIC_RELEASE);
    if (renameat(directory_fd, file->temporary, directory_fd, NSS_SD_VIEW_FILE) < 0)
        return -errno;
    file->temporary[0] = '\0';
    return 0;
}

void view_file_discard(struct view_file *file, int directory_fd)
{
    if (file->temporary[0] != '\0')
        unlinkat(directory_fd, file->temporary, 0);
    file->temporary[0] = '\0';
}

void view_file_done(struct view_file *file)
{
    if (file->header)
        munmap(file->header, file->size);
    file->header = NULL;
}
