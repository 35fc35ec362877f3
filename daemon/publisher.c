/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/publisher.h"

#include "daemon/log.h"
#include "nss-sd/siphash.h"
#include "nss-sd/wire.h"

/* A sample of a service that does not fit stays for this long, then another one is drawn. */
#define SAMPLE_TIME (10 * USEC_PER_SEC)
/* An answer of several live watches is vouched for by no clock: ask again after this. */
#define MIXED_TIME (3600 * USEC_PER_SEC)
/* The positive table is made larger above this many percent. */
#define LOAD_MAX 70
/* but not more often than readers can follow; till then names that do not fit go by the socket. */
#define GROW_INTERVAL (3 * USEC_PER_SEC)
/* A file that cannot be written, for want of room mostly, is tried again after this. */
#define RETRY_INTERVAL (60 * USEC_PER_SEC)
/* A larger table holds what there is at this many percent at most: every new file is one that
 * readers have to follow, and every bit doubles its memory. */
#define LOAD_NEW 65
/* Ticks wrap; nothing lies further ahead than this (two years). */
#define TICKS_AHEAD_MAX (UINT32_C(1) << 30)

struct clock_note {
    enum view_clock_state state;
    usec_t confirmed_at;
    bool live_soon; /* at the next settling */
};

struct publisher {
    const char *directory;
    struct publisher_hooks hooks;
    struct view_writer *writer; /* NULL: there is no view */
    unsigned set_bits;
    usec_t opened_at;
    usec_t open_at; /* no new one before */
    int error;      /* of the last try */
    bool full;      /* something did not fit */
    struct clock_note clocks[VIEW_CLOCKS_MAX];
    struct publisher_counters counters;
};

static uint32_t tick_at(usec_t at, usec_t now)
{
    uint32_t tick_now = ticks_from_usec(now);

    if (at <= now)
        return tick_now - (uint32_t)((now - at) / (USEC_PER_SEC / VIEW_TICKS_PER_SECOND));
    if (at - now >= (usec_t)TICKS_AHEAD_MAX * (USEC_PER_SEC / VIEW_TICKS_PER_SECOND))
        return tick_now + TICKS_AHEAD_MAX;
    return ticks_from_usec(at);
}

/* A duration; UINT32_MAX is "for ever", which nothing else is. */
static uint32_t duration_in_ticks(usec_t duration)
{
    usec_t ticks = duration / (USEC_PER_SEC / VIEW_TICKS_PER_SECOND);

    if (duration == USEC_INFINITY)
        return UINT32_MAX;
    return ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX - 1;
}

/* Until when a slot without a clock is served without asking. */
static usec_t serve_until(const struct evaluation *evaluation)
{
    /* Stale: nothing better is to be had before the registry is asked again. */
    if (evaluation->stale)
        return evaluation->ask_at < evaluation->stale_until ? evaluation->ask_at
                                                            : evaluation->stale_until;
    if (evaluation->fresh_until == USEC_INFINITY)
        return usec_add(evaluation->confirmed_at, MIXED_TIME);
    return evaluation->fresh_until;
}

void publisher_set_times(const struct evaluation *evaluation, usec_t interest_at, usec_t now,
                         struct answer_head *head)
{
    usec_t fresh_until;

    if (evaluation->live && evaluation->live_registry < VIEW_CLOCKS_MAX) {
        head->clock = evaluation->live_registry;
        head->fresh_until = head->confirmed_at = 0;
        head->stale_until = duration_in_ticks(evaluation->max_stale);
        head->refresh_at = tick_at(interest_at, now);
        return;
    }
    fresh_until = evaluation->restored ? now : serve_until(evaluation);
    head->clock = ANSWER_CLOCK_NONE;
    head->confirmed_at = tick_at(
        evaluation->confirmed_at == USEC_INFINITY ? now : evaluation->confirmed_at, now);
    head->fresh_until = tick_at(fresh_until, now);
    head->stale_until = tick_at(evaluation->stale_until, now);
    /* The daemon asks the registry from 80 % of the TTL on; a reader announces itself by then. */
    head->refresh_at = tick_at(fresh_until < interest_at ? fresh_until : interest_at, now);
    if (!evaluation->stale && evaluation->confirmed_at < fresh_until)
        head->refresh_at = tick_at(
            evaluation->confirmed_at + (fresh_until - evaluation->confirmed_at) / 10 * 8, now);
}

/* ---- the rules ---- */

static bool is_negative(uint8_t status)
{
    return status == ANSWER_ABSENT || status == ANSWER_NO_DATA;
}

enum publisher_action publisher_action(const struct evaluation *evaluation)
{
    uint8_t four = evaluation->status4, six = evaluation->status6;

