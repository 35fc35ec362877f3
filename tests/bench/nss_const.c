/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libnss_const.so.2: the least that a hosts module can do, to measure others against. Any name has
 * the addresses 198.51.100.1 and up: two if it begins with "two", eight if with "eight", else one.
 */
#include <errno.h>
#include <netdb.h>
#include <nss.h>
#include <stdint.h>
#include <string.h>

enum nss_status _nss_const_gethostbyname4_r(const char *name, struct gaih_addrtuple **pat,
                                            char *buffer, size_t buflen, int *errnop, int *h_errnop,
                                            int32_t *ttlp);

enum nss_status _nss_const_gethostbyname4_r(const char *name, struct gaih_addrtuple **pat,
                                            char *buffer, size_t buflen, int *errnop, int *h_errnop,
                                            int32_t *ttlp)
{
    struct gaih_addrtuple *tuples = (struct gaih_addrtuple *)buffer; /* glibc's is aligned */
    size_t count = strncmp(name, "two", 3) == 0 ? 2 : strncmp(name, "eight", 5) == 0 ? 8 : 1;
    size_t length = strlen(name) + 1;
    char *copy = buffer + count * sizeof(*tuples);

    (void)ttlp;
    if (buflen < count * sizeof(*tuples) + length) {
        *errnop = ERANGE;
        *h_errnop = NETDB_INTERNAL;
        return NSS_STATUS_TRYAGAIN;
    }
    memcpy(copy, name, length);
    for (size_t i = 0; i < count; i++) {
        const unsigned char address[4] = {198, 51, 100, (unsigned char)(i + 1)};

        tuples[i] = (struct gaih_addrtuple){
            .next = i + 1 < count ? &tuples[i + 1] : NULL, .name = copy, .family = AF_INET};
        memcpy(tuples[i].addr, address, sizeof(address));
    }
    if (*pat)
        **pat = tuples[0];
    else
        *pat = tuples;
    *h_errnop = NETDB_SUCCESS;
    return NSS_STATUS_SUCCESS;
}
