/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control interface on a backend that records what it is asked: who may call what, what the
 * backend is given, and how its results and every bad parameter come back. Peers are made up: this
 * file's peer_read() takes the place of daemon/peer.c.
 */
#include "daemon/control.h"

#include <grp.h>
#include <sys/prctl.h>

#include "daemon/log.h"
#include "daemon/peer.h"
#include "daemon/registry/local/check_list.h"
#include "tests/unit/unit.h"
#include "tests/unit/varlink_world.h"

#define CALL(method, parameters)                                                                   \
    "{\"method\":\"io.nss-sd.Control." method "\",\"parameters\":{" parameters "}}"
#define OK(parameters) "{\"parameters\":{" parameters "}}"
#define DENIED         "{\"error\":\"org.varlink.service.PermissionDenied\",\"parameters\":{}}"
#define BUSY           "{\"error\":\"io.nss-sd.Control.Busy\",\"parameters\":{}}"
#define INVALID(name)                                                                              \
    "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"" name    \
    "\"}}"
/* The beginning of an InvalidValue: the reason is for people. */
#define VALUE(name)                                                                                \
    "{\"error\":\"io.nss-sd.Control.InvalidValue\",\"parameters\":{\"parameter\":\"" name "\","

/* ---- the peer ---- */

static struct peer peer;
static gid_t peer_groups[2];

int peer_read(int fd, struct peer *ret_peer)
{
    (void)fd;
    *ret_peer = peer;
    ret_peer->groups = malloc(sizeof(peer_groups));
    memcpy(ret_peer->groups, peer_groups, sizeof(peer_groups));
    ret_peer->group_count = ELEMENTS(peer_groups);
    return 0;
}

static void become(uid_t uid, gid_t gid, gid_t group)
{
    peer = (struct peer){.uid = uid, .gid = gid, .pid = 77};
    peer_groups[0] = 60001;
    peer_groups[1] = group;
}

/* ---- the backend ---- */

static struct {
    sd_event *event;
    int listener, fd;
    struct control_server *server;
    struct control_reply *reply;
    char asked[4096]; /* one call, as text */
    int result;
} world;

static bool fake_may_ask(void *userdata, const struct peer *caller, const char *name)
{
    (void)userdata;
    ck_assert_uint_eq(caller->uid, geteuid());
    return strncmp(name, "secret.", 7) != 0;
}

static int fake_query(void *userdata, const struct control_query *query,
                      struct control_reply *reply)
{
    ck_assert_ptr_eq(userdata, &world);
    ck_assert_uint_eq(query->uid, geteuid());
    snprintf(world.asked, sizeof(world.asked), "query %s%s %s", query->name,
             query->rooted ? "." : "",
             query->family == AF_INET     ? "4"
             : query->family == AF_INET6  ? "6"
             : query->family == AF_UNSPEC ? "both"
                                          : "?");
    if (world.result >= 0)
        world.reply = reply;
    return world.result;
}

static void fake_query_cancel(void *userdata, struct control_reply *reply)
{
    ck_assert_ptr_eq(userdata, &world);
    ck_assert_ptr_eq(reply, world.reply);
    world.reply = NULL;
    strcpy(world.asked, "cancel");
}

static int fake_query_address(void *userdata, const struct peer *caller,
                              const struct address *address, char **ret_name, char **ret_registry)
{
    char text[INET6_ADDRSTRLEN];

    (void)caller;
    (void)userdata;
    address_to_string(address, text);
    snprintf(world.asked, sizeof(world.asked), "query_address %s", text);
    if (world.result < 0)
        return world.result;
    *ret_name = strdup("db-0.db");
    *ret_registry = strdup("k8s");
    return 0;
}

static json_t *fake_explain(void *userdata, const struct peer *caller, const char *name)
{
    (void)caller;
    (void)userdata;
    snprintf(world.asked, sizeof(world.asked), "explain %s", name);
    return world.result < 0 ? NULL : json_pack("{s:s}", "name", name);
}

static json_t *fake_status(void *userdata)
{
    (void)userdata;
    strcpy(world.asked, "status");
    return world.result < 0 ? NULL : json_pack("{s:s}", "version", "1");
}

static json_t *fake_services(void *userdata, const struct peer *caller, const char *registry,
                             bool stale)
{
    (void)caller;
    (void)userdata;
    snprintf(world.asked, sizeof(world.asked), "services %s%s", registry ?: "(all)",
             stale ? " stale" : "");
    return world.result < 0 ? NULL : json_array();
}

static json_t *fake_statistics(void *userdata)
{
    (void)userdata;
    strcpy(world.asked, "statistics");
    return world.result < 0 ? NULL : json_pack("{s:i}", "since_usec", 5);
}

static void fake_statistics_reset(void *userdata)
{
    (void)userdata;
    strcpy(world.asked, "statistics_reset");
}

