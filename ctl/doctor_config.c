/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sdctl doctor: what `sdctl check` says of the configuration. */
#include "ctl/doctor.h"
#include "daemon/config.h"

static void report_message(struct doctor *doctor, const struct config_message *message)
{
    const char *file = message->file ?: "";
    size_t root = strlen(doctor->root);

    if (root > 0 && strncmp(file, doctor->root, root) == 0)
        file += root;
    doctor_report(doctor, message->warning ? SEVERITY_WARNING : SEVERITY_ERROR, "config",
                  (struct place){file, message->line}, NULL, "%s", message->text);
}

void doctor_config(struct doctor *doctor)
{
    _cleanup_(freep) char *below = NULL;
    const char *directory = doctor->options->config_directory;
    struct config_messages messages = {0};
    struct config *config = NULL;
    int r;

    if (!directory && *doctor->root) {
        if (asprintf(&below, "%s" SYSCONFDIR "/nss-sd", doctor->root) < 0)
            out_of_memory();
        directory = below;
    }
    r = config_load(directory, &messages, &config);
    for (size_t i = 0; i < messages.count; i++)
        report_message(doctor, &messages.items[i]);
    if (r < 0)
        doctor_report(doctor, SEVERITY_ERROR, "config", (struct place){0}, NULL,
                      "the configuration cannot be read: %s", strerror(-r));
    else if (config->registry_count == 0)
        doctor_report(doctor, SEVERITY_WARNING, "config.empty", (struct place){0},
                      "Describe one in /etc/nss-sd/registries.d: see nss-sd.registry(5).",
                      "no registry is configured: there are no names of services");
    else if (messages.count == 0)
        doctor_report(doctor, SEVERITY_OK, "config", (struct place){0}, NULL,
                      "the configuration is good: %zu %s", config->registry_count,
                      config->registry_count == 1 ? "registry" : "registries");
    config_free(config);
    config_messages_done(&messages);
}