    if (evaluation->sources == 0 && !evaluation->crowded)
        return PUBLISHER_WITHDRAW;
    /* What this daemon published is not left standing for the sake of what is on its way: an
     * instance may have been removed. */
    if ((evaluation->pending4 || evaluation->pending6 || evaluation->soft) && !evaluation->answered)
        return PUBLISHER_LEAVE;
    if (four == ANSWER_FOUND || six == ANSWER_FOUND)
        return PUBLISHER_PUBLISH;
    /* No clock vouches for an absence that rests on several watches. */
    if (is_negative(four) && is_negative(six))
        return evaluation->live || evaluation->fresh_until != USEC_INFINITY ? PUBLISHER_PUBLISH
                                                                            : PUBLISHER_WITHDRAW;
    /* Undecided. Answers carried over from an earlier daemon stay till their own end. */
    return evaluation->proven || evaluation->answered ? PUBLISHER_WITHDRAW : PUBLISHER_LEAVE;
}

/* The same sample all through one SAMPLE_TIME, so that an unchanged slot is not rewritten. */
static uint64_t sample_random(void *userdata)
{
    uint64_t *state = userdata;
    static const uint8_t key[SIPHASH_KEY_SIZE];

    return *state = siphash13(key, state, sizeof(*state));
}

/* ---- publishing ---- */

/* Of a large service what is in the slot alone: readers take nothing else from the list. */
static void list_addresses(struct publisher *publisher, const char *name,
                           const struct answer *answer)
{
    const struct publisher_hooks *hooks = &publisher->hooks;
    size_t count4 = answer->head->count4, count = count4 + answer->head->count6;
    char owner[NAME_SIZE];

    for (size_t i = 0; i < count; i++) {
        struct address address = {.family = i < count4 ? AF_INET : AF_INET6};

        if (i < count4)
            memcpy(address.bytes, answer->records4[i].address, sizeof(answer->records4[i].address));
        else
            memcpy(address.bytes, answer->records6[i - count4].address,
                   sizeof(answer->records6[i - count4].address));
        if (hooks->reverse(hooks->userdata, &address, owner) >= 0 && streq(owner, name))
            view_writer_list_address(publisher->writer, &address, name);
    }
}

void publisher_withdraw(struct publisher *publisher, const char *name)
{
    if (!publisher->writer)
        return;
    publisher->counters.withdrawn++;
    view_writer_withdraw(publisher->writer, name);
}

void publisher_publish(struct publisher *publisher, const char *name,
                       const struct evaluation *evaluation, usec_t interest_at, usec_t now)
{
    uint32_t payload[ANSWER_SLOT_SIZE / sizeof(uint32_t)];
    /* Hosts that started together must not choose the same at the same time. */
    uint64_t seed = publisher->opened_at + now / SAMPLE_TIME;
    enum publisher_action action = publisher_action(evaluation);
    struct answer answer;
    unsigned limit;
    size_t size;

    if (!publisher->writer)
        return;
    /* First of all: a name that is private now may have been carried over from when it was not. */
    if (!publisher->hooks.policy(publisher->hooks.userdata, name, &limit) ||
        evaluation->access.kind == ACCESS_PRIVATE || action == PUBLISHER_WITHDRAW) {
        publisher_withdraw(publisher, name);
        return;
    }
    if (action == PUBLISHER_LEAVE &&
        (!evaluation->restored || evaluation_pending(evaluation, WIRE_UNSPEC) ||
         view_writer_has(publisher->writer, name)))
        return;
    size = evaluation_write(evaluation, name, limit, now, sample_random, &seed, payload,
                            sizeof(payload));
    publisher_set_times(evaluation, interest_at, now, (struct answer_head *)payload);
    if (publisher->hooks.rank)
        publisher->hooks.rank(publisher->hooks.userdata, (struct answer_head *)payload);
    if (view_writer_publish(publisher->writer, payload, size) < 0) {
        publisher->full = true;
        publisher->counters.full++;
        return;
    }
    publisher->counters.published++;
    if (answer_parse(payload, size, &answer))
        list_addresses(publisher, name, &answer);
}

/* ---- clocks ---- */

static void show_clock(struct publisher *publisher, unsigned registry)
{
    const struct clock_note *note = &publisher->clocks[registry];

    if (publisher->writer)
        view_writer_clock(publisher->writer, registry, note->state, note->confirmed_at);
}

void publisher_lost(struct publisher *publisher, unsigned registry, usec_t now)
{
    struct clock_note *note = &publisher->clocks[registry];

    note->live_soon = false;
    if (note->state != VIEW_CLOCK_LIVE)
        return;
    *note = (struct clock_note){.state = VIEW_CLOCK_LOST, .confirmed_at = now};
    show_clock(publisher, registry);
}

void publisher_live(struct publisher *publisher, unsigned registry)
{
    struct clock_note *note = &publisher->clocks[registry];

    note->live_soon = note->state == VIEW_CLOCK_LOST;
    if (note->state != VIEW_CLOCK_UNUSED)
        return;
    /* Nothing rests on it yet, and no slot may before it lives: a daemon that is killed in between
     * would leave answers that nobody may serve. */
    *note = (struct clock_note){.state = VIEW_CLOCK_LIVE};
    show_clock(publisher, registry);
}

