/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A real server as a child of the test, gone with it. */
#pragma once

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
    pid_t pid;
    int output;
    char text[8192]; /* what it printed until it was ready */
};

/* A TCP port of 127.0.0.1 that was free a moment ago. */
static inline unsigned child_free_port(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sin, &length), 0);
    close(fd);
    return ntohs(sin.sin_port);
}

static inline void child_stop(struct child *child)
{
    kill(child->pid, SIGKILL);
    waitpid(child->pid, NULL, 0);
    close(child->output);
}

/*
 * Waits until it has printed a whole line with `ready` in it (NULL: does not wait). False if it
 * ended before.
 */
static inline int child_start(struct child *child, const char *const *argv, const char *ready)
{
    size_t size = 0;
    const char *found;
    int fds[2];
    ssize_t n;

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    child->pid = fork();
    if (child->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fds[1], 1);
        dup2(fds[1], 2);
        setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    close(fds[1]);
    child->output = fds[0];
    if (!ready)
        return 1;
    while ((n = read(child->output, child->text + size, sizeof(child->text) - 1 - size)) > 0) {
        size += (size_t)n;
        child->text[size] = '\0';
        found = strstr(child->text, ready);
        if (found && strchr(found, '\n'))
            return 1;
    }
    child_stop(child);
    return 0;
}
