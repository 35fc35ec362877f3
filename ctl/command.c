/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/command.h"

#include <getopt.h>

#include "daemon/config_item.h"
#include "daemon/config_word.h"

enum { CHECKS_MAX = 16 }; /* as the daemon takes of an instance */

enum {
    ARG_JSON = 256,
    ARG_NO_LEGEND,
    ARG_RUNTIME_DIRECTORY,
    ARG_VERSION,
    ARG_CONFIG_DIRECTORY,
    ARG_BINARY,
    ARG_PROFILE,
    ARG_ROOT,
    ARG_ID,
    ARG_ADDRESS,
    ARG_TARGET,
    ARG_PORT,
    ARG_TTL,
    ARG_TAG,
    ARG_WEIGHT,
    ARG_ZONE,
    ARG_STALE,
    ARG_RESET,
    ARG_SCAN,
    ARG_SERVICES,
    ARG_CHECK,
    ARG_CHECK_INTERVAL,
    ARG_CHECK_TIMEOUT,
    ARG_CHECK_STATUS,
    ARG_DEFINITION,
    ARG_NOTE,
};

/* One option: how it is given, to which verbs it belongs (0: to all), what help says of it. */
static const struct option_text {
    const char *name;
    int value;
    const char *argument; /* NULL: none */
    unsigned of;
    const char *help;
} option_texts[] = {
    {"ipv4", '4', NULL, OPTION_FAMILY, "only IPv4 addresses"},
    {"ipv6", '6', NULL, OPTION_FAMILY, "only IPv6 addresses"},
    {"address", ARG_ADDRESS, "ADDRESS", OPTION_INSTANCE, "IP address; again for each further one"},
    {"target", ARG_TARGET, "HOST", OPTION_INSTANCE, "host name to resolve, instead of addresses"},
    {"port", ARG_PORT, "PORT", OPTION_INSTANCE, "1 to 65535; shown by 'sdctl query'"},
    {"id", ARG_ID, "ID", OPTION_ID, "which instance of the service"},
    {"ttl", ARG_TTL, "TIME", OPTION_INSTANCE, "go after TIME (30s, 5min) unless registered again"},
    {"tag", ARG_TAG, "TAG", OPTION_INSTANCE, "label; again for each further one"},
    {"weight", ARG_WEIGHT, "WEIGHT", OPTION_INSTANCE, "share of the lookups, 1 (default) to 65535"},
    {"zone", ARG_ZONE, "ZONE", OPTION_INSTANCE, "where it runs; near instances are preferred"},
    {"check", ARG_CHECK, "CHECK", OPTION_INSTANCE, "how it is well; again for each further one"},
    {"check-interval", ARG_CHECK_INTERVAL, "TIME", OPTION_INSTANCE, "between two looks (10s)"},
    {"check-timeout", ARG_CHECK_TIMEOUT, "TIME", OPTION_INSTANCE, "for one look (10s)"},
    {"check-status", ARG_CHECK_STATUS, "STATUS", OPTION_INSTANCE,
     "until the first look (critical)"},
    {"definition", ARG_DEFINITION, "FILE", OPTION_INSTANCE, "all of it, as JSON; '-': from stdin"},
    {"note", ARG_NOTE, "TEXT", OPTION_NOTE, "what 'sdctl query' shows of it"},
    {"config-directory", ARG_CONFIG_DIRECTORY, "DIR", OPTION_CONFIG_DIRECTORY,
     "instead of /etc, /run and /usr/lib/nss-sd"},
    {"scan", ARG_SCAN, NULL, OPTION_CHECK, "find addresses of instances in files below PATH"},
    {"services", ARG_SERVICES, NULL, OPTION_CHECK, "find classic mistakes of services in use"},
    {"stale", ARG_STALE, NULL, OPTION_STALE, "only services that are stale or expired"},
    {"reset", ARG_RESET, NULL, OPTION_RESET, "count anew, and show nothing"},
    {"binary", ARG_BINARY, "FILE", OPTION_DOCTOR, "also: does this program find services?"},
    {"profile", ARG_PROFILE, "NAME", OPTION_DOCTOR, "also: does this AppArmor profile let it?"},
    {"root", ARG_ROOT, "DIR", OPTION_DOCTOR, "look at the system below DIR instead"},
    {"no-legend", ARG_NO_LEGEND, NULL, OPTION_TABLE, "neither headings nor hints"},
    {"json", ARG_JSON, NULL, 0, "the daemon's reply as JSON, for programs"},
    {"runtime-directory", ARG_RUNTIME_DIRECTORY, "DIR", 0,
     "where nss-sdd runs (or $NSS_SD_RUNTIME_DIRECTORY)"},
    {"help", 'h', NULL, 0, "this text, or that of the verb"},
    {"version", ARG_VERSION, NULL, 0, "version of sdctl"},
};

