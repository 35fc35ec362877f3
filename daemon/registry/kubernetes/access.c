/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which API server is asked, and with what credentials (access.h). */
#include "daemon/registry/kubernetes/access.h"

#include <stdio.h>
#include <sys/stat.h>
#include <utlist.h>

#include "daemon/config.h"
#include "daemon/log.h"
#include "daemon/registry/kubernetes/exec.h"
#include "daemon/registry/kubernetes/token.h"

#define LOOK_AFTER      (60 * USEC_PER_SEC)
#define SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

struct kubernetes_access {
    struct registry *registry;
    char **servers; /* URLs without a last '/'; NULL: none is known */
    unsigned server_count, server;
    uint64_t epoch; /* another one with every other server or credential */
    struct kubernetes_token token;
    char *ca_file; /* of the pod */

    /* Kubeconfig=: what it said when it could be read last; then servers and token are its own. */
    struct kubeconfig *kubeconfig;
    struct kubernetes_exec *exec;
    struct stat kubeconfig_stat; /* of the file that was read */
    usec_t kubeconfig_looked_at;
    bool kubeconfig_stale;
    char kubeconfig_text[KUBECONFIG_ERROR_SIZE]; /* what is wrong with it now; "" */

    /* What the last fill() made. */
    char *url, *authorization;
    struct http_header header;
    struct http_tls tls;

    struct kubernetes_waiter *waiters;
    struct env_timer timer; /* answers them */
};

static struct registry_env *env_of(const struct kubernetes_access *access)
{
    return access->registry->env;
}

static const struct kubernetes_settings *settings_of(const struct kubernetes_access *access)
{
    return kubernetes_settings_of(access->registry->config);
}

/* ---- servers ---- */

static int servers_add(struct kubernetes_access *access, const char *url)
{
    char **grown = reallocarray(access->servers, access->server_count + 2, sizeof(*grown));
    size_t size = strlen(url);

    if (!grown)
        return -ENOMEM;
    access->servers = grown;
    while (size > 0 && url[size - 1] == '/')
        size--;
    grown[access->server_count] = strndup(url, size);
    if (!grown[access->server_count])
        return -ENOMEM;
    grown[++access->server_count] = NULL;
    return 0;
}

/* The address of the cluster that this process runs in; -ENOENT: in none. */
static int pod_server(char **ret_url)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    const char *port = getenv("KUBERNETES_SERVICE_PORT");
    bool v6 = host && strchr(host, ':');

    *ret_url = NULL;
    if (!host || !*host)
        return -ENOENT;
    if (asprintf(ret_url, "https://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "",
                 port && *port ? port : "443") < 0) {
        *ret_url = NULL;
        return -ENOMEM;
    }
    return 0;
}

static bool is_unix(const char *url)
{
    return strncmp(url, "unix://", 7) == 0;
}

/* ---- kubeconfig ---- */

static void servers_clear(struct kubernetes_access *access)
{
    for (unsigned i = 0; i < access->server_count; i++)
        free(access->servers[i]);
    free(access->servers);
    access->servers = NULL;
    access->server_count = access->server = 0;
}

static void answer_waiters(struct env_timer *timer);

static void plugin_ended(void *owner)
{
    struct kubernetes_access *access = owner;

    access->epoch++;
    if (access->waiters)
        answer_waiters(&access->timer);
}

