/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sdctl. Has the command line read (command.h), finds the verb, checks that the two fit, and
 * teaches: help for the whole and for every verb comes from the tables. What verbs do is in
 * verb_*.c.
 */
#include <config.h>

#include "ctl/command.h"
#include "daemon/config_word.h"

/* ---- verbs ---- */

static const struct verb verbs[] = {
    {"query", "NAME|ADDRESS...", 1, -1, OPTION_FAMILY | OPTION_TABLE,
     "Look names up, with ports, health and where the answer comes from",
     "Looks each NAME up as a program would that calls getaddrinfo(), and shows every instance\n"
     "that the registry knows: also those that are not handed out, with the reason (critical,\n"
     "another tag, ...), and the ports, which getaddrinfo() has no room for. The line below the\n"
     "table says what a program gets, how old the answer is and which registry it comes from:\n"
     "fresh answers are confirmed; stale ones outlived the registry's last word and are served\n"
     "because nothing better is known. An IP address is looked up in reverse. The exit status\n"
     "is 0 if every name was found.",
     "  sdctl query orders.sd.internal\n"
     "  sdctl query -6 web.service.consul\n"
     "  sdctl query --json orders.sd.internal | jq '.answer.endpoints[].ports'\n"
     "  sdctl query 10.0.0.5\n",
     verb_query},
    {"explain", "NAME...", 1, -1, OPTION_TABLE,
     "Tell why a name means what it does, and what to do",
     "Tells of each NAME in one line what is so and what to do about it, then all that it rests\n"
     "on: domain, registry and its last error, service, state and age; what the policy is, with\n"
     "the file and line that set it; host names that it leads to; what programs get now, from\n"
     "the view or from the daemon, for IPv4, IPv6 and both; whether nscd stands in front; and\n"
     "for every instance whether it is used, if not why, and how often it comes first. It looks\n"
     "names up with the module's own code. The exit status is 0 if programs find the service.",
     "  sdctl explain orders.service.consul\n"
     "  sdctl explain --json orders.service.consul | jq .odds\n",
     verb_explain},
    {"status", "", 0, 0, OPTION_TABLE, "Show the daemon and the state of every registry",
     "Shows the daemon and, for each configured registry, whether it is up and since when, when\n"
     "it last told something (one that is up tells nothing while nothing changes), how many\n"
     "services are known from it, how many of them are stale (served although nobody confirms\n"
     "them) and since when, when the first of these expires, and the registry's last error.",
     "  sdctl status\n"
     "  sdctl status --json | jq '.registries[] | select(.state != \"up\")'\n",
     verb_status},
    {"services", "[REGISTRY]", 0, 1, OPTION_TABLE | OPTION_STALE,
     "List the services that the daemon knows",
     "Lists the services that the daemon holds now (of one REGISTRY if given): their state, how\n"
     "many of their instances are usable, when the registry last confirmed them, for how much\n"
     "longer they are served if it does not, and when a program last asked. A service appears\n"
     "when it is first asked for.",
     "  sdctl services\n"
     "  sdctl services consul\n"
     "  sdctl services --stale\n",
     verb_services},
    {"statistics", "", 0, 0, OPTION_TABLE | OPTION_RESET, "Show what was counted",
     "Shows what the daemon counted since its start, or since --reset: lookups that reached it\n"
     "by what came out and how, how many waited for one name at a time, what readers of the view\n"
     "announced, and what every registry was asked and said. Lookups that the view answers are\n"
     "not counted: they cost no system call, so nobody sees them.\n"
     "--reset is for root and the members of ControlGroup=.",
     "  sdctl statistics\n"
     "  sdctl statistics --json | jq .lookups.timed_out\n"
     "  sdctl statistics --reset\n",
     verb_statistics},
    {"register", "[NAME]", 0, 1, OPTION_ID | OPTION_INSTANCE,
     "Add an instance to the local registry",
     "Adds an instance of the service NAME to the local registry, or replaces the one of the\n"
     "same --id; from the next lookup on programs reach it as NAME.sd.internal (or the domain\n"
     "that local.registry sets). Without --ttl it stays until it is deregistered, across\n"
     "restarts too; with it, it goes unless it is registered again (or passed) in time.\n"
     "With --check the daemon looks at the instance and hands it out only while it is well:\n"
     "http:PORT/PATH or a URL (2xx is passing, 429 a warning), tcp:PORT or tcp:HOST:PORT,\n"
     "grpc:PORT/SERVICE, ttl:TIME (kept alive by 'sdctl pass'). Until its first result an\n"
     "instance is critical, or what --check-status says. --definition reads all of it, further\n"
     "keys of checks too, from a file as in local.d ('-': from stdin), and takes no NAME.\n"
     "For root and the members of ControlGroup=.",
     "  sdctl register orders --address 10.0.0.5 --port 8080\n"
     "  sdctl register orders --id blue-1 --address 10.0.0.6 --address 2001:db8::6 --port 8080\n"
     "  sdctl register orders --target db.example.com --tag primary --weight 10 --ttl 30s\n"
     "  sdctl register orders --address 10.0.0.5 --port 8080 --check http:/readyz\n"
     "  sdctl register --definition orders.json\n",
     verb_register},
    {"deregister", "NAME", 1, 1, OPTION_ID, "Take instances out of the local registry",
     "Takes the instance --id of the service NAME out of the local registry, or without --id all\n"
     "that were registered with 'sdctl register'; the next lookup does not find it any more.\n"
     "For root and the members of ControlGroup=.",
     "  sdctl deregister orders --id blue-1\n"
     "  sdctl deregister orders\n",
     verb_deregister},
    {"pass", "ID", 1, 1, OPTION_NOTE, "Say that an instance with a ttl check is well",
     "Says that the instance ID of the local registry is well: its ttl checks are passing for\n"
     "their time to live from now, and a registration with --ttl lives that long anew. ID may be\n"
     "NAME/ID where several services have an instance of one id, or the id of one check.\n"
     "For root and the members of ControlGroup=.",
     "  sdctl pass orders-1\n"
     "  sdctl pass service:orders-1 --note 'queue length 7'\n",
     verb_pass},
    {"warn", "ID", 1, 1, OPTION_NOTE, "Say that it is overloaded, but can be used",
     "As 'sdctl pass', but its ttl checks are warning.\n"
     "For root and the members of ControlGroup=.",
     "  sdctl warn orders-1 --note 'disk nearly full'\n", verb_warn},
    {"fail", "ID", 1, 1, OPTION_NOTE, "Say that it must not be used",
     "As 'sdctl pass', but its ttl checks are critical: it is not handed out from now on.\n"
     "For root and the members of ControlGroup=.",
     "  sdctl fail orders-1 --note 'draining'\n", verb_fail},
    {"flush", "[NAME]", 0, 1, 0, "Forget what is known and ask the registries anew",
     "Forgets what the daemon knows of NAME, or of all names, and asks the registries anew. No\n"
     "registry's change ever needs this.\n"
     "For root and the members of ControlGroup=.",
     "  sdctl flush orders.service.consul\n"
     "  sdctl flush\n",
     verb_flush},
    {"reload", "", 0, 0, 0, "Read the configuration again",
     "Makes the daemon read its configuration again, and shows what is wrong with it. With an\n"
     "error in it, the configuration that runs stays in force.\n"
     "For root and the members of ControlGroup=.",
     "  sdctl reload\n"
     "  sdctl check && sdctl reload\n",
     verb_reload},
    {"monitor", "[NAME...]", 0, 64, OPTION_TABLE, "Follow what changes, as it happens",
     "Shows what changes from now on, a line each: instances that come, go or change their\n"
     "health, services that become stale, expire or are confirmed again, registries that go up\n"
     "or down. With NAMEs only what concerns their services, which stay in use meanwhile. Events\n"
     "wait for a slow reader, but not without end: how many are lost is told. With --json each\n"
     "event is an object on a line of its own. Ends with Ctrl-C.",
     "  sdctl monitor\n"
     "  sdctl monitor orders.service.consul\n"
     "  sdctl monitor --json | jq 'select(.what == \"removed\")'\n",
     verb_monitor},
    {"check", "[PATH...]", 0, -1, OPTION_CONFIG_DIRECTORY | OPTION_CHECK,
     "Check the configuration, without a daemon",
     "Reads the configuration as the daemon would and prints every mistake as\n"
     "FILE:LINE: error|warning: TEXT. Changes nothing and needs no running daemon. The exit\n"
     "status is 1 if there is an error.\n"
     "--scan looks in the text files below each PATH for addresses of instances of the services\n"
     "that are in use now, IPv4 and IPv6 in any spelling, and says which name to write instead.\n"
     "It follows no links, reads the first 16 MiB of a file, and leaves nss-sd's own files out.\n"
     "--services warns of services in use without a health check, with a single instance, with\n"
     "all instances in one zone, of TTLs above 300 s, of addresses in the place of host names,\n"
     "of checks that ask the liveness path, of two definitions with one id, and of a daemon that\n"
     "keeps nothing on disk.\n"
     "What --scan and --services find are warnings, which leave the exit status 0.",
     "  sdctl check\n"
     "  sdctl check --config-directory ./examples/local\n"
     "  sdctl check --services\n"
     "  sdctl check --scan /etc /opt/app\n",
     verb_check},
    {"doctor", "", 0, 0, OPTION_CONFIG_DIRECTORY | OPTION_DOCTOR,
     "Find what stands in the way, and say how to mend it",
     "Looks at nsswitch.conf, the module for every architecture, nscd, the configuration, the\n"
     "sockets and the view, the daemon and its registries, and AppArmor, and tries a lookup. Each\n"
     "finding is ok, a warning or an error, and says what to do ('->'). Changes nothing. The exit\n"
     "status is 1 if there is an error.",
     "  sudo sdctl doctor\n"
     "  sdctl doctor --binary /usr/bin/curl\n"
     "  sdctl doctor --profile /usr/sbin/named\n"
     "  sdctl doctor --root /var/lib/machines/web\n",
     verb_doctor},
    {"log-level", "[err|warning|notice|info|debug]", 0, 1, 0, "Show or set what the daemon logs",
     "Shows the level down to which the daemon logs, or sets it until the daemon ends. Setting it\n"
     "is for root and the members of ControlGroup=.",
     "  sdctl log-level debug\n", verb_log_level},
};

