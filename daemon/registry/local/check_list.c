/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Check definitions (check_list.h). */
#include "daemon/registry/local/check_list.h"

#include <stdio.h>
#include <strings.h>

#include "daemon/endpoint.h"

/* What the keys of one check said. Strings borrow from the document. */
struct raw {
    const char *id, *name, *notes, *http, *tcp, *grpc, *method, *body, *server_name;
    const char *unrun; /* a kind that is not run here, by the key that says it */
    const char *http_key, *tcp_key, *grpc_key, *ttl_key; /* as they are spelled there */
    struct http_header headers[CHECK_HEADERS_MAX];
    size_t header_count;
    bool no_redirects, tls, grpc_tls, skip_verify, ttl_given;
    usec_t interval, timeout, ttl, deregister_after;
    unsigned successes_before_passing, failures_before_warning, failures_before_critical;
    enum check_state status;
};

static struct raw *raw_of(void *into)
{
    return into;
}

/* ---- keys ---- */

static int read_id(struct parser *parser, const char *key, json_t *value, void *into)
{
    int r = parser_string(parser, key, value, &raw_of(into)->id);

    if (r < 0)
        return r;
    for (const char *c = raw_of(into)->id; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return parser_mistake(parser, key, "must be printable");
    return strlen(raw_of(into)->id) > 255 ? parser_mistake(parser, key, "is longer than 255 bytes")
                                          : 0;
}

static int read_name(struct parser *parser, const char *key, json_t *value, void *into)
{
    return parser_string(parser, key, value, &raw_of(into)->name);
}

static int read_notes(struct parser *parser, const char *key, json_t *value, void *into)
{
    return parser_string(parser, key, value, &raw_of(into)->notes);
}

static int read_status(struct parser *parser, const char *key, json_t *value, void *into)
{
    const char *text = "";
    int r = parser_string(parser, key, value, &text);

    if (r == 0 && *text && check_state_from_string(text, &raw_of(into)->status) < 0)
        return parser_mistake(parser, key, "must be passing, warning or critical");
    return r;
}

static int read_http(struct parser *parser, const char *key, json_t *value, void *into)
{
    raw_of(into)->http_key = key;
    return parser_string(parser, key, value, &raw_of(into)->http);
}

static int read_tcp(struct parser *parser, const char *key, json_t *value, void *into)
{
    raw_of(into)->tcp_key = key;
    return parser_string(parser, key, value, &raw_of(into)->tcp);
}

static int read_grpc(struct parser *parser, const char *key, json_t *value, void *into)
{
    raw_of(into)->grpc_key = key;
    return parser_string(parser, key, value, &raw_of(into)->grpc);
}

static int read_grpc_tls(struct parser *parser, const char *key, json_t *value, void *into)
{
    return parser_bool(parser, key, value, &raw_of(into)->grpc_tls);
}

static int read_method(struct parser *parser, const char *key, json_t *value, void *into)
{
    return parser_string(parser, key, value, &raw_of(into)->method);
}

static int read_body(struct parser *parser, const char *key, json_t *value, void *into)
{
    raw_of(into)->body = json_string_value(value);
    return raw_of(into)->body ? 0 : parser_mistake(parser, key, "must be a string");
}

static int read_server_name(struct parser *parser, const char *key, json_t *value, void *into)
{
    return parser_string(parser, key, value, &raw_of(into)->server_name);
}

/* Values are lists of strings in Consul; one string is understood too. Never shown. */
static int read_header(struct parser *parser, const char *key, json_t *value, void *into)
{
    struct raw *raw = into;
    const char *name;
    json_t *values;

    if (!json_is_object(value))
        return parser_mistake(parser, key, "must be an object");
    json_object_foreach (value, name, values) {
        size_t count = json_is_array(values) ? json_array_size(values) : 1;

        for (size_t i = 0; i < count; i++) {
            json_t *one = json_is_array(values) ? json_array_get(values, i) : values;

            if (!json_is_string(one))
                return parser_mistake(parser, key, "must hold lists of strings");
            if (raw->header_count == CHECK_HEADERS_MAX)
                return parser_mistake(parser, key, "holds more than %d headers", CHECK_HEADERS_MAX);
            raw->headers[raw->header_count++] = (struct http_header){name, json_string_value(one)};
        }
    }
    return 0;
}

static int read_no_redirects(struct parser *parser, const char *key, json_t *value, void *into)
{
    return parser_bool(parser, key, value, &raw_of(into)->no_redirects);
}

static int read_tls(struct parser *parser, const char *key, json_t *value, void *into)
{
    return parser_bool(parser, key, value, &raw_of(into)->tls);
}

static int read_skip_verify(struct parser *parser, const char *key, json_t *value, void *into)
{
    return parser_bool(parser, key, value, &raw_of(into)->skip_verify);
}

static int read_ttl(struct parser *parser, const char *key, json_t *value, void *into)
{
    raw_of(into)->ttl_key = key;
    raw_of(into)->ttl_given = true;
    return parser_duration(parser, key, value, &raw_of(into)->ttl);
}

/* Below what there may be it is raised, as Consul does, and said. */
static int read_at_least(struct parser *parser, const char *key, json_t *value, usec_t minimum,
                         const char *text, usec_t *ret_duration)
{
    int r = parser_duration(parser, key, value, ret_duration);

    if (r == 0 && *ret_duration > 0 && *ret_duration < minimum) {
        parser_warn(parser, key, "is less than %s, which is used", text);
        *ret_duration = minimum;
    }
    return r;
}

static int read_interval(struct parser *parser, const char *key, json_t *value, void *into)
{
    return read_at_least(parser, key, value, CHECK_INTERVAL_MIN, "1s", &raw_of(into)->interval);
}

static int read_timeout(struct parser *parser, const char *key, json_t *value, void *into)
{
    return parser_duration(parser, key, value, &raw_of(into)->timeout);
}

static int read_deregister(struct parser *parser, const char *key, json_t *value, void *into)
{
    return read_at_least(parser, key, value, LOCAL_DEREGISTER_MIN, "1m",
                         &raw_of(into)->deregister_after);
}

static int read_success(struct parser *parser, const char *key, json_t *value, void *into)
{
    return parser_number(parser, key, value, 0, INT32_MAX, &raw_of(into)->successes_before_passing);
}

static int read_warning(struct parser *parser, const char *key, json_t *value, void *into)
{
    return parser_number(parser, key, value, 0, INT32_MAX, &raw_of(into)->failures_before_warning);
}

static int read_critical(struct parser *parser, const char *key, json_t *value, void *into)
{
    return parser_number(parser, key, value, 0, INT32_MAX, &raw_of(into)->failures_before_critical);
}

static int note_unrun(struct parser *parser, const char *key, json_t *value, void *into)
{
    (void)parser;
    if (!json_is_string(value) || *json_string_value(value))
        raw_of(into)->unrun = key;
    return 0;
}

/* Without a function: they belong to kinds that are not run, or mean nothing here. */
static const struct parser_key keys[] = {
    {"id", read_id},
    {"checkid", read_id},
    {"name", read_name},
    {"notes", read_notes},
    {"status", read_status},
    {"serviceid", NULL},
    {"http", read_http},
    {"method", read_method},
    {"header", read_header},
    {"body", read_body},
    {"disableredirects", read_no_redirects},
    {"tcp", read_tcp},
    {"tcpusetls", read_tls},
    {"tlsservername", read_server_name},
    {"tlsskipverify", read_skip_verify},
    {"ttl", read_ttl},
    {"interval", read_interval},
    {"timeout", read_timeout},
    {"deregistercriticalserviceafter", read_deregister},
    {"successbeforepassing", read_success},
    {"failuresbeforewarning", read_warning},
    {"failuresbeforecritical", read_critical},
    {"outputmaxsize", NULL},
    {"udp", note_unrun},
    {"h2ping", note_unrun},
    {"h2pingusetls", NULL},
    {"grpc", read_grpc},
    {"grpcusetls", read_grpc_tls},
    {"args", note_unrun},
    {"scriptargs", note_unrun},
    {"script", note_unrun},
    {"shell", NULL},
    {"dockercontainerid", note_unrun},
    {"osservice", note_unrun},
    {"aliasnode", note_unrun},
    {"aliasservice", note_unrun},
    {NULL},
};

/* ---- from keys to settings ---- */

/* Which one it is. 0: none that runs here (warned of); 1: *ret_settings has kind, target and TLS.
 */
static int choose_kind(struct parser *parser, const struct raw *raw,
                       struct check_settings *ret_settings, const char **ret_key)
{
    int given = (raw->http != NULL) + (raw->tcp != NULL) + (raw->grpc != NULL) + raw->ttl_given;

    if (given > 1 || (given > 0 && raw->unrun))
        return parser_mistake(parser, "",
                              "is of more than one kind: give one of http, tcp, grpc, ttl");
    if (given == 0 && !raw->unrun)
        return parser_mistake(parser, "", "is of no kind: give http, tcp, grpc or ttl");
    if (given == 0) {
        parser_warn(parser, raw->unrun,
                    "nss-sd does not run checks of this kind; the instance counts as if it had "
                    "none such (http, tcp, grpc and ttl are run)");
        return 0;
    }
    ret_settings->kind = raw->http   ? CHECK_HTTP
                         : raw->tcp  ? CHECK_TCP
                         : raw->grpc ? CHECK_GRPC
                                     : CHECK_TTL;
    ret_settings->target = raw->http ? raw->http : raw->tcp ? raw->tcp : raw->grpc;
    ret_settings->tls = raw->grpc ? raw->grpc_tls : raw->tls;
    *ret_key = raw->http   ? raw->http_key
               : raw->tcp  ? raw->tcp_key
               : raw->grpc ? raw->grpc_key
                           : raw->ttl_key;
    return 1;
}

/* What says nothing for the kind of check is better told than left unseen. */
static void warn_of_vain(struct parser *parser, const struct raw *raw, enum check_kind kind)
{
    bool http = raw->method || raw->body || raw->header_count > 0 || raw->no_redirects;

    if (kind != CHECK_HTTP && http)
        parser_warn(parser, "", "method, header, body and disable_redirects are for http only");
    if (kind == CHECK_TTL && (raw->interval || raw->timeout || raw->successes_before_passing ||
                              raw->failures_before_warning || raw->failures_before_critical))
        parser_warn(parser, "", "a ttl check has no interval, no timeout and counts no results");
}

static int fill_settings(struct parser *parser, const struct raw *raw,
                         struct check_settings *settings)
{
    const char *key = "", *mistake;
    int r = choose_kind(parser, raw, settings, &key);

    if (r <= 0)
        return r;
    settings->method = raw->method && *raw->method ? raw->method : NULL;
    settings->headers = raw->headers;
    settings->header_count = raw->header_count;
    settings->body = raw->body && *raw->body ? raw->body : NULL;
    settings->no_redirects = raw->no_redirects;
    settings->server_name = raw->server_name && *raw->server_name ? raw->server_name : NULL;
    settings->skip_verify = raw->skip_verify;
    settings->interval = raw->interval;
    settings->timeout = raw->timeout;
    settings->ttl = raw->ttl;
    settings->successes_before_passing = raw->successes_before_passing;
    settings->failures_before_warning = raw->failures_before_warning;
    settings->failures_before_critical = raw->failures_before_critical;
    settings->status = raw->status;
    mistake = check_settings_mistake(settings);
    if (mistake)
        return parser_mistake(parser, key, "%s", mistake);
    warn_of_vain(parser, raw, settings->kind);
    return 1;
}

static int fill_check(const struct raw *raw, const struct check_settings *settings,
                      struct local_check *check)
{
    check->id = raw->id && *raw->id ? strdup(raw->id) : strdup("");
    check->name = strdup(raw->name ? raw->name : "");
    check->notes = strdup(raw->notes ? raw->notes : "");
    check->deregister_after = raw->deregister_after ? raw->deregister_after : USEC_INFINITY;
    if (!check->id || !check->name || !check->notes)
        return -ENOMEM;
    return check_settings_copy(settings, &check->settings);
}

/* One check, appended to the list where it is to be run. */
static int read_check(struct parser *parser, const char *key, int index, json_t *value,
                      struct local_check_list *list)
{
    struct raw *raw = calloc(1, sizeof(*raw));
    struct check_settings settings = {0};
    char saved[PARSER_PATH_SIZE];
    size_t length = strlen(parser->path);
    int r;

    if (!raw)
        return -ENOMEM;
    r = parser_inner(parser, keys, key, index, value, raw);
    memcpy(saved, parser->path, sizeof(saved));
    snprintf(parser->path + length, sizeof(parser->path) - length,
             index < 0 ? "%s%.32s" : "%s%.32s[%d]", length > 0 ? "." : "", key, index);
    if (r == 0)
        r = fill_settings(parser, raw, &settings);
    memcpy(parser->path, saved, sizeof(saved));
    if (r > 0)
        r = fill_check(raw, &settings, &list->checks[list->count++]);
    free(raw);
    return r;
}

/* ---- the list ---- */

int local_check_list_name(struct local_check_list *list, const char *instance)
{
    for (size_t i = 0; list && i < list->count; i++) {
        struct local_check *check = &list->checks[i];
        char id[LOCAL_CHECK_ID_MAX], number[24] = "", *copy;

        if (*check->id)
            continue;
        if (list->count > 1)
            snprintf(number, sizeof(number), ":%zu", i + 1);
        snprintf(id, sizeof(id), "service:%.255s%s", instance, number);
        copy = strdup(id);
        if (!copy)
            return -ENOMEM;
        free(check->id);
        check->id = copy;
    }
    return 0;
}

static int make_ids(struct parser *parser, const char *instance, struct local_check_list *list)
{
    int r = *instance ? local_check_list_name(list, instance) : 0;

    for (size_t i = 0; r == 0 && i < list->count; i++)
        for (size_t j = 0; j < i; j++)
            if (*list->checks[i].id && streq(list->checks[j].id, list->checks[i].id))
                return parser_mistake(parser, "", "has two checks of one id");
    return r;
}

static int read_all(struct parser *parser, const char *check_key, json_t *check,
                    const char *checks_key, json_t *checks, struct local_check_list *list)
{
    int r = check ? read_check(parser, check_key, -1, check, list) : 0;
    json_t *one;
    size_t i;

    json_array_foreach (checks, i, one) {
        if (r < 0)
            break;
        r = read_check(parser, checks_key, (int)i, one, list);
    }
    return r;
}

int local_check_list_parse(struct parser *parser, const char *instance, const char *check_key,
                           json_t *check, const char *checks_key, json_t *checks,
                           uint32_t warning_weight, struct local_check_list **ret_list)
{
    size_t count = (check != NULL) + json_array_size(checks);
    struct local_check_list *list;
    int r;

    *ret_list = NULL;
    if (checks && !json_is_array(checks))
        return parser_mistake(parser, checks_key, "must be a list");
    if (count > LOCAL_CHECKS_MAX)
        return parser_mistake(parser, checks_key, "are more than %d", LOCAL_CHECKS_MAX);
    if (count == 0)
        return 0;
    list = calloc(1, sizeof(*list) + count * sizeof(list->checks[0]));
    if (!list)
        return -ENOMEM;
    list->references = 1;
    list->warning_weight = warning_weight;
    r = read_all(parser, check_key, check, checks_key, checks, list);
    if (r >= 0)
        r = make_ids(parser, instance, list);
    if (r < 0 || list->count == 0)
        list = local_check_list_unref(list);
    *ret_list = list;
    return r < 0 ? r : 0;
}

struct local_check_list *local_check_list_ref(struct local_check_list *list)
{
    if (list)
        list->references++;
    return list;
}

struct local_check_list *local_check_list_unref(struct local_check_list *list)
{
    if (!list || --list->references > 0)
        return NULL;
    for (size_t i = 0; i < list->count; i++) {
        free(list->checks[i].id);
        free(list->checks[i].name);
        free(list->checks[i].notes);
        check_settings_free(list->checks[i].settings);
    }
    free(list);
    return NULL;
}

static bool same_check(const struct local_check *a, const struct local_check *b)
{
    return streq(a->id, b->id) && streq(a->name, b->name) && streq(a->notes, b->notes) &&
           a->deregister_after == b->deregister_after &&
           check_settings_equal(a->settings, b->settings);
}

bool local_check_list_equal(const struct local_check_list *a, const struct local_check_list *b)
{
    if (!a || !b)
        return a == b;
    if (a->count != b->count || a->warning_weight != b->warning_weight)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!same_check(&a->checks[i], &b->checks[i]))
            return false;
    return true;
}

