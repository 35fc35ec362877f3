/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Arbitrary bytes as the view's file, and a name that is asked for. The input is a byte with the
 * length of the name, the name, a byte that says what the rest is, and the rest, which zeros fill
 * up:
 *
 *   even   a header: it is no view, or the name has one owner and the heart one state
 *   odd    heartbeat, two clocks and three tables of one set each, under a good header. What is
 *          found is well-formed and what was asked for. Then the same lookups go through the
 *          module's entry points, while a thread keeps changing the bytes under them.
 *
 * Times in the rest are relative to now, and the slots get the hash of the name, else nothing would
 * ever be found. The file ends at a page that cannot be read.
 */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nss-sd/wire.h"
#include "nss/clock.h"
#include "nss/module.h"
#include "nss/view_slots.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLOCKS = 2, SLOTS = 2 * VIEW_WAYS, LOOKUPS = 4 };

struct tables {
    uint32_t heartbeat;
    struct view_clock clocks[CLOCKS];
    char slots[SLOTS][ANSWER_SLOT_SIZE]; /* positive, negative */
    struct view_reverse reverse[VIEW_WAYS];
};

struct file {
    char header[VIEW_HEADER_SIZE];
    char slots[SLOTS][ANSWER_SLOT_SIZE];
    struct view_reverse reverse[VIEW_WAYS];
};

