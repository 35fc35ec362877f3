/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a lookup costs: getaddrinfo through nss-sd beside the same call through a module that
 * returns a constant, and what else the design has a budget for. Prints one table.
 *
 * Every way to look up is a process of its own with an nsswitch.conf of its own (a private mount
 * namespace); they take turns, half a millisecond each on the same processor, round after round,
 * so that what else the machine does falls on all alike, and seldom into a turn. Figures are
 * medians over the rounds, ratios of figures of one run.
 *
 * hit.sh makes the world: namespaces, a daemon with services one, two and eight, DIRECTORY/etc.
 *
 *   hit DIRECTORY [ROUNDS]
 *   hit --turns NAME
 *
 * The second form is one way to look up, set up by whoever starts it (rivals.py): a turn for every
 * byte that comes in; the nanoseconds of a call go out, a double.
 *
 * Fails on a wrong answer and on a figure beyond ten times its budget.
 */
#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <netdb.h>
#include <nss.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "nss/clock.h"
#include "nss/transport.h"
#include "nss/view_slots.h"

enum { CHUNK_NS = 500000, WARM_UP = 20, ROUNDS = 401, THREADS_MAX = 8, FIRSTS = 3, TEN = 10 };

#define DOMAIN ".sd.internal"

/* ---- ways to look up ---- */

enum way {
    WAY_RESOLVE, /* getaddrinfo */
    WAY_SERVER,  /* the same, and it may wait for another process */
    WAY_FIRST,   /* the first getaddrinfo of a process */
    WAY_MODULE,  /* the module's function, without glibc around it */
    WAY_ASK,     /* the lookup socket, through the module's transport */
    WAY_ECHO,    /* a socket that sends as much back without a thought */
};

static const struct variant {
    const char *label;
    enum way way;
    const char *hosts; /* the line in nsswitch.conf */
    const char *name;
    int count; /* addresses expected */
    int threads;
} variants[] = {
    {"const1", WAY_RESOLVE, "const", "one" DOMAIN, 1, 1},
    {"sd1", WAY_RESOLVE, "sd", "one" DOMAIN, 1, 1},
    {"const2", WAY_RESOLVE, "const", "two" DOMAIN, 2, 1},
    {"sd2", WAY_RESOLVE, "sd", "two" DOMAIN, 2, 1},
    {"const8", WAY_RESOLVE, "const", "eight" DOMAIN, 8, 1},
    {"sd8", WAY_RESOLVE, "sd", "eight" DOMAIN, 8, 1},
    {"foreign-without", WAY_RESOLVE, "const", "www.example.org", 1, 1},
    {"foreign-with", WAY_RESOLVE, "sd const", "www.example.org", 1, 1},
    {"const1-threads", WAY_RESOLVE, "const", "one" DOMAIN, 1, 8},
    {"sd1-threads", WAY_RESOLVE, "sd", "one" DOMAIN, 1, 8},
    {"first-const", WAY_FIRST, "const", "one" DOMAIN, 1, 1},
    {"first-sd", WAY_FIRST, "sd", "one" DOMAIN, 1, 1},
    {"module1", WAY_MODULE, "sd", "one" DOMAIN, 1, 1},
    {"module8", WAY_MODULE, "sd", "eight" DOMAIN, 8, 1},
    {"module-foreign", WAY_MODULE, "sd", "www.example.org", 0, 1},
    {"ask", WAY_ASK, "sd", "one" DOMAIN, 1, 1},
    {"echo", WAY_ECHO, "sd", "one" DOMAIN, 1, 1},
};

enum { VARIANTS = sizeof(variants) / sizeof(variants[0]) };

/* ---- the table ---- */

enum rule {
    RULE_NONE,
    RULE_RATIO,       /* at most `budget` times the other figure */
    RULE_RATIO_OR_NS, /* or `ns` more, whichever is larger */
    RULE_ADDED,       /* at most `ns` more */
};

