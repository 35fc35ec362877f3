/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys in use (credentials.h). */
#include "daemon/registry/cloudmap/credentials.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "daemon/config.h"
#include "daemon/config_url.h"
#include "daemon/log.h"
#include "daemon/registry/cloudmap/cloudmap.h"
#include "daemon/registry/cloudmap/shared_files.h"
#include "daemon/registry/url_escape.h"

#define MINUTE          (60 * USEC_PER_SEC)
#define RENEW_AHEAD     (15 * MINUTE)
#define RETRY_MAX       (5 * MINUTE)
#define EXPIRED_RETRY   (5 * MINUTE)
#define REFUSED_PAUSE   (30 * USEC_PER_SEC)
#define CALL_TIMEOUT    (10 * USEC_PER_SEC)
#define AGENT_TIMEOUT   (2 * USEC_PER_SEC)
#define ROLES_PATH      "/latest/meta-data/iam/security-credentials/"
#define CONTAINER_AGENT "http://169.254.170.2"

enum { ANSWER_MAX = 256 * 1024, URL_MAX = 2048, ROLE_MAX = 128 };

static struct registry_env *env_of(const struct cloudmap_credentials *credentials)
{
    return credentials->cloudmap->registry.env;
}

static const struct cloudmap_settings *settings_of(const struct cloudmap_credentials *credentials)
{
    return cloudmap_settings_of(credentials->cloudmap->registry.config);
}

static usec_t realtime(const struct cloudmap_credentials *credentials)
{
    return cloudmap_realtime(credentials->cloudmap);
}

/* ---- the end of a fetch ---- */

static void plan(struct cloudmap_credentials *credentials, usec_t delay)
{
    env_timer_set(env_of(credentials), &credentials->timer,
                  usec_add(env_now(env_of(credentials)), delay));
}

static void plan_renewal(struct cloudmap_credentials *credentials)
{
    usec_t now = realtime(credentials), expires = credentials->grant.expires, left;

    if (expires == USEC_INFINITY) {
        env_timer_off(env_of(credentials), &credentials->timer);
        return;
    }
    left = expires > now ? expires - now : 0;
    if (left == 0) {
        env_log(env_of(credentials), LOG_WARNING, NULL,
                "the credentials of source %s have expired already; they are used all the same",
                cloudmap_source_to_string(credentials->source));
        plan(credentials, EXPIRED_RETRY + env_random(env_of(credentials)) % EXPIRED_RETRY);
        return;
    }
    left = left > 2 * RENEW_AHEAD ? left - RENEW_AHEAD : left / 2;
    plan(credentials, left - env_random(env_of(credentials)) % (left / 10 + 1));
}

static void adopt(struct cloudmap_credentials *credentials, struct cloudmap_grant *grant)
{
    if (credentials->failures > 0)
        env_log(env_of(credentials), LOG_NOTICE, NULL, "there are credentials again, of source %s",
                cloudmap_source_to_string(credentials->source));
    cloudmap_grant_done(&credentials->grant);
    credentials->grant = *grant;
    credentials->generation++;
    credentials->failures = 0;
    credentials->fetching = credentials->refused = credentials->tried = false;
    plan_renewal(credentials);
    cloudmap_credentials_settled(credentials->cloudmap);
}

static void _printf_(3, 4) fail(struct cloudmap_credentials *credentials,
                                enum registry_failure failure, const char *format, ...)
{
    usec_t limit = USEC_PER_SEC << (credentials->failures < 9 ? credentials->failures : 9);
    va_list arguments;
    char raw[256];

