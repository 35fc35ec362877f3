/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Torture of the view: a writer that rewrites two names without pause, and readers in other
 * processes, through the real module. Then the same with a writer that is killed at random points,
 * again and again, and begins anew.
 *
 * Every answer is made from one number, which all of its words and its shape give away, so an
 * answer with parts of two is noticed. The first name has free ways around it and moves with every
 * write; around the second the table is full, so that it is rewritten in its place. There is no
 * daemon to ask: a reader that finds no answer at the moment counts a miss.
 *
 * torture [SECONDS]: of either part; 3, or 60 in a long run of the tests.
 */
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "daemon/evaluation.h"
#include "daemon/view_writer.h"
#include "tests/bench/histogram.h"
#include "tests/bench/module.h"
#include "tests/unit/payload.h"

enum { READERS = 2, NUMBER_BITS = 26, KILL_AFTER_MAX_US = 30000, SCRAMBLE = 0x9e3779b1 };

/* How much longer, in nanoseconds, than it was told to a busy machine lets it run. */
#define PATIENCE (UINT64_C(60) * 1000000000)

static const char *const names[] = {"loose.torture", "packed.torture"};

struct reader {
    _Atomic uint64_t hits, changes; /* read while it runs */
    uint64_t misses;
    uint64_t torn;    /* answers that are none of ours */
    uint64_t strange; /* outcomes that neither a hit nor a miss has */
};

struct shared {
    atomic_bool stop;
    atomic_uint number; /* the writer's next */
    atomic_bool published;
    struct reader readers[READERS];
};

static struct shared *shared;
static char directory[] = "/tmp/nss-sd-torture-XXXXXX";

/* ---- answers from numbers ---- */

static unsigned count4(uint32_t number)
{
    return 1 + number % 30;
}

static unsigned count6(uint32_t number)
{
    return number / 3 % 10;
}

static void canonical_of(uint32_t number, const char *name, char ret_text[static NAME_SIZE])
{
    if (number % 3 == 0)
        snprintf(ret_text, NAME_SIZE, "alias-%u.torture", number);
    else
        snprintf(ret_text, NAME_SIZE, "%s", name);
}

static void words_of(uint32_t number, unsigned i, uint32_t ret_words[static 4])
{
    ret_words[0] = number << (32 - NUMBER_BITS) | i;
    ret_words[1] = ~number;
    ret_words[2] = number * SCRAMBLE;
    ret_words[3] = ~ret_words[0];
}

static size_t make_answer(struct payload *payload, const char *name, uint32_t number)
{
    struct answer_record4 records4[32];
    struct answer_record6 records6[16];
    char canonical[NAME_SIZE];
    uint32_t words[4];
    struct payload_spec spec = {
        .name = name,
        .canonical = number % 3 == 0 ? canonical : NULL,
        .records4 = records4,
        .count4 = count4(number),
        .records6 = records6,
        .count6 = count6(number),
    };

    canonical_of(number, name, canonical);
    for (unsigned i = 0; i < spec.count4; i++) {
        words_of(number, i, words);
        records4[i] = (struct answer_record4){.weight = 1, .endpoint = (uint16_t)i};
        memcpy(records4[i].address, words, sizeof(records4[i].address));
    }
    for (unsigned i = 0; i < spec.count6; i++) {
        words_of(number, i, words);
        records6[i] = (struct answer_record6){.weight = 1, .endpoint = (uint16_t)(32 + i)};
        memcpy(records6[i].address, words, sizeof(records6[i].address));
    }
    return payload_make(payload, &spec);
}

/* ---- the writer ---- */

static usec_t now_usec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (usec_t)now.tv_sec * USEC_PER_SEC + (usec_t)now.tv_nsec / 1000;
}

static int publish(struct view_writer *writer, const char *name, uint32_t number)
{
    struct payload payload;
    size_t size = make_answer(&payload, name, number);
    struct answer_head *head = (struct answer_head *)payload.data;

    head->fresh_until = head->stale_until = head->refresh_at = ticks_from_usec(now_usec() +
                                                                               3600 * USEC_PER_SEC);
    return view_writer_publish(writer, payload.data, size);
}

