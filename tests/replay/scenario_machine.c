/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/replay/scenario_machine_internal.h"
#include "tests/unit/unit.h"

#include "daemon/config.h"
#include "daemon/log.h"
#include "daemon/rules.h"
#include "nss-sd/wire.h"

#include <ftw.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <utlist.h>

#define START          (1000000 * USEC_PER_SEC)
#define SECOND         USEC_PER_SEC
#define SWEEP_INTERVAL (60 * USEC_PER_SEC)
#define REALTIME_AHEAD (1700000000 * (int64_t)USEC_PER_SEC)

enum { STEPS_MAX = 1000000 }; /* at one instant */

/* A registry of the daemon that runs, its world, and its server. */
struct inhabitant {
    struct machine *machine;
    struct registry *registry;
    struct twin *twin;
    struct server *server;
    struct inhabitant *prev, *next;
};

struct named_server {
    char *name;
    struct server *server;
    struct named_server *prev, *next;
};

struct notice {
    char *key;
    enum store_notice notice;
    struct notice *prev, *next;
};

/* ---- failures, transcript, chance ---- */

void machine_fail(struct machine *machine, const char *format, ...)
{
    char text[8192];
    va_list arguments;

    if (machine->failure)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    ck_assert_int_gt(
        asprintf(&machine->failure, "%s:%u: %s", machine->file ?: "?", machine->line, text), 0);
}

const char *machine_failure(const struct machine *machine)
{
    return machine->failure;
}

void machine_at_line(struct machine *machine, const char *file, unsigned line)
{
    if (!machine->file || !streq(machine->file, file)) {
        free(machine->file);
        machine->file = strdup(file);
    }
    machine->line = line;
}

void machine_note(struct machine *machine, const char *format, ...)
{
    va_list arguments;

    if (!machine->transcript)
        return;
    fprintf(machine->transcript, "%13.6f ", (double)(machine->now - START) / (double)USEC_PER_SEC);
    va_start(arguments, format);
    vfprintf(machine->transcript, format, arguments);
    va_end(arguments);
    fputc('\n', machine->transcript);
}

