/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Kubernetes registry at scale, in its scripted world: 10,000 services of 10 pods each, listed,
 * wanted, and changed one by one. What that costs, what it weighs, and how long the longest turn of
 * the loop was while a list came in by 16 KiB.
 *
 * kubernetes [--full]: without it 1,000 services. Fails when an answer is missing, or a figure is
 * over ten times its budget.
 */
#include <malloc.h>
#include <stdio.h>
#include <time.h>

#include "tests/replay/twin.h"

extern const struct registry_type registry_type_kubernetes;

enum { PODS = 10, CHUNK = 16 * 1024, TURN_KEYS = 64 };

struct text {
    char *data;
    size_t size, capacity;
};

static unsigned services = 1000;
static bool failed;

static double cpu_now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double held_mib(void)
{
    return (double)mallinfo2().uordblks / (1 << 20);
}

static void figure(const char *what, double value, const char *unit, double budget)
{
    if (budget > 0) {
        printf("%-52s %9.2f %-5s budget %g%s\n", what, value, unit, budget,
               value > budget ? "  OVER" : "");
        failed |= value > 10 * budget;
    } else {
        printf("%-52s %9.2f %s\n", what, value, unit);
    }
}

/* ---- what the server says ---- */

static void add(struct text *text, const char *piece)
{
    size_t size = strlen(piece);

    if (text->size + size + 1 > text->capacity) {
        text->capacity = (text->size + size + 1) * 2;
        text->data = realloc(text->data, text->capacity);
        if (!text->data)
            abort();
    }
    memcpy(text->data + text->size, piece, size + 1);
    text->size += size;
}

static void add_head(struct text *text, unsigned service, const char *suffix, unsigned version)
{
    char piece[1024];

    snprintf(
        piece, sizeof(piece),
        "{\"metadata\":{\"name\":\"service-%u%s\",\"namespace\":\"team-%u\",\"uid\":"
        "\"5f0e8a4c-0000-4000-8000-%012u\",\"resourceVersion\":\"%u\",\"labels\":{"
        "\"kubernetes.io/service-name\":\"service-%u\",\"app\":\"service-%u\"},"
        "\"managedFields\":[{\"manager\":\"kube-controller-manager\",\"operation\":\"Update\","
        "\"fieldsV1\":{\"f:metadata\":{\"f:labels\":{\".\":{},\"f:app\":{}}},\"f:spec\":{}}}]}",
        service, suffix, service % 100, service, version, service, service);
    add(text, piece);
}

static void add_service(struct text *text, unsigned service)
{
    add_head(text, service, "", 100);
    add(text,
        ",\"spec\":{\"type\":\"ClusterIP\",\"clusterIP\":\"None\",\"clusterIPs\":[\"None\"],"
        "\"ports\":[{\"name\":\"http\",\"protocol\":\"TCP\",\"port\":80,\"targetPort\":8080}],"
        "\"selector\":{\"app\":\"x\"}},\"status\":{\"loadBalancer\":{}}}");
}

/* `less` pods than usual. */
static void add_slice(struct text *text, unsigned service, unsigned version, unsigned less)
{
    char piece[1024];

    add_head(text, service, "-abcde", version);
    add(text, ",\"addressType\":\"IPv4\",\"endpoints\":[");
    for (unsigned pod = 0; pod < PODS - less; pod++) {
        snprintf(piece, sizeof(piece),
                 "%s{\"addresses\":[\"10.%u.%u.%u\"],\"conditions\":{\"ready\":true,\"serving\":"
                 "true,\"terminating\":false},\"nodeName\":\"node-%u\",\"zone\":\"zone-%u\","
                 "\"targetRef\":{\"kind\":\"Pod\",\"namespace\":\"team-%u\",\"name\":"
                 "\"service-%u-5d9c7b6f4-%05u\",\"uid\":\"5f0e8a4c-1111-4000-8000-%012u\"}}",
                 pod > 0 ? "," : "", service / 250, service % 250, pod + 1, pod, pod % 3,
                 service % 100, service, pod, service);
        add(text, piece);
    }
    add(text, "],\"ports\":[{\"name\":\"http\",\"protocol\":\"TCP\",\"port\":8080}]}");
}