    va_start(arguments, format);
    vsnprintf(raw, sizeof(raw), format, arguments);
    va_end(arguments);
    log_printable(raw, credentials->text, sizeof(credentials->text));
    credentials->failure = failure;
    credentials->fetching = credentials->refused = false;
    credentials->tried = true;
    if (credentials->failures++ == 0)
        env_log(env_of(credentials), LOG_WARNING, NULL, "no credentials of source %s: %s; %s",
                cloudmap_source_to_string(credentials->source), credentials->text,
                credentials->grant.keys.access ? "the old ones stay in use"
                                               : "nothing can be asked until there are some");
    limit = limit < RETRY_MAX ? limit : RETRY_MAX;
    plan(credentials, limit / 2 + env_random(env_of(credentials)) % (limit / 2 + 1));
    cloudmap_credentials_settled(credentials->cloudmap);
}

static void take_answer(struct cloudmap_credentials *credentials, int r,
                        struct cloudmap_grant *grant)
{
    if (r == 0)
        adopt(credentials, grant);
    else
        fail(credentials, FAILURE_TRANSIENT, "the answer holds no credentials");
}

/* ---- environment ---- */

static int copy_keys(const char *access_key, const char *secret, const char *token,
                     struct cloudmap_grant *ret_grant)
{
    *ret_grant = (struct cloudmap_grant){.expires = USEC_INFINITY};
    ret_grant->keys.access = strdup(access_key);
    ret_grant->keys.secret = strdup(secret);
    ret_grant->keys.token = token ? strdup(token) : NULL;
    if (ret_grant->keys.access && ret_grant->keys.secret && (!token || ret_grant->keys.token))
        return 0;
    cloudmap_grant_done(ret_grant);
    return -ENOMEM;
}

static bool environment_is_set_up(const struct cloudmap_credentials *credentials)
{
    return env_variable(env_of(credentials), "AWS_ACCESS_KEY_ID") &&
           env_variable(env_of(credentials), "AWS_SECRET_ACCESS_KEY");
}

static void fetch_environment(struct cloudmap_credentials *credentials)
{
    struct registry_env *env = env_of(credentials);
    struct cloudmap_grant grant;

    if (!environment_is_set_up(credentials))
        fail(credentials, FAILURE_CONFIG,
             "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set");
    else if (copy_keys(env_variable(env, "AWS_ACCESS_KEY_ID"),
                       env_variable(env, "AWS_SECRET_ACCESS_KEY"),
                       env_variable(env, "AWS_SESSION_TOKEN"), &grant) < 0)
        fail(credentials, FAILURE_TRANSIENT, "out of memory");
    else
        adopt(credentials, &grant);
}

/* ---- shared files ---- */

static bool profile_is_set_up(const struct cloudmap_profile *profile)
{
    return profile->keys.access || profile->keys.secret || profile->unsupported;
}

static bool files_are_set_up(const struct cloudmap_credentials *credentials)
{
    struct registry *registry = &credentials->cloudmap->registry;
    struct cloudmap_profile profile;
    char text[256];
    bool is;

    if (settings_of(credentials)->profile || settings_of(credentials)->credentials_file)
        return true;
    /* A file that is there and cannot be read is told of, not passed over. */
    if (cloudmap_profile_load(registry, &profile, text, sizeof(text)) < 0)
        return true;
    is = profile_is_set_up(&profile);
    cloudmap_profile_done(&profile);
    return is;
}

static void use_profile(struct cloudmap_credentials *credentials,
                        const struct cloudmap_profile *profile)
{
    const char *name = cloudmap_profile_name(&credentials->cloudmap->registry);
    struct cloudmap_grant grant;

    if (profile->keys.access && profile->keys.secret) {
        if (copy_keys(profile->keys.access, profile->keys.secret, profile->keys.token, &grant) < 0)
            fail(credentials, FAILURE_TRANSIENT, "out of memory");
        else
            adopt(credentials, &grant);
    } else if (profile->unsupported) {
        fail(credentials, FAILURE_CONFIG,
             "profile %s gets its keys by %s, which is not supported: only aws_access_key_id, "
             "aws_secret_access_key and aws_session_token are",
             name, profile->unsupported);
    } else {
        fail(credentials, FAILURE_CONFIG, "the shared files hold no %s %s",
             profile->found ? "keys for profile" : "profile", name);
    }
}

