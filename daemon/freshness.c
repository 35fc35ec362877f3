/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/freshness.h"

const char *freshness_state_to_string(enum freshness_state state)
{
    static const char *const words[] = {
        [FRESHNESS_UNKNOWN] = "unknown", [FRESHNESS_FRESH] = "fresh", [FRESHNESS_STALE] = "stale",
        [FRESHNESS_EXPIRED] = "expired", [FRESHNESS_EMPTY] = "empty", [FRESHNESS_ABSENT] = "absent",
    };

    return (size_t)state < ELEMENTS(words) ? words[state] : "unknown";
}

void freshness_clock_live(struct freshness_clock *clock)
{
    clock->live = true;
}

void freshness_clock_lost(struct freshness_clock *clock, usec_t now)
{
    if (!clock->live)
        return;
    clock->live = false;
    clock->epoch++;
    clock->lost_at = now;
}

static usec_t clamp(usec_t value, usec_t minimum, usec_t maximum)
{
    return value < minimum ? minimum : value > maximum ? maximum : value;
}

static bool watch_holds(const struct freshness *freshness, const struct freshness_clock *clock)
{
    return freshness->watched && freshness->epoch == clock->epoch;
}

static void confirm(struct freshness *freshness, const struct freshness_clock *clock,
                    enum freshness_content content, bool watched, usec_t ttl, usec_t now)
{
    *freshness = (struct freshness){
        .content = content,
        .watched = watched,
        .epoch = clock->epoch,
        .confirmed_at = now,
        .fresh_until = watched ? 0 : usec_add(now, ttl),
    };
}

void freshness_data(struct freshness *freshness, const struct freshness_rules *rules,
                    const struct freshness_clock *clock, bool empty, usec_t validity, usec_t now)
{
    confirm(freshness, clock, empty ? CONTENT_EMPTY : CONTENT_DATA, validity == USEC_INFINITY,
            clamp(validity, rules->min_ttl, rules->max_ttl), now);
}

void freshness_absent(struct freshness *freshness, const struct freshness_rules *rules,
                      const struct freshness_clock *clock, usec_t validity, usec_t now)
{
    confirm(freshness, clock, CONTENT_ABSENT, validity == USEC_INFINITY,
            clamp(validity, 0, rules->negative_ttl), now);
}

/* Ends an until-lost validity: what is known was last confirmed `now`, or when the clock was lost.
 */
void freshness_failed(struct freshness *freshness, const struct freshness_clock *clock, usec_t now)
{
    if (!freshness->watched)
        return;
    freshness->confirmed_at = watch_holds(freshness, clock) ? now : clock->lost_at;
    freshness->watched = false;
    freshness->fresh_until = freshness->confirmed_at;
}

void freshness_suspect(struct freshness *freshness, const struct freshness_rules *rules,
                       const struct freshness_clock *clock, bool have_data, usec_t now)
{
    enum freshness_state state = freshness_state(freshness, rules, clock, now);

    freshness_failed(freshness, clock, now);
    if (have_data && state != FRESHNESS_FRESH && state != FRESHNESS_STALE) {
        freshness->content = CONTENT_DATA;
        freshness->confirmed_at = freshness->fresh_until = now;
    }
    if (!freshness->suspect)
        freshness->suspect_until = usec_add(now, rules->empty_hold);
    freshness->suspect = true;
}

void freshness_restore(struct freshness *freshness, usec_t confirmed_at)
{
    *freshness = (struct freshness){
        .content = CONTENT_DATA,
        .restored = true,
        .confirmed_at = confirmed_at,
        .fresh_until = confirmed_at,
    };
}

/* End of the stale life of what is known. */
static usec_t stale_end(const struct freshness *freshness, const struct freshness_rules *rules,
                        usec_t confirmed_at)
{
    usec_t end = usec_add(confirmed_at, rules->max_stale);

    return freshness->suspect && freshness->suspect_until < end ? freshness->suspect_until : end;
}

usec_t freshness_stale_end(const struct freshness *freshness, const struct freshness_rules *rules,
                           const struct freshness_clock *clock, usec_t now)
{
    return stale_end(freshness, rules, freshness_confirmed_at(freshness, clock, now));
}

bool freshness_live(const struct freshness *freshness, const struct freshness_clock *clock)
{
    return clock->live && watch_holds(freshness, clock);
}

usec_t freshness_confirmed_at(const struct freshness *freshness,
                              const struct freshness_clock *clock, usec_t now)
{
    if (freshness->content == CONTENT_NONE)
        return 0;
    if (!freshness->watched)
        return freshness->confirmed_at;
    return watch_holds(freshness, clock) ? now : clock->lost_at;
}

enum freshness_state freshness_state(const struct freshness *freshness,
                                     const struct freshness_rules *rules,
                                     const struct freshness_clock *clock, usec_t now)
{
    usec_t confirmed_at = freshness_confirmed_at(freshness, clock, now);
    bool valid = watch_holds(freshness, clock) ||
                 (!freshness->watched && now < freshness->fresh_until);

    switch (freshness->content) {
    case CONTENT_NONE:
        return FRESHNESS_UNKNOWN;
    case CONTENT_EMPTY:
    case CONTENT_ABSENT:
        if (!valid && now >= usec_add(confirmed_at, rules->negative_ttl))
            return FRESHNESS_UNKNOWN;
        return freshness->content == CONTENT_EMPTY ? FRESHNESS_EMPTY : FRESHNESS_ABSENT;
    case CONTENT_DATA:
        break;
    }
    if (valid)
        return FRESHNESS_FRESH;
    return now < stale_end(freshness, rules, confirmed_at) ? FRESHNESS_STALE : FRESHNESS_EXPIRED;
}

usec_t freshness_until(const struct freshness *freshness, const struct freshness_rules *rules,
                       const struct freshness_clock *clock, usec_t now)
{
    usec_t confirmed_at = freshness_confirmed_at(freshness, clock, now);

    if (watch_holds(freshness, clock))
        return USEC_INFINITY;
    switch (freshness_state(freshness, rules, clock, now)) {
    case FRESHNESS_FRESH:
        return freshness->fresh_until;
    case FRESHNESS_STALE:
        return stale_end(freshness, rules, confirmed_at);
    case FRESHNESS_EMPTY:
    case FRESHNESS_ABSENT:
        if (usec_add(confirmed_at, rules->negative_ttl) > freshness->fresh_until)
            return usec_add(confirmed_at, rules->negative_ttl);
        return freshness->fresh_until;
    case FRESHNESS_UNKNOWN:
    case FRESHNESS_EXPIRED:
        break;
    }
    return USEC_INFINITY;
}
