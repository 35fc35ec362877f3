/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command line of sdctl: owns the table of all options, and reads one line by it. Checks every
 * value by itself; which verb is meant is the program's to find.
 */
#pragma once

#include "ctl/verb.h"

enum { COMMAND_OPTIONS_MAX = 64 };

/* What the command line said. */
struct command {
    struct options options;
    bool given[COMMAND_OPTIONS_MAX]; /* by their places in the table */
    bool help, version;
};

/* Options may stand anywhere; afterwards the verb and its arguments begin at optind. EXIT_FAILURE:
 * what is wrong has been said. */
int command_parse(int argc, char **argv, struct command *ret_command);

/* An option that was given although the verb has none such; NULL: they go together. */
const char *command_stray_option(const struct command *command, const struct verb *verb);

/* For help: the options that the verb takes; NULL: those of all verbs. */
void command_print_options(const struct verb *verb);
