/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The format of a snapshot: last-known-good of one registry, or of the chased host names, as bytes.
 * Pure: no I/O, no clock. What it holds was written by this daemon, but a disk is a disk: a reader
 * believes no length, and a file that does not hold together is refused as a whole.
 *
 * All numbers are little-endian. A *string* is u16 length, the bytes (no NUL among them), one NUL.
 * Ages are microseconds at the moment of writing, so that nothing in the body depends on a clock.
 *
 *   offset 0   8 bytes  "nss-sd\n\x1a"
 *          8   u32      version, SNAPSHOT_VERSION
 *         12   u32      zero
 *         16   u64      size of the file
 *         24   u64      written at, CLOCK_REALTIME in microseconds
 *         32   u64      written at, CLOCK_BOOTTIME in microseconds (not of the core's clock)
 *         40   string   boot id
 *              strings  registry, type, source (registry.h), domains (joined by blanks), identity:
 *                       what it is bound to
 *              records  u8 kind, u32 size of the body, body:
 *                 'S' service  string key, u32 flags, u64 age, u64 doubt_left, string alias
 *                              ("": none), u32 count of endpoints (and no alias: there is nothing
 *                              to tell of it any more); an endpoint: strings name, node, hostname,
 *                              target, zone, region; u32 weight, u16 priority, u8 health,
 *                              u16 count of addresses (u8 4 or 6, the bytes), u16 count of tags
 *                              (strings), u16 count of ports (strings name, protocol; u16 number)
 *                 'N' name     string
 *                 'H' host     string host, string canonical, twice (IPv4, IPv6): u8 state
 *                              (enum snapshot_half_state), u64 age, u16 count of addresses, bytes
 *                 'E' end      u32 count of the records before it
 *       end-8  u64      SipHash-2-4 of all bytes before it, by a key that is no secret: it finds
 *                       damage, it keeps nobody out
 *
 * Another version is refused: what is lost is one warm start.
 */
#pragma once

#include "daemon/endpoint.h"
#include "daemon/registry/registry.h"

enum {
    SNAPSHOT_VERSION = 2,
    SNAPSHOT_SIZE_MAX = 256 << 20,
    SNAPSHOT_BOOT_ID_SIZE = 37,  /* with its NUL */
    SNAPSHOT_ADDRESSES_MAX = 256 /* of one family of a host */
};

/* A clock that is behind by less than this is a clock that was set right; by more, a wrong one. */
#define SNAPSHOT_FUTURE_MAX (300 * USEC_PER_SEC)

/* What a snapshot is of. All strings are non-NULL; an identity that was not learned is "". */
struct snapshot_binding {
    const char *registry, *type, *source, *domains, *identity;
};

/* A moment by both clocks. Ages within one boot go by `boottime`, which nobody sets. */
struct snapshot_moment {
    usec_t realtime, boottime;
    char boot_id[SNAPSHOT_BOOT_ID_SIZE];
};

struct snapshot_service {
    const char *key, *alias;        /* alias: NULL for none */
    struct endpoint_set *endpoints; /* NULL: only an alias; both: as of registry.h */
    uint32_t flags;
    usec_t age;
    usec_t doubt_left; /* its registry doubts it: so long it may still be told; 0: it does not */
};

enum snapshot_half_state { SNAPSHOT_HALF_UNKNOWN, SNAPSHOT_HALF_FOUND, SNAPSHOT_HALF_NO_DATA };

struct snapshot_half {
    enum snapshot_half_state state;
    usec_t age;
    const struct address *addresses;
    size_t count;
};

struct snapshot_host {
    const char *host, *canonical;
    struct snapshot_half halves[2]; /* IPv4, IPv6 */
};

/* ---- writing ---- */

/* Zero-initialized. An error (-ENOMEM, -EFBIG) is kept and returned by snapshot_finish(). */
struct snapshot_buffer {
    uint8_t *data;
    size_t size, capacity;
    uint32_t records;
    int error;
};

void snapshot_begin(struct snapshot_buffer *buffer, const struct snapshot_binding *binding,
                    const struct snapshot_moment *written);
void snapshot_put_service(struct snapshot_buffer *buffer, const struct snapshot_service *service);
void snapshot_put_name(struct snapshot_buffer *buffer, const char *name);
void snapshot_put_host(struct snapshot_buffer *buffer, const struct snapshot_host *host);
int snapshot_finish(struct snapshot_buffer *buffer);
void snapshot_buffer_done(struct snapshot_buffer *buffer);

/* ---- reading ---- */

/* Strings point into the data, which the caller keeps. */
struct snapshot_reader {
    const uint8_t *data;
    size_t size, at;
    struct snapshot_binding binding;
    struct snapshot_moment written;
    uint32_t records;
    bool bad;        /* read past an end, or a value out of bounds */
    const char *why; /* of the last error: a line for people */
    struct endpoint_builder *builder;
    struct address addresses[2][SNAPSHOT_ADDRESSES_MAX]; /* of the last host */
};

/* The size that the snapshot says that these bytes begin with; 0: they begin with none. */
size_t snapshot_size(const void *data, size_t size);

/*
 * Checks the file as a whole and reads its head. -EBADMSG: refused, `why` says why; -ENOMEM. In any
 * case snapshot_reader_done().
 */
int snapshot_open(struct snapshot_reader *reader, const void *data, size_t size);
void snapshot_reader_done(struct snapshot_reader *reader);

enum snapshot_kind { SNAPSHOT_END, SNAPSHOT_SERVICE, SNAPSHOT_NAME, SNAPSHOT_HOST };

struct snapshot_record {
    enum snapshot_kind kind;
    struct snapshot_service service; /* its endpoints are a reference of the receiver */
    const char *name;
    struct snapshot_host host;
};

/* The next record, valid until the next call. Errors as of snapshot_open(). */
int snapshot_next(struct snapshot_reader *reader, struct snapshot_record *ret_record);

/*
 * How much time passed from `written` to `now`: by CLOCK_BOOTTIME in the same boot, else by the
 * wall clock. -ETIME: it was written in the future, so that no age can be told.
 */
int snapshot_elapsed(const struct snapshot_moment *written, const struct snapshot_moment *now,
                     usec_t *ret_elapsed);

/* What of the binding is another one ("type", "source", ...), or NULL. The identity is not
 * compared: who answers is known only when it does. */
const char *snapshot_foreign(const struct snapshot_binding *is,
                             const struct snapshot_binding *wanted);
