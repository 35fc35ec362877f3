/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a kubeconfig: either one printable line of what is wrong, or a server that may be
 * asked and a user that is whole.
 */
#include <stdio.h>

#include "daemon/config_item.h"
#include "daemon/config_url.h"
#include "daemon/registry/kubernetes/kubeconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_error(const char *error)
{
    require(*error);
    for (; *error; error++)
        require(*error >= ' ' && *error <= '~');
}

static void check_exec(const struct kubeconfig_exec *exec)
{
    require(exec->api_version && exec->command && exec->arguments && exec->variables);
    for (char *const *word = exec->variables; *word; word++)
        require(strchr(*word, '='));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[KUBECONFIG_ERROR_SIZE] = "";
    struct kubeconfig *config;
    int r = kubeconfig_parse((const char *)data, size, "/etc/kubernetes", NULL, &config, error);

    if (r < 0) {
        require(r == -EBADMSG);
        check_error(error);
        return 0;
    }
    require(config->context && config->server && !config_url_fault(config->server));
    require(strncmp(config->server, "https://", 8) == 0 || config_url_is_local(config->server));
    require(!config->ca_file || (*config->ca_file == '/' && !config->ca_pem));
    require(!config->token || !config->username);
    require((config->cert_file || config->cert_pem) == (config->key_file || config->key_pem));
    if (config->exec)
        check_exec(config->exec);
    kubeconfig_free(config);
    return 0;
}
