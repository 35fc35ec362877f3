/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sdctl doctor: the runtime directory as a program sees it: its sockets, who may connect, and how
 * it came into a container.
 */
#include "ctl/doctor.h"

#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/un.h>

#include "nss-sd/wire.h"

#define START "Start the daemon: 'systemctl start nss-sdd'."

static const struct {
    const char *name;
    int type;
} sockets[] = {
    {NSS_SD_LOOKUP_SOCKET, SOCK_SEQPACKET},
    {NSS_SD_REFRESH_SOCKET, SOCK_DGRAM},
    {NSS_SD_CONTROL_SOCKET, SOCK_STREAM},
};

/* Connects as a program would. 0 or negative errno. */
static int try_connect(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _cleanup_(closep) int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    return connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

static const char *advice_for(int r)
{
    if (r == -ECONNREFUSED || r == -ENOENT)
        return START;
    if (r == -EACCES || r == -EPERM)
        return "Something forbids it that is not the mode of the file: look for a security "
               "profile ('journalctl -k'), and at the folders above it.";
    if (r == -EAGAIN)
        return "The daemon takes no connection now: it hangs, or is flooded with lookups. Its log "
               "may tell: 'journalctl -u nss-sdd'.";
    return NULL;
}

static bool socket_is_good(struct doctor *doctor, const char *path, int type)
{
    struct stat status;
    int r;

    if (lstat(path, &status) < 0) {
        doctor_report(doctor, SEVERITY_ERROR, "socket.missing", (struct place){path, 0}, START,
                      "cannot be found: %s", strerror(errno));
        return false;
    }
    if (!S_ISSOCK(status.st_mode)) {
        doctor_report(doctor, SEVERITY_ERROR, "socket.missing", (struct place){path, 0},
                      "Remove it, and restart the daemon: 'systemctl restart nss-sdd'.",
                      "is no socket");
        return false;
    }
    if ((status.st_mode & 0666) != 0666) {
        doctor_report(doctor, SEVERITY_ERROR, "socket.mode", (struct place){path, 0},
                      "Restart the daemon, which makes it with mode 0666: 'systemctl restart "
                      "nss-sdd.socket nss-sdd'.",
                      "has mode %04o: not every user may ask", (unsigned)status.st_mode & 07777);
        return false;
    }
    r = try_connect(path, type);
    if (r < 0)
        doctor_report(doctor, SEVERITY_ERROR, "socket.refuses", (struct place){path, 0},
                      advice_for(r), "cannot be connected to: %s", strerror(-r));
    return r == 0;
}

static void check_sockets(struct doctor *doctor)
{
    size_t good = 0;

    for (size_t i = 0; i < ELEMENTS(sockets); i++) {
        _cleanup_(freep) char *path = NULL;

        if (asprintf(&path, "%s/%s", doctor->runtime, sockets[i].name) < 0)
            out_of_memory();
        good += socket_is_good(doctor, path, sockets[i].type);
    }
    if (good == ELEMENTS(sockets))
        doctor_report(doctor, SEVERITY_OK, "socket", (struct place){doctor->runtime, 0}, NULL,
                      "everybody can connect to the sockets");
}

/* Is the view itself mounted, instead of the directory that it is in? */
static void check_mount(struct doctor *doctor)
{
    _cleanup_(freep) char *text = NULL, *view = NULL;
    char *rest, *line, point[4096];
    size_t size;

    if (asprintf(&view, "%s/" NSS_SD_VIEW_FILE, doctor->runtime + strlen(doctor->root)) < 0)
        out_of_memory();
    if (strncmp(doctor->runtime, doctor->root, strlen(doctor->root)) != 0 ||
        doctor_read(doctor, "/proc/self/mountinfo", DOCTOR_FILE_MAX, &text, &size) < 0)
        return;
    rest = text;
    while ((line = doctor_line(&rest)))
        if (sscanf(line, "%*s %*s %*s %*s %4095s", point) == 1 && streq(point, view))
            doctor_report(doctor, SEVERITY_ERROR, "container.file", (struct place){view, 0},
                          "Mount the directory that it is in instead, read-only.",
                          "is mounted by itself: it stays what it is when the daemon puts a new "
                          "one in its place");
}

/* A container has it read-only; where the daemon itself runs, it could make no view. */
static void check_writable(struct doctor *doctor)
{
    struct statvfs status;

    if (statvfs(doctor->runtime, &status) < 0 || !(status.f_flag & ST_RDONLY))
        return;
    if (doctor_exists(doctor, "/run/systemd/container") || doctor_exists(doctor, "/.dockerenv") ||
        doctor_exists(doctor, "/run/.containerenv"))
        doctor_report(doctor, SEVERITY_OK, "runtime.readonly", (struct place){doctor->runtime, 0},
                      NULL, "is mounted read-only, as it should be in a container");
    else
        doctor_report(doctor, SEVERITY_WARNING, "runtime.readonly",
                      (struct place){doctor->runtime, 0},
                      "If the daemon is to run on this side, take the mount away and restart it.",
                      "is mounted read-only: a daemon that runs here cannot make its view");
}

void doctor_runtime(struct doctor *doctor)
{
    struct stat status;

    if (stat(doctor->runtime, &status) < 0 || !S_ISDIR(status.st_mode)) {
        doctor_report(doctor, SEVERITY_ERROR, "runtime.missing", (struct place){doctor->runtime, 0},
                      START " In a container, mount the directory of the host.",
                      "is no directory: the daemon has not run since the machine was started");
        return;
    }
    check_mount(doctor);
    check_writable(doctor);
    check_sockets(doctor);
}
