/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What goes into a file: what is known of the services of a registry, or of chased hosts, in use or
 * given up; and into a journal, at each change. */
#include "daemon/snapshot_internal.h"

#include <stdio.h>
#include <time.h>

/* This round of the loop, by the clocks that a file carries. */
struct snapshot_moment snapshot_collect_moment(const struct snapshot *snapshot)
{
    struct snapshot_moment moment = {.boottime = clock_event_time(snapshot_now(snapshot))};
    struct timespec wall;

    clock_gettime(CLOCK_REALTIME, &wall);
    moment.realtime = (usec_t)wall.tv_sec * USEC_PER_SEC + (usec_t)wall.tv_nsec / 1000;
    strcpy(moment.boot_id, snapshot->boot_id);
    return moment;
}

struct snapshot_job *snapshot_collect_nothing(struct snapshot *snapshot,
                                              const struct snapshot_slot *slot)
{
    struct snapshot_binding binding = snapshot_slot_binding(slot);
    struct snapshot_moment moment = snapshot_collect_moment(snapshot);
    char file[NAME_MAX + 1];
    struct snapshot_job *job;

    snapshot_slot_file(slot, file);
    job = snapshot_job_new(snapshot->directory, file, &binding, &moment);
    if (!job)
        return NULL;
    job->owner = snapshot;
    job->slot = (unsigned)(slot - snapshot->slots);
    job->generation = slot->generation;
    return job;
}

/* ---- collecting ---- */

struct collect {
    const struct snapshot *snapshot;
    const struct snapshot_slot *slot;
    struct snapshot_job *job;
    unsigned registry;
    usec_t now;
    bool live;
    bool all; /* also what there is nothing to tell of any more */
};

static void collect_service(void *userdata, struct service *service)
{
    struct collect *collect = userdata;
    struct service_facts facts;
    bool any;

    service_facts(service, collect->now, &facts);
    any = (facts.state == FRESHNESS_FRESH || facts.state == FRESHNESS_STALE) &&
          facts.confirmed_at >= collect->slot->valid_since;
    if (!any && !collect->all)
        return;
    collect->live |= facts.live;
    if (!any) {
        facts.alias = NULL;
        facts.endpoints = NULL;
        facts.confirmed_at = collect->now;
        facts.suspect = facts.held = false;
    }
    snapshot_job_add_service(
        collect->job,
        &(struct snapshot_service){
            .key = facts.key,
            .alias = facts.alias,
            .endpoints = facts.endpoints,
            .flags = facts.flags,
            .age = collect->now - facts.confirmed_at,
            .doubt_left = facts.suspect || facts.held ? facts.stale_until - collect->now : 0,
        });
}

static void collect_shelved(void *userdata, const struct store_memory *memory)
{
    struct collect *collect = userdata;

    if (memory->confirmed_at >= collect->slot->valid_since)
        snapshot_job_add_service(collect->job, &(struct snapshot_service){
                                                   .key = memory->key,
                                                   .alias = memory->alias,
                                                   .endpoints = memory->endpoints,
                                                   .flags = memory->flags,
                                                   .age = collect->now - memory->confirmed_at,
                                               });
}

static void collect_name(void *userdata, const char *name)
{
    struct collect *collect = userdata;
    struct resolver_owner owner;

    if (registries_owner(collect->snapshot->parts.registries, name, &owner) &&
        owner.registry == collect->registry)
        snapshot_job_add_name(collect->job, name);
}

static void collect_host(void *userdata, const struct chase_link *link)
{
    struct collect *collect = userdata;
    struct snapshot_host host = {chase_host(link), chase_canonical(link), {{0}}};
    bool any = false;

    for (unsigned i = 0; i < ELEMENTS(host.halves); i++) {
        struct chase_facts facts;

        chase_facts(link, i == 0 ? AF_INET : AF_INET6, collect->now, &facts);
        if (facts.state != CHASE_FOUND && facts.state != CHASE_NO_DATA)
            continue;
        any |= facts.state == CHASE_FOUND;
        host.halves[i] = (struct snapshot_half){
            .state = facts.state == CHASE_FOUND ? SNAPSHOT_HALF_FOUND : SNAPSHOT_HALF_NO_DATA,
            .age = collect->now > facts.confirmed_at ? collect->now - facts.confirmed_at : 0,
            .addresses = facts.addresses,
            .count = facts.state == CHASE_FOUND ? facts.count : 0,
        };
    }
    if (any)
        snapshot_job_add_host(collect->job, &host);
}

struct snapshot_job *snapshot_collect(struct snapshot *snapshot, const struct snapshot_slot *slot,
                                      bool *ret_live)
{
    const struct snapshot_parts *parts = &snapshot->parts;
    struct collect collect = {
        .snapshot = snapshot,
        .slot = slot,
        .job = snapshot_collect_nothing(snapshot, slot),
        .registry = (unsigned)(slot - snapshot->slots),
        .now = snapshot_now(snapshot),
    };

    if (!collect.job)
        return NULL;
    if (collect.registry == SNAPSHOT_SLOT_HOSTS) {
        chase_each(parts->chase, collect_host, &collect);
    } else {
        store_each(parts->store, collect.registry, collect_service, &collect);
        store_each_shelved(parts->store, collect.registry, collect_shelved, &collect);
        resolver_each(parts->resolver, collect_name, &collect);
    }
    collect.job->journaled = snapshot_journal_position(&slot->journal);
    *ret_live = collect.live;
    return collect.job;
}

/* ---- what a crash would lose ---- */

static int journal_write(struct snapshot *snapshot, struct snapshot_slot *slot,
                         struct service *service)
{
    struct collect collect = {
        .snapshot = snapshot,
        .slot = slot,
        .job = snapshot_collect_nothing(snapshot, slot),
        .now = snapshot_now(snapshot),
        .all = true,
    };
    bool full = snapshot_journal_full(&slot->journal);
    struct snapshot_buffer buffer = {0};
    int r;

    if (!collect.job)
        return -ENOMEM;
    if (full)
        store_each(snapshot->parts.store, (unsigned)(slot - snapshot->slots), collect_service,
                   &collect);
    else
        collect_service(&collect, service);
    r = snapshot_job_encode(collect.job, &buffer);
    if (r >= 0)
        r = full ? snapshot_journal_replace(&slot->journal, buffer.data, buffer.size)
                 : snapshot_journal_append(&slot->journal, buffer.data, buffer.size);
    if (full && r < 0)
        slot->journal_retry_at = collect.now + SNAPSHOT_WRITE_INTERVAL;
    snapshot_buffer_done(&buffer);
    snapshot_job_free(collect.job);
    return r;
}

void snapshot_replaced(struct snapshot *snapshot, struct service *service)
{
    struct service_facts facts;
    struct snapshot_slot *slot;
    int r;

    service_facts(service, snapshot_now(snapshot), &facts);
    slot = &snapshot->slots[facts.registry];
    if (!snapshot->persist || !slot->used || !slot->loaded || !*slot->journal.file ||
        (snapshot_journal_full(&slot->journal) && snapshot_now(snapshot) < slot->journal_retry_at))
        return;
    r = journal_write(snapshot, slot, service);
    if (r < 0 && log_limit_pass(&snapshot->journal_log, snapshot_now(snapshot)))
        log_warning("%s/%s cannot be written: %s; if the daemon is killed within seconds, the next "
                    "one does not know of the last changes",
                    snapshot->parts.runtime_directory, slot->journal.file, strerror(-r));
}
