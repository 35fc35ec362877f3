/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Log lines: to the journal with fields when stderr is connected to it, else one line of text on
 * stderr with a "<N>" level prefix only where the service manager reads it. A line is written once,
 * at the place that decides what happens next. No secret ever goes in.
 */
#pragma once

#include <syslog.h>

#include "daemon/base.h"

/* Where a line belongs; NULL members are left out. Fields NSS_SD_REGISTRY=, NSS_SD_SERVICE= and
 * MESSAGE_ID= (message.h). */
struct log_context {
    const char *registry;
    const char *service;
    const char *message_id;
};

/* Lines above this level (LOG_ERR .. LOG_DEBUG) are dropped; LOG_INFO at start. */
void log_set_level(int level);
int log_get_level(void);

/* "err", "warning", "notice", "info", "debug"; -EINVAL for another word. */
int log_level_from_string(const char *word);
const char *log_level_to_string(int level);

/* Text that came from outside is made printable and cut to 1 KiB. errno is preserved. */
void log_write(int level, const struct log_context *context, const char *format, ...)
    _printf_(3, 4);

/*
 * `text` with every byte that is not printable ASCII as \xHH, at most `size` - 1 bytes (size >= 4);
 * what was cut ends in "...".
 */
void log_printable(const char *text, char *ret_text, size_t size);

#define log_error(...)   log_write(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...)  log_write(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...)    log_write(LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_DEBUG, NULL, __VA_ARGS__)

/* At most `burst` of the lines that share `limit` in `interval`; the count of those dropped is
 * said. */
struct log_limit {
    usec_t interval, window_start;
    unsigned burst, seen, dropped;
};
bool log_limit_pass(struct log_limit *limit, usec_t now);
