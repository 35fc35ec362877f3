/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The methods of io.nss-sd.Control that change the local registry. */
#include "daemon/control_request.h"

#include "daemon/registry/local/check_list.h"

enum {
    TTL_MIN_SEC = 1,
    TTL_MAX_SEC = 366 * 24 * 3600,
};

/* What a Register call is made of, kept alive for as long as the backend looks at it. */
struct registration {
    struct control_registration public;
    char name[NAME_SIZE];
    char target[NAME_SIZE];
    struct address addresses[ENDPOINT_ADDRESSES_MAX];
    const char *tags[ENDPOINT_TAGS_MAX];
    json_t *warnings; /* what of its checks means nothing here */
};

static bool read_addresses(struct request *request, struct registration *registration)
{
    json_t *array = json_object_get(request->parameters, "addresses"), *item;
    const char *target = request_text(request, "target");
    size_t index;

    if ((json_array_size(array) > 0) == (target != NULL)) {
        request_invalid(request, "addresses", "give either addresses or a target");
        return false;
    }
    if (json_array_size(array) > ENDPOINT_ADDRESSES_MAX) {
        request_invalid(request, "addresses", "more than 64 addresses");
        return false;
    }
    json_array_foreach (array, index, item) {
        if (address_from_string(json_string_value(item), &registration->addresses[index]) < 0) {
            request_invalid(request, "addresses", "neither an IPv4 nor an IPv6 address");
            return false;
        }
    }
    if (target && name_fold(target, strlen(target), registration->target, NULL) == 0) {
        request_invalid(request, "target", control_not_a_name);
        return false;
    }
    registration->public.addresses = registration->addresses;
    registration->public.address_count = json_array_size(array);
    registration->public.target = target ? registration->target : NULL;
    return true;
}

static bool read_tags(struct request *request, struct registration *registration)
{
    json_t *array = json_object_get(request->parameters, "tags"), *item;
    const char *refusal = NULL;
    size_t index;

    if (json_array_size(array) > ENDPOINT_TAGS_MAX)
        refusal = "more than 256 tags";
    json_array_foreach (array, index, item) {
        if (!refusal && json_string_length(item) == 0)
            refusal = "an empty tag";
        if (!refusal)
            refusal = request_text_refusal(json_string_value(item));
        if (refusal)
            break;
        registration->tags[index] = json_string_value(item);
    }
    if (refusal)
        request_invalid(request, "tags", refusal);
    registration->public.tags = registration->tags;
    registration->public.tag_count = json_array_size(array);
    return !refusal;
}

static bool read_numbers(struct request *request, struct control_registration *registration)
{
    json_int_t port = request_number(request, "port", 0);
    json_int_t weight = request_number(request, "weight", 1);
    json_int_t ttl = request_number(request, "ttl_usec", -1);

    if (port < 0 || port > UINT16_MAX) {
        request_invalid(request, "port", "not in 1 to 65535 (0: none)");
        return false;
    }
    if (weight < 1 || weight > UINT16_MAX) {
        request_invalid(request, "weight", "not in 1 to 65535");
        return false;
    }
    if (ttl != -1 && (ttl < TTL_MIN_SEC * (json_int_t)USEC_PER_SEC ||
                      ttl > TTL_MAX_SEC * (json_int_t)USEC_PER_SEC)) {
        request_invalid(request, "ttl_usec", "not between one second and 366 days");
        return false;
    }
    registration->port = (uint16_t)port;
    registration->weight = (unsigned)weight;
    registration->ttl = ttl == -1 ? USEC_INFINITY : (usec_t)ttl;
    return true;
}

/* Definitions in Consul's words, read as those of a file are. */
static bool read_checks(struct request *request, struct registration *registration)
{
    json_t *checks = json_object_get(request->parameters, "checks");
    struct parser parser = {0};
    int r;

    if (!json_is_array(checks))
        return true;
    r = local_check_list_parse(&parser, registration->public.id, "", NULL, "checks", checks, 1,
                               &registration->public.checks);
    if (r == -EBADMSG)
        request_invalid(request, "checks", parser.error);
    else if (r < 0)
        request_busy(request);
    for (size_t i = 0; i < PARSER_WARNINGS_MAX && parser.warnings[i]; i++)
        json_array_append_new(registration->warnings, json_string(parser.warnings[i]));
    parser_done(&parser);
    return r == 0;
}

/* The backend refused without a word; most often it is an address that no registry may hand out. */
static void registration_refused(struct request *request,
                                 const struct control_registration *registration)
{
    for (size_t i = 0; i < registration->address_count; i++) {
        const char *refusal = address_refusal(&registration->addresses[i], true);

        if (refusal) {
            request_invalid(request, "addresses", refusal);
            return;
        }
    }
    request_invalid(request, registration->checks ? "checks" : "name",
                    registration->checks ? "the local registry cannot serve this name, or may not "
                                           "connect to where a check looks"
                                         : "the local registry cannot serve this name");
}

