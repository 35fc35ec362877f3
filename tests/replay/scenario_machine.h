/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The machine that scenarios run on: the whole core (configuration, registries, store, chase,
 * resolver, publisher with its view) put together as the manager does it, on a clock that the
 * scenario moves. Registry types are the real ones; what they ask goes to scripted servers
 * (scenario_server.h), through twins of registry_env. Nothing here knows the language.
 *
 * Time passes by machine_run_until() alone: everything that falls due on the way happens in order.
 * Two runs with the same seed are the same to the last byte of their transcript.
 */
#pragma once

#include "daemon/registries.h"
#include "daemon/resolver.h"
#include "nss-sd/view.h"
#include "tests/replay/scenario_server.h"
#include "tests/replay/twin.h"

#include <stdio.h>

struct machine;

/* `transcript`: what happens is written there; NULL: nowhere. */
struct machine *machine_new(uint64_t seed, FILE *transcript);
struct machine *machine_free(struct machine *machine);

/* The first failure stops the scenario; "FILE:LINE: " is put before it. */
void machine_fail(struct machine *machine, const char *format, ...) _printf_(2, 3);
const char *machine_failure(const struct machine *machine); /* NULL: none */
void machine_at_line(struct machine *machine, const char *file, unsigned line);
void machine_note(struct machine *machine, const char *format, ...) _printf_(2, 3);

/* ---- files: kept, and put into force by starting or reloading ---- */

/* `path` below the configuration's directory; content NULL: the file goes. */
void machine_write(struct machine *machine, const char *path, const char *content);
/* The daemon starts with what is written; once. */
void machine_start(struct machine *machine);
bool machine_running(const struct machine *machine);
/* As on SIGHUP. NULL, or the first message of a configuration that has errors (until the next). */
const char *machine_reload(struct machine *machine);
/* The daemon ends and another one starts, at once: the view is there, what it knew is not. */
void machine_restart(struct machine *machine);
/* The machine boots: the runtime directory is empty. */
void machine_reboot(struct machine *machine);

/* ---- time ---- */

usec_t machine_now(const struct machine *machine);
usec_t machine_began(const struct machine *machine); /* "0s" of the scenario */
void machine_run_until(struct machine *machine, usec_t t);
/* What is due now. */
void machine_settle(struct machine *machine);
/* Time passes and nobody runs; then all that is overdue happens. */
void machine_suspend(struct machine *machine, usec_t duration);
void machine_jump_date(struct machine *machine, int64_t ahead);
uint64_t machine_random(struct machine *machine);

/* ---- what an operator does ---- */

void machine_kick(struct machine *machine);
void machine_flush(struct machine *machine, const char *name);
struct registry *machine_registry(struct machine *machine, const char *name);

/* ---- what a program gets ---- */

/* An answer as text: "found 10.0.0.1 10.0.0.2", "absent", "no-data", "undecided", "foreign"; and
 * what is known beside it. */
struct reply {
    char text[4096];
    bool stale, alias;
    usec_t age; /* since the last confirmation */
    char name[NAME_SIZE], canonical[NAME_SIZE];
};

struct seen {
    struct machine *machine;
    struct lookup *lookup; /* NULL: answered */
    int family;
    bool reverse;
    usec_t since, took;
    struct reply reply;
};
/* By the socket. The reply comes now or later; `seen` must stay till then, or be cancelled. */
void machine_lookup(struct machine *machine, const char *name, int family, struct seen *seen);
void machine_cancel(struct seen *seen);
void machine_reverse(struct machine *machine, const char *address, struct seen *seen);

/* From the view, as the module reads it; a reader past the slot's refresh time says that the name
 * is wanted. VIEW_SERVE_NEVER also where there is nothing. */
enum view_serve machine_view(struct machine *machine, const char *name, int family,
                             struct reply *ret_reply);

/* ---- what is known of a service; false: nothing ---- */
bool machine_service(struct machine *machine, const char *registry, const char *key,
                     struct service_facts *ret_facts);
/* What the store found worth telling of a key, since the last call, in order: "stale expired". */
void machine_notices(struct machine *machine, const char *key, char *ret_text, size_t size);
/* How many warnings and errors of the registry's log contain `part`. */
unsigned machine_logged(struct machine *machine, const char *registry, const char *part);

/* ---- what stands behind registries, by their name ---- */

void machine_add_server(struct machine *machine, const char *name, const char *type);
struct server *machine_server(struct machine *machine, const char *registry); /* or NULL */
struct dns_script *machine_dns(struct machine *machine);

/* What connections of checks meet at this address: "works" (as all do at first), "refuses",
 * "is silent". False: another word. */
bool machine_instance(struct machine *machine, const char *address, const char *how);
/* How many endpoints are checked by policies now. */
unsigned machine_checked(const struct machine *machine);
