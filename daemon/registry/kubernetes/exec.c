/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The exec plugin of a kubeconfig (exec.h). */
#include "daemon/registry/kubernetes/exec.h"

#include <stdio.h>
#include <time.h>

#include "daemon/config.h"
#include "daemon/config_file.h"
#include "daemon/log.h"
#include "daemon/registry/json.h"
#include "daemon/registry/kubernetes/kubeconfig_base64.h"

enum { OUTPUT_MAX = 256 * 1024, CA_MAX = 256 * 1024, TEXT_SIZE = 640 };
#define RUN_TIMEOUT (30 * USEC_PER_SEC)
#define DELAY_MIN   USEC_PER_SEC
#define DELAY_MAX   (120 * USEC_PER_SEC)
#define AHEAD_MAX   (60 * USEC_PER_SEC)
#define FRESH       (10 * USEC_PER_SEC) /* so young, credentials would be no other next time */

struct kubernetes_exec {
    struct registry_env *env;
    const struct kubeconfig *config;
    void (*ended)(void *owner);
    void *owner;
    struct kubernetes_credential credential;
    bool has, used;
    bool due;        /* it was time for new ones, and nobody had used these */
    usec_t taken_at; /* when the credentials came */
    struct spawn_call *call;
    struct env_timer timer; /* before they expire */
    usec_t delay, retry_at;
    char text[TEXT_SIZE];
};

/* ---- what a plugin printed ---- */

void kubernetes_credential_done(struct kubernetes_credential *credential)
{
    config_secret_free(credential->token);
    config_secret_free(credential->cert_pem);
    config_secret_free(credential->key_pem);
    *credential = (struct kubernetes_credential){0};
}

/* NULL stays NULL: not said. */
static int take_secret(const json_t *status, const char *key, char **ret_text)
{
    const json_t *value = json_object_get(status, key);

    if (!value || json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0))
        return 0;
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
        return -EBADMSG;
    *ret_text = strdup(json_string_value(value));
    return *ret_text ? 0 : -ENOMEM;
}

/* RFC 3339: "2026-11-22T20:00:00Z", "2026-11-22T20:00:00.25+01:00"; parts of a second do not count.
 */
static int parse_time(const char *text, usec_t *ret_usec)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    unsigned hours, minutes;
    time_t seconds;
    int end = 0;

    if (!rest)
        return -EBADMSG;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    seconds = timegm(&tm);
    if (*rest == '+' || *rest == '-') {
        if (sscanf(rest + 1, "%2u:%2u%n", &hours, &minutes, &end) != 2 || end != 5 || rest[6] ||
            hours > 23 || minutes > 59)
            return -EBADMSG;
        seconds += (*rest == '+' ? -1 : 1) * (time_t)(hours * 3600 + minutes * 60);
    } else if (!streq(rest, "Z"))
        return -EBADMSG;
    if (seconds < 0)
        return -EBADMSG;
    *ret_usec = (usec_t)seconds * USEC_PER_SEC;
    return 0;
}

static bool token_ok(const char *token)
{
    for (; token && *token; token++)
        if (*token <= ' ' || *token > '~')
            return false;
    return true;
}

static const char *credential_fault(const json_t *document, const char *api_version,
                                    const struct kubernetes_credential *credential)
{
    if (!streq(registry_json_text(document, "kind"), "ExecCredential"))
        return "it printed no ExecCredential";
    if (!streq(registry_json_text(document, "apiVersion"), api_version))
        return "it printed another apiVersion than the kubeconfig says";
    if (!credential->token && !credential->cert_pem)
        return "it printed neither a token nor a certificate";
    if (!credential->cert_pem != !credential->key_pem)
        return "it printed a certificate or key without the other";
    return token_ok(credential->token) ? NULL : "its token holds white space";
}

