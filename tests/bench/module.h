/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module of the build tree as glibc would use it: loaded at run time, called by its symbol. */
#pragma once

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <nss.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "nss-sd/wire.h"

typedef enum nss_status (*module_lookup_t)(const char *name, struct gaih_addrtuple **tuples,
                                           char *buffer, size_t size, int *error, int *h_error,
                                           int32_t *ttl);

/* Ends the process if the module cannot be loaded. It will read the view in `directory`. */
static inline module_lookup_t module_load(const char *directory)
{
    void *module;
    module_lookup_t lookup;

    setenv(NSS_SD_RUNTIME_DIRECTORY_ENV, directory, 1);
    module = dlopen(BENCH_MODULE, RTLD_NOW);
    lookup = module ? (module_lookup_t)dlsym(module, "_nss_sd_gethostbyname4_r") : NULL;
    if (!lookup) {
        fprintf(stderr, "%s\n", dlerror());
        exit(EXIT_FAILURE);
    }
    return lookup;
}

/* One lookup in both families; the tuples lie in a buffer that the next call uses again. */
static inline enum nss_status module_ask(module_lookup_t lookup, const char *name,
                                         struct gaih_addrtuple **ret_tuples, int *ret_h_error)
{
    static _Alignas(16) char buffer[16384];
    int error;

    *ret_tuples = NULL;
    return lookup(name, ret_tuples, buffer, sizeof(buffer), &error, ret_h_error, NULL);
}
