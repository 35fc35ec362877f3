/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/snapshot_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <systemd/sd-event.h>

#include "daemon/message.h"

/* From a change to its file: changes come in groups. */
#define WRITE_DELAY (500 * USEC_PER_MSEC)
/* From one file of a registry to the next, where nothing changed but the time of the last
 * confirmation. */
#define CONFIRM_INTERVAL (300 * USEC_PER_SEC)
/* A file that could not be written is tried again after 5 s, 10 s, ... */
#define RETRY_LAST (300 * USEC_PER_SEC)
/* A disk that hangs does not hold up the end for longer. */
#define STOP_TIMEOUT (10 * USEC_PER_SEC)

/* ---- when ---- */

static usec_t later(usec_t a, usec_t b)
{
    return a > b ? a : b;
}

static bool is_confirmed(const struct snapshot *snapshot, const struct snapshot_slot *slot)
{
    unsigned index = (unsigned)(slot - snapshot->slots);

    return slot->confirmed || (slot->live && !store_registry_down(snapshot->parts.store, index));
}

static usec_t due_at(const struct snapshot *snapshot, const struct snapshot_slot *slot)
{
    usec_t due = USEC_INFINITY;

    if (!snapshot->persist || !slot->used || !slot->loaded || slot->job)
        return USEC_INFINITY;
    if (slot->changed)
        due = later(slot->changed_at + WRITE_DELAY, slot->collected_at + SNAPSHOT_WRITE_INTERVAL);
    else if (is_confirmed(snapshot, slot))
        due = slot->collected_at + CONFIRM_INTERVAL;
    return due == USEC_INFINITY ? due : later(due, slot->retry_at);
}

