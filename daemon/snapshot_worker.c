/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/snapshot_worker.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <systemd/sd-event.h>
#include <time.h>

struct queue {
    struct snapshot_task *first, **last;
};

struct snapshot_worker {
    sd_event_source *source;
    int event_fd; /* readable: something is done */
    pthread_t thread;
    bool running; /* the thread was begun */
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* under the mutex, as all below */
    struct queue waiting, done;
    bool busy, ending;
};

static void queue_init(struct queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

static void queue_add(struct queue *queue, struct snapshot_task *task)
{
    task->next = NULL;
    *queue->last = task;
    queue->last = &task->next;
}

static struct snapshot_task *queue_take(struct queue *queue)
{
    struct snapshot_task *task = queue->first;

    if (!task)
        return NULL;
    queue->first = task->next;
    if (!queue->first)
        queue->last = &queue->first;
    return task;
}

/* ---- the thread ---- */

static void *work(void *userdata)
{
    struct snapshot_worker *worker = userdata;
    struct snapshot_task *task;

    pthread_mutex_lock(&worker->mutex);
    for (;;) {
        while (!(task = queue_take(&worker->waiting)) && !worker->ending)
            pthread_cond_wait(&worker->changed, &worker->mutex);
        if (!task)
            break;
        worker->busy = true;
        pthread_mutex_unlock(&worker->mutex);
        task->run(task);
        pthread_mutex_lock(&worker->mutex);
        worker->busy = false;
        queue_add(&worker->done, task);
        pthread_cond_broadcast(&worker->changed);
        eventfd_write(worker->event_fd, 1);
    }
    pthread_mutex_unlock(&worker->mutex);
    return NULL;
}

/* Signals are the loop's. */
static int begin_thread(struct snapshot_worker *worker)
{
    sigset_t all, before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&worker->thread, NULL, work, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    worker->running = r == 0;
    return -r;
}

/* ---- the loop's side ---- */

static void hand_back(struct snapshot_worker *worker)
{
    struct snapshot_task *task;

    for (;;) {
        pthread_mutex_lock(&worker->mutex);
        task = queue_take(&worker->done);
        pthread_mutex_unlock(&worker->mutex);
        if (!task)
            return;
        task->done(task);
    }
}

static int on_done(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    eventfd_t count;

    (void)source, (void)events;
    eventfd_read(fd, &count);
    hand_back(userdata);
    return 0;
}

int snapshot_worker_new(struct sd_event *event, struct snapshot_worker **ret_worker)
{
    struct snapshot_worker *worker = calloc(1, sizeof(*worker));
    pthread_condattr_t attributes;
    int r;

    if (!worker)
        return -ENOMEM;
    queue_init(&worker->waiting);
    queue_init(&worker->done);
    pthread_mutex_init(&worker->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&worker->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    worker->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = worker->event_fd < 0
            ? -errno
            : sd_event_add_io(event, &worker->source, worker->event_fd, EPOLLIN, on_done, worker);
    if (r < 0) {
        snapshot_worker_free(worker);
        return r;
    }
    /* After lookups and reports. */
    sd_event_source_set_priority(worker->source, SD_EVENT_PRIORITY_NORMAL + 2);
    *ret_worker = worker;
    return 0;
}

int snapshot_worker_submit(struct snapshot_worker *worker, struct snapshot_task *task)
{
    int r = worker->running ? 0 : begin_thread(worker);

    if (r < 0)
        return r;
    pthread_mutex_lock(&worker->mutex);
    queue_add(&worker->waiting, task);
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
    return 0;
}

int snapshot_worker_drain(struct snapshot_worker *worker, usec_t timeout)
{
    struct timespec until;
    int r = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout / USEC_PER_SEC);
    pthread_mutex_lock(&worker->mutex);
    while ((worker->waiting.first || worker->busy) && r == 0)
        r = pthread_cond_timedwait(&worker->changed, &worker->mutex, &until);
    pthread_mutex_unlock(&worker->mutex);
    hand_back(worker);
    return -r;
}

struct snapshot_worker *snapshot_worker_free(struct snapshot_worker *worker)
{
    bool hangs;

    if (!worker)
        return NULL;
    worker->source = sd_event_source_disable_unref(worker->source);
    pthread_mutex_lock(&worker->mutex);
    worker->ending = true;
    hangs = worker->busy;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
    if (hangs) {
        pthread_detach(worker->thread);
        return NULL;
    }
    if (worker->running)
        pthread_join(worker->thread, NULL);
    closep(&worker->event_fd);
    pthread_cond_destroy(&worker->changed);
    pthread_mutex_destroy(&worker->mutex);
    free(worker);
    return NULL;
}
