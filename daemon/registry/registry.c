/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The few functions behind registry.h that every type shares. Owns nothing and knows no type.
 */
#include "daemon/registry/registry.h"

#include <stdarg.h>
#include <stdio.h>

const char *registry_failure_to_string(enum registry_failure failure)
{
    static const char *const words[] = {
        [FAILURE_TRANSIENT] = "transient",
        [FAILURE_DENIED] = "denied",
        [FAILURE_THROTTLED] = "throttled",
        [FAILURE_CONFIG] = "config",
    };

    return (size_t)failure < ELEMENTS(words) ? words[failure] : "unknown";
}

const struct registry_type *registry_type_find(const char *name)
{
    for (size_t i = 0; registry_types[i]; i++)
        if (streq(registry_types[i]->name, name))
            return registry_types[i];
    return NULL;
}

const char *registry_address_refusal(const struct registry_config *config, bool loopback,
                                     const struct address *address)
{
    for (size_t i = 0; i < config->allow_address_count; i++)
        if (address_prefix_contains(&config->allow_addresses[i], address))
            return NULL;
    return address_refusal(address, loopback);
}

bool registry_host_name(const char *text, char ret_name[static NAME_SIZE])
{
    const char *last;

    if (name_fold(text, SIZE_MAX, ret_name, NULL) == 0)
        return false;
    last = strrchr(ret_name, '.');
    last = last ? last + 1 : ret_name;
    return last[strspn(last, "0123456789")] != '\0';
}

bool registry_prefixes_equal(const struct registry_config *a, const struct registry_config *b)
{
    if (a->allow_address_count != b->allow_address_count)
        return false;
    for (size_t i = 0; i < a->allow_address_count; i++)
        if (a->allow_addresses[i].length != b->allow_addresses[i].length ||
            address_compare(&a->allow_addresses[i].address, &b->allow_addresses[i].address) != 0)
            return false;
    return true;
}

void env_log(struct registry_env *env, int level, const char *service, const char *format, ...)
{
    char text[1024]; /* what log.h cuts a line to */
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    env->ops->log(env, level, service, text);
}

void env_message(struct registry_env *env, enum message message, const char *service,
                 const char *format, ...)
{
    char text[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    env->ops->message(env, message, service, text);
}

usec_t env_jitter(struct registry_env *env, usec_t base, unsigned percent)
{
    usec_t span = base / 100 * percent;

    if (base == USEC_INFINITY || span == 0)
        return base;
    return usec_add(base - span, env_random(env) % (2 * span + 1));
}
