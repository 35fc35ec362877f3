/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/ranker.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "daemon/gai_conf.h"
#include "daemon/log.h"
#include "daemon/path_watch.h"
#include "daemon/routes.h"

/* Addresses remembered: one has four places, and who finds them taken gets one of them. Pages that
 * nobody needs stay untouched. */
enum { WAYS = 4, SET_BITS = 15, CACHE_SIZE = WAYS << SET_BITS, GENERATION_MAX = UINT16_MAX };

/* An address and its rank_key in 32 bytes. */
struct cached {
    uint8_t bytes[16];
    uint64_t first;
    uint32_t scope;
    uint16_t generation; /* 0: empty */
    uint8_t family, distance;
};
_Static_assert(sizeof(struct cached) == 32, "size");

struct ranker {
    char *path;
    struct gai_conf *conf;
    struct path_watch *watch;
    struct routes *routes;
    bool prefixes_known;
    bool silence_logged;
    uint16_t generation;
    struct cached *cache;
    void (*changed)(void *userdata);
    void *userdata;
};

/* ---- gai.conf ---- */

/* Size read, or negative errno. */
static ssize_t read_file(const char *path, char *ret_data, size_t capacity)
{
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t size = 0;
    struct stat st;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    while (size < capacity) {
        ssize_t n = read(fd, ret_data + size, capacity - size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : (ssize_t)size;
        size += (size_t)n;
    }
    return -EFBIG;
}

/* A file that cannot be read counts as none, as in glibc. */
static int read_conf(const char *path, struct gai_conf **ret_conf)
{
    _cleanup_(freep) char *data = malloc(GAI_CONF_SIZE_MAX + 1);
    ssize_t size;

    if (!data)
        return -ENOMEM;
    size = read_file(path, data, GAI_CONF_SIZE_MAX + 1);
    if (size < 0 && size != -ENOENT)
        log_warning("%s cannot be read, ranking addresses without it: %s", path,
                    strerror((int)-size));
    return gai_conf_parse(data, size < 0 ? 0 : (size_t)size, ret_conf);
}

/* ---- what is known of an address ---- */

static void forget_all(struct ranker *ranker)
{
    if (ranker->generation++ < GENERATION_MAX)
        return;
    memset(ranker->cache, 0, CACHE_SIZE * sizeof(*ranker->cache));
    ranker->generation = 1;
}

static uint64_t hash_of(const struct address *address)
{
    uint64_t words[2];

    memcpy(words, address->bytes, sizeof(words));
    words[0] = (words[0] ^ (words[1] + address->family) * UINT64_C(0x9e3779b97f4a7c15)) *
               UINT64_C(0xbf58476d1ce4e5b9);
    return words[0] ^ words[0] >> 32;
}

/* Where the address is; or, with generation 0, where it is to be. */
static struct cached *place_of(const struct ranker *ranker, const struct address *address)
{
    uint64_t hash = hash_of(address);
    struct cached *set = &ranker->cache[WAYS * (hash & ((1u << SET_BITS) - 1))];
    struct cached *place = &set[hash >> 62];

    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].generation != ranker->generation)
            place = &set[i];
        else if (set[i].family == address->family &&
                 memcmp(set[i].bytes, address->bytes, sizeof(set[i].bytes)) == 0)
            return &set[i];
    }
    place->generation = 0;
    return place;
}

/* 0, or negative errno: the kernel does not say. */
static int find_key(struct ranker *ranker, const struct address *address, struct rank_key *ret_key)
{
    struct cached *place = place_of(ranker, address);
    struct rank_source source;
    int r;

    if (place->generation > 0) {
        *ret_key = (struct rank_key){place->first, place->scope, place->family, place->distance};
        return 0;
    }
    r = routes_find(ranker->routes, address, &source);
    if (r < 0)
        return r;
    *ret_key = rank_key(ranker->conf, address, &source);
    *place = (struct cached){.first = ret_key->first,
                             .scope = ret_key->scope,
                             .generation = ranker->generation,
                             .family = ret_key->family,
                             .distance = ret_key->distance};
    memcpy(place->bytes, address->bytes, sizeof(place->bytes));
    return 0;
}

static void log_silence(struct ranker *ranker, int error)
{
    if (ranker->silence_logged)
        return;
    ranker->silence_logged = true;
    log_warning("the kernel does not tell the way to addresses, answers are cut to one: %s",
                strerror(-error));
}

/* ---- answers ---- */

struct records {
    struct answer_record4 *four;
    struct answer_record6 *six;
    size_t count4, count;
};

static struct records records_of(struct answer_head *payload)
{
    char *records = (char *)payload + ANSWER_RECORDS;

    return (struct records){
        .four = (struct answer_record4 *)records,
        .six = (struct answer_record6 *)(records + payload->count4 * sizeof(struct answer_record4)),
        .count4 = payload->count4,
        .count = (size_t)payload->count4 + payload->count6,
    };
}

static struct address record_address(const struct records *records, size_t i)
{
    struct address address = {.family = i < records->count4 ? AF_INET : AF_INET6};

    if (i < records->count4)
        memcpy(address.bytes, records->four[i].address, 4);
    else
        memcpy(address.bytes, records->six[i - records->count4].address, 16);
    return address;
}

