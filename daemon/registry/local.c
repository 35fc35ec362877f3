/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The local registry (local.h): the verbs and the reports. Files, registrations and the index of
 * services are parts of their own in local/; here it is decided what is reported to whom.
 */
#include "daemon/registry/local.h"

#include <stdio.h>
#include <syslog.h>
#include <uthash.h>
#include <utlist.h>

#include "daemon/registry/local/checks.h"
#include "daemon/registry/local/definition.h"
#include "daemon/registry/local/files.h"
#include "daemon/registry/local/index.h"
#include "daemon/registry/local/registrations.h"

/* Each change of health makes its service anew as a whole: where they come in crowds, together. */
#define HEALTH_PAUSE (50 * USEC_PER_MSEC)

struct wanted {
    bool waiting;               /* for a first report */
    struct wanted *prev, *next; /* of the waiting ones */
    UT_hash_handle hh;
    char key[];
};

struct registry_local {
    struct registry base;
    struct local_index *index;
    struct local_files *files;
    struct local_registrations *registrations;
    struct local_checks *checks;
    struct wanted *wanted, *waiting;
    struct env_timer tell;   /* answers those that wait */
    struct env_timer settle; /* for what changed its health since: */
    usec_t settled_at;
    bool synced; /* all files were looked at once */
};

static struct registry_local *local(struct registry *registry)
{
    return (struct registry_local *)registry;
}

/* ---- reports ---- */

static void report_key(struct registry_local *self, struct wanted *wanted)
{
    struct endpoint_set *endpoints = local_index_endpoints(self->index, wanted->key);

    if (wanted->waiting) {
        wanted->waiting = false;
        DL_DELETE(self->waiting, wanted);
    }
    env_report(self->base.env, &(struct registry_report){
                                   .kind = endpoints ? REPORT_DATA : REPORT_ABSENT,
                                   .key = wanted->key,
                                   .endpoints = endpoints,
                                   .validity = REPORT_UNTIL_LOST,
                               });
}

static void tell_fired(struct env_timer *timer)
{
    struct registry_local *self = timer->owner;

    while (self->synced && self->waiting)
        report_key(self, self->waiting);
}

static void service_changed(void *userdata, const char *service, struct endpoint_set *before,
                            struct endpoint_set *after)
{
    struct registry_local *self = userdata;
    struct wanted *wanted;

    if (!self->synced)
        return;
    HASH_FIND_STR(self->wanted, service, wanted);
    if (wanted)
        report_key(self, wanted);
    else if (!before && after)
        env_report(self->base.env,
                   &(struct registry_report){.kind = REPORT_APPEARED, .key = service});
}

static void ids_clash(void *userdata, const char *service, const char *id, const char *winner,
                      const char *loser)
{
    struct registry_local *self = userdata;

    env_log(self->base.env, LOG_ERR, service,
            "Instance '%s' of %s is left out, %s already has one of this id", id,
            *loser ? loser : "the registrations", *winner ? winner : "another registration");
}

static bool judge(void *userdata, const char *service, const char *id, bool registered,
                  struct local_check_list *list, enum endpoint_health *ret_health)
{
    struct registry_local *self = userdata;

    return local_checks_judge(self->checks, service, id, registered, list, ret_health);
}

static void judged(void *userdata, const char *service)
{
    local_checks_judged(((struct registry_local *)userdata)->checks, service);
}

static void settle(struct registry_local *self, const char *service)
{
    local_index_settle(
        self->index, service,
        &(struct local_index_hooks){judge, judged, service_changed, ids_clash, self});
}

static void health_changed(void *userdata, const char *service)
{
    struct registry_local *self = userdata;
    usec_t now = env_now(self->base.env), next = usec_add(self->settled_at, HEALTH_PAUSE);

    local_index_touch(self->index, service);
    if (now < next && env_timer_set(self->base.env, &self->settle, next) >= 0)
        return;
    self->settled_at = now;
    settle(self, service);
}

static void settle_fired(struct env_timer *timer)
{
    struct registry_local *self = timer->owner;

    self->settled_at = env_now(self->base.env);
    settle(self, NULL);
}

static void instance_expelled(void *userdata, const char *service, const char *id)
{
    struct registry_local *self = userdata;

    local_registrations_remove(self->registrations, service, id);
    settle(self, service);
}

