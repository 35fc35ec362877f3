/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/replay/scenario_expect.h"

#include "daemon/config_item.h"

#include <check.h>
#include <stdio.h>

/* Without a sign a duration is meant to this: latencies, ticks of the formats. */
#define TOLERANCE USEC_PER_SEC

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "found B A" and "found A B" are the same. */
static void normalize(const char *text, char *ret_text, size_t size)
{
    size_t count, at = 0;
    char **words = words_split(text, &count);

    if (count > 1)
        qsort(words + 1, count - 1, sizeof(*words), compare_words);
    ret_text[0] = '\0';
    for (size_t i = 0; i < count && at < size; i++)
        at += (size_t)snprintf(ret_text + at, size - at, "%s%s", i ? " " : "", words[i]);
    words_free(words);
}

static bool outcome_holds(const char *expected, const char *outcome)
{
    char a[4096], b[4096];

    if (streq(expected, "found any"))
        return strncmp(outcome, "found ", 6) == 0;
    normalize(expected, a, sizeof(a));
    normalize(outcome, b, sizeof(b));
    return streq(a, b);
}

/* ["<=" | ">="] VALUE; -1: no such thing. */
static int duration_holds(char *const *words, size_t count, usec_t value)
{
    bool most = count == 2 && streq(words[0], "<="), least = count == 2 && streq(words[0], ">=");
    usec_t limit;

    if (count == 0 || count > 2 || (count == 2 && !most && !least) ||
        config_duration_from_string(words[count - 1], &limit) < 0 || value == USEC_INFINITY)
        return -1;
    if (most)
        return value <= limit;
    if (least)
        return value >= limit;
    return value <= limit + TOLERANCE && value + TOLERANCE >= limit;
}

/* 1, 0, or -1: no such clause here. */
static int clause_holds(const char *clause, const struct came *came)
{
    size_t count;
    char **words = words_split(clause, &count);
    const struct reply *reply = came->reply;
    int r = -1;

    if (count >= 2 && streq(words[0], "age"))
        r = duration_holds(words + 1, count - 1, came->age);
    else if (count >= 2 && streq(words[0], "took"))
        r = duration_holds(words + 1, count - 1, came->took);
    else if (streq(clause, "at once") && came->took != USEC_INFINITY)
        r = came->took == 0;
    else if (reply && streq(clause, "fresh"))
        r = !reply->stale;
    else if (reply && streq(clause, "stale"))
        r = reply->stale;
    else if (reply && count == 2 && streq(words[0], "alias"))
        r = reply->alias && streq(reply->canonical, words[1]);
    else if (reply && count == 2 && streq(words[0], "as"))
        r = streq(reply->name, words[1]);
    words_free(words);
    return r;
}

static void say_duration(FILE *out, const char *word, usec_t value)
{
    if (value != USEC_INFINITY)
        fprintf(out, ", %s %gs", word, (double)value / (double)USEC_PER_SEC);
}

static char *describe(const struct came *came)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    fputs(came->outcome, out);
    if (came->reply) {
        fputs(came->reply->stale ? ", stale" : ", fresh", out);
        if (came->reply->alias)
            fprintf(out, ", alias %s", came->reply->canonical);
        if (came->reply->name[0])
            fprintf(out, ", as %s", came->reply->name);
    }
    say_duration(out, "age", came->age);
    say_duration(out, "took", came->took);
    fclose(out);
    return text;
}

static void mismatch(struct machine *machine, const struct statement *statement, const char *clause,
                     const struct came *came)
{
    char *text = describe(came);

    machine_fail(machine, "%s\n    expected  %s\n    came      %s", statement->text, clause, text);
    free(text);
}

void expect_came(struct machine *machine, const struct statement *statement,
                 const struct came *came)
{
    char *copy, *rest, *clause;
    bool first = true;

    if (!statement->expected)
        return;
    copy = rest = strdup(statement->expected);
    while ((clause = rest ? strsep(&rest, ",") : NULL)) {
        int holds;

        clause += strspn(clause, " ");
        holds = first ? outcome_holds(clause, came->outcome) : clause_holds(clause, came);
        first = false;
        if (holds < 0)
            machine_fail(machine, "what is '%s'?", clause);
        else if (holds == 0)
            mismatch(machine, statement, clause, came);
    }
    free(copy);
}

void expect_number(struct machine *machine, const struct statement *statement, unsigned number)
{
    char *copy, *rest, *clause;

    copy = rest = strdup(statement->expected ?: "");
    while ((clause = rest ? strsep(&rest, ",") : NULL)) {
        unsigned limit;
        char sign[3] = "";
        bool holds;

        if (sscanf(clause, " %u", &limit) != 1 &&
            sscanf(clause, " %2[<>=] %u", sign, &limit) != 2) {
            machine_fail(machine, "'%s' is no number", clause);
            break;
        }
        holds = streq(sign, "<=")   ? number <= limit
                : streq(sign, ">=") ? number >= limit
                                    : number == limit;
        if (!holds)
            machine_fail(machine, "%s\n    expected  %s\n    came      %u", statement->text, clause,
                         number);
    }
    free(copy);
}
