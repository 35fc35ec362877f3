/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a program gets of the machine: by the socket, and from the view. */
#include "nss-sd/wire.h"
#include "tests/replay/scenario_machine_internal.h"
#include "tests/unit/unit.h"

static int compare_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void print_found(const struct answer *answer, int family, struct reply *reply)
{
    char(*texts)[INET6_ADDRSTRLEN] = calloc((size_t)answer->head->count4 + answer->head->count6 + 1,
                                            sizeof(*texts));
    size_t count = 0, at;

    UNIT_HOLDS(texts);
    for (size_t i = 0; family != WIRE_IPV6 && i < answer->head->count4; i++) {
        struct address address = {.family = AF_INET};

        memcpy(address.bytes, answer->records4[i].address, 4);
        address_to_string(&address, texts[count++]);
    }
    for (size_t i = 0; family != WIRE_IPV4 && i < answer->head->count6; i++) {
        struct address address = {.family = AF_INET6};

        memcpy(address.bytes, answer->records6[i].address, 16);
        address_to_string(&address, texts[count++]);
    }
    qsort(texts, count, sizeof(*texts), compare_text);
    at = (size_t)snprintf(reply->text, sizeof(reply->text), "found");
    for (size_t i = 0; i < count && at < sizeof(reply->text); i++)
        at += (size_t)snprintf(reply->text + at, sizeof(reply->text) - at, " %s", texts[i]);
    free(texts);
}

static void print_reply(const struct answer *answer, int family, struct reply *reply)
{
    static const char *const words[] = {"", "found", "no-data", "absent", "undecided", "foreign"};
    struct evaluation both = {.status4 = answer->head->status4, .status6 = answer->head->status6};
    enum answer_status status = evaluation_status(&both, family);

    if (status == ANSWER_FOUND)
        print_found(answer, family, reply);
    else
        snprintf(reply->text, sizeof(reply->text), "%s", words[status]);
    snprintf(reply->name, sizeof(reply->name), "%s", answer->name);
    reply->stale = answer->head->flags & ANSWER_FLAG_STALE;
    reply->alias = answer->canonical != NULL;
    reply->canonical[0] = '\0';
    if (answer->canonical)
        snprintf(reply->canonical, sizeof(reply->canonical), "%.*s",
                 (int)answer->head->canonical_length, answer->canonical);
}

static usec_t age_of(const struct machine *machine, uint32_t confirmed_at)
{
    int32_t ticks = (int32_t)(ticks_from_usec(machine->now) - confirmed_at);

    return ticks > 0 ? (usec_t)ticks * PEEK_TICK : 0;
}

static void lookup_done(void *userdata, const void *payload, size_t size)
{
    struct seen *seen = userdata;
    struct answer answer;

    seen->lookup = NULL;
    seen->took = seen->machine->now - seen->since;
    UNIT_HOLDS(answer_parse(payload, size, &answer));
    print_reply(&answer, seen->family, &seen->reply);
    seen->reply.age = age_of(seen->machine, answer.head->confirmed_at);
    machine_note(seen->machine, "lookup %s: %s%s", seen->reply.name, seen->reply.text,
                 seen->reply.stale ? ", stale" : "");
}

void machine_lookup(struct machine *machine, const char *name, int family, struct seen *seen)
{
    char folded[NAME_SIZE];
    bool rooted;

    *seen = (struct seen){.machine = machine, .family = family, .since = machine->now};
    strcpy(seen->reply.text, "waiting");
    if (name_fold(name, strlen(name) + 1, folded, &rooted) == 0) {
        machine_fail(machine, "%s is no name", name);
        return;
    }
    UNIT_HOLDS(resolver_lookup(machine->resolver, folded, rooted, family, machine->now, NULL,
                               lookup_done, seen, &seen->lookup) == 0);
    machine_settle(machine);
}

void machine_cancel(struct seen *seen)
{
    lookup_cancel(seen->lookup);
    seen->lookup = NULL;
}

void machine_reverse(struct machine *machine, const char *address, struct seen *seen)
{
    struct address parsed;

    *seen = (struct seen){.machine = machine, .family = WIRE_UNSPEC, .since = machine->now};
    if (address_from_string(address, &parsed) < 0)
        machine_fail(machine, "%s is no address", address);
    else
        resolver_reverse(machine->resolver, &parsed, NULL, lookup_done, seen);
}

/* The clock of the slot, as the file has it. */
static const struct view_clock *clock_of(const struct peek *peek, const struct answer_head *head)
{
    const struct view_header *header = (const struct view_header *)peek->words;

    return head->clock < VIEW_CLOCKS_MAX ? &header->clocks[head->clock] : NULL;
}

static enum view_serve read_slot(struct machine *machine, const char *name, int family,
                                 struct reply *ret_reply)
{
    const struct view_header *header = (const struct view_header *)machine->view.words;
    uint32_t now = ticks_from_usec(machine->now);
    const struct view_clock *clock;
    struct peek_found found;
    enum view_serve serve;

    if (!peek_find(&machine->view, false, name, &found) &&
        !peek_find(&machine->view, true, name, &found))
        return VIEW_SERVE_NEVER;
    clock = clock_of(&machine->view, found.answer.head);
    serve = view_slot_serve(found.answer.head, clock, true, header->heartbeat, now);
    if (serve == VIEW_SERVE_NEVER)
        return serve;
    print_reply(&found.answer, family, ret_reply);
    if (clock) {
        ret_reply->stale = clock->state != VIEW_CLOCK_LIVE;
        ret_reply->age = ret_reply->stale ? age_of(machine, clock->confirmed_at) : 0;
    } else {
        ret_reply->stale = view_ticks_until(found.answer.head->fresh_until, now) <= 0 ||
                           (found.answer.head->flags & ANSWER_FLAG_STALE);
        ret_reply->age = age_of(machine, found.answer.head->confirmed_at);
    }
    if (view_ticks_until(found.answer.head->refresh_at, now) <= 0)
        resolver_touch(machine->resolver, name, machine->now);
    return serve;
}

/* The mapping stays until there is another file. */
static void view_open(struct machine *machine)
{
    char path[4096];

    if (machine->view.words)
        return;
    machine_path(machine, "run", "view", path);
    peek_open(&machine->view, path);
}

void machine_view_forget(struct machine *machine)
{
    if (machine->view.words)
        peek_close(&machine->view);
    machine->view.words = NULL;
}

enum view_serve machine_view(struct machine *machine, const char *name, int family,
                             struct reply *ret_reply)
{
    static const char *const words[] = {
        [VIEW_SERVE_NEVER] = "nothing", [VIEW_SERVE_NOW] = "", [VIEW_SERVE_LAST] = "last "};
    char folded[NAME_SIZE];
    enum view_serve serve;

    *ret_reply = (struct reply){0};
    if (name_fold(name, strlen(name) + 1, folded, NULL) == 0)
        return VIEW_SERVE_NEVER;
    publisher_beat(machine->publisher, machine->now);
    view_open(machine);
    serve = read_slot(machine, folded, family, ret_reply);
    machine_settle(machine);
    machine_note(machine, "view %s: %s%s", name, words[serve], ret_reply->text);
    return serve;
}
