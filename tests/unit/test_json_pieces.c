/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Documents in pieces: whatever the cuts, the same items come, and nothing that is no JSON passes.
 */
#include <stdio.h>

#include "daemon/registry/json_pieces.h"
#include "tests/unit/unit.h"

static const char *const items_path[] = {"items", NULL};
static const char *const deep_path[] = {"applications", "application", NULL};

struct heard {
    char text[4096];
    int refuse;
};

static int hear_item(void *owner, const char *text, size_t size)
{
    struct heard *heard = owner;
    size_t used = strlen(heard->text);

    snprintf(heard->text + used, sizeof(heard->text) - used, "<%.*s>", (int)size, text);
    return heard->refuse;
}

static int hear_member(void *owner, unsigned level, const char *key, const char *text, size_t size)
{
    struct heard *heard = owner;
    size_t used = strlen(heard->text);

    snprintf(heard->text + used, sizeof(heard->text) - used, "%u.%s=%.*s;", level, key, (int)size,
             text);
    return 0;
}

static const struct json_pieces_handler hearing = {hear_item, hear_member};

/* Feeds `size` bytes of `text`, `step` at a time. */
static int hear(const char *const *path, const char *text, size_t size, size_t step,
                struct heard *heard)
{
    struct json_pieces pieces;
    int r = 0;

    heard->text[0] = '\0';
    json_pieces_init(&pieces, path, &hearing, heard, 256);
    for (size_t at = 0; at < size && r == 0; at += step)
        r = json_pieces_feed(&pieces, text + at, size - at < step ? size - at : step);
    if (r == 0)
        r = json_pieces_finish(&pieces);
    json_pieces_done(&pieces);
    return r;
}

static const struct {
    const char *const *path;
    const char *text;
    const char *heard;
} documents[] = {
    {items_path,
     "{\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[{\"a\":1},{}]}",
     "0.kind=\"List\";0.metadata={\"resourceVersion\":\"7\"};<{\"a\":1}><{}>"},
    {items_path, " { \"items\" : [ ] , \"n\" : -1.5e3 } \n", "0.n=-1.5e3;"},
    {items_path, "{\"items\":null,\"b\":true}", "0.b=true;"},
    {items_path, "{\"items\":[1,\"a,]}\\\"\",null,[[{}]]]}", "<1><\"a,]}\\\"\"><null><[[{}]]>"},
    {items_path, "{\"a\":{\"items\":[1]},\"items\":[2]}", "0.a={\"items\":[1]};<2>"},
    {items_path, "{\"it\\u0065ms\":[1]}", "0.it\\u0065ms=[1];"},
    {items_path, "{}", ""},
    {deep_path, "{\"applications\":{\"versions__delta\":\"1\",\"application\":[{\"n\":\"A\"}]}}",
     "1.versions__delta=\"1\";<{\"n\":\"A\"}>"},
    {deep_path, "{\"applications\":{\"application\":{\"n\":\"A\"},\"h\":\"UP_1_\"}}",
     "<{\"n\":\"A\"}>1.h=\"UP_1_\";"},
    {deep_path, "{\"applications\":null}", "0.applications=null;"},
    {NULL, "{\"type\":\"ADDED\"}\n{\"type\":\"DELETED\",\"o\":[]}\n",
     "<{\"type\":\"ADDED\"}><{\"type\":\"DELETED\",\"o\":[]}>"},
    {NULL, "", ""},
};

START_TEST(the_same_items_come_wherever_the_data_is_cut)
{
    struct heard heard = {0};

    for (size_t i = 0; i < ELEMENTS(documents); i++)
        for (size_t step = 1; step <= strlen(documents[i].text) + 1; step++) {
            ck_assert_int_eq(
                hear(documents[i].path, documents[i].text, strlen(documents[i].text), step, &heard),
                0);
            ck_assert_str_eq(heard.text, documents[i].heard);
        }
}
END_TEST

START_TEST(a_document_that_ends_too_early_is_none)
{
    struct heard heard = {0};

    for (size_t i = 0; i < ELEMENTS(documents); i++) {
        size_t size = strcspn(documents[i].text, "\n");

        while (size > 0 && documents[i].path && documents[i].text[size - 1] != '}')
            size--;
        for (size_t cut = 1; cut < size; cut++)
            ck_assert_int_eq(hear(documents[i].path, documents[i].text, cut, cut, &heard),
                             -EBADMSG);
    }
}
END_TEST

START_TEST(what_is_no_json_is_refused)
{
    static const char *const bad[] = {
        "[]",
        "x",
        "{\"items\":[1}",
        "{\"items\":[,1]}",
        "{\"items\" [1]}",
        "{items:[1]}",
        "{\"a\":}",
        "{\"a\":1]",
        "{\"a\":1,\"items\":[1 2]}",
        "{}{}",
        "{\"a\":,}",
        "{\"items\":[:]}",
        "{\"items\":[1]]}",
    };
    struct heard heard = {0};

    for (size_t i = 0; i < ELEMENTS(bad); i++)
        ck_assert_msg(hear(items_path, bad[i], strlen(bad[i]), 1, &heard) == -EBADMSG, "%s",
                      bad[i]);
    ck_assert_int_eq(hear(NULL, "[1]", 3, 1, &heard), -EBADMSG);
}
END_TEST

START_TEST(an_item_that_is_too_large_is_refused_and_a_member_passed_over)
{
    char text[256 * 1024];
    struct heard heard = {0};
    int size = snprintf(text, sizeof(text), "{\"items\":[\"%0300d\"]}", 0);

    ck_assert_int_eq(hear(items_path, text, (size_t)size, 100, &heard), -E2BIG);
    size = snprintf(text, sizeof(text), "{\"large\":\"%0100000d\",\"items\":[1]}", 0);
    ck_assert_int_eq(hear(items_path, text, (size_t)size, 1000, &heard), 0);
    ck_assert_str_eq(heard.text, "<1>");
}
END_TEST

START_TEST(nesting_has_an_end)
{
    char text[2048];
    struct heard heard = {0};

    memset(text, '[', sizeof(text));
    memcpy(text, "{\"a\":", 5);
    ck_assert_int_eq(hear(items_path, text, sizeof(text), 7, &heard), -E2BIG);
}
END_TEST

START_TEST(a_handler_that_refuses_ends_it)
{
    struct heard heard = {.refuse = -EIO};

    ck_assert_int_eq(hear(items_path, "{\"items\":[1,2]}", 15, 1, &heard), -EIO);
    ck_assert_str_eq(heard.text, "<1>");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("json_pieces");

    UNIT_CASE(suite, "pieces", the_same_items_come_wherever_the_data_is_cut,
              a_document_that_ends_too_early_is_none, what_is_no_json_is_refused,
              an_item_that_is_too_large_is_refused_and_a_member_passed_over, nesting_has_an_end,
              a_handler_that_refuses_ends_it);
    return suite;
}

UNIT_MAIN(make_suite)
