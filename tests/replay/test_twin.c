/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The twin itself: it plays a well-behaved registry as told, and catches each way of breaking the
 * contract. The registry here does what its settings say.
 */
#include "tests/replay/twin.h"
#include "tests/unit/unit.h"

struct probe {
    struct registry registry;
    struct env_timer timer, other, later;
    struct http_call *http;
    struct dns_call *dns;
    struct env_path_watch *watch;
    char fired[16];
    unsigned heads, bytes, changes;
    enum http_outcome outcome;
    int status;
    char body[32];
    enum dns_outcome dns_outcome;
    uint16_t port;
    bool refuse, cancel, storm;
    /* Ways to break the contract. */
    bool report_in_want, report_in_refresh, timer_in_resolve, keep_all, cancel_twice, secret;
};

static void report(struct probe *probe, enum registry_report_kind kind, const char *key)
{
    env_report(probe->registry.env,
               &(struct registry_report){.kind = kind, .key = key, .validity = REPORT_UNTIL_LOST});
}

static void fired(struct env_timer *timer)
{
    struct probe *probe = timer->owner;

    strcat(probe->fired, timer == &probe->timer ? "a" : timer == &probe->other ? "b" : "c");
    if (probe->storm) {
        probe->fired[0] = '\0';
        env_defer(probe->registry.env, timer);
    }
}

static int start(struct registry *registry)
{
    struct probe *probe = (struct probe *)registry;

    probe->timer = (struct env_timer){.fire = fired, .owner = probe};
    probe->other = probe->later = probe->timer;
    return 0;
}

static int want(struct registry *registry, const char *key)
{
    struct probe *probe = (struct probe *)registry;

    if (probe->report_in_want)
        report(probe, REPORT_ABSENT, key);
    return 0;
}

static int refresh(struct registry *registry, const char *key)
{
    struct probe *probe = (struct probe *)registry;

    if (probe->report_in_refresh)
        report(probe, REPORT_ABSENT, key);
    return 0;
}

static void drop(struct registry *registry, const char *key)
{
    (void)registry, (void)key;
}

static enum registry_meaning resolve(const struct registry *registry, const char *name,
                                     size_t relative, const char *domain,
                                     struct registry_target *ret_target)
{
    struct probe *probe = (struct probe *)registry;

    if (probe->timer_in_resolve)
        env_defer(registry->env, &probe->timer);
    if (relative == 0)
        return REGISTRY_NO_DATA;
    snprintf(ret_target->key, sizeof(ret_target->key), "%.*s of %s", (int)relative, name, domain);
    ret_target->selector.kind = SELECT_ALL;
    return REGISTRY_TARGET;
}

static void describe(const struct registry *registry, json_t *object)
{
    const struct probe *probe = (const struct probe *)registry;

    json_object_set_new(object, "Word", json_string(probe->secret ? "hush" : "none"));
}

static void stop(struct registry *registry)
{
    struct probe *probe = (struct probe *)registry;
    struct registry_env *env = registry->env;

    if (probe->keep_all)
        return;
    env_timer_off(env, &probe->timer);
    env_timer_off(env, &probe->other);
    env_timer_off(env, &probe->later);
    env->ops->http_cancel(env, probe->http);
    env->ops->dns_cancel(env, probe->dns);
    env->ops->path_unwatch(env, probe->watch);
}

static const struct registry_type probe_type = {
    .name = "probe",
    .size = sizeof(struct probe),
    .start = start,
    .resolve = resolve,
    .want = want,
    .refresh = refresh,
    .drop = drop,
    .kick = NULL,
    .describe = describe,
    .stop = stop,
};

static const char *const two_domains[] = {"test", "sub.test", NULL};

static struct twin *probe_new(bool collect, struct probe **ret_probe)
{
    struct twin *twin = twin_new(
        &probe_type, &(struct twin_options){.domains = two_domains, .collect_violations = collect});

    *ret_probe = (struct probe *)twin_registry(twin);
    ck_assert_int_eq(twin_start(twin), 0);
    return twin;
}

#define ck_violation(twin, part)                                                                   \
    do {                                                                                           \
        const char *text_ = twin_take_violation(twin);                                             \
        ck_assert_msg(text_ &&strstr(text_, part), "violation '%s'", text_ ?: "none");             \
    } while (0)

