/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Access to an API server: servers, rotating tokens, kubeconfigs and exec plugins, on the twin. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/log.h"
#include "daemon/registry/kubernetes/access.h"
#include "daemon/registry/kubernetes/exec.h"
#include "tests/replay/twin.h"
#include "tests/unit/unit.h"

/* A registry that has access, and nothing else. */
struct probe {
    struct registry registry;
    struct kubernetes_access *access;
};

static char directory[] = "/tmp/test_access.XXXXXX";
static struct twin *twin;
static struct kubernetes_access *access_;

static int probe_start(struct registry *registry)
{
    struct probe *probe = (struct probe *)registry;
    int r = kubernetes_access_new_at(registry, directory, &probe->access);

    access_ = probe->access;
    return r;
}

static void probe_stop(struct registry *registry)
{
    access_ = kubernetes_access_free(((struct probe *)registry)->access);
}

static void probe_describe(const struct registry *registry, json_t *object)
{
    kubernetes_access_describe(((const struct probe *)registry)->access, object);
}

static const struct registry_type probe_type = {
    .name = "probe",
    .size = sizeof(struct probe),
    .items = kubernetes_items,
    .settings_size = sizeof(struct kubernetes_settings),
    .settings_done = kubernetes_settings_done,
    .verify = kubernetes_settings_verify,
    .source = kubernetes_access_source,
    .start = probe_start,
    .describe = probe_describe,
    .stop = probe_stop,
};

/* ---- the world ---- */

static const char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

/* Replaces it, as those do who rotate. */
static void write_file(const char *name, const char *text)
{
    char temporary[160];
    FILE *file;

    snprintf(temporary, sizeof(temporary), "%s.new", path_of(name));
    file = fopen(temporary, "we");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(rename(temporary, path_of(name)), 0);
}

