/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The publisher: makes slots of the view from evaluations and hands them to the view writer. Owns
 * the writer, the rule how the freshness of what a name rests on becomes the times in its slot
 * (view.h: view_slot_serve()), the registries' clocks, and when the view must grow.
 */
#pragma once

#include "daemon/evaluation.h"
#include "daemon/view_writer.h"

struct publisher_hooks {
    /* How many addresses a lookup of the name gets at most; false: the name is not for the view. */
    bool (*policy)(void *userdata, const char *name, unsigned *ret_limit);
    /* The name of an address, as a reverse lookup is to see it. 0 or -ENOENT. */
    int (*reverse)(void *userdata, const struct address *address, char ret_name[static NAME_SIZE]);
    /* A name that an earlier daemon published: learn of it anew. */
    void (*carried)(void *userdata, const char *name);
    /* As in struct resolver_hooks. */
    void (*rank)(void *userdata, struct answer_head *payload);
    void *userdata;
};

struct publisher;

struct publisher *publisher_new(const char *directory, const struct publisher_hooks *hooks);
struct publisher *publisher_free(struct publisher *publisher); /* the file stays */

/*
 * Makes a new file if the running one does not say `spec` (whose set_bits is ours to choose) or
 * must grow. Returns 1 if it did: everything is to be published again; 0, or a negative errno,
 * logged: the running file stays, or lookups go by the socket alone, till it is tried again.
 */
int publisher_open(struct publisher *publisher, const struct view_spec *spec, size_t names,
                   usec_t now);

/* Publishes, withdraws, or leaves what stands there. */
void publisher_publish(struct publisher *publisher, const char *name,
                       const struct evaluation *evaluation, usec_t interest_at, usec_t now);
void publisher_withdraw(struct publisher *publisher, const char *name);
/* After a reload: takes out what is not for the view any more, of names that are not in use, too.
 */
void publisher_prune(struct publisher *publisher);

/*
 * The registry with this index lost its watches: told to readers at once. It has them again: told
 * by the next publisher_settle(), when everything that is not confirmed anew has been published
 * with times of its own.
 */
void publisher_lost(struct publisher *publisher, unsigned registry, usec_t now);
void publisher_live(struct publisher *publisher, unsigned registry);
/* The registry is gone: its clock vouches for nothing. */
void publisher_gone(struct publisher *publisher, unsigned registry);

/* After all changes were published. True: the view is (nearly) full, or could not be written
 * and it is time to try again: call publisher_open(). */
bool publisher_settle(struct publisher *publisher, usec_t now);

void publisher_beat(struct publisher *publisher, usec_t now);

/* Since the start. */
struct publisher_counters {
    uint64_t published; /* answers handed to the view, those that it holds already included */
    uint64_t withdrawn;
    uint64_t full;  /* answers that did not fit */
    uint64_t files; /* views made: the first one, and one at each growth or change of the header */
};
/* To read, and to set to zero. */
struct publisher_counters *publisher_counters(struct publisher *publisher);

/* ---- the rules, pure ---- */

enum publisher_action {
    PUBLISHER_LEAVE, /* nothing certain yet: what an earlier daemon published keeps its own limits;
                      * where nothing stands, what an earlier run knew serves if this one dies */
    PUBLISHER_PUBLISH,
    PUBLISHER_WITHDRAW, /* what stands there is known to be wrong */
};
enum publisher_action publisher_action(const struct evaluation *evaluation);

/* Fills in the times of a payload's head. `interest_at`: when a watched name is to be announced as
 * wanted. */
void publisher_set_times(const struct evaluation *evaluation, usec_t interest_at, usec_t now,
                         struct answer_head *head);
