/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/scripted_daemon.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/unit.h"

static usec_t boottime(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (usec_t)now.tv_sec * USEC_PER_SEC + (usec_t)now.tv_nsec / 1000;
}

void daemon_init(struct scripted_daemon *daemon)
{
    *daemon = (struct scripted_daemon){.directory = "/tmp/nss-sd-test.XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(daemon->directory));
    ck_assert_int_eq(setenv(NSS_SD_RUNTIME_DIRECTORY_ENV, daemon->directory, 1), 0);
    daemon->seen = mmap(NULL, sizeof(*daemon->seen), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(daemon->seen != MAP_FAILED);
}

int daemon_listen(const struct scripted_daemon *daemon, int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/" NSS_SD_LOOKUP_SOCKET,
             daemon->directory);
    ck_assert_int_ge(fd, 0);
    unlink(address.sun_path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(fd, backlog), 0);
    return fd;
}

/* Serves one client, in a process of its own so that a slow script does not hold up the next. */
static void serve(int fd, const struct script *script, struct daemon_seen *seen)
{
    struct wire_request request;

    if (script->deaf)
        return;
    if (recv(fd, &request, sizeof(request), 0) == sizeof(request))
        seen->request = request;
    atomic_fetch_add(&seen->connections, 1);
    usleep(script->delay_ms * 1000);
    if (script->hang)
        recv(fd, &request, sizeof(request), 0);
    else if (script->size > 0)
        send(fd, script->reply, script->size, MSG_NOSIGNAL);
}

static _Noreturn void run(int listener, const struct script *script, struct daemon_seen *seen)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        if (fd < 0)
            continue;
        if (script->delay_ms == 0 && !script->hang) {
            serve(fd, script, seen);
        } else if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            serve(fd, script, seen);
            _exit(0);
        }
        close(fd);
    }
}

void daemon_start(struct scripted_daemon *daemon, const struct script *script)
{
    int listener = daemon_listen(daemon, 128);

    daemon->pid = fork();
    ck_assert_int_ge(daemon->pid, 0);
    if (daemon->pid == 0)
        run(listener, script, daemon->seen);
    close(listener);
}

void daemon_stop(struct scripted_daemon *daemon)
{
    if (daemon->pid > 0) {
        kill(daemon->pid, SIGKILL);
        waitpid(daemon->pid, NULL, 0);
    }
    daemon->pid = 0;
}

void daemon_done(struct scripted_daemon *daemon)
{
    char path[128];

    daemon_stop(daemon);
    daemon->writer = view_writer_close(daemon->writer);
    snprintf(path, sizeof(path), "%s/" NSS_SD_LOOKUP_SOCKET, daemon->directory);
    unlink(path);
    snprintf(path, sizeof(path), "%s/" NSS_SD_VIEW_FILE, daemon->directory);
    unlink(path);
    ck_assert_int_eq(rmdir(daemon->directory), 0);
    munmap(daemon->seen, sizeof(*daemon->seen));
}

void daemon_publish(struct scripted_daemon *daemon, const char *search, unsigned timeout_ms)
{
    struct view_domain_spec domain = {.name = "consul"};
    struct view_spec spec = {
        .domains = &domain,
        .domain_count = 1,
        .search = &search,
        .search_count = search ? 1 : 0,
        .ndots = 1,
        .lookup_timeout = timeout_ms * USEC_PER_MSEC,
    };

    view_writer_close(daemon->writer);
    ck_assert_int_eq(
        view_writer_open(daemon->directory, &spec, boottime(), NULL, NULL, &daemon->writer), 0);
}

void daemon_beat(struct scripted_daemon *daemon, int seconds)
{
    view_writer_beat(daemon->writer, boottime() - (usec_t)((int64_t)seconds * 1000000));
}

size_t reply_make(struct reply *ret_reply, const struct payload_spec *spec)
{
    static struct payload payload;
    size_t used = payload_make(&payload, spec);
    struct wire_reply_head head = {
        .magic = WIRE_REPLY_MAGIC,
        .version = WIRE_VERSION,
        .size = sizeof(head),
        .payload_size = (uint32_t)used,
    };

    memcpy(ret_reply->data, &head, sizeof(head));
    memcpy(ret_reply->data + sizeof(head), payload.data, used);
    return sizeof(head) + used;
}
