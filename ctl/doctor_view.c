/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sdctl doctor: the view, as the module would judge it (nss/view_reader.h). */
#include "ctl/doctor.h"

#include <fcntl.h>
#include <time.h>

#include "daemon/span.h"
#include "nss-sd/view.h"
#include "nss-sd/wire.h"

#define RESTART "Restart the daemon: 'systemctl restart nss-sdd'."
#define LOG     "Its log may tell: 'journalctl -u nss-sdd'. " RESTART

static uint32_t tick_now(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint32_t)((uint64_t)now.tv_sec * VIEW_TICKS_PER_SECOND +
                      (uint64_t)now.tv_nsec / (1000000000u / VIEW_TICKS_PER_SECOND));
}

/* Is our namespace another one than the daemon's? Where that cannot be told, it is not. */
static bool is_elsewhere(const char *path, uint32_t low, uint32_t high)
{
    uint64_t inode = (uint64_t)high << 32 | low;
    struct stat here;

    return inode != 0 && stat(path, &here) == 0 && (uint64_t)here.st_ino != inode;
}

static bool layout_is_ours(struct doctor *doctor, struct place place,
                           const struct view_header *header, uint64_t size)
{
    if (header->magic != VIEW_MAGIC || header->endian != VIEW_ENDIAN)
        doctor_report(doctor, SEVERITY_ERROR, "view.broken", place, RESTART, "is no view");
    else if (header->layout != VIEW_LAYOUT)
        doctor_report(doctor, SEVERITY_WARNING, "view.layout", place,
                      "Install the module and the daemon of the same version.",
                      "has layout %u, and the module of this version reads layout %d: every lookup "
                      "asks the daemon",
                      header->layout, VIEW_LAYOUT);
    else if (!view_header_check(header, size))
        doctor_report(doctor, SEVERITY_ERROR, "view.broken", place, RESTART,
                      "contradicts itself: no program reads it");
    else
        return true;
    return false;
}

static bool place_is_the_daemons(struct doctor *doctor, struct place place,
                                 const struct view_header *header)
{
    bool other_time = is_elsewhere("/proc/self/ns/time", header->timens_low, header->timens_high);

    if (is_elsewhere("/proc/self/ns/net", header->netns_low, header->netns_high))
        doctor_report(doctor, SEVERITY_WARNING, "view.network", place,
                      "That is so in a container with a network of its own. Elsewhere, run "
                      "programs and the daemon in the same one.",
                      "is of a daemon in another network namespace: each lookup gets one address, "
                      "because what is near is not known here");
    if (other_time)
        doctor_report(doctor, SEVERITY_WARNING, "view.time", place,
                      "Run programs in the time namespace of the daemon.",
                      "is of a daemon in another time namespace: every lookup asks the socket");
    return !other_time;
}

/* The heartbeat is written every second. */
static void check_pulse(struct doctor *doctor, struct place place, const struct view_header *header)
{
    int32_t age = (int32_t)(tick_now() - header->heartbeat);
    char span[SPAN_SIZE];

    if (header->retired)
        doctor_report(doctor, SEVERITY_ERROR, "view.retired", place, RESTART,
                      "was given up by its daemon, and there is none in its place");
    else if (age < -2 * VIEW_TICKS_PER_SECOND)
        doctor_report(doctor, SEVERITY_ERROR, "view.clock", place, RESTART,
                      "has a heartbeat in the future");
    else if (age > (int32_t)VIEW_LEASE_TICKS)
        doctor_report(doctor, SEVERITY_ERROR, "view.dead", place, LOG,
                      "the daemon has not moved for %s: it is dead, or hangs. What was known is "
                      "still served",
                      span_to_string((usec_t)age * USEC_PER_SEC / VIEW_TICKS_PER_SECOND, span));
    else
        doctor_report(doctor, SEVERITY_OK, "view", place, NULL,
                      "is readable, of this version's layout, and the daemon is alive");
}

static void check_header(struct doctor *doctor, struct place place, int fd)
{
    struct view_header header;
    struct stat status;

    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
        pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header)) {
        doctor_report(doctor, SEVERITY_ERROR, "view.broken", place, RESTART, "is no view");
        return;
    }
    if ((status.st_mode & 0444) != 0444)
        doctor_report(doctor, SEVERITY_ERROR, "view.mode", place, RESTART,
                      "has mode %04o: not every user can read it",
                      (unsigned)status.st_mode & 07777);
    if (layout_is_ours(doctor, place, &header, (uint64_t)status.st_size) &&
        place_is_the_daemons(doctor, place, &header))
        check_pulse(doctor, place, &header);
}

void doctor_view(struct doctor *doctor)
{
    _cleanup_(freep) char *path = NULL;
    _cleanup_(closep) int fd = -1;

    if (access(doctor->runtime, F_OK) < 0)
        return; /* doctor_runtime() said it */
    if (asprintf(&path, "%s/" NSS_SD_VIEW_FILE, doctor->runtime) < 0)
        out_of_memory();
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        doctor_report(doctor, SEVERITY_ERROR, "view.missing", (struct place){path, 0}, LOG,
                      "cannot be read: %s", strerror(errno));
    else
        check_header(doctor, (struct place){path, 0}, fd);
}
