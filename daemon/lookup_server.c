/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/lookup_server.h"

#include <limits.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>
#include <uthash.h>

#include "daemon/access.h"
#include "daemon/account.h"
#include "daemon/clock.h"
#include "daemon/log.h"
#include "daemon/reserve.h"
#include "daemon/resolver.h"
#include "nss-sd/wire.h"

/* A client that connects sends at once; one that does not is in nobody's favour. */
#define REQUEST_DEADLINE (2 * USEC_PER_SEC)
/* Connections taken at one wake-up, so that the rest of the loop gets its turn. */
#define ACCEPT_BURST 64
/* A uid that has been at rest may make so many seconds' share of names known at once. */
#define NEW_NAMES_BURST 10

/* Connections of one uid. */
struct user {
    uid_t uid;
    unsigned connections;
    UT_hash_handle hh;
};

struct connection {
    struct lookup_server *server;
    int fd;
    struct user *user;
    sd_event_source *source; /* NULL until there is something to wait for */
    struct lookup *lookup;   /* while the answer is being found */
    bool asked;
    usec_t since;
    struct connection *prev, *next;
};

struct lookup_server {
    sd_event *event;
    struct resolver *resolver;
    const struct access_keeper *keeper;
    int fd;
    sd_event_source *source;
    struct lookup_limits limits;
    struct connection *connections;
    unsigned connection_count;
    struct lookup_counters counters;
    struct user *users;
    struct accounts budgets; /* of unknown names */
    struct reserve reserve;
    struct log_limit overload_log, accept_log, budget_log;
    uint32_t reply[WIRE_REPLY_MAX / sizeof(uint32_t)];
};

/* ---- connections ---- */

static void user_release(struct lookup_server *server, struct user *user)
{
    if (--user->connections > 0)
        return;
    HASH_DEL(server->users, user);
    free(user);
}

static void connection_free(struct connection *connection)
{
    struct lookup_server *server = connection->server;

    lookup_cancel(connection->lookup);
    sd_event_source_disable_unref(connection->source);
    close(connection->fd);
    user_release(server, connection->user);
    DL_DELETE(server->connections, connection);
    server->connection_count--;
    free(connection);
    sd_event_source_set_enabled(server->source, SD_EVENT_ON);
}

