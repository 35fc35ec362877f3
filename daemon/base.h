/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The few things that every file of the daemon uses: time as microseconds, clean-up attributes.
 * Nothing else belongs here.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))

#define ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

/* Microseconds, of the core's clock (clock.h) unless a name says otherwise. */
typedef uint64_t usec_t;
#define USEC_INFINITY ((usec_t)UINT64_MAX)
#define USEC_PER_SEC  ((usec_t)1000000)
#define USEC_PER_MSEC ((usec_t)1000)

static inline usec_t usec_add(usec_t a, usec_t b)
{
    return a > USEC_INFINITY - b ? USEC_INFINITY : a + b;
}

static inline void freep(void *p)
{
    free(*(void **)p);
}

static inline void closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline bool streq(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}