/* splitmix64 */
uint64_t machine_random(struct machine *machine)
{
    uint64_t x = machine->random += 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

usec_t machine_now(const struct machine *machine)
{
    return machine->now;
}

usec_t machine_began(const struct machine *machine)
{
    (void)machine;
    return START;
}

/* ---- files ---- */

void machine_path(const struct machine *machine, const char *part, const char *path,
                  char ret_path[static 4096])
{
    snprintf(ret_path, 4096, "%s/%s%s%s", machine->directory, part, path ? "/" : "", path ?: "");
}

static void make_directory(struct machine *machine, const char *path)
{
    char full[4096];

    machine_path(machine, path, NULL, full);
    UNIT_HOLDS_MSG(mkdir(full, 0755) == 0, "%s: %s", full, strerror(errno));
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
    (void)status, (void)flag, (void)walk;
    return remove(path);
}

static void remove_tree(const struct machine *machine, const char *path)
{
    char full[4096];

    machine_path(machine, path ?: "", NULL, full);
    UNIT_HOLDS(nftw(full, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

void machine_write(struct machine *machine, const char *path, const char *content)
{
    struct inhabitant *inhabitant;
    char full[4096];
    FILE *file;

    machine_path(machine, "config", path, full);
    if (content) {
        file = fopen(full, "w");
        UNIT_HOLDS_MSG(file, "%s: %s", full, strerror(errno));
        UNIT_HOLDS(fputs(content, file) >= 0);
        UNIT_HOLDS(fclose(file) == 0);
    } else if (unlink(full) < 0) {
        machine_fail(machine, "there is no %s", path);
    }
    DL_FOREACH (machine->inhabitants, inhabitant)
        twin_path_touched(inhabitant->twin, full);
}

/* ---- registries and their twins ---- */

static void observe_http(void *userdata, struct http_call *call)
{
    server_take(((struct inhabitant *)userdata)->server, call);
}

static void observe_http_gone(void *userdata, struct http_call *call)
{
    server_forget(((struct inhabitant *)userdata)->server, call);
}

static void observe_dns(void *userdata, struct dns_call *call)
{
    dns_script_take(((struct inhabitant *)userdata)->machine->dns, call);
}

static void observe_dns_gone(void *userdata, struct dns_call *call)
{
    dns_script_forget(((struct inhabitant *)userdata)->machine->dns, call);
}

static void observe_report(void *userdata, struct registry *registry,
                           const struct registry_report *report)
{
    struct machine *machine = ((struct inhabitant *)userdata)->machine;

    machine_note(machine, "%s reports %d %s %s", registry->config->name, (int)report->kind,
                 report->key ?: "", report->text ?: "");
    registries_report(machine->registries, registry, report);
}

static int hook_env_new(void *userdata, struct registry *registry, struct registry_env **ret_env)
{
    struct machine *machine = userdata;
    struct inhabitant *inhabitant = calloc(1, sizeof(*inhabitant));
    char state[4096], config[4096];

    UNIT_HOLDS(inhabitant);
    machine_path(machine, "state", NULL, state);
    machine_path(machine, "config", NULL, config);
    inhabitant->machine = machine;
    inhabitant->registry = registry;
    inhabitant->server = machine_server(machine, registry->config->name);
    if (!inhabitant->server) {
        free(inhabitant);
        return -ENOENT;
    }
    inhabitant->twin = twin_attach(registry,
                                   &(struct twin_options){.state_directory = state,
                                                          .config_directory = config,
                                                          .seed = machine_random(machine)},
                                   &(struct twin_observer){.http = observe_http,
                                                           .http_gone = observe_http_gone,
                                                           .dns = observe_dns,
                                                           .dns_gone = observe_dns_gone,
                                                           .report = observe_report,
                                                           .userdata = inhabitant},
                                   machine->now);
    twin_set_realtime_ahead(inhabitant->twin, machine->realtime_ahead);
    DL_APPEND(machine->inhabitants, inhabitant);
    *ret_env = twin_env(inhabitant->twin);
    return 0;
}

static struct inhabitant *inhabitant_of(const struct machine *machine,
                                        const struct registry *registry)
{
    struct inhabitant *inhabitant;

    DL_FOREACH (machine->inhabitants, inhabitant)
        if (inhabitant->registry == registry)
            return inhabitant;
    return NULL;
}

static struct machine *machine_of_env; /* env_free() has no userdata */

static struct registry_env *hook_env_free(struct registry_env *env)
{
    struct inhabitant *inhabitant = inhabitant_of(machine_of_env, env->registry);

    DL_DELETE(machine_of_env->inhabitants, inhabitant);
    twin_detach(inhabitant->twin);
    free(inhabitant);
    return NULL;
}

static struct twin *twin_at(const struct machine *machine, unsigned index)
{
    struct registry_facts facts;
    struct inhabitant *inhabitant;

    registries_facts(machine->registries, index, &facts);
    inhabitant = facts.registry ? inhabitant_of(machine, facts.registry) : NULL;
    return inhabitant ? inhabitant->twin : NULL;
}

static int call_verb(struct machine *machine, unsigned index, const char *verb, const char *key,
                     int (*call)(void *userdata, unsigned index, const char *key))
{
    struct twin *twin = twin_at(machine, index);
    int r;

    machine_note(machine, "%s %s", verb, key);
    if (twin)
        twin_enter_verb(twin, verb, key);
    r = call(machine->registries, index, key);
    if (twin)
        twin_leave_verb(twin);
    return r;
}

static int hook_want(void *userdata, unsigned index, const char *key)
{
    return call_verb(userdata, index, "want", key, registries_want);
}

static int hook_refresh(void *userdata, unsigned index, const char *key)
{
    return call_verb(userdata, index, "refresh", key, registries_refresh);
}

static int drop(void *userdata, unsigned index, const char *key)
{
    registries_drop(userdata, index, key);
    return 0;
}

static void hook_drop(void *userdata, unsigned index, const char *key)
{
    call_verb(userdata, index, "drop", key, drop);
}

/* ---- the core's other needs; as in the manager ---- */

static usec_t hook_now(void *userdata)
{
    return ((struct machine *)userdata)->now;
}

static uint64_t hook_random(void *userdata)
{
    return machine_random(userdata);
}

static void hook_wake(void *userdata)
{
    ((struct machine *)userdata)->awake = true;
}

static int hook_query(void *userdata, const struct dns_question *question,
                      struct dns_call **ret_call)
{
    return dns_script_ask(((struct machine *)userdata)->dns, question, ret_call);
}

static void hook_cancel(void *userdata, struct dns_call *call)
{
    dns_script_cancel(((struct machine *)userdata)->dns, call);
}

static bool hook_owner(void *userdata, const char *name, struct resolver_owner *ret_owner)
{
    return registries_owner(((struct machine *)userdata)->registries, name, ret_owner);
}

static enum registry_meaning hook_meaning(void *userdata, const struct resolver_owner *owner,
                                          const char *name, struct registry_target *ret_target)
{
    return registries_meaning(((struct machine *)userdata)->registries, owner, name, ret_target);
}

static int hook_reverse(void *userdata, const struct address *address,
                        char ret_name[static NAME_SIZE])
{
    return registries_reverse(((struct machine *)userdata)->registries, address, ret_name);
}

static const char *hook_refusal(void *userdata, unsigned registry, const struct address *address)
{
    return registries_refusal(((struct machine *)userdata)->registries, registry, address);
}

static void hook_policy(void *userdata, const char *name, struct resolver_policy *ret_policy)
{
    rules_policy(((struct machine *)userdata)->config, name, ret_policy);
}

static bool hook_view_policy(void *userdata, const char *name, unsigned *ret_limit)
{
    return rules_view(((struct machine *)userdata)->config, name, ret_limit);
}

static bool hook_vetoed(void *userdata, const char *name, unsigned registry, const char *key,
                        const struct endpoint *endpoint)
{
    return veto_judge(((struct machine *)userdata)->veto, name, registry, key, endpoint);
}

static bool veto_rules_of(void *userdata, const char *name, struct veto_rules *ret_rules)
{
    return rules_veto(((struct machine *)userdata)->config, name, ret_rules);
}

static void veto_changed(void *userdata, unsigned registry, const char *key)
{
    struct machine *machine = userdata;
    struct service *service = store_find(machine->store, registry, key);

    machine_note(machine, "vetoes of %s change", key);
    if (service)
        watch_list_notify(service_watchers(service));
}

static const char *registry_name(void *userdata, unsigned registry)
{
    struct registry_facts facts;

    registries_facts(((struct machine *)userdata)->registries, registry, &facts);
    return facts.name;
}

static void hook_evaluated(void *userdata, const char *name)
{
    veto_evaluated(((struct machine *)userdata)->veto, name);
}

static void hook_publish(void *userdata, const char *name, const struct evaluation *evaluation,
                         usec_t interest_at, usec_t now)
{
    publisher_publish(((struct machine *)userdata)->publisher, name, evaluation, interest_at, now);
}

static void hook_withdraw(void *userdata, const char *name)
{
    veto_withdraw(((struct machine *)userdata)->veto, name);
    publisher_withdraw(((struct machine *)userdata)->publisher, name);
}

static void hook_carried(void *userdata, const char *name)
{
    struct machine *machine = userdata;

    resolver_recall(machine->resolver, name, machine->now);
}

static void hook_notice(void *userdata, enum store_notice notice, const struct service_facts *facts)
{
    struct machine *machine = userdata;
    struct notice *kept = calloc(1, sizeof(*kept));

    UNIT_HOLDS(kept);
    kept->key = strdup(facts->key);
    kept->notice = notice;
    DL_APPEND(machine->notices, kept);
    machine_note(machine, "notice %d of %s", (int)notice, facts->key);
}

static void publish_header(struct machine *machine)
{
    const struct config_resolve *global = &machine->config->resolve;
    struct resolver_owner owners[VIEW_DOMAINS_MAX];
    struct view_domain_spec domains[VIEW_DOMAINS_MAX];
    struct view_spec spec = {
        .domains = domains,
        .domain_count = registries_domains(machine->registries, owners, ELEMENTS(owners)),
        .search = (const char *const *)global->search,
        .search_count = config_strings_count(global->search),
        .ndots = global->ndots,
        .lookup_timeout = global->lookup_timeout,
    };
    int r;

    for (size_t i = 0; i < spec.domain_count; i++)
        domains[i] = (struct view_domain_spec){owners[i].domain, owners[i].shared};
    r = publisher_open(machine->publisher, &spec, resolver_names(machine->resolver), machine->now);
    UNIT_HOLDS(r >= 0);
    if (r <= 0)
        return;
    machine_view_forget(machine);
    resolver_republish(machine->resolver, false);
}

static void registry_reported(void *userdata, unsigned index, const struct registry_report *report)
{
    struct machine *machine = userdata;

    store_report(machine->store, index, report, machine->now);
    if (report->kind == REPORT_UP || report->kind == REPORT_SYNCED) {
        publisher_live(machine->publisher, index);
        machine->awake = true;
    } else if (report->kind == REPORT_DOWN || (report->kind == REPORT_FAILED && !report->key)) {
        publisher_lost(machine->publisher, index, machine->now);
    } else if (report->kind == REPORT_DOMAINS) {
        publish_header(machine);
    }
}

static void registry_added(void *userdata, unsigned index, const struct registry_config *config)
{
    struct machine *machine = userdata;
    struct freshness_rules rules = rules_freshness(&machine->config->resolve, config);

    store_registry_add(machine->store, index, &rules, config->max_services);
    store_registry_fetches(machine->store, index, config->type->asks ? config->max_fetches : 0);
    store_registry_fetches(machine->store, index, config->type->asks ? config->max_fetches : 0);
}

static void registry_changed(void *userdata, unsigned index, const struct registry_config *config,
                             bool restarted)
{
    struct machine *machine = userdata;
    struct freshness_rules rules = rules_freshness(&machine->config->resolve, config);

    store_registry_rules(machine->store, index, &rules, config->max_services, machine->now);
    store_registry_fetches(machine->store, index, config->type->asks ? config->max_fetches : 0);
    store_registry_fetches(machine->store, index, config->type->asks ? config->max_fetches : 0);
    if (!restarted)
        return;
    publisher_lost(machine->publisher, index, machine->now);
    store_rewant(machine->store, index, machine->now);
}

static void registry_removed(void *userdata, unsigned index)
{
    struct machine *machine = userdata;

    publisher_gone(machine->publisher, index);
    store_registry_remove(machine->store, index);
}

/* ---- life of the daemon ---- */

/* Checks of policies are nobody's registry: they have a twin of their own. */
static void make_veto(struct machine *machine)
{
    static struct registry_config config = {.name = (char *)"vetoes"};
    static const struct registry_type type = {.name = "vetoes"};
    static struct registry nobody = {.type = &type, .config = &config};
    struct inhabitant *checker = calloc(1, sizeof(*checker));

    UNIT_HOLDS(checker);
    checker->machine = machine;
    checker->registry = &nobody;
    checker->twin = twin_attach(
        &nobody, &(struct twin_options){.seed = machine_random(machine)},
        &(struct twin_observer){.report = observe_report, .userdata = checker}, machine->now);
    DL_APPEND(machine->inhabitants, checker);
    machine->checker = checker;
    machine->veto = veto_new(
        twin_env(checker->twin),
        &(struct veto_hooks){veto_rules_of, veto_changed, registry_name, NULL, machine});
}

static void end_veto(struct machine *machine)
{
    machine->veto = veto_free(machine->veto);
    DL_DELETE(machine->inhabitants, machine->checker);
    twin_detach(machine->checker->twin);
    free(machine->checker);
}

unsigned machine_checked(const struct machine *machine)
{
    struct veto_summary summary;

    veto_summarize(machine->veto, &summary);
    return summary.endpoints;
}

static void make_core(struct machine *machine)
{
    struct chase_rules chase_rules = rules_chase(&machine->config->resolve);
    struct resolver_rules resolver_rules = rules_resolver(&machine->config->resolve);
    machine->resolver_hooks = (struct resolver_hooks){
        .owner = hook_owner,
        .meaning = hook_meaning,
        .reverse = hook_reverse,
        .refusal = hook_refusal,
        .policy = hook_policy,
        .vetoed = hook_vetoed,
        .evaluated = hook_evaluated,
        .publish = hook_publish,
        .withdraw = hook_withdraw,
        .wake = hook_wake,
        .random = hook_random,
        .userdata = machine,
    };
    machine->publisher = publisher_new(
        machine->runtime,
        &(struct publisher_hooks){hook_view_policy, hook_reverse, hook_carried, NULL, machine});
    machine->store = store_new(&(struct store_hooks){.want = hook_want,
                                                     .refresh = hook_refresh,
                                                     .drop = hook_drop,
                                                     .random = hook_random,
                                                     .notice = hook_notice,
                                                     .userdata = machine});
    machine->chase = chase_new(&(struct chase_hooks){hook_query, hook_cancel, hook_now, machine},
                               &chase_rules);
    machine->registries = registries_new(&(struct registries_hooks){.env_new = hook_env_new,
                                                                    .env_free = hook_env_free,
                                                                    .report = registry_reported,
                                                                    .added = registry_added,
                                                                    .changed = registry_changed,
                                                                    .removed = registry_removed,
                                                                    .now = hook_now,
                                                                    .userdata = machine});
    make_veto(machine);
    machine->resolver = resolver_new(&machine->resolver_hooks, machine->store, machine->chase,
                                     &resolver_rules);
}

static struct config *load_config(struct machine *machine)
{
    char directory[4096];
    struct config *config;

    machine_path(machine, "config", NULL, directory);
    config_messages_done(&machine->messages);
    machine->messages = (struct config_messages){0};
    UNIT_HOLDS(config_load(directory, &machine->messages, &config) == 0);
    return machine->messages.errors > 0 ? config_free(config) : config;
}

static const char *first_message(const struct machine *machine)
{
    return machine->messages.count > 0 ? machine->messages.items[0].text : "errors";
}

void machine_start(struct machine *machine)
{
    machine->config = load_config(machine);
    if (!machine->config) {
        machine_fail(machine, "the configuration: %s", first_message(machine));
        return;
    }
    machine->swept_at = machine->redrawn_at = machine->now;
    machine->deadline = machine->ageing = USEC_INFINITY;
    machine->beat_at = machine->now + SECOND;
    make_core(machine);
    machine->running = true;
    registries_apply(machine->registries, machine->config);
    publish_header(machine);
    machine_settle(machine);
}

bool machine_running(const struct machine *machine)
{
    return machine->running;
}

static void stop_daemon(struct machine *machine)
{
    struct notice *notice, *next;

    if (!machine->running)
        return;
    machine->running = false;
    resolver_free(machine->resolver);
    registries_free(machine->registries);
    chase_free(machine->chase);
    store_free(machine->store);
    end_veto(machine);
    publisher_beat(machine->publisher, machine->now);
    publisher_free(machine->publisher);
    machine_view_forget(machine);
    config_free(machine->config);
    DL_FOREACH_SAFE (machine->notices, notice, next) {
        free(notice->key);
        free(notice);
    }
    machine->notices = NULL;
}

void machine_restart(struct machine *machine)
{
    stop_daemon(machine);
    machine_start(machine);
}

/* ---- last-known-good over a reboot: what the snapshot keeps (snapshot.h), without its files ----
 */

struct memory {
    char *registry, *key, *alias;
    struct endpoint_set *endpoints;
    uint32_t flags;
    usec_t confirmed_at, doubted_until;
    struct memory *prev, *next;
};

struct remembering {
    struct machine *machine;
    unsigned registry;
    struct memory *memories;
};

static void remember_shelved(void *userdata, const struct store_memory *known)
{
    struct remembering *remembering = userdata;
    struct memory *memory = calloc(1, sizeof(*memory));
    struct registry_facts registry;

    UNIT_HOLDS(memory);
    registries_facts(remembering->machine->registries, remembering->registry, &registry);
    memory->registry = strdup(registry.name);
    memory->key = strdup(known->key);
    memory->alias = known->alias ? strdup(known->alias) : NULL;
    memory->endpoints = known->endpoints ? endpoint_set_ref(known->endpoints) : NULL;
    memory->flags = known->flags;
    memory->confirmed_at = known->confirmed_at;
    memory->doubted_until = known->doubted_until;
    DL_APPEND(remembering->memories, memory);
}

static void remember(void *userdata, struct service *service)
{
    struct remembering *remembering = userdata;
    struct service_facts facts;

    service_facts(service, remembering->machine->now, &facts);
    if (facts.state == FRESHNESS_FRESH || facts.state == FRESHNESS_STALE)
        remember_shelved(remembering,
                         &(struct store_memory){
                             .key = facts.key,
                             .endpoints = facts.endpoints,
                             .alias = facts.alias,
                             .flags = facts.flags,
                             .confirmed_at = facts.confirmed_at,
                             .doubted_until = facts.suspect || facts.held ? facts.stale_until : 0});
}

static void restore(struct machine *machine, struct memory *memory)
{
    int index = machine->running ? registries_find(machine->registries, memory->registry) : -1;

    if (index >= 0)
        store_restore(machine->store, (unsigned)index,
                      &(struct store_memory){.key = memory->key,
                                             .endpoints = memory->endpoints,
                                             .alias = memory->alias,
                                             .flags = memory->flags,
                                             .confirmed_at = memory->confirmed_at,
                                             .doubted_until = memory->doubted_until},
                      machine->now);
    endpoint_set_unref(memory->endpoints);
    free(memory->registry);
    free(memory->key);
    free(memory->alias);
    free(memory);
}

void machine_reboot(struct machine *machine)
{
    struct remembering remembering = {.machine = machine};
    struct memory *memory, *next;

    for (unsigned *i = &remembering.registry; *i < STORE_REGISTRIES_MAX; ++*i) {
        store_each(machine->store, *i, remember, &remembering);
        store_each_shelved(machine->store, *i, remember_shelved, &remembering);
    }
    stop_daemon(machine);
    remove_tree(machine, "run");
    make_directory(machine, "run");
    machine_start(machine);
    DL_FOREACH_SAFE (remembering.memories, memory, next)
        restore(machine, memory);
    machine_settle(machine);
}

const char *machine_reload(struct machine *machine)
{
    struct config *config = load_config(machine), *old = machine->config;
    struct resolver_rules resolver_rules;
    struct chase_rules chase_rules;

    if (!config)
        return first_message(machine);
    machine->config = config;
    veto_reload(machine->veto);
    store_reload_begin(machine->store);
    registries_apply(machine->registries, config);
    resolver_rules = rules_resolver(&config->resolve);
    resolver_set_rules(machine->resolver, &resolver_rules);
    resolver_run(machine->resolver, machine->now);
    store_reload_end(machine->store, machine->now);
    chase_rules = rules_chase(&config->resolve);
    chase_set_rules(machine->chase, &chase_rules);
    registries_kick(machine->registries);
    publish_header(machine);
    config_free(old);
    machine_settle(machine);
    return NULL;
}

struct machine *machine_new(uint64_t seed, FILE *transcript)
{
    struct machine *machine = calloc(1, sizeof(*machine));

    UNIT_HOLDS(machine);
    log_set_level(LOG_CRIT);
    strcpy(machine->directory, "/dev/shm/nss-sd-test.XXXXXX");
    UNIT_HOLDS(mkdtemp(machine->directory));
    snprintf(machine->runtime, sizeof(machine->runtime), "%s/run", machine->directory);
    make_directory(machine, "config");
    make_directory(machine, "config/registries.d");
    make_directory(machine, "config/services.d");
    make_directory(machine, "config/local.d");
    make_directory(machine, "run");
    make_directory(machine, "state");
    machine->now = START;
    machine->realtime_ahead = REALTIME_AHEAD;
    machine->random = seed;
    machine->transcript = transcript;
    machine->dns = dns_script_new(machine);
    machine_of_env = machine;
    return machine;
}

struct machine *machine_free(struct machine *machine)
{
    struct named_server *server, *next;

    if (!machine)
        return NULL;
    stop_daemon(machine);
    DL_FOREACH_SAFE (machine->servers, server, next) {
        server_free(server->server);
        free(server->name);
        free(server);
    }
    dns_script_free(machine->dns);
    machine_sick_free(machine);
    config_messages_done(&machine->messages);
    remove_tree(machine, NULL);
    free(machine->failure);
    free(machine->file);
    free(machine);
    return NULL;
}

void machine_add_server(struct machine *machine, const char *name, const char *type)
{
    struct named_server *server;

    if (machine_server(machine, name))
        return;
    server = calloc(1, sizeof(*server));
    UNIT_HOLDS(server);
    server->name = strdup(name);
    server->server = server_new(machine, name, type);
    DL_APPEND(machine->servers, server);
}

struct server *machine_server(struct machine *machine, const char *registry)
{
    struct named_server *server;

    DL_FOREACH (machine->servers, server)
        if (streq(server->name, registry))
            return server->server;
    return NULL;
}

struct dns_script *machine_dns(struct machine *machine)
{
    return machine->dns;
}

/* ---- time ---- */

static usec_t earlier(usec_t a, usec_t b)
{
    return a < b ? a : b;
}

static usec_t whole_second(usec_t t)
{
    return t == USEC_INFINITY ? t : (t + SECOND - 1) / SECOND * SECOND;
}

/* What the manager does every second; here only in those seconds in which it matters. */
static void beat(struct machine *machine)
{
    usec_t due;

    publisher_beat(machine->publisher, machine->now);
    due = whole_second(chase_sweep(machine->chase, machine->now));
    if (machine->now >= machine->swept_at + SWEEP_INTERVAL) {
        machine->swept_at = machine->now;
        resolver_sweep(machine->resolver, machine->now);
        store_sweep(machine->store, machine->config->resolve.idle, machine->now);
    }
    if (due <= machine->now)
        due = machine->now + SECOND;
    machine->beat_at = earlier(due, whole_second(machine->swept_at + SWEEP_INTERVAL));
}

void machine_settle(struct machine *machine)
{
    if (!machine->running)
        return;
    do {
        machine->awake = false;
        machine->ageing = store_tick(machine->store, machine->now);
        resolver_run(machine->resolver, machine->now);
        if (publisher_settle(machine->publisher, machine->now))
            publish_header(machine);
        machine->deadline = resolver_expire(machine->resolver, machine->now);
    } while (machine->awake);
}

static void set_now(struct machine *machine, usec_t now)
{
    struct inhabitant *inhabitant;

    machine->now = now;
    DL_FOREACH (machine->inhabitants, inhabitant)
        twin_set_now(inhabitant->twin, now);
}

static usec_t next_due(const struct machine *machine)
{
    struct named_server *server;
    struct inhabitant *inhabitant;
    usec_t due = earlier(earlier(machine->deadline, machine->ageing), machine->beat_at);

    due = earlier(due, dns_script_due(machine->dns));
    DL_FOREACH (machine->servers, server)
        due = earlier(due, server_due(server->server));
    DL_FOREACH (machine->inhabitants, inhabitant)
        due = earlier(due, twin_due(inhabitant->twin));
    return due;
}

static void step(struct machine *machine)
{
    struct named_server *server;
    struct inhabitant *inhabitant;

    DL_FOREACH (machine->inhabitants, inhabitant)
        twin_advance(inhabitant->twin, 0);
    DL_FOREACH (machine->inhabitants, inhabitant)
        machine_answer_checks(machine, inhabitant->twin);
    DL_FOREACH (machine->servers, server)
        server_run(server->server, machine->now);
    dns_script_run(machine->dns, machine->now);
    machine_settle(machine);
    if (machine->now >= machine->beat_at) {
        beat(machine);
        machine_settle(machine);
    } else {
        machine->beat_at = earlier(machine->beat_at, (machine->now / SECOND + 1) * SECOND);
    }
    DL_FOREACH (machine->inhabitants, inhabitant)
        twin_prune(inhabitant->twin);
}

void machine_run_until(struct machine *machine, usec_t t)
{
    unsigned steps = 0;

    while (!machine->failure) {
        usec_t due = next_due(machine);

        if (due > t)
            break;
        if (due > machine->now) {
            set_now(machine, due);
            steps = 0;
        } else if (++steps > STEPS_MAX) {
            machine_fail(machine, "things happen without end at one instant");
        }
        step(machine);
    }
    if (t > machine->now)
        set_now(machine, t);
}

/* As the manager, when it sees that it did not run. */
void machine_suspend(struct machine *machine, usec_t duration)
{
    usec_t since = machine->now;
    struct named_server *server;

    set_now(machine, since + duration);
    machine->swept_at = machine->now;
    for (unsigned i = 0; i < REGISTRIES_MAX; i++)
        if (store_doubt(machine->store, i, since, machine->now)) {
            publisher_lost(machine->publisher, i, since);
            publisher_live(machine->publisher, i);
        }
    DL_FOREACH (machine->servers, server)
        server_break(server->server);
    machine_kick(machine);
    machine_run_until(machine, machine->now);
}

void machine_jump_date(struct machine *machine, int64_t ahead)
{
    struct inhabitant *inhabitant;

    machine->realtime_ahead += ahead;
    DL_FOREACH (machine->inhabitants, inhabitant)
        twin_set_realtime_ahead(inhabitant->twin, machine->realtime_ahead);
}

/* ---- an operator ---- */

void machine_kick(struct machine *machine)
{
    chase_kick(machine->chase, machine->now);
    veto_hurry(machine->veto);
    registries_kick(machine->registries);
    machine_settle(machine);
}

/* The registry and key of a name; NULL: it has none. */
static const char *target_of(struct machine *machine, const char *name, unsigned *ret_registry,
                             struct registry_target *ret_target)
{
    struct resolver_owner owner;

    if (!registries_owner(machine->registries, name, &owner) ||
        registries_meaning(machine->registries, &owner, name, ret_target) != REGISTRY_TARGET)
        return NULL;
    *ret_registry = owner.registry;
    return ret_target->key;
}

void machine_flush(struct machine *machine, const char *name)
{
    struct registry_target target;
    unsigned registry;
    const char *key = target_of(machine, name, &registry, &target);
    struct service *service = key ? store_find(machine->store, registry, key) : NULL;

    if (service)
        store_flush(machine->store, service, machine->now);
    else
        machine_fail(machine, "%s: no service in use", name);
    machine_settle(machine);
}

struct registry *machine_registry(struct machine *machine, const char *name)
{
    int index = registries_find(machine->registries, name);
    struct registry_facts facts;

    if (index < 0)
        return NULL;
    registries_facts(machine->registries, (unsigned)index, &facts);
    return facts.registry;
}

bool machine_service(struct machine *machine, const char *registry, const char *key,
                     struct service_facts *ret_facts)
{
    int index = registries_find(machine->registries, registry);
    struct service *service = index < 0 ? NULL : store_find(machine->store, (unsigned)index, key);

    if (service)
        service_facts(service, machine->now, ret_facts);
    return service != NULL;
}

void machine_notices(struct machine *machine, const char *key, char *ret_text, size_t size)
{
    static const char *const words[] = {
        [STORE_NOTICE_STALE] = "stale",     [STORE_NOTICE_EXPIRING] = "expiring",
        [STORE_NOTICE_EXPIRED] = "expired", [STORE_NOTICE_EMPTY_PROTECTION] = "protected",
        [STORE_NOTICE_SUSPECT] = "suspect", [STORE_NOTICE_CONFIRMED] = "confirmed",
    };
    struct notice *notice, *next;
    size_t at = 0;

    snprintf(ret_text, size, "none");
    DL_FOREACH_SAFE (machine->notices, notice, next) {
        if (!streq(notice->key, key))
            continue;
        at += (size_t)snprintf(ret_text + at, size - at, "%s%s", at ? " " : "",
                               words[notice->notice]);
        UNIT_HOLDS(at < size);
        DL_DELETE(machine->notices, notice);
        free(notice->key);
        free(notice);
    }
}

unsigned machine_logged(struct machine *machine, const char *registry, const char *part)
{
    int index = registries_find(machine->registries, registry);
    struct twin *twin = index < 0 ? NULL : twin_at(machine, (unsigned)index);

    return twin ? twin_log_count(twin, LOG_WARNING, part) + twin_log_count(twin, LOG_ERR, part) : 0;
}
