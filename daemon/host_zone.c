/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/host_zone.h"

#include <stdio.h>

#include "daemon/log.h"

/* One who may know. */
struct voice {
    char name[256]; /* of the registry or cloud; "": silent */
    char zone[HOST_ZONE_SIZE], region[HOST_ZONE_SIZE];
    bool zone_refused, region_refused; /* what was told last is none, and that was logged */
};

struct host_zone {
    void (*changed)(void *userdata);
    void *userdata;
    struct voice configured, cloud, registries[STORE_REGISTRIES_MAX];
    char zone[HOST_ZONE_SIZE], region[HOST_ZONE_SIZE], origin[HOST_ZONE_ORIGIN_SIZE];
    bool disagreement_told;
};

struct host_zone *host_zone_new(void (*changed)(void *userdata), void *userdata)
{
    struct host_zone *zone = calloc(1, sizeof(*zone));

    if (zone) {
        zone->changed = changed;
        zone->userdata = userdata;
    }
    return zone;
}

struct host_zone *host_zone_free(struct host_zone *zone)
{
    free(zone);
    return NULL;
}

bool host_zone_word_ok(const char *word)
{
    size_t length = strlen(word);

    for (size_t i = 0; i < length; i++)
        if (word[i] <= ' ' || word[i] > '~')
            return false;
    return length > 0 && length <= HOST_ZONE_MAX;
}

/* ---- the choice ---- */

/* The next registry by name after `last` (NULL: the first) that tells a zone or a region. */
static const struct voice *next_registry(const struct host_zone *zone, const struct voice *last)
{
    const struct voice *next = NULL;

    for (size_t i = 0; i < ELEMENTS(zone->registries); i++) {
        const struct voice *voice = &zone->registries[i];

        if ((voice->zone[0] || voice->region[0]) &&
            (!last || strcmp(voice->name, last->name) > 0) &&
            (!next || strcmp(voice->name, next->name) < 0))
            next = voice;
    }
    return next;
}

static void hear(struct host_zone *zone, const struct voice *voice, const char *prefix)
{
    bool news = (voice->zone[0] && !zone->zone[0]) || (voice->region[0] && !zone->origin[0]);

    if (news)
        snprintf(zone->origin, sizeof(zone->origin), "%s%s", prefix, voice->name);
    if (!zone->zone[0])
        strcpy(zone->zone, voice->zone);
    if (!zone->region[0])
        strcpy(zone->region, voice->region);
}

/* Once until they agree: it is for an operator to decide. */
static void tell_disagreement(struct host_zone *zone)
{
    const struct voice *first = NULL, *other = NULL;

    for (const struct voice *voice = next_registry(zone, NULL); voice && !other;
         voice = next_registry(zone, voice)) {
        if (first && voice->zone[0] && !streq(voice->zone, first->zone))
            other = voice;
        if (!first && voice->zone[0])
            first = voice;
    }
    if (other && !zone->configured.zone[0] && !zone->disagreement_told)
        log_warning("registries %s and %s disagree on the zone of this host: %s and %s; the first "
                    "one counts, unless Zone= is set",
                    first->name, other->name, first->zone, other->zone);
    zone->disagreement_told = other && !zone->configured.zone[0];
}

static void choose(struct host_zone *zone)
{
    char zone_before[HOST_ZONE_SIZE], region_before[HOST_ZONE_SIZE];

    strcpy(zone_before, zone->zone);
    strcpy(region_before, zone->region);
    zone->zone[0] = zone->region[0] = zone->origin[0] = '\0';
    hear(zone, &zone->configured, "");
    for (const struct voice *voice = next_registry(zone, NULL); voice;
         voice = next_registry(zone, voice))
        hear(zone, voice, "registry ");
    hear(zone, &zone->cloud, "the metadata of ");
    tell_disagreement(zone);
    if (!streq(zone->zone, zone_before) || !streq(zone->region, region_before))
        zone->changed(zone->userdata);
}

/* ---- what is said ---- */

/* A word that is none is logged once, till another is told that is one: a registry says it again
 * with every report. */
static void take_word(const char *who, const char *what, const char *word,
                      char ret_word[static HOST_ZONE_SIZE], bool *refused)
{
    bool was_refused = *refused;

    *refused = word && *word && !host_zone_word_ok(word);
    strcpy(ret_word, word && !*refused ? word : "");
    if (*refused && !was_refused)
        log_warning("%s tells a %s of this host that is none (at most %d printable bytes): %.100s",
                    who, what, HOST_ZONE_MAX, word);
}

static void speak(struct host_zone *zone, struct voice *voice, const char *name, const char *word,
                  const char *region)
{
    snprintf(voice->name, sizeof(voice->name), "%s", name);
    take_word(name, "zone", word, voice->zone, &voice->zone_refused);
    take_word(name, "region", region, voice->region, &voice->region_refused);
    choose(zone);
}

void host_zone_configure(struct host_zone *zone, const char *word)
{
    speak(zone, &zone->configured, "Zone=", word, NULL);
}

void host_zone_report(struct host_zone *zone, unsigned registry, const char *name, const char *word,
                      const char *region)
{
    speak(zone, &zone->registries[registry], name, word, region);
}

void host_zone_forget(struct host_zone *zone, unsigned registry)
{
    zone->registries[registry] = (struct voice){0};
    choose(zone);
}

void host_zone_cloud(struct host_zone *zone, const char *cloud, const char *word,
                     const char *region)
{
    speak(zone, &zone->cloud, cloud, word, region);
}

const char *host_zone_name(const struct host_zone *zone)
{
    return zone->zone;
}

const char *host_zone_region(const struct host_zone *zone)
{
    return zone->region;
}

const char *host_zone_origin(const struct host_zone *zone)
{
    return zone->origin;
}
