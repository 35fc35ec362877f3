/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a context of a kubeconfig says (kubeconfig.h). */
#include "daemon/registry/kubernetes/kubeconfig.h"

#include <stdio.h>

#include "daemon/config.h"
#include "daemon/config_file.h"
#include "daemon/config_url.h"
#include "daemon/net/http_target.h"
#include "daemon/registry/kubernetes/kubeconfig_base64.h"

enum { WORDS_MAX = 200 }; /* arguments or variables of a plugin */

/* What is being read: "cluster k1", "user u1"; where errors go. */
struct reader {
    const char *directory;
    const char *kind, *name;
    char *error;
};

static int fail(const struct reader *reader, const char *format, ...) _printf_(2, 3);

static int fail(const struct reader *reader, const char *format, ...)
{
    size_t used = 0;
    va_list arguments;

    if (reader->kind)
        used = (size_t)snprintf(reader->error, KUBECONFIG_ERROR_SIZE, "%s %.60s: ", reader->kind,
                                reader->name);
    va_start(arguments, format);
    vsnprintf(reader->error + used, KUBECONFIG_ERROR_SIZE - used, format, arguments);
    va_end(arguments);
    for (char *at = reader->error; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
    return -EBADMSG;
}

/* ---- values ---- */

/* Text, or a number as its digits; NULL: not said. */
static int take_text(const struct reader *reader, const json_t *object, const char *key,
                     char **ret_text)
{
    const json_t *value = json_object_get(object, key);

    if (!value || json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0))
        return 0;
    if (json_is_integer(value))
        return asprintf(ret_text, "%lld", (long long)json_integer_value(value)) < 0
                   ? (*ret_text = NULL, -ENOMEM)
                   : 0;
    if (!json_is_string(value))
        return fail(reader, "%s must be a text", key);
    *ret_text = strdup(json_string_value(value));
    return *ret_text ? 0 : -ENOMEM;
}

static int take_flag(const struct reader *reader, const json_t *object, const char *key,
                     bool *ret_flag)
{
    const json_t *value = json_object_get(object, key);

    if (value && !json_is_null(value) && !json_is_boolean(value))
        return fail(reader, "%s must be true or false", key);
    *ret_flag = json_is_true(value);
    return 0;
}

/* A path, relative to the kubeconfig's directory. */
static int take_path(const struct reader *reader, const json_t *object, const char *key,
                     char **ret_path)
{
    _cleanup_(freep) char *text = NULL;
    int r = take_text(reader, object, key, &text);

    if (r < 0 || !text)
        return r;
    if (*text == '/') {
        *ret_path = text;
        text = NULL;
        return 0;
    }
    if (asprintf(ret_path, "%s/%s", reader->directory, text) < 0) {
        *ret_path = NULL;
        return -ENOMEM;
    }
    return 0;
}

/* KEY-data, else the file of KEY. */
static int take_pem(const struct reader *reader, const json_t *object, const char *key,
                    char **ret_file, char **ret_pem, size_t *ret_size)
{
    char *text = NULL, data[64];
    int r;

    snprintf(data, sizeof(data), "%s-data", key);
    r = take_text(reader, object, data, &text);
    if (r < 0)
        return r;
    if (!text)
        return take_path(reader, object, key, ret_file);
    r = kubeconfig_base64_decode(text, ret_pem, ret_size);
    config_secret_free(text);
    return r == -EBADMSG ? fail(reader, "%s is not base64", data) : r;
}

static bool is_set(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return value && !json_is_null(value) && !json_is_false(value) &&
           !(json_is_string(value) && json_string_length(value) == 0) &&
           !(json_is_array(value) && json_array_size(value) == 0) &&
           !(json_is_object(value) && json_object_size(value) == 0);
}

/* The body of the entry `name` of a list: clusters, users, contexts. */
static int find_entry(struct reader *reader, const json_t *tree, const char *list, const char *kind,
                      const char *name, json_t **ret_body)
{
    const json_t *array = json_object_get(tree, list);
    json_t *found = NULL;

    for (size_t i = 0; i < json_array_size(array); i++) {
        json_t *entry = json_array_get(array, i);
        _cleanup_(freep) char *text = NULL;
        int r = take_text(reader, entry, "name", &text);

        if (r < 0)
            return r;
        if (!text || !streq(text, name))
            continue;
        if (found)
            return fail(reader, "there are two %ss '%.60s'", kind, name);
        found = json_object_get(entry, kind);
        if (!json_is_object(found))
            return fail(reader, "%s '%.60s' holds nothing", kind, name);
    }
    if (!found)
        return fail(reader, "there is no %s '%.60s'", kind, name);
    reader->kind = kind;
    reader->name = name;
    *ret_body = found;
    return 0;
}

/* ---- cluster ---- */

