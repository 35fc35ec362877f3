/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The configuration as an administrator writes it: files in a folder of the test's own, loaded, and
 * either the values they give or the messages they earn. The registry types are two of the test's
 * own, so that nothing here depends on the real ones.
 */
#include "daemon/config.h"
#include "daemon/config_file.h"
#include "nss-sd/view.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- registry types of the test ---- */

struct fake_settings {
    char **address;
    char *token_file;
    usec_t wait;
    unsigned mode;
};

static const char *const fake_modes[] = {"fast", "slow", NULL};

static const struct config_item fake_items[] = {
    {"Address", config_parse_urls, offsetof(struct fake_settings, address), 0, 0,
     "http://127.0.0.1:8500"},
    {"TokenFile", config_parse_path, offsetof(struct fake_settings, token_file)},
    {"WaitSec", config_parse_duration, offsetof(struct fake_settings, wait), USEC_PER_SEC,
     600 * USEC_PER_SEC, "5min"},
    {"Mode", config_parse_word, offsetof(struct fake_settings, mode), .words = fake_modes},
    {NULL},
};

static void fake_settings_done(void *data)
{
    struct fake_settings *settings = data;

    config_strings_free(settings->address);
    free(settings->token_file);
}

static int fake_verify(const struct registry_config *config, struct config_messages *messages)
{
    const struct fake_settings *settings = config->settings;

    if (settings->mode == 1 && !settings->token_file) {
        config_complain(messages, config->file, 0, "Mode=slow needs TokenFile=");
        return -EINVAL;
    }
    return settings->wait == 7 * USEC_PER_SEC ? -EDOM : 0;
}

static const char *const fake_domains[] = {"consul", NULL};
static const struct registry_type fake = {
    .name = "fake",
    .items = fake_items,
    .settings_size = sizeof(struct fake_settings),
    .settings_done = fake_settings_done,
    .default_domains = fake_domains,
    .default_reverse = true,
    .verify = fake_verify,
};
static const struct registry_type plain = {.name = "plain"};

const struct registry_type *const registry_types[] = {&fake, &plain, NULL};

/* ---- a folder to load from ---- */

static char folder[] = "/tmp/nss-sd-config-XXXXXX";
static struct config_messages messages;
static struct config *config;

static void folder_make(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void unload(void)
{
    config = config_free(config);
    config_messages_done(&messages);
}

static void folder_remove(void)
{
    char command[64];

    unload();
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static const char *path_of(const char *name)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

/* Makes the folders on the way. */
static void put_bytes(const char *name, const char *data, size_t size)
{
    char path[256];
    int fd;

    snprintf(path, sizeof(path), "%s", path_of(name));
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, data, size), (ssize_t)size);
    close(fd);
}

static void put(const char *name, const char *text)
{
    put_bytes(name, text, strlen(text));
}

static void load(void)
{
    unload();
    ck_assert_int_eq(config_load(folder, &messages, &config), 0);
    ck_assert_ptr_nonnull(config);
}

static void load_cleanly(void)
{
    load();
    for (size_t i = 0; i < messages.count; i++)
        ck_abort_msg("%s:%u: %s", messages.items[i].file, messages.items[i].line,
                     messages.items[i].text);
}

/* Is there a message at `name`:`line` that holds `text`? */
static bool said(const char *name, unsigned line, const char *text)
{
    for (size_t i = 0; i < messages.count; i++)
        if (streq(messages.items[i].file, path_of(name)) && messages.items[i].line == line &&
            strstr(messages.items[i].text, text))
            return true;
    return false;
}

/* Loads and expects one message and no more. */
static void refused(const char *name, unsigned line, const char *text)
{
    load();
    ck_assert_msg(said(name, line, text), "'%s' expected at %s:%u, not %s:%u: %s", text, name, line,
                  messages.count ? messages.items[0].file : "",
                  messages.count ? messages.items[0].line : 0,
                  messages.count ? messages.items[0].text : "nothing");
    ck_assert_uint_eq(messages.count, 1);
    ck_assert_uint_eq(messages.errors, 1);
}

#define CONF     "nss-sd.conf"
#define REGISTRY "registries.d/a.registry"
#define POLICY   "services.d/a.policy"

/* ---- nss-sd.conf ---- */

