/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The real registry_env and its path watches, on a real loop and real files. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "daemon/env.h"
#include "tests/unit/unit.h"

struct world {
    sd_event *event;
    struct env_services services;
    struct registry_config config;
    struct registry registry;
    struct registry_env *env;
    struct env_path_watch *watch;
    char directory[32], path[128];
    unsigned changes, reports;
    char fired[8];
};

static void take_report(void *userdata, struct registry *registry,
                        const struct registry_report *report)
{
    struct world *world = userdata;

    ck_assert_ptr_eq(registry, &world->registry);
    ck_assert_int_eq(report->kind, REPORT_UP);
    world->reports++;
}

static void world_init(struct world *world)
{
    *world = (struct world){.directory = "/tmp/test_env.XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(world->directory));
    ck_assert_int_ge(sd_event_new(&world->event), 0);
    world->services = (struct env_services){.event = world->event,
                                            .state_directory = world->directory,
                                            .config_directory = world->directory,
                                            .report = take_report,
                                            .userdata = world};
    world->config.name = (char *)"test";
    world->registry.config = &world->config;
    ck_assert_int_eq(env_new(&world->services, &world->registry, &world->env), 0);
}

static void world_done(struct world *world)
{
    char command[64];

    world->env->ops->path_unwatch(world->env, world->watch);
    ck_assert_ptr_null(env_free(world->env));
    ck_assert_ptr_null(sd_event_unref(world->event));
    snprintf(command, sizeof(command), "rm -r %s", world->directory);
    ck_assert_int_eq(system(command), 0);
}

static usec_t monotonic(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

/* Runs the loop until `*counter` reaches `count`, or `duration` is over. */
static void run(struct world *world, const unsigned *counter, unsigned count, usec_t duration)
{
    usec_t end = monotonic() + duration;

    for (usec_t t = monotonic(); *counter < count && t < end; t = monotonic())
        ck_assert_int_ge(sd_event_run(world->event, end - t), 0);
}

/* ---- timers ---- */

static struct env_timer timer_a, timer_b;
static unsigned firings;

static void fire(struct env_timer *timer)
{
    struct world *world = timer->owner;

    ck_assert_ptr_null(timer->impl);
    strcat(world->fired, timer == &timer_a ? "a" : "b");
    if (timer == &timer_a && ++firings == 1)
        ck_assert_int_eq(env_defer(world->env, timer), 0);
}

START_TEST(timers_fire_once_and_can_be_moved_and_set_anew)
{
    struct world world;

    world_init(&world);
    firings = 0;
    timer_a = timer_b = (struct env_timer){.fire = fire, .owner = &world};
    ck_assert_int_eq(env_timer_set(world.env, &timer_b, env_now(world.env) + 30 * USEC_PER_SEC), 0);
    ck_assert_int_eq(env_defer(world.env, &timer_a), 0);
    ck_assert_str_eq(world.fired, "");
    run(&world, &firings, 2, 5 * USEC_PER_SEC);
    ck_assert_str_eq(world.fired, "aa");
    ck_assert_int_eq(env_timer_set(world.env, &timer_b, env_now(world.env)), 0);
    run(&world, &firings, 3, 20 * USEC_PER_MSEC);
    ck_assert_str_eq(world.fired, "aab");
    ck_assert_int_eq(env_defer(world.env, &timer_b), 0);
    env_timer_off(world.env, &timer_b);
    env_timer_off(world.env, &timer_b);
    run(&world, &firings, 3, 20 * USEC_PER_MSEC);
    ck_assert_str_eq(world.fired, "aab");
    world_done(&world);
}
END_TEST

START_TEST(a_forgotten_timer_dies_with_its_env)
{
    struct world world;

    world_init(&world);
    timer_a = (struct env_timer){.fire = fire, .owner = &world};
    ck_assert_int_eq(env_defer(world.env, &timer_a), 0);
    world_done(&world);
    ck_assert_ptr_null(timer_a.impl);
}
END_TEST

START_TEST(reports_reach_the_sink_and_numbers_differ)
{
    struct world world;

    world_init(&world);
    env_report(world.env, &(struct registry_report){.kind = REPORT_UP});
    ck_assert_uint_eq(world.reports, 1);
    ck_assert_uint_ne(env_random(world.env), env_random(world.env));
    world_done(&world);
}
END_TEST

/* ---- paths ---- */

static void changed(void *userdata)
{
    ((struct world *)userdata)->changes++;
}

static const char *below(struct world *world, const char *name)
{
    snprintf(world->path, sizeof(world->path), "%s/%s", world->directory, name);
    return world->path;
}

static void watch(struct world *world, const char *name)
{
    ck_assert_int_eq(
        world->env->ops->path_watch(world->env, below(world, name), changed, world, &world->watch),
        0);
}

static void write_file(struct world *world, const char *name)
{
    FILE *file = fopen(below(world, name), "we");

    ck_assert_ptr_nonnull(file);
    fputs("text", file);
    fclose(file);
}

static void move(struct world *world, const char *from, const char *to)
{
    char old[128];

    snprintf(old, sizeof(old), "%s/%s", world->directory, from);
    ck_assert_int_eq(rename(old, below(world, to)), 0);
}

static void make_directory(struct world *world, const char *name)
{
    ck_assert_int_eq(mkdir(below(world, name), 0755), 0);
}

/* What happened since was told, and at most so often. */
#define ck_told(world, most)                                                                       \
    do {                                                                                           \
        (world)->changes = 0;                                                                      \
        run(world, &(world)->changes, 1, 30 * USEC_PER_SEC);                                       \
        ck_assert_uint_eq((world)->changes, 1);                                                    \
        run(world, &(world)->changes, (most) + 1, 60 * USEC_PER_MSEC);                             \
        ck_assert_uint_le((world)->changes, (most));                                               \
    } while (0)

#define ck_quiet(world)                                                                            \
    do {                                                                                           \
        (world)->changes = 0;                                                                      \
        run(world, &(world)->changes, 1, 60 * USEC_PER_MSEC);                                      \
        ck_assert_uint_eq((world)->changes, 0);                                                    \
    } while (0)

START_TEST(changes_in_a_directory_are_told_in_bursts)
{
    struct world world;
    char beside[64];

    world_init(&world);
    make_directory(&world, "d");
    watch(&world, "d");
    ck_quiet(&world);
    write_file(&world, "d/a");
    ck_told(&world, 1);
    for (unsigned i = 0; i < 100; i++) {
        char name[8];

        snprintf(name, sizeof(name), "d/%u", i);
        write_file(&world, name);
    }
    ck_told(&world, 20); /* on a busy machine 100 writes are more than one burst */
    write_file(&world, "new");
    move(&world, "new", "d/a");
    ck_told(&world, 1);
    ck_assert_int_eq(unlink(below(&world, "d/a")), 0);
    ck_told(&world, 1);
    ck_assert_int_eq(symlink("elsewhere", below(&world, "d/link")), 0);
    ck_told(&world, 1);
    write_file(&world, "beside");
    ck_quiet(&world);
    snprintf(beside, sizeof(beside), "%s/beside", world.directory);
    ck_assert_int_eq(link(beside, below(&world, "d/linked")), 0);
    ck_told(&world, 1);
    world_done(&world);
}
END_TEST

START_TEST(a_file_is_not_told_before_it_is_written)
{
    struct world world;
    int fd;

    world_init(&world);
    make_directory(&world, "d");
    watch(&world, "d");
    fd = open(below(&world, "d/slow"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    ck_assert_int_ge(fd, 0);
    ck_quiet(&world);
    ck_assert_int_eq(write(fd, "text", 4), 4);
    close(fd);
    ck_told(&world, 1);
    world_done(&world);
}
END_TEST

START_TEST(a_path_may_come_later_and_go_again)
{
    struct world world;

    world_init(&world);
    watch(&world, "one/two/three");
    write_file(&world, "other");
    ck_quiet(&world);
    make_directory(&world, "one");
    make_directory(&world, "one/two");
    ck_told(&world, 2);
    make_directory(&world, "one/two/three");
    write_file(&world, "one/two/three/a");
    ck_told(&world, 2);
    write_file(&world, "one/two/three/b");
    ck_told(&world, 1);
    move(&world, "one", "gone");
    ck_told(&world, 2);
    write_file(&world, "gone/two/three/c");
    ck_quiet(&world);
    move(&world, "gone", "one");
    ck_told(&world, 2);
    write_file(&world, "one/two/three/c");
    ck_told(&world, 1);
    world_done(&world);
}
END_TEST

START_TEST(a_single_file_is_watched_through_replacement)
{
    struct world world;

    world_init(&world);
    watch(&world, "token");
    write_file(&world, "token");
    ck_told(&world, 2);
    write_file(&world, "token");
    ck_told(&world, 2);
    write_file(&world, "token.new");
    ck_quiet(&world);
    move(&world, "token.new", "token");
    ck_told(&world, 2);
    write_file(&world, "token");
    ck_told(&world, 2);
    ck_assert_int_eq(unlink(below(&world, "token")), 0);
    ck_told(&world, 2);
    world_done(&world);
}
END_TEST

START_TEST(neighbours_further_up_do_not_even_wake_the_loop)
{
    struct world world;

    world_init(&world);
    make_directory(&world, "one");
    make_directory(&world, "one/two");
    watch(&world, "one/two/token");
    for (unsigned i = 0; i < 20; i++)
        write_file(&world, "beside");
    ck_assert_int_eq(sd_event_run(world.event, 60 * USEC_PER_MSEC), 0);
    write_file(&world, "one/two/token");
    ck_told(&world, 2);
    move(&world, "one", "gone");
    ck_told(&world, 2);
    make_directory(&world, "one");
    make_directory(&world, "one/two");
    ck_told(&world, 2);
    write_file(&world, "one/two/token");
    ck_told(&world, 2);
    world_done(&world);
}
END_TEST

START_TEST(a_link_on_the_way_may_lead_elsewhere)
{
    struct world world;

    world_init(&world);
    make_directory(&world, "old");
    make_directory(&world, "new");
    make_directory(&world, "new/two");
    make_directory(&world, "old/two");
    ck_assert_int_eq(symlink("old", below(&world, "link")), 0);
    watch(&world, "link/two/token");
    ck_assert_int_eq(symlink("new", below(&world, "link.new")), 0);
    move(&world, "link.new", "link");
    ck_told(&world, 2);
    write_file(&world, "new/two/token");
    ck_told(&world, 2);
    write_file(&world, "old/two/token");
    ck_quiet(&world);
    world_done(&world);
}
END_TEST

static void unwatch(void *userdata)
{
    struct world *world = userdata;

    world->changes++;
    world->env->ops->path_unwatch(world->env, world->watch);
    world->watch = NULL;
}

START_TEST(a_watch_may_end_inside_its_callback)
{
    struct world world;

    world_init(&world);
    ck_assert_int_eq(
        world.env->ops->path_watch(world.env, below(&world, "file"), unwatch, &world, &world.watch),
        0);
    write_file(&world, "file");
    ck_told(&world, 1);
    write_file(&world, "file");
    ck_quiet(&world);
    world_done(&world);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("env");

    UNIT_CASE(suite, "timers", timers_fire_once_and_can_be_moved_and_set_anew,
              a_forgotten_timer_dies_with_its_env, reports_reach_the_sink_and_numbers_differ);
    UNIT_CASE(suite, "paths", changes_in_a_directory_are_told_in_bursts,
              a_file_is_not_told_before_it_is_written, a_path_may_come_later_and_go_again,
              a_single_file_is_watched_through_replacement,
              neighbours_further_up_do_not_even_wake_the_loop, a_link_on_the_way_may_lead_elsewhere,
              a_watch_may_end_inside_its_callback);
    return suite;
}

UNIT_MAIN(make_suite)