static void make_list(struct text *text, bool slices)
{
    add(text, "{\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"1000\"},\"items\":[");
    for (unsigned i = 0; i < services; i++) {
        if (i > 0)
            add(text, ",");
        if (slices)
            add_slice(text, i, 100, 0);
        else
            add_service(text, i);
    }
    add(text, "]}");
}

/* ---- the story ---- */

static struct http_call *expect_list(struct twin *twin, const char *url)
{
    struct http_call *call = twin_expect_http(twin, "GET", url);

    twin_http_reply(call, 422, NULL, "{}");
    return twin_expect_http(twin, "GET", url);
}

/* Returns the longest turn in ms. */
static double feed_list(struct twin *twin, const char *url, bool slices)
{
    struct http_call *call = expect_list(twin, url);
    struct text text = {0};
    double longest = 0;

    make_list(&text, slices);
    twin_http_head(call, 200, NULL);
    for (size_t at = 0; at < text.size; at += CHUNK) {
        double since = cpu_now(), took;

        twin_http_chunk(call, text.data + at, text.size - at < CHUNK ? text.size - at : CHUNK);
        took = (cpu_now() - since) * 1e3;
        longest = took > longest ? took : longest;
    }
    twin_http_end(call);
    free(text.data);
    return longest;
}

static void want_all(struct twin *twin)
{
    double since = cpu_now(), spent;
    char key[64];

    for (unsigned i = 0; i < services; i++) {
        snprintf(key, sizeof(key), "team-%u/service-%u", i % 100, i);
        twin_want(twin, key);
    }
    spent = cpu_now() - since;
    figure("all of them wanted and reported", spent, "s", 0);
    figure("a turn's share of that (64 services)", spent * 1e3 * TURN_KEYS / services, "ms", 5);
    if (twin_unanswered(twin) > 0) {
        printf("%u services were not reported\n", twin_unanswered(twin));
        failed = true;
    }
}

static void change_all(struct twin *twin, struct http_call *watch)
{
    double spent = 0, longest = 0;
    unsigned reported = 0;

    for (unsigned i = 0; i < services; i++) {
        struct text text = {0};
        char key[64];
        double since, took;

        snprintf(key, sizeof(key), "team-%u/service-%u", i % 100, i);
        add(&text, "{\"type\":\"MODIFIED\",\"object\":");
        add_slice(&text, i, 2000 + i, 1);
        add(&text, "}\n");
        since = cpu_now();
        twin_http_chunk(watch, text.data, text.size);
        took = cpu_now() - since;
        spent += took;
        longest = took > longest ? took : longest;
        free(text.data);
        reported += twin_take_report(twin) != NULL;
    }
    figure("one slice changed, to its report", spent * 1e6 / services, "us", 1000);
    figure("the longest of them", longest * 1e3, "ms", 5);
    if (reported != services) {
        printf("%u of %u changes were reported in their turn\n", reported, services);
        failed = true;
    }
}

int main(int argc, char **argv)
{
    static const char *const settings[] = {
        "URL", "http://127.0.0.1:8001", "Node", "n1", "Watch", "all", NULL};
    double before, since, scale, longest, other;
    struct http_call *watch;
    struct twin *twin;

    if (argc > 1 && streq(argv[1], "--full"))
        services = 10000;
    scale = services / 10000.0;
    printf("%u services, %u endpoints\n", services, services * PODS);
    twin = twin_new(&registry_type_kubernetes,
                    &(struct twin_options){.settings = settings, .max_services = services});
    twin_start(twin);
    before = held_mib();
    since = cpu_now();
    longest = feed_list(twin, "/api/v1/services", false);
    other = feed_list(twin, "/endpointslices", true);
    figure("listed, with what it costs to write the lists", cpu_now() - since, "s", 2 * scale);
    figure("the longest turn (16 KiB)", other > longest ? other : longest, "ms", 5);
    figure("held by the registry", held_mib() - before, "MiB", 64 * scale);
    want_all(twin);
    figure("held with all endpoints reported", held_mib() - before, "MiB", 0);
    twin_skip_reports(twin);
    watch = twin_expect_http(twin, "GET", "/endpointslices?watch=1");
    twin_http_head(watch, 200, NULL);
    change_all(twin, watch);
    twin_free(twin);
    return failed;
}