static int check_server(const struct reader *reader, struct kubeconfig *config)
{
    struct http_target target = {0};
    const char *fault = config_url_fault(config->server);
    size_t size = strlen(config->server);
    int r;

    while (size > 0 && config->server[size - 1] == '/')
        config->server[--size] = '\0';
    if (strchr(config->server, '@'))
        return fail(reader, "server takes no user or password in its URL");
    if (fault || strncmp(config->server, "unix:", 5) == 0)
        return fail(reader, "server takes a URL like https://192.0.2.1:6443");
    if (strncmp(config->server, "http:", 5) == 0 && !config_url_is_local(config->server))
        return fail(reader, "server must be https: http is for a proxy on this machine");
    r = http_target_parse(config->server, config->tls_server_name, &target);
    if (r == -EINVAL)
        return fail(reader, "server or tls-server-name is wrong");
    if (r == 0)
        http_target_done(&target);
    return r;
}

static int read_cluster(struct reader *reader, const json_t *cluster, struct kubeconfig *config)
{
    int r;

    if (is_set(cluster, "proxy-url"))
        return fail(reader, "proxy-url is not supported: connections go straight to the server");
    r = take_text(reader, cluster, "server", &config->server);
    if (r == 0 && !config->server)
        return fail(reader, "server is missing");
    if (r == 0)
        r = take_text(reader, cluster, "tls-server-name", &config->tls_server_name);
    if (r == 0)
        r = take_flag(reader, cluster, "insecure-skip-tls-verify", &config->insecure);
    if (r == 0)
        r = take_pem(reader, cluster, "certificate-authority", &config->ca_file, &config->ca_pem,
                     &config->ca_pem_size);
    if (r == 0 && config->insecure && (config->ca_file || config->ca_pem))
        return fail(reader, "insecure-skip-tls-verify and a certificate authority exclude each "
                            "other");
    return r == 0 ? check_server(reader, config) : r;
}

/* ---- exec plugins ---- */

static int words_add(char **words, size_t *count, char *word)
{
    if (!word)
        return -ENOMEM;
    words[(*count)++] = word;
    return 0;
}

static int read_arguments(const struct reader *reader, const json_t *exec, char ***ret_words)
{
    const json_t *array = json_object_get(exec, "args");
    size_t size = json_array_size(array), count = 0;
    int r = 0;

    if (size > WORDS_MAX)
        return fail(reader, "exec has too many args");
    *ret_words = calloc(size + 1, sizeof(**ret_words));
    if (!*ret_words)
        return -ENOMEM;
    for (size_t i = 0; i < size && r == 0; i++) {
        const json_t *value = json_array_get(array, i);
        char *word = NULL;

        if (json_is_integer(value))
            word = asprintf(&word, "%lld", (long long)json_integer_value(value)) < 0 ? NULL : word;
        else if (json_is_string(value) || json_is_boolean(value))
            word = strdup(json_is_string(value) ? json_string_value(value)
                          : json_is_true(value) ? "true"
                                                : "false");
        else
            return fail(reader, "exec: args must be texts");
        r = words_add(*ret_words, &count, word);
    }
    return r;
}

static int read_variables(const struct reader *reader, const json_t *exec, char ***ret_words)
{
    const json_t *array = json_object_get(exec, "env");
    size_t size = json_array_size(array), count = 0;
    int r = 0;

    if (size > WORDS_MAX)
        return fail(reader, "exec has too many env");
    *ret_words = calloc(size + 1, sizeof(**ret_words));
    if (!*ret_words)
        return -ENOMEM;
    for (size_t i = 0; i < size && r == 0; i++) {
        char *name = NULL, *value = NULL, *word = NULL;

        r = take_text(reader, json_array_get(array, i), "name", &name);
        if (r == 0)
            r = take_text(reader, json_array_get(array, i), "value", &value);
        if (r == 0 && (!name || strchr(name, '=')))
            r = fail(reader, "exec: env without a proper name");
        if (r == 0) {
            word = asprintf(&word, "%s=%s", name, value ?: "") < 0 ? NULL : word;
            r = words_add(*ret_words, &count, word);
        }
        free(name);
        config_secret_free(value);
    }
    return r;
}

/* What a plugin may be told of the cluster: the extension of that name is its `config`. */
static int read_cluster_info(const struct reader *reader, const json_t *cluster, char **ret_text)
{
    static const char *const keys[] = {"server", "tls-server-name", "insecure-skip-tls-verify",
                                       "certificate-authority-data", "disable-compression"};
    json_t *info = json_object(), *extensions = json_object_get(cluster, "extensions"), *one;
    size_t i;

    (void)reader;
    for (i = 0; i < ELEMENTS(keys); i++)
        if (is_set(cluster, keys[i]))
            json_object_set(info, keys[i], json_object_get(cluster, keys[i]));
    json_array_foreach (extensions, i, one) {
        const char *name = json_string_value(json_object_get(one, "name"));

        if (name && streq(name, "client.authentication.k8s.io/exec"))
            json_object_set(info, "config", json_object_get(one, "extension"));
    }
    *ret_text = json_dumps(info, JSON_COMPACT);
    json_decref(info);
    return *ret_text ? 0 : -ENOMEM;
}

