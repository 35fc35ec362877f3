/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/snapshot.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "daemon/clock.h"
#include "daemon/message.h"
#include "daemon/snapshot_file.h"
#include "daemon/snapshot_job.h"
#include "daemon/snapshot_journal.h"
#include "daemon/snapshot_load.h"

/* From a change to its file: changes come in groups. */
#define WRITE_DELAY (500 * USEC_PER_MSEC)
/* From one file of a registry to the next. */
#define WRITE_INTERVAL (5 * USEC_PER_SEC)
/* The same, where nothing changed but the time of the last confirmation. */
#define CONFIRM_INTERVAL (300 * USEC_PER_SEC)
/* A file that could not be written is tried again after 5 s, 10 s, ... */
#define RETRY_LAST (300 * USEC_PER_SEC)
/* A disk that hangs does not hold up the end for longer. */
#define STOP_TIMEOUT (10 * USEC_PER_SEC)

#define SUFFIX     ".snapshot"
#define JOURNAL    ".changes"
#define HOSTS_FILE "chased-hosts"

enum { SLOT_HOSTS = STORE_REGISTRIES_MAX, SLOTS };

/* One file. */
struct slot {
    bool used;
    bool loaded; /* nothing is written over a file that was not read */
    char *registry, *type, *source, *domains, *identity;
    uint64_t generation;      /* of this use of the slot */
    usec_t valid_since;       /* what was confirmed earlier is another source's or cluster's */
    bool changed;             /* since the file was collected last */
    bool confirmed;           /* likewise, and nothing else is new */
    bool live;                /* watches confirmed some of it when it was collected last */
    usec_t changed_at;        /* first change */
    usec_t collected_at;      /* 0: not by this daemon */
    struct snapshot_job *job; /* with the worker */
    unsigned failures;
    usec_t retry_at, failing_since;
    char *error;
    bool on_disk;
    usec_t written_at;
    size_t size;
    struct snapshot_journal journal;
    usec_t journal_retry_at; /* it is full and could not be replaced: that is much work */
};

struct snapshot {
    struct snapshot_parts parts;
    char *directory;
    bool persist;
    usec_t max_stale;
    char boot_id[SNAPSHOT_BOOT_ID_SIZE];
    struct snapshot_worker *worker;
    sd_event_source *timer;
    int runtime_fd; /* -1: there are no journals */
    struct log_limit journal_log;
    uint64_t generations;
    bool swept; /* the directory, of what writers that were killed left */
    struct snapshot_counters counters;
    struct slot slots[SLOTS];
};

static usec_t now_of(const struct snapshot *snapshot)
{
    return clock_now(snapshot->parts.event);
}

/* This round of the loop, by the clocks that a file carries. */
static struct snapshot_moment moment_of(const struct snapshot *snapshot)
{
    struct snapshot_moment moment = {.boottime = clock_event_time(now_of(snapshot))};
    struct timespec wall;

    clock_gettime(CLOCK_REALTIME, &wall);
    moment.realtime = (usec_t)wall.tv_sec * USEC_PER_SEC + (usec_t)wall.tv_nsec / 1000;
    strcpy(moment.boot_id, snapshot->boot_id);
    return moment;
}

static void file_of(const struct slot *slot, char ret_file[static NAME_MAX + 1])
{
    if (*slot->registry)
        snprintf(ret_file, NAME_MAX + 1, "%s" SUFFIX, slot->registry);
    else
        strcpy(ret_file, HOSTS_FILE);
}

static struct snapshot_binding binding_of(const struct slot *slot)
{
    return (struct snapshot_binding){slot->registry, slot->type, slot->source, slot->domains,
                                     slot->identity};
}

static struct log_context context_of(const struct slot *slot)
{
    return (struct log_context){.registry = *slot->registry ? slot->registry : NULL};
}

/* ---- when ---- */

static usec_t later(usec_t a, usec_t b)
{
    return a > b ? a : b;
}

