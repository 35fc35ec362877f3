/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages about the configuration: collected with file and line, printed by whoever asked. Their
 * text may quote what an administrator wrote, so it is made printable here, once.
 */
#include "daemon/config_item.h"
#include "daemon/log.h"

#include <stdarg.h>
#include <stdio.h>

enum {
    MESSAGES_MAX = 1000, /* kept; later ones are only counted */
    TEXT_SIZE = 1024 + 1,
};

static char *text_new(const char *format, va_list arguments)
{
    char raw[TEXT_SIZE + 1], printable[TEXT_SIZE]; /* one byte more than fits: a cut shows */

    if (vsnprintf(raw, sizeof(raw), format, arguments) < 0)
        raw[0] = '\0';
    log_printable(raw, printable, sizeof(printable));
    return strdup(printable);
}

static void add(struct config_messages *messages, struct config_message message)
{
    struct config_message *items;

    if (!message.warning)
        messages->errors++;
    if (messages->count < MESSAGES_MAX && message.file && message.text) {
        items = reallocarray(messages->items, messages->count + 1, sizeof(*items));
        if (items) {
            messages->items = items;
            items[messages->count++] = message;
            return;
        }
    }
    free(message.file);
    free(message.text);
}

void config_complain(struct config_messages *messages, const char *file, unsigned line,
                     const char *format, ...)
{
    struct config_message message = {.file = strdup(file), .line = line};
    va_list arguments;

    va_start(arguments, format);
    message.text = text_new(format, arguments);
    va_end(arguments);
    add(messages, message);
}

void config_warn(struct config_messages *messages, const char *file, unsigned line,
                 const char *format, ...)
{
    struct config_message message = {.file = strdup(file), .line = line, .warning = true};
    va_list arguments;

    va_start(arguments, format);
    message.text = text_new(format, arguments);
    va_end(arguments);
    add(messages, message);
}

void config_messages_done(struct config_messages *messages)
{
    for (size_t i = 0; i < messages->count; i++) {
        free(messages->items[i].file);
        free(messages->items[i].text);
    }
    free(messages->items);
    *messages = (struct config_messages){0};
}
