/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a file is of: its name, what it is bound to, and the journal beside it. */
#include "daemon/snapshot_internal.h"

#include <stdio.h>

#define SUFFIX     ".snapshot"
#define JOURNAL    ".changes"
#define HOSTS_FILE "chased-hosts"

void snapshot_slot_file(const struct snapshot_slot *slot, char ret_file[static NAME_MAX + 1])
{
    if (*slot->registry)
        snprintf(ret_file, NAME_MAX + 1, "%s" SUFFIX, slot->registry);
    else
        strcpy(ret_file, HOSTS_FILE);
}

struct snapshot_binding snapshot_slot_binding(const struct snapshot_slot *slot)
{
    return (struct snapshot_binding){slot->registry, slot->type, slot->source, slot->domains,
                                     slot->identity};
}

struct log_context snapshot_slot_context(const struct snapshot_slot *slot)
{
    return (struct log_context){.registry = *slot->registry ? slot->registry : NULL};
}

static char *join(char *const *words)
{
    size_t size = 1, at = 0;
    char *text;

    for (size_t i = 0; words && words[i]; i++)
        size += strlen(words[i]) + 1;
    text = malloc(size);
    if (!text)
        return NULL;
    text[0] = '\0';
    for (size_t i = 0; words && words[i]; i++)
        at += (size_t)sprintf(text + at, i > 0 ? " %s" : "%s", words[i]);
    return text;
}

/* What the file is bound to; without memory for it, there is no file. */
bool snapshot_slot_bind(struct snapshot_slot *slot, const struct registry_config *config)
{
    slot->registry = strdup(config->name);
    slot->type = strdup(config->type->name);
    slot->domains = join(config->domains);
    slot->identity = strdup("");
    if (!config->type->source)
        slot->source = strdup("");
    else if (config->type->source(config, &slot->source) < 0)
        slot->source = NULL;
    return slot->registry && slot->type && slot->domains && slot->identity && slot->source;
}

void snapshot_slot_end(struct snapshot_slot *slot)
{
    free(slot->registry);
    free(slot->type);
    free(slot->source);
    free(slot->domains);
    free(slot->identity);
    free(slot->error);
    if (*slot->journal.file)
        snapshot_journal_end(&slot->journal);
    *slot = (struct snapshot_slot){0};
}

void snapshot_slot_begin(struct snapshot *snapshot, struct snapshot_slot *slot,
                         const struct registry_config *config)
{
    snapshot_slot_end(slot);
    if (!snapshot_slot_bind(slot, config)) {
        snapshot_slot_end(slot);
        return;
    }
    slot->used = true;
    slot->generation = ++snapshot->generations;
}

int snapshot_slot_begin_hosts(struct snapshot *snapshot)
{
    struct snapshot_slot *slot = &snapshot->slots[SNAPSHOT_SLOT_HOSTS];

    slot->registry = strdup("");
    slot->type = strdup("chase");
    slot->source = strdup("");
    slot->domains = strdup("");
    slot->identity = strdup("");
    slot->used = true;
    slot->generation = ++snapshot->generations;
    return slot->registry && slot->type && slot->source && slot->domains && slot->identity
               ? 0
               : -ENOMEM;
}

/* `size`: how much of the file is of this use of the slot. */
void snapshot_slot_begin_journal(const struct snapshot *snapshot, struct snapshot_slot *slot,
                                 size_t size)
{
    char file[NAME_MAX + 1];

    if (snapshot->runtime_fd >= 0 &&
        snprintf(file, sizeof(file), "%s" JOURNAL, slot->registry) < (int)sizeof(file))
        snapshot_journal_begin(&slot->journal, snapshot->runtime_fd, file, size);
}
