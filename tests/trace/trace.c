/* trace FILE             performs the operations of a trace, one JSON outcome per line on stdout
 * trace --check PATH …   compares with *.expected.ndjson: of a trace, or of every trace in a folder
 *
 * Exit 0: all alike; 1: an outcome differs, an operation failed or needs what this version has not. */
#include "tests/trace/trace.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static char *read_whole(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = fopen(path, "r");
    if (!file) return NULL;
    ssize_t got = getdelim(&text, &size, '\0', file);
    fclose(file);
    if (got < 0) {
        free(text);
        return NULL;
    }
    return text;
}

static bool next_line(char **rest, dbk_slice *line)
{
    while (**rest == '\n') ++*rest;
    if (!**rest) return false;
    char *end = strchrnul(*rest, '\n');
    *line = dbk_slice_of(*rest, (size_t)(end - *rest));
    *rest = end;
    return true;
}

/* The outcome as canonical JSON in `out`, its nodes in *parsed. */
static dbk_result outcome(trace_stage *stage, dbk_slice line, dbk_buffer *out, const dbk_json_node **parsed)
{
    dbk_buffer members;
    dbk_buffer_init(&members, stage->port);
    dbk_buffer_put_u8(&members, '{');
    dbk_buffer body;
    dbk_buffer_init(&body, stage->port);
    dbk_result result = stage_perform(stage, line, &body);
    dbk_buffer_put_slice(&members, dbk_buffer_slice(&body));
    dbk_buffer_put_u8(&members, '}');
    if (result == DBK_OK) result = dbk_json_parse(stage->inner, dbk_buffer_slice(&members), parsed, &stage->err);
    dbk_buffer_clear(out);
    if (result == DBK_OK) dbk_json_put_canonical(out, *parsed);
    dbk_buffer_release(&body);
    dbk_buffer_release(&members);
    return result;
}

static bool is_reopen(trace_stage *stage, dbk_slice line)
{
    const dbk_json_node *op;
    if (dbk_json_parse(stage->parser, line, &op, NULL) != DBK_OK) return false;
    const dbk_json_node *name = dbk_json_member(op, "op");
    return name && dbk_json_text_is(name, "reopen");
}

/* What was published while a store opens reaches nobody. */
static bool gives_at_reopen(dbk_slice member)
{
    return stage_gives(member) && !dbk_slice_equal(member, dbk_slice_text("feed"));
}

static bool compare_line(trace_stage *stage, const char *path, int number, dbk_slice line, dbk_slice expected,
                         const dbk_json_node *actual)
{
    const dbk_json_node *wanted;
    dbk_buffer where;
    bool reopen = is_reopen(stage, line);
    if (dbk_json_parse(stage->parser, expected, &wanted, &stage->err) != DBK_OK) {
        printf("%s:%d: expectation: %s\n", path, number, stage->err.text);
        return false;
    }
    dbk_buffer_init(&where, stage->port);
    bool same = same_outcome(wanted, actual, reopen ? gives_at_reopen : stage_gives, &where);
    if (!same) {
        const char *text = dbk_buffer_text(&where);
        printf("%s:%d: %.*s\n  outcome%s\n", path, number, (int)(line.size < 300 ? line.size : 300),
               (const char *)line.data, text ? text : "");
    }
    dbk_buffer_release(&where);
    return same;
}

/* Stops at the first difference: what follows would differ by it. */
static bool run(const char *path, char *lines, char *expected)
{
    trace_stage *stage = calloc(1, sizeof *stage);
    dbk_buffer out;
    dbk_slice line, wanted;
    if (!stage) return false;
    bool good = stage_open(stage) == DBK_OK;
    if (!good) fprintf(stderr, "%s\n", stage->err.text);
    dbk_buffer_init(&out, dbk_port_system());
    for (int number = 1; good && next_line(&lines, &line); number++) {
        const dbk_json_node *actual;
        dbk_result result = outcome(stage, line, &out, &actual);
        if (result == DBK_NONE) {
            (void)(expected && next_line(&expected, &wanted));
        } else if (result != DBK_OK) {
            fprintf(stderr, "%s:%d: %s: %s\n", path, number, dbk_result_name(result), stage->err.text);
            good = false;
        } else if (!expected) {
            printf("%.*s\n", DBK_SLICE_ARG(dbk_buffer_slice(&out)));
        } else if (!next_line(&expected, &wanted)) {
            printf("%s:%d: the expectations end here\n", path, number);
            good = false;
        } else {
            good = compare_line(stage, path, number, line, wanted, actual);
        }
    }
    if (good && expected && next_line(&expected, &wanted)) {
        printf("%s: more expectations than operations\n", path);
        good = false;
    }
    dbk_buffer_release(&out);
    stage_close(stage);
    free(stage);
    return good;
}

static bool check_file(const char *path)
{
    char other[4096];
    size_t stem = strlen(path) - strlen(".ndjson");
    snprintf(other, sizeof other, "%.*s.expected.ndjson", (int)stem, path);
    char *lines = read_whole(path), *expected = read_whole(other);
    bool good = lines && expected;
    if (!good) printf("%s: cannot read it and '%s'\n", path, other);
    else good = run(path, lines, expected);
    free(lines);
    free(expected);
    return good;
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), tail = strlen(end);
    return size > tail && !strcmp(text + size - tail, end);
}

static bool is_trace(const char *name)
{
    return ends_with(name, ".ndjson") && !ends_with(name, ".expected.ndjson");
}

static int wants_trace(const struct dirent *entry)
{
    return is_trace(entry->d_name);
}

/* How many of the folder's traces, or of the one file, are alike; *all counts them. */
static size_t check_path(const char *path, size_t *all)
{
    struct dirent **names = NULL;
    size_t good = 0;
    if (is_trace(path)) {
        ++*all;
        return check_file(path);
    }
    int count = scandir(path, &names, wants_trace, alphasort);
    if (count <= 0) {
        printf("%s: no traces\n", path);
        ++*all;
    }
    for (int i = 0; i < count; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        good += check_file(file);
        ++*all;
        free(names[i]);
    }
    free(names);
    return good;
}

int main(int argc, char **argv)
{
    /* The zone is part of an entry's bytes; the model's is UTC. */
    setenv("TZ", "UTC", 1);
    if (argc == 2 && argv[1][0] != '-') {
        char *lines = read_whole(argv[1]);
        bool good = lines && run(argv[1], lines, NULL);
        if (!lines) fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
        free(lines);
        return !good;
    }
    if (argc < 3 || strcmp(argv[1], "--check") != 0) {
        fprintf(stderr, "usage: trace FILE | trace --check FILE-OR-FOLDER …\n");
        return 2;
    }
    size_t good = 0, all = 0;
    for (int i = 2; i < argc; i++) good += check_path(argv[i], &all);
    printf("%zu of %zu traces alike\n", good, all);
    return good != all;
}