static void send_reply(struct lookup_server *server, int fd, enum wire_error error,
                       const void *payload, size_t size)
{
    struct wire_reply_head head = {
        .magic = WIRE_REPLY_MAGIC,
        .version = WIRE_VERSION,
        .size = sizeof(head),
        .error = (uint16_t)error,
        .payload_size = (uint32_t)size,
    };
    ssize_t sent;

    memcpy(server->reply, &head, sizeof(head));
    if (size > 0)
        memcpy((char *)server->reply + sizeof(head), payload, size);
    /* A client that went away, or whose buffer is full, has no use for the answer. */
    sent = send(fd, server->reply, sizeof(head) + size, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent;
}

static void connection_answer(void *userdata, const void *payload, size_t size)
{
    struct connection *connection = userdata;

    connection->lookup = NULL;
    send_reply(connection->server, connection->fd, WIRE_OK, payload, size);
    connection_free(connection);
}

/* As the kernel recorded him when he connected. */
static bool connection_may(void *userdata, struct access access)
{
    const struct connection *connection = userdata;
    struct peer peer;
    bool may;

    if (peer_read(connection->fd, &peer) < 0)
        return false;
    may = access_allows(&(struct access_asker){connection->server->keeper, &peer}, access);
    peer_done(&peer);
    return may;
}

static int connection_event(sd_event_source *source, int fd, uint32_t events, void *userdata);

/*
 * Waits for the client: for its request, or to see it go away. Most connections are answered
 * without it, and spare the loop's book-keeping. May free the connection.
 */
static void connection_watch(struct connection *connection)
{
    if (!connection->source &&
        sd_event_add_io(connection->server->event, &connection->source, connection->fd,
                        EPOLLIN | EPOLLRDHUP, connection_event, connection) < 0)
        connection_free(connection);
}

/*
 * Names made up without end would push out the unknown names of others and cost registries that are
 * asked for each. More uids than can be counted have as many budgets anyway: they are let through.
 */
bool lookup_server_allows(struct lookup_server *server, uid_t uid, const char *name, bool rooted,
                          usec_t now)
{
    struct account *account;
    bool within;

    if (uid == 0 || !resolver_learns(server->resolver, name, rooted))
        return true;
    if (account_open(&server->budgets, uid, now, &account) < 0)
        return true;
    within = account_call(&server->budgets, account, now);
    account_close(account);
    if (!within && log_limit_pass(&server->budget_log, now))
        log_warning("uid %u asks for more than %u unknown names a second (MaxNewNamesPerUser=); "
                    "those beyond are not looked up",
                    uid, server->limits.new_names_uid);
    return within;
}

/* May free the connection. */
static void connection_request(struct connection *connection, const struct wire_request *request,
                               usec_t now)
{
    struct resolver *resolver = connection->server->resolver;
    struct address address = {.family = request->family == WIRE_IPV4 ? AF_INET : AF_INET6};
    bool rooted = request->flags & WIRE_REQUEST_ROOTED;
    struct lookup *lookup;

    if (request->op == WIRE_REVERSE) {
        connection->server->counters.reverse++;
        memcpy(address.bytes, request->data, request->length);
        resolver_reverse(resolver, &address, connection_may, connection_answer, connection);
        return;
    }
    if (!lookup_server_allows(connection->server, connection->user->uid, request->data, rooted,
                              now)) {
        resolver_decline(resolver, request->data, connection_answer, connection);
        return;
    }
    if (resolver_lookup(resolver, request->data, rooted, request->family, now, connection_may,
                        connection_answer, connection, &lookup) < 0) {
        connection_free(connection);
        return;
    }
    /* Without a lookup the answer went out and the connection is gone. */
    if (lookup) {
        connection->lookup = lookup;
        connection_watch(connection);
    }
}

/* Takes the request, if it is there. May free the connection. */
static void connection_read(struct connection *connection)
{
    struct lookup_server *server = connection->server;
    union {
        struct wire_request request;
        uint32_t bytes[512];
    } buffer;
    enum wire_error error;
    ssize_t size;
    usec_t now;

    size = recv(connection->fd, &buffer, sizeof(buffer), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        connection_watch(connection);
        return;
    }
    if (size <= 0) {
        connection_free(connection);
        return;
    }
    connection->asked = true;
    server->counters.requests++;
    error = wire_request_check(&buffer, (size_t)size);
    if (error != WIRE_OK) {
        server->counters.malformed++;
        send_reply(server, connection->fd, error, NULL, 0);
        connection_free(connection);
        return;
    }
    now = clock_now(server->event);
    connection_request(connection, &buffer.request, now);
}

/* The client sent its request, or (while it waits) went away. */
static int connection_event(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct connection *connection = userdata;

    (void)source;
    (void)fd;
    if (connection->asked || !(events & EPOLLIN))
        connection_free(connection);
    else
        connection_read(connection);
    return 0;
}

/* ---- accepting ---- */

static struct user *user_get(struct lookup_server *server, uid_t uid)
{
    struct user *user;

    HASH_FIND(hh, server->users, &uid, sizeof(uid), user);
    if (user)
        return user;
    user = calloc(1, sizeof(*user));
    if (!user)
        return NULL;
    user->uid = uid;
    HASH_ADD(hh, server->users, uid, sizeof(uid), user);
    return user;
}

static bool over_limit(const struct lookup_server *server, const struct user *user)
{
    if (server->connection_count >= server->limits.connections)
        return true;
    return user->uid != 0 && user->connections >= server->limits.connections_uid;
}

/* The connection stays the caller's. */
static void turn_away(struct lookup_server *server, int fd)
{
    struct wire_request request;
    ssize_t size;

    /* A socket that is closed with something to read in it takes the reply away from the client. */
    size = recv(fd, &request, sizeof(request), MSG_DONTWAIT);
    (void)size;
    send_reply(server, fd, WIRE_ERROR_OVERLOAD, NULL, 0);
    server->counters.refused++;
}

static void refuse(struct lookup_server *server, int fd, uid_t uid, usec_t now)
{
    turn_away(server, fd);
    close(fd);
    if (log_limit_pass(&server->overload_log, now))
        log_warning("lookup socket: connection of uid %u refused: %u of %u connections are open "
                    "(MaxConnections=, MaxConnectionsPerUser=%u)",
                    uid, server->connection_count, server->limits.connections,
                    server->limits.connections_uid);
}

static int connection_new(struct lookup_server *server, int fd, struct user *user, usec_t now)
{
    struct connection *connection = calloc(1, sizeof(*connection));

    if (!connection)
        return -ENOMEM;
    connection->server = server;
    connection->fd = fd;
    connection->user = user;
    connection->since = now;
    user->connections++;
    DL_APPEND(server->connections, connection);
    server->connection_count++;
    /* The request is mostly there already: one turn of the loop less. */
    connection_read(connection);
    return 0;
}

static void take_connection(struct lookup_server *server, int fd, usec_t now)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);
    struct user *user;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 ||
        !(user = user_get(server, peer.uid))) {
        close(fd);
        return;
    }
    if (over_limit(server, user)) {
        refuse(server, fd, peer.uid, now);
    } else if (connection_new(server, fd, user, now) < 0) {
        close(fd);
    } else {
        return;
    }
    if (user->connections == 0) {
        HASH_DEL(server->users, user);
        free(user);
    }
}

