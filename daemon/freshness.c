/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/freshness.h"

/* ---- the table ---- */

#define U (1u << FRESHNESS_UNKNOWN)
#define F (1u << FRESHNESS_FRESH)
#define S (1u << FRESHNESS_STALE)
#define X (1u << FRESHNESS_EXPIRED)
#define E (1u << FRESHNESS_EMPTY)
#define A (1u << FRESHNESS_ABSENT)

static const struct freshness_move moves[FRESHNESS_STATES][FRESHNESS_EVENTS] =
    {
        [FRESHNESS_UNKNOWN] =
            {
                [FRESHNESS_DATA] = {FRESHNESS_TAKE, F},
                [FRESHNESS_NOTHING] = {FRESHNESS_TAKE, E},
                [FRESHNESS_NONE_SUCH] = {FRESHNESS_TAKE, A},
                [FRESHNESS_FAILED] = {FRESHNESS_AGE, U},
                [FRESHNESS_SUSPECT] = {FRESHNESS_ADOPT, S},
                [FRESHNESS_SUSPECT_NONE] = {FRESHNESS_AGE, U},
                [FRESHNESS_TIME] = {FRESHNESS_KEEP, U},
                [FRESHNESS_LOOKUP] = {FRESHNESS_ASK, U},
                [FRESHNESS_LOST] = {FRESHNESS_AGE, U},
                [FRESHNESS_RESTART] = {FRESHNESS_REWANT, U},
                [FRESHNESS_RELOAD] = {FRESHNESS_CLAMP, U | E | A},
            },
        [FRESHNESS_FRESH] =
            {
                [FRESHNESS_DATA] = {FRESHNESS_TAKE, F},
                [FRESHNESS_NOTHING] = {FRESHNESS_HOLD, E | S},
                [FRESHNESS_NONE_SUCH] = {FRESHNESS_HOLD, A | S},
                [FRESHNESS_FAILED] = {FRESHNESS_AGE, F | S},
                [FRESHNESS_SUSPECT] = {FRESHNESS_DOUBT, S},
                [FRESHNESS_SUSPECT_NONE] = {FRESHNESS_DOUBT, S},
                [FRESHNESS_TIME] = {FRESHNESS_KEEP, F | S},
                [FRESHNESS_LOOKUP] = {FRESHNESS_ASK, F},
                [FRESHNESS_LOST] = {FRESHNESS_AGE, F | S},
                [FRESHNESS_RESTART] = {FRESHNESS_REWANT, F | S},
                [FRESHNESS_RELOAD] = {FRESHNESS_CLAMP, F | S | X},
            },
        [FRESHNESS_STALE] =
            {
                [FRESHNESS_DATA] = {FRESHNESS_TAKE, F},
                [FRESHNESS_NOTHING] = {FRESHNESS_HOLD, E | S},
                [FRESHNESS_NONE_SUCH] = {FRESHNESS_HOLD, A | S},
                [FRESHNESS_FAILED] = {FRESHNESS_AGE, S},
                [FRESHNESS_SUSPECT] = {FRESHNESS_DOUBT, S},
                [FRESHNESS_SUSPECT_NONE] = {FRESHNESS_DOUBT, S},
                [FRESHNESS_TIME] = {FRESHNESS_TELL, S | X | E | A},
                [FRESHNESS_LOOKUP] = {FRESHNESS_ASK, S},
                [FRESHNESS_LOST] = {FRESHNESS_AGE, S},
                [FRESHNESS_RESTART] = {FRESHNESS_REWANT, S},
                [FRESHNESS_RELOAD] = {FRESHNESS_CLAMP, F | S | X | E | A},
            },
        [FRESHNESS_EXPIRED] =
            {
                [FRESHNESS_DATA] = {FRESHNESS_TAKE, F},
                [FRESHNESS_NOTHING] = {FRESHNESS_TAKE, E},
                [FRESHNESS_NONE_SUCH] = {FRESHNESS_TAKE, A},
                [FRESHNESS_FAILED] = {FRESHNESS_AGE, X},
                [FRESHNESS_SUSPECT] = {FRESHNESS_ADOPT, S | X},
                [FRESHNESS_SUSPECT_NONE] = {FRESHNESS_AGE, X},
                [FRESHNESS_TIME] = {FRESHNESS_TELL, X | E | A},
                [FRESHNESS_LOOKUP] = {FRESHNESS_ASK, X},
                [FRESHNESS_LOST] = {FRESHNESS_AGE, X},
                [FRESHNESS_RESTART] = {FRESHNESS_REWANT, X},
                [FRESHNESS_RELOAD] = {FRESHNESS_CLAMP, F | S | X | E | A},
            },
        [FRESHNESS_EMPTY] =
            {
                [FRESHNESS_DATA] = {FRESHNESS_TAKE, F},
                [FRESHNESS_NOTHING] = {FRESHNESS_TAKE, E},
                [FRESHNESS_NONE_SUCH] = {FRESHNESS_TAKE, A},
                [FRESHNESS_FAILED] = {FRESHNESS_AGE, E},
                [FRESHNESS_SUSPECT] = {FRESHNESS_ADOPT, S},
                [FRESHNESS_SUSPECT_NONE] = {FRESHNESS_AGE, E},
                [FRESHNESS_TIME] = {FRESHNESS_KEEP, E | U},
                [FRESHNESS_LOOKUP] = {FRESHNESS_ASK, E},
                [FRESHNESS_LOST] = {FRESHNESS_AGE, E},
                [FRESHNESS_RESTART] = {FRESHNESS_REWANT, E},
                [FRESHNESS_RELOAD] = {FRESHNESS_CLAMP, E | U},
            },
        [FRESHNESS_ABSENT] =
            {
                [FRESHNESS_DATA] = {FRESHNESS_TAKE, F},
                [FRESHNESS_NOTHING] = {FRESHNESS_TAKE, E},
                [FRESHNESS_NONE_SUCH] = {FRESHNESS_TAKE, A},
                [FRESHNESS_FAILED] = {FRESHNESS_AGE, A},
                [FRESHNESS_SUSPECT] = {FRESHNESS_ADOPT, S},
                [FRESHNESS_SUSPECT_NONE] = {FRESHNESS_AGE, A},
                [FRESHNESS_TIME] = {FRESHNESS_KEEP, A | U},
                [FRESHNESS_LOOKUP] = {FRESHNESS_ASK, A},
                [FRESHNESS_LOST] = {FRESHNESS_AGE, A},
                [FRESHNESS_RESTART] = {FRESHNESS_REWANT, A},
                [FRESHNESS_RELOAD] = {FRESHNESS_CLAMP, A | U},
            },
};

