/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Placeholder of the entry points; see nss/ below for what replaces it. */
#include <nss.h>
enum nss_status _nss_sd_gethostbyname_r(void);
__attribute__((visibility("default"))) enum nss_status _nss_sd_gethostbyname_r(void)
{
    return NSS_STATUS_UNAVAIL;
}
