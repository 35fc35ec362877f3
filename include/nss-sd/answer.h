/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The answer payload: what a lookup gets, in one layout for the reply on the lookup socket and for
 * the slots of the view. This header documents every byte and owns the one validator.
 *
 * All integers are in host byte order (both sides run on one machine) and naturally aligned. A
 * payload is untrusted input to the module: call answer_parse() on a *private copy*, once, and use
 * only what it returns.
 *
 *   offset  size  what
 *   0       64    struct answer_head
 *   64      256   name: folded, NUL-terminated, zero-filled. For a forward answer the owned FQDN
 * that the answer is for (after the search list); for a reverse answer the host's name 320     ...
 * count4 records of 12 bytes, then count6 records of 24 bytes size-c  c     canonical name of an
 * alias: canonical_length bytes (no NUL), the very end
 *
 * In a slot of the view (1024 bytes) that leaves 704 bytes of records: 58 IPv4 endpoints, or 19
 * dual-stack ones. On the wire a payload may be larger, up to ANSWER_SIZE_MAX.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nss-sd/name.h"

enum {
    ANSWER_HEAD_SIZE = 64,
    ANSWER_NAME_SIZE = 256,
    ANSWER_RECORDS = ANSWER_HEAD_SIZE + ANSWER_NAME_SIZE,
    ANSWER_SLOT_SIZE = 1024,
    ANSWER_SIZE_MAX = 32768,
};

/* The outcome for one address family. Values are part of the format: never renumber. */
enum answer_status {
    ANSWER_FOUND = 1,     /* there are records of this family */
    ANSWER_NO_DATA = 2,   /* the name exists, not in this family or with nothing usable */
    ANSWER_ABSENT = 3,    /* the registry said, with authority: no such name */
    ANSWER_UNDECIDED = 4, /* not known, the registry does not answer, expired, or overload */
    ANSWER_FOREIGN = 5,   /* not a name of ours: the next NSS service is to be asked */
};

enum {
    ANSWER_FLAG_ALIAS = 1u << 0,   /* a canonical name follows the records */
    ANSWER_FLAG_PARTIAL = 1u << 1, /* a weight-true sample of a larger service */
    ANSWER_FLAG_STALE = 1u << 2,   /* older than its validity when it was made */
    ANSWER_FLAG_REVERSE = 1u << 3, /* answers a reverse lookup */
    ANSWER_FLAG_TURNS = 1u << 4,   /* endpoints of equal weight take turns within a process */
};

/* `clock` of an answer whose times are absolute. */
#define ANSWER_CLOCK_NONE UINT32_MAX

/*
 * Times are ticks: 1/16 s of CLOCK_BOOTTIME, modulo 2^32 (8.5 years); compare them by the sign of
 * their difference. UINT32_MAX as a duration is "for ever".
 */
struct answer_head {
    uint32_t sequence;         /* slot: sequence lock. Wire: 0 */
    uint32_t size;             /* bytes used, from this head to the end of the canonical name */
    uint32_t flags;            /* ANSWER_FLAG_*; unknown bits are ignored */
    uint8_t status4, status6;  /* enum answer_status, one a family */
    uint16_t limit;            /* give the caller at most this many addresses; 0: all */
    uint16_t count4, count6;   /* records; > 0 exactly if the family's status is FOUND */
    uint16_t name_length;      /* 1..253; 0 only with FOREIGN */
    uint16_t canonical_length; /* 0 without ANSWER_FLAG_ALIAS, else 1..253 */
    uint32_t clock;            /* index of the registry clock, or ANSWER_CLOCK_NONE */
    uint32_t fresh_until;      /* tick; with a clock: 0 */
    uint32_t stale_until;      /* tick; with a clock: duration after the clock's confirmed_at */
    uint32_t refresh_at;       /* tick from which a reader announces its interest */
    uint32_t confirmed_at;     /* tick of the registry's last confirmation (age); with a clock: 0 */
    uint32_t hash;             /* slot: first half of the name's keyed hash. Wire: 0 */
    uint32_t reserved[4];      /* 0 */
};

struct answer_record4 {
    uint8_t address[4]; /* network order */
    uint16_t weight;    /* relative; 0 is drawn only when all are 0 */
    uint16_t endpoint;  /* number that ties the addresses of one endpoint across families */
    uint16_t rank;      /* dense rank under glibc's address selection for this host, 0 best */
    uint8_t tier;       /* 0 is drawn; higher tiers only follow */
    uint8_t reserved;   /* 0 */
};

