/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/http_head.h"

#include <strings.h>

static void head_forget(struct http_head *head)
{
    struct http_response *response = &head->response;

    for (size_t i = 0; i < response->header_count; i++)
        free((char *)response->headers[i].name);
    free((struct http_header *)response->headers);
    *response = (struct http_response){0};
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* "HTTP/1.1 200 OK", "HTTP/2 200": libcurl has checked it. */
static int status_parse(const char *line, size_t size)
{
    const char *space = memchr(line, ' ', size);
    const char *end = line + size;
    int status = 0;

    for (const char *c = space ? space + 1 : end; c < end && *c >= '0' && *c <= '9'; c++)
        status = status < 100 ? status * 10 + (*c - '0') : status;
    return status;
}

/* The array doubles whenever its count is a power of two, from 16 on. */
static struct http_header *headers_grow(struct http_response *response)
{
    struct http_header *headers = (struct http_header *)response->headers;
    size_t count = response->header_count;

    if (count == 0 || (count >= 16 && (count & (count - 1)) == 0)) {
        headers = realloc(headers, (count == 0 ? 16 : 2 * count) * sizeof(*headers));
        if (headers)
            response->headers = headers;
    }
    return headers;
}

/* Name and value share one allocation. Lines without a name (folded ones) are dropped. */
static int header_add(struct http_response *response, const char *line, size_t size)
{
    const char *colon = memchr(line, ':', size);
    size_t name = colon ? (size_t)(colon - line) : 0;
    const char *value = line + name + 1, *end = line + size;
    struct http_header *headers;
    char *copy;

    if (name == 0 || is_space(line[0]))
        return 0;
    if (response->header_count == HTTP_HEADERS_MAX)
        return -E2BIG;
    while (value < end && is_space(*value))
        value++;
    while (end > value && is_space(end[-1]))
        end--;
    headers = headers_grow(response);
    copy = headers ? calloc(1, name + 1 + (size_t)(end - value) + 1) : NULL;
    if (!copy)
        return -ENOMEM;
    memcpy(copy, line, name);
    memcpy(copy + name + 1, value, (size_t)(end - value));
    headers[response->header_count++] = (struct http_header){copy, copy + name + 1};
    return 0;
}

int http_head_line(struct http_head *head, const char *line, size_t size)
{
    struct http_response *response = &head->response;

    if (size > HTTP_HEAD_SIZE_MAX - head->size)
        return -E2BIG;
    head->size += size;
    if (head->complete)
        return 0;
    if (size >= 5 && strncasecmp(line, "HTTP/", 5) == 0) {
        head_forget(head);
        response->status = status_parse(line, size);
        return 0;
    }
    if (size > 0 && line[0] != '\r' && line[0] != '\n')
        return header_add(response, line, size);
    if (response->status < 200)
        head_forget(head);
    else
        head->complete = true;
    return head->complete;
}

void http_head_done(struct http_head *head)
{
    head_forget(head);
}

const char *http_response_header(const struct http_response *response, const char *name)
{
    for (size_t i = 0; i < response->header_count; i++)
        if (strcasecmp(response->headers[i].name, name) == 0)
            return response->headers[i].value;
    return NULL;
}
