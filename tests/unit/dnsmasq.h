/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A real DNS server of the test's own: dnsmasq on a free port of 127.0.0.1, gone with the test. */
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

struct dnsmasq {
    pid_t pid;
    int log;
    char servers[32]; /* "127.0.0.1:PORT" */
};

/* A port that was free a moment ago. */
static inline unsigned dnsmasq_free_port(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sin, &length), 0);
    close(fd);
    return ntohs(sin.sin_port);
}

/* True once it serves; false if it ended, for example because the port was taken meanwhile. */
static inline int dnsmasq_wait(struct dnsmasq *dnsmasq)
{
    char text[8192];
    size_t size = 0;
    ssize_t n;

    while ((n = read(dnsmasq->log, text + size, sizeof(text) - 1 - size)) > 0) {
        size += (size_t)n;
        text[size] = '\0';
        if (strstr(text, "started, version"))
            return 1;
    }
    return 0;
}

static inline void dnsmasq_stop(struct dnsmasq *dnsmasq)
{
    kill(dnsmasq->pid, SIGKILL);
    waitpid(dnsmasq->pid, NULL, 0);
    close(dnsmasq->log);
}

/* `records`: further arguments, NULL at the end. The zone "test" is all its own. */
static inline void dnsmasq_start(struct dnsmasq *dnsmasq, const char *const *records)
{
    for (int attempt = 0; attempt < 5; attempt++) {
        unsigned port = dnsmasq_free_port();
        const char *argv[64] = {"dnsmasq",           "--keep-in-foreground",
                                "--log-facility=-",  "--conf-file=/dev/null",
                                "--no-resolv",       "--no-hosts",
                                "--bind-interfaces", "--listen-address=127.0.0.1",
                                "--pid-file=",       "--local=/test/",
                                "--local-ttl=30"};
        size_t argc = 11;
        char option[32];
        int fds[2];

        snprintf(dnsmasq->servers, sizeof(dnsmasq->servers), "127.0.0.1:%u", port);
        snprintf(option, sizeof(option), "--port=%u", port);
        argv[argc++] = option;
        for (size_t i = 0; records[i] && argc < 63; i++)
            argv[argc++] = records[i];
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        dnsmasq->pid = fork();
        if (dnsmasq->pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            dup2(fds[1], 2);
            setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
            execvp(argv[0], (char *const *)argv);
            _exit(127);
        }
        close(fds[1]);
        dnsmasq->log = fds[0];
        if (dnsmasq_wait(dnsmasq))
            return;
        dnsmasq_stop(dnsmasq);
    }
    ck_abort_msg("dnsmasq (package dnsmasq-base) does not start");
}
