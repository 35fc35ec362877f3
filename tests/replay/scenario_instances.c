/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What checks meet behind an address: an instance takes connections, refuses them, or lets them
 * wait. Whoever is not told to be sick works.
 */
#include "tests/replay/scenario_machine_internal.h"
#include "tests/unit/unit.h"

#include <utlist.h>

struct sick {
    char *address;
    bool silent; /* else it refuses */
    struct sick *prev, *next;
};

static struct sick *sick_find(const struct machine *machine, const char *address)
{
    struct sick *sick;

    DL_FOREACH (machine->sick, sick)
        if (streq(sick->address, address))
            return sick;
    return NULL;
}

static void sick_free(struct machine *machine, struct sick *sick)
{
    DL_DELETE(machine->sick, sick);
    free(sick->address);
    free(sick);
}

bool machine_instance(struct machine *machine, const char *address, const char *how)
{
    struct sick *sick = sick_find(machine, address);

    if (sick)
        sick_free(machine, sick);
    if (streq(how, "works"))
        return true;
    sick = calloc(1, sizeof(*sick));
    UNIT_HOLDS(sick);
    sick->address = strdup(address);
    sick->silent = streq(how, "is silent");
    DL_APPEND(machine->sick, sick);
    return sick->silent || streq(how, "refuses");
}

void machine_answer_checks(struct machine *machine, struct twin *twin)
{
    struct tcp_call *call;

    while ((call = twin_next_tcp(twin))) {
        const char *host = twin_tcp_request(call)->host;
        const struct sick *sick = sick_find(machine, host);

        machine_note(machine, "a check connects to %s%s", host,
                     !sick          ? ""
                     : sick->silent ? ", and waits"
                                    : ", and is refused");
        if (!sick || !sick->silent)
            twin_tcp_end(call, sick ? TCP_CALL_REFUSED : TCP_CALL_CONNECTED,
                         sick ? "refused" : "connected");
    }
}

void machine_sick_free(struct machine *machine)
{
    while (machine->sick)
        sick_free(machine, machine->sick);
}