struct answer_record6 {
    uint8_t address[16];
    uint16_t weight;
    uint16_t endpoint;
    uint16_t rank;
    uint8_t tier;
    uint8_t reserved;
};

_Static_assert(sizeof(struct answer_head) == ANSWER_HEAD_SIZE, "layout");
_Static_assert(sizeof(struct answer_record4) == 12, "layout");
_Static_assert(sizeof(struct answer_record6) == 24, "layout");

/* A checked payload: pointers into the caller's private copy. */
struct answer {
    const struct answer_head *head;
    const char *name; /* NUL-terminated */
    const struct answer_record4 *records4;
    const struct answer_record6 *records6;
    const char *canonical; /* canonical_length bytes, or NULL; not NUL-terminated */
};

static inline bool answer_status_ok(uint8_t status, uint16_t count)
{
    return status >= ANSWER_FOUND && status <= ANSWER_FOREIGN &&
           (count > 0) == (status == ANSWER_FOUND);
}

/* Bytes of records and canonical name together. */
static inline size_t answer_body_size(size_t count4, size_t count6, size_t canonical_length)
{
    return count4 * sizeof(struct answer_record4) + count6 * sizeof(struct answer_record6) +
           canonical_length;
}

/*
 * A name in a payload is folded already: exactly `length` bytes that name_fold() would return
 * unchanged. (The daemon never emits others, so one that is not is a damaged or hostile payload.)
 */
static inline bool answer_name_ok(const char *text, size_t length)
{
    size_t label = 0;

    if (length == 0 || length > NAME_MAX_LENGTH)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else if (!name_byte_ok(text[i]) || ++label > NAME_LABEL_MAX) {
            return false;
        }
    }
    return label > 0;
}

/* All that answer_parse() checks but for the letters of the name. */
static inline bool answer_parse_layout(const void *data, size_t size, struct answer *ret_answer)
{
    const struct answer_head *head = data;
    const char *bytes = data;

    if (size < ANSWER_RECORDS || head->size < ANSWER_RECORDS || head->size > size ||
        head->size > ANSWER_SIZE_MAX)
        return false;
    if (!answer_status_ok(head->status4, head->count4) ||
        !answer_status_ok(head->status6, head->count6))
        return false;
    if (head->size !=
        ANSWER_RECORDS + answer_body_size(head->count4, head->count6, head->canonical_length))
        return false;
    if (((head->flags & ANSWER_FLAG_ALIAS) != 0) != (head->canonical_length > 0))
        return false;
    if (head->name_length == 0 &&
        (head->status4 != ANSWER_FOREIGN || head->status6 != ANSWER_FOREIGN))
        return false;
    if (head->name_length > NAME_MAX_LENGTH || bytes[ANSWER_HEAD_SIZE + head->name_length] != '\0')
        return false;
    if (head->canonical_length > 0 &&
        !answer_name_ok(bytes + head->size - head->canonical_length, head->canonical_length))
        return false;

    *ret_answer = (struct answer){
        .head = head,
        .name = bytes + ANSWER_HEAD_SIZE,
        .records4 = (const struct answer_record4 *)(bytes + ANSWER_RECORDS),
        .records6 = (const struct answer_record6 *)(bytes + ANSWER_RECORDS +
                                                    head->count4 * sizeof(struct answer_record4)),
        .canonical = head->canonical_length > 0 ? bytes + head->size - head->canonical_length
                                                : NULL,
    };
    return true;
}

/*
 * Checks the payload in `data` (a private, 4-byte aligned copy of `size` bytes; `size` may exceed
 * the payload's own). Returns true and fills `ret_answer`, or false: treat it as a miss. Every
 * length and count is checked here and nowhere else.
 */
static inline bool answer_parse(const void *data, size_t size, struct answer *ret_answer)
{
    return answer_parse_layout(data, size, ret_answer) &&
           (ret_answer->head->name_length == 0 ||
            answer_name_ok(ret_answer->name, ret_answer->head->name_length));
}

/* The same for who wants the payload of one name (folded, `length` bytes) and no other's. */
static inline bool answer_parse_of(const void *data, size_t size, const char *name, size_t length,
                                   struct answer *ret_answer)
{
    if (!answer_parse_layout(data, size, ret_answer) || ret_answer->head->name_length != length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (ret_answer->name[i] != name[i])
            return false;
    return true;
}