START_TEST(timers_fire_in_order_as_time_passes)
{
    struct probe *probe;
    struct twin *twin = probe_new(false, &probe);
    struct registry_env *env = probe->registry.env;
    usec_t begin = twin_now(twin);

    env_timer_set(env, &probe->later, begin + 5 * USEC_PER_SEC);
    env_timer_set(env, &probe->other, begin + 2 * USEC_PER_SEC);
    env_timer_set(env, &probe->timer, begin + 2 * USEC_PER_SEC);
    ck_assert_uint_eq(twin_next_timer(twin), 2 * USEC_PER_SEC);
    twin_advance(twin, 2 * USEC_PER_SEC - 1);
    ck_assert_str_eq(probe->fired, "");
    twin_advance(twin, 1);
    ck_assert_str_eq(probe->fired, "ba");
    env_timer_set(env, &probe->later, begin + 9 * USEC_PER_SEC);
    twin_advance(twin, 4 * USEC_PER_SEC);
    ck_assert_str_eq(probe->fired, "ba");
    env_timer_off(env, &probe->later);
    env_timer_off(env, &probe->later);
    ck_assert_uint_eq(twin_next_timer(twin), USEC_INFINITY);
    twin_hold(twin);
    env_defer(env, &probe->later);
    twin_want(twin, "a");
    ck_assert_str_eq(probe->fired, "ba");
    twin_advance(twin, 0);
    ck_assert_str_eq(probe->fired, "bac");
    twin_free(twin);
}
END_TEST

START_TEST(randomness_repeats_with_its_seed)
{
    struct twin *a = twin_new(&probe_type, &(struct twin_options){.seed = 1});
    struct twin *b = twin_new(&probe_type, &(struct twin_options){.seed = 1});
    struct twin *c = twin_new(&probe_type, &(struct twin_options){.seed = 2});
    uint64_t first = env_random(twin_registry(a)->env);

    ck_assert_uint_eq(first, env_random(twin_registry(b)->env));
    ck_assert_uint_ne(first, env_random(twin_registry(c)->env));
    for (unsigned i = 0; i < 1000; i++) {
        usec_t jittered = env_jitter(twin_registry(a)->env, 1000, 10);

        ck_assert_uint_ge(jittered, 900);
        ck_assert_uint_le(jittered, 1100);
    }
    twin_free(a);
    twin_free(b);
    twin_free(c);
}
END_TEST

static int on_head(void *userdata, const struct http_response *response)
{
    struct probe *probe = userdata;

    probe->heads++;
    probe->status = response->status;
    return probe->refuse;
}

static int on_body(void *userdata, const char *data, size_t size)
{
    struct probe *probe = userdata;

    (void)data;
    probe->bytes += size;
    if (probe->cancel) {
        probe->registry.env->ops->http_cancel(probe->registry.env, probe->http);
        probe->http = NULL;
    }
    return 0;
}

static void on_done(void *userdata, enum http_outcome outcome, const struct http_response *response,
                    const char *body, size_t size, const char *text)
{
    struct probe *probe = userdata;

    ck_assert((outcome == HTTP_DONE) == (*text == '\0'));
    ck_assert_uint_eq(body[size], 0);
    probe->outcome = outcome;
    probe->status = response->status;
    snprintf(probe->body, sizeof(probe->body), "%s", body);
    if (probe->cancel_twice)
        probe->registry.env->ops->http_cancel(probe->registry.env, probe->http);
    probe->http = NULL;
}

static const struct http_handler collecting = {.on_done = on_done};
static const struct http_handler streaming = {on_head, on_body, on_done};

static struct http_call *get(struct twin *twin, struct probe *probe,
                             const struct http_handler *handler)
{
    struct http_request request = {
        .url = "http://127.0.0.1/v1/things?index=4",
        .headers = &(struct http_header){"X-Token", "hush"},
        .header_count = 1,
        .timeout = 10 * USEC_PER_SEC,
        .max_body = 16,
        .handler = handler,
        .userdata = probe,
    };

    ck_assert_int_eq(env_http_start(probe->registry.env, &request, &probe->http), 0);
    return twin_expect_http(twin, "GET", "/v1/things");
}

