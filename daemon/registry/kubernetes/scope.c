/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/kubernetes/scope.h"

#include <stdio.h>

#include "daemon/registry/json.h"
#include "daemon/registry/url_escape.h"

enum {
    NAMES_MAX = 8, /* of a namespace, one by one */
    NAMES_FEW = 4,
    SPACES_MAX = 32, /* namespaces as a whole */
    SPACES_FEW = 16,
    COLLECTIONS_MANY = 256,
    COLLECTIONS_FEW = 128,
    DENIALS_LASTING = 5,    /* before a denial is believed of what was granted before */
    COLLECTIONS_MAX = 1024, /* where the cluster as a whole is denied */
    ID_SIZE = 256,
    PATH_SIZE = 512,
};
#define LINGER       (10 * USEC_PER_SEC)
#define DENIED_TIME  (600 * USEC_PER_SEC)
#define SWEEP_PERIOD (5 * USEC_PER_SEC)

struct kubernetes_use {
    struct kubernetes_space *space;
    unsigned count;
    UT_hash_handle hh;
    char id[]; /* "NS/NAME" */
};

struct kubernetes_space {
    unsigned count; /* names in use */
    bool wide;
    usec_t denied_until;
    UT_hash_handle hh;
    char namespace[];
};

static struct registry_env *env_of(const struct kubernetes_scope *scope)
{
    return scope->options.registry->env;
}

static void id_make(char id[static ID_SIZE], const char *namespace, const char *name)
{
    snprintf(id, ID_SIZE, "%s/%s", namespace, name);
}

static struct kubernetes_collection *collection_find(const struct kubernetes_scope *scope,
                                                     const char *namespace, const char *name)
{
    struct kubernetes_collection *collection;
    char id[ID_SIZE];

    id_make(id, namespace, name);
    HASH_FIND_STR(scope->collections, id, collection);
    return collection;
}

static void sweep_later(struct kubernetes_scope *scope)
{
    if (!scope->sweep.impl)
        env_timer_set(env_of(scope), &scope->sweep, env_now(env_of(scope)) + SWEEP_PERIOD);
}

/* ---- what streams tell ---- */

static void on_replacing(void *owner)
{
    struct kubernetes_collection *collection = owner;
    struct kubernetes_scope *scope = collection->scope;

    collection->listing = true;
    scope->options.handler->replacing(scope->options.owner, scope, &collection->before);
}

/* May more than one collection tell of what this one covers? */
static bool has_rivals(const struct kubernetes_collection *collection)
{
    const struct kubernetes_scope *scope = collection->scope;

    return HASH_COUNT(scope->collections) > 1 &&
           (*collection->name == '\0' || collection_find(scope, collection->namespace, "") ||
            collection_find(scope, "", ""));
}

static void on_object(void *owner, const json_t *object, bool anew)
{
    struct kubernetes_collection *collection = owner;
    struct kubernetes_scope *scope = collection->scope;

    collection->objects++;
    collection->anew = anew;
    scope->options.handler->object(scope->options.owner, scope, collection, object,
                                   has_rivals(collection));
}

static void on_gone(void *owner, const json_t *object)
{
    struct kubernetes_collection *collection = owner;
    struct kubernetes_scope *scope = collection->scope;

    collection->objects++;
    scope->options.handler->gone(scope->options.owner, scope, collection, object);
}

static void confirmed(struct kubernetes_collection *collection)
{
    collection->failed = false;
    free(collection->text);
    collection->text = NULL;
    collection->retry_after = 0;
}

static void on_replaced(void *owner, bool restored)
{
    struct kubernetes_collection *collection = owner;
    struct kubernetes_scope *scope = collection->scope;

    confirmed(collection);
    collection->whole = true;
    collection->listing = false;
    collection->lists++;
    sweep_later(scope);
    scope->options.handler->replaced(scope->options.owner, scope, collection, collection->before,
                                     restored);
}

static void on_live(void *owner)
{
    struct kubernetes_collection *collection = owner;
    struct kubernetes_scope *scope = collection->scope;

    confirmed(collection);
    scope->options.handler->turned(scope->options.owner, scope, collection);
}

static void targets_open(struct kubernetes_scope *scope);

/*
 * Is it the right to it that is lacking? A token that is refused (401) is refused to the narrow
 * ones as well, and a server that has just started may deny for seconds what it grants: every host
 * would list name by name, many times what it cost before.
 */
