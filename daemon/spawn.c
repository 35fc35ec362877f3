/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs run for their output (spawn.h). A call whose program was killed lives on, without its
 * owner, until the kernel hands the process back.
 */
#include "daemon/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include <systemd/sd-event.h>
#include <utlist.h>

enum { ERROR_TAIL = 400, VARIABLES_MAX = 4096 };

struct spawn_call {
    struct spawner *spawner;
    pid_t pid; /* 0: reaped, or never started */
    int output_fd, error_fd;
    sd_event_source *child, *output_source, *error_source, *timer;
    char *output;
    size_t size, max_output;
    char error[ERROR_TAIL]; /* the end of what it wrote there */
    size_t error_size;
    void (*done)(void *userdata, const struct spawn_result *result); /* NULL: nobody waits */
    void *userdata;
    struct spawn_call *prev, *next;
};

struct spawner {
    sd_event *event;
    struct spawn_call *calls;
};

/* ---- the end of a call ---- */

static void close_pipes(struct spawn_call *call)
{
    call->output_source = sd_event_source_disable_unref(call->output_source);
    call->error_source = sd_event_source_disable_unref(call->error_source);
    call->timer = sd_event_source_disable_unref(call->timer);
    closep(&call->output_fd);
    closep(&call->error_fd);
    call->output_fd = call->error_fd = -1;
}

static void call_free(struct spawn_call *call)
{
    close_pipes(call);
    sd_event_source_disable_unref(call->child);
    if (call->output)
        explicit_bzero(call->output, call->size);
    free(call->output);
    explicit_bzero(call->error, sizeof(call->error));
    DL_DELETE(call->spawner->calls, call);
    free(call);
}

static void call_kill(struct spawn_call *call)
{
    if (call->pid > 0) {
        kill(-call->pid, SIGKILL);
        kill(call->pid, SIGKILL); /* one that left its group */
    }
}