static void files_loaded(void *userdata)
{
    struct registry_local *self = userdata;

    settle(self, NULL);
    if (self->synced)
        return;
    self->synced = true;
    local_checks_settled(self->checks);
    env_report(self->base.env, &(struct registry_report){.kind = REPORT_UP});
    env_report(self->base.env, &(struct registry_report){.kind = REPORT_SYNCED});
    tell_fired(&self->tell);
}

static void registration_expired(void *userdata, const char *service)
{
    settle(userdata, service);
}

/* ---- names ---- */

/* The longest service name that fits below the canonical domain. */
static size_t name_max(const struct registry_config *config)
{
    return NAME_MAX_LENGTH - 1 - strlen(config->domains[0]);
}

static enum registry_meaning resolve(const struct registry *registry, const char *name,
                                     size_t relative, const char *domain,
                                     struct registry_target *ret_target)
{
    (void)registry, (void)domain;
    if (relative == 0)
        return REGISTRY_NO_DATA;
    memcpy(ret_target->key, name, relative);
    ret_target->key[relative] = '\0';
    ret_target->selector = (struct selector){.kind = SELECT_ALL};
    return REGISTRY_TARGET;
}

static int reverse(const struct registry *registry, const struct address *address,
                   char ret_name[static NAME_SIZE])
{
    const struct registry_local *self = (const struct registry_local *)registry;
    const char *service = local_index_reverse(self->index, address);

    if (!service)
        return -ENOENT;
    snprintf(ret_name, NAME_SIZE, "%s.%s", service, registry->config->domains[0]);
    return 0;
}

/* ---- wanted keys ---- */

static int tell_soon(struct registry_local *self, struct wanted *wanted)
{
    if (!wanted->waiting) {
        wanted->waiting = true;
        DL_APPEND(self->waiting, wanted);
    }
    return env_defer(self->base.env, &self->tell);
}

static int want(struct registry *registry, const char *key)
{
    struct registry_local *self = local(registry);
    struct wanted *wanted;

    HASH_FIND_STR(self->wanted, key, wanted);
    if (!wanted) {
        if (HASH_COUNT(self->wanted) >= registry->config->max_services)
            return -ENOSPC;
        wanted = calloc(1, sizeof(*wanted) + strlen(key) + 1);
        if (!wanted)
            return -ENOMEM;
        strcpy(wanted->key, key);
        HASH_ADD_STR(self->wanted, key, wanted);
    }
    return tell_soon(self, wanted);
}

/* What is known is always what the files say: it is said again. */
static int refresh(struct registry *registry, const char *key)
{
    struct registry_local *self = local(registry);
    struct wanted *wanted;

    HASH_FIND_STR(self->wanted, key, wanted);
    return wanted ? tell_soon(self, wanted) : -ENOENT;
}

static void wanted_free(struct registry_local *self, struct wanted *wanted)
{
    HASH_DEL(self->wanted, wanted);
    if (wanted->waiting)
        DL_DELETE(self->waiting, wanted);
    free(wanted);
}

static void drop(struct registry *registry, const char *key)
{
    struct registry_local *self = local(registry);
    struct wanted *wanted;

    HASH_FIND_STR(self->wanted, key, wanted);
    if (wanted)
        wanted_free(self, wanted);
}

static void kick(struct registry *registry)
{
    local_files_reread(local(registry)->files);
    local_checks_hurry(local(registry)->checks);
}

/* ---- registrations ---- */

/* The service that a name given by a person means: relative, or below a domain. 0 or -EINVAL. */
static int service_of(const struct registry *registry, const char *name,
                      char ret_service[static NAME_SIZE])
{
    size_t length = name_fold(name, SIZE_MAX, ret_service, NULL);

    for (char **domain = registry->config->domains; length > 0 && *domain; domain++)
        if (name_below(ret_service, length, *domain, strlen(*domain))) {
            size_t below = length - strlen(*domain);

            length = below > 0 ? below - 1 : 0;
            ret_service[length] = '\0';
            break;
        }
    return length > 0 && length <= name_max(registry->config) ? 0 : -EINVAL;
}

static int build(const char *service, const struct control_registration *registration,
                 struct endpoint_set **ret_set)
{
    _cleanup_(endpoint_builder_freep) struct endpoint_builder *builder = endpoint_builder_new();
    char id[LOCAL_ID_MAX + 1], address[INET6_ADDRSTRLEN];
    int r;

