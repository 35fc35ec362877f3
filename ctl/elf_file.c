/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/elf_file.h"

#include <elf.h>

enum { HEADERS_MAX = 4096, DYNAMIC_MAX = 65536 };

/* What the toolchain writes before the description of a Go program. */
static const char go_mark[] = "\xff Go buildinf:";

struct file {
    const uint8_t *data;
    size_t size;
    bool wide;
};

/* One program header, of either class. */
struct segment {
    uint32_t type;
    uint64_t offset, address, size; /* size: in the file */
};

static const void *at(const struct file *file, uint64_t offset, uint64_t size)
{
    if (offset > file->size || size > file->size - offset)
        return NULL;
    return file->data + offset;
}

/* A string that ends within the file and within `size` bytes of the result. */
static bool text_at(const struct file *file, uint64_t offset, char *ret_text, size_t size)
{
    const char *text;
    size_t length;

    if (offset >= file->size)
        return false;
    text = (const char *)file->data + offset;
    length = strnlen(text, file->size - offset);
    if (length == file->size - offset || length >= size)
        return false;
    memcpy(ret_text, text, length + 1);
    return true;
}

/* ---- program headers ---- */

struct headers {
    uint64_t offset;
    unsigned size, count;
};

static int read_header(struct file *file, struct elf_facts *facts, struct headers *ret_headers)
{
    static const uint16_t one = 1;
    const unsigned char order = *(const uint8_t *)&one ? ELFDATA2LSB : ELFDATA2MSB;
    const unsigned char *ident = at(file, 0, EI_NIDENT);
    Elf64_Ehdr wide;
    Elf32_Ehdr narrow;

    if (!ident || memcmp(ident, ELFMAG, SELFMAG) != 0 || ident[EI_DATA] != order)
        return -EBADMSG;
    file->wide = facts->wide = ident[EI_CLASS] == ELFCLASS64;
    if (file->wide && at(file, 0, sizeof(wide))) {
        memcpy(&wide, file->data, sizeof(wide));
        facts->type = wide.e_type;
        facts->machine = wide.e_machine;
        *ret_headers = (struct headers){wide.e_phoff, wide.e_phentsize, wide.e_phnum};
        return ret_headers->size >= sizeof(Elf64_Phdr) || !ret_headers->count ? 0 : -EBADMSG;
    }
    if (ident[EI_CLASS] == ELFCLASS32 && at(file, 0, sizeof(narrow))) {
        memcpy(&narrow, file->data, sizeof(narrow));
        facts->type = narrow.e_type;
        facts->machine = narrow.e_machine;
        *ret_headers = (struct headers){narrow.e_phoff, narrow.e_phentsize, narrow.e_phnum};
        return ret_headers->size >= sizeof(Elf32_Phdr) || !ret_headers->count ? 0 : -EBADMSG;
    }
    return -EBADMSG;
}

static bool segment_read(const struct file *file, const struct headers *headers, unsigned index,
                         struct segment *ret_segment)
{
    /* Neither factor is above 65535, and a sum that wraps around is outside of the file. */
    uint64_t offset = headers->offset + (uint64_t)index * headers->size;
    const void *header = offset < headers->offset ? NULL : at(file, offset, headers->size);
    Elf64_Phdr wide;
    Elf32_Phdr narrow;

    if (!header)
        return false;
    if (file->wide) {
        memcpy(&wide, header, sizeof(wide));
        *ret_segment = (struct segment){wide.p_type, wide.p_offset, wide.p_vaddr, wide.p_filesz};
    } else {
        memcpy(&narrow, header, sizeof(narrow));
        *ret_segment = (struct segment){narrow.p_type, narrow.p_offset, narrow.p_vaddr,
                                        narrow.p_filesz};
    }
    return true;
}

static bool segment_find(const struct file *file, const struct headers *headers, uint32_t type,
                         struct segment *ret_segment)
{
    for (unsigned i = 0; i < headers->count && i < HEADERS_MAX; i++)
        if (segment_read(file, headers, i, ret_segment) && ret_segment->type == type)
            return true;
    return false;
}

/* Where in the file lies what will be at `address`? False: nowhere. */
static bool offset_of(const struct file *file, const struct headers *headers, uint64_t address,
                      uint64_t *ret_offset)
{
    struct segment segment;

    for (unsigned i = 0; i < headers->count && i < HEADERS_MAX; i++)
        if (segment_read(file, headers, i, &segment) && segment.type == PT_LOAD &&
            address >= segment.address && address - segment.address < segment.size) {
            *ret_offset = segment.offset + (address - segment.address);
            return true;
        }
    return false;
}

/* ---- the dynamic section ---- */

static bool dynamic_read(const struct file *file, const struct segment *dynamic, size_t index,
                         int64_t *ret_tag, uint64_t *ret_value)
{
    size_t size = file->wide ? sizeof(Elf64_Dyn) : sizeof(Elf32_Dyn);
    const void *entry = (index + 1) * size <= dynamic->size && dynamic->offset < file->size
                            ? at(file, dynamic->offset + index * size, size)
                            : NULL;
    Elf64_Dyn wide;
    Elf32_Dyn narrow;

    if (!entry)
        return false;
    if (file->wide) {
        memcpy(&wide, entry, sizeof(wide));
        *ret_tag = wide.d_tag;
        *ret_value = wide.d_un.d_val;
    } else {
        memcpy(&narrow, entry, sizeof(narrow));
        *ret_tag = narrow.d_tag;
        *ret_value = narrow.d_un.d_val;
    }
    return *ret_tag != DT_NULL;
}

static void note_library(struct elf_facts *facts, const char *name)
{
    if (strncmp(name, "libc.so.6", 9) == 0)
        facts->needs_glibc = true;
    if (strncmp(name, "libc.musl-", 10) == 0 || streq(name, "libc.so"))
        facts->needs_musl = true;
}

static void read_libraries(const struct file *file, const struct headers *headers,
                           const struct segment *dynamic, struct elf_facts *facts)
{
    uint64_t value, strings = 0;
    bool found = false;
    int64_t tag;

    for (size_t i = 0; i < DYNAMIC_MAX && dynamic_read(file, dynamic, i, &tag, &value); i++)
        if (tag == DT_STRTAB)
            found = offset_of(file, headers, value, &strings);
    for (size_t i = 0; found && i < DYNAMIC_MAX && dynamic_read(file, dynamic, i, &tag, &value);
         i++) {
        char name[ELF_TEXT_SIZE];

        if (tag == DT_NEEDED && value < file->size &&
            text_at(file, strings + value, name, sizeof(name)))
            note_library(facts, name);
    }
}

int elf_facts_read(const void *data, size_t size, struct elf_facts *ret_facts)
{
    struct file file = {.data = data, .size = size};
    struct elf_facts facts = {0};
    struct headers headers;
    struct segment segment;
    int r = read_header(&file, &facts, &headers);

    if (r < 0)
        return r;
    if (segment_find(&file, &headers, PT_INTERP, &segment) &&
        !text_at(&file, segment.offset, facts.interpreter, sizeof(facts.interpreter)))
        return -EBADMSG;
    facts.dynamic = segment_find(&file, &headers, PT_DYNAMIC, &segment);
    if (facts.dynamic)
        read_libraries(&file, &headers, &segment, &facts);
    facts.go = memmem(data, size, go_mark, sizeof(go_mark) - 1) != NULL;
    *ret_facts = facts;
    return 0;
}
