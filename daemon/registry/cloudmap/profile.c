/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One profile of AWS's shared files (profile.h). */
#include "daemon/registry/cloudmap/profile.h"

#include "daemon/config.h"

struct slice {
    const char *at;
    size_t size;
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct slice trim(struct slice text)
{
    while (text.size > 0 && is_space(text.at[text.size - 1]))
        text.size--;
    while (text.size > 0 && is_space(text.at[0])) {
        text.at++;
        text.size--;
    }
    return text;
}

static bool slice_is(struct slice text, const char *word)
{
    return text.size == strlen(word) && memcmp(text.at, word, text.size) == 0;
}

/* "[NAME]", "[profile NAME]": is it the section of this profile? */
static bool section_is(struct slice line, const char *name, bool config)
{
    const char *end = memchr(line.at, ']', line.size);
    struct slice title;

    if (!end)
        return false;
    title = trim((struct slice){line.at + 1, (size_t)(end - line.at) - 1});
    if (config && title.size > 8 && memcmp(title.at, "profile", 7) == 0 && is_space(title.at[7]))
        title = trim((struct slice){title.at + 8, title.size - 8});
    else if (config && !streq(name, "default"))
        return false;
    return slice_is(title, name);
}

static int take(char **field, struct slice value)
{
    if (*field || value.size == 0 || memchr(value.at, '\0', value.size))
        return 0;
    *field = strndup(value.at, value.size);
    return *field ? 0 : -ENOMEM;
}

static int take_pair(struct cloudmap_profile *profile, struct slice key, struct slice value)
{
    static const char *const unsupported[] = {"role_arn",       "credential_process",
                                              "sso_session",    "sso_start_url",
                                              "source_profile", "login_session"};

    if (slice_is(key, "aws_access_key_id"))
        return take(&profile->keys.access, value);
    if (slice_is(key, "aws_secret_access_key"))
        return take(&profile->keys.secret, value);
    if (slice_is(key, "aws_session_token"))
        return take(&profile->keys.token, value);
    if (slice_is(key, "region"))
        return take(&profile->region, value);
    for (size_t i = 0; i < ELEMENTS(unsupported); i++)
        if (slice_is(key, unsupported[i]) && !profile->unsupported)
            profile->unsupported = unsupported[i];
    return 0;
}

static int take_line(struct cloudmap_profile *profile, struct slice line)
{
    const char *sign = memchr(line.at, '=', line.size);
    struct slice value;

    if (!sign)
        return 0;
    value = (struct slice){sign + 1, line.size - (size_t)(sign + 1 - line.at)};
    return take_pair(profile, trim((struct slice){line.at, (size_t)(sign - line.at)}), trim(value));
}

int cloudmap_profile_read(struct cloudmap_profile *profile, const char *name, bool config,
                          const char *data, size_t size)
{
    bool inside = false;
    int r = 0;

    while (size > 0 && r == 0) {
        const char *end = memchr(data, '\n', size);
        size_t length = end ? (size_t)(end - data) : size;
        struct slice line = {data, length};

        data += length + (end ? 1 : 0);
        size -= length + (end ? 1 : 0);
        /* Indented lines belong to a key with keys of its own (s3 = ...). */
        if (length == 0 || is_space(line.at[0]) || line.at[0] == '#' || line.at[0] == ';')
            continue;
        if (line.at[0] == '[') {
            inside = section_is(line, name, config);
            profile->found |= inside;
        } else if (inside) {
            r = take_line(profile, line);
        }
    }
    return r;
}

void cloudmap_profile_done(struct cloudmap_profile *profile)
{
    cloudmap_keys_done(&profile->keys);
    free(profile->region);
    *profile = (struct cloudmap_profile){0};
}
