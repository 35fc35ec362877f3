/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <config.h>

#include "daemon/control.h"

#include <grp.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "daemon/control_request.h"
#include "daemon/log.h"
#include "daemon/registry/local/check_list.h"

static const char description[] =
#include "daemon/control_interface.h" /* made from io.nss-sd.Control.varlink */
    ;

enum {
    TTL_MIN_SEC = 1,
    TTL_MAX_SEC = 366 * 24 * 3600,
};

/* A call that the backend answers later. */
struct control_reply {
    struct control_server *server;
    struct varlink_call *call;
};

/* ---- methods that ask ---- */

void control_reply_answer(struct control_reply *reply, json_t *answer)
{
    struct request request = {.call = reply->call};

    free(reply);
    request_reply(&request, answer ? json_pack("{s:o}", "answer", answer) : NULL);
}

static void query_gone(void *userdata)
{
    struct control_reply *reply = userdata;

    reply->server->backend.query_cancel(reply->server->backend.userdata, reply);
    free(reply);
}

static void method_query(struct request *request)
{
    json_int_t family = request_number(request, "family", 0);
    struct control_reply *reply;
    char name[NAME_SIZE];
    bool rooted;

    if (!request_name(request, name, &rooted))
        return;
    if (family != 0 && family != 4 && family != 6) {
        request_invalid(request, "family", "neither 0 (both) nor 4 nor 6");
        return;
    }
    reply = malloc(sizeof(*reply));
    if (!reply) {
        request_busy(request);
        return;
    }
    *reply = (struct control_reply){request->server, request->call};
    if (request->backend->query(request->backend->userdata, name, rooted,
                                family == 4   ? AF_INET
                                : family == 6 ? AF_INET6
                                              : AF_UNSPEC,
                                reply) < 0) {
        free(reply);
        request_busy(request);
        return;
    }
    varlink_call_defer(request->call, query_gone, reply);
}

static void method_query_address(struct request *request)
{
    _cleanup_(freep) char *name = NULL, *registry = NULL;
    struct address address;
    int r;

    if (address_from_string(request_text(request, "address"), &address) < 0) {
        request_invalid(request, "address", "neither an IPv4 nor an IPv6 address");
        return;
    }
    r = request->backend->query_address(request->backend->userdata, &address, &name, &registry);
    if (r < 0 && r != -ENOENT)
        request_busy(request);
    else if (r < 0)
        request_reply(request, json_pack("{s:n, s:n}", "name", "registry"));
    else
        request_reply(request, json_pack("{s:o, s:o}", "name", varlink_string(name), "registry",
                                         varlink_string(registry)));
}

static void method_explain(struct request *request)
{
    char name[NAME_SIZE];
    json_t *explanation;

    if (!request_name(request, name, NULL))
        return;
    explanation = request->backend->explain(request->backend->userdata, name);
    request_reply(request, explanation ? json_pack("{s:o}", "explanation", explanation) : NULL);
}

static void method_status(struct request *request)
{
    request_reply(request, request->backend->status(request->backend->userdata));
}

static void method_services(struct request *request)
{
    const char *registry = request_text(request, "registry");
    bool stale = json_is_true(json_object_get(request->parameters, "stale"));
    json_t *services = request->backend->services(request->backend->userdata, registry, stale);

    if (!services && registry)
        request_invalid(request, "registry", "there is no registry of this name");
    else
        request_reply(request, services ? json_pack("{s:o}", "services", services) : NULL);
}

static void method_statistics(struct request *request)
{
    json_t *statistics = request->backend->statistics(request->backend->userdata);

    if (statistics)
        json_object_set_new(statistics, "control_calls",
                            json_integer((json_int_t)request->server->calls));
    request_reply(request, statistics);
}

static void method_log_level(struct request *request)
{
    const char *word = request_text(request, "level");
    int level;

    if (word && !varlink_call_privileged(request->call)) {
        varlink_permission_denied(request->call);
        return;
    }
    if (word) {
        level = log_level_from_string(word);
        if (level < 0) {
            request_invalid(request, "level", "none of err, warning, notice, info, debug");
            return;
        }
        log_set_level(level);
    }
    request_reply(request, json_pack("{s:s}", "level", log_level_to_string(log_get_level())));
}

/* ---- methods that change ---- */

/* Who changed something: the line that an administrator looks for afterwards. */
static void log_change(const struct request *request, const char *what, const char *name,
                       const char *id)
{
    const struct peer *peer = varlink_call_peer(request->call);

    log_info("%s%s%s%s%s, asked by uid %u (process %d)", what, *name ? " " : "", name,
             *id ? " instance " : "", id, (unsigned)peer->uid, (int)peer->pid);
}

