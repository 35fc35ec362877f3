/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Zone and region of this host as the cloud that it runs in tells them: Amazon EC2, Google Compute
 * Engine, Azure. Asks the instance metadata service, from the loop and with back-off until it has
 * answered, and only where the machine's firmware says that it is such a machine: elsewhere not one
 * packet leaves for 169.254.169.254.
 *
 * The words are those that Kubernetes labels nodes with in these clouds: "eu-north-1a",
 * "europe-west1-b", "westeurope-1" (Azure: location and zone).
 */
#pragma once

#include "daemon/registry/registry.h"

/* Where the kernel shows what the firmware says. */
#define CLOUD_ZONE_DMI "/sys/class/dmi/id"

struct cloud_zone;

/* Called once it is known. `zone` and `region` are as the service wrote them, or "". */
typedef void (*cloud_zone_found_t)(void *userdata, const char *cloud, const char *zone,
                                   const char *region);

/* Begins to ask; `env` must outlive it. Where there is nobody to ask, it does nothing. -ENOMEM. */
int cloud_zone_new(struct registry_env *env, const char *dmi_directory, cloud_zone_found_t found,
                   void *userdata, struct cloud_zone **ret_zone);
struct cloud_zone *cloud_zone_free(struct cloud_zone *zone); /* takes NULL */

/* Ask again now if there was no answer yet. */
void cloud_zone_kick(struct cloud_zone *zone);