static void record_set(const struct records *records, size_t i, uint16_t rank, uint8_t tier_bits)
{
    if (i < records->count4) {
        records->four[i].rank = rank;
        records->four[i].tier |= tier_bits;
    } else {
        records->six[i - records->count4].rank = rank;
        records->six[i - records->count4].tier |= tier_bits;
    }
}

/* Fills in all that is known. Negative errno: not everything is. */
static int rank_records(struct ranker *ranker, const struct records *records)
{
    _cleanup_(freep) struct rank_key *keys = calloc(records->count, sizeof(*keys));
    _cleanup_(freep) uint16_t *ranks = calloc(records->count, sizeof(*ranks));
    int r = keys && ranks ? 0 : -ENOMEM;

    for (size_t i = 0; r >= 0 && i < records->count; i++) {
        struct address address = record_address(records, i);

        r = find_key(ranker, &address, &keys[i]);
    }
    if (r >= 0)
        r = rank_assign(keys, records->count, ranks);
    for (size_t i = 0; r >= 0 && i < records->count; i++)
        record_set(records, i, ranks[i],
                   rank_key_reachable(&keys[i]) ? 0 : RANKER_TIER_UNREACHABLE);
    return r;
}

void ranker_rank(struct ranker *ranker, struct answer_head *payload)
{
    struct records records = records_of(payload);
    int r;

    if (records.count < 2) /* nothing to sort */
        return;
    r = rank_records(ranker, &records);
    if (r < 0)
        log_silence(ranker, r);
    if ((r < 0 || !ranker->prefixes_known) && payload->limit > 0)
        payload->limit = 1;
}

int ranker_source(const struct ranker *ranker, const struct address *to, struct address *ret_source)
{
    struct rank_source source;
    int r = routes_find(ranker->routes, to, &source);

    *ret_source = source.address;
    return r < 0 ? r : source.reachable;
}

/* ---- life ---- */

static void read_interfaces(struct ranker *ranker)
{
    bool known = ranker->prefixes_known;
    int r = routes_refresh(ranker->routes);

    ranker->prefixes_known = r >= 0;
    if (r < 0 && (known || ranker->generation == 0))
        log_warning("the addresses of this host cannot be read, answers are cut to one: %s",
                    strerror(-r));
}

void ranker_network_changed(struct ranker *ranker)
{
    read_interfaces(ranker);
    forget_all(ranker);
}

void ranker_retry(struct ranker *ranker)
{
    if (ranker->prefixes_known)
        return;
    read_interfaces(ranker);
    if (!ranker->prefixes_known)
        return;
    forget_all(ranker);
    ranker->changed(ranker->userdata);
}

static void on_gai_conf(void *userdata)
{
    struct ranker *ranker = userdata;
    struct gai_conf *conf;

    if (read_conf(ranker->path, &conf) < 0)
        return;
    gai_conf_free(ranker->conf);
    ranker->conf = conf;
    forget_all(ranker);
    log_info("%s: %zu lines in force; ranking addresses anew", ranker->path, conf->lines);
    ranker->changed(ranker->userdata);
}

int ranker_new(struct sd_event *event, const char *gai_conf, void (*changed)(void *userdata),
               void *userdata, struct ranker **ret_ranker)
{
    struct ranker *ranker = calloc(1, sizeof(*ranker));
    int r;

    if (!ranker)
        return -ENOMEM;
    ranker->changed = changed;
    ranker->userdata = userdata;
    ranker->path = strdup(gai_conf);
    ranker->routes = routes_new();
    ranker->cache = calloc(CACHE_SIZE, sizeof(*ranker->cache));
    r = ranker->path && ranker->routes && ranker->cache ? 0 : -ENOMEM;
    if (r >= 0)
        r = path_watch_new(event, gai_conf, on_gai_conf, ranker, &ranker->watch);
    if (r < 0 && r != -ENOMEM) {
        log_warning("changes of %s are not noticed: %s", gai_conf, strerror(-r));
        r = 0;
    }
    if (r >= 0)
        r = read_conf(gai_conf, &ranker->conf);
    if (r < 0) {
        ranker_free(ranker);
        return r;
    }
    ranker_network_changed(ranker);
    *ret_ranker = ranker;
    return 0;
}

struct ranker *ranker_free(struct ranker *ranker)
{
    if (!ranker)
        return NULL;
    path_watch_free(ranker->watch);
    routes_free(ranker->routes);
    gai_conf_free(ranker->conf);
    free(ranker->cache);
    free(ranker->path);
    free(ranker);
    return NULL;
}

void ranker_facts(const struct ranker *ranker, struct ranker_facts *ret_facts)
{
    *ret_facts = (struct ranker_facts){
        .gai_conf = ranker->path,
        .gai_lines = ranker->conf->lines,
        .prefixes_known = ranker->prefixes_known,
        .interface_addresses = routes_interface_addresses(ranker->routes),
    };
    for (size_t i = 0; i < CACHE_SIZE; i++) {
        const struct cached *cached = &ranker->cache[i];

        if (cached->generation != ranker->generation)
            continue;
        ret_facts->addresses++;
        ret_facts->unreachable += !rank_key_reachable(&(struct rank_key){.first = cached->first});
    }
}