static void stands_in_a_file(struct request *request)
{
    request_invalid(request, "name", "this instance stands in a file of local.d: change it there");
}

static void register_run(struct request *request, struct registration *registration)
{
    const struct control_registration *public = &registration->public;
    _cleanup_(freep) char *id = NULL;
    int r = request->backend->register_instance(request->backend->userdata, public, &id);

    if (r == -ENOENT) {
        varlink_error(request->call, INTERFACE ".NoLocalRegistry", NULL);
    } else if (r == -EINVAL) {
        registration_refused(request, public);
    } else if (r == -EROFS) {
        stands_in_a_file(request);
    } else if (r < 0) {
        request_busy(request);
    } else {
        request_log_change(request, "Registered", public->name, id);
        request_reply(request, json_pack("{s:s, s:o, s:O}", "name", public->name, "id",
                                         varlink_string(id), "warnings", registration->warnings));
    }
}

void control_register(struct request *request)
{
    /* Too large for the stack's taste, and gone before the next call. */
    struct registration *registration = calloc(1, sizeof(*registration));

    if (!registration) {
        request_busy(request);
        return;
    }
    registration->public.name = registration->name;
    registration->warnings = json_array();
    if (request_name(request, registration->name, NULL) &&
        request_free_text(request, "id", &registration->public.id) &&
        request_free_text(request, "zone", &registration->public.zone) &&
        read_addresses(request, registration) && read_tags(request, registration) &&
        read_numbers(request, &registration->public) && read_checks(request, registration))
        register_run(request, registration);
    local_check_list_unref(registration->public.checks);
    json_decref(registration->warnings);
    free(registration);
}

void control_register_definition(struct request *request)
{
    json_t *definition = json_object_get(request->parameters, "definition"), *reply = NULL;
    _cleanup_(freep) char *error = NULL;
    int r = request->backend->register_definition(request->backend->userdata, definition, &reply,
                                                  &error);

    if (r == -ENOENT) {
        varlink_error(request->call, INTERFACE ".NoLocalRegistry", NULL);
    } else if (r == -EBADMSG) {
        request_invalid(request, "definition", error);
    } else if (r == -EINVAL) {
        request_invalid(request, "definition",
                        "an address in it may not be handed out, or not be looked at by a check");
    } else if (r == -EROFS) {
        request_invalid(request, "definition",
                        "an instance of it stands in a file of local.d: change it there");
    } else if (r < 0) {
        request_busy(request);
    } else {
        request_log_change(request, "Registered a definition", "", "");
        request_reply(request, reply);
    }
}

void control_pass(struct request *request)
{
    const char *id = request_text(request, "id"), *note, *word;
    enum check_state state = CHECK_PASSING;
    int r;

    if (!request_free_text(request, "note", &note))
        return;
    word = request_text(request, "status");
    if (word && check_state_from_string(word, &state) < 0) {
        request_invalid(request, "status", "none of passing, warning, critical");
        return;
    }
    r = request->backend->pass(request->backend->userdata, id, state, note);
    if (r == -EUNATCH)
        varlink_error(request->call, INTERFACE ".NoLocalRegistry", NULL);
    else if (r == -ENOENT)
        varlink_error(request->call, INTERFACE ".NoSuchCheck",
                      json_pack("{s:o}", "id", varlink_string(id)));
    else if (r == -ENOTUNIQ)
        request_invalid(request, "id", "several services have one of this id: say NAME/ID");
    else if (r == -EINVAL)
        request_invalid(request, "id", "nothing of it waits for a word: it has no ttl check");
    else if (r < 0)
        request_busy(request);
    else
        request_reply(request, json_pack("{s:i}", "checks", r));
}

void control_deregister(struct request *request)
{
    const char *id;
    char name[NAME_SIZE];
    int r;

    if (!request_name(request, name, NULL) || !request_free_text(request, "id", &id))
        return;
    r = request->backend->deregister_instance(request->backend->userdata, name, *id ? id : NULL);
    if (r == -ENOENT) {
        varlink_error(request->call, INTERFACE ".NoSuchService", json_pack("{s:s}", "name", name));
    } else if (r == -EROFS) {
        stands_in_a_file(request);
    } else if (r < 0) {
        request_busy(request);
    } else {
        request_log_change(request, "Deregistered", name, id);
        request_reply(request, json_pack("{s:i}", "removed", r));
    }
}