static int check_exec(const struct reader *reader, const json_t *exec,
                      const struct kubeconfig_exec *config)
{
    _cleanup_(freep) char *mode = NULL;
    int r = take_text(reader, exec, "interactiveMode", &mode);

    if (r < 0)
        return r;
    if (!config->api_version ||
        (!streq(config->api_version, "client.authentication.k8s.io/v1") &&
         !streq(config->api_version, "client.authentication.k8s.io/v1beta1")))
        return fail(reader, "exec: apiVersion must be client.authentication.k8s.io/v1 or v1beta1");
    if (!config->command)
        return fail(reader, "exec: command is missing");
    if (mode && streq(mode, "Always"))
        return fail(reader, "exec: interactiveMode Always needs a person at a terminal; the daemon "
                            "has none");
    if (mode && !streq(mode, "Never") && !streq(mode, "IfAvailable"))
        return fail(reader, "exec: interactiveMode must be Never or IfAvailable");
    return 0;
}

/* A name is looked for in PATH; what has a slash is a path. */
static int take_command(const struct reader *reader, const json_t *exec, char **ret_command)
{
    const char *text = json_string_value(json_object_get(exec, "command"));

    return text && strchr(text, '/') ? take_path(reader, exec, "command", ret_command)
                                     : take_text(reader, exec, "command", ret_command);
}

static int read_exec(struct reader *reader, const json_t *exec, const json_t *cluster,
                     struct kubeconfig *config)
{
    bool provide = false;
    int r;

    config->exec = calloc(1, sizeof(*config->exec));
    if (!config->exec)
        return -ENOMEM;
    r = take_text(reader, exec, "apiVersion", &config->exec->api_version);
    if (r == 0)
        r = take_command(reader, exec, &config->exec->command);
    if (r == 0)
        r = check_exec(reader, exec, config->exec);
    if (r == 0)
        r = read_arguments(reader, exec, &config->exec->arguments);
    if (r == 0)
        r = read_variables(reader, exec, &config->exec->variables);
    if (r == 0)
        r = take_text(reader, exec, "installHint", &config->exec->hint);
    if (r == 0)
        r = take_flag(reader, exec, "provideClusterInfo", &provide);
    if (r == 0 && provide)
        r = read_cluster_info(reader, cluster, &config->exec->cluster);
    return r;
}

/* ---- user ---- */

static int check_user(const struct reader *reader, const json_t *user)
{
    static const char *const impersonation[] = {"as", "as-uid", "as-groups", "as-user-extra"};

    for (size_t i = 0; i < ELEMENTS(impersonation); i++)
        if (is_set(user, impersonation[i]))
            return fail(reader,
                        "%s: impersonation is not supported; give the daemon a user of its "
                        "own",
                        impersonation[i]);
    if (is_set(user, "auth-provider"))
        return fail(reader, "auth-provider is not supported: Kubernetes has replaced it by exec");
    return 0;
}

static int read_secrets(struct reader *reader, const json_t *user, struct kubeconfig *config)
{
    int r = take_pem(reader, user, "client-certificate", &config->cert_file, &config->cert_pem,
                     &config->cert_pem_size);

    if (r == 0)
        r = take_pem(reader, user, "client-key", &config->key_file, &config->key_pem,
                     &config->key_pem_size);
    if (r == 0)
        r = take_path(reader, user, "tokenFile", &config->token_file);
    if (r == 0 && !config->token_file)
        r = take_text(reader, user, "token", &config->token);
    if (r == 0)
        r = take_text(reader, user, "username", &config->username);
    if (r == 0)
        r = take_text(reader, user, "password", &config->password);
    return r;
}

static bool token_ok(const char *token)
{
    for (; token && *token; token++)
        if (*token <= ' ' || *token > '~')
            return false;
    return true;
}

static int read_user(struct reader *reader, const json_t *user, const json_t *cluster,
                     struct kubeconfig *config)
{
    bool token, certificate;
    int r = check_user(reader, user);

