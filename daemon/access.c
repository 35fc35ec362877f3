/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/access.h"

#include <grp.h>

#include "daemon/config.h"

struct access access_join(struct access a, struct access b)
{
    if (a.kind != b.kind)
        return a.kind > b.kind ? a : b;
    if (a.policy != b.policy)
        a.policy = 0;
    return a;
}

void access_rights_init(struct access_rights *rights, const char *group)
{
    const struct group *entry = group && *group ? getgrnam(group) : NULL;

    *rights = (struct access_rights){.own_uid = geteuid(), .has_group = entry};
    if (entry)
        rights->group = entry->gr_gid;
}

bool access_privileged(const struct access_rights *rights, const struct peer *peer)
{
    return peer->uid == 0 || peer->uid == rights->own_uid ||
           (rights->has_group && peer_in_group(peer, rights->group));
}

static bool has_private(const struct config *config)
{
    for (size_t i = 0; i < config->policy_count; i++)
        if (config->policies[i].has_private && config->policies[i].is_private)
            return true;
    return false;
}

static bool is_listed(const struct config_policy *policy, const struct peer *peer)
{
    for (size_t i = 0; i < policy->allow_users.count; i++)
        if (policy->allow_users.items[i] == peer->uid)
            return true;
    for (size_t i = 0; i < policy->allow_groups.count; i++)
        if (peer_in_group(peer, policy->allow_groups.items[i]))
            return true;
    return false;
}

bool access_allows(const struct access_asker *asker, struct access access)
{
    const struct config *config = asker->keeper ? *asker->keeper->config : NULL;

    if (access.kind == ACCESS_ANYBODY)
        return true;
    if (!config)
        return access.kind == ACCESS_UNSAID;
    if ((access.kind == ACCESS_UNSAID && !has_private(config)) ||
        access_privileged(&asker->keeper->rights, asker->peer))
        return true;
    return access.kind == ACCESS_PRIVATE && access.policy > 0 &&
           access.policy <= config->policy_count &&
           is_listed(&config->policies[access.policy - 1], asker->peer);
}
