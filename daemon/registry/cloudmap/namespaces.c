/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which namespaces there are (namespaces.h). */
#include "daemon/registry/cloudmap/namespaces.h"

#include <stdio.h>

#include "daemon/registry/cloudmap/cloudmap.h"
#include "daemon/registry/cloudmap/document.h"

#define RETRY_FIRST (2 * USEC_PER_SEC)
#define DENIED_WAIT (300 * USEC_PER_SEC)

static struct registry_env *env_of(const struct cloudmap_namespaces *namespaces)
{
    return namespaces->cloudmap->registry.env;
}

/* Are they set, in place of being found? */
static bool are_set(const struct cloudmap *cloudmap)
{
    return cloudmap_settings(cloudmap)->namespaces ||
           config_strings_count(cloudmap->registry.config->domains) > 0;
}

/* ---- lists ---- */

static void list_clear(struct cloudmap_namespace_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].http_name);
        free(list->items[i].id);
    }
    free(list->items);
    *list = (struct cloudmap_namespace_list){0};
}

static int list_add(struct cloudmap_namespace_list *list, const char *domain, const char *http_name,
                    const char *id)
{
    struct cloudmap_namespace *grown, *item;

    if (list->count == CLOUDMAP_NAMESPACES_MAX)
        return -E2BIG;
    grown = reallocarray(list->items, list->count + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    list->items = grown;
    item = &grown[list->count];
    *item = (struct cloudmap_namespace){.http_name = strdup(http_name), .id = strdup(id)};
    strcpy(item->domain, domain);
    list->count++;
    return item->http_name && item->id ? 0 : -ENOMEM;
}

static bool lists_equal(const struct cloudmap_namespace_list *a,
                        const struct cloudmap_namespace_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!streq(a->items[i].domain, b->items[i].domain) ||
            !streq(a->items[i].http_name, b->items[i].http_name))
            return false;
    return true;
}

const struct cloudmap_namespace *
cloudmap_namespaces_find(const struct cloudmap_namespaces *namespaces, const char *domain)
{
    for (size_t i = 0; i < namespaces->known.count; i++)
        if (streq(namespaces->known.items[i].domain, domain))
            return &namespaces->known.items[i];
    return NULL;
}

bool cloudmap_namespaces_sure(const struct cloudmap_namespaces *namespaces)
{
    return namespaces->listed || namespaces->denied;
}

/* ---- reports ---- */

static void report_domains(struct cloudmap_namespaces *namespaces)
{
    const struct cloudmap *cloudmap = namespaces->cloudmap;
    const struct cloudmap_namespace_list *known = &namespaces->known;
    char *const *set = cloudmap_settings(cloudmap)->namespaces;
    const char **domains = calloc(config_strings_count(set) + known->count + 1, sizeof(*domains));
    size_t count = 0;

    if (!domains)
        return;
    if (!are_set(cloudmap))
        for (size_t i = 0; i < known->count; i++)
            domains[count++] = known->items[i].domain;
    for (; set && *set; set++)
        domains[count++] = *set;
    env_report(env_of(namespaces),
               &(struct registry_report){.kind = REPORT_DOMAINS, .domains = domains});
    free(domains);
}

static void report_account(struct cloudmap_namespaces *namespaces)
{
    if (namespaces->coming_account[0] == '\0' ||
        streq(namespaces->account, namespaces->coming_account))
        return;
    strcpy(namespaces->account, namespaces->coming_account);
    env_report(env_of(namespaces),
               &(struct registry_report){.kind = REPORT_IDENTITY, .text = namespaces->account});
}

/* ---- listing ---- */

static void plan(struct cloudmap_namespaces *namespaces, usec_t delay)
{
    env_timer_set(env_of(namespaces), &namespaces->timer,
                  env_now(env_of(namespaces)) + env_jitter(env_of(namespaces), delay, 10));
}

static void settle(struct cloudmap_namespaces *namespaces)
{
    if (namespaces->settled)
        return;
    namespaces->settled = true;
    cloudmap_namespaces_settled(namespaces->cloudmap);
}

static bool is_wanted(const struct cloudmap *cloudmap, const struct cloudmap_namespace_entry *entry)
{
    char *const *lists[] = {cloudmap_settings(cloudmap)->namespaces,
                            cloudmap->registry.config->domains};

    if (!are_set(cloudmap))
        return !entry->is_public;
    for (size_t l = 0; l < ELEMENTS(lists); l++)
        for (size_t i = 0; lists[l] && lists[l][i]; i++)
            if (streq(lists[l][i], entry->domain))
                return true;
    return false;
}

/* "arn:aws:servicediscovery:REGION:ACCOUNT:namespace/ns-..." */
static void take_account(struct cloudmap_namespaces *namespaces, const char *arn)
{
    if (namespaces->coming_account[0] == '\0')
        sscanf(arn, "arn:%*[^:]:%*[^:]:%*[^:]:%15[0-9]", namespaces->coming_account);
}

static int found(void *userdata, const struct cloudmap_namespace_entry *entry)
{
    struct cloudmap_namespaces *namespaces = userdata;

    if (entry->http_name != entry->arn)
        take_account(namespaces, entry->arn);
    if (!is_wanted(namespaces->cloudmap, entry))
        return 0;
    return list_add(&namespaces->coming, entry->domain, entry->http_name, entry->id);
}