START_TEST(http_calls_wait_for_the_scripted_answer)
{
    struct probe *probe;
    struct twin *twin = probe_new(false, &probe);
    struct http_call *call = get(twin, probe, &collecting);

    ck_assert_str_eq(twin_http_request_header(call, "x-token"), "hush");
    ck_assert_uint_eq(twin_http_request(call)->timeout, 10 * USEC_PER_SEC);
    ck_assert_uint_eq(twin_http_open(twin), 1);
    twin_expect_no_http(twin);
    twin_http_reply(call, 200, "A: b\nC:d", "hello");
    ck_assert_int_eq(probe->status, 200);
    ck_assert_str_eq(probe->body, "hello");
    ck_assert(twin_http_gone(twin, call));

    twin_http_fail(get(twin, probe, &collecting), HTTP_UNREACHABLE, "refused");
    ck_assert_int_eq(probe->outcome, HTTP_UNREACHABLE);
    twin_http_reply(get(twin, probe, &collecting), 200, NULL, "more than sixteen bytes");
    ck_assert_int_eq(probe->outcome, HTTP_TOO_LARGE);
    call = get(twin, probe, &collecting);
    twin_advance(twin, 10 * USEC_PER_SEC - 1);
    ck_assert(!twin_http_gone(twin, call));
    twin_advance(twin, 1);
    ck_assert(twin_http_gone(twin, call));
    ck_assert_int_eq(probe->outcome, HTTP_TIMEOUT);
    ck_assert_uint_eq(twin_http_open(twin), 0);
    twin_free(twin);
}
END_TEST

START_TEST(http_bodies_stream_until_refused_or_cancelled)
{
    struct probe *probe;
    struct twin *twin = probe_new(false, &probe);
    struct http_call *call = get(twin, probe, &streaming);

    twin_http_head(call, 200, NULL);
    twin_http_chunk(call, "abc", 3);
    ck_assert_uint_eq(probe->bytes, 3);
    twin_http_end(call);
    ck_assert_int_eq(probe->outcome, HTTP_DONE);
    ck_assert_str_eq(probe->body, "");

    probe->refuse = true;
    twin_http_reply(get(twin, probe, &streaming), 500, NULL, "no");
    ck_assert_int_eq(probe->outcome, HTTP_ABORTED);
    ck_assert_uint_eq(probe->bytes, 3);

    probe->refuse = false;
    probe->cancel = true;
    probe->outcome = HTTP_BROKEN;
    call = get(twin, probe, &streaming);
    twin_http_reply(call, 200, NULL, "no");
    ck_assert(twin_http_gone(twin, call));
    ck_assert_int_eq(probe->outcome, HTTP_BROKEN);
    twin_free(twin);
}
END_TEST

static void resolved(void *userdata, const struct dns_result *result)
{
    struct probe *probe = userdata;

    probe->dns = NULL;
    probe->dns_outcome = result->outcome;
    probe->port = result->service_count > 1 ? result->services[1].port : 0;
    probe->bytes = (unsigned)result->address_count;
}

START_TEST(dns_questions_wait_for_the_scripted_answer)
{
    struct probe *probe;
    struct twin *twin = probe_new(false, &probe);
    struct registry_env *env = probe->registry.env;
    struct dns_question question = {
        .name = "db.example", .type = DNS_SRV, .done = resolved, .userdata = probe};

    ck_assert_int_eq(env->ops->dns_start(env, &question, &probe->dns), 0);
    twin_dns_reply_services(twin_expect_dns(twin, DNS_SRV, "db.example"), USEC_PER_SEC,
                            "1 2 80 a.example, 1 3 81 .");
    ck_assert_uint_eq(probe->port, 81);
    question.type = DNS_A;
    ck_assert_int_eq(env->ops->dns_start(env, &question, &probe->dns), 0);
    twin_dns_reply_addresses(twin_expect_dns(twin, DNS_A, "db.example"), USEC_PER_SEC,
                             "192.0.2.1 192.0.2.2");
    ck_assert_uint_eq(probe->bytes, 2);
    ck_assert_int_eq(env->ops->dns_start(env, &question, &probe->dns), 0);
    twin_dns_fail(twin_expect_dns(twin, DNS_A, "db.example"), DNS_NXDOMAIN, 0, NULL);
    ck_assert_int_eq(probe->dns_outcome, DNS_NXDOMAIN);
    ck_assert_int_eq(env->ops->dns_start(env, &question, &probe->dns), 0);
    twin_advance(twin, 5 * USEC_PER_SEC);
    ck_assert_int_eq(probe->dns_outcome, DNS_FAILED);
    twin_expect_no_dns(twin);
    question.name = "not a name";
    ck_assert_int_eq(env->ops->dns_start(env, &question, &probe->dns), -EINVAL);
    twin_free(twin);
}
END_TEST

