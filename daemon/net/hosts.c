/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/hosts.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>

struct hosts {
    char *path;
    char *text;
    size_t size;
    struct stat stat; /* of the file when it was read */
};

/* ---- the text ---- */

/* Next word of a line; false at its end or at a comment. */
static bool take_word(const char **at, const char *end, const char **ret_word, size_t *ret_length)
{
    const char *word = *at;

    while (word < end && (*word == ' ' || *word == '\t' || *word == '\r'))
        word++;
    *at = word;
    while (*at < end && **at != ' ' && **at != '\t' && **at != '\r' && **at != '#')
        (*at)++;
    *ret_word = word;
    *ret_length = (size_t)(*at - word);
    return *at > word;
}

/* True if the line names `name`; its address is then `ret_address`. */
static bool line_lookup(const char *line, const char *end, const char *name,
                        struct address *ret_address)
{
    char text[INET6_ADDRSTRLEN], folded[NAME_SIZE];
    const char *word;
    size_t length;

    if (!take_word(&line, end, &word, &length) || length >= sizeof(text))
        return false;
    memcpy(text, word, length);
    text[length] = '\0';
    if (address_from_string(text, ret_address) < 0)
        return false;
    while (take_word(&line, end, &word, &length))
        if (name_fold(word, length, folded, NULL) > 0 && streq(folded, name))
            return true;
    return false;
}

bool hosts_text_lookup(const char *text, size_t size, const char *name, int family,
                       struct address ret_addresses[static HOSTS_ADDRESSES_MAX], size_t *ret_count)
{
    const char *end = text + size;
    bool known = false;
    size_t count = 0;

    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *line_end = newline ? newline : end;
        struct address address;

        if (line_lookup(text, line_end, name, &address)) {
            known = true;
            if (address.family == family && count < HOSTS_ADDRESSES_MAX)
                ret_addresses[count++] = address;
        }
        text = newline ? newline + 1 : end;
    }
    *ret_count = count;
    return known;
}

/* ---- the file ---- */

static bool stat_equal(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void hosts_read(struct hosts *hosts, size_t size)
{
    _cleanup_(closep) int fd = open(hosts->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n;

    free(hosts->text);
    hosts->size = 0;
    hosts->text = fd >= 0 ? malloc(size + 1) : NULL;
    while (hosts->text && hosts->size < size &&
           (n = read(fd, hosts->text + hosts->size, size - hosts->size)) > 0)
        hosts->size += (size_t)n;
}

static void hosts_refresh(struct hosts *hosts)
{
    struct stat now;

    if (stat(hosts->path, &now) < 0 || !S_ISREG(now.st_mode))
        now = (struct stat){0};
    if (stat_equal(&now, &hosts->stat))
        return;
    hosts->stat = now;
    hosts_read(hosts, now.st_size < HOSTS_FILE_MAX ? (size_t)now.st_size : HOSTS_FILE_MAX);
}

struct hosts *hosts_new(const char *path)
{
    struct hosts *hosts = calloc(1, sizeof(*hosts));

    if (!hosts || !(hosts->path = strdup(path)))
        return hosts_free(hosts);
    return hosts;
}

struct hosts *hosts_free(struct hosts *hosts)
{
    if (!hosts)
        return NULL;
    free(hosts->path);
    free(hosts->text);
    free(hosts);
    return NULL;
}

static struct address loopback(int family)
{
    struct address address = {.family = (uint8_t)family};

    if (family == AF_INET)
        memcpy(address.bytes, (uint8_t[]){127, 0, 0, 1}, 4);
    else
        address.bytes[15] = 1;
    return address;
}

bool hosts_lookup(struct hosts *hosts, const char *name, int family,
                  struct address ret_addresses[static HOSTS_ADDRESSES_MAX], size_t *ret_count)
{
    if (name_below(name, strlen(name), "localhost", strlen("localhost"))) {
        ret_addresses[0] = loopback(family);
        *ret_count = 1;
        return true;
    }
    hosts_refresh(hosts);
    return hosts_text_lookup(hosts->text ? hosts->text : "", hosts->size, name, family,
                             ret_addresses, ret_count);
}
