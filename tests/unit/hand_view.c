/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hand_view.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nss/clock.h"
#include "tests/unit/unit.h"

static uint32_t tick_in(int seconds)
{
    return clock_tick() + (uint32_t)(seconds * VIEW_TICKS_PER_SECOND);
}

static void set_name(struct view_name *name, const char *text)
{
    name->length = (uint16_t)strlen(text);
    memcpy(name->text, text, name->length);
}

static void *map(struct hand_view *file)
{
    char temporary[144];
    void *base;
    int fd;

    snprintf(temporary, sizeof(temporary), "%s.hand", file->path);
    fd = open(temporary, O_RDWR | O_CREAT | O_EXCL, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)file->size), 0);
    base = mmap(NULL, file->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert(base != MAP_FAILED);
    close(fd);
    ck_assert_int_eq(rename(temporary, file->path), 0);
    return base;
}

void hand_view_init(struct hand_view *file, const char *directory, const char *const *search,
                    size_t search_count)
{
    struct view_header *header;

    snprintf(file->path, sizeof(file->path), "%s/view", directory);
    file->size = (size_t)view_file_size(HAND_VIEW_BITS, HAND_VIEW_BITS, HAND_VIEW_REVERSE_BITS);
    file->header = header = map(file);
    *header = (struct view_header){
        .magic = VIEW_MAGIC,
        .layout = VIEW_LAYOUT,
        .endian = VIEW_ENDIAN,
        .header_size = VIEW_HEADER_SIZE,
        .file_size = (uint32_t)file->size,
        .slot_size = ANSWER_SLOT_SIZE,
        .set_bits = HAND_VIEW_BITS,
        .negative_bits = HAND_VIEW_BITS,
        .reverse_bits = HAND_VIEW_REVERSE_BITS,
        .hash_key = {0x00010203, 0x04050607, 0x08090a0b, 0x0c0d0e0f},
        .ndots = 1,
        .lookup_timeout_ms = 750,
        .lease_ticks = VIEW_LEASE_TICKS,
        .domain_count = 1,
        .search_count = (uint32_t)search_count,
        .clock_count = HAND_VIEW_CLOCKS,
        .heartbeat = tick_in(0),
    };
    set_name(&header->domains[0], "consul");
    header->filter[view_filter_bit('u', 'l') / 32] |= 1u << view_filter_bit('u', 'l') % 32;
    for (size_t i = 0; i < search_count; i++)
        set_name(&header->search[i], search[i]);
    hand_view_clock(file, VIEW_CLOCK_LIVE, 0);
}

void hand_view_done(struct hand_view *file)
{
    if (file->header)
        munmap(file->header, file->size);
    file->header = NULL;
}

void hand_view_beat(struct hand_view *file, int seconds)
{
    file->header->heartbeat = tick_in(-seconds);
}

void hand_view_clock(struct hand_view *file, enum view_clock_state state, int confirmed_ago)
{
    file->header->clocks[0].state = state;
    file->header->clocks[0].confirmed_at = tick_in(-confirmed_ago);
}

struct answer_head *hand_view_slot(struct hand_view *file, bool negative, const char *name,
                                   unsigned set, unsigned way)
{
    struct view_place place = view_place_of(file->header->hash_key, name, strlen(name),
                                            HAND_VIEW_BITS);
    uint64_t offset = view_slot_offset(file->header, negative, place.sets[set] * VIEW_WAYS + way);

    return (struct answer_head *)((char *)file->header + offset);
}

uint32_t hand_view_slot_number(struct hand_view *file, const struct answer_head *slot)
{
    return (uint32_t)(((const char *)slot - (const char *)file->header - VIEW_HEADER_SIZE) /
                      ANSWER_SLOT_SIZE);
}

static void write_slot(struct hand_view *file, const struct slot_spec *spec,
                       struct answer_head *slot)
{
    static struct payload payload;
    size_t size = payload_make(&payload, &spec->payload);
    struct answer_head *head = (struct answer_head *)payload.data;
    const char *name = spec->payload.name;

    ck_assert_uint_le(size, ANSWER_SLOT_SIZE);
    head->flags |= spec->flags;
    head->hash = view_place_of(file->header->hash_key, name, strlen(name), HAND_VIEW_BITS).tag;
    head->refresh_at = tick_in(spec->refresh != 0 ? spec->refresh : 3600);
    if (spec->watched) {
        head->clock = 0;
        head->stale_until = spec->stale < 0 ? UINT32_MAX
                                            : (uint32_t)spec->stale * VIEW_TICKS_PER_SECOND;
    } else {
        head->fresh_until = tick_in(spec->fresh);
        head->stale_until = tick_in(spec->stale);
    }
    memcpy(slot, payload.data, ANSWER_SLOT_SIZE);
}

struct answer_head *hand_view_put_at(struct hand_view *file, const struct slot_spec *spec,
                                     unsigned set, unsigned way)
{
    bool negative = spec->payload.count4 + spec->payload.count6 == 0;
    struct answer_head *slot = hand_view_slot(file, negative, spec->payload.name, set, way);

    write_slot(file, spec, slot);
    return slot;
}

struct answer_head *hand_view_put(struct hand_view *file, const struct slot_spec *spec)
{
    bool negative = spec->payload.count4 + spec->payload.count6 == 0;

    for (unsigned i = 0; i < 2 * VIEW_WAYS; i++)
        if (hand_view_slot(file, negative, spec->payload.name, i / VIEW_WAYS, i % VIEW_WAYS)
                ->size == 0)
            return hand_view_put_at(file, spec, i / VIEW_WAYS, i % VIEW_WAYS);
    ck_abort_msg("the sets of %s are full", spec->payload.name);
}

struct view_reverse *hand_view_list(struct hand_view *file, unsigned family, const void *address,
                                    uint32_t slot)
{
    struct view_reverse entry = {.family = family, .slot = slot};
    struct view_place place;

    memcpy(entry.address, address, family == 4 ? 4 : 16);
    place = view_reverse_place_of(file->header->hash_key, &entry, HAND_VIEW_REVERSE_BITS);
    for (unsigned i = 0; i < 2 * VIEW_WAYS; i++) {
        uint32_t number = place.sets[i / VIEW_WAYS] * VIEW_WAYS + i % VIEW_WAYS;
        struct view_reverse *at = (struct view_reverse *)((char *)file->header +
                                                          view_reverse_offset(file->header,
                                                                              number));

        if (at->family == 0) {
            *at = entry;
            return at;
        }
    }
    ck_abort_msg("the sets of an address are full");
}