static void changed(void *userdata)
{
    ((struct probe *)userdata)->changes++;
}

START_TEST(watched_paths_change_when_told)
{
    struct probe *probe;
    struct twin *twin = probe_new(false, &probe);
    struct registry_env *env = probe->registry.env;

    ck_assert_int_eq(env->ops->path_watch(env, "/a", changed, probe, &probe->watch), 0);
    twin_path_changed(twin, "/a");
    ck_assert_uint_eq(probe->changes, 1);
    twin_free(twin);
}
END_TEST

START_TEST(reports_are_kept_and_matched)
{
    struct probe *probe;
    struct twin *twin = probe_new(false, &probe);
    struct registry_env *env = probe->registry.env;
    struct endpoint_builder *builder = endpoint_builder_new();
    struct endpoint_set *set;
    struct address v4, v6;
    char key[] = "orders";

    ck_assert_int_eq(address_from_string("192.0.2.1", &v4), 0);
    ck_assert_int_eq(address_from_string("2001:db8::1", &v6), 0);
    endpoint_builder_begin(builder, "one");
    endpoint_builder_address(builder, &v4);
    endpoint_builder_address(builder, &v6);
    endpoint_builder_port(builder, "", "", 80);
    endpoint_builder_begin(builder, "two");
    endpoint_builder_target(builder, "host.example");
    endpoint_builder_weight(builder, 3);
    endpoint_builder_health(builder, HEALTH_WARNING);
    ck_assert_int_eq(endpoint_builder_finish(builder, &set), 0);
    twin_want(twin, "orders");
    ck_assert_uint_eq(twin_unanswered(twin), 1);
    report(probe, REPORT_UP, NULL);
    env_report(
        env, &(struct registry_report){
                 .kind = REPORT_DATA, .key = key, .endpoints = set, .validity = REPORT_UNTIL_LOST});
    endpoint_set_unref(set);
    key[0] = 'x';
    ck_assert_uint_eq(twin_unanswered(twin), 0);
    report(probe, REPORT_SYNCED, NULL);
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_SYNCED, NULL));
    ck_assert_ptr_null(twin_find_report(twin, REPORT_ABSENT, "orders"));
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_data(twin, "orders", "192.0.2.1+[2001:db8::1]:80 host.example*3/warning");
    twin_expect_no_report(twin);
    endpoint_builder_free(builder);
    twin_free(twin);
}
END_TEST

START_TEST(names_are_split_at_the_longest_domain)
{
    struct probe *probe;
    struct twin *twin = probe_new(false, &probe);
    struct registry_target target;

    ck_assert_str_eq(twin_resolve_key(twin, "a.b.test"), "a.b of test");
    ck_assert_str_eq(twin_resolve_key(twin, "a.sub.test"), "a of sub.test");
    ck_assert_int_eq(twin_resolve(twin, "test", &target), REGISTRY_NO_DATA);
    ck_assert_int_eq(twin_resolve(twin, "nottest", &target), REGISTRY_NOT_MINE);
    ck_assert_str_eq(json_string_value(json_object_get(twin_describe(twin), "Word")), "none");
    twin_free(twin);
}
END_TEST

/* ---- the contract ---- */

START_TEST(a_report_from_inside_want_or_refresh_is_caught)
{
    struct probe *probe;
    struct twin *twin = probe_new(true, &probe);

    twin_want(twin, "a");
    ck_assert_ptr_null(twin_take_violation(twin));
    probe->report_in_want = probe->report_in_refresh = true;
    twin_want(twin, "a");
    ck_violation(twin, "from inside want");
    twin_refresh(twin, "a");
    ck_violation(twin, "from inside refresh");
    twin_free(twin);
}
END_TEST

START_TEST(a_verb_that_is_not_pure_is_caught)
{
    struct probe *probe;
    struct twin *twin = probe_new(true, &probe);

    probe->timer_in_resolve = true;
    twin_resolve_key(twin, "a.test");
    ck_violation(twin, "from inside resolve, which is pure");
    twin_free(twin);
}
END_TEST

