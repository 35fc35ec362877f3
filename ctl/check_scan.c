/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sdctl check --scan: addresses of instances that stand in configuration files, where a name
 * should. Walks the trees without following links, reads each file once and at most its first 16
 * MiB, and nothing of what is no text. Leaves nss-sd's own files out: there the addresses belong.
 */
#include "ctl/check_scan.h"

#include <fcntl.h>
#include <fts.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <uthash.h>

#include "ctl/address_scan.h"
#include "ctl/known.h"
#include "daemon/varlink.h"
#include "nss-sd/wire.h"

enum {
    FILE_SIZE_MAX = 16 * 1024 * 1024,
    BINARY_LOOK = 8 * 1024, /* a NUL in so many first bytes: no text */
    UNREADABLE_TOLD = 5,
    FINDINGS_MAX = 100000, /* of --json */
    PROGRESS_INTERVAL_MS = 200,
};

/* A file that was read, where one could come again. */
struct seen {
    struct {
        dev_t device;
        ino_t inode;
    } key;
    UT_hash_handle hh;
};

struct scanner {
    const struct options *options;
    struct known *instances;
    char *buffer;
    struct seen *seen;
    bool several;     /* trees, which may overlap */
    dev_t device;     /* of the last directory */
    json_t *findings; /* with --json */
    size_t files, binary, cut, unreadable, found, with_finding;
    bool progress;
    long shown_at; /* in ms */
    /* The file that is read now. */
    const char *path;
    const char *line_at; /* where `line` is counted up to */
    unsigned line;
    bool has_finding;
};

/* ---- progress ---- */

static void progress_clear(const struct scanner *scanner)
{
    if (scanner->progress && scanner->shown_at > 0)
        fputs("\r\033[K", stderr);
}

static void progress_show(struct scanner *scanner)
{
    struct timespec now;
    long ms;

    if (!scanner->progress)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (ms - scanner->shown_at < PROGRESS_INTERVAL_MS)
        return;
    scanner->shown_at = ms;
    fprintf(stderr, "\r\033[K%zu files read, %zu addresses found", scanner->files, scanner->found);
    fflush(stderr);
}

/* ---- one finding ---- */

static bool is_loopback(const struct address *address)
{
    static const uint8_t loopback6[16] = {[15] = 1};

    return address->family == AF_INET ? address->bytes[0] == 127
                                      : memcmp(address->bytes, loopback6, 16) == 0;
}

static void print_finding(const struct scanner *scanner, const struct address_found *found,
                          const struct known_address *known, const char *best, bool port_fits)
{
    _cleanup_(freep) char *path = text_printable(scanner->path), *name = text_printable(best);
    size_t others = known->name_count - 1 + known->more;

    progress_clear(scanner);
    printf("%s:%u: %swarning:%s %.*s", path, scanner->line, style_begin(STYLE_DOUBTFUL),
           style_end(STYLE_DOUBTFUL), (int)found->length, found->text);
    if (found->port > 0)
        printf(" port %u", found->port);
    printf(" is an instance of %s", name);
    if (others > 0)
        printf(" (and of %zu other name%s)", others, others == 1 ? "" : "s");
    if (found->port > 0 && !port_fits)
        printf(", though not at this port");
    printf(": write the name instead%s\n",
           known->own
               ? "; this host has the address itself, and it is right where a service listens"
               : "");
}

static void add_finding(const struct scanner *scanner, const struct address_found *found,
                        const struct known_address *known, const char *best)
{
    json_t *names = json_array();

    for (size_t i = 0; i < known->name_count; i++)
        json_array_append_new(names, json_string(known->names[i].name));
    if (json_array_size(scanner->findings) == FINDINGS_MAX) {
        json_decref(names);
        return;
    }
    json_array_append_new(scanner->findings,
                          json_pack("{s:o, s:i, s:s%, s:o, s:s, s:o, s:b}", "file",
                                    varlink_string(scanner->path), "line", (int)scanner->line,
                                    "address", found->text, found->length, "port",
                                    found->port > 0 ? json_integer(found->port) : json_null(),
                                    "name", best, "names", names, "own", known->own));
}