void publisher_gone(struct publisher *publisher, unsigned registry)
{
    publisher->clocks[registry] = (struct clock_note){0};
    show_clock(publisher, registry);
}

static bool must_grow(const struct publisher *publisher, usec_t now)
{
    return publisher->writer && now >= publisher->open_at &&
           publisher->set_bits < VIEW_WRITER_SET_BITS_MAX &&
           (publisher->full || view_writer_load(publisher->writer) > LOAD_MAX);
}

static bool must_try_again(const struct publisher *publisher, usec_t now)
{
    return (!publisher->writer || publisher->error < 0) && now >= publisher->open_at;
}

bool publisher_settle(struct publisher *publisher, usec_t now)
{
    for (unsigned i = 0; i < VIEW_CLOCKS_MAX; i++) {
        if (!publisher->clocks[i].live_soon)
            continue;
        publisher->clocks[i] = (struct clock_note){.state = VIEW_CLOCK_LIVE};
        show_clock(publisher, i);
    }
    return must_grow(publisher, now) || must_try_again(publisher, now);
}

/* ---- the file ---- */

struct publisher *publisher_new(const char *directory, const struct publisher_hooks *hooks)
{
    struct publisher *publisher = calloc(1, sizeof(*publisher));

    if (!publisher)
        return NULL;
    publisher->directory = directory;
    publisher->hooks = *hooks;
    publisher->set_bits = VIEW_WRITER_SET_BITS;
    return publisher;
}

struct publisher *publisher_free(struct publisher *publisher)
{
    if (!publisher)
        return NULL;
    view_writer_close(publisher->writer);
    free(publisher);
    return NULL;
}

/* Room for all of `names` at once. */
static void grow(struct publisher *publisher, size_t names)
{
    publisher->full = false;
    do
        publisher->set_bits++;
    while (publisher->set_bits < VIEW_WRITER_SET_BITS_MAX &&
           ((size_t)VIEW_WAYS << publisher->set_bits) * LOAD_NEW < names * 100);
}

/* Once for each reason: it is tried again and again. */
static void open_failed(struct publisher *publisher, int error, usec_t now)
{
    publisher->open_at = usec_add(now, RETRY_INTERVAL);
    if (publisher->writer)
        publisher->set_bits = view_writer_set_bits(publisher->writer);
    else
        view_writer_disown(publisher->directory, now);
    if (error != publisher->error)
        log_error("%s/view: a new one cannot be written: %s; %s, and it is tried again",
                  publisher->directory, strerror(-error),
                  publisher->writer ? "the old one stays" : "lookups go by the socket alone");
    publisher->error = error;
}

static void take_writer(struct publisher *publisher, struct view_writer *writer, usec_t now)
{
    unsigned bits = view_writer_set_bits(writer);

    if (bits == VIEW_WRITER_SET_BITS_MAX &&
        (!publisher->writer || view_writer_set_bits(publisher->writer) < bits))
        log_notice("%s/view: is as large as it gets; names that do not fit go by the socket",
                   publisher->directory);
    view_writer_close(publisher->writer);
    publisher->writer = writer;
    publisher->set_bits = bits; /* more than was asked for, where much was carried over */
    publisher->opened_at = now;
    publisher->open_at = usec_add(now, GROW_INTERVAL);
    publisher->error = 0;
    publisher->counters.files++;
    for (unsigned i = 0; i < VIEW_CLOCKS_MAX; i++)
        show_clock(publisher, i);
}

static bool is_for_view(void *userdata, const char *name)
{
    const struct publisher *publisher = userdata;
    unsigned limit;

    return publisher->hooks.policy(publisher->hooks.userdata, name, &limit);
}

void publisher_prune(struct publisher *publisher)
{
    if (publisher->writer)
        view_writer_prune(publisher->writer, is_for_view, publisher);
}

int publisher_open(struct publisher *publisher, const struct view_spec *spec, size_t names,
                   usec_t now)
{
    struct view_spec sized = *spec;
    struct view_writer *writer;
    int r;

    if (must_grow(publisher, now))
        grow(publisher, names);
    sized.set_bits = publisher->set_bits;
    sized.may_carry = is_for_view;
    sized.userdata = publisher;
    if (publisher->writer && view_writer_matches(publisher->writer, &sized)) {
        publisher->error = 0;
        return 0;
    }
    r = view_writer_open(publisher->directory, &sized, now, publisher->hooks.carried,
                         publisher->hooks.userdata, &writer);
    if (r < 0) {
        open_failed(publisher, r, now);
        return r;
    }
    take_writer(publisher, writer, now);
    return 1;
}

void publisher_beat(struct publisher *publisher, usec_t now)
{
    if (publisher->writer)
        view_writer_beat(publisher->writer, now);
}

struct publisher_counters *publisher_counters(struct publisher *publisher)
{
    return &publisher->counters;
}
