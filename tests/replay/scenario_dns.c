/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The scripted DNS: host names that a scenario tells of; all others do not exist. */
#include "daemon/config_item.h"
#include "tests/replay/scenario_machine.h"
#include "tests/unit/unit.h"

#include <check.h>
#include <stdio.h>
#include <utlist.h>

#define ANSWER_DELAY (5 * USEC_PER_MSEC)
#define TTL_DEFAULT  (60 * USEC_PER_SEC)
#define TIMEOUT      (5 * USEC_PER_SEC)
enum { ADDRESSES_MAX = 32 };

struct host {
    char name[NAME_SIZE], canonical[NAME_SIZE];
    struct address addresses[ADDRESSES_MAX];
    size_t count;
    usec_t ttl;
    bool absent, fails[2], silent; /* fails: IPv4, IPv6 */
    unsigned calls;
    struct host *prev, *next;
};

/* A question of the core (`question`), or of a registry (`call`). */
struct pending {
    struct dns_question question;
    char name[NAME_SIZE];
    struct dns_call *call;
    usec_t due;
    struct pending *prev, *next;
};

struct dns_script {
    struct machine *machine;
    struct host *hosts;
    struct pending *pending;
};

struct dns_script *dns_script_new(struct machine *machine)
{
    struct dns_script *script = calloc(1, sizeof(*script));

    UNIT_HOLDS(script);
    script->machine = machine;
    return script;
}

struct dns_script *dns_script_free(struct dns_script *script)
{
    struct host *host, *next_host;
    struct pending *pending, *next;

    if (!script)
        return NULL;
    DL_FOREACH_SAFE (script->hosts, host, next_host)
        free(host);
    DL_FOREACH_SAFE (script->pending, pending, next)
        free(pending);
    free(script);
    return NULL;
}

static struct host *host_get(struct dns_script *script, const char *name)
{
    struct host *host;

    DL_FOREACH (script->hosts, host)
        if (streq(host->name, name))
            return host;
    host = calloc(1, sizeof(*host));
    UNIT_HOLDS(host);
    snprintf(host->name, sizeof(host->name), "%s", name);
    snprintf(host->canonical, sizeof(host->canonical), "%s", name);
    host->absent = true;
    DL_APPEND(script->hosts, host);
    return host;
}

unsigned dns_script_calls(const struct dns_script *script, const char *name)
{
    const struct host *host;

    DL_FOREACH (script->hosts, host)
        if (streq(host->name, name))
            return host->calls;
    return 0;
}

/* ---- questions ---- */

static struct pending *pending_new(struct dns_script *script, const struct dns_question *question)
{
    struct pending *pending = calloc(1, sizeof(*pending));
    struct host *host = host_get(script, question->name);

    UNIT_HOLDS(pending);
    pending->question = *question;
    snprintf(pending->name, sizeof(pending->name), "%s", question->name);
    pending->question.name = pending->name;
    pending->due = machine_now(script->machine) +
                   (host->silent ? question->timeout ?: TIMEOUT : ANSWER_DELAY);
    host->calls++;
    DL_APPEND(script->pending, pending);
    machine_note(script->machine, "dns <- %s type %d", pending->name, (int)question->type);
    return pending;
}

int dns_script_ask(struct dns_script *script, const struct dns_question *question,
                   struct dns_call **ret_call)
{
    *ret_call = (struct dns_call *)pending_new(script, question);
    return 0;
}

void dns_script_cancel(struct dns_script *script, struct dns_call *call)
{
    struct pending *pending = (struct pending *)call;

    DL_DELETE(script->pending, pending);
    free(pending);
}

void dns_script_take(struct dns_script *script, struct dns_call *call)
{
    pending_new(script, twin_dns_question(call))->call = call;
}

void dns_script_forget(struct dns_script *script, const struct dns_call *call)
{
    struct pending *pending, *next;

    DL_FOREACH_SAFE (script->pending, pending, next)
        if (pending->call == call) {
            DL_DELETE(script->pending, pending);
            free(pending);
        }
}

