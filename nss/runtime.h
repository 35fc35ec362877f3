/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the daemon is: the runtime directory, and descriptors that keep away from stdio. The
 * directory is the compiled-in one; NSS_SD_RUNTIME_DIRECTORY (absolute) replaces it, except in a
 * setuid program. It is read once in the life of a process.
 */
#pragma once

#include <stdbool.h>
#include <sys/un.h>

enum { RUNTIME_PATH_SIZE = sizeof(((struct sockaddr_un *)0)->sun_path) };

/* Writes DIRECTORY/`file`, NUL-terminated. False: the directory is relative or too long. */
bool runtime_path(const char *file, char ret_path[static RUNTIME_PATH_SIZE]);

/*
 * A process that closed its stdio must not get our descriptor as its standard output. Takes a
 * descriptor or -1; returns one >= 3, or -1 with errno. Closes what it does not return.
 */
int runtime_fd_above_stdio(int fd);