const char *local_check_list_refusal(const struct local_check_list *list,
                                     const struct registry_config *config,
                                     struct address *ret_address)
{
    for (size_t i = 0; list && i < list->count; i++) {
        const char *refusal;

        if (check_settings_address(list->checks[i].settings, ret_address) < 0)
            continue;
        refusal = registry_address_refusal(config, true, ret_address);
        if (refusal)
            return refusal;
    }
    return NULL;
}

/* ---- back to JSON ---- */

static json_t *duration_to_json(usec_t duration)
{
    return duration % USEC_PER_SEC == 0
               ? json_sprintf("%llus", (unsigned long long)(duration / USEC_PER_SEC))
               : json_sprintf("%lluus", (unsigned long long)duration);
}

/* Those of one name make one list. */
static json_t *headers_to_json(const struct check_settings *settings)
{
    json_t *object = json_object();

    for (size_t i = 0; i < settings->header_count; i++) {
        const struct http_header *header = &settings->headers[i];
        json_t *list = json_object_get(object, header->name);

        if (!list) {
            list = json_array();
            json_object_set_new(object, header->name, list);
        }
        json_array_append_new(list, json_string(header->value));
    }
    return object;
}

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text && *text)
        json_object_set_new(object, key, json_string(text));
}

static void set_count(json_t *object, const char *key, unsigned count)
{
    if (count > 0)
        json_object_set_new(object, key, json_integer(count));
}

