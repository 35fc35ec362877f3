/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/server_settings.h"

#include "daemon/config_url.h"

/* One that is missing now may be there when the daemon runs: the daemon keeps trying. */
void server_check_file(const struct registry_config *config, struct config_messages *messages,
                       const char *key, const char *path)
{
    if (path && access(path, R_OK) < 0)
        config_warn(messages, config->file, 0, "%s=%s cannot be read: %s", key, path,
                    strerror(errno));
}

int server_tls_verify(const struct server_tls *tls, const struct registry_config *config,
                      struct config_messages *messages)
{
    server_check_file(config, messages, "CAFile", tls->ca_file);
    server_check_file(config, messages, "CertFile", tls->cert_file);
    server_check_file(config, messages, "KeyFile", tls->key_file);
    if (!tls->cert_file == !tls->key_file)
        return 0;
    config_complain(messages, config->file, 0, "CertFile= and KeyFile= go together");
    return -EINVAL;
}

void server_tls_done(struct server_tls *tls)
{
    free(tls->ca_file);
    free(tls->cert_file);
    free(tls->key_file);
    free(tls->server_name);
}

bool server_tls_equal(const struct server_tls *a, const struct server_tls *b)
{
    return config_text_equal(a->ca_file, b->ca_file) &&
           config_text_equal(a->cert_file, b->cert_file) &&
           config_text_equal(a->key_file, b->key_file) &&
           config_text_equal(a->server_name, b->server_name) && a->verify == b->verify;
}

struct http_tls server_tls_for_call(const struct server_tls *tls)
{
    return (struct http_tls){
        .ca_file = tls->ca_file,
        .cert_file = tls->cert_file,
        .key_file = tls->key_file,
        .server_name = tls->server_name,
        .insecure = !tls->verify,
    };
}

bool server_urls_are_local(char *const *urls)
{
    for (; *urls; urls++)
        if (!config_url_is_local(*urls))
            return false;
    return true;
}