static const struct row {
    const char *what, *label, *against;
    enum rule rule;
    double budget, ns;
} rows[] = {
    {"hit, 1 address", "sd1", "const1", RULE_RATIO_OR_NS, 1.15, 150},
    {"hit, 2 addresses", "sd2", "const2", RULE_NONE, 0, 0},
    {"hit, 8 addresses", "sd8", "const8", RULE_RATIO, 1.05, 0},
    {"foreign name, sd in the line", "foreign-with", "foreign-without", RULE_ADDED, 0, 200},
    {"hit, 8 threads", "sd1-threads", "const1-threads", RULE_NONE, 0, 0},
    {"first lookup of a process", "first-sd", "first-const", RULE_NONE, 0, 0},
    {"miss, from the daemon's memory", "ask", "echo", RULE_RATIO, 1.3, 0},
    {"the module alone, hit, 1 address", "module1", NULL, RULE_NONE, 0, 0},
    {"the module alone, hit, 8 addresses", "module8", NULL, RULE_NONE, 0, 0},
    {"the module alone, foreign name", "module-foreign", NULL, RULE_NONE, 0, 0},
};

static const char *directory;

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "hit: %s\n", what);
    exit(EXIT_FAILURE);
}

static void require(bool condition, const char *what)
{
    if (!condition)
        give_up(what);
}

static double clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

/*
 * Who waits for another process is measured by the clock on the wall. All others never wait, so
 * that the processor's time is theirs, and free of what else a busy machine does meanwhile.
 */
static bool waits(const struct variant *variant)
{
    return variant->way == WAY_SERVER || variant->way == WAY_ASK || variant->way == WAY_ECHO;
}

static clockid_t clock_of(const struct variant *variant)
{
    return waits(variant) ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID;
}

/* ---- one lookup, with a look at what came ---- */

static bool resolve(const struct variant *variant)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    int count = 0;

    if (getaddrinfo(variant->name, NULL, &hints, &list) != 0)
        return variant->count == 0;
    for (const struct addrinfo *at = list; at; at = at->ai_next, count++) {
        const struct sockaddr_in *address = (const struct sockaddr_in *)at->ai_addr;

        if (ntohl(address->sin_addr.s_addr) >> 8 != 0xc63364)
            count = -1000;
    }
    freeaddrinfo(list);
    return count == variant->count;
}

static bool call_module(const struct variant *variant)
{
    static enum nss_status (*by_name4)(const char *, struct gaih_addrtuple **, char *, size_t,
                                       int *, int *, int32_t *);
    struct gaih_addrtuple *list = NULL;
    _Alignas(16) char buffer[1024];
    int error, h_error, count = 0;

    if (!by_name4) {
        void *module = dlopen("libnss_sd.so.2", RTLD_NOW);

        *(void **)&by_name4 = module ? dlsym(module, "_nss_sd_gethostbyname4_r") : NULL;
        if (!by_name4)
            return false;
    }
    by_name4(variant->name, &list, buffer, sizeof(buffer), &error, &h_error, NULL);
    for (; list; list = list->next)
        count++;
    return count == variant->count;
}

static struct wire_request request_for(const char *name)
{
    struct wire_request request = {.magic = WIRE_REQUEST_MAGIC,
                                   .version = WIRE_VERSION,
                                   .size = sizeof(request),
                                   .op = WIRE_FORWARD,
                                   .length = (uint16_t)strlen(name)};

    memcpy(request.data, name, strlen(name));
    return request;
}

static bool ask(const struct variant *variant)
{
    struct wire_request request = request_for(variant->name);
    struct transport_reply reply;
    bool right = transport_ask(&request, 5000, &reply) == TRANSPORT_ANSWERED &&
                 reply.answer.head->count4 == variant->count;

    transport_reply_done(&reply);
    return right;
}

/* ---- the bare echo ---- */

enum {
    ECHO_REPLY = sizeof(struct wire_reply_head) + ANSWER_RECORDS + sizeof(struct answer_record4)
};

static struct sockaddr_un echo_address(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/echo", directory);
    return address;
}