static int fake_register(void *userdata, const struct control_registration *registration,
                         char **ret_id)
{
    char *end = world.asked;

    (void)userdata;
    end += sprintf(end, "register %s id=%s target=%s port=%u weight=%u zone=%s ttl=%lld",
                   registration->name, registration->id, registration->target ?: "(none)",
                   registration->port, registration->weight, registration->zone,
                   (long long)registration->ttl);
    for (size_t i = 0; i < registration->address_count; i++) {
        char text[INET6_ADDRSTRLEN];

        address_to_string(&registration->addresses[i], text);
        end += sprintf(end, " %s", text);
    }
    for (size_t i = 0; i < registration->tag_count; i++)
        end += sprintf(end, " #%s", registration->tags[i]);
    for (size_t i = 0; registration->checks && i < registration->checks->count; i++) {
        char text[CHECK_SHOWN_SIZE];

        check_settings_show(registration->checks->checks[i].settings, text);
        end += sprintf(end, " check %s", text);
    }
    if (world.result >= 0)
        *ret_id = strdup(*registration->id ? registration->id : "made-up");
    return world.result;
}

static int fake_register_definition(void *userdata, json_t *definition, json_t **ret_reply,
                                    char **ret_error)
{
    char *text = json_dumps(definition, JSON_COMPACT);

    (void)userdata;
    snprintf(world.asked, sizeof(world.asked), "definition %s", text);
    free(text);
    if (world.result == -EBADMSG)
        *ret_error = strdup("service.name: is missing");
    if (world.result >= 0)
        *ret_reply = json_pack("{s:[], s:[]}", "registered", "warnings");
    return world.result;
}

static int fake_pass(void *userdata, const char *id, enum check_state state, const char *note)
{
    (void)userdata;
    snprintf(world.asked, sizeof(world.asked), "pass %s %s '%s'", id, check_state_to_string(state),
             note);
    return world.result;
}

static int fake_deregister(void *userdata, const char *name, const char *id)
{
    (void)userdata;
    snprintf(world.asked, sizeof(world.asked), "deregister %s %s", name, id ?: "(all)");
    return world.result;
}

static int fake_flush(void *userdata, const char *name)
{
    (void)userdata;
    snprintf(world.asked, sizeof(world.asked), "flush %s", name ?: "(all)");
    return world.result;
}

static int fake_reload(void *userdata, struct config_messages *messages)
{
    (void)userdata;
    strcpy(world.asked, "reload");
    if (world.result == -EBADMSG)
        config_complain(messages, "/etc/nss-sd/nss-sd.conf", 3, "no such key");
    config_warn(messages, "/etc/nss-sd/nss-sd.conf", 0, "empty");
    return world.result;
}

/* Streams two replies, the second when the test wakes it. */
static struct {
    void (*wake)(void *userdata);
    void *userdata;
    int told, ready, freed;
} fake_stream;

static json_t *fake_stream_next(void *userdata, bool *ret_last)
{
    ck_assert_ptr_eq(userdata, &fake_stream);
    if (fake_stream.told == fake_stream.ready)
        return NULL;
    *ret_last = ++fake_stream.told == 2;
    return json_pack("{s:i}", "n", fake_stream.told);
}

static void fake_stream_free(void *userdata)
{
    ck_assert_ptr_eq(userdata, &fake_stream);
    fake_stream.freed++;
}

static int fake_begin(struct control_stream *ret_stream)
{
    if (world.result < 0)
        return world.result;
    *ret_stream = (struct control_stream){fake_stream_next, fake_stream_free, &fake_stream};
    fake_stream.told = 0;
    fake_stream.ready = 1;
    return 0;
}

static int fake_monitor(void *userdata, const struct control_monitor *monitor,
                        struct control_stream *ret_stream, size_t *ret_bad)
{
    char *end = world.asked;

    (void)userdata;
    end += sprintf(end, "monitor uid=%u%s", (unsigned)monitor->uid,
                   monitor->privileged ? " privileged" : "");
    for (size_t i = 0; i < monitor->name_count; i++)
        end += sprintf(end, " %s", monitor->names[i]);
    fake_stream.wake = monitor->wake;
    fake_stream.userdata = monitor->userdata;
    *ret_bad = 1;
    return fake_begin(ret_stream);
}

static int fake_instances(void *userdata, const struct peer *caller,
                          struct control_stream *ret_stream)
{
    (void)caller;
    (void)userdata;
    strcpy(world.asked, "instances");
    return fake_begin(ret_stream);
}

/* ---- calls ---- */

static void start(const char *group)
{
    const struct control_backend backend = {
        .userdata = &world,
        .may_ask = fake_may_ask,
        .query = fake_query,
        .query_cancel = fake_query_cancel,
        .query_address = fake_query_address,
        .status = fake_status,
        .explain = fake_explain,
        .services = fake_services,
        .monitor = fake_monitor,
        .instances = fake_instances,
        .review = fake_instances,
        .statistics = fake_statistics,
        .statistics_reset = fake_statistics_reset,
        .register_instance = fake_register,
        .register_definition = fake_register_definition,
        .pass = fake_pass,
        .deregister_instance = fake_deregister,
        .flush = fake_flush,
        .reload = fake_reload,
    };

    memset(&world, 0, sizeof(world));
    memset(&fake_stream, 0, sizeof(fake_stream));
    ck_assert_int_ge(sd_event_new(&world.event), 0);
    log_set_level(LOG_WARNING);
    world.listener = world_listen();
    ck_assert_int_eq(
        control_server_new(world.event, world.listener, &backend, group, &world.server), 0);
}

static void start_as_root(void)
{
    become(0, 0, 0);
    start(NULL);
    world.fd = world_connect(world.listener);
}

