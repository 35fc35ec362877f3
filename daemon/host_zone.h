/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where this host is: its zone and its region, each by the first who tells it of
 *   1. Zone= of [Resolve],
 *   2. the registries (REPORT_LOCALITY), in the order of their names,
 *   3. the cloud that the machine runs in (cloud_zone.h).
 *
 * Owns what each of them said and the choice between them; calls back when the choice is another
 * one. Does no I/O but log lines: one when registries disagree, and one when somebody begins to tell
 * a word that is none.
 */
#pragma once

#include "daemon/base.h"
#include "daemon/store.h"

enum {
    HOST_ZONE_MAX = 63, /* bytes of a zone or region */
    HOST_ZONE_SIZE = HOST_ZONE_MAX + 1,
    HOST_ZONE_ORIGIN_SIZE = 288,
};

struct host_zone;
struct host_zone *host_zone_new(void (*changed)(void *userdata), void *userdata);
struct host_zone *host_zone_free(struct host_zone *zone); /* takes NULL */

/* 1 to 63 printable bytes without a space? */
bool host_zone_word_ok(const char *word);

/*
 * What each says, in place of what it said before. NULL or "" is "I do not know". Another word that
 * host_zone_word_ok() refuses is logged, once, and counts as "".
 */
void host_zone_configure(struct host_zone *zone, const char *word);
void host_zone_report(struct host_zone *zone, unsigned registry, const char *name, const char *word,
                      const char *region);
void host_zone_forget(struct host_zone *zone, unsigned registry);
void host_zone_cloud(struct host_zone *zone, const char *cloud, const char *word,
                     const char *region);

/* "" where nobody knows. Valid until the next call. */
const char *host_zone_name(const struct host_zone *zone);
const char *host_zone_region(const struct host_zone *zone);

/* Who told the zone ("Zone=", "registry consul", "the metadata of EC2"), or the region if nobody
 * told a zone. "": nobody. */
const char *host_zone_origin(const struct host_zone *zone);