/* What a Register call is made of, kept alive for as long as the backend looks at it. */
struct registration {
    struct control_registration public;
    char name[NAME_SIZE];
    char target[NAME_SIZE];
    struct address addresses[ENDPOINT_ADDRESSES_MAX];
    const char *tags[ENDPOINT_TAGS_MAX];
};

static bool read_addresses(struct request *request, struct registration *registration)
{
    json_t *array = json_object_get(request->parameters, "addresses"), *item;
    const char *target = request_text(request, "target");
    size_t index;

    if ((json_array_size(array) > 0) == (target != NULL)) {
        request_invalid(request, "addresses", "give either addresses or a target");
        return false;
    }
    if (json_array_size(array) > ENDPOINT_ADDRESSES_MAX) {
        request_invalid(request, "addresses", "more than 64 addresses");
        return false;
    }
    json_array_foreach (array, index, item) {
        if (address_from_string(json_string_value(item), &registration->addresses[index]) < 0) {
            request_invalid(request, "addresses", "neither an IPv4 nor an IPv6 address");
            return false;
        }
    }
    if (target && name_fold(target, strlen(target), registration->target, NULL) == 0) {
        request_invalid(request, "target", control_not_a_name);
        return false;
    }
    registration->public.addresses = registration->addresses;
    registration->public.address_count = json_array_size(array);
    registration->public.target = target ? registration->target : NULL;
    return true;
}

static bool read_tags(struct request *request, struct registration *registration)
{
    json_t *array = json_object_get(request->parameters, "tags"), *item;
    const char *refusal = NULL;
    size_t index;

    if (json_array_size(array) > ENDPOINT_TAGS_MAX)
        refusal = "more than 256 tags";
    json_array_foreach (array, index, item) {
        if (!refusal && json_string_length(item) == 0)
            refusal = "an empty tag";
        if (!refusal)
            refusal = request_text_refusal(json_string_value(item));
        if (refusal)
            break;
        registration->tags[index] = json_string_value(item);
    }
    if (refusal)
        request_invalid(request, "tags", refusal);
    registration->public.tags = registration->tags;
    registration->public.tag_count = json_array_size(array);
    return !refusal;
}

static bool read_numbers(struct request *request, struct control_registration *registration)
{
    json_int_t port = request_number(request, "port", 0);
    json_int_t weight = request_number(request, "weight", 1);
    json_int_t ttl = request_number(request, "ttl_usec", -1);

    if (port < 0 || port > UINT16_MAX) {
        request_invalid(request, "port", "not in 1 to 65535 (0: none)");
        return false;
    }
    if (weight < 1 || weight > UINT16_MAX) {
        request_invalid(request, "weight", "not in 1 to 65535");
        return false;
    }
    if (ttl != -1 && (ttl < TTL_MIN_SEC * (json_int_t)USEC_PER_SEC ||
                      ttl > TTL_MAX_SEC * (json_int_t)USEC_PER_SEC)) {
        request_invalid(request, "ttl_usec", "not between one second and 366 days");
        return false;
    }
    registration->port = (uint16_t)port;
    registration->weight = (unsigned)weight;
    registration->ttl = ttl == -1 ? USEC_INFINITY : (usec_t)ttl;
    return true;
}

/* Definitions in Consul's words, read as those of a file are. */
static bool read_checks(struct request *request, struct control_registration *registration)
{
    json_t *checks = json_object_get(request->parameters, "checks");
    struct parser parser = {0};
    int r;

    if (!json_is_array(checks))
        return true;
    r = local_check_list_parse(&parser, registration->id, "", NULL, "checks", checks, 1,
                               &registration->checks);
    if (r == -EBADMSG)
        request_invalid(request, "checks", parser.error);
    else if (r < 0)
        request_busy(request);
    parser_done(&parser);
    return r == 0;
}

/* The backend refused without a word; most often it is an address that no registry may hand out. */
static void registration_refused(struct request *request,
                                 const struct control_registration *registration)
{
    for (size_t i = 0; i < registration->address_count; i++) {
        const char *refusal = address_refusal(&registration->addresses[i], true);

        if (refusal) {
            request_invalid(request, "addresses", refusal);
            return;
        }
    }
    request_invalid(request, registration->checks ? "checks" : "name",
                    registration->checks ? "the local registry cannot serve this name, or may not "
                                           "connect to where a check looks"
                                         : "the local registry cannot serve this name");
}

static void stands_in_a_file(struct request *request)
{
    request_invalid(request, "name", "this instance stands in a file of local.d: change it there");
}

static void register_run(struct request *request, struct registration *registration)
{
    const struct control_registration *public = &registration->public;
    _cleanup_(freep) char *id = NULL;
    int r = request->backend->register_instance(request->backend->userdata, public, &id);

    if (r == -ENOENT) {
        varlink_error(request->call, INTERFACE ".NoLocalRegistry", NULL);
    } else if (r == -EINVAL) {
        registration_refused(request, public);
    } else if (r == -EROFS) {
        stands_in_a_file(request);
    } else if (r < 0) {
        request_busy(request);
    } else {
        log_change(request, "Registered", public->name, id);
        request_reply(request,
                      json_pack("{s:s, s:o}", "name", public->name, "id", varlink_string(id)));
    }
}

