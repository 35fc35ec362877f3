/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs scenarios: tests/replay/scenarios/README.md describes them. Without arguments all files of
 * that folder, each as a test of its own, under several seeds; and what makes them worth trusting:
 * the same seed gives the same story, a wrong expectation is told with its line, and the scripted
 * Consul says nothing that a real one does not.
 *
 * scenario [-s SEED] [-v] FILE...   runs these alone; -v shows what happens
 */
#include "tests/replay/scenario_verbs.h"

#include <check.h>
#include <glob.h>
#include <jansson.h>

enum { SEEDS = 20 };

static char **paths;
static size_t path_count;
static uint64_t only_seed; /* 0: all of them */
static bool verbose;

static char *source_path(const char *path)
{
    const char *source = getenv("srcdir") ?: ".";
    char *full;

    if (asprintf(&full, "%s/tests/replay/%s", source, path) < 0)
        abort();
    return full;
}

static struct scenario *scenario_must(const char *file, const char *text)
{
    char *error = NULL;
    struct scenario *scenario = text ? scenario_parse(file, text, &error)
                                     : scenario_read(file, &error);

    if (!scenario)
        ck_abort_msg("%s", error);
    return scenario;
}

/* One run; its transcript. */
static char *run_transcribed(const struct scenario *scenario, uint64_t seed)
{
    char *text = NULL, *failure;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    failure = scenario_run(scenario, seed, out);
    fclose(out);
    if (failure)
        ck_abort_msg("%s (seed %llu)", failure, (unsigned long long)seed);
    return text;
}

/* By hand: one seed, and what happens. */
static void run_shown(const struct scenario *scenario)
{
    char *failure = scenario_run(scenario, only_seed, verbose ? stdout : NULL);

    fflush(stdout);
    if (failure)
        ck_abort_msg("%s", failure);
}

START_TEST(the_story_holds_whatever_the_chance)
{
    struct scenario *scenario = scenario_must(paths[_i], NULL);
    char *first, *second;

    if (only_seed > 0) {
        run_shown(scenario);
        scenario_free(scenario);
        return;
    }
    first = run_transcribed(scenario, 1);
    second = run_transcribed(scenario, 1);
    if (!streq(first, second))
        ck_abort_msg("%s: the same seed gave two different stories", scenario->file);
    free(first);
    free(second);
    for (uint64_t seed = 2; seed <= 1 + SEEDS; seed++) {
        char *failure = scenario_run(scenario, seed, NULL);

        if (failure)
            ck_abort_msg("%s (seed %llu)", failure, (unsigned long long)seed);
    }
    scenario_free(scenario);
}
END_TEST

/* ---- the harness itself ---- */

static const struct {
    const char *text, *failure; /* NULL: none */
} mistakes[] = {
    {"registry script\n    Domains=test\nscript has orders 10.0.0.1\n"
     "lookup orders.test -> found 10.0.0.1\n",
     NULL},
    {"registry script\n    Domains=test\nscript has orders 10.0.0.1\n"
     "lookup orders.test -> found 10.0.0.2\n",
     "story:4: lookup orders.test -> found 10.0.0.2\n    expected  found 10.0.0.2\n    came      "
     "found 10.0.0.1, fresh"},
    {"registry script\n    Domains=test\nscript has orders 10.0.0.1\n"
     "lookup orders.test -> found 10.0.0.1, stale\n",
     "expected  stale"},
    {"registry script\n    Domains=test\nscript has orders 10.0.0.1\n"
     "lookup orders.test -> found 10.0.0.1, age >= 10s\n",
     "expected  age >= 10s"},
    {"registry script\n    Domains=test\nlookup orders.test\nfetches script /orders -> 2\n",
     "story:4: fetches script /orders -> 2\n    expected  2\n    came      1"},
    {"registry script\n    Domains=test\nat 1h\nat 1min\n", "story:4: that is past"},
    {"registry script\n    Domain=test\nat 1h\n", "story:3: the configuration: "},
    {"registry script\n    Domains=test\nscript dances\n", "story:3: script: what is 'dances'?"},
    {"registry script\n    Domains=test\nfly\n", "story:3: 'fly' is neither a verb nor a registry"},
    {"registry script\n    Domains=test\nlookup orders.test -> absent, blue\n",
     "story:3: what is 'blue'?"},
};

START_TEST(a_wrong_expectation_is_told_with_its_line)
{
    struct scenario *scenario = scenario_must("story", mistakes[_i].text);
    char *failure = scenario_run(scenario, 1, NULL);

    if (!mistakes[_i].failure)
        ck_assert_pstr_eq(failure, NULL);
    else if (!failure || !strstr(failure, mistakes[_i].failure))
        ck_abort_msg("expected '%s', came '%s'", mistakes[_i].failure, failure ?: "no failure");
    free(failure);
    scenario_free(scenario);
}
END_TEST

START_TEST(lines_that_are_indented_unevenly_are_refused)
{
    char *error = NULL;

    ck_assert_ptr_null(scenario_parse("story", "at 1s\n    kick\n  kick\n", &error));
    ck_assert_str_eq(error, "story:3: indented neither as the line above nor deeper");
    free(error);
}
END_TEST

/* ---- the scripted Consul beside a real one ---- */

