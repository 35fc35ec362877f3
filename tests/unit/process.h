/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a piece of code costs the process that runs it: stack, and entries into the kernel. */
#pragma once

#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#ifdef __SANITIZE_ADDRESS__
enum { STACK_MAX = 65536 }; /* frames have red zones */
#else
enum { STACK_MAX = 8192 };
#endif

static inline void *do_nothing(void *argument)
{
    return argument;
}

/*
 * How much of a stack that was painted before a thread ran `function` the thread has written on.
 * Read by the kernel, for valgrind objects to a look at a dead stack.
 */
static inline size_t stack_used(void *(*function)(void *), void *argument)
{
    enum { SIZE = 256 * 1024 };
    static char copy[SIZE];
    char *stack = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iovec to = {copy, SIZE}, from = {stack, SIZE};
    pthread_attr_t attributes;
    pthread_t thread;
    size_t untouched = 0;

    ck_assert(stack != MAP_FAILED);
    memset(stack, 0xa5, SIZE);
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack, SIZE);
    ck_assert_int_eq(pthread_create(&thread, &attributes, function, argument), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    ck_assert_int_eq(process_vm_readv(getpid(), &to, 1, &from, 1, 0), SIZE);
    munmap(stack, SIZE);
    while (untouched < SIZE && copy[untouched] == (char)0xa5)
        untouched++;
    return SIZE - untouched;
}

/* Runs `function` in a process that may not enter the kernel but to leave; true if it came through.
 */
static inline bool survives_without_kernel(void (*function)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0)
            function();
        syscall(SYS_exit, 0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status);
}

static inline void read_the_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
}