START_TEST(nothing_there_means_all_defaults)
{
    const struct config_resolve *resolve;

    load_cleanly();
    resolve = &config->resolve;
    ck_assert_ptr_null(resolve->search);
    ck_assert_uint_eq(resolve->ndots, 1);
    ck_assert_uint_eq(resolve->min_ttl, USEC_PER_SEC);
    ck_assert_uint_eq(resolve->max_ttl, 60 * USEC_PER_SEC);
    ck_assert_uint_eq(resolve->negative_ttl, 5 * USEC_PER_SEC);
    ck_assert_uint_eq(resolve->max_stale, 3 * 86400 * USEC_PER_SEC);
    ck_assert_uint_eq(resolve->empty_hold, 180 * USEC_PER_SEC);
    ck_assert_uint_eq(resolve->stale_wait, 200 * USEC_PER_MSEC);
    ck_assert_uint_eq(resolve->lookup_timeout, 2 * USEC_PER_SEC);
    ck_assert_uint_eq(resolve->idle, 1800 * USEC_PER_SEC);
    ck_assert_uint_eq(resolve->answers, 8);
    ck_assert_ptr_null(resolve->zone);
    ck_assert(resolve->zone_detection);
    ck_assert_uint_eq(resolve->max_connections, 4096);
    ck_assert_uint_eq(resolve->max_connections_uid, 256);
    ck_assert_uint_eq(resolve->max_new_names_uid, 200);
    ck_assert_str_eq(resolve->control_group, "nss-sd");
    ck_assert_uint_eq(config->registry_count, 0);
    ck_assert_uint_eq(config->policy_count, 0);
}
END_TEST

START_TEST(a_folder_that_does_not_exist_is_an_empty_one)
{
    ck_assert_int_eq(config_load("/nonexistent/nss-sd", &messages, &config), 0);
    ck_assert_uint_eq(messages.count, 0);
    ck_assert_uint_eq(config->resolve.answers, 8);
}
END_TEST

START_TEST(every_key_of_the_main_file_lands)
{
    put(CONF, "[Resolve]\nSearch=Svc.Example. b\nNdots=2\nMinTTLSec=2s\nMaxTTLSec=5min\n"
              "NegativeTTLSec=1s\nMaxStaleSec=infinity\nEmptyHoldSec=1min\nStaleWaitSec=0\n"
              "LookupTimeoutSec=100ms\nIdleSec=1h\nAnswers=1\nZone=eu-north-a\n"
              "ZoneDetection=no\n"
              "[Server]\nMaxConnections=10\nMaxConnectionsPerUser=3\nMaxNewNamesPerUser=4\n"
              "[Control]\nControlGroup=wheel\n");
    load_cleanly();
    ck_assert_str_eq(config->resolve.search[0], "svc.example");
    ck_assert_str_eq(config->resolve.search[1], "b");
    ck_assert_ptr_null(config->resolve.search[2]);
    ck_assert_uint_eq(config->resolve.ndots, 2);
    ck_assert_uint_eq(config->resolve.min_ttl, 2 * USEC_PER_SEC);
    ck_assert_uint_eq(config->resolve.max_ttl, 300 * USEC_PER_SEC);
    ck_assert_uint_eq(config->resolve.negative_ttl, USEC_PER_SEC);
    ck_assert_uint_eq(config->resolve.max_stale, USEC_INFINITY);
    ck_assert_uint_eq(config->resolve.empty_hold, 60 * USEC_PER_SEC);
    ck_assert_uint_eq(config->resolve.stale_wait, 0);
    ck_assert_uint_eq(config->resolve.lookup_timeout, 100 * USEC_PER_MSEC);
    ck_assert_uint_eq(config->resolve.idle, 3600 * USEC_PER_SEC);
    ck_assert_uint_eq(config->resolve.answers, 1);
    ck_assert_str_eq(config->resolve.zone, "eu-north-a");
    ck_assert(!config->resolve.zone_detection);
    ck_assert_uint_eq(config->resolve.max_connections, 10);
    ck_assert_uint_eq(config->resolve.max_connections_uid, 3);
    ck_assert_uint_eq(config->resolve.max_new_names_uid, 4);
    ck_assert_str_eq(config->resolve.control_group, "wheel");
}
END_TEST

START_TEST(drop_ins_come_by_name_and_later_ones_win)
{
    put(CONF, "[Resolve]\nAnswers=2\nNdots=2\nSearch=a\nZone=x\n");
    put("nss-sd.conf.d/20-b.conf", "[Resolve]\nAnswers=4\nSearch=c\n");
    put("nss-sd.conf.d/10-a.conf", "[Resolve]\nAnswers=3\nSearch=b\nZone=\n");
    put("nss-sd.conf.d/99.conf.bak", "[Resolve]\nAnswers=9\n");
    put("nss-sd.conf.d/.99.conf", "[Resolve]\nAnswers=9\n");
    put("nss-sd.conf.d/.conf", "[Resolve]\nAnswers=9\n");
    load_cleanly();
    ck_assert_uint_eq(config->resolve.answers, 4);
    ck_assert_uint_eq(config->resolve.ndots, 2);
    ck_assert_uint_eq(config_strings_count(config->resolve.search), 3);
    ck_assert_str_eq(config->resolve.search[2], "c");
    ck_assert_ptr_null(config->resolve.zone);
}
END_TEST

START_TEST(comments_space_case_and_line_ends_of_every_kind)
{
    put(CONF,
        "\xef\xbb\xbf# comment\r\n; comment\r\n\r\n \t[Resolve] ; why\r\n"
        "  Answers = 3 ; three\r\n\tZone: a;b\r\n   # indented\r\n\tNdots=4\r\nSearch= ;none");
    load_cleanly();
    ck_assert_uint_eq(config->resolve.answers, 3);
    ck_assert_str_eq(config->resolve.zone, "a;b");
    ck_assert_uint_eq(config->resolve.ndots, 4);
    ck_assert_ptr_null(config->resolve.search);
}
END_TEST