static void fetch_files(struct cloudmap_credentials *credentials)
{
    struct cloudmap_profile profile;
    char text[256];

    if (cloudmap_profile_load(&credentials->cloudmap->registry, &profile, text, sizeof(text)) < 0) {
        fail(credentials, FAILURE_CONFIG, "%s", text);
        return;
    }
    use_profile(credentials, &profile);
    cloudmap_profile_done(&profile);
}

/* ---- calls to STS and to a container agent ---- */

static bool call_failed(struct cloudmap_credentials *credentials, const char *whom,
                        enum http_outcome outcome, int status, const char *text)
{
    if (outcome != HTTP_DONE)
        fail(credentials, outcome == HTTP_TLS ? FAILURE_CONFIG : FAILURE_TRANSIENT,
             "%s does not answer: %s: %.120s", whom, http_outcome_to_string(outcome), text);
    else if (status != 200)
        fail(credentials, status >= 500 ? FAILURE_TRANSIENT : FAILURE_DENIED, "%s answers HTTP %d",
             whom, status);
    return outcome != HTTP_DONE || status != 200;
}

static bool web_identity_is_set_up(const struct cloudmap_credentials *credentials)
{
    return env_variable(env_of(credentials), "AWS_WEB_IDENTITY_TOKEN_FILE") &&
           env_variable(env_of(credentials), "AWS_ROLE_ARN");
}

static void sts_done(void *userdata, enum http_outcome outcome,
                     const struct http_response *response, const char *body, size_t size,
                     const char *text)
{
    struct cloudmap_credentials *credentials = userdata;
    char code[CLOUDMAP_CODE_SIZE];
    struct cloudmap_grant grant;

    credentials->call = NULL;
    if (outcome == HTTP_DONE && response->status != 200 && response->status < 500) {
        cloudmap_grant_sts_error(body, size, code);
        fail(credentials, FAILURE_DENIED, "STS refuses the web identity: HTTP %d%s%s",
             response->status, code[0] ? ": " : "", code);
        return;
    }
    if (!call_failed(credentials, "STS", outcome, response->status, text))
        take_answer(credentials, cloudmap_grant_sts(body, size, &grant), &grant);
}

/* Adds "&NAME=VALUE" as a form encodes it. */
static void add_field(FILE *stream, const char *name, const char *value)
{
    fprintf(stream, "&%s=", name);
    url_escape(stream, value, "");
}

/* The form holds the token: wipe it. NULL: no memory. */
static char *sts_form(const struct cloudmap_credentials *credentials, const char *token)
{
    struct registry_env *env = env_of(credentials);
    char *form = NULL;
    size_t size;
    FILE *stream = open_memstream(&form, &size);

    if (!stream)
        return NULL;
    fputs("Action=AssumeRoleWithWebIdentity&Version=2011-06-15", stream);
    add_field(stream, "RoleArn", env_variable(env, "AWS_ROLE_ARN"));
    add_field(stream, "RoleSessionName", env_variable(env, "AWS_ROLE_SESSION_NAME") ?: "nss-sd");
    add_field(stream, "WebIdentityToken", token);
    if (fclose(stream) == 0)
        return form;
    free(form);
    return NULL;
}

static int sts_url(const struct cloudmap_credentials *credentials, char ret_url[static URL_MAX])
{
    const char *url = env_variable(env_of(credentials), "AWS_ENDPOINT_URL_STS")
                          ?: env_variable(env_of(credentials), "AWS_ENDPOINT_URL");
    const char *region = cloudmap_region(credentials->cloudmap);

    if (url && !cloudmap_url_host(url, NULL, 0))
        return -EINVAL;
    if (!url && !region)
        return -ENOENT;
    if (url)
        return snprintf(ret_url, URL_MAX, "%s", url) < URL_MAX ? 0 : -EINVAL;
    snprintf(ret_url, URL_MAX, "https://sts.%s.%s/", region, cloudmap_region_suffix(region));
    return 0;
}

