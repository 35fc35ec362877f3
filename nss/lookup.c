/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Asks the view who owns the name, the daemon for the answer, and maps whatever comes back, or does
 * not, to a verdict.
 */
#include "nss/lookup.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "nss-sd/wire.h"
#include "nss/clock.h"
#include "nss/draw.h"
#include "nss/silence.h"
#include "nss/transport.h"
#include "nss/view_reader.h"

static const struct verdict verdict_success = {NSS_STATUS_SUCCESS, 0, NETDB_SUCCESS};
static const struct verdict verdict_foreign = {NSS_STATUS_UNAVAIL, ENOENT, NO_RECOVERY};
static const struct verdict verdict_absent = {NSS_STATUS_NOTFOUND, ENOENT, HOST_NOT_FOUND};
static const struct verdict verdict_no_data = {NSS_STATUS_NOTFOUND, ENOENT, NO_DATA};
static const struct verdict verdict_undecided = {NSS_STATUS_TRYAGAIN, EAGAIN, TRY_AGAIN};
static const struct verdict verdict_no_room = {NSS_STATUS_TRYAGAIN, ERANGE, NETDB_INTERNAL};
static const struct verdict verdict_no_daemon = {NSS_STATUS_UNAVAIL, ECONNREFUSED, NO_RECOVERY};
static const struct verdict verdict_no_family = {NSS_STATUS_UNAVAIL, EAFNOSUPPORT, NO_RECOVERY};

/* One question on its way to the daemon. */
struct lookup {
    const struct view *view; /* NULL: no header can be read, nobody knows what is ours */
    enum view_owner owner;   /* reverse: VIEW_FOREIGN, for only the daemon knows its addresses */
    uint32_t now;            /* tick */
    struct wire_request request;
    const struct lookup_target *target;
};

static struct lookup lookup_begin(enum wire_op op, const struct lookup_target *target)
{
    struct lookup lookup = {
        .owner = VIEW_FOREIGN,
        .now = clock_tick(),
        .request =
            {
                .magic = WIRE_REQUEST_MAGIC,
                .version = WIRE_VERSION,
                .size = sizeof(struct wire_request),
                .op = (uint8_t)op,
            },
        .target = target,
    };

    lookup.view = view_reader_current(lookup.now);
    return lookup;
}

/* The status that counts for the families that were asked for: what is found wins, then doubt. */
static enum answer_status lookup_status(const struct answer_head *head, enum wire_family family)
{
    static const enum answer_status order[] = {ANSWER_FOUND, ANSWER_UNDECIDED, ANSWER_NO_DATA,
                                               ANSWER_ABSENT};

    if (family != WIRE_UNSPEC)
        return family == WIRE_IPV4 ? head->status4 : head->status6;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        if (head->status4 == order[i] || head->status6 == order[i])
            return order[i];
    return ANSWER_FOREIGN;
}

static unsigned lookup_families(enum wire_family family)
{
    return (family != WIRE_IPV6 ? DRAW_IPV4 : 0u) | (family != WIRE_IPV4 ? DRAW_IPV6 : 0u);
}

static bool lookup_pack_forward(const struct lookup *lookup, const struct transport_reply *reply)
{
    const struct answer_head *head = reply->answer.head;
    const struct lookup_target *target = lookup->target;
    enum wire_family family = lookup->request.family;
    struct pack_records records = {.answer = &reply->answer, .order = reply->order};
    uint64_t seed = head->count4 + head->count6 > 1 ? draw_seed() : 0;
    size_t limit = head->limit;

    if (limit > 0 && lookup->view && lookup->view->elsewhere)
        limit = 1;
    records.count = draw_order(&reply->answer, lookup_families(family), limit, seed, reply->order);
    if (target->tuples)
        return pack_tuples(target->buffer, &records, target->tuples);
    return pack_hostent(target->buffer, &records, family == WIRE_IPV4 ? AF_INET : AF_INET6,
                        target->host);
}

static bool lookup_pack_reverse(const struct lookup *lookup, const struct transport_reply *reply)
{
    const struct wire_request *request = &lookup->request;

    return pack_reverse(lookup->target->buffer, &reply->answer,
                        request->family == WIRE_IPV4 ? AF_INET : AF_INET6, request->data,
                        lookup->target->host);
}

static struct verdict lookup_verdict(const struct lookup *lookup,
                                     const struct transport_reply *reply)
{
    bool packed;

    switch (lookup_status(reply->answer.head, lookup->request.family)) {
    case ANSWER_FOUND:
        packed = lookup->request.op == WIRE_FORWARD ? lookup_pack_forward(lookup, reply)
                                                    : lookup_pack_reverse(lookup, reply);
        return packed ? verdict_success : verdict_no_room;
    case ANSWER_NO_DATA:
        return verdict_no_data;
    case ANSWER_ABSENT:
        return verdict_absent;
    case ANSWER_UNDECIDED:
        return verdict_undecided;
    case ANSWER_FOREIGN:
        return verdict_foreign;
    }
    return verdict_foreign;
}