static void stop(void)
{
    close(world.fd);
    world.server = control_server_free(world.server);
    world.event = sd_event_unref(world.event);
}

/* Sends a call; "" if no reply came (yet). */
static const char *ask(const char *text)
{
    world.asked[0] = '\0';
    world_call(world.event, world.fd, text);
    return world_reply(world.event, world.fd);
}

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* ---- who may what ---- */

static const char *const reading[] = {
    CALL("QueryAddress", "\"address\":\"10.0.0.1\""),
    CALL("Status", ""),
    CALL("Services", ""),
    CALL("LogLevel", ""),
};

static const char *const changing[] = {
    CALL("Register", "\"name\":\"a\",\"addresses\":[\"10.0.0.1\"]"),
    CALL("RegisterDefinition", "\"definition\":{}"),
    CALL("Pass", "\"id\":\"a\""),
    CALL("Deregister", "\"name\":\"a\""),
    CALL("Flush", ""),
    CALL("Reload", ""),
    CALL("LogLevel", "\"level\":\"debug\""),
    /* Denied comes before what is wrong with the parameters. */
    CALL("Register", "\"junk\":1"),
};

/* Reads as everybody may; changes only if `privileged`. */
static void check_rights(uid_t uid, gid_t gid, gid_t group, bool privileged)
{
    become(uid, gid, group);
    world.fd = world_connect(world.listener);
    for (size_t i = 0; i < ELEMENTS(reading); i++)
        ck_assert_msg(begins(ask(reading[i]), "{\"parameters\":"), "%s", reading[i]);
    for (size_t i = 0; i < ELEMENTS(changing); i++) {
        ck_assert_msg(streq(ask(changing[i]), DENIED) == !privileged, "%u: %s", (unsigned)uid,
                      changing[i]);
        if (!privileged)
            ck_assert_str_eq(world.asked, "");
    }
    ck_assert_int_eq(log_get_level(), privileged ? LOG_DEBUG : LOG_WARNING);
    log_set_level(LOG_WARNING);
    close(world.fd);
    world_run(world.event);
}

START_TEST(root_the_own_user_and_the_group_may_change)
{
    const struct group *group;
    uid_t own;

    /* A daemon that is not root, whoever runs the tests; a group
     * that is none of the made-up peers'. */
    if (geteuid() == 0)
        ck_assert_int_eq(seteuid(4321), 0);
    own = geteuid();
    setgrent();
    do
        group = getgrent();
    while (group && group->gr_gid == 0);
    ck_assert_ptr_nonnull(group);

    start(group->gr_name);
    check_rights(0, 0, 0, true);
    check_rights(own, 60000, 60000, true);
    check_rights(own + 1, group->gr_gid, 60000, true);
    check_rights(own + 1, 60000, group->gr_gid, true);
    check_rights(own + 1, 60000, 60000, false);
    check_rights(own + 1, 0, 0, false);
    stop();
    /* As it was, and open to leak checkers. */
    ck_assert_int_eq(seteuid(getuid()) | prctl(PR_SET_DUMPABLE, 1), 0);
}
END_TEST

START_TEST(a_group_that_does_not_exist_lets_nobody_in)
{
    start("no-such-group-here");
    check_rights(geteuid() + 1, 0, 0, false);
    check_rights(geteuid(), 60000, 60000, true);
    stop();
}
END_TEST

START_TEST(readers_have_a_quota_and_root_has_none)
{
    unsigned busy = 0;

    become(1000, 1000, 1000);
    start(NULL);
    world.fd = world_connect(world.listener);
    for (int i = 0; i < 300; i++)
        busy += streq(ask(CALL("Status", "")), BUSY);
    ck_assert_uint_gt(busy, 0);
    ck_assert_uint_le(busy, 200);
    close(world.fd);
    become(0, 0, 0);
    world.fd = world_connect(world.listener);
    for (int i = 0; i < 300; i++)
        ck_assert_str_eq(ask(CALL("Status", "")), OK("\"version\":\"1\""));
    stop();
}
END_TEST

/* ---- methods that ask ---- */

START_TEST(query_answers_later)
{
    start_as_root();
    ck_assert_str_eq(ask(CALL("Query", "\"name\":\"Orders.SD.internal.\"")), "");
    ck_assert_str_eq(world.asked, "query orders.sd.internal. both");
    control_reply_answer(world.reply, json_pack("{s:s}", "name", "orders.sd.internal"));
    ck_assert_str_eq(world_reply(world.event, world.fd),
                     OK("\"answer\":{\"name\":\"orders.sd.internal\"}"));
    ask(CALL("Query", "\"name\":\"a\",\"family\":4"));
    ck_assert_str_eq(world.asked, "query a 4");
    control_reply_answer(world.reply, NULL);
    ck_assert_str_eq(world_reply(world.event, world.fd), BUSY);
    ask(CALL("Query", "\"name\":\"a\",\"family\":6"));
    ck_assert_str_eq(world.asked, "query a 6");
    control_reply_answer(world.reply, json_object());
    ck_assert_str_eq(world_reply(world.event, world.fd), OK("\"answer\":{}"));
    world.result = -ENOMEM;
    ck_assert_str_eq(ask(CALL("Query", "\"name\":\"a\",\"family\":null")), BUSY);
    ck_assert_str_eq(world.asked, "query a both");
    /* Over a limit of the caller's own it says which. */
    world.result = -EDQUOT;
    ck_assert_ptr_nonnull(
        strstr(ask(CALL("Query", "\"name\":\"a\"")),
               "{\"error\":\"io.nss-sd.Control.Busy\",\"parameters\":{\"reason\":\""));
    ck_assert_ptr_nonnull(strstr(ask(CALL("Query", "\"name\":\"a\"")), "MaxNewNamesPerUser="));
    stop();
}
END_TEST