    if (!builder)
        return -ENOMEM;
    if (registration->address_count > 0)
        address_to_string(&registration->addresses[0], address);
    local_id_make(service, registration->address_count > 0 ? address : registration->target,
                  registration->port, id);
    endpoint_builder_begin(builder, registration->id && *registration->id ? registration->id : id);
    endpoint_builder_target(builder, registration->target);
    for (size_t i = 0; i < registration->address_count; i++)
        endpoint_builder_address(builder, &registration->addresses[i]);
    for (size_t i = 0; i < registration->tag_count; i++)
        endpoint_builder_tag(builder, registration->tags[i]);
    if (registration->port > 0)
        endpoint_builder_port(builder, "", "", registration->port);
    endpoint_builder_weight(builder, registration->weight);
    /* One that has to come again is checked by that. */
    endpoint_builder_checks(builder,
                            registration->ttl == USEC_INFINITY ? CHECKS_NONE : CHECKS_SOME);
    endpoint_builder_locality(builder, registration->zone, NULL);
    r = endpoint_builder_finish(builder, ret_set);
    return r == -E2BIG ? -EINVAL : r;
}

static int check(const struct registry_config *config,
                 const struct control_registration *registration)
{
    bool target = registration->target && *registration->target;
    struct address refused;

    for (size_t i = 0; i < registration->address_count; i++)
        if (registry_address_refusal(config, true, &registration->addresses[i]))
            return -EINVAL;
    if (local_check_list_refusal(registration->checks, config, &refused))
        return -EINVAL;
    if (target == (registration->address_count > 0))
        return -EINVAL;
    if (registration->weight < 1 || registration->weight > 65535 || registration->ttl == 0)
        return -EINVAL;
    if (registration->id && *registration->id && !local_id_ok(registration->id))
        return -EINVAL;
    return 0;
}

int registry_local_register(struct registry *registry,
                            const struct control_registration *registration, char **ret_id)
{
    struct registry_local *self = local(registry);
    _cleanup_(endpoint_set_unrefp) struct endpoint_set *set = NULL;
    _cleanup_(freep) char *id = NULL;
    char service[NAME_SIZE];
    int r = check(registry->config, registration);

    if (r == 0)
        r = service_of(registry, registration->name, service);
    if (r == 0)
        r = build(service, registration, &set);
    if (r < 0)
        return r;
    id = strdup(set->endpoints[0].name);
    if (!id)
        return -ENOMEM;
    if (local_index_find(self->index, NULL, service, id))
        return -EROFS;
    r = local_check_list_name(registration->checks, id);
    if (r == 0)
        r = local_registrations_set(self->registrations, service, set, registration->checks,
                                    registration->ttl);
    if (r < 0)
        return r;
    settle(self, service);
    *ret_id = id;
    id = NULL;
    return 0;
}

/* Why this instance of a definition may not be registered: 0, -EROFS or -EINVAL. */
static int check_instance(struct registry_local *self, const struct local_instance *instance)
{
    const struct endpoint *endpoint = &instance->endpoint->endpoints[0];
    const struct registry_config *config = self->base.config;
    struct address refused;

    for (size_t i = 0; i < endpoint->address_count; i++)
        if (registry_address_refusal(config, true, &endpoint->addresses[i]))
            return -EINVAL;
    if (local_check_list_refusal(instance->checks, config, &refused))
        return -EINVAL;
    return local_index_find(self->index, NULL, instance->service, endpoint->name) ? -EROFS : 0;
}

/* How many instances of a definition are not registered yet. */
static size_t count_new(const struct registry_local *self,
                        const struct local_definition *definition)
{
    size_t count = 0;

    for (size_t i = 0; i < definition->count; i++)
        count += !local_registrations_has(self->registrations, definition->instances[i].service,
                                          definition->instances[i].endpoint->endpoints[0].name);
    return count;
}

static json_t *definition_reply(const struct local_definition *definition)
{
    json_t *registered = json_array(), *warnings = json_array();

    for (size_t i = 0; i < definition->count; i++)
        json_array_append_new(
            registered, json_pack("{s:s, s:s}", "name", definition->instances[i].service, "id",
                                  definition->instances[i].endpoint->endpoints[0].name));
    for (size_t i = 0; i < LOCAL_WARNINGS_MAX && definition->warnings[i]; i++)
        json_array_append_new(warnings, json_string(definition->warnings[i]));
    return json_pack("{s:o, s:o}", "registered", registered, "warnings", warnings);
}