static void set_up(void)
{
    strcpy(directory + sizeof(directory) - 7, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    unsetenv("KUBERNETES_SERVICE_HOST");
    unsetenv("KUBERNETES_SERVICE_PORT");
    twin = NULL;
}

static void tear_down(void)
{
    char command[128];

    twin = twin_free(twin);
    snprintf(command, sizeof(command), "rm -r %s", directory);
    ck_assert_int_eq(system(command), 0);
}

static void begin(const char *const *settings)
{
    twin = twin_new(&probe_type, &(struct twin_options){.settings = settings});
    twin_forbid(twin, "SECRET");
    ck_assert_int_eq(twin_start(twin), 0);
}

struct waiting {
    struct kubernetes_waiter waiter;
    unsigned answers;
    int error;
    char text[600];
};

static void ready(struct kubernetes_waiter *waiter, int error, const char *text)
{
    struct waiting *waiting = (struct waiting *)waiter;

    waiting->answers++;
    waiting->error = error;
    snprintf(waiting->text, sizeof(waiting->text), "%s", text);
    ck_assert_ptr_null(strstr(text, "SECRET"));
}

static void wait_for(struct waiting *waiting)
{
    *waiting = (struct waiting){.waiter.ready = ready};
    ck_assert_int_eq(kubernetes_access_wait(access_, &waiting->waiter), 0);
    ck_assert_uint_eq(waiting->answers, 0);
    twin_advance(twin, 0);
}

/* What a request carries once credentials are current; fails where there are none. */
static const char *authorization(void)
{
    static char value[256];
    struct http_request request = {0};
    struct waiting waiting;

    wait_for(&waiting);
    ck_assert_uint_eq(waiting.answers, 1);
    ck_assert_msg(waiting.error == 0, "%s", waiting.text);
    ck_assert_int_eq(kubernetes_access_fill(access_, "/api", &request), 0);
    snprintf(value, sizeof(value), "%s",
             request.header_count > 0 ? request.headers[0].value : "none");
    return value;
}

static void expect_trouble(const char *text)
{
    struct waiting waiting;

    wait_for(&waiting);
    ck_assert_uint_eq(waiting.answers, 1);
    ck_assert_int_lt(waiting.error, 0);
    ck_assert_msg(strstr(waiting.text, text), "'%s' is not in: %s", text, waiting.text);
}

static struct http_request filled(const char *path)
{
    struct http_request request = {0};

    ck_assert_int_eq(kubernetes_access_fill(access_, path, &request), 0);
    return request;
}

static void refuse_now(void)
{
    kubernetes_access_refused(access_, kubernetes_access_epoch(access_));
}

/* ---- keys ---- */

START_TEST(the_keys_say_which_server_and_how)
{
    struct http_request request;

    write_file("token", "SECRET1\n");
    begin((const char *const[]){"URL", "https://192.0.2.1:6443/", "TokenFile", path_of("token"),
                                "CAFile", "/etc/ca.pem", "TLSServerName", "api.example", NULL});
    ck_assert_str_eq(authorization(), "Bearer SECRET1");
    request = filled("/api/v1/services?watch=1");
    ck_assert_str_eq(request.url, "https://192.0.2.1:6443/api/v1/services?watch=1");
    ck_assert_str_eq(request.headers[0].name, "Authorization");
    ck_assert_str_eq(request.tls->ca_file, "/etc/ca.pem");
    ck_assert_str_eq(request.tls->server_name, "api.example");
    ck_assert(!request.tls->insecure);
    ck_assert_ptr_null(request.unix_socket);
    ck_assert_str_eq(json_string_value(json_object_get(twin_describe(twin), "server")),
                     "https://192.0.2.1:6443");
}
END_TEST

START_TEST(a_proxy_on_a_socket_needs_no_credentials)
{
    begin((const char *const[]){"URL", "unix:///run/proxy", NULL});
    ck_assert_str_eq(authorization(), "none");
    ck_assert_str_eq(filled("/api").url, "http://localhost/api");
    ck_assert_str_eq(filled("/api").unix_socket, "/run/proxy");
}
END_TEST

START_TEST(the_next_server_is_tried_when_one_cannot_be_reached)
{
    uint64_t epoch;

    begin((const char *const[]){"URL", "https://a.example https://b.example https://c.example",
                                NULL});
    ck_assert_str_eq(authorization(), "none");
    epoch = kubernetes_access_epoch(access_);
    ck_assert_str_eq(filled("/").url, "https://a.example/");
    kubernetes_access_unreachable(access_, epoch);
    ck_assert_str_eq(filled("/").url, "https://b.example/");
    /* Another request to the first one ends: that says nothing of the second. */
    kubernetes_access_unreachable(access_, epoch);
    ck_assert_str_eq(filled("/").url, "https://b.example/");
    kubernetes_access_unreachable(access_, kubernetes_access_epoch(access_));
    kubernetes_access_untrusted(access_, kubernetes_access_epoch(access_));
    ck_assert_str_eq(filled("/").url, "https://a.example/");
    twin_expect_log(twin, LOG_WARNING, "https://a.example cannot be reached; trying https://b");
}
END_TEST

/* ---- rotating tokens ---- */

START_TEST(a_token_is_read_again_after_a_minute)
{
    write_file("token", "SECRET1");
    begin((const char *const[]){"URL", "https://a.example", "TokenFile", path_of("token"), NULL});
    ck_assert_str_eq(authorization(), "Bearer SECRET1");
    write_file("token", "SECRET2");
    twin_advance(twin, 59 * USEC_PER_SEC);
    ck_assert_str_eq(authorization(), "Bearer SECRET1");
    twin_advance(twin, USEC_PER_SEC);
    ck_assert_str_eq(authorization(), "Bearer SECRET2");
}
END_TEST

START_TEST(a_refused_token_is_read_again_at_once)
{
    uint64_t epoch;

    write_file("token", "SECRET1");
    begin((const char *const[]){"URL", "https://a.example", "TokenFile", path_of("token"), NULL});
    ck_assert_str_eq(authorization(), "Bearer SECRET1");
    epoch = kubernetes_access_epoch(access_);
    write_file("token", "SECRET2");
    kubernetes_access_refused(access_, epoch);
    ck_assert_str_eq(authorization(), "Bearer SECRET2");
    /* The old one is refused once more: the new one is not to blame. */
    write_file("token", "SECRET3");
    kubernetes_access_refused(access_, epoch);
    ck_assert_str_eq(authorization(), "Bearer SECRET2");
}
END_TEST

START_TEST(a_token_that_cannot_be_read_stays_the_one_before)
{
    write_file("token", "SECRET1");
    begin((const char *const[]){"URL", "https://a.example", "TokenFile", path_of("token"), NULL});
    ck_assert_str_eq(authorization(), "Bearer SECRET1");
    unlink(path_of("token"));
    twin_advance(twin, 60 * USEC_PER_SEC);
    ck_assert_str_eq(authorization(), "Bearer SECRET1");
    twin_expect_log(twin, LOG_ERR, "using the token it held");
    write_file("token", "SECRET2");
    refuse_now();
    ck_assert_str_eq(authorization(), "Bearer SECRET2");
    twin_expect_log(twin, LOG_NOTICE, "can be used again");
    write_file("token", "");
    refuse_now();
    ck_assert_str_eq(authorization(), "Bearer SECRET2");
}
END_TEST

START_TEST(without_any_token_nothing_is_asked_until_there_is_one)
{
    begin((const char *const[]){"URL", "https://a.example", "TokenFile", path_of("token"), NULL});
    expect_trouble("cannot be used: No such file");
    write_file("token", "SECRET1");
    ck_assert_str_eq(authorization(), "Bearer SECRET1");
}
END_TEST

/* ---- in a pod ---- */

START_TEST(a_pod_finds_its_own_cluster)
{
    setenv("KUBERNETES_SERVICE_HOST", "2001:db8::1", 1);
    setenv("KUBERNETES_SERVICE_PORT", "6443", 1);
    write_file("token", "SECRET1");
    begin(NULL);
    ck_assert_str_eq(authorization(), "Bearer SECRET1");
    ck_assert_str_eq(filled("/x").url, "https://[2001:db8::1]:6443/x");
    ck_assert_str_eq(filled("/x").tls->ca_file, path_of("ca.crt"));
}
END_TEST

START_TEST(outside_of_a_pod_a_key_is_needed)
{
    begin(NULL);
    expect_trouble("neither URL= nor Kubeconfig= is set");
}
END_TEST

START_TEST(the_keys_win_over_the_service_account)
{
    setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1", 1);
    write_file("token", "SECRET1");
    write_file("other", "SECRET2");
    begin((const char *const[]){"TokenFile", path_of("other"), "CAFile", "/etc/ca.pem", NULL});
    ck_assert_str_eq(authorization(), "Bearer SECRET2");
    ck_assert_str_eq(filled("/x").url, "https://192.0.2.1:443/x");
    ck_assert_str_eq(filled("/x").tls->ca_file, "/etc/ca.pem");
}
END_TEST

/* ---- kubeconfig ---- */

static void write_kubeconfig(const char *cluster, const char *user)
{
    char text[2048];

    snprintf(text, sizeof(text),
             "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
             "clusters: [{name: k, cluster: %s}]\nusers: [{name: u, user: %s}]\n",
             cluster, user);
    write_file("config", text);
}

static void begin_kubeconfig(const char *user)
{
    write_kubeconfig("{server: 'https://a.example'}", user);
    begin((const char *const[]){"Kubeconfig", path_of("config"), NULL});
}

START_TEST(a_kubeconfig_says_which_server_and_how)
{
    struct http_request request;

    write_kubeconfig("{server: 'https://a.example', certificate-authority-data: Q0E=, "
                     "tls-server-name: api}",
                     "{client-certificate-data: Q0VSVA==, client-key: key.pem}");
    begin((const char *const[]){"Kubeconfig", path_of("config"), NULL});
    ck_assert_str_eq(authorization(), "none");
    request = filled("/api");
    ck_assert_str_eq(request.url, "https://a.example/api");
    ck_assert_str_eq(request.tls->ca_pem, "CA");
    ck_assert_uint_eq(request.tls->ca_pem_size, 2);
    ck_assert_str_eq(request.tls->cert_pem, "CERT");
    ck_assert_str_eq(request.tls->key_file, path_of("key.pem"));
    ck_assert_str_eq(request.tls->server_name, "api");
    ck_assert_str_eq(json_string_value(json_object_get(twin_describe(twin), "context")), "c");
}
END_TEST

START_TEST(a_password_goes_with_the_request)
{
    begin_kubeconfig("{username: me, password: SECRET}");
    ck_assert_str_eq(authorization(), "none");
    ck_assert_str_eq(filled("/").username, "me");
    ck_assert_str_eq(filled("/").password, "SECRET");
}
END_TEST

START_TEST(a_rewritten_kubeconfig_counts_from_the_next_look)
{
    begin_kubeconfig("{token: SECRET1}");
    ck_assert_str_eq(authorization(), "Bearer SECRET1");
    write_kubeconfig("{server: 'https://b.example'}", "{token: SECRET2}");
    ck_assert_str_eq(authorization(), "Bearer SECRET1");
    kubernetes_access_untrusted(access_, kubernetes_access_epoch(access_));
    ck_assert_str_eq(authorization(), "Bearer SECRET2");
    ck_assert_str_eq(filled("/").url, "https://b.example/");
    write_file("config", "current-context: [");
    refuse_now();
    ck_assert_str_eq(authorization(), "Bearer SECRET2");
    twin_expect_log(twin, LOG_ERR, "going on as it said before");
    write_kubeconfig("{server: 'https://b.example'}", "{tokenFile: token}");
    write_file("token", "SECRET3");
    twin_advance(twin, 60 * USEC_PER_SEC);
    ck_assert_str_eq(authorization(), "Bearer SECRET3");
}
END_TEST

START_TEST(a_kubeconfig_that_is_not_there_is_told)
{
    begin((const char *const[]){"Kubeconfig", path_of("config"), NULL});
    expect_trouble("config: No such file");
    write_kubeconfig("{server: 'https://a.example'}", "{as: root}");
    expect_trouble("impersonation");
    write_kubeconfig("{server: 'https://a.example'}", "{token: SECRET}");
    ck_assert_str_eq(authorization(), "Bearer SECRET");
}
END_TEST

START_TEST(the_source_is_server_and_kind_of_credentials)
{
    char *source;

    begin_kubeconfig("{token: SECRET1}");
    ck_assert_int_eq(kubernetes_access_source(twin_registry(twin)->config, &source), 0);
    ck_assert_ptr_nonnull(strstr(source, "https://a.example"));
    ck_assert_ptr_nonnull(strstr(source, "token of "));
    ck_assert_ptr_null(strstr(source, "SECRET"));
    free(source);
}
END_TEST

/* ---- exec plugins ---- */

#define PLUGIN                                                                                     \
    "{exec: {apiVersion: client.authentication.k8s.io/v1, command: login, args: [get], "           \
    "env: [{name: A, value: SECRET}], provideClusterInfo: true, interactiveMode: Never, "          \
    "installHint: install it}}"

/* What a plugin prints; `seconds`: from now until it expires, 0: it does not say. */
static const char *credential(const char *token, unsigned seconds)
{
    static char text[512];
    usec_t date = twin_env(twin)->ops->now_realtime(twin_env(twin));
    time_t expires = (time_t)(date / USEC_PER_SEC + seconds);
    char when[64], line[96] = "";
    struct tm tm;

    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&expires, &tm));
    if (seconds > 0)
        snprintf(line, sizeof(line), ", \"expirationTimestamp\": \"%s\"", when);
    snprintf(text, sizeof(text),
             "{\"kind\": \"ExecCredential\", \"apiVersion\": \"client.authentication.k8s.io/v1\", "
             "\"status\": {\"token\": \"%s\"%s}}",
             token, line);
    return text;
}

