/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nss-sdd: the daemon's command line. Everything else is the manager's.
 */
#include <fcntl.h>
#include <getopt.h>
#include <nss.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sysexits.h>

#include "daemon/base.h"
#include "daemon/log.h"
#include "daemon/manager.h"
#include <config.h>

static void print_help(void)
{
    printf("nss-sdd [OPTIONS…]\n\n"
           "Keeps the services that programs on this machine look up, for libnss_sd.so.2.\n\n"
           "  -h --help                     Show this help\n"
           "     --version                  Show the version\n"
           "     --config-directory=DIR     Read the configuration from DIR alone\n"
           "                                (default: " SYSCONFDIR "/nss-sd over " RUNSTATEDIR
           "/nss-sd over " PREFIX "/lib/nss-sd)\n"
           "     --runtime-directory=DIR    Sockets and the view (default: " RUNSTATEDIR
           "/nss-sd)\n"
           "     --state-directory=DIR      What survives a reboot (default: " LOCALSTATEDIR
           "/lib/nss-sd)\n"
           "     --log-level=LEVEL          err, warning, notice, info, debug (default: info)\n\n"
           "Runs in the foreground. SIGHUP reads the configuration again, SIGTERM ends it.\n");
}

enum { OPTION_VERSION = 256, OPTION_CONFIG, OPTION_RUNTIME, OPTION_STATE, OPTION_LOG_LEVEL };

/* 0: go on; 1: done; negative: wrong use, already said. */
static int parse_arguments(int argc, char *argv[], struct manager_options *options)
{
    static const struct option long_options[] = {
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, OPTION_VERSION},
        {"config-directory", required_argument, NULL, OPTION_CONFIG},
        {"runtime-directory", required_argument, NULL, OPTION_RUNTIME},
        {"state-directory", required_argument, NULL, OPTION_STATE},
        {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
        {0},
    };
    int c, level;

    while ((c = getopt_long(argc, argv, "h", long_options, NULL)) >= 0) {
        switch (c) {
        case 'h':
            print_help();
            return 1;
        case OPTION_VERSION:
            puts(PACKAGE_STRING);
            return 1;
        case OPTION_CONFIG:
            options->config_directory = optarg;
            break;
        case OPTION_RUNTIME:
            options->runtime_directory = optarg;
            break;
        case OPTION_STATE:
            options->state_directory = optarg;
            break;
        case OPTION_LOG_LEVEL:
            level = log_level_from_string(optarg);
            if (level < 0) {
                fprintf(stderr,
                        "nss-sdd: unknown log level '%s' (err, warning, notice, info, "
                        "debug)\n",
                        optarg);
                return -EINVAL;
            }
            log_set_level(level);
            break;
        default:
            fprintf(stderr, "Try 'nss-sdd --help'.\n");
            return -EINVAL;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "nss-sdd: unexpected argument '%s'\nTry 'nss-sdd --help'.\n", argv[optind]);
        return -EINVAL;
    }
    return 0;
}

/* Where stdio is closed the next socket, or a snapshot, would be what the log is written to. */
static int fill_stdio(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return -EIO;
    return 0;
}

int main(int argc, char *argv[])
{
    struct manager_options options = {
        .runtime_directory = RUNSTATEDIR "/nss-sd",
        .state_directory = LOCALSTATEDIR "/lib/nss-sd",
    };
    struct manager *manager = NULL;
    int r;

    /* First of all: the daemon never resolves through itself. */
    __nss_configure_lookup("hosts", "files dns");
    /* Tokens are in our memory: no core dump, no tracing by others. */
    prctl(PR_SET_DUMPABLE, 0);
    if (fill_stdio() < 0)
        return EXIT_FAILURE;
    r = parse_arguments(argc, argv, &options);
    if (r != 0)
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    r = manager_new(&options, &manager);
    if (r >= 0)
        r = manager_run(manager);
    else
        log_error("nss-sdd cannot start: %s",
                  r == -EBADMSG ? "the configuration has errors" : strerror(-r));
    manager_free(manager);
    if (r == -EBADMSG)
        return EX_CONFIG; /* the service manager need not try again */
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
