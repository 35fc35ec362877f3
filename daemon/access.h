/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may have what: the privileged (root, the daemon's own uid, members of ControlGroup=) all of
 * it, others what is not private or is allowed to them (Private=, AllowUsers=, AllowGroups= of a
 * policy). Judged by what the kernel says of the peer alone. Owns nothing.
 */
#pragma once

#include <sys/types.h>

#include "daemon/base.h"
#include "daemon/peer.h"

struct config;

enum access_kind {
    ACCESS_UNSAID, /* no name that leads to it said whether it is private */
    ACCESS_ANYBODY,
    ACCESS_PRIVATE,
};

/* Whose a name, a service or an answer is. Holds until the next reload. */
struct access {
    enum access_kind kind;
    unsigned policy; /* whose list adds to the privileged: its place, from 1; 0: nobody's does */
};

/* Of what rests on both: nobody may have it who may not have each. */
struct access access_join(struct access a, struct access b);

/* ---- the privileged ---- */

struct access_rights {
    uid_t own_uid;
    gid_t group;
    bool has_group;
};

/* Asks NSS for the group (NULL or "": none). At the start alone: inside the loop a name service
 * could wait for this very daemon. */
void access_rights_init(struct access_rights *rights, const char *group);
bool access_privileged(const struct access_rights *rights, const struct peer *peer);

/* ---- the judgement ---- */

struct access_keeper {
    struct access_rights rights;
    struct config *const *config; /* what is in force */
};

/* Somebody who asks. Both borrowed; without a keeper nothing that is private is for him. */
struct access_asker {
    const struct access_keeper *keeper;
    const struct peer *peer;
};

/* Where some policy says Private=yes, what is unsaid is for the privileged alone. */
bool access_allows(const struct access_asker *asker, struct access access);