/* Has the plugin run for the first time, and print this. */
static void log_in(const char *token, unsigned seconds)
{
    struct waiting waiting;

    wait_for(&waiting);
    ck_assert_uint_eq(waiting.answers, 0);
    twin_spawn_exit(twin_expect_spawn(twin, "login"), 0, credential(token, seconds), NULL);
    ck_assert_uint_eq(waiting.answers, 1);
    ck_assert_int_eq(waiting.error, 0);
}

START_TEST(a_plugin_is_asked_as_the_protocol_says)
{
    struct spawn_call *call;
    struct waiting one, two;
    json_t *info, *spec;

    begin_kubeconfig(PLUGIN);
    wait_for(&one);
    wait_for(&two);
    call = twin_expect_spawn(twin, "login");
    twin_expect_no_spawn(twin);
    ck_assert_str_eq(twin_spawn_request(call)->arguments[0], "get");
    ck_assert_ptr_null(twin_spawn_request(call)->arguments[1]);
    ck_assert_str_eq(twin_spawn_variable(call, "A"), "SECRET");
    info = json_loads(twin_spawn_variable(call, "KUBERNETES_EXEC_INFO"), 0, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(info, "kind")), "ExecCredential");
    ck_assert_str_eq(json_string_value(json_object_get(info, "apiVersion")),
                     "client.authentication.k8s.io/v1");
    spec = json_object_get(info, "spec");
    ck_assert(json_is_false(json_object_get(spec, "interactive")));
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(spec, "cluster"), "server")),
                     "https://a.example");
    json_decref(info);
    twin_spawn_exit(call, 0, credential("SECRET1", 0), NULL);
    ck_assert_uint_eq(one.answers, 1);
    ck_assert_uint_eq(two.answers, 1);
    ck_assert_str_eq(authorization(), "Bearer SECRET1");
    twin_expect_no_spawn(twin);
    ck_assert_str_eq(json_string_value(json_object_get(twin_describe(twin), "credentials")),
                     "exec login");
}
END_TEST

