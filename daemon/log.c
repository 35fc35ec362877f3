/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Log lines (daemon/log.h). One call, one line, written at once. The one state is the level.
 */
#include "daemon/log.h"

/* Line and function of this file would be wrong for every caller. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>

#include "daemon/base.h"

enum {
    TEXT_SIZE = 1024 + 1,
    CONTEXT_SIZE = 512 + 1,
    LINE_SIZE = TEXT_SIZE + 2 * CONTEXT_SIZE + 64, /* with the words around them */
};

static int level_maximum = LOG_INFO;

void log_set_level(int level)
{
    level_maximum = level;
}

int log_get_level(void)
{
    return level_maximum;
}

static const char *const level_words[] = {
    [LOG_ERR] = "err",   [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
    [LOG_INFO] = "info", [LOG_DEBUG] = "debug",
};

int log_level_from_string(const char *word)
{
    for (int level = LOG_ERR; level <= LOG_DEBUG; level++)
        if (streq(word, level_words[level]))
            return level;
    return -EINVAL;
}

const char *log_level_to_string(int level)
{
    return level >= LOG_ERR && level <= LOG_DEBUG ? level_words[level] : "err";
}

void log_printable(const char *text, char *ret_text, size_t size)
{
    static const char hex[] = "0123456789abcdef", dots[] = "...";
    size_t used = 0, cut = 0; /* cut: where the dots fit */

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        size_t width = c >= ' ' && c <= '~' ? 1 : 4;

        if (used + width >= size) {
            memcpy(ret_text + cut, dots, sizeof(dots));
            return;
        }
        if (width == 1)
            ret_text[used] = (char)c;
        else
            memcpy(ret_text + used, (char[]){'\\', 'x', hex[c >> 4], hex[c & 15]}, width);
        used += width;
        if (used + sizeof(dots) <= size)
            cut = used;
    }
    ret_text[used] = '\0';
}

/* systemd.exec(5): JOURNAL_STREAM is "DEVICE:INODE" of the stream that it connected us to. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;

    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

struct line {
    int level;
    const char *message_id;                             /* or NULL */
    char registry[CONTEXT_SIZE], service[CONTEXT_SIZE]; /* printable; "" if none */
    char text[LINE_SIZE];                               /* with registry and service in front */
};

static void line_compose(struct line *line, const struct log_context *context, const char *raw)
{
    char text[TEXT_SIZE];

    line->message_id = context ? context->message_id : NULL;
    log_printable(raw, text, sizeof(text));
    log_printable(context && context->registry ? context->registry : "", line->registry,
                  sizeof(line->registry));
    log_printable(context && context->service ? context->service : "", line->service,
                  sizeof(line->service));
    snprintf(line->text, sizeof(line->text), "%s%s%s%s%s%s%s", line->registry[0] ? "registry " : "",
             line->registry, line->registry[0] ? ": " : "", line->service[0] ? "service " : "",
             line->service, line->service[0] ? ": " : "", text);
}

static struct iovec field(char *buffer, size_t size, const char *name, const char *value)
{
    int length = snprintf(buffer, size, "%s=%s", name, value);

    return (struct iovec){.iov_base = buffer, .iov_len = (size_t)length};
}

static int write_journal(const struct line *line)
{
    char priority[16], message[LINE_SIZE + 16], registry[CONTEXT_SIZE + 32],
        service[CONTEXT_SIZE + 32], id[64];
    struct iovec fields[5];
    int count = 0;

    /* Where the journal cannot be reached, sd_journal_sendv() drops the line without a word. */
    if (access("/run/systemd/journal/socket", W_OK) < 0)
        return -errno;
    snprintf(priority, sizeof(priority), "PRIORITY=%d", line->level);
    fields[count++] = (struct iovec){.iov_base = priority, .iov_len = strlen(priority)};
    fields[count++] = field(message, sizeof(message), "MESSAGE", line->text);
    if (line->registry[0])
        fields[count++] = field(registry, sizeof(registry), "NSS_SD_REGISTRY", line->registry);
    if (line->service[0])
        fields[count++] = field(service, sizeof(service), "NSS_SD_SERVICE", line->service);
    if (line->message_id)
        fields[count++] = field(id, sizeof(id), "MESSAGE_ID", line->message_id);
    return sd_journal_sendv(fields, count);
}

/* One write, so that lines of several processes do not mix. Nobody is left to tell of an error. */
static void write_stderr(const struct line *line, bool prefix)
{
    char buffer[LINE_SIZE + 32];
    int length;

    if (prefix)
        length = snprintf(buffer, sizeof(buffer), "<%d>%s\n", line->level, line->text);
    else
        length = snprintf(buffer, sizeof(buffer), "%s: %s\n", log_level_to_string(line->level),
                          line->text);
    while (write(STDERR_FILENO, buffer, (size_t)length) < 0 && errno == EINTR)
        ;
}

void log_write(int level, const struct log_context *context, const char *format, ...)
{
    struct line line = {.level = level};
    char raw[TEXT_SIZE + 1]; /* one byte more than fits, so that a cut shows */
    int saved_errno = errno;
    va_list arguments;
    bool journal;

    if (level > level_maximum)
        return;
    va_start(arguments, format);
    if (vsnprintf(raw, sizeof(raw), format, arguments) < 0)
        raw[0] = '\0';
    va_end(arguments);
    line_compose(&line, context, raw);
    journal = stderr_is_journal();
    if (!journal || write_journal(&line) < 0)
        write_stderr(&line, journal);
    errno = saved_errno;
}

bool log_limit_pass(struct log_limit *limit, usec_t now)
{
    if ((limit->seen == 0 && limit->dropped == 0) || now - limit->window_start >= limit->interval) {
        unsigned dropped = limit->dropped;

        limit->window_start = now;
        limit->seen = limit->dropped = 0;
        if (dropped > 0)
            log_notice("%u lines of the kind that follows were left out", dropped);
    }
    if (limit->seen >= limit->burst) {
        limit->dropped++;
        return false;
    }
    limit->seen++;
    return true;
}
