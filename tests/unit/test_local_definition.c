/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Service definitions: what each key means, and what every mistake is called. */
#include <stdio.h>

#include "daemon/registry/local/definition.h"
#include "nss-sd/name.h"
#include "tests/unit/unit.h"

#define SERVICE(keys) "{\"service\": {\"name\": \"a\", " keys "}}"
#define CHECK(keys)   SERVICE(HERE ", \"check\": {" keys "}")
#define HERE          "\"address\": \"10.0.0.1\""

static struct local_definition *parsed(const char *text)
{
    struct local_definition *definition = NULL;
    char *error = NULL;
    int r = local_definition_parse(text, strlen(text), 100, &definition, &error);

    ck_assert_msg(r == 0, "%s: %s", text, error);
    return definition;
}

static const struct endpoint *endpoint_of(const struct local_definition *definition, size_t i)
{
    ck_assert_uint_lt(i, definition->count);
    ck_assert_uint_eq(definition->instances[i].endpoint->count, 1);
    return &definition->instances[i].endpoint->endpoints[0];
}

/* The addresses of the first instance, with spaces between. */
#define ck_addresses(text, expected)                                                               \
    do {                                                                                           \
        struct local_definition *definition_ = parsed(text);                                       \
        const struct endpoint *endpoint_ = endpoint_of(definition_, 0);                            \
        char line_[256] = "", one_[INET6_ADDRSTRLEN];                                              \
        for (size_t i_ = 0; i_ < endpoint_->address_count; i_++) {                                 \
            address_to_string(&endpoint_->addresses[i_], one_);                                    \
            strcat(strcat(line_, i_ > 0 ? " " : ""), one_);                                        \
        }                                                                                          \
        ck_assert_str_eq(*line_ ? line_ : endpoint_->target, expected);                            \
        local_definition_free(definition_);                                                        \
    } while (0)

START_TEST(addresses_come_from_every_place_that_may_hold_them)
{
    ck_addresses(SERVICE("\"address\": \"10.0.0.1\""), "10.0.0.1");
    ck_addresses(SERVICE("\"address\": \"2001:db8::1\""), "2001:db8::1");
    ck_addresses(SERVICE("\"address\": \"DB.example.\""), "db.example");
    ck_addresses(SERVICE("\"addresses\": [\"10.0.0.1\", \"::1\"]"), "10.0.0.1 ::1");
    ck_addresses(SERVICE(HERE ", \"addresses\": [\"10.0.0.1\", \"10.0.0.2\"]"),
                 "10.0.0.1 10.0.0.2");
    ck_addresses(
        SERVICE(HERE ", \"tagged_addresses\": {\"lan_ipv4\": {\"address\": \"10.9.9.9\"}}"),
        "10.9.9.9");
    ck_addresses(SERVICE(HERE ", \"TaggedAddresses\": {\"lan_ipv6\": {\"Address\": \"::2\"},"
                              "\"wan\": {\"Address\": \"1.2.3.4\"}}"),
                 "::2 10.0.0.1");
    ck_addresses(SERVICE("\"address\": \"db.example\", \"tagged_addresses\": "
                         "{\"lan_ipv4\": \"10.9.9.9\"}"),
                 "10.9.9.9");
}
END_TEST

START_TEST(both_spellings_and_all_keys_are_understood)
{
    struct local_definition *definition = parsed(
        "{\"Services\": [{\"Name\": \"Web.Front\", \"ID\": \"w\", \"Address\": \"10.0.0.1\","
        " \"Port\": 8080, \"Tags\": [\"a\", \"b\"], \"Meta\": {\"zone\": \"m\"},"
        " \"Weights\": {\"Passing\": 9, \"Warning\": 0}, \"EnableTagOverride\": true,"
        " \"Locality\": {\"Region\": \"r\", \"Zone\": \"z\"}, \"Token\": \"secret\","
        " \"Check\": {\"HTTP\": \"http://x/\", \"Interval\": \"10s\"},"
        " \"Checks\": [{\"ttl\": \"1m30s\"}, {\"tcp\": \"x:1\", \"interval\": \"1500ms\"}]},"
        "{\"name\": \"b\", \"id\": null, \"address\": \"::1\", \"meta\": {\"zone\": \"m\"}}]}");
    const struct endpoint *first = endpoint_of(definition, 0);

    ck_assert_uint_eq(definition->count, 2);
    ck_assert_uint_eq(definition->warning_count, 0);
    ck_assert_str_eq(definition->instances[0].service, "web.front");
    ck_assert_str_eq(first->name, "w");
    ck_assert_uint_eq(first->ports[0].number, 8080);
    ck_assert_uint_eq(first->weight, 9);
    ck_assert_str_eq(first->zone, "z");
    ck_assert_str_eq(first->region, "r");
    ck_assert_str_eq(first->tags[1], "b");
    ck_assert_int_eq(first->health, HEALTH_PASSING);
    ck_assert_str_eq(endpoint_of(definition, 1)->zone, "m");
    ck_assert_str_eq(endpoint_of(definition, 1)->name, "b-::1");
    ck_assert_uint_eq(endpoint_of(definition, 1)->port_count, 0);
    local_definition_free(definition);
}
END_TEST