static void ask_page(struct cloudmap_namespaces *namespaces, const char *token)
{
    json_t *body = json_pack("{s:i, s:s*}", "MaxResults", 100, "NextToken", token);

    namespaces->pages++;
    if (cloudmap_call_start(&namespaces->call, CLOUDMAP_LIST_NAMESPACES,
                            json_dumps(body, JSON_COMPACT), true) < 0)
        plan(namespaces, RETRY_FIRST);
    json_decref(body);
}

static void failed(struct cloudmap_namespaces *namespaces, enum registry_failure failure,
                   usec_t retry_after, const char *text)
{
    usec_t wait = RETRY_FIRST << (namespaces->failures < 5 ? namespaces->failures : 5);

    list_clear(&namespaces->coming);
    namespaces->denied = failure == FAILURE_DENIED;
    if (namespaces->failures++ == 0 || (namespaces->denied && namespaces->failures == 1))
        env_log(env_of(namespaces), LOG_WARNING, NULL, "namespaces cannot be listed: %s; %s", text,
                are_set(namespaces->cloudmap)
                    ? "the API is asked for them by the names that are set"
                : namespaces->listed ? "those known stay in use"
                                     : "none is served until they can, or Namespaces= is set");
    if (!are_set(namespaces->cloudmap) && !namespaces->listed) {
        /* Said of the whole registry, it takes back that it is up. */
        namespaces->cloudmap->calls.told_up = false;
        env_report(
            env_of(namespaces),
            &(struct registry_report){.kind = REPORT_FAILED, .failure = failure, .text = text});
    }
    plan(namespaces, namespaces->denied ? DENIED_WAIT : wait > retry_after ? wait : retry_after);
    settle(namespaces);
}

static void adopt(struct cloudmap_namespaces *namespaces)
{
    bool news = !namespaces->listed || !lists_equal(&namespaces->known, &namespaces->coming);

    if (namespaces->failures > 0)
        env_log(env_of(namespaces), LOG_NOTICE, NULL, "namespaces can be listed again");
    list_clear(&namespaces->known);
    namespaces->known = namespaces->coming;
    namespaces->coming = (struct cloudmap_namespace_list){0};
    namespaces->listed = true;
    namespaces->denied = false;
    namespaces->failures = 0;
    plan(namespaces, cloudmap_settings(namespaces->cloudmap)->list_poll);
    report_account(namespaces);
    if (news && !are_set(namespaces->cloudmap))
        report_domains(namespaces);
    settle(namespaces);
}

static void answered(struct cloudmap_call *call, const struct cloudmap_answer *answer)
{
    struct cloudmap_namespaces *namespaces = call->owner;
    _cleanup_(freep) char *next = NULL;
    int r;

    if (answer->verdict != CLOUDMAP_ANSWERED) {
        failed(namespaces, answer->failure, answer->retry_after, answer->text);
        return;
    }
    r = cloudmap_document_namespaces(answer->body, answer->size, found, namespaces, &next);
    if (r == -E2BIG)
        failed(namespaces, FAILURE_CONFIG, 0, "there are too many: set Namespaces=");
    else if (r < 0)
        failed(namespaces, FAILURE_TRANSIENT, 0, "the answer to ListNamespaces is malformed");
    else if (next && namespaces->pages == CLOUDMAP_PAGES_MAX)
        failed(namespaces, FAILURE_TRANSIENT, 0, "ListNamespaces comes to no end");
    else if (next)
        ask_page(namespaces, next);
    else
        adopt(namespaces);
}

static void on_timer(struct env_timer *timer)
{
    struct cloudmap_namespaces *namespaces = timer->owner;

    if (cloudmap_call_is_open(&namespaces->call))
        return;
    list_clear(&namespaces->coming);
    namespaces->coming_account[0] = '\0';
    namespaces->pages = 0;
    ask_page(namespaces, NULL);
}

/* ---- life ---- */

void cloudmap_namespaces_kick(struct cloudmap_namespaces *namespaces)
{
    env_defer(env_of(namespaces), &namespaces->timer);
}

void cloudmap_namespaces_init(struct cloudmap_namespaces *namespaces, struct cloudmap *cloudmap)
{
    *namespaces = (struct cloudmap_namespaces){.cloudmap = cloudmap};
    namespaces->call = (struct cloudmap_call){
        .cloudmap = cloudmap, .done = answered, .owner = namespaces};
    namespaces->timer = (struct env_timer){.fire = on_timer, .owner = namespaces};
    if (cloudmap_settings(cloudmap)->namespaces)
        report_domains(namespaces);
    cloudmap_namespaces_kick(namespaces);
}

void cloudmap_namespaces_done(struct cloudmap_namespaces *namespaces)
{
    env_timer_off(env_of(namespaces), &namespaces->timer);
    cloudmap_call_cancel(&namespaces->call);
    list_clear(&namespaces->known);
    list_clear(&namespaces->coming);
}

void cloudmap_namespaces_describe(const struct cloudmap_namespaces *namespaces, json_t *object)
{
    char *const *set = cloudmap_settings(namespaces->cloudmap)->namespaces;
    json_t *names = json_array();

    for (; set && *set; set++)
        json_array_append_new(names, json_string(*set));
    for (size_t i = 0; i < namespaces->known.count && !are_set(namespaces->cloudmap); i++)
        json_array_append_new(names, json_string(namespaces->known.items[i].domain));
    json_object_set_new(object, "namespaces", names);
    json_object_set_new(object, "namespaces-listed", json_boolean(namespaces->listed));
    if (namespaces->account[0])
        json_object_set_new(object, "account", json_string(namespaces->account));
}
