/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as a program: facts whose texts end, or an error. */
#include <stdio.h>

#include "ctl/elf_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct elf_facts facts;
    int r = elf_facts_read(data, size, &facts);

    if (r < 0 ? r != -EBADMSG
              : strnlen(facts.interpreter, ELF_TEXT_SIZE) == ELF_TEXT_SIZE ||
                    (facts.needs_glibc && !facts.dynamic)) {
        fprintf(stderr, "elf_facts_read: %d\n", r);
        abort();
    }
    return 0;
}
