/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Base64 as kubeconfigs have it: RFC 4648 section 4, padded, line breaks ignored. Pure. */
#pragma once

#include "daemon/base.h"

/*
 * Decodes into memory of its own, NUL-terminated: wipe it, it may be a key. 0, -ENOMEM, or
 * -EBADMSG for anything but whole and canonical base64.
 */
int kubeconfig_base64_decode(const char *text, char **ret_data, size_t *ret_size);

/* NULL: out of memory. */
char *kubeconfig_base64_encode(const void *data, size_t size);
