/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A real DNS server of the test's own: dnsmasq on a free port of 127.0.0.1. */
#pragma once

#include "tests/unit/child.h"

struct dnsmasq {
    struct child child;
    char servers[32]; /* "127.0.0.1:PORT" */
};

/* `records`: further arguments, NULL at the end. The zone "test" is all its own. */
static inline void dnsmasq_start(struct dnsmasq *dnsmasq, const char *const *records)
{
    /* Its port may be taken between our look and its own. */
    for (int attempt = 0; attempt < 5; attempt++) {
        const char *argv[64] = {"dnsmasq",           "--keep-in-foreground",
                                "--log-facility=-",  "--conf-file=/dev/null",
                                "--no-resolv",       "--no-hosts",
                                "--bind-interfaces", "--listen-address=127.0.0.1",
                                "--pid-file=",       "--local=/test/",
                                "--local-ttl=30"};
        unsigned port = child_free_port();
        size_t argc = 11;
        char option[32];

        snprintf(dnsmasq->servers, sizeof(dnsmasq->servers), "127.0.0.1:%u", port);
        snprintf(option, sizeof(option), "--port=%u", port);
        argv[argc++] = option;
        for (size_t i = 0; records[i] && argc < 63; i++)
            argv[argc++] = records[i];
        if (child_start(&dnsmasq->child, argv, "started, version"))
            return;
    }
    ck_abort_msg("dnsmasq (package dnsmasq-base) does not start");
}

static inline void dnsmasq_stop(struct dnsmasq *dnsmasq)
{
    child_stop(&dnsmasq->child);
}