static bool is_denied(const struct kubernetes_collection *collection)
{
    unsigned denials = kubernetes_stream_denials(collection->stream);

    return denials > 0 && (collection->lists == 0 || denials >= DENIALS_LASTING);
}

/* A wider collection that is denied is given up for a while: the narrow ones take its place. */
static void note_denied(struct kubernetes_collection *collection)
{
    struct kubernetes_scope *scope = collection->scope;
    usec_t until = env_now(env_of(scope)) + DENIED_TIME;
    struct kubernetes_space *space;

    if (scope->options.all || *collection->name)
        return;
    HASH_FIND_STR(scope->spaces, collection->namespace, space);
    if (*collection->namespace == '\0' && scope->wide) {
        scope->denied_until = until;
        scope->wide = false;
    } else if (space && space->wide) {
        space->denied_until = until;
        space->wide = false;
        scope->wide_spaces--;
    }
    targets_open(scope);
    sweep_later(scope);
}

static void note_failed(struct kubernetes_collection *collection, enum registry_failure failure,
                        const char *text, usec_t retry_after)
{
    char *copy = strdup(text);

    free(collection->text);
    collection->text = copy;
    collection->failed = true;
    collection->failure = failure;
    collection->retry_after = retry_after;
}

static void on_failed(void *owner, enum registry_failure failure, const char *text,
                      usec_t retry_after)
{
    struct kubernetes_collection *collection = owner;
    struct kubernetes_scope *scope = collection->scope;

    note_failed(collection, failure, text, retry_after);
    if (failure == FAILURE_DENIED && is_denied(collection))
        note_denied(collection);
    scope->options.handler->turned(scope->options.owner, scope, collection);
}

static const char missing_text[] =
    "HTTP 404: the server has no such resource; is its address that of a Kubernetes API?";

static void on_missing(void *owner)
{
    struct kubernetes_collection *collection = owner;
    struct kubernetes_scope *scope = collection->scope;

    if (scope->is_sought)
        return;
    note_failed(collection, FAILURE_CONFIG, missing_text, 0);
    if (scope->is_missing) {
        scope->options.handler->turned(scope->options.owner, scope, collection);
        return;
    }
    scope->is_missing = true;
    scope->is_sought = scope->options.handler->missing(scope->options.owner, scope);
    collection->failed = !scope->is_sought;
}

static const struct kubernetes_stream_handler stream_handler = {
    on_replacing, on_object, on_gone, on_replaced, on_failed, on_live, on_missing,
};

/* ---- collections ---- */

static void make_path(const struct kubernetes_scope *scope, const char *namespace,
                      char path[static PATH_SIZE])
{
    if (*namespace)
        snprintf(path, PATH_SIZE, "%s/namespaces/%s/%s", scope->group, namespace, scope->resource);
    else
        snprintf(path, PATH_SIZE, "%s/%s", scope->group, scope->resource);
}

/* NULL: no memory. */
static char *make_query(const struct kubernetes_scope *scope, const char *name)
{
    char *text = NULL;
    size_t size;
    FILE *query = open_memstream(&text, &size);

    if (!query)
        return NULL;
    if (*name)
        fprintf(query, "%s%s", scope->selector ?: "fieldSelector=metadata.name%3D", name);
    if (scope->options.labels) {
        fputs(*name ? "&labelSelector=" : "labelSelector=", query);
        url_escape(query, scope->options.labels, "/");
    }
    if (fclose(query) == 0)
        return text;
    free(text);
    return NULL;
}

static int collection_open(struct kubernetes_collection *collection)
{
    const struct kubernetes_scope *scope = collection->scope;
    _cleanup_(freep) char *query = make_query(scope, collection->name);
    char path[PATH_SIZE];

    if (!query)
        return -ENOMEM;
    make_path(scope, collection->namespace, path);
    return kubernetes_stream_new(
        scope->options.registry, scope->options.access,
        &(struct kubernetes_stream_options){.path = path,
                                            .query = query,
                                            .server = scope->options.server,
                                            .handler = &stream_handler,
                                            .owner = collection},
        &collection->stream);
}

/* But not its part in the table. */
static void collection_free(struct kubernetes_collection *collection)
{
    kubernetes_stream_free(collection->stream);
    free(collection->namespace);
    free(collection->name);
    free(collection->text);
    free(collection);
}

