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
#include "nss/announce.h"
#include "nss/clock.h"
#include "nss/draw.h"
#include "nss/silence.h"
#include "nss/transport.h"
#include "nss/turn.h"
#include "nss/view_slots.h"

enum { LOOKUP_SLOT_RECORDS = (ANSWER_SLOT_SIZE - ANSWER_RECORDS) / sizeof(struct answer_record4) };

static const struct verdict verdict_success = {NSS_STATUS_SUCCESS, 0, NETDB_SUCCESS};
static const struct verdict verdict_foreign = {NSS_STATUS_UNAVAIL, ENOENT, NO_RECOVERY};
static const struct verdict verdict_absent = {NSS_STATUS_NOTFOUND, ENOENT, HOST_NOT_FOUND};
static const struct verdict verdict_no_data = {NSS_STATUS_NOTFOUND, ENOENT, NO_DATA};
static const struct verdict verdict_undecided = {NSS_STATUS_TRYAGAIN, EAGAIN, TRY_AGAIN};
static const struct verdict verdict_no_room = {NSS_STATUS_TRYAGAIN, ERANGE, NETDB_INTERNAL};
static const struct verdict verdict_no_daemon = {NSS_STATUS_UNAVAIL, ECONNREFUSED, NO_RECOVERY};
static const struct verdict verdict_no_family = {NSS_STATUS_UNAVAIL, EAFNOSUPPORT, NO_RECOVERY};

/* One question, in the form in which the daemon would get it. */
struct lookup {
    const struct view *view; /* NULL: no header can be read, nobody knows what is ours */
    enum view_owner owner;   /* reverse: VIEW_FOREIGN, for the header does not tell */
    enum view_pulse pulse;   /* VIEW_FOREIGN_CLOCK without a view */
    uint32_t heartbeat;
    uint32_t now; /* tick */
    struct wire_request request;
    const struct lookup_target *target;
};