START_TEST(credentials_are_renewed_before_they_expire)
{
    begin_kubeconfig(PLUGIN);
    log_in("SECRET1", 600);
    ck_assert_str_eq(authorization(), "Bearer SECRET1");
    twin_advance(twin, 539 * USEC_PER_SEC);
    twin_expect_no_spawn(twin);
    twin_advance(twin, USEC_PER_SEC);
    ck_assert_str_eq(authorization(), "Bearer SECRET1"); /* nobody waits for the new ones */
    twin_spawn_exit(twin_expect_spawn(twin, "login"), 0, credential("SECRET2", 600), NULL);
    ck_assert_str_eq(authorization(), "Bearer SECRET2");
}
END_TEST

START_TEST(credentials_that_nobody_uses_are_not_renewed)
{
    struct waiting waiting;

    begin_kubeconfig(PLUGIN);
    log_in("SECRET1", 600);
    ck_assert_str_eq(authorization(), "Bearer SECRET1");
    twin_advance(twin, 540 * USEC_PER_SEC);
    twin_spawn_exit(twin_expect_spawn(twin, "login"), 0, credential("SECRET2", 600), NULL);
    twin_advance(twin, 3600 * USEC_PER_SEC);
    twin_expect_no_spawn(twin);
    wait_for(&waiting);
    ck_assert_uint_eq(waiting.answers, 0);
    twin_spawn_exit(twin_expect_spawn(twin, "login"), 0, credential("SECRET3", 600), NULL);
    ck_assert_str_eq(authorization(), "Bearer SECRET3");
}
END_TEST

