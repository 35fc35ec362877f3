/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/varlink.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>
#include <utlist.h>

#include "daemon/account.h"
#include "daemon/log.h"
#include "daemon/reserve.h"
#include "daemon/varlink_input.h"

enum {
    REPLY_CALL = 64 * 1024,      /* bytes of a reply that are as dear as one call more */
    TIMER_ACCURACY = 100 * 1000, /* of deadlines, in usec */
    ACCEPT_PAUSE = 1000 * 1000,  /* after running out of descriptors or memory, in usec */
};

/* In which of its deadlines a connection is. */
enum phase { PHASE_NEW, PHASE_IDLE, PHASE_RECEIVING, PHASE_WORKING, PHASE_SENDING };

struct varlink_call {
    bool pending; /* begun and not replied to */
    bool oneway, more;
    bool awake;   /* a stream that may have something to tell */
    bool patient; /* a stream that waits for a slow reader */
    json_t *(*next)(void *userdata, bool *ret_last);
    void (*gone)(void *userdata);
    void *userdata;
};

struct connection {
    struct varlink_server *server;
    struct connection *prev, *next;
    sd_event_source *io, *timer;
    struct peer peer;
    struct account *account; /* NULL: privileged */

    struct varlink_input input;

    char *output; /* one reply with its NUL, or NULL */
    size_t output_size, output_sent;

    struct varlink_call call;
    enum phase phase;
    bool broken; /* a reply could not be made: to be ended */
};

struct varlink_server {
    const struct varlink_service *service;
    struct varlink_limits limits;
    sd_event *event;
    sd_event_source *listener, *pause;
    struct accounts accounts;
    struct reserve reserve;
    struct log_limit accept_log;
    struct connection *connections;
    unsigned connection_count;
};

static const char service_interface[] = "org.varlink.service";
static const char service_description[] =
    "# What every Varlink service tells about itself.\n"
    "interface org.varlink.service\n"
    "\n"
    "# Who this is, and the interfaces it has.\n"
    "method GetInfo() -> (vendor: string, product: string, version: string, url: string,\n"
    "  interfaces: []string)\n"
    "\n"
    "# The text of one of these interfaces.\n"
    "method GetInterfaceDescription(interface: string) -> (description: string)\n"
    "\n"
    "error InterfaceNotFound (interface: string)\n"
    "error MethodNotFound (method: string)\n"
    "error MethodNotImplemented (method: string)\n"
    "error InvalidParameter (parameter: string)\n"
    "error PermissionDenied ()\n"
    "error ExpectedMore ()\n";

static usec_t server_now(const struct varlink_server *server)
{
    usec_t now = 0;

    sd_event_now(server->event, CLOCK_MONOTONIC, &now);
    return now;
}

/* ---- connections ---- */

static struct connection *connection_free(struct connection *connection)
{
    struct varlink_server *server = connection->server;

    if (connection->call.pending && connection->call.gone)
        connection->call.gone(connection->call.userdata);
    if (connection->account)
        account_close(connection->account);
    DL_DELETE(server->connections, connection);
    server->connection_count--;
    sd_event_source_disable_unref(connection->timer);
    sd_event_source_disable_unref(connection->io);
    peer_done(&connection->peer);
    varlink_input_done(&connection->input);
    free(connection->output);
    free(connection);
    return NULL;
}

static int connection_fd(const struct connection *connection)
{
    return sd_event_source_get_io_fd(connection->io);
}

