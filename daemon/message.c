/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/message.h"

#include <stdarg.h>
#include <stdio.h>

enum {
    TEXT_SIZE = 1024,
    LIMITS_MAX = 256, /* kept at one time: the one that was idle longest gives way */
    REGISTRY_NAME_SIZE = 64,
};

/* An id is for ever: another meaning takes a new one. */
static const struct {
    const char *id;
    int level;
} messages[MESSAGE_COUNT] = {
    [MESSAGE_REGISTRY_DOWN] = {"27eeecee4f47459a924876d4f73c9a3f", LOG_WARNING},
    [MESSAGE_REGISTRY_UP] = {"13c735a5ab1543938ced321efd869488", LOG_NOTICE},
    [MESSAGE_REGISTRY_FULL] = {"f9b7fa3ae9ba4fd295d7c6e38b5bdb47", LOG_WARNING},
    [MESSAGE_STALE] = {"7b67107fdcfa475a9e6d06af9ed07141", LOG_NOTICE},
    [MESSAGE_EXPIRING] = {"ca6c24bd7514408c8d65929e46a14db8", LOG_WARNING},
    [MESSAGE_EXPIRED] = {"6abd8fb22dbc4ecfb76a98f96bc25ce5", LOG_ERR},
    [MESSAGE_EMPTY_PROTECTION] = {"09bf4b887e4a47f7b78e52abd2424df2", LOG_WARNING},
    [MESSAGE_SUSPECT] = {"69ca04e0e9a84e79a793e92f87d01cd8", LOG_WARNING},
    [MESSAGE_SNAPSHOT_LOADED] = {"214012fa095c44a09adac4a3e9780be1", LOG_INFO},
    [MESSAGE_SNAPSHOT_REFUSED] = {"7f048b21d8664af883a68767cad89bff", LOG_WARNING},
    [MESSAGE_SNAPSHOT_FAILED] = {"4416afe103e54c02b28c2a946837d987", LOG_ERR},
    [MESSAGE_CHECK_CRITICAL] = {"06e3de34db094868b1d12294b7c4c2d4", LOG_WARNING},
    [MESSAGE_CHECK_PASSING] = {"15e6321421144f599b58c96ae19af69b", LOG_NOTICE},
    [MESSAGE_VETOED] = {"98b90f9974dd40e9a5de3c33c5fcf2f8", LOG_WARNING},
    [MESSAGE_VETO_LIFTED] = {"d8e83fc1c34b48b0aa71fe55974f4fe5", LOG_NOTICE},
    [MESSAGE_VETO_IGNORED] = {"fa9b814535f04900b1e58b47c62b5b4c", LOG_WARNING},
};

/* Of one kind of message about one registry. */
struct message_limit {
    enum message message;
    char registry[REGISTRY_NAME_SIZE];
    struct log_limit limit; /* burst 0: free */
    usec_t used_at;
};

static struct message_limit limits[LIMITS_MAX];

const char *message_id(enum message message)
{
    return messages[message].id;
}

/* A registry that says much leaves the others their lines. */
static struct log_limit *limit_of(enum message message, const char *registry, usec_t now)
{
    struct message_limit *oldest = &limits[0];
    char name[REGISTRY_NAME_SIZE];

    snprintf(name, sizeof(name), "%s", registry ? registry : "");
    for (size_t i = 0; i < LIMITS_MAX; i++) {
        struct message_limit *limit = &limits[i];

        if (limit->limit.burst > 0 && limit->message == message && streq(limit->registry, name)) {
            limit->used_at = now;
            return &limit->limit;
        }
        if (limit->used_at < oldest->used_at)
            oldest = limit;
    }
    *oldest = (struct message_limit){
        .message = message,
        .limit = {.interval = MESSAGE_INTERVAL, .burst = MESSAGE_BURST},
        .used_at = now,
    };
    strcpy(oldest->registry, name);
    return &oldest->limit;
}

void message_log(enum message message, const struct log_context *context, usec_t now,
                 const char *format, ...)
{
    struct log_context with_id = context ? *context : (struct log_context){0};
    char text[TEXT_SIZE + 1];
    va_list arguments;

    if (!log_limit_pass(limit_of(message, with_id.registry, now), now))
        return;
    with_id.message_id = messages[message].id;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof(text), format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    log_write(messages[message].level, &with_id, "%s", text);
}
