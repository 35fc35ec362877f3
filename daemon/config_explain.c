/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/config_explain.h"

#include "daemon/config_load.h"

static const struct config_item *item_find(const struct config_item *items, const char *key)
{
    for (; items->key; items++)
        if (streq(items->key, key))
            return items;
    return NULL;
}

/* What holds where nobody says anything, of keys that no rank below has. */
static const char *default_of(const struct config_item *own, const struct config_item *global)
{
    static const struct {
        const char *key, *text;
    } defaults[] = {
        {"EmptyProtection", "off"},
        {"Private", "no"},
        {"AllowWarning", "yes"},
        {"Terminating", "last-resort"},
    };

    if (global && global->fallback)
        return global->fallback;
    for (size_t i = 0; i < ELEMENTS(defaults); i++)
        if (streq(defaults[i].key, own->key))
            return defaults[i].text;
    return "";
}

/* Who may have private names is said where they are made private, and nowhere else. */
static bool goes_with_private(const char *key)
{
    return streq(key, "AllowUsers") || streq(key, "AllowGroups");
}

/* Of the policies that match the name, the last one that says something. */
static const struct config_setting *policy_setting(const struct config *config, const char *name,
                                                   const char *key)
{
    for (size_t i = config->policy_count; i > 0; i--) {
        const struct config_policy *policy = &config->policies[i - 1];
        const struct config_setting *setting = config_origins_find(&policy->origins, key);
        bool ends = goes_with_private(key) && policy->has_private;

        if ((setting || ends) && config_policy_matches(policy, name))
            return setting;
    }
    return NULL;
}

/* `own`: the item of the rank that has the key first, for its default. */
static struct config_setting setting_of(const struct config *config,
                                        const struct registry_config *registry, const char *name,
                                        const struct config_item *own)
{
    const struct config_item *global = item_find(config_resolve_items, own->key);
    const struct config_setting *setting = policy_setting(config, name, own->key);

    if (!setting && registry && item_find(config_registry_items, own->key))
        setting = config_origins_find(&registry->origins, own->key);
    if (!setting && global)
        setting = config_origins_find(&config->origins, own->key);
    if (setting)
        return *setting;
    return (struct config_setting){
        .key = own->key,
        .text = default_of(own, global),
    };
}

void config_explain(const struct config *config, const struct registry_config *registry,
                    const char *name,
                    void (*visit)(void *userdata, const struct config_setting *setting),
                    void *userdata)
{
    static const char *const global[] = {"EmptyHoldSec", "StaleWaitSec", "LookupTimeoutSec",
                                         "IdleSec", "Zone"};

    for (const struct config_item *item = config_policy_items; item->key; item++) {
        struct config_setting setting = setting_of(config, registry, name, item);

        visit(userdata, &setting);
    }
    for (size_t i = 0; i < ELEMENTS(global); i++) {
        struct config_setting setting = setting_of(config, registry, name,
                                                   item_find(config_resolve_items, global[i]));

        visit(userdata, &setting);
    }
}