START_TEST(each_mistake_is_told_with_its_line)
{
    static const struct {
        const char *text;
        unsigned line;
        const char *message;
    } table[] = {
        {"Answers=1\n", 1,
         "Answers= stands before the first section; begin the file with [Resolve]"},
        {"[Resolve]\n\n# x\nAnswers\n", 4, "no KEY=VALUE"},
        {"[Resolve]\nAnswers", 2, "no KEY=VALUE"},
        {"[Resolve]\n=1\n", 2, "no key before '='"},
        {"[Resolve]\nAnswers ;=1\n", 2, "no KEY=VALUE"},
        {"[Resolve]\nAnswer=1\n", 2, "Answer= is no key of [Resolve]; did you mean Answers=?"},
        {"[Resolve]\nanswers=1\n", 2, "did you mean Answers=?"},
        {"[Resolve]\nMaxStale=1\n", 2, "did you mean MaxStaleSec=?"},
        {"[Resolve]\nWeather=1\n", 2, "Weather= is no key of [Resolve]"},
        {"[Resolve]\nMaxConnections=1\n", 2, "belongs to section [Server], not [Resolve]"},
        {"[Resolve]\nAnswers=17\n", 2, "from 1 to 16, not '17'"},
        {"[Resolve]\nAnswers=4 # four\n", 2, "from 1 to 16, not '4 # four'"},
        {"[Resolve]\nNdots=16\n", 2, "from 0 to 15"},
        {"[Resolve]\nLookupTimeoutSec=99ms\n", 2, "from 100ms to 30s, not '99ms'"},
        {"[Resolve]\nLookupTimeoutSec=31s\n", 2, "from 100ms to 30s"},
        {"[Resolve]\nMaxTTLSec=infinity\n", 2, "from 1s to 1d"},
        {"[Resolve]\n\nMinTTLSec=2min\n", 3, "MinTTLSec= (2min) is above MaxTTLSec= (1min)"},
        {"[Resolve]\nSearch=a b c\nSearch=d e f g\n", 3, "at most 6 domains"},
        {"[Resolve]\nSearch=a..b\n", 2, "domain names, not 'a..b'"},
        {"\n[Resolv]\nFoo=1\nBar=2\n", 2,
         "[Resolv] is no section of this file; did you mean [Resolve]?"},
        {"[Unlike]\nFoo=1\n", 1, "[Unlike] is no section of this file; they begin with [Resolve]"},
        {"[resolve]\n", 1, "did you mean [Resolve]?"},
        {"[]\n", 1, "no section"},
        {"[Resolve\nAnswers=99\n", 1, "the ']' is missing"},
        {"[Resolve] Answers=1\n", 1, "nothing but a comment"},
        {"[Resolve]\nZone=a\x01\n", 2, "control character"},
        {"[Resolve]\rAnswers=1\rNdots=1\r", 1, "control character"},
        {"[Resolve]\nToken=hunter2\n", 2, "secrets are never written here"},
        {"[Control]\nPassword=hunter2\n", 2, "name that with PasswordFile="},
    };

    for (size_t i = 0; i < ELEMENTS(table); i++) {
        put(CONF, table[i].text);
        refused(CONF, table[i].line, table[i].message);
        ck_assert_ptr_null(strstr(messages.items[0].text, "hunter2"));
    }
}
END_TEST

START_TEST(all_mistakes_are_told_at_once)
{
    put(CONF, "[Resolve]\nAnswers=0\njunk\nNdots=x\n[Foo]\nA=1\n");
    put(REGISTRY, "[Registry]\nType=none\n");
    put(POLICY, "[Match]\nName=*\n[Policy]\nAnswers=17\n");
    load();
    ck_assert(said(CONF, 2, "Answers="));
    ck_assert(said(CONF, 3, "KEY=VALUE"));
    ck_assert(said(CONF, 4, "Ndots="));
    ck_assert(said(CONF, 5, "[Foo]"));
    ck_assert(said(REGISTRY, 2, "Type="));
    ck_assert(said(POLICY, 4, "Answers="));
    ck_assert_uint_eq(messages.count, 6);
}
END_TEST

START_TEST(a_key_set_twice_in_a_file_is_a_warning)
{
    put(CONF, "[Resolve]\nAnswers=2\nSearch=a\nSearch=b\n[Server]\n[Resolve]\nAnswers=3\n");
    load();
    ck_assert_uint_eq(messages.count, 1);
    ck_assert_uint_eq(messages.errors, 0);
    ck_assert(messages.items[0].warning);
    ck_assert(said(CONF, 7, "Answers= is set a second time: this one counts, not that of line 2"));
    ck_assert_uint_eq(config->resolve.answers, 3);
}
END_TEST

