/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module's entry points as tests call them, and what comes back. */
#pragma once

#include <errno.h>
#include <netdb.h>
#include <stdint.h>
#include <time.h>

#include "nss/module.h"
#include "tests/unit/unit.h"

/* Everything that a lookup hands back. */
struct outcome {
    enum nss_status status;
    int error, h_error;
    struct gaih_addrtuple *tuples;
    struct hostent host;
    char *canonical;
    int32_t ttl;
    double ms; /* how long it took */
    _Alignas(16) char buffer[4096];
};

static inline double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* AF_UNSPEC goes by 4_r, a family by 3_r. The error numbers start as something that nobody sets. */
static inline struct outcome *look_up(const char *name, int family)
{
    static struct outcome outcome;
    struct outcome *o = &outcome;
    double begin = now_ms();

    *o = (struct outcome){.error = -1, .h_error = -1, .ttl = INT32_MAX};
    o->status = family == AF_UNSPEC
                    ? _nss_sd_gethostbyname4_r(name, &o->tuples, o->buffer, sizeof(o->buffer),
                                               &o->error, &o->h_error, &o->ttl)
                    : _nss_sd_gethostbyname3_r(name, family, &o->host, o->buffer, sizeof(o->buffer),
                                               &o->error, &o->h_error, &o->ttl, &o->canonical);
    o->ms = now_ms() - begin;
    return o;
}

static inline struct outcome *look_up_address(const void *address, socklen_t length, int family)
{
    static struct outcome outcome;
    struct outcome *o = &outcome;
    double begin = now_ms();

    *o = (struct outcome){.error = -1, .h_error = -1, .ttl = INT32_MAX};
    o->status = _nss_sd_gethostbyaddr2_r(address, length, family, &o->host, o->buffer,
                                         sizeof(o->buffer), &o->error, &o->h_error, &o->ttl);
    o->ms = now_ms() - begin;
    return o;
}

static inline void expect(const struct outcome *o, enum nss_status status, int error, int h_error)
{
    ck_assert_int_eq(o->status, status);
    ck_assert_int_eq(o->error, error);
    ck_assert_int_eq(o->h_error, h_error);
}

#define EXPECT_SUCCESS(o)   expect(o, NSS_STATUS_SUCCESS, -1, NETDB_SUCCESS)
#define EXPECT_FOREIGN(o)   expect(o, NSS_STATUS_UNAVAIL, ENOENT, NO_RECOVERY)
#define EXPECT_NO_DAEMON(o) expect(o, NSS_STATUS_UNAVAIL, ECONNREFUSED, NO_RECOVERY)
#define EXPECT_UNDECIDED(o) expect(o, NSS_STATUS_TRYAGAIN, EAGAIN, TRY_AGAIN)

static inline enum nss_status status_of(int h_error)
{
    switch (h_error) {
    case NETDB_SUCCESS:
        return NSS_STATUS_SUCCESS;
    case HOST_NOT_FOUND:
    case NO_DATA:
        return NSS_STATUS_NOTFOUND;
    case TRY_AGAIN:
        return NSS_STATUS_TRYAGAIN;
    default:
        return NSS_STATUS_UNAVAIL;
    }
}

static inline void expect_h_error(const struct outcome *o, int h_error)
{
    ck_assert_int_eq(o->h_error, h_error);
    ck_assert_int_eq(o->status, status_of(h_error));
    ck_assert_int_eq(o->error, h_error == NETDB_SUCCESS ? -1
                               : h_error == TRY_AGAIN   ? EAGAIN
                                                        : ENOENT);
}