/* Until a connection closes or a second passes: the client that waits would wake the loop for ever.
 */
static void pause_accepting(struct lookup_server *server, int error, usec_t now)
{
    if (log_limit_pass(&server->accept_log, now))
        log_warning("lookup socket: no connection can be taken with %u open: %s",
                    server->connection_count, strerror(error));
    sd_event_source_set_enabled(server->source, SD_EVENT_OFF);
}

/* Tells one who waits. False: nobody does, or it cannot be told. */
static bool refuse_on_reserve(struct lookup_server *server, int error, usec_t now)
{
    int fd = reserve_accept(&server->reserve, server->fd);

    if (fd < 0) {
        if (fd != -EAGAIN)
            pause_accepting(server, -fd, now);
        return false;
    }
    turn_away(server, fd);
    reserve_end(&server->reserve, fd);
    if (log_limit_pass(&server->accept_log, now))
        log_warning("lookup socket: lookups are refused with %u connections open: %s "
                    "(LimitNOFILE= of nss-sdd.service)",
                    server->connection_count, strerror(error));
    return true;
}

/* False: there is nobody, or nobody can be taken now. */
static bool accept_one(struct lookup_server *server, usec_t now)
{
    int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0) {
        take_connection(server, fd, now);
        return true;
    }
    if (errno == EINTR || errno == ECONNABORTED)
        return true;
    if (errno == EMFILE || errno == ENFILE)
        return refuse_on_reserve(server, errno, now);
    if (errno != EAGAIN)
        pause_accepting(server, errno, now);
    return false;
}

static int accept_event(sd_event_source *source, int listen_fd, uint32_t events, void *userdata)
{
    struct lookup_server *server = userdata;
    usec_t now = clock_now(server->event);

    (void)source;
    (void)listen_fd;
    (void)events;
    for (unsigned i = 0; i < ACCEPT_BURST && accept_one(server, now); i++)
        ;
    return 0;
}

/* ---- the server ---- */

int lookup_server_new(struct sd_event *event, int fd, struct resolver *resolver,
                      const struct access_keeper *keeper, const struct lookup_limits *limits,
                      struct lookup_server **ret_server)
{
    struct lookup_server *server = calloc(1, sizeof(*server));
    int r;

    if (!server)
        return -ENOMEM;
    server->event = sd_event_ref(event);
    server->fd = fd;
    server->resolver = resolver;
    server->keeper = keeper;
    lookup_server_set_limits(server, limits);
    server->budget_log = (struct log_limit){.interval = 10 * USEC_PER_SEC, .burst = 1};
    server->reserve = (struct reserve){.fd = -1};
    reserve_take(&server->reserve);
    server->overload_log = (struct log_limit){.interval = 10 * USEC_PER_SEC, .burst = 1};
    server->accept_log = (struct log_limit){.interval = 10 * USEC_PER_SEC, .burst = 1};
    r = sd_event_add_io(event, &server->source, fd, EPOLLIN, accept_event, server);
    if (r < 0) {
        reserve_done(&server->reserve);
        sd_event_unref(server->event);
        free(server);
        return r;
    }
    *ret_server = server;
    return 0;
}

struct lookup_server *lookup_server_free(struct lookup_server *server)
{
    if (!server)
        return NULL;
    while (server->connections)
        connection_free(server->connections);
    sd_event_source_disable_unref(server->source);
    close(server->fd);
    accounts_done(&server->budgets);
    reserve_done(&server->reserve);
    sd_event_unref(server->event);
    free(server);
    return NULL;
}

void lookup_server_sweep(struct lookup_server *server, usec_t now)
{
    struct connection *connection, *next;

    reserve_take(&server->reserve);
    sd_event_source_set_enabled(server->source, SD_EVENT_ON);
    DL_FOREACH_SAFE (server->connections, connection, next) {
        /* The list is in order of age. */
        if (now < connection->since + REQUEST_DEADLINE)
            break;
        if (!connection->asked)
            connection_free(connection);
    }
}

void lookup_server_set_limits(struct lookup_server *server, const struct lookup_limits *limits)
{
    server->limits = *limits;
    server->budgets.connections_max = UINT_MAX;
    server->budgets.calls_per_second = limits->new_names_uid;
    server->budgets.calls_burst = NEW_NAMES_BURST * limits->new_names_uid;
}

unsigned lookup_server_connections(const struct lookup_server *server)
{
    return server->connection_count;
}

struct lookup_counters *lookup_server_counters(struct lookup_server *server)
{
    return &server->counters;
}
