/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Secrets (tokens, passwords) from files: read when they are needed, wiped when they are not. A
 * secret is text of one line; it never goes into a message.
 */
#include "daemon/config.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { SECRET_MAX = 64 * 1024 };

/* Reads at most `size` bytes; the count, or negative errno. */
static ssize_t read_all(int fd, char *buffer, size_t size)
{
    size_t used = 0;

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

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Takes white space off both ends, in place. -EBADMSG if nothing or no token is left. */
static int trim(char *text, size_t size)
{
    size_t start = 0;

    while (size > 0 && is_space(text[size - 1]))
        size--;
    while (start < size && is_space(text[start]))
        start++;
    size -= start;
    memmove(text, text + start, size);
    text[size] = '\0';
    if (size == 0 || strlen(text) != size || strpbrk(text, "\r\n"))
        return -EBADMSG;
    return 0;
}

int config_secret_read(const char *path, char **ret_secret)
{
    /* O_NONBLOCK: a FIFO in its place must not hold up the daemon. */
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    char *buffer;
    ssize_t size;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EBADMSG;
    buffer = malloc(SECRET_MAX + 2);
    if (!buffer)
        return -ENOMEM;
    size = read_all(fd, buffer, SECRET_MAX + 1);
    if (size < 0)
        r = (int)size;
    else if (size > SECRET_MAX)
        r = -EBADMSG;
    else
        r = trim(buffer, (size_t)size);
    if (r == 0) {
        *ret_secret = strdup(buffer);
        r = *ret_secret ? 0 : -ENOMEM;
    }
    explicit_bzero(buffer, SECRET_MAX + 2);
    free(buffer);
    return r;
}

char *config_secret_free(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
    return NULL;
}
