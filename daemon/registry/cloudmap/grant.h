/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Grants: the answers of the services that hand out keys for a time (STS, container agents,
 * instance metadata), read. Pure: takes bytes; knows no HTTP and no time. What is in them never
 * goes into a message, but for the codes of errors.
 */
#pragma once

#include "daemon/registry/cloudmap/sign.h"

struct cloudmap_grant {
    struct cloudmap_keys keys;
    usec_t expires; /* since 1970; USEC_INFINITY: never */
};
void cloudmap_grant_done(struct cloudmap_grant *grant);

/* A container agent's or the instance metadata's JSON. 0, -EBADMSG, -ENOMEM. */
int cloudmap_grant_metadata(const char *data, size_t size, struct cloudmap_grant *ret_grant);
/* STS's AssumeRoleWithWebIdentity, as JSON or XML. Likewise. */
int cloudmap_grant_sts(const char *data, size_t size, struct cloudmap_grant *ret_grant);
/* The code of an error of STS, JSON or XML; "" if none is told. */
enum { CLOUDMAP_CODE_SIZE = 64 };
void cloudmap_grant_sts_error(const char *data, size_t size,
                              char ret_code[static CLOUDMAP_CODE_SIZE]);

/* "2026-11-22T13:00:00Z", with or without a fraction. 0 or -EINVAL. */
int cloudmap_time_from_iso(const char *text, usec_t *ret_time);
/* "Sun, 22 Nov 2026 12:00:00 GMT", of HTTP's Date. 0 or -EINVAL. */
int cloudmap_time_from_http(const char *text, usec_t *ret_time);
