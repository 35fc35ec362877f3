/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parsers of single values.
 *
 * A parser says what it expected and in which range. It never quotes a value that may hold a secret
 * by mistake (a token instead of the path of its file, a URL with a password).
 */
#include "daemon/config_item.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "daemon/config_url.h"
#include "daemon/config_word.h"
#include "daemon/net/dns.h"
#include "nss-sd/name.h"

enum {
    STRINGS_MAX = 1024,      /* items of one list */
    DOMAIN_LENGTH_MAX = 252, /* what a name of the view's header holds */
};

#define WHITESPACE " \t"

/* ---- durations ---- */

static const struct {
    const char *word;
    usec_t usec;
} units[] = {
    {"us", 1},
    {"ms", USEC_PER_MSEC},
    {"s", USEC_PER_SEC},
    {"sec", USEC_PER_SEC},
    {"m", 60 * USEC_PER_SEC},
    {"min", 60 * USEC_PER_SEC},
    {"h", 3600 * USEC_PER_SEC},
    {"hr", 3600 * USEC_PER_SEC},
    {"d", 86400 * USEC_PER_SEC},
    {"day", 86400 * USEC_PER_SEC},
    {"days", 86400 * USEC_PER_SEC},
    {"w", 604800 * USEC_PER_SEC},
    {"week", 604800 * USEC_PER_SEC},
    {"weeks", 604800 * USEC_PER_SEC},
};

/* Reads digits; false if there are none or too many. */
static bool take_number(const char **text, uint64_t *ret_number)
{
    const char *at = *text;
    uint64_t number = 0;

    if (*at < '0' || *at > '9')
        return false;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
            return false;
    *text = at;
    *ret_number = number;
    return true;
}

static usec_t take_unit(const char **text)
{
    size_t length = 0;

    while (((*text)[length] | 0x20) >= 'a' && ((*text)[length] | 0x20) <= 'z')
        length++;
    for (size_t i = 0; i < ELEMENTS(units); i++)
        if (strlen(units[i].word) == length && strncmp(units[i].word, *text, length) == 0) {
            *text += length;
            return units[i].usec;
        }
    return 0;
}

int config_duration_from_string(const char *text, usec_t *ret_usec)
{
    usec_t sum = 0;

    if (streq(text, "infinity")) {
        *ret_usec = USEC_INFINITY;
        return 0;
    }
    for (bool first = true; first || *text; first = false) {
        uint64_t number;
        usec_t unit;

        if (!take_number(&text, &number))
            return -EINVAL;
        text += strspn(text, WHITESPACE);
        /* Seconds, if nothing else is said: "1h 30" is more likely a slip than 30 seconds. */
        unit = first && *text == '\0' ? USEC_PER_SEC : take_unit(&text);
        if (unit == 0 || __builtin_mul_overflow(number, unit, &number) ||
            __builtin_add_overflow(sum, number, &sum))
            return -EINVAL;
        text += strspn(text, WHITESPACE);
    }
    /* The highest values have meanings of their own; nobody means 292,000 years. */
    if (sum > INT64_MAX)
        return -EINVAL;
    *ret_usec = sum;
    return 0;
}

/* The largest unit that divides it, so that what is printed is what people write. */
void config_duration_to_string(usec_t usec, char ret_text[static CONFIG_DURATION_SIZE])
{
    static const char *const preferred[] = {"d", "h", "min", "s", "ms", "us"};
    static const usec_t sizes[] = {86400 * USEC_PER_SEC, 3600 * USEC_PER_SEC, 60 * USEC_PER_SEC,
                                   USEC_PER_SEC,         USEC_PER_MSEC,       1};
    size_t i = 0;

    if (usec == USEC_INFINITY) {
        strcpy(ret_text, "infinity");
        return;
    }
    if (usec == 0)
        i = 3;
    while (usec % sizes[i] != 0)
        i++;
    snprintf(ret_text, CONFIG_DURATION_SIZE, "%" PRIu64 "%s", usec / sizes[i], preferred[i]);
}

/* ---- lists of strings ---- */

size_t config_strings_count(char *const *strings)
{
    size_t count = 0;

    while (strings && strings[count])
        count++;
    return count;
}

char **config_strings_free(char **strings)
{
    for (size_t i = 0; strings && strings[i]; i++)
        free(strings[i]);
    free(strings);
    return NULL;
}

bool config_text_equal(const char *a, const char *b)
{
    return a && b ? streq(a, b) : a == b;
}

bool config_strings_equal(char *const *a, char *const *b)
{
    size_t count = config_strings_count(a);

    if (count != config_strings_count(b))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!streq(a[i], b[i]))
            return false;
    return true;
}