START_TEST(unknown_keys_are_warnings_and_bounded)
{
    struct local_definition *definition = parsed(
        SERVICE(HERE ", \"adress\": 1, \"check\": {\"ttl\": \"9s\", \"intervall\": \"1s\"}, "
                     "\"k1\": 1, \"k2\": 1,"
                     "\"k3\": 1, \"k4\": 1, \"k5\": 1, \"k6\": 1, \"k7\": 1, \"k8\": 1"));

    ck_assert_uint_eq(definition->warning_count, 10);
    ck_assert_str_eq(definition->warnings[0], "1: service.adress: unknown key, ignored");
    local_definition_free(definition);
    definition = parsed(CHECK("\"ttl\": \"9s\",\n\"intervall\": \"1s\""));
    ck_assert_str_eq(definition->warnings[0], "2: service.check.intervall: unknown key, ignored");
    local_definition_free(definition);
}
END_TEST

/* The text goes into replies, which are UTF-8 or nothing. */
START_TEST(an_unknown_key_of_any_text_is_told_in_ascii)
{
    char key[PARSER_WORD_SIZE + 3] = "", *text;
    struct local_definition *definition;

    memset(key, 'k', PARSER_WORD_SIZE - 1); /* the character behind is cut */
    strcat(key, "\xc3\xbc");
    ck_assert_int_gt(asprintf(&text, SERVICE(HERE ", \"%s\": 1, \"a\\u001bb\": 2"), key), 0);
    definition = parsed(text);
    free(text);
    ck_assert_uint_eq(definition->warning_count, 2);
    for (size_t i = 0; i < 2; i++)
        for (const char *c = definition->warnings[i]; *c; c++)
            ck_assert_msg(*c >= ' ' && *c <= '~', "%s", definition->warnings[i]);
    ck_assert_ptr_nonnull(strstr(definition->warnings[0], "kkk\\xc3: unknown key, ignored"));
    ck_assert_ptr_nonnull(strstr(definition->warnings[1], "a\\x1bb: unknown key, ignored"));
    local_definition_free(definition);
}
END_TEST

/* Where only the path is asked for. */
static const char *without_line(const char *error, const char *expected)
{
    return *expected >= '0' && *expected <= '9' ? error : error + strcspn(error, " ") + 1;
}

