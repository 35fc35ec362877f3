/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A token in a file that is written anew (token.h). */
#include "daemon/registry/kubernetes/token.h"

#include "daemon/config.h"
#include "daemon/log.h"

#define LOOK_AFTER (60 * USEC_PER_SEC)

int kubernetes_token_init(struct kubernetes_token *token, const char *path)
{
    *token = (struct kubernetes_token){.path = strdup(path), .stale = true};
    return token->path ? 0 : -ENOMEM;
}

void kubernetes_token_done(struct kubernetes_token *token)
{
    config_secret_free(token->text);
    free(token->path);
    *token = (struct kubernetes_token){0};
}

static void tell(const struct kubernetes_token *token, struct registry_env *env, int error)
{
    if (error < 0)
        env_log(env, LOG_ERR, NULL, "token file %s cannot be used: %s; %s", token->path,
                error == -EBADMSG ? "it holds no token" : strerror(-error),
                token->text ? "using the token it held" : "asking nothing until it can");
    else
        env_log(env, LOG_NOTICE, NULL, "token file %s can be used again", token->path);
}

bool kubernetes_token_look(struct kubernetes_token *token, struct registry_env *env)
{
    usec_t now = env_now(env);
    char *text = NULL;
    int r;

    if (!token->path || (!token->stale && now < usec_add(token->looked_at, LOOK_AFTER)))
        return false;
    r = config_secret_read(token->path, &text);
    if (r != token->error)
        tell(token, env, r);
    token->error = r;
    token->looked_at = now;
    token->stale = r < 0 && !token->text;
    if (r < 0 || (token->text && streq(token->text, text))) {
        config_secret_free(text);
        return false;
    }
    config_secret_free(token->text);
    token->text = text;
    return true;
}
