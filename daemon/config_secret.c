/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Secrets (tokens, passwords) from files: read when they are needed, wiped when they are not. A
 * secret is text of one line; it never goes into a message.
 */
#include "daemon/config.h"
#include "daemon/config_file.h"

enum { SECRET_MAX = 64 * 1024 };

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
    char *buffer = malloc(SECRET_MAX + 2);
    ssize_t size;
    int r;

    if (!buffer)
        return -ENOMEM;
    size = config_bytes_read(path, buffer, SECRET_MAX + 1);
    if (size == -EISDIR || size == -EINVAL || size > SECRET_MAX)
        r = -EBADMSG;
    else if (size < 0)
        r = (int)size;
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