static const struct {
    const char *text, *error;
} mistakes[] = {
    {"", "1:0: "},
    {"{", "1:1: "},
    {"null", "1:"},
    {"[]", "the document: must be an object"},
    {"{}", "the document: has neither `service` nor `services`"},
    {"{\"service\": {}", "1:14: "},
    {"{\"service\": 1}", "service: must be an object"},
    {"{\"services\": {}}", "services: must be a list"},
    {"{\"services\": [[]]}", "services[0]: must be an object"},
    {"{\"service\": {}, \"service\": {}}", "1:"},
    {"{\"service\":\n\n{\"name\" 1}}", "3:9: "},
    {"{\"service\": {\"token\": \"hush\" \"hush\"}}", "1:"},
    {"{\"service\": {" HERE "}}", "service.name: is missing"},
    {"{\"service\": {\"name\": 1}}", "service.name: must be a string"},
    {"{\"service\": {\"name\": \"a b\", " HERE "}}", "service.name: is not a host name"},
    {"{\"service\": {\"name\": \"a.\", " HERE "}}", "service.name: is not a host name"},
    {"{\"service\": {\"name\": \"a\\u0000b\", " HERE "}}", "1:"},
    {"{\"services\": [{\"name\": \"a\", " HERE "}, {\"name\": \"\", " HERE "}]}",
     "services[1].name: is not a host name"},
    {SERVICE("\"port\": 1"), "service.address: is missing"},
    {SERVICE("\"address\": \"\""), "service.address: is missing"},
    {SERVICE("\"address\": \"a b\""), "service.address: is neither an IP address"},
    {SERVICE("\"address\": [\"10.0.0.1\"]"), "service.address: must be a string"},
    {SERVICE("\"addresses\": [\"a.example\"]"), "service.addresses: item 0 is no IP address"},
    {SERVICE("\"addresses\": \"10.0.0.1\""), "service.addresses: must be a list"},
    {SERVICE("\"address\": \"a.b\", \"addresses\": [\"::1\"]"),
     "service.addresses: cannot stand beside a host name"},
    {SERVICE(HERE ", \"tagged_addresses\": {\"lan_ipv4\": {\"address\": \"::1\"}}"),
     "service.tagged_addresses.lan_ipv4: must be an IPv4 address"},
    {SERVICE(HERE ", \"tagged_addresses\": {\"lan_ipv6\": {\"port\": 1}}"),
     "service.tagged_addresses.lan_ipv6: must be an IPv6 address"},
    {SERVICE(HERE ", \"port\": 65536"), "service.port: must be a number from 0 to 65535"},
    {SERVICE(HERE ", \"port\": -1"), "service.port: must be a number"},
    {SERVICE(HERE ", \"port\": \"80\""), "service.port: must be a number"},
    {SERVICE(HERE ", \"port\": 80.0"), "service.port: must be a number"},
    {SERVICE(HERE ", \"port\": 99999999999999999999"), "1:"},
    {SERVICE(HERE ", \"id\": \"a\\tb\""), "service.id: must be at most 255 printable bytes"},
    {SERVICE(HERE ", \"tags\": \"a\""), "service.tags: must be a list"},
    {SERVICE(HERE ", \"tags\": [1]"), "service.tags: must be a string"},
    {SERVICE(HERE ", \"meta\": {\"a\": 1}"), "service.meta: must be a string"},
    {SERVICE(HERE ", \"weights\": {\"passing\": 0}"),
     "service.weights.passing: must be a number from 1 to 65535"},
    {SERVICE(HERE ", \"weights\": 3"), "service.weights: must be an object"},
    {SERVICE(HERE ", \"Port\": 1, \"port\": 1"), "service.port: is given twice"},
    {SERVICE(HERE ", \"checks\": {}"), "service.checks: must be a list"},
    {SERVICE(HERE ", \"checks\": [{\"ttl\": \"1s\"}, {\"interval\": \"soon\"}]"),
     "service.checks[1].interval: must be a duration"},
    {SERVICE(HERE ", \"check\": {\"interval\": \"10\"}"),
     "service.check.interval: must be a duration"},
    {SERVICE(HERE ", \"check\": {\"tls_skip_verify\": \"yes\"}"),
     "service.check.tls_skip_verify: must be true or false"},
    {SERVICE(HERE ", \"enable_tag_override\": 1"),
     "service.enable_tag_override: must be true or false"},
    {"{\"services\": [\n{\"name\": \"a\", " HERE "},\n{\"name\": \"b\", " HERE ",\n"
     "\"checks\": [{\"ttl\": \"1s\"},\n{\"http\": \"x\"}]}]}",
     "5: services[1].checks[1].http: is no URL of http:// or https://"},
    {"{\n\"service\": {\"a\\\"b\": [\"]\", {}],\n\"name\":\n\"c d\"}}",
     "4: service.name: is not a host name"},
    {CHECK("\"tcp\": \"10.0.0.1\""), "service.check.tcp: is not HOST:PORT"},
    {CHECK("\"tcp\": \"10.0.0.1:1\", \"tcp_use_tls\": true, \"tls_server_name\": \"a b\""),
     "service.check.tcp: the TLS server name is neither a host name nor an address"},
    {CHECK("\"grpc\": \"10.0.0.1:1\", \"tls_server_name\": \"https://a\""),
     "service.check.grpc: the TLS server name is neither a host name nor an address"},
    {CHECK("\"http\": \"https://a/\", \"tls_server_name\": \"a b\""),
     "service.check.http: the TLS server name is neither a host name nor an address"},
    {CHECK("\"http\": \"unix:///run/x\""), "service.check.http: is no URL of http://"},
    {CHECK("\"http\": \"file:///etc/shadow\""), "service.check.http: is no URL of http://"},
    {CHECK("\"http\": \"http://a/\", \"method\": \"get\""),
     "service.check.http: the method is not a word of capital letters"},
    {CHECK("\"http\": \"http://a/\", \"header\": {\"A\": [\"hush\\r\\nB: c\"]}"),
     "service.check.http: a header is malformed"},
    {CHECK("\"http\": \"http://a/\", \"header\": {\"A\": [1]}"),
     "service.check.header: must hold lists of strings"},
    {CHECK("\"ttl\": \"0s\""), "service.check.ttl: the time to live is zero"},
    {CHECK("\"ttl\": \"\""), "service.check.ttl: must be a duration"},
    {CHECK("\"ttl\": \"5\""), "service.check.ttl: must be a duration"},
    {CHECK("\"ttl\": \"5x\""), "service.check.ttl: must be a duration"},
    {CHECK("\"ttl\": \"1.2.3s\""), "service.check.ttl: must be a duration"},
    {CHECK("\"ttl\": \"-5s\""), "service.check.ttl: must be a duration"},
    {CHECK("\"ttl\": \"9999999999h\""), "service.check.ttl: must be a duration"},
    {CHECK("\"ttl\": \"1s\", \"tcp\": \"a:1\""), "service.check: is of more than one kind"},
    {CHECK("\"name\": \"x\""), "service.check: is of no kind"},
    {CHECK("\"grpc\": \"a:1\", \"tcp\": \"a:1\""), "service.check: is of more than one kind"},
    {CHECK("\"grpc\": \"a/s\""), "service.check.grpc: is not HOST:PORT or HOST:PORT/SERVICE"},
    {CHECK("\"tcp\": \"a:1/s\""), "service.check.tcp: is not HOST:PORT"},
    {CHECK("\"grpc\": \"a:1/s t\""), "service.check.grpc: has a byte that is not printable"},
    {CHECK("\"ttl\": \"1s\", \"status\": \"good\""),
     "service.check.status: must be passing, warning or critical"},
    {CHECK("\"ttl\": \"1s\", \"success_before_passing\": -1"),
     "service.check.success_before_passing: must be a number"},
    {SERVICE(HERE ", \"checks\": [{\"id\": \"x\", \"ttl\": \"1s\"},"
                  "{\"id\": \"x\", \"ttl\": \"1s\"}]"),
     "service: has two checks of one id"},
};

