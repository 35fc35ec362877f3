/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a kubeconfig says, in YAML and JSON, and what is refused of it. */
#include <stdio.h>
#include <sys/stat.h>

#include "daemon/registry/kubernetes/kubeconfig.h"
#include "daemon/registry/kubernetes/kubeconfig_base64.h"
#include "tests/unit/unit.h"

static struct kubeconfig *config;
static char error[KUBECONFIG_ERROR_SIZE];

static void set_up(void)
{
    config = NULL;
    *error = '\0';
}

static void tear_down(void)
{
    config = kubeconfig_free(config);
}

static int parse_context(const char *text, const char *context)
{
    config = kubeconfig_free(config);
    return kubeconfig_parse(text, strlen(text), "/etc/kube", context, &config, error);
}

static void reads(const char *text)
{
    ck_assert_msg(parse_context(text, NULL) == 0, "%s", error);
}

static void refuses(const char *text, const char *why)
{
    ck_assert_int_eq(parse_context(text, NULL), -EBADMSG);
    ck_assert_msg(strstr(error, why), "'%s' is not in: %s", why, error);
}

/* A kubeconfig with this body of its cluster and of its user (flow mappings). */
static const char *with(const char *cluster, const char *user)
{
    static char text[8192];

    snprintf(text, sizeof(text),
             "current-context: c1\n"
             "contexts: [{name: c1, context: {cluster: k1, user: u1}}]\n"
             "clusters:\n- name: k1\n  cluster: %s\n"
             "users:\n- name: u1\n  user: %s\n",
             cluster, user);
    return text;
}

#define SERVER "{server: 'https://192.0.2.1:6443'}"

/* As `kubectl config view --raw` prints it. */
static const char view[] = "apiVersion: v1\n"
                           "clusters:\n"
                           "- cluster:\n"
                           "    certificate-authority-data: QSBDQQ==\n"
                           "    server: https://192.0.2.1:6443\n"
                           "    tls-server-name: api.example\n"
                           "  name: k1\n"
                           "- cluster:\n"
                           "    certificate-authority: pki/ca.crt\n"
                           "    server: https://[2001:db8::1]:6443/k8s/\n"
                           "  name: k2\n"
                           "contexts:\n"
                           "- context:\n"
                           "    cluster: k1\n"
                           "    namespace: shop\n"
                           "    user: admin\n"
                           "  name: admin@k1\n"
                           "- context:\n"
                           "    cluster: k2\n"
                           "    user: reader\n"
                           "  name: reader@k2\n"
                           "current-context: admin@k1\n"
                           "kind: Config\n"
                           "preferences: {}\n"
                           "users:\n"
                           "- name: admin\n"
                           "  user:\n"
                           "    client-certificate-data: QSBDRVJU\n"
                           "    client-key-data: QSBLRVk=\n"
                           "- name: reader\n"
                           "  user:\n"
                           "    client-certificate: /var/lib/pki/reader.pem\n"
                           "    client-key: reader.key\n";

START_TEST(the_current_context_says_which_server_and_user)
{
    reads(view);
    ck_assert_str_eq(config->context, "admin@k1");
    ck_assert_str_eq(config->server, "https://192.0.2.1:6443");
    ck_assert_str_eq(config->tls_server_name, "api.example");
    ck_assert_str_eq(config->ca_pem, "A CA");
    ck_assert_uint_eq(config->ca_pem_size, 4);
    ck_assert_str_eq(config->cert_pem, "A CERT");
    ck_assert_str_eq(config->key_pem, "A KEY");
    ck_assert_ptr_null(config->ca_file);
    ck_assert(!config->insecure);
}
END_TEST

START_TEST(another_context_is_chosen_by_name_and_paths_are_relative_to_the_file)
{
    ck_assert_int_eq(parse_context(view, "reader@k2"), 0);
    ck_assert_str_eq(config->server, "https://[2001:db8::1]:6443/k8s");
    ck_assert_str_eq(config->ca_file, "/etc/kube/pki/ca.crt");
    ck_assert_str_eq(config->cert_file, "/var/lib/pki/reader.pem");
    ck_assert_str_eq(config->key_file, "/etc/kube/reader.key");
    ck_assert_ptr_null(config->ca_pem);
}
END_TEST

