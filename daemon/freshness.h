/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Freshness: how far what is known of one service can be trusted at a given time.
 *
 * A small state machine without I/O; the clock is an argument. What each event does in each state
 * is one table (freshness_move()), which doc/FRESHNESS.md shows to operators; time alone ages.
 * A failure is not an absence: a failure keeps what is known and lets it age, only data and absence
 * replace it.
 */
#pragma once

#include "daemon/base.h"

enum freshness_state {
    FRESHNESS_UNKNOWN, /* nothing was learned, or an absence or emptiness is too old to be told */
    FRESHNESS_FRESH,   /* data within its validity */
    FRESHNESS_STALE,   /* data past it, younger than MaxStaleSec after the last confirmation */
    FRESHNESS_EXPIRED, /* data older than that */
    FRESHNESS_EMPTY,   /* the service exists and has no endpoint */
    FRESHNESS_ABSENT,  /* the registry said, with authority, that there is no such service */
};
enum { FRESHNESS_STATES = FRESHNESS_ABSENT + 1 };
const char *freshness_state_to_string(enum freshness_state state);

enum freshness_event {
    FRESHNESS_DATA,         /* the registry has endpoints (or an alias) */
    FRESHNESS_NOTHING,      /* it has the service, and no endpoint of it */
    FRESHNESS_NONE_SUCH,    /* it has no such service */
    FRESHNESS_FAILED,       /* nothing was learned */
    FRESHNESS_SUSPECT,      /* endpoints that its own rules distrust */
    FRESHNESS_SUSPECT_NONE, /* an emptiness or absence that its own rules distrust */
    FRESHNESS_TIME,         /* time has passed */
    FRESHNESS_LOOKUP,       /* a program asks */
    FRESHNESS_LOST,         /* the registry's watches broke: every service of it at once */
    FRESHNESS_RESTART,      /* the registry was started anew */
    FRESHNESS_RELOAD,       /* the rules may be others */
};
enum { FRESHNESS_EVENTS = FRESHNESS_RELOAD + 1 };
const char *freshness_event_to_string(enum freshness_event event);

enum freshness_action {
    FRESHNESS_KEEP,   /* nothing */
    FRESHNESS_TAKE,   /* what the report says replaces what is known */
    FRESHNESS_HOLD,   /* the same, but where EmptyProtection= is set what is known is held */
    FRESHNESS_AGE,    /* what is known stays; a validity until lost ends now */
    FRESHNESS_DOUBT,  /* what is known stays, what the report adds is added; stale, for EmptyHoldSec
                       */
    FRESHNESS_ADOPT,  /* the suspect endpoints are better than nothing; stale, for EmptyHoldSec */
    FRESHNESS_ASK,    /* the registry is asked again if that is due */
    FRESHNESS_TELL,   /* an operator is told of the age if that is due */
    FRESHNESS_REWANT, /* as AGE, and the registry is asked for it as for the first time */
    FRESHNESS_CLAMP,  /* validities are cut or stretched by the rules in force */
};
const char *freshness_action_to_string(enum freshness_action action);

/* One cell of the table: what is done, and the states (1 << state) that may follow. */
struct freshness_move {
    enum freshness_action action;
    unsigned next;
};
const struct freshness_move *freshness_move(enum freshness_state state, enum freshness_event event);

struct freshness_rules {
    usec_t min_ttl, max_ttl; /* clamp of validities that are durations */
    usec_t negative_ttl;     /* absence and emptiness outlive their confirmation by this */
    usec_t max_stale;        /* data outlives its confirmation by this; USEC_INFINITY: for ever */
    usec_t empty_hold;       /* and suspect data by this */
    usec_t empty_protection; /* data outlives an emptiness or absence by this; 0: not at all */
};

enum freshness_content { CONTENT_NONE, CONTENT_DATA, CONTENT_EMPTY, CONTENT_ABSENT };

/* What was said last, and how long that is good. */
struct freshness_word {
    enum freshness_content content;
    bool watched;        /* until the watch is lost; else: */
    usec_t ttl;          /* as the registry said; USEC_INFINITY: none, or it counts no more */
    usec_t fresh_until;  /* what the rules make of it */
    usec_t confirmed_at; /* meaningful while not watched: see freshness_confirmed_at() */
};

/* Zero-initialized: unknown. */
struct freshness {
    struct freshness_word known; /* what is told, */
    struct freshness_word held;  /* till this (CONTENT_NONE: nothing) comes into force */
    usec_t held_until;           /* EmptyProtection */
    bool restored;               /* confirmed in an earlier run only */
    bool suspect;
    usec_t suspect_until; /* end of EmptyHoldSec */
};

/*
 * Something happened. `validity`, of the first three events: USEC_INFINITY for until-lost, else a
 * TTL, which is clamped here. Returns what was done and is to be done with the endpoints: the
 * action of the table, where HOLD has become TAKE if nothing is held.
 */
enum freshness_action freshness_apply(struct freshness *freshness,
                                      const struct freshness_rules *rules,
                                      enum freshness_event event, usec_t validity, usec_t now);

/* Data that an earlier run knew, as old as it is. */
void freshness_restore(struct freshness *freshness, usec_t confirmed_at);
/* Its registry doubted it then: it is told no longer than till this, whatever the rules are. */
void freshness_restore_doubt(struct freshness *freshness, usec_t until);
/* An earlier run knew at this time that there is nothing to tell. */
void freshness_restore_nothing(struct freshness *freshness, usec_t confirmed_at);

enum freshness_state freshness_state(const struct freshness *freshness,
                                     const struct freshness_rules *rules, usec_t now);

/* Does EmptyProtection= hold what is known? */
bool freshness_is_held(const struct freshness *freshness, usec_t now);

/* Is it data, fresh, stale or expired, that is known? */
bool freshness_has_data(const struct freshness *freshness, usec_t now);

/* Time of the last confirmation: `now` for a watch. 0: never. */
usec_t freshness_confirmed_at(const struct freshness *freshness, usec_t now);
/* End of validity; USEC_INFINITY: until lost. */
usec_t freshness_fresh_until(const struct freshness *freshness, usec_t now);
/* When the stale life of what is known ends, if nothing confirms it from now on. */
usec_t freshness_stale_until(const struct freshness *freshness, const struct freshness_rules *rules,
                             usec_t now);
/* When the present state ends by itself; USEC_INFINITY: not. */
usec_t freshness_until(const struct freshness *freshness, const struct freshness_rules *rules,
                       usec_t now);