START_TEST(query_is_cancelled_when_the_caller_goes)
{
    start_as_root();
    ask(CALL("Query", "\"name\":\"a\""));
    ck_assert_ptr_nonnull(world.reply);
    close(world.fd);
    world_run(world.event);
    ck_assert_str_eq(world.asked, "cancel");

    world.fd = world_connect(world.listener);
    ask(CALL("Query", "\"name\":\"b\""));
    ck_assert_str_eq(world.asked, "query b both");
    stop();
    ck_assert_str_eq(world.asked, "cancel");
}
END_TEST

START_TEST(addresses_have_names_or_none)
{
    start_as_root();
    ck_assert_str_eq(ask(CALL("QueryAddress", "\"address\":\"2001:DB8::1\"")),
                     OK("\"name\":\"db-0.db\",\"registry\":\"k8s\""));
    ck_assert_str_eq(world.asked, "query_address 2001:db8::1");
    world.result = -ENOENT;
    ck_assert_str_eq(ask(CALL("QueryAddress", "\"address\":\"10.0.0.1\"")),
                     OK("\"name\":null,\"registry\":null"));
    world.result = -ENOMEM;
    ck_assert_str_eq(ask(CALL("QueryAddress", "\"address\":\"10.0.0.1\"")), BUSY);
    stop();
}
END_TEST

START_TEST(explain_is_about_the_folded_name)
{
    start_as_root();
    ck_assert_str_eq(ask(CALL("Explain", "\"name\":\"Orders.SD.internal.\"")),
                     OK("\"explanation\":{\"name\":\"orders.sd.internal\"}"));
    ck_assert_str_eq(world.asked, "explain orders.sd.internal");
    ck_assert_str_eq(ask(CALL("Explain", "")), INVALID("name"));
    ck_assert(begins(ask(CALL("Explain", "\"name\":\"a..b\"")), VALUE("name")));
    world.result = -ENOMEM;
    ck_assert_str_eq(ask(CALL("Explain", "\"name\":\"a\"")), BUSY);
    stop();
}
END_TEST

START_TEST(status_and_services_pass_on_what_the_backend_says)
{
    start_as_root();
    ck_assert_str_eq(ask(CALL("Status", "")), OK("\"version\":\"1\""));
    ck_assert_str_eq(ask("{\"method\":\"io.nss-sd.Control.Status\"}"), OK("\"version\":\"1\""));
    ck_assert_str_eq(ask(CALL("Services", "\"registry\":null")), OK("\"services\":[]"));
    ck_assert_str_eq(world.asked, "services (all)");
    ck_assert_str_eq(ask(CALL("Services", "\"registry\":\"consul\"")), OK("\"services\":[]"));
    ck_assert_str_eq(world.asked, "services consul");
    ck_assert_str_eq(ask(CALL("Services", "\"stale\":true")), OK("\"services\":[]"));
    ck_assert_str_eq(world.asked, "services (all) stale");
    ck_assert_str_eq(ask(CALL("Services", "\"stale\":1")), INVALID("stale"));
    world.result = -1;
    ck_assert(begins(ask(CALL("Services", "\"registry\":\"consul\"")), VALUE("registry")));
    ck_assert_str_eq(ask(CALL("Services", "")), BUSY);
    ck_assert_str_eq(ask(CALL("Status", "")), BUSY);
    stop();
}
END_TEST

#define MORE(method, parameters)                                                                   \
    "{\"method\":\"io.nss-sd.Control." method "\",\"more\":true,\"parameters\":{" parameters "}}"

START_TEST(a_monitor_is_told_when_there_is_something)
{
    start_as_root();
    ck_assert_str_eq(ask(MORE("Monitor", "\"names\":[\"Orders.SERVICE.consul.\",\"b\"]")),
                     "{\"parameters\":{\"n\":1},\"continues\":true}");
    ck_assert_str_eq(world.asked, "monitor uid=0 privileged orders.service.consul b");
    ck_assert(world_silent(world.fd));
    fake_stream.ready = 2;
    fake_stream.wake(fake_stream.userdata);
    ck_assert_int_eq(fake_stream.freed, 0);
    ck_assert_str_eq(world_reply(world.event, world.fd), OK("\"n\":2"));
    ck_assert_int_eq(fake_stream.freed, 1);
    stop();
}
END_TEST

START_TEST(a_monitor_without_names_is_about_everything)
{
    start_as_root();
    ask(MORE("Monitor", ""));
    ck_assert_str_eq(world.asked, "monitor uid=0 privileged");
    stop();
    ck_assert_int_eq(fake_stream.freed, 1);
}
END_TEST