/* The last line that says something, as printable ASCII. */
static const char *last_line(struct spawn_call *call)
{
    char *start = call->error, *line;

    while (call->error_size > 0 && (unsigned char)start[call->error_size - 1] <= ' ')
        call->error_size--;
    start[call->error_size] = '\0';
    line = memrchr(start, '\n', call->error_size);
    line = line ? line + 1 : start;
    for (char *at = line; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
    return line;
}

static void describe(struct spawn_call *call, const struct spawn_result *result, char *text,
                     size_t size)
{
    const char *line = last_line(call), *colon = *line ? ": " : "";

    if (result->outcome == SPAWN_KILLED)
        snprintf(text, size, "killed by signal %d%s%s", result->status, colon, line);
    else if (result->outcome == SPAWN_TIMEOUT)
        snprintf(text, size, "took too long%s%s", colon, line);
    else if (result->outcome == SPAWN_TOO_LARGE)
        snprintf(text, size, "wrote too much");
    else if (result->status != 0)
        snprintf(text, size, "exit status %d%s%s", result->status, colon, line);
    else
        *text = '\0';
}

/* Tells the owner, who is not asked again. */
static void call_tell(struct spawn_call *call, enum spawn_outcome outcome, int status)
{
    void (*done)(void *userdata, const struct spawn_result *result) = call->done;
    struct spawn_result result = {outcome, status, call->output, call->size, NULL};
    char text[ERROR_TAIL + 64];

    describe(call, &result, text, sizeof(text));
    result.text = text;
    call->output[call->size] = '\0';
    call->done = NULL;
    if (done)
        done(call->userdata, &result);
}

/* Ends it before its time. */
static void call_stop(struct spawn_call *call, enum spawn_outcome outcome)
{
    call_kill(call);
    close_pipes(call);
    call_tell(call, outcome, 0);
}

/* ---- pipes ---- */

/* 1: something was read; 0: there is no more for now, or ever; -E2BIG. */
static int read_output(struct spawn_call *call)
{
    char extra;
    size_t room = call->max_output - call->size;
    ssize_t n = read(call->output_fd, room > 0 ? call->output + call->size : &extra, room ?: 1);

    if (n > 0 && room == 0)
        return -E2BIG;
    call->size += n > 0 ? (size_t)n : 0;
    return n > 0 || (n < 0 && errno == EINTR);
}

static int read_error(struct spawn_call *call)
{
    enum { PIECE = ERROR_TAIL / 2 };
    size_t keep = call->error_size < PIECE ? call->error_size : PIECE - 1;
    ssize_t n;

    memmove(call->error, call->error + call->error_size - keep, keep);
    call->error_size = keep;
    n = read(call->error_fd, call->error + keep, PIECE);
    call->error_size += n > 0 ? (size_t)n : 0;
    return n > 0 || (n < 0 && errno == EINTR);
}

/* A piece a turn: the loop must go on, whatever it writes. At its end there is nothing to wait for.
 */
static int on_output(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct spawn_call *call = userdata;
    int r = read_output(call);

    (void)fd, (void)events;
    if (r == -E2BIG)
        call_stop(call, SPAWN_TOO_LARGE);
    else if (r == 0)
        sd_event_source_set_enabled(source, SD_EVENT_OFF);
    return 0;
}

static int on_error(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    (void)fd, (void)events;
    if (read_error(userdata) == 0)
        sd_event_source_set_enabled(source, SD_EVENT_OFF);
    return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source, (void)usec;
    call_stop(userdata, SPAWN_TIMEOUT);
    return 0;
}

/* ---- the process ---- */

/* A pipe holds 64 KiB or so; whoever inherited it and writes on is not waited for. */
static bool drain(struct spawn_call *call)
{
    int r = 1;

    for (unsigned turns = 0; turns < 64 && r > 0; turns++)
        r = read_output(call);
    for (unsigned turns = 0; turns < 1024 && read_error(call) > 0; turns++)
        ;
    return r >= 0;
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *userdata)
{
    struct spawn_call *call = userdata;
    siginfo_t reaped;
    bool whole;

    (void)source;
    waitid(P_PID, (id_t)call->pid, &reaped, WEXITED | WNOHANG);
    call->pid = 0;
    if (call->done) {
        whole = drain(call);
        close_pipes(call);
        call_tell(call,
                  !whole                        ? SPAWN_TOO_LARGE
                  : info->si_code == CLD_EXITED ? SPAWN_EXITED
                                                : SPAWN_KILLED,
                  info->si_status);
    }
    call_free(call);
    return 0;
}

/* What tells the daemon about itself is not for others. */
static bool is_ours(const char *variable)
{
    static const char *const ours[] = {"NOTIFY_SOCKET=", "LISTEN_", "WATCHDOG_", "MAINPID="};

    for (size_t i = 0; i < ELEMENTS(ours); i++)
        if (strncmp(variable, ours[i], strlen(ours[i])) == 0)
            return true;
    return false;
}

static bool is_replaced(const char *variable, const char *const *variables)
{
    size_t size = strcspn(variable, "=") + 1;

    for (; variables && *variables; variables++)
        if (strncmp(*variables, variable, size) == 0)
            return true;
    return false;
}

/* Borrowed strings, NULL-terminated. */
static char **environment_new(const char *const *variables)
{
    char **list = calloc(VARIABLES_MAX + 1, sizeof(*list));
    size_t count = 0;

    if (!list)
        return NULL;
    for (const char *const *one = variables; one && *one && count < VARIABLES_MAX; one++)
        list[count++] = (char *)*one;
    for (char **one = environ; one && *one && count < VARIABLES_MAX; one++)
        if (!is_ours(*one) && !is_replaced(*one, variables))
            list[count++] = *one;
    return list;
}

static char **arguments_new(const char *program, const char *const *arguments)
{
    size_t count = 0;
    char **list;

    while (arguments && arguments[count])
        count++;
    list = calloc(count + 2, sizeof(*list));
    if (!list)
        return NULL;
    list[0] = (char *)program;
    for (size_t i = 0; i < count; i++)
        list[i + 1] = (char *)arguments[i];
    return list;
}

static int set_files(posix_spawn_file_actions_t *actions, int output, int error)
{
    int r = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

    r = r ?: posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO);
    r = r ?: posix_spawn_file_actions_adddup2(actions, error, STDERR_FILENO);
    return -(r ?: posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1));
}