void snapshot_arm(struct snapshot *snapshot)
{
    usec_t next = USEC_INFINITY;

    for (unsigned i = 0; i < SNAPSHOT_SLOTS; i++) {
        usec_t due = due_at(snapshot, &snapshot->slots[i]);

        next = due < next ? due : next;
    }
    sd_event_source_set_time(snapshot->timer, clock_event_time(next));
    sd_event_source_set_enabled(snapshot->timer,
                                next == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static void slot_touched(struct snapshot *snapshot, struct snapshot_slot *slot, bool changed)
{
    bool news = changed ? !slot->changed : !slot->confirmed && !slot->changed;

    if (!slot->used || !news)
        return;
    if (changed) {
        slot->changed = true;
        slot->changed_at = snapshot_now(snapshot);
    } else {
        slot->confirmed = true;
    }
    snapshot_arm(snapshot);
}

void snapshot_touched(struct snapshot *snapshot, unsigned registry, bool changed)
{
    slot_touched(snapshot, &snapshot->slots[registry], changed);
}

void snapshot_hosts_touched(struct snapshot *snapshot, bool changed)
{
    slot_touched(snapshot, &snapshot->slots[SNAPSHOT_SLOT_HOSTS], changed);
}

/* ---- what became of it ---- */

static void note_failure(struct snapshot *snapshot, struct snapshot_slot *slot, const char *what,
                         int error)
{
    struct log_context context = snapshot_slot_context(slot);
    usec_t now = snapshot_now(snapshot),
           delay = SNAPSHOT_WRITE_INTERVAL << (slot->failures < 6 ? slot->failures : 6);
    char file[NAME_MAX + 1], text[256];

    snapshot->counters.failed++;
    slot->changed = true;
    slot->retry_at = now + (delay < RETRY_LAST ? delay : RETRY_LAST);
    if (slot->failures++ == 0)
        slot->failing_since = now;
    snprintf(text, sizeof(text), "cannot be %s: %s", what, strerror(-error));
    if (slot->error && streq(slot->error, text))
        return;
    snapshot_slot_file(slot, file);
    free(slot->error);
    slot->error = strdup(text);
    message_log(MESSAGE_SNAPSHOT_FAILED, &context, now, "%s/%s %s; %s, and it is tried again",
                snapshot->directory, file, text,
                slot->on_disk ? "the one before stays" : "a reboot would lose what is known");
}

static void note_success(struct snapshot *snapshot, struct snapshot_slot *slot,
                         const struct snapshot_job *job)
{
    struct log_context context = snapshot_slot_context(slot);

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
    slot->written_at = snapshot_now(snapshot);
    slot->size = job->size;
}

static void job_done(struct snapshot_task *task)
{
    struct snapshot_job *job = (struct snapshot_job *)task;
    struct snapshot *snapshot = job->owner;
    struct snapshot_slot *slot = &snapshot->slots[job->slot];

    if (slot->generation == job->generation && slot->job == job) {
        slot->job = NULL;
        if (job->error < 0)
            note_failure(snapshot, slot, job->what, job->error);
        else
            note_success(snapshot, slot, job);
        snapshot_arm(snapshot);
    }
    snapshot_job_free(job);
}

/* ---- writing ---- */

static int submit(struct snapshot *snapshot, struct snapshot_job *job)
{
    if (!job)
        return -ENOMEM;
    job->task.done = job_done;
    return snapshot_worker_submit(snapshot->worker, &job->task);
}

/* Hands what is known now to the worker. */
static void slot_write(struct snapshot *snapshot, struct snapshot_slot *slot)
{
    bool live = false;
    struct snapshot_job *job = snapshot_collect(snapshot, slot, &live);
    int r = submit(snapshot, job);

    slot->collected_at = snapshot_now(snapshot);
    if (r < 0) {
        snapshot_job_free(job);
        note_failure(snapshot, slot, "handed to the worker", r);
        return;
    }
    slot->job = job;
    slot->live = live;
    slot->changed = slot->confirmed = false;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct snapshot *snapshot = userdata;
    usec_t now = snapshot_now(snapshot);

    (void)source, (void)usec;
    for (unsigned i = 0; i < SNAPSHOT_SLOTS; i++) {
        if (due_at(snapshot, &snapshot->slots[i]) > now)
            continue;
        /* One at a time: each is some work, and lookups go first. */
        slot_write(snapshot, &snapshot->slots[i]);
        break;
    }
    snapshot_arm(snapshot);
    return 0;
}

/* The worker may be at the same file: so this is a job as well. */
static void slot_set_aside(struct snapshot *snapshot, struct snapshot_slot *slot)
{
    struct snapshot_job *job = snapshot->persist ? snapshot_collect_nothing(snapshot, slot) : NULL;

    if (!job)
        return;
    job->set_aside = true;
    if (submit(snapshot, job) < 0)
        snapshot_job_free(job);
}

/* ---- registries ---- */

void snapshot_added(struct snapshot *snapshot, unsigned registry,
                    const struct registry_config *config)
{
    snapshot_slot_begin(snapshot, &snapshot->slots[registry], config);
}

void snapshot_changed(struct snapshot *snapshot, unsigned registry,
                      const struct registry_config *config)
{
    struct snapshot_slot *slot = &snapshot->slots[registry], wanted = {0};
    struct snapshot_binding is, now;
    const char *other;
    char *domains;

    if (!slot->used || !snapshot_slot_bind(&wanted, config)) {
        snapshot_slot_end(&wanted);
        return;
    }
    is = snapshot_slot_binding(slot);
    now = snapshot_slot_binding(&wanted);
    other = snapshot_foreign(&is, &now);
    if (other && streq(other, "domains")) {
        domains = slot->domains;
        slot->domains = wanted.domains;
        wanted.domains = domains;
    } else if (other) {
        snapshot_slot_begin(snapshot, slot, config);
        slot->loaded = true; /* what is on disk is of before */
        snapshot_slot_begin_journal(snapshot, slot, 0);
        slot->valid_since = snapshot_now(snapshot);
    }
    snapshot_slot_end(&wanted);
    if (other)
        slot_touched(snapshot, slot, true);
}

void snapshot_removed(struct snapshot *snapshot, unsigned registry)
{
    struct snapshot_slot *slot = &snapshot->slots[registry];

    if (snapshot->persist && slot->used && slot->loaded && (slot->changed || slot->confirmed))
        slot_write(snapshot, slot);
    snapshot_slot_end(slot);
}

void snapshot_identified(struct snapshot *snapshot, unsigned registry, const char *identity)
{
    struct snapshot_slot *slot = &snapshot->slots[registry];
    struct log_context context;
    char file[NAME_MAX + 1], *copy;

    if (!slot->used || streq(slot->identity, identity) || !(copy = strdup(identity)))
        return;
    context = snapshot_slot_context(slot);
    snapshot_slot_file(slot, file);
    if (*slot->identity) {
        message_log(MESSAGE_SNAPSHOT_REFUSED, &context, snapshot_now(snapshot),
                    "%s/%s is of another cluster (%s, not %s): what was restored from it is "
                    "forgotten, the file is kept as %s.refused",
                    snapshot->directory, file, slot->identity, identity, file);
        snapshot->counters.refused++;
        slot_set_aside(snapshot, slot);
        if (*slot->journal.file)
            snapshot_journal_cut(&slot->journal, snapshot_journal_position(&slot->journal));
        slot->valid_since = snapshot_now(snapshot);
        store_disown(snapshot->parts.store, registry, snapshot_now(snapshot));
    }
    free(slot->identity);
    slot->identity = copy;
    slot_touched(snapshot, slot, true);
}

/* ---- life ---- */

void snapshot_configure(struct snapshot *snapshot, bool persist, usec_t max_stale)
{
    snapshot->persist = persist;
    snapshot->max_stale = max_stale;
    snapshot_arm(snapshot);
}

static void read_boot_id(char ret_id[static SNAPSHOT_BOOT_ID_SIZE])
{
    _cleanup_(closep) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, ret_id, SNAPSHOT_BOOT_ID_SIZE - 1);

    /* None: every start is taken for one of another boot. */
    ret_id[size > 0 ? size : 0] = '\0';
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
    r = r < 0 ? -ENOMEM : snapshot_slot_begin_hosts(snapshot);
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
    for (unsigned i = 0; i < SNAPSHOT_SLOTS; i++) {
        struct snapshot_slot *slot = &snapshot->slots[i];

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
    for (unsigned i = 0; i < SNAPSHOT_SLOTS; i++)
        snapshot_slot_end(&snapshot->slots[i]);
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
    for (unsigned i = 0; i < SNAPSHOT_SLOTS; i++) {
        const struct snapshot_slot *slot = &snapshot->slots[i];

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