START_TEST(a_monitor_is_refused_with_the_reason)
{
    char text[64 * 16] = MORE("Monitor", "\"names\":[\"a\"");
    char *end = text + strlen(text) - strlen("}}");

    start_as_root();
    ck_assert_str_eq(ask(CALL("Monitor", "")),
                     "{\"error\":\"org.varlink.service.ExpectedMore\",\"parameters\":{}}");
    ck_assert_str_eq(ask(CALL("Instances", "")),
                     "{\"error\":\"org.varlink.service.ExpectedMore\",\"parameters\":{}}");
    ck_assert_ptr_nonnull(strstr(ask(MORE("Monitor", "\"names\":[\"a..b\"]")), "not a host name"));
    for (int i = 0; i < 64; i++)
        end += sprintf(end, ",\"a%d\"", i);
    strcpy(end, "]}}");
    ck_assert_ptr_nonnull(strstr(ask(text), "more than 64 names"));
    ck_assert_str_eq(world.asked, "");
    world.result = -ENOENT;
    ck_assert_ptr_nonnull(strstr(ask(MORE("Monitor", "\"names\":[\"a\",\"b.example\"]")),
                                 VALUE("names") "\"reason\":\"b.example is a name of no registry"));
    world.result = -EDQUOT;
    ck_assert_str_eq(ask(MORE("Monitor", "")), BUSY);
    ck_assert_str_eq(ask(MORE("Instances", "")), BUSY);
    ck_assert_str_eq(ask(MORE("Review", "")), BUSY);
    stop();
    ck_assert_int_eq(fake_stream.freed, 0);
}
END_TEST

START_TEST(statistics_are_told_to_all_and_reset_by_few)
{
    start_as_root();
    ask(CALL("Status", ""));
    ck_assert_str_eq(ask(CALL("Statistics", "")), OK("\"since_usec\":5,\"control_calls\":2"));
    ck_assert_str_eq(ask(CALL("ResetStatistics", "")), OK(""));
    ck_assert_str_eq(world.asked, "statistics_reset");
    ck_assert_str_eq(ask(CALL("Statistics", "")), OK("\"since_usec\":5,\"control_calls\":1"));
    world.result = -ENOMEM;
    ck_assert_str_eq(ask(CALL("Statistics", "")), BUSY);
    stop();
    become(60002, 60002, 60003);
    start(NULL);
    world.fd = world_connect(world.listener);
    ck_assert_str_eq(ask(CALL("Statistics", "")), OK("\"since_usec\":5,\"control_calls\":1"));
    ck_assert_str_eq(ask(CALL("ResetStatistics", "")), DENIED);
    stop();
}
END_TEST

START_TEST(log_level_is_told_and_set)
{
    start_as_root();
    ck_assert_str_eq(ask(CALL("LogLevel", "")), OK("\"level\":\"warning\""));
    ck_assert_str_eq(ask(CALL("LogLevel", "\"level\":\"err\"")), OK("\"level\":\"err\""));
    ck_assert_int_eq(log_get_level(), LOG_ERR);
    ck_assert(begins(ask(CALL("LogLevel", "\"level\":\"loud\"")), VALUE("level")));
    ck_assert_int_eq(log_get_level(), LOG_ERR);
    stop();
}
END_TEST

/* ---- methods that change ---- */

START_TEST(register_passes_everything_on)
{
    start_as_root();
    ck_assert_str_eq(
        ask(CALL("Register", "\"name\":\"Orders\",\"id\":\"blue\",\"addresses\":[\"10.0.0.1\","
                             "\"2001:DB8::1\"],\"port\":8080,\"tags\":[\"a\",\"b c\"],"
                             "\"weight\":65535,\"zone\":\"z1\",\"ttl_usec\":30000000")),
        OK("\"name\":\"orders\",\"id\":\"blue\",\"warnings\":[]"));
    ck_assert_str_eq(world.asked, "register orders id=blue target=(none) port=8080 weight=65535 "
                                  "zone=z1 ttl=30000000 10.0.0.1 2001:db8::1 #a #b c");
    ck_assert_str_eq(ask(CALL("Register", "\"name\":\"a\",\"target\":\"DB.example.com.\"")),
                     OK("\"name\":\"a\",\"id\":\"made-up\",\"warnings\":[]"));
    ck_assert_str_eq(world.asked,
                     "register a id= target=db.example.com port=0 weight=1 zone= ttl=-1");
    ck_assert(begins(ask(CALL("Register", "\"name\":\"a\",\"id\":null,\"addresses\":[\"::1\"],"
                                          "\"port\":null,\"tags\":null,\"weight\":null,"
                                          "\"zone\":null,\"ttl_usec\":null,\"target\":null")),
                     "{\"parameters\":"));
    stop();
}
END_TEST

START_TEST(register_tells_what_the_backend_refuses)
{
    static const char good[] = CALL("Register", "\"name\":\"a\",\"addresses\":[\"10.0.0.1\"]");

    start_as_root();
    world.result = -ENOENT;
    ck_assert_str_eq(ask(good), "{\"error\":\"io.nss-sd.Control.NoLocalRegistry\","
                                "\"parameters\":{}}");
    world.result = -ENOSPC;
    ck_assert_str_eq(ask(good), BUSY);
    world.result = -EROFS;
    ck_assert_ptr_nonnull(strstr(ask(good), "stands in a file of local.d"));
    world.result = -EINVAL;
    ck_assert(begins(ask(good), VALUE("name")));
    ck_assert_str_eq(
        ask(CALL("Register", "\"name\":\"a\",\"addresses\":[\"10.0.0.1\",\"224.0.0.1\"]")),
        VALUE("addresses") "\"reason\":\"multicast address\"}}");
    stop();
}
END_TEST

