/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The view: the file /run/nss-sd/view, through which the daemon tells every process of the machine
 * which names nss-sd owns (the header) and which answers are ready (the tables). This header
 * documents every byte.
 *
 * The file lives on tmpfs. The daemon creates it under a temporary name, allocates it in full,
 * writes the header last and renames it into place. It is never shrunk, truncated or used again
 * after a restart. Apart from the words marked *mutable* the header never changes: a change of the
 * configuration makes a new file, and sets `retired` in the old one as a hint to reopen.
 *
 * Readers map it read-only and do not trust it: any byte may be wrong and may change at any moment.
 * They check the geometry once at attach, keep their own copy of it, bound every index by it, and
 * run nothing from libc on the mapping. All words are u32, read by relaxed or acquire atomic loads
 * where marked mutable. Integers are in host order; `endian` tells a foreign reader.
 *
 * Layout of the file: header (header_size bytes), then the tables in the order of their fields; a
 * table of zero size is not there.
 *
 *   table      entries                   entry     holds
 *   positive   2^set_bits sets of 4      1024 B    answers (answer.h) of names that exist
 *   negative   2^negative_bits sets of 4 1024 B    absences
 *   reverse    2^reverse_bits            32 B      address to slot
 *
 * set_bits, negative_bits, reverse_bits are VIEW_NO_TABLE where there is none.
 *
 * Slots. An entry of the positive and of the negative table is an answer payload of at most 1024
 * bytes (answer.h) whose `sequence` word is its sequence lock (seqlock.h). `size` 0: free. A name
 * has two candidate sets in each table, chosen by the two halves of the keyed hash of the folded
 * name; it may be in any of their eight ways, and the full name is always compared. To replace an
 * answer the writer fills a free way and then frees the old one, so a writer that is killed never
 * leaves a name unreadable; it may move one entry to its other set, new copy first. A reader that
 * meets both sees two good answers.
 *
 * When a slot may be served: view_slot_serve(). Validity of a watching registry's answers lives in
 * its clock, so a live but idle watch is fresh without rewriting anything.
 *
 * Reverse. An address has two candidate sets of 4 entries by its keyed hash (family byte, then the
 * address). The entry names a slot of the positive table; the reader takes the name from that slot
 * after checking that the slot holds the address. Not listed: not ours.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nss-sd/answer.h"
#include "nss-sd/siphash.h"

#define VIEW_MAGIC  UINT32_C(0x5644736e) /* "nsDV" */
#define VIEW_ENDIAN UINT32_C(0x01020304)

enum {
    VIEW_LAYOUT = 1,
    VIEW_TICKS_PER_SECOND = 16,
    VIEW_DOMAINS_MAX = 64,
    VIEW_SEARCH_MAX = 6,
    VIEW_CLOCKS_MAX = 64,
    VIEW_FILTER_WORDS = 32,
    VIEW_HEADER_SIZE = 24576,
    VIEW_NO_TABLE = 0xffff,
    VIEW_FILE_MAX = 1 << 30,
    VIEW_SET_SIZE = 4 * ANSWER_SLOT_SIZE, /* positive and negative table */
    VIEW_REVERSE_SIZE = 32,
    VIEW_LEASE_TICKS = 5 * VIEW_TICKS_PER_SECOND,
};

enum { VIEW_DOMAIN_SHARED = 1u << 0 }; /* a name outside the registry's grammar is foreign */

/* State of a registry as the slots that carry its clock see it. */
enum view_clock_state {
    VIEW_CLOCK_UNUSED = 0,
    VIEW_CLOCK_LIVE = 1, /* what its slots say is confirmed now */
    VIEW_CLOCK_LOST = 2, /* since confirmed_at nothing is confirmed: slots are stale */
};

struct view_clock {
    uint32_t sequence;     /* mutable: sequence lock of this entry */
    uint32_t state;        /* mutable: enum view_clock_state */
    uint32_t confirmed_at; /* mutable: tick */
    uint32_t reserved;
};

struct view_reverse {
    uint32_t sequence;   /* mutable, as is the rest: sequence lock of this entry */
    uint32_t family;     /* 4 or 6; 0: free */
    uint8_t address[16]; /* network order, zero-filled */
    uint32_t slot;       /* index into the positive table */
    uint32_t reserved;
};

struct view_name {
    uint16_t length; /* 1..253 */
    uint16_t flags;  /* VIEW_DOMAIN_* */
    char text[252];  /* folded, zero-filled; a name of 253 bytes is no domain */
};