usec_t dns_script_due(const struct dns_script *script)
{
    const struct pending *pending;
    usec_t due = USEC_INFINITY;

    DL_FOREACH (script->pending, pending)
        due = pending->due < due ? pending->due : due;
    return due;
}

/* ---- answers ---- */

static void answer(struct dns_script *script, struct pending *pending)
{
    struct host *host = host_get(script, pending->name);
    int family = pending->question.type == DNS_AAAA ? AF_INET6 : AF_INET;
    struct address addresses[ADDRESSES_MAX];
    struct dns_result result = {
        .ttl = host->ttl, .canonical = host->canonical, .addresses = addresses, .text = ""};
    struct dns_question question = pending->question;
    struct dns_call *call = pending->call;
    char name[NAME_SIZE];

    memcpy(name, pending->name, sizeof(name));
    for (size_t i = 0; i < host->count; i++)
        if (host->addresses[i].family == family)
            addresses[result.address_count++] = host->addresses[i];
    result.outcome = result.address_count > 0 ? DNS_DATA : DNS_NODATA;
    if (host->silent || host->fails[family == AF_INET6]) {
        result = (struct dns_result){.outcome = DNS_FAILED, .text = "scripted failure"};
        result.canonical = name;
    } else if (host->absent) {
        result.outcome = DNS_NXDOMAIN;
    }
    DL_DELETE(script->pending, pending);
    free(pending);
    machine_note(script->machine, "dns -> %s outcome %d", name, (int)result.outcome);
    if (call)
        twin_dns_reply(call, &result);
    else
        question.done(question.userdata, &result);
}

void dns_script_run(struct dns_script *script, usec_t now)
{
    struct pending *pending = script->pending;

    while (pending) {
        if (pending->due > now) {
            pending = pending->next;
            continue;
        }
        answer(script, pending);
        pending = script->pending;
    }
}

/* ---- what a scenario says ---- */

static bool say_failure(struct host *host, char *const *words, size_t count)
{
    if (count == 1 && streq(words[0], "fails")) {
        host->fails[0] = host->fails[1] = true;
        return true;
    }
    if (count == 2 && streq(words[0], "fails")) {
        host->fails[0] = streq(words[1], "ipv4");
        host->fails[1] = streq(words[1], "ipv6");
        return host->fails[0] || host->fails[1];
    }
    if (count == 2 && streq(words[0], "is") && streq(words[1], "silent"))
        return host->silent = true;
    return false;
}

/* ADDRESS... [ttl TIME] [cname NAME] */
static bool say_data(struct host *host, char *const *words, size_t count)
{
    host->count = 0;
    host->absent = false;
    host->ttl = TTL_DEFAULT;
    snprintf(host->canonical, sizeof(host->canonical), "%s", host->name);
    for (size_t i = 0; i < count; i++) {
        if (streq(words[i], "ttl") && i + 1 < count) {
            if (config_duration_from_string(words[++i], &host->ttl) < 0)
                return false;
        } else if (streq(words[i], "cname") && i + 1 < count) {
            snprintf(host->canonical, sizeof(host->canonical), "%s", words[++i]);
        } else if (host->count == ADDRESSES_MAX ||
                   address_from_string(words[i], &host->addresses[host->count++]) < 0) {
            return false;
        }
    }
    return true;
}

void dns_script_say(struct dns_script *script, char *const *words, size_t count)
{
    struct host *host;

    if (count < 2) {
        machine_fail(script->machine, "dns HOST ADDRESS...|nxdomain|fails|is silent");
        return;
    }
    host = host_get(script, words[0]);
    host->fails[0] = host->fails[1] = host->silent = false;
    if (count == 2 && streq(words[1], "nxdomain")) {
        host->absent = true;
        host->ttl = TTL_DEFAULT;
    } else if (count == 2 && streq(words[1], "works")) {
        return;
    } else if (!say_failure(host, words + 1, count - 1) && !say_data(host, words + 1, count - 1)) {
        machine_fail(script->machine, "dns %s: what is '%s'?", words[0], words[1]);
    }
}