START_TEST(lines_that_inih_would_cut_are_refused)
{
    char text[4096] = "[Resolve]\nZone=";
    size_t length = strlen(text);

    memset(text + length, 'z', 300);
    strcpy(text + length + 300, "\nAnswers=3\n");
    put(CONF, text);
    refused(CONF, 2, "this line has more than");
    ck_assert_ptr_null(config->resolve.zone);
    ck_assert_uint_eq(config->resolve.answers, 3);
    /* A comment may be of any length. */
    text[length - 5] = '#';
    put(CONF, text);
    load_cleanly();
    /* After a section that was too long, nothing goes to the section before it. */
    memset(text, ' ', 1000);
    memcpy(text, "[Resolve]\n[Server]", 18);
    strcpy(text + 1000, ";\nAnswers=1\n");
    put(CONF, text);
    refused(CONF, 2, "this line has more than");
}
END_TEST

START_TEST(a_zone_is_one_word)
{
    put(CONF, "[Resolve]\nZone=eu north\n");
    refused(CONF, 2, "Zone= takes one word of at most 63 printable bytes");
}
END_TEST

START_TEST(the_longest_line_arrives_whole)
{
    char text[1024], group[512];
    size_t fits = 0;

    /* inih's limit is its build's business: whatever is taken must be taken whole. */
    for (size_t length = 1; length < sizeof(group); length++) {
        memset(group, 'g', length);
        group[length] = '\0';
        snprintf(text, sizeof(text), "[Control]\nControlGroup=%s\n", group);
        put(CONF, text);
        load();
        if (messages.count > 0)
            break;
        ck_assert_str_eq(config->resolve.control_group, group);
        fits = length;
    }
    ck_assert_uint_ge(fits, 150);
}
END_TEST

START_TEST(what_is_no_text_is_one_message)
{
    static const char nul[] = "[Resolve]\nAnswers=3\nNd\0ots=1\n[Foo]\n";
    char junk[4096];
    unsigned seed = 1;

    put_bytes(CONF, nul, sizeof(nul) - 1);
    refused(CONF, 3, "NUL byte");
    for (size_t i = 0; i < sizeof(junk); i++)
        junk[i] = (char)((seed = seed * 1103515245 + 12345) >> 16);
    put_bytes(CONF, junk, sizeof(junk));
    load();
    ck_assert_uint_eq(messages.errors, 1);
}
END_TEST

START_TEST(ten_thousand_lines_keep_count)
{
    size_t size = 0;
    char *text = malloc(10000 * 16);

    for (unsigned i = 0; i < 9998; i++)
        size += (size_t)sprintf(text + size, i == 0 ? "[Resolve]\n" : "Search=s%u\n", i % 6);
    size += (size_t)sprintf(text + size, "Answers=5\nAnswers=none\n");
    put_bytes(CONF, text, size);
    load();
    ck_assert(said(CONF, 10000, "from 1 to 16, not 'none'"));
    ck_assert_uint_eq(config_strings_count(config->resolve.search), 6);
    free(text);
}
END_TEST

START_TEST(too_large_a_file_is_refused)
{
    size_t size = (1 << 20) + 1;
    char *text = malloc(size);

    memset(text, '\n', size);
    put_bytes(CONF, text, size);
    refused(CONF, 0, "cannot be read: File too large");
    put_bytes(CONF, text, size - 1);
    load_cleanly();
    free(text);
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
    ck_assert_int_eq(mkdir(path_of(CONF), 0755), 0);
    refused(CONF, 0, "Is a directory");
    ck_assert_int_eq(rmdir(path_of(CONF)), 0);
    ck_assert_int_eq(mkfifo(path_of(CONF), 0600), 0);
    refused(CONF, 0, "cannot be read");
    ck_assert_int_eq(unlink(path_of(CONF)), 0);
    ck_assert_int_eq(symlink("nowhere", path_of(CONF)), 0);
    refused(CONF, 0, "No such file");
    ck_assert_int_eq(unlink(path_of(CONF)), 0);
    put("registries.d", "not a folder");
    refused("registries.d", 0, "Not a directory");
}
END_TEST

START_TEST(an_empty_file_or_a_link_to_dev_null_is_none)
{
    put(CONF, "");
    put(REGISTRY, "");
    put(POLICY, "");
    load_cleanly();
    ck_assert_int_eq(unlink(path_of(REGISTRY)), 0);
    ck_assert_int_eq(symlink("/dev/null", path_of(REGISTRY)), 0);
    load_cleanly();
    ck_assert_uint_eq(config->registry_count, 0);
}
END_TEST

