/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/view_header.h"

#include <sys/random.h>
#include <sys/stat.h>
#include <systemd/sd-id128.h>

#include "nss-sd/wire.h"

/* By length, longest first; equal lengths in the order given. */
static void sort_domains(struct view_name *domains, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct view_name moved = domains[i];
        size_t j = i;

        for (; j > 0 && domains[j - 1].length < moved.length; j--)
            domains[j] = domains[j - 1];
        domains[j] = moved;
    }
}

static int name_set(struct view_name *ret_name, const char *text, uint16_t flags)
{
    size_t length = strlen(text);

    if (length > sizeof(ret_name->text) || !answer_name_ok(text, length))
        return -EINVAL;
    *ret_name = (struct view_name){.length = (uint16_t)length, .flags = flags};
    memcpy(ret_name->text, text, length);
    return 0;
}

static int set_domain(struct view_header *header, size_t i, const struct view_domain_spec *domain)
{
    int r = name_set(&header->domains[i], domain->name, domain->shared ? VIEW_DOMAIN_SHARED : 0);
    unsigned bit;

    if (r < 0)
        return r;
    bit = view_filter_bit_of(domain->name, strlen(domain->name));
    header->filter[bit / 32] |= UINT32_C(1) << bit % 32;
    return 0;
}

int view_header_set_spec(struct view_header *header, const struct view_spec *spec)
{
    usec_t timeout = spec->lookup_timeout / USEC_PER_MSEC;
    int r = 0;

    if (spec->domain_count > VIEW_DOMAINS_MAX || spec->search_count > VIEW_SEARCH_MAX)
        return -E2BIG;
    for (size_t i = 0; i < spec->domain_count && r >= 0; i++)
        r = set_domain(header, i, &spec->domains[i]);
    for (size_t i = 0; i < spec->search_count && r >= 0; i++)
        r = name_set(&header->search[i], spec->search[i], 0);
    sort_domains(header->domains, spec->domain_count);
    header->domain_count = (uint32_t)spec->domain_count;
    header->search_count = (uint32_t)spec->search_count;
    header->ndots = spec->ndots;
    header->lookup_timeout_ms = timeout < WIRE_LOOKUP_TIMEOUT_MAX
                                    ? (uint32_t)timeout
                                    : (uint32_t)WIRE_LOOKUP_TIMEOUT_MAX;
    return r;
}

bool view_header_same_spec(const struct view_header *header, const struct view_header *wanted)
{
    return wanted->ndots == header->ndots &&
           wanted->lookup_timeout_ms == header->lookup_timeout_ms &&
           wanted->domain_count == header->domain_count &&
           wanted->search_count == header->search_count &&
           memcmp(wanted->domains, header->domains, sizeof(header->domains)) == 0 &&
           memcmp(wanted->search, header->search, sizeof(header->search)) == 0;
}

static void set_inode(const char *path, uint32_t *ret_low, uint32_t *ret_high)
{
    struct stat status = {0};

    if (stat(path, &status) < 0)
        return;
    *ret_low = (uint32_t)status.st_ino;
    *ret_high = (uint32_t)((uint64_t)status.st_ino >> 32);
}

uint32_t view_header_boot(void)
{
    sd_id128_t id;
    uint32_t boot = 0;

    if (sd_id128_get_boot(&id) >= 0)
        memcpy(&boot, id.bytes, sizeof(boot));
    return boot;
}

int view_header_complete(struct view_header *header, uint32_t set_bits, uint32_t now)
{
    if (getrandom(header->hash_key, sizeof(header->hash_key), 0) != sizeof(header->hash_key))
        return -EIO;
    set_inode("/proc/self/ns/net", &header->netns_low, &header->netns_high);
    set_inode("/proc/self/ns/time", &header->timens_low, &header->timens_high);
    header->boot = view_header_boot();
    header->layout = VIEW_LAYOUT;
    header->endian = VIEW_ENDIAN;
    header->header_size = VIEW_HEADER_SIZE;
    header->slot_size = ANSWER_SLOT_SIZE;
    header->set_bits = set_bits;
    header->negative_bits = VIEW_WRITER_NEGATIVE_BITS;
    header->reverse_bits = set_bits + 3; /* two addresses a name */
    header->file_size = (uint32_t)view_file_size(header->set_bits, header->negative_bits,
                                                 header->reverse_bits);
    header->clock_count = VIEW_CLOCKS_MAX;
    header->lease_ticks = VIEW_LEASE_TICKS;
    header->heartbeat = now;
    return 0;
}

bool view_header_owns(const struct view_header *header, const char *name, size_t length)
{
    for (uint32_t i = 0; i < header->domain_count; i++)
        if (name_below(name, length, header->domains[i].text, header->domains[i].length))
            return true;
    return false;
}