START_TEST(a_plugin_that_fails_leaves_the_last_credentials_until_they_expire)
{
    begin_kubeconfig(PLUGIN);
    log_in("SECRET1", 600);
    ck_assert_str_eq(authorization(), "Bearer SECRET1");
    twin_advance(twin, 540 * USEC_PER_SEC);
    twin_spawn_exit(twin_expect_spawn(twin, "login"), 1, "", "exit status 1: no network");
    ck_assert_str_eq(authorization(), "Bearer SECRET1");
    twin_expect_log(twin, LOG_ERR, "exec plugin login: exit status 1: no network; using its last");
    twin_expect_no_spawn(twin);
    twin_advance(twin, 2 * USEC_PER_SEC);
    twin_spawn_exit(twin_expect_spawn(twin, "login"), 1, "", "exit status 1: no network");
    ck_assert_uint_eq(twin_log_count(twin, LOG_ERR, "no network"), 1);
    twin_advance(twin, 57 * USEC_PER_SEC);
    for (unsigned tries = 0; twin_spawn_open(twin) > 0; tries++) {
        ck_assert_uint_lt(tries, 10);
        twin_spawn_exit(twin_expect_spawn(twin, "login"), 1, "", "exit status 1: no network");
    }
    ck_assert_str_eq(authorization(), "Bearer SECRET1");
    twin_advance(twin, USEC_PER_SEC);
    if (twin_spawn_open(twin) > 0)
        twin_spawn_exit(twin_expect_spawn(twin, "login"), 1, "", "exit status 1: no network");
    expect_trouble("exec plugin login: exit status 1: no network");
}
END_TEST