START_TEST(a_file_hides_one_of_its_name_in_lower_roots)
{
    char high[64], low[64];
    const char *const roots[] = {high, "/nonexistent", low, NULL};
    struct config_files files;

    snprintf(high, sizeof(high), "%s/etc", folder);
    snprintf(low, sizeof(low), "%s/lib", folder);
    put("lib/r.d/a.x", "lower");
    put("lib/r.d/b.x", "lower");
    put("etc/r.d/b.x", "");
    put("etc/r.d/c.x", "higher");
    put("lib/main", "lower");
    ck_assert_int_eq(config_files_all(roots, "r.d", ".x", &messages, &files), 0);
    ck_assert_uint_eq(files.count, 3);
    ck_assert_str_eq(files.items[0].path, path_of("lib/r.d/a.x"));
    ck_assert_str_eq(files.items[0].name, "a");
    ck_assert_str_eq(files.items[1].path, path_of("etc/r.d/b.x"));
    ck_assert_str_eq(files.items[2].path, path_of("etc/r.d/c.x"));
    config_files_done(&files);
    ck_assert_int_eq(config_files_one(roots, "main", &messages, &files), 0);
    ck_assert_uint_eq(files.count, 1);
    ck_assert_str_eq(files.items[0].path, path_of("lib/main"));
    config_files_done(&files);
    ck_assert_int_eq(config_files_one(roots, "r.d/b.x", &messages, &files), 0);
    ck_assert_str_eq(files.items[0].path, path_of("etc/r.d/b.x"));
    config_files_done(&files);
    ck_assert_uint_eq(messages.count, 0);
}
END_TEST

/* ---- registries ---- */

START_TEST(a_registry_has_its_own_and_its_types_keys)
{
    const struct registry_config *registry;
    const struct fake_settings *settings;

    /* Type= may come last. */
    put(REGISTRY, "[Registry]\nDomains=Prod.Consul dc2\nShared=yes\nReverse=no\n"
                  "AllowAddresses=127.0.0.0/8\nAllowAddresses=fd00::/8\n"
                  "MinTTLSec=2s\nMaxTTLSec=30s\nNegativeTTLSec=1s\nMaxStaleSec=1h\nMaxServices=5\n"
                  "Address=https://a https://b\nAddress=https://c\nTokenFile=/x\nWaitSec=1min\n"
                  "Mode=slow\nType=fake\n");
    load_cleanly();
    ck_assert_uint_eq(config->registry_count, 1);
    registry = &config->registries[0];
    settings = registry->settings;
    ck_assert_str_eq(registry->name, "a");
    ck_assert_str_eq(registry->file, path_of(REGISTRY));
    ck_assert_ptr_eq(registry->type, &fake);
    ck_assert_str_eq(registry->domains[0], "prod.consul");
    ck_assert_str_eq(registry->domains[1], "dc2");
    ck_assert(registry->shared && !registry->reverse && registry->enabled);
    ck_assert_uint_eq(registry->allow_address_count, 2);
    ck_assert_uint_eq(registry->allow_addresses[1].length, 8);
    ck_assert_uint_eq(registry->min_ttl, 2 * USEC_PER_SEC);
    ck_assert_uint_eq(registry->max_ttl, 30 * USEC_PER_SEC);
    ck_assert_uint_eq(registry->negative_ttl, USEC_PER_SEC);
    ck_assert_uint_eq(registry->max_stale, 3600 * USEC_PER_SEC);
    ck_assert_uint_eq(registry->max_services, 5);
    ck_assert_uint_eq(config_strings_count(settings->address), 3);
    ck_assert_str_eq(settings->address[0], "https://a");
    ck_assert_str_eq(settings->token_file, "/x");
    ck_assert_uint_eq(settings->wait, 60 * USEC_PER_SEC);
    ck_assert_uint_eq(settings->mode, 1);
}
END_TEST

START_TEST(what_a_registry_does_not_say_is_the_types_or_unset)
{
    const struct registry_config *registry;
    const struct fake_settings *settings;

    put(REGISTRY, "[Registry]\nType=fake\nMaxStaleSec=1h\nMaxStaleSec=\n"
                  "Address=http://x\nAddress=\nReverse=\n");
    load_cleanly();
    registry = &config->registries[0];
    settings = registry->settings;
    ck_assert_str_eq(registry->domains[0], "consul");
    ck_assert_ptr_null(registry->domains[1]);
    ck_assert(!registry->shared && registry->reverse && registry->enabled);
    ck_assert_uint_eq(registry->min_ttl, CONFIG_UNSET);
    ck_assert_uint_eq(registry->max_ttl, CONFIG_UNSET);
    ck_assert_uint_eq(registry->negative_ttl, CONFIG_UNSET);
    ck_assert_uint_eq(registry->max_stale, CONFIG_UNSET);
    ck_assert_uint_eq(config_or(registry->max_stale, 7), 7);
    ck_assert_uint_eq(registry->max_services, 10000);
    ck_assert_uint_eq(config_strings_count(settings->address), 1);
    ck_assert_str_eq(settings->address[0], "http://127.0.0.1:8500");
    ck_assert_uint_eq(settings->wait, 300 * USEC_PER_SEC);
}
END_TEST

