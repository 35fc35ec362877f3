/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The writer of the view (include/nss-sd/view.h): owns the file, its heartbeat and its life cycle.
 * It knows nothing of registries; what to publish is handed in as payloads (answer.h). Never blocks
 * but at a new file, which happens at start and when the header's content changes.
 */
#pragma once

#include "daemon/base.h"
#include "daemon/endpoint.h"
#include "nss-sd/view.h"

struct view_domain_spec {
    const char *name; /* folded */
    bool shared;
};

struct view_spec {
    const struct view_domain_spec *domains;
    size_t domain_count;
    const char *const *search;
    size_t search_count;
    unsigned ndots;
    usec_t lookup_timeout;
    unsigned set_bits; /* positive table: at least 2^set_bits sets of 4, more if what is carried
                          over needs it, never less than VIEW_WRITER_SET_BITS */
    /* May an answer of the old file be carried over? NULL: all may. */
    bool (*may_carry)(void *userdata, const char *name);
    void *userdata;
};

enum {
    VIEW_WRITER_SET_BITS = 8,      /* a new view: 1024 names */
    VIEW_WRITER_SET_BITS_MAX = 16, /* 262,144 names: 256 MiB */
    VIEW_WRITER_NEGATIVE_BITS = 6, /* 256 absences */
};

struct view_writer;

/*
 * Writes a new file in `directory` and renames it over the old one, which it retires. Sweeps files
 * that an earlier daemon left half-made. Answers of the old file that may still be served are
 * carried over before the rename, as stale as they are then, so that a restart loses no name;
 * `carried` (may be NULL) is told of each, so that the daemon learns of it anew; `*ret_writer` is
 * set by then. Errors: -ENOSPC and whatever the file system says, -E2BIG and -EINVAL for a spec
 * that no file can hold; the old file then stays in force, and so may its writer, which is closed
 * only after this has succeeded.
 */
int view_writer_open(const char *directory, const struct view_spec *spec, usec_t now,
                     void (*carried)(void *userdata, const char *name), void *userdata,
                     struct view_writer **ret_writer);
/*
 * There is no new file, and nobody writes the one in `directory`, if there is one: retires it, so
 * that its readers ask the daemon first.
 */
void view_writer_disown(const char *directory, usec_t now);
/* Does the running file already say `spec`? Then no new one is needed. */
bool view_writer_matches(const struct view_writer *writer, const struct view_spec *spec);
/* Once a second, and once before a planned stop. */
void view_writer_beat(struct view_writer *writer, usec_t now);

/* Withdraws every answer whose name may not stay. */
void view_writer_prune(struct view_writer *writer,
                       bool (*may_stay)(void *userdata, const char *name), void *userdata);

/*
 * Publishes a payload under its own name: in the positive table if it has records, else in the
 * negative one, and in one of them only. A payload equal to what stands there is not written again.
 * -ENOSPC: no place for a new name in the positive table; open a new view with one more of
 * set_bits. (The negative table evicts its oldest.) -EINVAL: no payload of at most ANSWER_SLOT_SIZE
 * bytes.
 */
int view_writer_publish(struct view_writer *writer, const void *payload, size_t size);
void view_writer_withdraw(struct view_writer *writer, const char *name);
/* Does an answer with records stand there? */
bool view_writer_has(const struct view_writer *writer, const char *name);

/* Share of the positive table in use, in percent; above 70 it is time for a larger one. */
unsigned view_writer_load(const struct view_writer *writer);
unsigned view_writer_set_bits(const struct view_writer *writer);

/* State of a registry for the slots that carry its clock. */
void view_writer_clock(struct view_writer *writer, unsigned index, enum view_clock_state state,
                       usec_t confirmed_at);

/*
 * Lists an address under the published name `name`, in place of any other name. Withdrawing the
 * name, or publishing it without this address, takes the entry out. Best effort: a full set drops
 * its oldest entry.
 */
void view_writer_list_address(struct view_writer *writer, const struct address *address,
                              const char *name);

/* Unmaps; the file stays in place, so that readers keep knowing who owns which name. */
struct view_writer *view_writer_close(struct view_writer *writer);