START_TEST(reports_that_lack_something_are_caught)
{
    struct probe *probe;
    struct twin *twin = probe_new(true, &probe);
    struct registry_env *env = probe->registry.env;

    report(probe, REPORT_ABSENT, "b");
    ck_violation(twin, "nobody wants");
    report(probe, REPORT_APPEARED, "b");
    ck_assert_ptr_null(twin_take_violation(twin));
    twin_want(twin, "a");
    report(probe, REPORT_DATA, "a");
    ck_violation(twin, "endpoints or an alias");
    report(probe, REPORT_FAILED, "a");
    ck_violation(twin, "a text");
    env_report(env, &(struct registry_report){.kind = REPORT_ABSENT, .key = "a"});
    ck_violation(twin, "a validity");
    twin_stop(twin);
    report(probe, REPORT_UP, NULL);
    ck_violation(twin, "is stopped");
    twin_free(twin);
}
END_TEST

START_TEST(what_is_left_after_stop_is_caught)
{
    struct probe *probe;
    struct twin *twin = probe_new(true, &probe);
    struct registry_env *env = probe->registry.env;
    struct dns_question question = {
        .name = "a.example", .type = DNS_A, .done = resolved, .userdata = probe};

    probe->keep_all = true;
    env_timer_set(env, &probe->timer, twin_now(twin) + 1);
    twin_stop(twin);
    ck_violation(twin, "a timer is still set");
    env_timer_off(env, &probe->timer);
    twin_start(twin);
    get(twin, probe, &collecting);
    twin_stop(twin);
    ck_violation(twin, "HTTP calls are still open");
    env->ops->http_cancel(env, probe->http);
    twin_start(twin);
    env->ops->dns_start(env, &question, &probe->dns);
    twin_stop(twin);
    ck_violation(twin, "DNS questions are still open");
    env->ops->dns_cancel(env, probe->dns);
    twin_start(twin);
    env->ops->path_watch(env, "/a", changed, probe, &probe->watch);
    twin_stop(twin);
    ck_violation(twin, "paths are still watched");
    twin_free(twin);
}
END_TEST

START_TEST(ending_what_is_not_open_is_caught)
{
    struct probe *probe;
    struct twin *twin = probe_new(true, &probe);
    struct registry_env *env = probe->registry.env;
    struct env_path_watch *watch;

    probe->cancel_twice = true;
    twin_http_reply(get(twin, probe, &collecting), 200, NULL, "");
    ck_violation(twin, "cancelled that is not open");
    env->ops->path_watch(env, "/a", changed, probe, &watch);
    env->ops->path_unwatch(env, watch);
    ck_assert_ptr_null(twin_take_violation(twin));
    env->ops->path_unwatch(env, watch);
    ck_violation(twin, "ended that is not open");
    twin_free(twin);
}
END_TEST

START_TEST(timers_without_end_are_caught)
{
    struct probe *probe;
    struct twin *twin = probe_new(true, &probe);

    probe->storm = true;
    env_defer(probe->registry.env, &probe->timer);
    twin_advance(twin, 1);
    ck_violation(twin, "without end");
    probe->storm = false;
    twin_free(twin);
}
END_TEST

START_TEST(secrets_in_sight_are_caught)
{
    struct probe *probe;
    struct twin *twin = probe_new(true, &probe);
    struct registry_env *env = probe->registry.env;

    twin_forbid(twin, "hush");
    env_log(env, 6, NULL, "token %s", "none");
    ck_assert_ptr_null(twin_take_violation(twin));
    twin_expect_log(twin, 6, "token none");
    env_log(env, 6, NULL, "token %s", "hush");
    ck_violation(twin, "a secret in a log line");
    env_report(env, &(struct registry_report){.kind = REPORT_DOWN, .text = "hush!"});
    ck_violation(twin, "a secret in a report");
    probe->secret = true;
    twin_describe(twin);
    ck_violation(twin, "a secret in describe()");
    twin_free(twin);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("twin");

    UNIT_CASE(suite, "plays", timers_fire_in_order_as_time_passes, randomness_repeats_with_its_seed,
              http_calls_wait_for_the_scripted_answer,
              http_bodies_stream_until_refused_or_cancelled,
              dns_questions_wait_for_the_scripted_answer, watched_paths_change_when_told,
              reports_are_kept_and_matched, names_are_split_at_the_longest_domain);
    UNIT_CASE(suite, "contract", a_report_from_inside_want_or_refresh_is_caught,
              a_verb_that_is_not_pure_is_caught, reports_that_lack_something_are_caught,
              what_is_left_after_stop_is_caught, ending_what_is_not_open_is_caught,
              timers_without_end_are_caught, secrets_in_sight_are_caught);
    return suite;
}

UNIT_MAIN(make_suite)