START_TEST(mistakes_in_a_registry_are_told)
{
    static const struct {
        const char *text;
        unsigned line;
        const char *message;
    } table[] = {
        {"[Registry]\nDomains=a\n", 0, "Type= is missing"},
        {"[Registry]\nType=\n", 0, "Type= is missing"},
        {"[Registry]\nType=fak\nWhatever=1\n", 2,
         "Type= takes one of: fake, plain; not 'fak'; did you mean 'fake'?"},
        {"[Registry]\nType=plain\n", 0, "Domains= is missing: a registry of type plain"},
        {"[Registry]\nType=plain\nDomains=a\nMode=fast\n", 4, "Mode= is no key of [Registry]"},
        {"[Registry]\nType=fake\nMod=fast\n", 3, "did you mean Mode=?"},
        {"[Registry]\nType=fake\nDomian=fast\n", 3, "did you mean Domains=?"},
        {"[Registry]\nType=fake\nToken=hunter2\n", 3, "with TokenFile="},
        {"[Registry]\nType=fake\nMode=fats\n", 3, "did you mean 'fast'?"},
        {"[Registry]\nType=fake\nAllowAddresses=10.0.0.0/33\n", 3, "networks like 10.0.0.0/8"},
        {"[Registry]\nType=fake\nMaxServices=0\n", 3, "from 1 to 1000000"},
        {"[Registry]\nType=fake\nMinTTLSec=2min\n", 3, "is above MaxTTLSec= (1min)"},
        {"[Registry]\nType=fake\nMode=slow\n", 0, "Mode=slow needs TokenFile="},
        {"[Registry]\nType=fake\nWaitSec=7s\n", 0, "refused by type fake: Numerical argument"},
        {"[Resolve]\nAnswers=1\n", 1,
         "[Resolve] is no section of this file; they begin with [Registry]"},
    };

    for (size_t i = 0; i < ELEMENTS(table); i++) {
        put(REGISTRY, table[i].text);
        refused(REGISTRY, table[i].line, table[i].message);
        ck_assert_ptr_null(strstr(messages.items[0].text, "hunter2"));
    }
}
END_TEST

START_TEST(one_domain_has_one_registry)
{
    char name[512];

    put(REGISTRY, "[Registry]\nType=fake\n");
    put("registries.d/b.registry", "[Registry]\nType=plain\n\nDomains=x CONSUL\n");
    load();
    ck_assert_uint_eq(messages.count, 1);
    snprintf(name, sizeof(name), "domain consul is also one of %s", path_of(REGISTRY));
    ck_assert(said("registries.d/b.registry", 4, name));
    /* Below one another is fine: the longest decides. A disabled registry has no domains. */
    put("registries.d/b.registry", "[Registry]\nType=plain\nDomains=x.consul\n");
    put("registries.d/c.registry", "[Registry]\nType=plain\nDomains=consul\nEnabled=no\n");
    load_cleanly();
    ck_assert_uint_eq(config->registry_count, 2);
}
END_TEST

START_TEST(domains_have_a_limit)
{
    char name[64], text[64];

    for (int i = 0; i <= VIEW_DOMAINS_MAX + 3; i++) {
        snprintf(name, sizeof(name), "registries.d/r%03d.registry", i);
        snprintf(text, sizeof(text), "[Registry]\nType=plain\nDomains=d%d\n", i);
        if (i == VIEW_DOMAINS_MAX) {
            load_cleanly();
            ck_assert_uint_eq(config->registry_count, VIEW_DOMAINS_MAX);
        }
        put(name, text);
    }
    refused("registries.d/r064.registry", 3, "more than 64 domains");
}
END_TEST

START_TEST(registries_are_named_by_their_file)
{
    static const char *const bad[] = {"A", "a b", "a.b", "\xc3\xa4", "a%s"};
    char name[64];

    put("registries.d/a-b.registry", "[Registry]\nType=fake\n");
    put(REGISTRY, "[Registry]\nType=plain\nDomains=b\n");
    load_cleanly();
    ck_assert_str_eq(config->registries[0].name, "a");
    ck_assert_str_eq(config->registries[1].name, "a-b");
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        snprintf(name, sizeof(name), "registries.d/%s.registry", bad[i]);
        put(name, "[Registry]\nType=plain\nDomains=c\n");
        refused(name, 0, "named by one label");
        ck_assert_int_eq(unlink(path_of(name)), 0);
    }
}
END_TEST

/* ---- policies ---- */

