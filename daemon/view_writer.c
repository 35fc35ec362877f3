/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file is made whole under a temporary name and renamed, and only then is the old one retired: a
 * reader that sees the hint finds the new file at the path.
 */
#include "daemon/view_writer.h"

#include <fcntl.h>

#include "daemon/evaluation.h"
#include "daemon/view_file.h"
#include "daemon/view_header.h"
#include "daemon/view_listing.h"
#include "daemon/view_old.h"
#include "daemon/view_table.h"
#include "nss-sd/seqlock.h"

enum { LOAD_MAX = 70 }; /* percent */

/* Readers look at most once a second whether a retired file has a successor. */
#define PUNCH_AFTER (2 * USEC_PER_SEC)

struct view_writer {
    struct view_file file;
    struct view_table positive, negative;
    struct view_listing listing;
    struct view_old *old; /* retired; its tables are punched at punch_at */
    usec_t punch_at;
};

/* ---- opening ---- */

static void on_leaving(void *userdata, uint32_t from, uint32_t to)
{
    struct view_writer *writer = userdata;

    view_listing_follow(&writer->listing, from, to);
}

static int init_tables(struct view_writer *writer)
{
    const struct view_header *header = writer->file.header;
    char *file = (char *)writer->file.header;
    int r;

    r = view_table_init(&writer->positive, file + view_slot_offset(header, false, 0),
                        header->hash_key, header->set_bits, false);
    if (r >= 0)
        r = view_table_init(&writer->negative, file + view_slot_offset(header, true, 0),
                            header->hash_key, header->negative_bits, true);
    if (r >= 0)
        r = view_listing_init(&writer->listing, file + view_reverse_offset(header, 0),
                              header->reverse_bits, &writer->positive);
    writer->positive.leaving = on_leaving;
    writer->positive.userdata = writer;
    return r;
}

struct carry {
    const struct view_header *header; /* of the new file */
    const struct view_spec *spec;
    struct view_writer *writer; /* NULL: count only */
    uint32_t count;
};

static void on_old_answer(void *userdata, union view_slot *answer)
{
    struct carry *carry = userdata;

    if (!view_header_owns(carry->header, view_slot_name(answer), answer->head.name_length) ||
        (carry->spec->may_carry &&
         !carry->spec->may_carry(carry->spec->userdata, view_slot_name(answer))))
        return;
    carry->count++;
    if (carry->writer)
        view_table_put(&carry->writer->positive, answer);
}

static void on_old_address(void *userdata, const struct address *address, const char *name)
{
    view_writer_list_address(userdata, address, name);
}

/* Room for what is wanted and for what is carried over. */
static uint32_t choose_set_bits(const struct view_old *old, const struct view_header *header,
                                const struct view_spec *spec)
{
    uint32_t bits = spec->set_bits > VIEW_WRITER_SET_BITS ? spec->set_bits : VIEW_WRITER_SET_BITS;
    struct carry carry = {.header = header, .spec = spec};

    if (old)
        view_old_each(old, on_old_answer, &carry);
    while (bits < VIEW_WRITER_SET_BITS_MAX &&
           (uint64_t)carry.count * 100 > ((uint64_t)VIEW_WAYS << bits) * LOAD_MAX)
        bits++;
    return bits;
}

/* Completes the prepared header, makes the file and its tables, and fills them. */
static int build(struct view_writer *writer, int directory_fd, struct view_header *header,
                 const struct view_spec *spec, uint32_t now)
{
    struct carry carry = {.writer = writer, .spec = spec};
    int r = view_header_complete(header, choose_set_bits(writer->old, header, spec), now);

    if (r >= 0)
        r = view_file_create(directory_fd, header->file_size, &writer->file);
    if (r < 0)
        return r;
    memcpy(writer->file.header, header, sizeof(*header));
    r = init_tables(writer);
    carry.header = writer->file.header;
    if (r >= 0 && writer->old) {
        view_old_each(writer->old, on_old_answer, &carry);
        view_old_each_address(writer->old, on_old_address, writer);
    }
    return r;
}

static int open_in(struct view_writer *writer, int directory_fd, const struct view_spec *spec,
                   usec_t now)
{
    _cleanup_(freep) struct view_header *header = calloc(1, sizeof(*header));
    int r;

    if (!header)
        return -ENOMEM;
    if (spec->set_bits > VIEW_WRITER_SET_BITS_MAX)
        return -E2BIG;
    r = view_header_set_spec(header, spec);
    if (r < 0)
        return r;
    view_file_sweep(directory_fd);
    writer->old = view_old_open(directory_fd, ticks_from_usec(now));
    r = build(writer, directory_fd, header, spec, ticks_from_usec(now));
    if (r >= 0)
        r = view_file_install(&writer->file, directory_fd);
    if (r < 0) {
        view_file_discard(&writer->file, directory_fd);
        writer->old = view_old_free(writer->old); /* it stays in force */
        return r;
    }
    if (writer->old)
        view_old_retire(writer->old);
    writer->punch_at = usec_add(now, PUNCH_AFTER);
    return 0;
}

int view_writer_open(const char *directory, const struct view_spec *spec, usec_t now,
                     void (*carried)(void *userdata, const char *name), void *userdata,
                     struct view_writer **ret_writer)
{
    _cleanup_(closep) int directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct view_writer *writer;
    int r;

