/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/bulletin.h"

#include <stdio.h>

#include "daemon/message.h"
#include "daemon/span.h"

/* Of one kind about one registry there is nothing more to read for so long. */
#define QUIET (60 * USEC_PER_SEC)
/* A registry may come and go this often in this time before it is told of at the end of it only. */
#define CHANGES_INTERVAL (10 * 60 * USEC_PER_SEC)

enum {
    CHANGES_BURST = 4,
    NAMED_MAX = 3, /* services told of one by one */
    NOTICE_KINDS = STORE_NOTICE_SUSPECT + 1,
    TEXT_SIZE = 512,
};

/* One service, as it was when the store noticed it. */
struct note {
    char *key;
    char *error;
    usec_t confirmed_at, until, max_stale;
};

/* What was noticed of one kind since the last line about it. */
struct heap {
    unsigned count;
    usec_t first_end; /* earliest `until` */
    struct note notes[NAMED_MAX];
    usec_t said_at; /* 0: never */
    bool held;      /* the time for another line had not come */
};

struct chapter {
    char *name; /* of the registry it is about; NULL: none */
    struct heap heaps[NOTICE_KINDS];
    uint64_t changes; /* of its condition, up to what was told */
    bool was_told;
    struct log_limit changes_limit;
    uint64_t refused; /* services over MaxServices=, up to what was told */
    usec_t full_said_at;
};

struct bulletin {
    const struct registries *registries;
    struct store *store;
    struct chapter chapters[REGISTRIES_MAX];
};

struct bulletin *bulletin_new(const struct registries *registries, struct store *store)
{
    struct bulletin *bulletin = calloc(1, sizeof(*bulletin));

    if (bulletin) {
        bulletin->registries = registries;
        bulletin->store = store;
    }
    return bulletin;
}

static void heap_clear(struct heap *heap)
{
    for (size_t i = 0; i < NAMED_MAX; i++) {
        free(heap->notes[i].key);
        free(heap->notes[i].error);
    }
    *heap = (struct heap){.said_at = heap->said_at};
}

static void chapter_done(struct chapter *chapter)
{
    for (size_t i = 0; i < NOTICE_KINDS; i++)
        heap_clear(&chapter->heaps[i]);
    free(chapter->name);
    *chapter = (struct chapter){0};
}

struct bulletin *bulletin_free(struct bulletin *bulletin)
{
    if (!bulletin)
        return NULL;
    for (size_t i = 0; i < REGISTRIES_MAX; i++)
        chapter_done(&bulletin->chapters[i]);
    free(bulletin);
    return NULL;
}

/* ---- services ---- */

void bulletin_notice(struct bulletin *bulletin, enum store_notice notice,
                     const struct service_facts *facts)
{
    struct heap *heap;

    if (notice == STORE_NOTICE_CONFIRMED) /* the line about the registry says it for all */
        return;
    heap = &bulletin->chapters[facts->registry].heaps[notice];
    if (heap->count < NAMED_MAX)
        heap->notes[heap->count] = (struct note){
            .key = strdup(facts->key),
            .error = strdup(facts->error),
            .confirmed_at = facts->confirmed_at,
            .until = facts->until,
            .max_stale = facts->max_stale,
        };
    if (heap->count == 0 || facts->until < heap->first_end)
        heap->first_end = facts->until;
    heap->count++;
}

static const enum message message_of[NOTICE_KINDS] = {
    [STORE_NOTICE_STALE] = MESSAGE_STALE,
    [STORE_NOTICE_EXPIRING] = MESSAGE_EXPIRING,
    [STORE_NOTICE_EXPIRED] = MESSAGE_EXPIRED,
    [STORE_NOTICE_EMPTY_PROTECTION] = MESSAGE_EMPTY_PROTECTION,
    [STORE_NOTICE_SUSPECT] = MESSAGE_SUSPECT,
};

static usec_t left_until(usec_t end, usec_t now)
{
    return end > now ? end - now : 0;
}

/* "for another 2d 3h" */
static const char *left_text(usec_t end, usec_t now, char buffer[static SPAN_SIZE + 16])
{
    char span[SPAN_SIZE];

    if (end == USEC_INFINITY)
        return "without an end (MaxStaleSec=infinity)";
    snprintf(buffer, SPAN_SIZE + 16, "for another %s", span_to_string(left_until(end, now), span));
    return buffer;
}

/* Percent of MaxStaleSec= that are used up. */
static unsigned used_share(const struct note *note, usec_t now)
{
    usec_t left = left_until(note->until, now);

    if (note->max_stale == 0 || note->max_stale == USEC_INFINITY || left > note->max_stale)
        return 0;
    return (unsigned)((note->max_stale - left) / (note->max_stale / 100 + 1));
}

