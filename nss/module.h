/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The entry points, with the prototypes that glibc calls them by (nss/function.def there). 4_r
 * serves getaddrinfo with AF_UNSPEC, 2_r and 3_r one family, plain _r the old functions.
 */
#pragma once

#include <netdb.h>
#include <nss.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define MODULE_ENTRY __attribute__((visibility("default")))

MODULE_ENTRY enum nss_status _nss_sd_gethostbyname4_r(const char *name, struct gaih_addrtuple **pat,
                                                      char *buffer, size_t buflen, int *errnop,
                                                      int *h_errnop, int32_t *ttlp);
MODULE_ENTRY enum nss_status _nss_sd_gethostbyname3_r(const char *name, int af,
                                                      struct hostent *host, char *buffer,
                                                      size_t buflen, int *errnop, int *h_errnop,
                                                      int32_t *ttlp, char **canonp);
MODULE_ENTRY enum nss_status _nss_sd_gethostbyname2_r(const char *name, int af,
                                                      struct hostent *host, char *buffer,
                                                      size_t buflen, int *errnop, int *h_errnop);
MODULE_ENTRY enum nss_status _nss_sd_gethostbyname_r(const char *name, struct hostent *host,
                                                     char *buffer, size_t buflen, int *errnop,
                                                     int *h_errnop);
MODULE_ENTRY enum nss_status _nss_sd_gethostbyaddr2_r(const void *addr, socklen_t len, int af,
                                                      struct hostent *host, char *buffer,
                                                      size_t buflen, int *errnop, int *h_errnop,
                                                      int32_t *ttlp);
MODULE_ENTRY enum nss_status _nss_sd_gethostbyaddr_r(const void *addr, socklen_t len, int af,
                                                     struct hostent *host, char *buffer,
                                                     size_t buflen, int *errnop, int *h_errnop);
