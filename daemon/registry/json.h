/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading untrusted JSON the lax way that registries need: a member that is missing, null or of
 * another type is "not said". Strings with a NUL inside or longer than a bound are no strings.
 */
#pragma once

#include <jansson.h>

#include "daemon/endpoint.h"

/* A string member, never longer than ENDPOINT_STRING_MAX - 1 bytes; "" if there is none. */
const char *registry_json_text(const json_t *object, const char *key);

/* Is a member there with a value that registry_json_text() cannot give (wrong type, NUL, too long)?
 */
bool registry_json_text_is_bad(const json_t *object, const char *key);

/* An integer member within minimum .. maximum, else `fallback`. */
long long registry_json_number(const json_t *object, const char *key, long long minimum,
                               long long maximum, long long fallback);

/* Parses any value, NULs allowed inside strings. NULL: not JSON, or too deep. */
json_t *registry_json_parse(const char *data, size_t size);

/*
 * Walks a JSON array of objects element by element, so that a large document is never in memory as
 * a tree: start with `at` = 0. Returns 1 with an element that is an object (the caller's
 * reference), 0 at the end of a complete array, -EBADMSG for anything else.
 */
int registry_json_next(const char *data, size_t size, size_t *at, json_t **ret_element);
