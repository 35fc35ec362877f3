/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions to the instance metadata service (metadata.h). */
#include "daemon/registry/cloudmap/metadata.h"

#include <stdio.h>
#include <strings.h>

#include "daemon/config.h"
#include "daemon/registry/cloudmap/settings.h"

#define DEFAULT_ENDPOINT "http://169.254.169.254"
#define TIMEOUT          (2 * USEC_PER_SEC)
#define CONNECT_TIMEOUT  USEC_PER_SEC
#define TOKEN_TTL        "21600"

enum { TOKEN_MAX = 1024, BODY_MAX = 64 * 1024 };

static void on_done(void *userdata, enum http_outcome outcome, const struct http_response *response,
                    const char *body, size_t size, const char *text);
static const struct http_handler handler = {.on_done = on_done};

static bool is_true(const char *value)
{
    return value && strcasecmp(value, "true") == 0;
}

bool cloudmap_metadata_disabled(struct registry_env *env)
{
    return is_true(env_variable(env, "AWS_EC2_METADATA_DISABLED"));
}

static int make_url(const struct cloudmap_metadata *metadata, const char *path, char *ret_url,
                    size_t size)
{
    const char *base = env_variable(metadata->env, "AWS_EC2_METADATA_SERVICE_ENDPOINT")
                           ?: DEFAULT_ENDPOINT;
    size_t length = strlen(base);

    if (!cloudmap_url_host(base, NULL, 0))
        return -EINVAL;
    length -= base[length - 1] == '/';
    return snprintf(ret_url, size, "%.*s%s", (int)length, base, path) < (int)size ? 0
                                                                                  : -ENAMETOOLONG;
}

static int send_request(struct cloudmap_metadata *metadata, const char *method, const char *path,
                        const struct http_header *header)
{
    char url[512];
    int r = make_url(metadata, path, url, sizeof(url));

    if (r < 0)
        return r;
    return env_http_start(metadata->env,
                          &(struct http_request){
                              .method = method,
                              .url = url,
                              .headers = header,
                              .header_count = header ? 1 : 0,
                              .connect_timeout = CONNECT_TIMEOUT,
                              .timeout = TIMEOUT,
                              .max_body = BODY_MAX,
                              .handler = &handler,
                              .userdata = metadata,
                          },
                          &metadata->call);
}

static int ask_token(struct cloudmap_metadata *metadata)
{
    metadata->token = config_secret_free(metadata->token);
    metadata->asking_token = true;
    return send_request(metadata, "PUT", "/latest/api/token",
                        &(struct http_header){"X-aws-ec2-metadata-token-ttl-seconds", TOKEN_TTL});
}

static int ask_path(struct cloudmap_metadata *metadata)
{
    metadata->asking_token = false;
    return send_request(metadata, "GET", metadata->path,
                        metadata->token
                            ? &(struct http_header){"X-aws-ec2-metadata-token", metadata->token}
                            : NULL);
}

static void fail(struct cloudmap_metadata *metadata, int status, const char *text)
{
    metadata->done(metadata, status, NULL, 0, text);
}

/* A token goes into a header of the next question: it must be one word. */
static bool take_token(struct cloudmap_metadata *metadata, const char *body, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (body[i] < '!' || body[i] > '~')
            return false;
    if (size == 0 || size > TOKEN_MAX)
        return false;
    metadata->token = strdup(body);
    metadata->token_is_new = true;
    return metadata->token;
}

/* Old services know no tokens. */
static bool may_go_without(const struct cloudmap_metadata *metadata, int status)
{
    return (status == 403 || status == 404 || status == 405) &&
           !is_true(env_variable(metadata->env, "AWS_EC2_METADATA_V1_DISABLED"));
}

static void on_token(struct cloudmap_metadata *metadata, int status, const char *body, size_t size)
{
    if (status != 200 && may_go_without(metadata, status))
        metadata->without_token = true;
    else if (status != 200 || !take_token(metadata, body, size)) {
        fail(metadata, status, "the instance metadata service gives no session token");
        return;
    }
    if (ask_path(metadata) < 0)
        fail(metadata, 0, "the instance metadata service cannot be asked");
}

static void on_done(void *userdata, enum http_outcome outcome, const struct http_response *response,
                    const char *body, size_t size, const char *text)
{
    struct cloudmap_metadata *metadata = userdata;
    char why[256];

    metadata->call = NULL;
    if (outcome != HTTP_DONE) {
        snprintf(why, sizeof(why), "the instance metadata service does not answer: %s: %.150s",
                 http_outcome_to_string(outcome), text);
        fail(metadata, 0, why);
    } else if (metadata->asking_token) {
        on_token(metadata, response->status, body, size);
    } else if (response->status == 401 && !metadata->token_is_new) {
        if (ask_token(metadata) < 0)
            fail(metadata, 0, "the instance metadata service cannot be asked");
    } else if (response->status == 200) {
        metadata->token_is_new = false;
        metadata->done(metadata, 200, body, size, "");
    } else {
        snprintf(why, sizeof(why), "the instance metadata service answers HTTP %d to %.150s",
                 response->status, metadata->path);
        fail(metadata, response->status, why);
    }
}

void cloudmap_metadata_init(struct cloudmap_metadata *metadata, struct registry_env *env,
                            void (*done)(struct cloudmap_metadata *metadata, int status,
                                         const char *body, size_t size, const char *text),
                            void *owner)
{
    *metadata = (struct cloudmap_metadata){.env = env, .done = done, .owner = owner};
}

void cloudmap_metadata_done(struct cloudmap_metadata *metadata)
{
    if (metadata->call)
        metadata->env->ops->http_cancel(metadata->env, metadata->call);
    metadata->call = NULL;
    metadata->token = config_secret_free(metadata->token);
}

int cloudmap_metadata_ask(struct cloudmap_metadata *metadata, const char *path)
{
    if (snprintf(metadata->path, sizeof(metadata->path), "%s", path) >= (int)sizeof(metadata->path))
        return -ENAMETOOLONG;
    metadata->token_is_new = false;
    return metadata->token || metadata->without_token ? ask_path(metadata) : ask_token(metadata);
}