START_TEST(json_is_read_with_tabs_and_escapes)
{
    reads("{\n\t\"kind\": \"Config\",\n\t\"current-context\": \"c\\u0031\",\n"
          "\t\"contexts\": [{\"name\": \"c1\", \"context\": {\"cluster\": \"k1\", \"user\": "
          "\"u1\"}}],\n"
          "\t\"clusters\": [{\"name\": \"k1\", \"cluster\": {\"server\": "
          "\"https:\\/\\/192.0.2.1\", \"insecure-skip-tls-verify\": true}}],\n"
          "\t\"users\": [{\"name\": \"u1\", \"user\": {\"token\": \"abc\"}}]\n}\n");
    ck_assert_str_eq(config->server, "https://192.0.2.1");
    ck_assert_str_eq(config->token, "abc");
    ck_assert(config->insecure);
}
END_TEST

START_TEST(data_wins_over_the_file)
{
    reads(with("{server: 'https://192.0.2.1', certificate-authority: /x, "
               "certificate-authority-data: Q0E=}",
               "{client-certificate: /x, client-certificate-data: Q0E=, client-key: k}"));
    ck_assert_str_eq(config->ca_pem, "CA");
    ck_assert_ptr_null(config->ca_file);
    ck_assert_str_eq(config->cert_pem, "CA");
    ck_assert_ptr_null(config->cert_file);
    ck_assert_str_eq(config->key_file, "/etc/kube/k");
}
END_TEST

START_TEST(a_token_file_wins_over_a_token)
{
    reads(with(SERVER, "{token: abc, tokenFile: token}"));
    ck_assert_str_eq(config->token_file, "/etc/kube/token");
    ck_assert_ptr_null(config->token);
    reads(with(SERVER, "{token: 12345}"));
    ck_assert_str_eq(config->token, "12345");
    reads(with(SERVER, "{token: 0123}"));
    ck_assert_str_eq(config->token, "0123");
}
END_TEST

START_TEST(a_user_may_have_a_password_or_nothing)
{
    reads(with(SERVER, "{username: me, password: 'a: b'}"));
    ck_assert_str_eq(config->username, "me");
    ck_assert_str_eq(config->password, "a: b");
    reads(with(SERVER, "{}"));
    ck_assert(!config->token && !config->username && !config->exec);
    reads("current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n"
          "clusters: [{name: k, cluster: {server: 'http://127.0.0.1:8001/'}}]\n");
    ck_assert_str_eq(config->server, "http://127.0.0.1:8001");
}
END_TEST

START_TEST(an_exec_plugin_is_read_whole)
{
    reads(with("{server: 'https://192.0.2.1', certificate-authority-data: Q0E=, extensions: "
               "[{name: client.authentication.k8s.io/exec, extension: {audience: 7}}]}",
               "{exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: login, "
               "args: [get, 7, true], env: [{name: A, value: b}, {name: C}], "
               "interactiveMode: IfAvailable, provideClusterInfo: true, installHint: get it}}"));
    ck_assert_str_eq(config->exec->api_version, "client.authentication.k8s.io/v1beta1");
    ck_assert_str_eq(config->exec->command, "login");
    ck_assert_str_eq(config->exec->arguments[0], "get");
    ck_assert_str_eq(config->exec->arguments[1], "7");
    ck_assert_str_eq(config->exec->arguments[2], "true");
    ck_assert_ptr_null(config->exec->arguments[3]);
    ck_assert_str_eq(config->exec->variables[0], "A=b");
    ck_assert_str_eq(config->exec->variables[1], "C=");
    ck_assert_str_eq(config->exec->hint, "get it");
    ck_assert_ptr_nonnull(strstr(config->exec->cluster, "\"config\":{\"audience\":7}"));
    ck_assert_ptr_nonnull(strstr(config->exec->cluster, "\"certificate-authority-data\":\"Q0E=\""));
}
END_TEST

#define EXEC "{exec: {apiVersion: client.authentication.k8s.io/v1, command: "

START_TEST(a_plugin_with_a_slash_is_relative_to_the_file)
{
    reads(with(SERVER, EXEC "bin/login}}"));
    ck_assert_str_eq(config->exec->command, "/etc/kube/bin/login");
    ck_assert_ptr_null(config->exec->cluster);
    reads(with(SERVER, EXEC "/bin/login}}"));
    ck_assert_str_eq(config->exec->command, "/bin/login");
}
END_TEST

START_TEST(a_token_makes_the_plugin_needless)
{
    reads(with(SERVER, "{token: abc, exec: {apiVersion: client.authentication.k8s.io/v1, command: "
                       "login}}"));
    ck_assert_ptr_null(config->exec);
}
END_TEST