static int collection_new(struct kubernetes_scope *scope, const char *namespace, const char *name)
{
    struct kubernetes_collection *collection;
    char id[ID_SIZE];
    int r = 0;

    if (HASH_COUNT(scope->collections) >= COLLECTIONS_MAX)
        return -ENOSPC;
    id_make(id, namespace, name);
    collection = calloc(1, sizeof(*collection) + strlen(id) + 1);
    if (!collection)
        return -ENOMEM;
    strcpy(collection->id, id);
    collection->scope = scope;
    collection->namespace = strdup(namespace);
    collection->name = strdup(name);
    if (!collection->namespace || !collection->name)
        r = -ENOMEM;
    if (scope->is_missing && !scope->is_sought)
        note_failed(collection, FAILURE_CONFIG, missing_text, 0);
    else if (r == 0 && !scope->is_missing)
        r = collection_open(collection);
    if (r < 0) {
        collection_free(collection);
        return r;
    }
    HASH_ADD_STR(scope->collections, id, collection);
    return 0;
}

bool kubernetes_collection_covers(const struct kubernetes_collection *collection,
                                  const char *namespace, const char *name)
{
    return (*collection->namespace == '\0' || streq(collection->namespace, namespace)) &&
           (*collection->name == '\0' || streq(collection->name, name));
}

/* ---- which one tells of a name ---- */

/* Those that may, the widest first. */
static unsigned candidates(const struct kubernetes_scope *scope, const char *namespace,
                           const char *name, struct kubernetes_collection *ret_list[static 3])
{
    unsigned count = 0;

    ret_list[count] = collection_find(scope, "", "");
    count += ret_list[count] != NULL;
    if (*namespace) {
        ret_list[count] = collection_find(scope, namespace, "");
        count += ret_list[count] != NULL;
    }
    ret_list[count] = collection_find(scope, namespace, name);
    count += ret_list[count] != NULL;
    return count;
}

static bool is_good(const struct kubernetes_collection *collection)
{
    return collection->whole && !collection->failed;
}

enum kubernetes_cover kubernetes_scope_cover(const struct kubernetes_scope *scope,
                                             const char *namespace, const char *name,
                                             const struct kubernetes_collection **ret_collection)
{
    struct kubernetes_collection *list[3];
    unsigned count = candidates(scope, namespace, name, list);
    const struct kubernetes_collection *failed = NULL;

    for (unsigned i = 0; i < count; i++)
        if (is_good(list[i])) {
            *ret_collection = list[i];
            return KUBERNETES_COVER_WHOLE;
        }
    for (unsigned i = 0; i < count; i++) {
        if (!list[i]->failed) {
            *ret_collection = list[i];
            return KUBERNETES_COVER_ASKED;
        }
        /* A denied wider one says nothing of a name that is asked for by itself. */
        if (!failed || list[i]->failure != FAILURE_DENIED)
            failed = list[i];
    }
    *ret_collection = failed;
    return failed ? KUBERNETES_COVER_FAILED : KUBERNETES_COVER_NONE;
}

bool kubernetes_scope_shares(const struct kubernetes_scope *scope,
                             const struct kubernetes_collection *collection, const char *namespace,
                             const char *name)
{
    struct kubernetes_collection *list[3];
    unsigned count;

    if (HASH_COUNT(scope->collections) <= 1)
        return false; /* asked for every object that is held */
    count = candidates(scope, namespace, name, list);
    for (unsigned i = 0; i < count; i++)
        if (list[i] != collection && is_good(list[i]))
            return true;
    return false;
}

/* ---- which ones there should be ---- */

static void widen(struct kubernetes_scope *scope, struct kubernetes_space *space, usec_t now)
{
    bool has_spaces = space->namespace[0] != '\0';

    if (has_spaces && !space->wide && space->count > NAMES_MAX && now >= space->denied_until) {
        space->wide = true;
        scope->wide_spaces++;
    }
    if (scope->wide || scope->options.namespaces || now < scope->denied_until)
        return;
    scope->wide = has_spaces ? scope->wide_spaces > SPACES_MAX ||
                                   HASH_COUNT(scope->collections) >= COLLECTIONS_MANY
                             : space->count > NAMES_MAX;
}