/* Until hardly anything fits any more. */
static void fill(struct view_writer *writer)
{
    char name[NAME_SIZE];

    for (unsigned i = 0, refused = 0; refused < 200; i++) {
        snprintf(name, sizeof(name), "filler-%u.torture", i);
        refused += publish(writer, name, i) < 0;
    }
}

static _Noreturn void write_on(bool full)
{
    struct view_domain_spec domain = {"torture", false};
    struct view_spec spec = {.domains = &domain, .domain_count = 1, .ndots = 1};
    struct view_writer *writer;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (view_writer_open(directory, &spec, now_usec(), NULL, NULL, &writer) < 0)
        _exit(EXIT_FAILURE);
    for (bool first = true;; first = false) {
        uint32_t number = atomic_fetch_add(&shared->number, 1) & ((1u << NUMBER_BITS) - 1);

        for (size_t i = 0; i < ELEMENTS(names); i++)
            if (publish(writer, names[i], number) < 0)
                _exit(EXIT_FAILURE);
        if (first && full)
            fill(writer);
        atomic_store(&shared->published, true);
        if (number % 1024 == 0)
            view_writer_beat(writer, now_usec());
    }
}

static pid_t start_writer(bool full)
{
    pid_t child = fork();

    if (child == 0)
        write_on(full);
    return child;
}

/* ---- readers ---- */

/* Is this the answer that its first address says it is? */
static bool whole(const char *name, const struct gaih_addrtuple *tuples, uint32_t *ret_number)
{
    uint64_t seen4 = 0, seen6 = 0;
    uint32_t number = 0, words[4];
    char canonical[NAME_SIZE];

    for (const struct gaih_addrtuple *at = tuples; at; at = at->next) {
        uint64_t *seen = at->family == AF_INET ? &seen4 : &seen6;
        unsigned i = at->addr[0] & ((1u << (32 - NUMBER_BITS)) - 1);

        if (at == tuples)
            number = at->addr[0] >> (32 - NUMBER_BITS);
        words_of(number, i, words);
        if (memcmp(at->addr, words, at->family == AF_INET ? 4 : 16) != 0 || (*seen >> i & 1))
            return false;
        *seen |= UINT64_C(1) << i;
    }
    canonical_of(number, name, canonical);
    *ret_number = number;
    return seen4 == (UINT64_C(1) << count4(number)) - 1 &&
           seen6 == (UINT64_C(1) << count6(number)) - 1 && streq(tuples->name, canonical);
}

static _Noreturn void read_on(struct reader *reader)
{
    module_lookup_t lookup = module_load(directory);
    uint32_t number, last = 0;

    for (unsigned i = 0; !atomic_load_explicit(&shared->stop, memory_order_relaxed); i++) {
        const char *name = names[i % ELEMENTS(names)];
        struct gaih_addrtuple *tuples;
        int h_error;

        switch (module_ask(lookup, name, &tuples, &h_error)) {
        case NSS_STATUS_SUCCESS:
            if (whole(name, tuples, &number)) {
                reader->hits++;
                reader->changes += number != last;
                last = number;
            } else {
                reader->torn++;
            }
            break;
        case NSS_STATUS_TRYAGAIN:
            reader->misses += h_error == TRY_AGAIN;
            reader->strange += h_error != TRY_AGAIN;
            break;
        default:
            reader->strange++;
            break;
        }
    }
    _exit(EXIT_SUCCESS);
}

static void start_readers(pid_t readers[static READERS])
{
    atomic_store(&shared->stop, false);
    memset(shared->readers, 0, sizeof(shared->readers));
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = fork();
        if (readers[i] == 0)
            read_on(&shared->readers[i]);
    }
}

