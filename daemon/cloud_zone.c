/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/cloud_zone.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>

#include "daemon/host_zone.h"
#include "daemon/log.h"
#include "daemon/metadata_service.h"

#define RETRY_FIRST (5 * USEC_PER_SEC)
#define RETRY_LAST  (600 * USEC_PER_SEC)

/* What a file of the DMI directory says of a machine of this cloud. */
struct mark {
    const char *file, *text;
    bool at_end; /* the file ends in it, else it is it */
};

struct cloud {
    const char *name;
    enum metadata_dialect dialect;
    struct mark marks[3];
    const char *region_path, *zone_path; /* answers of plain text; NULL: not asked */
    /* Makes the words of what was answered, in place. */
    void (*finish)(char *zone, char *region);
};

struct cloud_zone {
    struct registry_env *env;
    const struct cloud *cloud;
    cloud_zone_found_t found;
    void *userdata;
    struct metadata_service service;
    struct env_timer timer;
    bool asking, asking_region, known, failure_told;
    usec_t retry;
    char zone[256], region[256];
};

/* ---- the clouds ---- */

static void finish_amazon(char *zone, char *region)
{
    (void)zone, (void)region;
}

/* "projects/NUMBER/zones/europe-west1-b"; the region is the zone without its last part. */
static void finish_google(char *zone, char *region)
{
    const char *slash = strrchr(zone, '/'), *dash;

    if (slash)
        memmove(zone, slash + 1, strlen(slash));
    dash = strrchr(zone, '-');
    if (dash)
        sprintf(region, "%.*s", (int)(dash - zone), zone);
}

/* The zones of a location are numbers; outside them ("") a machine is in none. */
static void finish_azure(char *zone, char *region)
{
    char number[8];

    for (char *c = region; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (!*zone)
        return;
    if (!*region || strlen(zone) >= sizeof(number) || strlen(region) > HOST_ZONE_MAX) {
        *zone = '\0';
        return;
    }
    strcpy(number, zone);
    sprintf(zone, "%s-%s", region, number);
}

#define AZURE(what) "/metadata/instance/compute/" what "?api-version=2021-02-01&format=text"

/*
 * Xen machines of EC2 tell it by their firmware's version only. "Google" alone is a laptop, and
 * "Microsoft Corporation" any guest of Hyper-V: Azure's are known by their asset tag.
 */
static const struct cloud clouds[] = {
    {"EC2",
     METADATA_AMAZON,
     {{"sys_vendor", "Amazon EC2"},
      {"board_vendor", "Amazon EC2"},
      {"bios_version", ".amazon", true}},
     "/latest/meta-data/placement/region",
     "/latest/meta-data/placement/availability-zone",
     finish_amazon},
    {"Google Cloud",
     METADATA_GOOGLE,
     {{"product_name", "Google Compute Engine"}},
     NULL,
     "/computeMetadata/v1/instance/zone",
     finish_google},
    {"Azure",
     METADATA_AZURE,
     {{"chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77"}},
     AZURE("location"),
     AZURE("zone"),
     finish_azure},
};

static bool mark_is_there(const char *directory, const struct mark *mark)
{
    size_t length = strlen(mark->text), size;
    char path[512], text[128];
    _cleanup_(closep) int fd = -1;
    ssize_t r;

    if (snprintf(path, sizeof(path), "%s/%s", directory, mark->file) >= (int)sizeof(path))
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    r = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (r < 0)
        return false;
    text[r] = '\0';
    size = strcspn(text, "\n");
    return size >= length && (mark->at_end || size == length) &&
           memcmp(text + size - length, mark->text, length) == 0;
}

static const struct cloud *cloud_find(const char *directory)
{
    for (size_t i = 0; i < ELEMENTS(clouds); i++)
        for (size_t j = 0; j < ELEMENTS(clouds[i].marks) && clouds[i].marks[j].file; j++)
            if (mark_is_there(directory, &clouds[i].marks[j]))
                return &clouds[i];
    return NULL;
}

/* ---- asking ---- */

static void tell_failure(struct cloud_zone *zone, const char *text)
{
    if (!zone->failure_told)
        env_log(zone->env, LOG_NOTICE, NULL,
                "the zone of this host cannot be learned from %s: %s; it is tried again now and "
                "then (Zone= sets it, ZoneDetection=no gives up)",
                zone->cloud->name, text);
    zone->failure_told = true;
}

static void try_later(struct cloud_zone *zone, const char *text)
{
    zone->asking = false;
    tell_failure(zone, text);
    env_timer_set(zone->env, &zone->timer,
                  env_now(zone->env) + env_jitter(zone->env, zone->retry, 20));
    zone->retry = zone->retry * 2 < RETRY_LAST ? zone->retry * 2 : RETRY_LAST;
}

static void ask(struct cloud_zone *zone, bool region)
{
    zone->asking_region = region;
    if (metadata_service_ask(&zone->service,
                             region ? zone->cloud->region_path : zone->cloud->zone_path) < 0)
        try_later(zone, "the instance metadata service cannot be asked");
}

static void settle(struct cloud_zone *zone)
{
    zone->asking = false;
    zone->known = true;
    zone->cloud->finish(zone->zone, zone->region);
    zone->found(zone->userdata, zone->cloud->name, zone->zone, zone->region);
}

/* One line; NULL (there is no such thing) and what is too long are "". */
static void take_text(char *field, size_t field_size, const char *body)
{
    size_t length = body ? strcspn(body, "\r\n") : 0;

    snprintf(field, field_size, "%.*s", length < field_size ? (int)length : 0, body ? body : "");
}

static void answered(struct metadata_service *service, int status, const char *body, size_t size,
                     const char *text)
{
    struct cloud_zone *zone = service->owner;

    (void)size;
    if (!body && status != 404) {
        try_later(zone, text);
    } else if (zone->asking_region) {
        take_text(zone->region, sizeof(zone->region), body);
        ask(zone, false);
    } else {
        take_text(zone->zone, sizeof(zone->zone), body);
        settle(zone);
    }
}

static void on_timer(struct env_timer *timer)
{
    struct cloud_zone *zone = timer->owner;

    zone->asking = true;
    ask(zone, zone->cloud->region_path);
}

void cloud_zone_kick(struct cloud_zone *zone)
{
    if (!zone->cloud || zone->known || zone->asking)
        return;
    zone->retry = RETRY_FIRST;
    env_defer(zone->env, &zone->timer);
}

/* ---- life ---- */

int cloud_zone_new(struct registry_env *env, const char *dmi_directory, cloud_zone_found_t found,
                   void *userdata, struct cloud_zone **ret_zone)
{
    struct cloud_zone *zone = calloc(1, sizeof(*zone));

    if (!zone)
        return -ENOMEM;
    *zone = (struct cloud_zone){
        .env = env,
        .cloud = cloud_find(dmi_directory),
        .found = found,
        .userdata = userdata,
        .timer = {.fire = on_timer, .owner = zone},
    };
    if (zone->cloud && zone->cloud->dialect == METADATA_AMAZON && metadata_service_disabled(env))
        zone->cloud = NULL;
    if (zone->cloud)
        metadata_service_init(&zone->service, env, zone->cloud->dialect, answered, zone);
    cloud_zone_kick(zone);
    *ret_zone = zone;
    return 0;
}

struct cloud_zone *cloud_zone_free(struct cloud_zone *zone)
{
    if (!zone)
        return NULL;
    env_timer_off(zone->env, &zone->timer);
    if (zone->cloud)
        metadata_service_done(&zone->service);
    free(zone);
    return NULL;
}
