/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/notify.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/base.h"

/* A path, or with '@' in front a name in the abstract name space. */
static int notify_address(const char *path, struct sockaddr_un *ret_address, socklen_t *ret_size)
{
    size_t length = strlen(path);

    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((path[0] != '/' && path[0] != '@') || length >= sizeof(ret_address->sun_path))
        return -EAFNOSUPPORT;
    memcpy(ret_address->sun_path, path, length);
    if (path[0] == '@')
        ret_address->sun_path[0] = '\0';
    *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return 0;
}

int notify_try(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    _cleanup_(closep) int fd = -1;
    struct sockaddr_un address;
    socklen_t size;
    int r;

    if (!path)
        return 0;
    r = notify_address(path, &address, &size);
    if (r < 0)
        return r;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
                         (struct sockaddr *)&address, size) < 0)
        return -errno;
    return 0;
}