static int sts_call(struct cloudmap_credentials *credentials, const char *url, const char *form)
{
    static const struct http_handler handler = {.on_done = sts_done};
    const struct http_header headers[] = {
        {"Accept", "application/json"},
        {"Content-Type", "application/x-www-form-urlencoded"},
    };

    return env_http_start(
        env_of(credentials),
        &(struct http_request){
            .method = "POST",
            .url = url,
            .headers = headers,
            .header_count = ELEMENTS(headers),
            .body = form,
            .body_size = strlen(form),
            .tls = &(struct http_tls){.ca_file = settings_of(credentials)->ca_file},
            .timeout = CALL_TIMEOUT,
            .max_body = ANSWER_MAX,
            .handler = &handler,
            .userdata = credentials,
        },
        &credentials->call);
}

static void fetch_web_identity(struct cloudmap_credentials *credentials)
{
    const char *path = env_variable(env_of(credentials), "AWS_WEB_IDENTITY_TOKEN_FILE");
    char url[URL_MAX], *token = NULL, *form;
    int r;

    if (!web_identity_is_set_up(credentials)) {
        fail(credentials, FAILURE_CONFIG,
             "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not set");
        return;
    }
    /* Somebody writes the file anew: it is read every time. */
    r = config_secret_read(path, &token);
    if (r < 0) {
        fail(credentials, FAILURE_CONFIG, "token file %.150s cannot be used: %s", path,
             r == -EBADMSG ? "it holds no token" : strerror(-r));
        return;
    }
    form = sts_form(credentials, token);
    config_secret_free(token);
    r = form ? sts_url(credentials, url) : -ENOMEM;
    if (r == 0)
        r = sts_call(credentials, url, form);
    config_secret_free(form);
    if (r < 0)
        fail(credentials, FAILURE_CONFIG, "STS cannot be asked: %s", strerror(-r));
}

