/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bounds that every TCP connection of ours has: a peer that vanished without a word is noticed
 * within 30 s, by the kernel, without a wake-up of ours.
 */
#pragma once

/* For a new socket of AF_INET or AF_INET6. A kernel that lacks an option does without it. */
void liveness_set(int fd);
