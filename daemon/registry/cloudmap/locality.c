/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where this host is (locality.h). */
#include "daemon/registry/cloudmap/locality.h"

#include <stdio.h>

#include "daemon/registry/cloudmap/cloudmap.h"
#include "daemon/registry/cloudmap/shared_files.h"
#include "daemon/registry/json.h"

#define TASK_TIMEOUT (2 * USEC_PER_SEC)
#define RETRY        (30 * USEC_PER_SEC)
#define REGION_PATH  "/latest/meta-data/placement/region"
#define ZONE_PATH    "/latest/meta-data/placement/availability-zone"

enum { TASK_MAX = 1 << 20 };

static struct registry_env *env_of(const struct cloudmap_locality *locality)
{
    return locality->cloudmap->registry.env;
}

static bool take_region(struct cloudmap_locality *locality, const char *region, const char *origin)
{
    if (!region || !cloudmap_region_ok(region))
        return false;
    strcpy(locality->region, region);
    locality->origin = origin;
    return true;
}

/* From what is on this machine. */
static bool find_region(struct cloudmap_locality *locality)
{
    struct registry *registry = &locality->cloudmap->registry;
    struct cloudmap_profile profile;
    char text[256];
    bool found;

    if (take_region(locality, cloudmap_settings(locality->cloudmap)->region, "Region=") ||
        take_region(locality, env_variable(registry->env, "AWS_REGION"), "AWS_REGION") ||
        take_region(locality, env_variable(registry->env, "AWS_DEFAULT_REGION"),
                    "AWS_DEFAULT_REGION"))
        return true;
    if (cloudmap_profile_load(registry, &profile, text, sizeof(text)) < 0)
        return false;
    found = take_region(locality, profile.region, "profile");
    cloudmap_profile_done(&profile);
    return found;
}

static void report(struct cloudmap_locality *locality)
{
    locality->asking = false;
    if (locality->zone[0] || locality->region[0])
        env_report(env_of(locality), &(struct registry_report){.kind = REPORT_LOCALITY,
                                                               .zone = locality->zone,
                                                               .region = locality->region});
}

static void take_zone(struct cloudmap_locality *locality, const char *zone)
{
    if (strlen(zone) < sizeof(locality->zone) && cloudmap_region_ok(zone))
        strcpy(locality->zone, zone);
}

/* ---- the zone ---- */

static void ask_zone(struct cloudmap_locality *locality)
{
    locality->asking_region = false;
    if (metadata_service_disabled(env_of(locality)) ||
        metadata_service_ask(&locality->metadata, ZONE_PATH) < 0)
        report(locality);
}

static void task_done(void *userdata, enum http_outcome outcome,
                      const struct http_response *response, const char *body, size_t size,
                      const char *text)
{
    struct cloudmap_locality *locality = userdata;
    json_t *root = NULL;

    (void)text;
    locality->call = NULL;
    if (outcome == HTTP_DONE && response->status == 200)
        root = registry_json_parse(body, size);
    take_zone(locality, registry_json_text(root, "AvailabilityZone"));
    json_decref(root);
    if (locality->zone[0])
        report(locality);
    else
        ask_zone(locality);
}

/* False: this is no container of ECS. */
static bool ask_task(struct cloudmap_locality *locality)
{
    static const struct http_handler handler = {.on_done = task_done};
    const char *base = env_variable(env_of(locality), "ECS_CONTAINER_METADATA_URI_V4");
    char url[512];

    if (!base || strncmp(base, "http://169.254.170.2/", 21) != 0 ||
        snprintf(url, sizeof(url), "%s/task", base) >= (int)sizeof(url))
        return false;
    return env_http_start(env_of(locality),
                          &(struct http_request){.url = url,
                                                 .connect_timeout = TASK_TIMEOUT,
                                                 .timeout = TASK_TIMEOUT,
                                                 .max_body = TASK_MAX,
                                                 .handler = &handler,
                                                 .userdata = locality},
                          &locality->call) == 0;
}

