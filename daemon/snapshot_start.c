/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading what earlier daemons left: each file and its journal, and what is swept after that. */
#include "daemon/snapshot_internal.h"

#include <stdio.h>

#include "daemon/message.h"
#include "daemon/snapshot_file.h"
#include "daemon/snapshot_load.h"

static void tell_loaded(const struct snapshot *snapshot, const struct snapshot_slot *slot,
                        const char *file, const struct snapshot_loaded *loaded)
{
    struct log_context context = snapshot_slot_context(slot);
    char dropped[64] = "";

    if (loaded->dropped > 0)
        snprintf(dropped, sizeof(dropped), "; no room for %u more", loaded->dropped);
    message_log(MESSAGE_SNAPSHOT_LOADED, &context, snapshot_now(snapshot),
                "%s/%s: %u services, %u names, %u host names as of %llu s ago%s",
                snapshot->directory, file, loaded->services, loaded->names, loaded->hosts,
                (unsigned long long)(loaded->age / USEC_PER_SEC), dropped);
}

static void tell_refused(const struct snapshot *snapshot, const struct snapshot_slot *slot,
                         const char *file, const char *why, int aside)
{
    struct log_context context = snapshot_slot_context(slot);

    message_log(MESSAGE_SNAPSHOT_REFUSED, &context, snapshot_now(snapshot),
                "%s/%s is not used: %s; %s%s", snapshot->directory, file, why,
                aside < 0 ? "it cannot be set aside: " : "it is set aside as the same name with ",
                aside < 0 ? strerror(-aside) : ".refused");
}

static void file_load(struct snapshot *snapshot, struct snapshot_slot *slot, int directory_fd,
                      const struct snapshot_target *target)
{
    struct snapshot_binding binding = snapshot_slot_binding(slot);
    struct snapshot_loaded loaded;
    char file[NAME_MAX + 1], why[256];
    int r;

    snapshot_slot_file(slot, file);
    r = snapshot_load_file(directory_fd, file, &binding, target, &loaded, why, sizeof(why));
    if (r < 0) {
        free(loaded.identity);
        snapshot->counters.refused += r != -ENOENT;
        if (r != -ENOENT)
            tell_refused(snapshot, slot, file, why, snapshot_file_set_aside(directory_fd, file));
        return;
    }
    snapshot->counters.loaded++;
    tell_loaded(snapshot, slot, file, &loaded);
    free(slot->identity);
    slot->identity = loaded.identity;
    slot->on_disk = true;
    slot->size = loaded.size;
}

/* What an earlier daemon, that was killed, learned after that. */
static void journal_load(struct snapshot *snapshot, struct snapshot_slot *slot,
                         const struct snapshot_target *target)
{
    struct snapshot_binding binding = snapshot_slot_binding(slot);
    struct log_context context = snapshot_slot_context(slot);
    struct snapshot_loaded loaded;
    size_t size;

    snapshot_slot_begin_journal(snapshot, slot, 0);
    if (!*slot->journal.file)
        return;
    size = snapshot_load_journal(snapshot->runtime_fd, slot->journal.file, &binding, target,
                                 &loaded);
    snapshot_slot_begin_journal(snapshot, slot, size);
    if (loaded.services > 0)
        log_write(LOG_INFO, &context, "%s/%s: %u changes that were not on disk yet",
                  snapshot->parts.runtime_directory, slot->journal.file, loaded.services);
    if (!*slot->identity && loaded.identity) {
        free(slot->identity);
        slot->identity = loaded.identity;
        loaded.identity = NULL;
    }
    free(loaded.identity);
}

static void slot_load(struct snapshot *snapshot, struct snapshot_slot *slot, int directory_fd,
                      struct snapshot_names *names)
{
    struct snapshot_target target = {
        .store = snapshot->parts.store,
        .registry = (unsigned)(slot - snapshot->slots),
        .chase = snapshot->parts.chase,
        .names = names,
        .moment = snapshot_collect_moment(snapshot),
        .now = snapshot_now(snapshot),
    };

    slot->loaded = true;
    if (directory_fd >= 0)
        file_load(snapshot, slot, directory_fd, &target);
    if (*slot->registry)
        journal_load(snapshot, slot, &target);
}

/* Files of what is configured stay. */
static bool is_kept(void *userdata, const char *name)
{
    const struct snapshot *snapshot = userdata;
    char file[NAME_MAX + 1], refused[NAME_MAX + 16];

    for (unsigned i = 0; i < SNAPSHOT_SLOTS; i++) {
        const struct snapshot_slot *slot = &snapshot->slots[i];

        if (!slot->used)
            continue;
        snapshot_slot_file(slot, file);
        snprintf(refused, sizeof(refused), "%s.refused", file);
        if (streq(name, file) || streq(name, refused))
            return true;
    }
    return false;
}

static bool must_load(const struct snapshot *snapshot)
{
    for (unsigned i = 0; i < SNAPSHOT_SLOTS; i++)
        if (snapshot->slots[i].used && !snapshot->slots[i].loaded)
            return true;
    return false;
}

void snapshot_load(struct snapshot *snapshot)
{
    struct snapshot_names names = {0};
    int directory_fd;

    if (!snapshot->persist || !must_load(snapshot))
        return;
    directory_fd = snapshot_directory_open(snapshot->directory);
    if (directory_fd < 0)
        log_error("%s cannot be opened: %s; nothing is known of an earlier run",
                  snapshot->directory, strerror(-directory_fd));
    /* Host names first: services lead to them. */
    for (unsigned i = SNAPSHOT_SLOTS; i-- > 0;) {
        struct snapshot_slot *slot = &snapshot->slots[i];

        if (slot->used && !slot->loaded)
            slot_load(snapshot, slot, directory_fd, &names);
        slot->loaded = true;
    }
    for (size_t at = 0; at < names.size; at += strlen(names.text + at) + 1)
        resolver_recall(snapshot->parts.resolver, names.text + at, snapshot_now(snapshot));
    free(names.text);
    if (directory_fd >= 0)
        snapshot_directory_sweep(directory_fd, !snapshot->swept, snapshot->max_stale, is_kept,
                                 snapshot);
    snapshot->swept = true; /* from now on what is half written may be the worker's */
    closep(&directory_fd);
    snapshot_arm(snapshot);
}