static void set_true(json_t *object, const char *key, bool value)
{
    if (value)
        json_object_set_new(object, key, json_true());
}

static void set_target(json_t *object, const struct check_settings *settings)
{
    if (settings->kind == CHECK_TTL) {
        json_object_set_new(object, "ttl", duration_to_json(settings->ttl));
        return;
    }
    set_text(object, check_kind_to_string(settings->kind), settings->target);
    json_object_set_new(object, "interval", duration_to_json(settings->interval));
    json_object_set_new(object, "timeout", duration_to_json(settings->timeout));
    set_count(object, "success_before_passing", settings->successes_before_passing);
    set_count(object, "failures_before_warning", settings->failures_before_warning);
    set_count(object, "failures_before_critical", settings->failures_before_critical);
}

static json_t *check_to_json(const struct local_check *check)
{
    const struct check_settings *settings = check->settings;
    json_t *object = json_object();

    set_text(object, "id", check->id);
    set_text(object, "name", check->name);
    set_text(object, "notes", check->notes);
    set_target(object, settings);
    set_text(object, "method", settings->method);
    if (settings->header_count > 0)
        json_object_set_new(object, "header", headers_to_json(settings));
    set_text(object, "body", settings->body);
    set_true(object, "disable_redirects", settings->no_redirects);
    set_true(object, settings->kind == CHECK_GRPC ? "grpc_use_tls" : "tcp_use_tls", settings->tls);
    set_text(object, "tls_server_name", settings->server_name);
    set_true(object, "tls_skip_verify", settings->skip_verify);
    set_text(object, "status", check_state_to_string(settings->status));
    if (check->deregister_after != USEC_INFINITY)
        json_object_set_new(object, "deregister_critical_service_after",
                            duration_to_json(check->deregister_after));
    return object;
}

json_t *local_check_list_to_json(const struct local_check_list *list)
{
    json_t *array = json_array();

    for (size_t i = 0; i < list->count; i++)
        if (json_array_append_new(array, check_to_json(&list->checks[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}