static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    int r;

    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    r = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                 POSIX_SPAWN_SETPGROUP);
    r = r ?: posix_spawnattr_setsigmask(attributes, &none);
    r = r ?: posix_spawnattr_setsigdefault(attributes, &all);
    return -(r ?: posix_spawnattr_setpgroup(attributes, 0));
}

/* Returns when the program was loaded, or could not be: both are soon. */
static int run(struct spawn_call *call, const struct spawn_request *request, int output, int error)
{
    _cleanup_(freep) char **arguments = arguments_new(request->program, request->arguments);
    _cleanup_(freep) char **environment = environment_new(request->variables);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int r;

    if (!arguments || !environment)
        return -ENOMEM;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    r = set_files(&actions, output, error);
    if (r == 0)
        r = set_attributes(&attributes);
    if (r == 0)
        r = -posix_spawnp(&call->pid, request->program, &actions, &attributes, arguments,
                          environment);
    if (r < 0)
        call->pid = 0;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return r;
}

static int start(struct spawn_call *call, const struct spawn_request *request)
{
    _cleanup_(closep) int output = -1, error = -1;
    int pipes[2];

    if (pipe2(pipes, O_CLOEXEC) < 0)
        return -errno;
    call->output_fd = pipes[0];
    output = pipes[1];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return -errno;
    call->error_fd = pipes[0];
    error = pipes[1];
    if (fcntl(call->output_fd, F_SETFL, O_NONBLOCK) < 0 ||
        fcntl(call->error_fd, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    return run(call, request, output, error);
}

static int listen_to(struct spawn_call *call, usec_t timeout)
{
    sd_event *event = call->spawner->event;
    int r = sd_event_add_child(event, &call->child, call->pid, WEXITED, on_child, call);

    if (r >= 0)
        r = sd_event_add_io(event, &call->output_source, call->output_fd, EPOLLIN, on_output, call);
    if (r >= 0)
        r = sd_event_add_io(event, &call->error_source, call->error_fd, EPOLLIN, on_error, call);
    if (r >= 0)
        r = sd_event_add_time_relative(event, &call->timer, CLOCK_BOOTTIME, timeout, USEC_PER_MSEC,
                                       on_timer, call);
    return r < 0 ? r : 0;
}

/* ---- the interface ---- */

int spawn_start(struct spawner *spawner, const struct spawn_request *request,
                struct spawn_call **ret_call)
{
    struct spawn_call *call = calloc(1, sizeof(*call));
    int r;

    if (!call)
        return -ENOMEM;
    *call = (struct spawn_call){.spawner = spawner,
                                .output_fd = -1,
                                .error_fd = -1,
                                .output = malloc(request->max_output + 1),
                                .max_output = request->max_output};
    DL_APPEND(spawner->calls, call);
    r = call->output ? start(call, request) : -ENOMEM;
    if (r == 0)
        r = listen_to(call, request->timeout);
    if (r == 0) {
        call->done = request->done;
        call->userdata = request->userdata;
        *ret_call = call;
        return 0;
    }
    spawn_cancel(spawner, call);
    return r;
}

void spawn_cancel(struct spawner *spawner, struct spawn_call *call)
{
    (void)spawner;
    if (!call)
        return;
    call->done = NULL;
    call_kill(call);
    close_pipes(call);
    if (call->pid > 0 && call->child)
        return;
    if (call->pid > 0)
        waitpid(call->pid, NULL, 0);
    call_free(call);
}

int spawner_new(struct sd_event *event, struct spawner **ret_spawner)
{
    struct spawner *spawner = calloc(1, sizeof(*spawner));
    sigset_t mask;

    if (!spawner)
        return -ENOMEM;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    signal(SIGCHLD, SIG_DFL); /* one who starts us with it ignored would have them vanish */
    spawner->event = sd_event_ref(event);
    *ret_spawner = spawner;
    return 0;
}

/* Who was just killed is not waited for: this process ends, and its parent takes them. */
struct spawner *spawner_free(struct spawner *spawner)
{
    struct spawn_call *call, *next;

    if (!spawner)
        return NULL;
    DL_FOREACH_SAFE (spawner->calls, call, next) {
        call_kill(call);
        if (call->pid > 0)
            waitpid(call->pid, NULL, WNOHANG);
        call_free(call);
    }
    sd_event_unref(spawner->event);
    free(spawner);
    return NULL;
}
