/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Log lines as they arrive: on stderr, which each test replaces by a file of its own, and in the
 * journal, whose socket a test plays itself in a mount namespace of its own.
 */
#include "daemon/log.h"
#include "tests/unit/unit.h"

#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int capture = -1;
static char captured[8192];

static void capture_start(void)
{
    unsetenv("JOURNAL_STREAM");
    log_set_level(LOG_INFO);
    capture = memfd_create("stderr", MFD_CLOEXEC);
    ck_assert_int_ge(capture, 0);
    ck_assert_int_eq(dup2(capture, STDERR_FILENO), STDERR_FILENO);
}

static void capture_done(void)
{
    close(capture);
}

/* All that was written since the last call. */
static const char *lines(void)
{
    ssize_t size = pread(capture, captured, sizeof(captured) - 1, 0);

    ck_assert_int_ge(size, 0);
    captured[size] = '\0';
    ck_assert_int_eq(ftruncate(capture, 0), 0);
    lseek(capture, 0, SEEK_SET);
    return captured;
}

START_TEST(a_line_says_level_registry_service_and_text)
{
    struct log_context both = {"consul", "orders"}, one = {.registry = "consul"};

    log_warning("%d of %d", 1, 2);
    ck_assert_str_eq(lines(), "warning: 1 of 2\n");
    log_write(LOG_ERR, &both, "gone");
    ck_assert_str_eq(lines(), "err: registry consul: service orders: gone\n");
    log_write(LOG_INFO, &one, "up");
    ck_assert_str_eq(lines(), "info: registry consul: up\n");
}
END_TEST

START_TEST(lines_above_the_level_are_dropped)
{
    log_debug("hidden");
    ck_assert_str_eq(lines(), "");
    log_set_level(LOG_DEBUG);
    log_debug("shown");
    ck_assert_str_eq(lines(), "debug: shown\n");
    log_set_level(LOG_ERR);
    log_warning("hidden");
    ck_assert_str_eq(lines(), "");
    ck_assert_int_eq(log_get_level(), LOG_ERR);
}
END_TEST

START_TEST(foreign_text_cannot_forge_a_line)
{
    struct log_context context = {"a\nb", "\x1b[2J"};

    log_write(LOG_INFO, &context, "x\r\ninfo: \xc3\xa4\x7f%s", "\t");
    ck_assert_str_eq(lines(), "info: registry a\\x0ab: service \\x1b[2J: "
                              "x\\x0d\\x0ainfo: \\xc3\\xa4\\x7f\\x09\n");
}
END_TEST

START_TEST(long_text_is_cut_and_says_so)
{
    char text[3000];
    size_t length;

    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    log_info("%s", text);
    length = strlen(lines());
    ck_assert_uint_eq(length, strlen("info: \n") + 1024);
    ck_assert_str_eq(captured + length - 5, "a...\n");
    text[1024] = '\0';
    log_info("%s", text);
    ck_assert_uint_eq(strlen(lines()), strlen("info: \n") + 1024);
    ck_assert_ptr_null(strstr(captured, "..."));
    memset(text, '\n', 1024);
    log_info("%s", text);
    ck_assert_uint_le(strlen(lines()), strlen("info: \n") + 1024);
    ck_assert_ptr_nonnull(strstr(captured, "\\x0a...\n"));
}
END_TEST

