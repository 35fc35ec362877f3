/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tells the service manager how it goes, without waiting for it: sd_notify() blocks while the
 * manager does not read (it reloads, or is stopped), and the loop must not. For news that may get
 * lost; what the manager waits for goes by sd_notify().
 */
#pragma once

/* Sends "KEY=VALUE\n...". 0, also where there is no manager; a negative errno: not sent. */
int notify_try(const char *text);