static void method_register(struct request *request)
{
    /* Too large for the stack's taste, and gone before the next call. */
    struct registration *registration = calloc(1, sizeof(*registration));

    if (!registration) {
        request_busy(request);
        return;
    }
    registration->public.name = registration->name;
    if (request_name(request, registration->name, NULL) &&
        request_free_text(request, "id", &registration->public.id) &&
        request_free_text(request, "zone", &registration->public.zone) &&
        read_addresses(request, registration) && read_tags(request, registration) &&
        read_numbers(request, &registration->public) && read_checks(request, &registration->public))
        register_run(request, registration);
    local_check_list_unref(registration->public.checks);
    free(registration);
}

static void method_register_definition(struct request *request)
{
    json_t *definition = json_object_get(request->parameters, "definition"), *reply = NULL;
    _cleanup_(freep) char *error = NULL;
    int r = request->backend->register_definition(request->backend->userdata, definition, &reply,
                                                  &error);

    if (r == -ENOENT) {
        varlink_error(request->call, INTERFACE ".NoLocalRegistry", NULL);
    } else if (r == -EBADMSG) {
        request_invalid(request, "definition", error);
    } else if (r == -EINVAL) {
        request_invalid(request, "definition",
                        "an address in it may not be handed out, or not be looked at by a check");
    } else if (r == -EROFS) {
        request_invalid(request, "definition",
                        "an instance of it stands in a file of local.d: change it there");
    } else if (r < 0) {
        request_busy(request);
    } else {
        log_change(request, "Registered a definition", "", "");
        request_reply(request, reply);
    }
}

static void method_pass(struct request *request)
{
    const char *id = request_text(request, "id"), *note, *word;
    enum check_state state = CHECK_PASSING;
    int r;

    if (!request_free_text(request, "note", &note))
        return;
    word = request_text(request, "status");
    if (word && check_state_from_string(word, &state) < 0) {
        request_invalid(request, "status", "none of passing, warning, critical");
        return;
    }
    r = request->backend->pass(request->backend->userdata, id, state, note);
    if (r == -EUNATCH)
        varlink_error(request->call, INTERFACE ".NoLocalRegistry", NULL);
    else if (r == -ENOENT)
        varlink_error(request->call, INTERFACE ".NoSuchCheck",
                      json_pack("{s:o}", "id", varlink_string(id)));
    else if (r == -ENOTUNIQ)
        request_invalid(request, "id", "several services have one of this id: say NAME/ID");
    else if (r == -EINVAL)
        request_invalid(request, "id", "nothing of it waits for a word: it has no ttl check");
    else if (r < 0)
        request_busy(request);
    else
        request_reply(request, json_pack("{s:i}", "checks", r));
}

static void method_deregister(struct request *request)
{
    const char *id;
    char name[NAME_SIZE];
    int r;

    if (!request_name(request, name, NULL) || !request_free_text(request, "id", &id))
        return;
    r = request->backend->deregister_instance(request->backend->userdata, name, *id ? id : NULL);
    if (r == -ENOENT) {
        varlink_error(request->call, INTERFACE ".NoSuchService", json_pack("{s:s}", "name", name));
    } else if (r == -EROFS) {
        stands_in_a_file(request);
    } else if (r < 0) {
        request_busy(request);
    } else {
        log_change(request, "Deregistered", name, id);
        request_reply(request, json_pack("{s:i}", "removed", r));
    }
}

static void method_flush(struct request *request)
{
    bool one = request_text(request, "name");
    char name[NAME_SIZE] = "";
    int r;

    if (one && !request_name(request, name, NULL))
        return;
    r = request->backend->flush(request->backend->userdata, one ? name : NULL);
    if (r == -ENOENT) {
        varlink_error(request->call, INTERFACE ".NoSuchName", json_pack("{s:s}", "name", name));
    } else if (r < 0) {
        request_busy(request);
    } else {
        log_change(request, "Flushed", name, "");
        request_reply(request, json_pack("{s:i}", "flushed", r));
    }
}

json_t *control_messages_to_json(const struct config_messages *messages)
{
    json_t *array = json_array();

    for (size_t i = 0; i < messages->count; i++) {
        const struct config_message *message = &messages->items[i];

        json_array_append_new(array, json_pack("{s:o, s:i, s:s, s:o}", "file",
                                               varlink_string(message->file ?: ""), "line",
                                               (int)message->line, "severity",
                                               message->warning ? "warning" : "error", "text",
                                               varlink_string(message->text)));
    }
    return array;
}

