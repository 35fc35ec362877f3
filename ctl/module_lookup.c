/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/module_lookup.h"

#include <netdb.h>
#include <time.h>

#include "ctl/text.h"
#include "nss-sd/wire.h"
#include "nss/clock.h"
#include "nss/transport.h"
#include "nss/view_slots.h"

enum {
    BUFFER_SIZE = 256 * 1024, /* the largest answer, packed */
    LOOKUPS_MAX = 10000,      /* of module_odds() */
    LOOKUPS_SOCKET_MAX = 200, /* where each is a question to the daemon */
    LOOKUPS_MS = 300,
};

void module_prepare(const char *runtime_directory)
{
    if (runtime_directory && setenv(NSS_SD_RUNTIME_DIRECTORY_ENV, runtime_directory, 1) < 0)
        out_of_memory();
}

/* ---- the view ---- */

/* A folded name, and how the module sees it at one moment. */
struct look {
    const struct view *view;
    enum view_owner owner;
    struct view_moment moment;
    enum view_pulse pulse;
    char name[NAME_SIZE];
    size_t length;
};

static void look_begin(const char *name, struct look *ret_look)
{
    struct look *look = ret_look;
    uint32_t now = clock_tick(), heartbeat = 0;
    bool rooted = false;

    *look = (struct look){.view = view_reader_current(now), .owner = VIEW_FOREIGN};
    look->length = name_fold(name, SIZE_MAX, look->name, &rooted);
    if (!look->view || look->length == 0)
        return;
    look->pulse = view_pulse(look->view, now, &heartbeat);
    look->moment = (struct view_moment){look->view, now, heartbeat, look->pulse == VIEW_LIVE};
    look->owner = view_owner(look->view, look->name, look->length, rooted);
}

void module_look(const char *name, struct module_view *ret_view)
{
    static const enum module_pulse pulses[] = {
        [VIEW_LIVE] = PULSE_LIVE,
        [VIEW_OVERDUE] = PULSE_OVERDUE,
        [VIEW_RETIRED] = PULSE_RETIRED,
        [VIEW_FOREIGN_CLOCK] = PULSE_FOREIGN,
    };
    struct look look;

    look_begin(name, &look);
    *ret_view = (struct module_view){
        .pulse = look.view ? pulses[look.pulse] : PULSE_NONE,
        .elsewhere = look.view && look.view->elsewhere,
        .searched = look.owner == VIEW_SEARCHED,
    };
}

static bool decides(const struct answer_head *head, int family)
{
    bool open4 = head->status4 == ANSWER_UNDECIDED, open6 = head->status6 == ANSWER_UNDECIDED;
    bool found = head->status4 == ANSWER_FOUND || head->status6 == ANSWER_FOUND;

    return family == AF_INET ? !open4 : family == AF_INET6 ? !open6 : found || !(open4 || open6);
}

static bool exists(const struct answer_head *head)
{
    return head->status4 != ANSWER_ABSENT || head->status6 != ANSWER_ABSENT;
}

/* Is there something of the name in the view to be served at least so readily? */
static bool look_finds(const struct look *look, const char *name, size_t length, int family,
                       enum view_serve least, struct view_answer *ret_found)
{
    return look->pulse != VIEW_FOREIGN_CLOCK &&
           !(look->pulse == VIEW_RETIRED && least == VIEW_SERVE_NOW) &&
           view_slots_find(&look->moment, name, length, least, ret_found) &&
           decides(ret_found->answer.head, family);
}

/* Name and suffix `i` of the search list; false: none of ours. */
static bool look_candidate(const struct look *look, uint32_t i, char ret_name[static NAME_SIZE],
                           size_t *ret_length)
{
    const struct view_name *suffix = &look->view->header.search[i];

    *ret_length = look->length + 1 + suffix->length;
    if (*ret_length > NAME_MAX_LENGTH)
        return false;
    memcpy(ret_name, look->name, look->length);
    ret_name[look->length] = '.';
    memcpy(ret_name + look->length + 1, suffix->text, suffix->length);
    return view_owner(look->view, ret_name, *ret_length, true) == VIEW_OWNED;
}

static enum module_road searched_road(const struct look *look, int family)
{
    for (uint32_t i = 0; i < look->view->header.search_count; i++) {
        struct view_answer found;
        char name[NAME_SIZE];
        size_t length;

        if (!look_candidate(look, i, name, &length))
            continue;
        if (!look_finds(look, name, length, family, VIEW_SERVE_NOW, &found))
            return ROAD_SOCKET;
        if (exists(found.answer.head))
            return ROAD_VIEW;
    }
    return ROAD_VIEW;
}

void module_road(const char *name, int family, struct module_lookup *ret_lookup)
{
    struct view_answer found;
    struct look look;

    look_begin(name, &look);
    *ret_lookup = (struct module_lookup){.family = family, .road = ROAD_HEADER};
    if (!look.view) {
        ret_lookup->road = look.length > 0 ? ROAD_BLIND : ROAD_HEADER;
    } else if (look.owner == VIEW_SEARCHED) {
        ret_lookup->road = searched_road(&look, family);
    } else if (look.owner == VIEW_OWNED) {
        bool hit = look_finds(&look, look.name, look.length, family, VIEW_SERVE_NOW, &found);

        ret_lookup->road = hit ? ROAD_VIEW : ROAD_SOCKET;
        ret_lookup->spare = !hit && look_finds(&look, look.name, look.length, family,
                                               VIEW_SERVE_LAST, &found);
    }
}

/* ---- a lookup ---- */