START_TEST(what_the_daemon_cannot_do_is_refused_by_name)
{
    refuses(with("{server: 'https://192.0.2.1', proxy-url: 'socks5://127.0.0.1'}", "{}"),
            "proxy-url is not supported");
    refuses(with(SERVER, "{token: abc, as: root}"), "impersonation");
    refuses(with(SERVER, "{token: abc, as-groups: [a]}"), "impersonation");
    refuses(with(SERVER, "{auth-provider: {name: gcp}}"), "auth-provider");
    refuses(with(SERVER, EXEC "login, interactiveMode: Always}}"), "interactiveMode Always");
    refuses(with(SERVER, "{exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x}}"),
            "apiVersion must be");
    refuses(with(SERVER, "{exec: {apiVersion: client.authentication.k8s.io/v1}}"),
            "command is missing");
    reads(with("{server: 'https://192.0.2.1', proxy-url: ''}", "{as: '', as-groups: []}"));
}
END_TEST

START_TEST(a_server_must_be_https)
{
    refuses(with("{server: 'http://192.0.2.1'}", "{}"), "must be https");
    refuses(with("{server: '192.0.2.1:6443'}", "{}"), "takes a URL like");
    refuses(with("{server: 'https://me:secret@192.0.2.1'}", "{}"), "no user or password");
    ck_assert_ptr_null(strstr(error, "secret"));
    refuses(with("{server: 'unix:///x'}", "{}"), "takes a URL like");
    refuses(with("{server: 'https://192.0.2.1?a=b'}", "{}"), "takes a URL like");
    refuses(with("{tls-server-name: a}", "{}"), "server is missing");
    refuses(with("{server: 'https://192.0.2.1', tls-server-name: 'a b'}", "{}"), "tls-server-name");
}
END_TEST

START_TEST(what_contradicts_itself_is_refused)
{
    refuses(with(SERVER, "{client-certificate: /x}"), "go together");
    refuses(with(SERVER, "{client-key-data: Q0E=}"), "go together");
    refuses(with(SERVER, "{token: abc, username: me}"), "only one of them");
    refuses(with("{server: 'https://192.0.2.1', insecure-skip-tls-verify: true, "
                 "certificate-authority: /x}",
                 "{}"),
            "exclude each other");
    refuses(with("{server: 'https://192.0.2.1', insecure-skip-tls-verify: maybe}", "{}"),
            "true or false");
    refuses(with("{server: [a]}", "{}"), "server must be a text");
    refuses(with(SERVER, "{token: \"a\\nb\"}"), "white space");
    refuses(with(SERVER, "{client-certificate-data: '!', client-key: /x}"), "is not base64");
}
END_TEST

START_TEST(names_that_lead_nowhere_are_told)
{
    refuses("{}", "no current-context");
    refuses("[]", "no keys");
    refuses("", "empty");
    refuses("current-context: c1\n", "no context 'c1'");
    ck_assert_int_eq(parse_context(view, "other"), -EBADMSG);
    ck_assert_ptr_nonnull(strstr(error, "there is no context 'other'"));
    refuses("current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n", "no cluster 'k'");
    refuses("current-context: c\ncontexts: [{name: c, context: {user: u}}]\n",
            "cluster is missing");
    refuses("current-context: c\ncontexts: [{name: c, context: {cluster: k}},"
            " {name: c, context: {cluster: l}}]\n",
            "two contexts 'c'");
}
END_TEST

START_TEST(errors_are_one_printable_line)
{
    refuses("current-context: \"a\\nb\\e\"\n", "there is no context 'a?b?'");
}
END_TEST

/* ---- bounds ---- */

START_TEST(aliases_are_followed_within_bounds)
{
    reads("current-context: c\n"
          "contexts: [{name: c, context: {cluster: k2, user: u}}]\n"
          "clusters: [{name: k1, cluster: &k {server: 'https://192.0.2.1'}}, {name: k2, cluster: "
          "*k}]\n"
          "users: [{name: &u u, user: {token: *u}}]\n");
    ck_assert_str_eq(config->server, "https://192.0.2.1");
    ck_assert_str_eq(config->token, "u");
    refuses("a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            "b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
            "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\n"
            "d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n"
            "e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n",
            "aliases make it so");
    refuses("a: &a [*a]\n", "what it is in");
    refuses("a: *b\n", "an alias of nothing");
}
END_TEST

START_TEST(depth_is_bounded_through_aliases_too)
{
    char text[4096] = "a: ";

    for (unsigned i = 0; i < 40; i++)
        strcat(text, "[");
    refuses(text, "too deep");
    strcpy(text, "a0: &a0 [x]\n");
    for (unsigned i = 1; i < 40; i++)
        sprintf(text + strlen(text), "a%u: &a%u [*a%u]\n", i, i, i - 1);
    refuses(text, "too deep");
}
END_TEST

