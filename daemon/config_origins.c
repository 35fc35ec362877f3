/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/config_origins.h"

static void setting_done(struct config_setting *setting)
{
    free((char *)setting->key);
    free((char *)setting->text);
    free((char *)setting->file);
}

void config_origins_done(struct config_origins *origins)
{
    for (size_t i = 0; i < origins->count; i++)
        setting_done(&origins->items[i]);
    free(origins->items);
    *origins = (struct config_origins){0};
}

const struct config_setting *config_origins_find(const struct config_origins *origins,
                                                 const char *key)
{
    for (size_t i = 0; i < origins->count; i++)
        if (streq(origins->items[i].key, key))
            return &origins->items[i];
    return NULL;
}

/* "KEY=" sets the default again. */
static void forget(struct config_origins *origins, const char *key)
{
    for (size_t i = 0; i < origins->count; i++) {
        if (!streq(origins->items[i].key, key))
            continue;
        setting_done(&origins->items[i]);
        origins->items[i] = origins->items[--origins->count];
        return;
    }
}

static int note(struct config_origins *origins, const char *file, const struct config_pair *pair)
{
    struct config_setting setting, *grown;

    forget(origins, pair->key);
    if (!*pair->text)
        return 0;
    grown = reallocarray(origins->items, origins->count + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    origins->items = grown;
    setting = (struct config_setting){strdup(pair->key), strdup(pair->text), strdup(file),
                                      pair->line};
    if (!setting.key || !setting.text || !setting.file) {
        setting_done(&setting);
        return -ENOMEM;
    }
    grown[origins->count++] = setting;
    return 0;
}

int config_origins_note(struct config_origins *origins, const char *file,
                        const struct config_pairs *pairs)
{
    int r = 0;

    for (size_t i = 0; i < pairs->count && r == 0; i++)
        r = note(origins, file, &pairs->items[i]);
    return r;
}
