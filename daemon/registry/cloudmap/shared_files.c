/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files that AWS tools share (shared_files.h). */
#include "daemon/registry/cloudmap/shared_files.h"

#include <stdio.h>

#include "daemon/config_file.h"
#include "daemon/registry/cloudmap/settings.h"

enum { FILE_MAX = 256 * 1024, PATH_SIZE = 4096 };

const char *cloudmap_profile_name(struct registry *registry)
{
    return cloudmap_settings_of(registry->config)->profile
               ?: env_variable(registry->env, "AWS_PROFILE")
               ?: "default";
}

/* False: there is no such file to look for. A daemon often has no home. */
static bool find_path(struct registry *registry, const char *setting, const char *variable,
                      const char *name, char ret_path[static PATH_SIZE])
{
    const char *path = setting ?: env_variable(registry->env, variable);
    const char *home = env_variable(registry->env, "HOME");
    int length;

    if (path)
        length = snprintf(ret_path, PATH_SIZE, "%s", path);
    else if (home)
        length = snprintf(ret_path, PATH_SIZE, "%s/.aws/%s", home, name);
    else
        return false;
    return length < PATH_SIZE;
}

static int load(struct cloudmap_profile *profile, const char *name, bool config, const char *path)
{
    char *data = malloc(FILE_MAX + 1);
    ssize_t size;
    int r;

    if (!data)
        return -ENOMEM;
    size = config_bytes_read(path, data, FILE_MAX + 1);
    if (size == -ENOENT || size == -ENOTDIR)
        r = 0;
    else if (size < 0)
        r = (int)size;
    else if (size > FILE_MAX)
        r = -EFBIG;
    else
        r = cloudmap_profile_read(profile, name, config, data, (size_t)size);
    explicit_bzero(data, FILE_MAX + 1);
    free(data);
    return r;
}

int cloudmap_profile_load(struct registry *registry, struct cloudmap_profile *ret_profile,
                          char *text, size_t size)
{
    const struct cloudmap_settings *settings = cloudmap_settings_of(registry->config);
    const char *name = cloudmap_profile_name(registry);
    char path[PATH_SIZE];
    int r = 0;

    *ret_profile = (struct cloudmap_profile){0};
    /* Keys of the credentials file go before those of the config file. */
    if (find_path(registry, settings->credentials_file, "AWS_SHARED_CREDENTIALS_FILE",
                  "credentials", path))
        r = load(ret_profile, name, false, path);
    if (r == 0 && find_path(registry, settings->config_file, "AWS_CONFIG_FILE", "config", path))
        r = load(ret_profile, name, true, path);
    if (r < 0) {
        snprintf(text, size, "%.150s cannot be read: %s", path, strerror(-r));
        cloudmap_profile_done(ret_profile);
    }
    return r;
}