static void narrow(struct kubernetes_scope *scope)
{
    struct kubernetes_space *space, *next, *nowhere;
    unsigned targets = 0;

    HASH_ITER (hh, scope->spaces, space, next) {
        if (space->wide && space->count <= NAMES_FEW) {
            space->wide = false;
            scope->wide_spaces--;
        }
        targets += space->wide ? 1 : space->count;
    }
    HASH_FIND_STR(scope->spaces, "", nowhere);
    if (scope->wide && scope->wide_spaces <= SPACES_FEW && targets <= COLLECTIONS_FEW &&
        (!nowhere || nowhere->count <= NAMES_FEW))
        scope->wide = false;
}

/* Makes the collection that a name is to be told by. */
static int target_open(struct kubernetes_scope *scope, const struct kubernetes_space *space,
                       const char *name, struct kubernetes_collection **ret_target)
{
    const char *namespace = scope->wide ? "" : space->namespace;
    const char *target = scope->wide || space->wide ? "" : name;
    int r = 0;

    *ret_target = collection_find(scope, namespace, target);
    if (!*ret_target)
        r = collection_new(scope, namespace, target);
    if (r == 0 && !*ret_target)
        *ret_target = collection_find(scope, namespace, target);
    return r;
}

static void mark(struct kubernetes_collection *collection)
{
    collection->unused_since = 0;
}

/* Marks what a name needs: its target, and till that is good whatever tells of it now. */
static void use_mark(struct kubernetes_scope *scope, const struct kubernetes_use *use)
{
    const char *name = strchr(use->id, '/') + 1;
    struct kubernetes_collection *target, *list[3];
    unsigned count;

    if (target_open(scope, use->space, name, &target) < 0)
        return;
    mark(target);
    if (is_good(target))
        return;
    count = candidates(scope, use->space->namespace, name, list);
    for (unsigned i = 0; i < count; i++)
        if (is_good(list[i]))
            mark(list[i]);
}

static void targets_open(struct kubernetes_scope *scope)
{
    const struct kubernetes_use *use;

    for (use = scope->uses; use; use = use->hh.next)
        use_mark(scope, use);
}

static void unused_free(struct kubernetes_scope *scope, usec_t now)
{
    struct kubernetes_collection *collection, *next;

    HASH_ITER (hh, scope->collections, collection, next) {
        if (collection->unused_since == 0 || now - collection->unused_since < LINGER)
            continue;
        HASH_DEL(scope->collections, collection);
        scope->options.handler->forget(scope->options.owner, scope, collection);
        collection_free(collection);
    }
}

static bool is_settled(const struct kubernetes_scope *scope)
{
    const struct kubernetes_collection *collection;

    for (collection = scope->collections; collection; collection = collection->hh.next)
        if (collection->unused_since != 0 || (!is_good(collection) && !*collection->name))
            return false;
    return !scope->wide && scope->wide_spaces == 0;
}

static void on_sweep(struct env_timer *timer)
{
    struct kubernetes_scope *scope = timer->owner;
    usec_t now = env_now(env_of(scope));
    struct kubernetes_collection *collection;

    if (scope->options.all)
        return;
    narrow(scope);
    for (collection = scope->collections; collection; collection = collection->hh.next)
        if (collection->unused_since == 0)
            collection->unused_since = now;
    targets_open(scope);
    unused_free(scope, now);
    if (!is_settled(scope))
        sweep_later(scope);
}

/* ---- for the owner ---- */

static struct kubernetes_space *space_get(struct kubernetes_scope *scope, const char *namespace)
{
    struct kubernetes_space *space;

    HASH_FIND_STR(scope->spaces, namespace, space);
    if (space)
        return space;
    space = calloc(1, sizeof(*space) + strlen(namespace) + 1);
    if (!space)
        return NULL;
    strcpy(space->namespace, namespace);
    HASH_ADD_STR(scope->spaces, namespace, space);
    return space;
}

static void space_release(struct kubernetes_scope *scope, struct kubernetes_space *space)
{
    if (space->count > 0)
        return;
    scope->wide_spaces -= space->wide;
    HASH_DEL(scope->spaces, space);
    free(space);
}

static int use_new(struct kubernetes_scope *scope, const char *namespace, const char *id,
                   struct kubernetes_use **ret_use)
{
    struct kubernetes_space *space = space_get(scope, namespace);
    struct kubernetes_use *use = space ? calloc(1, sizeof(*use) + strlen(id) + 1) : NULL;