static void method_reset_statistics(struct request *request)
{
    request->backend->statistics_reset(request->backend->userdata);
    request->server->calls = 0;
    log_change(request, "Statistics reset", "", "");
    varlink_reply(request->call, NULL);
}

static void method_reload(struct request *request)
{
    struct config_messages messages = {0};
    int r;

    log_change(request, "Reload", "", "");
    r = request->backend->reload(request->backend->userdata, &messages);
    if (r < 0 && r != -EBADMSG)
        request_busy(request);
    else
        request_reply(request, json_pack("{s:b, s:o}", "applied", r >= 0, "messages",
                                         control_messages_to_json(&messages)));
    config_messages_done(&messages);
}

/* ---- the interface ---- */

static const struct control_method methods[] = {
    {"Query", method_query, false, {{"name", STRING, true}, {"family", INTEGER}}},
    {"Explain", method_explain, false, {{"name", STRING, true}}},
    {"QueryAddress", method_query_address, false, {{"address", STRING, true}}},
    {"Status", method_status, false, {{0}}},
    {"Services", method_services, false, {{"registry", STRING}, {"stale", BOOLEAN}}},
    {"Monitor", control_monitor, false, {{"names", STRINGS}}},
    {"Instances", control_instances, false, {{0}}},
    {"Review", control_review, false, {{0}}},
    {"Statistics", method_statistics, false, {{0}}},
    {"ResetStatistics", method_reset_statistics, true, {{0}}},
    {"Register",
     method_register,
     true,
     {{"name", STRING, true},
      {"id", STRING},
      {"addresses", STRINGS},
      {"target", STRING},
      {"port", INTEGER},
      {"tags", STRINGS},
      {"weight", INTEGER},
      {"zone", STRING},
      {"ttl_usec", INTEGER},
      {"checks", OBJECTS}}},
    {"RegisterDefinition", method_register_definition, true, {{"definition", OBJECT, true}}},
    {"Pass", method_pass, true, {{"id", STRING, true}, {"status", STRING}, {"note", STRING}}},
    {"Deregister", method_deregister, true, {{"name", STRING, true}, {"id", STRING}}},
    {"Flush", method_flush, true, {{"name", STRING}}},
    {"Reload", method_reload, true, {{0}}},
    {"LogLevel", method_log_level, false, {{"level", STRING}}}, /* privileged if it sets */
};

static bool on_call(void *userdata, struct varlink_call *call, const char *name, json_t *parameters)
{
    struct control_server *server = userdata;
    struct request request = {server, &server->backend, call, parameters};

    for (size_t i = 0; i < ELEMENTS(methods); i++) {
        const char *wrong;

        if (!streq(methods[i].name, name))
            continue;
        server->calls++;
        wrong = request_check(&methods[i], parameters);
        if (methods[i].privileged && !varlink_call_privileged(call))
            varlink_permission_denied(call);
        else if (wrong)
            varlink_invalid_parameter(call, wrong);
        else
            methods[i].run(&request);
        return true;
    }
    return false;
}

static bool is_privileged(void *userdata, const struct peer *peer)
{
    const struct control_server *server = userdata;

    return peer->uid == 0 || peer->uid == server->own_uid ||
           (server->has_group && peer_in_group(peer, server->group));
}

/* Once, at the start: inside the loop a name service could wait for this very daemon. */
static void resolve_group(struct control_server *server, const char *name)
{
    const struct group *group = name && *name ? getgrnam(name) : NULL;

    server->has_group = group;
    if (group)
        server->group = group->gr_gid;
    else if (name && *name)
        log_info("There is no group %s: only root and uid %u may register, flush and reload", name,
                 (unsigned)server->own_uid);
}

int control_server_new(struct sd_event *event, int fd, const struct control_backend *backend,
                       const char *privileged_group, struct control_server **ret_server)
{
    struct control_server *server = calloc(1, sizeof(*server));
    int r;

    if (!server)
        return -ENOMEM;
    server->backend = *backend;
    server->own_uid = geteuid();
    server->service = (struct varlink_service){
        .vendor = "nss-sd",
        .product = "nss-sdd",
        .version = PACKAGE_VERSION,
        .url = PACKAGE_URL,
        .interface = INTERFACE,
        .description = description,
        .busy = INTERFACE ".Busy",
        .too_large = INTERFACE ".ReplyTooLarge",
        .privileged = is_privileged,
        .call = on_call,
        .userdata = server,
    };
    resolve_group(server, privileged_group);
    r = varlink_server_new(event, fd, &server->service, &server->varlink);
    if (r < 0) {
        free(server);
        return r;
    }
    *ret_server = server;
    return 0;
}

struct control_server *control_server_free(struct control_server *server)
{
    if (!server)
        return NULL;
    varlink_server_free(server->varlink);
    free(server);
    return NULL;
}