int kubernetes_credential_parse(const char *data, size_t size, const char *api_version,
                                struct kubernetes_credential *ret_credential,
                                const char **ret_reason)
{
    struct kubernetes_credential credential = {.expires = USEC_INFINITY};
    json_t *document = registry_json_parse(data, size);
    const json_t *status = json_object_get(document, "status");
    const char *expires = registry_json_text(status, "expirationTimestamp");
    int r = take_secret(status, "token", &credential.token);

    *ret_reason = r == -EBADMSG ? "its token is no text" : NULL;
    if (r == 0)
        r = take_secret(status, "clientCertificateData", &credential.cert_pem);
    if (r == 0)
        r = take_secret(status, "clientKeyData", &credential.key_pem);
    if (r == 0 && (*ret_reason = credential_fault(document, api_version, &credential)))
        r = -EBADMSG;
    if (r == 0 && *expires && parse_time(expires, &credential.expires) < 0) {
        *ret_reason = "its expirationTimestamp is no time";
        r = -EBADMSG;
    }
    if (r == -EBADMSG && !*ret_reason)
        *ret_reason = "its certificate or key is no text";
    kubeconfig_yaml_free(document);
    if (r < 0)
        kubernetes_credential_done(&credential);
    else
        *ret_credential = credential;
    return r;
}

/* ---- runs ---- */

static const char *plugin_name(const struct kubernetes_exec *exec)
{
    const char *slash = strrchr(exec->config->exec->command, '/');

    return slash ? slash + 1 : exec->config->exec->command;
}