    if (r == 0)
        r = read_secrets(reader, user, config);
    if (r < 0)
        return r;
    token = config->token || config->token_file;
    certificate = config->cert_file || config->cert_pem;
    if (certificate != (config->key_file || config->key_pem))
        return fail(reader, "client-certificate and client-key go together");
    if (token && config->username)
        return fail(reader, "a token and a username: only one of them can count");
    if (!token_ok(config->token))
        return fail(reader, "token holds white space or control characters");
    if (json_is_object(json_object_get(user, "exec")) && !token && !config->username &&
        !certificate)
        return read_exec(reader, json_object_get(user, "exec"), cluster, config);
    return 0;
}

/* ---- the whole ---- */

static int read_context(struct reader *reader, const json_t *tree, struct kubeconfig *config)
{
    _cleanup_(freep) char *cluster_name = NULL, *user_name = NULL;
    json_t *context, *cluster, *user = NULL;
    int r = find_entry(reader, tree, "contexts", "context", config->context, &context);

    if (r == 0)
        r = take_text(reader, context, "cluster", &cluster_name);
    if (r == 0)
        r = take_text(reader, context, "user", &user_name);
    if (r == 0 && !cluster_name)
        return fail(reader, "cluster is missing");
    reader->kind = NULL;
    if (r == 0)
        r = find_entry(reader, tree, "clusters", "cluster", cluster_name, &cluster);
    if (r == 0)
        r = read_cluster(reader, cluster, config);
    reader->kind = NULL;
    if (r == 0 && user_name)
        r = find_entry(reader, tree, "users", "user", user_name, &user);
    if (r == 0 && user)
        r = read_user(reader, user, cluster, config);
    return r;
}

static int read_tree(struct reader *reader, const json_t *tree, const char *context,
                     struct kubeconfig *config)
{
    int r = 0;

    if (!json_is_object(tree))
        return fail(reader, "no kubeconfig: it has no keys");
    if (context) {
        config->context = strdup(context);
        r = config->context ? 0 : -ENOMEM;
    } else
        r = take_text(reader, tree, "current-context", &config->context);
    if (r == 0 && !config->context)
        return fail(reader, "there is no current-context: set Context=");
    return r == 0 ? read_context(reader, tree, config) : r;
}

int kubeconfig_parse(const char *data, size_t size, const char *directory, const char *context,
                     struct kubeconfig **ret_config, char ret_error[static KUBECONFIG_ERROR_SIZE])
{
    struct reader reader = {.directory = directory, .error = ret_error};
    struct kubeconfig *config;
    json_t *tree;
    int r = kubeconfig_yaml_parse(data, size, &tree, ret_error);

    if (r < 0)
        return r;
    config = calloc(1, sizeof(*config));
    r = config ? read_tree(&reader, tree, context, config) : -ENOMEM;
    kubeconfig_yaml_free(tree);
    if (r < 0) {
        kubeconfig_free(config);
        return r;
    }
    *ret_config = config;
    return 0;
}

int kubeconfig_read(const char *path, const char *context, struct kubeconfig **ret_config,
                    char ret_error[static KUBECONFIG_ERROR_SIZE])
{
    const char *slash = strrchr(path, '/');
    _cleanup_(freep) char *directory = strndup(path, slash ? (size_t)(slash - path) : 0);
    char *data = malloc(KUBECONFIG_SIZE_MAX + 1);
    ssize_t size = data && directory ? config_bytes_read(path, data, KUBECONFIG_SIZE_MAX + 1)
                                     : -ENOMEM;
    int r = (int)size;

    if (size >= 0) {
        r = kubeconfig_parse(data, (size_t)size, directory, context, ret_config, ret_error);
        explicit_bzero(data, (size_t)size);
    } else
        snprintf(ret_error, KUBECONFIG_ERROR_SIZE, "%s", strerror(-r));
    free(data);
    return r;
}

static void secrets_free(char **words)
{
    for (size_t i = 0; words && words[i]; i++)
        config_secret_free(words[i]);
    free(words);
}

static void pem_free(char *pem, size_t size)
{
    if (pem)
        explicit_bzero(pem, size);
    free(pem);
}

static void exec_free(struct kubeconfig_exec *exec)
{
    if (!exec)
        return;
    free(exec->api_version);
    free(exec->command);
    secrets_free(exec->arguments);
    secrets_free(exec->variables);
    free(exec->hint);
    free(exec->cluster);
    free(exec);
}

struct kubeconfig *kubeconfig_free(struct kubeconfig *config)
{
    if (!config)
        return NULL;
    free(config->context);
    free(config->server);
    free(config->tls_server_name);
    free(config->ca_file);
    free(config->cert_file);
    free(config->key_file);
    pem_free(config->ca_pem, config->ca_pem_size);
    pem_free(config->cert_pem, config->cert_pem_size);
    pem_free(config->key_pem, config->key_pem_size);
    free(config->token_file);
    config_secret_free(config->token);
    free(config->username);
    config_secret_free(config->password);
    exec_free(config->exec);
    free(config);
    return NULL;
}
