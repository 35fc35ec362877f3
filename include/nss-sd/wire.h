/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lookup protocol: what goes over /run/nss-sd/lookup (SOCK_SEQPACKET) and
 * /run/nss-sd/refresh (SOCK_DGRAM). This header documents every byte and owns the validators of the
 * messages; the answer inside a reply is answer.h's.
 *
 * lookup: a client connects, sends one struct wire_request in one packet, and receives one reply in
 * one packet: struct wire_reply_head, followed by `payload_size` bytes of answer (answer.h). Then
 * both sides close. The daemon replies within `lookup_timeout` (its own LookupTimeoutSec) in every
 * case; a client waits 250 ms longer, so a slow registry is never mistaken for a hung daemon.
 *
 * refresh: one struct wire_interest a datagram, never answered, best effort.
 *
 * Versions: a client states the version that it speaks and the daemon replies in that version. Modules
 * stay mapped for months, so the daemon speaks every version that was ever shipped. To a version
 * that it does not know it sends a head with `error` WIRE_ERROR_VERSION and no payload. Integers are
 * in host order.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nss-sd/answer.h"

#define WIRE_REQUEST_MAGIC  UINT32_C(0x5164736e) /* "nsdQ" */
#define WIRE_REPLY_MAGIC    UINT32_C(0x4164736e) /* "nsdA" */
#define WIRE_INTEREST_MAGIC UINT32_C(0x4964736e) /* "nsdI" */

/* Compiled-in runtime directory and the names in it (module, daemon and sdctl). */
#define NSS_SD_RUNTIME_DIRECTORY_ENV "NSS_SD_RUNTIME_DIRECTORY"
#define NSS_SD_LOOKUP_SOCKET         "lookup"
#define NSS_SD_REFRESH_SOCKET        "refresh"
#define NSS_SD_CONTROL_SOCKET        "control"
#define NSS_SD_VIEW_FILE             "view"

enum {
    WIRE_VERSION = 1,
    WIRE_REPLY_MAX = 32 + ANSWER_SIZE_MAX,
    WIRE_GRACE_MS = 250,             /* what a client waits beyond the daemon's own deadline */
    WIRE_LOOKUP_TIMEOUT_MS = 2000,   /* LookupTimeoutSec where the view's header cannot be read */
    WIRE_LOOKUP_TIMEOUT_MAX = 30000, /* a header that says more is not believed */
};

enum wire_op {
    WIRE_FORWARD = 1, /* name to addresses */
    WIRE_REVERSE = 2, /* address to name */
};

enum wire_family { WIRE_UNSPEC = 0, WIRE_IPV4 = 4, WIRE_IPV6 = 6 };

enum {
    WIRE_REQUEST_ROOTED = 1u << 0, /* the name had a trailing dot: never search */
};

enum wire_error {
    WIRE_OK = 0,
    WIRE_ERROR_VERSION = 1,  /* the daemon does not speak this version */
    WIRE_ERROR_REQUEST = 2,  /* malformed */
    WIRE_ERROR_OVERLOAD = 3, /* over a limit of connections, in all or for this uid */
};

struct wire_request {
    uint32_t magic;
    uint16_t version;
    uint16_t size;       /* sizeof(struct wire_request) of this version */
    uint8_t op;          /* enum wire_op */
    uint8_t family;      /* enum wire_family; reverse: 4 or 6 */
    uint16_t flags;      /* WIRE_REQUEST_* */
    uint16_t length;     /* forward: bytes of name; reverse: 4 or 16 */
    char data[256];      /* folded name (name.h) or address; zero-filled */
    uint16_t reserved;   /* 0 */
};

struct wire_reply_head {
    uint32_t magic;
    uint16_t version; /* that of the request; with WIRE_ERROR_VERSION: the newest the daemon speaks */
    uint16_t size;    /* sizeof(struct wire_reply_head) */
    uint16_t error;   /* enum wire_error; not 0: no payload */
    uint16_t reserved0;
    uint32_t payload_size;
    uint32_t reserved[4];
};

struct wire_interest {
    uint32_t magic;
    uint16_t version;
    uint16_t size;
    uint16_t length;
    uint16_t reserved;
    char name[256]; /* folded FQDN, zero-filled */
};

_Static_assert(sizeof(struct wire_request) == 272, "layout");
_Static_assert(sizeof(struct wire_reply_head) == 32, "layout");
_Static_assert(sizeof(struct wire_interest) == 268, "layout");

/*
 * Checks a request of this version as received (`size` bytes, 4-byte aligned). Returns WIRE_OK or
 * what to reply. On WIRE_OK a forward request holds a folded name, NUL-terminated.
 */
static inline enum wire_error wire_request_check(const void *data, size_t size)
{
    const struct wire_request *request = data;

    if (size < offsetof(struct wire_request, op) || request->magic != WIRE_REQUEST_MAGIC)
        return WIRE_ERROR_REQUEST;
    if (request->version != WIRE_VERSION)
        return WIRE_ERROR_VERSION;
    if (size != sizeof(*request) || request->size != sizeof(*request))
        return WIRE_ERROR_REQUEST;
    switch (request->op) {
    case WIRE_FORWARD:
        if (request->family != WIRE_UNSPEC && request->family != WIRE_IPV4 &&
            request->family != WIRE_IPV6)
            return WIRE_ERROR_REQUEST;
        if (request->length > NAME_MAX_LENGTH ||
            !answer_name_ok(request->data, request->length) ||
            request->data[request->length] != '\0')
            return WIRE_ERROR_REQUEST;
        return WIRE_OK;
    case WIRE_REVERSE:
        if (!(request->family == WIRE_IPV4 && request->length == 4) &&
            !(request->family == WIRE_IPV6 && request->length == 16))
            return WIRE_ERROR_REQUEST;
        return WIRE_OK;
    default:
        return WIRE_ERROR_REQUEST;
    }
}

/*
 * Checks a reply as received (`size` bytes, 4-byte aligned, private). Returns true with the parsed
 * answer, or false: no usable answer (an error of the daemon, another version, or damage).
 */
static inline bool wire_reply_parse(const void *data, size_t size, struct answer *ret_answer)
{
    const struct wire_reply_head *head = data;

    return size >= sizeof(*head) && head->magic == WIRE_REPLY_MAGIC &&
           head->version == WIRE_VERSION && head->size == sizeof(*head) && head->error == WIRE_OK &&
           head->payload_size == size - sizeof(*head) &&
           answer_parse((const char *)data + sizeof(*head), head->payload_size, ret_answer);
}

/* Checks a datagram of interest; on true `name` is a folded, NUL-terminated name. */
static inline bool wire_interest_check(const void *data, size_t size)
{
    const struct wire_interest *interest = data;

    return size == sizeof(*interest) && interest->magic == WIRE_INTEREST_MAGIC &&
           interest->version == WIRE_VERSION && interest->size == sizeof(*interest) &&
           interest->length <= NAME_MAX_LENGTH &&
           answer_name_ok(interest->name, interest->length) &&
           interest->name[interest->length] == '\0';
}