START_TEST(a_plugin_that_fails_at_first_is_tried_again_with_back_off)
{
    struct waiting waiting;

    begin_kubeconfig(PLUGIN);
    wait_for(&waiting);
    twin_spawn_exit(twin_expect_spawn(twin, "login"), 0, "hello SECRET", NULL);
    ck_assert_int_lt(waiting.error, 0);
    ck_assert_str_eq(waiting.text, "exec plugin login: it printed no ExecCredential");
    expect_trouble("it printed no ExecCredential"); /* at once, without a run */
    twin_expect_no_spawn(twin);
    twin_advance(twin, 2 * USEC_PER_SEC);
    log_in("SECRET1", 0);
    twin_expect_log(twin, LOG_NOTICE, "works again");
}
END_TEST

START_TEST(a_plugin_that_hangs_is_given_up)
{
    struct waiting waiting;

    begin_kubeconfig(PLUGIN);
    wait_for(&waiting);
    twin_expect_spawn(twin, "login");
    twin_advance(twin, 30 * USEC_PER_SEC);
    ck_assert_str_eq(waiting.text, "exec plugin login: took too long");
}
END_TEST

START_TEST(a_plugin_that_is_not_installed_is_told_with_its_hint)
{
    begin_kubeconfig(PLUGIN);
    twin_spawn_refuse(twin, -ENOENT);
    expect_trouble("exec plugin login: cannot be run: No such file or directory; install it");
}
END_TEST

START_TEST(refused_credentials_are_dropped_unless_they_are_new)
{
    begin_kubeconfig(PLUGIN);
    log_in("SECRET1", 0);
    refuse_now(); /* the next ones would be no other */
    ck_assert_str_eq(authorization(), "Bearer SECRET1");
    twin_advance(twin, 10 * USEC_PER_SEC);
    refuse_now();
    log_in("SECRET2", 0);
    ck_assert_str_eq(authorization(), "Bearer SECRET2");
}
END_TEST

START_TEST(a_plugin_may_print_a_certificate)
{
    struct waiting waiting;

    begin_kubeconfig(PLUGIN);
    wait_for(&waiting);
    twin_spawn_exit(twin_expect_spawn(twin, "login"), 0,
                    "{\"kind\": \"ExecCredential\", \"apiVersion\": "
                    "\"client.authentication.k8s.io/v1\", \"status\": {\"clientCertificateData\": "
                    "\"CERT\", \"clientKeyData\": \"SECRET\"}}",
                    NULL);
    ck_assert_str_eq(authorization(), "none");
    ck_assert_str_eq(filled("/").tls->cert_pem, "CERT");
    ck_assert_str_eq(filled("/").tls->key_pem, "SECRET");
}
END_TEST

START_TEST(what_a_plugin_runs_ends_with_the_registry)
{
    struct waiting waiting;

    begin_kubeconfig(PLUGIN);
    wait_for(&waiting);
    twin_expect_spawn(twin, "login");
    twin_stop(twin); /* the twin checks that nothing is left */
    ck_assert_uint_eq(waiting.answers, 0);
}
END_TEST

/* ---- what plugins print ---- */

#define HEAD "{\"kind\": \"ExecCredential\", \"apiVersion\": \"v\", \"status\": "

static void rejects(const char *text, const char *why)
{
    struct kubernetes_credential out;
    const char *reason = NULL;

    ck_assert_int_eq(kubernetes_credential_parse(text, strlen(text), "v", &out, &reason), -EBADMSG);
    ck_assert_msg(strstr(reason, why), "'%s' is not in: %s", why, reason);
}

