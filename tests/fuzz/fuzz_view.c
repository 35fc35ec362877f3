/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Arbitrary bytes as the view's file, and a name that is asked for: it is no view, or the name has
 * one owner and the heart one state. The input is one byte with the length of the name, the name,
 * and the beginning of the file, which zeros fill up.
 */
#include <stdlib.h>
#include <string.h>

#include "nss/view_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check(const struct view *view, const char *name)
{
    char folded[NAME_SIZE];
    bool rooted;
    size_t length = name_fold(name, SIZE_MAX, folded, &rooted);
    uint32_t heartbeat;
    enum view_owner owner;

    require(view->header.domain_count <= VIEW_DOMAINS_MAX);
    for (uint32_t i = 0; i < view->header.domain_count; i++)
        require(view->header.domains[i].length <= sizeof(view->header.domains[i].text));
    require(view_pulse(view, 1000, &heartbeat) >= VIEW_LIVE);
    if (length == 0)
        return;
    owner = view_owner(view, folded, length, rooted);
    require(owner >= VIEW_FOREIGN && owner <= VIEW_SEARCHED);
    require(!(rooted && owner == VIEW_SEARCHED));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(8) char file[VIEW_HEADER_SIZE];
    static struct view view;
    char name[256] = "";
    size_t length;

    if (size < 1 || size < 1u + data[0])
        return 0;
    length = data[0];
    memcpy(name, data + 1, length);
    data += 1 + length;
    size -= 1 + length;
    memset(file, 0, sizeof(file));
    memcpy(file, data, size < sizeof(file) ? size : sizeof(file));
    memset(&view, 0xee, sizeof(view));
    if (view_init(&view, file, sizeof(file)))
        check(&view, name);
    return 0;
}