/* The request's data is the caller's, and what is behind it lookup_ask()'s: a hit needs no more. */
static void lookup_begin(struct lookup *lookup, enum wire_op op, const struct lookup_target *target)
{
    lookup->owner = VIEW_FOREIGN;
    lookup->pulse = VIEW_FOREIGN_CLOCK;
    lookup->heartbeat = 0;
    lookup->now = clock_tick();
    lookup->request.magic = WIRE_REQUEST_MAGIC;
    lookup->request.version = WIRE_VERSION;
    lookup->request.size = sizeof(struct wire_request);
    lookup->request.op = (uint8_t)op;
    lookup->request.family = WIRE_UNSPEC;
    lookup->request.flags = 0;
    lookup->request.length = 0;
    lookup->target = target;
    lookup->view = view_reader_current(lookup->now);
    if (lookup->view)
        lookup->pulse = view_pulse(lookup->view, lookup->now, &lookup->heartbeat);
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

static bool lookup_pack_records(const struct lookup *lookup, struct pack_records *records,
                                uint16_t *order)
{
    const struct lookup_target *target = lookup->target;

    if (target->tuples)
        return pack_tuples(target->buffer, records, target->tuples);
    if (target->twice && records->count == 1)
        order[records->count++] = order[0];
    return pack_hostent(target->buffer, records,
                        lookup->request.family == WIRE_IPV4 ? AF_INET : AF_INET6, target->host);
}

/* `order`: room for a number for every record, and for one more. */
static bool lookup_pack_forward(const struct lookup *lookup, const struct answer *answer,
                                uint16_t *order)
{
    const struct answer_head *head = answer->head;
    struct pack_records records = {.answer = answer, .order = order};
    bool several = head->count4 + head->count6 > 1;
    uint64_t seed = several ? draw_seed() : 0;
    unsigned families = lookup_families(lookup->request.family);
    uint32_t turn = DRAW_NO_TURN;
    size_t limit = head->limit;
    bool packed;

    if (limit > 0 && lookup->view && lookup->view->elsewhere)
        limit = 1;
    if (several && head->flags & ANSWER_FLAG_TURNS)
        turn = turn_take(answer, families, seed >> 48);
    records.count = draw_order(answer, families, limit, seed, turn, order);
    packed = lookup_pack_records(lookup, &records, order);
    if (!packed && turn != DRAW_NO_TURN)
        turn_give_back(answer, families, turn);
    return packed;
}

static bool lookup_pack_reverse(const struct lookup *lookup, const struct answer *answer)
{
    const struct wire_request *request = &lookup->request;

    return pack_reverse(lookup->target->buffer, answer,
                        request->family == WIRE_IPV4 ? AF_INET : AF_INET6, request->data,
                        lookup->target->host);
}

static struct verdict lookup_verdict(const struct lookup *lookup, const struct answer *answer,
                                     uint16_t *order)
{
    bool packed;

    switch (lookup_status(answer->head, lookup->request.family)) {
    case ANSWER_FOUND:
        packed = lookup->request.op == WIRE_FORWARD ? lookup_pack_forward(lookup, answer, order)
                                                    : lookup_pack_reverse(lookup, answer);
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

/* ---- the daemon ---- */

/* Did its heart beat within the lease? A retired file's has stopped since it was retired. */
static bool lookup_sees_life(const struct lookup *lookup)
{
    return lookup->pulse == VIEW_RETIRED
               ? lookup->now - lookup->heartbeat <= lookup->view->header.lease_ticks
               : lookup->pulse != VIEW_OVERDUE;
}

/*
 * Is the daemon worth asking? A name that is ours always is, unless the daemon was silent and its
 * heartbeat has not moved since. What may well be none of ours never waits for one that is not
 * seen to live.
 */
static bool lookup_may_ask(const struct lookup *lookup)
{
    if (lookup->owner != VIEW_OWNED && !lookup_sees_life(lookup))
        return false;
    return silence_may_ask(lookup->heartbeat, lookup->now);
}

/*
 * What the outcome says of the daemon. With a header, a time-out counts only if the heart stood
 * still meanwhile: for the lease, or through a wait of two beats. (A retired one's always does.)
 */
static void lookup_learn(const struct lookup *lookup, enum transport_outcome outcome)
{
    uint32_t now = clock_tick(), beat = 0;
    enum view_pulse pulse = lookup->view ? view_pulse(lookup->view, now, &beat) : VIEW_OVERDUE;

    if (outcome == TRANSPORT_ANSWERED) {
        silence_end();
    } else if (!lookup->view) {
        if (outcome != TRANSPORT_BUSY)
            silence_begin(0, now);
    } else if (outcome == TRANSPORT_TIMEOUT &&
               (pulse == VIEW_OVERDUE || pulse == VIEW_RETIRED ||
                now - lookup->now >= 2 * VIEW_TICKS_PER_SECOND) &&
               beat == lookup->heartbeat) {
        silence_begin(beat, now);
    }
}

/* Nothing of our stack leaves the process. */
static void lookup_clear_rest(struct wire_request *request)
{
    memset(request->data + request->length, 0, sizeof(request->data) - request->length);
    request->reserved = 0;
}

/*
 * Asks the daemon. Cancellation is off while there is a descriptor or a mapping to lose. Its frame
 * (a reply) and that of lookup_hit() (a slot) are never on the stack together.
 */
static __attribute__((noinline)) struct verdict lookup_ask(struct lookup *lookup)
{
    struct verdict verdict = lookup->owner == VIEW_OWNED ? verdict_undecided : verdict_no_daemon;
    unsigned timeout = lookup->view ? lookup->view->header.lookup_timeout_ms
                                    : (unsigned)WIRE_LOOKUP_TIMEOUT_MS;
    enum transport_outcome outcome;
    struct transport_reply reply;
    int cancel;

    if (!lookup_may_ask(lookup))
        return verdict;
    lookup_clear_rest(&lookup->request);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    outcome = transport_ask(&lookup->request, timeout + WIRE_GRACE_MS, &reply);
    lookup_learn(lookup, outcome);
    if (outcome == TRANSPORT_ANSWERED)
        verdict = lookup_verdict(lookup, &reply.answer, reply.order);
    transport_reply_done(&reply);
    pthread_setcancelstate(cancel, NULL);
    return verdict;
}

/* ---- the view ---- */

/* A folded name. */
struct lookup_text {
    size_t length;
    char text[NAME_SIZE];
};

static bool lookup_has_slots(const struct lookup *lookup)
{
    return lookup->view && lookup->pulse != VIEW_FOREIGN_CLOCK;
}

static struct view_moment lookup_moment(const struct lookup *lookup)
{
    return (struct view_moment){lookup->view, lookup->now, lookup->heartbeat,
                                lookup->pulse == VIEW_LIVE};
}

/* The answer is served: should the daemon hear that somebody asks for it? */
static void lookup_announce(const struct lookup *lookup, const struct answer *answer)
{
    if (lookup->pulse == VIEW_LIVE && view_ticks_until(answer->head->refresh_at, lookup->now) <= 0)
        announce_interest(answer, lookup->now);
}

/* While the daemon publishes in another file, this one is for when it does not answer. */
static bool lookup_may_serve(const struct lookup *lookup, enum view_serve least)
{
    return lookup_has_slots(lookup) && !(lookup->pulse == VIEW_RETIRED && least == VIEW_SERVE_NOW);
}

/*
 * Decides `name` from the view, if that holds something that may be served at least as `least`
 * says. An answer that leaves the families open that were asked for decides nothing.
 */
static __attribute__((noinline)) bool lookup_hit(const struct lookup *lookup, const char *name,
                                                 size_t length, enum view_serve least,
                                                 struct verdict *ret_verdict)
{
    struct view_moment moment = lookup_moment(lookup);
    uint16_t order[LOOKUP_SLOT_RECORDS];
    struct view_answer found;

    if (!lookup_may_serve(lookup, least) ||
        !view_slots_find(&moment, name, length, least, &found) ||
        lookup_status(found.answer.head, lookup->request.family) == ANSWER_UNDECIDED)
        return false;
    *ret_verdict = lookup_verdict(lookup, &found.answer, order);
    if (least == VIEW_SERVE_NOW)
        lookup_announce(lookup, &found.answer);
    return true;
}

/* Was this a name that exists when the view last heard of it, however long ago? */
static __attribute__((noinline)) bool lookup_knows(const struct lookup *lookup,
                                                   const struct lookup_text *name)
{
    struct view_moment moment = lookup_moment(lookup);
    struct view_answer found;

    return lookup_has_slots(lookup) &&
           view_slots_find(&moment, name->text, name->length, VIEW_SERVE_NEVER, &found) &&
           found.answer.head->count4 + found.answer.head->count6 > 0;
}

/* ---- a name of ours: the view, then the daemon, then what the view has for such an hour ---- */

static struct verdict lookup_owned(struct lookup *lookup)
{
    const struct wire_request *request = &lookup->request;
    struct verdict verdict;

    if (lookup_hit(lookup, request->data, request->length, VIEW_SERVE_NOW, &verdict))
        return verdict;
    verdict = lookup_ask(lookup);
    if (verdict.h_error == TRY_AGAIN)
        lookup_hit(lookup, request->data, request->length, VIEW_SERVE_LAST, &verdict);
    return verdict;
}

/* ---- a short name: the first candidate that exists wins ---- */

/* The name with suffix `i` of the search list; false: it is none of ours, or no name. */
static bool lookup_candidate(const struct lookup *lookup, uint32_t i, struct lookup_text *ret_name)
{
    const struct wire_request *request = &lookup->request;
    const struct view_name *suffix = &lookup->view->header.search[i];

    ret_name->length = (size_t)request->length + 1 + suffix->length;
    if (ret_name->length > NAME_MAX_LENGTH)
        return false;
    memcpy(ret_name->text, request->data, request->length);
    ret_name->text[request->length] = '.';
    memcpy(ret_name->text + request->length + 1, suffix->text, suffix->length);
    return view_owner(lookup->view, ret_name->text, ret_name->length, true) == VIEW_OWNED;
}

static bool lookup_exists(const struct verdict *verdict)
{
    return verdict->h_error != HOST_NOT_FOUND && verdict->h_error != NO_RECOVERY;
}

/* True: the view decides, with verdict_foreign where all candidates are absent. */
static bool lookup_search(const struct lookup *lookup, struct verdict *ret_verdict)
{
    struct lookup_text name;

    for (uint32_t i = 0; i < lookup->view->header.search_count; i++) {
        if (!lookup_candidate(lookup, i, &name))
            continue;
        if (!lookup_hit(lookup, name.text, name.length, VIEW_SERVE_NOW, ret_verdict))
            return false;
        if (lookup_exists(ret_verdict))
            return true;
    }
    *ret_verdict = verdict_foreign;
    return true;
}

/*
 * The daemon did not decide, which it said with `verdict` or by its silence. As it would do itself,
 * pass over what is open: the first candidate that exists wins. Failing that, a name of which a
 * candidate was known once is ours, and undecided.
 */
static struct verdict lookup_search_last(const struct lookup *lookup, struct verdict verdict)
{
    struct lookup_text name;
    struct verdict hit;

    for (uint32_t i = 0; i < lookup->view->header.search_count; i++) {
        if (!lookup_candidate(lookup, i, &name))
            continue;
        if (lookup_hit(lookup, name.text, name.length, VIEW_SERVE_LAST, &hit) &&
            lookup_exists(&hit))
            return hit;
        if (lookup_knows(lookup, &name))
            verdict = verdict_undecided;
    }
    return verdict;
}

static struct verdict lookup_searched(struct lookup *lookup)
{
    struct verdict verdict;

    if (lookup_search(lookup, &verdict))
        return verdict;
    verdict = lookup_ask(lookup);
    if (verdict.h_error == TRY_AGAIN || verdict.error == ECONNREFUSED)
        return lookup_search_last(lookup, verdict);
    return verdict;
}

struct verdict lookup_name(const char *name, int family, const struct lookup_target *target)
{
    struct lookup lookup;
    struct wire_request *request = &lookup.request;
    bool rooted;
    size_t length = name ? name_fold(name, SIZE_MAX, request->data, &rooted) : 0;

    if (family != AF_INET && family != AF_INET6 && !(family == AF_UNSPEC && target->tuples))
        return verdict_no_family;
    if (length == 0)
        return verdict_foreign;
    lookup_begin(&lookup, WIRE_FORWARD, target);
    request->family = family == AF_INET ? WIRE_IPV4 : family == AF_INET6 ? WIRE_IPV6 : WIRE_UNSPEC;
    request->flags = rooted ? WIRE_REQUEST_ROOTED : 0;
    request->length = (uint16_t)length;
    if (!lookup.view)
        return lookup_ask(&lookup);
    lookup.owner = view_owner(lookup.view, request->data, length, rooted);
    switch (lookup.owner) {
    case VIEW_OWNED:
        return lookup_owned(&lookup);
    case VIEW_SEARCHED:
        return lookup_searched(&lookup);
    case VIEW_FOREIGN:
        return verdict_foreign;
    }
    return verdict_foreign;
}

/* ---- reverse ---- */

/* Who is not in the table of addresses is not ours: tools ask for every address that they see. */
static __attribute__((noinline)) struct verdict lookup_listed(const struct lookup *lookup)
{
    struct view_moment moment = lookup_moment(lookup);
    const struct wire_request *request = &lookup->request;
    struct view_answer found;

    if (!view_slots_find_address(&moment, request->family, (const uint8_t *)request->data, &found))
        return verdict_foreign;
    return lookup_pack_reverse(lookup, &found.answer) ? verdict_success : verdict_no_room;
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
    lookup_begin(&lookup, WIRE_REVERSE, target);
    lookup.request.family = family == AF_INET ? WIRE_IPV4 : WIRE_IPV6;
    lookup.request.length = (uint16_t)length;
    memcpy(lookup.request.data, bytes, length);
    if (lookup_may_serve(&lookup, VIEW_SERVE_NOW) && view_slots_know_addresses(lookup.view))
        return lookup_listed(&lookup);
    return lookup_ask(&lookup);
}
