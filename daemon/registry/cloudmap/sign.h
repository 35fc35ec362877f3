/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Signature Version 4 (AWS General Reference, "Signing AWS API requests"), for the one shape of
 * request that this type makes: POST, path "/", no query, a fixed list of headers.
 *
 * Pure: the time is an argument, so that a clock which is off can be made up for. Made by hand,
 * because libcurl's own signer takes no time, and before 8.3 signs headers that it does not send.
 */
#pragma once

#include "daemon/base.h"

/* Secrets: cloudmap_keys_wipe() before they are let go. */
struct cloudmap_keys {
    char *access;
    char *secret;
    char *token; /* session token; NULL: none */
};
void cloudmap_keys_done(struct cloudmap_keys *keys); /* wipes and frees */

struct cloudmap_sign_request {
    const char *host; /* as it is sent: with the port where it is not the scheme's */
    const char *content_type;
    const char *target; /* X-Amz-Target */
    const char *body;
    size_t body_size;
    const char *region, *service;
    const struct cloudmap_keys *keys;
    usec_t time; /* since 1970, as the server counts it */
};

enum { CLOUDMAP_DATE_SIZE = sizeof("20261122T120000Z") };

/* The values of the headers to send: X-Amz-Date, and Authorization (free() it). 0, -ENOMEM, or -EIO
 * where libcrypto fails. */
int cloudmap_sign(const struct cloudmap_sign_request *request,
                  char ret_date[static CLOUDMAP_DATE_SIZE], char **ret_authorization);