static bool is_confirmed(const struct snapshot *snapshot, const struct slot *slot)
{
    unsigned index = (unsigned)(slot - snapshot->slots);

    return slot->confirmed || (slot->live && !store_registry_down(snapshot->parts.store, index));
}

static usec_t due_at(const struct snapshot *snapshot, const struct slot *slot)
{
    usec_t due = USEC_INFINITY;

    if (!snapshot->persist || !slot->used || !slot->loaded || slot->job)
        return USEC_INFINITY;
    if (slot->changed)
        due = later(slot->changed_at + WRITE_DELAY, slot->collected_at + WRITE_INTERVAL);
    else if (is_confirmed(snapshot, slot))
        due = slot->collected_at + CONFIRM_INTERVAL;
    return due == USEC_INFINITY ? due : later(due, slot->retry_at);
}

static void arm(struct snapshot *snapshot)
{
    usec_t next = USEC_INFINITY;

    for (unsigned i = 0; i < SLOTS; i++) {
        usec_t due = due_at(snapshot, &snapshot->slots[i]);

        next = due < next ? due : next;
    }
    sd_event_source_set_time(snapshot->timer, clock_event_time(next));
    sd_event_source_set_enabled(snapshot->timer,
                                next == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static void slot_touched(struct snapshot *snapshot, struct slot *slot, bool changed)
{
    bool news = changed ? !slot->changed : !slot->confirmed && !slot->changed;

    if (!slot->used || !news)
        return;
    if (changed) {
        slot->changed = true;
        slot->changed_at = now_of(snapshot);
    } else {
        slot->confirmed = true;
    }
    arm(snapshot);
}

void snapshot_touched(struct snapshot *snapshot, unsigned registry, bool changed)
{
    slot_touched(snapshot, &snapshot->slots[registry], changed);
}

void snapshot_hosts_touched(struct snapshot *snapshot, bool changed)
{
    slot_touched(snapshot, &snapshot->slots[SLOT_HOSTS], changed);
}

/* ---- collecting ---- */

struct collect {
    const struct snapshot *snapshot;
    const struct slot *slot;
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

static void job_done(struct snapshot_task *task);

static struct snapshot_job *job_new(struct snapshot *snapshot, const struct slot *slot)
{
    struct snapshot_binding binding = binding_of(slot);
    struct snapshot_moment moment = moment_of(snapshot);
    char file[NAME_MAX + 1];
    struct snapshot_job *job;

    file_of(slot, file);
    job = snapshot_job_new(snapshot->directory, file, &binding, &moment);
    if (!job)
        return NULL;
    job->task.done = job_done;
    job->owner = snapshot;
    job->slot = (unsigned)(slot - snapshot->slots);
    job->generation = slot->generation;
    return job;
}

static void note_failure(struct snapshot *snapshot, struct slot *slot, const char *what, int error);

/* Hands what is known now to the worker. */
static void slot_write(struct snapshot *snapshot, struct slot *slot)
{
    const struct snapshot_parts *parts = &snapshot->parts;
    struct collect collect = {
        .snapshot = snapshot,
        .slot = slot,
        .job = job_new(snapshot, slot),
        .registry = (unsigned)(slot - snapshot->slots),
        .now = now_of(snapshot),
    };
    int r = collect.job ? 0 : -ENOMEM;

    slot->collected_at = collect.now;
    if (r >= 0 && collect.registry == SLOT_HOSTS) {
        chase_each(parts->chase, collect_host, &collect);
    } else if (r >= 0) {
        store_each(parts->store, collect.registry, collect_service, &collect);
        store_each_shelved(parts->store, collect.registry, collect_shelved, &collect);
        resolver_each(parts->resolver, collect_name, &collect);
    }
    if (r >= 0)
        r = snapshot_worker_submit(snapshot->worker, &collect.job->task);
    if (r < 0) {
        snapshot_job_free(collect.job);
        note_failure(snapshot, slot, "handed to the worker", r);
        return;
    }
    collect.job->journaled = snapshot_journal_position(&slot->journal);
    slot->job = collect.job;
    slot->live = collect.live;
    slot->changed = slot->confirmed = false;
}

/* ---- what a crash would lose ---- */

static int journal_write(struct snapshot *snapshot, struct slot *slot, struct service *service)
{
    struct collect collect = {
        .snapshot = snapshot,
        .slot = slot,
        .job = job_new(snapshot, slot),
        .now = now_of(snapshot),
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
        slot->journal_retry_at = collect.now + WRITE_INTERVAL;
    snapshot_buffer_done(&buffer);
    snapshot_job_free(collect.job);
    return r;
}

void snapshot_replaced(struct snapshot *snapshot, struct service *service)
{
    struct service_facts facts;
    struct slot *slot;
    int r;

    service_facts(service, now_of(snapshot), &facts);
    slot = &snapshot->slots[facts.registry];
    if (!snapshot->persist || !slot->used || !slot->loaded || !*slot->journal.file ||
        (snapshot_journal_full(&slot->journal) && now_of(snapshot) < slot->journal_retry_at))
        return;
    r = journal_write(snapshot, slot, service);
    if (r < 0 && log_limit_pass(&snapshot->journal_log, now_of(snapshot)))
        log_warning("%s/%s cannot be written: %s; if the daemon is killed within seconds, the next "
                    "one does not know of the last changes",
                    snapshot->parts.runtime_directory, slot->journal.file, strerror(-r));
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct snapshot *snapshot = userdata;
    usec_t now = now_of(snapshot);

    (void)source, (void)usec;
    for (unsigned i = 0; i < SLOTS; i++) {
        if (due_at(snapshot, &snapshot->slots[i]) > now)
            continue;
        /* One at a time: each is some work, and lookups go first. */
        slot_write(snapshot, &snapshot->slots[i]);
        break;
    }
    arm(snapshot);
    return 0;
}

/* ---- what became of it ---- */

static void note_failure(struct snapshot *snapshot, struct slot *slot, const char *what, int error)
{
    struct log_context context = context_of(slot);
    usec_t now = now_of(snapshot),
           delay = WRITE_INTERVAL << (slot->failures < 6 ? slot->failures : 6);
    char file[NAME_MAX + 1], text[256];

    snapshot->counters.failed++;
    slot->changed = true;
    slot->retry_at = now + (delay < RETRY_LAST ? delay : RETRY_LAST);
    if (slot->failures++ == 0)
        slot->failing_since = now;
    snprintf(text, sizeof(text), "cannot be %s: %s", what, strerror(-error));
    if (slot->error && streq(slot->error, text))
        return;
    file_of(slot, file);
    free(slot->error);
    slot->error = strdup(text);
    message_log(MESSAGE_SNAPSHOT_FAILED, &context, now, "%s/%s %s; %s, and it is tried again",
                snapshot->directory, file, text,
                slot->on_disk ? "the one before stays" : "a reboot would lose what is known");
}

static void note_success(struct snapshot *snapshot, struct slot *slot,
                         const struct snapshot_job *job)
{
    struct log_context context = context_of(slot);

    if (slot->failures > 0)
        log_write(LOG_NOTICE, &context, "%s/%s is written again", snapshot->directory, job->file);
    snapshot->counters.written++;
    slot->failures = 0;
    slot->retry_at = 0;
    free(slot->error);
    slot->error = NULL;
    slot->on_disk = true;
    if (*slot->journal.file)
        snapshot_journal_cut(&slot->journal, job->journaled);
    slot->written_at = now_of(snapshot);
    slot->size = job->size;
}

static void job_done(struct snapshot_task *task)
{
    struct snapshot_job *job = (struct snapshot_job *)task;
    struct snapshot *snapshot = job->owner;
    struct slot *slot = &snapshot->slots[job->slot];

    if (slot->generation == job->generation && slot->job == job) {
        slot->job = NULL;
        if (job->error < 0)
            note_failure(snapshot, slot, job->what, job->error);
        else
            note_success(snapshot, slot, job);
        arm(snapshot);
    }
    snapshot_job_free(job);
}

/* ---- registries ---- */

static void slot_end(struct slot *slot)
{
    free(slot->registry);
    free(slot->type);
    free(slot->source);
    free(slot->domains);
    free(slot->identity);
    free(slot->error);
    if (*slot->journal.file)
        snapshot_journal_end(&slot->journal);
    *slot = (struct slot){0};
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
static bool slot_bind(struct slot *slot, const struct registry_config *config)
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

/* `size`: how much of the file is of this use of the slot. */
static void journal_begin(const struct snapshot *snapshot, struct slot *slot, size_t size)
{
    char file[NAME_MAX + 1];

    if (snapshot->runtime_fd >= 0 &&
        snprintf(file, sizeof(file), "%s" JOURNAL, slot->registry) < (int)sizeof(file))
        snapshot_journal_begin(&slot->journal, snapshot->runtime_fd, file, size);
}

static void slot_begin(struct snapshot *snapshot, struct slot *slot,
                       const struct registry_config *config)
{
    slot_end(slot);
    if (!slot_bind(slot, config)) {
        slot_end(slot);
        return;
    }
    slot->used = true;
    slot->generation = ++snapshot->generations;
}

void snapshot_added(struct snapshot *snapshot, unsigned registry,
                    const struct registry_config *config)
{
    slot_begin(snapshot, &snapshot->slots[registry], config);
}

void snapshot_changed(struct snapshot *snapshot, unsigned registry,
                      const struct registry_config *config)
{
    struct slot *slot = &snapshot->slots[registry], wanted = {0};
    struct snapshot_binding is, now;
    const char *other;
    char *domains;

    if (!slot->used || !slot_bind(&wanted, config)) {
        slot_end(&wanted);
        return;
    }
    is = binding_of(slot);
    now = binding_of(&wanted);
    other = snapshot_foreign(&is, &now);
    if (other && streq(other, "domains")) {
        domains = slot->domains;
        slot->domains = wanted.domains;
        wanted.domains = domains;
    } else if (other) {
        slot_begin(snapshot, slot, config);
        slot->loaded = true; /* what is on disk is of before */
        journal_begin(snapshot, slot, 0);
        slot->valid_since = now_of(snapshot);
    }
    slot_end(&wanted);
    if (other)
        slot_touched(snapshot, slot, true);
}

void snapshot_removed(struct snapshot *snapshot, unsigned registry)
{
    struct slot *slot = &snapshot->slots[registry];

    if (snapshot->persist && slot->used && slot->loaded && (slot->changed || slot->confirmed))
        slot_write(snapshot, slot);
    slot_end(slot);
}

/* The worker may be at the same file: so this is a job as well. */
static void slot_set_aside(struct snapshot *snapshot, struct slot *slot)
{
    struct snapshot_job *job = snapshot->persist ? job_new(snapshot, slot) : NULL;

    if (!job)
        return;
    job->set_aside = true;
    if (snapshot_worker_submit(snapshot->worker, &job->task) < 0)
        snapshot_job_free(job);
}

void snapshot_identified(struct snapshot *snapshot, unsigned registry, const char *identity)
{
    struct slot *slot = &snapshot->slots[registry];
    struct log_context context;
    char file[NAME_MAX + 1], *copy;

    if (!slot->used || streq(slot->identity, identity) || !(copy = strdup(identity)))
        return;
    context = context_of(slot);
    file_of(slot, file);
    if (*slot->identity) {
        message_log(MESSAGE_SNAPSHOT_REFUSED, &context, now_of(snapshot),
                    "%s/%s is of another cluster (%s, not %s): what was restored from it is "
                    "forgotten, the file is kept as %s.refused",
                    snapshot->directory, file, slot->identity, identity, file);
        snapshot->counters.refused++;
        slot_set_aside(snapshot, slot);
        if (*slot->journal.file)
            snapshot_journal_cut(&slot->journal, snapshot_journal_position(&slot->journal));
        slot->valid_since = now_of(snapshot);
        store_disown(snapshot->parts.store, registry, now_of(snapshot));
    }
    free(slot->identity);
    slot->identity = copy;
    slot_touched(snapshot, slot, true);
}

/* ---- loading ---- */

static void tell_loaded(const struct snapshot *snapshot, const struct slot *slot, const char *file,
                        const struct snapshot_loaded *loaded)
{
    struct log_context context = context_of(slot);
    char dropped[64] = "";

    if (loaded->dropped > 0)
        snprintf(dropped, sizeof(dropped), "; no room for %u more", loaded->dropped);
    message_log(MESSAGE_SNAPSHOT_LOADED, &context, now_of(snapshot),
                "%s/%s: %u services, %u names, %u host names as of %llu s ago%s",
                snapshot->directory, file, loaded->services, loaded->names, loaded->hosts,
                (unsigned long long)(loaded->age / USEC_PER_SEC), dropped);
}

static void tell_refused(const struct snapshot *snapshot, const struct slot *slot, const char *file,
                         const char *why, int aside)
{
    struct log_context context = context_of(slot);

    message_log(MESSAGE_SNAPSHOT_REFUSED, &context, now_of(snapshot), "%s/%s is not used: %s; %s%s",
                snapshot->directory, file, why,
                aside < 0 ? "it cannot be set aside: " : "it is set aside as the same name with ",
                aside < 0 ? strerror(-aside) : ".refused");
}

static void file_load(struct snapshot *snapshot, struct slot *slot, int directory_fd,
                      const struct snapshot_target *target)
{
    struct snapshot_binding binding = binding_of(slot);
    struct snapshot_loaded loaded;
    char file[NAME_MAX + 1], why[256];
    int r;

    file_of(slot, file);
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
static void journal_load(struct snapshot *snapshot, struct slot *slot,
                         const struct snapshot_target *target)
{
    struct snapshot_binding binding = binding_of(slot);
    struct log_context context = context_of(slot);
    struct snapshot_loaded loaded;
    size_t size;

    journal_begin(snapshot, slot, 0);
    if (!*slot->journal.file)
        return;
    size = snapshot_load_journal(snapshot->runtime_fd, slot->journal.file, &binding, target,
                                 &loaded);
    journal_begin(snapshot, slot, size);
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

static void slot_load(struct snapshot *snapshot, struct slot *slot, int directory_fd,
                      struct snapshot_names *names)
{
    struct snapshot_target target = {
        .store = snapshot->parts.store,
        .registry = (unsigned)(slot - snapshot->slots),
        .chase = snapshot->parts.chase,
        .names = names,
        .moment = moment_of(snapshot),
        .now = now_of(snapshot),
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

    for (unsigned i = 0; i < SLOTS; i++) {
        const struct slot *slot = &snapshot->slots[i];

        if (!slot->used)
            continue;
        file_of(slot, file);
        snprintf(refused, sizeof(refused), "%s.refused", file);
        if (streq(name, file) || streq(name, refused))
            return true;
    }
    return false;
}

static bool must_load(const struct snapshot *snapshot)
{
    for (unsigned i = 0; i < SLOTS; i++)
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
    for (unsigned i = SLOTS; i-- > 0;) {
        struct slot *slot = &snapshot->slots[i];

        if (slot->used && !slot->loaded)
            slot_load(snapshot, slot, directory_fd, &names);
        slot->loaded = true;
    }
    for (size_t at = 0; at < names.size; at += strlen(names.text + at) + 1)
        resolver_recall(snapshot->parts.resolver, names.text + at, now_of(snapshot));
    free(names.text);
    if (directory_fd >= 0)
        snapshot_directory_sweep(directory_fd, !snapshot->swept, snapshot->max_stale, is_kept,
                                 snapshot);
    snapshot->swept = true; /* from now on what is half written may be the worker's */
    closep(&directory_fd);
    arm(snapshot);
}

/* ---- life ---- */

void snapshot_configure(struct snapshot *snapshot, bool persist, usec_t max_stale)
{
    snapshot->persist = persist;
    snapshot->max_stale = max_stale;
    arm(snapshot);
}

static void read_boot_id(char ret_id[static SNAPSHOT_BOOT_ID_SIZE])
{
    _cleanup_(closep) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, ret_id, SNAPSHOT_BOOT_ID_SIZE - 1);

    /* None: every start is taken for one of another boot. */
    ret_id[size > 0 ? size : 0] = '\0';
}

static int hosts_begin(struct snapshot *snapshot)
{
    struct slot *slot = &snapshot->slots[SLOT_HOSTS];

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

int snapshot_new(const struct snapshot_parts *parts, struct snapshot **ret_snapshot)
{
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    int r;

    if (!snapshot)
        return -ENOMEM;
    snapshot->parts = *parts;
    snapshot->runtime_fd = open(parts->runtime_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snapshot->journal_log = (struct log_limit){.interval = 60 * USEC_PER_SEC, .burst = 1};
    read_boot_id(snapshot->boot_id);
    r = asprintf(&snapshot->directory, "%s/snapshot", parts->state_directory);
    r = r < 0 ? -ENOMEM : hosts_begin(snapshot);
    if (r >= 0)
        r = snapshot_worker_new(parts->event, &snapshot->worker);
    if (r >= 0)
        r = sd_event_add_time(parts->event, &snapshot->timer, CLOCK_BOOTTIME, 0,
                              100 * USEC_PER_MSEC, on_timer, snapshot);
    if (r < 0) {
        snapshot_free(snapshot);
        return r;
    }
    sd_event_source_set_enabled(snapshot->timer, SD_EVENT_OFF);
    sd_event_source_set_priority(snapshot->timer, SD_EVENT_PRIORITY_NORMAL + 2);
    *ret_snapshot = snapshot;
    return 0;
}

void snapshot_stop(struct snapshot *snapshot)
{
    snapshot_worker_drain(snapshot->worker, STOP_TIMEOUT);
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *slot = &snapshot->slots[i];

        if (snapshot->persist && slot->used && slot->loaded && !slot->job &&
            (slot->changed || is_confirmed(snapshot, slot)))
            slot_write(snapshot, slot);
    }
    if (snapshot_worker_drain(snapshot->worker, STOP_TIMEOUT) < 0)
        log_error("%s: the disk does not answer; what was not written yet is lost",
                  snapshot->directory);
}

struct snapshot *snapshot_free(struct snapshot *snapshot)
{
    if (!snapshot)
        return NULL;
    /* What is handed back now still sets the timer. */
    if (snapshot->worker)
        snapshot_worker_drain(snapshot->worker, 0);
    sd_event_source_disable_unref(snapshot->timer);
    snapshot_worker_free(snapshot->worker);
    for (unsigned i = 0; i < SLOTS; i++)
        slot_end(&snapshot->slots[i]);
    closep(&snapshot->runtime_fd);
    free(snapshot->directory);
    free(snapshot);
    return NULL;
}

/* ---- for status and statistics ---- */

struct snapshot_counters *snapshot_counters(struct snapshot *snapshot)
{
    return &snapshot->counters;
}

void snapshot_facts(const struct snapshot *snapshot, struct snapshot_facts *ret_facts)
{
    *ret_facts = (struct snapshot_facts){
        .directory = snapshot->directory,
        .persist = snapshot->persist,
        .error = "",
    };
    for (unsigned i = 0; i < SLOTS; i++) {
        const struct slot *slot = &snapshot->slots[i];

        if (slot->on_disk) {
            ret_facts->files++;
            ret_facts->size += slot->size;
        }
        ret_facts->written_at = later(ret_facts->written_at, slot->written_at);
        if (slot->error) {
            ret_facts->error = slot->error;
            ret_facts->error_since = slot->failing_since;
        }
    }
}
