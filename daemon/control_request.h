/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One call of io.nss-sd.Control on its way through a method: its parameters, checked, and the
 * errors that all methods share. Private to daemon/control*.c.
 */
#pragma once

#include "daemon/access.h"
#include "daemon/control.h"
#include "daemon/varlink.h"
#include "nss-sd/name.h"

#define INTERFACE "io.nss-sd.Control"

enum { PARAMETERS_MAX = 10 };

struct control_server {
    struct control_backend backend;
    struct varlink_service service;
    struct varlink_server *varlink;
    struct access_rights rights;
    uint64_t calls; /* of our methods, since the start or the last reset */
};

enum parameter_kind { STRING = 1, INTEGER, STRINGS, BOOLEAN, OBJECT, OBJECTS };

struct parameter {
    const char *name;
    enum parameter_kind kind;
    bool required;
};

struct request {
    struct control_server *server;
    const struct control_backend *backend;
    struct varlink_call *call;
    json_t *parameters; /* of the method's own names and types */
};

struct control_method {
    const char *name;
    void (*run)(struct request *request);
    bool privileged;
    struct parameter parameters[PARAMETERS_MAX + 1];
};

/* The name of the first parameter that is unknown, missing or of a wrong type; NULL: all are right.
 */
const char *request_check(const struct control_method *method, json_t *parameters);

/* NULL: left out. */
const char *request_text(const struct request *request, const char *name);
json_int_t request_number(const struct request *request, const char *name, json_int_t fallback);
/* Folds the parameter "name". False: replied with what is wrong with it. */
bool request_name(struct request *request, char ret_name[static NAME_SIZE], bool *ret_rooted);
/* A parameter of free text, "" if left out. False: replied with what is wrong with it. */
bool request_free_text(struct request *request, const char *name, const char **ret_text);

/* Why free text is refused, which registries and terminals will see, or NULL. */
const char *request_text_refusal(const char *text);
/* Why a private name is denied. */
extern const char control_is_private[];
/* What is wrong with what name_fold() refuses. */
extern const char control_not_a_name[];

void request_invalid(struct request *request, const char *parameter, const char *reason);
void request_busy(struct request *request);
/* Busy with a reason: which limit, and what to do. */
void request_busy_for(struct request *request, const char *reason);
/* PermissionDenied where this name is private and not for who asks. False: replied so. */
bool request_may_ask(struct request *request, const char *name);
/* The reply of a method whose object could not be made (NULL) is "later, perhaps". */
void request_reply(struct request *request, json_t *parameters);

/* Logs who changed something: the line that an administrator looks for afterwards. `name` and `id`
 * may be "". */
void request_log_change(const struct request *request, const char *what, const char *name,
                        const char *id);

/* ---- methods of control_register.c ---- */

void control_register(struct request *request);
void control_register_definition(struct request *request);
void control_pass(struct request *request);
void control_deregister(struct request *request);

/* ---- methods of control_stream.c ---- */

void control_monitor(struct request *request);
void control_instances(struct request *request);
void control_review(struct request *request);