#undef U
#undef F
#undef S
#undef X
#undef E
#undef A

const struct freshness_move *freshness_move(enum freshness_state state, enum freshness_event event)
{
    return &moves[state][event];
}

const char *freshness_state_to_string(enum freshness_state state)
{
    static const char *const words[] = {
        [FRESHNESS_UNKNOWN] = "unknown", [FRESHNESS_FRESH] = "fresh", [FRESHNESS_STALE] = "stale",
        [FRESHNESS_EXPIRED] = "expired", [FRESHNESS_EMPTY] = "empty", [FRESHNESS_ABSENT] = "absent",
    };

    return (size_t)state < ELEMENTS(words) ? words[state] : "unknown";
}

const char *freshness_event_to_string(enum freshness_event event)
{
    static const char *const words[] = {
        [FRESHNESS_DATA] = "data",
        [FRESHNESS_NOTHING] = "empty",
        [FRESHNESS_NONE_SUCH] = "absent",
        [FRESHNESS_FAILED] = "failed",
        [FRESHNESS_SUSPECT] = "suspect data",
        [FRESHNESS_SUSPECT_NONE] = "suspect emptiness",
        [FRESHNESS_TIME] = "timer",
        [FRESHNESS_LOOKUP] = "lookup",
        [FRESHNESS_LOST] = "watch lost",
        [FRESHNESS_RESTART] = "registry restarted",
        [FRESHNESS_RELOAD] = "reload",
    };

    return (size_t)event < ELEMENTS(words) ? words[event] : "";
}

const char *freshness_action_to_string(enum freshness_action action)
{
    static const char *const words[] = {
        [FRESHNESS_KEEP] = "keep",   [FRESHNESS_TAKE] = "take",   [FRESHNESS_HOLD] = "hold",
        [FRESHNESS_AGE] = "age",     [FRESHNESS_DOUBT] = "doubt", [FRESHNESS_ADOPT] = "adopt",
        [FRESHNESS_ASK] = "ask",     [FRESHNESS_TELL] = "tell",   [FRESHNESS_REWANT] = "rewant",
        [FRESHNESS_CLAMP] = "clamp",
    };

    return (size_t)action < ELEMENTS(words) ? words[action] : "";
}

