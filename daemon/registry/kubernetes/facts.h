/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Facts about a cluster that no stream tells: which one it is (the uid of its namespace
 * kube-system) and where in it this host is (the labels of its node). Both need rights that may be
 * missing; then they stay unknown. It also finds out whether the server answers when nothing is
 * watched.
 */
#pragma once

#include "daemon/registry/registry.h"

struct kubernetes;
struct kubernetes_fact;

enum { KUBERNETES_FACTS = 2, KUBERNETES_LABEL_SIZE = 64 };

struct kubernetes_facts {
    struct kubernetes *kubernetes;
    struct kubernetes_fact *asked[KUBERNETES_FACTS];
    struct env_timer again;
    usec_t asked_at;
    unsigned failures;
    char identity[KUBERNETES_LABEL_SIZE]; /* uid; "": not known */
    char node[254];                       /* this host's; "": it is none, or not known */
    char zone[KUBERNETES_LABEL_SIZE], region[KUBERNETES_LABEL_SIZE];
};

void kubernetes_facts_init(struct kubernetes_facts *facts, struct kubernetes *kubernetes);
void kubernetes_facts_done(struct kubernetes_facts *facts);
/* Asks; where that was done a moment ago, a moment later. */
void kubernetes_facts_ask(struct kubernetes_facts *facts);
/* Asks now. */
void kubernetes_facts_kick(struct kubernetes_facts *facts);
