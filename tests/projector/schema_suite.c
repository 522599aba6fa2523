/* Runs files of the JSON Schema Test Suite (draft 7) through the validator and counts, by file, that is by keyword.
 * usage: schema_suite [--remotes FOLDER] [--formats] [--strict] [--quiet] FILE…
 *   --remotes   the suite's remotes/: what it has at http://localhost:1234/
 *   --formats   `format` judges, as in an app's schemas/
 *   --strict    and words that are no keyword are refused, as there; a refused schema is neither right nor wrong
 *   --quiet     the counts alone, not each test that is answered otherwise
 * exit 1 if a test is answered otherwise, or without --strict a schema refused */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "projector/json_schema.h"

typedef struct tally {
    size_t right, wrong, refused;
} tally;

enum { REMOTES_MAX = 400, PATH_MAX_BYTES = 1000 };
static dbk_json_schema_document remotes[REMOTES_MAX];
static size_t remote_count, remotes_prefix;
static tally all, here;
static bool formats, strict, quiet;
static char why[400];

static void note_fault(void *arg, size_t offset, size_t size, const char *text, const char *advice)
{
    (void)arg, (void)offset, (void)size, (void)advice;
    if (!why[0]) snprintf(why, sizeof why, "%s", text);
}

static char *read_text(const char *path, size_t *size)
{
    enum { MOST = 4 << 20 };
    char *text = malloc(MOST);
    FILE *file = fopen(path, "rb");
    if (!file || !text) exit(2);
    *size = fread(text, 1, MOST, file);
    fclose(file);
    return text;
}

static int add_remote(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    size_t length = strlen(path), size;
    (void)status, (void)place;
    if (kind != FTW_F || length < 5 || strcmp(path + length - 5, ".json") != 0 || remote_count == REMOTES_MAX) return 0;
    char *uri = malloc(PATH_MAX_BYTES), *text = read_text(path, &size);
    if (!uri) exit(2);
    snprintf(uri, PATH_MAX_BYTES, "http://localhost:1234%s", path + remotes_prefix);
    remotes[remote_count++] = (dbk_json_schema_document){uri, dbk_slice_of(text, size)};
    return 0;
}

static void run_group(const char *path, const dbk_json_node *group)
{
    const dbk_json_node *tests = dbk_json_member(group, "tests"), *schema_node = dbk_json_member(group, "schema");
    dbk_json_schema_options options = {
        .lenient = !strict, .no_formats = !formats, .documents = remotes, .document_count = remote_count};
    dbk_json_schema *schema = NULL;
    dbk_buffer text;
    dbk_error err = {0};
    dbk_slice name = dbk_json_member(group, "description")->text;
    why[0] = '\0';
    dbk_buffer_init(&text, dbk_port_system());
    dbk_json_put_minimal(&text, schema_node);
    dbk_result made =
        dbk_json_schema_new(dbk_port_system(), dbk_buffer_slice(&text), &options, note_fault, NULL, &schema, &err);
    const dbk_json_node *test = tests + 1;
    for (uint32_t i = 0; i < tests->count; i++, test = dbk_json_next(test)) {
        bool wanted = dbk_json_member(test, "valid")->kind == DBK_JSON_TRUE;
        if (made != DBK_OK) {
            here.refused++;
            if (i == 0 && !quiet)
                printf("%s: %.*s: schema refused: %s\n", path, DBK_SLICE_ARG(name), why[0] ? why : err.text);
            continue;
        }
        dbk_result result = dbk_json_schema_judge(schema, dbk_json_member(test, "data"), NULL, &err);
        if ((result == DBK_OK) == wanted) {
            here.right++;
            continue;
        }
        here.wrong++;
        dbk_slice what = dbk_json_member(test, "description")->text;
        if (!quiet)
            printf("%s: %.*s: %.*s: wanted %s, %s\n", path, DBK_SLICE_ARG(name), DBK_SLICE_ARG(what),
                   wanted ? "valid" : "invalid", result == DBK_OK ? "fits" : err.text);
    }
    dbk_json_schema_free(schema);
    dbk_buffer_release(&text);
}

static void run_file(const char *path)
{
    const dbk_json_node *root;
    dbk_error err = {0};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t size;
    char *text = read_text(path, &size);
    here = (tally){0};
    dbk_json_parser *parser = dbk_json_parser_new(dbk_port_system());
    if (!parser || dbk_json_parse(parser, dbk_slice_of(text, size), &root, &err) != DBK_OK) {
        printf("%s: %s\n", path, err.text);
        here.refused++;
    } else {
        const dbk_json_node *group = root + 1;
        for (uint32_t i = 0; i < root->count; i++, group = dbk_json_next(group)) run_group(path, group);
    }
    dbk_json_parser_free(parser);
    free(text);
    printf("%-28.*s %5zu right %5zu wrong %5zu refused\n", (int)strcspn(name, "."), name, here.right, here.wrong,
           here.refused);
    all.right += here.right, all.wrong += here.wrong, all.refused += here.refused;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--remotes") == 0 && i + 1 < argc) {
            remotes_prefix = strlen(argv[++i]);
            if (nftw(argv[i], add_remote, 8, FTW_PHYS) != 0) return 2;
        } else if (strcmp(argv[i], "--formats") == 0) formats = true;
        else if (strcmp(argv[i], "--strict") == 0) formats = strict = true;
        else if (strcmp(argv[i], "--quiet") == 0) quiet = true;
        else run_file(argv[i]);
    }
    printf("%-28s %5zu right %5zu wrong %5zu refused\n", "all", all.right, all.wrong, all.refused);
    return all.wrong || (all.refused && !strict) ? 1 : 0;
}
