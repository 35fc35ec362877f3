/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytes of one small file, which somebody else may have replaced by anything. */
#include "daemon/config_file.h"

#include <fcntl.h>
#include <sys/stat.h>

static int open_file(const char *path)
{
    /* O_NONBLOCK: a FIFO in its place must not hold up the daemon. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r = 0;
    struct stat st;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        r = -errno;
    else if (S_ISDIR(st.st_mode))
        r = -EISDIR;
    else if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
        r = -EINVAL;
    if (r == 0)
        return fd;
    close(fd);
    return r;
}

ssize_t config_bytes_read(const char *path, char *buffer, size_t size)
{
    _cleanup_(closep) int fd = open_file(path);
    size_t used = 0;

    if (fd < 0)
        return fd;
    while (used < size) {
        ssize_t n = read(fd, buffer + used, size - used);

        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return -errno;
        used += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)used;
}