static const char *container_relative(const struct cloudmap_credentials *credentials)
{
    return env_variable(env_of(credentials), "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
}

static const char *container_full(const struct cloudmap_credentials *credentials)
{
    return env_variable(env_of(credentials), "AWS_CONTAINER_CREDENTIALS_FULL_URI");
}

/* Keys may travel in the clear only on this machine, and to the two agents of Amazon. */
static bool container_url_ok(const char *url)
{
    static const char *const hosts[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
    size_t length;

    if (strpbrk(url, " \r\n@") || strlen(url) >= URL_MAX)
        return false;
    if (strncmp(url, "https://", 8) == 0)
        return true;
    if (strncmp(url, "http://", 7) != 0)
        return false;
    length = strcspn(url + 7, "/?#");
    if (url[7] == '[')
        length = strcspn(url + 7, "]") + 1;
    else if (memchr(url + 7, ':', length))
        length = strcspn(url + 7, ":");
    for (size_t i = 0; i < ELEMENTS(hosts); i++)
        if (length == strlen(hosts[i]) && strncmp(url + 7, hosts[i], length) == 0)
            return true;
    return config_url_is_local(url);
}

static void container_done(void *userdata, enum http_outcome outcome,
                           const struct http_response *response, const char *body, size_t size,
                           const char *text)
{
    struct cloudmap_credentials *credentials = userdata;
    struct cloudmap_grant grant;

    credentials->call = NULL;
    if (!call_failed(credentials, "the container's agent", outcome, response->status, text))
        take_answer(credentials, cloudmap_grant_metadata(body, size, &grant), &grant);
}

static int container_call(struct cloudmap_credentials *credentials, const char *url,
                          const char *authorization)
{
    static const struct http_handler handler = {.on_done = container_done};
    const struct http_header header = {"Authorization", authorization};

    return env_http_start(env_of(credentials),
                          &(struct http_request){
                              .url = url,
                              .headers = &header,
                              .header_count = authorization ? 1 : 0,
                              .connect_timeout = AGENT_TIMEOUT,
                              .timeout = AGENT_TIMEOUT,
                              .max_body = ANSWER_MAX,
                              .handler = &handler,
                              .userdata = credentials,
                          },
                          &credentials->call);
}

/* The value for the header; NULL where none is wanted. A line break would make a second header. */
static int container_authorization(const struct cloudmap_credentials *credentials, char **ret_value)
{
    const char *path = env_variable(env_of(credentials), "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *value = env_variable(env_of(credentials), "AWS_CONTAINER_AUTHORIZATION_TOKEN");

    *ret_value = NULL;
    if (path)
        return config_secret_read(path, ret_value);
    if (!value)
        return 0;
    if (strpbrk(value, "\r\n"))
        return -EBADMSG;
    *ret_value = strdup(value);
    return *ret_value ? 0 : -ENOMEM;
}

static void fetch_container(struct cloudmap_credentials *credentials)
{
    const char *relative = container_relative(credentials), *full = container_full(credentials);
    char url[URL_MAX] = "", *authorization;
    int r;

    if (relative)
        snprintf(url, sizeof(url), CONTAINER_AGENT "%.1024s", relative);
    else if (full && container_url_ok(full))
        strcpy(url, full);
    if (url[0] == '\0' || (relative && relative[0] != '/')) {
        fail(credentials, FAILURE_CONFIG, "%s",
             relative ? "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is no path"
             : full   ? "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor on this machine"
                      : "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set");
        return;
    }
    r = container_authorization(credentials, &authorization);
    if (r < 0) {
        fail(credentials, FAILURE_CONFIG, "the token for the container's agent cannot be used: %s",
             r == -EBADMSG ? "it is none, or has a line break" : strerror(-r));
        return;
    }
    r = container_call(credentials, url, authorization);
    config_secret_free(authorization);
    if (r < 0)
        fail(credentials, FAILURE_CONFIG, "the container's agent cannot be asked: %s",
             strerror(-r));
}

/* ---- instance metadata ---- */

/* The first line names the role, which goes into the path. */
static int ask_role(struct cloudmap_credentials *credentials, const char *body)
{
    size_t length = strcspn(body, "\r\n");
    char path[sizeof(ROLES_PATH) + ROLE_MAX];

    if (length == 0 || length > ROLE_MAX ||
        strspn(body, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+=,.@_-") <
            length)
        return -EBADMSG;
    snprintf(path, sizeof(path), ROLES_PATH "%.*s", (int)length, body);
    credentials->asking_role = false;
    return metadata_service_ask(&credentials->metadata, path);
}

static void metadata_done(struct metadata_service *service, int status, const char *body,
                          size_t size, const char *text)
{
    struct cloudmap_credentials *credentials = service->owner;
    struct cloudmap_grant grant;

    if (!body && status == 404)
        fail(credentials, FAILURE_CONFIG, "this instance has no role");
    else if (!body)
        fail(credentials, FAILURE_TRANSIENT, "%s", text);
    else if (!credentials->asking_role)
        take_answer(credentials, cloudmap_grant_metadata(body, size, &grant), &grant);
    else if (ask_role(credentials, body) < 0)
        fail(credentials, FAILURE_CONFIG, "this instance has no role");
}

static void fetch_instance(struct cloudmap_credentials *credentials)
{
    credentials->asking_role = true;
    if (metadata_service_disabled(env_of(credentials)))
        fail(credentials, FAILURE_CONFIG,
             "no source of credentials is set up, and AWS_EC2_METADATA_DISABLED=true");
    else if (metadata_service_ask(&credentials->metadata, ROLES_PATH) < 0)
        fail(credentials, FAILURE_CONFIG, "the instance metadata service cannot be asked");
}

/* ---- the chain ---- */

static enum cloudmap_source choose(const struct cloudmap_credentials *credentials)
{
    enum cloudmap_source configured = (enum cloudmap_source)settings_of(credentials)->source;

    if (configured != CLOUDMAP_AUTO)
        return configured;
    if (environment_is_set_up(credentials))
        return CLOUDMAP_ENVIRONMENT;
    if (web_identity_is_set_up(credentials))
        return CLOUDMAP_WEB_IDENTITY;
    if (files_are_set_up(credentials))
        return CLOUDMAP_FILES;
    if (container_relative(credentials) || container_full(credentials))
        return CLOUDMAP_CONTAINER;
    return CLOUDMAP_INSTANCE;
}

static void fetch(struct cloudmap_credentials *credentials)
{
    static void (*const fetches[])(struct cloudmap_credentials *) = {
        [CLOUDMAP_ENVIRONMENT] = fetch_environment,
        [CLOUDMAP_WEB_IDENTITY] = fetch_web_identity,
        [CLOUDMAP_FILES] = fetch_files,
        [CLOUDMAP_CONTAINER] = fetch_container,
        [CLOUDMAP_INSTANCE] = fetch_instance,
    };

    if (credentials->fetching)
        return;
    credentials->fetching = true;
    credentials->source = choose(credentials);
    fetches[credentials->source](credentials);
}

static void on_timer(struct env_timer *timer)
{
    fetch(timer->owner);
}

const struct cloudmap_keys *
cloudmap_credentials_keys(const struct cloudmap_credentials *credentials)
{
    return credentials->grant.keys.access ? &credentials->grant.keys : NULL;
}

void cloudmap_credentials_need(struct cloudmap_credentials *credentials)
{
    if (!credentials->grant.keys.access && !credentials->tried)
        fetch(credentials);
}

bool cloudmap_credentials_refused(struct cloudmap_credentials *credentials, uint64_t generation)
{
    usec_t now = env_now(env_of(credentials));

    if (generation != credentials->generation)
        return true;
    if (credentials->fetching) {
        credentials->refused = true;
        return true;
    }
    if (credentials->refused_at > 0 && now < credentials->refused_at + REFUSED_PAUSE)
        return false;
    credentials->refused_at = now;
    credentials->refused = true;
    fetch(credentials);
    return credentials->fetching || generation != credentials->generation;
}

void cloudmap_credentials_kick(struct cloudmap_credentials *credentials)
{
    if (credentials->tried)
        fetch(credentials);
}

void cloudmap_credentials_describe(const struct cloudmap_credentials *credentials, json_t *object)
{
    usec_t expires = credentials->grant.expires;
    json_t *facts = json_object();
    time_t seconds = (time_t)(expires / USEC_PER_SEC);
    char text[CLOUDMAP_DATE_SIZE + 8];
    struct tm parts;

    if (credentials->grant.keys.access || credentials->tried)
        json_object_set_new(facts, "source",
                            json_string(cloudmap_source_to_string(credentials->source)));
    json_object_set_new(facts, "state",
                        json_string(!credentials->grant.keys.access ? "none"
                                    : credentials->tried            ? "not renewed"
                                                                    : "good"));
    if (credentials->grant.keys.access && expires != USEC_INFINITY && gmtime_r(&seconds, &parts) &&
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts) > 0)
        json_object_set_new(facts, "expires", json_string(text));
    if (credentials->tried)
        json_object_set_new(facts, "error", json_string(credentials->text));
    json_object_set_new(object, "credentials", facts);
}

/* ---- life ---- */

void cloudmap_credentials_init(struct cloudmap_credentials *credentials, struct cloudmap *cloudmap)
{
    *credentials = (struct cloudmap_credentials){.cloudmap = cloudmap};
    credentials->timer = (struct env_timer){.fire = on_timer, .owner = credentials};
    metadata_service_init(&credentials->metadata, cloudmap->registry.env, METADATA_AMAZON,
                          metadata_done, credentials);
}

void cloudmap_credentials_done(struct cloudmap_credentials *credentials)
{
    env_timer_off(env_of(credentials), &credentials->timer);
    if (credentials->call)
        env_of(credentials)->ops->http_cancel(env_of(credentials), credentials->call);
    credentials->call = NULL;
    metadata_service_done(&credentials->metadata);
    cloudmap_grant_done(&credentials->grant);
}
