/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/snapshot_job.h"

#include <stdio.h>

#include "daemon/snapshot_file.h"

struct job_service {
    size_t key, alias; /* alias 0: none */
    struct endpoint_set *endpoints;
    uint32_t flags;
    usec_t age, doubt_left;
};

struct job_host {
    size_t host, canonical;
    size_t addresses[2], counts[2];
    enum snapshot_half_state states[2];
    usec_t ages[2];
};

/* ---- collecting ---- */

static void *array_add(struct snapshot_job *job, struct job_array *array, size_t size, size_t more)
{
    if (job->collecting < 0)
        return NULL;
    if (array->count + more > array->capacity) {
        size_t capacity = (array->count + more) * 2 + 64;
        void *items = realloc(array->items, capacity * size);

        if (!items) {
            job->collecting = -ENOMEM;
            return NULL;
        }
        array->items = items;
        array->capacity = capacity;
    }
    array->count += more;
    return (char *)array->items + (array->count - more) * size;
}

static size_t add_text(struct snapshot_job *job, const char *text)
{
    size_t size = strlen(text) + 1;
    char *place = array_add(job, &job->text, 1, size);

    if (!place)
        return 0;
    memcpy(place, text, size);
    return (size_t)(place - (char *)job->text.items);
}

struct snapshot_job *snapshot_job_new(const char *directory, const char *file,
                                      const struct snapshot_binding *binding,
                                      const struct snapshot_moment *now)
{
    const char *const bound[] = {binding->registry, binding->type, binding->source,
                                 binding->domains, binding->identity};
    struct snapshot_job *job = calloc(1, sizeof(*job));

    if (!job)
        return NULL;
    job->task.run = snapshot_job_run;
    job->written = *now;
    snprintf(job->file, sizeof(job->file), "%s", file);
    add_text(job, ""); /* offset 0 */
    job->directory = add_text(job, directory);
    for (size_t i = 0; i < ELEMENTS(bound); i++)
        job->binding[i] = add_text(job, bound[i]);
    return job;
}

struct snapshot_job *snapshot_job_free(struct snapshot_job *job)
{
    struct job_service *services;

    if (!job)
        return NULL;
    services = job->services.items;
    for (size_t i = 0; i < job->services.count; i++)
        endpoint_set_unref(services[i].endpoints);
    free(job->text.items);
    free(job->services.items);
    free(job->names.items);
    free(job->hosts.items);
    free(job->addresses.items);
    free(job);
    return NULL;
}

void snapshot_job_add_service(struct snapshot_job *job, const struct snapshot_service *service)
{
    struct job_service *place = array_add(job, &job->services, sizeof(*place), 1);

    if (!place)
        return;
    *place = (struct job_service){
        .endpoints = endpoint_set_ref(service->endpoints),
        .flags = service->flags,
        .age = service->age,
        .doubt_left = service->doubt_left,
    };
    place->key = add_text(job, service->key);
    place->alias = service->alias ? add_text(job, service->alias) : 0;
}

void snapshot_job_add_name(struct snapshot_job *job, const char *name)
{
    size_t *place = array_add(job, &job->names, sizeof(*place), 1);

    if (place)
        *place = add_text(job, name);
}

void snapshot_job_add_host(struct snapshot_job *job, const struct snapshot_host *host)
{
    struct job_host *place = array_add(job, &job->hosts, sizeof(*place), 1);

    if (!place)
        return;
    *place = (struct job_host){0};
    place->host = add_text(job, host->host);
    place->canonical = add_text(job, host->canonical);
    for (size_t i = 0; i < ELEMENTS(host->halves); i++) {
        const struct snapshot_half *half = &host->halves[i];
        struct address *addresses = NULL;

        if (half->count > 0)
            addresses = array_add(job, &job->addresses, sizeof(*addresses), half->count);
        if (addresses)
            memcpy(addresses, half->addresses, half->count * sizeof(*addresses));
        place->addresses[i] = job->addresses.count - half->count;
        place->counts[i] = half->count;
        place->states[i] = half->state;
        place->ages[i] = half->age;
    }
}

/* ---- in the worker ---- */

static const char *text_at(const struct snapshot_job *job, size_t offset)
{
    return (const char *)job->text.items + offset;
}

static void encode_services(const struct snapshot_job *job, struct snapshot_buffer *buffer)
{
    const struct job_service *services = job->services.items;

    for (size_t i = 0; i < job->services.count; i++) {
        struct snapshot_service service = {
            .key = text_at(job, services[i].key),
            .alias = services[i].alias ? text_at(job, services[i].alias) : NULL,
            .endpoints = services[i].endpoints,
            .flags = services[i].flags,
            .age = services[i].age,
            .doubt_left = services[i].doubt_left,
        };

        snapshot_put_service(buffer, &service);
    }
}

static void encode_hosts(const struct snapshot_job *job, struct snapshot_buffer *buffer)
{
    const struct job_host *hosts = job->hosts.items;

    for (size_t i = 0; i < job->hosts.count; i++) {
        struct snapshot_host host = {
            .host = text_at(job, hosts[i].host),
            .canonical = text_at(job, hosts[i].canonical),
        };

        for (size_t j = 0; j < ELEMENTS(host.halves); j++) {
            const struct address *all = job->addresses.items;

            host.halves[j] = (struct snapshot_half){
                .state = hosts[i].states[j],
                .age = hosts[i].ages[j],
                .addresses = hosts[i].counts[j] > 0 ? all + hosts[i].addresses[j] : NULL,
                .count = hosts[i].counts[j],
            };
        }
        snapshot_put_host(buffer, &host);
    }
}

int snapshot_job_encode(const struct snapshot_job *job, struct snapshot_buffer *buffer)
{
    struct snapshot_binding binding = {
        text_at(job, job->binding[0]), text_at(job, job->binding[1]), text_at(job, job->binding[2]),
        text_at(job, job->binding[3]), text_at(job, job->binding[4]),
    };
    const size_t *names = job->names.items;

    if (job->collecting < 0)
        return job->collecting;
    snapshot_begin(buffer, &binding, &job->written);
    encode_services(job, buffer);
    for (size_t i = 0; i < job->names.count; i++)
        snapshot_put_name(buffer, text_at(job, names[i]));
    encode_hosts(job, buffer);
    return snapshot_finish(buffer);
}

void snapshot_job_run(struct snapshot_task *task)
{
    struct snapshot_job *job = (struct snapshot_job *)task;
    struct snapshot_buffer buffer = {0};
    int directory_fd;

    job->what = "opened";
    directory_fd = job->error = snapshot_directory_open(text_at(job, job->directory));
    if (directory_fd < 0)
        return;
    if (job->set_aside) {
        job->error = snapshot_file_set_aside(directory_fd, job->file);
    } else {
        job->what = "encoded";
        job->error = snapshot_job_encode(job, &buffer);
        job->size = buffer.size;
        if (job->error >= 0)
            job->error = snapshot_file_write(directory_fd, job->file, buffer.data, buffer.size,
                                             &job->what);
    }
    snapshot_buffer_done(&buffer);
    close(directory_fd);
}