static void take_address(void *userdata, const struct address_found *found)
{
    struct scanner *scanner = userdata;
    const struct known_address *known = known_find(scanner->instances, &found->address);
    const char *best;
    bool port_fits;

    if (!known)
        return;
    best = known_best(known, found->port, &port_fits);
    /* Everything on this host is at 127.0.0.1: only the port tells which service is meant. */
    if (!best || (is_loopback(&found->address) && !port_fits))
        return;
    for (; scanner->line_at < found->text; scanner->line_at++)
        scanner->line += *scanner->line_at == '\n';
    scanner->found++;
    scanner->with_finding += !scanner->has_finding;
    scanner->has_finding = true;
    if (scanner->findings)
        add_finding(scanner, found, known, best);
    else
        print_finding(scanner, found, known, best, port_fits);
}

/* ---- one file ---- */

static void tell_unreadable(struct scanner *scanner, const char *path, int error)
{
    progress_clear(scanner);
    if (scanner->unreadable++ < UNREADABLE_TOLD)
        complain("Cannot read %s: %s", path, strerror(error));
}

/* True: this very file, which has several names or may be in several trees, was read before. */
static bool was_seen(struct scanner *scanner, const struct stat *status)
{
    struct seen *seen, key = {0};

    if (status->st_nlink < 2 && !scanner->several)
        return false;
    key.key.device = status->st_dev;
    key.key.inode = status->st_ino;
    HASH_FIND(hh, scanner->seen, &key.key, sizeof(key.key), seen);
    if (seen)
        return true;
    seen = calloc(1, sizeof(*seen));
    if (!seen)
        out_of_memory();
    seen->key.device = status->st_dev;
    seen->key.inode = status->st_ino;
    HASH_ADD(hh, scanner->seen, key, sizeof(seen->key), seen);
    return false;
}

/* Bytes read, at most FILE_SIZE_MAX and one that tells that there are more; negative errno. */
static ssize_t read_file(const struct scanner *scanner, int fd)
{
    size_t size = 0;

    while (size <= FILE_SIZE_MAX) {
        ssize_t r = read(fd, scanner->buffer + size, FILE_SIZE_MAX + 1 - size);

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        if (r == 0)
            break;
        size += (size_t)r;
        if (memchr(scanner->buffer, '\0', size < BINARY_LOOK ? size : BINARY_LOOK))
            break;
    }
    return (ssize_t)size;
}

static void scan_text(struct scanner *scanner, const char *path, size_t size)
{
    if (memchr(scanner->buffer, '\0', size < BINARY_LOOK ? size : BINARY_LOOK)) {
        scanner->binary++;
        return;
    }
    if (size > FILE_SIZE_MAX) {
        size = FILE_SIZE_MAX;
        scanner->cut++;
        progress_clear(scanner);
        complain("%s is larger than 16 MiB: only its first 16 MiB are read", path);
    }
    scanner->files++;
    scanner->path = path;
    scanner->line = 1;
    scanner->line_at = scanner->buffer;
    scanner->has_finding = false;
    address_scan(scanner->buffer, size, take_address, scanner);
}

static void scan_file(struct scanner *scanner, const FTSENT *file)
{
    _cleanup_(closep) int fd = -1;
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    struct stat status;
    ssize_t size;

    /* What was no link when the tree was read is none now; a link that was asked for is followed.
     */
    fd = open(file->fts_accpath, file->fts_level > 0 ? flags | O_NOFOLLOW : flags);
    if (fd < 0 || fstat(fd, &status) < 0) {
        tell_unreadable(scanner, file->fts_path, errno);
        return;
    }
    if (!S_ISREG(status.st_mode) || was_seen(scanner, &status))
        return;
    size = read_file(scanner, fd);
    if (size < 0)
        tell_unreadable(scanner, file->fts_path, (int)-size);
    else
        scan_text(scanner, file->fts_path, (size_t)size);
    progress_show(scanner);
}

/* ---- trees ---- */

static bool is_same(const char *path, const struct stat *status)
{
    struct stat other;

    return path && stat(path, &other) == 0 && other.st_dev == status->st_dev &&
           other.st_ino == status->st_ino;
}

/* nss-sd's own: its definitions, its sockets, what it learned. */
static bool is_ours(const struct scanner *scanner, const struct stat *status)
{
    const char *const paths[] = {
        SYSCONFDIR "/nss-sd",
        RUNSTATEDIR "/nss-sd",
        PREFIX "/lib/nss-sd",
        LOCALSTATEDIR "/lib/nss-sd",
        scanner->options->config_directory,
        scanner->options->runtime_directory ?: getenv(NSS_SD_RUNTIME_DIRECTORY_ENV),
    };

    for (size_t i = 0; i < ELEMENTS(paths); i++)
        if (is_same(paths[i], status))
            return true;
    return false;
}

