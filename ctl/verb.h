/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a verb of sdctl is, and what all verbs share: options, calls to the daemon, messages. A verb
 * prints its result on stdout and what went wrong on stderr, and returns the exit status of the
 * program.
 */
#pragma once

#include <jansson.h>

#include "ctl/text.h"
#include "daemon/endpoint.h"
#include "daemon/span.h"

/* Strings of an option that may be given more than once. */
struct strings {
    const char *items[ENDPOINT_TAGS_MAX];
    size_t count;
};

struct options {
    const char *runtime_directory;
    bool json;
    bool no_legend;
    bool scan, services; /* of check */
    bool stale; /* only what is stale */
    bool reset;
    int family; /* 0 both, 4, 6 */
    const char *config_directory;
    const char *root, *binary, *profile; /* of doctor; NULL: not given */
    const char *id, *zone, *target;
    struct strings addresses, tags, checks;
    usec_t check_interval, check_timeout;         /* 0: not given */
    const char *check_status, *definition, *note; /* NULL: not given */
    unsigned port, weight;                        /* 0: not given */
    usec_t ttl;                                   /* 0: not given */
};

/* Options that only some verbs have; bits of verb.options. */
enum {
    OPTION_FAMILY = 1u << 0,
    OPTION_CONFIG_DIRECTORY = 1u << 1,
    OPTION_ID = 1u << 2,
    OPTION_INSTANCE = 1u << 3, /* what describes an instance */
    OPTION_TABLE = 1u << 4,
    OPTION_STALE = 1u << 5,
    OPTION_RESET = 1u << 6,
    OPTION_DOCTOR = 1u << 7,
    OPTION_CHECK = 1u << 8,
    OPTION_NOTE = 1u << 9,
};

struct verb {
    const char *name;
    const char *arguments; /* as help shows them */
    int least, most;       /* how many arguments it takes; most -1: any number */
    unsigned options;
    const char *summary; /* one line */
    const char *help;    /* what it does and shows, in paragraphs */
    const char *examples;
    int (*run)(const struct options *options, int argc, char **argv);
};

int verb_query(const struct options *options, int argc, char **argv);
int verb_status(const struct options *options, int argc, char **argv);
int verb_services(const struct options *options, int argc, char **argv);
int verb_statistics(const struct options *options, int argc, char **argv);
int verb_register(const struct options *options, int argc, char **argv);
int verb_deregister(const struct options *options, int argc, char **argv);
int verb_pass(const struct options *options, int argc, char **argv);
int verb_warn(const struct options *options, int argc, char **argv);
int verb_fail(const struct options *options, int argc, char **argv);
int verb_flush(const struct options *options, int argc, char **argv);
int verb_reload(const struct options *options, int argc, char **argv);
int verb_explain(const struct options *options, int argc, char **argv);
int verb_monitor(const struct options *options, int argc, char **argv);
int verb_log_level(const struct options *options, int argc, char **argv);
int verb_check(const struct options *options, int argc, char **argv);
int verb_doctor(const struct options *options, int argc, char **argv);

/* "sdctl: ..." on stderr, made printable. Returns EXIT_FAILURE. */
int complain(const char *format, ...) _printf_(1, 2);

/*
 * Calls a method of io.nss-sd.Control. The reference of `parameters` is taken; members that are
 * JSON null are left out. 0 and the reply's parameters (the caller's reference); with --json they
 * are printed already and the verb has nothing to add. Otherwise the failure has been explained and
 * the result is EXIT_FAILURE.
 */
int control_call(const struct options *options, const char *method, json_t *parameters,
                 json_t **ret_parameters);

/*
 * The same for a method with many replies: `take` gets the parameters of each and goes on with
 * EXIT_SUCCESS. Nothing is printed here. `endless`: there may be nothing to tell for as long as it
 * takes.
 */
int control_stream(const struct options *options, const char *method, json_t *parameters,
                   bool endless, int (*take)(void *userdata, json_t *parameters), void *userdata);

/* Prints a document of --json. */
void json_print(const json_t *document);

/* Members of a reply, whatever the daemon sent: "" and -1 for what is not there. */
const char *member_text(const json_t *object, const char *name);
json_int_t member_number(const json_t *object, const char *name);

/* "2min 5s ago"; "never" for a negative age. */
const char *age_text(json_int_t usec, char buffer[static SPAN_SIZE + 8]);

/* A word of the daemon's in its style: sequences and word are printed. */
void print_word(const char *word);

/* The messages of a configuration, one line each: "file:line: error: text". */
void messages_print(const json_t *messages);