_Static_assert(ELEMENTS(option_texts) <= COMMAND_OPTIONS_MAX, "no room for one of them");

static size_t option_index(int value)
{
    size_t i = 0;

    while (option_texts[i].value != value)
        i++;
    return i;
}

static void make_long_options(struct option *ret_options)
{
    for (size_t i = 0; i < ELEMENTS(option_texts); i++)
        ret_options[i] = (struct option){
            option_texts[i].name,
            option_texts[i].argument ? required_argument : no_argument,
            NULL,
            option_texts[i].value,
        };
}

/* The option nearest to what was meant, without "=..."; NULL: none is near. */
static const char *nearest_option(const char *text)
{
    const char *words[ELEMENTS(option_texts) + 1] = {0};
    _cleanup_(freep) char *word = strndup(text, strcspn(text, "="));

    for (size_t i = 0; i < ELEMENTS(option_texts); i++)
        words[i] = option_texts[i].name;
    return word ? config_nearest_word(word, words) : NULL;
}

static int complain_option(const char *argument, int refused, bool lacks_argument)
{
    const char *near = argument[0] == '-' && argument[1] == '-' ? nearest_option(argument + 2)
                                                                : NULL;

    if (lacks_argument)
        return complain("Option '%s' needs an argument. See 'sdctl --help'.", argument);
    if (refused >= 256)
        return complain("Option '%s' takes no argument.", argument);
    if (near)
        return complain("There is no option '%s'. Did you mean '--%s'?", argument, near);
    if (argument[0] == '-' && argument[1] == '-')
        return complain("There is no option '%s'. See 'sdctl --help'.", argument);
    return complain("There is no option '-%c'. See 'sdctl --help'.", refused);
}

static int parse_number(const char *option, const char *text, unsigned *ret_number)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end || number < 1 || number > UINT16_MAX)
        return complain("--%s: '%s' is not a number from 1 to 65535.", option, text);
    *ret_number = (unsigned)number;
    return EXIT_SUCCESS;
}

static int parse_time(const char *option, const char *text, usec_t least, usec_t *ret_usec)
{
    if (config_duration_from_string(text, ret_usec) < 0 || *ret_usec < least ||
        *ret_usec > 366 * 86400 * USEC_PER_SEC)
        return complain("--%s: '%s' is not a time between %s and 366d, such as 30s or 5min.",
                        option, text, least < USEC_PER_SEC ? "1ms" : "1s");
    return EXIT_SUCCESS;
}

static int strings_add(struct strings *strings, size_t most, const char *option, const char *text)
{
    if (strings->count == most)
        return complain("--%s: more than %zu of them.", option, most);
    strings->items[strings->count++] = text;
    return EXIT_SUCCESS;
}

static int parse_address(struct options *options, const char *text)
{
    struct address address;

    if (address_from_string(text, &address) < 0)
        return complain("--address: '%s' is not an IP address. For a host name use --target.",
                        text);
    return strings_add(&options->addresses, ENDPOINT_ADDRESSES_MAX, "address", text);
}