/* What the kernel makes up: /proc, /sys and their like. */
static bool is_made_up(const char *path)
{
    static const long types[] = {0x9fa0,     0x62656572, 0x64626720, 0x74726163, 0x27e0eb,
                                 0x63677270, 0xcafe4a11, 0x73636673, 0x6165676c};
    struct statfs status;

    if (statfs(path, &status) < 0)
        return false;
    for (size_t i = 0; i < ELEMENTS(types); i++)
        if ((long)status.f_type == types[i])
            return true;
    return false;
}

static bool is_left_out(struct scanner *scanner, const FTSENT *directory)
{
    if (directory->fts_statp->st_dev != scanner->device) {
        scanner->device = directory->fts_statp->st_dev;
        if (is_made_up(directory->fts_accpath))
            return true;
    }
    return directory->fts_level > 0 && is_ours(scanner, directory->fts_statp);
}

static void scan_entry(struct scanner *scanner, FTS *tree, FTSENT *entry)
{
    switch (entry->fts_info) {
    case FTS_D:
        if (is_left_out(scanner, entry))
            fts_set(tree, entry, FTS_SKIP);
        break;
    case FTS_F:
        scan_file(scanner, entry);
        break;
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        tell_unreadable(scanner, entry->fts_path, entry->fts_errno);
        break;
    default: /* links, devices, the way back out of a directory */
        break;
    }
}

static int scan_trees(struct scanner *scanner, char **paths)
{
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, NULL);
    FTSENT *entry;
    int error;

    if (!tree)
        return complain("Cannot read %s: %s", paths[0], strerror(errno));
    while ((errno = 0, entry = fts_read(tree)))
        scan_entry(scanner, tree, entry);
    error = errno; /* 0: that was all */
    fts_close(tree);
    progress_clear(scanner);
    if (error != 0)
        return complain("Cannot go on, not all files were read: %s", strerror(error));
    return EXIT_SUCCESS;
}

/* ---- the result ---- */

static void print_sum(const struct scanner *scanner)
{
    printf("%zu address%s of instances in %zu of %zu text file%s; %zu addresses were looked for\n",
           scanner->found, scanner->found == 1 ? "" : "es", scanner->with_finding, scanner->files,
           scanner->files == 1 ? "" : "s", known_count(scanner->instances));
    if (scanner->unreadable > 0)
        complain("%zu file%s or director%s could not be read%s", scanner->unreadable,
                 scanner->unreadable == 1 ? "" : "s", scanner->unreadable == 1 ? "y" : "ies",
                 geteuid() == 0 ? "" : " (try as root)");
}

static void print_json(const struct scanner *scanner)
{
    _cleanup_(json_decrefp) json_t *document = json_pack(
        "{s:O, s:I, s:I, s:I, s:I, s:I}", "findings", scanner->findings, "found",
        (json_int_t)scanner->found, "files", (json_int_t)scanner->files, "binary",
        (json_int_t)scanner->binary, "cut", (json_int_t)scanner->cut, "unreadable",
        (json_int_t)scanner->unreadable);

    json_print(document);
}

static void scanner_done(struct scanner *scanner)
{
    struct seen *seen, *next;

    HASH_ITER (hh, scanner->seen, seen, next) {
        HASH_DEL(scanner->seen, seen);
        free(seen);
    }
    json_decref(scanner->findings);
    known_free(scanner->instances);
    free(scanner->buffer);
}

int check_scan(const struct options *options, int argc, char **argv)
{
    struct scanner scanner = {
        .options = options,
        .instances = known_load(options),
        .several = argc > 1,
        .progress = isatty(STDERR_FILENO) && !options->json,
    };
    int r;

    if (!scanner.instances)
        return EXIT_FAILURE;
    scanner.buffer = malloc(FILE_SIZE_MAX + 1);
    if (!scanner.buffer)
        out_of_memory();
    if (options->json)
        scanner.findings = json_array();
    r = scan_trees(&scanner, argv);
    if (r == EXIT_SUCCESS && options->json)
        print_json(&scanner);
    else if (r == EXIT_SUCCESS)
        print_sum(&scanner);
    scanner_done(&scanner);
    return r;
}