/* 0, -ENOMEM, or -E2BIG. */
static int strings_add(char ***strings, const char *text, size_t length)
{
    size_t count = config_strings_count(*strings);
    char **grown, *copy;

    if (count >= STRINGS_MAX)
        return -E2BIG;
    copy = strndup(text, length);
    if (!copy)
        return -ENOMEM;
    grown = reallocarray(*strings, count + 2, sizeof(*grown));
    if (!grown) {
        free(copy);
        return -ENOMEM;
    }
    grown[count] = copy;
    grown[count + 1] = NULL;
    *strings = grown;
    return 0;
}

/* ---- parsers ---- */

#define refuse(value, format, ...)                                                                 \
    (config_complain((value)->messages, (value)->file, (value)->line, "%s= " format,               \
                     (value)->key __VA_OPT__(, ) __VA_ARGS__),                                     \
     -EINVAL)

/* What to parse: the default where nothing is said; NULL: the field becomes zero. */
static const char *text_of(const struct config_item *item, const struct config_value *value)
{
    return value->text[0] ? value->text : item->fallback;
}

static int replace_string(char **field, const char *text)
{
    char *copy = text ? strdup(text) : NULL;

    if (text && !copy)
        return -ENOMEM;
    free(*field);
    *field = copy;
    return 0;
}

int config_parse_string(const struct config_item *item, const struct config_value *value,
                        void *field)
{
    return replace_string(field, text_of(item, value));
}

int config_parse_path(const struct config_item *item, const struct config_value *value, void *field)
{
    const char *text = text_of(item, value);

    /* Not quoted: who puts a token here would find it in the log. */
    if (text && text[0] != '/')
        return refuse(value, "takes the absolute path of a file or directory");
    return replace_string(field, text);
}

int config_parse_bool(const struct config_item *item, const struct config_value *value, void *field)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    const char *text = text_of(item, value);
    bool *flag = field;

    if (!text) {
        *flag = false;
        return 0;
    }
    for (size_t i = 0; i < ELEMENTS(words); i++)
        if (streq(text, words[i])) {
            *flag = i % 2;
            return 0;
        }
    return refuse(value, "takes yes or no, not '%s'", text);
}

int config_parse_unsigned(const struct config_item *item, const struct config_value *value,
                          void *field)
{
    uint64_t minimum = item->minimum, maximum = item->maximum ? item->maximum : UINT_MAX, number;
    const char *text = text_of(item, value), *end = text;

    if (!text) {
        *(unsigned *)field = 0;
        return 0;
    }
    if (!take_number(&end, &number) || *end != '\0' || number < minimum || number > maximum)
        return refuse(value, "takes a number from %" PRIu64 " to %" PRIu64 ", not '%s'", minimum,
                      maximum, text);
    *(unsigned *)field = (unsigned)number;
    return 0;
}

int config_parse_number_or_all(const struct config_item *item, const struct config_value *value,
                               void *field)
{
    if (!streq(value->text, "all"))
        return config_parse_unsigned(item, value, field);
    *(unsigned *)field = 0;
    return 0;
}

int config_parse_percent(const struct config_item *item, const struct config_value *value,
                         void *field)
{
    const char *text = text_of(item, value), *end = text;
    uint64_t number = 0;

    if (text &&
        (!take_number(&end, &number) || number > 100 || !(streq(end, "") || streq(end, "%"))))
        return refuse(value, "takes a share from 0%% to 100%%, not '%s'", text);
    *(unsigned *)field = (unsigned)number;
    return 0;
}

int config_parse_duration(const struct config_item *item, const struct config_value *value,
                          void *field)
{
    char minimum[CONFIG_DURATION_SIZE], maximum[CONFIG_DURATION_SIZE];
    usec_t usec, most = item->maximum ? item->maximum : USEC_INFINITY;
    const char *text = text_of(item, value);

    if (!text) {
        *(usec_t *)field = 0;
        return 0;
    }
    if (config_duration_from_string(text, &usec) < 0)
        return refuse(value, "takes a duration like 30s, 5min, 1h 30min or 1d%s, not '%s'",
                      item->maximum ? "" : ", or infinity", text);
    if (usec < item->minimum || usec > most) {
        config_duration_to_string(item->minimum, minimum);
        config_duration_to_string(most, maximum);
        return refuse(value, "takes a duration from %s to %s, not '%s'", minimum, maximum, text);
    }
    *(usec_t *)field = usec;
    return 0;
}

static void words_join(const char *const *words, char *ret_text, size_t size)
{
    size_t used = 0;

    ret_text[0] = '\0';
    for (; *words && used < size; words++)
        used += (size_t)snprintf(ret_text + used, size - used, "%s%s", used ? ", " : "", *words);
}

