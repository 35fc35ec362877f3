/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a stream asks, as a URL (stream_internal.h). */
#include "daemon/registry/kubernetes/stream_internal.h"

#include <stdio.h>

#include "daemon/registry/url_escape.h"

enum { PAGE_SIZE = 500, WATCH_MIN = 300 /* seconds */ };
#define WATCH_SILENCE (150 * USEC_PER_SEC) /* bookmarks come every 60 s */
#define LIST_SILENCE  (30 * USEC_PER_SEC)
#define CHECK_TIMEOUT (10 * USEC_PER_SEC)

static void add_version(FILE *url, const char *version)
{
    fputs("resourceVersion=", url);
    url_escape(url, version, "");
}

static void add_watch_list(const struct kubernetes_stream *stream, FILE *url)
{
    fputs("watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&"
          "allowWatchBookmarks=true&",
          url);
    if (*stream->version) {
        add_version(url, stream->version);
        fputc('&', url);
    }
}

static void add_timeout(const struct kubernetes_stream *stream, FILE *url)
{
    fprintf(url, "timeoutSeconds=%u",
            WATCH_MIN + (unsigned)(env_random(stream_env(stream)) % WATCH_MIN));
}

static void add_page(const struct kubernetes_stream *stream, FILE *url)
{
    fprintf(url, "limit=%d", PAGE_SIZE);
    if (!stream->page)
        return;
    fputs("&continue=", url);
    url_escape(url, stream->page, "");
}

static void add_ask(const struct kubernetes_stream *stream, FILE *url)
{
    switch (stream->ask) {
    case ASK_WATCH_LIST:
        add_watch_list(stream, url);
        add_timeout(stream, url);
        break;
    case ASK_LIST:
        add_version(url, *stream->version ? stream->version : "0");
        if (*stream->version)
            fputs("&resourceVersionMatch=NotOlderThan", url);
        break;
    case ASK_PAGE:
        add_page(stream, url);
        break;
    case ASK_CHECK:
        add_version(url, stream->version);
        fputs("&resourceVersionMatch=NotOlderThan&limit=1", url);
        break;
    case ASK_WATCH:
        fputs("watch=1&allowWatchBookmarks=true&", url);
        add_version(url, stream->version);
        fputc('&', url);
        add_timeout(stream, url);
        break;
    }
}

char *stream_url(const struct kubernetes_stream *stream)
{
    char *text = NULL;
    size_t size;
    FILE *url = open_memstream(&text, &size);

    if (!url)
        return NULL;
    fprintf(url, "%s?%s%s", stream->path, stream->query, *stream->query ? "&" : "");
    add_ask(stream, url);
    if (fclose(url) == 0)
        return text;
    free(text);
    return NULL;
}

void stream_set_timeouts(const struct kubernetes_stream *stream, struct http_request *request)
{
    if (stream_is_watch(stream)) {
        request->silence_timeout = WATCH_SILENCE;
        request->no_compression = true; /* a watch in gzip breaks off after its first flush */
    } else if (stream->ask == ASK_CHECK) {
        request->timeout = CHECK_TIMEOUT;
    } else {
        request->silence_timeout = LIST_SILENCE;
    }
}
