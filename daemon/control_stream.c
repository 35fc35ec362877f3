/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The methods of io.nss-sd.Control that answer in many replies. */
#include "daemon/control_request.h"

#include <stdio.h>

/* A call and what the backend streams to it. */
struct stream {
    struct varlink_call *call;
    struct control_stream source;
};

static json_t *stream_next(void *userdata, bool *ret_last)
{
    struct stream *stream = userdata;

    return stream->source.next(stream->source.userdata, ret_last);
}

static void stream_gone(void *userdata)
{
    struct stream *stream = userdata;

    stream->source.free(stream->source.userdata);
    free(stream);
}

static void stream_wake(void *userdata)
{
    varlink_call_wake(((struct stream *)userdata)->call);
}

/* A stream for the call; NULL: replied with why not. */
static struct stream *stream_new(struct request *request)
{
    struct stream *stream;

    if (!varlink_call_more(request->call)) {
        varlink_expected_more(request->call);
        return NULL;
    }
    stream = calloc(1, sizeof(*stream));
    if (!stream)
        request_busy(request);
    else
        stream->call = request->call;
    return stream;
}

/* Names of a monitor, folded. */
struct names {
    char text[CONTROL_MONITOR_NAMES_MAX][NAME_SIZE];
    const char *items[CONTROL_MONITOR_NAMES_MAX];
    size_t count;
};

static bool read_names(struct request *request, struct names *ret_names)
{
    json_t *array = json_object_get(request->parameters, "names"), *item;
    size_t index;

    if (json_array_size(array) > CONTROL_MONITOR_NAMES_MAX) {
        request_invalid(request, "names", "more than 64 names");
        return false;
    }
    json_array_foreach (array, index, item) {
        if (name_fold(json_string_value(item), json_string_length(item) + 1, ret_names->text[index],
                      NULL) == 0) {
            request_invalid(request, "names", control_not_a_name);
            return false;
        }
        if (!request_may_ask(request, ret_names->text[index]))
            return false;
        ret_names->items[index] = ret_names->text[index];
    }
    ret_names->count = json_array_size(array);
    return true;
}

static void no_registry_knows(struct request *request, const char *name)
{
    char reason[NAME_SIZE + 128];

    snprintf(reason, sizeof(reason),
             "%s is a name of no registry: none has its domain, or it is "
             "not of its grammar",
             name);
    request_invalid(request, "names", reason);
}

static void monitor_begin(struct request *request, const struct names *names)
{
    struct stream *stream = stream_new(request);
    struct control_monitor monitor = {
        .peer = varlink_call_peer(request->call),
        .uid = varlink_call_peer(request->call)->uid,
        .privileged = varlink_call_privileged(request->call),
        .names = names->items,
        .name_count = names->count,
        .wake = stream_wake,
        .userdata = stream,
    };
    size_t bad = 0;
    int r;

    if (!stream)
        return;
    r = request->backend->monitor(request->backend->userdata, &monitor, &stream->source, &bad);
    if (r >= 0) {
        varlink_call_stream(request->call, stream_next, stream_gone, stream, true);
        return;
    }
    free(stream);
    if (r == -ENOENT)
        no_registry_knows(request, names->items[bad]);
    else
        request_busy(request);
}

void control_monitor(struct request *request)
{
    struct names *names = calloc(1, sizeof(*names));

    if (!names)
        request_busy(request);
    else if (read_names(request, names))
        monitor_begin(request, names);
    free(names);
}

/* A list of the backend's, which keeps what it walks through. */
static void list_begin(struct request *request,
                       int (*begin)(void *userdata, const struct peer *peer,
                                    struct control_stream *ret_stream))
{
    struct stream *stream = stream_new(request);

    if (!stream)
        return;
    if (begin(request->backend->userdata, varlink_call_peer(request->call), &stream->source) >= 0) {
        varlink_call_stream(request->call, stream_next, stream_gone, stream, false);
        return;
    }
    free(stream);
    request_busy(request);
}

void control_instances(struct request *request)
{
    list_begin(request, request->backend->instances);
}

void control_review(struct request *request)
{
    list_begin(request, request->backend->review);
}