int config_parse_word(const struct config_item *item, const struct config_value *value, void *field)
{
    const char *text = text_of(item, value), *nearest;
    char all[512];

    if (!text) {
        *(unsigned *)field = 0;
        return 0;
    }
    for (unsigned i = 0; item->words[i]; i++)
        if (streq(text, item->words[i])) {
            *(unsigned *)field = i;
            return 0;
        }
    words_join(item->words, all, sizeof(all));
    nearest = config_nearest_word(text, item->words);
    return refuse(value, "takes one of: %s; not '%s'%s%s%s", all, text,
                  nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

/* Stores one item of a list: adds to `list`, or complains. 0 or negative. */
typedef int (*item_function)(const struct config_value *value, const char *item, size_t length,
                             char ***list);

/* A list is taken whole or not at all. */
static int parse_list(const struct config_item *item, const struct config_value *value,
                      char ***field, item_function take)
{
    const char *text = text_of(item, value);
    char **list = NULL;
    int r = 0;

    for (size_t i = 0; value->text[0] && *field && (*field)[i] && r == 0; i++)
        r = strings_add(&list, (*field)[i], strlen((*field)[i]));
    while (r == 0 && text && *(text += strspn(text, WHITESPACE))) {
        size_t length = strcspn(text, WHITESPACE);

        r = take(value, text, length, &list);
        text += length;
    }
    if (r < 0) {
        config_strings_free(list);
        return r == -E2BIG ? refuse(value, "takes at most %d words", STRINGS_MAX) : r;
    }
    config_strings_free(*field);
    *field = list;
    return 0;
}

static int take_string(const struct config_value *value, const char *item, size_t length,
                       char ***list)
{
    (void)value;
    return strings_add(list, item, length);
}

int config_parse_strings(const struct config_item *item, const struct config_value *value,
                         void *field)
{
    return parse_list(item, value, field, take_string);
}

static int take_domain(const struct config_value *value, const char *item, size_t length,
                       char ***list)
{
    char name[NAME_SIZE];
    size_t folded = name_fold(item, length, name, NULL);

    if (folded == 0 || folded > DOMAIN_LENGTH_MAX)
        return refuse(value, "takes domain names, not '%.*s'", (int)length, item);
    for (size_t i = 0; *list && (*list)[i]; i++)
        if (streq((*list)[i], name))
            return 0;
    return strings_add(list, name, folded);
}

int config_parse_domains(const struct config_item *item, const struct config_value *value,
                         void *field)
{
    return parse_list(item, value, field, take_domain);
}

static int take_url(const struct config_value *value, const char *item, size_t length, char ***list)
{
    _cleanup_(freep) char *url = strndup(item, length);
    const char *fault;

    if (!url)
        return -ENOMEM;
    if (strchr(url, '@'))
        return refuse(value, "takes no user or password in a URL: secrets are read from files");
    fault = config_url_fault(url);
    /* The query of a URL is where tokens used to be: it is not quoted. */
    if (fault)
        return refuse(value, "takes URLs like https://host:port, not '%.*s', %s",
                      (int)strcspn(url, "?#"), url, fault);
    return strings_add(list, url, length);
}

int config_parse_urls(const struct config_item *item, const struct config_value *value, void *field)
{
    return parse_list(item, value, field, take_url);
}

static int take_server(const struct config_value *value, const char *item, size_t length,
                       char ***list)
{
    _cleanup_(freep) char *server = strndup(item, length);
    bool is_system, after_system = *list && streq(**list, "system");

    if (!server)
        return -ENOMEM;
    is_system = streq(server, "system");
    if (after_system || (is_system && *list))
        return refuse(value, "takes either addresses of DNS servers or the one word system");
    if (!is_system && dns_servers_check(server) < 0)
        return refuse(value,
                      "takes DNS servers like 192.0.2.1, 192.0.2.1:8600 or [2001:db8::1]:53, not "
                      "'%s'",
                      server);
    return strings_add(list, server, length);
}

int config_parse_servers(const struct config_item *item, const struct config_value *value,
                         void *field)
{
    return parse_list(item, value, field, take_server);
}

int config_servers_join(char *const *servers, char **ret_servers)
{
    size_t size = 1;
    char *end;

    *ret_servers = NULL;
    if (!servers || !servers[0] || streq(servers[0], "system"))
        return 0;
    for (size_t i = 0; servers[i]; i++)
        size += strlen(servers[i]) + 1;
    *ret_servers = end = malloc(size);
    for (size_t i = 0; end && servers[i]; i++)
        end += sprintf(end, "%s%s", i > 0 ? "," : "", servers[i]);
    return *ret_servers ? 0 : -ENOMEM;
}