START_TEST(a_registration_may_have_checks)
{
    const char *reply;

    start_as_root();
    reply = ask(CALL("Register", "\"name\":\"orders\",\"addresses\":[\"10.0.0.1\"],\"checks\":["
                                 "{\"http\":\"http://10.0.0.1/x\",\"interval\":\"5s\"},"
                                 "{\"ttl\":\"30s\"}]"));
    ck_assert_str_eq(reply, OK("\"name\":\"orders\",\"id\":\"made-up\",\"warnings\":[]"));
    ck_assert_ptr_nonnull(strstr(world.asked, "10.0.0.1 check http http://10.0.0.1/x check ttl"));
    reply = ask(CALL("Register", "\"name\":\"orders\",\"addresses\":[\"10.0.0.1\"],\"checks\":["
                                 "{\"args\":[\"/bin/true\"]}]"));
    ck_assert_ptr_nonnull(strstr(reply, "\"warnings\":[\"checks[0].args: nss-sd does not run"));
    ck_assert_str_eq(ask(CALL("RegisterDefinition", "\"definition\":{\"service\":{}}")),
                     OK("\"registered\":[],\"warnings\":[]"));
    ck_assert_str_eq(world.asked, "definition {\"service\":{}}");
    world.result = -EBADMSG;
    ck_assert_str_eq(ask(CALL("RegisterDefinition", "\"definition\":{}")),
                     VALUE("definition") "\"reason\":\"service.name: is missing\"}}");
    world.result = -EROFS;
    ck_assert(begins(ask(CALL("RegisterDefinition", "\"definition\":{}")), VALUE("definition")));
    stop();
}
END_TEST

START_TEST(a_word_reaches_the_backend_and_what_it_says_comes_back)
{
    start_as_root();
    world.result = 2;
    ck_assert_str_eq(ask(CALL("Pass", "\"id\":\"a/b\"")), OK("\"checks\":2"));
    ck_assert_str_eq(world.asked, "pass a/b passing ''");
    ck_assert_str_eq(
        ask(CALL("Pass", "\"id\":\"x\",\"status\":\"critical\",\"note\":\"draining\"")),
        OK("\"checks\":2"));
    ck_assert_str_eq(world.asked, "pass x critical 'draining'");
    world.result = -ENOENT;
    ck_assert_str_eq(ask(CALL("Pass", "\"id\":\"x\"")),
                     "{\"error\":\"io.nss-sd.Control.NoSuchCheck\",\"parameters\":{\"id\":\"x\"}}");
    world.result = -ENOTUNIQ;
    ck_assert(begins(ask(CALL("Pass", "\"id\":\"x\"")), VALUE("id")));
    world.result = -EINVAL;
    ck_assert(begins(ask(CALL("Pass", "\"id\":\"x\"")), VALUE("id")));
    stop();
}
END_TEST

START_TEST(deregister_and_flush_count)
{
    start_as_root();
    world.result = 3;
    ck_assert_str_eq(ask(CALL("Deregister", "\"name\":\"Orders.\"")), OK("\"removed\":3"));
    ck_assert_str_eq(world.asked, "deregister orders (all)");
    ck_assert_str_eq(ask(CALL("Deregister", "\"name\":\"orders\",\"id\":\"x\"")),
                     OK("\"removed\":3"));
    ck_assert_str_eq(world.asked, "deregister orders x");
    ck_assert_str_eq(ask(CALL("Flush", "")), OK("\"flushed\":3"));
    ck_assert_str_eq(world.asked, "flush (all)");
    ck_assert_str_eq(ask(CALL("Flush", "\"name\":\"A.b\"")), OK("\"flushed\":3"));
    ck_assert_str_eq(world.asked, "flush a.b");
    world.result = -ENOENT;
    ck_assert_str_eq(ask(CALL("Deregister", "\"name\":\"a\"")),
                     "{\"error\":\"io.nss-sd.Control.NoSuchService\","
                     "\"parameters\":{\"name\":\"a\"}}");
    ck_assert_str_eq(ask(CALL("Flush", "\"name\":\"a\"")),
                     "{\"error\":\"io.nss-sd.Control.NoSuchName\","
                     "\"parameters\":{\"name\":\"a\"}}");
    world.result = -EROFS;
    ck_assert(begins(ask(CALL("Deregister", "\"name\":\"a\"")), VALUE("name")));
    world.result = -EIO;
    ck_assert_str_eq(ask(CALL("Deregister", "\"name\":\"a\"")), BUSY);
    ck_assert_str_eq(ask(CALL("Flush", "")), BUSY);
    stop();
}
END_TEST

