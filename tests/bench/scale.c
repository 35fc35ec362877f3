/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The core and the view at scale: 10,000 services of 10 endpoints each. What loading all of it
 * costs, what it weighs, and what readers in other processes notice of 1,000 changes a second.
 *
 * A service has its ten addresses, and an eleventh every other time: every answer must be one of
 * these two, whole. One more service, the probe, changes its only address with every report, which
 * tells a reader when that report was made. Beside it the same number stands in a word of shared
 * memory: what readers notice of that late, they notice late for want of a processor.
 *
 * scale [--full]: without it 2,000 services and few seconds. Fails when an answer was lost or
 * wrong, or a figure is over ten times its budget.
 */
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>

#include "tests/bench/core.h"
#include "tests/bench/histogram.h"
#include "tests/bench/module.h"

enum {
    READERS = 2,
    ENDPOINTS = 10,
    SERVICES_MAX = 65536,
    WAITING = 1000, /* lookups at one time while loading */
    ROUNDS_MAX = 16,
    CHANGES_A_SECOND = 1000,
    PROBE_EVERY = 10,     /* changes */
    STAMPS = 1 << 12,     /* reports of the probe that a reader may be behind */
    BATCH = 32,           /* lookups between two looks at the probe */
    PASS_TIMEOUT_S = 120, /* a reader's pass over all names */
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

#define PROBE "probe.scale"

/* What readers do, told by the main process. */
enum mode { MODE_REST, MODE_PASS, MODE_IDLE, MODE_CHANGE, MODE_STOP };

struct reader {
    atomic_uint passes; /* over all names that it has finished */
    uint64_t lookups, failed, wrong;
    struct histogram idle[ROUNDS_MAX], change[ROUNDS_MAX], by_view, by_word;
};

/* When each of the probe's reports was made, in ns; 0: a reader has seen it. */
struct reports {
    _Atomic uint64_t made_at[STAMPS];
};

/* The last report that a reader has seen. */
struct seen {
    uint32_t by_view, by_word;
};

struct shared {
    atomic_uint mode, round;
    unsigned services;
    atomic_uint word; /* the probe's last report */
    struct reports by_view, by_word;
    struct reader readers[READERS];
};

static struct shared *shared;

static void name_of(unsigned service, char ret_name[static NAME_SIZE])
{
    snprintf(ret_name, NAME_SIZE, "service-%u.scale", service);
}

/* ---- readers ---- */

/* 10.SERVICE.ENDPOINT: all ten, or all eleven, of this service, each once. */
static bool is_right(unsigned service, const struct gaih_addrtuple *tuples)
{
    uint32_t seen = 0;

    for (const struct gaih_addrtuple *at = tuples; at; at = at->next) {
        uint32_t address = ntohl(at->addr[0]), endpoint = address & 0xf;

        if (at->family != AF_INET || address != (10u << 24 | service << 4 | endpoint) ||
            (seen >> endpoint & 1))
            return false;
        seen |= UINT32_C(1) << endpoint;
    }
    return seen == (1u << ENDPOINTS) - 1 || seen == (1u << (ENDPOINTS + 1)) - 1;
}

/* Looks up one service; the time of the lookup alone goes to the histogram, if there is one. */
static void read_service(struct reader *reader, module_lookup_t lookup, unsigned service,
                         struct histogram *histogram)
{
    struct gaih_addrtuple *tuples;
    enum nss_status status;
    char name[NAME_SIZE];
    uint64_t began, ended;
    int h_error;