static void take_tuples(struct module_lookup *lookup, const struct gaih_addrtuple *tuples)
{
    size_t count = 0;

    for (const struct gaih_addrtuple *one = tuples; one; one = one->next)
        count++;
    lookup->addresses = calloc(count + 1, sizeof(*lookup->addresses));
    if (!lookup->addresses)
        out_of_memory();
    if (tuples && tuples->name)
        snprintf(lookup->canonical, sizeof(lookup->canonical), "%s", tuples->name);
    for (const struct gaih_addrtuple *one = tuples; one; one = one->next) {
        struct address *address = &lookup->addresses[lookup->count++];

        address->family = (uint8_t)one->family;
        memcpy(address->bytes, one->addr, address_size(address));
    }
}

static void take_host(struct module_lookup *lookup, const struct hostent *host)
{
    size_t count = 0;

    while (host->h_addr_list[count])
        count++;
    lookup->addresses = calloc(count + 1, sizeof(*lookup->addresses));
    if (!lookup->addresses)
        out_of_memory();
    snprintf(lookup->canonical, sizeof(lookup->canonical), "%s", host->h_name);
    for (; lookup->count < count; lookup->count++) {
        struct address *address = &lookup->addresses[lookup->count];

        address->family = (uint8_t)host->h_addrtype;
        memcpy(address->bytes, host->h_addr_list[lookup->count], address_size(address));
    }
}

void module_ask(const char *name, struct module_lookup *lookup)
{
    _cleanup_(freep) char *buffer = malloc(BUFFER_SIZE);
    struct gaih_addrtuple *tuples = NULL;
    struct hostent host = {0};
    struct lookup_target target = {.buffer = {buffer, BUFFER_SIZE}, .host = &host};

    if (!buffer)
        out_of_memory();
    if (lookup->family == AF_UNSPEC)
        target.tuples = &tuples;
    lookup->verdict = lookup_name(name, lookup->family, &target);
    if (lookup->verdict.status != NSS_STATUS_SUCCESS)
        return;
    if (lookup->family == AF_UNSPEC)
        take_tuples(lookup, tuples);
    else
        take_host(lookup, &host);
}

void module_lookup_done(struct module_lookup *lookup)
{
    free(lookup->addresses);
    lookup->addresses = NULL;
    lookup->count = 0;
}

/* ---- odds ---- */

struct odds {
    struct module_odds *items;
    size_t count, capacity;
};

static struct module_odds *odds_get(struct odds *odds, const struct address *address)
{
    for (size_t i = 0; i < odds->count; i++)
        if (address_compare(&odds->items[i].address, address) == 0)
            return &odds->items[i];
    if (odds->count == odds->capacity) {
        odds->capacity = odds->capacity ? odds->capacity * 2 : 16;
        odds->items = reallocarray(odds->items, odds->capacity, sizeof(*odds->items));
        if (!odds->items)
            out_of_memory();
    }
    odds->items[odds->count] = (struct module_odds){.address = *address};
    return &odds->items[odds->count++];
}

/* Rank and tier of each address, out of the answer itself. */
static void note_records(struct odds *odds, const struct answer *answer)
{
    for (size_t i = 0; i < answer->head->count4; i++) {
        const struct answer_record4 *record = &answer->records4[i];
        struct address address = {.family = AF_INET};
        struct module_odds *one;

        memcpy(address.bytes, record->address, 4);
        one = odds_get(odds, &address);
        one->known = true;
        one->rank = record->rank;
        one->tier = record->tier;
    }
    for (size_t i = 0; i < answer->head->count6; i++) {
        const struct answer_record6 *record = &answer->records6[i];
        struct address address = {.family = AF_INET6};
        struct module_odds *one;

        memcpy(address.bytes, record->address, 16);
        one = odds_get(odds, &address);
        one->known = true;
        one->rank = record->rank;
        one->tier = record->tier;
    }
}

static void note_answer(struct odds *odds, const char *name)
{
    struct transport_reply reply;
    struct wire_request request = {.magic = WIRE_REQUEST_MAGIC,
                                   .version = WIRE_VERSION,
                                   .size = sizeof(request),
                                   .op = WIRE_FORWARD,
                                   .family = WIRE_UNSPEC};
    struct view_answer found;
    struct look look;

    look_begin(name, &look);
    if (look.owner == VIEW_OWNED &&
        look_finds(&look, look.name, look.length, AF_UNSPEC, VIEW_SERVE_NOW, &found)) {
        note_records(odds, &found.answer);
        return;
    }
    memcpy(request.data, look.name, look.length);
    request.length = (uint16_t)look.length;
    if (transport_ask(&request, WIRE_LOOKUP_TIMEOUT_MS, &reply) == TRANSPORT_ANSWERED)
        note_records(odds, &reply.answer);
    transport_reply_done(&reply);
}

static int compare_odds(const void *a, const void *b)
{
    const struct module_odds *one = a, *other = b;

    if (one->first != other->first)
        return one->first > other->first ? -1 : 1;
    return address_compare(&one->address, &other->address);
}

unsigned module_odds(const char *name, struct module_odds **ret_odds, size_t *ret_count)
{
    uint64_t end = clock_ms() + LOOKUPS_MS;
    struct module_lookup road;
    struct odds odds = {0};
    unsigned most, done = 0;

    module_road(name, AF_UNSPEC, &road);
    most = road.road == ROAD_VIEW ? LOOKUPS_MAX : LOOKUPS_SOCKET_MAX;
    note_answer(&odds, name);
    for (; done < most && clock_ms() < end; done++) {
        struct module_lookup one = {.family = AF_UNSPEC};

        module_ask(name, &one);
        if (one.count > 0)
            odds_get(&odds, &one.addresses[0])->first++;
        module_lookup_done(&one);
    }
    if (odds.count > 0)
        qsort(odds.items, odds.count, sizeof(*odds.items), compare_odds);
    *ret_odds = odds.items;
    *ret_count = odds.count;
    return done;
}
