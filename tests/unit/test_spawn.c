/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs run for their output: real processes on a real loop. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "daemon/spawn.h"
#include "tests/unit/loop.h"
#include "tests/unit/unit.h"

static sd_event *event;
static struct spawner *spawner;
static unsigned ends;
static enum spawn_outcome outcome;
static int status;
static char output[8192], text[1024];

static void done(void *userdata, const struct spawn_result *result)
{
    (void)userdata;
    ends++;
    outcome = result->outcome;
    status = result->status;
    ck_assert_uint_eq(strlen(result->output), result->size);
    snprintf(output, sizeof(output), "%s", result->output);
    snprintf(text, sizeof(text), "%s", result->text);
}

static void set_up(void)
{
    ends = 0;
    ck_assert_int_ge(sd_event_new(&event), 0);
    ck_assert_int_eq(spawner_new(event, &spawner), 0);
}

/* Whatever a test did, no child is left. */
static void tear_down(void)
{
    spawner = spawner_free(spawner);
    event = sd_event_unref(event);
}

static struct spawn_call *start(const char *script, const char *const *variables, usec_t timeout)
{
    struct spawn_call *call = NULL;

    ck_assert_int_eq(spawn_start(spawner,
                                 &(struct spawn_request){
                                     .program = "sh",
                                     .arguments = (const char *const[]){"-c", script, NULL},
                                     .variables = variables,
                                     .timeout = timeout,
                                     .max_output = 4000,
                                     .done = done,
                                 },
                                 &call),
                     0);
    return call;
}

static void run(const char *script)
{
    unsigned before = ends;

    start(script, NULL, LOOP_PATIENCE);
    loop_until(event, &ends, before + 1);
}

/* Turns the loop until this process has no child, not even a dead one. */
static void until_no_child(void)
{
    usec_t end = loop_now() + LOOP_PATIENCE;
    siginfo_t info;

    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0) {
        ck_assert(loop_now() < end);
        sd_event_run(event, 10 * USEC_PER_MSEC);
    }
    ck_assert_int_eq(errno, ECHILD);
}

START_TEST(what_a_program_wrote_comes_with_its_exit_status)
{
    run("printf 'one\\ntwo'");
    ck_assert_int_eq(outcome, SPAWN_EXITED);
    ck_assert_int_eq(status, 0);
    ck_assert_str_eq(output, "one\ntwo");
    ck_assert_str_eq(text, "");
    until_no_child();
}
END_TEST

START_TEST(a_failure_is_told_with_the_last_line_of_its_standard_error)
{
    run("echo first >&2; printf 'no \\033[31mlogin\\n\\n' >&2; exit 3");
    ck_assert_int_eq(outcome, SPAWN_EXITED);
    ck_assert_int_eq(status, 3);
    ck_assert_str_eq(text, "exit status 3: no ?[31mlogin");
    run("yes filler | head -c 100000 >&2; echo >&2; echo the end >&2; exit 1");
    ck_assert_str_eq(text, "exit status 1: the end");
    until_no_child();
}
END_TEST

START_TEST(a_program_that_was_killed_is_told_with_the_signal)
{
    run("kill -TERM $$");
    ck_assert_int_eq(outcome, SPAWN_KILLED);
    ck_assert_int_eq(status, SIGTERM);
    ck_assert_str_eq(text, "killed by signal 15");
}
END_TEST

START_TEST(a_program_that_is_not_there_is_an_error_at_once)
{
    struct spawn_call *call;
    struct spawn_request request = {
        .program = "/nonexistent/login", .timeout = 1, .max_output = 1, .done = done};

    ck_assert_int_eq(spawn_start(spawner, &request, &call), -ENOENT);
    request.program = "/etc/passwd";
    ck_assert_int_eq(spawn_start(spawner, &request, &call), -EACCES);
    request.program = "no-such-program-in-path";
    ck_assert_int_eq(spawn_start(spawner, &request, &call), -ENOENT);
    until_no_child();
    ck_assert_uint_eq(ends, 0);
}
END_TEST

static bool is_dead(pid_t pid)
{
    char path[64], line[256] = "";
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    file = fopen(path, "re");
    if (file && !fgets(line, sizeof(line), file))
        *line = '\0';
    if (file)
        fclose(file);
    return !*line || strstr(line, ") Z ");
}

START_TEST(one_that_takes_too_long_is_killed_with_its_children)
{
    pid_t child = 0;
    usec_t end = loop_now() + LOOP_PATIENCE;

    start("sleep 1000 & echo $!; wait", NULL, 500 * USEC_PER_MSEC);
    loop_until(event, &ends, 1);
    ck_assert_int_eq(outcome, SPAWN_TIMEOUT);
    ck_assert_str_eq(text, "took too long");
    child = (pid_t)strtol(output, NULL, 10);
    ck_assert_int_gt(child, 1);
    until_no_child();
    /* It is somebody else's child now, who may take a while to take it. */
    while (kill(child, 0) == 0 && !is_dead(child)) {
        ck_assert(loop_now() < end);
        sd_event_run(event, 10 * USEC_PER_MSEC);
    }
}
END_TEST

START_TEST(one_that_writes_too_much_is_killed)
{
    run("yes");
    ck_assert_int_eq(outcome, SPAWN_TOO_LARGE);
    run("head -c 4001 /dev/zero | tr '\\0' x");
    ck_assert_int_eq(outcome, SPAWN_TOO_LARGE);
    run("head -c 4000 /dev/zero | tr '\\0' x");
    ck_assert_int_eq(outcome, SPAWN_EXITED);
    ck_assert_uint_eq(strlen(output), 4000);
    until_no_child();
}
END_TEST