START_TEST(policies_apply_in_order_and_later_keys_win)
{
    struct config_policy policy;

    put("services.d/10-all.policy",
        "[Match]\nName=*.CONSUL. db?.example\n[Policy]\nAnswers=1\nMaxStaleSec=1h\nPrivate=yes\n"
        "EmptyProtection=5min\nAllowWarning=no\nTerminating=never\nMinTTLSec=1s\nMaxTTLSec=2s\n"
        "NegativeTTLSec=3s\nPolicy=hash\nZonePolicy=strict\nMinZoneEndpoints=5\n"
        "MinZoneShare=50%\nMinHealthyPercent=30\n");
    put("services.d/20-orders.policy",
        "[Match]\nName=orders.service.consul\n[Policy]\nAnswers=all\nPrivate=no\nPolicy=first\n");
    load_cleanly();
    ck_assert_uint_eq(config->policy_count, 2);

    config_policy_for(config, "web.service.consul", &policy);
    ck_assert(policy.has_answers && policy.has_max_stale && policy.has_private);
    ck_assert(policy.has_empty_protection && policy.has_allow_warning && policy.has_terminating);
    ck_assert(policy.has_min_ttl && policy.has_max_ttl && policy.has_negative_ttl);
    ck_assert_uint_eq(policy.answers, 1);
    ck_assert_uint_eq(policy.max_stale, 3600 * USEC_PER_SEC);
    ck_assert_uint_eq(policy.empty_protection, 300 * USEC_PER_SEC);
    ck_assert(policy.is_private && !policy.allow_warning);
    ck_assert_uint_eq(policy.terminating, 1);
    ck_assert_uint_eq(policy.min_ttl, USEC_PER_SEC);
    ck_assert_uint_eq(policy.max_ttl, 2 * USEC_PER_SEC);
    ck_assert_uint_eq(policy.negative_ttl, 3 * USEC_PER_SEC);
    ck_assert(policy.has_pick && policy.has_zone_policy && policy.has_min_zone_endpoints);
    ck_assert(policy.has_min_zone_share && policy.has_min_healthy_percent);
    ck_assert_int_eq(policy.pick, POLICY_PICK_HASH);
    ck_assert_int_eq(policy.zone_policy, POLICY_ZONE_STRICT);
    ck_assert_uint_eq(policy.min_zone_endpoints, 5);
    ck_assert_uint_eq(policy.min_zone_share, 50);
    ck_assert_uint_eq(policy.min_healthy_percent, 30);

    config_policy_for(config, "orders.service.consul", &policy);
    ck_assert(policy.has_answers);
    ck_assert_uint_eq(policy.answers, 0); /* all */
    ck_assert_int_eq(policy.pick, POLICY_PICK_FIRST);
    ck_assert(policy.has_private && !policy.is_private);
    ck_assert_uint_eq(policy.terminating, 1);

    config_policy_for(config, "db1.example", &policy);
    ck_assert(policy.has_answers);
    config_policy_for(config, "db12.example", &policy);
    ck_assert(!policy.has_answers && !policy.has_private && !policy.has_terminating);
}
END_TEST

START_TEST(a_policy_says_only_what_it_says)
{
    struct config_policy policy;

    put(POLICY, "[Match]\nName=a\nName=b\n[Policy]\nMaxStaleSec=0\nAnswers=3\nAnswers=\n");
    load_cleanly();
    config_policy_for(config, "b", &policy);
    ck_assert(policy.has_max_stale && !policy.has_answers && !policy.has_private);
    ck_assert(!policy.has_empty_protection && !policy.has_allow_warning && !policy.has_terminating);
    ck_assert(!policy.has_min_ttl && !policy.has_max_ttl && !policy.has_negative_ttl);
    ck_assert(!policy.has_pick && !policy.has_zone_policy && !policy.has_min_zone_share);
    ck_assert_uint_eq(policy.max_stale, 0);
}
END_TEST

START_TEST(who_may_have_private_names_is_read_where_they_are_made_private)
{
    struct config_policy policy;

    put("services.d/10-a.policy",
        "[Match]\nName=a\n[Policy]\nPrivate=yes\nAllowUsers=root 4242\nAllowUsers=7\n"
        "AllowGroups=root\n");
    put("services.d/20-a.policy", "[Match]\nName=a\n[Policy]\nAnswers=1\n");
    load_cleanly();
    config_policy_for(config, "a", &policy);
    ck_assert(policy.is_private);
    ck_assert_uint_eq(policy.has_private, 1);
    ck_assert_uint_eq(config->policies[0].allow_users.count, 3);
    ck_assert_uint_eq(config->policies[0].allow_users.items[0], 0);
    ck_assert_uint_eq(config->policies[0].allow_users.items[2], 7);
    ck_assert_uint_eq(config->policies[0].allow_groups.count, 1);
    put("services.d/20-a.policy", "[Match]\nName=a\n[Policy]\nPrivate=yes\n");
    load_cleanly();
    config_policy_for(config, "a", &policy);
    ck_assert_uint_eq(policy.has_private, 2);
}
END_TEST

