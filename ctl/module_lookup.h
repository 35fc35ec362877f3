/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What programs on this machine get for a name, and on which road: asks the module's own code
 * (nss/), linked into sdctl, so that it cannot differ from theirs. The module that is installed may
 * be of another version (sdctl doctor tells), and nsswitch.conf may never ask it.
 */
#pragma once

#include <nss.h>

#include "daemon/endpoint.h"
#include "nss-sd/name.h"
#include "nss/lookup.h"

enum module_road {
    ROAD_HEADER, /* the view's header: not a name of ours */
    ROAD_VIEW,   /* a hit */
    ROAD_SOCKET, /* nothing in the view that may be served */
    ROAD_BLIND,  /* the socket, because no view can be read */
};

enum module_pulse { PULSE_NONE, PULSE_LIVE, PULSE_OVERDUE, PULSE_RETIRED, PULSE_FOREIGN };

/* The view as this process sees it. */
struct module_view {
    enum module_pulse pulse; /* PULSE_NONE: there is no view */
    bool elsewhere; /* in another network namespace than the daemon: one address a lookup */
    bool searched;  /* the name is short, and tried with the search list */
};

/* One caller of one family, or of both (AF_UNSPEC). */
struct module_lookup {
    int family;
    enum module_road road;
    bool spare; /* the view holds an older answer for when the daemon does not answer */
    struct verdict verdict;
    char canonical[NAME_SIZE];
    struct address *addresses; /* in the order of this one call */
    size_t count;
};

/* What one address has from the draw. */
struct module_odds {
    struct address address;
    unsigned first; /* of so many lookups it came first */
    bool known;     /* the next two are */
    uint16_t rank;  /* under glibc's rules: 0 is the best */
    uint8_t tier;
};

/* To be called first, before anything else here: where the daemon is. */
void module_prepare(const char *runtime_directory);

void module_look(const char *name, struct module_view *ret_view);
/* The road alone: asks nobody. */
void module_road(const char *name, int family, struct module_lookup *ret_lookup);
/* The lookup itself, as programs do it. */
void module_ask(const char *name, struct module_lookup *lookup);
void module_lookup_done(struct module_lookup *lookup);

/*
 * Repeats the lookup of both families for a moment and counts who comes first. Returns how many
 * lookups that were; free() *ret_odds, the most frequent first.
 */
unsigned module_odds(const char *name, struct module_odds **ret_odds, size_t *ret_count);
