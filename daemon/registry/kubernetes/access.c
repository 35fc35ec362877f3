/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which API server is asked, and with what credentials (access.h). */
#include "daemon/registry/kubernetes/access.h"

#include <stdio.h>
#include <utlist.h>

#include "daemon/config.h"
#include "daemon/log.h"
#include "daemon/registry/kubernetes/token.h"

#define SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

struct kubernetes_access {
    struct registry *registry;
    char **servers; /* URLs without a last '/'; NULL: none is known */
    unsigned server_count, server;
    uint64_t epoch; /* another one with every other server or credential */
    struct kubernetes_token token;
    char *ca_file; /* of the pod */

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

/* ---- credentials ---- */

/* Makes them current. 0, or why there are none, with a text for people. */
static int access_look(struct kubernetes_access *access, char *text, size_t size)
{
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
    return 0;
}

static void answer_waiters(struct env_timer *timer)
{
    struct kubernetes_access *access = timer->owner;
    char text[512] = "";
    int r = access_look(access, text, sizeof(text));
    struct kubernetes_waiter *waiter;
    size_t count;

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
    access->authorization = config_secret_free(access->authorization);
    if (!access->token.text)
        return 0;
    if (asprintf(&access->authorization, "Bearer %s", access->token.text) < 0) {
        access->authorization = NULL;
        return -ENOMEM;
    }
    access->header = (struct http_header){"Authorization", access->authorization};
    request->headers = &access->header;
    request->header_count = 1;
    return 0;
}

static void fill_tls(struct kubernetes_access *access, struct http_request *request)
{
    const struct kubernetes_settings *settings = settings_of(access);

    access->tls = (struct http_tls){
        .ca_file = settings->ca_file ?: access->ca_file,
        .cert_file = settings->cert_file,
        .key_file = settings->key_file,
        .server_name = settings->tls_server_name,
        .insecure = !settings->tls_verify,
    };
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
    if (epoch == access->epoch)
        access->token.stale = true;
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

/* Files of certificates are read at every connection. */
void kubernetes_access_untrusted(struct kubernetes_access *access, uint64_t epoch)
{
    kubernetes_access_unreachable(access, epoch);
}

/* ---- for people ---- */

void kubernetes_access_describe(const struct kubernetes_access *access, json_t *object)
{
    const struct kubernetes_settings *settings = settings_of(access);
    json_t *credentials = access->token.path ? json_sprintf("token of %s", access->token.path)
                          : settings->cert_file
                              ? json_sprintf("certificate of %s", settings->cert_file)
                              : json_string("none");

    if (access->servers)
        json_object_set_new(object, "server", json_string(access->servers[access->server]));
    json_object_set_new(object, "credentials", credentials);
}

int kubernetes_access_source(const struct registry_config *config, char **ret_source)
{
    const struct kubernetes_settings *settings = kubernetes_settings_of(config);
    _cleanup_(freep) char *pod = NULL;
    char *source = NULL;
    size_t size;
    FILE *stream;

    if (!settings->urls && !settings->kubeconfig && pod_server(&pod) == -ENOMEM)
        return -ENOMEM;
    stream = open_memstream(&source, &size);
    if (!stream)
        return -ENOMEM;
    for (char *const *url = settings->urls; url && *url; url++)
        fprintf(stream, "%s ", *url);
    fprintf(stream, "%s token=%s certificate=%s", pod ?: "", settings->token_file ?: "",
            settings->cert_file ?: "");
    if (fclose(stream) != 0) {
        free(source);
        return -ENOMEM;
    }
    *ret_source = source;
    return 0;
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
    kubernetes_token_done(&access->token);
    for (unsigned i = 0; i < access->server_count; i++)
        free(access->servers[i]);
    free(access->servers);
    free(access->ca_file);
    free(access->url);
    config_secret_free(access->authorization);
    free(access);
    return NULL;
}