    name_of(service, name);
    began = bench_ns();
    status = module_ask(lookup, name, &tuples, &h_error);
    ended = bench_ns();
    if (histogram)
        histogram_add(histogram, ended - began);
    reader->lookups++;
    if (status != NSS_STATUS_SUCCESS)
        reader->failed++;
    else if (!is_right(service, tuples))
        reader->wrong++;
}

/* The first reader to see a report takes its time: another may wait for a processor. */
static void note_seen(struct histogram *histogram, struct reports *reports, uint32_t *seen,
                      uint32_t number)
{
    /* What was reported before the first look has waited for it. */
    if (*seen == 0)
        *seen = number;
    for (; *seen < number; ++*seen) {
        uint64_t made_at = atomic_exchange(&reports->made_at[(*seen + 1) % STAMPS], 0);

        if (made_at > 0)
            histogram_add(histogram, bench_ns() - made_at);
    }
}

/* Takes the time of every report of the probe since the last look. */
static void read_probe(struct reader *reader, module_lookup_t lookup, struct seen *seen)
{
    struct gaih_addrtuple *tuples;
    uint32_t number;
    int h_error;

    note_seen(&reader->by_word, &shared->by_word, &seen->by_word, atomic_load(&shared->word));
    if (module_ask(lookup, PROBE, &tuples, &h_error) != NSS_STATUS_SUCCESS) {
        reader->failed++;
        return;
    }
    number = ntohl(tuples->addr[0]) & 0xffffff;
    if (tuples->next || number < seen->by_view) {
        reader->wrong++;
        return;
    }
    note_seen(&reader->by_view, &shared->by_view, &seen->by_view, number);
}

static void read_batch(struct reader *reader, module_lookup_t lookup, struct histogram *histogram,
                       struct seen *seen)
{
    for (unsigned i = 0; i < BATCH; i++)
        read_service(reader, lookup, (unsigned)rand() % shared->services, histogram);
    read_probe(reader, lookup, seen);
}

static void read_pass(struct reader *reader, module_lookup_t lookup)
{
    for (unsigned i = 0; i < shared->services; i++)
        read_service(reader, lookup, i, NULL);
    atomic_fetch_add(&reader->passes, 1);
    while (atomic_load(&shared->mode) == MODE_PASS)
        usleep(1000);
}

static _Noreturn void read_on(unsigned index, const char *directory)
{
    module_lookup_t lookup = module_load(directory);
    struct reader *reader = &shared->readers[index];
    struct seen seen = {0};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    srand(index);
    for (;;) {
        unsigned round = atomic_load(&shared->round);

        switch ((enum mode)atomic_load(&shared->mode)) {
        case MODE_REST:
            usleep(1000);
            break;
        case MODE_PASS:
            read_pass(reader, lookup);
            break;
        case MODE_IDLE:
            read_batch(reader, lookup, &reader->idle[round], &seen);
            break;
        case MODE_CHANGE:
            read_batch(reader, lookup, &reader->change[round], &seen);
            break;
        case MODE_STOP:
            _exit(EXIT_SUCCESS);
        }
    }
}

/* ---- the registry's side ---- */

struct bench {
    unsigned services, rounds;
    usec_t round_time;
    char directory[64];
    sd_event *event;
    struct core *core;
    struct endpoint_builder *builder;
    bool *more;      /* which services have their eleventh endpoint */
    uint32_t probe;  /* reports of it */
    unsigned next;   /* service to be looked up while loading */
    unsigned loaded; /* services that were */
    uint64_t bad_loads;
    uint64_t changes, change_began;
    double change_cpu;
    pid_t readers[READERS];
    unsigned failures;
};

static void add_endpoint(struct endpoint_builder *builder, unsigned service, unsigned number)
{
    struct address address = {.family = AF_INET};
    uint32_t word = htonl(10u << 24 | service << 4 | number);
    char name[64];

    memcpy(address.bytes, &word, sizeof(word));
    snprintf(name, sizeof(name), "service-%u-instance-%u", service, number);
    endpoint_builder_begin(builder, name);
    snprintf(name, sizeof(name), "node-%u.example.net", (service + number) % 500);
    endpoint_builder_node(builder, name);
    endpoint_builder_locality(builder, number % 2 ? "zone-a" : "zone-b", "region");
    endpoint_builder_address(builder, &address);
    endpoint_builder_tag(builder, "v1");
    endpoint_builder_port(builder, "http", "tcp", (uint16_t)(20000 + number));
    endpoint_builder_weight(builder, 1);
}

static void report(struct bench *bench, const char *key)
{
    struct endpoint_set *set;

    if (endpoint_builder_finish(bench->builder, &set) < 0)
        abort();
    core_report(bench->core, key, set);
    endpoint_set_unref(set);
}

static void report_service(struct bench *bench, unsigned service)
{
    unsigned count = ENDPOINTS + bench->more[service];
    char key[NAME_SIZE];

    for (unsigned i = 0; i < count; i++)
        add_endpoint(bench->builder, service, i);
    snprintf(key, sizeof(key), "service-%u", service);
    report(bench, key);
}

static void report_probe(struct bench *bench)
{
    uint32_t number = ++bench->probe, word = htonl(172u << 24 | number);
    struct address address = {.family = AF_INET};

    memcpy(address.bytes, &word, sizeof(word));
    endpoint_builder_begin(bench->builder, "probe");
    endpoint_builder_address(bench->builder, &address);
    endpoint_builder_weight(bench->builder, 1);
    atomic_store(&shared->by_view.made_at[number % STAMPS], bench_ns());
    atomic_store(&shared->by_word.made_at[number % STAMPS], bench_ns());
    atomic_store(&shared->word, number);
    report(bench, "probe");
}

static void on_wanted(void *userdata, const char *key)
{
    struct bench *bench = userdata;
    unsigned service;

    if (streq(key, "probe"))
        report_probe(bench);
    else if (sscanf(key, "service-%u", &service) == 1)
        report_service(bench, service);
}

/* ---- measures ---- */

static double cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* A line of /proc/self/status, in MiB. */
static double status_mib(const char *key)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    double kib = 0;

    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, key, strlen(key)) == 0)
            kib = atof(line + strlen(key) + 1);
    if (file)
        fclose(file);
    return kib / 1024;
}