START_TEST(every_mistake_is_an_error_that_says_where)
{
    for (size_t i = 0; i < ELEMENTS(mistakes); i++) {
        struct local_definition *definition;
        char *error = NULL;
        int r = local_definition_parse(mistakes[i].text, strlen(mistakes[i].text), 100, &definition,
                                       &error);

        ck_assert_msg(r == -EBADMSG, "%s: %d", mistakes[i].text, r);
        ck_assert_msg(strncmp(without_line(error, mistakes[i].error), mistakes[i].error,
                              strlen(mistakes[i].error)) == 0,
                      "%s: '%s', expected '%s'", mistakes[i].text, error, mistakes[i].error);
        ck_assert_ptr_null(strstr(error, "hush"));
        free(error);
    }
}
END_TEST

START_TEST(bounds_hold)
{
    struct local_definition *definition;
    char *error = NULL, *text = NULL, name[NAME_SIZE];
    size_t size;
    FILE *out = open_memstream(&text, &size);

    fputs("{\"services\": [0", out);
    for (unsigned i = 0; i < LOCAL_INSTANCES_MAX; i++)
        fputs(",0", out);
    fputs("]}", out);
    fclose(out);
    ck_assert_int_eq(local_definition_parse(text, size, 100, &definition, &error), -EBADMSG);
    ck_assert_str_eq(error, "1: services: more than 65536 instances");
    free(error);
    free(text);
    memset(name, 'a', 51);
    name[51] = '\0';
    ck_assert_int_ge(asprintf(&text, "{\"service\": {\"name\": \"%s\", " HERE "}}", name), 0);
    ck_assert_int_eq(local_definition_parse(text, strlen(text), 50, &definition, &error), -EBADMSG);
    ck_assert_str_eq(error, "1: service.name: is longer than 50 bytes");
    free(error);
    ck_assert_int_eq(local_definition_parse(text, strlen(text), 51, &definition, &error), 0);
    local_definition_free(definition);
    free(text);
}
END_TEST