/* As little as a server can do: accept, receive, send, close. */
static pid_t echo_start(void)
{
    struct sockaddr_un address = echo_address();
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    static char buffer[ECHO_REPLY];
    pid_t pid;

    require(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                listen(listener, 128) == 0,
            "no socket for the echo");
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            int fd = accept(listener, NULL, NULL);

            if (recv(fd, buffer, sizeof(struct wire_request), 0) > 0)
                send(fd, buffer, sizeof(buffer), MSG_NOSIGNAL);
            close(fd);
        }
    }
    close(listener);
    return pid;
}

static bool echo(const struct variant *variant)
{
    struct wire_request request = request_for(variant->name);
    struct sockaddr_un address = echo_address();
    char buffer[ECHO_REPLY];
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool right = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                 send(fd, &request, sizeof(request), MSG_NOSIGNAL) == sizeof(request) &&
                 recv(fd, buffer, sizeof(buffer), 0) == sizeof(buffer);

    close(fd);
    return right;
}

/* ---- workers ---- */

static bool look_up(const struct variant *variant)
{
    switch (variant->way) {
    case WAY_RESOLVE:
    case WAY_SERVER:
    case WAY_FIRST:
        return resolve(variant);
    case WAY_MODULE:
        return call_module(variant);
    case WAY_ASK:
        return ask(variant);
    case WAY_ECHO:
        return echo(variant);
    }
    return false;
}

struct share {
    const struct variant *variant;
    pthread_barrier_t *barrier;
    unsigned calls;
    bool right;
};

static void *do_share(void *argument)
{
    struct share *share = argument;

    share->right = true;
    if (share->barrier)
        pthread_barrier_wait(share->barrier);
    for (unsigned i = 0; i < share->calls; i++)
        share->right &= look_up(share->variant);
    return NULL;
}

/* Calls in so many threads; returns ns for each call. Below 0: wrong. */
static double measure_calls(const struct variant *variant, unsigned calls)
{
    struct share shares[THREADS_MAX];
    pthread_t threads[THREADS_MAX];
    pthread_barrier_t barrier;
    clockid_t clock = clock_of(variant);
    double begin;
    bool right = true;

    if (variant->threads == 1) {
        shares[0] = (struct share){variant, NULL, calls, true};
        begin = clock_ns(clock);
        do_share(&shares[0]);
        return shares[0].right ? (clock_ns(clock) - begin) / calls : -1;
    }
    pthread_barrier_init(&barrier, NULL, (unsigned)variant->threads + 1);
    for (int i = 0; i < variant->threads; i++) {
        shares[i] = (struct share){variant, &barrier, calls, true};
        pthread_create(&threads[i], NULL, do_share, &shares[i]);
    }
    begin = clock_ns(clock);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < variant->threads; i++) {
        pthread_join(threads[i], NULL);
        right &= shares[i].right;
    }
    pthread_barrier_destroy(&barrier);
    return right ? (clock_ns(clock) - begin) / calls / variant->threads : -1;
}

/* In a process that has looked up nothing yet. */
static double measure_first(const struct variant *variant)
{
    double ns = -1, sum = 0;

    for (unsigned i = 0; i < FIRSTS; i++) {
        int pipes[2];

        require(pipe(pipes) == 0, "no pipe");
        if (fork() == 0) {
            double begin = clock_ns(clock_of(variant));

            ns = look_up(variant) ? clock_ns(clock_of(variant)) - begin : -1;
            _exit(write(pipes[1], &ns, sizeof(ns)) == sizeof(ns) ? 0 : 1);
        }
        close(pipes[1]);
        if (read(pipes[0], &ns, sizeof(ns)) != sizeof(ns) || ns < 0)
            return -1;
        close(pipes[0]);
        wait(NULL);
        sum += ns;
    }
    return sum / FIRSTS;
}

static void use_hosts_line(const struct variant *variant)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s/nsswitch.%s", directory, variant->label);
    file = fopen(path, "w");
    require(file && fprintf(file, "passwd: files\nhosts: %s\n", variant->hosts) > 0 &&
                fclose(file) == 0,
            "no nsswitch.conf");
    require(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                mount(path, "/etc/nsswitch.conf", NULL, MS_BIND, NULL) == 0,
            "no mount namespace");
}