struct view_header {
    uint32_t magic;
    uint32_t layout;      /* VIEW_LAYOUT; another one: no readable view */
    uint32_t endian;      /* VIEW_ENDIAN */
    uint32_t header_size; /* VIEW_HEADER_SIZE */
    uint32_t file_size;   /* equals st_size */
    uint32_t slot_size;   /* ANSWER_SLOT_SIZE */
    uint32_t set_bits;
    uint32_t negative_bits;
    uint32_t reverse_bits;
    uint32_t hash_key[4]; /* SipHash key of this file */
    uint32_t ndots;
    uint32_t lookup_timeout_ms;
    uint32_t lease_ticks; /* a heartbeat older than this is overdue */
    uint32_t netns_low;   /* inode of the daemon's network namespace */
    uint32_t netns_high;
    uint32_t domain_count; /* 0..VIEW_DOMAINS_MAX */
    uint32_t search_count; /* 0..VIEW_SEARCH_MAX */
    uint32_t clock_count;  /* 0..VIEW_CLOCKS_MAX */
    uint32_t retired;      /* mutable: not 0: a newer file has this path */
    uint32_t heartbeat;    /* mutable: tick, written every second while the daemon lives */
    uint32_t timens_low;   /* inode of the daemon's time namespace; 0: it is not known */
    uint32_t timens_high;
    uint32_t boot; /* first bytes of the boot's id, of which the ticks are; 0: it is not known */
    uint32_t reserved[38];
    /*
     * Bit view_filter_bit(last two bytes) is set for every domain. A name whose bit is clear is
     * foreign; nothing else of the header need be read.
     */
    uint32_t filter[VIEW_FILTER_WORDS];
    struct view_clock clocks[VIEW_CLOCKS_MAX];
    struct view_name domains[VIEW_DOMAINS_MAX]; /* longest first: the first match decides */
    struct view_name search[VIEW_SEARCH_MAX];
};

_Static_assert(sizeof(struct view_clock) == 16, "layout");
_Static_assert(sizeof(struct view_reverse) == VIEW_REVERSE_SIZE, "layout");
_Static_assert(sizeof(struct view_name) == 256, "layout");
_Static_assert(offsetof(struct view_header, filter) == 256, "layout");
_Static_assert(sizeof(struct view_header) <= VIEW_HEADER_SIZE, "layout");

/* Bit of the filter for a name that ends in these two folded bytes. */
static inline unsigned view_filter_bit(char last_but_one, char last)
{
    return ((unsigned)last_but_one & 31u) << 5 | ((unsigned)last & 31u);
}

/* The same for a whole folded name. In front of a name of one byte stands a dot. */
static inline unsigned view_filter_bit_of(const char *name, size_t length)
{
    return view_filter_bit(length > 1 ? name[length - 2] : '.', name[length - 1]);
}

/* Bytes of a table of 2^bits units; 0 for VIEW_NO_TABLE. More than VIEW_FILE_MAX: nonsense. */
static inline uint64_t view_table_size(uint32_t bits, uint32_t unit)
{
    if (bits == VIEW_NO_TABLE)
        return 0;
    return bits < 31 ? (uint64_t)unit << bits : UINT64_MAX / 4;
}

/* Size that a file with these tables has. */
static inline uint64_t view_file_size(uint32_t set_bits, uint32_t negative_bits,
                                      uint32_t reverse_bits)
{
    return VIEW_HEADER_SIZE + view_table_size(set_bits, VIEW_SET_SIZE) +
           view_table_size(negative_bits, VIEW_SET_SIZE) +
           view_table_size(reverse_bits, VIEW_REVERSE_SIZE);
}

/*
 * Checks what has a fixed place, on a private copy: everything before `filter`. True: the file is
 * of this layout, its tables fill it exactly, and the counts are within their bounds. (A table of
 * addresses is at least one set.)
 */
static inline bool view_header_check(const struct view_header *header, uint64_t file_size)
{
    return header->magic == VIEW_MAGIC && header->layout == VIEW_LAYOUT &&
           header->endian == VIEW_ENDIAN && header->header_size == VIEW_HEADER_SIZE &&
           header->slot_size == ANSWER_SLOT_SIZE && header->file_size == file_size &&
           file_size <= VIEW_FILE_MAX &&
           file_size ==
               view_file_size(header->set_bits, header->negative_bits, header->reverse_bits) &&
           header->reverse_bits >= 2 && header->domain_count <= VIEW_DOMAINS_MAX &&
           header->search_count <= VIEW_SEARCH_MAX && header->clock_count <= VIEW_CLOCKS_MAX;
}

/* Is this, a private copy, a name as the header carries it? */
static inline bool view_name_check(const struct view_name *name)
{
    return name->length <= sizeof(name->text) && answer_name_ok(name->text, name->length);
}