/* ---- what is in force ---- */

bool freshness_is_held(const struct freshness *freshness, usec_t now)
{
    return freshness->held.content != CONTENT_NONE && now < freshness->held_until;
}

static const struct freshness_word *word(const struct freshness *freshness, usec_t now)
{
    return freshness->held.content == CONTENT_NONE || freshness_is_held(freshness, now)
               ? &freshness->known
               : &freshness->held;
}

bool freshness_has_data(const struct freshness *freshness, usec_t now)
{
    return word(freshness, now)->content == CONTENT_DATA;
}

usec_t freshness_confirmed_at(const struct freshness *freshness, usec_t now)
{
    const struct freshness_word *known = word(freshness, now);

    if (known->content == CONTENT_NONE)
        return 0;
    return known->watched ? now : known->confirmed_at;
}

usec_t freshness_fresh_until(const struct freshness *freshness, usec_t now)
{
    const struct freshness_word *known = word(freshness, now);

    return known->watched ? USEC_INFINITY : known->fresh_until;
}

usec_t freshness_stale_until(const struct freshness *freshness, const struct freshness_rules *rules,
                             usec_t now)
{
    usec_t end = usec_add(freshness_confirmed_at(freshness, now), rules->max_stale);

    if (freshness->suspect && freshness->suspect_until < end)
        end = freshness->suspect_until;
    if (freshness_is_held(freshness, now) && freshness->held_until < end)
        end = freshness->held_until;
    return end;
}

static usec_t negative_until(const struct freshness_word *known,
                             const struct freshness_rules *rules)
{
    usec_t end = usec_add(known->confirmed_at, rules->negative_ttl);

    return known->watched ? USEC_INFINITY : end > known->fresh_until ? end : known->fresh_until;
}

enum freshness_state freshness_state(const struct freshness *freshness,
                                     const struct freshness_rules *rules, usec_t now)
{
    const struct freshness_word *known = word(freshness, now);

    switch (known->content) {
    case CONTENT_NONE:
        return FRESHNESS_UNKNOWN;
    case CONTENT_EMPTY:
    case CONTENT_ABSENT:
        if (now >= negative_until(known, rules))
            return FRESHNESS_UNKNOWN;
        return known->content == CONTENT_EMPTY ? FRESHNESS_EMPTY : FRESHNESS_ABSENT;
    case CONTENT_DATA:
        break;
    }
    if (known->watched || now < known->fresh_until)
        return FRESHNESS_FRESH;
    return now < freshness_stale_until(freshness, rules, now) ? FRESHNESS_STALE : FRESHNESS_EXPIRED;
}

usec_t freshness_until(const struct freshness *freshness, const struct freshness_rules *rules,
                       usec_t now)
{
    switch (freshness_state(freshness, rules, now)) {
    case FRESHNESS_FRESH:
        return freshness_fresh_until(freshness, now);
    case FRESHNESS_STALE:
        return freshness_stale_until(freshness, rules, now);
    case FRESHNESS_EMPTY:
    case FRESHNESS_ABSENT:
        return negative_until(word(freshness, now), rules);
    default:
        return USEC_INFINITY;
    }
}

/* ---- what happens ---- */

static usec_t clamp(usec_t value, usec_t minimum, usec_t maximum)
{
    return value < minimum ? minimum : value > maximum ? maximum : value;
}

/* Emptiness is negative like absence (RFC 2308, section 5: both live by the negative TTL). */
static void clamp_word(struct freshness_word *known, const struct freshness_rules *rules)
{
    usec_t max = known->content == CONTENT_DATA ? rules->max_ttl : rules->negative_ttl;
    usec_t ttl = clamp(known->ttl, rules->min_ttl < max ? rules->min_ttl : max, max);

    if (known->ttl != USEC_INFINITY)
        known->fresh_until = usec_add(known->confirmed_at, ttl);
}