START_TEST(one_that_is_cancelled_is_never_heard_of)
{
    spawn_cancel(spawner, start("sleep 1000", NULL, LOOP_PATIENCE));
    spawn_cancel(spawner, NULL);
    until_no_child();
    ck_assert_uint_eq(ends, 0);
}
END_TEST

START_TEST(a_child_that_keeps_the_pipe_is_not_waited_for)
{
    run("sleep 1000 & echo $!");
    ck_assert_int_eq(outcome, SPAWN_EXITED);
    ck_assert_int_eq(kill((pid_t)strtol(output, NULL, 10), SIGKILL), 0);
}
END_TEST

START_TEST(it_inherits_the_environment_but_what_is_ours)
{
    setenv("SPAWN_KEPT", "kept", 1);
    setenv("SPAWN_REPLACED", "old", 1);
    setenv("NOTIFY_SOCKET", "/x", 1);
    setenv("WATCHDOG_USEC", "1", 1);
    start("echo $SPAWN_KEPT $SPAWN_REPLACED $SPAWN_NEW ${NOTIFY_SOCKET-none} ${WATCHDOG_USEC-none}",
          (const char *const[]){"SPAWN_REPLACED=new", "SPAWN_NEW=a b", NULL}, LOOP_PATIENCE);
    loop_until(event, &ends, 1);
    ck_assert_str_eq(output, "kept new a b none none\n");
}
END_TEST

/* What `program` writes with these arguments, without a shell in between. */
static void run_program(const char *program, const char *const *arguments)
{
    struct spawn_call *call;
    unsigned before = ends;

    ck_assert_int_eq(spawn_start(spawner,
                                 &(struct spawn_request){.program = program,
                                                         .arguments = arguments,
                                                         .timeout = LOOP_PATIENCE,
                                                         .max_output = 4000,
                                                         .done = done},
                                 &call),
                     0);
    loop_until(event, &ends, before + 1);
}

START_TEST(it_inherits_no_descriptor)
{
    int leak = open("/dev/null", O_RDONLY); /* not close-on-exec */

    ck_assert_int_ge(leak, 3);
    run_program("ls", (const char *const[]){"/proc/self/fd", NULL});
    ck_assert_str_eq(output, "0\n1\n2\n3\n"); /* the last one is the directory */
    run_program("readlink", (const char *const[]){"/proc/self/fd/0", NULL});
    ck_assert_str_eq(output, "/dev/null\n");
    close(leak);
}
END_TEST

START_TEST(its_signals_are_those_of_a_new_program)
{
    unsigned long long blocked, ignored;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    run_program("grep", (const char *const[]){"-E", "Sig(Blk|Ign)", "/proc/self/status", NULL});
    ck_assert_int_eq(sscanf(output, "SigBlk: %llx SigIgn: %llx", &blocked, &ignored), 2);
    ck_assert_uint_eq(blocked, 0);
    ck_assert_uint_eq(ignored & 0x7fffffff, 0); /* above are those of the C library itself */
}
END_TEST

START_TEST(it_leads_a_group_of_its_own)
{
    int pid, group;

    run_program("cut", (const char *const[]){"-d", " ", "-f", "1,5", "/proc/self/stat", NULL});
    ck_assert_int_eq(sscanf(output, "%d %d", &pid, &group), 2);
    ck_assert_int_eq(pid, group);
}
END_TEST

static unsigned count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

START_TEST(no_descriptor_is_left_behind)
{
    unsigned before;

    run("true"); /* what the loop itself opens */
    before = count_descriptors();
    for (unsigned i = 0; i < 5; i++) {
        run("exit 1");
        spawn_cancel(spawner, start("sleep 1000", NULL, LOOP_PATIENCE));
        until_no_child();
    }
    ck_assert_uint_eq(count_descriptors(), before);
}
END_TEST

START_TEST(what_still_runs_ends_with_the_spawner)
{
    siginfo_t info;

    start("sleep 1000", NULL, LOOP_PATIENCE);
    spawner = spawner_free(spawner);
    while (waitid(P_ALL, 0, &info, WEXITED) == 0)
        ck_assert_int_eq(info.si_status, SIGKILL);
    ck_assert_uint_eq(ends, 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("spawn");

    UNIT_CASE_FIXTURE(
        suite, "ends", set_up, tear_down, what_a_program_wrote_comes_with_its_exit_status,
        a_failure_is_told_with_the_last_line_of_its_standard_error,
        a_program_that_was_killed_is_told_with_the_signal,
        a_program_that_is_not_there_is_an_error_at_once,
        one_that_takes_too_long_is_killed_with_its_children, one_that_writes_too_much_is_killed,
        one_that_is_cancelled_is_never_heard_of, a_child_that_keeps_the_pipe_is_not_waited_for);
    UNIT_CASE_FIXTURE(suite, "inheritance", set_up, tear_down,
                      it_inherits_the_environment_but_what_is_ours, it_inherits_no_descriptor,
                      its_signals_are_those_of_a_new_program, it_leads_a_group_of_its_own,
                      no_descriptor_is_left_behind, what_still_runs_ends_with_the_spawner);
    return suite;
}

UNIT_MAIN(make_suite)
