/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/message.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_SIZE = 1024 };

/* An id is for ever: another meaning takes a new one. */
static const struct {
    const char *id;
    int level;
} messages[MESSAGE_COUNT] = {
    [MESSAGE_REGISTRY_DOWN] = {"27eeecee4f47459a924876d4f73c9a3f", LOG_WARNING},
    [MESSAGE_REGISTRY_UP] = {"13c735a5ab1543938ced321efd869488", LOG_NOTICE},
    [MESSAGE_STALE] = {"7b67107fdcfa475a9e6d06af9ed07141", LOG_NOTICE},
    [MESSAGE_EXPIRING] = {"ca6c24bd7514408c8d65929e46a14db8", LOG_WARNING},
    [MESSAGE_EXPIRED] = {"6abd8fb22dbc4ecfb76a98f96bc25ce5", LOG_ERR},
    [MESSAGE_EMPTY_PROTECTION] = {"09bf4b887e4a47f7b78e52abd2424df2", LOG_WARNING},
    [MESSAGE_SUSPECT] = {"69ca04e0e9a84e79a793e92f87d01cd8", LOG_WARNING},
    [MESSAGE_SNAPSHOT_LOADED] = {"214012fa095c44a09adac4a3e9780be1", LOG_INFO},
    [MESSAGE_SNAPSHOT_REFUSED] = {"7f048b21d8664af883a68767cad89bff", LOG_WARNING},
    [MESSAGE_SNAPSHOT_FAILED] = {"4416afe103e54c02b28c2a946837d987", LOG_ERR},
};

const char *message_id(enum message message)
{
    return messages[message].id;
}

void message_log(enum message message, const struct log_context *context, usec_t now,
                 const char *format, ...)
{
    static struct log_limit limits[MESSAGE_COUNT];
    struct log_limit *limit = &limits[message];
    struct log_context with_id = context ? *context : (struct log_context){0};
    char text[TEXT_SIZE + 1];
    va_list arguments;

    if (limit->burst == 0)
        *limit = (struct log_limit){.interval = 60 * USEC_PER_SEC, .burst = 20};
    if (!log_limit_pass(limit, now))
        return;
    with_id.message_id = messages[message].id;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof(text), format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    log_write(messages[message].level, &with_id, "%s", text);
}
