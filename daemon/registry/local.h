/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The local registry: services of this host's own, without any server. It knows what the files of
 * local.d say (local/definition.h has their shape) and what was registered while it runs.
 *
 * NAME.<domain> is the service NAME, which may have dots; the key is NAME. It watches: changes
 * of files are reported within 100 ms, those by the functions here before they return.
 */
#pragma once

#include "daemon/check_settings.h"
#include "daemon/control.h"
#include "daemon/registry/registry.h"

extern const struct registry_type registry_type_local;

/* Its own keys of the [Registry] section. */
struct local_settings {
    char **directories; /* Directories=; NULL: local.d of the configuration's roots */
};

/*
 * Adds or replaces an instance (`registry` is of type local and started). With a ttl it goes unless
 * registered anew in time; without one it survives a restart. `ret_id`: the caller's to free.
 * Errors: -EINVAL: no name, id, or address that may be handed out (or addresses beside a host
 * name); -EROFS: the instance stands in a file; -ENOSPC: too many; -ENOMEM.
 */
int registry_local_register(struct registry *registry,
                            const struct control_registration *registration, char **ret_id);

/*
 * The instances of a definition (local/definition.h) as JSON, all or none, to stay. `ret_reply` as of
 * RegisterDefinition of io.nss-sd.Control. Errors as above, and -EBADMSG with the mistake in `ret_error`,
 * the caller's to free.
 */
int registry_local_register_definition(struct registry *registry, json_t *document,
                                       json_t **ret_reply, char **ret_error);

/*
 * A word about an instance, and a sign of its life: in force for its ttl checks for their ttl, and
 * its registration's ttl begins anew. `id`: of an instance (or "SERVICE/ID"), all ttl checks of
 * which it is for; or of one check. How many checks it reached. -ENOENT: there is no such instance
 * or check; -ENOTUNIQ: several services have one; -EINVAL: nothing of it waits for a word.
 */
int registry_local_pass(struct registry *registry, const char *id, enum check_state state,
                        const char *note);

/*
 * Takes away one registered instance, or all of the name (`id` NULL or ""), and returns how many.
 * -ENOENT: there is none; -EROFS: there is, but it stands in a file; -EINVAL: no name.
 */
int registry_local_deregister(struct registry *registry, const char *name, const char *id);
