/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Publishes the directory with one compare-and-swap: no lock, and nothing to repair after fork. */
#include "nss/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nss-sd/wire.h"

enum { RUNTIME_UNREAD, RUNTIME_COPYING, RUNTIME_READY };

static char published[RUNTIME_PATH_SIZE];
static atomic_uint published_state;

/* The directory as the environment says it now; empty if it cannot be used. */
static void runtime_read(char ret_directory[static RUNTIME_PATH_SIZE])
{
    const char *wanted = secure_getenv(NSS_SD_RUNTIME_DIRECTORY_ENV);
    size_t length;

    if (!wanted || wanted[0] == '\0')
        wanted = RUNSTATEDIR "/nss-sd";
    length = strnlen(wanted, RUNTIME_PATH_SIZE);
    if (wanted[0] != '/' || length == RUNTIME_PATH_SIZE)
        length = 0;
    memcpy(ret_directory, wanted, length);
    ret_directory[length] = '\0';
}

/* Nobody waits: who comes while another thread copies uses a reading of its own. */
static const char *runtime_directory(char local[static RUNTIME_PATH_SIZE])
{
    unsigned state = atomic_load_explicit(&published_state, memory_order_acquire);

    if (state == RUNTIME_READY)
        return published;
    runtime_read(local);
    if (state == RUNTIME_UNREAD &&
        atomic_compare_exchange_strong(&published_state, &state, RUNTIME_COPYING)) {
        memcpy(published, local, RUNTIME_PATH_SIZE);
        atomic_store_explicit(&published_state, RUNTIME_READY, memory_order_release);
    }
    return local;
}

bool runtime_path(const char *file, char ret_path[static RUNTIME_PATH_SIZE])
{
    char local[RUNTIME_PATH_SIZE] = "";
    const char *directory = runtime_directory(local);
    size_t length = strlen(directory), tail = strlen(file) + 1;

    if (length == 0 || length + 1 + tail > RUNTIME_PATH_SIZE)
        return false;
    memcpy(ret_path, directory, length);
    ret_path[length] = '/';
    memcpy(ret_path + length + 1, file, tail);
    return true;
}

int runtime_fd_above_stdio(int fd)
{
    int safe, error;

    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    safe = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    error = errno;
    close(fd);
    errno = error;
    return safe;
}
