/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <config.h>

#include "daemon/control.h"

#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "daemon/control_request.h"
#include "daemon/log.h"

static const char description[] =
#include "daemon/control_interface.h" /* made from io.nss-sd.Control.varlink */
    ;

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

void control_reply_denied(struct control_reply *reply)
{
    struct varlink_call *call = reply->call;

    free(reply);
    varlink_permission_denied(call, control_is_private);
}

static void query_gone(void *userdata)
{
    struct control_reply *reply = userdata;

    reply->server->backend.query_cancel(reply->server->backend.userdata, reply);
    free(reply);
}

static void query_begin(struct request *request, const struct control_query *query)
{
    struct control_reply *reply = malloc(sizeof(*reply));
    int r;

    if (!reply) {
        request_busy(request);
        return;
    }
    *reply = (struct control_reply){request->server, request->call};
    r = request->backend->query(request->backend->userdata, query, reply);
    if (r >= 0) {
        varlink_call_defer(request->call, query_gone, reply);
        return;
    }
    free(reply);
    if (r == -EDQUOT)
        request_busy_for(request, "this user has asked for too many names that nobody asked for "
                                  "before: try again in a second, or raise MaxNewNamesPerUser= in "
                                  "nss-sd.conf");
    else
        request_busy(request);
}

static void method_query(struct request *request)
{
    json_int_t family = request_number(request, "family", 0);
    char name[NAME_SIZE];
    bool rooted;

    if (!request_name(request, name, &rooted) || !request_may_ask(request, name))
        return;
    if (family != 0 && family != 4 && family != 6) {
        request_invalid(request, "family", "neither 0 (both) nor 4 nor 6");
        return;
    }
    query_begin(request, &(struct control_query){
                             .name = name,
                             .rooted = rooted,
                             .family = family == 4   ? AF_INET
                                       : family == 6 ? AF_INET6
                                                     : AF_UNSPEC,
                             .uid = varlink_call_peer(request->call)->uid,
                             .peer = varlink_call_peer(request->call),
                         });
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
    r = request->backend->query_address(
        request->backend->userdata, varlink_call_peer(request->call), &address, &name, &registry);
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

    if (!request_name(request, name, NULL) || !request_may_ask(request, name))
        return;
    explanation = request->backend->explain(request->backend->userdata,
                                            varlink_call_peer(request->call), name);
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
    json_t *services = request->backend->services(
        request->backend->userdata, varlink_call_peer(request->call), registry, stale);

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
        varlink_permission_denied(request->call, NULL);
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
        request_log_change(request, "Flushed", name, "");
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
    request_log_change(request, "Statistics reset", "", "");
    varlink_reply(request->call, NULL);
}

static void method_reload(struct request *request)
{
    struct config_messages messages = {0};
    int r;

    request_log_change(request, "Reload", "", "");
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
     control_register,
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
    {"RegisterDefinition", control_register_definition, true, {{"definition", OBJECT, true}}},
    {"Pass", control_pass, true, {{"id", STRING, true}, {"status", STRING}, {"note", STRING}}},
    {"Deregister", control_deregister, true, {{"name", STRING, true}, {"id", STRING}}},
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
            varlink_permission_denied(call, NULL);
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

    return access_privileged(&server->rights, peer);
}

static void resolve_group(struct control_server *server, const char *name)
{
    access_rights_init(&server->rights, name);
    if (name && *name && !server->rights.has_group)
        log_info("There is no group %s: only root and uid %u may register, flush and reload", name,
                 (unsigned)server->rights.own_uid);
}

int control_server_new(struct sd_event *event, int fd, const struct control_backend *backend,
                       const char *privileged_group, struct control_server **ret_server)
{
    struct control_server *server = calloc(1, sizeof(*server));
    int r;

    if (!server)
        return -ENOMEM;
    server->backend = *backend;
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