START_TEST(reload_tells_every_message)
{
    start_as_root();
    ck_assert_str_eq(ask(CALL("Reload", "")),
                     OK("\"applied\":true,\"messages\":[{\"file\":\"/etc/nss-sd/nss-sd.conf\","
                        "\"line\":0,\"severity\":\"warning\",\"text\":\"empty\"}]"));
    world.result = -EBADMSG;
    ck_assert_str_eq(ask(CALL("Reload", "")),
                     OK("\"applied\":false,\"messages\":[{\"file\":\"/etc/nss-sd/nss-sd.conf\","
                        "\"line\":3,\"severity\":\"error\",\"text\":\"no such key\"},{\"file\":"
                        "\"/etc/nss-sd/nss-sd.conf\",\"line\":0,\"severity\":\"warning\","
                        "\"text\":\"empty\"}]"));
    world.result = -ENOMEM;
    ck_assert_str_eq(ask(CALL("Reload", "")), BUSY);
    stop();
}
END_TEST

/* ---- bad parameters ---- */

START_TEST(parameters_have_the_right_names_and_types)
{
    static const struct {
        const char *call, *reply;
    } cases[] = {
        {CALL("Query", ""), INVALID("name")},
        {CALL("Query", "\"name\":null"), INVALID("name")},
        {CALL("Query", "\"name\":1"), INVALID("name")},
        {CALL("Query", "\"name\":\"a\",\"family\":\"4\""), INVALID("family")},
        {CALL("Query", "\"name\":\"a\",\"family\":4.0"), INVALID("family")},
        {CALL("Query", "\"name\":\"a\",\"extra\":1"), INVALID("extra")},
        {CALL("QueryAddress", ""), INVALID("address")},
        {CALL("QueryAddress", "\"address\":[]"), INVALID("address")},
        {CALL("Status", "\"x\":null"), INVALID("x")},
        {CALL("Services", "\"registry\":true"), INVALID("registry")},
        {CALL("Register", "\"addresses\":[]"), INVALID("name")},
        {CALL("Register", "\"name\":\"a\",\"addresses\":\"10.0.0.1\""), INVALID("addresses")},
        {CALL("Register", "\"name\":\"a\",\"addresses\":[1]"), INVALID("addresses")},
        {CALL("Register", "\"name\":\"a\",\"addresses\":[null]"), INVALID("addresses")},
        {CALL("Register", "\"name\":\"a\",\"addresses\":{}"), INVALID("addresses")},
        {CALL("Register", "\"name\":\"a\",\"tags\":[[]]"), INVALID("tags")},
        {CALL("Register", "\"name\":\"a\",\"port\":\"80\""), INVALID("port")},
        {CALL("Register", "\"name\":\"a\",\"checks\":{}"), INVALID("checks")},
        {CALL("RegisterDefinition", "\"definition\":[]"), INVALID("definition")},
        {CALL("Pass", "\"id\":1"), INVALID("id")},
        {CALL("Pass", ""), INVALID("id")},
        {CALL("Deregister", "\"name\":\"a\",\"id\":1"), INVALID("id")},
        {CALL("Flush", "\"name\":false"), INVALID("name")},
        {CALL("Reload", "\"now\":true"), INVALID("now")},
        {CALL("LogLevel", "\"level\":7"), INVALID("level")},
    };

    start_as_root();
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        ck_assert_str_eq(ask(cases[i].call), cases[i].reply);
        ck_assert_str_eq(world.asked, "");
    }
    stop();
}
END_TEST

#define REGISTER(rest) CALL("Register", "\"name\":\"a\",\"addresses\":[\"10.0.0.1\"]," rest)

START_TEST(values_are_checked_and_the_reason_is_told)
{
    static const struct {
        const char *call, *reply;
    } cases[] = {
        {CALL("Query", "\"name\":\"\""), VALUE("name")},
        {CALL("Query", "\"name\":\"a b\""), VALUE("name")},
        {CALL("Query", "\"name\":\"a..b\""), VALUE("name")},
        {CALL("Query", "\"name\":\"a\\nb\""), VALUE("name")},
        {CALL("Query", "\"name\":\"a\",\"family\":5"), VALUE("family")},
        {CALL("Query", "\"name\":\"a\",\"family\":-4"), VALUE("family")},
        {CALL("QueryAddress", "\"address\":\"10.0.0.256\""), VALUE("address")},
        {CALL("QueryAddress", "\"address\":\"fe80::1%eth0\""), VALUE("address")},
        {CALL("Register", "\"name\":\"a\""), VALUE("addresses")},
        {CALL("Register", "\"name\":\"a\",\"addresses\":[]"), VALUE("addresses")},
        {CALL("Register", "\"name\":\"a\",\"addresses\":[\"host\"]"), VALUE("addresses")},
        {CALL("Register", "\"name\":\"*\",\"addresses\":[\"10.0.0.1\"]"), VALUE("name")},
        {CALL("Register", "\"name\":\"a\",\"target\":\"b c\""), VALUE("target")},
        {REGISTER("\"target\":\"b\""), VALUE("addresses")},
        {REGISTER("\"port\":-1"), VALUE("port")},
        {REGISTER("\"port\":65536"), VALUE("port")},
        {REGISTER("\"port\":9223372036854775807"), VALUE("port")},
        {REGISTER("\"weight\":0"), VALUE("weight")},
        {REGISTER("\"weight\":65536"), VALUE("weight")},
        {REGISTER("\"ttl_usec\":999999"), VALUE("ttl_usec")},
        {REGISTER("\"ttl_usec\":-2"), VALUE("ttl_usec")},
        {REGISTER("\"ttl_usec\":9223372036854775807"), VALUE("ttl_usec")},
        {REGISTER("\"id\":\"\\u001b[31m\""), VALUE("id")},
        {REGISTER("\"zone\":\"a\\nb\""), VALUE("zone")},
        {REGISTER("\"tags\":[\"a\",\"\"]"), VALUE("tags")},
        {REGISTER("\"tags\":[\"a\\u007f\"]"), VALUE("tags")},
        {REGISTER("\"checks\":[1]"), VALUE("checks")},
        {REGISTER("\"checks\":[{}]"), VALUE("checks")},
        {REGISTER("\"checks\":[{\"http\":\"unix:///x\"}]"), VALUE("checks")},
        {REGISTER("\"checks\":[{\"ttl\":\"1s\",\"id\":\"x\"},{\"ttl\":\"1s\",\"id\":\"x\"}]"),
         VALUE("checks")},
        {CALL("Pass", "\"id\":\"a\",\"status\":\"well\""), VALUE("status")},
        {CALL("Pass", "\"id\":\"a\",\"note\":\"a\\nb\""), VALUE("note")},
        {CALL("Deregister", "\"name\":\"-/-\""), VALUE("name")},
        {CALL("Deregister", "\"name\":\"a\",\"id\":\"\\t\""), VALUE("id")},
        {CALL("Flush", "\"name\":\"\""), VALUE("name")},
    };

    start_as_root();
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        const char *reply = ask(cases[i].call);

        ck_assert_msg(begins(reply, cases[i].reply), "%s: %s", cases[i].call, reply);
        ck_assert_str_eq(world.asked, "");
    }
    stop();
}
END_TEST