static const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < ELEMENTS(verbs); i++)
        if (streq(verbs[i].name, name))
            return &verbs[i];
    return NULL;
}

/* ---- help ---- */

static int print_verb_help(const struct verb *verb)
{
    printf("sdctl %s [OPTION...]%s%s\n\n%s.\n\n%s\n\nOptions:\n", verb->name,
           *verb->arguments ? " " : "", verb->arguments, verb->summary, verb->help);
    command_print_options(verb);
    printf("\nExamples:\n%s", verb->examples);
    return EXIT_SUCCESS;
}

static int print_help(void)
{
    printf(
        "sdctl [OPTION...] VERB [ARGUMENT...]\n\n"
        "Asks nss-sdd, the daemon behind 'sd' in the hosts: line of /etc/nsswitch.conf, which\n"
        "service names it knows and where they come from; registers services of this machine.\n\n"
        "Verbs:\n");
    for (size_t i = 0; i < ELEMENTS(verbs); i++) {
        char left[40];

        snprintf(left, sizeof(left), "%s %s", verbs[i].name,
                 strlen(verbs[i].arguments) > 16 ? "[LEVEL]" : verbs[i].arguments);
        printf("  %-24s %s\n", left, verbs[i].summary);
    }
    printf("  %-24s %s\n\nOptions of all verbs:\n", "help [VERB]", "Explain a verb, with examples");
    command_print_options(NULL);
    printf("\nExit status: 0 if all went well, 1 if not: also when a name was not found, when the\n"
           "configuration that was checked has errors, and when nss-sdd does not run.\n\n"
           "Start with 'sdctl status', then 'sdctl query NAME'.\n");
    return EXIT_SUCCESS;
}