/* Tried again when somebody asks or, with credentials that are still good, by itself. */
static void run_failed(struct kubernetes_exec *exec, const char *text)
{
    char line[TEXT_SIZE];

    snprintf(line, sizeof(line), "exec plugin %.100s: %.500s", plugin_name(exec), text);
    for (char *at = line; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
    if (!streq(line, exec->text))
        env_log(exec->env, LOG_ERR, NULL, "%s; %s", line,
                exec->has ? "using its last credentials until they expire"
                          : "asking nothing until it works");
    memcpy(exec->text, line, sizeof(line));
    exec->delay = exec->delay == 0              ? DELAY_MIN
                  : exec->delay > DELAY_MAX / 2 ? DELAY_MAX
                                                : 2 * exec->delay;
    exec->retry_at = env_now(exec->env) + env_jitter(exec->env, exec->delay, 20);
    if (exec->has)
        env_timer_set(exec->env, &exec->timer, exec->retry_at);
}

static void run_succeeded(struct kubernetes_exec *exec, struct kubernetes_credential *credential)
{
    usec_t now = env_now(exec->env), date = exec->env->ops->now_realtime(exec->env), left;

    kubernetes_credential_done(&exec->credential);
    exec->credential = *credential;
    exec->has = true;
    exec->used = exec->due = false;
    exec->taken_at = now;
    exec->delay = exec->retry_at = 0;
    if (*exec->text)
        env_log(exec->env, LOG_NOTICE, NULL, "exec plugin %s works again", plugin_name(exec));
    *exec->text = '\0';
    env_timer_off(exec->env, &exec->timer);
    if (credential->expires == USEC_INFINITY)
        return;
    left = credential->expires - date;
    env_timer_set(exec->env, &exec->timer,
                  now + left - (left / 5 < AHEAD_MAX ? left / 5 : AHEAD_MAX));
}

static void run_done(void *userdata, const struct spawn_result *result)
{
    struct kubernetes_exec *exec = userdata;
    struct kubernetes_credential credential;
    const char *reason = result->text;
    int r = -EIO;

    exec->call = NULL;
    if (result->outcome == SPAWN_EXITED && result->status == 0) {
        r = kubernetes_credential_parse(result->output, result->size,
                                        exec->config->exec->api_version, &credential, &reason);
        if (r == -ENOMEM)
            reason = strerror(ENOMEM);
        if (r == 0 && credential.expires <= exec->env->ops->now_realtime(exec->env)) {
            kubernetes_credential_done(&credential);
            reason = "its credentials have expired already (or the clock is wrong)";
            r = -EBADMSG;
        }
    }
    if (r < 0)
        run_failed(exec, reason);
    else
        run_succeeded(exec, &credential);
    exec->ended(exec->owner);
}

/* spec.cluster; a file of certificates becomes data, as the plugin may not know the file. */
static json_t *cluster_info(const struct kubeconfig *config)
{
    json_t *info = json_loads(config->exec->cluster, 0, NULL);
    char *bytes = config->ca_file ? malloc(CA_MAX) : NULL;
    ssize_t size = bytes ? config_bytes_read(config->ca_file, bytes, CA_MAX) : -1;
    _cleanup_(freep) char *text = size > 0 ? kubeconfig_base64_encode(bytes, (size_t)size) : NULL;

    if (text)
        json_object_set_new(info, "certificate-authority-data", json_string(text));
    free(bytes);
    return info;
}

/* The variable KUBERNETES_EXEC_INFO. */
static char *exec_info(const struct kubeconfig *config)
{
    json_t *spec = json_pack("{s:b}", "interactive", 0), *document;
    char *text, *variable = NULL;

    if (config->exec->cluster)
        json_object_set_new(spec, "cluster", cluster_info(config));
    document = json_pack("{s:s, s:s, s:o}", "kind", "ExecCredential", "apiVersion",
                         config->exec->api_version, "spec", spec);
    text = json_dumps(document, JSON_COMPACT);
    if (!text || asprintf(&variable, "KUBERNETES_EXEC_INFO=%s", text) < 0)
        variable = NULL;
    free(text);
    json_decref(document);
    return variable;
}

static int run_start(struct kubernetes_exec *exec)
{
    const struct kubeconfig_exec *config = exec->config->exec;
    size_t count = config_strings_count(config->variables);
    _cleanup_(freep) char *info = exec_info(exec->config);
    _cleanup_(freep) const char **variables = calloc(count + 2, sizeof(*variables));

    if (!info || !variables)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        variables[i] = config->variables[i];
    variables[count] = info;
    return exec->env->ops->spawn_start(exec->env,
                                       &(struct spawn_request){
                                           .program = config->command,
                                           .arguments = (const char *const *)config->arguments,
                                           .variables = variables,
                                           .timeout = RUN_TIMEOUT,
                                           .max_output = OUTPUT_MAX,
                                           .done = run_done,
                                           .userdata = exec,
                                       },
                                       &exec->call);
}

bool kubernetes_exec_run(struct kubernetes_exec *exec)
{
    char text[400];
    int r;

    if (exec->call)
        return true;
    if (env_now(exec->env) < exec->retry_at)
        return false;
    r = run_start(exec);
    if (r == 0)
        return true;
    exec->call = NULL;
    snprintf(text, sizeof(text), "cannot be run: %s%s%.200s", strerror(-r),
             r == -ENOENT && exec->config->exec->hint ? "; " : "",
             r == -ENOENT && exec->config->exec->hint ? exec->config->exec->hint : "");
    run_failed(exec, text);
    return false;
}

/* If nobody used them since they came, the next one who does has it run. */
static void on_timer(struct env_timer *timer)
{
    struct kubernetes_exec *exec = timer->owner;

    exec->due = !exec->used;
    if (exec->used)
        kubernetes_exec_run(exec);
}

/* ---- the interface ---- */

const struct kubernetes_credential *kubernetes_exec_current(struct kubernetes_exec *exec)
{
    if (!exec->has || exec->credential.expires <= exec->env->ops->now_realtime(exec->env))
        return NULL;
    exec->used = true;
    if (exec->due) {
        exec->due = false;
        kubernetes_exec_run(exec);
    }
    return &exec->credential;
}

void kubernetes_exec_refused(struct kubernetes_exec *exec)
{
    if (!exec->has || env_now(exec->env) < exec->taken_at + FRESH)
        return;
    kubernetes_credential_done(&exec->credential);
    exec->has = false;
    env_timer_off(exec->env, &exec->timer);
}

const char *kubernetes_exec_text(const struct kubernetes_exec *exec)
{
    return exec->text;
}

int kubernetes_exec_new(struct registry_env *env, const struct kubeconfig *config,
                        void (*ended)(void *owner), void *owner, struct kubernetes_exec **ret_exec)
{
    struct kubernetes_exec *exec = calloc(1, sizeof(*exec));

    if (!exec)
        return -ENOMEM;
    *exec = (struct kubernetes_exec){.env = env, .config = config, .ended = ended, .owner = owner};
    exec->timer = (struct env_timer){.fire = on_timer, .owner = exec};
    *ret_exec = exec;
    return 0;
}

struct kubernetes_exec *kubernetes_exec_free(struct kubernetes_exec *exec)
{
    if (!exec)
        return NULL;
    if (exec->call)
        exec->env->ops->spawn_cancel(exec->env, exec->call);
    env_timer_off(exec->env, &exec->timer);
    kubernetes_credential_done(&exec->credential);
    free(exec);
    return NULL;
}
