/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Freshness: how far what is known of one service can be trusted at a given time.
 *
 * A small state machine without I/O; the clock is an argument. Events move it, time alone ages it.
 * A failure is not an absence: a failure keeps what is known and lets it age, only data and absence
 * replace it.
 *
 *   event        what it does
 *   data         content = data (or empty), confirmed now, valid until lost or for its TTL
 *   absent       content = absent, likewise; its TTL is at most NegativeTTLSec
 *   failed       content stays; an until-lost validity ends now
 *   suspect      content stays (or becomes the suspect data where none is in force), unconfirmed,
 * at most EmptyHoldSec longer lost         the registry's watch broke: as failed, for every service
 * of the registry at once
 *
 *   state        when
 *   unknown      nothing was ever learned, or an absence or emptiness is too old to be told
 *   fresh        data within its validity
 *   stale        data past it, younger than MaxStaleSec after the last confirmation
 *   expired      data older than that
 *   empty        the service exists and has no endpoint
 *   absent       the registry said, with authority, that there is no such service
 */
#pragma once

#include "daemon/base.h"

enum freshness_state {
    FRESHNESS_UNKNOWN,
    FRESHNESS_FRESH,
    FRESHNESS_STALE,
    FRESHNESS_EXPIRED,
    FRESHNESS_EMPTY,
    FRESHNESS_ABSENT,
};
const char *freshness_state_to_string(enum freshness_state state);

struct freshness_rules {
    usec_t min_ttl, max_ttl; /* clamp of validities that are durations */
    usec_t negative_ttl;     /* absence and emptiness outlive their confirmation by this */
    usec_t max_stale;        /* data outlives its confirmation by this; USEC_INFINITY: for ever */
    usec_t empty_hold;       /* and suspect data by this */
};

enum freshness_content { CONTENT_NONE, CONTENT_DATA, CONTENT_EMPTY, CONTENT_ABSENT };

/*
 * The connection of a watching registry, shared by its services: losing it ages all of them without
 * touching any. `epoch` counts the losses: what was confirmed in an earlier epoch is unconfirmed.
 */
struct freshness_clock {
    bool live;
    uint32_t epoch;
    usec_t lost_at; /* meaningful while not live, and for what belongs to an earlier epoch */
};

void freshness_clock_live(struct freshness_clock *clock);
void freshness_clock_lost(struct freshness_clock *clock, usec_t now);

/* Zero-initialized: unknown. */
struct freshness {
    enum freshness_content content;
    bool watched; /* validity is until lost */
    bool suspect;
    bool restored;  /* confirmed in an earlier run only */
    uint32_t epoch; /* of the clock at the last confirmation */
    usec_t
        confirmed_at; /* last confirmation, or for a watch its loss: see freshness_confirmed_at() */
    usec_t fresh_until;   /* validity that is a duration */
    usec_t suspect_until; /* end of EmptyHoldSec */
};

/* `validity`: USEC_INFINITY for until-lost, else a TTL, which is clamped here. */
void freshness_data(struct freshness *freshness, const struct freshness_rules *rules,
                    const struct freshness_clock *clock, bool empty, usec_t validity, usec_t now);
void freshness_absent(struct freshness *freshness, const struct freshness_rules *rules,
                      const struct freshness_clock *clock, usec_t validity, usec_t now);
void freshness_failed(struct freshness *freshness, const struct freshness_clock *clock, usec_t now);
/* `have_data`: the suspect report brought endpoints. */
void freshness_suspect(struct freshness *freshness, const struct freshness_rules *rules,
                       const struct freshness_clock *clock, bool have_data, usec_t now);

/* Data that an earlier run knew, as old as it is. */
void freshness_restore(struct freshness *freshness, usec_t confirmed_at);

enum freshness_state freshness_state(const struct freshness *freshness,
                                     const struct freshness_rules *rules,
                                     const struct freshness_clock *clock, usec_t now);

/* When the stale life of what is known ends, if nothing confirms it. */
usec_t freshness_stale_end(const struct freshness *freshness, const struct freshness_rules *rules,
                           const struct freshness_clock *clock, usec_t now);

/* Does a watch confirm it at this moment? */
bool freshness_live(const struct freshness *freshness, const struct freshness_clock *clock);

/* Time of the last confirmation: `now` for a live watch. 0: never. */
usec_t freshness_confirmed_at(const struct freshness *freshness,
                              const struct freshness_clock *clock, usec_t now);
/* When the present state ends by itself; USEC_INFINITY: not. */
usec_t freshness_until(const struct freshness *freshness, const struct freshness_rules *rules,
                       const struct freshness_clock *clock, usec_t now);