static int complain_verb(const char *name)
{
    const char *words[ELEMENTS(verbs) + 2] = {0};
    const char *near;

    for (size_t i = 0; i < ELEMENTS(verbs); i++)
        words[i] = verbs[i].name;
    words[ELEMENTS(verbs)] = "help";
    near = config_nearest_word(name, words);
    if (near)
        return complain("There is no verb '%s'. Did you mean '%s'?", name, near);
    return complain("There is no verb '%s'. See 'sdctl --help'.", name);
}

static int run_help(int argc, char **argv)
{
    const struct verb *verb;

    if (argc == 0)
        return print_help();
    verb = verb_find(argv[0]);
    return verb ? print_verb_help(verb) : complain_verb(argv[0]);
}

/* ---- the program ---- */

static int run_verb(const struct command *command, const struct verb *verb, int argc, char **argv)
{
    const char *stray = command_stray_option(command, verb);

    if (stray)
        return complain("'%s' has no option --%s. See 'sdctl %s --help'.", verb->name, stray,
                        verb->name);
    if (argc < verb->least)
        return complain("'%s' needs an argument: %s. See 'sdctl %s --help'.", verb->name,
                        verb->arguments, verb->name);
    if (verb->most >= 0 && argc > verb->most)
        return complain("'%s' is one argument too many for '%s'. See 'sdctl %s --help'.",
                        argv[verb->most], verb->name, verb->name);
    return verb->run(&command->options, argc, argv);
}

/* What was printed has to have arrived: a full disk is a failure. */
static int finish(int result)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return complain("Cannot write: %s", strerror(errno));
    return result;
}

int main(int argc, char **argv)
{
    static struct command command;
    const struct verb *verb;
    int r = command_parse(argc, argv, &command);

    if (r != EXIT_SUCCESS)
        return r;
    argc -= optind;
    argv += optind;
    if (command.version) {
        printf("sdctl (nss-sd) %s\n", PACKAGE_VERSION);
        return finish(EXIT_SUCCESS);
    }
    if (argc > 0 && streq(argv[0], "help"))
        return finish(run_help(argc - 1, argv + 1));
    if (command.help)
        return finish(run_help(argc > 0 ? 1 : 0, argv));
    if (argc == 0)
        return complain("Say what to do: 'sdctl status', 'sdctl query NAME', ... "
                        "'sdctl --help' explains all verbs.");
    verb = verb_find(argv[0]);
    if (!verb)
        return complain_verb(argv[0]);
    return finish(run_verb(&command, verb, argc - 1, argv + 1));
}
