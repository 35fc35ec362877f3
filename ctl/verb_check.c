/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sdctl check: reads the configuration as the daemon would and tells every mistake. Needs no
 * daemon; what --scan and others add is in check_*.c. */
#include "ctl/check_scan.h"
#include "ctl/check_services.h"
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

static int check_config(const struct options *options)
{
    _cleanup_(json_decrefp) json_t *messages = NULL;
    struct config_messages collected = {0};
    struct config *config = NULL;
    const char *directory = options->config_directory;
    int r;

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

int verb_check(const struct options *options, int argc, char **argv)
{
    if (options->scan && options->services)
        return complain("--scan and --services are two checks: one after the other, please.");
    if (options->scan && argc == 0)
        return complain("--scan needs a PATH to look in, such as /etc. See 'sdctl check --help'.");
    if (options->scan)
        return check_scan(options, argc, argv);
    if (argc > 0)
        return complain("'%s' is one argument too many for 'check', unless it is to --scan there. "
                        "See 'sdctl check --help'.",
                        argv[0]);
    return options->services ? check_services(options) : check_config(options);
}
