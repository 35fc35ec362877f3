/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/snapshot_load.h"

#include <stdio.h>

#include "daemon/snapshot_file.h"

/* When it was confirmed, by the core's clock. That began so long before the machine did that what
 * does not fit is too old for anything. */
static usec_t confirmed_at(const struct snapshot_target *target, usec_t age, usec_t elapsed)
{
    usec_t all = usec_add(age, elapsed);

    return all < target->now ? target->now - all : 1;
}

/* When the doubt of its registry ends it: the time that the machine was off counts. */
static usec_t doubted_until(const struct snapshot_target *target, usec_t left, usec_t elapsed)
{
    if (left == 0)
        return 0;
    return left > elapsed ? usec_add(target->now, left - elapsed) : target->now;
}

static void restore_service(const struct snapshot_target *target,
                            const struct snapshot_service *service, usec_t elapsed,
                            struct snapshot_loaded *loaded)
{
    struct store_memory memory = {
        .key = service->key,
        .endpoints = service->endpoints,
        .alias = service->alias,
        .flags = service->flags,
        .confirmed_at = confirmed_at(target, service->age, elapsed),
        .doubted_until = doubted_until(target, service->doubt_left, elapsed),
    };

    if (store_restore(target->store, target->registry, &memory, target->now) < 0)
        loaded->dropped++;
    else
        loaded->services++;
}

static void restore_host(const struct snapshot_target *target, const struct snapshot_host *host,
                         usec_t elapsed, struct snapshot_loaded *loaded)
{
    static const enum chase_state states[] = {
        [SNAPSHOT_HALF_UNKNOWN] = CHASE_PENDING,
        [SNAPSHOT_HALF_FOUND] = CHASE_FOUND,
        [SNAPSHOT_HALF_NO_DATA] = CHASE_NO_DATA,
    };
    struct chase_memory memory = {.host = host->host, .canonical = host->canonical};

    for (size_t i = 0; i < ELEMENTS(host->halves); i++) {
        const struct snapshot_half *half = &host->halves[i];

        memory.halves[i] = (struct chase_half_memory){
            .state = states[half->state],
            .addresses = half->addresses,
            .count = half->count,
            .confirmed_at = confirmed_at(target, half->age, elapsed),
        };
    }
    if (chase_restore(target->chase, &memory, target->now) < 0)
        loaded->dropped++;
    else
        loaded->hosts++;
}

static void keep_name(const struct snapshot_target *target, const char *name,
                      struct snapshot_loaded *loaded)
{
    struct snapshot_names *names = target->names;
    size_t size = strlen(name) + 1;

    if (names->size + size > names->capacity) {
        size_t capacity = (names->size + size) * 2 + 4096;
        char *text = realloc(names->text, capacity);

        if (!text) {
            loaded->dropped++;
            return;
        }
        names->text = text;
        names->capacity = capacity;
    }
    memcpy(names->text + names->size, name, size);
    names->size += size;
    loaded->names++;
}

static int restore_all(struct snapshot_reader *reader, const struct snapshot_target *target,
                       usec_t elapsed, struct snapshot_loaded *loaded)
{
    bool of_hosts = target->registry == STORE_REGISTRIES_MAX;

    for (;;) {
        struct snapshot_record record;
        int r = snapshot_next(reader, &record);

        if (r < 0 || record.kind == SNAPSHOT_END)
            return r;
        if (record.kind == SNAPSHOT_SERVICE && !of_hosts)
            restore_service(target, &record.service, elapsed, loaded);
        else if (record.kind == SNAPSHOT_HOST && of_hosts)
            restore_host(target, &record.host, elapsed, loaded);
        else if (record.kind == SNAPSHOT_NAME && !of_hosts)
            keep_name(target, record.name, loaded);
        endpoint_set_unref(record.service.endpoints);
    }
}

static int load(struct snapshot_reader *reader, const struct snapshot_binding *wanted,
                const struct snapshot_target *target, struct snapshot_loaded *loaded, char *ret_why,
                size_t why_size)
{
    const char *foreign = snapshot_foreign(&reader->binding, wanted);

    if (foreign) {
        snprintf(ret_why, why_size, "it is of another %s", foreign);
        return -EBADMSG;
    }
    if (snapshot_elapsed(&reader->written, &target->moment, &loaded->age) < 0) {
        snprintf(ret_why, why_size, "it was written in the future");
        return -EBADMSG;
    }
    loaded->identity = strdup(reader->binding.identity);
    return loaded->identity ? restore_all(reader, target, loaded->age, loaded) : -ENOMEM;
}

int snapshot_load_file(int directory_fd, const char *file, const struct snapshot_binding *wanted,
                       const struct snapshot_target *target, struct snapshot_loaded *ret_loaded,
                       char *ret_why, size_t why_size)
{
    struct snapshot_reader *reader;
    void *data;
    int r;

    *ret_loaded = (struct snapshot_loaded){0};
    r = snapshot_file_read(directory_fd, file, &data, &ret_loaded->size);
    snprintf(ret_why, why_size, "%s", r < 0 ? strerror(-r) : "");
    if (r < 0)
        return r;
    reader = malloc(sizeof(*reader));
    r = reader ? snapshot_open(reader, data, ret_loaded->size) : -ENOMEM;
    if (r >= 0)
        r = load(reader, wanted, target, ret_loaded, ret_why, why_size);
    if (r < 0 && !*ret_why)
        snprintf(ret_why, why_size, "%s", r == -EBADMSG ? reader->why : strerror(-r));
    if (reader)
        snapshot_reader_done(reader);
    free(reader);
    free(data);
    return r;
}

static int load_change(struct snapshot_reader *reader, const struct snapshot_binding *wanted,
                       const struct snapshot_target *target, const uint8_t *data, size_t size,
                       struct snapshot_loaded *loaded)
{
    char why[64];
    int r = snapshot_open(reader, data, size);

    if (r >= 0) {
        free(loaded->identity);
        loaded->identity = NULL;
        r = load(reader, wanted, target, loaded, why, sizeof(why));
    }
    snapshot_reader_done(reader);
    return r;
}

size_t snapshot_load_journal(int directory_fd, const char *file,
                             const struct snapshot_binding *wanted,
                             const struct snapshot_target *target,
                             struct snapshot_loaded *ret_loaded)
{
    _cleanup_(freep) struct snapshot_reader *reader = malloc(sizeof(*reader));
    _cleanup_(freep) void *data = NULL;
    size_t size, at = 0, one;

    *ret_loaded = (struct snapshot_loaded){0};
    if (!reader || snapshot_file_read(directory_fd, file, &data, &size) < 0)
        return 0;
    while ((one = snapshot_size((uint8_t *)data + at, size - at)) > 0 &&
           load_change(reader, wanted, target, (uint8_t *)data + at, one, ret_loaded) >= 0)
        at += one;
    ret_loaded->size = at;
    return at;
}
