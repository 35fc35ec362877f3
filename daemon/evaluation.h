/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An evaluation: what one name means now, gathered from services and chased host names, and its
 * form as an answer payload. Plain data with its own memory; who gathers is the resolver.
 */
#pragma once

#include "daemon/access.h"
#include "daemon/base.h"
#include "daemon/endpoint.h"
#include "nss-sd/answer.h"

enum { EVALUATION_ADDRESSES_MAX = 16384 };

struct evaluation_item {
    struct address address;
    uint8_t tier;
    uint16_t endpoint; /* ties the addresses of one endpoint */
    uint32_t weight;
};

/* Zero-initialized: nothing known, nothing pending. */
struct evaluation {
    uint8_t status4, status6; /* enum answer_status */
    bool pending4, pending6;  /* something on its way may still change this family */
    bool soft;                /* an answer is there, a fresher one is on its way */
    bool restored;            /* of an earlier run, while its registry may yet say better */
    bool stale;
    bool crowded;           /* a registry had no room for a service of it */
    bool proven;            /* known before: had data at some time */
    bool answered;          /* its name was decided before: what is published is ours */
    bool all_answers;       /* headless: no limit */
    bool turns;             /* Policy=round-robin */
    char *canonical;        /* final name of an alias; NULL for none */
    usec_t confirmed_at;    /* oldest confirmation of all that was used */
    usec_t fresh_until;     /* earliest end of validity; USEC_INFINITY: until lost */
    usec_t stale_until;     /* nothing of it may be served after this */
    usec_t ask_at;          /* asking for something fresher is of no use before; 0: no matter */
    unsigned sources;       /* services and host names that it rests on */
    unsigned live_registry; /* of the one live watch, if `live` */
    usec_t max_stale;       /* and its rule */
    bool live;              /* rests on one live watch alone */
    struct access access;   /* of all names that it was found by; unsaid: it rests on none */
    struct evaluation_item *items;
    size_t count, capacity;
};

/* Forgets everything but the memory. */
void evaluation_reset(struct evaluation *evaluation);
void evaluation_done(struct evaluation *evaluation);

/* Adds an address. Calls come in the order of endpoints. False: out of memory or bounds. */
bool evaluation_add(struct evaluation *evaluation, const struct address *address, uint32_t weight,
                    uint16_t endpoint, uint8_t tier);
/*
 * After the last call of evaluation_add(): an address that came more than once is one, with the sum
 * of the weights, in the best tier and the place of the first endpoint in it. False: out of memory,
 * they stay.
 */
bool evaluation_merge(struct evaluation *evaluation);
/* Out of memory: the name stays its own. */
void evaluation_set_canonical(struct evaluation *evaluation, const char *canonical);
/* Addresses of AF_INET or AF_INET6. */
size_t evaluation_count(const struct evaluation *evaluation, int family);

/* Bytes of records and canonical name that it would take to give all of it. */
size_t evaluation_body_size(const struct evaluation *evaluation);

/* The outcome for a request: WIRE_UNSPEC, 4 or 6. */
enum answer_status evaluation_status(const struct evaluation *evaluation, int family);
bool evaluation_pending(const struct evaluation *evaluation, int family);

/*
 * Writes the payload of `name` into `buffer` (4-byte aligned, `capacity` at least
 * ANSWER_SLOT_SIZE). More addresses than fit become a sample (sample.h), flagged PARTIAL. `limit`:
 * addresses a caller gets at most; 0: all. Returns the size.
 */
size_t evaluation_write(const struct evaluation *evaluation, const char *name, unsigned limit,
                        usec_t now, uint64_t (*random)(void *userdata), void *userdata,
                        void *buffer, size_t capacity);

/* A payload without records; `name` may be "" with ANSWER_FOREIGN. */
size_t evaluation_write_status(enum answer_status status, const char *name, void *buffer);

/* A payload for a reverse lookup: `name` has `address`. */
size_t evaluation_write_reverse(const char *name, const struct address *address, void *buffer);

/* Ticks of the formats (1/16 s). */
uint32_t ticks_from_usec(usec_t usec);
