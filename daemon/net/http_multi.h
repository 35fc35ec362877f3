/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libcurl's multi handle on the event loop: its sockets, its one timer, and who has ended.
 *
 * While libcurl runs (http_multi_running()) no handle may be added or removed: libcurl forbids it
 * inside the callbacks of its handles.
 */
#pragma once

#include <curl/curl.h>

#include "daemon/base.h"

struct sd_event;
struct http_multi;

/* `ran` is called each time after libcurl ran: now handles may be removed, and some have ended. */
int http_multi_new(struct sd_event *event, void (*ran)(void *userdata), void *userdata,
                   struct http_multi **ret_multi);
/* All handles must have been removed. Takes NULL, returns NULL. */
struct http_multi *http_multi_free(struct http_multi *multi);

bool http_multi_running(const struct http_multi *multi);
int http_multi_add(struct http_multi *multi, CURL *easy);
void http_multi_remove(struct http_multi *multi, CURL *easy);
/* The next handle that has ended (still to be removed), or false. */
bool http_multi_next(struct http_multi *multi, CURL **ret_easy, CURLcode *ret_code);
