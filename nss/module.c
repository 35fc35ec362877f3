/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The entry points of libnss_sd.so.2: glibc's calling conventions around lookup.h, and nothing
 * else. Both error pointers usually are the caller's errno and h_errno, so a verdict is made in
 * private, errno is put back as it was, and only then are they written, in verdict_store().
 */
#include "nss/module.h"

#include <errno.h>

#include "nss/lookup.h"

static enum nss_status verdict_store(const struct verdict *verdict, int saved_errno, int *errnop,
                                     int *h_errnop)
{
    errno = saved_errno;
    if (verdict->status != NSS_STATUS_SUCCESS)
        *errnop = verdict->error;
    *h_errnop = verdict->h_error;
    return verdict->status;
}

/* A cache in front of us (nscd) must not freeze an answer. */
static void ttl_store(int32_t *ttlp)
{
    if (ttlp)
        *ttlp = 0;
}

enum nss_status _nss_sd_gethostbyname4_r(const char *name, struct gaih_addrtuple **pat,
                                         char *buffer, size_t buflen, int *errnop, int *h_errnop,
                                         int32_t *ttlp)
{
    int saved_errno = errno;
    struct lookup_target target = {.buffer = {buffer, buflen}, .tuples = pat};
    struct verdict verdict = lookup_name(name, AF_UNSPEC, &target);

    ttl_store(ttlp);
    return verdict_store(&verdict, saved_errno, errnop, h_errnop);
}

/*
 * One family. No entry point calls another: a program that has a function of that name would be
 * called instead.
 */
static enum nss_status host_by_name(const char *name, int af, const struct lookup_target *target,
                                    int *errnop, int *h_errnop)
{
    int saved_errno = errno;
    struct verdict verdict = lookup_name(name, af, target);

    return verdict_store(&verdict, saved_errno, errnop, h_errnop);
}

enum nss_status _nss_sd_gethostbyname3_r(const char *name, int af, struct hostent *host,
                                         char *buffer, size_t buflen, int *errnop, int *h_errnop,
                                         int32_t *ttlp, char **canonp)
{
    /* Only nscd wants to know for how long. It keeps a single address for a while whatever it is
     * told, and several not at all, for they may be there to share load. */
    struct lookup_target target = {.buffer = {buffer, buflen}, .host = host, .twice = ttlp != NULL};
    enum nss_status status = host_by_name(name, af, &target, errnop, h_errnop);

    ttl_store(ttlp);
    if (canonp && status == NSS_STATUS_SUCCESS)
        *canonp = host->h_name;
    return status;
}

enum nss_status _nss_sd_gethostbyname2_r(const char *name, int af, struct hostent *host,
                                         char *buffer, size_t buflen, int *errnop, int *h_errnop)
{
    struct lookup_target target = {.buffer = {buffer, buflen}, .host = host};

    return host_by_name(name, af, &target, errnop, h_errnop);
}

enum nss_status _nss_sd_gethostbyname_r(const char *name, struct hostent *host, char *buffer,
                                        size_t buflen, int *errnop, int *h_errnop)
{
    struct lookup_target target = {.buffer = {buffer, buflen}, .host = host};

    return host_by_name(name, AF_INET, &target, errnop, h_errnop);
}

static enum nss_status host_by_address(const void *addr, socklen_t len, int af,
                                       struct hostent *host, struct pack_buffer buffer, int *errnop,
                                       int *h_errnop)
{
    int saved_errno = errno;
    struct lookup_target target = {.buffer = buffer, .host = host};
    struct verdict verdict = lookup_address(addr, len, af, &target);

    return verdict_store(&verdict, saved_errno, errnop, h_errnop);
}

enum nss_status _nss_sd_gethostbyaddr2_r(const void *addr, socklen_t len, int af,
                                         struct hostent *host, char *buffer, size_t buflen,
                                         int *errnop, int *h_errnop, int32_t *ttlp)
{
    ttl_store(ttlp);
    return host_by_address(addr, len, af, host, (struct pack_buffer){buffer, buflen}, errnop,
                           h_errnop);
}

enum nss_status _nss_sd_gethostbyaddr_r(const void *addr, socklen_t len, int af,
                                        struct hostent *host, char *buffer, size_t buflen,
                                        int *errnop, int *h_errnop)
{
    return host_by_address(addr, len, af, host, (struct pack_buffer){buffer, buflen}, errnop,
                           h_errnop);
}
