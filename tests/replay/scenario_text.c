/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/replay/scenario_text.h"
#include "tests/unit/unit.h"

#include <check.h>
#include <stdio.h>

static char *text_range(const char *begin, const char *end)
{
    while (begin < end && (*begin == ' ' || *begin == '\t'))
        begin++;
    while (end > begin && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        end--;
    return strndup(begin, (size_t)(end - begin));
}

/* One word from *at, which is moved behind it; NULL: no more. */
static char *word_take(const char **at)
{
    const char *begin = *at + strspn(*at, " \t"), *end;

    if (*begin == '\0')
        return NULL;
    if (*begin == '"') {
        end = strchr(begin + 1, '"') ?: begin + strlen(begin);
        *at = *end == '"' ? end + 1 : end;
        return strndup(begin + 1, (size_t)(end - begin - 1));
    }
    end = begin + strcspn(begin, " \t");
    *at = end;
    return strndup(begin, (size_t)(end - begin));
}

char **words_split(const char *text, size_t *ret_count)
{
    char **words = NULL, *word;
    size_t count = 0;

    do {
        word = word_take(&text);
        words = realloc(words, (count + 1) * sizeof(*words));
        UNIT_HOLDS(words);
        words[count++] = word;
    } while (word);
    *ret_count = count - 1;
    return words;
}

void words_free(char **words)
{
    for (size_t i = 0; words && words[i]; i++)
        free(words[i]);
    free(words);
}

static struct statement *statements_free(struct statement *statement)
{
    while (statement) {
        struct statement *next = statement->next;

        statements_free(statement->body);
        words_free(statement->words);
        free(statement->expected);
        free(statement->text);
        free(statement);
        statement = next;
    }
    return NULL;
}

struct scenario *scenario_free(struct scenario *scenario)
{
    if (!scenario)
        return NULL;
    statements_free(scenario->first);
    free(scenario->file);
    free(scenario);
    return NULL;
}

static struct statement *statement_new(const char *begin, const char *end, unsigned line)
{
    struct statement *statement = calloc(1, sizeof(*statement));
    char *left, *arrow;

    UNIT_HOLDS(statement);
    statement->line = line;
    statement->indent = (unsigned)strspn(begin, " ");
    statement->text = text_range(begin, end);
    left = strdup(statement->text);
    arrow = strstr(left, "-> ");
    /* "->host.name" is an endpoint. */
    if (arrow) {
        statement->expected = text_range(arrow + 3, arrow + strlen(arrow));
        *arrow = '\0';
    }
    statement->words = words_split(left, &statement->count);
    free(left);
    return statement;
}

/* Reads the statements that are indented by at least `indent`; *at is moved behind them. */
static struct statement *parse_level(const char **at, unsigned *line, unsigned indent)
{
    struct statement *first = NULL, **place = &first, *last = NULL;

    while (**at) {
        const char *end = *at + strcspn(*at, "\n");
        size_t blank = strspn(*at, " \t\r");
        unsigned depth = (unsigned)strspn(*at, " ");

        if (blank >= (size_t)(end - *at) || (*at)[blank] == '#') {
            *at = *end ? end + 1 : end;
            ++*line;
            continue;
        }
        if (depth < indent)
            return first;
        if (last && depth > last->indent && !last->body) {
            last->body = parse_level(at, line, depth);
            continue;
        }
        last = *place = statement_new(*at, end, *line);
        place = &last->next;
        *at = *end ? end + 1 : end;
        ++*line;
    }
    return first;
}

/* Every level has one indentation. */
static unsigned uneven_line(const struct statement *statement)
{
    for (const struct statement *each = statement; each; each = each->next) {
        unsigned line = uneven_line(each->body);

        if (line > 0 || each->indent != statement->indent)
            return line ?: each->line;
    }
    return 0;
}

struct scenario *scenario_parse(const char *file, const char *text, char **ret_error)
{
    struct scenario *scenario = calloc(1, sizeof(*scenario));
    unsigned line = 1, uneven;

    UNIT_HOLDS(scenario);
    scenario->file = strdup(file);
    scenario->first = parse_level(&text, &line, 0);
    uneven = uneven_line(scenario->first);
    if (uneven == 0)
        return scenario;
    ck_assert_int_gt(
        asprintf(ret_error, "%s:%u: indented neither as the line above nor deeper", file, uneven),
        0);
    return scenario_free(scenario);
}

struct scenario *scenario_read(const char *path, char **ret_error)
{
    const char *slash = strrchr(path, '/');
    struct scenario *scenario = NULL;
    size_t size = 0;
    char *text = NULL;
    FILE *file = fopen(path, "r");

    if (!file || getdelim(&text, &size, '\0', file) < 0)
        UNIT_HOLDS(asprintf(ret_error, "%s: cannot be read: %s", path, strerror(errno)) > 0);
    else
        scenario = scenario_parse(slash ? slash + 1 : path, text, ret_error);
    if (file)
        fclose(file);
    free(text);
    return scenario;
}
