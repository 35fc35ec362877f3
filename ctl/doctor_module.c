/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sdctl doctor: is the module there for every architecture whose programs can run here, and of the
 * version of the daemon?
 */
#include "ctl/doctor.h"

#include <elf.h>
#include <fcntl.h>

#include "ctl/elf_file.h"
#include "daemon/base.h"

#define MODULE "libnss_sd.so.2"
#define CACHE  "/etc/ld.so.cache"

enum { MODULE_MAX = 64 * 1024 * 1024, CACHE_MAX = 64 * 1024 * 1024, PATH_SIZE = 4096 };

/* An architecture is installed when its dynamic linker is. */
static const struct architecture {
    const char *name; /* Debian's */
    const char *linker, *triplet;
    bool wide;
    unsigned machine;
} architectures[] = {
    {"amd64", "/lib64/ld-linux-x86-64.so.2", "x86_64-linux-gnu", true, EM_X86_64},
    {"i386", "/lib/ld-linux.so.2", "i386-linux-gnu", false, EM_386},
    {"arm64", "/lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu", true, EM_AARCH64},
    {"armhf", "/lib/ld-linux-armhf.so.3", "arm-linux-gnueabihf", false, EM_ARM},
    {"ppc64el", "/lib64/ld64.so.2", "powerpc64le-linux-gnu", true, EM_PPC64},
    {"riscv64", "/lib/ld-linux-riscv64-lp64d.so.1", "riscv64-linux-gnu", true, EM_RISCV},
    {"s390x", "/lib/ld64.so.1", "s390x-linux-gnu", true, EM_S390},
};

/* ---- where the dynamic linker looks ---- */

static bool module_fits(const struct doctor *doctor, const char *path, bool wide, unsigned machine)
{
    _cleanup_(freep) char *data = NULL;
    struct elf_facts facts;
    size_t size;

    return doctor_read(doctor, path, MODULE_MAX, &data, &size) == 0 &&
           elf_facts_read(data, size, &facts) == 0 && facts.type == ET_DYN && facts.wide == wide &&
           facts.machine == machine;
}

/*
 * The form of ldconfig's cache since glibc 2.32: a head of 48 bytes with the number of entries,
 * then entries of 24 bytes, each with the offsets of a name and of a path from the start of the
 * file.
 */
static char *find_in_cache(const struct doctor *doctor, bool wide, unsigned machine)
{
    static const char magic[] = "glibc-ld.so.cache1.1";
    enum { HEAD = 48, ENTRY = 24 };
    _cleanup_(freep) char *cache = NULL;
    uint32_t count, words[3];
    size_t size;

    if (doctor_read(doctor, CACHE, CACHE_MAX, &cache, &size) < 0 || size < HEAD ||
        memcmp(cache, magic, sizeof(magic) - 1) != 0)
        return NULL;
    memcpy(&count, cache + sizeof(magic) - 1, sizeof(count));
    for (uint32_t i = 0; i < count && HEAD + (size_t)(i + 1) * ENTRY <= size; i++) {
        memcpy(words, cache + HEAD + (size_t)i * ENTRY, sizeof(words));
        /* doctor_read() put a NUL behind the file. */
        if (words[1] < size && words[2] < size && streq(cache + words[1], MODULE) &&
            module_fits(doctor, cache + words[2], wide, machine))
            return strdup(cache + words[2]);
    }
    return NULL;
}

static char *find_in_directories(const struct doctor *doctor, bool wide, unsigned machine)
{
    static const char *const common[] = {"/lib64", "/usr/lib64", "/lib", "/usr/lib"};
    char path[PATH_SIZE];

    for (size_t i = 0; i < ELEMENTS(architectures); i++)
        for (int usr = 0; usr < 2; usr++) {
            snprintf(path, sizeof(path), "%s/lib/%s/" MODULE, usr ? "/usr" : "",
                     architectures[i].triplet);
            if (architectures[i].machine == machine && module_fits(doctor, path, wide, machine))
                return strdup(path);
        }
    for (size_t i = 0; i < ELEMENTS(common); i++) {
        snprintf(path, sizeof(path), "%s/" MODULE, common[i]);
        if (module_fits(doctor, path, wide, machine))
            return strdup(path);
    }
    return NULL;
}

char *doctor_module_for(const struct doctor *doctor, bool wide, unsigned machine)
{
    return find_in_cache(doctor, wide, machine) ?: find_in_directories(doctor, wide, machine);
}

const char *doctor_architecture(bool wide, unsigned machine)
{
    for (size_t i = 0; i < ELEMENTS(architectures); i++)
        if (architectures[i].wide == wide && architectures[i].machine == machine)
            return architectures[i].name;
    return NULL;
}

/* ---- findings ---- */

/* The daemon understands modules of every version, so this is no error. */
static void compare_versions(struct doctor *doctor, const struct architecture *architecture,
                             const char *path)
{
    _cleanup_(freep) char *module = doctor_package_version(doctor, "libnss-sd", architecture->name);
    _cleanup_(freep) char *daemon = doctor_package_version(doctor, "nss-sd", NULL);
    _cleanup_(freep) char *advice = NULL;

    if (!module || !daemon || streq(module, daemon)) {
        doctor_report(doctor, SEVERITY_OK, "module", (struct place){path, 0}, NULL,
                      "the module for programs of %s", architecture->name);
        return;
    }
    if (asprintf(&advice, "apt install libnss-sd:%s=%s", architecture->name, daemon) < 0)
        out_of_memory();
    doctor_report(doctor, SEVERITY_WARNING, "module.version", (struct place){path, 0}, advice,
                  "the module for programs of %s has version %s, the daemon %s", architecture->name,
                  module, daemon);
}

static void report_missing(struct doctor *doctor, const struct architecture *architecture,
                           bool others)
{
    _cleanup_(freep) char *advice = NULL;

    if (asprintf(&advice, "apt install libnss-sd:%s", architecture->name) < 0)
        out_of_memory();
    doctor_report(doctor, others ? SEVERITY_WARNING : SEVERITY_ERROR, "module.missing",
                  (struct place){0}, advice,
                  "there is no " MODULE " for programs of %s: they find no service",
                  architecture->name);
}

void doctor_module(struct doctor *doctor)
{
    char *paths[ELEMENTS(architectures)] = {0};
    bool any = false, installed = false;

    for (size_t i = 0; i < ELEMENTS(architectures); i++) {
        paths[i] = doctor_module_for(doctor, architectures[i].wide, architectures[i].machine);
        any |= paths[i] != NULL;
    }
    for (size_t i = 0; i < ELEMENTS(architectures); i++) {
        bool runs = doctor_exists(doctor, architectures[i].linker);

        if (runs && paths[i])
            compare_versions(doctor, &architectures[i], paths[i]);
        else if (runs)
            report_missing(doctor, &architectures[i], any);
        installed |= runs;
        free(paths[i]);
    }
    if (!installed)
        doctor_report(doctor, SEVERITY_ERROR, "module.missing", (struct place){0},
                      "nss-sd needs the GNU C library: use an image that is built on it.",
                      "there is no glibc here");
}