struct name {
    char text[NAME_SIZE];
    size_t length; /* 0: not a name */
    bool rooted;
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* ---- headers ---- */

static void check_view(const struct view *view, const struct name *name)
{
    uint32_t heartbeat;
    enum view_owner owner;

    require(view->header.domain_count <= VIEW_DOMAINS_MAX);
    for (uint32_t i = 0; i < view->header.domain_count; i++)
        require(view->header.domains[i].length <= sizeof(view->header.domains[i].text));
    require(view_pulse(view, 1000, &heartbeat) >= VIEW_LIVE);
    if (name->length == 0)
        return;
    owner = view_owner(view, name->text, name->length, name->rooted);
    require(owner >= VIEW_FOREIGN && owner <= VIEW_SEARCHED);
    require(!(name->rooted && owner == VIEW_SEARCHED));
}

static void check_header(const struct name *name, const uint8_t *data, size_t size)
{
    static _Alignas(8) char header[VIEW_HEADER_SIZE];
    static struct view view;

    memset(header, 0, sizeof(header));
    memcpy(header, data, size < sizeof(header) ? size : sizeof(header));
    memset(&view, 0xee, sizeof(view));
    if (view_init(&view, header, sizeof(header)))
        check_view(&view, name);
}

/* ---- tables ---- */

static struct file *file;
static struct file pristine;

static void make_header(struct view_header *header)
{
    *header = (struct view_header){
        .magic = VIEW_MAGIC,
        .layout = VIEW_LAYOUT,
        .endian = VIEW_ENDIAN,
        .header_size = VIEW_HEADER_SIZE,
        .file_size = sizeof(struct file),
        .slot_size = ANSWER_SLOT_SIZE,
        .reverse_bits = 2,
        .ndots = 3,
        .lease_ticks = VIEW_LEASE_TICKS,
        .domain_count = 1,
        .search_count = 1,
        .clock_count = CLOCKS,
        .heartbeat = clock_tick(),
        .domains = {{.length = 6, .text = "consul"}},
        .search = {{.length = 6, .text = "consul"}},
    };
    memset(header->filter, 0xff, sizeof(header->filter));
}

/* The module attaches a file of the runtime directory; we keep it mapped, at the end of a page. */
static void make_file(void)
{
    static char directory[] = "/tmp/nss-sd-fuzz.XXXXXX";
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size = (sizeof(*file) + page - 1) / page * page;
    char path[64], *room;
    int fd;

    require(mkdtemp(directory) != NULL);
    setenv(NSS_SD_RUNTIME_DIRECTORY_ENV, directory, 1);
    snprintf(path, sizeof(path), "%s/view", directory);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
    require(fd >= 0 && ftruncate(fd, sizeof(*file)) == 0);
    room = mmap(NULL, size + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(room != MAP_FAILED);
    file = mmap(room, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    require(file != MAP_FAILED);
    close(fd);
    make_header((struct view_header *)file->header);
    require(view_reader_current(clock_tick()) != NULL);
    unlink(path);
    rmdir(directory);
}

/* `name`: that of the answers that are to be found. */
static void write_tables(const struct name *name, const uint8_t *data, size_t size)
{
    static struct tables tables;
    struct view_header *header = (struct view_header *)pristine.header;
    uint32_t now = clock_tick();
    uint32_t tag = view_place_of(header->hash_key, name->text, name->length, 0).tag;

    memset(&tables, 0, sizeof(tables));
    memcpy(&tables, data, size < sizeof(tables) ? size : sizeof(tables));
    make_header(header);
    header->heartbeat = now + tables.heartbeat;
    memcpy(header->clocks, tables.clocks, sizeof(tables.clocks));
    for (unsigned i = 0; i < CLOCKS; i++)
        header->clocks[i].confirmed_at += now;
    memcpy(pristine.slots, tables.slots, sizeof(tables.slots));
    memcpy(pristine.reverse, tables.reverse, sizeof(tables.reverse));
    for (unsigned i = 0; i < SLOTS; i++) {
        struct answer_head *head = (struct answer_head *)pristine.slots[i];

        head->hash = tag;
        head->refresh_at += now;
        head->fresh_until += now;
        if (head->clock == ANSWER_CLOCK_NONE)
            head->stale_until += now;
    }
    memcpy(file, &pristine, sizeof(pristine));
}

static void check_answer(const struct view_answer *found)
{
    const struct answer *answer = &found->answer;
    const struct answer_head *head = answer->head;
    const char *begin = (const char *)found->copy, *end = begin + ANSWER_SLOT_SIZE;

    require((const void *)head == found->copy && head->size <= ANSWER_SLOT_SIZE);
    require(answer->name > begin && answer->name + head->name_length < end);
    require((const char *)(answer->records4 + head->count4) <= end);
    require((const char *)(answer->records6 + head->count6) <= end);
    require(!answer->canonical || answer->canonical + head->canonical_length <= end);
}

static bool check_find(const struct view_moment *moment, const struct name *name,
                       enum view_serve least)
{
    struct view_answer found;

    if (!view_slots_find(moment, name->text, name->length, least, &found))
        return false;
    check_answer(&found);
    if (least > VIEW_SERVE_NEVER) {
        require(found.answer.head->clock == ANSWER_CLOCK_NONE || found.answer.head->clock < CLOCKS);
        require(found.answer.head->count4 + found.answer.head->count6 > 0 || moment->live);
    }
    require(found.answer.head->name_length == name->length);
    require(memcmp(found.answer.name, name->text, name->length) == 0);
    return true;
}

static void check_find_address(const struct view_moment *moment, const struct view_reverse *entry)
{
    struct view_answer found;
    bool holds = false;

    if ((entry->family != 4 && entry->family != 6) ||
        !view_slots_find_address(moment, entry->family, entry->address, &found))
        return;
    check_answer(&found);
    for (unsigned i = 0; entry->family == 4 && i < found.answer.head->count4; i++)
        holds |= memcmp(found.answer.records4[i].address, entry->address, 4) == 0;
    for (unsigned i = 0; entry->family == 6 && i < found.answer.head->count6; i++)
        holds |= memcmp(found.answer.records6[i].address, entry->address, 16) == 0;
    require(holds);
}

static void check_moment(const struct view_moment *moment, const struct name *name)
{
    bool now = check_find(moment, name, VIEW_SERVE_NOW);
    bool last = check_find(moment, name, VIEW_SERVE_LAST);
    bool ever = check_find(moment, name, VIEW_SERVE_NEVER);

    require(last || !now);
    require(ever || !last);
    for (unsigned i = 0; i < VIEW_WAYS; i++)
        check_find_address(moment, &pristine.reverse[i]);
}

static void check_tables(const struct name *name)
{
    struct view_moment moment = {.now = clock_tick()};

    moment.view = view_reader_current(moment.now);
    moment.live = view_pulse(moment.view, moment.now, &moment.heartbeat) == VIEW_LIVE;
    check_moment(&moment, name);
    moment.live = !moment.live;
    check_moment(&moment, name);
}

/* ---- while the bytes change ---- */

static sem_t begin, ended;
static atomic_bool changing, stop;

static uint32_t draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static void change(uint64_t *state)
{
    uint32_t *words = (uint32_t *)file;
    const uint32_t *good = (const uint32_t *)&pristine;
    uint32_t count = sizeof(*file) / sizeof(*words);
    uint32_t first = offsetof(struct view_header, retired) / sizeof(*words);
    uint32_t slot = (VIEW_HEADER_SIZE + draw(state) % SLOTS * ANSWER_SLOT_SIZE) / 4;

    switch (draw(state) % 4) {
    case 0: /* any word */
        first += draw(state) % (count - first);
        __atomic_store_n(&words[first], draw(state), __ATOMIC_RELAXED);
        break;
    case 1: /* a word of a slot's head or name */
        slot += draw(state) % (ANSWER_RECORDS / 4);
        __atomic_store_n(&words[slot], draw(state) % 2048, __ATOMIC_RELAXED);
        break;
    case 2: /* a slot as it was */
        for (uint32_t i = 0; i < ANSWER_SLOT_SIZE / 4; i++)
            __atomic_store_n(&words[slot + i], good[slot + i], __ATOMIC_RELAXED);
        break;
    default: /* the clocks and the heartbeat as they were */
        for (uint32_t i = first; i < first + 2; i++)
            __atomic_store_n(&words[i], good[i], __ATOMIC_RELAXED);
        first = offsetof(struct view_header, clocks) / sizeof(*words);
        for (uint32_t i = first; i < first + CLOCKS * 4; i++)
            __atomic_store_n(&words[i], good[i], __ATOMIC_RELAXED);
    }
}

static void *change_bytes(void *argument)
{
    uint64_t state = 1;

    for (;;) {
        sem_wait(&begin);
        for (bool first = true; first || !atomic_load(&stop); first = false) {
            change(&state);
            atomic_store(&changing, true);
        }
        sem_post(&ended);
    }
    return argument;
}

static void look_up(const struct name *name, size_t room)
{
    static const int families[] = {AF_INET, AF_INET6};
    struct gaih_addrtuple *list = NULL;
    struct hostent host;
    char *buffer = malloc(room); /* exact, so that a sanitizer sees a byte too far */
    int error = 0, h_error = 0;
    enum nss_status status;

    require(buffer != NULL || room == 0);
    status = _nss_sd_gethostbyname4_r(name->text, &list, buffer, room, &error, &h_error, NULL);
    require((status == NSS_STATUS_SUCCESS) == (list != NULL));
    require(status == NSS_STATUS_SUCCESS || error != 0);
    for (; list; list = list->next)
        require(list->family == AF_INET || list->family == AF_INET6);
    for (unsigned i = 0; i < 2; i++) {
        const struct view_reverse *entry = &pristine.reverse[i];

        if (_nss_sd_gethostbyname2_r(name->text, families[i], &host, buffer, room, &error,
                                     &h_error) == NSS_STATUS_SUCCESS)
            require(host.h_addr_list[0] && host.h_addrtype == families[i]);
        _nss_sd_gethostbyaddr_r(entry->address, i == 0 ? 4 : 16, families[i], &host, buffer, room,
                                &error, &h_error);
    }
    free(buffer);
}

static void look_up_while_bytes_change(const struct name *name, size_t room)
{
    atomic_store(&stop, false);
    atomic_store(&changing, false);
    sem_post(&begin);
    while (!atomic_load(&changing))
        ;
    for (unsigned i = 0; i < LOOKUPS; i++)
        look_up(name, room);
    atomic_store(&stop, true);
    sem_wait(&ended);
}

static void start(void)
{
    pthread_t thread;

    make_file();
    require(sem_init(&begin, 0, 0) == 0 && sem_init(&ended, 0, 0) == 0);
    require(pthread_create(&thread, NULL, change_bytes, NULL) == 0);
    pthread_detach(thread);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct name name, candidate; /* as typed; as it may be in the view */
    char text[256] = "";
    size_t length;

    if (size < 2 || size < 2u + data[0])
        return 0;
    length = data[0];
    memcpy(text, data + 1, length);
    name.length = name_fold(text, SIZE_MAX, name.text, &name.rooted);
    data += 1 + length;
    size -= 1 + length;
    if (data[0] % 2 == 0) {
        check_header(&name, data + 1, size - 1);
        return 0;
    }
    if (name.length == 0)
        return 0;
    if (!file)
        start();
    candidate = name;
    if (name_dots(name.text, name.length) == 0) { /* a label: there is room */
        memcpy(candidate.text + name.length, ".consul", sizeof(".consul"));
        candidate.length += strlen(".consul");
    }
    write_tables(&candidate, data + 1, size - 1);
    check_tables(&candidate);
    look_up(&name, size);
    look_up_while_bytes_change(&name, size % 1024);
    return 0;
}