/* The answers of the scripted one are in the transcript: "consul -> 200 /v1/... {...}". */
static json_t *scripted_answer(const char *transcript, const char *url)
{
    char *mark, *line;
    json_t *document;
    const char *at;

    ck_assert_int_gt(asprintf(&mark, " -> 200 %s", url), 0);
    at = strstr(transcript, mark);
    ck_assert_msg(at, "nobody asked for %s", url);
    at = strchr(at + strlen(mark), ' ') + 1;
    line = strndup(at, strcspn(at, "\n"));
    free(mark);
    document = json_loads(line, JSON_DECODE_ANY, NULL);
    ck_assert_msg(document, "no document: %s", line);
    free(line);
    return document;
}

static json_t *recorded_answer(const char *name)
{
    char path[256], *full, *text = NULL, *body;
    size_t size = 0;
    json_t *document;
    FILE *file;

    snprintf(path, sizeof(path), "recordings/consul/%s.http", name);
    full = source_path(path);
    file = fopen(full, "r");
    ck_assert_msg(file && getdelim(&text, &size, '\0', file) > 0, "%s: cannot be read", full);
    fclose(file);
    body = strstr(text, "\n\n") ?: strstr(text, "\r\n\r\n");
    ck_assert_ptr_nonnull(body);
    document = json_loads(body, JSON_DECODE_ANY, NULL);
    ck_assert_ptr_nonnull(document);
    free(text);
    free(full);
    return document;
}

static bool same_kind(const json_t *a, const json_t *b)
{
    return json_typeof(a) == json_typeof(b) || (json_is_boolean(a) && json_is_boolean(b));
}

/* Every member that the scripted one has is there in the real one, and of the same kind. */
static void check_shape(const json_t *scripted, const json_t *real, const char *where)
{
    const char *key;
    json_t *value;
    size_t i;

    ck_assert_msg(same_kind(scripted, real), "%s: another kind", where);
    if (json_is_array(scripted) && json_array_size(real) > 0)
        json_array_foreach ((json_t *)scripted, i, value)
            check_shape(value, json_array_get(real, 0), where);
    json_object_foreach ((json_t *)scripted, key, value) {
        const json_t *twin = json_object_get(real, key);

        ck_assert_msg(twin, "%s: a real Consul has no '%s'", where, key);
        check_shape(value, twin, key);
    }
}

static const struct {
    const char *url, *recording;
} shapes[] = {
    {"/v1/status/leader", "status-leader"},
    {"/v1/agent/self", "agent-self"},
    {"/v1/agent/connect/ca/roots", "connect-roots"},
    {"/v1/health/service/orders", "health-service"},
    {"/v1/catalog/node/node-1", "catalog-node-none"},
    {"/v1/query/nearest/execute", "query"},
};

START_TEST(the_scripted_consul_says_nothing_that_a_real_one_does_not)
{
    struct scenario *scenario = scenario_must("story", "registry consul\n"
                                                       "    URL=http://127.0.0.1:8500\n"
                                                       "consul has orders 10.0.0.1/t=v2\n"
                                                       "consul query nearest 10s 10.0.0.1\n"
                                                       "lookup orders.service.consul\n"
                                                       "lookup nearest.query.consul\n");
    char *transcript = run_transcribed(scenario, 1);
    json_t *scripted = scripted_answer(transcript, shapes[_i].url),
           *real = recorded_answer(shapes[_i].recording);

    check_shape(scripted, real, shapes[_i].url);
    json_decref(scripted);
    json_decref(real);
    free(transcript);
    scenario_free(scenario);
}
END_TEST

/* ---- the program ---- */

static TCase *make_harness(void)
{
    TCase *harness = tcase_create("harness");

    tcase_add_loop_test(harness, a_wrong_expectation_is_told_with_its_line, 0,
                        (int)ELEMENTS(mistakes));
    tcase_add_test(harness, lines_that_are_indented_unevenly_are_refused);
    tcase_add_loop_test(harness, the_scripted_consul_says_nothing_that_a_real_one_does_not, 0,
                        (int)ELEMENTS(shapes));
    return harness;
}

static Suite *make_suite(bool by_hand)
{
    Suite *suite = suite_create("scenarios");
    TCase *stories = tcase_create("stories");

    tcase_set_timeout(stories, 300);
    tcase_add_loop_test(stories, the_story_holds_whatever_the_chance, 0, (int)path_count);
    suite_add_tcase(suite, stories);
    if (!by_hand)
        suite_add_tcase(suite, make_harness());
    return suite;
}

/* The files that were named, or all of them. */
static void find_files(int count, char **named, glob_t *files)
{
    char *pattern = NULL;

    paths = named;
    path_count = (size_t)count;
    if (count > 0)
        return;
    pattern = source_path("scenarios/*.scenario");
    if (glob(pattern, 0, NULL, files) != 0)
        fprintf(stderr, "%s: no scenarios\n", pattern);
    paths = files->gl_pathv;
    path_count = files->gl_pathc;
    free(pattern);
}

int main(int argc, char **argv)
{
    glob_t files = {0};
    SRunner *runner;
    int option, failures;

    while ((option = getopt(argc, argv, "vs:")) != -1) {
        verbose |= option == 'v';
        only_seed = option == 's' ? strtoull(optarg, NULL, 10) : only_seed;
    }
    if (verbose && only_seed == 0)
        only_seed = 1;
    find_files(argc - optind, argv + optind, &files);
    runner = srunner_create(make_suite(optind < argc));
    srunner_run_all(runner, CK_NORMAL);
    failures = srunner_ntests_failed(runner) + (path_count == 0);
    srunner_free(runner);
    globfree(&files);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
