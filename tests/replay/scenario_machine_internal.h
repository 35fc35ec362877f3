/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of the machine share (scenario_machine.h): the daemon and its clock are
 * scenario_machine.c's, what a program sees of it is scenario_program.c's. */
#pragma once

#include "daemon/publisher.h"
#include "daemon/veto.h"
#include "tests/replay/scenario_machine.h"
#include "tests/unit/view_peek.h"

struct machine {
    char directory[64], runtime[80];
    char *file;
    unsigned line;
    char *failure;
    FILE *transcript;
    uint64_t random;
    usec_t now;
    int64_t realtime_ahead;
    struct named_server *servers;
    struct dns_script *dns;
    struct sick *sick; /* addresses that do not take connections */

    /* The daemon. */
    bool running, awake;
    struct config *config;
    struct config_messages messages;
    struct registries *registries;
    struct inhabitant *inhabitants;
    struct store *store;
    struct chase *chase;
    struct resolver_hooks resolver_hooks;
    struct resolver *resolver;
    struct veto *veto;
    struct inhabitant *checker; /* the twin of its checks */
    struct publisher *publisher;
    struct peek view; /* as programs have it mapped; words NULL: not */
    usec_t deadline, ageing, beat_at, swept_at, redrawn_at;
    struct notice *notices;
};

/* `path` below the machine's directory `part`. */
void machine_path(const struct machine *machine, const char *part, const char *path,
                  char ret_path[static 4096]);
/* Answers the connections that checks have made (scenario_instances.c). */
void machine_answer_checks(struct machine *machine, struct twin *twin);
void machine_sick_free(struct machine *machine);
/* Programs map the view anew. */
void machine_view_forget(struct machine *machine);