static void one_text(enum store_notice notice, const struct note *note, usec_t now,
                     char text[static TEXT_SIZE])
{
    char age[SPAN_SIZE], left[SPAN_SIZE + 16];
    const char *error = note->error && *note->error ? note->error : NULL;
    usec_t confirmed = note->confirmed_at < now ? now - note->confirmed_at : 0;

    span_to_string(confirmed, age);
    switch (notice) {
    case STORE_NOTICE_STALE:
        snprintf(text, TEXT_SIZE, "is served stale, last confirmed %s ago%s%s; it is served %s",
                 age, error ? ": " : "", error ?: "", left_text(note->until, now, left));
        break;
    case STORE_NOTICE_EXPIRING:
        snprintf(text, TEXT_SIZE,
                 "was last confirmed %s ago and has used up %u%% of MaxStaleSec=; it is served %s, "
                 "then lookups fail",
                 age, used_share(note, now), left_text(note->until, now, left));
        break;
    case STORE_NOTICE_EXPIRED:
        snprintf(text, TEXT_SIZE,
                 "was last confirmed %s ago, longer than MaxStaleSec= allows: its lookups fail "
                 "until the registry confirms it",
                 age);
        break;
    case STORE_NOTICE_EMPTY_PROTECTION:
        snprintf(text, TEXT_SIZE,
                 "has no endpoint any more, says the registry; EmptyProtection= holds the last "
                 "ones, served %s",
                 left_text(note->until, now, left));
        break;
    case STORE_NOTICE_SUSPECT:
        snprintf(text, TEXT_SIZE,
                 "what the registry says is not trusted (%s): what was known is kept, served %s",
                 error ?: "suspect data", left_text(note->until, now, left));
        break;
    case STORE_NOTICE_CONFIRMED:
        break;
    }
}

static void many_text(enum store_notice notice, const struct heap *heap, usec_t now,
                      char text[static TEXT_SIZE])
{
    static const struct {
        const char *what;
        bool ends; /* the time that is left is worth a word */
    } words[NOTICE_KINDS] = {
        [STORE_NOTICE_STALE] = {"are served stale: nobody confirms them; the first is served ",
                                true},
        [STORE_NOTICE_EXPIRING] = {"come near the end of MaxStaleSec= and fail then; the first is "
                                   "served ",
                                   true},
        [STORE_NOTICE_EXPIRED] = {"were not confirmed for longer than MaxStaleSec= allows: their "
                                  "lookups fail until the registry confirms them",
                                  false},
        [STORE_NOTICE_EMPTY_PROTECTION] = {"have no endpoint any more, says the registry; "
                                           "EmptyProtection= holds the last ones, the first is "
                                           "served ",
                                           true},
        [STORE_NOTICE_SUSPECT] = {"are kept as they were known, for what the registry says of "
                                  "them is not trusted; the first is served ",
                                  true},
    };
    char left[SPAN_SIZE + 16];

    snprintf(text, TEXT_SIZE,
             "%u services %s%s (%.60s, %.60s, ...; 'sdctl services --stale' lists them)",
             heap->count, words[notice].what,
             words[notice].ends ? left_text(heap->first_end, now, left) : "",
             heap->notes[0].key ?: "", heap->notes[1].key ?: "");
}

/* What was held back may be over by now. */
static bool is_over(const struct bulletin *bulletin, unsigned index, enum store_notice notice,
                    usec_t now)
{
    struct store_summary summary;

    if (notice != STORE_NOTICE_STALE && notice != STORE_NOTICE_EXPIRING &&
        notice != STORE_NOTICE_EXPIRED)
        return false;
    store_summarize(bulletin->store, index, now, &summary);
    return notice == STORE_NOTICE_EXPIRED ? summary.expired == 0 : summary.stale == 0;
}

static void heap_say(const struct chapter *chapter, enum store_notice notice, struct heap *heap,
                     usec_t now)
{
    struct log_context context = {.registry = chapter->name};
    char text[TEXT_SIZE];

    if (heap->count > NAMED_MAX) {
        many_text(notice, heap, now, text);
        message_log(message_of[notice], &context, now, "%s", text);
    }
    for (size_t i = 0; heap->count <= NAMED_MAX && i < heap->count; i++) {
        context.service = heap->notes[i].key;
        one_text(notice, &heap->notes[i], now, text);
        message_log(message_of[notice], &context, now, "%s", text);
    }
    heap->said_at = now;
    heap_clear(heap);
}

static void heap_settle(const struct bulletin *bulletin, unsigned index, struct chapter *chapter,
                        enum store_notice notice, usec_t now)
{
    struct heap *heap = &chapter->heaps[notice];