static double view_mib(const struct bench *bench)
{
    char path[128];
    struct stat status = {0};

    snprintf(path, sizeof(path), "%s/%s", bench->directory, NSS_SD_VIEW_FILE);
    return stat(path, &status) < 0 ? 0 : (double)status.st_size / (1024 * 1024);
}

/* One line of the table; budget 0: none. */
static void show(struct bench *bench, const char *what, double figure, const char *unit,
                 double budget)
{
    printf("%-52s %10.3f %-4s", what, figure, unit);
    if (budget > 0)
        printf("  budget %g%s", budget, figure > budget ? ": MISSED" : "");
    printf("\n");
    if (budget > 0 && figure > 10 * budget && !SANITIZED) {
        printf("  that is more than ten times its budget\n");
        bench->failures++;
    }
}

static void must(struct bench *bench, bool good, const char *what)
{
    if (good)
        return;
    printf("FAILED: %s\n", what);
    bench->failures++;
}

/* ---- the load ---- */

static void look_up_next(struct bench *bench);

static void on_loaded(void *userdata, const void *payload, size_t size)
{
    struct bench *bench = userdata;
    struct answer answer;

    bench->loaded++;
    bench->bad_loads += !answer_parse(payload, size, &answer) ||
                        (answer.head->count4 != ENDPOINTS && answer.head->count4 != 1);
}

static void look_up_next(struct bench *bench)
{
    char name[NAME_SIZE] = PROBE;

    if (bench->next < bench->services)
        name_of(bench->next, name);
    bench->next++;
    core_lookup(bench->core, name, on_loaded, bench);
}

static void load(struct bench *bench)
{
    uint64_t began = bench_ns();
    double cpu = cpu_seconds();

    while (bench->loaded <= bench->services) {
        while (bench->next <= bench->services && bench->next - bench->loaded < WAITING)
            look_up_next(bench);
        sd_event_run(bench->event, UINT64_MAX);
    }
    show(bench, "full load, elapsed", (double)(bench_ns() - began) / 1e9, "s", 0);
    show(bench, "full load, CPU of the daemon", cpu_seconds() - cpu, "s", 2);
    must(bench, bench->bad_loads == 0, "a first lookup got something else than its endpoints");
}

static bool passed(unsigned pass)
{
    for (unsigned i = 0; i < READERS; i++)
        if (atomic_load(&shared->readers[i].passes) < pass)
            return false;
    return true;
}

/* Readers look up every name; ends when all of them found all of it without asking. */
static void settle(struct bench *bench)
{
    uint64_t began = bench_ns(), asked;
    double cpu = cpu_seconds();
    unsigned pass = 0;

    do {
        asked = core_requests(bench->core);
        pass++;
        atomic_store(&shared->mode, MODE_PASS);
        while (!passed(pass) && bench_ns() - began < PASS_TIMEOUT_S * UINT64_C(1000000000))
            sd_event_run(bench->event, USEC_PER_MSEC);
        atomic_store(&shared->mode, MODE_REST);
        for (unsigned i = 0; i < 100; i++)
            sd_event_run(bench->event, 2 * USEC_PER_MSEC);
    } while (core_requests(bench->core) != asked && passed(pass) &&
             bench_ns() - began < PASS_TIMEOUT_S * UINT64_C(1000000000));
    show(bench, "until readers find every name in the view, elapsed",
         (double)(bench_ns() - began) / 1e9, "s", 0);
    show(bench, "the same, CPU of the daemon", cpu_seconds() - cpu, "s", 0);
    show(bench, "size of the view", view_mib(bench), "MiB", 0);
    show(bench, "resident memory (VmRSS)", status_mib("VmRSS"), "MiB", 64);
    show(bench, "resident memory without the view (RssAnon)", status_mib("RssAnon"), "MiB", 0);
    must(bench, core_requests(bench->core) == asked, "not every name is in the view");
}