/* A Register call with `count` strings in the list `name`. */
static const char *ask_with_list(const char *name, const char *item, size_t count)
{
    json_t *list = json_array(), *parameters, *call;
    const char *reply;
    char *text;

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(item));
    parameters = json_pack("{s:s, s:[s]}", "name", "a", "addresses", "10.0.0.1");
    json_object_set_new(parameters, name, list);
    call = json_pack("{s:s, s:o}", "method", "io.nss-sd.Control.Register", "parameters",
                     parameters);
    text = json_dumps(call, 0);
    reply = ask(text);
    free(text);
    json_decref(call);
    return reply;
}

START_TEST(lists_and_texts_are_bounded)
{
    char text[1200];

    start_as_root();
    ck_assert(begins(ask_with_list("addresses", "10.0.0.1", 64), "{\"parameters\":"));
    ck_assert(begins(ask_with_list("addresses", "10.0.0.1", 65), VALUE("addresses")));
    ck_assert(begins(ask_with_list("tags", "t", 256), "{\"parameters\":"));
    ck_assert(begins(ask_with_list("tags", "t", 257), VALUE("tags")));
    memset(text, 'x', sizeof(text));
    text[1023] = '\0';
    ck_assert(begins(ask_with_list("tags", text, 1), "{\"parameters\":"));
    text[1023] = 'x';
    text[1024] = '\0';
    ck_assert(begins(ask_with_list("tags", text, 1), VALUE("tags")));
    stop();
}
END_TEST

START_TEST(the_description_names_every_method)
{
    static const char *const names[] = {
        "Query",           "QueryAddress", "Status",    "Services",           "Register",
        "Deregister",      "Flush",        "Reload",    "LogLevel",           "Statistics",
        "ResetStatistics", "Monitor",      "Instances", "RegisterDefinition", "Pass",
        "Explain",         "Review"};
    const char *text;

    start_as_root();
    text = ask("{\"method\":\"org.varlink.service.GetInterfaceDescription\","
               "\"parameters\":{\"interface\":\"io.nss-sd.Control\"}}");
    ck_assert_ptr_nonnull(strstr(text, "\\ninterface io.nss-sd.Control\\n"));
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        char line[64];

        snprintf(line, sizeof(line), "\\nmethod %s(", names[i]);
        ck_assert_msg(strstr(text, line) != NULL, "%s", names[i]);
    }
    ck_assert_str_eq(ask("{\"method\":\"io.nss-sd.Control.Nothing\"}"),
                     "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{"
                     "\"method\":\"io.nss-sd.Control.Nothing\"}}");
    stop();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("control");

    UNIT_CASE(suite, "rights", root_the_own_user_and_the_group_may_change,
              a_group_that_does_not_exist_lets_nobody_in, readers_have_a_quota_and_root_has_none);
    UNIT_CASE(suite, "ask", query_answers_later, query_is_cancelled_when_the_caller_goes,
              addresses_have_names_or_none, explain_is_about_the_folded_name,
              status_and_services_pass_on_what_the_backend_says,
              a_monitor_is_told_when_there_is_something,
              a_monitor_without_names_is_about_everything, a_monitor_is_refused_with_the_reason,
              statistics_are_told_to_all_and_reset_by_few, log_level_is_told_and_set);
    UNIT_CASE(suite, "change", register_passes_everything_on,
              register_tells_what_the_backend_refuses, a_registration_may_have_checks,
              a_word_reaches_the_backend_and_what_it_says_comes_back, deregister_and_flush_count,
              reload_tells_every_message);
    UNIT_CASE(suite, "parameters", parameters_have_the_right_names_and_types,
              values_are_checked_and_the_reason_is_told, lists_and_texts_are_bounded,
              the_description_names_every_method);
    return suite;
}

UNIT_MAIN(make_suite)