/* What neither has threads nor waits for another process stays where the others are. */
static void stay_on_processor(const struct variant *variant, int processor)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    if (variant->threads == 1 && !waits(variant))
        sched_setaffinity(0, sizeof(set), &set);
}

/* Of three: a turn in which something else had the processor says too much. */
static double measure_least(const struct variant *variant, unsigned calls)
{
    double least = measure_calls(variant, calls);

    for (int i = 0; i < 2; i++) {
        double ns = measure_calls(variant, calls);

        least = ns < least ? ns : least;
    }
    return least;
}

/* How many calls fill a turn. */
static unsigned calibrate(const struct variant *variant)
{
    unsigned calls = 1;
    double ns = measure_least(variant, WARM_UP);
    /* Threads are made anew in every turn: let that be a small part of it. */
    double chunk = variant->threads == 1 ? CHUNK_NS : CHUNK_NS * 10.0;

    while (ns >= 0 && ns * calls * variant->threads < chunk / 2) {
        calls *= 2;
        ns = measure_least(variant, calls);
    }
    return calls;
}

/* A byte comes in for every round, a figure goes out. */
static _Noreturn void take_turns(const struct variant *variant, int in, int out)
{
    unsigned calls = 1;
    double ns;
    char byte;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (variant->way != WAY_FIRST)
        calls = calibrate(variant);
    while (read(in, &byte, 1) == 1) {
        ns = variant->way == WAY_FIRST ? measure_first(variant) : measure_calls(variant, calls);
        if (write(out, &ns, sizeof(ns)) != sizeof(ns))
            break;
    }
    _exit(0);
}

static _Noreturn void work(const struct variant *variant, int processor, int in, int out)
{
    use_hosts_line(variant);
    stay_on_processor(variant, processor);
    take_turns(variant, in, out);
}

static struct worker {
    pid_t pid;
    int in, out;
    double *figures;
} workers[VARIANTS];

static void start_worker(unsigned i, int processor)
{
    int to[2], from[2];

    require(pipe2(to, 0) == 0 && pipe2(from, 0) == 0, "no pipe");
    workers[i].pid = fork();
    if (workers[i].pid == 0) {
        close(to[1]);
        close(from[0]);
        for (unsigned j = 0; j < i; j++)
            close(workers[j].in);
        work(&variants[i], processor, to[0], from[1]);
    }
    close(to[0]);
    close(from[1]);
    workers[i].in = to[1];
    workers[i].out = from[0];
}

static void run_rounds(unsigned rounds)
{
    int processor = sched_getcpu();

    for (unsigned i = 0; i < VARIANTS; i++) {
        workers[i].figures = calloc(rounds, sizeof(double));
        require(workers[i].figures != NULL, "no memory");
        start_worker(i, processor);
    }
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < VARIANTS; i++) {
            double *figure = &workers[i].figures[round];

            if (write(workers[i].in, "", 1) != 1 ||
                read(workers[i].out, figure, sizeof(*figure)) != sizeof(*figure) || *figure < 0) {
                fprintf(stderr, "hit: wrong answers: %s\n", variants[i].label);
                exit(EXIT_FAILURE);
            }
        }
    }
    for (unsigned i = 0; i < VARIANTS; i++) {
        close(workers[i].in);
        waitpid(workers[i].pid, NULL, 0);
    }
}

/* ---- what came out ---- */

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

static double median_of(const char *label, unsigned rounds)
{
    for (unsigned i = 0; i < VARIANTS; i++) {
        if (strcmp(variants[i].label, label) != 0)
            continue;
        qsort(workers[i].figures, rounds, sizeof(double), compare);
        return workers[i].figures[rounds / 2];
    }
    give_up(label);
}

/* What the figure may be at most; 0: nothing is set. */
static double allowed(const struct row *row, double against)
{
    switch (row->rule) {
    case RULE_RATIO:
        return row->budget * against;
    case RULE_RATIO_OR_NS:
        return row->budget * against > against + row->ns ? row->budget * against
                                                         : against + row->ns;
    case RULE_ADDED:
        return against + row->ns;
    case RULE_NONE:
        return 0;
    }
    return 0;
}