    if (!use) {
        if (space)
            space_release(scope, space);
        return -ENOMEM;
    }
    strcpy(use->id, id);
    use->space = space;
    space->count++;
    HASH_ADD_STR(scope->uses, id, use);
    *ret_use = use;
    return 0;
}

static void use_free(struct kubernetes_scope *scope, struct kubernetes_use *use)
{
    HASH_DEL(scope->uses, use);
    use->space->count--;
    space_release(scope, use->space);
    free(use);
}

int kubernetes_scope_use(struct kubernetes_scope *scope, const char *namespace, const char *name)
{
    struct kubernetes_collection *target;
    struct kubernetes_use *use;
    char id[ID_SIZE];
    int r;

    if (scope->options.all)
        return 0;
    id_make(id, namespace, name);
    HASH_FIND_STR(scope->uses, id, use);
    if (use) {
        use->count++;
        return 0;
    }
    r = use_new(scope, namespace, id, &use);
    if (r < 0)
        return r;
    use->count = 1;
    widen(scope, use->space, env_now(env_of(scope)));
    r = target_open(scope, use->space, name, &target);
    if (r < 0) {
        use_free(scope, use);
        return r;
    }
    mark(target);
    sweep_later(scope);
    return 0;
}

void kubernetes_scope_drop(struct kubernetes_scope *scope, const char *namespace, const char *name)
{
    struct kubernetes_use *use;
    char id[ID_SIZE];

    id_make(id, namespace, name);
    HASH_FIND_STR(scope->uses, id, use);
    if (!use || --use->count > 0)
        return;
    use_free(scope, use);
    sweep_later(scope);
}

int kubernetes_scope_start(struct kubernetes_scope *scope)
{
    char *const *namespace = scope->options.namespaces;
    int r = 0;

    if (!namespace || scope->options.resource == KUBERNETES_NAMESPACES)
        return collection_new(scope, "", "");
    for (; *namespace && r == 0; namespace ++)
        r = collection_new(scope, *namespace, "");
    return r;
}

void kubernetes_scope_set(struct kubernetes_scope *scope, const char *group, const char *resource,
                          const char *selector)
{
    scope->group = group;
    scope->resource = resource;
    scope->selector = selector;
}

void kubernetes_scope_restart(struct kubernetes_scope *scope)
{
    struct kubernetes_collection *collection;

    scope->is_missing = scope->is_sought = false;
    for (collection = scope->collections; collection; collection = collection->hh.next) {
        collection->stream = kubernetes_stream_free(collection->stream);
        collection->whole = collection->listing = false;
        confirmed(collection);
        if (collection_open(collection) < 0)
            note_failed(collection, FAILURE_TRANSIENT, "no memory", 0);
    }
}

void kubernetes_scope_kick(struct kubernetes_scope *scope)
{
    struct kubernetes_collection *collection;

    for (collection = scope->collections; collection; collection = collection->hh.next)
        if (collection->stream)
            kubernetes_stream_kick(collection->stream);
}

void kubernetes_scope_relist(struct kubernetes_scope *scope)
{
    struct kubernetes_collection *collection;

    for (collection = scope->collections; collection; collection = collection->hh.next)
        if (collection->stream)
            kubernetes_stream_relist(collection->stream);
}

void kubernetes_scope_count(const struct kubernetes_scope *scope, unsigned *ret_all,
                            unsigned *ret_live, unsigned *ret_failed)
{
    const struct kubernetes_collection *collection;

    *ret_all = *ret_live = *ret_failed = 0;
    for (collection = scope->collections; collection; collection = collection->hh.next) {
        ++*ret_all;
        *ret_live += is_good(collection);
        *ret_failed += collection->failed;
    }
}

void kubernetes_scope_init(struct kubernetes_scope *scope,
                           const struct kubernetes_scope_options *options)
{
    *scope = (struct kubernetes_scope){.options = *options,
                                       .sweep = {.fire = on_sweep, .owner = scope}};
}

void kubernetes_scope_done(struct kubernetes_scope *scope)
{
    struct kubernetes_collection *collection, *next;
    struct kubernetes_use *use, *next_use;

    env_timer_off(env_of(scope), &scope->sweep);
    HASH_ITER (hh, scope->uses, use, next_use)
        use_free(scope, use);
    HASH_ITER (hh, scope->collections, collection, next) {
        HASH_DEL(scope->collections, collection);
        collection_free(collection);
    }
}