/* ---- another network ---- */

static double thread_cpu_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* All names are ranked anew, while the loop goes on. */
static void rerank(struct bench *bench)
{
    double began = thread_cpu_ms(), longest = 0, before;
    int r;

    core_rerank(bench->core);
    do {
        before = thread_cpu_ms();
        r = sd_event_run(bench->event, 20 * USEC_PER_MSEC);
        if (thread_cpu_ms() - before > longest)
            longest = thread_cpu_ms() - before;
    } while (r > 0);
    show(bench, "ranking all names anew, CPU of the daemon", thread_cpu_ms() - began, "ms", 0);
    show(bench, "the same, its longest turn of the loop", longest, "ms", 5);
}

/* ---- changes ---- */

static void change(struct bench *bench)
{
    unsigned service = (unsigned)rand() % bench->services;

    if (bench->changes++ % PROBE_EVERY == 0) {
        report_probe(bench);
    } else {
        bench->more[service] = !bench->more[service];
        report_service(bench, service);
    }
    core_run(bench->core);
}

static int on_change(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct bench *bench = userdata;
    uint64_t due = (bench_ns() - bench->change_began) / (1000000000 / CHANGES_A_SECOND);

    while (bench->changes < due)
        change(bench);
    sd_event_source_set_time(source, usec + USEC_PER_SEC / CHANGES_A_SECOND);
    return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void run_for(struct bench *bench, usec_t time)
{
    uint64_t end = bench_ns() + time * 1000;

    while (bench_ns() < end)
        sd_event_run(bench->event, USEC_PER_MSEC);
}

static void change_for(struct bench *bench, usec_t time)
{
    double cpu = cpu_seconds();
    sd_event_source *source;
    uint64_t before = bench->changes, now;

    sd_event_now(bench->event, CLOCK_MONOTONIC, &now);
    bench->change_began = bench_ns() - before * (1000000000 / CHANGES_A_SECOND);
    if (sd_event_add_time(bench->event, &source, CLOCK_MONOTONIC, now, 1, on_change, bench) < 0)
        abort();
    run_for(bench, time);
    sd_event_source_disable_unref(source);
    bench->change_cpu += cpu_seconds() - cpu;
}

static int compare(const void *a, const void *b)
{
    double one = *(const double *)a, other = *(const double *)b;

    return (one > other) - (one < other);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof(*values), compare);
    return values[count / 2];
}

/* Idle and changing in turns, so that both meet the same neighbours. */
static void measure_rounds(struct bench *bench)
{
    for (unsigned round = 0; round < bench->rounds; round++) {
        atomic_store(&shared->round, round);
        atomic_store(&shared->mode, MODE_IDLE);
        run_for(bench, bench->round_time);
        atomic_store(&shared->mode, MODE_CHANGE);
        change_for(bench, bench->round_time);
    }
    /* The last changes are seen too. */
    run_for(bench, 100 * USEC_PER_MSEC);
    atomic_store(&shared->mode, MODE_REST);
    run_for(bench, 100 * USEC_PER_MSEC);
}

static void show_quantile(struct bench *bench, const char *name, double share)
{
    double idle[ROUNDS_MAX], change[ROUNDS_MAX], ratio[ROUNDS_MAX];
    char what[64];

    for (unsigned round = 0; round < bench->rounds; round++) {
        struct histogram both[2] = {0};

        for (unsigned i = 0; i < READERS; i++) {
            histogram_merge(&both[0], &shared->readers[i].idle[round]);
            histogram_merge(&both[1], &shared->readers[i].change[round]);
        }
        idle[round] = (double)histogram_quantile(&both[0], share) / 1000;
        change[round] = (double)histogram_quantile(&both[1], share) / 1000;
        ratio[round] = change[round] / idle[round];
    }
    snprintf(what, sizeof(what), "lookup, %s, idle", name);
    show(bench, what, median(idle, bench->rounds), "us", 0);
    snprintf(what, sizeof(what), "lookup, %s, under %u changes/s", name, CHANGES_A_SECOND);
    show(bench, what, median(change, bench->rounds), "us", 0);
    snprintf(what, sizeof(what), "lookup, %s, changes : idle", name);
    show(bench, what, median(ratio, bench->rounds), "x", 2);
}