/* Where a name, or an address, may be: two sets of VIEW_WAYS entries. */
struct view_place {
    uint32_t sets[2];
    uint32_t tag; /* answer_head.hash of its slots */
};

enum { VIEW_WAYS = 4 };

/* `bits` of the table; not VIEW_NO_TABLE. */
static inline struct view_place view_place_of(const uint32_t hash_key[4], const void *data,
                                              size_t size, uint32_t bits)
{
    uint64_t hash = siphash13((const uint8_t *)hash_key, data, size);
    uint32_t mask = ((uint32_t)1 << bits) - 1;

    return (struct view_place){{(uint32_t)hash & mask, (uint32_t)(hash >> 32) & mask},
                               (uint32_t)hash};
}

/* `bits` of the reverse table: 2^bits entries, so 2^bits / VIEW_WAYS sets. */
static inline struct view_place
view_reverse_place_of(const uint32_t hash_key[4], const struct view_reverse *entry, uint32_t bits)
{
    uint8_t bytes[17] = {(uint8_t)entry->family};

    for (size_t i = 0; i < sizeof(entry->address); i++)
        bytes[1 + i] = entry->address[i];
    return view_place_of(hash_key, bytes, sizeof(bytes), bits - 2);
}

/* Offset in the file of a slot of the positive (`negative`: of the negative) table. */
static inline uint64_t view_slot_offset(const struct view_header *header, bool negative,
                                        uint32_t slot)
{
    return VIEW_HEADER_SIZE + (negative ? view_table_size(header->set_bits, VIEW_SET_SIZE) : 0) +
           (uint64_t)slot * ANSWER_SLOT_SIZE;
}

static inline uint64_t view_reverse_offset(const struct view_header *header, uint32_t entry)
{
    return VIEW_HEADER_SIZE + view_table_size(header->set_bits, VIEW_SET_SIZE) +
           view_table_size(header->negative_bits, VIEW_SET_SIZE) +
           (uint64_t)entry * VIEW_REVERSE_SIZE;
}

enum view_serve {
    VIEW_SERVE_NEVER, /* too old, or of no known validity: as if it were not there */
    VIEW_SERVE_LAST,  /* only if the daemon cannot say anything better */
    VIEW_SERVE_NOW,
};

/* Signed distance of ticks. */
static inline int32_t view_ticks_until(uint32_t tick, uint32_t now)
{
    return (int32_t)(tick - now);
}

/* Ticks since `tick`. It may lie a moment ahead: `now` was taken before the word was read. */
static inline uint32_t view_ticks_since(uint32_t tick, uint32_t now)
{
    return tick - now - 1 < VIEW_LEASE_TICKS ? 0 : now - tick;
}

/*
 * May this answer be served? `head` and `clock` (the answer's, or NULL where it has none) are
 * private copies; `live`: the heartbeat is not overdue; `heartbeat` the word itself.
 *
 *   validity               daemon live              daemon dead, hung or restarting
 *   clock live             now                      now, until the stale limit has passed since
 *                                                   the last heartbeat
 *   clock lost             now, until the stale limit has passed since the clock's confirmed_at
 *   no clock               now to fresh_until,      now to stale_until
 *                          then last to stale_until
 *   a negative answer      as above, but never      never: the daemon is asked, and its silence is
 *                          beyond fresh_until       no absence
 *
 * A negative answer that carries a clock is good while the clock is live.
 */
static inline enum view_serve view_slot_serve(const struct answer_head *head,
                                              const struct view_clock *clock, bool live,
                                              uint32_t heartbeat, uint32_t now)
{
    bool negative = head->count4 == 0 && head->count6 == 0;
    uint32_t confirmed_at;

    if (negative && !live)
        return VIEW_SERVE_NEVER;
    if (clock) {
        if (clock->state == VIEW_CLOCK_LIVE && live)
            return VIEW_SERVE_NOW;
        if (negative || clock->state == VIEW_CLOCK_UNUSED)
            return VIEW_SERVE_NEVER;
        confirmed_at = clock->state == VIEW_CLOCK_LIVE ? heartbeat : clock->confirmed_at;
        if (head->stale_until == UINT32_MAX)
            return VIEW_SERVE_NOW;
        return view_ticks_since(confirmed_at, now) < head->stale_until ? VIEW_SERVE_NOW
                                                                       : VIEW_SERVE_NEVER;
    }
    if (view_ticks_until(head->fresh_until, now) > 0)
        return VIEW_SERVE_NOW;
    if (negative || view_ticks_until(head->stale_until, now) <= 0)
        return VIEW_SERVE_NEVER;
    return live ? VIEW_SERVE_LAST : VIEW_SERVE_NOW;
}
