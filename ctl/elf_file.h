/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an ELF file says of how it is started and what it is linked to. Pure: bytes in, facts out.
 * The bytes are untrusted: any of them give facts or an error.
 */
#pragma once

#include "daemon/base.h"

enum { ELF_TEXT_SIZE = 256 };

struct elf_facts {
    bool wide;                       /* 64 bits */
    unsigned type;                   /* ET_EXEC, ET_DYN, ... */
    unsigned machine;                /* EM_X86_64, ... */
    bool dynamic;                    /* has a dynamic section */
    char interpreter[ELF_TEXT_SIZE]; /* the dynamic linker that it asks for; "": none */
    bool needs_glibc, needs_musl;    /* by the libraries that it names */
    bool go;                         /* made by the Go compiler */
};

/* 0, or -EBADMSG: no ELF file of this byte order, or one that contradicts itself. */
int elf_facts_read(const void *data, size_t size, struct elf_facts *ret_facts);