    if (directory_fd < 0)
        return -errno;
    writer = calloc(1, sizeof(*writer));
    if (!writer)
        return -ENOMEM;
    r = open_in(writer, directory_fd, spec, now);
    if (r < 0) {
        view_writer_close(writer);
        return r;
    }
    *ret_writer = writer;
    for (uint32_t i = 0; carried && i < view_table_capacity(&writer->positive); i++)
        if (writer->positive.slots[i].head.size > 0)
            carried(userdata, view_slot_name(&writer->positive.slots[i]));
    return 0;
}

void view_writer_disown(const char *directory, usec_t now)
{
    _cleanup_(closep) int directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct view_old *old = directory_fd < 0 ? NULL
                                            : view_old_open(directory_fd, ticks_from_usec(now));

    if (old)
        view_old_retire(old);
    view_old_free(old);
}

struct view_writer *view_writer_close(struct view_writer *writer)
{
    if (!writer)
        return NULL;
    /* Not punched before its time: its readers, who look once a second whether there is a newer
     * file, would lose their answers. */
    view_old_free(writer->old);
    view_listing_done(&writer->listing);
    view_table_done(&writer->negative);
    view_table_done(&writer->positive);
    view_file_done(&writer->file);
    free(writer);
    return NULL;
}

/* ---- header ---- */

bool view_writer_matches(const struct view_writer *writer, const struct view_spec *spec)
{
    _cleanup_(freep) struct view_header *wanted = calloc(1, sizeof(*wanted));

    return wanted && view_header_set_spec(wanted, spec) >= 0 &&
           view_header_same_spec(writer->file.header, wanted) &&
           spec->set_bits <= view_writer_set_bits(writer);
}

void view_writer_beat(struct view_writer *writer, usec_t now)
{
    __atomic_store_n(&writer->file.header->heartbeat, ticks_from_usec(now), __ATOMIC_RELAXED);
    /* Its readers had a second to follow the hint. */
    if (writer->old && now >= writer->punch_at) {
        view_old_punch(writer->old);
        writer->old = view_old_free(writer->old);
    }
}

unsigned view_writer_set_bits(const struct view_writer *writer)
{
    return writer->positive.bits;
}

unsigned view_writer_load(const struct view_writer *writer)
{
    return writer->positive.used * 100 / view_table_capacity(&writer->positive);
}

void view_writer_clock(struct view_writer *writer, unsigned index, enum view_clock_state state,
                       usec_t confirmed_at)
{
    union {
        struct view_clock clock;
        uint32_t words[sizeof(struct view_clock) / sizeof(uint32_t)];
    } wanted = {.clock = {.state = state, .confirmed_at = ticks_from_usec(confirmed_at)}};
    uint32_t *words, next;

    if (index >= VIEW_CLOCKS_MAX)
        return;
    words = &writer->file.header->clocks[index].sequence;
    if (memcmp(words + 1, wanted.words + 1, sizeof(wanted) - sizeof(*words)) == 0)
        return;
    next = seqlock_write_begin(words);
    seqlock_write_words(words + 1, wanted.words + 1, ELEMENTS(wanted.words) - 1);
    seqlock_write_end(words, next);
}

/* ---- answers ---- */

int view_writer_publish(struct view_writer *writer, const void *payload, size_t size)
{
    union view_slot answer;
    const char *name = view_slot_name(&answer);
    int r;

    if (size < ANSWER_RECORDS || size > sizeof(answer))
        return -EINVAL;
    memset(answer.bytes + size, 0, sizeof(answer.bytes) - size);
    memcpy(answer.bytes, payload, size);
    if (answer.head.size != size || answer.head.name_length == 0 ||
        answer.head.name_length > NAME_MAX_LENGTH)
        return -EINVAL;
    /* The table that the name leaves is the second: readers meet one answer or both, never none. */
    if (answer.head.count4 == 0 && answer.head.count6 == 0) {
        r = view_table_put(&writer->negative, &answer);
        view_table_remove(&writer->positive, name, answer.head.name_length);
    } else {
        r = view_table_put(&writer->positive, &answer);
        view_table_remove(&writer->negative, name, answer.head.name_length);
    }
    return r;
}

void view_writer_withdraw(struct view_writer *writer, const char *name)
{
    size_t length = strlen(name);

    view_table_remove(&writer->positive, name, length);
    view_table_remove(&writer->negative, name, length);
}

void view_writer_prune(struct view_writer *writer,
                       bool (*may_stay)(void *userdata, const char *name), void *userdata)
{
    for (uint32_t i = 0; i < view_table_capacity(&writer->positive); i++) {
        const union view_slot *answer = &writer->positive.slots[i];

        if (answer->head.size > 0 && !may_stay(userdata, view_slot_name(answer)))
            view_table_remove(&writer->positive, view_slot_name(answer), answer->head.name_length);
    }
}

bool view_writer_has(const struct view_writer *writer, const char *name)
{
    return view_table_find(&writer->positive, name, strlen(name)) != VIEW_ENTRY_NONE;
}

void view_writer_list_address(struct view_writer *writer, const struct address *address,
                              const char *name)
{
    uint32_t slot = view_table_find(&writer->positive, name, strlen(name));

    if (slot != VIEW_ENTRY_NONE)
        view_listing_add(&writer->listing, address, slot);
}
