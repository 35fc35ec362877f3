/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/control_request.h"

#include "daemon/log.h"

static bool strings_ok(const json_t *array)
{
    size_t index;
    json_t *item;

    json_array_foreach (array, index, item)
        if (!json_is_string(item))
            return false;
    return json_is_array(array);
}

static bool kind_ok(const json_t *value, enum parameter_kind kind)
{
    switch (kind) {
    case STRING:
        return json_is_string(value);
    case INTEGER:
        return json_is_integer(value);
    case STRINGS:
        return strings_ok(value);
    case BOOLEAN:
        return json_is_boolean(value);
    case OBJECT:
        return json_is_object(value);
    case OBJECTS:
        return json_is_array(value);
    }
    return false;
}

static const struct parameter *parameter_find(const struct control_method *method, const char *name)
{
    for (const struct parameter *parameter = method->parameters; parameter->name; parameter++)
        if (streq(parameter->name, name))
            return parameter;
    return NULL;
}

const char *request_check(const struct control_method *method, json_t *parameters)
{
    const char *name;
    json_t *value;

    json_object_foreach (parameters, name, value) {
        const struct parameter *parameter = parameter_find(method, name);

        if (!parameter)
            return name;
        if (!(json_is_null(value) && !parameter->required) && !kind_ok(value, parameter->kind))
            return name;
    }
    for (const struct parameter *parameter = method->parameters; parameter->name; parameter++)
        if (parameter->required && !json_object_get(parameters, parameter->name))
            return parameter->name;
    return NULL;
}

const char *request_text(const struct request *request, const char *name)
{
    return json_string_value(json_object_get(request->parameters, name));
}

json_int_t request_number(const struct request *request, const char *name, json_int_t fallback)
{
    const json_t *value = json_object_get(request->parameters, name);

    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

void request_invalid(struct request *request, const char *parameter, const char *reason)
{
    varlink_error(request->call, INTERFACE ".InvalidValue",
                  json_pack("{s:s, s:s}", "parameter", parameter, "reason", reason));
}

void request_busy(struct request *request)
{
    varlink_error(request->call, INTERFACE ".Busy", NULL);
}

void request_busy_for(struct request *request, const char *reason)
{
    varlink_error(request->call, INTERFACE ".Busy", json_pack("{s:s}", "reason", reason));
}

const char control_is_private[] =
    "the name, or one that it leads to, is private (Private=yes of a policy): it is for root, the "
    "daemon's own user, members of ControlGroup= and those of AllowUsers= and AllowGroups=";

bool request_may_ask(struct request *request, const char *name)
{
    bool may = request->backend->may_ask(request->backend->userdata,
                                         varlink_call_peer(request->call), name);

    if (!may)
        varlink_permission_denied(request->call, control_is_private);
    return may;
}

void request_reply(struct request *request, json_t *parameters)
{
    if (parameters)
        varlink_reply(request->call, parameters);
    else
        request_busy(request);
}

const char control_not_a_name[] =
    "not a host name: labels of up to 63 letters, digits, '-' and '_' "
    "with single dots between them, up to 253 bytes in all";

bool request_name(struct request *request, char ret_name[static NAME_SIZE], bool *ret_rooted)
{
    const char *text = request_text(request, "name");

    if (name_fold(text, strlen(text), ret_name, ret_rooted) > 0)
        return true;
    request_invalid(request, "name", control_not_a_name);
    return false;
}

const char *request_text_refusal(const char *text)
{
    if (strlen(text) >= ENDPOINT_STRING_MAX)
        return "longer than 1023 bytes";
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return "contains a control character";
    return NULL;
}

bool request_free_text(struct request *request, const char *name, const char **ret_text)
{
    const char *text = request_text(request, name) ?: "";
    const char *refusal = request_text_refusal(text);

    if (refusal)
        request_invalid(request, name, refusal);
    *ret_text = text;
    return !refusal;
}

void request_log_change(const struct request *request, const char *what, const char *name,
                        const char *id)
{
    const struct peer *peer = varlink_call_peer(request->call);

    log_info("%s%s%s%s%s, asked by uid %u (process %d)", what, *name ? " " : "", name,
             *id ? " instance " : "", id, (unsigned)peer->uid, (int)peer->pid);
}