static int output_flush(struct connection *connection)
{
    while (connection->output) {
        ssize_t size = send(connection_fd(connection), connection->output + connection->output_sent,
                            connection->output_size - connection->output_sent,
                            MSG_DONTWAIT | MSG_NOSIGNAL);

        if (size < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        connection->output_sent += (size_t)size;
        connection->phase = PHASE_NEW; /* the client reads: its deadline starts anew */
        if (connection->output_sent == connection->output_size) {
            free(connection->output);
            connection->output = NULL;
        }
    }
    return 0;
}

static usec_t phase_timeout(const struct varlink_limits *limits, enum phase phase)
{
    switch (phase) {
    case PHASE_RECEIVING:
        return limits->message_timeout;
    case PHASE_SENDING:
        return limits->reply_timeout;
    case PHASE_WORKING:
        return USEC_INFINITY;
    case PHASE_NEW:
    case PHASE_IDLE:
        break;
    }
    return limits->idle_timeout;
}

static int connection_set_phase(struct connection *connection, enum phase phase)
{
    usec_t timeout = phase_timeout(&connection->server->limits, phase);
    int r;

    if (phase == connection->phase)
        return 0;
    connection->phase = phase;
    if (timeout == USEC_INFINITY)
        return sd_event_source_set_enabled(connection->timer, SD_EVENT_OFF);
    r = sd_event_source_set_time(connection->timer,
                                 usec_add(server_now(connection->server), timeout));
    return r < 0 ? r : sd_event_source_set_enabled(connection->timer, SD_EVENT_ONESHOT);
}

/*
 * What to wait for now. A call that is whole already, or the end of the input, is taken in the next
 * turn of the loop: "writable" comes at once, and others get their turn in between.
 */
static int connection_watch(struct connection *connection)
{
    uint32_t events = EPOLLIN;
    enum phase phase = PHASE_IDLE;
    int r;

    if (connection->broken)
        return -ENOMEM;
    if (connection->output) {
        events = EPOLLOUT;
        phase = connection->call.patient ? PHASE_WORKING : PHASE_SENDING;
    } else if (connection->call.pending) {
        events = connection->call.awake ? EPOLLOUT : 0; /* a hang-up is always told */
        phase = PHASE_WORKING;
    } else if (connection->input.end || varlink_input_message(&connection->input) > 0) {
        events = EPOLLOUT;
    } else if (connection->input.size > 0) {
        phase = PHASE_RECEIVING;
    }
    r = sd_event_source_set_io_events(connection->io, events);
    return r < 0 ? r : connection_set_phase(connection, phase);
}

/* ---- calls ---- */

static struct connection *call_connection(struct varlink_call *call)
{
    return (struct connection *)((char *)call - offsetof(struct connection, call));
}

const struct peer *varlink_call_peer(const struct varlink_call *call)
{
    return &call_connection((struct varlink_call *)call)->peer;
}

bool varlink_call_privileged(const struct varlink_call *call)
{
    return !call_connection((struct varlink_call *)call)->account;
}

void varlink_call_defer(struct varlink_call *call, void (*gone)(void *userdata), void *userdata)
{
    call->gone = gone;
    call->userdata = userdata;
}

/* What goes out instead of a reply over the limit; NULL: that too is over it. */
static char *too_large_text(const struct varlink_server *server, size_t size)
{
    char *text;

    log_warning("A Varlink reply of %zu bytes is too large to be sent (at most %zu)", size,
                server->limits.reply);
    if (asprintf(&text, "{\"error\":\"%s\",\"parameters\":{}}", server->service->too_large) < 0)
        return NULL;
    if (strlen(text) < server->limits.reply)
        return text;
    free(text);
    return NULL;
}

/* False: it is too large or could not be made, and the client is told that, if anything. */
static bool connection_reply(struct connection *connection, json_t *reply)
{
    char *text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
    size_t size = text ? strlen(text) : 0;
    struct varlink_server *server = connection->server;
    bool fits = text && size < server->limits.reply;

    json_decref(reply);
    if (connection->account)
        account_charge(&server->accounts, connection->account, size / REPLY_CALL,
                       server_now(server));
    if (text && !fits) {
        free(text);
        text = too_large_text(server, size);
    }
    connection->output = text;
    connection->output_size = text ? strlen(text) + 1 : 0;
    connection->output_sent = 0;
    connection->broken = !text;
    return fits;
}

/* Outside of the connection's turn: it cannot be ended under its caller; its timer does that. */
static void connection_rouse(struct connection *connection)
{
    if (connection_watch(connection) >= 0)
        return;
    connection->broken = true;
    sd_event_source_set_time(connection->timer, 0);
    sd_event_source_set_enabled(connection->timer, SD_EVENT_ONESHOT);
}

static void call_end(struct varlink_call *call, const char *error, json_t *parameters)
{
    struct connection *connection = call_connection(call);
    bool oneway = call->oneway, deferred = call->gone;

    *call = (struct varlink_call){0};
    if (!parameters)
        parameters = json_object();
    if (oneway)
        json_decref(parameters);
    else if (error)
        connection_reply(connection,
                         json_pack("{s:s, s:o}", "error", error, "parameters", parameters));
    else
        connection_reply(connection, json_pack("{s:o}", "parameters", parameters));
    if (deferred)
        connection_rouse(connection);
}

void varlink_reply(struct varlink_call *call, json_t *parameters)
{
    call_end(call, NULL, parameters);
}

void varlink_error(struct varlink_call *call, const char *error, json_t *parameters)
{
    call_end(call, error, parameters);
}

void varlink_invalid_parameter(struct varlink_call *call, const char *parameter)
{
    varlink_error(call, "org.varlink.service.InvalidParameter",
                  json_pack("{s:s}", "parameter", parameter));
}

void varlink_permission_denied(struct varlink_call *call, const char *reason)
{
    varlink_error(call, "org.varlink.service.PermissionDenied",
                  reason ? json_pack("{s:s}", "reason", reason) : NULL);
}

void varlink_expected_more(struct varlink_call *call)
{
    varlink_error(call, "org.varlink.service.ExpectedMore", NULL);
}

/* ---- streams ---- */

bool varlink_call_more(const struct varlink_call *call)
{
    return call->more;
}

void varlink_call_stream(struct varlink_call *call, json_t *(*next)(void *userdata, bool *ret_last),
                         void (*gone)(void *userdata), void *userdata, bool patient)
{
    call->next = next;
    call->awake = true;
    call->patient = patient;
    varlink_call_defer(call, gone, userdata);
}

void varlink_call_wake(struct varlink_call *call)
{
    call->awake = true;
    connection_rouse(call_connection(call));
}

/* Nothing is on its way to the client: what has the stream for it? An error is its last reply. */
static void stream_next(struct connection *connection)
{
    struct varlink_call call = connection->call;
    bool last = false;
    json_t *parameters = call.next(call.userdata, &last);

    connection->call.awake = parameters;
    if (!parameters && !last)
        return;
    if (!connection_reply(connection,
                          last ? json_pack("{s:o}", "parameters", parameters)
                               : json_pack("{s:o, s:b}", "parameters", parameters, "continues", 1)))
        last = true;
    if (!last)
        return;
    connection->call = (struct varlink_call){0};
    call.gone(call.userdata);
}

/* ---- the interface that every service has ---- */

static void get_info(struct varlink_call *call, const struct varlink_service *service)
{
    varlink_reply(call,
                  json_pack("{s:s, s:s, s:s, s:s, s:[s, s]}", "vendor", service->vendor, "product",
                            service->product, "version", service->version, "url", service->url,
                            "interfaces", service_interface, service->interface));
}

static void get_description(struct varlink_call *call, const struct varlink_service *service,
                            json_t *parameters)
{
    const char *interface = json_string_value(json_object_get(parameters, "interface"));
    const char *text = NULL;

    if (!interface || json_object_size(parameters) != 1) {
        varlink_invalid_parameter(call, "interface");
        return;
    }
    if (streq(interface, service_interface))
        text = service_description;
    else if (streq(interface, service->interface))
        text = service->description;
    if (text)
        varlink_reply(call, json_pack("{s:s}", "description", text));
    else
        varlink_error(call, "org.varlink.service.InterfaceNotFound",
                      json_pack("{s:s}", "interface", interface));
}

/* A method of org.varlink.service; false: there is no such. */
static bool call_own(struct varlink_call *call, const struct varlink_service *service,
                     const char *method, json_t *parameters)
{
    if (streq(method, "GetInfo"))
        get_info(call, service);
    else if (streq(method, "GetInterfaceDescription"))
        get_description(call, service, parameters);
    else
        return false;
    return true;
}

static void call_method(struct varlink_call *call, const struct varlink_service *service,
                        const char *method, json_t *parameters)
{
    const char *dot = strrchr(method, '.');
    size_t length = dot ? (size_t)(dot - method) : strlen(method);
    bool known;

    if (dot && strlen(service_interface) == length &&
        memcmp(method, service_interface, length) == 0) {
        known = call_own(call, service, dot + 1, parameters);
    } else if (dot && strlen(service->interface) == length &&
               memcmp(method, service->interface, length) == 0) {
        known = service->call(service->userdata, call, dot + 1, parameters);
    } else {
        varlink_error(call, "org.varlink.service.InterfaceNotFound",
                      json_pack("{s:s%}", "interface", method, length));
        return;
    }
    if (!known)
        varlink_error(call, "org.varlink.service.MethodNotFound",
                      json_pack("{s:s}", "method", method));
}

/* A flag of a call: true, false or left out. Anything else makes the call malformed. */
static int call_flag(const json_t *message, const char *name, bool *ret_flag)
{
    const json_t *value = json_object_get(message, name);

    *ret_flag = json_is_true(value);
    return !value || json_is_boolean(value) ? 0 : -EBADMSG;
}

/* Runs one call. Negative: it is none, and the connection has to end. */
static int connection_call(struct connection *connection, const json_t *message)
{
    const struct varlink_service *service = connection->server->service;
    const char *method = json_string_value(json_object_get(message, "method"));
    json_t *parameters = json_object_get(message, "parameters");
    bool oneway, more, upgrade;

    if (call_flag(message, "oneway", &oneway) < 0 || call_flag(message, "more", &more) < 0 ||
        call_flag(message, "upgrade", &upgrade) < 0)
        return -EBADMSG;
    if (!method || oneway + more + upgrade > 1)
        return -EBADMSG;
    if (parameters && !json_is_object(parameters) && !json_is_null(parameters))
        return -EBADMSG;

    connection->call = (struct varlink_call){.pending = true, .oneway = oneway, .more = more};
    if (connection->account && !account_call(&connection->server->accounts, connection->account,
                                             server_now(connection->server))) {
        varlink_error(&connection->call, service->busy, NULL);
    } else if (upgrade) { /* no method here turns into another protocol */
        varlink_invalid_parameter(&connection->call, "upgrade");
    } else {
        /* With `more`, one reply without "continues" may be all there is. */
        parameters = json_is_object(parameters) ? json_incref(parameters) : json_object();
        call_method(&connection->call, service, method, parameters);
        json_decref(parameters);
    }
    return 0;
}

static int connection_take(struct connection *connection, size_t size)
{
    json_t *message = json_loadb(connection->input.data, size - 1, JSON_REJECT_DUPLICATES, NULL);
    int r;

    varlink_input_drop(&connection->input, size);
    connection->phase = PHASE_NEW;
    r = json_is_object(message) ? connection_call(connection, message) : -EBADMSG;
    json_decref(message);
    return r;
}

/* One turn: send, else receive, then at most one call. Negative: the connection has to end. */
static int connection_turn(struct connection *connection, uint32_t events)
{
    size_t size;
    int r = output_flush(connection);

    if (r < 0 || connection->output)
        return r;
    if (connection->call.pending && events & (EPOLLHUP | EPOLLERR))
        return -ECONNRESET;
    if (connection->call.pending) {
        if (connection->call.awake)
            stream_next(connection);
        return output_flush(connection);
    }
    if (!connection->input.end) {
        r = varlink_input_fill(&connection->input, connection_fd(connection),
                               connection->server->limits.message);
        if (r < 0)
            return r;
    }
    size = varlink_input_message(&connection->input);
    if (size == 0)
        return connection->input.end ? -ESHUTDOWN : 0;
    r = connection_take(connection, size);
    return r < 0 ? r : output_flush(connection);
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct connection *connection = userdata;
    int r = connection_turn(connection, events);

    (void)source;
    (void)fd;
    if (r >= 0)
        r = connection_watch(connection);
    if (r == -EBADMSG || r == -EMSGSIZE)
        log_debug("Varlink client of uid %u sent %s; its connection is closed",
                  (unsigned)connection->peer.uid,
                  r == -EBADMSG ? "what is no Varlink call" : "too large a call");
    if (r < 0)
        connection_free(connection);
    return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct connection *connection = userdata;

    (void)source;
    (void)usec;
    if (connection->phase == PHASE_RECEIVING || connection->phase == PHASE_SENDING)
        log_debug("Varlink client of uid %u stopped %s; its connection is closed",
                  (unsigned)connection->peer.uid,
                  connection->phase == PHASE_SENDING ? "reading" : "in the middle of a call");
    connection_free(connection);
    return 0;
}

/* ---- the listening socket ---- */

/* Over a limit: says so where the client looks for its reply. */
static void refuse(const struct varlink_server *server, int fd)
{
    char text[256];
    int size = snprintf(text, sizeof(text), "{\"error\":\"%s\",\"parameters\":{}}",
                        server->service->busy);
    char call[4096];
    ssize_t taken;

    /* Else the client may see a reset in place of an end. */
    taken = recv(fd, call, sizeof(call), MSG_DONTWAIT);
    (void)taken;
    if (size > 0 && (size_t)size < sizeof(text) &&
        send(fd, text, (size_t)size + 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        log_debug("Cannot tell a Varlink client that it is refused: %s", strerror(errno));
}

/* Takes the socket's place in the limits. Negative: it is refused. */
static int connection_admit(struct varlink_server *server, struct connection *connection)
{
    const struct varlink_service *service = server->service;
    unsigned maximum = server->limits.connections;

    if (service->privileged(service->userdata, &connection->peer))
        return server->connection_count < maximum ? 0 : -EDQUOT;
    if (server->connection_count >= maximum - maximum / 4)
        return -EDQUOT;
    return account_open(&server->accounts, connection->peer.uid, server_now(server),
                        &connection->account);
}

static int connection_attach(struct varlink_server *server, struct connection *connection, int fd)
{
    int r = sd_event_add_io(server->event, &connection->io, fd, EPOLLIN, on_connection, connection);

    if (r < 0)
        return r;
    r = sd_event_add_time(server->event, &connection->timer, CLOCK_MONOTONIC, 0, TIMER_ACCURACY,
                          on_deadline, connection);
    if (r < 0)
        return r;
    return connection_set_phase(connection, PHASE_IDLE);
}

/* `fd` stays the caller's on error. */
static int connection_new(struct varlink_server *server, int fd)
{
    struct connection *connection;
    struct peer peer;
    int r = peer_read(fd, &peer);

    if (r < 0)
        return r;
    connection = calloc(1, sizeof(*connection));
    if (!connection) {
        peer_done(&peer);
        return -ENOMEM;
    }
    connection->server = server;
    connection->peer = peer;
    r = connection_admit(server, connection);
    DL_APPEND(server->connections, connection);
    server->connection_count++;
    if (r >= 0)
        r = connection_attach(server, connection, fd);
    if (r >= 0)
        r = sd_event_source_set_io_fd_own(connection->io, true);
    if (r < 0)
        connection_free(connection);
    return r;
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct varlink_server *server = userdata;

    (void)source;
    (void)usec;
    reserve_take(&server->reserve);
    return sd_event_source_set_enabled(server->listener, SD_EVENT_ON);
}

/* Where not even a refusal can be given the waiting client would wake the loop for ever. */
static int listener_pause(struct varlink_server *server)
{
    int r = sd_event_source_set_time(server->pause, server_now(server) + ACCEPT_PAUSE);

    if (r >= 0)
        r = sd_event_source_set_enabled(server->pause, SD_EVENT_ONESHOT);
    return r < 0 ? r : sd_event_source_set_enabled(server->listener, SD_EVENT_OFF);
}

static int listener_failed(struct varlink_server *server, int error)
{
    if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM)
        return 0; /* the client went away, or another one comes */
    if (log_limit_pass(&server->accept_log, server_now(server)))
        log_warning("Cannot accept a Varlink connection, next try in 1s: %s", strerror(error));
    return listener_pause(server);
}

/* Out of descriptors: tells one who waits. */
static int refuse_on_reserve(struct varlink_server *server, int listen_fd, int error)
{
    int fd = reserve_accept(&server->reserve, listen_fd);

    if (fd < 0)
        return listener_failed(server, -fd);
    refuse(server, fd);
    reserve_end(&server->reserve, fd);
    if (log_limit_pass(&server->accept_log, server_now(server)))
        log_warning("Varlink connections are refused: %s (LimitNOFILE= of nss-sdd.service)",
                    strerror(error));
    return 0;
}

static int on_listener(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct varlink_server *server = userdata;
    int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    int r;

    (void)source;
    (void)events;
    if (client < 0)
        return errno == EMFILE || errno == ENFILE ? refuse_on_reserve(server, fd, errno)
                                                  : listener_failed(server, errno);
    r = connection_new(server, client);
    if (r == -EDQUOT || r == -EUSERS)
        refuse(server, client);
    if (r < 0) {
        log_debug("A Varlink connection is refused: %s", strerror(-r));
        close(client);
    }
    return 0;
}

static unsigned or_default(unsigned value, unsigned fallback)
{
    return value > 0 ? value : fallback;
}

static struct varlink_limits limits_complete(struct varlink_limits limits)
{
    limits.connections = or_default(limits.connections, 64);
    limits.connections_uid = or_default(limits.connections_uid, 16);
    limits.calls_per_second = or_default(limits.calls_per_second, 50);
    limits.calls_burst = or_default(limits.calls_burst, 100);
    limits.message = limits.message ?: 1024 * 1024;
    limits.reply = limits.reply ?: 32 * 1024 * 1024;
    limits.message_timeout = limits.message_timeout ?: 10 * USEC_PER_SEC;
    limits.reply_timeout = limits.reply_timeout ?: 10 * USEC_PER_SEC;
    limits.idle_timeout = limits.idle_timeout ?: 300 * USEC_PER_SEC;
    return limits;
}

static int server_attach(struct varlink_server *server, int fd)
{
    int flags = fcntl(fd, F_GETFL), r;

    /* One that the service manager opened may block. */
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    r = sd_event_add_time(server->event, &server->pause, CLOCK_MONOTONIC, 0, TIMER_ACCURACY,
                          on_pause_over, server);
    if (r >= 0)
        r = sd_event_source_set_enabled(server->pause, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_add_io(server->event, &server->listener, fd, EPOLLIN, on_listener, server);
    return r < 0 ? r : sd_event_source_set_io_fd_own(server->listener, true);
}

int varlink_server_new(struct sd_event *event, int fd, const struct varlink_service *service,
                       struct varlink_server **ret_server)
{
    struct varlink_server *server = calloc(1, sizeof(*server));
    int r;

    if (!server)
        return -ENOMEM;
    server->service = service;
    server->limits = limits_complete(service->limits);
    server->accounts = (struct accounts){
        .connections_max = server->limits.connections_uid,
        .calls_per_second = server->limits.calls_per_second,
        .calls_burst = server->limits.calls_burst,
    };
    server->reserve = (struct reserve){.fd = -1};
    reserve_take(&server->reserve);
    server->accept_log = (struct log_limit){.interval = 10 * USEC_PER_SEC, .burst = 1};
    server->event = sd_event_ref(event);
    r = server_attach(server, fd);
    if (r < 0) {
        varlink_server_free(server);
        return r;
    }
    *ret_server = server;
    return 0;
}

struct varlink_server *varlink_server_free(struct varlink_server *server)
{
    if (!server)
        return NULL;
    while (server->connections)
        connection_free(server->connections);
    accounts_done(&server->accounts);
    reserve_done(&server->reserve);
    sd_event_source_disable_unref(server->pause);
    sd_event_source_disable_unref(server->listener);
    sd_event_unref(server->event);
    free(server);
    return NULL;
}

/* ---- text ---- */

json_t *varlink_string(const char *text)
{
    json_t *string;
    char *copy;

    if (!text)
        return json_null();
    string = json_string(text);
    if (string)
        return string;
    copy = strdup(text);
    if (!copy)
        return NULL;
    for (char *c = copy; *c; c++)
        if (!isascii((unsigned char)*c))
            *c = '?';
    string = json_string(copy);
    free(copy);
    return string;
}
