/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The running registries: starts, reloads and stops what the configuration names, knows which
 * registry owns which domain, passes the verbs on, and remembers how each registry is doing. It
 * interprets no names and no endpoints itself.
 */
#pragma once

#include <jansson.h>

#include "daemon/base.h"
#include "daemon/config.h"
#include "daemon/gather.h"
#include "daemon/registry/registry.h"
#include "nss-sd/view.h"

enum { REGISTRIES_MAX = STORE_REGISTRIES_MAX };

enum registry_condition { CONDITION_STARTING, CONDITION_UP, CONDITION_DOWN };
const char *registry_condition_to_string(enum registry_condition condition);

struct registries_hooks {
    /* Makes the env of a registry: the real one, or a twin in tests. */
    int (*env_new)(void *userdata, struct registry *registry, struct registry_env **ret_env);
    struct registry_env *(*env_free)(struct registry_env *env);
    /* Every report, after its condition was noted. */
    void (*report)(void *userdata, unsigned index, const struct registry_report *report);
    /* A registry was added, may have other rules (and was perhaps started anew: its services are to
     * be wanted again), or is going. */
    void (*added)(void *userdata, unsigned index, const struct registry_config *config);
    void (*changed)(void *userdata, unsigned index, const struct registry_config *config,
                    bool restarted);
    void (*removed)(void *userdata, unsigned index);
    usec_t (*now)(void *userdata);
    void *userdata;
};

struct registries;
struct registries *registries_new(const struct registries_hooks *hooks);
struct registries *
registries_free(struct registries *registries); /* stops all; none is `removed` */

/*
 * Brings the running registries in line with `config`, which must stay alive until the next call or
 * the end. A registry whose file did not change is left alone. One that cannot start is logged,
 * shown as down and tried again at the next reload.
 */
void registries_apply(struct registries *registries, const struct config *config);

/* To be called by the env's report sink. */
void registries_report(struct registries *registries, struct registry *registry,
                       const struct registry_report *report);

/* ---- as resolver_hooks and store_hooks want them; `userdata` is the struct registries ---- */
bool registries_owner(void *userdata, const char *name, struct resolver_owner *ret_owner);
enum registry_meaning registries_meaning(void *userdata, const struct resolver_owner *owner,
                                         const char *name, struct registry_target *ret_target);
int registries_reverse(void *userdata, const struct address *address,
                       char ret_name[static NAME_SIZE]);
const char *registries_refusal(void *userdata, unsigned index, const struct address *address);
int registries_want(void *userdata, unsigned index, const char *key);
int registries_refresh(void *userdata, unsigned index, const char *key);
void registries_drop(void *userdata, unsigned index, const char *key);

void registries_kick(struct registries *registries);

/* ---- for status ---- */
struct registry_facts {
    const char *name; /* NULL: no registry has this index */
    const char *type;
    struct registry *registry; /* NULL while it is not running */
    const struct registry_config *config;
    enum registry_condition condition;
    uint64_t condition_changes; /* since it is configured */
    usec_t condition_since;
    usec_t news_at;    /* its last report of something, or that all is well; 0: never */
    const char *error; /* last one, or "" */
    usec_t error_at;
};
void registries_facts(const struct registries *registries, unsigned index,
                      struct registry_facts *ret_facts);
/* Index of the registry of this name, or -ENOENT; of the first of this type, likewise. */
int registries_find(const struct registries *registries, const char *name);
int registries_find_type(const struct registries *registries, const char *type);

/* Names the domains for the view: fills at most `max`, returns the count. */
size_t registries_domains(const struct registries *registries, struct resolver_owner *ret_owners,
                          size_t max);
