/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A token in a file that somebody else writes anew. It is looked at when it is needed and the last
 * look is a minute ago, or it was refused; a file that cannot be read leaves the token that was
 * read last. The kubelet swaps the file by a symbolic link two levels up, so nothing watches it.
 */
#pragma once

#include "daemon/registry/registry.h"

struct kubernetes_token {
    char *path, *text; /* text: NULL until it could be read once */
    usec_t looked_at;
    bool stale; /* look again at once */
    int error;  /* negative errno of the last look */
};

int kubernetes_token_init(struct kubernetes_token *token, const char *path);
void kubernetes_token_done(struct kubernetes_token *token);

/* Looks if it is time to. Is it another token now? */
bool kubernetes_token_look(struct kubernetes_token *token, struct registry_env *env);