/*
 * Is the daemon worth asking? A name that is ours always is, unless the daemon was silent and its
 * heartbeat has not moved since. What may well be none of ours never waits for one that is not
 * seen to live.
 */
static bool lookup_may_ask(const struct lookup *lookup, enum view_pulse pulse, uint32_t heartbeat)
{
    if (lookup->view && lookup->owner != VIEW_OWNED && pulse == VIEW_OVERDUE)
        return false;
    return silence_may_ask(heartbeat, lookup->now);
}

/*
 * What the outcome says of the daemon. With a header, a time-out counts only if the heart stood
 * still meanwhile: for the lease, or through a wait of two beats.
 */
static void lookup_learn(const struct lookup *lookup, enum transport_outcome outcome,
                         uint32_t heartbeat)
{
    uint32_t now = clock_tick(), beat = 0;

    if (outcome == TRANSPORT_ANSWERED) {
        silence_end();
    } else if (!lookup->view) {
        if (outcome != TRANSPORT_BUSY)
            silence_begin(0, now);
    } else if (outcome == TRANSPORT_TIMEOUT &&
               (view_pulse(lookup->view, now, &beat) == VIEW_OVERDUE ||
                now - lookup->now >= 2 * VIEW_TICKS_PER_SECOND) &&
               beat == heartbeat) {
        silence_begin(beat, now);
    }
}

/* Asks the daemon. Cancellation is off while there is a descriptor or a mapping to lose. */
static struct verdict lookup_ask(const struct lookup *lookup)
{
    struct verdict verdict = lookup->owner == VIEW_OWNED ? verdict_undecided : verdict_no_daemon;
    unsigned timeout = lookup->view ? lookup->view->header.lookup_timeout_ms
                                    : (unsigned)WIRE_LOOKUP_TIMEOUT_MS;
    enum view_pulse pulse = VIEW_FOREIGN_CLOCK;
    enum transport_outcome outcome;
    struct transport_reply reply;
    uint32_t heartbeat = 0;
    int cancel;

    if (lookup->view)
        pulse = view_pulse(lookup->view, lookup->now, &heartbeat);
    if (!lookup_may_ask(lookup, pulse, heartbeat))
        return verdict;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    outcome = transport_ask(&lookup->request, timeout + WIRE_GRACE_MS, &reply);
    lookup_learn(lookup, outcome, heartbeat);
    if (outcome == TRANSPORT_ANSWERED)
        verdict = lookup_verdict(lookup, &reply);
    transport_reply_done(&reply);
    pthread_setcancelstate(cancel, NULL);
    return verdict;
}

struct verdict lookup_name(const char *name, int family, const struct lookup_target *target)
{
    struct lookup lookup;
    char folded[NAME_SIZE];
    bool rooted;
    size_t length = name ? name_fold(name, SIZE_MAX, folded, &rooted) : 0;

    if (family != AF_INET && family != AF_INET6 && !(family == AF_UNSPEC && target->tuples))
        return verdict_no_family;
    if (length == 0)
        return verdict_foreign;
    lookup = lookup_begin(WIRE_FORWARD, target);
    if (lookup.view) {
        lookup.owner = view_owner(lookup.view, folded, length, rooted);
        if (lookup.owner == VIEW_FOREIGN)
            return verdict_foreign;
    }
    lookup.request.family = family == AF_INET    ? WIRE_IPV4
                            : family == AF_INET6 ? WIRE_IPV6
                                                 : WIRE_UNSPEC;
    lookup.request.flags = rooted ? WIRE_REQUEST_ROOTED : 0;
    lookup.request.length = (uint16_t)length;
    memcpy(lookup.request.data, folded, length);
    return lookup_ask(&lookup);
}

/* IPv4 in IPv6 (mapped, or the old compatible form, but not :: and ::1): the last four bytes. */
static bool lookup_is_embedded(const uint8_t address[static 16])
{
    static const uint8_t zero[12], mapped[12] = {[10] = 0xff, [11] = 0xff}, one[3];

    return memcmp(address, mapped, 12) == 0 ||
           (memcmp(address, zero, 12) == 0 && memcmp(address + 12, one, 3) != 0);
}

struct verdict lookup_address(const void *address, size_t length, int family,
                              const struct lookup_target *target)
{
    const uint8_t *bytes = address;
    struct lookup lookup;

    if (!(family == AF_INET && length == 4) && !(family == AF_INET6 && length == 16))
        return verdict_no_family;
    if (family == AF_INET6 && lookup_is_embedded(bytes)) {
        bytes += 12;
        length = 4;
        family = AF_INET;
    }
    lookup = lookup_begin(WIRE_REVERSE, target);
    lookup.request.family = family == AF_INET ? WIRE_IPV4 : WIRE_IPV6;
    lookup.request.length = (uint16_t)length;
    memcpy(lookup.request.data, bytes, length);
    return lookup_ask(&lookup);
}