/* Takes `config`, also on errors: then nothing is left, and it is read again. */
static int kubeconfig_take(struct kubernetes_access *access, struct kubeconfig *config)
{
    int r = 0;

    access->exec = kubernetes_exec_free(access->exec);
    kubernetes_token_done(&access->token);
    servers_clear(access);
    kubeconfig_free(access->kubeconfig);
    access->kubeconfig = config;
    access->epoch++;
    r = servers_add(access, config->server);
    if (r == 0 && config->token_file)
        r = kubernetes_token_init(&access->token, config->token_file);
    if (r == 0 && config->exec)
        r = kubernetes_exec_new(env_of(access), config, plugin_ended, access, &access->exec);
    access->kubeconfig_stale = r < 0;
    return r;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void kubeconfig_tell(struct kubernetes_access *access, const char *text)
{
    const char *path = settings_of(access)->kubeconfig;

    if (streq(text, access->kubeconfig_text))
        return;
    if (*text)
        env_log(env_of(access), LOG_ERR, NULL, "%s cannot be used: %s; %s", path, text,
                access->kubeconfig ? "going on as it said before" : "asking nothing until it can");
    else
        env_log(env_of(access), LOG_NOTICE, NULL, "%s can be used again", path);
    snprintf(access->kubeconfig_text, sizeof(access->kubeconfig_text), "%s", text);
}

/* Reads the kubeconfig again if it is time to, and it is another one. */
static int kubeconfig_look(struct kubernetes_access *access)
{
    const struct kubernetes_settings *settings = settings_of(access);
    char text[KUBECONFIG_ERROR_SIZE] = "";
    struct kubeconfig *config;
    struct stat found = {0};
    int r;

    if (!access->kubeconfig_stale &&
        env_now(env_of(access)) < usec_add(access->kubeconfig_looked_at, LOOK_AFTER))
        return 0;
    access->kubeconfig_looked_at = env_now(env_of(access));
    access->kubeconfig_stale = false;
    if (stat(settings->kubeconfig, &found) == 0 && access->kubeconfig &&
        same_file(&found, &access->kubeconfig_stat))
        return 0;
    r = kubeconfig_read(settings->kubeconfig, settings->context, &config, text);
    if (r == 0) {
        access->kubeconfig_stat = found;
        r = kubeconfig_take(access, config);
    }
    kubeconfig_tell(access, r == -ENOMEM ? strerror(ENOMEM) : text);
    access->kubeconfig_stale |= !access->kubeconfig;
    return access->kubeconfig ? 0 : r;
}

/* ---- credentials ---- */

/* -EINPROGRESS: the plugin runs. */
static int exec_look(struct kubernetes_access *access, char *text, size_t size)
{
    if (kubernetes_exec_current(access->exec))
        return 0;
    if (kubernetes_exec_run(access->exec))
        return -EINPROGRESS;
    snprintf(text, size, "%s", kubernetes_exec_text(access->exec));
    return -EACCES;
}

/* Makes them current. 0, -EINPROGRESS, or why there are none, with a text for people. */
static int access_look(struct kubernetes_access *access, char *text, size_t size)
{
    int r = settings_of(access)->kubeconfig ? kubeconfig_look(access) : 0;

    if (r < 0) {
        snprintf(text, size, "%s: %s", settings_of(access)->kubeconfig, access->kubeconfig_text);
        return r;
    }
    if (!access->servers) {
        snprintf(text, size,
                 "neither URL= nor Kubeconfig= is set, and this is no pod "
                 "(KUBERNETES_SERVICE_HOST is not set)");
        return -ENOENT;
    }
    if (kubernetes_token_look(&access->token, env_of(access)))
        access->epoch++;
    if (access->token.path && !access->token.text) {
        snprintf(text, size, "token file %s cannot be used: %s", access->token.path,
                 access->token.error == -EBADMSG ? "it holds no token"
                                                 : strerror(-access->token.error));
        return access->token.error;
    }
    return access->exec ? exec_look(access, text, size) : 0;
}

static void answer_waiters(struct env_timer *timer)
{
    struct kubernetes_access *access = timer->owner;
    char text[512] = "";
    int r = access_look(access, text, sizeof(text));
    struct kubernetes_waiter *waiter;
    size_t count;

    if (r == -EINPROGRESS)
        return; /* plugin_ended() */

    /* Those that are there now: one may wait again at once. */
    DL_COUNT(access->waiters, waiter, count);
    while (count-- > 0 && (waiter = access->waiters)) {
        kubernetes_access_unwait(waiter);
        waiter->ready(waiter, r, text);
    }
}

int kubernetes_access_wait(struct kubernetes_access *access, struct kubernetes_waiter *waiter)
{
    int r = env_defer(env_of(access), &access->timer);

    if (r < 0)
        return r;
    if (!waiter->access) {
        waiter->access = access;
        DL_APPEND(access->waiters, waiter);
    }
    return 0;
}

void kubernetes_access_unwait(struct kubernetes_waiter *waiter)
{
    if (!waiter->access)
        return;
    DL_DELETE(waiter->access->waiters, waiter);
    waiter->access = NULL;
}

/* ---- requests ---- */

static int fill_authorization(struct kubernetes_access *access, struct http_request *request)
{
    const struct kubernetes_credential *plugin = access->exec
                                                     ? kubernetes_exec_current(access->exec)
                                                     : NULL;
    const char *token = plugin                                      ? plugin->token
                        : access->kubeconfig && !access->token.text ? access->kubeconfig->token
                                                                    : access->token.text;

    access->authorization = config_secret_free(access->authorization);
    if (!token)
        return 0;
    if (asprintf(&access->authorization, "Bearer %s", token) < 0) {
        access->authorization = NULL;
        return -ENOMEM;
    }
    access->header = (struct http_header){"Authorization", access->authorization};
    request->headers = &access->header;
    request->header_count = 1;
    return 0;
}

static void fill_kubeconfig(struct kubernetes_access *access, struct http_request *request)
{
    const struct kubeconfig *config = access->kubeconfig;
    const struct kubernetes_credential *plugin = access->exec
                                                     ? kubernetes_exec_current(access->exec)
                                                     : NULL;
    const char *cert = plugin ? plugin->cert_pem : config->cert_pem;
    const char *key = plugin ? plugin->key_pem : config->key_pem;

    access->tls = (struct http_tls){
        .ca_file = config->ca_file,
        .ca_pem = config->ca_pem,
        .ca_pem_size = config->ca_pem_size,
        .cert_file = config->cert_file,
        .cert_pem = cert,
        .cert_pem_size = cert ? strlen(cert) : 0,
        .key_file = config->key_file,
        .key_pem = key,
        .key_pem_size = key ? strlen(key) : 0,
        .server_name = config->tls_server_name,
        .insecure = config->insecure,
    };
    request->tls = &access->tls;
    request->username = config->username;
    request->password = config->password;
}

static void fill_tls(struct kubernetes_access *access, struct http_request *request)
{
    access->tls = server_tls_for_call(&settings_of(access)->tls);
    if (!access->tls.ca_file)
        access->tls.ca_file = access->ca_file;
    request->tls = &access->tls;
}

int kubernetes_access_fill(struct kubernetes_access *access, const char *path,
                           struct http_request *request)
{
    const char *server = access->servers ? access->servers[access->server] : "";

    free(access->url);
    access->url = NULL;
    if (asprintf(&access->url, "%s%s", is_unix(server) ? "http://localhost" : server, path) < 0) {
        access->url = NULL;
        return -ENOMEM;
    }
    request->url = access->url;
    request->unix_socket = is_unix(server) ? server + strlen("unix://") : NULL;
    if (access->kubeconfig)
        fill_kubeconfig(access, request);
    else
        fill_tls(access, request);
    return fill_authorization(access, request);
}

/* ---- what answers told ---- */

uint64_t kubernetes_access_epoch(const struct kubernetes_access *access)
{
    return access->epoch;
}

void kubernetes_access_refused(struct kubernetes_access *access, uint64_t epoch)
{
    if (epoch != access->epoch)
        return;
    access->token.stale = access->kubeconfig_stale = true;
    if (access->exec)
        kubernetes_exec_refused(access->exec);
}

void kubernetes_access_unreachable(struct kubernetes_access *access, uint64_t epoch)
{
    if (epoch != access->epoch || access->server_count < 2)
        return;
    env_log(env_of(access), LOG_WARNING, NULL, "API server %s cannot be reached; trying %s",
            access->servers[access->server],
            access->servers[(access->server + 1) % access->server_count]);
    access->server = (access->server + 1) % access->server_count;
    access->epoch++;
}

/* Files of certificates are read at every connection; what is inside a kubeconfig, now. */
void kubernetes_access_untrusted(struct kubernetes_access *access, uint64_t epoch)
{
    if (epoch == access->epoch)
        access->kubeconfig_stale = true;
    kubernetes_access_unreachable(access, epoch);
}

/* ---- for people ---- */

/* Where the credentials come from; of a kubeconfig that was read, or of the keys alone. */
static json_t *credentials_kind(const struct kubernetes_settings *settings, const char *token_path,
                                const struct kubeconfig *config)
{
    if (config && config->exec)
        return json_sprintf("exec %s", config->exec->command);
    if (config && config->token_file)
        return json_sprintf("token of %s", config->token_file);
    if (config && (config->token || config->username || config->cert_pem || config->cert_file))
        return json_sprintf("%s of %s",
                            config->token      ? "token"
                            : config->username ? "password"
                                               : "certificate",
                            settings->kubeconfig);
    if (token_path)
        return json_sprintf("token of %s", token_path);
    return settings->tls.cert_file ? json_sprintf("certificate of %s", settings->tls.cert_file)
                                   : json_string("none");
}

void kubernetes_access_describe(const struct kubernetes_access *access, json_t *object)
{
    const struct kubernetes_settings *settings = settings_of(access);
    const char *error = access->exec ? kubernetes_exec_text(access->exec) : "";

    if (access->servers)
        json_object_set_new(object, "server", json_string(access->servers[access->server]));
    if (access->kubeconfig)
        json_object_set_new(object, "context", json_string(access->kubeconfig->context));
    json_object_set_new(object, "credentials",
                        credentials_kind(settings, access->token.path, access->kubeconfig));
    if (*access->kubeconfig_text)
        error = access->kubeconfig_text;
    else if (access->token.error < 0)
        error = access->token.error == -EBADMSG ? "the token file holds no token"
                                                : strerror(-access->token.error);
    if (*error)
        json_object_set_new(object, "credentials_error", json_string(error));
}

static char *source_of(const struct kubernetes_settings *settings, const char *pod,
                       const struct kubeconfig *config)
{
    json_t *kind = credentials_kind(settings, settings->token_file, config);
    char *source = NULL;
    size_t size;
    FILE *stream = open_memstream(&source, &size);

    if (!stream || !kind) {
        json_decref(kind);
        return NULL;
    }
    for (char *const *url = settings->urls; url && *url; url++)
        fprintf(stream, "%s ", *url);
    if (settings->kubeconfig)
        fprintf(stream, "%s context=%s ", settings->kubeconfig, settings->context ?: "");
    fprintf(stream, "%s credentials=%s", config ? config->server : pod ?: "",
            json_string_value(kind));
    json_decref(kind);
    if (fclose(stream) == 0)
        return source;
    free(source);
    return NULL;
}

/* The file's server is part of it: rewritten for another cluster, it is another source. */
int kubernetes_access_source(const struct registry_config *config, char **ret_source)
{
    const struct kubernetes_settings *settings = kubernetes_settings_of(config);
    char error[KUBECONFIG_ERROR_SIZE];
    struct kubeconfig *kubeconfig = NULL;
    _cleanup_(freep) char *pod = NULL;
    int r = 0;

    if (settings->kubeconfig)
        r = kubeconfig_read(settings->kubeconfig, settings->context, &kubeconfig, error);
    else if (!settings->urls)
        r = pod_server(&pod);
    if (r == -ENOMEM)
        return r;
    *ret_source = source_of(settings, pod, kubeconfig);
    kubeconfig_free(kubeconfig);
    return *ret_source ? 0 : -ENOMEM;
}

/* ---- life ---- */

static int init_pod(struct kubernetes_access *access, const char *service_account)
{
    const struct kubernetes_settings *settings = settings_of(access);
    _cleanup_(freep) char *url = NULL, *token = NULL;
    int r = pod_server(&url);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    r = servers_add(access, url);
    if (r < 0)
        return r;
    if (asprintf(&access->ca_file, "%s/ca.crt", service_account) < 0) {
        access->ca_file = NULL;
        return -ENOMEM;
    }
    if (settings->token_file)
        return 0;
    if (asprintf(&token, "%s/token", service_account) < 0) {
        token = NULL;
        return -ENOMEM;
    }
    return kubernetes_token_init(&access->token, token);
}

static int access_init(struct kubernetes_access *access, const char *service_account)
{
    const struct kubernetes_settings *settings = settings_of(access);
    int r = 0;

    for (char *const *url = settings->urls; url && *url && r == 0; url++)
        r = servers_add(access, *url);
    if (r == 0 && settings->token_file)
        r = kubernetes_token_init(&access->token, settings->token_file);
    if (r == 0 && !settings->urls && !settings->kubeconfig)
        r = init_pod(access, service_account);
    return r;
}

int kubernetes_access_new_at(struct registry *registry, const char *service_account,
                             struct kubernetes_access **ret_access)
{
    struct kubernetes_access *access = calloc(1, sizeof(*access));
    int r;

    if (!access)
        return -ENOMEM;
    access->registry = registry;
    access->kubeconfig_stale = true;
    access->timer = (struct env_timer){.fire = answer_waiters, .owner = access};
    r = access_init(access, service_account);
    if (r < 0) {
        kubernetes_access_free(access);
        return r;
    }
    *ret_access = access;
    return 0;
}

int kubernetes_access_new(struct registry *registry, struct kubernetes_access **ret_access)
{
    return kubernetes_access_new_at(registry, SERVICE_ACCOUNT, ret_access);
}

struct kubernetes_access *kubernetes_access_free(struct kubernetes_access *access)
{
    if (!access)
        return NULL;
    while (access->waiters)
        kubernetes_access_unwait(access->waiters);
    env_timer_off(env_of(access), &access->timer);
    kubernetes_exec_free(access->exec);
    kubeconfig_free(access->kubeconfig);
    kubernetes_token_done(&access->token);
    servers_clear(access);
    free(access->ca_file);
    free(access->url);
    config_secret_free(access->authorization);
    free(access);
    return NULL;
}