static usec_t expiry(const char *time)
{
    struct kubernetes_credential out;
    const char *reason;
    char text[256];
    usec_t expires;

    snprintf(text, sizeof(text), HEAD "{\"token\": \"a\", \"expirationTimestamp\": \"%s\"}}", time);
    if (kubernetes_credential_parse(text, strlen(text), "v", &out, &reason) < 0)
        return 0;
    expires = out.expires;
    kubernetes_credential_done(&out);
    return expires / USEC_PER_SEC;
}

START_TEST(times_are_rfc_3339)
{
    ck_assert_uint_eq(expiry("2023-11-14T22:13:20Z"), 1700000000);
    ck_assert_uint_eq(expiry("2023-11-14T22:13:20.999Z"), 1700000000);
    ck_assert_uint_eq(expiry("2023-11-14T23:43:20+01:30"), 1700000000);
    ck_assert_uint_eq(expiry("2023-11-14T20:13:20-02:00"), 1700000000);
    ck_assert_uint_eq(expiry("2023-11-14T22:13:20"), 0);
    ck_assert_uint_eq(expiry("2023-11-14T22:13:20+01:30x"), 0);
    ck_assert_uint_eq(expiry("2023-11-14 22:13:20Z"), 0);
    ck_assert_uint_eq(expiry("tomorrow"), 0);
}
END_TEST

START_TEST(what_is_no_credential_is_refused)
{
    rejects("", "no ExecCredential");
    rejects("[]", "no ExecCredential");
    rejects("{\"kind\": \"ExecCredential\", \"apiVersion\": \"w\"}", "another apiVersion");
    rejects(HEAD "{}}", "neither a token nor a certificate");
    rejects(HEAD "{\"clientCertificateData\": \"a\"}}", "without the other");
    rejects(HEAD "{\"token\": \"a\", \"clientKeyData\": \"a\"}}", "without the other");
    rejects(HEAD "{\"token\": 7}}", "token is no text");
    rejects(HEAD "{\"token\": \"a\\nb\"}}", "white space");
    rejects(HEAD "{\"token\": \"a\\u0000b\"}}", "token is no text");
    rejects(HEAD "{\"token\": \"a\", \"clientKeyData\": 7}}", "certificate or key is no text");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("kubernetes access");

    UNIT_CASE_FIXTURE(suite, "keys", set_up, tear_down, the_keys_say_which_server_and_how,
                      a_proxy_on_a_socket_needs_no_credentials,
                      the_next_server_is_tried_when_one_cannot_be_reached);
    UNIT_CASE_FIXTURE(suite, "tokens", set_up, tear_down, a_token_is_read_again_after_a_minute,
                      a_refused_token_is_read_again_at_once,
                      a_token_that_cannot_be_read_stays_the_one_before,
                      without_any_token_nothing_is_asked_until_there_is_one);
    UNIT_CASE_FIXTURE(suite, "pod", set_up, tear_down, a_pod_finds_its_own_cluster,
                      outside_of_a_pod_a_key_is_needed, the_keys_win_over_the_service_account);
    UNIT_CASE_FIXTURE(
        suite, "kubeconfig", set_up, tear_down, a_kubeconfig_says_which_server_and_how,
        a_password_goes_with_the_request, a_rewritten_kubeconfig_counts_from_the_next_look,
        a_kubeconfig_that_is_not_there_is_told, the_source_is_server_and_kind_of_credentials);
    UNIT_CASE_FIXTURE(
        suite, "exec", set_up, tear_down, a_plugin_is_asked_as_the_protocol_says,
        credentials_are_renewed_before_they_expire, credentials_that_nobody_uses_are_not_renewed,
        a_plugin_that_fails_leaves_the_last_credentials_until_they_expire,
        a_plugin_that_fails_at_first_is_tried_again_with_back_off, a_plugin_that_hangs_is_given_up,
        a_plugin_that_is_not_installed_is_told_with_its_hint,
        refused_credentials_are_dropped_unless_they_are_new, a_plugin_may_print_a_certificate,
        what_a_plugin_runs_ends_with_the_registry);
    UNIT_CASE(suite, "credentials", times_are_rfc_3339, what_is_no_credential_is_refused);
    return suite;
}

UNIT_MAIN(make_suite)
