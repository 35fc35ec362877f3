/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The head of an HTTP response, collected line by line and capped. Pure.
 *
 * Interim responses (1xx) are forgotten when they end; what comes after the final head (trailers)
 * is counted and dropped.
 */
#pragma once

#include "daemon/net/http.h"

enum { HTTP_HEADERS_MAX = 256, HTTP_HEAD_SIZE_MAX = 256 * 1024 };

struct http_head {
    struct http_response response; /* `headers` is ours and grows */
    bool complete;
    size_t size; /* of all lines so far */
};

/* One line with its end. 1: the final head is complete with it; 0; -E2BIG over a cap; -ENOMEM. */
int http_head_line(struct http_head *head, const char *line, size_t size);
void http_head_done(struct http_head *head);
