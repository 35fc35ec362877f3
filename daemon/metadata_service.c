/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions to the instance metadata service (metadata_service.h). */
#include "daemon/metadata_service.h"

#include <stdio.h>
#include <strings.h>

#include "daemon/config.h"
#include "daemon/config_url.h"

#define DEFAULT_ENDPOINT "http://169.254.169.254"
#define IPV6_ENDPOINT    "http://[fd00:ec2::254]" /* of Amazon, where it is turned on */
#define TIMEOUT          (2 * USEC_PER_SEC)
#define CONNECT_TIMEOUT  USEC_PER_SEC
#define TOKEN_TTL        "21600"
#define GOOGLE_FLAVOR    "Metadata-Flavor"

enum { TOKEN_MAX = 1024, BODY_MAX = 64 * 1024 };

static void on_done(void *userdata, enum http_outcome outcome, const struct http_response *response,
                    const char *body, size_t size, const char *text);
static const struct http_handler handler = {.on_done = on_done};

static bool is_true(const char *value)
{
    return value && strcasecmp(value, "true") == 0;
}

bool metadata_service_disabled(struct registry_env *env)
{
    return is_true(env_variable(env, "AWS_EC2_METADATA_DISABLED"));
}

/* The words of Amazon's own libraries. */
static const char *amazon_endpoint(struct registry_env *env)
{
    const char *mode = env_variable(env, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");

    return env_variable(env, "AWS_EC2_METADATA_SERVICE_ENDPOINT")
               ?: (mode && strcasecmp(mode, "IPv6") == 0 ? IPV6_ENDPOINT : DEFAULT_ENDPOINT);
}

static int make_url(const struct metadata_service *service, const char *path, char *ret_url,
                    size_t size)
{
    const char *base = service->dialect == METADATA_AMAZON ? amazon_endpoint(service->env)
                                                           : DEFAULT_ENDPOINT;
    size_t length;

    if (strncmp(base, "http", 4) != 0 || config_url_fault(base))
        return -EINVAL;
    length = strlen(base);
    length -= base[length - 1] == '/';
    return snprintf(ret_url, size, "%.*s%s", (int)length, base, path) < (int)size ? 0
                                                                                  : -ENAMETOOLONG;
}

static int send_request(struct metadata_service *service, const char *method, const char *path,
                        const struct http_header *header)
{
    char url[512];
    int r = make_url(service, path, url, sizeof(url));

    if (r < 0)
        return r;
    return env_http_start(service->env,
                          &(struct http_request){
                              .method = method,
                              .url = url,
                              .headers = header,
                              .header_count = header ? 1 : 0,
                              .connect_timeout = CONNECT_TIMEOUT,
                              .timeout = TIMEOUT,
                              .max_body = BODY_MAX,
                              .handler = &handler,
                              .userdata = service,
                          },
                          &service->call);
}

static int ask_token(struct metadata_service *service)
{
    service->token = config_secret_free(service->token);
    service->asking_token = true;
    return send_request(service, "PUT", "/latest/api/token",
                        &(struct http_header){"X-aws-ec2-metadata-token-ttl-seconds", TOKEN_TTL});
}

static int ask_path(struct metadata_service *service)
{
    const struct http_header headers[] = {
        [METADATA_AMAZON] = {"X-aws-ec2-metadata-token", service->token},
        [METADATA_GOOGLE] = {GOOGLE_FLAVOR, "Google"},
        [METADATA_AZURE] = {"Metadata", "true"},
    };
    const struct http_header *header = &headers[service->dialect];

    service->asking_token = false;
    return send_request(service, "GET", service->path, header->value ? header : NULL);
}

static void fail(struct metadata_service *service, int status, const char *text)
{
    service->done(service, status, NULL, 0, text);
}

/* A token goes into a header of the next question: it must be one word. */
static bool take_token(struct metadata_service *service, const char *body, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (body[i] < '!' || body[i] > '~')
            return false;
    if (size == 0 || size > TOKEN_MAX)
        return false;
    service->token = strdup(body);
    service->token_is_new = true;
    return service->token;
}

/* Old services know no tokens. */
static bool may_go_without(const struct metadata_service *service, int status)
{
    return (status == 403 || status == 404 || status == 405) &&
           !is_true(env_variable(service->env, "AWS_EC2_METADATA_V1_DISABLED"));
}

static void on_token(struct metadata_service *service, int status, const char *body, size_t size)
{
    if (status != 200 && may_go_without(service, status))
        service->without_token = true;
    else if (status != 200 || !take_token(service, body, size)) {
        fail(service, status, "the instance metadata service gives no session token");
        return;
    }
    if (ask_path(service) < 0)
        fail(service, 0, "the instance metadata service cannot be asked");
}

/* Google's says who it is; a captive portal would answer, too. */
static bool is_genuine(const struct metadata_service *service, const struct http_response *response)
{
    const char *flavor = http_response_header(response, GOOGLE_FLAVOR);

    return service->dialect != METADATA_GOOGLE || (flavor && streq(flavor, "Google"));
}

/* A token goes no further than the instance's hop limit, which is 1 unless it was raised. */
static void fail_silent(struct metadata_service *service, enum http_outcome outcome,
                        const char *text)
{
    bool limit = service->asking_token && outcome == HTTP_TIMEOUT;
    char why[256];

    snprintf(why, sizeof(why), "the instance metadata service does not answer: %s: %.100s%s",
             http_outcome_to_string(outcome), text,
             limit ? " (to a container it does from a hop limit of 2 on)" : "");
    fail(service, 0, why);
}

static void on_done(void *userdata, enum http_outcome outcome, const struct http_response *response,
                    const char *body, size_t size, const char *text)
{
    struct metadata_service *service = userdata;
    char why[256];

    service->call = NULL;
    if (outcome != HTTP_DONE) {
        fail_silent(service, outcome, text);
    } else if (service->asking_token) {
        on_token(service, response->status, body, size);
    } else if (response->status == 401 && service->dialect == METADATA_AMAZON &&
               !service->token_is_new) {
        if (ask_token(service) < 0)
            fail(service, 0, "the instance metadata service cannot be asked");
    } else if (response->status == 200 && is_genuine(service, response)) {
        service->token_is_new = false;
        service->done(service, 200, body, size, "");
    } else {
        snprintf(why, sizeof(why), "the instance metadata service answers HTTP %d to %.150s",
                 response->status, service->path);
        fail(service, response->status, why);
    }
}

void metadata_service_init(struct metadata_service *service, struct registry_env *env,
                           enum metadata_dialect dialect,
                           void (*done)(struct metadata_service *service, int status,
                                        const char *body, size_t size, const char *text),
                           void *owner)
{
    *service = (struct metadata_service){
        .env = env, .dialect = dialect, .done = done, .owner = owner};
}

void metadata_service_done(struct metadata_service *service)
{
    if (service->call)
        service->env->ops->http_cancel(service->env, service->call);
    service->call = NULL;
    service->token = config_secret_free(service->token);
}

int metadata_service_ask(struct metadata_service *service, const char *path)
{
    if (snprintf(service->path, sizeof(service->path), "%s", path) >= (int)sizeof(service->path))
        return -ENAMETOOLONG;
    service->token_is_new = false;
    if (service->dialect != METADATA_AMAZON || service->token || service->without_token)
        return ask_path(service);
    return ask_token(service);
}