int registry_local_register_definition(struct registry *registry, json_t *document,
                                       json_t **ret_reply, char **ret_error)
{
    struct registry_local *self = local(registry);
    struct local_definition *definition;
    int r = local_definition_from_json(document, name_max(registry->config), &definition,
                                       ret_error);

    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < definition->count; i++)
        r = check_instance(self, &definition->instances[i]);
    if (r == 0 &&
        count_new(self, definition) > LOCAL_INSTANCES_MAX - local_index_instances(self->index))
        r = -ENOSPC;
    for (size_t i = 0; r == 0 && i < definition->count; i++)
        r = local_registrations_set(self->registrations, definition->instances[i].service,
                                    definition->instances[i].endpoint,
                                    definition->instances[i].checks, USEC_INFINITY);
    settle(self, NULL);
    if (r == 0)
        *ret_reply = definition_reply(definition);
    local_definition_free(definition);
    return r;
}

int registry_local_deregister(struct registry *registry, const char *name, const char *id)
{
    struct registry_local *self = local(registry);
    char service[NAME_SIZE];
    unsigned removed;
    int r = service_of(registry, name, service);

    if (r < 0)
        return r;
    id = id && *id ? id : NULL;
    removed = local_registrations_remove(self->registrations, service, id);
    settle(self, service);
    if (removed > 0)
        return (int)removed;
    return id ? (local_index_find(self->index, NULL, service, id) ? -EROFS : -ENOENT)
              : (local_index_endpoints(self->index, service) ? -EROFS : -ENOENT);
}

/* The instance that "SERVICE/ID" names; the name may end in a domain. */
static bool find_below(struct registry_local *self, const char *text,
                       char service[static NAME_SIZE], const char **ret_id)
{
    const char *slash = strchr(text, '/');
    char name[NAME_SIZE];

    if (!slash || slash == text || (size_t)(slash - text) >= sizeof(name))
        return false;
    snprintf(name, sizeof(name), "%.*s", (int)(slash - text), text);
    *ret_id = slash + 1;
    return service_of(&self->base, name, service) == 0 &&
           (local_index_find(self->index, NULL, service, *ret_id) ||
            local_index_find(self->index, LOCAL_REGISTERED, service, *ret_id));
}

/* What a word is about: `ret_check` NULL: all of the instance. 0, -ENOENT or -ENOTUNIQ. */
static int find_subject(struct registry_local *self, const char *text,
                        char service[static NAME_SIZE], const char **ret_id, const char **ret_check)
{
    const char *found;
    size_t count;

    *ret_check = NULL;
    if (find_below(self, text, service, ret_id))
        return 0;
    *ret_id = text;
    count = local_index_find_id(self->index, text, &found);
    if (count == 0) {
        *ret_check = text;
        count = local_checks_find(self->checks, text, &found, ret_id);
    }
    if (count != 1)
        return count == 0 ? -ENOENT : -ENOTUNIQ;
    snprintf(service, NAME_SIZE, "%s", found);
    return 0;
}

int registry_local_pass(struct registry *registry, const char *id, enum check_state state,
                        const char *note)
{
    struct registry_local *self = local(registry);
    char service[NAME_SIZE];
    const char *instance, *check_id;
    bool renewed;
    int r = find_subject(self, id, service, &instance, &check_id);

    if (r < 0)
        return r;
    renewed = local_registrations_renew(self->registrations, service, instance);
    r = local_checks_pass(self->checks, service, instance, check_id, state, note);
    settle(self, service);
    if (r == 0 && !(renewed && state == CHECK_PASSING))
        return -EINVAL;
    return r;
}

/* ---- configuration ---- */

static const struct config_item items[] = {
    {
        .key = "Directories",
        .parse = config_parse_strings,
        .offset = offsetof(struct local_settings, directories),
    },
    {NULL},
};

static void settings_done(void *settings)
{
    config_strings_free(((struct local_settings *)settings)->directories);
}