START_TEST(size_and_anchors_are_bounded)
{
    char *text = malloc(KUBECONFIG_SIZE_MAX + 2);

    memset(text, '#', KUBECONFIG_SIZE_MAX + 1);
    text[KUBECONFIG_SIZE_MAX + 1] = '\0';
    refuses(text, "larger than 1024 KiB");
    *text = '\0';
    for (unsigned i = 0; i <= KUBECONFIG_ANCHORS_MAX; i++)
        sprintf(text + strlen(text), "- &a%u x\n", i);
    refuses(text, "too many anchors");
    strcpy(text, "[");
    for (char *at = text + 1; at < text + 2 * KUBECONFIG_NODES_MAX + 2;)
        at = stpcpy(at, "x,");
    refuses(text, "too large");
    free(text);
}
END_TEST

START_TEST(what_no_kubeconfig_needs_is_refused_with_its_line)
{
    refuses("a: 1\nb: !!binary Q0E=\n", "line 2: tags");
    refuses("a: 1\na: 2\n", "line 2: a key that is there twice");
    refuses("a: 1\n<<: {b: 2}\n", "line 2: merge keys");
    refuses("a: 1\n? [b]\n: 2\n", "line 2: a key that is no text");
    refuses("a: \"x\\0y\"\n", "a NUL");
    refuses("a: 1\nb: [\n", "line 3: ");
    refuses("a: \xff\n", "line");
}
END_TEST

/* ---- base64 ---- */

static void decodes(const char *text, const char *expected)
{
    char *data = NULL;
    size_t size = 0;
    int r = kubeconfig_base64_decode(text, &data, &size);

    ck_assert_int_eq(r, expected ? 0 : -EBADMSG);
    if (expected) {
        ck_assert_uint_eq(size, strlen(expected));
        ck_assert_str_eq(data, expected);
    }
    free(data);
}

START_TEST(base64_is_whole_and_canonical)
{
    /* RFC 4648, section 10 */
    decodes("", "");
    decodes("Zg==", "f");
    decodes("Zm8=", "fo");
    decodes("Zm9v", "foo");
    decodes("Zm9vYg==", "foob");
    decodes("Zm9v\nYmFy\r\n", "foobar");
    decodes("Zg", NULL);
    decodes("Zg=", NULL);
    decodes("Zh==", NULL);
    decodes("Z===", NULL);
    decodes("=", NULL);
    decodes("Zm9v=", NULL);
    decodes("Zg==Zg==", NULL);
    decodes("Zm 9v", NULL);
    decodes("Zm9-", NULL);
}
END_TEST

START_TEST(base64_comes_back)
{
    unsigned char bytes[256];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 37);
    for (size_t size = 0; size < sizeof(bytes); size++) {
        char *text = kubeconfig_base64_encode(bytes, size), *data = NULL;
        size_t back = 0;

        UNIT_HOLDS(kubeconfig_base64_decode(text, &data, &back) == 0);
        UNIT_HOLDS(back == size && memcmp(data, bytes, size) == 0);
        free(text);
        free(data);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("kubeconfig");

    UNIT_CASE_FIXTURE(
        suite, "meaning", set_up, tear_down, the_current_context_says_which_server_and_user,
        another_context_is_chosen_by_name_and_paths_are_relative_to_the_file,
        json_is_read_with_tabs_and_escapes, data_wins_over_the_file, a_token_file_wins_over_a_token,
        a_user_may_have_a_password_or_nothing, an_exec_plugin_is_read_whole,
        a_plugin_with_a_slash_is_relative_to_the_file, a_token_makes_the_plugin_needless);
    UNIT_CASE_FIXTURE(suite, "refused", set_up, tear_down,
                      what_the_daemon_cannot_do_is_refused_by_name, a_server_must_be_https,
                      what_contradicts_itself_is_refused, names_that_lead_nowhere_are_told,
                      errors_are_one_printable_line);
    UNIT_CASE_FIXTURE(suite, "bounds", set_up, tear_down, aliases_are_followed_within_bounds,
                      depth_is_bounded_through_aliases_too, size_and_anchors_are_bounded,
                      what_no_kubeconfig_needs_is_refused_with_its_line);
    UNIT_CASE(suite, "base64", base64_is_whole_and_canonical, base64_comes_back);
    return suite;
}

UNIT_MAIN(make_suite)
