/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lax reading of untrusted JSON (json.h). */
#include "daemon/registry/json.h"

static const char *text_or_null(const json_t *value)
{
    size_t size = json_string_length(value);

    if (!json_is_string(value) || size >= ENDPOINT_STRING_MAX ||
        strlen(json_string_value(value)) != size)
        return NULL;
    return json_string_value(value);
}

const char *registry_json_text(const json_t *object, const char *key)
{
    return text_or_null(json_object_get(object, key)) ?: "";
}

bool registry_json_text_is_bad(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return value && !json_is_null(value) && !text_or_null(value);
}

long long registry_json_number(const json_t *object, const char *key, long long minimum,
                               long long maximum, long long fallback)
{
    const json_t *value = json_object_get(object, key);
    long long number = json_integer_value(value);

    return json_is_integer(value) && number >= minimum && number <= maximum ? number : fallback;
}

json_t *registry_json_parse(const char *data, size_t size)
{
    return json_loadb(data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}

static void skip_space(const char *data, size_t size, size_t *at)
{
    while (*at < size &&
           (data[*at] == ' ' || data[*at] == '\t' || data[*at] == '\n' || data[*at] == '\r'))
        (*at)++;
}

/* The length of the bracketed value that starts at `data`, or 0. Its inside is for the parser to
 * judge. */
static size_t bracketed_size(const char *data, size_t size)
{
    size_t depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < size; i++) {
        char c = data[i];

        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

static int array_end(const char *data, size_t size, size_t at)
{
    skip_space(data, size, &at);
    return at == size ? 0 : -EBADMSG;
}

int registry_json_next(const char *data, size_t size, size_t *at, json_t **ret_element)
{
    bool first = *at == 0;
    size_t length;

    skip_space(data, size, at);
    if (*at == size)
        return -EBADMSG;
    if (!first && data[*at] == ']')
        return array_end(data, size, *at + 1);
    if (data[(*at)++] != (first ? '[' : ','))
        return -EBADMSG;
    skip_space(data, size, at);
    if (first && *at < size && data[*at] == ']')
        return array_end(data, size, *at + 1);
    if (*at == size || data[*at] != '{')
        return -EBADMSG;
    length = bracketed_size(data + *at, size - *at);
    *ret_element = length > 0 ? registry_json_parse(data + *at, length) : NULL;
    if (!*ret_element)
        return -EBADMSG;
    *at += length;
    return 1;
}
