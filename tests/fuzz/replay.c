/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A main() for fuzz targets where libFuzzer is not at hand, so that `make check` runs each for a
 * bounded time: every seed as it is, then mutations of the seeds, the same ones in every run.
 *
 *   target [FILE...]     without files: the seeds in $srcdir/tests/fuzz/FUZZ_NAME
 *   FUZZ_ROUNDS=N        mutations; 3000 by default, or 100000 when NSS_SD_TESTS_LONG is set
 *   FUZZ_SEED=N          of the mutations, 1 by default
 *
 * The input that crashes is left in FUZZ_NAME.crash in the working directory. With libFuzzer:
 *   clang -fsanitize=fuzzer,address,undefined ... in place of this file.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 64 * 1024, SEEDS_MAX = 256 };

static struct seed {
    uint8_t *data;
    size_t size;
} seeds[SEEDS_MAX];
static size_t seed_count;

static uint8_t input[INPUT_MAX];
static size_t input_size;
static uint64_t state;

/* xorshift64*: good enough, and the same everywhere. */
static uint64_t draw(uint64_t below)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * UINT64_C(2685821657736338717)) % below;
}

static void keep_crash(int signal_number)
{
    int fd = open(FUZZ_NAME ".crash", O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (fd >= 0 && write(fd, input, input_size) >= 0)
        close(fd);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static int seed_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct seed *seed = &seeds[seed_count];

    if (!file) {
        perror(path);
        return -1;
    }
    seed->data = malloc(INPUT_MAX);
    if (seed->data && seed_count < SEEDS_MAX - 1) {
        seed->size = fread(seed->data, 1, INPUT_MAX, file);
        seed_count++;
    }
    fclose(file);
    return 0;
}

static int seeds_read(const char *directory)
{
    DIR *stream = opendir(directory);
    struct dirent *entry;
    char path[PATH_MAX + NAME_MAX + 2];
    int r = 0;

    if (!stream) {
        perror(directory);
        return -1;
    }
    while (r == 0 && (entry = readdir(stream))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        r = seed_read(path);
    }
    closedir(stream);
    return r;
}

static void copy_seed(void)
{
    const struct seed *seed = &seeds[draw(seed_count)];

    memcpy(input, seed->data, seed->size);
    input_size = seed->size;
}

/* Puts a piece of a seed at `at`, over what is there or, if there is room, in between. */
static void splice_seed(size_t at)
{
    const struct seed *seed = &seeds[draw(seed_count)];
    size_t from = draw(seed->size + 1), size = draw(seed->size - from + 1);

    if (draw(2) && input_size + size <= INPUT_MAX) {
        memmove(input + at + size, input + at, input_size - at);
        input_size += size;
    } else if (size > input_size - at) {
        size = input_size - at;
    }
    memcpy(input + at, seed->data + from, size);
}

static void mutate(void)
{
    size_t at = draw(input_size + 1), size = draw(input_size - at + 1);

    switch (draw(5)) {
    case 0: /* one bit */
        if (at < input_size)
            input[at] ^= (uint8_t)(1u << draw(8));
        break;
    case 1: /* one byte, often a telling one */
        if (at < input_size)
            input[at] = draw(2) ? (uint8_t)draw(256) : (uint8_t) "\0\n=[];\xff "[draw(8)];
        break;
    case 2: /* cut out */
        memmove(input + at, input + at + size, input_size - at - size);
        input_size -= size;
        break;
    case 3: /* cut off */
        input_size = at;
        break;
    default:
        splice_seed(at);
    }
}

static uint64_t setting(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : fallback;
}

static int load(int argc, char **argv)
{
    const char *source = getenv("srcdir");
    char path[PATH_MAX];
    int r = 0;

    for (int i = 1; i < argc && r == 0; i++)
        r = seed_read(argv[i]);
    if (argc > 1)
        return r;
    snprintf(path, sizeof(path), "%s/tests/fuzz/" FUZZ_NAME, source ? source : ".");
    return seeds_read(path);
}

static uint64_t setting_rounds(void)
{
    const char *is_long = getenv("NSS_SD_TESTS_LONG");

    return setting("FUZZ_ROUNDS", is_long && is_long[0] != '\0' ? 100000 : 3000);
}

int main(int argc, char **argv)
{
    uint64_t rounds = setting_rounds();

    state = setting("FUZZ_SEED", 1) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    if (load(argc, argv) < 0 || seed_count == 0)
        return EXIT_FAILURE;
    signal(SIGSEGV, keep_crash);
    signal(SIGABRT, keep_crash);
    for (size_t i = 0; i < seed_count; i++) {
        memcpy(input, seeds[i].data, seeds[i].size);
        input_size = seeds[i].size;
        LLVMFuzzerTestOneInput(input, input_size);
    }
    for (uint64_t i = 0; i < rounds; i++) {
        copy_seed();
        for (uint64_t edits = 1 + draw(8); edits > 0; edits--)
            mutate();
        LLVMFuzzerTestOneInput(input, input_size);
    }
    printf("%zu seeds, %llu mutations\n", seed_count, (unsigned long long)rounds);
    for (size_t i = 0; i < seed_count; i++)
        free(seeds[i].data);
    return EXIT_SUCCESS;
}
