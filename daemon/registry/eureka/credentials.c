/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* User and password for Eureka servers (credentials.h). */
#include "daemon/registry/eureka/credentials.h"

#include "daemon/config.h"
#include "daemon/config_file.h"
#include "daemon/log.h"
#include "daemon/registry/eureka/settings.h"

static const char *path_of(const struct eureka_credentials *credentials)
{
    return eureka_settings_of(credentials->registry->config)->credentials_file;
}

static void forget(struct eureka_credentials *credentials)
{
    credentials->user = config_secret_free(credentials->user);
    credentials->password = config_secret_free(credentials->password);
}

/* Splits "USER:PASSWORD"; the password may hold more colons. */
static int split(const char *text, char **ret_user, char **ret_password)
{
    const char *colon = strchr(text, ':');

    if (!colon || colon == text)
        return -EBADMSG;
    *ret_user = strndup(text, (size_t)(colon - text));
    *ret_password = strdup(colon + 1);
    if (*ret_user && *ret_password)
        return 0;
    config_secret_free(*ret_user);
    config_secret_free(*ret_password);
    return -ENOMEM;
}

static int read_file(const char *path, char **ret_user, char **ret_password)
{
    char *text = NULL;
    int r = config_secret_read(path, &text);

    if (r == 0)
        r = split(text, ret_user, ret_password);
    config_secret_free(text);
    return r;
}

bool eureka_credentials_missing(const struct eureka_credentials *credentials)
{
    return path_of(credentials) && !credentials->user;
}

bool eureka_credentials_read(struct eureka_credentials *credentials)
{
    const char *path = path_of(credentials);
    char *user = NULL, *password = NULL;
    bool changed;
    int r;

    if (!path)
        return false;
    r = read_file(path, &user, &password);
    if (r < 0) {
        if (r != credentials->error)
            env_log(credentials->registry->env, LOG_ERR, NULL,
                    "CredentialsFile=%s cannot be used: %s; %s", path,
                    r == -EBADMSG ? "it does not hold USER:PASSWORD" : strerror(-r),
                    credentials->user ? "using what it held" : "asking nothing until it can");
        credentials->error = r;
        return false;
    }
    credentials->error = 0;
    changed = !credentials->user || !streq(user, credentials->user) ||
              !streq(password, credentials->password);
    forget(credentials);
    credentials->user = user;
    credentials->password = password;
    return changed;
}

static void file_changed(void *userdata)
{
    struct eureka_credentials *credentials = userdata;

    if (eureka_credentials_read(credentials))
        credentials->changed(credentials->owner);
}

void eureka_credentials_init(struct eureka_credentials *credentials, struct registry *registry,
                             void (*changed)(void *owner), void *owner)
{
    *credentials = (struct eureka_credentials){
        .registry = registry, .changed = changed, .owner = owner};
    if (!path_of(credentials))
        return;
    eureka_credentials_read(credentials);
    registry->env->ops->path_watch(registry->env, path_of(credentials), file_changed, credentials,
                                   &credentials->watch);
}

void eureka_credentials_done(struct eureka_credentials *credentials)
{
    if (credentials->watch)
        credentials->registry->env->ops->path_unwatch(credentials->registry->env,
                                                      credentials->watch);
    credentials->watch = NULL;
    forget(credentials);
}
