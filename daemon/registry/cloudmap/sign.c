/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signature Version 4 (sign.h). */
#include "daemon/registry/cloudmap/sign.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <time.h>

#include "daemon/config.h"

enum { HASH_SIZE = 32, HEX_SIZE = 2 * HASH_SIZE + 1, DAY_SIZE = 8 };

void cloudmap_keys_done(struct cloudmap_keys *keys)
{
    config_secret_free(keys->access);
    config_secret_free(keys->secret);
    config_secret_free(keys->token);
    *keys = (struct cloudmap_keys){0};
}

static void to_hex(const uint8_t hash[static HASH_SIZE], char ret_hex[static HEX_SIZE])
{
    for (size_t i = 0; i < HASH_SIZE; i++)
        sprintf(ret_hex + 2 * i, "%02x", hash[i]);
}

static int hash_hex(const void *data, size_t size, char ret_hex[static HEX_SIZE])
{
    uint8_t hash[HASH_SIZE];

    if (EVP_Digest(data, size, hash, NULL, EVP_sha256(), NULL) != 1)
        return -EIO;
    to_hex(hash, ret_hex);
    return 0;
}

static int keyed_hash(const void *key, size_t key_size, const char *data, size_t size,
                      uint8_t ret_hash[static HASH_SIZE])
{
    return HMAC(EVP_sha256(), key, (int)key_size, (const uint8_t *)data, size, ret_hash, NULL)
               ? 0
               : -EIO;
}

/* The names are in order, as the method wants them. */
static const char *header_names(const struct cloudmap_sign_request *request)
{
    return request->keys->token ? "content-type;host;x-amz-date;x-amz-security-token;x-amz-target"
                                : "content-type;host;x-amz-date;x-amz-target";
}

static int canonical_hash(const struct cloudmap_sign_request *request, const char *date,
                          char ret_hex[static HEX_SIZE])
{
    const char *token = request->keys->token;
    char body[HEX_SIZE], *text;
    int r = hash_hex(request->body, request->body_size, body);

    if (r < 0)
        return r;
    if (asprintf(&text,
                 "POST\n/\n\ncontent-type:%s\nhost:%s\nx-amz-date:%s\n%s%s%sx-amz-target:%s\n\n"
                 "%s\n%s",
                 request->content_type, request->host, date, token ? "x-amz-security-token:" : "",
                 token ?: "", token ? "\n" : "", request->target, header_names(request), body) < 0)
        return -ENOMEM;
    r = hash_hex(text, strlen(text), ret_hex);
    config_secret_free(text);
    return r;
}

/* The key of this day, region and service: a chain of keyed hashes that begins with the secret. */
static int signing_key(const struct cloudmap_sign_request *request, const char *date,
                       uint8_t ret_key[static HASH_SIZE])
{
    const char *words[] = {request->region, request->service, "aws4_request"};
    char *first;
    int r;

    if (asprintf(&first, "AWS4%s", request->keys->secret) < 0)
        return -ENOMEM;
    r = keyed_hash(first, strlen(first), date, DAY_SIZE, ret_key);
    config_secret_free(first);
    for (size_t i = 0; r == 0 && i < ELEMENTS(words); i++)
        r = keyed_hash(ret_key, HASH_SIZE, words[i], strlen(words[i]), ret_key);
    return r;
}

static int signature(const struct cloudmap_sign_request *request, const char *date,
                     const char *scope, char ret_hex[static HEX_SIZE])
{
    char canonical[HEX_SIZE], *text;
    uint8_t key[HASH_SIZE], hash[HASH_SIZE];
    int r = canonical_hash(request, date, canonical);

    if (r < 0)
        return r;
    if (asprintf(&text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope, canonical) < 0)
        return -ENOMEM;
    r = signing_key(request, date, key);
    if (r == 0)
        r = keyed_hash(key, sizeof(key), text, strlen(text), hash);
    if (r == 0)
        to_hex(hash, ret_hex);
    explicit_bzero(key, sizeof(key));
    free(text);
    return r;
}

int cloudmap_sign(const struct cloudmap_sign_request *request,
                  char ret_date[static CLOUDMAP_DATE_SIZE], char **ret_authorization)
{
    _cleanup_(freep) char *scope = NULL;
    time_t seconds = (time_t)(request->time / USEC_PER_SEC);
    char hex[HEX_SIZE];
    struct tm parts;
    int r;

    if (!gmtime_r(&seconds, &parts) ||
        strftime(ret_date, CLOUDMAP_DATE_SIZE, "%Y%m%dT%H%M%SZ", &parts) == 0)
        return -EIO;
    if (asprintf(&scope, "%.*s/%s/%s/aws4_request", DAY_SIZE, ret_date, request->region,
                 request->service) < 0) {
        scope = NULL;
        return -ENOMEM;
    }
    r = signature(request, ret_date, scope, hex);
    if (r < 0)
        return r;
    return asprintf(ret_authorization,
                    "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
                    request->keys->access, scope, header_names(request), hex) < 0
               ? -ENOMEM
               : 0;
}