/* Ten times the budget, which for what is added is ten times what may be added. */
static double unbearable(const struct row *row, double against)
{
    return row->rule == RULE_ADDED ? against + TEN * row->ns : TEN * allowed(row, against);
}

static const char *budget_text(const struct row *row)
{
    static char text[64];

    switch (row->rule) {
    case RULE_RATIO:
        snprintf(text, sizeof(text), "<= %.2f x", row->budget);
        break;
    case RULE_RATIO_OR_NS:
        snprintf(text, sizeof(text), "<= %.2f x or +%.2f us", row->budget, row->ns / 1e3);
        break;
    case RULE_ADDED:
        snprintf(text, sizeof(text), "<= +%.2f us", row->ns / 1e3);
        break;
    case RULE_NONE:
        return "reported";
    }
    return text;
}

/* Prints one row; false: beyond all bounds. */
static bool print_row(const struct row *row, unsigned rounds)
{
    double figure = median_of(row->label, rounds);
    double against = row->against ? median_of(row->against, rounds) : 0;
    double limit = allowed(row, against);

    printf("%-36s %10.3f", row->what, figure / 1e3);
    if (row->against)
        printf(" %10.3f %8.2f x %+9.3f", against / 1e3, figure / against, (figure - against) / 1e3);
    else
        printf(" %10s %10s %9s", "", "", "");
    printf("   %-22s %s\n", budget_text(row), limit == 0 ? "" : figure <= limit ? "ok" : "OVER");
    return limit == 0 || figure <= unbearable(row, against);
}

/* All is a hit if it is there for the module before anything is measured. */
static bool is_published(const char *name)
{
    struct view_moment moment = {.now = clock_tick()};
    struct view_answer found;

    moment.view = view_reader_current(moment.now);
    if (!moment.view)
        return false;
    moment.live = view_pulse(moment.view, moment.now, &moment.heartbeat) == VIEW_LIVE;
    return view_slots_find(&moment, name, strlen(name), VIEW_SERVE_NOW, &found);
}

/* The daemon publishes what was asked for once. */
static void await_services(void)
{
    static const struct variant names[] = {{.name = "one" DOMAIN, .count = 1},
                                           {.name = "two" DOMAIN, .count = 2},
                                           {.name = "eight" DOMAIN, .count = 8}};
    double end = now_ns() + 20e9;

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        while (!ask(&names[i]) || !is_published(names[i].name)) {
            require(now_ns() < end, "the daemon does not publish its services");
            usleep(20000);
        }
    }
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : ROUNDS;
    bool bearable = true;
    pid_t echo_pid;

    if (argc == 3 && strcmp(argv[1], "--turns") == 0) {
        const struct variant turns = {"turns", WAY_SERVER, NULL, argv[2], 1, 1};

        take_turns(&turns, STDIN_FILENO, STDOUT_FILENO);
    }
    require(argc > 1 && rounds > 0, "hit DIRECTORY [ROUNDS] | hit --turns NAME");
    directory = argv[1];
    await_services();
    echo_pid = echo_start();
    run_rounds(rounds);
    printf("Microseconds of processor time a call (the miss: of time); medians of %u interleaved\n"
           "rounds, glibc %s, %ld processors\n\n",
           rounds, gnu_get_libc_version(), sysconf(_SC_NPROCESSORS_ONLN));
    printf("%-36s %10s %10s %10s %9s   %s\n", "getaddrinfo", "nss-sd", "beside", "ratio", "more",
           "budget");
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        bearable &= print_row(&rows[i], rounds);
    puts("\nBeside: a module that returns a constant; for the miss, a bare SEQPACKET echo.");
    kill(echo_pid, SIGKILL);
    if (!bearable)
        puts("Something is beyond ten times its budget.");
    return bearable ? EXIT_SUCCESS : EXIT_FAILURE;
}