    if (heap->count == 0)
        return;
    if (heap->said_at > 0 && now < heap->said_at + QUIET)
        heap->held = true;
    else if (heap->held && is_over(bulletin, index, notice, now))
        heap_clear(heap);
    else
        heap_say(chapter, notice, heap, now);
}

/* ---- registries ---- */

/* "; 12 services are served stale, the first for another 2d 3h" */
static void stale_text(const struct bulletin *bulletin, unsigned index, usec_t now,
                       char text[static TEXT_SIZE])
{
    struct store_summary summary;
    char left[SPAN_SIZE + 16];

    store_summarize(bulletin->store, index, now, &summary);
    if (summary.stale == 0)
        snprintf(text, TEXT_SIZE, "; none of its services is served stale");
    else
        snprintf(text, TEXT_SIZE, "; %zu of its services %s served stale, %s%s", summary.stale,
                 summary.stale == 1 ? "is" : "are", summary.stale == 1 ? "" : "the first ",
                 left_text(summary.first_expires, now, left));
}

static void condition_say(const struct bulletin *bulletin, unsigned index, struct chapter *chapter,
                          const struct registry_facts *facts, usec_t now)
{
    struct log_context context = {.registry = facts->name};
    uint64_t changes = facts->condition_changes - chapter->changes;
    char stale[TEXT_SIZE], since[SPAN_SIZE], often[64] = "";

    stale_text(bulletin, index, now, stale);
    if (changes > 1)
        snprintf(often, sizeof(often), " (changed %llu times since it was told last)",
                 (unsigned long long)changes);
    span_to_string(now > facts->condition_since ? now - facts->condition_since : 0, since);
    if (facts->condition == CONDITION_DOWN)
        message_log(MESSAGE_REGISTRY_DOWN, &context, now, "does not answer, for %s: %s%s%s", since,
                    *facts->error ? facts->error : "no reason is known", often, stale);
    else
        message_log(MESSAGE_REGISTRY_UP, &context, now, "answers%s, for %s%s%s",
                    chapter->was_told ? " again" : "", since, often, stale);
    chapter->was_told = true;
}

static void condition_settle(const struct bulletin *bulletin, unsigned index,
                             struct chapter *chapter, const struct registry_facts *facts,
                             usec_t now)
{
    struct log_limit *limit = &chapter->changes_limit;

    if (facts->condition == CONDITION_STARTING || facts->condition_changes == chapter->changes)
        return;
    if (limit->seen == 0 || now >= limit->window_start + CHANGES_INTERVAL)
        *limit = (struct log_limit){.window_start = now};
    if (limit->seen >= CHANGES_BURST)
        return;
    limit->seen++;
    condition_say(bulletin, index, chapter, facts, now);
    chapter->changes = facts->condition_changes;
}

static void full_settle(const struct bulletin *bulletin, unsigned index, struct chapter *chapter,
                        const struct registry_facts *facts, usec_t now)
{
    struct log_context context = {.registry = facts->name};
    uint64_t refused = store_counters(bulletin->store, index)->refused;

    if (refused < chapter->refused) /* somebody set the counters to zero */
        chapter->refused = 0;
    if (refused == chapter->refused ||
        (chapter->full_said_at > 0 && now < chapter->full_said_at + QUIET))
        return;
    message_log(
        MESSAGE_REGISTRY_FULL, &context, now,
        "%llu lookups of further services were turned away: MaxServices=%u is reached; raise "
        "it in the registry's file if 'sdctl services' lists none that nobody needs",
        (unsigned long long)(refused - chapter->refused), facts->config->max_services);
    chapter->refused = refused;
    chapter->full_said_at = now;
}

/* The chapter is about this registry, from now on if it was about another. */
static bool chapter_about(struct chapter *chapter, const char *name)
{
    if (chapter->name && name && streq(chapter->name, name))
        return true;
    if (chapter->name)
        chapter_done(chapter);
    chapter->name = name ? strdup(name) : NULL;
    return chapter->name != NULL;
}

void bulletin_settle(struct bulletin *bulletin, usec_t now)
{
    for (unsigned i = 0; i < REGISTRIES_MAX; i++) {
        struct chapter *chapter = &bulletin->chapters[i];
        struct registry_facts facts;

        registries_facts(bulletin->registries, i, &facts);
        if (!chapter_about(chapter, facts.name))
            continue;
        condition_settle(bulletin, i, chapter, &facts, now);
        full_settle(bulletin, i, chapter, &facts, now);
        for (int kind = 0; kind < NOTICE_KINDS; kind++)
            heap_settle(bulletin, i, chapter, (enum store_notice)kind, now);
    }
}
