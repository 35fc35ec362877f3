/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sdctl check: reads the configuration as the daemon would and tells every mistake. Needs no
 * daemon. */
#include "ctl/verb.h"
#include "daemon/config.h"
#include "daemon/control.h"

static size_t warnings_count(const struct config_messages *messages)
{
    size_t count = 0;

    for (size_t i = 0; i < messages->count; i++)
        count += messages->items[i].warning;
    return count;
}

static void print_count(size_t errors, size_t warnings, size_t registries)
{
    if (errors + warnings == 0)
        printf("The configuration is good: %zu %s\n", registries,
               registries == 1 ? "registry" : "registries");
    else
        printf("%zu error%s, %zu warning%s\n", errors, errors == 1 ? "" : "s", warnings,
               warnings == 1 ? "" : "s");
}

int verb_check(const struct options *options, int argc, char **argv)
{
    _cleanup_(json_decrefp) json_t *messages = NULL;
    struct config_messages collected = {0};
    struct config *config = NULL;
    const char *directory = options->config_directory;
    int r;

    (void)argc;
    (void)argv;
    if (directory && access(directory, R_OK | X_OK) < 0)
        return complain("Cannot read %s: %s", directory, strerror(errno));
    r = config_load(directory, &collected, &config);
    messages = control_messages_to_json(&collected);
    if (r < 0) {
        complain("Cannot read the configuration: %s", strerror(-r));
    } else if (options->json) {
        _cleanup_(json_decrefp) json_t *document = json_pack("{s:O}", "messages", messages);

        json_print(document);
    } else {
        messages_print(messages);
        print_count(collected.errors, warnings_count(&collected), config->registry_count);
    }
    r = r < 0 || collected.errors > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    config_free(config);
    config_messages_done(&collected);
    return r;
}
