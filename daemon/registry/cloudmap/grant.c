/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys for a time, as services grant them (grant.h). */
#include "daemon/registry/cloudmap/grant.h"

#include <stdio.h>
#include <time.h>

#include "daemon/config.h"
#include "daemon/registry/json.h"

enum { VALUE_MAX = 16 * 1024 }; /* of a key or token */

void cloudmap_grant_done(struct cloudmap_grant *grant)
{
    cloudmap_keys_done(&grant->keys);
    *grant = (struct cloudmap_grant){0};
}

/* ---- times ---- */

static int time_from_parts(struct tm *parts, usec_t *ret_time)
{
    time_t seconds = timegm(parts);

    if (seconds < 0)
        return -EINVAL;
    *ret_time = (usec_t)seconds * USEC_PER_SEC;
    return 0;
}

int cloudmap_time_from_iso(const char *text, usec_t *ret_time)
{
    struct tm parts = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);

    if (end && *end == '.')
        end += 1 + strspn(end + 1, "0123456789");
    return end && streq(end, "Z") ? time_from_parts(&parts, ret_time) : -EINVAL;
}

int cloudmap_time_from_http(const char *text, usec_t *ret_time)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm parts = {0};
    char month[4];
    const char *found;

    /* Not by strptime: the words are English whatever the locale. */
    if (sscanf(text, "%*3s, %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT", &parts.tm_mday, month,
               &parts.tm_year, &parts.tm_hour, &parts.tm_min, &parts.tm_sec) != 6)
        return -EINVAL;
    found = strstr(months, month);
    if (!found || strlen(month) != 3 || (found - months) % 3 != 0)
        return -EINVAL;
    parts.tm_mon = (int)(found - months) / 3;
    parts.tm_year -= 1900;
    return time_from_parts(&parts, ret_time);
}

/* ---- JSON ---- */

/* A string that goes into a header: no control characters. NULL: there is none such. */
static const char *header_text(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    size_t size = json_string_length(value);

    if (!json_is_string(value) || size == 0 || size > VALUE_MAX)
        return NULL;
    for (size_t i = 0; i < size; i++)
        if (json_string_value(value)[i] < '!' || json_string_value(value)[i] > '~')
            return NULL;
    return json_string_value(value);
}

static int take_text(const json_t *object, const char *key, char **ret_text)
{
    const char *text = header_text(object, key);

    *ret_text = text ? strdup(text) : NULL;
    return text && !*ret_text ? -ENOMEM : 0;
}

static int take_expiry(const json_t *object, usec_t *ret_expires)
{
    const json_t *value = json_object_get(object, "Expiration");

    *ret_expires = USEC_INFINITY;
    if (!value || json_is_null(value))
        return 0;
    if (json_is_number(value)) {
        double seconds = json_number_value(value);

        if (!(seconds > 0 && seconds < 1e12))
            return -EBADMSG;
        *ret_expires = (usec_t)(seconds * 1e6);
        return 0;
    }
    return json_is_string(value) &&
                   cloudmap_time_from_iso(json_string_value(value), ret_expires) == 0
               ? 0
               : -EBADMSG;
}

static int take_grant(const json_t *object, const char *token, struct cloudmap_grant *ret_grant)
{
    struct cloudmap_keys *keys = &ret_grant->keys;
    int r;

    *ret_grant = (struct cloudmap_grant){0};
    r = take_text(object, "AccessKeyId", &keys->access);
    r = take_text(object, "SecretAccessKey", &keys->secret) ?: r;
    r = take_text(object, token, &keys->token) ?: r;
    r = take_expiry(object, &ret_grant->expires) ?: r;
    if (r == 0 && (!keys->access || !keys->secret))
        r = -EBADMSG;
    if (r < 0)
        cloudmap_grant_done(ret_grant);
    return r;
}

int cloudmap_grant_metadata(const char *data, size_t size, struct cloudmap_grant *ret_grant)
{
    json_t *root = registry_json_parse(data, size);
    const char *code = registry_json_text(root, "Code");
    int r = -EBADMSG;

    if (code[0] == '\0' || streq(code, "Success"))
        r = take_grant(root, "Token", ret_grant);
    json_decref(root);
    return r;
}

/* ---- STS ---- */

/* The text of the first element <TAG> within `data`, its entities left as they are. */
static char *xml_text(const char *data, size_t size, const char *tag)
{
    char open[48], close[48];
    const char *begin, *end;

    snprintf(open, sizeof(open), "<%s>", tag);
    snprintf(close, sizeof(close), "</%s>", tag);
    begin = memmem(data, size, open, strlen(open));
    if (!begin)
        return NULL;
    begin += strlen(open);
    end = memmem(begin, size - (size_t)(begin - data), close, strlen(close));
    return end && end > begin && end - begin <= VALUE_MAX ? strndup(begin, (size_t)(end - begin))
                                                          : NULL;
}

/* The XML answer as the object that the JSON one has. */
static json_t *xml_credentials(const char *data, size_t size)
{
    static const char *const tags[] = {"AccessKeyId", "SecretAccessKey", "SessionToken",
                                       "Expiration"};
    json_t *object = json_object();

    for (size_t i = 0; i < ELEMENTS(tags); i++) {
        char *text = xml_text(data, size, tags[i]);

        if (text)
            json_object_set_new(object, tags[i], json_string(text));
        config_secret_free(text);
    }
    return object;
}

static json_t *sts_credentials(const json_t *root)
{
    const json_t *at = json_object_get(root, "AssumeRoleWithWebIdentityResponse");

    at = json_object_get(at, "AssumeRoleWithWebIdentityResult");
    return json_incref(json_object_get(at, "Credentials"));
}

int cloudmap_grant_sts(const char *data, size_t size, struct cloudmap_grant *ret_grant)
{
    json_t *root = registry_json_parse(data, size);
    json_t *credentials = root ? sts_credentials(root) : xml_credentials(data, size);
    int r = take_grant(credentials, "SessionToken", ret_grant);

    json_decref(credentials);
    json_decref(root);
    return r;
}

void cloudmap_grant_sts_error(const char *data, size_t size,
                              char ret_code[static CLOUDMAP_CODE_SIZE])
{
    json_t *root = registry_json_parse(data, size);
    _cleanup_(freep) char *xml = root ? NULL : xml_text(data, size, "Code");
    const char *code = xml ?: registry_json_text(json_object_get(root, "Error"), "Code");
    size_t length = strlen(code);

    if (strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.") != length ||
        length >= CLOUDMAP_CODE_SIZE)
        code = "";
    strcpy(ret_code, code);
    json_decref(root);
}
