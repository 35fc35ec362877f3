/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A watch: one key that the core wants, kept up to date in the cheapest way.
 *
 *   service, node  a blocking query if there is a slot (`parks`); else polled, and what is learned
 *                  is valid for a while only
 *   query          asked when the core asks: prepared queries cannot block
 *   addr           known without asking
 *
 * An absent service rests until the catalogue names it. Nothing is asked while the registry is
 * down. Whatever happens ends in watch_fire() a little later, which looks at the whole and does the
 * next step; so a watch has one timer, at most one call, and no path of its own for any event.
 */
#pragma once

#include <uthash.h>

#include "daemon/registry/consul/call.h"
#include "daemon/registry/consul/document.h"
#include "daemon/registry/consul/pace.h"
#include "daemon/registry/consul/watches.h"

enum consul_watch_state {
    WATCH_RESTING, /* until something happens */
    WATCH_PLANNED, /* the timer is set */
    WATCH_QUEUED,
    WATCH_READING, /* a call is open that answers at once */
    WATCH_PARKED,  /* a blocking call is open */
};

struct consul_watch {
    struct consul_watches *watches;
    enum consul_kind kind;
    enum consul_watch_state state;
    struct consul_call call;
    struct env_timer timer;
    usec_t planned;
    struct consul_pace pace;
    uint64_t index;
    uint64_t seen;                  /* index of the last answer with instances */
    usec_t distrusted_since;        /* an emptiness that such an answer cannot prove; 0: none */
    unsigned distrusts;             /* such answers in a row: each time another agent is asked */
    struct endpoint_set *endpoints; /* reported last as data; NULL: none was, or absent */
    bool owed;                      /* a report is due, with or without news: want, refresh */
    bool confirmed;                 /* what was reported holds until lost */
    bool absent, suspect;
    bool doubted;   /* all instances are gone: the catalogue is asked whether rights are */
    bool parks;     /* holds a slot for a blocking query */
    usec_t used_at; /* want, refresh */
    char reason[CONSUL_REASON_SIZE]; /* why an instance was skipped, as logged */
    UT_hash_handle hh;
    struct consul_watch *prev, *next; /* of the queue */
    char key[];
};

/* Puts it into the table. NULL: no memory. */
struct consul_watch *consul_watch_new(struct consul_watches *watches, const char *key,
                                      enum consul_kind kind);
void consul_watch_free(struct consul_watch *watch);

/* Moves it to where nothing is open and nothing is set. */
void consul_watch_rest(struct consul_watch *watch);
/* Takes the next step after `delay`. */
void consul_watch_plan(struct consul_watch *watch, usec_t delay);
/* Reads again from the start after `delay`. */
void consul_watch_restart(struct consul_watch *watch, usec_t delay);
