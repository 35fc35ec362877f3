/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * grpc_probe URL PATH [KEY=VALUE...]: makes one call with the daemon's own gRPC client.
 *
 * Lines of hexadecimal digits on standard input are messages; its end ends nothing. Prints a line
 * for each thing that it is told: "open", "message HEX", and, as the last one, "end CODE TEXT".
 * Keys: ca, cert, key, name, insecure, ping (milliseconds), timeout (likewise), single (HEX).
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-event.h>

#include "daemon/net/dns.h"
#include "daemon/net/grpc.h"

enum { LINE_SIZE = 256 * 1024 };

static sd_event *event;
static struct grpc_call *call;
static char line[LINE_SIZE];
static size_t used;

static void on_open(void *userdata)
{
    (void)userdata;
    puts("open");
    fflush(stdout);
}

static int on_message(void *userdata, const void *message, size_t size)
{
    const uint8_t *bytes = message;

    (void)userdata;
    fputs("message ", stdout);
    for (size_t i = 0; i < size; i++)
        printf("%02x", bytes[i]);
    puts("");
    fflush(stdout);
    return 0;
}

static void on_end(void *userdata, int status, const char *text)
{
    (void)userdata;
    printf("end %s %s\n", grpc_code_to_string(status), text);
    fflush(stdout);
    call = NULL;
    sd_event_exit(event, 0);
}

/* In place. */
static size_t from_hex(char *text)
{
    size_t size = 0;
    unsigned byte;

    for (const char *at = text; sscanf(at, "%2x", &byte) == 1; at += 2)
        text[size++] = (char)byte;
    return size;
}

static int on_input(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    ssize_t n = read(fd, line + used, sizeof(line) - used - 1);
    char *end;

    (void)events, (void)userdata;
    if (n <= 0)
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
    used += (size_t)n;
    line[used] = '\0';
    while ((end = strchr(line, '\n'))) {
        size_t rest = used - (size_t)(end + 1 - line);

        *end = '\0';
        if (call && grpc_send(call, line, from_hex(line)) < 0)
            puts("not sent");
        memmove(line, end + 1, rest + 1);
        used = rest;
    }
    return 0;
}

static void take_option(struct grpc_request *request, struct http_tls *tls, char *word)
{
    char *value = strchr(word, '=');

    if (!value)
        return;
    *value++ = '\0';
    if (streq(word, "ca"))
        tls->ca_file = value;
    else if (streq(word, "cert"))
        tls->cert_file = value;
    else if (streq(word, "key"))
        tls->key_file = value;
    else if (streq(word, "name"))
        tls->server_name = value;
    else if (streq(word, "insecure"))
        tls->insecure = true;
    else if (streq(word, "ping"))
        request->ping_interval = strtoul(value, NULL, 10) * USEC_PER_MSEC;
    else if (streq(word, "timeout"))
        request->timeout = strtoul(value, NULL, 10) * USEC_PER_MSEC;
    else if (streq(word, "single")) {
        request->message_size = from_hex(value);
        request->message = value;
        request->single = true;
    }
}

int main(int argc, char **argv)
{
    static const struct grpc_handler handler = {on_open, on_message, on_end};
    struct http_tls tls = {0};
    struct grpc_request request = {.tls = &tls, .handler = &handler};
    struct grpc_client *client;
    struct dns_client *dns;

    if (argc < 3)
        return 2;
    request.url = argv[1];
    request.path = argv[2];
    for (int i = 3; i < argc; i++)
        take_option(&request, &tls, argv[i]);
    signal(SIGPIPE, SIG_IGN);
    if (sd_event_default(&event) < 0 || dns_client_new(event, &dns) < 0 ||
        grpc_client_new(event, dns, &client) < 0 || grpc_open(client, &request, &call) < 0)
        return 1;
    sd_event_add_io(event, NULL, 0, EPOLLIN, on_input, NULL);
    sd_event_loop(event);
    grpc_client_free(client);
    dns_client_free(dns);
    sd_event_unref(event);
    return 0;
}
