/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* News for the service manager (daemon/notify.h). */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "daemon/base.h"
#include "daemon/notify.h"
#include "tests/unit/unit.h"

static char directory[] = "/tmp/nss-sd-notify-XXXXXX";

/* A service manager's socket; `name`: a path, or "@..." */
static int manager_listen(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    size_t length = strlen(name);

    memcpy(address.sun_path, name, length);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
                     0);
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

static void expect_news(int fd, const char *text)
{
    char buffer[64] = "";

    ck_assert_int_eq(recv(fd, buffer, sizeof(buffer) - 1, MSG_DONTWAIT), (int)strlen(text));
    ck_assert_str_eq(buffer, text);
}

START_TEST(news_reach_the_service_manager)
{
    char path[64];
    int fd;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/notify", directory);
    fd = manager_listen(path);
    ck_assert_int_eq(notify_try("STATUS=well"), 0);
    expect_news(fd, "STATUS=well");
    close(fd);
    /* A manager that is gone is an error, not a signal. */
    ck_assert_int_eq(notify_try("STATUS=well"), -ECONNREFUSED);
    unlink(path);
    rmdir(directory);
    snprintf(path, sizeof(path), "@nss-sd-notify-%d", getpid());
    fd = manager_listen(path);
    ck_assert_int_eq(notify_try("STATUS=well"), 0);
    expect_news(fd, "STATUS=well");
    close(fd);
}
END_TEST

START_TEST(a_manager_that_does_not_read_is_not_waited_for)
{
    char name[64];
    int fd, r = 0;

    snprintf(name, sizeof(name), "@nss-sd-notify-%d", getpid());
    fd = manager_listen(name);
    for (unsigned i = 0; i < 100000 && r == 0; i++)
        r = notify_try("STATUS=well");
    ck_assert_int_eq(r, -EAGAIN);
    expect_news(fd, "STATUS=well");
    close(fd);
}
END_TEST

START_TEST(without_a_manager_nothing_is_sent)
{
    unsetenv("NOTIFY_SOCKET");
    ck_assert_int_eq(notify_try("STATUS=well"), 0);
    setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
    ck_assert_int_eq(notify_try("STATUS=well"), -EAFNOSUPPORT);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("notify");

    UNIT_CASE(suite, "notify", news_reach_the_service_manager,
              a_manager_that_does_not_read_is_not_waited_for, without_a_manager_nothing_is_sent);
    return suite;
}

UNIT_MAIN(make_suite)