START_TEST(what_is_written_reads_back_equal)
{
    static const char *const texts[] = {
        SERVICE(HERE
                ", \"id\": \"x\", \"port\": 1, \"tags\": [\"t\"], \"weights\": {\"passing\": 3},"
                " \"locality\": {\"zone\": \"z\", \"region\": \"r\"}"),
        SERVICE("\"addresses\": [\"10.0.0.2\", \"10.0.0.1\", \"::1\"]"),
        SERVICE("\"address\": \"db.example\""),
        SERVICE(HERE
                ", \"check\": {\"id\": \"c\", \"name\": \"n\", \"notes\": \"o\", \"http\":"
                " \"https://u:p@a.example:8443/readyz?x=y\", \"method\": \"POST\", \"body\": \"b\","
                " \"header\": {\"Host\": [\"h\"], \"X\": [\"1\", \"2\"]}, \"interval\": \"1.5s\","
                " \"timeout\": \"300ms\", \"tls_server_name\": \"s\", \"tls_skip_verify\": true,"
                " \"disable_redirects\": true, \"success_before_passing\": 2,"
                " \"failures_before_warning\": 3, \"failures_before_critical\": 4, \"status\":"
                " \"warning\", \"deregister_critical_service_after\": \"90m\"},"
                " \"weights\": {\"passing\": 9, \"warning\": 0},"
                " \"checks\": [{\"ttl\": \"1h30m\"}, {\"tcp\": \"[::1]:80\", \"tcp_use_tls\":"
                " true}, {\"grpc\": \"[::1]:80/s\", \"grpc_use_tls\": true}, {\"grpc\": \"a:1\"}]"),
    };

    for (size_t i = 0; i < ELEMENTS(texts); i++) {
        struct local_definition *before = parsed(texts[i]), *after;
        json_t *object = json_pack(
            "{s:[o]}", "services",
            local_definition_to_json("a", endpoint_of(before, 0), before->instances[0].checks));
        char *text = json_dumps(object, 0);

        after = parsed(text);
        ck_assert(endpoint_set_equal(before->instances[0].endpoint, after->instances[0].endpoint));
        ck_assert(local_check_list_equal(before->instances[0].checks, after->instances[0].checks));
        json_decref(object);
        free(text);
        local_definition_free(before);
        local_definition_free(after);
    }
}
END_TEST

START_TEST(checks_mean_what_consul_means)
{
    struct local_definition *definition = parsed(
        "{\"Service\": {\"Name\": \"a\", \"ID\": \"a1\", \"Address\": \"10.0.0.1\", \"Checks\": ["
        "{\"HTTP\": \"http://10.0.0.1/x\", \"Interval\": \"1m30s\", \"Timeout\": \"500ms\","
        " \"Header\": {\"X-A\": [\"b\"]}, \"DisableRedirects\": true, \"TLSSkipVerify\": true,"
        " \"SuccessBeforePassing\": 2, \"FailuresBeforeWarning\": 3, \"FailuresBeforeCritical\": 4,"
        " \"DeregisterCriticalServiceAfter\": \"1h\", \"Status\": \"passing\"},"
        "{\"CheckID\": \"alive\", \"TTL\": \"1.5h\"}, {\"tcp\": \"localhost:80\"}]}}");
    const struct local_check_list *list = definition->instances[0].checks;
    const struct check_settings *settings = list->checks[0].settings;

    ck_assert_uint_eq(definition->warning_count, 0);
    ck_assert_uint_eq(list->count, 3);
    ck_assert_str_eq(list->checks[0].id, "service:a1:1");
    ck_assert_str_eq(list->checks[1].id, "alive");
    ck_assert_str_eq(list->checks[2].id, "service:a1:3");
    ck_assert_uint_eq(list->warning_weight, 1);
    ck_assert_uint_eq(settings->interval, 90 * USEC_PER_SEC);
    ck_assert_uint_eq(settings->timeout, 500 * USEC_PER_MSEC);
    ck_assert_str_eq(settings->headers[0].value, "b");
    ck_assert(settings->no_redirects && settings->skip_verify);
    ck_assert_uint_eq(settings->successes_before_passing, 2);
    ck_assert_uint_eq(settings->failures_before_warning, 3);
    ck_assert_uint_eq(settings->failures_before_critical, 4);
    ck_assert_int_eq(settings->status, CHECK_PASSING);
    ck_assert_uint_eq(list->checks[0].deregister_after, 3600 * USEC_PER_SEC);
    ck_assert_uint_eq(list->checks[1].settings->ttl, 5400 * USEC_PER_SEC);
    ck_assert_uint_eq(list->checks[2].settings->interval, CHECK_INTERVAL_DEFAULT);
    ck_assert_int_eq(list->checks[2].settings->status, CHECK_CRITICAL);
    local_definition_free(definition);
    definition = parsed(CHECK("\"ttl\": \"5s\""));
    ck_assert_str_eq(definition->instances[0].checks->checks[0].id, "service:a-10.0.0.1");
    local_definition_free(definition);
    definition = parsed(
        SERVICE(HERE ", \"check\": {\"ttl\": \"5s\"}, \"weights\": {\"warning\": 3}"));
    ck_assert_uint_eq(definition->instances[0].checks->warning_weight, 3);
    local_definition_free(definition);
}
END_TEST