static int verify(const struct registry_config *config, struct config_messages *messages)
{
    const struct local_settings *settings = config->settings;
    size_t count = 0;
    int r = 0;

    for (; settings->directories && settings->directories[count]; count++)
        if (settings->directories[count][0] != '/') {
            config_complain(messages, config->file, 0, "Directories=: %s is no absolute path",
                            settings->directories[count]);
            r = -EINVAL;
        }
    if (count > LOCAL_DIRECTORIES_MAX) {
        config_complain(messages, config->file, 0, "Directories=: more than %d directories",
                        LOCAL_DIRECTORIES_MAX);
        r = -EINVAL;
    }
    return r;
}

/* Directories=, else local.d of --config-directory, else of the three roots. */
static int use_directories(struct registry_local *self, const struct registry_config *config)
{
    static const char *const of_roots[] = {
        SYSCONFDIR "/nss-sd/local.d",
        RUNSTATEDIR "/nss-sd/local.d",
        PREFIX "/lib/nss-sd/local.d",
        NULL,
    };
    const struct local_settings *settings = config->settings;
    const char *root = self->base.env->config_directory;
    _cleanup_(freep) char *one = NULL;

    if (settings->directories && settings->directories[0])
        return local_files_use(self->files, (const char *const *)settings->directories);
    if (!*root || streq(root, SYSCONFDIR "/nss-sd"))
        return local_files_use(self->files, of_roots);
    if (asprintf(&one, "%s/local.d", root) < 0)
        return -ENOMEM;
    return local_files_use(self->files, (const char *const[]){one, NULL});
}

/* ---- life ---- */

static void stop(struct registry *registry)
{
    struct registry_local *self = local(registry);
    struct wanted *wanted, *next;

    HASH_ITER (hh, self->wanted, wanted, next)
        wanted_free(self, wanted);
    env_timer_off(registry->env, &self->tell);
    env_timer_off(registry->env, &self->settle);
    self->files = local_files_free(self->files);
    self->checks = local_checks_free(self->checks);
    self->registrations = local_registrations_free(self->registrations);
    self->index = local_index_free(self->index);
}

static int start(struct registry *registry)
{
    struct registry_local *self = local(registry);
    size_t longest = name_max(registry->config);
    int r = -ENOMEM;

    self->tell = (struct env_timer){.fire = tell_fired, .owner = self};
    self->settle = (struct env_timer){.fire = settle_fired, .owner = self};
    self->index = local_index_new();
    if (self->index)
        r = local_checks_new(registry->env,
                             &(struct local_checks_hooks){health_changed, instance_expelled, self},
                             &self->checks);
    if (r == 0)
        r = local_registrations_new(registry->env, self->index, longest, registration_expired, self,
                                    &self->registrations);
    if (r == 0)
        r = local_files_new(registry->env, self->index, longest, files_loaded, self, &self->files);
    if (r == 0)
        r = use_directories(self, registry->config);
    if (r < 0)
        stop(registry);
    return r;
}

static int reload(struct registry *registry, const struct registry_config *config)
{
    if (!streq(config->domains[0], registry->config->domains[0]))
        return -EOPNOTSUPP;
    return use_directories(local(registry), config);
}

static void describe(const struct registry *registry, json_t *object)
{
    const struct registry_local *self = (const struct registry_local *)registry;

    local_files_describe(self->files, object);
    json_object_set_new(object, "Services",
                        json_integer((json_int_t)local_index_services(self->index)));
    json_object_set_new(object, "Instances",
                        json_integer((json_int_t)local_index_instances(self->index)));
    json_object_set_new(object, "Registered",
                        json_integer((json_int_t)local_registrations_count(self->registrations)));
    local_checks_describe(self->checks, object);
}

static json_t *checks_of(const struct registry *registry, const char *key, const char *endpoint)
{
    return local_checks_of(((const struct registry_local *)registry)->checks, key, endpoint);
}

static const char *const default_domains[] = {"sd.internal", NULL};

const struct registry_type registry_type_local = {
    .name = "local",
    .size = sizeof(struct registry_local),
    .items = items,
    .settings_size = sizeof(struct local_settings),
    .settings_done = settings_done,
    .default_domains = default_domains,
    .loopback_ok = true,
    .verify = verify,
    .start = start,
    .reload = reload,
    .resolve = resolve,
    .want = want,
    .refresh = refresh,
    .drop = drop,
    .kick = kick,
    .reverse = reverse,
    .checks = checks_of,
    .describe = describe,
    .stop = stop,
};
