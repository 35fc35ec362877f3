/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where an instance is (locality.h). */
#include "daemon/registry/eureka/locality.h"

#include <stdio.h>

#include "daemon/registry/json.h"

/* "us-east-1a" is a zone of the region "us-east-1". */
static void region_of_amazon_zone(const char *zone, char ret_region[static ENDPOINT_STRING_MAX])
{
    size_t size = strlen(zone);

    if (size > 2 && zone[size - 1] >= 'a' && zone[size - 1] <= 'z' && zone[size - 2] >= '0' &&
        zone[size - 2] <= '9')
        snprintf(ret_region, ENDPOINT_STRING_MAX, "%.*s", (int)size - 1, zone);
}

void eureka_locality_read(const json_t *instance, struct eureka_place *ret_place)
{
    const json_t *metadata = json_object_get(instance, "metadata");
    const json_t *amazon = json_object_get(json_object_get(instance, "dataCenterInfo"), "metadata");
    const char *zone = registry_json_text(metadata, "zone"), *there;

    /* What clients call a zone where nobody named one. */
    if (streq(zone, "defaultZone"))
        zone = "";
    there = registry_json_text(amazon, "availability-zone");
    snprintf(ret_place->zone, sizeof(ret_place->zone), "%s", zone[0] ? zone : there);
    snprintf(ret_place->region, sizeof(ret_place->region), "%s",
             registry_json_text(metadata, "region"));
    if (ret_place->region[0] == '\0')
        region_of_amazon_zone(there, ret_place->region);
}
