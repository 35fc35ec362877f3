/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of a [Registry] section of type kubernetes (settings.h). */
#include "daemon/registry/kubernetes/settings.h"

#include "nss-sd/name.h"

#include "daemon/config_url.h"

enum { SELECTOR_MAX = 1000 };

#define FIELD(member) offsetof(struct kubernetes_settings, member)

static const char *const mode_words[] = {
    [KUBERNETES_VIP] = "vip",
    [KUBERNETES_ENDPOINTS] = "endpoints",
    [KUBERNETES_LOADBALANCER] = "loadbalancer",
    NULL,
};
static const char *const watch_words[] = {
    [KUBERNETES_USED] = "used",
    [KUBERNETES_ALL] = "all",
    NULL,
};
static const char *const pods_words[] = {
    [KUBERNETES_PODS_DISABLED] = "disabled",
    [KUBERNETES_PODS_INSECURE] = "insecure",
    NULL,
};

const struct config_item kubernetes_items[] = {
    {.key = "URL", .parse = config_parse_urls, .offset = FIELD(urls)},
    {.key = "Kubeconfig", .parse = config_parse_path, .offset = FIELD(kubeconfig)},
    {.key = "Context", .parse = config_parse_string, .offset = FIELD(context)},
    {.key = "TokenFile", .parse = config_parse_path, .offset = FIELD(token_file)},
    SERVER_TLS_ITEMS(FIELD(tls)),
    {.key = "Namespaces", .parse = config_parse_strings, .offset = FIELD(namespaces)},
    {.key = "LabelSelector", .parse = config_parse_string, .offset = FIELD(label_selector)},
    {.key = "Mode",
     .parse = config_parse_word,
     .offset = FIELD(mode),
     .fallback = "vip",
     .words = mode_words},
    {.key = "Watch",
     .parse = config_parse_word,
     .offset = FIELD(watch),
     .fallback = "used",
     .words = watch_words},
    {.key = "Pods",
     .parse = config_parse_word,
     .offset = FIELD(pods),
     .fallback = "disabled",
     .words = pods_words},
    {.key = "Node", .parse = config_parse_string, .offset = FIELD(node)},
    {.key = NULL},
};

static int refuse(const struct registry_config *config, struct config_messages *messages,
                  const char *text)
{
    config_complain(messages, config->file, 0, "%s", text);
    return -EINVAL;
}

/* A kubeconfig says all that the other keys say: with both nobody could tell which one counts. */
static int check_sources(const struct registry_config *config, struct config_messages *messages)
{
    const struct kubernetes_settings *settings = kubernetes_settings_of(config);

    if (settings->context && !settings->kubeconfig)
        return refuse(config, messages, "Context= is one of a kubeconfig: set Kubeconfig= too");
    if (settings->kubeconfig && (settings->urls || settings->token_file || settings->tls.ca_file ||
                                 settings->tls.cert_file || settings->tls.key_file ||
                                 settings->tls.server_name || !settings->tls.verify))
        return refuse(config, messages,
                      "Kubeconfig= says which server is asked, and how: URL=, TokenFile=, CAFile=, "
                      "CertFile=, KeyFile=, TLSServerName= and TLSVerify= do not go with it");
    if (!settings->urls && !settings->kubeconfig && !getenv("KUBERNETES_SERVICE_HOST"))
        config_warn(messages, config->file, 0,
                    "neither URL= nor Kubeconfig= is set, which works in a pod alone");
    return 0;
}

/* What goes over the network in the clear is read, and changed, by others. */
static int check_urls(const struct registry_config *config, struct config_messages *messages)
{
    char *const *urls = kubernetes_settings_of(config)->urls;

    for (; urls && *urls; urls++)
        if (strncmp(*urls, "http://", 7) == 0 && !config_url_is_local(*urls)) {
            config_complain(messages, config->file, 0,
                            "URL=%s must be https: http is for a proxy on this machine", *urls);
            return -EINVAL;
        }
    return 0;
}

/* Namespaces go into URLs as they are. */
static bool namespace_ok(const char *text)
{
    char folded[NAME_SIZE];
    size_t size = name_fold(text, SIZE_MAX, folded, NULL);

    return size > 0 && streq(text, folded) && !strpbrk(text, "._");
}

static int check_objects(const struct registry_config *config, struct config_messages *messages)
{
    const struct kubernetes_settings *settings = kubernetes_settings_of(config);
    char *const *namespaces = settings->namespaces;

    for (; namespaces && *namespaces; namespaces++)
        if (!namespace_ok(*namespaces)) {
            config_complain(messages, config->file, 0,
                            "Namespaces= takes names of namespaces, not '%s'", *namespaces);
            return -EINVAL;
        }
    if (settings->label_selector && strlen(settings->label_selector) > SELECTOR_MAX)
        return refuse(config, messages, "LabelSelector= is too long");
    return 0;
}

int kubernetes_settings_verify(const struct registry_config *config,
                               struct config_messages *messages)
{
    const struct kubernetes_settings *settings = kubernetes_settings_of(config);
    int r;

    server_check_file(config, messages, "Kubeconfig", settings->kubeconfig);
    server_check_file(config, messages, "TokenFile", settings->token_file);
    r = server_tls_verify(&settings->tls, config, messages);
    r = check_sources(config, messages) ?: r;
    r = check_urls(config, messages) ?: r;
    return check_objects(config, messages) ?: r;
}

void kubernetes_settings_done(void *userdata)
{
    struct kubernetes_settings *settings = userdata;

    config_strings_free(settings->urls);
    config_strings_free(settings->namespaces);
    free(settings->kubeconfig);
    free(settings->context);
    free(settings->token_file);
    server_tls_done(&settings->tls);
    free(settings->label_selector);
    free(settings->node);
}

bool kubernetes_settings_equal(const struct kubernetes_settings *a,
                               const struct kubernetes_settings *b)
{
    return config_strings_equal(a->urls, b->urls) &&
           config_strings_equal(a->namespaces, b->namespaces) &&
           config_text_equal(a->kubeconfig, b->kubeconfig) &&
           config_text_equal(a->context, b->context) &&
           config_text_equal(a->token_file, b->token_file) && server_tls_equal(&a->tls, &b->tls) &&
           config_text_equal(a->label_selector, b->label_selector) &&
           config_text_equal(a->node, b->node) && a->mode == b->mode && a->watch == b->watch &&
           a->pods == b->pods;
}