static int parse_option(struct command *command, int value, const char *text)
{
    struct options *options = &command->options;

    switch (value) {
    case '4':
        options->family = 4;
        break;
    case '6':
        options->family = 6;
        break;
    case 'h':
        command->help = true;
        break;
    case ARG_VERSION:
        command->version = true;
        break;
    case ARG_JSON:
        options->json = true;
        break;
    case ARG_NO_LEGEND:
        options->no_legend = true;
        break;
    case ARG_RUNTIME_DIRECTORY:
        options->runtime_directory = text;
        break;
    case ARG_CONFIG_DIRECTORY:
        options->config_directory = text;
        break;
    case ARG_BINARY:
        options->binary = text;
        break;
    case ARG_PROFILE:
        options->profile = text;
        break;
    case ARG_ROOT:
        options->root = text;
        break;
    case ARG_ID:
        options->id = text;
        break;
    case ARG_TARGET:
        options->target = text;
        break;
    case ARG_STALE:
        options->stale = true;
        break;
    case ARG_SCAN:
        options->scan = true;
        break;
    case ARG_SERVICES:
        options->services = true;
        break;
    case ARG_RESET:
        options->reset = true;
        break;
    case ARG_CHECK_STATUS:
        options->check_status = text;
        break;
    case ARG_DEFINITION:
        options->definition = text;
        break;
    case ARG_NOTE:
        options->note = text;
        break;
    case ARG_ZONE:
        options->zone = text;
        break;
    case ARG_ADDRESS:
        return parse_address(options, text);
    case ARG_TAG:
        return strings_add(&options->tags, ENDPOINT_TAGS_MAX, "tag", text);
    case ARG_PORT:
        return parse_number("port", text, &options->port);
    case ARG_WEIGHT:
        return parse_number("weight", text, &options->weight);
    case ARG_TTL:
        return parse_time("ttl", text, USEC_PER_SEC, &options->ttl);
    case ARG_CHECK:
        return strings_add(&options->checks, CHECKS_MAX, "check", text);
    case ARG_CHECK_INTERVAL:
        return parse_time("check-interval", text, USEC_PER_SEC, &options->check_interval);
    case ARG_CHECK_TIMEOUT:
        return parse_time("check-timeout", text, USEC_PER_MSEC, &options->check_timeout);
    }
    return EXIT_SUCCESS;
}

int command_parse(int argc, char **argv, struct command *ret_command)
{
    struct option long_options[ELEMENTS(option_texts) + 1] = {0};
    struct command command = {0};

    make_long_options(long_options);
    opterr = 0;
    for (;;) {
        const char *argument = argv[optind];
        int value = getopt_long(argc, argv, ":46h", long_options, NULL);

        if (value == -1)
            break;
        /* getopt moves verbs out of the way: then the option stands right before optind. */
        if (value == '?' || value == ':')
            return complain_option(optopt == 0 || optopt >= 256 ? argv[optind - 1] : argument,
                                   optopt, value == ':');
        if (parse_option(&command, value, optarg) != EXIT_SUCCESS)
            return EXIT_FAILURE;
        command.given[option_index(value)] = true;
    }
    *ret_command = command;
    return EXIT_SUCCESS;
}

static bool option_belongs(const struct option_text *option, const struct verb *verb)
{
    return option->of == 0 || (verb && (option->of & verb->options));
}

const char *command_stray_option(const struct command *command, const struct verb *verb)
{
    for (size_t i = 0; i < ELEMENTS(option_texts); i++)
        if (command->given[i] && !option_belongs(&option_texts[i], verb))
            return option_texts[i].name;
    return NULL;
}

static void print_option(const struct option_text *option)
{
    char left[40];

    snprintf(left, sizeof(left), "%s%c%s--%s%s%s", option->value < 256 ? "-" : " ",
             option->value < 256 ? option->value : ' ', option->value < 256 ? ", " : "  ",
             option->name, option->argument ? "=" : "", option->argument ?: "");
    printf("  %-30s %s\n", left, option->help);
}

void command_print_options(const struct verb *verb)
{
    for (size_t i = 0; i < ELEMENTS(option_texts); i++)
        if (option_belongs(&option_texts[i], verb))
            print_option(&option_texts[i]);
}