START_TEST(checks_that_are_not_run_are_told_with_their_line)
{
    static const struct {
        const char *check, *warning;
    } table[] = {
        {"\"args\": [\"/bin/true\"], \"interval\": \"5s\"",
         "2: service.check.args: nss-sd does not"},
        {"\"docker_container_id\": \"x\", \"shell\": \"/bin/sh\"",
         "2: service.check.docker_container_id: nss-sd does not"},
        {"\"udp\": \"a:1\"", "2: service.check.udp: nss-sd does not"},
        {"\"h2ping\": \"a:1\"", "2: service.check.h2ping: nss-sd does not"},
        {"\"OSService\": \"x\"", "2: service.check.OSService: nss-sd does not"},
        {"\"alias_service\": \"x\"", "2: service.check.alias_service: nss-sd does not"},
    };

    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct local_definition *definition;
        char text[512];

        snprintf(text, sizeof(text), SERVICE(HERE ", \"check\": {\n%s}"), table[i].check);
        definition = parsed(text);
        ck_assert_ptr_null(definition->instances[0].checks);
        ck_assert_uint_eq(definition->warning_count, 1);
        ck_assert_msg(
            strncmp(definition->warnings[0], table[i].warning, strlen(table[i].warning)) == 0,
            "'%s', expected '%s'", definition->warnings[0], table[i].warning);
        local_definition_free(definition);
    }
}
END_TEST

START_TEST(too_small_times_are_raised_and_told)
{
    struct local_definition *definition = parsed(
        CHECK("\"tcp\": \"a:1\", \"interval\": \"10ms\","
              " \"deregister_critical_service_after\": \"5s\""));

    ck_assert_uint_eq(definition->warning_count, 2);
    ck_assert_str_eq(definition->warnings[0],
                     "1: service.check.interval: is less than 1s, which is used");
    ck_assert_uint_eq(definition->instances[0].checks->checks[0].settings->interval, USEC_PER_SEC);
    ck_assert_uint_eq(definition->instances[0].checks->checks[0].deregister_after,
                      60 * USEC_PER_SEC);
    local_definition_free(definition);
}
END_TEST

START_TEST(the_examples_are_good)
{
    static const struct {
        const char *name;
        size_t count;
    } files[] = {{"health-checks", 3}, {"local.d/orders", 3}, {"local.d/stock", 1}};
    const char *source = getenv("srcdir");

    for (size_t i = 0; i < ELEMENTS(files); i++) {
        struct local_definition *definition;
        char path[4096], text[4096];
        FILE *file;

        snprintf(path, sizeof(path), "%s/examples/%s.json", source ?: ".", files[i].name);
        file = fopen(path, "re");
        ck_assert_msg(file != NULL, "%s", path);
        text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
        fclose(file);
        definition = parsed(text);
        ck_assert_uint_eq(definition->warning_count, 0);
        ck_assert_uint_eq(definition->count, files[i].count);
        local_definition_free(definition);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("local_definition");

    UNIT_CASE(suite, "good", addresses_come_from_every_place_that_may_hold_them,
              both_spellings_and_all_keys_are_understood, unknown_keys_are_warnings_and_bounded,
              an_unknown_key_of_any_text_is_told_in_ascii, what_is_written_reads_back_equal,
              checks_mean_what_consul_means, checks_that_are_not_run_are_told_with_their_line,
              too_small_times_are_raised_and_told, the_examples_are_good);
    UNIT_CASE(suite, "bad", every_mistake_is_an_error_that_says_where, bounds_hold);
    return suite;
}

UNIT_MAIN(make_suite)