static void look_for_zone(struct cloudmap_locality *locality)
{
    if (!ask_task(locality))
        ask_zone(locality);
}

/* ---- the region ---- */

static void no_region(struct cloudmap_locality *locality, const char *why)
{
    snprintf(locality->text, sizeof(locality->text),
             "the region is not known: set Region=, or AWS_REGION in the daemon's environment "
             "(%.100s)",
             why);
    locality->asking = false;
    locality->retry_at = env_now(env_of(locality)) + RETRY;
    cloudmap_region_settled(locality->cloudmap);
}

static void region_done(struct cloudmap_locality *locality, const char *body, const char *text)
{
    char region[CLOUDMAP_PLACE_SIZE] = "";

    if (body)
        snprintf(region, sizeof(region), "%.*s", (int)strcspn(body, "\r\n"), body);
    if (!take_region(locality, region, "instance metadata")) {
        no_region(locality, body ? "the instance metadata service names none" : text);
        return;
    }
    cloudmap_region_settled(locality->cloudmap);
    look_for_zone(locality);
}

static void metadata_done(struct metadata_service *service, int status, const char *body,
                          size_t size, const char *text)
{
    struct cloudmap_locality *locality = service->owner;

    (void)status;
    (void)size;
    if (locality->asking_region) {
        region_done(locality, body, text);
        return;
    }
    if (body)
        take_zone(locality, body);
    report(locality);
}

static void ask_region(struct cloudmap_locality *locality)
{
    locality->asking_region = true;
    if (metadata_service_disabled(env_of(locality)))
        no_region(locality, "AWS_EC2_METADATA_DISABLED=true");
    else if (metadata_service_ask(&locality->metadata, REGION_PATH) < 0)
        no_region(locality, "the instance metadata service cannot be asked");
}

static void look(struct cloudmap_locality *locality)
{
    locality->asking = true;
    if (locality->region[0] || find_region(locality))
        look_for_zone(locality);
    else
        ask_region(locality);
}

int cloudmap_locality_need(struct cloudmap_locality *locality)
{
    if (locality->region[0] || locality->asking)
        return 0;
    if (env_now(env_of(locality)) < locality->retry_at)
        return -ENOENT;
    look(locality);
    return locality->region[0] || locality->asking ? 0 : -ENOENT;
}

/* ---- life ---- */

static void on_start(struct env_timer *timer)
{
    struct cloudmap_locality *locality = timer->owner;

    if (!locality->asking)
        look(locality);
}

void cloudmap_locality_kick(struct cloudmap_locality *locality)
{
    locality->retry_at = 0;
    if (!locality->asking && (!locality->region[0] || !locality->zone[0]))
        env_defer(env_of(locality), &locality->start);
}

void cloudmap_locality_describe(const struct cloudmap_locality *locality, json_t *object)
{
    if (!locality->region[0])
        return;
    json_object_set_new(object, "region", json_string(locality->region));
    json_object_set_new(object, "region-from", json_string(locality->origin));
}

void cloudmap_locality_init(struct cloudmap_locality *locality, struct cloudmap *cloudmap)
{
    *locality = (struct cloudmap_locality){.cloudmap = cloudmap};
    locality->start = (struct env_timer){.fire = on_start, .owner = locality};
    metadata_service_init(&locality->metadata, cloudmap->registry.env, METADATA_AMAZON,
                          metadata_done, locality);
    find_region(locality);
    env_defer(cloudmap->registry.env, &locality->start);
}

void cloudmap_locality_done(struct cloudmap_locality *locality)
{
    env_timer_off(env_of(locality), &locality->start);
    if (locality->call)
        env_of(locality)->ops->http_cancel(env_of(locality), locality->call);
    locality->call = NULL;
    metadata_service_done(&locality->metadata);
}
