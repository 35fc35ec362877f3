/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Path watches (path_watch.h). One inotify source a component of the path: the last one listens for
 * everything, the one above it and the last that exists for the next component, and those further
 * up for their own end alone, because there may be much coming and going in them. When a component
 * changes, all sources are made anew *before* `changed` is called, so that nothing falls between.
 */
#include "daemon/path_watch.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <systemd/sd-event.h>

#include "daemon/log.h"

enum { DEPTH_MAX = 64 };
#define JOIN_TIME  (20 * USEC_PER_MSEC)
#define RETRY_TIME USEC_PER_SEC

#define ABOVE_MASK   (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
#define GONE_MASK    (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED | IN_Q_OVERFLOW)
#define SETTLED_MASK (IN_DELETE_SELF | IN_MOVE_SELF)
#define PATH_MASK    (ABOVE_MASK | IN_DELETE_SELF | IN_MOVE_SELF | IN_CLOSE_WRITE | IN_ATTRIB)

struct component {
    struct path_watch *watch;
    const char *next; /* name that matters in this directory; NULL: the path itself */
    sd_event_source *source;
};

struct path_watch {
    sd_event *event;
    sd_event_source *timer;
    char *path;
    char *names; /* the path with NULs for slashes: where component.next points */
    struct component components[DEPTH_MAX];
    bool stale; /* the sources must be made anew */
    void (*changed)(void *userdata);
    void *userdata;
};

/*
 * A file that has just been created is still empty: its IN_CLOSE_WRITE follows. One that was linked
 * in is whole, and nothing follows.
 */
static bool is_being_written(const struct path_watch *watch, const char *name)
{
    _cleanup_(closep) int directory = open(watch->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat st;

    return directory >= 0 && fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(st.st_mode) && st.st_nlink == 1;
}

static int on_event(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
    struct component *component = userdata;
    struct path_watch *watch = component->watch;
    int enabled = SD_EVENT_OFF;
    uint64_t now;

    (void)source;
    if (event->mask & GONE_MASK)
        watch->stale = true;
    else if (component->next && (event->len == 0 || !streq(event->name, component->next)))
        return 0;
    else if (component->next)
        watch->stale = true;
    else if ((event->mask & IN_CREATE) && event->len > 0 && is_being_written(watch, event->name))
        return 0;
    sd_event_source_get_enabled(watch->timer, &enabled);
    if (enabled != SD_EVENT_OFF)
        return 0;
    sd_event_now(watch->event, CLOCK_MONOTONIC, &now);
    sd_event_source_set_time(watch->timer, now + JOIN_TIME);
    return sd_event_source_set_enabled(watch->timer, SD_EVENT_ONESHOT);
}

static void disarm(struct path_watch *watch)
{
    for (size_t i = 0; i < DEPTH_MAX; i++)
        watch->components[i].source = sd_event_source_disable_unref(watch->components[i].source);
}

/* `settled`: what is below exists and tells of its own end, so its neighbours need not wake us. */
static int component_watch(struct component *component, const char *path, bool settled)
{
    uint32_t mask = settled           ? SETTLED_MASK | IN_ONLYDIR
                    : component->next ? ABOVE_MASK | IN_ONLYDIR
                                      : PATH_MASK;
    int r;

    component->source = sd_event_source_disable_unref(component->source);
    r = sd_event_add_inotify(component->watch->event, &component->source, path, mask, on_event,
                             component);

    /* A directory that may be entered but not read is none of ours to replace. */
    return r == -EACCES ? 0 : r;
}

/* Is what the path leads to as far as `length` also what stands there? A symbolic link may be
 * replaced without its target noticing. */
static bool is_directory(char *path, size_t length)
{
    char saved = path[length];
    struct stat st;
    bool is;

    path[length] = '\0';
    is = lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
    path[length] = saved;
    return is;
}

/* The directory of the component at `depth`: the path as far as `length`. */
static int prefix_watch(struct path_watch *watch, size_t depth, char *path, size_t length,
                        bool settled)
{
    char saved = path[length];
    int r;

    path[length] = '\0';
    if (length > 0)
        r = component_watch(&watch->components[depth], path, settled);
    else
        r = component_watch(&watch->components[depth], saved == '/' ? "/" : ".", settled);
    path[length] = saved;
    return r;
}

/* Watches every component that exists, from the top, each before the next is looked at. */
static int arm(struct path_watch *watch)
{
    _cleanup_(freep) char *path = strdup(watch->path);
    size_t depth = 0, length = strlen(watch->path), from, above = 0;
    int r;

    if (!path)
        return -ENOMEM;
    disarm(watch);
    memcpy(watch->names, watch->path, length + 1);
    for (from = 0; from < length; depth++) {
        struct component *component = &watch->components[depth];
        size_t name = from + strspn(path + from, "/"), end = name + strcspn(path + name, "/");

        if (name == length)
            break;
        if (depth == DEPTH_MAX - 1)
            return -ENAMETOOLONG;
        watch->names[end] = '\0';
        *component = (struct component){.watch = watch, .next = watch->names + name};
        r = prefix_watch(watch, depth, path, from, false);
        if (r >= 0 && depth > 0 && component->source && is_directory(path, from))
            r = prefix_watch(watch, depth - 1, path, above, true);
        if (r < 0)
            return r == -ENOENT || r == -ENOTDIR ? 0 : r;
        above = from;
        from = end;
    }
    watch->components[depth] = (struct component){.watch = watch};
    r = component_watch(&watch->components[depth], watch->path, false);
    return r == -ENOENT || r == -ENOTDIR ? 0 : r;
}

static int on_timer(sd_event_source *source, uint64_t at, void *userdata)
{
    struct path_watch *watch = userdata;
    int r = watch->stale ? arm(watch) : 0;

    watch->stale = r < 0;
    if (r < 0) {
        log_warning("Cannot watch %s, looking at it every second: %s", watch->path, strerror(-r));
        sd_event_source_set_time(source, at + RETRY_TIME);
        sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    }
    watch->changed(watch->userdata);
    return 0;
}

int path_watch_new(struct sd_event *event, const char *path, void (*changed)(void *userdata),
                   void *userdata, struct path_watch **ret_watch)
{
    struct path_watch *watch = calloc(1, sizeof(*watch));
    int r;

    if (!watch)
        return -ENOMEM;
    watch->event = sd_event_ref(event);
    watch->path = strdup(path);
    watch->names = strdup(path);
    watch->changed = changed;
    watch->userdata = userdata;
    r = watch->path && watch->names ? 0 : -ENOMEM;
    if (r >= 0)
        r = sd_event_add_time(event, &watch->timer, CLOCK_MONOTONIC, 0, 1, on_timer, watch);
    if (r >= 0)
        r = sd_event_source_set_enabled(watch->timer, SD_EVENT_OFF);
    if (r >= 0)
        r = arm(watch);
    if (r < 0) {
        path_watch_free(watch);
        return r;
    }
    *ret_watch = watch;
    return 0;
}

struct path_watch *path_watch_free(struct path_watch *watch)
{
    if (!watch)
        return NULL;
    disarm(watch);
    sd_event_source_disable_unref(watch->timer);
    sd_event_unref(watch->event);
    free(watch->path);
    free(watch->names);
    free(watch);
    return NULL;
}