/* One that saw nothing, or always the same, proves nothing. */
static bool seen_enough(void)
{
    for (unsigned i = 0; i < READERS; i++)
        if (shared->readers[i].hits <= 100 || shared->readers[i].changes <= 10)
            return false;
    return true;
}

/* The time is over, and everybody had a turn: on a busy machine that takes longer. */
static bool is_over(uint64_t end, bool enough)
{
    uint64_t now = bench_ns();

    return now >= end && ((enough && seen_enough()) || now >= end + PATIENCE);
}

/* Waits for the readers' end and judges. */
static bool finish_readers(const char *what, const pid_t readers[static READERS])
{
    struct reader sum = {0};
    bool good = seen_enough();
    int status;

    if (!good)
        printf("%s: a reader saw too little to prove anything\n", what);
    atomic_store(&shared->stop, true);
    for (unsigned i = 0; i < READERS; i++) {
        const struct reader *reader = &shared->readers[i];

        if (waitpid(readers[i], &status, 0) < 0 || status != 0) {
            printf("reader %u ended with %#x\n", i, (unsigned)status);
            good = false;
        }
        sum.hits += reader->hits;
        sum.misses += reader->misses;
        sum.changes += reader->changes;
        sum.torn += reader->torn;
        sum.strange += reader->strange;
    }
    printf("%s: %llu hits (%llu different from the one before), %llu misses, %llu torn, "
           "%llu of no known outcome\n",
           what, (unsigned long long)sum.hits, (unsigned long long)sum.changes,
           (unsigned long long)sum.misses, (unsigned long long)sum.torn,
           (unsigned long long)sum.strange);
    return good && sum.torn == 0 && sum.strange == 0;
}

/* ---- the two parts ---- */

static void wait_published(void)
{
    while (!atomic_load(&shared->published))
        usleep(100);
}

static void kill_writer(pid_t writer, bool *good)
{
    int status;

    /* One that is gone already ended by itself, which it never does. */
    kill(writer, SIGKILL);
    *good &= waitpid(writer, &status, 0) == writer && WIFSIGNALED(status) &&
             WTERMSIG(status) == SIGKILL;
}

static bool without_pause(unsigned seconds)
{
    uint64_t end = bench_ns() + seconds * UINT64_C(1000000000);
    pid_t writer = start_writer(true), readers[READERS];
    uint32_t began;
    bool good = true;

    wait_published();
    start_readers(readers);
    began = atomic_load(&shared->number);
    while (!is_over(end, true))
        usleep(1000);
    printf("%u rewrites\n", atomic_load(&shared->number) - began);
    good &= finish_readers("without pause", readers);
    kill_writer(writer, &good);
    return good;
}

static bool with_kills(unsigned seconds)
{
    uint64_t end = bench_ns() + seconds * UINT64_C(1000000000);
    pid_t readers[READERS];
    unsigned kills = 0;
    bool good = true;

    start_readers(readers);
    for (; !is_over(end, kills > 10); kills++) {
        pid_t writer = start_writer(false);

        usleep((useconds_t)(rand() % KILL_AFTER_MAX_US));
        kill_writer(writer, &good);
    }
    printf("%u kills\n", kills);
    return finish_readers("with kills", readers) && good && kills > 10;
}

static unsigned seconds_wanted(int argc, char *argv[])
{
    const char *is_long = getenv("NSS_SD_TESTS_LONG");

    if (argc > 1)
        return (unsigned)atoi(argv[1]);
    return is_long && *is_long ? 60 : 3;
}

static void remove_directory(void)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -r %s", directory);
    if (system(command) != 0)
        fprintf(stderr, "%s: cannot be removed\n", directory);
}

int main(int argc, char *argv[])
{
    unsigned seconds = seconds_wanted(argc, argv);
    bool good;

    setvbuf(stdout, NULL, _IOLBF, 0);
    srand((unsigned)bench_ns());
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || !mkdtemp(directory))
        return EXIT_FAILURE;
    good = without_pause(seconds);
    good &= with_kills(seconds);
    remove_directory();
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
