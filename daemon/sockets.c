/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/sockets.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "daemon/log.h"
#include "nss-sd/wire.h"

/* Linux 6.16; not yet in every header. (sparc and parisc count otherwise.) */
#if !defined(SO_PASSRIGHTS) && !defined(__sparc__) && !defined(__hppa__)
#define SO_PASSRIGHTS 83
#endif

/*
 * Nobody may pass us descriptors, on this socket and on what is accepted from it. We would not take
 * them; but dropping the last reference to one can take as long as its owner likes (a TCP socket
 * that lingers), and the loop would stand still. Older kernels cannot be told.
 */
static void refuse_descriptors(int fd)
{
#ifdef SO_PASSRIGHTS
    int no = 0;

    setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
#else
    (void)fd;
#endif
}

static int socket_path(const char *directory, const char *name, struct sockaddr_un *ret_address)
{
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((size_t)snprintf(ret_address->sun_path, sizeof(ret_address->sun_path), "%s/%s", directory,
                         name) >= sizeof(ret_address->sun_path)) {
        log_error("%s/%s: the path is too long for a socket", directory, name);
        return -ENAMETOOLONG;
    }
    return 0;
}

/* Takes the path over unless a daemon listens there. */
static int clear_path(const struct sockaddr_un *address, int type)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r = -EADDRINUSE;

    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 && errno != EAGAIN) {
        r = 0;
        if (unlink(address->sun_path) < 0 && errno != ENOENT)
            r = -errno;
    }
    close(fd);
    if (r == -EADDRINUSE)
        log_error("%s: another daemon listens there", address->sun_path);
    return r;
}

static int open_own(const char *directory, const char *name, int type)
{
    struct sockaddr_un address;
    int fd, r;

    r = socket_path(directory, name, &address);
    if (r < 0)
        return r;
    r = clear_path(&address, type);
    if (r < 0)
        return r;
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(address.sun_path, 0666) < 0 || (type != SOCK_DGRAM && listen(fd, SOMAXCONN) < 0)) {
        r = -errno;
        log_error("%s: cannot listen: %s", address.sun_path, strerror(-r));
        close(fd);
        return r;
    }
    return fd;
}

/* Finds a passed socket by its FileDescriptorName= or the end of its path. */
static int find_passed(char *const *names, int count, const char *name, int type)
{
    char path[64];

    snprintf(path, sizeof(path), "/%s", name);
    for (int i = 0; i < count; i++) {
        int fd = SD_LISTEN_FDS_START + i;
        struct sockaddr_un address = {0};
        socklen_t length = sizeof(address);
        size_t size;

        if (sd_is_socket(fd, AF_UNIX, type, type == SOCK_DGRAM ? -1 : 1) <= 0)
            continue;
        if (names && names[i] && streq(names[i], name))
            return fd;
        if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
            continue;
        size = strnlen(address.sun_path, sizeof(address.sun_path));
        if (size > strlen(path) &&
            memcmp(address.sun_path + size - strlen(path), path, strlen(path)) == 0)
            return fd;
    }
    return -1;
}

static int open_one(char *const *names, int count, const char *directory, const char *name,
                    int type)
{
    int fd = find_passed(names, count, name, type), flags;

    if (fd < 0)
        return open_own(directory, name, type);
    /* One that was opened for us may block. */
    flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : fd;
}

static void names_free(char **names)
{
    for (size_t i = 0; names && names[i]; i++)
        free(names[i]);
    free(names);
}

int sockets_open(const char *runtime_directory, struct sockets *ret_sockets)
{
    char **names = NULL;
    int count = sd_listen_fds_with_names(1, &names);
    struct sockets sockets = {.lookup = -1, .refresh = -1, .control = -1};
    const struct {
        const char *name;
        int type;
        int *fd;
    } wanted[] = {
        {NSS_SD_LOOKUP_SOCKET, SOCK_SEQPACKET, &sockets.lookup},
        {NSS_SD_REFRESH_SOCKET, SOCK_DGRAM, &sockets.refresh},
        {NSS_SD_CONTROL_SOCKET, SOCK_STREAM, &sockets.control},
    };
    int r = 0;

    if (count < 0)
        count = 0;
    for (size_t i = 0; i < ELEMENTS(wanted) && r >= 0; i++) {
        r = open_one(names, count, runtime_directory, wanted[i].name, wanted[i].type);
        *wanted[i].fd = r;
        if (r >= 0)
            refuse_descriptors(r);
    }
    names_free(names);
    if (r < 0) {
        for (size_t i = 0; i < ELEMENTS(wanted); i++)
            if (*wanted[i].fd >= 0)
                close(*wanted[i].fd);
        return r;
    }
    *ret_sockets = sockets;
    return 0;
}
