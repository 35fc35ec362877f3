/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The daemon's listening sockets, its own and those that it is passed (daemon/sockets.h). */
#include "daemon/sockets.h"
#include "nss-sd/wire.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

static char directory[] = "/tmp/nss-sd-sockets-XXXXXX";

static struct sockaddr_un address_of(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", directory, name);
    return address;
}

static void set_up(void)
{
    strcpy(directory + strlen(directory) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void tear_down(void)
{
    static const char *const names[] = {NSS_SD_LOOKUP_SOCKET, NSS_SD_REFRESH_SOCKET,
                                        NSS_SD_CONTROL_SOCKET};

    for (size_t i = 0; i < ELEMENTS(names); i++) {
        struct sockaddr_un address = address_of(names[i]);

        unlink(address.sun_path);
    }
    rmdir(directory);
}

static void close_all(const struct sockets *sockets)
{
    close(sockets->lookup);
    close(sockets->refresh);
    close(sockets->control);
}

static mode_t mode_of(const char *name)
{
    struct sockaddr_un address = address_of(name);
    struct stat st;

    ck_assert_int_eq(stat(address.sun_path, &st), 0);
    return st.st_mode & 0777;
}

static void assert_never_blocks(const struct sockets *sockets)
{
    ck_assert_int_ne(fcntl(sockets->lookup, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_ne(fcntl(sockets->refresh, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_ne(fcntl(sockets->control, F_GETFL) & O_NONBLOCK, 0);
}

START_TEST(its_own_sockets_are_open_to_everybody_and_never_block)
{
    struct sockets sockets;

    umask(077);
    ck_assert_int_eq(sockets_open(directory, &sockets), 0);
    ck_assert_uint_eq(mode_of(NSS_SD_LOOKUP_SOCKET), 0666);
    ck_assert_uint_eq(mode_of(NSS_SD_REFRESH_SOCKET), 0666);
    ck_assert_uint_eq(mode_of(NSS_SD_CONTROL_SOCKET), 0666);
    assert_never_blocks(&sockets);
    close_all(&sockets);
}
END_TEST

START_TEST(a_path_is_taken_over_from_the_dead_but_not_from_the_living)
{
    struct sockets first, second;

    ck_assert_int_eq(sockets_open(directory, &first), 0);
    ck_assert_int_eq(sockets_open(directory, &second), -EADDRINUSE);
    close_all(&first);
    ck_assert_int_eq(sockets_open(directory, &second), 0);
    close_all(&second);
}
END_TEST

/* A service manager's socket: bound, listening, and blocking, as it may be. */
static void pass(int place, const char *name, int type)
{
    struct sockaddr_un address = address_of(name);
    int fd = socket(AF_UNIX, type, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    if (type != SOCK_DGRAM)
        ck_assert_int_eq(listen(fd, 8), 0);
    if (fd != place) {
        ck_assert_int_eq(dup2(fd, place), place);
        close(fd);
    }
}

START_TEST(sockets_that_were_passed_are_used_and_never_block)
{
    char pid[16];
    struct sockets sockets;

    pass(SD_LISTEN_FDS_START, NSS_SD_CONTROL_SOCKET, SOCK_STREAM);
    pass(SD_LISTEN_FDS_START + 1, NSS_SD_LOOKUP_SOCKET, SOCK_SEQPACKET);
    pass(SD_LISTEN_FDS_START + 2, NSS_SD_REFRESH_SOCKET, SOCK_DGRAM);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "3", 1);
    ck_assert_int_eq(sockets_open(directory, &sockets), 0);
    ck_assert_int_eq(sockets.control, SD_LISTEN_FDS_START);
    ck_assert_int_eq(sockets.lookup, SD_LISTEN_FDS_START + 1);
    ck_assert_int_eq(sockets.refresh, SD_LISTEN_FDS_START + 2);
    assert_never_blocks(&sockets);
    close_all(&sockets);
}
END_TEST

/* Sends one byte and our own standard input. Returns 0, or the errno. */
static int pass_descriptor(const char *name, int type)
{
    struct sockaddr_un address = address_of(name);
    int fd = socket(AF_UNIX, type, 0), passed = STDIN_FILENO, error = 0;
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec part = {(char[]){'x'}, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};

    memcpy(CMSG_DATA(&control.header), &passed, sizeof(passed));
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
        error = errno;
    close(fd);
    return error;
}

START_TEST(nobody_can_pass_it_descriptors_where_the_kernel_can_tell_them)
{
    struct sockets sockets;
    int value;
    socklen_t length = sizeof(value);

    ck_assert_int_eq(sockets_open(directory, &sockets), 0);
    if (getsockopt(sockets.lookup, SOL_SOCKET, 83 /* SO_PASSRIGHTS */, &value, &length) == 0) {
        ck_assert_int_eq(pass_descriptor(NSS_SD_LOOKUP_SOCKET, SOCK_SEQPACKET), EPERM);
        ck_assert_int_eq(pass_descriptor(NSS_SD_REFRESH_SOCKET, SOCK_DGRAM), EPERM);
        ck_assert_int_eq(pass_descriptor(NSS_SD_CONTROL_SOCKET, SOCK_STREAM), EPERM);
    }
    close_all(&sockets);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("sockets");

    UNIT_CASE_FIXTURE(suite, "sockets", set_up, tear_down,
                      its_own_sockets_are_open_to_everybody_and_never_block,
                      a_path_is_taken_over_from_the_dead_but_not_from_the_living,
                      sockets_that_were_passed_are_used_and_never_block,
                      nobody_can_pass_it_descriptors_where_the_kernel_can_tell_them);
    return suite;
}

UNIT_MAIN(make_suite)