START_TEST(printable_text_fits_every_size)
{
    char out[16];

    for (size_t size = 4; size <= sizeof(out); size++) {
        memset(out, '#', sizeof(out));
        log_printable("ab\ncd\nefghijklmn", out, size);
        ck_assert_uint_lt(strlen(out), size);
        ck_assert_str_eq(out + strlen(out) - 3, "...");
        for (size_t i = size; i < sizeof(out); i++)
            ck_assert_int_eq(out[i], '#');
    }
    log_printable("abc", out, 4);
    ck_assert_str_eq(out, "abc");
    log_printable("", out, 4);
    ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(errno_survives_and_is_what_percent_m_says)
{
    errno = ENOENT;
    log_info("%m");
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_str_eq(lines(), "info: No such file or directory\n");
    close(STDERR_FILENO);
    errno = EXDEV;
    log_info("into nothing");
    ck_assert_int_eq(errno, EXDEV);
}
END_TEST

/* Makes stderr the journal's stream, as the service manager would. */
static void claim_journal_stream(void)
{
    char stream[64];
    struct stat st;

    ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
}

/* A /run of our own. False without the right to it: ./run-tests has it. */
static bool private_run(void)
{
    if (unshare(CLONE_NEWNS) < 0)
        return false;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", "/run", "tmpfs", 0, NULL) == 0;
}

START_TEST(the_journal_gets_fields)
{
    struct sockaddr_un address = {AF_UNIX, "/run/systemd/journal/socket"};
    struct log_context context = {"consul", "orders"};
    int journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ssize_t size;

    if (!private_run())
        return;
    ck_assert_int_eq(mkdir("/run/systemd", 0755), 0);
    ck_assert_int_eq(mkdir("/run/systemd/journal", 0755), 0);
    ck_assert_int_eq(bind(journal, (struct sockaddr *)&address, sizeof(address)), 0);
    claim_journal_stream();
    log_write(LOG_WARNING, &context, "gone");
    ck_assert_str_eq(lines(), "");
    size = recv(journal, captured, sizeof(captured) - 1, MSG_DONTWAIT);
    ck_assert_int_gt(size, 0);
    captured[size] = '\0';
    ck_assert_ptr_nonnull(strstr(captured, "PRIORITY=4\n"));
    ck_assert_ptr_nonnull(strstr(captured, "MESSAGE=registry consul: service orders: gone\n"));
    ck_assert_ptr_nonnull(strstr(captured, "NSS_SD_REGISTRY=consul\n"));
    ck_assert_ptr_nonnull(strstr(captured, "NSS_SD_SERVICE=orders\n"));
    ck_assert_ptr_null(strstr(captured, "CODE_"));
    close(journal);
}
END_TEST

START_TEST(without_a_journal_its_stream_gets_a_level_prefix)
{
    if (!private_run())
        return;
    claim_journal_stream();
    log_warning("hello");
    ck_assert_str_eq(lines(), "<4>hello\n");
}
END_TEST

START_TEST(a_stream_that_is_not_the_journals_gets_words)
{
    setenv("JOURNAL_STREAM", "1:1", 1);
    log_warning("hello");
    ck_assert_str_eq(lines(), "warning: hello\n");
    setenv("JOURNAL_STREAM", "x", 1);
    log_warning("hello");
    ck_assert_str_eq(lines(), "warning: hello\n");
}
END_TEST

START_TEST(levels_have_words_both_ways)
{
    static const char *const words[] = {"err", "warning", "notice", "info", "debug"};

    for (size_t i = 0; i < ELEMENTS(words); i++) {
        ck_assert_int_eq(log_level_from_string(words[i]), LOG_ERR + (int)i);
        ck_assert_str_eq(log_level_to_string(LOG_ERR + (int)i), words[i]);
    }
    ck_assert_int_eq(log_level_from_string("loud"), -EINVAL);
    ck_assert_int_eq(log_level_from_string(""), -EINVAL);
}
END_TEST

START_TEST(a_limit_passes_a_burst_and_tells_what_it_dropped)
{
    struct log_limit limit = {.interval = 10 * USEC_PER_SEC, .burst = 2};
    usec_t start = 5 * USEC_PER_SEC;

    ck_assert(log_limit_pass(&limit, start));
    ck_assert(log_limit_pass(&limit, start + 1));
    for (usec_t i = 0; i < 7; i++)
        ck_assert(!log_limit_pass(&limit, start + i));
    ck_assert(!log_limit_pass(&limit, start + limit.interval - 1));
    ck_assert_str_eq(lines(), "");
    ck_assert(log_limit_pass(&limit, start + limit.interval));
    ck_assert_ptr_nonnull(strstr(lines(), "8 lines"));
    ck_assert(log_limit_pass(&limit, start + limit.interval));
    ck_assert(log_limit_pass(&limit, start + 3 * limit.interval));
    ck_assert_str_eq(lines(), "");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("log");
    TCase *lines_case = tcase_create("lines");

    tcase_add_checked_fixture(lines_case, capture_start, capture_done);
    tcase_add_test(lines_case, a_line_says_level_registry_service_and_text);
    tcase_add_test(lines_case, lines_above_the_level_are_dropped);
    tcase_add_test(lines_case, foreign_text_cannot_forge_a_line);
    tcase_add_test(lines_case, long_text_is_cut_and_says_so);
    tcase_add_test(lines_case, errno_survives_and_is_what_percent_m_says);
    tcase_add_test(lines_case, without_a_journal_its_stream_gets_a_level_prefix);
    tcase_add_test(lines_case, the_journal_gets_fields);
    tcase_add_test(lines_case, a_stream_that_is_not_the_journals_gets_words);
    tcase_add_test(lines_case, a_limit_passes_a_burst_and_tells_what_it_dropped);
    suite_add_tcase(suite, lines_case);
    UNIT_CASE(suite, "words", levels_have_words_both_ways, printable_text_fits_every_size);
    return suite;
}

UNIT_MAIN(make_suite)