START_TEST(mistakes_in_a_policy_are_told)
{
    static const struct {
        const char *text;
        unsigned line;
        const char *message;
    } table[] = {
        {"[Policy]\nAnswers=1\n", 0, "Name= in [Match] is missing"},
        {"[Match]\nName=*\nAnswers=1\n", 3, "belongs to section [Policy], not [Match]"},
        {"[Match]\nName=a/b\n", 2, "patterns of names like *.service.consul, not 'a/b'"},
        {"[Match]\nName=*\n[Policy]\nTerminating=sometimes\n", 4, "one of: last-resort, never"},
        {"[Match]\nName=*\n[Policy]\nMaxTTLSec=2s\nMinTTLSec=3s\n", 5, "is above MaxTTLSec= (2s)"},
        {"[Match]\nName=*\n[Policy]\nPolicy=least\n", 4, "random, round-robin, first, hash"},
        {"[Match]\nName=*\n[Policy]\nMinZoneShare=101%\n", 4, "a share from 0% to 100%"},
        {"[Match]\nName=*\n[Policy]\nMinZoneShare=1%%\n", 4, "a share from 0% to 100%"},
        {"[Match]\nName=*\n[Policy]\nAnswers=none\n", 4, "a number from 1 to 16"},
        {"[Match]\nName=*\n[Policy]\nEmptyProtection=maybe\n", 4, "takes a duration"},
        {"[Policy]\nName=*\n[Match]\nName=*\n", 2, "belongs to section [Match]"},
        {"[Match]\nName=*\n[Policy]\nAllowUsers=root\n", 4, "Private=yes is missing"},
        {"[Match]\nName=*\n[Policy]\nPrivate=no\nAllowGroups=0\n", 5, "Private=yes is missing"},
        {"[Match]\nName=*\n[Policy]\nPrivate=yes\nAllowUsers=root no.such.user\n", 5,
         "the user 'no.such.user', which is not known on this machine"},
        {"[Match]\nName=*\n[Policy]\nPrivate=yes\nAllowGroups=no.such.group\n", 5,
         "the group 'no.such.group'"},
        {"[Match]\nName=*\n[Policy]\nPrivate=yes\nAllowUsers=4294967295\n", 5, "the user '42949"},
    };

    for (size_t i = 0; i < ELEMENTS(table); i++) {
        put(POLICY, table[i].text);
        refused(POLICY, table[i].line, table[i].message);
    }
}
END_TEST

/* ---- secrets ---- */

START_TEST(a_secret_is_one_trimmed_line)
{
    char *secret = NULL;

    put("token", " \n\tsome thing \r\n\n");
    ck_assert_int_eq(config_secret_read(path_of("token"), &secret), 0);
    ck_assert_str_eq(secret, "some thing");
    ck_assert_ptr_null(config_secret_free(secret));
    ck_assert_ptr_null(config_secret_free(NULL));
}
END_TEST

START_TEST(what_is_no_secret_is_refused)
{
    static const struct {
        const char *data;
        size_t size;
    } bad[] = {{"", 0}, {" \n", 2}, {"a\nb", 3}, {"a\rb", 3}, {"a\0b", 3}, {"\0", 1}};
    size_t large = 64 * 1024;
    char *secret = NULL, *text = malloc(large + 1);

    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        put_bytes("token", bad[i].data, bad[i].size);
        ck_assert_int_eq(config_secret_read(path_of("token"), &secret), -EBADMSG);
    }
    memset(text, 'a', large + 1);
    put_bytes("token", text, large + 1);
    ck_assert_int_eq(config_secret_read(path_of("token"), &secret), -EBADMSG);
    ck_assert_ptr_null(secret);
    put_bytes("token", text, large);
    ck_assert_int_eq(config_secret_read(path_of("token"), &secret), 0);
    ck_assert_uint_eq(strlen(secret), large);
    config_secret_free(secret);
    ck_assert_int_eq(config_secret_read(path_of("none"), &secret), -ENOENT);
    ck_assert_int_eq(config_secret_read(folder, &secret), -EBADMSG);
    ck_assert_int_eq(mkfifo(path_of("fifo"), 0600), 0);
    ck_assert_int_eq(config_secret_read(path_of("fifo"), &secret), -EBADMSG);
    free(text);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("config");
    const TTest *tests[] = {
        nothing_there_means_all_defaults,
        a_folder_that_does_not_exist_is_an_empty_one,
        every_key_of_the_main_file_lands,
        drop_ins_come_by_name_and_later_ones_win,
        comments_space_case_and_line_ends_of_every_kind,
        each_mistake_is_told_with_its_line,
        all_mistakes_are_told_at_once,
        a_key_set_twice_in_a_file_is_a_warning,
        lines_that_inih_would_cut_are_refused,
        a_zone_is_one_word,
        the_longest_line_arrives_whole,
        what_is_no_text_is_one_message,
        ten_thousand_lines_keep_count,
        too_large_a_file_is_refused,
        what_is_no_file_is_refused,
        an_empty_file_or_a_link_to_dev_null_is_none,
        a_file_hides_one_of_its_name_in_lower_roots,
        a_registry_has_its_own_and_its_types_keys,
        what_a_registry_does_not_say_is_the_types_or_unset,
        mistakes_in_a_registry_are_told,
        one_domain_has_one_registry,
        domains_have_a_limit,
        registries_are_named_by_their_file,
        policies_apply_in_order_and_later_keys_win,
        a_policy_says_only_what_it_says,
        who_may_have_private_names_is_read_where_they_are_made_private,
        mistakes_in_a_policy_are_told,
        a_secret_is_one_trimmed_line,
        what_is_no_secret_is_refused,
    };
    TCase *files = tcase_create("files");

    tcase_add_checked_fixture(files, folder_make, folder_remove);
    tcase_set_timeout(files, 60);
    for (size_t i = 0; i < ELEMENTS(tests); i++)
        tcase_add_test(files, tests[i]);
    suite_add_tcase(suite, files);
    return suite;
}

UNIT_MAIN(make_suite)
