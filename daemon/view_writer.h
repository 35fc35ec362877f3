/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The writer of the view (include/nss-sd/view.h): owns the file, its heartbeat and its life cycle. It knows
 * nothing of registries; what to publish is handed in. Never blocks but at a new file, which happens at
 * start and when the header's content changes.
 */
#pragma once

#include "daemon/base.h"

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
};

struct view_writer;

/*
 * Writes a new file in `directory` and renames it over the old one, which it retires. Sweeps files that
 * an earlier daemon left half-made. Errors: -ENOSPC and whatever the file system says; lookups then go
 * by the socket alone.
 */
int view_writer_open(const char *directory, const struct view_spec *spec, usec_t now,
                     struct view_writer **ret_writer);
/* Does the running file already say `spec`? Then no new one is needed. */
bool view_writer_matches(const struct view_writer *writer, const struct view_spec *spec);
/* Once a second, and once before a planned stop. */
void view_writer_beat(struct view_writer *writer, usec_t now);
/* Unmaps; the file stays, so that readers keep knowing who owns which name. */
struct view_writer *view_writer_close(struct view_writer *writer);
