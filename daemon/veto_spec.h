/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What Check= of a policy says: how an instance is asked whether it works.
 *
 *     tcp:PORT   http:PORT[/PATH]   https:PORT[/PATH]   grpc:PORT[/SERVICE]   none
 *
 * PORT is a number, the name that the registry gives one of the instance's ports, or the word
 * "port": the first port that the registry names. Pure.
 */
#pragma once

#include "daemon/check_settings.h"
#include "daemon/endpoint.h"

enum { VETO_PORT_SIZE = 64, VETO_PATH_SIZE = 256 };

struct veto_spec {
    enum check_kind kind;
    bool none; /* a check of a lower rank is taken back */
    bool tls;
    char port[VETO_PORT_SIZE]; /* digits, a name, or "port" */
    char path[VETO_PATH_SIZE]; /* HTTP: begins with '/'; gRPC: "" or '/' and the service */
};

/* 0, or -EINVAL and in *ret_mistake what is wrong with it ("... needs a port"). */
int veto_spec_parse(const char *text, struct veto_spec *ret_spec, const char **ret_mistake);

/* The port of this endpoint; 0: it has none of that name. */
uint16_t veto_spec_port(const struct veto_spec *spec, const struct endpoint *endpoint);

/* Where a check of `address` leads: fills kind, target and TLS of `ret_settings`, which points
 * into `ret_target`. */
void veto_spec_aim(const struct veto_spec *spec, const struct address *address, uint16_t port,
                   struct check_settings *ret_settings, char ret_target[static CHECK_TARGET_MAX]);

/* "tcp:8080", "http:port/readyz": for people. A query may be a secret, and is left out. */
enum { VETO_SPEC_TEXT_SIZE = 16 + VETO_PORT_SIZE + VETO_PATH_SIZE };
void veto_spec_show(const struct veto_spec *spec, char ret_text[static VETO_SPEC_TEXT_SIZE]);