/* What the machine makes of a word in shared memory is none of the view's. */
static void show_latency(struct bench *bench, const char *name, double share, double budget)
{
    struct reader *sum = &shared->readers[0];
    double view = (double)histogram_quantile(&sum->by_view, share) / 1e6;
    double word = (double)histogram_quantile(&sum->by_word, share) / 1e6;
    char what[64];

    snprintf(what, sizeof(what), "report to lookup in another process, %s", name);
    show(bench, what, view, "ms", 0);
    snprintf(what, sizeof(what), "the same by a word in shared memory, %s", name);
    show(bench, what, word, "ms", 0);
    snprintf(what, sizeof(what), "the former less the latter, %s", name);
    show(bench, what, view > word ? view - word : 0, "ms", budget);
}

static void show_changes(struct bench *bench)
{
    struct reader *sum = &shared->readers[0];

    for (unsigned i = 1; i < READERS; i++) {
        histogram_merge(&sum->by_view, &shared->readers[i].by_view);
        histogram_merge(&sum->by_word, &shared->readers[i].by_word);
    }
    show_quantile(bench, "p50", 0.5);
    show_quantile(bench, "p99", 0.99);
    show_latency(bench, "p50", 0.5, 0);
    show_latency(bench, "p99", 0.99, 5);
    show(bench, "CPU of the daemon for one change",
         bench->change_cpu / (double)bench->changes * 1e6, "us", 0);
    must(bench, bench->changes > 0 && sum->by_view.total >= bench->changes / PROBE_EVERY,
         "not every report of the probe was seen");
}

static void show_readers(struct bench *bench, uint64_t asked)
{
    uint64_t lookups = 0, failed = 0, wrong = 0;

    for (unsigned i = 0; i < READERS; i++) {
        lookups += shared->readers[i].lookups;
        failed += shared->readers[i].failed;
        wrong += shared->readers[i].wrong;
    }
    printf("%llu lookups, %llu of them by the socket, %llu changes; %llu failed, %llu wrong\n",
           (unsigned long long)lookups, (unsigned long long)asked,
           (unsigned long long)bench->changes, (unsigned long long)failed,
           (unsigned long long)wrong);
    must(bench, failed == 0, "lookups failed");
    must(bench, wrong == 0, "answers were wrong");
}

/* ---- the whole ---- */

static void start_readers(struct bench *bench)
{
    for (unsigned i = 0; i < READERS; i++) {
        bench->readers[i] = fork();
        if (bench->readers[i] == 0)
            read_on(i, bench->directory);
    }
}

static void stop_readers(struct bench *bench)
{
    atomic_store(&shared->mode, MODE_STOP);
    for (unsigned i = 0; i < READERS; i++) {
        int status;

        waitpid(bench->readers[i], &status, 0);
        must(bench, status == 0, "a reader crashed");
    }
}

static void set_up(struct bench *bench)
{
    strcpy(bench->directory, "/tmp/nss-sd-scale-XXXXXX");
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || !mkdtemp(bench->directory))
        abort();
    shared->services = bench->services;
    start_readers(bench); /* while this process is small */
    bench->builder = endpoint_builder_new();
    bench->more = calloc(bench->services, sizeof(*bench->more));
    if (!bench->builder || !bench->more || sd_event_default(&bench->event) < 0)
        abort();
    bench->core = core_new(bench->event, bench->directory, SERVICES_MAX, on_wanted, bench);
    if (!bench->core)
        abort();
}

static void tear_down(struct bench *bench)
{
    char command[128];

    core_free(bench->core);
    sd_event_unref(bench->event);
    endpoint_builder_free(bench->builder);
    free(bench->more);
    snprintf(command, sizeof(command), "rm -r %s", bench->directory);
    if (system(command) != 0)
        fprintf(stderr, "%s: cannot be removed\n", bench->directory);
}

int main(int argc, char *argv[])
{
    bool full = argc > 1 && streq(argv[1], "--full");
    struct bench bench = {
        .services = full ? 10000 : 2000,
        .rounds = full ? 7 : 3,
        .round_time = full ? 2 * USEC_PER_SEC : 300 * USEC_PER_MSEC,
    };
    uint64_t asked;

    setvbuf(stdout, NULL, _IOLBF, 0);
    set_up(&bench);
    printf("%u services of %u endpoints\n", bench.services, ENDPOINTS);
    load(&bench);
    settle(&bench);
    rerank(&bench);
    asked = core_requests(bench.core);
    measure_rounds(&bench);
    asked = core_requests(bench.core) - asked;
    stop_readers(&bench);
    show_changes(&bench);
    show_readers(&bench, asked);
    tear_down(&bench);
    return bench.failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