static struct freshness_word new_word(enum freshness_event event,
                                      const struct freshness_rules *rules, usec_t validity,
                                      usec_t now)
{
    struct freshness_word said = {
        .content = event == FRESHNESS_DATA      ? CONTENT_DATA
                   : event == FRESHNESS_NOTHING ? CONTENT_EMPTY
                                                : CONTENT_ABSENT,
        .watched = validity == USEC_INFINITY,
        .ttl = validity,
        .confirmed_at = now,
    };

    clamp_word(&said, rules);
    return said;
}

/* Ends an until-lost validity. */
static void age(struct freshness_word *known, usec_t now)
{
    if (!known->watched)
        return;
    known->watched = false;
    known->confirmed_at = known->fresh_until = now;
}

/* Ends any validity: it is a confirmation no more. */
static void make_stale(struct freshness_word *known, usec_t now)
{
    age(known, now);
    known->ttl = USEC_INFINITY;
    if (known->fresh_until > now)
        known->fresh_until = now;
}

/* False: nothing is held, the word counts. */
static bool hold(struct freshness *freshness, const struct freshness_rules *rules,
                 const struct freshness_word *said, usec_t now)
{
    if (rules->empty_protection == 0)
        return false;
    if (!freshness_is_held(freshness, now))
        freshness->held_until = usec_add(now, rules->empty_protection);
    /* A doubt, which may be a protection that began in an earlier run, is not prolonged by another.
     */
    if (freshness->suspect && freshness->suspect_until < freshness->held_until)
        freshness->held_until = freshness->suspect_until;
    make_stale(&freshness->known, now);
    freshness->held = *said;
    return true;
}

static void doubt(struct freshness *freshness, const struct freshness_rules *rules, usec_t now)
{
    make_stale(&freshness->known, now);
    if (!freshness->suspect)
        freshness->suspect_until = usec_add(now, rules->empty_hold);
    freshness->suspect = true;
}

/* What was doubted till now and is over is not doubted anew; a doubt that an absence ended is
 * another one. */
static void adopt(struct freshness *freshness, const struct freshness_rules *rules, usec_t now)
{
    freshness->suspect &= word(freshness, now)->content == CONTENT_DATA;
    freshness->known = (struct freshness_word){
        .content = CONTENT_DATA, .ttl = USEC_INFINITY, .confirmed_at = now, .fresh_until = now};
    freshness->held = (struct freshness_word){.content = CONTENT_NONE};
    freshness->restored = false;
    doubt(freshness, rules, now);
}

enum freshness_action freshness_apply(struct freshness *freshness,
                                      const struct freshness_rules *rules,
                                      enum freshness_event event, usec_t validity, usec_t now)
{
    enum freshness_action action = moves[freshness_state(freshness, rules, now)][event].action;
    struct freshness_word said;

    switch (action) {
    case FRESHNESS_TAKE:
    case FRESHNESS_HOLD:
        said = new_word(event, rules, validity, now);
        if (action == FRESHNESS_HOLD && hold(freshness, rules, &said, now))
            return FRESHNESS_HOLD;
        *freshness = (struct freshness){.known = said};
        return FRESHNESS_TAKE;
    case FRESHNESS_AGE:
    case FRESHNESS_REWANT:
        age(&freshness->known, now);
        age(&freshness->held, now);
        break;
    case FRESHNESS_DOUBT:
        doubt(freshness, rules, now);
        break;
    case FRESHNESS_ADOPT:
        adopt(freshness, rules, now);
        break;
    case FRESHNESS_CLAMP:
        clamp_word(&freshness->known, rules);
        clamp_word(&freshness->held, rules);
        if (rules->empty_protection == 0 && freshness_is_held(freshness, now))
            freshness->held_until = now;
        break;
    default:
        break;
    }
    return action;
}

void freshness_restore(struct freshness *freshness, usec_t confirmed_at)
{
    *freshness = (struct freshness){
        .known = {.content = CONTENT_DATA,
                  .ttl = USEC_INFINITY,
                  .confirmed_at = confirmed_at,
                  .fresh_until = confirmed_at},
        .restored = true,
    };
}

void freshness_restore_nothing(struct freshness *freshness, usec_t confirmed_at)
{
    *freshness = (struct freshness){.known.confirmed_at = confirmed_at, .restored = true};
}

void freshness_restore_doubt(struct freshness *freshness, usec_t until)
{
    freshness->suspect = true;
    freshness->suspect_until = until;
}
