/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One run of a check (check_run.h): what its kinds share. */
#include "daemon/check_run_internal.h"

void check_output_copy(char ret_output[static CHECK_OUTPUT_SIZE], const char *text, size_t size)
{
    size_t length = 0;

    while (size > 0 && (*text == ' ' || *text == '\n' || *text == '\r' || *text == '\t')) {
        text++;
        size--;
    }
    for (size_t i = 0; i < size && text[i] && text[i] != '\n' && length + 1 < CHECK_OUTPUT_SIZE;
         i++)
        ret_output[length++] = (char)(text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?');
    while (length > 0 && (ret_output[length - 1] == ' ' || ret_output[length - 1] == '?'))
        length--;
    ret_output[length] = '\0';
}

int check_run_start(struct registry_env *env, const struct check_settings *settings,
                    check_run_done_t done, void *userdata, struct check_run **ret_run)
{
    struct check_run *run = calloc(1, sizeof(*run));
    int r;

    if (!run)
        return -ENOMEM;
    run->env = env;
    run->settings = settings;
    run->done = done;
    run->userdata = userdata;
    run->deadline = usec_add(env_now(env), settings->timeout);
    r = settings->kind == CHECK_HTTP   ? check_run_http(run)
        : settings->kind == CHECK_TCP  ? check_run_tcp(run)
        : settings->kind == CHECK_GRPC ? check_run_grpc(run)
                                       : -EINVAL;
    if (r < 0) {
        check_run_cancel(run);
        return r;
    }
    *ret_run = run;
    return 0;
}

struct check_run *check_run_cancel(struct check_run *run)
{
    if (!run)
        return NULL;
    run->env->ops->http_cancel(run->env, run->http);
    run->env->ops->tcp_cancel(run->env, run->tcp);
    run->env->ops->grpc_cancel(run->env, run->grpc);
    free(run->url);
    free(run->body);
    free(run);
    return NULL;
}

void check_run_end(struct check_run *run, bool tried, enum check_state state, const char *output)
{
    check_run_done_t done = run->done;
    void *userdata = run->userdata;
    char line[CHECK_OUTPUT_SIZE];

    check_output_copy(line, output, strlen(output));
    check_run_cancel(run);
    done(userdata, &(struct check_result){tried, state, line});
}
