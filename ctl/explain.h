/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sdctl explain: what one name means to programs here, why, and what to do. verb_explain.c collects
 * it from the module's code, the daemon and nscd; explain_story.c says it in one line with advice;
 * explain_print.c shows the rest.
 */
#pragma once

#include "ctl/module_lookup.h"
#include "ctl/verb.h"

enum { EXPLAIN_FAMILIES = 3 }; /* IPv4, IPv6, both */

struct explain {
    const struct options *options;
    const char *asked;
    char name[NAME_SIZE]; /* in full, as the search list led to it; else as it was asked */
    struct module_view view;
    struct module_lookup lookups[EXPLAIN_FAMILIES];
    struct module_odds *odds;
    size_t odds_count;
    unsigned odds_lookups;
    json_t *explanation; /* the daemon's; NULL: it does not answer */
    json_t *domains;     /* array of strings: what registries own; NULL as above */
    json_t *cache;       /* findings of doctor_cache() */
};

/* What is so, in one line, and what to do about it ("" where all is well). */
struct explain_story {
    char text[1024];
    char advice[1024];
    bool well; /* programs find the service */
};
void explain_story(const struct explain *explain, struct explain_story *ret_story);

void explain_print(const struct explain *explain);
/* A new reference. */
json_t *explain_to_json(const struct explain *explain);

/* For people and programs: what a verdict of the module is, and the road to it. */
const char *explain_verdict(const struct verdict *verdict);
const char *explain_road(const struct explain *explain, const struct module_lookup *lookup);
